"""Where tensors lie in a file: overlaps, holes and what leaves the file, by arithmetic on their extents alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from weighbridge.formats.reading.spans import Span
from weighbridge.vocabulary import SpanKind, clip

LONGEST_READ_GAP_BYTES = 128 << 20
"""A longer gap is left unread: reading it would take longer than any real padding deserves."""

_SPANS_BY_NAME = 1024
"""Up to this many tensors each gets a span of its own; beyond, neighbours share one, to bound memory."""

SPAN_LIMIT = 20_000
"""Most stretches of tensors of one file that are accounted for one by one."""

Extent = tuple[int, int, str]
"""Start, end (not included) and name of one tensor's bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Tensor extents in order of the file.

    `spans` do not overlap and stay inside: an extent that overlaps keeps only what lies behind the one before it.
    `overlaps` and `outside` name the tensors, `holes` are stretches between `first` and the last tensor that belong to none.
    """

    spans: tuple[Span, ...]
    overlaps: tuple[tuple[str, int], ...]
    outside: tuple[tuple[str, int], ...]
    holes: tuple[tuple[int, int], ...]
    end: int


def arrange(extents: Iterable[Extent], *, first: int, size_bytes: int) -> Layout:
    """Lay tensors out over bytes `first` up to `size_bytes`. Tensors without bytes take no room and cannot overlap."""
    overlaps, outside, holes = [], [], []
    runs: list[Extent] = []
    position = first
    ordered = sorted(extents)
    by_name = len(ordered) <= _SPANS_BY_NAME
    for start, end, name in ordered:
        if end > size_bytes or start < first:
            outside.append((name, start))
        start, end = max(start, first), min(end, size_bytes)  # noqa: PLW2901  # only what lies inside counts from here
        if end <= start:
            continue
        if start > position:
            holes.append((position, start))
        elif start < position:
            overlaps.append((name, start))
        if end <= position:
            continue
        _extend(runs, (max(start, position), end, name), by_name=by_name)
        position = end
    spans = tuple(Span(start=s, end=e, kind=SpanKind.TENSOR, note=_note(n, by_name=by_name)) for s, e, n in runs)
    return Layout(spans=spans, overlaps=tuple(overlaps), outside=tuple(outside), holes=tuple(holes), end=position)


def bounded(layout: Layout) -> tuple[Span, ...]:
    """The spans of a layout, or one unread span over all of them where a file of holes has more than SPAN_LIMIT."""
    spans = layout.spans
    if len(spans) <= SPAN_LIMIT:
        return spans
    note = f"{len(spans):,} tensors with holes between them"
    return (Span(start=spans[0].start, end=spans[-1].end, kind=SpanKind.UNREAD, note=note),)


def leave_unread(spans: Iterable[Span], *, size_bytes: int, longest: int = LONGEST_READ_GAP_BYTES) -> list[Span]:
    """The spans in order, and an UNREAD one for every gap longer than `longest`; shorter ones are left to be read."""
    kept: list[Span] = []
    position = 0
    end_mark = Span(start=size_bytes, end=size_bytes, kind=SpanKind.UNREAD)
    for span in (*spans, end_mark):
        if span.start - position > longest:
            kept.append(Span(start=position, end=span.start, kind=SpanKind.UNREAD, note="not examined"))
        if span.end > span.start:
            kept.append(span)
        position = span.end
    return kept


def _extend(runs: list[Extent], extent: Extent, *, by_name: bool) -> None:
    if not by_name and runs and runs[-1][1] == extent[0]:
        runs[-1] = (runs[-1][0], extent[1], runs[-1][2])
    else:
        runs.append(extent)


def _note(name: str, *, by_name: bool) -> str:
    return f"tensor {clip(name)}" if by_name else f"tensors from {clip(name)}"
