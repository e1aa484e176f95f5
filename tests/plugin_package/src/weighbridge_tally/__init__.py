"""What a package has to hold to add a format to weighbridge: this file, one unit, and an entry point."""
