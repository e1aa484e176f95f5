"""Inspecting a model: every file goes into the jail alone, and what comes out is put together.

Nothing of a model is opened in this process but to hand its descriptor on.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from functools import cache

from weighbridge.errors import JailError, MalformedArtifactError
from weighbridge.inspection import judgements
from weighbridge.inspection.examined import FALLBACK, Equipment, Examined, read_examined, tame
from weighbridge.inspection.inventory import take_inventory
from weighbridge.inspection.tasks import EQUIP, EXAMINE, LOOK
from weighbridge.jail.confinement import Completed, Confinement, Jail, Job, Stopped, StopReason
from weighbridge.registry import wire
from weighbridge.registry.intake import WeighedFile, WeighedModel
from weighbridge.vocabulary import Artifact, ByteAccount, Finding, Header, Tool, Unread, clip

INSPECTION_VERSION = 3
"""Grows whenever inspection may answer differently for the same bytes and the same formats."""

EMPTY = "empty"

OnFile = Callable[[str, int, int], None]

_IN_WORDS = {
    StopReason.CRASHED: "its reader crashed",
    StopReason.TIMED_OUT: "its reader took too long",
    StopReason.OUT_OF_CPU: "its reader took too long",
    StopReason.OUT_OF_MEMORY: "its reader ran out of memory",
    StopReason.REFUSED_SYSCALL: "its reader tried to leave the jail",
    StopReason.OVERSIZED: "its reader said too much",
    StopReason.GARBLED: "its reader gave no answer that makes sense",
    StopReason.RAISED: "its reader broke",
}


class Values(Enum):
    """How much of the numbers of tensors is looked at."""

    UNSEEN = "unseen"
    SAMPLED = "sampled"
    ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What one inspection may take on, whatever the model holds; what is beyond it is unread, and a finding says so."""

    files: int = 20_000
    wall_s: float = 900.0
    answer_bytes: int = 256 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """Everything that inspection learned about one model: the parts of a dossier, without its subject.

    `isolation` is what held the process that read it.
    """

    artifacts: tuple[Artifact, ...]
    headers: tuple[Header, ...]
    findings: tuple[Finding, ...]
    unread: tuple[Unread, ...]
    tools: tuple[Tool, ...]
    isolation: Confinement


@dataclass(slots=True, kw_only=True)
class _Account:
    """What is known so far."""

    artifacts: list[Artifact] = field(default_factory=list)
    headers: list[Header] = field(default_factory=list)
    starts: list[tuple[int, ...]] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    unread: list[Unread] = field(default_factory=list)
    readers: set[str] = field(default_factory=set)
    answer_bytes: int = 0
    seen: int = 0
    examined: int = 0

    def add(self, file: WeighedFile, reader: str, account: ByteAccount) -> None:
        self.artifacts.append(
            Artifact(path=file.path, size_bytes=file.size_bytes, sha256=file.sha256, format=reader, account=account)
        )

    def add_examined(self, file: WeighedFile, said: Examined) -> None:
        self.add(file, said.readers[0], said.account)
        self.headers += said.headers
        self.starts += said.starts or ((),) * len(said.headers)
        self.findings += said.findings
        self.unread += said.unread
        self.readers |= set(said.readers)
        self.examined += 1

    def add_empty(self, file: WeighedFile) -> None:
        self.add(file, EMPTY, ByteAccount())
        self.findings += judgements.empty(file.path)
        self.examined += 1

    def add_unread(self, file: WeighedFile, reason: str) -> None:
        self.add(file, FALLBACK, ByteAccount(unread_bytes=file.size_bytes))
        self.unread.append(Unread(path=file.path, size_bytes=file.size_bytes, reason=reason))


class _Tour:
    """The files of a model on their way into the jail, until they are all sent or the budget is spent.

    Empty files and those beyond the budget go straight to the account; `sent` are those whose answer is still to come.
    """

    def __init__(self, files: tuple[WeighedFile, ...], budget: Budget, known: _Account, on_file: OnFile | None) -> None:
        self.sent: deque[WeighedFile] = deque()
        self.ended_because = ""
        self._files = files
        self._budget = budget
        self._known = known
        self._on_file = on_file
        self._deadline = time.monotonic() + budget.wall_s

    def jobs(self) -> Iterator[Job]:
        """One job for every file that has to be read."""
        for number, file in enumerate(self._files, start=1):
            self.ended_because = self.ended_because or self._spent(number)
            if self.ended_because:
                self._known.add_unread(file, self.ended_because)
                continue
            self._known.seen += 1
            if self._on_file:
                self._on_file(file.path, number, len(self._files))
            if file.size_bytes == 0:
                self._known.add_empty(file)
                continue
            self.sent.append(file)
            yield Job(arguments={"path": file.path, "size_bytes": file.size_bytes}, open_fd=file.open_fd)

    def _spent(self, number: int) -> str:
        """Why file `number` is not examined any more, or nothing."""
        if number > self._budget.files:
            return f"one inspection takes on {self._budget.files:,} files"
        if time.monotonic() > self._deadline:
            return f"one inspection takes {self._budget.wall_s:g} s"
        if self._known.answer_bytes > self._budget.answer_bytes:
            return f"one inspection keeps {self._budget.answer_bytes:,} bytes of findings and headers"
        return ""


def inspect_model(
    model: WeighedModel,
    *,
    jail: Jail,
    on_file: OnFile | None = None,
    budget: Budget | None = None,
    values: Values = Values.SAMPLED,
) -> Inspection:
    """Examine every file of a weighed model in the jail. `on_file(path, number, total)` follows it.

    One child examines one model and is then gone. A file whose reader stopped without an answer is unread, with the reason.
    A format that this process finds and the child does not (or the other way round, or in another version) is an ERROR.

    Raises:
        JailError: no child can be started.
        HostileInputError: a file is no longer the one that was weighed.
    """
    known = _Account()
    tour = _Tour(model.files, budget or Budget(), known, on_file)
    expected = required_versions()  # while a warmed child still starts
    jail.warm(EQUIP, EXAMINE, LOOK)
    with jail.fresh():
        equipment = _equipment(jail)
        isolation = jail.isolation
        for answer in jail.call_many(EXAMINE, tour.jobs()):
            _take_in(tour.sent.popleft(), answer, known)
        values_found = _look_at_values(known, model, jail, values)
    total = len(model.files)
    if tour.ended_because:
        known.findings.append(judgements.beyond_budget(total, known.seen, tour.ended_because))
    if known.examined == total:
        known.findings.append(judgements.all_examined(total))
    known.findings += tame(take_inventory(known.headers))
    known.findings += tame(values_found)
    used = {f"format.{name}" for name in known.readers}
    return Inspection(
        artifacts=tuple(known.artifacts),
        headers=tuple(known.headers),
        findings=(*known.findings, *tame(equipment.broken), *_differences(expected, equipment)),
        unread=tuple(known.unread),
        tools=(
            *(tool for tool in equipment.tools if tool.name in used),
            Tool(name="inspection", version=str(INSPECTION_VERSION)),
            Tool(name="jail", version=str(isolation)),
            Tool(name="weighbridge", version=_release()),
        ),
        isolation=isolation,
    )


def _look_at_values(known: _Account, model: WeighedModel, jail: Jail, values: Values) -> list[Finding]:
    has_tensors = any(h.tensors for h in known.headers) or any(a.account.tensor_bytes for a in known.artifacts)
    if not has_tensors and values is not Values.ALL:
        return []
    from weighbridge.inspection.values import Placed, look_at_values, not_looked, nothing_listed

    if not has_tensors:
        return nothing_listed()
    placed = [Placed(header=h, starts=s) for h, s in zip(known.headers, known.starts, strict=True)]
    if values is Values.UNSEEN:
        return not_looked(placed)
    return look_at_values(placed, known.artifacts, model.files, jail=jail, is_full=values is Values.ALL)


def required_versions() -> tuple[Tool, ...]:
    """Every format with its version, and inspection with its own: part of what makes two admissions the same.

    A format that fails to load counts too, so that repairing it makes a new admission.
    """
    from weighbridge.formats.reading.contract import Format
    from weighbridge.plugins import find_units

    units = find_units("formats", Format)
    return (
        *(Tool(name=f"format.{name}", version=str(unit.version)) for name, unit in units.found.items()),
        *(Tool(name=f"broken.{unit.name}", version="0") for unit in units.broken),
        Tool(name="inspection", version=str(INSPECTION_VERSION)),
    )


def _differences(here: Iterable[Tool], jailed: Equipment) -> list[Finding]:
    """One ERROR for each format that this process and the jailed child do not both have, alike."""
    ours = {clip(tool.name.partition(".")[2]): tool for tool in here if tool.name != "inspection"}
    told_here = {name: "broken" if tool.name.startswith("broken.") else tool.version for name, tool in ours.items()}
    told_there = {clip(tool.name.partition(".")[2]): tool.version for tool in jailed.tools}
    told_there |= {finding.evidence[0].artifact: "broken" for finding in jailed.broken}
    return [
        judgements.unlike_equipment(name, told_here.get(name, ""), told_there.get(name, ""))
        for name in sorted({*told_here, *told_there})
        if told_here.get(name) != told_there.get(name)
    ]


def _equipment(jail: Jail) -> Equipment:
    answer = jail.call(EQUIP, arguments={})
    if isinstance(answer, Stopped):
        raise JailError(f"the jailed child cannot say what it reads: {answer.detail}")
    return wire.decode(Equipment, answer.value)


def _take_in(file: WeighedFile, answer: Completed | Stopped, known: _Account) -> None:
    if isinstance(answer, Completed):
        known.answer_bytes += len(answer.value)
        try:
            return known.add_examined(file, read_examined(answer.value, path=file.path, size_bytes=file.size_bytes))
        except MalformedArtifactError as problem:
            answer = Stopped(reason=StopReason.GARBLED, detail=problem.message)
    reason = f"{_IN_WORDS[answer.reason]} ({answer.detail})"
    known.findings += tame(judgements.not_examined(file.path, reason))
    return known.add_unread(file, reason)


@cache
def _release() -> str:
    from importlib.metadata import version

    return version("weighbridge")
