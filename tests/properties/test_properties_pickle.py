"""The abstract machine against Python's own: nothing that the real loader resolves may be missing from the report."""

from __future__ import annotations

import io
import pickle
import pickletools
import random
from contextlib import suppress
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from weighbridge.formats.pickle import FORMAT
from weighbridge.formats.pickling.opcodes import WINDOW_BYTES
from weighbridge.formats.pickling.report import conclude
from weighbridge.formats.pickling.streams import StreamReader
from weighbridge.formats.reading.spans import complete
from weighbridge.testing.models import source_of
from weighbridge.testing.pickles import Pickle
from weighbridge.testing.readings import examine
from weighbridge.vocabulary import Outcome, Severity

NAMES = [
    ("os", "system"),
    ("collections", "OrderedDict"),
    ("acme", "Thing"),
    ("builtins", "getattr"),
    ("torch", "float32"),
]
SIMPLE = [
    "MARK",
    "POP",
    "POP_MARK",
    "DUP",
    "NONE",
    "NEWTRUE",
    "EMPTY_TUPLE",
    "EMPTY_LIST",
    "EMPTY_DICT",
    "EMPTY_SET",
    "TUPLE",
    "TUPLE1",
    "TUPLE2",
    "TUPLE3",
    "LIST",
    "DICT",
    "FROZENSET",
    "APPEND",
    "APPENDS",
    "SETITEM",
    "SETITEMS",
    "ADDITEMS",
    "REDUCE",
    "NEWOBJ",
    "NEWOBJ_EX",
    "OBJ",
    "BUILD",
    "STACK_GLOBAL",
    "MEMOIZE",
    "STOP",
]


class Stand:
    """What the real loader gets in place of every name: callable, fillable, and without effect."""

    def __init__(self, *_: object, **__: object) -> None:
        self.items: list[object] = []

    def __new__(cls, *_: object, **__: object) -> Stand:
        return super().__new__(cls)

    def __call__(self, *_: object, **__: object) -> Stand:
        return Stand()

    def __setitem__(self, _key: object, _value: object) -> None:
        return None

    def append(self, _item: object) -> None:
        return None

    extend = add = append


def record(loader: Any, data: bytes) -> list[tuple[str, str, str]]:
    """The names that a real loader asks for, up to where it fails."""
    seen: list[tuple[str, str, str]] = []

    class Recording(loader):  # type: ignore[misc]
        def find_class(self, module: str, name: str) -> type:
            seen.append(("global", module, name))
            return Stand

        def persistent_load(self, _pid: object) -> object:
            seen.append(("persistent", "", ""))
            return Stand()

    with suppress(Exception):
        Recording(io.BytesIO(data)).load()
    return seen


def step(draw: st.DrawFn, made: Pickle) -> None:
    match draw(st.integers(0, 9)):
        case 0:
            made.glob(*draw(st.sampled_from(NAMES)))
        case 1:
            made.stack_glob(*draw(st.sampled_from(NAMES)))
        case 2:
            made.values(draw(st.sampled_from(["os", "system", "x", 7, -1, b"y", (1, 2)])))
        case 3:
            made.put(draw(st.integers(0, 3)))
        case 4:
            made.get(draw(st.integers(0, 3)))
        case 5:
            made.args(*draw(st.lists(st.sampled_from(["true", 1]), max_size=2)))
        case 6:
            made.raw(
                draw(
                    st.sampled_from(
                        [
                            b"Px\n",
                            b"(ios\nsystem\n",
                            b"\x82\x01",
                            b"I01\n",
                            b"S'os'\n",
                            b"U\x06system",
                            b"\x95" + bytes([9, *bytes(7)]),
                        ]
                    )
                )
            )
        case _:
            made.op(draw(st.sampled_from(SIMPLE)))


@st.composite
def programs(draw: st.DrawFn) -> bytes:
    made = Pickle(draw(st.sampled_from([None, 0, 2, 4, 5])))
    for _ in range(draw(st.integers(1, 40))):
        step(draw, made)
    data = made.stop()
    if draw(st.booleans()):
        place = draw(st.integers(0, len(data) - 1))
        data = data[:place] + bytes([draw(st.integers(0, 255))]) + data[place + 1 :]
    return data


@settings(max_examples=400)
@given(data=programs())
@example(data=b"\x80\x02cos\nsystem")
@example(data=b"cos\nsys")
@example(data=b"ios\nsystem\n.")
def test_every_name_the_real_loader_resolves_is_reported(data: bytes) -> None:
    with source_of(data, "x.pkl") as source:
        reader = StreamReader(source, artifact="x.pkl")
        reader.read_all()
        complete(reader.streams.spans, source)
    named = set(reader.report.globals)
    checks = {finding.check for finding in reader.report.findings}
    if any(f.check == "pickle.structure" and f.severity is Severity.CRITICAL for f in reader.report.findings):
        assert conclude([reader.report], artifact="x.pkl").outcome is Outcome.FAIL
        return  # frames that loaders read differently: refused without following each of them
    for loader in (pickle._Unpickler, pickle.Unpickler):
        for kind, module, name in record(loader, data):
            if kind == "persistent":
                assert "pickle.persistent-id" in checks
            else:
                assert (module, name) in named or "pickle.computed-global" in checks, f"{module}.{name} was missed"


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.sets(st.integers()) | st.complex_numbers(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner) | st.tuples(inner, inner),
    max_leaves=40,
)  # fmt: skip


@given(value=values, protocol=st.integers(0, 5))
def test_plain_data_always_passes(value: object, protocol: int) -> None:
    reading = examine(FORMAT, pickle.dumps(value, protocol=protocol), "x.pkl")
    assert reading is not None
    assert all(finding.outcome is Outcome.PASS for finding in reading.findings), reading.findings


@given(value=values, protocol=st.integers(0, 5), cut=st.floats(0, 1, exclude_max=True))
def test_a_truncated_pickle_never_passes(value: object, protocol: int, cut: float) -> None:
    data = pickle.dumps(value, protocol=protocol)
    reading = examine(FORMAT, data[: int(len(data) * cut)], "x.pkl")
    assert reading is not None
    answers = {finding.outcome for finding in reading.findings if finding.check == "code.on-load"}
    assert answers == {Outcome.UNKNOWN}


number = (
    st.integers(0, 1000) | st.integers(-(1 << 31), (1 << 31) - 1) | st.floats(allow_nan=False, width=64)
)  # BININT1, BININT2, BININT and BINFLOAT
runs = st.lists(st.tuples(number, st.integers(1, 200)), min_size=1, max_size=6).map(
    lambda parts: [item for item, times in parts for item in [item] * times]
)


@given(run=runs, room=st.integers(0, 40), protocol=st.integers(1, 5))
def test_runs_of_numbers_have_the_values_and_the_count_of_the_real_loader(
    run: list[float], room: int, protocol: int
) -> None:
    """Numbers are read many at a time; here across the edge of the window too."""
    padding = (b"z" * (WINDOW_BYTES - room - 20),) if room else ()
    value = (*padding, *run, "end", 1, 2)
    data = pickle.dumps(value, protocol=protocol)
    with source_of(data, "x.pkl") as source:
        reader = StreamReader(source, artifact="x.pkl")
        assert reader.read()
    [found] = reader.streams.values
    assert isinstance(found, tuple)
    assert found[len(padding) :] == value[len(padding) :]
    assert reader.report.opcodes == sum(1 for _ in pickletools.genops(data))


@given(run=runs, limit=st.integers(1, 200))
def test_the_opcode_limit_holds_inside_a_run_of_numbers(run: list[float], limit: int) -> None:
    data = pickle.dumps(tuple(run), protocol=3)
    total = sum(1 for _ in pickletools.genops(data))
    with source_of(data, "x.pkl") as source:
        reader = StreamReader(source, artifact="x.pkl", opcode_limit=limit)
        assert reader.read() == (total <= limit)
    assert reader.report.opcodes == min(total, limit)


@given(run=runs, which=st.floats(0, 1, exclude_max=True), beyond=st.integers(0, 1))
def test_a_frame_that_ends_inside_a_run_of_numbers_is_told_from_one_that_ends_behind_a_number(
    run: list[float], which: float, beyond: int
) -> None:
    body = pickle.dumps(tuple(run), protocol=3)[2:]
    edges = [position for _, _, position in pickletools.genops(body)]
    cut = min(max(edges[int(which * len(edges))], 1) + beyond, len(body) - 1)
    data = b"\x80\x04\x95" + cut.to_bytes(8, "little") + body
    reading = examine(FORMAT, data, "x.pkl")
    assert reading is not None
    crosses = any("crosses the end of its frame" in finding.message for finding in reading.findings)
    assert crosses == (cut not in edges)


@given(data=st.binary(max_size=400))
def test_garbage_is_answered(data: bytes) -> None:
    examine(FORMAT, data, "x.pkl")


def test_mutated_traps_never_pass_where_the_real_loader_runs_them() -> None:
    """Ten thousand mutations of a trap: wherever a real loader still asks for the trap's name, the answer is not PASS."""
    dice = random.Random(7)
    trap = (
        Pickle(4)
        .op("EMPTY_DICT")
        .values("a", 1)
        .op("SETITEM")
        .stack_glob("os", "system")
        .args("true")
        .op("REDUCE")
        .stop()
    )
    for _ in range(10_000):
        data = bytearray(trap)
        for _ in range(dice.randint(1, 3)):
            data[dice.randrange(2, len(data))] = dice.randrange(256)
        wanted = {(module, name) for kind, module, name in record(pickle._Unpickler, bytes(data)) if kind == "global"}
        if not wanted:
            continue
        with source_of(bytes(data), "x.pkl") as source:
            reading = FORMAT.read(source)
        answers = {finding.outcome for finding in reading.findings if finding.check == "code.on-load"}
        assert Outcome.PASS not in answers, bytes(data)
