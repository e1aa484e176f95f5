"""NumPy arrays as `numpy.save` writes them."""

import io

from tests.conformance.sample import Sample


def saved(kind: str) -> bytes:
    """The bytes of a .npy file with an array of that kind."""
    import numpy as np

    arrays = {
        "numbers": np.arange(6, dtype="<f4").reshape(2, 3),
        "objects": np.array([{"a": 1}, None], dtype=object),
        "record": np.zeros(2, dtype=[("a", "<i4"), ("b", "<U3", (2,))]),
    }
    made = io.BytesIO()
    np.save(made, arrays[kind], allow_pickle=True)
    return made.getvalue()


SAMPLES = (
    Sample(name="numbers", path="weights.npy", data=saved("numbers")),
    Sample(name="objects", path="labels.npy", data=saved("objects")),
    Sample(name="record", path="record.npy", data=saved("record")),
)
