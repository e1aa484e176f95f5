"""7z archives whose members are copied as they are: what an archiver writes, and what it never would."""

from __future__ import annotations

import struct
import zlib

COPY = b"\x01\x01\x00"
"""The folder of one coder that copies."""


def number(value: int) -> bytes:
    """A number as the header spells it, in its widest form where it has more than seven bits."""
    return bytes((value,)) if value < 0x80 else b"\xff" + value.to_bytes(8, "little")


def seven_zip(
    members: dict[str, bytes],
    *,
    folder: bytes = COPY,
    packed: bytes | None = None,
    properties: bytes = b"",
    crc32: int | None = None,
    behind: bytes = b"",
) -> bytes:
    """An archive of one folder. `packed` replaces its bytes, `folder` its coders; `properties` are added to those of the files."""
    whole = b"".join(members.values())
    stream = whole if packed is None else packed
    sizes = [len(data) for data in members.values()]
    sums = [zlib.crc32(data) if crc32 is None else crc32 for data in members.values()]
    header = b"\x01\x04\x06" + number(0) + number(1) + b"\x09" + number(len(stream)) + b"\x00"
    header += b"\x07\x0b" + number(1) + b"\x00" + folder + b"\x0c" + number(len(whole)) + b"\x00"
    header += b"\x08\x0d" + number(len(members)) + b"\x09" + b"".join(map(number, sizes[:-1]))
    header += b"\x0a\x01" + struct.pack(f"<{len(sums)}I", *sums) + b"\x00\x00"
    names = b"\x00" + "".join(f"{name}\0" for name in members).encode("utf-16-le")
    header += b"\x05" + number(len(members)) + b"\x11" + number(len(names)) + names + properties + b"\x00\x00"
    return start_of(len(stream), header) + stream + header + behind


def start_of(offset: int, header: bytes, *, size_bytes: int | None = None) -> bytes:
    """The first 32 bytes."""
    size = len(header) if size_bytes is None else size_bytes
    places = struct.pack("<QQI", offset, size, zlib.crc32(header))
    return b"7z\xbc\xaf\x27\x1c\x00\x04" + struct.pack("<I", zlib.crc32(places)) + places
