"""TensorFlow Lite models, table by table: what its converter writes, and what it never would."""

from __future__ import annotations

import struct
from typing import Any

Table = dict[int, Any]
"""Fields by slot: a (width, number), a text, bytes, a list of numbers, a table, or a list of tables."""


def number(value: int, width: int = 4) -> tuple[int, int]:
    """A number of so many bytes."""
    return width, value


def flatbuffer(root: Table, *, is_shared: bool = False) -> bytes:
    """The file around a table. Every object follows the one that refers to it; `is_shared`: one table in a vector is written once."""
    out = bytearray(4) + b"TFL3"
    struct.pack_into("<I", out, 0, _table(out, root, is_shared=is_shared))
    return bytes(out)


def _align(out: bytearray) -> int:
    out += bytes(-len(out) % 4)
    return len(out)


def _table(out: bytearray, fields: Table, *, is_shared: bool) -> int:
    slots = max(fields, default=-1) + 1
    vtable = _align(out)
    offsets, size = [0] * slots, 4
    for slot, value in fields.items():
        offsets[slot] = size
        size += value[0] if isinstance(value, tuple) else 4
    out += struct.pack(f"<{slots + 2}H", 4 + 2 * slots, size, *offsets)
    place = _align(out)
    out += struct.pack("<i", place - vtable) + bytes(size - 4)
    for slot, value in fields.items():
        at = place + offsets[slot]
        if isinstance(value, tuple):
            out[at : at + value[0]] = (value[1] % (1 << 8 * value[0])).to_bytes(value[0], "little")
        else:
            struct.pack_into("<I", out, at, _object(out, value, is_shared=is_shared) - at)
    return place


def _object(out: bytearray, value: Any, *, is_shared: bool) -> int:
    if isinstance(value, dict):
        return _table(out, value, is_shared=is_shared)
    place = _align(out)
    if isinstance(value, str):
        out += struct.pack("<I", len(value.encode())) + value.encode() + b"\0"
    elif isinstance(value, bytes):
        out += struct.pack("<I", len(value)) + value
    elif value and isinstance(value[0], int):
        out += struct.pack(f"<I{len(value)}i", len(value), *value)
    else:
        out += struct.pack("<I", len(value)) + bytes(4 * len(value))
        written: dict[int, int] = {}
        for n, item in enumerate(value):
            at = place + 4 + 4 * n
            if not is_shared or id(item) not in written:
                written[id(item)] = _object(out, item, is_shared=is_shared)
            struct.pack_into("<I", out, at, written[id(item)] - at)
    return place


def code(builtin: int = 0, custom: str = "") -> Table:
    """An operator code."""
    made: Table = {0: number(min(builtin, 127), 1), 3: number(builtin)}
    return {**made, 1: custom} if custom else made


def operator(
    index: int = 0,
    inputs: list[int] | None = None,
    outputs: list[int] | None = None,
    *,
    options: Table | None = None,
    **more: Any,
) -> Table:
    """An operator. `options` are further slots; `custom` is what a custom one is given."""
    made: Table = {0: number(index), 1: inputs or [0, 1], 2: outputs or [2], **(options or {})}
    return {**made, 5: more["custom"]} if "custom" in more else made


def tensor(name: str, shape: list[int], buffer: int = 0, kind: int = 0) -> Table:
    """A tensor of floats unless told otherwise."""
    return {0: shape, 1: number(kind, 1), 2: number(buffer), 3: name}


def model(
    codes: list[Table] | None = None,
    operators: list[Table] | None = None,
    *,
    tensors: list[Table] | None = None,
    buffers: list[Table] | None = None,
    more: Table | None = None,
    graphs: list[Table] | None = None,
) -> Table:
    """A model that adds four numbers to its input; every piece may be replaced, `more` adds slots of the root."""
    held = tensors or [tensor("x", [4]), tensor("w", [4], 1), tensor("y", [4])]
    graph: Table = {0: held, 1: [0], 2: [2], 3: [operator()] if operators is None else operators, 4: "main"}
    return {
        0: number(3),
        1: codes or [code()],
        2: graphs or [graph],
        3: "weighbridge",
        4: buffers or [{}, {0: bytes(range(16))}],
        **(more or {}),
    }


def flex_options(name: str, node: bytes) -> bytes:
    """A flexbuffer of an operator's name and its node, as the converter writes it; both below 128 bytes."""
    texts = bytearray()
    starts = []
    for text in (name.encode(), node):
        texts.append(len(text))
        starts.append(len(texts))
        texts += text + b"\0"
    texts.append(2)
    vector = len(texts)
    for start in starts:
        texts.append(len(texts) - start)
    texts += bytes((5 << 2, 5 << 2))
    texts.append(len(texts) - vector)
    return bytes(texts) + bytes((10 << 2, 1))
