"""GGUF: key-value pairs, tensor infos, padding to the alignment, tensor data. Versions 1 to 3, both byte orders.

Sources: docs/gguf.md of ggml-org/ggml; ggml/src/gguf.cpp of ggml-org/llama.cpp for what the reference loader refuses.
A bounded reader of our own: sizes are Python integers, so the products whose overflow made CVE-2025-53630 and
CVE-2026-27940 are exact here, and a file that holds such a precondition fails whatever loader would take it.
"""

from __future__ import annotations

from itertools import pairwise

from weighbridge.errors import MalformedArtifactError
from weighbridge.formats.headers.defects import EVIDENCE_LIMIT, ODD, UNJUDGED, Defects, OverLimitError
from weighbridge.formats.headers.gguf_cursor import Cursor
from weighbridge.formats.headers.gguf_metadata import PAIR_LIMIT, Metadata, alignment_of, judge_split, read_pairs
from weighbridge.formats.headers.layout import LONGEST_READ_GAP_BYTES, Extent, arrange, leave_unread
from weighbridge.formats.headers.tables import GGML_TYPES
from weighbridge.formats.reading.contract import Format, Match, Reading, own_name
from weighbridge.formats.reading.source import Source
from weighbridge.formats.reading.spans import Span, complete
from weighbridge.vocabulary import Header, Outcome, Severity, SpanKind, Tensor, clip

TENSOR_LIMIT = 20_000
"""Most tensors read; the largest models of 2026 have below 3,000, because the experts of a layer are one tensor here."""

NAME_LIMIT_BYTES = 1024
_LOADER_NAME_BYTES = 63
_LOADER_DIMS = 4
_INT64_MAX = (1 << 63) - 1
_UINT64_MAX = (1 << 64) - 1
_COUNTABLE = (1 << 53) - 1
"""Largest number of a tensor that a header can list; of one beyond it only the findings tell."""
_OVERHEAD_BYTES = 368
"""What llama.cpp keeps in memory beside the numbers of each tensor (ggml_tensor_overhead)."""
_CRITICAL = (Outcome.FAIL, Severity.CRITICAL)
_OVERFLOW = ("CVE-2025-53630", "CVE-2026-27940")


def sniff(source: Source) -> Match:
    """CERTAIN by the magic number."""
    return Match.CERTAIN if source.head(4) == b"GGUF" else Match.NO


def read(source: Source) -> Reading:
    """Judge a GGUF file from its header; tensor data is not read."""
    reader = _Reader(source)
    try:
        reader.parse()
    except OverLimitError as problem:
        reader.defects.add("gguf.limit", problem.message, problem.locator, grade=UNJUDGED)
    except MalformedArtifactError as problem:
        reader.defects.add_error("gguf.bounds", problem)
    return reader.judge()


class _Reader:
    """One file while it is read. Whatever was read when something broke is still reported."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.defects = Defects(source.path)
        self.metadata = Metadata()
        self.tensors: list[Tensor] = []
        self.extents: list[tuple[int, int, str]] = []
        self.offsets: list[int] = []
        self.names: set[str] = set()
        self.parameter_count = 0
        self.claimed_bytes = 0
        self.header_end = 0
        self.alignment = 32
        self.is_complete = False
        self.is_whole = True
        self.version = 0
        self.cursor: Cursor | None = None

    def parse(self) -> None:
        """Read the header from start to end.

        Raises:
            MalformedArtifactError: a count or a length does not fit in the file.
        """
        raw = self.source.read_at(4, 4)
        little, big = int.from_bytes(raw, "little"), int.from_bytes(raw, "big")
        self.version = little if little & 0xFFFF else big
        if self.version not in (1, 2, 3):
            self.defects.add("gguf.version", f"version {self.version} is not known here", "byte 4", grade=UNJUDGED)
            return
        cursor = self.cursor = Cursor(self.source, is_big=self.version != little, is_wide=self.version > 1, start=8)
        size = cursor.count_format.size
        tensors = cursor.length("the number of tensors", each_bytes=size + 16)
        pairs = cursor.length("the number of pairs", each_bytes=size + 5)
        if pairs > PAIR_LIMIT or tensors > TENSOR_LIMIT:
            raise OverLimitError(
                f"{tensors:,} tensors and {pairs:,} pairs, this release reads {TENSOR_LIMIT:,} and {PAIR_LIMIT:,}",
                locator="byte 8",
            )
        read_pairs(cursor, pairs, self.defects, self.metadata)
        self.alignment = alignment_of(self.metadata, self.defects)
        judge_split(own_name(self.source.path), self.metadata, self.defects)
        for _ in range(tensors):
            self.take_tensor(cursor)
        self.header_end = cursor.position
        self.is_complete = True

    def take_tensor(self, cursor: Cursor) -> None:
        """Read one tensor info and check what needs no other."""
        start = cursor.position
        raw = cursor.string("a tensor name", limit=NAME_LIMIT_BYTES)
        name = raw.decode("utf-8", "backslashreplace")
        if name in self.names:
            self.defects.add(
                "gguf.duplicate-tensor", f"tensor {clip(name)!r} stands twice", f"byte {start}", excerpt=raw
            )
        self.names.add(name)
        if len(raw) > _LOADER_NAME_BYTES or not raw or b"\0" in raw:
            message = "a tensor name is empty, over 63 bytes or holds a zero byte"
            self.defects.add("gguf.tensor-name", message, f"byte {start}", grade=ODD, excerpt=raw)
        dims = cursor.word()
        if dims > _LOADER_DIMS:
            raise MalformedArtifactError(
                f"tensor {clip(name)!r} has {dims:,} dimensions, over 4", locator=f"byte {start}"
            )
        if not dims:
            message = f"tensor {clip(name)!r} has no dimensions"
            self.defects.add("gguf.dimensions", message, f"byte {start}", grade=ODD, excerpt=raw)
        *lengths, kind, offset = cursor.shape_and_place(dims)
        shape = tuple(lengths)
        size = self.size_of(name, shape, kind, start)
        block = GGML_TYPES.get(kind)
        dtype = block.name if block else f"type {kind}"
        self.tensors.append(Tensor(name=clip(name), dtype=dtype, shape=shape, size_bytes=size or 0))
        if offset % self.alignment:
            message = f"tensor {clip(name)!r} starts at {offset:,}, which is not aligned to {self.alignment}"
            self.defects.add("gguf.offset", message, f"byte {start}", excerpt=raw)
        self.offsets.append(offset)
        if size is None:
            self.is_whole = False
        else:
            self.extents.append((offset, offset + size, name))

    def size_of(self, name: str, shape: tuple[int, ...], kind: int, start: int) -> int | None:
        """Bytes of a tensor from its shape and type; None where nobody can say."""
        elements, locator = 1, f"byte {start}"
        for length in shape:
            elements *= length
        block = GGML_TYPES.get(kind)
        if any(length == 0 for length in shape):
            message = f"tensor {clip(name)!r} has a dimension of 0"
            grade = (
                (Outcome.FAIL, Severity.HIGH) if 0 in shape[1:] else ODD
            )  # ggml divides by every length but the first
            self.defects.add("gguf.dimensions", message, locator, grade=grade, excerpt=str(shape))
            elements = 0 if max(shape) <= _INT64_MAX else elements
        if max(shape, default=0) > _INT64_MAX or elements > _INT64_MAX:
            message = f"the dimensions of tensor {clip(name)!r} overflow 64 bits"
            self.refuse_overflow(message, locator, str(shape))
            return None
        if block is None:
            message = f"tensor {clip(name)!r} has type {kind}, which is not known here"
            self.defects.add("gguf.tensor-type", message, locator, grade=UNJUDGED)
            return None
        if shape and shape[0] % block.elements:
            message = f"rows of tensor {clip(name)!r} have {shape[0]:,} values, not a multiple of {block.elements} ({block.name})"
            self.defects.add("gguf.dimensions", message, locator, excerpt=str(shape))
            return None
        size = elements // block.elements * block.size_bytes
        self.claimed_bytes += -(-size // self.alignment) * self.alignment
        if size > _INT64_MAX:
            message = f"the size of tensor {clip(name)!r} overflows 64 bits"
            wraps = ", past 64 bits" if size > _UINT64_MAX else ""
            excerpt = f"{shape}: {size:,} bytes{wraps}"
            self.refuse_overflow(message, locator, excerpt)
            return None
        if size <= self.source.size_bytes:
            self.parameter_count += elements
        return size

    def refuse_overflow(self, message: str, locator: str, excerpt: str) -> None:
        """Report sizes that a loader's arithmetic makes small, under the check for all dimensions and under one of their own."""
        for check in ("gguf.dimensions", "gguf.overflow"):
            self.defects.add(check, message, locator, grade=_CRITICAL, excerpt=excerpt, references=_OVERFLOW)

    def check_sum(self) -> None:
        """Whether what a loader adds up over all tensors, aligned and with its own overhead, still fits in 64 bits."""
        kept = self.claimed_bytes + (len(self.tensors) + 1) * _OVERHEAD_BYTES
        if kept <= _UINT64_MAX:
            return
        beside = "" if self.claimed_bytes > _UINT64_MAX else " with what a loader keeps beside them"
        message = f"the sizes of the tensors{beside} add up to more than 64 bits"
        excerpt = f"{self.claimed_bytes:,} bytes together{beside}"
        self.refuse_overflow(message, "byte 8", excerpt)

    def lay_out(self) -> list[Span]:
        """Spans of the tensors; what is wrong with where they lie is noted."""
        first = -(-self.header_end // self.alignment) * self.alignment
        if any(before[0] > after[0] for before, after in pairwise(self.extents)):
            message = "the tensors do not lie in the order in which they are listed, which llama.cpp refuses"
            self.defects.add("gguf.offset", message, f"byte {first}", grade=ODD)
        size_bytes = self.source.size_bytes
        moved: list[Extent] = [(first + start, first + end, name) for start, end, name in self.extents]
        layout = arrange(moved, first=first, size_bytes=size_bytes)
        for name, start in layout.outside[:EVIDENCE_LIMIT]:
            message = f"tensor {clip(name)!r} leaves the file"
            for check in ("gguf.offset", "gguf.outside"):
                self.defects.add(check, message, f"byte {start}", excerpt=name)
        for check in ("gguf.offset", "gguf.outside"):
            self.defects.add_more(check, layout.outside)
        for name, start in layout.overlaps[:EVIDENCE_LIMIT]:
            self.defects.add(
                "gguf.overlap", f"tensor {clip(name)!r} overlaps the one before it", f"byte {start}", excerpt=name
            )
        self.defects.add_more("gguf.overlap", layout.overlaps)
        for start, end in layout.holes:
            padded = -(-start // self.alignment) * self.alignment
            if end > padded and self.is_whole:
                message = f"{end - padded:,} bytes between tensors belong to none"
                self.defects.add("gguf.hole", message, f"byte {padded}", grade=ODD)
        return list(layout.spans)

    def starts(self) -> tuple[int, ...]:
        """Where each tensor starts; nothing where the header is not whole or its numbers are big-endian."""
        if not self.is_complete or self.cursor is None or self.cursor.order == ">":
            return ()
        first = -(-self.header_end // self.alignment) * self.alignment
        return tuple(first + offset for offset in self.offsets)

    def judge(self) -> Reading:
        """Conclude from what was read."""
        end = self.header_end or (self.cursor.position if self.cursor else min(8, self.source.size_bytes))
        spans = [Span(start=0, end=end, kind=SpanKind.HEADER, note="header")]
        if self.is_complete:
            self.check_sum()
            spans += self.lay_out()
        weights_bytes = sum(span.end - span.start for span in spans[1:])
        # Where tensors are missing from the picture, the rest is not unexplained: it was not read.
        longest = LONGEST_READ_GAP_BYTES if self.is_complete and self.is_whole else 0
        spans = leave_unread(spans, size_bytes=self.source.size_bytes, longest=longest)
        words = (
            f"version {self.version}, {len(self.metadata.types):,} pairs, {len(self.tensors):,} tensors, "
            f"{self.parameter_count:,} parameters, {weights_bytes:,} bytes of weights"
        )
        structure = self.defects.structure("gguf.structure", words)
        return Reading(
            spans=complete(spans, self.source),
            findings=(structure, *self.defects.findings()),
            header=Header(
                path=self.source.path,
                format="gguf",
                architecture=clip(self.metadata.text("general.architecture")),
                parameter_count=self.parameter_count,
                dtypes=tuple(sorted({tensor.dtype for tensor in self.tensors})),
                tensors=tuple(t for t in self.tensors if max((t.size_bytes, *t.shape)) <= _COUNTABLE),
                metadata=tuple(self.metadata.facts),
                digests=self.metadata.digests(),
                weights_bytes=weights_bytes,
                cache_bytes_per_token=self.metadata.cache_bytes_per_token(),
            ),
            starts=self.starts(),
        )


FORMAT = Format(
    name="gguf",
    title="GGUF",
    media_type="application/vnd.gguf",
    version=2,
    may_hold_code=False,
    checks=tuple(
        f"gguf.{what}"
        for what in (
            *("structure", "bounds", "limit", "version", "duplicate-key", "duplicate-tensor", "metadata", "alignment"),
            *("tensor-name", "tensor-type", "dimensions", "offset", "overlap", "hole", "hidden-characters", "template"),
            *("split", "outside", "overflow"),
        )
    ),
    references=(
        "https://github.com/ggml-org/ggml/blob/master/docs/gguf.md",
        "https://nvd.nist.gov/vuln/detail/CVE-2025-53630",
        "https://nvd.nist.gov/vuln/detail/CVE-2026-27940",
    ),
    sniff=sniff,
    read=read,
)
