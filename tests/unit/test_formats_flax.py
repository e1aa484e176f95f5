"""Flax checkpoints: those of the real library are clean and listed, whatever is wrong with one is told."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from weighbridge.formats import flax
from weighbridge.formats.reading.contract import Format, Match, Reading
from weighbridge.formats.reading.spans import account
from weighbridge.inspection.examine import examine_source
from weighbridge.plugins import find_units
from weighbridge.testing.fuzzing import pace
from weighbridge.testing.models import source_of
from weighbridge.testing.msgpack import Extension, Value, array, checkpoint, pack
from weighbridge.vocabulary import Outcome

FOLDER = Path(__file__).parents[1] / "golden" / "flax"
FILES = ("bf16", "train_state", "types", "chunked")


def read(data: bytes, path: str = "flax_model.msgpack") -> Reading:
    with source_of(data, path) as source:
        assert flax.sniff(source) is not Match.NO
        return flax.read(source)


def outcomes(data: bytes, check: str) -> list[Outcome]:
    return [finding.outcome for finding in read(data).findings if finding.check == check]


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_the_real_library_is_clean(name: str) -> None:
    data = (FOLDER / f"{name}.msgpack").read_bytes()
    with source_of(data, f"{name}.msgpack") as source:
        said = examine_source(source, find_units("formats", Format).found)
    assert said.readers == ("flax",)
    assert {f.check: f.message for f in said.findings if f.outcome is not Outcome.PASS} == {}
    assert said.account.unexplained_bytes == said.account.unread_bytes == 0


def test_arrays_are_listed() -> None:
    reading = read(checkpoint())
    assert reading.header is not None
    listed = [(t.name, t.dtype, t.shape, t.size_bytes) for t in reading.header.tensors]
    assert listed == [
        ("params/Dense_0/bias", "float32", (2,), 8),
        ("params/Dense_0/kernel", "float32", (3, 2), 24),
    ]
    assert reading.header.parameter_count == 8
    assert account(reading.spans).tensor_bytes == 32


def test_a_checkpoint_is_known_without_its_name() -> None:
    with source_of(checkpoint(), "weights.bin") as source:
        assert flax.sniff(source) is Match.CERTAIN
    with source_of(pack({"a": 1}), "weights.bin") as source:
        assert flax.sniff(source) is Match.NO


@pytest.mark.parametrize(
    ("value", "check", "outcome"),
    [
        ({"a": array([3], data=bytes(8))}, "flax.size", Outcome.FAIL),
        ({"a": array([2], "float64")}, "flax.size", Outcome.FAIL),
        ({"a": array([1], "object")}, "flax.dtype", Outcome.UNKNOWN),
        ({"a": array([1]), "b": Extension(7, b"x")}, "flax.extension", Outcome.UNKNOWN),
        ({"a": array([1]), "t": Extension(-1, bytes(4))}, "flax.extension", Outcome.UNKNOWN),
        ({"a": Extension(1, pack([1, "float32"]))}, "flax.bounds", Outcome.FAIL),
        ({"a": Extension(1, pack([[-1], "float32", b""]))}, "flax.bounds", Outcome.FAIL),
        ({"a": Extension(1, pack([["x"], "float32", b""]))}, "flax.bounds", Outcome.FAIL),
        ({"a": Extension(1, pack([[1], "float32", bytes(4)]) + b"more")}, "flax.bounds", Outcome.FAIL),
    ],
)
def test_what_no_checkpoint_holds_is_told(value: Value, check: str, outcome: Outcome) -> None:
    data = pack(value)
    assert outcomes(data, check) == [outcome]
    assert outcomes(data, "flax.structure") == [outcome]


@pytest.mark.parametrize(
    ("data", "check"),
    [
        (b"\x82\xa1a\x01\xa1a\x02", "flax.duplicate-key"),
        (b"\x81\xa1a\x01secret", "flax.trailing"),
        (b"\x81\xa1\xff\x01", "flax.bounds"),
        (b"\x81\x01\x01", "flax.bounds"),
        (b"\x81\xa1a\xc1", "flax.bounds"),
        (b"\x81\xa1a\xc6\xff\xff\xff\xff", "flax.bounds"),
        (b"\x82\xa1a\x01", "flax.bounds"),
        (b"\xdf\xff\xff\xff\xff", "flax.bounds"),
    ],
)
def test_a_broken_file_fails(data: bytes, check: str) -> None:
    assert outcomes(data, check) == [Outcome.FAIL]
    assert outcomes(data, "flax.structure") == [Outcome.FAIL]


def test_bytes_behind_the_map_are_unexplained() -> None:
    assert account(read(checkpoint() + b"\x01secret").spans).unexplained_bytes == 7


@pytest.mark.parametrize("data", [b"\x81\xa1a" * 5000 + b"\x01", b"\x81\xa1a\xdd\xff\xff\xff\xff" + b"\x01" * 600_000])
def test_reading_is_bounded(data: bytes) -> None:
    start = time.process_time()
    assert outcomes(data, "flax.limit") == [Outcome.UNKNOWN]
    assert time.process_time() - start < 1.5 * pace()


def test_an_array_of_msgpack_numpy_is_not_called_harmless_and_one_of_objects_is_refused() -> None:
    plain = {"nd": True, "type": "<f4", "kind": "", "shape": [1], "data": b"1234"}
    assert outcomes(pack({"a": plain}), "flax.extension") == [Outcome.UNKNOWN]
    assert Outcome.FAIL in outcomes(pack({"a": plain | {"kind": b"O", "data": b"\x80\x04N."}}), "flax.extension")
