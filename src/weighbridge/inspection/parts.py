"""The files inside a file: members of archives and what compressed streams unfold to, each examined like a file of its own.

The reader of an archive says where its members lie; here they are opened one by one, to a depth, a number and an amount of
inflated bytes, and where their bytes went is written into the account of the file that holds them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from weighbridge.errors import MalformedArtifactError
from weighbridge.formats.reading.contract import Part, Reading
from weighbridge.formats.reading.source import Source
from weighbridge.formats.reading.spans import Span
from weighbridge.inspection import judgements
from weighbridge.vocabulary import Finding, Header, SpanKind, clip

DEPTH_LIMIT = 4
"""Archives inside archives that are opened."""
PART_LIMIT = 2_000
"""Files inside one file, at any depth, that are examined; the others stay unread."""
INFLATED_LIMIT_BYTES = 128 << 20
"""Bytes that one file may unfold to, at all depths together."""

_WORST = (SpanKind.UNEXPLAINED, SpanKind.UNREAD)


@dataclass(slots=True)
class Room:
    """What may still be opened inside one file."""

    depth: int = DEPTH_LIMIT
    parts: int = PART_LIMIT
    inflated_bytes: int = INFLATED_LIMIT_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner:
    """What one file inside another turned out to be: the spans of its content, and all that was found in it."""

    spans: tuple[Span, ...]
    findings: tuple[Finding, ...]
    headers: tuple[Header, ...] = ()


@dataclass(slots=True, kw_only=True)
class Inside:
    """What lies inside one file, put together; `spans` are those of the file itself, with its parts accounted for."""

    spans: tuple[Span, ...]
    findings: list[Finding] = field(default_factory=list)
    headers: list[Header] = field(default_factory=list)


def examine_parts(outer: Source, reading: Reading, room: Room, examine: Callable[[Source, Room], Inner]) -> Inside:
    """Open every part of a reading and let `examine` say what it is."""
    inside = Inside(spans=())
    replaced: list[tuple[Part, tuple[Span, ...]]] = []
    for number, part in enumerate(reading.parts):
        if reason := _no_room(part, room):
            inside.findings.append(judgements.parts_left(outer.path, len(reading.parts) - number, reason))
            inside.findings.append(judgements.nobody_knows_code(outer.path, (), is_read=False))
            replaced += [(left, _unread(left, reason)) for left in reading.parts[number:]]
            break
        replaced.append((part, _examine_part(outer, part, room, examine, inside)))
    inside.spans = _graft(reading.spans, replaced)
    return inside


def _no_room(part: Part, room: Room) -> str:
    if room.depth <= 0:
        return f"archives are opened to a depth of {DEPTH_LIMIT}"
    if room.parts <= 0:
        return f"{PART_LIMIT:,} files inside one file are examined"
    if room.inflated_bytes <= 0 and part.end > part.start:
        return f"one file may unfold to {INFLATED_LIMIT_BYTES:,} bytes"
    return ""


def _examine_part(
    outer: Source, part: Part, room: Room, examine: Callable[[Source, Room], Inner], inside: Inside
) -> tuple[Span, ...]:
    room.parts -= 1
    try:
        content = part.open()
    except MalformedArtifactError as problem:
        inside.findings += judgements.part_broken(outer.path, problem)
        return _unread(part, "it cannot be opened")
    if content.size_bytes != part.end - part.start:
        room.inflated_bytes -= content.size_bytes
    room.depth -= 1
    try:
        inner = examine(content, room)
    finally:
        room.depth += 1
    inside.findings += inner.findings
    inside.headers += inner.headers
    return _spans_of(part, content, inner.spans)


def _spans_of(part: Part, content: Source, spans: Sequence[Span]) -> tuple[Span, ...]:
    """The spans of a part in the bytes of the outer file: shifted where it lies there as it is, else one as bad as the worst."""
    name = clip(content.path.rpartition("!")[2], 80)
    if content.size_bytes == part.end - part.start:
        return tuple(
            Span(start=s.start + part.start, end=s.end + part.start, kind=s.kind, note=clip(f"{name}: {s.note}"))
            for s in spans
        )
    if part.start == part.end:
        return ()
    worst = next((span for kind in _WORST for span in spans if span.kind is kind), None)
    if worst is None:
        kinds = {span.kind for span in spans}
        kind = SpanKind.TENSOR if SpanKind.TENSOR in kinds else SpanKind.HEADER
        return (Span(start=part.start, end=part.end, kind=kind, note=f"{name}, compressed"),)
    return (Span(start=part.start, end=part.end, kind=worst.kind, note=clip(f"{name}: {worst.note}")),)


def _unread(part: Part, reason: str) -> tuple[Span, ...]:
    return (Span(start=part.start, end=part.end, kind=SpanKind.UNREAD, note=reason),) if part.end > part.start else ()


def _graft(spans: Sequence[Span], replaced: list[tuple[Part, tuple[Span, ...]]]) -> tuple[Span, ...]:
    """The spans with those of the parts in place of what the reader said of the same bytes.

    Raises:
        ValueError: parts overlap, are not in order, or have no borders among the spans.
    """
    found: list[Span] = []
    waiting = [item for item in replaced if item[0].end > item[0].start]
    position = 0
    for span in spans:
        if span.start < position:
            continue
        if waiting and waiting[0][0].start == span.start:
            part, inner = waiting.pop(0)
            found += inner
            position = part.end
            continue
        found.append(span)
        position = span.end
    if waiting:
        raise ValueError("its parts do not lie on the borders of its spans")
    return tuple(found)
