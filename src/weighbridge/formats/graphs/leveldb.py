"""LevelDB tables: sorted keys with values, in blocks that share the beginnings of keys. Every byte has its place or is refused.

Source: google/leveldb doc/table_format.md; TensorFlow writes its checkpoint indexes so (tensorflow/core/lib/io/table_builder.cc):
data blocks one after another, an empty meta index, the index of blocks, a footer of 48 bytes.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from itertools import pairwise

from weighbridge.errors import MalformedArtifactError
from weighbridge.formats.headers.defects import OverLimitError
from weighbridge.formats.reading.source import Source

MAGIC = (0xDB4775248B80FB57).to_bytes(8, "little")
FOOTER_BYTES = 48
ENTRY_LIMIT = 20_000
"""Most entries of one table that are read."""

TABLE_LIMIT_BYTES = 32 << 20
_CHECKED_BYTES = 1 << 20
_KEY_LIMIT_BYTES = 4096
_TRAILER_BYTES = 5
_CRC_MASK = 0xA282EAD8


@dataclass(frozen=True, slots=True)
class Entry:
    """A key, and where in the file its value stands."""

    key: bytes
    start: int
    end: int


def read_table(source: Source) -> list[Entry]:
    """All entries, in the order of their keys. Checksums are verified in the first MiB.

    Raises:
        OverLimitError: it is longer than is read here, or compressed.
        MalformedArtifactError: it is no table, or has bytes that belong to nothing.
    """
    size = source.size_bytes
    if not FOOTER_BYTES <= size <= TABLE_LIMIT_BYTES:
        problem = f"a table of {size:,} bytes is not read here"
        raise (OverLimitError if size > FOOTER_BYTES else MalformedArtifactError)(problem, locator="byte 0")
    table = _Table(source.read_at(0, size))
    return table.entries()


class _Table:
    """One table in memory. Invariant: nothing is read twice, so the work is bounded by the bytes."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.left = ENTRY_LIMIT
        self.unchecked = _CHECKED_BYTES

    def entries(self) -> list[Entry]:
        footer = len(self.data) - FOOTER_BYTES
        if not self.data.endswith(MAGIC):
            raise MalformedArtifactError("a table does not end in its magic number", locator=f"byte {footer}")
        end = len(self.data) - len(MAGIC)
        meta, position = self._handle(footer, end)
        index, position = self._handle(position, end)
        if self.data[position:end].strip(b"\0"):
            raise MalformedArtifactError("bytes stand behind the handles of the footer", locator=f"byte {position}")
        self._require(index, at=meta[0] + meta[1] + _TRAILER_BYTES, to=footer)
        if self._block(meta):
            raise OverLimitError("a table has filters or other meta blocks", locator=f"byte {meta[0]}")
        found: list[Entry] = []
        position = 0
        listed = self._block(index)
        for number, row in enumerate(listed):
            block, ends = self._handle(row.start, row.end)
            if ends != row.end:
                raise MalformedArtifactError("bytes stand behind the handle of a block", locator=f"byte {ends}")
            is_last = number == len(listed) - 1
            position = self._require(block, at=position, to=meta[0] if is_last else None)
            held = self._block(block)
            after = found[-1].key if found else None
            if not held or not (after is None or after < held[0].key) or held[-1].key > row.key:
                raise MalformedArtifactError("the keys of blocks are not in order", locator=f"byte {block[0]}")
            if number and listed[number - 1].key >= held[0].key:
                raise MalformedArtifactError(
                    "a key is not in the block that the index says", locator=f"byte {block[0]}"
                )
            found += held
        if not listed:
            self._require((0, meta[0] - _TRAILER_BYTES), at=0, to=0)
        return found

    def _require(self, block: tuple[int, int], *, at: int, to: int | None) -> int:
        """That a block stands where the one before it ends, and itself ends at `to` if given; returns its end."""
        start, size = block
        end = start + size + _TRAILER_BYTES
        if start != at or end > len(self.data) - FOOTER_BYTES or (to is not None and end != to):
            raise MalformedArtifactError("blocks leave a gap, overlap or leave the table", locator=f"byte {at}")
        return end

    def _block(self, block: tuple[int, int]) -> list[Entry]:
        """The entries of one block, and nothing else in it."""
        start, size = block
        end = start + size
        if start < 0 or size < 8 or end + _TRAILER_BYTES > len(self.data):
            raise MalformedArtifactError("a block is too short, or leaves the table", locator=f"byte {start}")
        if self.data[end]:
            raise OverLimitError(f"a block is compressed (type {self.data[end]})", locator=f"byte {end}")
        self._verify(start, end + 1)
        (count,) = struct.unpack_from("<I", self.data, end - 4)
        if not 1 <= count <= (size - 4) // 4:
            raise MalformedArtifactError("a block has more restarts than room", locator=f"byte {end - 4}")
        limit = end - 4 - 4 * count
        restarts = struct.unpack_from(f"<{count}I", self.data, limit)
        return self._rows(start, limit, restarts)

    def _rows(self, start: int, limit: int, restarts: tuple[int, ...]) -> list[Entry]:
        found: list[Entry] = []
        position, key, whole = start, b"", set()
        while position < limit:
            self.left -= 1
            if self.left < 0:
                raise OverLimitError(f"over {ENTRY_LIMIT:,} entries", locator=f"byte {position}")
            first = position
            shared, position = self._varint(position, limit)
            own, position = self._varint(position, limit)
            length, position = self._varint(position, limit)
            if shared > len(key) or shared + own > _KEY_LIMIT_BYTES or position + own + length > limit:
                raise MalformedArtifactError("an entry leaves its block", locator=f"byte {first}")
            if not shared:
                whole.add(first - start)
            previous, key = key, key[:shared] + self.data[position : position + own]
            if found and key <= previous:
                raise MalformedArtifactError("keys are not in order, or stand twice", locator=f"byte {first}")
            position += own + length
            found.append(Entry(key, position - length, position))
        ordered = restarts[0] == 0 and all(a < b for a, b in pairwise(restarts))
        if not ordered or not (set(restarts) <= whole or (not found and restarts == (0,))):
            raise MalformedArtifactError("a restart is not where a whole key stands", locator=f"byte {limit}")
        return found

    def _handle(self, position: int, end: int) -> tuple[tuple[int, int], int]:
        start, position = self._varint(position, end)
        size, position = self._varint(position, end)
        return (start, size), position

    def _varint(self, position: int, end: int) -> tuple[int, int]:
        value = 0
        for shift in range(0, 70, 7):
            if position >= end:
                break
            byte = self.data[position]
            position += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                if not byte and shift:
                    break
                return value, position
        raise MalformedArtifactError("a number is cut short or longer than its value", locator=f"byte {position}")

    def _verify(self, start: int, end: int) -> None:
        if end - start > self.unchecked:
            return
        self.unchecked -= end - start
        (stored,) = struct.unpack_from("<I", self.data, end)
        if masked_crc32c(self.data[start:end]) != stored:
            raise MalformedArtifactError("the checksum of a block is not that of its bytes", locator=f"byte {end}")


def masked_crc32c(data: bytes) -> int:
    """CRC-32C (RFC 3720, B.4), rotated and shifted as LevelDB stores it."""
    crc = 0xFFFFFFFF
    table = _CRC_TABLE
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 0xFF]
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + _CRC_MASK) & 0xFFFFFFFF


def _crc_row(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
    return byte


_CRC_TABLE = tuple(map(_crc_row, range(256)))
