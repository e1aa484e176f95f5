"""Numpy in pickles: what numpy writes passes, and no state passes that would make it read bytes as something else."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np  # noqa: TID253  # what is tested is what it writes
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weighbridge.formats.pickle import FORMAT
from weighbridge.testing.readings import examine, passes

DTYPES: tuple[Any, ...] = (
    *"?bBhHiIlLqQefdgFDG",
    *("S3", "U5", "V7", "S0", "O", ">f8", "<i2", "M8", "m8", "M8[ns]", "M8[3D]", "m8[25us]", "M8[as]"),
    [("a", "O"), ("b", "f8")],
    [("b", "i1"), ("a", "O")],
    [("n", [("p", "O"), ("q", "U3")])],
    [],
    [(("title", "a"), "f8"), ("b", "i4")],
    {"names": ["a"], "formats": ["f8"], "offsets": [3], "itemsize": 16},
    np.dtype([("a", "i1"), ("b", "f8")], align=True),
    [("x", "f4", (2, 3))],
    np.dtype("f8", metadata={"unit": "m"}),
)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("spelled", DTYPES, ids=str)
def test_arrays_and_dtypes_as_numpy_writes_them_pass(spelled: Any, protocol: int) -> None:
    dtype = np.dtype(spelled)
    values = [dtype, np.zeros(3, dtype), np.zeros((2, 0), dtype), np.asfortranarray(np.zeros((2, 2), dtype))]
    if not dtype.hasobject and dtype.kind != "V":
        values.append(np.zeros(1, dtype)[0])
    for value in values:
        for dump in (pickle.dumps, pickle._dumps):
            reading = examine(FORMAT, dump(value, protocol), "x.pkl")
            assert passes(reading), (value, reading and [f.message for f in reading.findings])


@given(dtypes=st.lists(st.sampled_from(["f8", "i1", "U3", "M8[s]", "?", "c16", "O", "S2"]), min_size=1, max_size=6))
def test_records_as_numpy_writes_them_pass(dtypes: list[str]) -> None:
    array = np.zeros(2, [(f"f{number}", dtype) for number, dtype in enumerate(dtypes)])
    assert passes(examine(FORMAT, pickle.dumps(array), "x.pkl"))


class _Dtype:
    """Pickles as a dtype with any state."""

    def __init__(self, text: str, state: tuple[Any, ...]) -> None:
        self.text, self.state = text, state

    def __reduce__(self) -> tuple[Any, ...]:
        return np.dtype, (self.text, False, True), self.state


class _Array:
    def __init__(self, dtype: Any, shape: tuple[int, ...], data: Any) -> None:
        self.state = (1, shape, dtype, False, data)

    def __reduce__(self) -> tuple[Any, ...]:
        return np._core.multiarray._reconstruct, (np.ndarray, (0,), b"b"), self.state


F8, O8 = np.dtype("f8"), np.dtype("O")
LIES: dict[str, tuple[str, tuple[Any, ...]]] = {
    "a name without a field": ("V16", (3, "|", None, ("a", "b"), {"a": (F8, 0)}, 16, 1, 16)),
    "a field without a name": ("V16", (3, "|", None, ("a",), {"a": (F8, 0), "b": (F8, 8)}, 16, 1, 16)),
    "a name twice": ("V16", (3, "|", None, ("a", "a"), {"a": (F8, 0)}, 16, 1, 16)),
    "names that are no text": ("V16", (3, "|", None, (1,), {1: (F8, 0)}, 16, 1, 16)),
    "a field under no text": ("V16", (3, "|", None, ("a",), {5: (F8, 0)}, 16, 1, 16)),
    "fields without names": ("V16", (3, "|", None, None, {"a": (F8, 0)}, 16, 1, 16)),
    "names without fields": ("V16", (3, "|", None, ("a",), None, 16, 1, 16)),
    "a title that is another field": (
        "V16", (3, "|", None, ("a",), {"a": (F8, 0, "t"), "t": (F8, 8, "t")}, 16, 1, 16)),
    "a field beyond the record": ("V8", (3, "|", None, ("a",), {"a": (F8, 4)}, 8, 1, 16)),
    "no alignment": ("V16", (3, "|", None, None, None, 16, 0, 0)),
    "a negative alignment": ("V16", (3, "|", None, ("a",), {"a": (F8, 0)}, 16, -8, 16)),
    "a huge alignment": ("V16", (3, "|", None, ("a",), {"a": (F8, 0)}, 16, 1 << 30, 16)),
    "half a character": ("U3", (3, "<", None, None, None, 5, 4, 8)),
    "flags of references": ("V16", (3, "|", None, None, None, 16, 1, 27)),
    "hidden references": ("V8", (3, "|", None, ("a",), {"a": (O8, 0)}, 8, 1, 16)),
    "references without flags": ("O8", (3, "|", None, None, None, -1, -1, 0)),
    "numbers over references": ("V8", (3, "|", None, ("a", "b"), {"a": (O8, 0), "b": (F8, 0)}, 8, 1, 27)),
    "numbers half over references": ("V12", (3, "|", None, ("a", "b"), {"a": (O8, 0), "b": (F8, 4)}, 12, 1, 27)),
    "no unit": ("M8", (4, "<", None, None, None, -1, -1, 0, None)),
    "a unit that is none": ("M8", (4, "<", None, None, None, -1, -1, 0, (None, (b"parsec", 1, 1, 1)))),
    "a unit without factors": ("M8", (4, "<", None, None, None, -1, -1, 0, (None, (b"s", 0, 0, 0)))),
    "half a unit": ("M8", (4, "<", None, None, None, -1, -1, 0, (None, 5))),
    "metadata that is no dict": ("f8", (4, "<", None, None, None, -1, -1, 0, 5)),
}  # fmt: skip


@pytest.mark.parametrize(("text", "state"), LIES.values(), ids=LIES)
def test_a_dtype_that_lies_does_not_pass(text: str, state: tuple[Any, ...]) -> None:
    size = state[5] if state[5] > 0 else 8
    data: Any = [None, None] if text == "O8" or state[7] & 2 else bytes(2 * size)
    assert not passes(examine(FORMAT, pickle._dumps(_Array(_Dtype(text, state), (2,), data), 2), "x.pkl"))


@pytest.mark.parametrize("text", ["V0", "S0"])
def test_more_empty_items_than_can_be_walked_over_do_not_pass(text: str) -> None:
    dtype = _Dtype(text, (3, "|", None, None, None, 0, 1, 0))
    assert passes(examine(FORMAT, pickle._dumps(_Array(dtype, (1000,), b""), 2), "x.pkl"))
    assert not passes(examine(FORMAT, pickle._dumps(_Array(dtype, (1 << 61,), b""), 2), "x.pkl"))


def test_references_that_are_bytes_do_not_pass() -> None:
    for dtype in (np.dtype("O"), np.dtype([("a", "O"), ("b", "f8")])):
        assert not passes(examine(FORMAT, pickle._dumps(_Array(dtype, (1,), bytes(16)), 2), "x.pkl"))
        assert not passes(examine(FORMAT, pickle._dumps(_Array(dtype, (3,), [None]), 2), "x.pkl"))
