"""Pickles of plain values, written by Python itself in every protocol."""

import pickle

from tests.conformance.sample import Sample

VALUES = {
    "epoch": 3,
    "lr": [0.001, 1e-5],
    "names": ("a", "b"),
    "done": True,
    "note": "ü",
    "blob": b"\x00\x01",
    "none": None,
}

SAMPLES = (
    Sample(name="protocol 0", path="state.pkl", data=pickle.dumps({"epoch": 3, "lr": [0.5]}, protocol=0)),
    *(
        Sample(name=f"protocol {protocol}", path="trainer_state.pkl", data=pickle.dumps(VALUES, protocol=protocol))
        for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1)
    ),
)
