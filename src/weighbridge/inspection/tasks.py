"""The tasks of inspection that run in the jail, by name: a child that has them can start before anything else is loaded."""

EXAMINE = "weighbridge.inspection.examine:examine"
"""Reads one file."""
EQUIP = "weighbridge.inspection.examine:equip"
"""Says what can be read."""
