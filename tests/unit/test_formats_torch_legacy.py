"""Torch checkpoints of the format before 1.6."""

from __future__ import annotations

from pathlib import Path

import pytest

from weighbridge.formats import pickle, torch_zip
from weighbridge.formats.reading.contract import Match, Reading
from weighbridge.formats.reading.spans import account
from weighbridge.formats.torch_legacy import FORMAT
from weighbridge.testing.models import source_of
from weighbridge.testing.pickles import Pickle, state_dict, torch_legacy
from weighbridge.vocabulary import Outcome, SpanKind, Tensor

REAL = Path(__file__).parent.parent / "golden" / "torch"
STATE = state_dict({"w": (2, 3), "b": (4,)}, parts=6).stop()
WEIGHTS = {"0": bytes(24), "1": bytes(16)}


def read(data: bytes) -> Reading:
    with source_of(data, "pytorch_model.bin") as source:
        assert FORMAT.sniff(source) is Match.CERTAIN
        assert pickle.FORMAT.sniff(source) is Match.NO
        assert torch_zip.FORMAT.sniff(source) is Match.NO
        return FORMAT.read(source)


@pytest.mark.parametrize("name", ["legacy", "legacy_checkpoint"])
def test_what_torch_writes_passes_and_is_explained(name: str) -> None:
    reading = read((REAL / f"{name}.pt").read_bytes())
    assert {finding.outcome for finding in reading.findings} == {Outcome.PASS}, reading.findings
    sums = account(reading.spans)
    assert (sums.unexplained_bytes, sums.unread_bytes, sums.padding_bytes) == (0, 0, 0)


def test_it_says_the_same_as_the_zip_format() -> None:
    with source_of((REAL / "state_dict.pt").read_bytes()) as source:
        modern = torch_zip.FORMAT.read(source).header
    legacy = read((REAL / "legacy.pt").read_bytes()).header
    assert modern is not None
    assert legacy is not None
    assert legacy.tensors == modern.tensors
    assert legacy.weights_bytes == modern.weights_bytes


def test_storages_are_weights_and_their_counts_are_not() -> None:
    reading = read(torch_legacy(STATE, WEIGHTS))
    assert [(s.kind, s.end - s.start) for s in reading.spans[-4:]] == [
        (SpanKind.HEADER, 8),
        (SpanKind.TENSOR, 24),
        (SpanKind.HEADER, 8),
        (SpanKind.TENSOR, 16),
    ]
    assert reading.header is not None
    assert reading.header.tensors[0] == Tensor(name="w", dtype="float32", shape=(2, 3), size_bytes=24)


def test_another_protocol_version_is_not_read_as_this_one() -> None:
    data = torch_legacy(STATE, WEIGHTS).replace(Pickle().number(1001).stop(), Pickle().number(1002).stop(), 1)
    assert {f.outcome for f in read(data).findings if f.check == "torch_legacy.structure"} == {Outcome.FAIL}


@pytest.mark.parametrize("cut", [20, 60, 200, 300, -30, -20, -1])
def test_a_cut_checkpoint_is_not_clean(cut: int) -> None:
    reading = read(torch_legacy(STATE, WEIGHTS)[:cut])
    assert {f.outcome for f in reading.findings if f.check == "torch_legacy.structure"} == {Outcome.FAIL}
    assert {f.outcome for f in reading.findings if f.check == "code.on-load"} != {Outcome.PASS}
