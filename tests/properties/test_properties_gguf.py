"""Laws of the GGUF reader: whatever the header claims, it ends quickly in a full account, and lies never pass."""

from __future__ import annotations

import struct
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weighbridge.formats.gguf import FORMAT
from weighbridge.formats.reading.contract import Reading
from weighbridge.formats.reading.spans import account
from weighbridge.testing import readings
from weighbridge.testing.models import GgufValue, StoredTensor, gguf_bytes, tiny_gguf
from weighbridge.testing.readings import passes

TINY = tiny_gguf()
HOSTILE = st.sampled_from([0, 1, 3, 2**31, 2**32 - 1, 2**32, 2**60, 2**63 - 1, 2**63, 2**64 - 1])


def examine(data: bytes) -> Reading | None:
    return readings.examine(FORMAT, data, "model.gguf")


def test_truncation_at_every_byte_never_passes() -> None:
    assert [size for size in range(len(TINY)) if passes(examine(TINY[:size]))] == []


VALUES = st.one_of(
    st.booleans(),
    st.integers(0, 2**32 - 1),
    st.text(max_size=20).filter(lambda text: text.isprintable()),
    st.lists(st.text(max_size=5), max_size=5),
    st.lists(st.integers(-5, 5), max_size=5),
)


@given(
    st.dictionaries(st.from_regex(r"[a-z]{1,6}\.[a-z_]{1,6}", fullmatch=True), VALUES, max_size=6),
    st.lists(st.tuples(st.integers(1, 9), st.integers(1, 3)), max_size=5),
    st.sampled_from([1, 2, 3]),
    st.booleans(),
)
def test_what_was_written_by_the_book_passes(
    pairs: dict[str, GgufValue], shapes: list[tuple[int, int]], version: int, is_big: bool
) -> None:
    tensors = [
        StoredTensor(name=f"t{i}", dtype=0, shape=shape, data=b"\1" * (4 * shape[0] * shape[1]))
        for i, shape in enumerate(shapes)
    ]
    reading = examine(gguf_bytes(pairs, tensors, version=version, is_big=is_big))
    assert passes(reading)
    assert reading is not None
    assert reading.header is not None
    assert [t.shape for t in reading.header.tensors] == shapes
    assert account(reading.spans).unexplained_bytes == 0


@given(st.data())
def test_mutations_end_in_an_account_within_the_file(data: st.DataObject) -> None:
    raw = bytearray(TINY)
    for _ in range(data.draw(st.integers(1, 6))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    reading = examine(bytes(raw))
    if passes(reading):
        assert reading is not None
        assert reading.header is not None
        assert sum(t.size_bytes for t in reading.header.tensors) == account(reading.spans).tensor_bytes <= len(raw)


@given(st.integers(8, len(TINY) - 8), HOSTILE)
def test_a_hostile_number_anywhere_ends_in_an_account(offset: int, number: int) -> None:
    examine(TINY[:offset] + struct.pack("<Q", number) + TINY[offset + 8 :])


@given(HOSTILE, HOSTILE, st.binary(max_size=200))
def test_hostile_counts_never_pass(tensors: int, pairs: int, tail: bytes) -> None:
    reading = examine(b"GGUF" + struct.pack("<IQQ", 3, tensors, pairs) + tail)
    assert not passes(reading) or (tensors, pairs) == (0, 0) or len(tail) >= 16


@given(st.lists(HOSTILE, min_size=1, max_size=4), st.integers(0, 45), HOSTILE)
def test_hostile_shapes_never_pass(shape: list[int], kind: int, offset: int) -> None:
    info = struct.pack("<Q", 1) + b"t" + struct.pack("<I", len(shape)) + b"".join(struct.pack("<Q", n) for n in shape)
    info += struct.pack("<IQ", kind, offset)
    reading = examine(b"GGUF" + struct.pack("<IQQ", 3, 1, 0) + info + b"\0" * 64)
    fits = all(n in (1, 3) for n in shape) and offset == 0
    assert not passes(reading) or fits


@pytest.mark.parametrize("depth", [2, 5, 3000])
def test_nesting_never_passes(depth: int) -> None:
    body = (
        struct.pack("<Q", 1) + b"a" + struct.pack("<I", 9) + struct.pack("<IQ", 9, 1) * depth + struct.pack("<IQ", 0, 0)
    )
    assert not passes(examine(b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + body))


def test_a_vocabulary_is_passed_in_bounded_memory() -> None:
    tokens = [f"token{i}" for i in range(50_000)]
    data = gguf_bytes({"tokenizer.ggml.tokens": tokens, "tokenizer.ggml.merges": tokens})
    tracemalloc.start()
    assert passes(examine(data))
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()
