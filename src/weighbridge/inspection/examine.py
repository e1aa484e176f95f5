"""Examining one file inside the jail: which format it is, what its reader says, and where its bytes went.

Two tasks for `jail.Jail`: `examine` for every file and `equip` once a model. Formats are found before the lockdown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from weighbridge.errors import MalformedArtifactError
from weighbridge.formats.archives.containers import containers_in
from weighbridge.formats.reading.contract import Format, Match, Reading, whole
from weighbridge.formats.reading.source import Source
from weighbridge.formats.reading.spans import account
from weighbridge.inspection import judgements
from weighbridge.inspection.examined import FALLBACK, Equipment, Examined, require_countable
from weighbridge.inspection.parts import Inner, Room, examine_parts
from weighbridge.plugins import BrokenUnit, Units, find_units
from weighbridge.registry import wire
from weighbridge.vocabulary import Finding, Header, SpanKind, Tool, Unread, clip

TENSOR_LIMIT = 100_000
"""Most tensors of one header that are kept."""


_Result = tuple[Reading, tuple[Finding, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Choice:
    """The formats that read a file, the first of which accounts for it, and how sure they are.

    `sure` are those whose match is the best; the others may run what they find all the same.
    """

    formats: tuple[Format, ...]
    sure: tuple[Format, ...]
    match: Match
    findings: tuple[Finding, ...]

    @property
    def is_fallback(self) -> bool:
        """Whether nothing but the format of unrecognised files speaks for it."""
        return all(unit.name == FALLBACK for unit in self.formats)


_UNPREPARED = (ArithmeticError, AttributeError, ImportError, LookupError, OSError, RuntimeError, TypeError, ValueError)


@cache
def _formats() -> Units[Format]:
    """Every format, its tables read; one that cannot get ready is a broken one."""
    units = find_units("formats", Format)
    ready: dict[str, Format] = {}
    broken = list(units.broken)
    for name, unit in units.found.items():
        try:
            unit.prepare()
        except _UNPREPARED as problem:
            broken.append(BrokenUnit(name=name, reason=f"it could not get ready: {_said(problem)}"))
        else:
            ready[name] = unit
    return Units(found=ready, broken=tuple(broken))


def prepare() -> None:
    """Load every format and its tables; the jail calls it before it locks itself in."""
    _formats()
    wire.encode(Examined(readers=(), account=account(()), findings=()))


def equip(_fd: int, _arguments: Mapping[str, Any]) -> bytes:
    """What can be read here, as JSON of Equipment."""
    units = _formats()
    tools = tuple(Tool(name=f"format.{name}", version=str(unit.version)) for name, unit in units.found.items())
    return wire.encode(Equipment(tools=tools, broken=tuple(map(judgements.broken_unit, units.broken))))


def examine(fd: int, arguments: Mapping[str, Any]) -> bytes:
    """Examine the open file `fd`, named by `path` and `size_bytes`; JSON of Examined."""
    source = Source(fd, path=arguments["path"], size_bytes=arguments["size_bytes"])
    return encode_examined(examine_source(source, _formats().found), source)


def examine_source(source: Source, formats: Mapping[str, Format]) -> Examined:
    """Let the formats decide whose file it is, have it read, and add up the bytes.

    Where two are CERTAIN, or two are LIKELY and none is CERTAIN, all of them read it and every finding is kept, and so is what
    a LIKELY format that may hold code finds beside a CERTAIN one: a file that is two things at once is judged as both. What
    lies inside an archive is examined in the same way.
    """
    seen = _look(source, formats, Room())
    spans = seen.inner.spans
    return Examined(
        readers=seen.readers,
        account=account(spans),
        findings=(*seen.inner.findings, *judgements.cut_headers(seen.inner.headers, TENSOR_LIMIT)),
        headers=tuple(replace(header, tensors=header.tensors[:TENSOR_LIMIT]) for header in seen.inner.headers),
        unread=tuple(
            Unread(path=source.path, size_bytes=span.end - span.start, reason=clip(span.note) or "not examined")
            for span in spans
            if span.kind is SpanKind.UNREAD
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """One file, or one inside it: the names of the formats that read it, and what they found."""

    readers: tuple[str, ...]
    inner: Inner


def _look(source: Source, formats: Mapping[str, Format], room: Room) -> _Seen:
    choice = _choose(source, formats)
    results = [_read(unit, source) for unit in choice.formats]
    findings = [*choice.findings, judgements.recognised(source.path, choice.formats, choice.match)]
    if len(results) > 1:
        findings.append(judgements.ambiguous(source.path, choice.formats, choice.match))
    expected = {name for unit in choice.sure for name in unit.containers}
    others = set() if choice.is_fallback else set(containers_in(source)) - expected
    if others:
        findings.append(judgements.second_container(source.path, choice.formats, sorted(others)))
    for reading, complaint in results:
        findings += [*reading.findings, *complaint]
    findings += _on_load(source, choice.formats, results)
    headers = [reading.header for reading, _ in results if reading.header]
    spans = results[0][0].spans if results else whole(SpanKind.UNREAD, source, "no format could be tried")
    for number, (reading, _) in enumerate(results):
        if not reading.parts:
            continue
        inside = examine_parts(source, reading, room, lambda part, left: _look(part, formats, left).inner)
        spans = inside.spans if number == 0 else spans
        findings += inside.findings
        headers += inside.headers
    findings.append(judgements.accounted(source, spans))
    return _Seen(
        readers=tuple(unit.name for unit in choice.formats) or (FALLBACK,),
        inner=Inner(spans=spans, findings=tuple(findings), headers=tuple(headers)),
    )


def encode_examined(examined: Examined, source: Source) -> bytes:
    """JSON of the words of a reader; where they cannot be written (lone surrogates, endless numbers), of an ERROR instead."""
    try:
        return wire.encode(examined)
    except (UnicodeEncodeError, OverflowError, TypeError, ValueError, RecursionError) as problem:
        name = examined.readers[0]
        spans = whole(SpanKind.UNREAD, source, "its reader broke")
        findings = (
            judgements.reader_broke(source.path, name, f"it gave what is no JSON: {type(problem).__name__}"),
            judgements.nobody_knows_code(source.path, (), is_read=False),
            judgements.accounted(source, spans),
        )
        unread = Unread(path=source.path, size_bytes=source.size_bytes, reason="its reader broke")
        return wire.encode(
            Examined(readers=examined.readers, account=account(spans), findings=findings, unread=(unread,))
        )


def _choose(source: Source, formats: Mapping[str, Format]) -> _Choice:
    matches: dict[str, Match] = {}
    findings: list[Finding] = []
    for name, unit in formats.items():
        try:
            matches[name] = unit.sniff(source)
        except MalformedArtifactError:
            matches[name] = Match.NO
        except MemoryError:
            raise
        except Exception as problem:  # noqa: BLE001  # the unit boundary: a sniff that breaks becomes an ERROR finding
            findings.append(judgements.reader_broke(source.path, name, f"sniffing: {_said(problem)}"))
    best = max(matches.values(), key=lambda match: match.value, default=Match.NO)
    names = [name for name, match in matches.items() if match is best and (match is not Match.NO or name == FALLBACK)]
    if best is Match.CERTAIN:  # a magic number does not keep another loader from running what it finds
        names += [name for name, match in matches.items() if match is Match.LIKELY and formats[name].may_hold_code]
    if best is Match.FALLBACK:
        names = sorted(names, key=lambda name: name == FALLBACK)[:1]
    chosen = sorted((formats[name] for name in names), key=lambda unit: (not unit.may_hold_code, unit.name))
    if not chosen and FALLBACK in formats:
        chosen = [formats[FALLBACK]]
    sure = tuple(unit for unit in chosen if matches.get(unit.name) is best)
    match = best if len(sure) == len(chosen) else Match.LIKELY
    return _Choice(formats=tuple(chosen), sure=sure, match=match, findings=tuple(findings))


def _read(unit: Format, source: Source) -> _Result:
    """What a reader says, and a complaint where it could not be believed: then every byte counts as unread."""
    try:
        reading = unit.read(source)
        _require_sound(reading, source)
    except MalformedArtifactError as problem:
        return _nothing(source, "it is malformed"), (judgements.malformed(source.path, unit.name, problem),)
    except MemoryError:
        raise
    except Exception as problem:  # noqa: BLE001  # the unit boundary: a reader that breaks becomes an ERROR finding
        return _nothing(source, "its reader broke"), (judgements.reader_broke(source.path, unit.name, _said(problem)),)
    return reading, ()


def _on_load(source: Source, formats: Sequence[Format], results: Sequence[_Result]) -> list[Finding]:
    """What inspection adds about code: nothing where every reader of a format that may hold code spoke of it.

    The reader of an archive speaks of it by its parts, each of which gets an answer of its own.
    """
    spoke = [
        bool(reading.parts) or any(finding.check == judgements.ON_LOAD for finding in reading.findings)
        for reading, _ in results
    ]
    silent = [
        unit
        for unit, (_, complaint), has_spoken in zip(formats, results, spoke, strict=True)
        if complaint or (unit.may_hold_code and not has_spoken)
    ]
    if silent or not formats:
        return [judgements.nobody_knows_code(source.path, silent, is_read=not any(c for _, c in results))]
    return [] if any(spoke) else [judgements.holds_no_code(source.path, formats)]


def _nothing(source: Source, note: str) -> Reading:
    return Reading(spans=whole(SpanKind.UNREAD, source, note))


def _require_sound(reading: Reading, source: Source) -> None:
    """A reader's spans are sorted, without gap or overlap, from byte 0 to the end of the file; its numbers are countable."""
    position, borders = 0, {0}
    for span in reading.spans:
        if span.start != position or span.end <= span.start:
            raise ValueError(f"its spans do not meet at byte {position}")
        position = span.end
        borders.add(position)
    if position != source.size_bytes:
        raise ValueError(f"its spans end at byte {position} of {source.size_bytes}")
    position = 0
    for part in reading.parts:
        if not position <= part.start <= part.end or not {part.start, part.end} <= borders:
            raise ValueError(f"its parts are not in order, or not on the borders of its spans, at byte {part.start}")
        position = part.end
    header = reading.header
    if header is None:
        return
    if not isinstance(header, Header):
        raise TypeError("its header is not a Header")
    require_countable(header)


def _said(problem: Exception) -> str:
    return clip(f"{type(problem).__name__}: {problem}")
