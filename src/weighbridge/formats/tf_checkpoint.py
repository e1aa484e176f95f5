"""The index of a TensorFlow checkpoint: which tensors it has, and where in its shards each lies. It holds no numbers and no code.

Source: tensorflow/core/protobuf/tensor_bundle.proto, tensorflow/core/util/tensor_bundle/tensor_bundle.cc.
"""

from __future__ import annotations

import tomllib
from functools import cache
from typing import Any

from weighbridge.errors import MalformedArtifactError
from weighbridge.formats.graphs.leveldb import FOOTER_BYTES, MAGIC, Entry, read_table
from weighbridge.formats.graphs.messages import Messages, data_text, schema
from weighbridge.formats.graphs.tensors import TENSOR_LIMIT
from weighbridge.formats.headers.defects import ODD, UNJUDGED, Defects, OverLimitError
from weighbridge.formats.headers.protobuf import Wire
from weighbridge.formats.reading.contract import Format, Match, Reading, whole
from weighbridge.formats.reading.source import Source
from weighbridge.vocabulary import Fact, Header, SpanKind, Tensor, clip

_RANK_LIMIT = 64
_FIELD_LIMIT = 200_000
_INT64_MAX = (1 << 63) - 1
_SHARD_LIMIT = 100_000
_GAP_BYTES = 4096
"""A smaller gap is alignment."""

_SLICE = b"\0"


@cache
def element_types() -> dict[int, tuple[str, int]]:
    """Name and bytes of an element, by type number."""
    table = tomllib.loads(data_text("tensorflow_types.toml"))
    return {int(number): (name, size) for number, (name, size) in table.items()}


def sniff(source: Source) -> Match:
    """CERTAIN by the magic number at the end."""
    if source.size_bytes < FOOTER_BYTES:
        return Match.NO
    is_table = source.read_at(source.size_bytes - len(MAGIC), len(MAGIC)) == MAGIC
    return Match.CERTAIN if is_table else Match.NO


def read(source: Source) -> Reading:
    """List the tensors, each held against the others and against its type."""
    index = _Index(source)
    is_walked = False
    try:
        index.read(read_table(source))
        is_walked = True
    except OverLimitError as problem:
        index.defects.add("tf_checkpoint.limit", clip(problem.message), problem.locator, grade=UNJUDGED)
    except MalformedArtifactError as problem:
        index.defects.add_error("tf_checkpoint.bounds", problem)
    return index.judge(is_walked=is_walked)


class _Index:
    """One index while it is read."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.defects = Defects(source.path)
        wire = Wire(source, field_limit=_FIELD_LIMIT)
        self.messages = Messages(wire, schema("tensorflow"), self.defects, prefix="tf_checkpoint")
        self.shards = 0
        self.tensors: list[Tensor] = []
        self.places: list[tuple[int, int, int, str]] = []
        self.count = 0
        self.elements = 0
        self.facts: list[Fact] = []

    def read(self, entries: list[Entry]) -> None:
        """Take the header and the tensors.

        Raises:
            MalformedArtifactError: a value is not of the wire format.
        """
        if not entries or entries[0].key:
            message = "a LevelDB table without the header of a checkpoint; nobody here knows what it holds"
            self.defects.add("tf_checkpoint.header", message, "byte 0", grade=UNJUDGED)
            return
        self._take_header(entries[0])
        for entry in entries[1:]:
            self._take_tensor(entry)
        self._require_apart()

    def _take_header(self, entry: Entry) -> None:
        header = self.messages.take("BundleHeaderProto", (entry.start, entry.end))
        self.shards = header.get("num_shards", [0])[0]
        if not 1 <= self.shards <= _SHARD_LIMIT:
            self.defects.add("tf_checkpoint.header", f"it has {self.shards} shards", f"byte {entry.start}")
        if header.get("endianness", [0])[0] not in (0, 1):
            self.defects.add("tf_checkpoint.header", "its byte order is none", f"byte {entry.start}")
        for version in header.get("version", ()):
            self.messages.take("VersionDef", version)
        self.facts.append(Fact(name="tf_checkpoint.shards", value=str(self.shards)))

    def _take_tensor(self, entry: Entry) -> None:
        fields = self.messages.take("BundleEntryProto", (entry.start, entry.end))
        name, locator = clip(entry.key.decode("utf-8", "backslashreplace")), f"byte {entry.start}"
        kind = fields.get("dtype", [0])[0]
        if kind not in element_types():
            message = f"tensor {name!r} has type {kind}, which is unknown"
            self.defects.add("tf_checkpoint.tensor-type", message, locator, grade=UNJUDGED)
            return
        type_name, width = element_types()[kind]
        shape = self._shape(fields, name, locator)
        elements = 1
        for length in shape:
            elements *= length
        if elements > _INT64_MAX:
            self.defects.add("tf_checkpoint.dimensions", f"the dimensions of tensor {name!r} overflow 64 bits", locator)
            elements = 0
        offset, size = fields.get("offset", [0])[0], fields.get("size", [0])[0]
        shard = fields.get("shard_id", [0])[0]
        if shard >= self.shards or offset + size > _INT64_MAX:
            message = f"tensor {name!r} lies in shard {shard} at {offset:,}, where nothing can be"
            self.defects.add("tf_checkpoint.place", message, locator)
        is_sliced = bool(fields.get("slices"))
        self._take_slices(fields)
        asked = 0 if is_sliced else elements * width
        if size != asked if width or is_sliced else size < elements:
            message = f"tensor {name!r} has {size:,} bytes where its dimensions ask for {asked or elements:,}"
            self.defects.add("tf_checkpoint.tensor-bytes", message, locator)
        self.places.append((shard, offset, offset + size, name))
        if not entry.key.startswith(_SLICE):  # a slice is part of a tensor that is listed
            self.count += 1
            self.elements += elements if width else 0
            if len(self.tensors) < TENSOR_LIMIT:
                self.tensors.append(Tensor(name=name, dtype=type_name, shape=tuple(shape), size_bytes=size))

    def _shape(self, fields: dict[str, list[Any]], name: str, locator: str) -> list[int]:
        lengths: list[int] = []
        for place in fields.get("shape", ()):
            shape = self.messages.take("TensorShapeProto", place)
            dims = shape.get("dim", ())
            if len(dims) > _RANK_LIMIT or shape.get("unknown_rank", [0])[0]:
                self.defects.add("tf_checkpoint.dimensions", f"the rank of tensor {name!r} is none", locator)
                continue
            sizes = (self.messages.take("TensorShapeProto.Dim", dim) for dim in dims)
            lengths += [size.get("size", [0])[0] for size in sizes]
        if any(length > _INT64_MAX for length in lengths):
            self.defects.add("tf_checkpoint.dimensions", f"a dimension of tensor {name!r} is negative", locator)
            return [0]
        return lengths

    def _take_slices(self, fields: dict[str, list[Any]]) -> None:
        for place in fields.get("slices", ()):
            for extent in self.messages.take("TensorSliceProto", place).get("extent", ()):
                self.messages.take("TensorSliceProto.Extent", extent)

    def _require_apart(self) -> None:
        """No tensor lies on another; a gap in a shard is odd."""
        reached: dict[int, tuple[int, str]] = {}
        for shard, start, end, name in sorted(self.places):
            last, other = reached.get(shard, (0, ""))
            if start < end and start < last:
                message = f"tensors {other!r} and {name!r} lie on each other"
                self.defects.add("tf_checkpoint.overlap", message, f"tensor {name}")
            elif start - last >= _GAP_BYTES and start < end:
                message = f"{start - last:,} bytes before tensor {name!r} of its shard belong to no tensor"
                self.defects.add("tf_checkpoint.gap", message, f"tensor {name}", grade=ODD)
            if end > last:
                reached[shard] = (end, name)

    def judge(self, *, is_walked: bool) -> Reading:
        """Conclude from what was read."""
        words = f"{self.count:,} tensors in {self.shards:,} shards"
        kind, note = (SpanKind.HEADER, "index") if is_walked else (SpanKind.UNREAD, "it could not be read to its end")
        return Reading(
            spans=whole(kind, self.source, note),
            findings=(self.defects.structure("tf_checkpoint.structure", words), *self.defects.findings()),
            header=Header(
                path=self.source.path,
                format="tf_checkpoint",
                parameter_count=self.elements,
                dtypes=tuple(sorted({tensor.dtype for tensor in self.tensors})),
                tensors=tuple(self.tensors),
                metadata=tuple(self.facts),
                weights_bytes=sum(tensor.size_bytes for tensor in self.tensors),
            ),
        )


def _prepare() -> None:
    schema("tensorflow")
    element_types()


FORMAT = Format(
    name="tf_checkpoint",
    title="TensorFlow checkpoint index",
    media_type="application/x-tensorflow-checkpoint",
    version=1,
    may_hold_code=False,
    checks=tuple(
        f"tf_checkpoint.{what}"
        for what in (
            *("structure", "bounds", "limit", "field", "header", "tensor-type", "dimensions", "place"),
            *("tensor-bytes", "overlap", "gap"),
        )
    ),
    references=("https://github.com/google/leveldb/blob/main/doc/table_format.md",),
    sniff=sniff,
    read=read,
    prepare=_prepare,
)
