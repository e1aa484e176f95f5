"""How files are read: one unit a file, support code in sub-packages."""
