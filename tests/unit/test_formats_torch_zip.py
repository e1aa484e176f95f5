"""Torch zip checkpoints: real ones pass with every byte explained, and give tensor facts."""

from __future__ import annotations

from pathlib import Path

import pytest

from weighbridge.formats import pickle
from weighbridge.formats.reading.contract import Match, Reading
from weighbridge.formats.reading.spans import account
from weighbridge.formats.torch_zip import FORMAT
from weighbridge.testing.models import source_of
from weighbridge.testing.pickles import Entry, Pickle, checkpoint_entries, state_dict, torch_zip, write_zip
from weighbridge.vocabulary import Finding, Outcome, Tensor

WEIGHTS = {"0": bytes(24), "1": bytes(16)}
STATE = state_dict({"w": (2, 3), "b": (4,)})
REAL = Path(__file__).parent.parent / "golden" / "torch"


def read(data: bytes, path: str = "model.pt") -> Reading:
    with source_of(data, path) as source:
        assert FORMAT.sniff(source) is Match.CERTAIN
        assert pickle.FORMAT.sniff(source) is Match.NO
        return FORMAT.read(source)


def on_load(reading: Reading) -> Finding:
    [answer] = [finding for finding in reading.findings if finding.check == "code.on-load"]
    return answer


@pytest.mark.parametrize("name", ["state_dict", "state_dict_protocol4", "checkpoint", "odd_tensors"])
def test_what_torch_writes_passes_and_is_explained(name: str) -> None:
    reading = read((REAL / f"{name}.pt").read_bytes())
    assert {finding.outcome for finding in reading.findings} == {Outcome.PASS}, reading.findings
    sums = account(reading.spans)
    assert (sums.unexplained_bytes, sums.unread_bytes) == (0, 0)
    assert sums.tensor_bytes > 100


def test_a_whole_module_of_torch_s_own_layers_passes() -> None:
    reading = read((REAL / "whole_module.pt").read_bytes())
    assert on_load(reading).outcome is Outcome.PASS


def test_torchscript_whose_operators_are_known_is_covered() -> None:
    reading = read((REAL / "torchscript.pt").read_bytes())
    assert on_load(reading).outcome is Outcome.PASS
    assert not any(finding.outcome is Outcome.FAIL for finding in reading.findings)
    assert account(reading.spans).unexplained_bytes == account(reading.spans).unread_bytes == 0


def test_tensors_are_named_and_counted() -> None:
    header = read(torch_zip(STATE.stop(), WEIGHTS)).header
    assert header is not None
    assert header.tensors == (
        Tensor(name="w", dtype="float32", shape=(2, 3), size_bytes=24),
        Tensor(name="b", dtype="float32", shape=(4,), size_bytes=16),
    )
    assert (header.parameter_count, header.dtypes, header.weights_bytes) == (10, ("float32",), 40)


def test_tensors_of_nested_dicts_have_dotted_names() -> None:
    header = read((REAL / "checkpoint.pt").read_bytes()).header
    assert header is not None
    names = [tensor.name for tensor in header.tensors]
    assert names[:2] == ["model.0.weight", "model.0.bias"]
    assert "optimizer.state.0.exp_avg" in names


def test_tied_weights_count_once() -> None:
    made = Pickle().op("EMPTY_DICT", "MARK").text("a")
    from weighbridge.testing.pickles import tensor

    tensor(made, "0", (2, 3)).put(9).text("b").get(9).op("SETITEMS")
    header = read(torch_zip(made.stop(), {"0": bytes(24)})).header
    assert header is not None
    assert (len(header.tensors), header.parameter_count, header.weights_bytes) == (2, 6, 24)


@pytest.mark.parametrize(
    "changed",
    [
        [Entry(name="archive/data.pkl", data=STATE.stop(), method=8), *checkpoint_entries(b"", WEIGHTS)[1:]],
        [Entry(name=e.name, data=e.data, flags=0x0800, extra=b"") for e in checkpoint_entries(STATE.stop(), WEIGHTS)],
        [*checkpoint_entries(STATE.stop(), WEIGHTS), Entry(name="archive/notes.txt", data=b"trained on sunshine\n")],
        [Entry(name=e.name, data=e.data, method=8) for e in checkpoint_entries(STATE.stop(), WEIGHTS)],
        checkpoint_entries(STATE.stop(), WEIGHTS, prefix="model_final"),
    ],
    ids=["deflated pickle", "no descriptors", "with text", "all deflated", "other prefix"],
)
def test_other_honest_layouts_pass(changed: list[Entry]) -> None:
    reading = read(write_zip(changed))
    assert {finding.outcome for finding in reading.findings} == {Outcome.PASS}, reading.findings
    assert account(reading.spans).unexplained_bytes == 0


def test_what_python_s_zipfile_writes_passes() -> None:
    import io
    import zipfile

    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for entry in checkpoint_entries(STATE.stop(), WEIGHTS):
            archive.writestr(entry.name, entry.data)
    assert on_load(read(out.getvalue())).outcome is Outcome.PASS


@pytest.mark.parametrize("name", ["archive/other.txt", "weights.npy"])
def test_another_zip_is_not_claimed(name: str) -> None:
    with source_of(write_zip([Entry(name=name, data=b"x")]), "model.npz") as source:
        assert FORMAT.sniff(source) is Match.NO


def test_notes_become_metadata() -> None:
    header = read(torch_zip(STATE.stop(), WEIGHTS)).header
    assert header is not None
    assert {fact.name: fact.value for fact in header.metadata}["torch.byteorder"] == "little"
