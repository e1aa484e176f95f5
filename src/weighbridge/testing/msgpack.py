"""MessagePack as flax writes it, value by value."""

from __future__ import annotations

import struct
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Extension:
    """A value of a type that MessagePack does not have."""

    number: int
    data: bytes


Value = dict[str, "Value"] | list["Value"] | str | bytes | int | float | bool | None | Extension


def pack(value: Value) -> bytes:
    """The bytes of a value; counts and lengths take the widest spelling, but that of a short array."""
    match value:
        case None:
            return b"\xc0"
        case bool():
            return b"\xc3" if value else b"\xc2"
        case int():
            return struct.pack(">Bq", 0xD3, value) if value < 0 else struct.pack(">BQ", 0xCF, value)
        case float():
            return struct.pack(">Bd", 0xCB, value)
        case str():
            return struct.pack(">BI", 0xDB, len(value.encode())) + value.encode()
        case bytes():
            return struct.pack(">BI", 0xC6, len(value)) + value
        case Extension():
            return struct.pack(">BIb", 0xC9, len(value.data), value.number) + value.data
        case list() if len(value) < 16:
            return bytes((0x90 | len(value),)) + b"".join(map(pack, value))
        case list():
            return struct.pack(">BI", 0xDD, len(value)) + b"".join(map(pack, value))
    return struct.pack(">BI", 0xDF, len(value)) + b"".join(pack(key) + pack(item) for key, item in value.items())


def array(shape: list[int], dtype: str = "float32", data: bytes | None = None, *, number: int = 1) -> Extension:
    """An array of flax's; four zero bytes an item where no `data` is given."""
    size = 4
    for length in shape:
        size *= length
    sizes: list[Value] = [*shape]
    return Extension(number, pack([sizes, dtype, bytes(size) if data is None else data]))


def checkpoint() -> bytes:
    """A small one."""
    return pack({"params": {"Dense_0": {"bias": array([2]), "kernel": array([3, 2])}}})
