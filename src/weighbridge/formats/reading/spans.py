"""Byte accounting: a file as spans of header, tensor, padding, unexplained and unread bytes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from weighbridge.errors import MalformedArtifactError
from weighbridge.formats.reading.source import Source
from weighbridge.vocabulary import ByteAccount, SpanKind

_SCAN_BYTES = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Bytes `start` up to, not including, `end` of one file. `note` says what they are: `tensor NAME`, `central directory`."""

    start: int
    end: int
    kind: SpanKind
    note: str = ""


def complete(claimed: Iterable[Span], source: Source) -> tuple[Span, ...]:
    """Sort the claimed spans and fill every gap: zero bytes become PADDING, others UNEXPLAINED.

    Empty spans are dropped. Bytes in gaps are read (a gap longer than the source's read budget ends UNREAD).

    Raises:
        MalformedArtifactError: two claimed spans overlap, or one leaves the file.
    """
    spans: list[Span] = []
    position = 0
    for span in sorted((s for s in claimed if s.end > s.start), key=lambda s: (s.start, s.end)):
        if span.start < position or span.end > source.size_bytes:
            problem = "overlaps what lies before it" if span.start < position else "leaves the file"
            raise MalformedArtifactError(f"{span.note or span.kind.value} {problem}", locator=f"byte {span.start}")
        spans += _gap(source, position, span.start)
        spans.append(span)
        position = span.end
    return tuple(spans + _gap(source, position, source.size_bytes))


def account(spans: Iterable[Span]) -> ByteAccount:
    """Add up spans by kind."""
    sums = dict.fromkeys(SpanKind, 0)
    for span in spans:
        sums[span.kind] += span.end - span.start
    return ByteAccount(
        header_bytes=sums[SpanKind.HEADER],
        tensor_bytes=sums[SpanKind.TENSOR],
        padding_bytes=sums[SpanKind.PADDING],
        unexplained_bytes=sums[SpanKind.UNEXPLAINED],
        unread_bytes=sums[SpanKind.UNREAD],
    )


def _gap(source: Source, start: int, end: int) -> list[Span]:
    """Classify unclaimed bytes: leading zeros, then everything from the first non-zero byte to the last one, then zeros."""
    if start >= end:
        return []
    if end - start > source.budget_left_bytes:
        return [Span(start=start, end=end, kind=SpanKind.UNREAD, note="longer than the read budget")]
    first = last = -1
    for offset in range(start, end, _SCAN_BYTES):
        block = source.read_at(offset, min(_SCAN_BYTES, end - offset))
        if first < 0 and (stripped := block.lstrip(b"\0")):
            first = offset + len(block) - len(stripped)
        if stripped := block.rstrip(b"\0"):
            last = offset + len(stripped)
    if first < 0:
        return [Span(start=start, end=end, kind=SpanKind.PADDING, note="zeros")]
    parts = [
        Span(start=start, end=first, kind=SpanKind.PADDING, note="zeros"),
        Span(start=first, end=last, kind=SpanKind.UNEXPLAINED, note="belongs to nothing"),
        Span(start=last, end=end, kind=SpanKind.PADDING, note="zeros"),
    ]
    return [part for part in parts if part.end > part.start]
