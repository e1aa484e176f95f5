"""What no loader takes is not called sound: keys that cannot be hashed, numbers and texts that do not parse, arrays that cannot be."""

from __future__ import annotations

import pickle
import struct

import pytest

from weighbridge.formats.archives.zip import MEMBER_LIMIT
from weighbridge.formats.pickle import FORMAT
from weighbridge.formats.pickling.machine import OPCODE_LIMIT
from weighbridge.formats.reading.contract import Reading
from weighbridge.formats.torch_zip import FORMAT as TORCH_ZIP
from weighbridge.testing.models import source_of
from weighbridge.testing.pickles import Entry, Pickle, write_zip
from weighbridge.vocabulary import Outcome


def read(data: bytes) -> Reading:
    with source_of(data, "state.pkl") as source:
        return FORMAT.read(source)


def read_zip(entries: list[Entry]) -> dict[str, Outcome]:
    with source_of(write_zip(entries), "model.pt") as source:
        return {finding.check: finding.outcome for finding in TORCH_ZIP.read(source).findings}


def is_sound(data: bytes) -> bool:
    return {finding.outcome for finding in read(data).findings} == {Outcome.PASS}


def dtype(text: str) -> Pickle:
    return Pickle(2).call("numpy", "dtype", text, False, True)


def long_text(raw: bytes) -> bytes:
    return Pickle(2).raw(b"X" + struct.pack("<I", len(raw)) + raw).stop()


def keyed(made: Pickle) -> bytes:
    """A dict with one pair; `made` has put the key on the stack."""
    return made.values(1).op("SETITEM").stop()


def put_into_dict() -> Pickle:
    return Pickle(4).op("EMPTY_DICT")


PAIRS = {
    "a tuple as key": keyed(put_into_dict().args(1, 2)),
    "a list as key": keyed(put_into_dict().op("EMPTY_LIST")),
    "a dict in a tuple as key": keyed(put_into_dict().op("EMPTY_DICT", "TUPLE1")),
    "a set as key": keyed(put_into_dict().op("EMPTY_SET")),
    "a frozen set as key": keyed(put_into_dict().op("MARK", "FROZENSET")),
    "a made dict as key": keyed(put_into_dict().call("collections", "OrderedDict")),
    "a list in a set": Pickle(4).op("EMPTY_SET", "MARK", "EMPTY_LIST", "ADDITEMS").stop(),
    "a list in a made set": Pickle(2).glob("builtins", "set").raw(b"((l(lttR").stop(),
    "an array of bytes as key": keyed(put_into_dict().raw(b"\x96" + struct.pack("<Q", 300) + bytes(300))),
    "a float": Pickle(0).lines("FLOAT", "1.5e3").stop(),
    "a float with a space": Pickle(0).lines("FLOAT", "1. ").stop(),
    "a float with an underscore": Pickle(0).lines("FLOAT", "1_0.5").stop(),
    "a float beyond all floats": Pickle(0).lines("FLOAT", "1e400").stop(),
    "a text with a broken escape": Pickle(0).lines("STRING", r"'\x1'").stop(),
    "a text with an escape": Pickle(0).lines("STRING", r"'\x41'").stop(),
    "a long line": Pickle(0).lines("UNICODE", "a" * 3000 + r"\u0041").stop(),
    "a long line with a broken escape": Pickle(0).lines("UNICODE", "a" * 3000 + r"\u004").stop(),
    "a long text": long_text("ü".encode() * 200_000),
    "a long text that is not UTF-8": long_text(b"a" * 300_000 + b"\xc3"),
    "a dtype": dtype("f4").stop(),
    "a dtype of no size": dtype("i0").stop(),
    "a dtype of an odd size": dtype("f5").stop(),
    "an array without a type": Pickle(2)
    .glob("numpy.core.multiarray", "_reconstruct")
    .op("MARK")
    .glob("numpy", "ndarray")
    .values((0,), b"nothing")
    .op("TUPLE", "REDUCE")
    .stop(),
}


@pytest.mark.parametrize("name", PAIRS)
def test_a_stream_is_sound_only_where_the_loader_takes_it(name: str) -> None:
    try:
        pickle.loads(PAIRS[name])  # put together above from plain values, dtypes and containers
        is_taken = True
    except Exception:
        is_taken = False
    assert is_sound(PAIRS[name]) is is_taken


@pytest.mark.parametrize("version", [0, 2])
def test_an_array_of_another_version_is_not_covered(version: int) -> None:
    def array(version: int) -> bytes:
        made = Pickle(2).glob("numpy.core.multiarray", "_reconstruct").op("MARK").glob("numpy", "ndarray")
        made.values((0,), b"b").op("TUPLE", "REDUCE", "MARK").values(version, (1,))
        return made.raw(dtype("f4").data[2:]).values(False, bytes(4)).op("TUPLE", "BUILD").stop()

    assert is_sound(array(1))
    assert not is_sound(array(version))


def test_a_stream_beyond_the_limit_is_not_judged() -> None:
    reading = read(Pickle().raw(b"N0" * (OPCODE_LIMIT // 2 + 1)).values(None).stop())
    assert {f.outcome for f in reading.findings if f.check in ("pickle.structure", "code.on-load")} == {Outcome.UNKNOWN}


def test_all_pickles_of_an_archive_share_one_limit() -> None:
    each = Pickle().raw(b"N0" * (OPCODE_LIMIT // 5)).values(None).stop()
    names = ("data.pkl", "a.pkl", "b.pkl")
    answers = read_zip([Entry(name=f"archive/{name}", data=each, method=8) for name in names])
    assert answers["code.on-load"] is Outcome.UNKNOWN


def test_an_archive_without_the_pickle_that_torch_loads_is_not_sound() -> None:
    answers = read_zip([Entry(name="archive/my_data.pkl", data=Pickle().values(1).stop())])
    assert answers["torch_zip.structure"] is Outcome.FAIL


def test_an_extra_field_that_stands_twice_is_not_sound() -> None:
    entry = Entry(name="archive/data.pkl", data=Pickle().values(1).stop(), extra=b"\1\0\0\0" * 2)
    assert read_zip([entry])["torch_zip.structure"] is Outcome.FAIL


def test_an_archive_of_too_many_members_is_not_judged() -> None:
    row = struct.pack("<4s6H3L5H2L", b"PK\1\2", 0, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0) + b"archive/data.pkl"
    count = MEMBER_LIMIT + 1
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, len(row) * count, 0, 0)
    with source_of(row * count + end, "model.pt") as source:
        answers = {finding.check: finding.outcome for finding in TORCH_ZIP.read(source).findings}
    assert answers == {"code.on-load": Outcome.UNKNOWN, "torch_zip.structure": Outcome.UNKNOWN}
