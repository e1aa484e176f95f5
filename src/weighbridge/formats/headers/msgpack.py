"""MessagePack, one token after the other: payloads are places in the file, nothing is built.

Source: github.com/msgpack/msgpack spec.md (2017).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import Enum

from weighbridge.errors import MalformedArtifactError
from weighbridge.formats.headers.defects import OverLimitError
from weighbridge.formats.reading.source import Source

TOKEN_LIMIT = 250_000
"""Tokens of one file that are read; a checkpoint takes about fifteen for each tensor."""
_WINDOW_BYTES = 1 << 12


class Kind(Enum):
    """What a token is; NUMBER stands for every value that holds nothing else: numbers, nil and booleans."""

    NUMBER = "number"
    TEXT = "text"
    BYTES = "bytes"
    ARRAY = "array"
    MAP = "map"
    EXTENSION = "extension"


@dataclass(frozen=True, slots=True)
class Token:
    """One token from `at`; what it holds lies from `start` to `end`.

    `count` are the items of an array or the pairs of a map, the value of a whole number (-1 for other numbers), or the number of an
    extension.
    """

    kind: Kind
    at: int
    start: int
    end: int
    count: int = 0


_SIZED = {
    0xC4: (Kind.BYTES, 1),
    0xC5: (Kind.BYTES, 2),
    0xC6: (Kind.BYTES, 4),
    0xC7: (Kind.EXTENSION, 1),
    0xC8: (Kind.EXTENSION, 2),
    0xC9: (Kind.EXTENSION, 4),
    0xD9: (Kind.TEXT, 1),
    0xDA: (Kind.TEXT, 2),
    0xDB: (Kind.TEXT, 4),
}
_COUNTED = {0xDC: (Kind.ARRAY, 2), 0xDD: (Kind.ARRAY, 4), 0xDE: (Kind.MAP, 2), 0xDF: (Kind.MAP, 4)}
_NUMBERS = {
    0xC0: 0,
    0xC2: 0,
    0xC3: 0,
    0xCA: 4,
    0xCB: 8,
    **{0xCC + n: 1 << n for n in range(4)},
    **{0xD0 + n: 1 << n for n in range(4)},
}
"""Bytes behind the first one of nil, booleans, floats and whole numbers."""
_FIXED_EXTENSIONS = {0xD4 + n: 1 << n for n in range(5)}


class Tokens:
    """The tokens of one file, with a budget; a window of the file is held."""

    def __init__(self, source: Source, *, token_limit: int = TOKEN_LIMIT) -> None:
        self.source = source
        self._left = token_limit
        self._base, self._held = 0, b""

    def read(self, at: int, size_bytes: int) -> bytes:
        """Some bytes, through the window.

        Raises:
            MalformedArtifactError: they leave the file.
        """
        if at < self._base or at + size_bytes > self._base + len(self._held):
            if at + size_bytes > self.source.size_bytes:
                raise MalformedArtifactError(f"{size_bytes} bytes leave the file", locator=f"byte {at}")
            size = max(min(_WINDOW_BYTES, self.source.size_bytes - at), size_bytes)
            self._base, self._held = at, self.source.read_at(at, size)
        return self._held[at - self._base : at - self._base + size_bytes]

    def take(self, at: int, stop: int) -> Token:
        """The token at a place, which has to end before `stop`.

        Raises:
            MalformedArtifactError: there is none, or it leaves the file.
            OverLimitError: the budget is spent.
        """
        self._left -= 1
        if self._left < 0:
            raise OverLimitError("more tokens than are read", locator=f"byte {at}")
        token = self._token(at)
        if token.end > stop:
            raise MalformedArtifactError(f"a {token.kind.value} leaves what holds it", locator=f"byte {at}")
        return token

    def _token(self, at: int) -> Token:
        first = self.read(at, 1)[0]
        if first < 0x80 or first >= 0xE0:
            return Token(Kind.NUMBER, at, at + 1, at + 1, first if first < 0x80 else first - 256)
        if first < 0x90:
            return Token(Kind.MAP, at, at + 1, at + 1, first & 0x0F)
        if first < 0xA0:
            return Token(Kind.ARRAY, at, at + 1, at + 1, first & 0x0F)
        if first < 0xC0:
            return Token(Kind.TEXT, at, at + 1, at + 1 + (first & 0x1F))
        if first in _SIZED:
            return self._sized(at, *_SIZED[first])
        if first in _COUNTED:
            kind, width = _COUNTED[first]
            return Token(kind, at, at + 1 + width, at + 1 + width, self._size(at + 1, width))
        if first in _FIXED_EXTENSIONS:
            code = struct.unpack("b", self.read(at + 1, 1))[0]
            return Token(Kind.EXTENSION, at, at + 2, at + 2 + _FIXED_EXTENSIONS[first], code)
        return self._plain(at, first)

    def _size(self, at: int, width: int) -> int:
        return int.from_bytes(self.read(at, width), "big")

    def _sized(self, at: int, kind: Kind, width: int) -> Token:
        size, start = self._size(at + 1, width), at + 1 + width
        if kind is not Kind.EXTENSION:
            return Token(kind, at, start, start + size)
        return Token(kind, at, start + 1, start + 1 + size, struct.unpack("b", self.read(start, 1))[0])

    def _plain(self, at: int, first: int) -> Token:
        if first not in _NUMBERS:
            raise MalformedArtifactError("the byte 0xc1 begins no token", locator=f"byte {at}")
        width = _NUMBERS[first]
        is_whole = first >= 0xCC
        raw = self.read(at + 1, width)
        value = int.from_bytes(raw, "big", signed=first >= 0xD0) if is_whole else -1
        return Token(Kind.NUMBER, at, at + 1 + width, at + 1 + width, value)
