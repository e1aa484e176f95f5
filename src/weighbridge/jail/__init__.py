"""Confined child processes: one open file goes in, one bounded answer comes out."""
