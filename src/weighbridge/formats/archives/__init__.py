"""Bounded readers of archives, shared by the formats that are archives."""
