"""What a format unit is, and what it gives back.

A unit is one file in `weighbridge/formats/` with a module-level `FORMAT`. `sniff` decides from content alone; `read`
examines one file and accounts for every byte of it. Both run inside the jail, on input that is hostile.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from pathlib import PurePosixPath

from weighbridge.formats.reading.source import Source
from weighbridge.formats.reading.spans import Span
from weighbridge.vocabulary import Evidence, Finding, Header, Outcome, Severity, SpanKind, clip


class Match(Enum):
    """How sure a format is that a file is its own, judged by content.

    NO: it cannot be. FALLBACK: nothing speaks against it (plain text, unknown). LIKELY: the shape fits, without a magic
    number. CERTAIN: a magic number or a structure that nothing else has. The highest wins; two CERTAIN formats on one file
    make it ambiguous, which is a finding of its own.
    """

    NO = 0
    FALLBACK = 1
    LIKELY = 2
    CERTAIN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A file inside a file: a member of an archive, or what a compressed stream unfolds to.

    `start` and `end` are the bytes of the outer file that it comes from; the reader's spans have a border at both. `open` gives
    the content, whose path is made by `part_path`; it is called once, when the part's turn comes, and may raise
    MalformedArtifactError. Where the content is as long as `end - start` it is those very bytes.
    """

    start: int
    end: int
    open: Callable[[], Source] = field(compare=False)


def part_path(outer: str, name: str) -> str:
    """How a file inside `outer` is spelled, as `model.nemo!model_config.yaml`."""
    return f"{outer}!{clip(name, 120)}"


def own_name(path: str) -> str:
    """The name that a file has by itself, in lower case: the last part of its path, inside whatever archive it lies."""
    return PurePosixPath(path.rpartition("!")[2]).name.lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What one reader learned from one file.

    `spans` cover the file exactly: sorted, without gap or overlap, from byte 0 to its end (`spans.complete` fills what a
    reader did not claim). `header` is None where the format says nothing about a model. `parts` are the files inside, in the
    order of their bytes and without overlap: inspection examines each with every format, and takes over where their bytes went
    and whether loading them runs code.
    """

    spans: tuple[Span, ...]
    findings: tuple[Finding, ...] = ()
    header: Header | None = None
    parts: tuple[Part, ...] = ()


def _nothing() -> None:
    """What a unit without tables prepares."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """One file format.

    `version` grows whenever a reader may answer differently, and is part of a decision's idempotency key. `may_hold_code`
    says whether loading such a file can run code. `checks` are the ids of every finding the unit can give.
    `sniff(source)` reads little; `read(source)` may raise MalformedArtifactError, which becomes a FAIL finding
    `<name>.structure` with every byte unread; findings made before are then lost, so a reader that has some returns them.
    `containers` are those of `formats.archives.containers` that such a file is itself; any other one found in it is a second
    thing to load. `prepare()` reads whatever tables of its own the unit needs and keeps them: it is called once before the lockdown, after
    which no file can be opened and nothing imported. A unit whose `prepare` raises counts as one that failed to load.
    """

    name: str
    title: str
    media_type: str
    version: int
    may_hold_code: bool
    checks: tuple[str, ...]
    references: tuple[str, ...]
    sniff: Callable[[Source], Match]
    read: Callable[[Source], Reading]
    containers: tuple[str, ...] = ()
    prepare: Callable[[], None] = _nothing


def whole(kind: SpanKind, source: Source, note: str) -> tuple[Span, ...]:
    """One span over the whole of `source`; none for an empty file."""
    return (Span(start=0, end=source.size_bytes, kind=kind, note=note),) if source.size_bytes else ()


def answer_on_load(source: Source, outcome: Outcome, severity: Severity, message: str) -> Finding:
    """What a reader answers about the whole of a file: whether loading it runs code."""
    evidence = (Evidence(artifact=source.path),)
    return Finding(check="code.on-load", outcome=outcome, severity=severity, message=message, evidence=evidence)
