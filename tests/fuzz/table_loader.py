"""A short reader of LevelDB tables and the checkpoint index in them, after doc/table_format.md, with checksums."""

from __future__ import annotations

import struct

from tests.fuzz.wire_loader import fields
from weighbridge.testing.graphs import INDEX_MAGIC, masked_crc32c


def load_index(data: bytes, _path: str) -> str:
    """Every block has its checksum, keys ascend, and every value is a message."""
    if len(data) < 48 or data[-8:] != struct.pack("<Q", INDEX_MAGIC):
        return "it has no footer"
    try:
        _, at = _handle(data, len(data) - 48)
        index, _ = _handle(data, at)
        rows = [row for _, value in _block(data, index) for row in _block(data, _handle(value, 0)[0])]
        for _, value in rows:
            list(fields(value))
    except (ValueError, IndexError, struct.error) as problem:
        return f"the table is broken: {problem}"
    keys = [key for key, _ in rows]
    if keys != sorted(set(keys)):
        return "its keys do not ascend"
    return "" if keys[:1] == [b""] else "it has no header of a checkpoint"


def _block(data: bytes, handle: tuple[int, int]) -> list[tuple[bytes, bytes]]:
    start, size = handle
    block = data[start : start + size + 5]
    if len(block) != size + 5 or block[size]:
        raise ValueError("a block is cut short or compressed")
    if struct.unpack_from("<I", block, size + 1)[0] != masked_crc32c(block[: size + 1]):
        raise ValueError("a checksum is wrong")
    end = size - 4 - 4 * struct.unpack_from("<I", block, size - 4)[0]
    at, key, rows = 0, b"", []
    while at < end:
        (shared, own), at = _handle(block, at)
        length, at = _number(block, at)
        key = key[:shared] + block[at : at + own]
        rows.append((key, block[at + own : at + own + length]))
        at += own + length
    return rows


def _handle(data: bytes, at: int) -> tuple[tuple[int, int], int]:
    first, at = _number(data, at)
    second, at = _number(data, at)
    return (first, second), at


def _number(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if data[at - 1] < 0x80:
            return value, at
