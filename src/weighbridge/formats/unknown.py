"""What no other unit recognises. Nothing is read, so nothing is clean; a magic number, or a name, says what it looks like."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from weighbridge.formats.headers.tables import FOREIGN_MODELS, MAGIC, PROMISES
from weighbridge.formats.reading.contract import Format, Match, Reading, own_name, whole
from weighbridge.formats.reading.source import Source
from weighbridge.formats.reading.spans import Span
from weighbridge.vocabulary import Evidence, Finding, Outcome, Severity, SpanKind

_HEAD_BYTES = 1024
_ZEROS_LIMIT_BYTES = 64 << 20
_BLOCK_BYTES = 1 << 20


def sniff(source: Source) -> Match:
    """CERTAIN of text that a runtime takes for a program; otherwise never: inspection turns here when nobody else claims a file."""
    name = own_name(source.path)
    is_program = any(model.is_text and model.fits(name, source.head(_HEAD_BYTES)) for model in FOREIGN_MODELS)
    return Match.CERTAIN if is_program else Match.NO


def read(source: Source) -> Reading:
    """Account for every byte as unread, or as padding where the file is nothing but zeros."""
    if _is_zeros(source):
        message = f"{source.size_bytes:,} zero bytes, nothing to read" if source.size_bytes else "an empty file"
        finding = _finding(source, Outcome.NOT_APPLICABLE, Severity.INFO, message)
        spans: tuple[Span, ...] = whole(SpanKind.PADDING, source, "zeros")
        return Reading(spans=spans, findings=(finding,))
    head, name = source.head(_HEAD_BYTES), own_name(source.path)
    says = recognise(head, name)
    looks = f"looks like {says}" if says else "is of no kind that is known here"
    message = f"{looks}; this release cannot read it, so its {source.size_bytes:,} bytes are not examined"
    finding = _finding(source, Outcome.UNKNOWN, Severity.HIGH, message)
    spans = whole(SpanKind.UNREAD, source, says or "no known kind")
    return Reading(spans=spans, findings=(finding, *_refusals(source, head, name, says)))


def _refusals(source: Source, head: bytes, name: str, says: str) -> Iterator[Finding]:
    """A program among the files of a model, and a name that promises what the bytes are not."""
    if any(magic.is_program and magic.pattern.match(head, magic.offset) for magic in MAGIC):
        message = f"looks like {says}: it runs where somebody starts or loads it, and no model needs it"
        yield _finding(source, Outcome.FAIL, Severity.HIGH, message, check="unknown.program")
    promised = PROMISES.get(PurePosixPath(name).suffix)
    if promised:
        message = f"is named as {promised} and is none: it is damaged, encrypted, or hides something else"
        yield _finding(source, Outcome.FAIL, Severity.HIGH, message, check="unknown.misnamed")


def recognise(head: bytes, name: str) -> str:
    """What the first kilobyte looks like, as `an HDF5 file`, or a model's file of this name; empty where nothing fits."""
    found = next((magic.says for magic in MAGIC if magic.pattern.match(head, magic.offset)), "")
    return found or next((model.says for model in FOREIGN_MODELS if model.fits(name, head)), "")


def _finding(
    source: Source, outcome: Outcome, severity: Severity, message: str, check: str = "unknown.format"
) -> Finding:
    place = Evidence(artifact=source.path, locator="byte 0", excerpt=source.head(16).hex(" "))
    return Finding(check=check, outcome=outcome, severity=severity, message=message, evidence=(place,))


def _is_zeros(source: Source) -> bool:
    """Whether all bytes are zero; a file over the limit is not read to find out."""
    if source.size_bytes > _ZEROS_LIMIT_BYTES:
        return False
    blocks = range(0, source.size_bytes, _BLOCK_BYTES)
    return not any(source.read_at(at, min(_BLOCK_BYTES, source.size_bytes - at)).strip(b"\0") for at in blocks)


FORMAT = Format(
    name="unknown",
    title="anything else",
    media_type="application/octet-stream",
    version=3,
    may_hold_code=True,
    checks=("unknown.format", "unknown.program", "unknown.misnamed"),
    references=(),
    sniff=sniff,
    read=read,
)
