"""A 7z archive with one stored member, by hand (7zFormat.txt of the LZMA SDK): signature header, data, plain header."""

from __future__ import annotations

import struct
import zlib


def number(value: int) -> bytes:
    if value < 0x80:
        return bytes([value])
    if value < 0x4000:
        return bytes([0x80 | value >> 8, value & 0xFF])
    return b"\xff" + struct.pack("<Q", value)


def stored_7z(name: str, data: bytes) -> bytes:
    packed = b"\x06" + number(0) + number(1) + b"\x09" + number(len(data)) + b"\x00"
    folder = b"\x07\x0b" + number(1) + b"\x00" + number(1) + b"\x01\x00" + b"\x0c" + number(len(data)) + b"\x00"
    sub = b"\x08\x0a\x01" + struct.pack("<I", zlib.crc32(data)) + b"\x00"
    text = name.encode("utf-16-le") + b"\0\0"
    files = b"\x05" + number(1) + b"\x11" + number(len(text) + 1) + b"\x00" + text + b"\x00"
    header = b"\x01\x04" + packed + folder + sub + b"\x00" + files + b"\x00"
    start = struct.pack("<QQI", len(data), len(header), zlib.crc32(header))
    return b"7z\xbc\xaf\x27\x1c\x00\x04" + struct.pack("<I", zlib.crc32(start)) + start + data + header
