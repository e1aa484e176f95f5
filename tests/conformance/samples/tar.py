"""Tar archives as Python and GNU tar write them."""

import io
import tarfile

from tests.conformance.sample import Sample
from weighbridge.testing.pickles import Pickle


def packed(form: int, *, name: str = "model_config.yaml", size_bytes: int = 0) -> bytes:
    """An archive of two files and a folder, without the zeros behind its end mark."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=form) as archive:
        for path, data in ((name, b"a: 1\n"), ("weights/part.pkl", Pickle().values(1).stop() + bytes(size_bytes))):
            info = tarfile.TarInfo(path)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return made.getvalue()[:4096]


SAMPLES = (
    Sample(name="pax", path="model.nemo", data=packed(tarfile.PAX_FORMAT), is_whole_only=False),
    Sample(name="gnu", path="model.tar", data=packed(tarfile.GNU_FORMAT), is_whole_only=False),
    Sample(
        name="long", path="model.tar", data=packed(tarfile.PAX_FORMAT, name="d/" * 60 + "é.yaml"), is_whole_only=False
    ),
)
