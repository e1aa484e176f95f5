"""Decoding of every opcode of pickle protocols 0 to 5, bounded by the file.

The opcodes and their arguments are those of CPython's `Lib/pickletools.py` (3.11, protocol 5), written again so that no
argument is ever larger in memory than a few hundred bytes: longer text and bytes become a `Blob` and are skipped. Where
loaders are known to read an argument differently (integers with underscores, text with escapes) the argument is refused or
its value is left open. Nothing but MalformedArtifactError, IndexError, struct.error and ValueError leaves a reader; the
machine turns the last three into the first.

To find out whether a file of another format is a pickle too, a lenient cursor takes every spelling that some loader takes: what
one of them reads must not be missed because another would stop.
"""

from __future__ import annotations

import codecs
import math
import re
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from weighbridge.errors import MalformedArtifactError
from weighbridge.formats.pickling.known_texts import LONGEST_BYTES, is_template
from weighbridge.formats.pickling.values import Blob
from weighbridge.formats.reading.source import Source

WINDOW_BYTES = 1 << 18
"""How much of the file is held at once."""
KEPT_BYTES = 256
"""Longest text or bytes kept as a value; module names and attribute names are shorter."""
PAYLOAD_BYTES = 4096
"""Bytes from this size on are weights or other opaque data in the byte account."""
LINE_BYTES = 1 << 16
"""Longest line whose text is decoded; a longer one is passed over."""
TEXT_BYTES = 64 << 20
"""How much long text of one stream is decoded to see that it is valid; the rest is passed over."""
_LOOKAHEAD_BYTES = 16
_OPAQUE = ("bytes", "bytearray", "string")
_INTEGER = re.compile(rb"-?(0|[1-9][0-9]{0,400})\Z")
_INDEX = re.compile(rb"[0-9]{1,18}\Z")
_FLOAT = re.compile(rb"-?(?:[0-9]{1,400}\.?[0-9]{0,400}|\.[0-9]{1,400})(?:[eE][+-]?[0-9]{1,5})?\Z")
_ENDLESS = (b"nan", b"inf", b"-inf")
_BAD_ESCAPE = re.compile(rb"(?<!\\)(?:\\\\)*\\(?:x(?![0-9a-fA-F]{2})|\Z)")
_Utf8 = codecs.getincrementaldecoder("utf-8")  # looked up here: a jail may open no module


class Cursor:
    """A moving window over one file, from `start` up to `end`.

    `at` is the index of the next byte in `data`, `base` the offset of `data[0]`. Up to `limit` at least 16 bytes of lookahead
    are in the window, so that fixed-size arguments need no check; at the end of the file they raise struct.error or IndexError.
    `payloads` are stretches of opaque bytes, `nested` those that begin like a pickle. `is_lenient`: numbers may be spelled as
    any loader takes them.
    """

    __slots__ = ("at", "base", "data", "end", "is_lenient", "limit", "nested", "payloads", "source", "text_left")

    def __init__(self, source: Source, *, start: int = 0, end: int | None = None, is_lenient: bool = False) -> None:
        self.source = source
        self.is_lenient = is_lenient
        self.end = source.size_bytes if end is None else end
        self.base = start
        self.at = 0
        self.data = b""
        self.limit = 0
        self.payloads: list[tuple[int, int]] = []
        self.nested: list[tuple[int, int]] = []
        self.text_left = TEXT_BYTES

    @property
    def offset(self) -> int:
        """Where the next byte lies in the file."""
        return self.base + self.at

    def refill(self) -> None:
        """Move the window so that it starts at the next byte."""
        offset = self.base + self.at
        self.data = self.source.read_at(offset, min(WINDOW_BYTES, max(self.end - offset, 0)))
        self.base, self.at = offset, 0
        is_last = offset + len(self.data) >= self.end
        self.limit = len(self.data) if is_last else len(self.data) - _LOOKAHEAD_BYTES

    def take(self, size_bytes: int) -> bytes:
        """The next `size_bytes` bytes, which fit a window."""
        if self.at + size_bytes > len(self.data):
            self._require(size_bytes)
            self.refill()
        piece = self.data[self.at : self.at + size_bytes]
        self.at += size_bytes
        return piece

    def skip(self, size_bytes: int) -> None:
        """Pass over bytes without holding them."""
        self._require(size_bytes)
        self.at += size_bytes
        if self.at > self.limit:
            self.refill()

    def line(self, kept_bytes: int = 1024) -> bytes | None:
        """The bytes before the next newline, or None where they are more than `kept_bytes`, which are passed over.

        At the end of the file a line without newline loses its last byte, as in CPython's pickle.py, which goes on to import
        the name it got that way.
        """
        found = self.data.find(b"\n", self.at)
        if found < 0:
            self.refill()
            found = self.data.find(b"\n")
        if 0 <= found <= self.at + kept_bytes:
            piece = self.data[self.at : found]
            self.at = found + 1
            return piece
        while found < 0:
            if self.base + len(self.data) >= self.end:
                piece = self.data[self.at : len(self.data) - 1]
                self.at = len(self.data)
                return piece if len(piece) <= kept_bytes else None
            self.at = len(self.data)
            self.refill()
            found = self.data.find(b"\n")
        self.at = found + 1
        return None

    def _require(self, size_bytes: int) -> None:
        if size_bytes < 0 or self.base + self.at + size_bytes > self.end:
            raise MalformedArtifactError(
                f"an argument of {size_bytes} bytes leaves the stream", locator=f"byte {self.offset}"
            )


Reader = Callable[[Cursor], Any]


def _fixed(layout: str) -> Reader:
    unpack_from, size = struct.Struct(layout).unpack_from, struct.calcsize(layout)

    def read(cursor: Cursor) -> Any:
        (value,) = unpack_from(cursor.data, cursor.at)
        cursor.at += size
        return value

    return read


def _byte(cursor: Cursor) -> int:
    value = cursor.data[cursor.at]
    cursor.at += 1
    return value


def _long_value(cursor: Cursor, kind: str, size_bytes: int) -> Blob:
    start = cursor.offset
    cursor._require(size_bytes)  # noqa: SLF001  # same module
    blob = Blob(kind, start, size_bytes, cursor.data[cursor.at : cursor.at + 128])
    cursor.skip(size_bytes)
    if kind in _OPAQUE:
        if size_bytes >= PAYLOAD_BYTES:
            cursor.payloads.append((start, start + size_bytes))
        if blob.head[:1] == b"\x80":
            cursor.nested.append((start, size_bytes))
    return blob


def _long_text(cursor: Cursor, size_bytes: int) -> Blob:
    """Text that is not kept: decoded piece by piece, because a loader stops at what is not UTF-8."""
    if size_bytes > cursor.text_left:
        return _long_value(cursor, "str", size_bytes)
    cursor.text_left -= size_bytes
    start, left, characters, head, decoder = cursor.offset, size_bytes, 0, b"", _Utf8("surrogatepass")
    cursor._require(size_bytes)  # noqa: SLF001  # same module
    is_known = False
    while left:
        piece = cursor.take(min(left, WINDOW_BYTES))
        is_known = size_bytes <= LONGEST_BYTES and is_template(piece)
        head = head or piece[:128]
        left -= len(piece)
        characters += len(decoder.decode(piece, final=not left))
    made = Blob("str", start, size_bytes, head, characters=characters)
    made.is_known = is_known
    return made


def _bytes(length: Reader) -> Reader:
    def read(cursor: Cursor) -> Any:
        size_bytes = length(cursor)
        if size_bytes > KEPT_BYTES:
            return _long_value(cursor, "bytes", size_bytes)
        value = cursor.take(size_bytes)
        if value[:1] == b"\x80":
            cursor.nested.append((cursor.offset - size_bytes, size_bytes))
        return value

    return read


def _bytearray(cursor: Cursor) -> Blob:
    return _long_value(cursor, "bytearray", _U8(cursor))


def _text(length: Reader) -> Reader:
    def read(cursor: Cursor) -> Any:
        size_bytes = length(cursor)
        if size_bytes > KEPT_BYTES:
            return _long_text(cursor, size_bytes)
        return cursor.take(size_bytes).decode("utf-8", "surrogatepass")

    return read


def _string(length: Reader) -> Reader:
    def read(cursor: Cursor) -> Any:
        size_bytes = length(cursor)
        if size_bytes < 0 or size_bytes > KEPT_BYTES:
            return _long_value(cursor, "string", size_bytes)
        start, raw = cursor.offset, cursor.take(size_bytes)
        return raw.decode("ascii") if raw.isascii() else Blob("string", start, size_bytes, raw[:128])

    return read


def _quoted(cursor: Cursor) -> Any:
    start, raw = cursor.offset, cursor.line(LINE_BYTES)
    if raw is None:
        return Blob("string", start, -1)
    if len(raw) < 2 or raw[0] != raw[-1] or raw[0] not in b"\"'":
        raise MalformedArtifactError("the text of STRING is not in quotes", locator=f"byte {start}")
    inner = raw[1:-1]
    if _BAD_ESCAPE.search(inner):
        raise MalformedArtifactError("the text of STRING holds a broken escape", locator=f"byte {start}")
    is_kept = len(inner) <= KEPT_BYTES and inner.isascii() and b"\\" not in inner
    return inner.decode("ascii") if is_kept else Blob("string", start, -1, inner[:128])


def _unicode_line(cursor: Cursor) -> Any:
    start, raw = cursor.offset, cursor.line(LINE_BYTES)
    if raw is None:
        return Blob("str", start, -1)
    text = raw.decode("raw-unicode-escape")
    return text if len(text) <= KEPT_BYTES else Blob("str", start, -1, raw[:128], characters=len(text))


def _short_line(cursor: Cursor) -> bytes:
    start, raw = cursor.offset, cursor.line()
    if raw is None:
        raise MalformedArtifactError("a line is longer than any name or number", locator=f"byte {start}")
    return raw


def _integer(raw: bytes, cursor: Cursor, spelling: re.Pattern[bytes] = _INTEGER) -> int:
    if not spelling.match(raw):
        raise MalformedArtifactError(
            "a number is spelled in a way loaders disagree on", locator=f"byte {cursor.offset}"
        )
    return int(raw)


def _loose_number(cursor: Cursor, *, convert: Callable[[bytes], Any]) -> Any:
    """What some loader makes of a line: C stops at a zero byte and skips space, a line too long to be looked at may be anything."""
    raw = cursor.line()
    return 0 if raw is None else convert(raw.partition(b"\0")[0])


def _loose_integer(raw: bytes) -> int:
    """As strtol or int() reads it, in whichever base: decimal, octal with a leading zero, or with a prefix."""
    digits = raw.removesuffix(b"L")
    for base in (0, 8):
        with suppress(ValueError):
            return int(digits, base)
    return int(digits)


def _int_line(cursor: Cursor) -> int:
    if cursor.is_lenient:
        return int(_loose_number(cursor, convert=_loose_integer))
    raw = _short_line(cursor)
    return raw == b"01" if raw in (b"00", b"01") else _integer(raw, cursor)


def _long_line(cursor: Cursor) -> int:
    if cursor.is_lenient:
        return int(_loose_number(cursor, convert=_loose_integer))
    return _integer(_short_line(cursor).removesuffix(b"L"), cursor)


def _index_line(cursor: Cursor) -> int:
    if cursor.is_lenient:
        return int(_loose_number(cursor, convert=int))
    return _integer(_short_line(cursor), cursor, _INDEX)


def _float_line(cursor: Cursor) -> float:
    if cursor.is_lenient:
        return float(_loose_number(cursor, convert=float))
    raw = _short_line(cursor)
    value = float(raw) if _FLOAT.match(raw) or raw in _ENDLESS else None
    if value is None or (value in (math.inf, -math.inf) and raw not in _ENDLESS):
        raise MalformedArtifactError(
            "a number is spelled in a way loaders disagree on", locator=f"byte {cursor.offset}"
        )
    return value


def _name_line(cursor: Cursor) -> str:
    return _short_line(cursor).decode("utf-8")


def _two_lines(cursor: Cursor) -> tuple[str, str]:
    return _short_line(cursor).decode("utf-8"), _short_line(cursor).decode("utf-8")


def _binary_long(length: Reader) -> Reader:
    def read(cursor: Cursor) -> int | Blob:
        size_bytes = length(cursor)
        if size_bytes < 0 or size_bytes > KEPT_BYTES:
            return _long_value(cursor, "int", size_bytes)
        return int.from_bytes(cursor.take(size_bytes), "little", signed=True)

    return read


_I4, _U2, _U4, _U8 = _fixed("<i"), _fixed("<H"), _fixed("<I"), _fixed("<Q")

_TABLE: tuple[tuple[int, str, Reader | None], ...] = (
    (0x28, "MARK", None),
    (0x29, "EMPTY_TUPLE", None),
    (0x2E, "STOP", None),
    (0x30, "POP", None),
    (0x31, "POP_MARK", None),
    (0x32, "DUP", None),
    (0x42, "BINBYTES", _bytes(_U4)),
    (0x43, "SHORT_BINBYTES", _bytes(_byte)),
    (0x46, "FLOAT", _float_line),
    (0x47, "BINFLOAT", _fixed(">d")),
    (0x49, "INT", _int_line),
    (0x4A, "BININT", _I4),
    (0x4B, "BININT1", _byte),
    (0x4C, "LONG", _long_line),
    (0x4D, "BININT2", _U2),
    (0x4E, "NONE", None),
    (0x50, "PERSID", _name_line),
    (0x51, "BINPERSID", None),
    (0x52, "REDUCE", None),
    (0x53, "STRING", _quoted),
    (0x54, "BINSTRING", _string(_I4)),
    (0x55, "SHORT_BINSTRING", _string(_byte)),
    (0x56, "UNICODE", _unicode_line),
    (0x58, "BINUNICODE", _text(_U4)),
    (0x5D, "EMPTY_LIST", None),
    (0x61, "APPEND", None),
    (0x62, "BUILD", None),
    (0x63, "GLOBAL", _two_lines),
    (0x64, "DICT", None),
    (0x65, "APPENDS", None),
    (0x67, "GET", _index_line),
    (0x68, "BINGET", _byte),
    (0x69, "INST", _two_lines),
    (0x6A, "LONG_BINGET", _U4),
    (0x6C, "LIST", None),
    (0x6F, "OBJ", None),
    (0x70, "PUT", _index_line),
    (0x71, "BINPUT", _byte),
    (0x72, "LONG_BINPUT", _U4),
    (0x73, "SETITEM", None),
    (0x74, "TUPLE", None),
    (0x75, "SETITEMS", None),
    (0x7D, "EMPTY_DICT", None),
    (0x80, "PROTO", _byte),
    (0x81, "NEWOBJ", None),
    (0x82, "EXT1", _byte),
    (0x83, "EXT2", _U2),
    (0x84, "EXT4", _I4),
    (0x85, "TUPLE1", None),
    (0x86, "TUPLE2", None),
    (0x87, "TUPLE3", None),
    (0x88, "NEWTRUE", None),
    (0x89, "NEWFALSE", None),
    (0x8A, "LONG1", _binary_long(_byte)),
    (0x8B, "LONG4", _binary_long(_I4)),
    (0x8C, "SHORT_BINUNICODE", _text(_byte)),
    (0x8D, "BINUNICODE8", _text(_U8)),
    (0x8E, "BINBYTES8", _bytes(_U8)),
    (0x8F, "EMPTY_SET", None),
    (0x90, "ADDITEMS", None),
    (0x91, "FROZENSET", None),
    (0x92, "NEWOBJ_EX", None),
    (0x93, "STACK_GLOBAL", None),
    (0x94, "MEMOIZE", None),
    (0x95, "FRAME", _U8),
    (0x96, "BYTEARRAY8", _bytearray),
    (0x97, "NEXT_BUFFER", None),
    (0x98, "READONLY_BUFFER", None),
)

CODES: dict[str, int] = {name: code for code, name, _ in _TABLE}
"""Opcode byte by name."""
NAMES: tuple[str, ...] = tuple({code: name for code, name, _ in _TABLE}.get(code, "") for code in range(256))
"""Opcode name by byte; empty for a byte that is no opcode."""
READERS: tuple[Reader | None, ...] = tuple(
    {code: reader for code, _, reader in _TABLE}.get(code) for code in range(256)
)
"""Argument reader by opcode byte; None for an opcode without an argument."""
_LAYOUTS = {"BINFLOAT": ">xd", "BININT": "<xi", "BININT1": "<xB", "BININT2": "<xH"}
NUMBERS: tuple[struct.Struct | None, ...] = tuple(
    struct.Struct(_LAYOUTS[name]) if name in _LAYOUTS else None for name in NAMES
)
"""Layout, by opcode byte and that byte included, of the opcodes that only push a number of fixed size."""
STOP = CODES["STOP"]


def decodes_to_stop(source: Source, start: int, size_bytes: int, limit: int = 100_000) -> bool:
    """Whether bytes parse as opcodes up to a STOP; says nothing about what the opcodes do."""
    cursor = Cursor(source, start=start, end=start + size_bytes)
    try:
        cursor.refill()
        for _ in range(limit):
            if cursor.at >= cursor.limit:
                cursor.refill()
            code = cursor.data[cursor.at]
            cursor.at += 1
            if code == STOP:
                return True
            if not NAMES[code]:
                return False
            reader = READERS[code]
            if reader is not None:
                reader(cursor)
    except (MalformedArtifactError, IndexError, ValueError, struct.error):
        return False
    return False
