"""Laws of the safetensors reader: every input ends in a full account, and PASS is never more than the reference allows."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st
from safetensors import SafetensorError, deserialize

from weighbridge.formats.reading.contract import Reading
from weighbridge.formats.reading.spans import account
from weighbridge.formats.safetensors import FORMAT
from weighbridge.testing import readings
from weighbridge.testing.models import StoredTensor, safetensors_bytes, tiny_safetensors, with_header
from weighbridge.testing.readings import passes

TINY = tiny_safetensors()
BYTES_OF = {"U8": 1, "F16": 2, "F32": 4, "I64": 8, "F8_E4M3": 1, "BOOL": 1}
NAMES = st.text(max_size=12).filter(lambda name: name != "__metadata__")


def examine(data: bytes) -> Reading | None:
    return readings.examine(FORMAT, data, "model.safetensors")


def reference_accepts(data: bytes) -> bool:
    try:
        deserialize(data)
    except SafetensorError:
        return False
    return True


@st.composite
def models(draw: st.DrawFn) -> bytes:
    tensors = []
    for name in draw(st.lists(NAMES, unique=True, max_size=6)):
        dtype = draw(st.sampled_from(sorted(BYTES_OF)))
        shape = tuple(draw(st.lists(st.integers(0, 4), max_size=4)))
        size = BYTES_OF[dtype]
        for length in shape:
            size *= length
        tensors.append(StoredTensor(name=name, dtype=dtype, shape=shape, data=bytes(size)))
    metadata = draw(st.none() | st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=3))
    return safetensors_bytes(tensors, metadata)


@given(models())
def test_what_the_reference_wrote_and_reads_passes(data: bytes) -> None:
    assert reference_accepts(data)
    reading = examine(data)
    assert passes(reading)
    assert reading is not None
    assert reading.header is not None
    expected = {name: tuple(info["shape"]) for name, info in deserialize(data)}
    assert len(reading.header.tensors) == len(expected)
    assert sorted(t.shape for t in reading.header.tensors) == sorted(expected.values())
    assert account(reading.spans).unexplained_bytes == 0


def test_truncation_at_every_byte_never_passes() -> None:
    assert [size for size in range(len(TINY)) if passes(examine(TINY[:size]))] == []


@given(st.data())
def test_a_mutated_file_passes_only_where_the_reference_reads_it(data: st.DataObject) -> None:
    raw = bytearray(TINY)
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    mutated = bytes(raw)
    assert not passes(examine(mutated)) or reference_accepts(mutated)


TOKENS = [
    *(
        '"a"',
        '"b"',
        '"__metadata__"',
        '"dtype"',
        '"shape"',
        '"data_offsets"',
        '"U8"',
        '"F32"',
        '"\\u0061"',
        '"\\ud800"',
    ),
    *(
        "0",
        "1",
        "4",
        "-0",
        "-1",
        "1.0",
        "1e2",
        "00",
        "9223372036854775808",
        "18446744073709551616",
        "null",
        "true",
        "NaN",
    ),
    *("{", "}", "[", "]", ",", ":", " ", "\n", "\t"),
]


@given(st.lists(st.sampled_from(TOKENS), max_size=40), st.integers(0, 8))
def test_any_arrangement_of_tokens_passes_only_where_the_reference_reads_it(tokens: list[str], body: int) -> None:
    data = with_header(("{" + "".join(tokens)).encode(), bytes(body))
    assert not passes(examine(data)) or reference_accepts(data)


NUMBERS = st.sampled_from([0, 1, 2, 4, 8, 2**31, 2**32, 2**62, 2**63, 2**64 - 1, 2**64, -1])


@given(
    st.lists(
        st.tuples(st.sampled_from([*BYTES_OF, "F4", "F6_E3M2"]), st.lists(NUMBERS, max_size=4), NUMBERS, NUMBERS),
        max_size=4,
    ),
    st.integers(0, 16),
)
def test_hostile_numbers_pass_only_where_the_reference_reads_them(
    entries: list[tuple[str, list[int], int, int]], body: int
) -> None:
    header = {
        f"t{i}": {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}
        for i, (dtype, shape, start, end) in enumerate(entries)
    }
    data = with_header(json.dumps(header, separators=(",", ":")).encode(), b"\1" * body)
    assert not passes(examine(data)) or reference_accepts(data)


@given(st.binary(max_size=300))
def test_any_bytes_end_in_an_account(data: bytes) -> None:
    assert not passes(examine(data)) or reference_accepts(data)
