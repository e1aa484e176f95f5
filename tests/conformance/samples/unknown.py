"""What no reader knows: it is never settled, however much or little of it there is."""

from tests.conformance.sample import Sample

SAMPLES = (
    Sample(name="noise", path="blob.bin", data=b"\x01\xfe\x00\xc3\x28" * 9, is_readable=False),
    Sample(name="program", path="model.so", data=b"\x7fELF\x02\x01\x01" + bytes(range(64)), is_readable=False),
    Sample(name="sqlite", path="model.db", data=b"SQLite format 3\0" + bytes(range(64)), is_readable=False),
)
