"""A unit that fails while it is loaded, as one does whose own dependency is missing."""

raise ImportError("the library behind this unit is not installed")
