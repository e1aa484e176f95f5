"""Pickles that hide what they do in the shape of the stream: memo and stack tricks, broken ends, several streams, bombs."""

from __future__ import annotations

import io
import pickle
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

from weighbridge.formats.pickle import FORMAT
from weighbridge.formats.reading.contract import Match, Reading
from weighbridge.formats.reading.spans import account
from weighbridge.testing.fuzzing import pace
from weighbridge.testing.models import source_of
from weighbridge.testing.pickles import Pickle
from weighbridge.vocabulary import Outcome, Severity

SYSTEM = Pickle().call("os", "system", "true").stop()
LOADER = (
    "import {module} as pickle, sys\n{imports}\nwith open(sys.argv[1], 'rb') as f:\n    pickle.{loader}(f).load()\n"
)


def read(data: bytes, path: str = "model.pkl") -> Reading:
    with source_of(data, path) as source:
        assert FORMAT.sniff(source) is not Match.NO, "nobody would look at it"
        return FORMAT.read(source)


def outcomes(reading: Reading) -> dict[str, Outcome]:
    return {finding.check: finding.outcome for finding in reading.findings}


def on_load(reading: Reading) -> Outcome:
    [answer] = [finding for finding in reading.findings if finding.check == "code.on-load"]
    return answer.outcome


def loads_as(data: bytes, folder: Path, loader: str = "Unpickler") -> None:
    """Really load; errors are allowed, since most of these streams break after their effect."""
    path = folder / "attack.pkl"
    path.write_bytes(data)
    program = LOADER.format(module="pickle", imports="", loader=loader)
    subprocess.run([sys.executable, "-c", program, str(path)], check=False, capture_output=True, timeout=60, cwd=folder)


def mkdir(path: Path | str) -> Pickle:
    return Pickle().call("os", "mkdir", str(path))


BROKEN_ENDS = {
    "no stop": b"",
    "unknown opcode": b"\xff",
    "stack underflow": b"000000.",
    "memo never set": b"h\x63.",
    "truncated argument": b"X\xff\x00\x00\x00abc",
    "huge argument": b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7f",
    "no such protocol": b"\x80\x09.",
    "frame longer than the file": b"\x95\xff\x00\x00\x00\x00\x00\x00\x00.",
    "persistent id": b"Pnowhere\n.",
    "broken text": b"X\x01\x00\x00\x00\xff.",
    "number nobody agrees on": b"I0x1_0\n.",
    "half a line": b"cos\nsys",
    "missing mark": b"t.",
}


@pytest.mark.parametrize("loader", ["Unpickler", "_Unpickler"], ids=["C", "Python"])
@pytest.mark.parametrize("name", BROKEN_ENDS)
def test_what_ran_before_the_stream_broke_stays_found(name: str, loader: str, tmp_path: Path) -> None:
    data = mkdir(tmp_path / "canary").data + BROKEN_ENDS[name]
    loads_as(data, tmp_path, loader)
    assert (tmp_path / "canary").is_dir(), "the case does not do what it says"
    reading = read(data)
    assert outcomes(reading)["pickle.calls-unsafe-global"] is Outcome.FAIL
    assert on_load(reading) is Outcome.FAIL


@pytest.mark.parametrize("name", sorted(BROKEN_ENDS.keys() - {"persistent id"}))
def test_a_broken_stream_without_a_call_is_not_clean(name: str) -> None:
    reading = read(Pickle().op("EMPTY_DICT").values("a", 1).op("SETITEM").data + BROKEN_ENDS[name])
    assert outcomes(reading)["pickle.structure"] is Outcome.FAIL
    assert on_load(reading) is not Outcome.PASS


def test_a_frame_that_cuts_a_name_is_refused(tmp_path: Path) -> None:
    """`_pickle` over io.BytesIO drops the rest of the frame: it imports os where the bytes spell xos."""
    canary = tmp_path / "canary"
    rest = b"os\nmkdir\n" + Pickle().args(str(canary)).op("REDUCE").stop()[2:]
    data = b"\x80\x04\x95" + struct.pack("<Q", 2) + b"cx" + rest
    program = "import io, pickle, sys\npickle.load(io.BytesIO(open(sys.argv[1], 'rb').read()))"
    (tmp_path / "attack.pkl").write_bytes(data)
    command = [sys.executable, "-c", program, str(tmp_path / "attack.pkl")]
    subprocess.run(command, check=False, capture_output=True, timeout=60)
    assert canary.is_dir(), "the case does not do what it says"
    assert on_load(read(data)) is Outcome.FAIL


@pytest.mark.parametrize(
    "body",
    [
        struct.pack("<Q", 4) + Pickle(4).values(7).stop()[2:],
        struct.pack("<Q", 99) + Pickle(4).values(7).stop()[2:] + bytes(100),
        struct.pack("<Q", 20) + b"N0\x95" + struct.pack("<Q", 40) + b"N" + b"N0" * 30 + b".",
        struct.pack("<Q", 10) + Pickle(4).text("x" * 40).stop()[2:],
    ],
    ids=["in an argument", "beyond the end", "one inside another", "in a text"],
)
def test_frames_that_loaders_read_differently_are_refused(body: bytes) -> None:
    [found] = [f for f in read(b"\x80\x04\x95" + body).findings if f.check == "pickle.structure"]
    assert (found.outcome, found.severity) == (Outcome.FAIL, Severity.CRITICAL)
    assert on_load(read(b"\x80\x04\x95" + body)) is Outcome.FAIL


TRICKS = {
    "name through the memo": Pickle(4).text("os").put(1).op("POP").text("system").put(2).op("POP").get(1).get(2).op("STACK_GLOBAL"),
    "name by dup": Pickle(4).text("os").op("DUP", "POP").text("system").op("STACK_GLOBAL"),
    "name in short text": Pickle(4).raw(b"\x8c\x02os\x8c\x06system\x93"),
    "name in wide text": Pickle(4).raw(b"\x8d" + struct.pack("<Q", 2) + b"os" + b"\x8d" + struct.pack("<Q", 6) + b"system\x93"),
    "name in line text": Pickle(4).lines("UNICODE", "os").lines("UNICODE", "\\u0073ystem").op("STACK_GLOBAL"),
    "name in string": Pickle(4).lines("STRING", "'os'").raw(b"U\x06system\x93"),
    "memo overwritten": Pickle().glob("collections", "OrderedDict").put(1).op("POP").glob("os", "system").put(1).op("POP").get(1),
    "memo under another opcode": Pickle().glob("os", "system").raw(b"p7\n0h\x07"),
    "memoize after put": Pickle(4).op("NONE").put(5).op("POP").stack_glob("os", "system").op("MEMOIZE", "POP").get(1),
    "callee under a mark": Pickle().glob("os", "system").op("MARK", "NONE", "POP_MARK"),
    "mark popped by pop": Pickle().glob("os", "system").op("MARK", "POP"),
    "callee in the middle": Pickle().glob("os", "system").op("NONE", "POP", "DUP", "POP"),
}  # fmt: skip


@pytest.mark.parametrize("name", TRICKS)
def test_a_name_is_followed_wherever_it_goes(name: str) -> None:
    data = TRICKS[name].args("true").op("REDUCE").stop()
    reading = read(data)
    assert outcomes(reading)["pickle.calls-unsafe-global"] is Outcome.FAIL


@pytest.mark.parametrize(
    "made",
    [
        Pickle(4).call("_codecs", "encode", "os", "latin1").text("system").op("STACK_GLOBAL"),
        Pickle(4).text("os").raw(b"V" + b"x" * 300 + b"\n").op("STACK_GLOBAL"),
        Pickle(4).text("os").op("EMPTY_LIST", "STACK_GLOBAL"),
        Pickle(4).text("os").raw(b"S'\\x73ystem'\n").op("STACK_GLOBAL"),
        Pickle(4).text("os").op("EMPTY_TUPLE", "STACK_GLOBAL"),
    ],
    ids=["made by a call", "too long", "list", "escaped", "tuple"],
)
def test_a_name_that_is_computed_is_refused(made: Pickle) -> None:
    reading = read(made.args("true").op("REDUCE").stop())
    assert outcomes(reading)["pickle.computed-global"] is Outcome.FAIL
    assert outcomes(reading)["pickle.computed-call"] is Outcome.FAIL


@pytest.mark.parametrize("gap", [b"", b"\x00" * 64], ids=["adjacent", "padded"])
def test_a_second_stream_is_read_too(gap: bytes) -> None:
    reading = read(Pickle().values(1).stop() + gap + SYSTEM)
    if gap:
        assert account(reading.spans).unexplained_bytes == len(SYSTEM)
    else:
        assert on_load(reading) is Outcome.FAIL


def test_a_third_stream_that_breaks_is_read_too() -> None:
    reading = read(Pickle().values(1).stop() * 2 + SYSTEM[:-1])
    assert on_load(reading) is Outcome.FAIL
    assert outcomes(reading)["pickle.structure"] is Outcome.FAIL


def test_bytes_after_the_end_are_unexplained() -> None:
    reading = read(Pickle().values(1).stop() + b"#!/bin/sh\ntrue\n")
    assert account(reading.spans).unexplained_bytes == 15


def test_a_pickle_carried_as_data_is_told_and_does_not_block() -> None:
    reading = read(Pickle(3).op("EMPTY_LIST").blob(SYSTEM).op("APPEND").stop())
    [found] = [finding for finding in reading.findings if finding.check == "pickle.nested-data"]
    assert found.severity is Severity.LOW
    assert on_load(reading) is Outcome.PASS


@pytest.mark.parametrize("padding", [b"N0" * 40_000, b"(1" * 40_000, b"]0" * 300_000], ids=["none", "mark", "list"])
def test_padding_in_front_hides_nothing(padding: bytes) -> None:
    for data in (b"\x80\x02" + padding + SYSTEM[2:], padding + SYSTEM[2:]):
        assert on_load(read(data, "notes.txt")) is Outcome.FAIL


def test_a_long_text_in_front_hides_nothing() -> None:
    data = Pickle(None).raw(b"V" + b"x" * 2_000_000 + b"\n0").raw(SYSTEM[2:]).data
    with source_of(data, "model.pkl") as source:
        assert on_load(FORMAT.read(source)) is Outcome.FAIL


def bottom_up(depth: int, width: int) -> bytes:
    made = Pickle().op("EMPTY_LIST", "NONE", "APPEND").put(0).op("POP")
    for level in range(depth):
        made.op("EMPTY_LIST", "MARK")
        for _ in range(width):
            made.get(level)
        made.op("APPENDS").put(level + 1).op("POP")
    return made.get(depth).stop()


def top_down(depth: int, width: int) -> bytes:
    """Every list is put into its parent before it is filled, so that sizes seen at that moment are all one."""
    made = Pickle()
    for level in range(depth + 1):
        made.op("EMPTY_LIST").put(level).op("POP")
    for level in range(depth):
        made.get(level).op("MARK")
        for _ in range(width):
            made.get(level + 1)
        made.op("APPENDS", "POP")
    return made.get(0).stop()


def doubled_tuples(depth: int) -> Pickle:
    made = Pickle().op("NONE", "DUP", "TUPLE2")
    for _ in range(depth):
        made.op("DUP", "TUPLE2")
    return made


@pytest.mark.parametrize(
    "data",
    [
        bottom_up(10, 10),
        top_down(10, 10),
        doubled_tuples(40).stop(),
        Pickle().op("EMPTY_DICT").raw(doubled_tuples(60).data[2:]).op("NONE", "SETITEM", "POP", "NONE").stop(),
        Pickle(4).op("EMPTY_SET", "MARK").raw(doubled_tuples(60).data[2:]).op("ADDITEMS").stop(),
        Pickle().op("NONE").put(0x0FFFFFFF).stop(),
    ],
    ids=["lists bottom up", "lists top down", "tuples", "hashed key", "hashed member", "memo index"],
)
def test_a_bomb_is_defused(data: bytes) -> None:
    reading = read(data)
    found = [finding for finding in reading.findings if finding.check == "pickle.expansion"]
    assert {(finding.outcome, finding.severity) for finding in found} == {(Outcome.FAIL, Severity.HIGH)}


def test_sharing_is_no_bomb() -> None:
    shared = [list(range(50))] * 2000
    assert "pickle.expansion" not in outcomes(read(pickle.dumps({"a": shared, "b": shared})))


def test_a_list_that_holds_itself_is_read() -> None:
    loop: list[object] = []
    loop.append(loop)
    assert on_load(read(pickle.dumps([loop, loop]))) is Outcome.PASS


def test_many_findings_are_counted_not_kept() -> None:
    made = Pickle()
    for index in range(400):
        made.call("os", f"f{index}", "x").op("POP")
    reading = read(made.op("NONE").stop())
    assert len(reading.findings) < 60
    [answer] = [finding for finding in reading.findings if finding.check == "code.on-load"]
    assert "399 more" in answer.message


@pytest.mark.parametrize("opcode", [b"\x97", b"\x97\x98"], ids=["buffer", "read-only buffer"])
def test_buffers_from_outside_are_not_known(opcode: bytes) -> None:
    reading = read(Pickle(5).raw(opcode).stop())
    assert on_load(reading) is Outcome.UNKNOWN


def test_a_persistent_id_in_a_plain_pickle_is_refused() -> None:
    made = (
        Pickle().op("MARK").text("storage").glob("torch", "FloatStorage").values("0", "cpu", 1).op("TUPLE", "BINPERSID")
    )
    reading = read(made.stop())
    assert outcomes(reading)["pickle.persistent-id"] is Outcome.FAIL


def test_hostile_names_are_clipped_and_escaped() -> None:
    reading = read(Pickle().glob("evil\x1b[31m\u202e" + "m" * 1000, "x" * 3000).op("EMPTY_TUPLE", "NEWOBJ").stop())
    for finding in reading.findings:
        assert finding.message.isprintable()
        assert len(finding.message) <= 400
        assert all(len(evidence.excerpt) <= 200 for evidence in finding.evidence)


def test_a_numpy_dtype_that_hides_references_is_refused() -> None:
    """An object field in a record of raw bytes: numpy would take the bytes for pointers."""
    made = Pickle().call("numpy", "dtype", "V8", False, True).op("MARK").values(3, "|", None)
    made.op("MARK").text("f").op("TUPLE", "EMPTY_DICT").text("f").op("MARK").call("numpy", "dtype", "O8", False, True)
    made.values(0).op("TUPLE", "SETITEM").values(8, 1, 0).op("TUPLE", "BUILD")
    assert outcomes(read(made.stop()))["pickle.out-of-bounds"] is Outcome.FAIL


@pytest.mark.parametrize(
    ("code", "state"),
    [("f8", (3, "<", None, None, None, 1, 1, 0)), ("f8", (3, "<", None, None, None, -1, -1, 63)), ("V8", (3, "|", None, None, None, -9, 1, 0))],
    ids=["other size", "reference flags", "negative size"],
)  # fmt: skip
def test_a_numpy_dtype_that_lies_is_refused(code: str, state: tuple[int | str | None, ...]) -> None:
    made = Pickle().call("numpy", "dtype", code, False, True).args(*state).op("BUILD")
    assert outcomes(read(made.stop()))["pickle.out-of-bounds"] is Outcome.FAIL


def test_a_numpy_array_larger_than_its_bytes_is_refused() -> None:
    made = Pickle(3).glob("numpy.core.multiarray", "_reconstruct").op("MARK").glob("numpy", "ndarray")
    made.values((0,), b"b").op("TUPLE", "REDUCE", "MARK").values(1, (1000,)).call("numpy", "dtype", "f8", False, True)
    made.op("NEWFALSE").blob(b"12345678").op("TUPLE", "BUILD")
    assert outcomes(read(made.stop()))["pickle.out-of-bounds"] is Outcome.FAIL


@pytest.mark.parametrize("pickler", [pickle.Pickler, pickle._Pickler], ids=["C", "Python"])
@pytest.mark.parametrize("protocol", range(6))
def test_a_real_object_with_reduce_is_blocked(pickler: type, protocol: int) -> None:
    class Trap:
        def __reduce__(self) -> object:
            return (eval, ("1 + 1",))

    out = io.BytesIO()
    pickler(out, protocol=protocol).dump({"weights": [1.0, Trap()]})
    assert outcomes(read(out.getvalue()))["pickle.calls-unsafe-global"] is Outcome.FAIL


@pytest.mark.parametrize(
    "made",
    [
        Pickle().glob("builtins", "set").op("MARK", "EMPTY_LIST").raw(doubled_tuples(60).data[2:]).op("APPEND", "TUPLE", "REDUCE"),
        Pickle().op("MARK").glob("collections", "OrderedDict").op("EMPTY_LIST", "MARK").raw(doubled_tuples(60).data[2:]).op("NONE", "TUPLE", "APPEND", "OBJ"),
    ],
    ids=["set", "ordered dict"],
)  # fmt: skip
def test_a_bomb_that_a_covered_call_sets_off_is_defused(made: Pickle) -> None:
    assert outcomes(read(made.op("POP", "NONE").stop()))["pickle.expansion"] is Outcome.FAIL


@pytest.mark.parametrize(
    "data",
    [
        Pickle().op("NONE", "MARK").raw(b"N" * 300_000).op("TUPLE").put(0).raw(b"cpathlib\nPath\nh\x00R0" * 30_000).stop(),
        Pickle().op("NONE", "MARK").raw(b"K\x01" * 300_000).op("TUPLE").put(0).raw(b"ctorch\nSize\nh\x00\x85R0" * 30_000).stop(),
        Pickle().op("EMPTY_LIST", "MARK").raw(b"]" * 100_000).op("APPENDS").put(0).raw(b"c__builtin__\nset\nh\x00\x85R0" * 30_000).stop(),
        Pickle().raw(b"N)R0" * 200_000).stop(),
        b"\x80\x02" + b"(" * 1_000_000,
        b"\x80\x02" + b"c" + b"m" * 1000 + b"\n" + b"n" * 1000 + b"\n0",
        b"\x80\x02" + b"".join(b"ca\n%d\n0" % index for index in range(60_000)) + b"N.",
    ],
    ids=["long arguments", "long shape", "long list", "refusals", "marks", "long name", "names"],
)  # fmt: skip
def test_work_that_grows_faster_than_the_file_is_not_done(data: bytes) -> None:
    started = time.process_time()
    reading = read(data)
    assert time.process_time() - started < 1.5 * pace()
    assert any(finding.outcome is not Outcome.PASS for finding in reading.findings)
