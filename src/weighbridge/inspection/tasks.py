"""The tasks of inspection that run in the jail, by name: a child that has them can start before anything else is loaded."""

EXAMINE = "weighbridge.inspection.examine:examine"
"""Reads one file."""
LOOK = "weighbridge.inspection.samples:look"
"""Looks at the numbers of tensors in one file."""
EQUIP = "weighbridge.inspection.examine:equip"
"""Says what can be read."""
