"""PyTorch checkpoints in the archive format that `torch.save` writes."""

from tests.conformance.sample import Sample
from weighbridge.testing.pickles import Pickle, state_dict, torch_zip

STATE = torch_zip(state_dict({"weight": (2, 3)}).stop(), {"0": b"\x00\x00\x80\x3f" * 6})
PLAIN = torch_zip(Pickle().values("epoch").stop())

SAMPLES = (
    Sample(name="state dict", path="pytorch_model.bin", data=STATE),
    Sample(name="no tensors", path="scheduler.pt", data=PLAIN),
)
