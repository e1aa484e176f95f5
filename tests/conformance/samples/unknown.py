"""What no reader knows: it is never settled, however much or little of it there is."""

from tests.conformance.sample import Sample

SAMPLES = (
    Sample(name="noise", path="blob.bin", data=b"\x01\xfe\x00\xc3\x28" * 9, is_readable=False),
    Sample(name="hdf5", path="model.h5", data=b"\x89HDF\r\n\x1a\n" + bytes(range(64)), is_readable=False),
)
