"""GGUF after the reference loader (ggml/src/gguf.cpp `gguf_init_from_file_impl`), as short as it gets: takes the file or says why not."""

from __future__ import annotations

import struct

_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_BLOCKS = {0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 9: (32, 40),
           10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292),
           16: (256, 66), 17: (256, 74), 18: (256, 98), 19: (256, 50), 20: (32, 18), 21: (256, 110), 22: (256, 82),
           23: (256, 136), 24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8), 28: (1, 8), 29: (256, 56), 30: (1, 2),
           34: (256, 54), 35: (256, 66), 39: (32, 17), 40: (64, 36), 41: (128, 18), 42: (64, 18)}  # fmt: skip
"""Elements and bytes of a block, by type number (ggml/include/ggml.h, ggml-common.h)."""


class _RefusedError(Exception):
    pass


class _Stream:
    def __init__(self, data: bytes) -> None:
        self.data, self.at, self.order, self.is_wide = data, 4, "<", True

    def take(self, size: int) -> bytes:
        if size > len(self.data) - self.at:
            raise _RefusedError("ends too early")
        self.at += size
        return self.data[self.at - size : self.at]

    def number(self, code: str) -> int:
        return int(struct.unpack(self.order + code, self.take(struct.calcsize(code)))[0])

    def count(self) -> int:
        return self.number("Q" if self.is_wide else "I")

    def text(self) -> bytes:
        return self.take(self.count())


def load_gguf(data: bytes, _path: str) -> str:
    try:
        _load(data)
    except _RefusedError as problem:
        return f"a GGUF loader refuses it: {problem}"
    return ""


def _load(data: bytes) -> None:
    if data[:4] != b"GGUF":
        raise _RefusedError("no magic")
    stream = _Stream(data)
    version = stream.number("I")
    if not version & 0xFFFF:
        stream.order, stream.at = ">", 4
        version = stream.number("I")
    if version not in (1, 2, 3):
        raise _RefusedError("unknown version")
    stream.is_wide = version > 1
    tensors, pairs = stream.count(), stream.count()
    alignment = _read_pairs(stream, pairs)
    extents = [_read_info(stream, alignment) for _ in range(_bounded(tensors, stream))]
    if len({name for name, _, _ in extents}) != len(extents):
        raise _RefusedError("two tensors have one name")
    start = -(-stream.at // alignment) * alignment
    expected = 0
    for name, offset, size in extents:
        if offset != expected:
            raise _RefusedError(f"tensor {name!r} lies at {offset}, expected {expected}")
        expected = -(-(offset + size) // alignment) * alignment
        if start + offset + size > len(data):
            raise _RefusedError(f"tensor {name!r} leaves the file")


def _bounded(count: int, stream: _Stream) -> int:
    if count > len(stream.data):
        raise _RefusedError("counts more than there are bytes")
    return count


def _read_pairs(stream: _Stream, count: int) -> int:
    keys, alignment = set(), 32
    for _ in range(_bounded(count, stream)):
        key, kind = stream.text(), stream.number("I")
        if not key or key in keys:
            raise _RefusedError(f"key {key!r} is empty or stands twice")
        keys.add(key)
        if key == b"general.alignment":
            alignment = stream.number("I") if kind == 4 else 0
            if not alignment or alignment & (alignment - 1):
                raise _RefusedError("the alignment is no power of two")
        elif kind == 9:
            element, length = stream.number("I"), stream.count()
            _pass_values(stream, element, _bounded(length, stream))
        else:
            _pass_values(stream, kind, 1)
    return alignment


def _pass_values(stream: _Stream, kind: int, count: int) -> None:
    if kind == 8:
        for _ in range(count):
            stream.text()
    elif kind in _SIZES:
        stream.take(count * _SIZES[kind])
    else:
        raise _RefusedError(f"value type {kind}")


def _read_info(stream: _Stream, alignment: int) -> tuple[bytes, int, int]:
    name = stream.text()
    if len(name) >= 64:
        raise _RefusedError("a name is too long")
    dims = stream.number("I")
    if dims > 4:
        raise _RefusedError("too many dimensions")
    shape = [stream.count() for _ in range(dims)]
    kind, offset = stream.number("I"), stream.number("Q")
    if kind not in _BLOCKS:
        raise _RefusedError(f"tensor type {kind}")
    elements = 1
    for length in shape:
        elements *= length
        if elements >= 1 << 63:
            raise _RefusedError("too many elements")
    block, size = _BLOCKS[kind]
    if shape and shape[0] % block:
        raise _RefusedError("rows are not whole blocks")
    if offset % alignment:
        raise _RefusedError("not aligned")
    return name, offset, elements // block * size
