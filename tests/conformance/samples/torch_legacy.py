"""PyTorch checkpoints from before 1.6: pickles one after another, then the storages."""

from tests.conformance.sample import Sample
from weighbridge.testing.pickles import state_dict, torch_legacy

SAMPLES = (
    Sample(
        name="state dict",
        path="pytorch_model.bin",
        data=torch_legacy(state_dict({"weight": (2, 3)}, parts=6).stop(), {"0": b"\x00\x00\x80\x3f" * 6}),
    ),
)
