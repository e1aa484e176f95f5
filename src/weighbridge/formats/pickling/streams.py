"""All the pickle streams of a file or of a member of an archive, one after the other, with their byte account."""

from __future__ import annotations

from dataclasses import dataclass, field

from weighbridge.errors import MalformedArtifactError
from weighbridge.formats.pickling.actions import ACTIONS
from weighbridge.formats.pickling.allowlist import Allowlist, base_allowlist
from weighbridge.formats.pickling.danger import DangerList, danger_list
from weighbridge.formats.pickling.judge import GLOBAL_LIMIT, Judge, PersistentIds
from weighbridge.formats.pickling.machine import OPCODE_LIMIT, LimitReachedError, Machine
from weighbridge.formats.pickling.opcodes import NAMES, Cursor, decodes_to_stop
from weighbridge.formats.pickling.report import Report
from weighbridge.formats.pickling.torch_streams import LEGACY_MAGIC
from weighbridge.formats.pickling.values import TOP, Global, Value
from weighbridge.formats.reading.source import Source
from weighbridge.formats.reading.spans import Span
from weighbridge.vocabulary import Severity, SpanKind

STREAM_LIMIT = 10_000
_NESTED_LIMIT = 16
_GLANCE_OPCODES = 20_000
"""Opcodes without PROTO that are followed to find out whether they do anything."""
_JOBLIB_WRAPPERS = ("NDArrayWrapper", "ZNDArrayWrapper")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What streams are judged by. The defaults are those of this release."""

    allowlist: Allowlist = field(default_factory=base_allowlist)
    danger: DangerList = field(default_factory=danger_list)


@dataclass(slots=True, kw_only=True)
class Streams:
    """What was read from one source.

    `values` are the results of the streams that ended in STOP; `end` is the byte after the last of them, or where a broken
    one stopped. `spans` cover 0 to `end` without a gap, and the rest where it could not be followed.
    """

    report: Report
    values: list[Value] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    end: int = 0
    is_whole: bool = True


class StreamReader:
    """Reads pickle streams of one source, one a call, into one report.

    Names, findings and spans of all streams of a file belong together; each stream has a stack and a memo of its own.
    """

    def __init__(
        self,
        source: Source,
        *,
        artifact: str,
        rules: Rules | None = None,
        persistent: PersistentIds | None = None,
        opcode_limit: int = OPCODE_LIMIT,
        name_limit: int = GLOBAL_LIMIT,
        is_joblib: bool = False,
    ) -> None:
        self.opcode_limit = opcode_limit
        self.is_joblib = is_joblib
        rules = rules or Rules()
        self.source = source
        self.report = Report(artifact)
        self.streams = Streams(report=self.report)
        self._judge = Judge(
            self.report,
            allowlist=rules.allowlist,
            danger=rules.danger,
            persistent=persistent,
            name_limit=name_limit,
        )

    def use(self, persistent: PersistentIds | None, *, keeps_atoms: bool = False) -> None:
        """Read further streams with other persistent ids; `keeps_atoms` keeps the constants of lists as well."""
        self._judge.persistent = persistent
        self._judge.keeps_atoms = keeps_atoms

    def read(self, *, is_optional: bool = False) -> bool:
        """Interpret the stream that begins at `streams.end`; whether it ended in STOP.

        `is_optional`: the bytes need not be a pickle. Where they break before they name or call anything, they are left
        unclaimed and nothing is reported.
        """
        start = self.streams.end
        cursor = Cursor(self.source, start=start)
        machine = Machine(cursor, self._judge, is_joblib=self.is_joblib)
        events = self.report.unsafe_events + len(self.report.globals)
        try:
            machine.run(ACTIONS, self.opcode_limit - self.report.opcodes)
        except (MalformedArtifactError, LimitReachedError) as broken:
            has_acted = self.report.unsafe_events + len(self.report.globals) > events
            if is_optional and not has_acted and isinstance(broken, MalformedArtifactError):
                return False
            self._break(broken, machine, start)
            return False
        if machine.unfolds_too_far():
            self.report.add("pickle.expansion", "builds a value that unfolds without end", f"byte {start}")
        self._claim(cursor, start, cursor.offset)
        self._look_inside(cursor)
        self.streams.values.append(machine.result)
        self.streams.end = cursor.offset
        return True

    def read_all(self) -> Streams:
        """Interpret every stream of the source; what follows the last one is left unclaimed."""
        is_open = self.read()
        while is_open and self.streams.end < self.source.size_bytes:
            if len(self.streams.values) >= STREAM_LIMIT:
                self.report.doubt("pickle.structure", f"more than {STREAM_LIMIT} streams", f"byte {self.streams.end}")
                self.streams.is_whole = False
                break
            is_open = self.read(is_optional=True)
        self.finish()
        return self.streams

    def finish(self) -> None:
        """Close the report after the last stream."""
        self._judge.finish()
        self.report.is_whole = self.streams.is_whole

    def _break(self, broken: MalformedArtifactError | LimitReachedError, machine: Machine, start: int) -> None:
        stopped = min(max(machine.at, start), self.source.size_bytes)
        wrappers = [g for g in self.report.globals.values() if _is_joblib_wrapper(g)]
        if isinstance(broken, LimitReachedError):
            self.report.doubt("pickle.structure", str(broken), f"byte {stopped}")
        elif wrappers:
            self.report.doubt(
                "pickle.structure",
                "the stream is interrupted by array data of joblib, which this release does not read",
                broken.locator or f"byte {stopped}",
            )
        else:
            self.report.add(
                "pickle.structure", broken.message, broken.locator or f"byte {stopped}", severity=Severity.HIGH
            )
        self._claim(machine.cursor, start, stopped)
        rest = Span(start=stopped, end=self.source.size_bytes, kind=SpanKind.UNREAD, note="after the pickle broke")
        self.streams.spans.append(rest)
        self.streams.end = self.source.size_bytes
        self.streams.is_whole = False

    def _claim(self, cursor: Cursor, start: int, end: int) -> None:
        position, spans = start, self.streams.spans
        for first, last in cursor.payloads:
            if last > end:
                break
            spans.append(Span(start=position, end=first, kind=SpanKind.HEADER, note="pickle opcodes"))
            spans.append(Span(start=first, end=last, kind=SpanKind.TENSOR, note="opaque bytes"))
            position = last
        spans.append(Span(start=position, end=end, kind=SpanKind.HEADER, note="pickle opcodes"))

    def _look_inside(self, cursor: Cursor) -> None:
        for start, size_bytes in cursor.nested[:_NESTED_LIMIT]:
            if size_bytes > 2 and decodes_to_stop(self.source, start, size_bytes):
                self.report.add(
                    "pickle.nested-data",
                    f"carries {size_bytes} bytes that are a pickle themselves; loading this file does not run them",
                    f"byte {start}",
                    severity=Severity.LOW,
                )


def _is_joblib_wrapper(found: Global) -> bool:
    return found.is_constructed and found.module.startswith("joblib.") and found.name in _JOBLIB_WRAPPERS


@dataclass(frozen=True, slots=True, kw_only=True)
class Glance:
    """A look at what a file would do if it were loaded as a pickle, for sniffing.

    `opcodes` that were followed; `is_stopped` where the first stream came to its STOP; `is_limit` where the look
    ended first; `names` and `acts` count plausible names and effects met (calls, states, refusals). `is_known`: one of the names
    lies in a module that is known here, so that a loader gets past importing it. `is_legacy`: the first value is the magic number
    of torch checkpoints before 1.6, however it is spelled. `runs`: the first name that nothing covers and that is called or known to do harm.
    """

    opcodes: int
    is_stopped: bool
    is_limit: bool
    is_legacy: bool
    names: int
    acts: int
    is_known: bool
    runs: str
    first: str


def glance(source: Source, *, is_patient: bool = False) -> Glance:
    """Follow the first opcodes of a file, one stream after the other, as the most lenient loader would, without judging them.

    A file that begins with PROTO needs a few only, to tell it from chance, unless `is_patient`.
    """
    head = source.head(1)
    first = NAMES[head[0]] if head else ""
    opcode_limit = 64 if first == "PROTO" and not is_patient else _GLANCE_OPCODES
    report = Report(source.path)
    judge = Judge(report, allowlist=base_allowlist(), danger=danger_list(), persistent=None)
    values: list[Value] = []
    at, is_limit = 0, False
    try:
        while at < source.size_bytes:
            cursor = Cursor(source, start=at, is_lenient=True)
            machine = Machine(cursor, judge)
            machine.run(ACTIONS, opcode_limit - report.opcodes)
            values.append(machine.result)
            at = cursor.offset
    except LimitReachedError:
        is_limit = True
    except MalformedArtifactError:
        pass  # no loader gets any further
    names = sum(1 for g in report.globals.values() if _is_plausible(g))
    made = sum(1 for g in report.globals.values() if _is_plausible(g) and (g.is_called or g.is_constructed))
    value = values[0] if values else TOP
    return Glance(
        opcodes=report.opcodes,
        is_stopped=bool(values),
        is_limit=is_limit,
        is_legacy=value.__class__ is int and value == LEGACY_MAGIC,
        names=names,
        runs=next((g.path for g in report.globals.values() if _is_plausible(g) and g.entry is None and _harms(g)), ""),
        is_known=any(g.reason or g.entry or danger_list().is_standard(g.module) for g in report.globals.values()),
        acts=made + (report.unsafe_events if names else 0),
        first=first,
    )


def _harms(found: Global) -> bool:
    return bool(found.reason) or (found.is_called and danger_list().is_standard(found.module))


def _is_plausible(found: Global) -> bool:
    text = found.module + found.name
    return bool(found.module and found.name) and text.isprintable() and not any(map(str.isspace, text))
