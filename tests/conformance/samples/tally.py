"""Tallies, for the format of the plugin package."""

from tests.conformance.sample import Sample

SAMPLES = (
    Sample(name="two counts", path="a.tally", data=b"TALLY1\nbits 8\nqubits 12345\n", is_whole_only=False),
    Sample(name="empty", path="empty.tally", data=b"TALLY1\n"),
)
