"""Looking at the numbers of tensors inside the jail: which are no numbers or endless, and whether all are the same.

A task for `jail.Jail`. Nothing is unpacked into Python numbers: whether an exponent has every bit set shows in one or two bytes
of each value (IEEE 754; OCP 8-bit Floating Point Specification 1.0), which are picked out and compared for a page at once.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from weighbridge.formats.reading.source import Source

PAGE_BYTES = 4096
_PIECE_BYTES = 1 << 18
_Test = tuple[int, int, int]
"""A byte of a value, the bits of it that count, and what they are."""

_NOT_FINITE: dict[str, tuple[_Test, ...]] = {
    "f16": ((1, 0x7C, 0x7C),),
    "bf16": ((1, 0x7F, 0x7F), (0, 0x80, 0x80)),
    "f32": ((3, 0x7F, 0x7F), (2, 0x80, 0x80)),
    "f64": ((7, 0x7F, 0x7F), (6, 0xF0, 0xF0)),
    "e4m3": ((0, 0x7F, 0x7F),),
    "e5m2": ((0, 0x7C, 0x7C),),
    "fnuz": ((0, 0xFF, 0x80),),
    "e8m0": ((0, 0xFF, 0xFF),),
}
"""When a value is NaN or an infinity; the byte that rules most values out stands first."""

_ENDLESS: dict[str, tuple[_Test, ...]] = {
    "f16": ((1, 0x03, 0), (0, 0xFF, 0)),
    "bf16": ((0, 0x7F, 0),),
    "f32": ((2, 0x7F, 0), (1, 0xFF, 0), (0, 0xFF, 0)),
    "f64": ((6, 0x0F, 0), *((byte, 0xFF, 0) for byte in range(6))),
    "e5m2": ((0, 0x03, 0),),
}
"""When such a value is an infinity; the other types have none."""


def look(fd: int, arguments: Mapping[str, Any]) -> bytes:
    """Look at the `places` of the open file `fd`; JSON of `[bytes read, NaN, infinities, first or -1, hex of the one item]`.

    A place is `[start, end, width, fields, pages, seed]`: items of `width` bytes whose `fields`, pairs of an offset and a kind
    of number, are looked at; all of them where `pages` is 0, else in so many pages at positions that follow from `seed`.
    """
    source = Source(fd, path=arguments["path"], size_bytes=arguments["size_bytes"])
    return json.dumps([_look_at(source, *place) for place in arguments["places"]]).encode()


def _look_at(source: Source, start: int, end: int, width: int, fields: list[Any], pages: int, seed: int) -> list[Any]:
    read = nan = endless = 0
    first, only, is_constant = -1, b"", True
    for offset, size in stretches(end - start, width, pages, seed):
        data = source.read_at(start + offset, size)
        read += size
        for at, kind in fields:
            odd, infinite, place = _count(data, at, width, kind)
            nan += odd - infinite
            endless += infinite
            if odd and (first < 0 or start + offset + place < first):
                first = start + offset + place
        only = only or data[:width]
        is_constant = is_constant and data.startswith(only) and data.endswith(only) and data == only * (size // width)
    return [read, nan, endless, first, only.hex() if is_constant else ""]


def stretches(size_bytes: int, width: int, pages: int, seed: int) -> Iterator[tuple[int, int]]:
    """Where to read in a tensor: offsets and lengths in whole items. The first and last pages, and one of every stratum between."""
    size_bytes -= size_bytes % width
    piece = (PAGE_BYTES if pages else _PIECE_BYTES) // width * width
    count = -(-size_bytes // piece)
    if not pages or count <= pages:
        chosen: Iterator[int] = iter(range(count))
    else:
        chosen = _spread(count, pages, seed)
    for number in chosen:
        yield number * piece, min(piece, size_bytes - number * piece)


def _spread(count: int, pages: int, seed: int) -> Iterator[int]:
    """So many of `count` pages in order, none twice."""
    for stratum in range(pages):
        low, high = stratum * count // pages, (stratum + 1) * count // pages
        if stratum == 0:
            yield 0
        elif stratum == pages - 1:
            yield count - 1
        else:
            yield low + zlib.crc32(stratum.to_bytes(4, "little"), seed) % (high - low)


def _count(data: bytes, at: int, width: int, kind: str) -> tuple[int, int, int]:
    """Values that are NaN or infinite, how many of them are infinite, and the offset of the first."""
    (byte, mask, want), *more = _NOT_FINITE[kind]
    top = data[at + byte :: width]
    if not top.translate(None, _others(mask, want)):
        return 0, 0, -1
    flags = int.from_bytes(top.translate(_table(mask, want)), "little")
    for test in more:
        flags &= _flags(data, at, width, test)
    if not flags:
        return 0, 0, -1
    infinite = flags if kind in _ENDLESS else 0
    for test in _ENDLESS.get(kind, ()):
        infinite &= _flags(data, at, width, test)
    first = ((flags & -flags).bit_length() - 1) // 8
    return flags.bit_count(), infinite.bit_count(), first * width + at


def _flags(data: bytes, at: int, width: int, test: _Test) -> int:
    """One byte a value, 1 where the test holds, as one integer."""
    byte, mask, want = test
    return int.from_bytes(data[at + byte :: width].translate(_table(mask, want)), "little")


@cache
def _table(mask: int, want: int) -> bytes:
    return bytes(int(byte & mask == want) for byte in range(256))


@cache
def _others(mask: int, want: int) -> bytes:
    return bytes(byte for byte in range(256) if byte & mask != want)
