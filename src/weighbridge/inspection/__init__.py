"""Every file of a model examined in the jail, every byte of it accounted for."""
