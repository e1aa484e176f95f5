"""Compressed streams (gzip, bzip2, xz, lzma, zlib, and joblib's own zlib container): unfolded within bounds, then examined.

Source: joblib/compressor.py and joblib/numpy_pickle_compat.py (joblib 1.5), which inflate by the first bytes whatever a file is called;
RFC 1950, RFC 1952; the .xz file format 1.2.1.
"""

from __future__ import annotations

import bz2
import lzma
import re
import zlib
from collections.abc import Callable
from typing import Protocol

from weighbridge.errors import MalformedArtifactError
from weighbridge.formats.archives.containers import containers_in
from weighbridge.formats.headers.defects import Defects
from weighbridge.formats.reading.contract import (
    Format,
    Match,
    Part,
    Reading,
    answer_on_load,
    own_name,
    part_path,
    whole,
)
from weighbridge.formats.reading.source import Inflated, Source
from weighbridge.vocabulary import Outcome, Severity, SpanKind

INFLATED_LIMIT_BYTES = 64 << 20
"""Most bytes that one stream is unfolded to."""
_PIECE_BYTES = 1 << 20
_MEMORY_LIMIT_BYTES = 80 << 20
"""Memory that an xz or lzma stream may ask for: its dictionary at the highest preset has 64 MB."""
_RATIO_LIMIT, _RATIO_FREE_BYTES = 200, 4 << 20
_STREAMS_LIMIT = 100
_ZFILE = re.compile(rb"(?=.{21})ZF0x[0-9a-fA-F]{1,16}L? {0,16} ?(?=x)", re.DOTALL)
_ZFILE_ENDS = (21, 22)
"""joblib reads 21 bytes, and one more where that is a space."""
_SUFFIXES = (".gz", ".bz2", ".xz", ".lzma", ".z", ".zlib", ".gzip")


class _Inflater(Protocol):
    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, _max_length: int, /) -> bytes: ...


_KINDS: dict[str, tuple[bytes, Callable[[], _Inflater]]] = {
    "zlib": (b"x", zlib.decompressobj),
    "gzip": (b"\x1f\x8b", lambda: zlib.decompressobj(wbits=31)),
    "bzip2": (b"BZh", bz2.BZ2Decompressor),
    "xz": (b"\xfd7zXZ\x00", lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MEMORY_LIMIT_BYTES)),
    "lzma": (b"\x5d\x00", lambda: lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=_MEMORY_LIMIT_BYTES)),
    "joblib": (b"ZF0x", zlib.decompressobj),
}
_ERRORS = (zlib.error, OSError, lzma.LZMAError, EOFError, ValueError, MemoryError)


def _kind_of(source: Source) -> str:
    """Which kind of stream a file is, as the container detection has it; empty where it is none."""
    found = [name for name in containers_in(source) if name in _KINDS]
    return found[0] if found else ""


def sniff(source: Source) -> Match:
    """CERTAIN where the first bytes unfold."""
    return Match.CERTAIN if _kind_of(source) else Match.NO


def read(source: Source) -> Reading:
    """Unfold the stream; what it holds is examined like a file of its own."""
    kind = _kind_of(source)
    if not kind:
        raise MalformedArtifactError("no stream that is known here unfolds from it", locator="byte 0")
    defects = Defects(source.path)
    try:
        data = _unfold(source, kind)
    except _TooLargeError as problem:
        grade = (Outcome.FAIL if problem.is_bomb else Outcome.UNKNOWN, Severity.HIGH)
        defects.add("compressed.expansion", str(problem), grade=grade)
        data = None
    except MalformedArtifactError as problem:
        defects.add_error("compressed.stream", problem)
        data = None
    if data is None:
        said = "nobody knows what the stream unfolds to"
        unknown = answer_on_load(source, Outcome.UNKNOWN, Severity.HIGH, said)
        found = (defects.structure("compressed.structure", ""), *defects.findings(), unknown)
        return Reading(spans=whole(SpanKind.UNREAD, source, f"a {kind} stream that is not unfolded"), findings=found)
    inner = part_path(source.path, _inner_name(source.path))
    content = data
    part = Part(start=0, end=source.size_bytes, open=lambda: Inflated(content, path=inner, outer=source))
    said = f"a {kind} stream of {source.size_bytes:,} bytes unfolds to {len(data):,}"
    return Reading(
        spans=whole(SpanKind.HEADER, source, f"{kind} stream"),
        findings=(defects.structure("compressed.structure", said),),
        parts=(part,),
    )


def _inner_name(path: str) -> str:
    name = own_name(path)
    return next((name.removesuffix(suffix) for suffix in _SUFFIXES if name.endswith(suffix)), name) or "content"


class _TooLargeError(Exception):
    """The stream unfolds to more than is read; `is_bomb` where it does so from almost nothing."""

    def __init__(self, message: str, *, is_bomb: bool) -> None:
        super().__init__(message)
        self.is_bomb = is_bomb


def _unfold(source: Source, kind: str) -> bytes:
    """Everything that a stream, and those that follow it as gzip and bzip2 allow, unfold to.

    Raises:
        MalformedArtifactError: the stream is broken or cut off, or something stands behind it.
        _TooLargeError: it is more than is read.
    """
    start = 0
    if kind == "joblib":
        found = _ZFILE.match(source.head(64))
        if found is None or found.end() not in _ZFILE_ENDS:
            raise MalformedArtifactError("the length of the container is not one", locator="byte 0")
        start = found.end()
    made: list[bytes] = []
    total, taken, streams = 0, start, 1
    engine = _KINDS[kind][1]()
    rest = b""
    while True:
        if not rest:
            rest = source.read_at(taken, min(_PIECE_BYTES, source.size_bytes - taken))
            taken += len(rest)
        if not rest and not _wants_nothing(engine):
            raise MalformedArtifactError("the stream is cut off", locator=f"byte {taken}")
        try:
            piece = engine.decompress(rest, _PIECE_BYTES)
        except _ERRORS as broken:
            raise MalformedArtifactError("the stream is broken", locator=f"byte {taken - len(rest)}") from broken
        rest = getattr(engine, "unconsumed_tail", b"")
        made.append(piece)
        total += len(piece)
        _check_size(source, taken, total)
        if not engine.eof:
            continue
        rest = engine.unused_data
        rest += source.read_at(taken, min(_PIECE_BYTES, source.size_bytes - taken)) if not rest else b""
        taken = taken if engine.unused_data or not rest else taken + len(rest)
        if not rest or (kind == "gzip" and not rest.strip(b"\0") and taken == source.size_bytes):
            return b"".join(made)
        streams += 1
        if kind not in ("gzip", "bzip2", "xz") or not rest.startswith(_KINDS[kind][0]) or streams > _STREAMS_LIMIT:
            raise MalformedArtifactError("something stands behind the stream", locator=f"byte {taken - len(rest)}")
        engine = _KINDS[kind][1]()


def _wants_nothing(engine: _Inflater) -> bool:
    """Whether a bzip2 or lzma engine still has output of what it was given."""
    return not getattr(engine, "needs_input", True)


def _check_size(source: Source, taken: int, total: int) -> None:
    if total > _RATIO_FREE_BYTES and total > max(taken, 64) * _RATIO_LIMIT:
        raise _TooLargeError(f"{taken:,} bytes unfold to more than {_RATIO_LIMIT} times as many", is_bomb=True)
    if total > INFLATED_LIMIT_BYTES:
        message = f"{source.size_bytes:,} bytes unfold to more than {INFLATED_LIMIT_BYTES:,}, which is not read"
        raise _TooLargeError(message, is_bomb=False)


FORMAT = Format(
    name="compressed",
    title="compressed stream (gzip, bzip2, xz, lzma, zlib)",
    media_type="application/octet-stream",
    version=1,
    may_hold_code=True,
    containers=tuple(_KINDS),
    checks=("compressed.structure", "compressed.stream", "compressed.expansion", "code.on-load"),
    references=("https://joblib.readthedocs.io/en/stable/generated/joblib.dump.html",),
    sniff=sniff,
    read=read,
)
