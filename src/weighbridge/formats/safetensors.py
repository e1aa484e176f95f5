"""safetensors: eight bytes of length, a JSON header, then the bytes of the tensors and nothing else.

Everything about such a file follows from arithmetic on its header, so a file of any size is judged without reading its
tensors. The loaders refuse holes, overlaps and tails; so does this reader, and it says where.
"""

from __future__ import annotations

import re
from typing import Any

from weighbridge.errors import MalformedArtifactError
from weighbridge.formats.headers.defects import DEFECT_LIMIT, EVIDENCE_LIMIT, ODD, UNJUDGED, Defects, OverLimitError
from weighbridge.formats.headers.layout import LONGEST_READ_GAP_BYTES, Extent, Layout, arrange, bounded, leave_unread
from weighbridge.formats.headers.strict_json import PlainMembers, load, survey, text_of
from weighbridge.formats.headers.tables import DTYPE_BITS
from weighbridge.formats.reading.contract import Format, Match, Reading, whole
from weighbridge.formats.reading.source import Source
from weighbridge.formats.reading.spans import Span, complete
from weighbridge.vocabulary import Fact, Header, SpanKind, Tensor, clip

HEADER_LIMIT_BYTES = 100_000_000
"""The format's own limit (MAX_HEADER_SIZE in safetensors/src/tensor.rs)."""

READ_LIMIT_BYTES = 16 << 20
"""What this reader takes. Real headers end below 4 MB; more would cost memory beyond the bound."""

TENSOR_LIMIT = 50_000
"""Most tensors read, which takes half a second; adapters of every expert of a mixture come to 37,000."""

KEY_LIMIT = 100_000
_SHORT_NAME = 100
ENTRY_LIMIT_BYTES = 4096
METADATA_LIMIT_BYTES = 2 << 20
RANK_LIMIT = 64
_METADATA_LIMIT = 256
_MAX_COUNT = (1 << 64) - 1
_START = re.compile(rb'\s*\{\s*(?:\}|"(?:[^"\\]|\\.){0,4000}"\s*:\s*\{\s*(?:\}|"(?:dtype|shape|data_offsets)"))')
_METADATA_START = re.compile(rb'\s*\{\s*"__metadata__"\s*:')
_NUMBER = rb"(?:0|[1-9][0-9]{0,17})"
_USUAL = re.compile(
    rb'[ \t\r\n]*+(?!"__metadata__")("[^"\\\x00-\x1f]{0,1000}")[ \t\r\n]*+:[ \t\r\n]*+'
    rb'\{"dtype": ?"([A-Z0-9_]{1,16})", ?"shape": ?\[((?:%b(?:, ?%b){0,7})?)\], ?"data_offsets": ?\[(%b), ?(%b)\]\}[ \t\r\n]*+,'
    % (_NUMBER, _NUMBER, _NUMBER, _NUMBER)
)
"""A tensor as every writer spells it: name, dtype, lengths, start, end."""

_Entry = tuple[str, tuple[int, ...], int, int, bool]
"""Dtype, shape, start and end of a tensor's bytes, and whether the entry holds other fields."""

_FIELDS = {"dtype", "shape", "data_offsets"}


def sniff(source: Source) -> Match:
    """CERTAIN where a header of the right shape fits the file; LIKELY where its length does not (cut short, or a lie)."""
    if source.size_bytes < 10:
        return Match.NO
    head = source.head(8 + 8192)
    length = int.from_bytes(head[:8], "little")
    if length >= 1 << 48 or not (_START.match(head, 8) or _METADATA_START.match(head, 8)):
        return Match.NO
    return Match.CERTAIN if 2 <= length <= min(HEADER_LIMIT_BYTES, source.size_bytes - 8) else Match.LIKELY


def read(source: Source) -> Reading:
    """Judge a safetensors file from its header alone."""
    defects = Defects(source.path)
    try:
        length, raw = _read_header(source)
        header = _Header(source, defects, first=8 + length)
        header.parse(raw)
    except OverLimitError as problem:
        defects.add("safetensors.limit", problem.message, problem.locator, grade=UNJUDGED)
        raw = b""
    except MalformedArtifactError as problem:
        defects.add_error("safetensors.header", problem)
        raw = b""
    if not raw:
        spans = whole(SpanKind.UNREAD, source, "no header could be read")
        return Reading(spans=spans, findings=(defects.structure("safetensors.structure", ""), *defects.findings()))
    return header.judge()


def _read_header(source: Source) -> tuple[int, bytes]:
    if source.size_bytes < 8:
        raise MalformedArtifactError("the file is shorter than the length of its header", locator="byte 0")
    length = int.from_bytes(source.read_at(0, 8), "little")
    if length > HEADER_LIMIT_BYTES:
        raise MalformedArtifactError(
            f"the header claims {length:,} bytes, the format allows 100,000,000", locator="byte 0"
        )
    if length > source.size_bytes - 8:
        raise MalformedArtifactError(
            f"the header claims {length:,} bytes, the file has {source.size_bytes - 8:,}", locator="byte 0"
        )
    if length > READ_LIMIT_BYTES:
        raise OverLimitError(
            f"the header is {length:,} bytes, this release reads {READ_LIMIT_BYTES:,}", locator="byte 0"
        )
    raw = source.read_at(8, length)
    if raw[:1] != b"{":
        raise MalformedArtifactError("the header does not start with an opening brace", locator="byte 8")
    return length, raw


class _Header:
    """One header while it is read: tensors, metadata and what is wrong with them."""

    def __init__(self, source: Source, defects: Defects, *, first: int) -> None:
        self.source = source
        self.defects = defects
        self.first = first
        self.raw = b""
        self.tensors: list[Tensor] = []
        self.extents: list[Extent] = []
        self.metadata: list[Fact] = []
        self.shapes: dict[bytes, tuple[int, ...]] = {}
        self.parameter_count = 0
        self.work = 0
        self.is_complete = True

    def parse(self, raw: bytes) -> None:
        """Walk the JSON once.

        Raises:
            MalformedArtifactError: it is not JSON, or not an object and nothing but spaces behind it.
        """
        self.raw = raw
        try:
            raw.decode("utf-8")
        except UnicodeDecodeError as problem:
            raise MalformedArtifactError("the header is not UTF-8", locator=f"byte {8 + problem.start}") from problem
        try:
            result = survey(
                raw, key_limit=KEY_LIMIT, on_member=self.member, plain=PlainMembers(pattern=_USUAL, on_match=self.usual)
            )
        except MalformedArtifactError as problem:
            offset = int(problem.locator.removeprefix("byte ") or 0)
            raise type(problem)(problem.message, locator=f"byte {8 + offset}") from problem
        if result.end != len(raw):
            raise MalformedArtifactError("something stands behind the header's JSON", locator=f"byte {8 + result.end}")
        for duplicate in result.duplicates:
            message = f"the name {clip(duplicate.key)!r} stands twice, so loaders may disagree about what it is"
            self.defects.add("safetensors.duplicate-name", message, f"byte {8 + duplicate.offset}")
        self.raw = b""

    def member(self, token: bytes, start: int, end: int) -> None:
        """Take one member of the header: a tensor or the metadata."""
        if token == b'"__metadata__"' or (b"\\" in token and text_of(token) == "__metadata__"):
            if end - start > METADATA_LIMIT_BYTES:
                raise OverLimitError(f"the metadata is over {METADATA_LIMIT_BYTES:,} bytes", locator=f"byte {start}")
            self.take_metadata(load(self.raw[start:end]), start)
            return
        name = text_of(token)
        self.weigh(name, start, usual=False)
        # A minus is never right in an entry, and readers differ about -0.
        raw = self.raw[start : min(end, start + ENTRY_LIMIT_BYTES)]
        is_readable = end - start <= ENTRY_LIMIT_BYTES and b"-" not in raw
        self.take_tensor(name, _entry_of(load(raw)) if is_readable else None, 8 + start)

    def usual(self, match: re.Match[bytes]) -> None:
        """Take a tensor in the spelling that every writer uses, without building JSON."""
        token, dtype, lengths, start, end = match.groups()
        name = token[1:-1].decode()
        self.weigh(name, match.start(1), usual=True)
        shape = self.shapes.get(lengths)
        if shape is None:
            shape = self.shapes[lengths] = tuple(map(int, lengths.split(b","))) if lengths else ()
        self.take_tensor(name, (dtype.decode(), shape, int(start), int(end), False), 8 + match.start(1))

    def weigh(self, name: str, position: int, *, usual: bool) -> None:
        """Count a tensor by the time it takes: odd names and spellings take longer.

        Raises:
            OverLimitError: that was enough of them, or of what is wrong with them.
        """
        is_plain = len(name) <= _SHORT_NAME and name.isprintable()
        self.work += (1 if usual else 2) + (0 if is_plain else len(name) // 4)
        if self.work > TENSOR_LIMIT:
            message = f"the header lists more than {TENSOR_LIMIT:,} tensors, or fewer that are spelled oddly"
            raise OverLimitError(message, locator=f"byte {position}")
        if self.defects.total > DEFECT_LIMIT:
            raise OverLimitError(f"more than {DEFECT_LIMIT:,} entries are not sound", locator=f"byte {position}")

    def take_metadata(self, value: Any, start: int) -> None:
        if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
            self.defects.add("safetensors.metadata", "__metadata__ is not a map of text to text", f"byte {8 + start}")
            return
        items = list(value.items())
        self.metadata = [Fact(name=clip(name), value=clip(text)) for name, text in items[:_METADATA_LIMIT]]

    def take_tensor(self, name: str, entry: _Entry | None, offset: int) -> None:
        """Check one entry by itself; where it lies is judged when all are there."""
        if entry is None:
            message = f"the entry of {clip(name)!r} is not a dtype, a shape and two offsets"
            self.defects.add("safetensors.entry", message, f"byte {offset}")
            self.is_complete = False
            return
        dtype, shape, start, end, has_more = entry
        if has_more:
            self.defects.add(
                "safetensors.unknown-field",
                f"the entry of {clip(name)!r} holds other fields",
                f"byte {offset}",
                grade=ODD,
            )
        elements = self.check_size(name, dtype, shape, end - start)
        self.parameter_count += elements
        self.tensors.append(Tensor(name=clip(name), dtype=clip(dtype), shape=shape, size_bytes=max(end - start, 0)))
        self.extents.append((self.first + start, self.first + end, name))
        if end < start:
            self.defects.add("safetensors.offsets", f"tensor {clip(name)!r} ends before it starts", f"tensor {name}")

    def check_size(self, name: str, dtype: str, shape: tuple[int, ...], size_bytes: int) -> int:
        """Compare shape and dtype with the size; the number of elements, 0 where they cannot be."""
        bits = DTYPE_BITS.get(dtype)
        elements = _product(shape)
        if bits is None:
            self.defects.add(
                "safetensors.unknown-dtype",
                f"dtype {clip(dtype)!r} is not known here",
                f"tensor {name}",
                grade=UNJUDGED,
            )
        elif elements is None or elements * bits > _MAX_COUNT:
            message = f"the shape of tensor {clip(name)!r} overflows 64 bits"
            self.defects.add("safetensors.size", message, f"tensor {name}", excerpt=str(shape[:8]))
            return 0
        elif elements * bits != size_bytes * 8:
            message = (
                f"tensor {clip(name)!r} has {size_bytes:,} bytes, its shape and dtype need {elements * bits / 8:,.10g}"
            )
            self.defects.add("safetensors.size", message, f"tensor {name}", excerpt=f"{dtype} {shape[:8]}")
            return 0
        return elements if elements is not None and elements <= size_bytes * 8 else 0

    def check_layout(self, layout: Layout) -> None:
        """Note what is wrong with where the tensors lie: the first places, and how many there are."""
        tail = ((layout.end, self.source.size_bytes),) if layout.end < self.source.size_bytes else ()
        holes = (*layout.holes, *tail) if self.is_complete else ()
        for name, start in layout.overlaps[:EVIDENCE_LIMIT]:
            message = f"tensor {clip(name)!r} overlaps the one before it"
            self.defects.add("safetensors.overlap", message, f"byte {start}", excerpt=name)
        for name, start in layout.outside[:EVIDENCE_LIMIT]:
            message = f"tensor {clip(name)!r} leaves the file"
            self.defects.add("safetensors.offsets", message, f"byte {start}", excerpt=name)
        for start, end in holes[:EVIDENCE_LIMIT]:
            message = f"{end - start:,} bytes belong to no tensor"
            self.defects.add("safetensors.hole", message, f"byte {start}", grade=ODD)
        self.defects.add_more("safetensors.overlap", layout.overlaps)
        self.defects.add_more("safetensors.offsets", layout.outside)
        self.defects.add_more("safetensors.hole", holes, grade=ODD)

    def judge(self) -> Reading:
        """Lay the tensors out and conclude."""
        size_bytes = self.source.size_bytes
        layout = arrange(self.extents, first=self.first, size_bytes=size_bytes)
        self.check_layout(layout)
        spans = [Span(start=0, end=self.first, kind=SpanKind.HEADER, note="length and header"), *bounded(layout)]
        longest = LONGEST_READ_GAP_BYTES if self.is_complete else 0
        spans = leave_unread(spans, size_bytes=size_bytes, longest=longest)
        weights_bytes = sum(span.end - span.start for span in layout.spans)
        words = f"{len(self.tensors):,} tensors, {self.parameter_count:,} parameters, {weights_bytes:,} bytes of weights, no gap"
        structure = self.defects.structure("safetensors.structure", words)
        return Reading(
            spans=complete(spans, self.source),
            findings=(structure, *self.defects.findings()),
            header=Header(
                path=self.source.path,
                format="safetensors",
                parameter_count=self.parameter_count,
                dtypes=tuple(sorted({tensor.dtype for tensor in self.tensors})),
                tensors=tuple(self.tensors),
                metadata=tuple(self.metadata),
                weights_bytes=weights_bytes,
            ),
            starts=tuple(start for start, _, _ in self.extents),
        )


def _entry_of(value: Any) -> _Entry | None:
    """What an entry says, or None where it is not one. Booleans and 1.0 are not integers here."""
    if not isinstance(value, dict) or not value.keys() >= _FIELDS:
        return None
    dtype, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
    if not (isinstance(dtype, str) and isinstance(shape, list) and isinstance(offsets, list) and len(offsets) == 2):
        return None
    if len(shape) > RANK_LIMIT or not all(type(n) is int and 0 <= n <= _MAX_COUNT for n in (*shape, *offsets)):
        return None
    return dtype, tuple(shape), offsets[0], offsets[1], len(value) > len(_FIELDS)


def _product(shape: tuple[int, ...]) -> int | None:
    """Elements of a shape, None where a loader's 64-bit product overflows on the way."""
    elements = 1
    for length in shape:
        elements *= length
        if elements > _MAX_COUNT:
            return None
    return elements


FORMAT = Format(
    name="safetensors",
    title="safetensors",
    media_type="application/vnd.safetensors",
    version=1,
    may_hold_code=False,
    checks=tuple(
        f"safetensors.{what}"
        for what in (
            *("structure", "header", "limit", "duplicate-name", "metadata", "entry", "unknown-field", "unknown-dtype"),
            *("size", "offsets", "overlap", "hole"),
        )
    ),
    references=("https://github.com/huggingface/safetensors#format",),
    sniff=sniff,
    read=read,
)
