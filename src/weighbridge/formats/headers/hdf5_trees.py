"""The B-trees of an HDF5 file (sections III.A and III.C): the first for old groups and chunks, the second for everything later."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from weighbridge.errors import MalformedArtifactError
from weighbridge.formats.headers.defects import OverLimitError
from weighbridge.formats.headers.hdf5_image import Image, enclosing_size

RECORD_LIMIT = 100_000
"""Records of one tree."""

_GROUP = 0
_CHUNKS = 1


def group_nodes(image: Image, address: int) -> Iterator[int]:
    """The addresses of the symbol table nodes of an old group, in the order of names."""
    key = image.length_size
    for _keys, children in _leaves(image, address, _GROUP, key, image.group_internal_k):
        yield from children


def chunk_entries(image: Image, address: int, rank: int) -> Iterator[tuple[int, tuple[int, ...], int]]:
    """Size, offsets (one for each dimension) and address of every chunk in a first B-tree."""
    key_size = 8 + 8 * (rank + 1)
    unpack = struct.Struct(f"<II{rank + 1}Q").unpack
    for keys, children in _leaves(image, address, _CHUNKS, key_size, image.chunk_internal_k):
        for key, child in zip(keys, children, strict=False):
            size, _mask, *offsets = unpack(key)
            yield size, tuple(offsets[:-1]), child


def _leaves(image: Image, address: int, kind: int, key_size: int, k: int) -> Iterator[tuple[list[bytes], list[int]]]:
    """Keys and children of every leaf, from the left; a level is one below that of its parent."""
    size = 8 + 2 * image.offset_size + 2 * k * image.offset_size + (2 * k + 1) * key_size
    waiting: list[tuple[int, int]] = [(address, -1)]
    total = 0
    while waiting:
        node, expected = waiting.pop()
        cursor = image.structure(node, size, "B-tree", b"TREE")
        found, level, count = cursor.number(1), cursor.number(1), cursor.number(2)
        cursor.take(2 * image.offset_size)
        if found != kind or expected not in (-1, level) or count > 2 * k:
            raise MalformedArtifactError("a B-tree node that cannot be there", locator=f"byte {cursor.place}")
        total += count
        image.spend(count, node)
        if total > RECORD_LIMIT:
            raise OverLimitError(f"a B-tree of more than {RECORD_LIMIT:,} entries", locator=f"byte {cursor.place}")
        keys, children = [], []
        for _ in range(count):
            keys.append(cursor.take(key_size))
            child = cursor.address()
            if child is None:
                raise MalformedArtifactError("a B-tree leads nowhere", locator=f"byte {cursor.place}")
            children.append(child)
        if level:
            waiting += [(child, level - 1) for child in reversed(children)]
        else:
            yield keys, children


def second_tree(image: Image, address: int) -> tuple[int, list[bytes]]:
    """The type of a second B-tree and all its records, in order."""
    o = image.offset_size
    cursor = image.structure(address, 16 + o + 2 + image.length_size + 4, "B-tree", b"BTHD")
    image.verify(cursor)
    cursor.take(1)
    kind, node_size, record_size, depth = cursor.number(1), cursor.number(4), cursor.number(2), cursor.number(2)
    cursor.take(2)
    root, count, total = cursor.address(), cursor.number(2), cursor.length()
    if total > RECORD_LIMIT:
        raise OverLimitError(f"a B-tree of {total:,} records", locator=f"byte {cursor.place}")
    if not record_size or node_size < 10 + record_size or depth > 16:
        raise MalformedArtifactError("a B-tree that cannot be", locator=f"byte {cursor.place}")
    records: list[bytes] = []
    if root is not None and total:
        _Second(image, kind, node_size, record_size, depth).walk(root, count, depth, records)
    if len(records) != total:
        raise MalformedArtifactError(
            f"a B-tree of {total:,} records holds {len(records):,}", locator=f"byte {cursor.place}"
        )
    return kind, records


class _Second:
    """The nodes of a second B-tree: how wide their numbers are, by depth (H5B2__hdr_init)."""

    def __init__(self, image: Image, kind: int, node_size: int, record_size: int, depth: int) -> None:
        self.image = image
        self.kind = kind
        self.node_size = node_size
        self.record_size = record_size
        most = (node_size - 10) // record_size
        self.count_bytes = enclosing_size(most)
        self.total_bytes = [0]
        for level in range(1, depth + 1):
            pointer = image.offset_size + self.count_bytes + self.total_bytes[level - 1]
            here = (node_size - 10 - pointer) // (record_size + pointer)
            most = (here + 1) * most + here
            self.total_bytes.append(enclosing_size(most))

    def walk(self, address: int, count: int, depth: int, records: list[bytes]) -> None:
        """Append the records of a node and of all below it."""
        signature = b"BTIN" if depth else b"BTLF"
        cursor = self.image.structure(address, self.node_size, "B-tree", signature)
        cursor.take(1)
        if cursor.number(1) != self.kind or len(records) + count > RECORD_LIMIT:
            raise MalformedArtifactError("a B-tree node of another tree", locator=f"byte {cursor.place}")
        self.image.spend(count, address)
        own = [cursor.take(self.record_size) for _ in range(count)]
        if not depth:
            self.image.verify(cursor, at=cursor.at)
            records += own
            return
        children = []
        for _ in range(count + 1):
            children.append((cursor.address(), cursor.number(self.count_bytes)))
            cursor.take(self.total_bytes[depth - 1])
        self.image.verify(cursor, at=cursor.at)
        for number, (child, inner) in enumerate(children):
            if child is None:
                raise MalformedArtifactError("a B-tree leads nowhere", locator=f"byte {cursor.place}")
            self.walk(child, inner, depth - 1, records)
            records += own[number : number + 1]
