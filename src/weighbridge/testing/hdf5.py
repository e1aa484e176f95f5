"""Small HDF5 files as bytes, as the library writes them with `libver="latest"`: valid by construction, and bendable for tests.

A superblock of version 2, object headers of version 2 with their checksums, contiguous data, strings of fixed length.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from weighbridge.formats.headers.hdf5_checksum import checksum

UNDEFINED = (1 << 64) - 1
_SUPERBLOCK_BYTES = 48
Message = tuple[int, bytes]
"""Type and body of one message of an object header."""


@dataclass(slots=True, kw_only=True)
class Dataset:
    """Numbers of four bytes. `layout`, `messages` and `type` replace or follow what the shape needs."""

    shape: tuple[int, ...]
    data: bytes
    messages: Sequence[Message] = ()
    layout: bytes = b""


@dataclass(slots=True, kw_only=True)
class Group:
    """Members by name, links besides them as bodies of link messages, and attributes that are texts."""

    members: Mapping[str, Dataset | Group] = field(default_factory=dict)
    attributes: Mapping[str, bytes] = field(default_factory=dict)
    messages: Sequence[Message] = ()


def hdf5_bytes(root: Group, *, user_block: bytes = b"") -> bytes:
    """A whole file. `user_block` stands before it; HDF5 takes 512 bytes and doublings of that."""
    body = bytearray()
    base = len(user_block)
    address = _write_group(root, body)
    end = base + _SUPERBLOCK_BYTES + len(body)
    head = b"\x89HDF\r\n\x1a\n" + bytes((2, 8, 8, 0)) + struct.pack("<4Q", base, UNDEFINED, end, address)
    return user_block + head + struct.pack("<I", checksum(head)) + bytes(body)


def keras_h5(config: Any, *, training: Any = None, group: Group | None = None) -> bytes:
    """A legacy Keras model of that configuration (an object, or JSON as text)."""
    attributes = {"keras_version": b"3.9.0", "backend": b"tensorflow", "model_config": _json(config)}
    if training is not None:
        attributes["training_config"] = _json(training)
    weights = Group(members={"kernel:0": Dataset(shape=(2, 1), data=struct.pack("<2f", 1, 2))})
    root = group or Group(members={"model_weights": weights})
    return hdf5_bytes(Group(members=root.members, attributes=attributes, messages=root.messages))


def hard_link(name: str, address: int) -> Message:
    """A link to an object of the file."""
    return 6, _link(name, b"", 0) + struct.pack("<Q", address)


def soft_link(name: str, target: str) -> Message:
    """A link to a path in the file."""
    return 6, _link(name, b"\1", 8) + struct.pack("<H", len(target)) + target.encode()


def external_link(name: str, file: str, target: str) -> Message:
    """A link to an object of another file."""
    value = b"\0" + file.encode() + b"\0" + target.encode() + b"\0"
    return 6, _link(name, b"\x40", 8) + struct.pack("<H", len(value)) + value


def text_attribute(name: str, text: bytes) -> Message:
    """An attribute that is one text of fixed length."""
    kind = struct.pack("<BBBBI", 0x13, 0, 0, 0, max(len(text), 1))
    space = bytes((2, 0, 0, 0))
    label = name.encode() + b"\0"
    sizes = struct.pack("<BBHHHB", 3, 0, len(label), len(kind), len(space), 0)
    return 12, sizes + label + kind + space + (text or b"\0")


def dataspace(shape: Sequence[int]) -> Message:
    """A simple dataspace."""
    return 1, bytes((2, len(shape), 0, 1)) + struct.pack(f"<{len(shape)}Q", *shape)


FLOAT32: Message = (3, struct.pack("<BBBBI", 0x11, 0x20, 31, 0, 4) + struct.pack("<HHBBBBI", 0, 32, 23, 8, 0, 23, 127))
"""The type of little-endian IEEE numbers of four bytes."""


def contiguous(address: int, size_bytes: int) -> bytes:
    """A layout of data in one piece."""
    return struct.pack("<BBQQ", 3, 1, address, size_bytes)


def _link(name: str, kind: bytes, flags: int) -> bytes:
    return bytes((1, flags)) + kind + bytes((len(name.encode()),)) + name.encode()


def _json(value: Any) -> bytes:
    return value if isinstance(value, bytes) else json.dumps(value).encode()


def _place(body: bytearray) -> int:
    return _SUPERBLOCK_BYTES + len(body)


def _write_group(group: Group, body: bytearray) -> int:
    messages: list[Message] = [(2, struct.pack("<BBQQ", 0, 0, UNDEFINED, UNDEFINED))]
    for name, member in group.members.items():
        write = _write_group if isinstance(member, Group) else _write_dataset
        messages.append(hard_link(name, write(member, body)))  # type: ignore[arg-type]  # the right one of both
    messages += [text_attribute(name, text) for name, text in group.attributes.items()]
    return _write_object([*messages, *group.messages], body)


def _write_dataset(dataset: Dataset, body: bytearray) -> int:
    address = _place(body)
    body += dataset.data
    layout = dataset.layout or contiguous(address if dataset.data else UNDEFINED, len(dataset.data))
    return _write_object([dataspace(dataset.shape), FLOAT32, (8, layout), *dataset.messages], body)


def _write_object(messages: Sequence[Message], body: bytearray) -> int:
    address = _place(body)
    chunk = b"".join(struct.pack("<BHB", kind, len(data), 0) + data for kind, data in messages)
    head = b"OHDR" + bytes((2, 2)) + struct.pack("<I", len(chunk)) + chunk
    body += head + struct.pack("<I", checksum(head))
    return address
