"""The heaps of an HDF5 file: local ones for names, global ones for values of variable length, fractal ones for dense groups.

Sections III.D (local), III.E (global), III.G (fractal) and III.H (free space) of the specification.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field

from weighbridge.errors import MalformedArtifactError
from weighbridge.formats.headers.hdf5_image import (
    KEPT_FREE_BYTES,
    PIECE_LIMIT_BYTES,
    Cursor,
    Image,
    UnsupportedError,
    enclosing_size,
    log2,
)
from weighbridge.formats.headers.hdf5_trees import second_tree

_TREE_OF_HUGE = (1, 3)
_ROW_LIMIT = 64


def local_heap(image: Image, address: int) -> bytes:
    """The data segment of a local heap, where names end with a zero byte."""
    size_bytes = 8 + 2 * image.length_size + image.offset_size
    cursor = image.structure(address, size_bytes, "local heap", b"HEAP")
    cursor.take(4)
    size, _free, segment = cursor.length(), cursor.length(), cursor.address()
    if segment is None or size > PIECE_LIMIT_BYTES:
        raise MalformedArtifactError("a local heap of no or too many names", locator=f"byte {cursor.place}")
    if segment == address + size_bytes:
        image.claim(segment, size, "names")
        return image.read(segment, size)
    return image.structure(segment, size, "names").data


@dataclass(slots=True, kw_only=True)
class GlobalHeaps:
    """The global heap collections that values were found in, each read once."""

    image: Image
    collections: dict[int, dict[int, bytes]] = field(default_factory=dict)
    held_bytes: int = 0

    def value(self, address: int, index: int) -> bytes:
        """One object of a collection.

        Raises:
            MalformedArtifactError: there is none.
        """
        if address not in self.collections:
            self.collections[address] = self._read(address)
        try:
            return self.collections[address][index]
        except KeyError:
            raise MalformedArtifactError(
                f"there is no object {index} in a global heap", locator=f"byte {self.image.base + address}"
            ) from None

    def _read(self, address: int) -> dict[int, bytes]:
        image = self.image
        head = image.peek(address, 8 + image.length_size)
        if head.take(4) != b"GCOL":
            raise MalformedArtifactError("there is no global heap", locator=f"byte {image.base + address}")
        head.take(4)
        size = head.length()
        self.held_bytes += size
        if self.held_bytes > 2 * PIECE_LIMIT_BYTES:
            raise UnsupportedError("global heaps of too many bytes", locator=f"byte {image.base + address}")
        cursor = image.cursor(image.read(address, size), address)
        cursor.take(min(head.at, size))
        found: dict[int, bytes] = {}
        free_from = size
        while cursor.left >= 8 + image.length_size:
            at = cursor.at
            index = cursor.number(2)
            cursor.take(6)
            length = cursor.length()
            if index == 0:
                free_from = at + 8 + image.length_size
                break
            if index in found:
                raise MalformedArtifactError("a global heap holds an object twice", locator=f"byte {cursor.place}")
            found[index] = cursor.take(length)
            cursor.align()
        image.spend(len(found), address)
        kept = size if size - free_from <= KEPT_FREE_BYTES else free_from
        image.claim(address, kept, "global heap")
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shape:
    """The doubling table of a fractal heap."""

    width: int
    start_bytes: int
    direct_limit: int
    offset_bytes: int
    is_checked: bool
    header: int

    def row_bytes(self, row: int) -> int:
        """The size of a block of a row."""
        return self.start_bytes << max(row - 1, 0)

    @property
    def direct_rows(self) -> int:
        """Rows whose blocks hold objects."""
        return log2(self.direct_limit) - log2(self.start_bytes) + 2


class FractalHeap:
    """A fractal heap with all its blocks. Invariant: `blocks` are the direct ones, by what they start with."""

    def __init__(self, image: Image, address: int) -> None:
        self.image = image
        o, n = image.offset_size, image.length_size
        cursor = image.structure(address, 26 + 12 * n + 3 * o, "fractal heap", b"FRHP")
        cursor.take(1)
        self.id_size, filtered, flags = cursor.number(2), cursor.number(2), cursor.number(1)
        largest = cursor.number(4)
        cursor.take(n)
        huge = cursor.address()
        cursor.take(n)
        free_space = cursor.address()
        cursor.take(8 * n)
        width, start, direct_limit, bits = cursor.number(2), cursor.length(), cursor.length(), cursor.number(2)
        cursor.take(2)
        root, rows = cursor.address(), cursor.number(2)
        if filtered:
            raise UnsupportedError("filtered fractal heaps are not read", locator=f"byte {cursor.place}")
        if not (0 < start <= direct_limit <= PIECE_LIMIT_BYTES and 0 < width <= 1024 and bits <= 64):
            raise MalformedArtifactError("a fractal heap that cannot be", locator=f"byte {cursor.place}")
        image.verify(cursor)
        self.shape = _Shape(
            width=width,
            start_bytes=start,
            direct_limit=direct_limit,
            offset_bytes=-(-bits // 8),
            is_checked=bool(flags & 2),
            header=address,
        )
        self.length_bytes = min((log2(direct_limit) + 7) // 8, enclosing_size(largest))
        self.blocks: list[tuple[int, bytes]] = []
        self.huge: dict[int, tuple[int, int]] = {}
        if root is not None and rows == 0:
            self._direct(root, 0, start)
        elif root is not None:
            self._indirect(root, 0, rows)
        self.blocks.sort()
        if huge is not None:
            self._take_huge(huge)
        if free_space is not None:
            claim_free_space(image, free_space)

    def _direct(self, address: int, offset: int, size: int) -> None:
        cursor = self.image.structure(address, size, "fractal heap block", b"FHDB")
        self._check(cursor, offset)
        if self.shape.is_checked:
            at = cursor.at
            self.image.verify(cursor, cursor.data[:at] + bytes(4) + cursor.data[at + 4 :], at=at)
        self.blocks.append((offset, cursor.data))

    def _check(self, cursor: Cursor, offset: int) -> None:
        cursor.take(1)
        if cursor.address() != self.shape.header or cursor.number(self.shape.offset_bytes) != offset:
            raise MalformedArtifactError("a heap block belongs to something else", locator=f"byte {cursor.place}")

    def _indirect(self, address: int, offset: int, rows: int) -> None:
        shape, image = self.shape, self.image
        self.image.spend(max(rows, 0) * shape.width, address)
        if not 0 < rows <= _ROW_LIMIT:
            raise MalformedArtifactError("a heap block of too many rows", locator=f"byte {image.base + address}")
        size = 5 + image.offset_size + shape.offset_bytes + rows * shape.width * image.offset_size + 4
        cursor = image.structure(address, size, "fractal heap table", b"FHIB")
        image.verify(cursor)
        self._check(cursor, offset)
        for row in range(rows):
            block = shape.row_bytes(row)
            for _ in range(shape.width):
                child = cursor.address()
                if child is not None and row < shape.direct_rows:
                    self._direct(child, offset, block)
                elif child is not None:
                    self._indirect(child, offset, log2(block) - log2(shape.start_bytes * shape.width) + 1)
                offset += block

    def _take_huge(self, address: int) -> None:
        kind, records = second_tree(self.image, address)
        if kind not in _TREE_OF_HUGE:
            raise UnsupportedError(
                "filtered objects of a heap are not read", locator=f"byte {self.image.base + address}"
            )
        for record in records:
            cursor = self.image.cursor(record, address)
            start, size = cursor.address(), cursor.length()
            number = cursor.length() if kind == 1 else len(self.huge)
            if start is None or number in self.huge:
                raise MalformedArtifactError("an object of a heap lies nowhere", locator=f"byte {cursor.place}")
            self.image.claim(start, size, "heap object")
            self.huge[number] = (start, size)

    def value(self, identifier: bytes) -> bytes:
        """The object of a heap ID.

        Raises:
            MalformedArtifactError: it is in none of the blocks.
        """
        cursor = self.image.cursor(identifier, self.shape.header)
        flags = cursor.number(1)
        match flags >> 4 & 3:
            case 0:
                offset, length = cursor.number(self.shape.offset_bytes), cursor.number(self.length_bytes)
                return self._managed(offset, length)
            case 1:
                number = cursor.number(min(cursor.left, self.image.length_size))
                if number not in self.huge:
                    raise MalformedArtifactError("there is no such heap object", locator=f"byte {cursor.place}")
                return self.image.read(*self.huge[number])
            case 2 if self.id_size <= 18:
                return cursor.take((flags & 15) + 1)
        raise UnsupportedError("heap objects of this kind are not read", locator=f"byte {cursor.place}")

    def _managed(self, offset: int, length: int) -> bytes:
        number = bisect_right(self.blocks, (offset, b"\xff")) - 1
        if number >= 0:
            start, data = self.blocks[number]
            if offset - start + length <= len(data):
                return data[offset - start : offset - start + length]
        raise MalformedArtifactError(
            "a heap object lies in no block", locator=f"byte {self.image.base + self.shape.header}"
        )


def claim_free_space(image: Image, address: int) -> None:
    """A free-space manager and the list of its sections; the sections themselves are nobody's."""
    o, n = image.offset_size, image.length_size
    cursor = image.structure(address, 6 + 4 * n + 8 + n + o + 2 * n + 4, "free space", b"FSHD")
    image.verify(cursor)
    cursor.take(2 + 4 * n + 8 + n)
    sections = cursor.address()
    cursor.take(n)
    if sections is not None:
        image.structure(sections, cursor.length(), "free sections", b"FSSE")
