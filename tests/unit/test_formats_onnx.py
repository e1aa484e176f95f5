"""ONNX: what is told of a sound model, and how each defect shows."""

from __future__ import annotations

import pytest

from weighbridge.formats.onnx import FORMAT
from weighbridge.formats.reading.contract import Match, Reading
from weighbridge.formats.reading.spans import account
from weighbridge.testing.graphs import external_data, message, onnx_model, onnx_node, onnx_tensor
from weighbridge.testing.models import source_of
from weighbridge.vocabulary import Outcome

RELU = onnx_node("Relu")


def read(data: bytes) -> Reading:
    with source_of(data, "model.onnx") as source:
        return FORMAT.read(source)


def failed(data: bytes) -> set[str]:
    return {f.check for f in read(data).findings if f.outcome is Outcome.FAIL}


def unknown(data: bytes) -> set[str]:
    return {f.check for f in read(data).findings if f.outcome is Outcome.UNKNOWN}


def with_tensor(*dims: int, kind: int = 1, raw: bytes | None = None, more: bytes = b"") -> bytes:
    return onnx_model([RELU], [onnx_tensor("w", dims, kind=kind, raw=raw, more=more)])


def test_tensors_and_bytes_of_a_sound_model() -> None:
    reading = read(with_tensor(2, 3))
    assert {f.outcome for f in reading.findings} == {Outcome.PASS}
    assert reading.header is not None
    [tensor] = reading.header.tensors
    assert (tensor.name, tensor.dtype, tensor.shape, tensor.size_bytes) == ("w", "float32", (2, 3), 24)
    assert reading.header.parameter_count == 6
    assert account(reading.spans).tensor_bytes == 24


def test_notes_are_facts() -> None:
    header = read(onnx_model([RELU], notes={"author": "nobody"})).header
    assert header is not None
    assert ("author", "nobody") in {(fact.name, fact.value) for fact in header.metadata}


@pytest.mark.parametrize(
    ("data", "check"),
    [
        (with_tensor(2, 3, raw=bytes(20)), "onnx.tensor-bytes"),
        (with_tensor(2, 3, more=message((4, bytes(20)))), "onnx.tensor-bytes"),
        (with_tensor(1 << 40, 1 << 40, raw=b""), "onnx.dimensions"),
        (with_tensor(-1, raw=b""), "onnx.dimensions"),
        (with_tensor(2, raw=bytes(8), more=message((4, bytes(8)))), "onnx.tensor-bytes"),
        (with_tensor(2, kind=8, more=message((6, "one"))), "onnx.tensor-bytes"),
        (with_tensor(4, 4, more=external_data(location="w.bin", length="8")), "onnx.external-data"),
        (with_tensor(4, 4, more=external_data(location="w.bin", offset="-1")), "onnx.external-data"),
        (onnx_model([RELU], domains=()), "onnx.incomplete"),
        (onnx_model([RELU])[:-1] + b"\xff", "onnx.bounds"),
    ],
)
def test_what_does_not_fit_fails(data: bytes, check: str) -> None:
    assert check in failed(data)


@pytest.mark.parametrize(
    ("data", "check"),
    [
        (onnx_model([RELU]) + message((19, b"x")), "onnx.field"),
        (with_tensor(2, kind=99, raw=bytes(8)), "onnx.tensor-type"),
        (message((1, 40)) + onnx_model([RELU])[2:], "onnx.version"),
        (onnx_model([onnx_node("Foo", "my.ops")], domains=("", "my.ops")), "onnx.operator"),
    ],
)
def test_what_nobody_knows_is_unknown(data: bytes, check: str) -> None:
    assert check in unknown(data)
    assert failed(data) == set()


@pytest.mark.parametrize("deep", [10, 200])
def test_graphs_in_graphs_are_followed_to_a_depth(deep: int) -> None:
    node = RELU
    for _ in range(deep):
        node = onnx_node("If", attributes=[message((1, "then_branch"), (6, message((1, node), (2, "g"))), (20, 5))])
    assert bool(failed(onnx_model([node]))) is (deep > 32)


def test_fields_in_another_order_are_the_same_model() -> None:
    data = onnx_model([RELU])
    with source_of(data[2:] + data[:2], "weights.bin") as source:
        assert FORMAT.sniff(source) is Match.CERTAIN


@pytest.mark.parametrize("data", [b"", b"\x08", b": a\n", b"\x08\x08", b"\x08\x01\x12\x00", b"B\x00"])
def test_other_things_are_not_taken_for_a_model(data: bytes) -> None:
    with source_of(data, "notes") as source:
        assert FORMAT.sniff(source) is Match.NO


def overloaded(overload: str, calls: str) -> bytes:
    """A function of `loc::F` that calls an overload of itself, or calculates."""
    called = message((1, "x"), (2, "y"), (4, "F"), (7, "loc"), (8, calls)) if calls else onnx_node("Relu")
    return message((1, "F"), (4, "x"), (5, "y"), (7, called), (10, "loc"), (13, overload))


def test_a_function_may_call_another_overload_but_not_itself() -> None:
    call = message((1, "x"), (2, "y"), (4, "F"), (7, "loc"), (8, "b"))
    for first, is_sound in (("", True), ("b", False), ("a", False)):
        functions = (overloaded("a", first), overloaded("b", "a"))
        data = onnx_model([call], domains=("", "loc"), functions=functions)
        assert ("onnx.operator" not in failed(data)) == is_sound
