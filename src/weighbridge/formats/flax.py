"""Flax checkpoints (`flax_model.msgpack`): nested maps in MessagePack whose arrays are extensions of shape, type and bytes.

Nothing in them is code: `msgpack_restore` makes maps, numbers and arrays of numbers. Source: flax 0.12 flax/serialization.py.
"""

from __future__ import annotations

from math import prod

from weighbridge.errors import MalformedArtifactError
from weighbridge.formats.headers.defects import UNJUDGED, Defects, OverLimitError
from weighbridge.formats.headers.layout import SPAN_LIMIT
from weighbridge.formats.headers.msgpack import Kind, Token, Tokens
from weighbridge.formats.reading.contract import Format, Match, Reading, own_name, whole
from weighbridge.formats.reading.source import Source
from weighbridge.formats.reading.spans import Span, complete
from weighbridge.vocabulary import Header, SpanKind, Tensor, clip

_ARRAY, _COMPLEX, _SCALAR = 1, 2, 3
"""Numbers of flax's extensions."""
_DEPTH_LIMIT, _KEY_LIMIT_BYTES, _RANK_LIMIT = 64, 4096, 32
_PEEKED_TOKENS = 64
_OTHER_ARRAY = {b"nd", b"data"}
"""Keys of an array in msgpack-numpy, whose `decode` gives `data` to pickle where `kind` says `O`."""
_OTHER_OBJECTS = (b"O", b"|O")
_MAX_COUNT = 1 << 52
_ITEM_BYTES = {
    **dict.fromkeys(("bool", "int8", "uint8", "int2", "uint2", "int4", "uint4"), 1),
    **dict.fromkeys(("float8_e3m4", "float8_e4m3", "float8_e4m3b11fnuz", "float8_e4m3fn", "float8_e4m3fnuz"), 1),
    **dict.fromkeys(("float8_e5m2", "float8_e5m2fnuz", "float8_e8m0fnu", "float4_e2m1fn"), 1),
    **dict.fromkeys(("int16", "uint16", "float16", "bfloat16"), 2),
    **dict.fromkeys(("int32", "uint32", "float32"), 4),
    **dict.fromkeys(("int64", "uint64", "float64", "complex64"), 8),
    "complex128": 16,
}
"""Bytes of an item by the name of its type, as numpy and ml_dtypes spell it; those of fewer bits take a byte each."""


def sniff(source: Source) -> Match:
    """CERTAIN where the first tokens are maps that come to an array of flax; LIKELY where the name says so of a map."""
    if source.size_bytes < 2:
        return Match.NO
    first = source.head(1)[0]
    if not (0x81 <= first <= 0x8F or first in (0xDE, 0xDF)):
        return Match.NO
    if _comes_to_array(source):
        return Match.CERTAIN
    return Match.LIKELY if own_name(source.path).endswith(".msgpack") else Match.NO


def _comes_to_array(source: Source) -> bool:
    tokens, position = Tokens(source), 0
    try:
        for _ in range(_PEEKED_TOKENS):
            token = tokens.take(position, source.size_bytes)
            if token.kind is Kind.EXTENSION:
                return token.count in (_ARRAY, _SCALAR) and tokens.read(token.start, 1) == b"\x93"
            position = token.end
    except MalformedArtifactError:
        pass
    return False


def read(source: Source) -> Reading:
    """Follow every token; the bytes of arrays are skipped by their length."""
    checkpoint = _Checkpoint(source)
    is_walked = False
    try:
        end = checkpoint.walk()
        if end < source.size_bytes:
            checkpoint.defects.add("flax.trailing", "bytes stand behind the map", f"byte {end}")
        is_walked = True
    except OverLimitError as problem:
        checkpoint.defects.add("flax.limit", problem.message, problem.locator, grade=UNJUDGED)
    except MalformedArtifactError as problem:
        checkpoint.defects.add_error("flax.bounds", problem)
    return checkpoint.judge(end if is_walked else -1)


class _Checkpoint:
    """One file while it is read. `extents` are the bytes of its arrays."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.defects = Defects(source.path)
        self.tokens = Tokens(source)
        self.tensors: list[Tensor] = []
        self.extents: list[tuple[int, int, str]] = []

    def walk(self) -> int:
        """Follow the outermost value; where it ends.

        Raises:
            MalformedArtifactError: it is broken.
            OverLimitError: it has more tokens than are read.
        """
        stop = self.source.size_bytes
        position = 0
        open_maps: list[_Open] = []
        while True:
            while open_maps and not open_maps[-1].left:
                open_maps.pop()
            if position and not open_maps:
                return position
            if open_maps:
                open_maps[-1].left -= 1
                if open_maps[-1].keys is not None:
                    position = self._take_key(open_maps[-1], position, stop)
            token = self.tokens.take(position, stop)
            position = token.end
            if token.kind in (Kind.MAP, Kind.ARRAY):
                if len(open_maps) >= _DEPTH_LIMIT:
                    raise OverLimitError(f"nesting is deeper than {_DEPTH_LIMIT}", locator=f"byte {token.at}")
                name = _path(open_maps)
                open_maps.append(_Open(name, token.count, is_map=token.kind is Kind.MAP))
            else:
                self._take_value(token, _path(open_maps))
                if open_maps and open_maps[-1].key in ("kind", "type") and b"nd" in (open_maps[-1].keys or ()):
                    self._take_kind(token)

    def _take_key(self, inside: _Open, position: int, stop: int) -> int:
        token = self.tokens.take(position, stop)
        if token.kind not in (Kind.TEXT, Kind.BYTES):
            raise MalformedArtifactError("a key is no text", locator=f"byte {token.at}")
        if token.end - token.start > _KEY_LIMIT_BYTES:
            raise OverLimitError("a key is longer than is read", locator=f"byte {token.at}")
        raw = self.tokens.read(token.start, token.end - token.start)
        if inside.keys is not None and raw in inside.keys:
            self.defects.add("flax.duplicate-key", f"the key {clip(raw)!r} stands twice", f"byte {token.at}")
        if inside.keys is not None:
            inside.keys.add(raw)
            if raw in _OTHER_ARRAY and inside.keys >= _OTHER_ARRAY:
                message = "an array as msgpack-numpy writes it, which unpickles those of objects"
                self.defects.add("flax.extension", message, f"byte {token.at}", grade=UNJUDGED)
        inside.key = self._text(raw, token)
        return token.end

    def _text(self, raw: bytes, token: Token) -> str:
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:
            self.defects.add("flax.bounds", "a text is not UTF-8", f"byte {token.at}", excerpt=raw)
            return raw.decode("utf-8", "backslashreplace")

    def _take_kind(self, token: Token) -> None:
        is_short = token.kind in (Kind.TEXT, Kind.BYTES) and token.end - token.start < 8
        if is_short and self.tokens.read(token.start, token.end - token.start) in _OTHER_OBJECTS:
            self.defects.add("flax.extension", "an array of objects, which msgpack-numpy unpickles", f"byte {token.at}")

    def _take_value(self, token: Token, name: str) -> None:
        if token.kind is not Kind.EXTENSION:
            return
        if token.count in (_ARRAY, _SCALAR):
            self._take_array(token, name)
        elif token.count != _COMPLEX:
            message = f"an extension of number {token.count} is none of flax's"
            self.defects.add("flax.extension", message, f"byte {token.at}", grade=UNJUDGED)

    def _take_array(self, token: Token, name: str) -> None:
        """An array inside an extension: its shape, the name of its type, its bytes."""
        outer = self.tokens.take(token.start, token.end)
        if outer.kind is not Kind.ARRAY or outer.count != 3:
            raise MalformedArtifactError("an array is not a shape, a type and bytes", locator=f"byte {token.at}")
        sizes = self.tokens.take(outer.end, token.end)
        if sizes.kind is not Kind.ARRAY or sizes.count > _RANK_LIMIT:
            raise MalformedArtifactError("an array has no sound shape", locator=f"byte {token.at}")
        shape, position = [], sizes.end
        for _ in range(sizes.count):
            length = self.tokens.take(position, token.end)
            if length.kind is not Kind.NUMBER or not 0 <= length.count < _MAX_COUNT:
                raise MalformedArtifactError("an array has no sound shape", locator=f"byte {token.at}")
            shape.append(length.count)
            position = length.end
        dtype = self.tokens.take(position, token.end)
        data = self.tokens.take(dtype.end, token.end)
        if {dtype.kind, data.kind} - {Kind.TEXT, Kind.BYTES} or data.end != token.end or dtype.end - dtype.start > 64:
            raise MalformedArtifactError("an array is not a shape, a type and bytes", locator=f"byte {token.at}")
        self._check(name, self._text(self.tokens.read(dtype.start, dtype.end - dtype.start), dtype), tuple(shape), data)

    def _check(self, name: str, dtype: str, shape: tuple[int, ...], data: Token) -> None:
        size, place = data.end - data.start, f"tensor {name}"
        item = _ITEM_BYTES.get(dtype)
        if item is None:
            self.defects.add("flax.dtype", f"the type {clip(dtype)!r} is not known here", place, grade=UNJUDGED)
        elif prod(shape) * item != size:
            message = f"{clip(name)!r} has {size:,} bytes, its shape and type need {min(prod(shape) * item, 1 << 62):,}"
            self.defects.add("flax.size", message, place)
            return
        self.extents.append((data.start, data.end, name))
        self.tensors.append(Tensor(name=clip(name, 200), dtype=clip(dtype), shape=shape, size_bytes=size))

    def judge(self, end: int) -> Reading:
        """Conclude; `end` is where the map ends, -1 where it could not be followed."""
        weights = sum(last - first for first, last, _ in self.extents)
        count = sum(prod(tensor.shape) for tensor in self.tensors)
        words = f"{len(self.tensors):,} arrays, {count:,} parameters, {weights:,} bytes of weights"
        spans: tuple[Span, ...] = whole(SpanKind.UNREAD, self.source, "it could not be followed to its end")
        if end >= 0:
            spans = complete(self._spans(end), self.source)
        return Reading(
            spans=spans,
            findings=(self.defects.structure("flax.structure", words), *self.defects.findings()),
            header=Header(
                path=self.source.path,
                format="flax",
                parameter_count=min(count, _MAX_COUNT),
                dtypes=tuple(sorted({tensor.dtype for tensor in self.tensors})),
                tensors=tuple(self.tensors),
                weights_bytes=min(weights, _MAX_COUNT),
            ),
        )

    def _spans(self, end: int) -> list[Span]:
        spans: list[Span] = []
        position = 0
        for first, last, name in self.extents[:SPAN_LIMIT]:
            spans.append(Span(start=position, end=first, kind=SpanKind.HEADER, note="names and shapes"))
            spans.append(Span(start=first, end=last, kind=SpanKind.TENSOR, note=f"tensor {clip(name, 80)}"))
            position = last
        return [*spans, Span(start=position, end=end, kind=SpanKind.HEADER, note="names and shapes")]


class _Open:
    """A map or an array that is being read: how many items are left, and the keys that it has so far."""

    __slots__ = ("count", "key", "keys", "left", "name")

    def __init__(self, name: str, left: int, *, is_map: bool) -> None:
        self.name = name
        self.count = self.left = left
        self.keys: set[bytes] | None = set() if is_map else None
        self.key = ""


def _path(open_maps: list[_Open]) -> str:
    """The name of what comes next, by the keys that lead to it."""
    if not open_maps:
        return ""
    inside = open_maps[-1]
    last = inside.key if inside.keys is not None else str(inside.count - inside.left - 1)
    return clip(f"{inside.name}/{last}" if inside.name else last, 400)


FORMAT = Format(
    name="flax",
    title="Flax checkpoint (MessagePack)",
    media_type="application/x-msgpack",
    version=1,
    may_hold_code=False,
    checks=tuple(
        f"flax.{what}"
        for what in ("structure", "bounds", "limit", "duplicate-key", "extension", "dtype", "size", "trailing")
    ),
    references=(
        "https://flax.readthedocs.io/en/stable/api_reference/flax.serialization.html",
        "https://github.com/msgpack/msgpack/blob/master/spec.md",
    ),
    sniff=sniff,
    read=read,
)
