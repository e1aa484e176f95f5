"""Where the chunks of a dataset lie, by each of the indexes that HDF5 has (section III.A, and Appendix C of version 3)."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from weighbridge.errors import MalformedArtifactError
from weighbridge.formats.headers.defects import OverLimitError
from weighbridge.formats.headers.hdf5_image import Cursor, Image, UnsupportedError, log2
from weighbridge.formats.headers.hdf5_messages import Layout
from weighbridge.formats.headers.hdf5_trees import RECORD_LIMIT, chunk_entries, second_tree

Stored = tuple[int, int]
"""Address and size of one chunk as it lies in the file."""

_BTREE_OF_CHUNKS = (10, 11)


def chunks_of(image: Image, layout: Layout, shape: tuple[int, ...], *, is_filtered: bool) -> Iterator[Stored]:
    """Every chunk that is stored; the index is claimed, the chunks are not.

    Raises:
        MalformedArtifactError: the index is not sound, or a chunk lies outside the dataset.
        UnsupportedError: an index that is not read.
        OverLimitError: too many chunks.
    """
    if layout.address is None:
        return
    full = prod(layout.chunk) * layout.element_bytes
    if not full or full >= 1 << 63:
        raise MalformedArtifactError("the dimensions of a chunk overflow, or are 0", locator=f"byte {layout.address}")
    if layout.index == 0:
        yield from _in_first_tree(image, layout, shape, full, is_filtered=is_filtered)
    elif layout.index == 1:
        yield layout.address, layout.only_size if layout.only_size >= 0 else full
    elif layout.index == 2:
        yield layout.address, full * _count(layout, shape)
    elif layout.index == 5:
        yield from _in_second_tree(image, layout, full)
    else:
        array = _FixedArray if layout.index == 3 else _ExtensibleArray
        for entry in array(image, layout.address).entries():
            address = entry.address()
            size = entry.number(entry.left - 4) if is_filtered else full
            if address is not None:
                yield address, size


def _count(layout: Layout, shape: tuple[int, ...]) -> int:
    return prod(-(-length // side) for length, side in zip(shape, layout.chunk, strict=False))


def _in_first_tree(
    image: Image, layout: Layout, shape: tuple[int, ...], full: int, *, is_filtered: bool
) -> Iterator[Stored]:
    seen: set[tuple[int, ...]] = set()
    address = layout.address or 0
    for size, offsets, place in chunk_entries(image, address, len(layout.chunk)):
        if offsets in seen:
            raise MalformedArtifactError("a chunk is there twice", locator=f"byte {image.base + place}")
        if any(
            offset >= length or offset % side for offset, length, side in zip(offsets, shape, layout.chunk, strict=True)
        ):
            raise MalformedArtifactError("a chunk lies outside its dataset", locator=f"byte {image.base + place}")
        if not is_filtered and size != full:
            raise MalformedArtifactError(
                f"a chunk of {size:,} bytes, not {full:,}", locator=f"byte {image.base + place}"
            )
        seen.add(offsets)
        yield place, size


def _in_second_tree(image: Image, layout: Layout, full: int) -> Iterator[Stored]:
    kind, records = second_tree(image, layout.address or 0)
    if kind not in _BTREE_OF_CHUNKS:
        raise MalformedArtifactError("an index of something else than chunks", locator=f"byte {layout.address}")
    for record in records:
        cursor = image.cursor(record, layout.address or 0)
        address = cursor.address()
        size = cursor.number(cursor.left - 4 - 8 * len(layout.chunk)) if kind == 11 else full
        if address is not None:
            yield address, size


class _FixedArray:
    """A fixed array: a header, one data block, in pages where it is long."""

    def __init__(self, image: Image, address: int) -> None:
        self.image = image
        n, o = image.length_size, image.offset_size
        cursor = image.structure(address, 8 + n + o + 4, "fixed array", b"FAHD")
        image.verify(cursor)
        cursor.take(2)
        self.entry_size, page_bits = cursor.number(1), cursor.number(1)
        self.count, self.block = cursor.length(), cursor.address()
        self.page = 1 << min(page_bits, 40)
        if self.count > RECORD_LIMIT:
            raise OverLimitError(f"a dataset of {self.count:,} chunks", locator=f"byte {cursor.place}")

    def entries(self) -> Iterator[Cursor]:
        """A cursor over every entry."""
        if self.block is None:
            return
        lead = 6 + self.image.offset_size
        if self.count <= self.page:
            size = lead + self.count * self.entry_size + 4
            cursor = self.image.structure(self.block, size, "fixed array block", b"FADB")
            self.image.verify(cursor)
            cursor.take(lead - 4)
            yield from _split(self.image, cursor, self.count, self.entry_size)
            return
        pages = -(-self.count // self.page)
        head = lead + -(-pages // 8) + 4
        whole = head + self.count * self.entry_size + 4 * pages
        cursor = self.image.structure(self.block, whole, "fixed array block", b"FADB")
        cursor.take(lead - 4)
        written = cursor.take(-(-pages // 8))
        cursor.take(4)
        for number in range(pages):
            count = min(self.page, self.count - number * self.page)
            raw = cursor.take(count * self.entry_size)
            cursor.take(4)
            if written[number // 8] & (0x80 >> number % 8):
                yield from _split(self.image, self.image.cursor(raw, cursor.place), count, self.entry_size)


def _split(image: Image, cursor: Cursor, count: int, entry_size: int) -> Iterator[Cursor]:
    place = cursor.place - image.base
    image.spend(count, place)
    for _ in range(count):
        yield image.cursor(cursor.take(entry_size), place)


class _ExtensibleArray:
    """An extensible array (H5EA): an index block with the first entries, then data blocks that double, behind super blocks."""

    def __init__(self, image: Image, address: int) -> None:
        self.image = image
        n, o = image.length_size, image.offset_size
        cursor = image.structure(address, 12 + 6 * n + o + 4, "extensible array", b"EAHD")
        image.verify(cursor)
        cursor.take(2)
        self.entry_size, self.most_bits = cursor.number(1), cursor.number(1)
        self.in_index, self.block_min = cursor.number(1), cursor.number(1)
        self.super_min, self.page_bits = cursor.number(1), cursor.number(1)
        cursor.take(4 * n)
        self.used = cursor.length()
        cursor.take(n)
        self.index = cursor.address()
        self.place = cursor.place
        self.offset_bytes = -(-self.most_bits // 8)
        self.left = RECORD_LIMIT
        if not (
            self.block_min and self.super_min and self.most_bits <= 64 and self.page_bits <= 40 and self.entry_size
        ):
            raise MalformedArtifactError("an extensible array that cannot be", locator=f"byte {cursor.place}")
        if self.super_min & (self.super_min - 1) or self.block_min & (self.block_min - 1):
            raise UnsupportedError("an extensible array of odd blocks", locator=f"byte {cursor.place}")

    def entries(self) -> Iterator[Cursor]:
        """A cursor over every entry that may be written, in order."""
        if self.index is None:
            return
        o = self.image.offset_size
        supers = 1 + self.most_bits - log2(self.block_min)
        first_supers = 2 * log2(self.super_min)
        plain = 2 * (self.super_min - 1)
        size = 6 + o + self.in_index * self.entry_size + plain * o + max(supers - first_supers, 0) * o + 4
        cursor = self.image.structure(self.index, size, "extensible array index", b"EAIB")
        self.image.verify(cursor)
        cursor.take(2 + o)
        yield from _split(self.image, cursor, self.in_index, self.entry_size)
        for number in range(supers):
            blocks, count = 1 << (number // 2), self.block_min << ((number + 1) // 2)
            if number < first_supers:
                for _ in range(blocks):
                    yield from self._block(cursor.address(), count)
            else:
                yield from self._super(cursor.address(), blocks, count)

    def _super(self, address: int | None, blocks: int, count: int) -> Iterator[Cursor]:
        if address is None:
            return
        self._spend(blocks)
        o = self.image.offset_size
        pages = count >> self.page_bits if count > 1 << self.page_bits else 0
        map_bytes = blocks * -(-pages // 8)
        size = 6 + o + self.offset_bytes + map_bytes + blocks * o + 4
        cursor = self.image.structure(address, size, "extensible array super block", b"EASB")
        self.image.verify(cursor)
        cursor.take(2 + o + self.offset_bytes)
        written = cursor.take(map_bytes)
        each = -(-pages // 8)
        for number in range(blocks):
            yield from self._block(cursor.address(), count, written[number * each : (number + 1) * each])

    def _block(self, address: int | None, count: int, written: bytes = b"") -> Iterator[Cursor]:
        if address is None:
            return
        self._spend(count)
        lead = 6 + self.image.offset_size + self.offset_bytes
        pages = count >> self.page_bits if count > 1 << self.page_bits else 0
        size = lead + count * self.entry_size + 4 * (pages + 1)
        cursor = self.image.structure(address, size, "extensible array block", b"EADB")
        cursor.take(lead - 4)
        if not pages:
            self.image.verify(cursor)
            yield from _split(self.image, cursor, count, self.entry_size)
            return
        cursor.take(4)
        for number in range(pages):
            raw = self.image.cursor(cursor.take(self.entry_size << self.page_bits), address)
            cursor.take(4)
            if written[number // 8 : number // 8 + 1] and written[number // 8] & (0x80 >> number % 8):
                yield from _split(self.image, raw, 1 << self.page_bits, self.entry_size)

    def _spend(self, count: int) -> None:
        self.image.spend(count, 0)
        self.left -= count
        if self.left < 0:
            raise OverLimitError(f"a dataset of more than {RECORD_LIMIT:,} chunks", locator=f"byte {self.place}")
