"""Make the checkpoints in `tests/golden/torch` with torch itself: `python tests/golden/make_torch.py`.

Needs torch 2.13.0 (the CPU build) and numpy, which the test environment does not have. The files hold a network of a few
dozen weights from a fixed seed.
"""

import collections
import linecache
import sys
from importlib import import_module
from pathlib import Path

torch = import_module("torch")
FOLDER = Path(__file__).parent / "torch"


SOURCE = """
class Scaled(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(3))
        self.sizes = [1, 2]

    def forward(self, x):
        if x.sum() > self.sizes[0]:
            return x * self.weight
        return x
"""


def scripted():
    """TorchScript keeps the path of its source, so the source is compiled under a name that is no path."""
    linecache.cache["scaled.py"] = (len(SOURCE), None, SOURCE.splitlines(keepends=True), "scaled.py")
    names = {"torch": torch, "__name__": "scaled"}
    exec(compile(SOURCE, "scaled.py", "exec"), names)
    return torch.jit.script(names["Scaled"]())


def network():
    torch.manual_seed(7)
    return torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3))


def trained():
    model = network()
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(5, 4)).sum().backward()
    optimizer.step()
    return model, optimizer


def odd_tensors() -> dict[str, object]:
    tagged = torch.arange(4.0)
    tagged.origin = "here"
    weight = torch.arange(12.0).reshape(3, 4)
    return {
        "empty": torch.zeros(0),
        "scalar": torch.tensor(3.5),
        "view": weight.t()[1:3],
        "tied": weight,
        "bfloat16": weight.to(torch.bfloat16),
        "complex": weight.to(torch.complex64).conj(),
        "float8": weight.to(torch.float8_e4m3fn),
        "uint16": torch.zeros(3, dtype=torch.uint16),
        "quantised": torch.quantize_per_tensor(weight, 0.1, 0, torch.quint8),
        "sparse": torch.eye(3).to_sparse(),
        "meta": torch.zeros(3, device="meta"),
        "parameter": torch.nn.Parameter(weight),
        "tagged": tagged,
        "places": [torch.Size([1, 2]), torch.device("cpu"), torch.device("cuda:1"), torch.float16],
        "counts": collections.Counter({"a": 2}),
        "group": {"names": {"a", "b"}, "raw": bytearray(b"xyz"), "number": 1j, "data": b"\x00\xff"},
    }


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    model, optimizer = trained()
    full = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3}
    torch.save(model.state_dict(), FOLDER / "state_dict.pt")
    torch.save(model.state_dict(), FOLDER / "state_dict_protocol4.pt", pickle_protocol=4)
    torch.save(model.state_dict(), FOLDER / "legacy.pt", _use_new_zipfile_serialization=False)
    torch.save(full, FOLDER / "checkpoint.pt")
    torch.save(full, FOLDER / "legacy_checkpoint.pt", _use_new_zipfile_serialization=False)
    torch.save(odd_tensors(), FOLDER / "odd_tensors.pt")
    torch.save(model, FOLDER / "whole_module.pt")
    scripted().save(str(FOLDER / "torchscript.pt"))
    sys.stdout.write(f"torch {torch.__version__}: {len(list(FOLDER.glob('*.pt')))} files\n")


if __name__ == "__main__":
    main()
