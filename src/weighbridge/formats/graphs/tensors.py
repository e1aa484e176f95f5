"""Spans of a file of messages: the bytes of tensors, everything else is header."""

from __future__ import annotations

from collections.abc import Sequence

from weighbridge.formats.headers.layout import SPAN_LIMIT
from weighbridge.formats.reading.source import Source
from weighbridge.formats.reading.spans import Span
from weighbridge.vocabulary import SpanKind, clip

TENSOR_LIMIT = 20_000
"""Most tensors of one graph that are listed."""


def tile(
    extents: list[tuple[int, int, str]], source: Source, note: str, *, borders: Sequence[tuple[int, int]] = ()
) -> tuple[Span, ...]:
    """The whole file as tensor extents, which do not overlap, and header between them, with a span of its own for each border.

    Beyond SPAN_LIMIT of the extents all is header.
    """
    spans: list[Span] = []
    position = 0
    claimed = [
        (start, end, SpanKind.TENSOR, f"tensor {clip(name, 80)}") for start, end, name in sorted(extents[:SPAN_LIMIT])
    ]
    claimed += [(start, end, SpanKind.HEADER, note) for start, end in borders]
    for start, end, kind, words in sorted(claimed, key=lambda claim: claim[:2]):
        if start > position:
            spans.append(Span(start=position, end=start, kind=SpanKind.HEADER, note=note))
        if end > start:
            spans.append(Span(start=start, end=end, kind=kind, note=words))
        position = end
    if position < source.size_bytes:
        spans.append(Span(start=position, end=source.size_bytes, kind=SpanKind.HEADER, note=note))
    return tuple(spans)
