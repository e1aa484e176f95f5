"""Judging pickles: what is covered passes with its proof, what nobody listed asks for a policy line, the rest is refused."""

from __future__ import annotations

import argparse
import collections
import datetime as dt
import decimal
import pathlib
import pickle
import types
import uuid

import pytest

from weighbridge.errors import MalformedArtifactError
from weighbridge.formats.pickle import FORMAT
from weighbridge.formats.pickling.allowlist import base_allowlist, policy_line, read_entries
from weighbridge.formats.pickling.danger import NO_DANGER, danger_list
from weighbridge.formats.pickling.opcodes import CODES
from weighbridge.formats.pickling.report import CHECKS, conclude
from weighbridge.formats.pickling.streams import Rules, StreamReader
from weighbridge.formats.reading.contract import Match, Reading
from weighbridge.formats.reading.spans import account
from weighbridge.testing.models import source_of
from weighbridge.testing.pickles import Pickle
from weighbridge.vocabulary import Finding, Outcome, Severity, SpanKind

PLAIN = [
    None, True, 0, -5, 1 << 80, 1.5, "é€😀", "x" * 300, b"\xff\x00", b"", b"y" * 5000, (), (1,), (1, 2, 3, 4), [], [[]], {},
    {"a": [1, {"b": (2.0,)}]}, {1, 2}, frozenset([3]), bytearray(b"abc"), 1j, range(3), slice(1, 2, 3),
]  # fmt: skip
STANDARD = [
    dt.datetime(2026, 1, 2, 3, 4, 5, 6),
    dt.datetime(2026, 1, 2, tzinfo=dt.UTC),
    dt.date(2026, 1, 2),
    dt.timedelta(3),
    dt.time(1, 2),
    decimal.Decimal("1.5"),
    uuid.UUID(int=7),
    pathlib.PurePosixPath("/a/b"),
    pathlib.Path("x"),
    collections.OrderedDict(a=1),
    collections.defaultdict(list, {"a": [1]}),
    collections.Counter("abc"),
    collections.deque([1, 2], 5),
    argparse.Namespace(lr=1, name="x"),
    types.SimpleNamespace(c=3),
]


def arrays() -> list[object]:
    import numpy as np

    return [
        np.zeros((2, 3)),
        np.float32(1),
        np.bool_(True),
        np.datetime64("2020-01-01"),
        np.dtype([("a", "f4"), ("b", "U3")]),
        np.array(["a", None], dtype=object),
        np.array(["x", "yy"]),
        np.zeros(3, dtype=[("a", "<f4"), ("b", "i8", (2,))]),
        np.array(["2020-01-01"], dtype="M8[D]"),
        np.asfortranarray(np.ones((3, 2))),
        np.arange(5000.0),
        np.array(3, dtype=">i4"),
    ]


def read(data: bytes, path: str = "model.pkl") -> Reading:
    with source_of(data, path) as source:
        return FORMAT.read(source)


def on_load(reading: Reading) -> Finding:
    [answer] = [finding for finding in reading.findings if finding.check == "code.on-load"]
    return answer


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("values", [PLAIN, STANDARD, None], ids=["plain", "standard library", "numpy"])
def test_what_python_and_numpy_write_passes(values: list[object] | None, protocol: int) -> None:
    reading = read(pickle.dumps(arrays() if values is None else values, protocol=protocol))
    assert {finding.outcome for finding in reading.findings} == {Outcome.PASS}, reading.findings
    sums = account(reading.spans)
    assert (sums.unexplained_bytes, sums.unread_bytes) == (0, 0)


def test_the_proof_names_each_global_and_its_entry() -> None:
    answer = on_load(read(pickle.dumps([collections.OrderedDict(a=1), *arrays()[:1]], protocol=2)))
    assert (answer.outcome, answer.severity) == (Outcome.PASS, Severity.INFO)
    assert answer.message.startswith("every global is covered by the allowlist: ")
    assert answer.evidence[0].excerpt == "collections.OrderedDict: call, base 1"
    assert answer.evidence[0].locator.endswith(" GLOBAL")


def test_large_bytes_are_weights_in_the_account() -> None:
    reading = read(pickle.dumps([b"\x01" * 10_000, b"\x02" * 100], protocol=4))
    assert account(reading.spans).tensor_bytes == 10_000
    assert reading.spans[0].kind is SpanKind.HEADER


def test_a_payload_larger_than_the_window_is_passed_over() -> None:
    data = pickle.dumps([b"\x01" * 1_000_000, "x" * 1_000_000, 7, bytearray(700_000)], protocol=5)
    reading = read(data)
    assert on_load(reading).outcome is Outcome.PASS
    assert account(reading.spans).tensor_bytes == 1_700_000


def third_party(state: bool = True) -> Pickle:
    made = Pickle().glob("acme.models", "Net").op("EMPTY_TUPLE", "NEWOBJ")
    return made.op("EMPTY_DICT").values("C", 1).op("SETITEM", "BUILD") if state else made


def test_a_class_of_nobody_asks_for_a_policy_line_that_works() -> None:
    data = third_party().stop()
    reading = read(data)
    assert on_load(reading).outcome is Outcome.UNKNOWN
    [open_question] = [finding for finding in reading.findings if finding.check == "pickle.unlisted-global"]
    [line] = open_question.references
    assert line in open_question.message
    wider = base_allowlist().add(read_entries(line, origin="test"))
    with source_of(data) as source:
        reader = StreamReader(source, artifact="x", rules=Rules(allowlist=wider))
        reader.read_all()
        assert conclude([reader.report], artifact="x").outcome is Outcome.PASS


@pytest.mark.parametrize(
    "made",
    [
        third_party(state=False),
        Pickle().glob("copyreg", "_reconstructor").op("MARK").glob("acme", "Thing").glob("builtins", "object").op("NONE", "TUPLE", "REDUCE"),
        Pickle().glob("acme", "Thing"),
        Pickle(4).stack_glob("acme", "Thing").args(1, 2).op("EMPTY_DICT", "NEWOBJ_EX"),
        Pickle().glob("random", "Random"),
    ],
    ids=["newobj", "reconstructor", "import only", "newobj_ex", "standard import only"],
)  # fmt: skip
def test_class_only_and_import_only_is_unknown_never_pass(made: Pickle) -> None:
    for danger in (danger_list(), NO_DANGER):
        with source_of(made.stop()) as source:
            reader = StreamReader(source, artifact="x", rules=Rules(danger=danger))
            reader.read_all()
            assert conclude([reader.report], artifact="x").outcome is Outcome.UNKNOWN


@pytest.mark.parametrize(
    ("made", "check", "severity"),
    [
        (Pickle().call("acme", "run", 1), "pickle.unlisted-call", Severity.HIGH),
        (Pickle().call("random", "seed", 1), "pickle.unlisted-call", Severity.CRITICAL),
        (Pickle().glob("random", "Random").op("EMPTY_TUPLE", "NEWOBJ"), "pickle.unlisted-call", Severity.CRITICAL),
        (Pickle().glob("os", "system"), "pickle.imports-unsafe-global", Severity.CRITICAL),
        (
            Pickle().glob("os", "_wrap_close").op("EMPTY_TUPLE", "NEWOBJ"),
            "pickle.calls-unsafe-global",
            Severity.CRITICAL,
        ),
        (Pickle().call("torch", "float32"), "pickle.unlisted-call", Severity.HIGH),
        (Pickle().call("builtins", "int", 1), "pickle.unlisted-call", Severity.HIGH),
        (Pickle().call("collections", "OrderedDict", 1), "pickle.unlisted-call", Severity.HIGH),
        (Pickle().glob("collections", "OrderedDict").op("EMPTY_LIST", "REDUCE"), "pickle.unlisted-call", Severity.HIGH),
        (Pickle().call("acme", "run").args().op("REDUCE"), "pickle.computed-call", Severity.CRITICAL),
        (Pickle(4).stack_glob("acme", "Thing.run"), "pickle.computed-global", Severity.CRITICAL),
        (Pickle().raw(b"\x82\x01"), "pickle.extension-code", Severity.CRITICAL),
        (Pickle().glob("acme", "Thing").op("EMPTY_DICT", "BUILD"), "pickle.mutates-unknown", Severity.CRITICAL),
        (third_party().values("a", 1).op("SETITEM"), "pickle.mutates-unknown", Severity.HIGH),
        (Pickle().values(1).op("NONE", "APPEND"), "pickle.mutates-unknown", Severity.HIGH),
        (Pickle().op("EMPTY_TUPLE", "MARK", "NONE", "APPENDS"), "pickle.mutates-unknown", Severity.HIGH),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_refused_and_how(made: Pickle, check: str, severity: Severity) -> None:
    reading = read(made.stop())
    [found] = [finding for finding in reading.findings if finding.check == check]
    assert (found.outcome, found.severity) == (Outcome.FAIL, severity)
    assert on_load(reading).outcome is Outcome.FAIL


def test_a_joblib_file_in_several_parts_is_unknown_and_says_why() -> None:
    made = (
        Pickle(4)
        .stack_glob("joblib.numpy_pickle_compat", "NDArrayWrapper")
        .op("EMPTY_TUPLE", "NEWOBJ", "EMPTY_DICT", "BUILD")
    )
    reading = read(made.raw(b"\x00\x00\xf0\x3f" * 16).stop(), "model.joblib")
    assert {finding.outcome for finding in reading.findings} == {Outcome.UNKNOWN}
    assert account(reading.spans).unread_bytes > 60


@pytest.mark.parametrize("protocol", range(2, 6))
def test_a_pickle_with_a_magic_is_certain(protocol: int) -> None:
    with source_of(pickle.dumps({"a": 1}, protocol=protocol), "x") as source:
        assert FORMAT.sniff(source) is Match.CERTAIN


@pytest.mark.parametrize(
    "data",
    [b"\x80\x02\x00\x00\x00\x00\x00\x00{}", b"\x80", b"\x80\x09.", b"GGUF\x03\x00", b"PK\x03\x04", b"", b"\x00" * 64],
)
def test_other_formats_are_not_claimed(data: bytes) -> None:
    with source_of(data, "model.bin") as source:
        assert FORMAT.sniff(source) is Match.NO


def test_plain_data_of_the_text_protocol_is_claimed_by_its_name_only() -> None:
    data = pickle.dumps({"epoch": 3, "lr": [0.5]}, protocol=0)
    for path, match in (("state.pkl", Match.LIKELY), ("notes.txt", Match.NO)):
        with source_of(data, path) as source:
            assert FORMAT.sniff(source) is match


def test_every_opcode_of_python_is_decoded() -> None:
    import pickletools

    assert {opcode.name: ord(opcode.code) for opcode in pickletools.opcodes} == CODES


def test_the_declared_checks_are_those_given() -> None:
    assert set(CHECKS) == set(FORMAT.checks)
    assert FORMAT.may_hold_code


class TestAllowlist:
    NARROWED = ("getattr", "partial", "type")
    """Dangerous in general, covered for one kind of argument; tests/attack/test_attack_pickle_libraries.py tries the others."""

    def test_no_entry_is_dangerous_and_none_is_a_prefix(self) -> None:
        for entry in base_allowlist().entries():
            assert entry.module
            assert entry.name.isidentifier(), entry
            if entry.kind == "call" and entry.module != "types" and entry.name not in self.NARROWED:
                assert not danger_list().reason(entry.module, entry.name), entry

    def test_the_renaming_of_python_2_names_leads_to_covered_names_only(self) -> None:
        """Loaders map old names in protocols below 3; a covered name must not turn into another one."""
        import _compat_pickle

        for entry in base_allowlist().entries():
            module, name = _compat_pickle.NAME_MAPPING.get((entry.module, entry.name), (entry.module, entry.name))
            if (module, name) == (entry.module, entry.name):
                module = _compat_pickle.IMPORT_MAPPING.get(module, module)
            target = base_allowlist().find(module, name)
            assert target is not None, f"{entry.module}.{entry.name} becomes {module}.{name}"
            assert (target.kind, target.items, target.build) == (entry.kind, entry.items, entry.build)

    def test_it_holds_torch_s_own_list_but_for_three(self) -> None:
        names = [entry for entry in base_allowlist().entries() if entry.module.split(".")[0] == "torch"]
        assert len({(entry.module, entry.name) for entry in names}) >= 130
        assert base_allowlist().find("torch._utils", "_rebuild_nested_tensor") is None
        assert base_allowlist().find("torch._utils", "_rebuild_wrapper_subclass") is None

    @pytest.mark.parametrize(
        "text",
        [
            'allow = [{ module = "a", names = ["b"], kind = "prefix" }]',
            'allow = [{ module = "a", names = ["b"], kind = "call", arguments = [["everything"]] }]',
            'allow = [{ module = "a", names = ["b"], kind = "value", colour = "red" }]',
        ],
        ids=["kind", "pattern", "field"],
    )
    def test_a_policy_that_makes_no_sense_is_refused(self, text: str) -> None:
        with pytest.raises(MalformedArtifactError):
            read_entries(text, origin="mine.toml")

    @pytest.mark.parametrize("name", ['x"', "\\", "\n[[allow]]", "\x00", "名"])
    def test_a_policy_line_of_a_hostile_name_covers_that_name_only(self, name: str) -> None:
        [entry] = read_entries(policy_line("m", name, "value"), origin="test")
        assert (entry.module, entry.name) == ("m", name)
