"""The superblock of an HDF5 file, versions 0 to 3 (section II.A), at byte 0 or behind a user block."""

from __future__ import annotations

from dataclasses import dataclass

from weighbridge.errors import MalformedArtifactError
from weighbridge.formats.headers.defects import UNJUDGED, Defects
from weighbridge.formats.headers.hdf5_image import Cursor, Image, UnsupportedError
from weighbridge.formats.reading.source import Source

SIGNATURE = b"\x89HDF\r\n\x1a\n"
_SIZES = (2, 4, 8)
_UNUSED_BYTES = 4 + 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Superblock:
    """Where the root group is, and what extends the superblock. `end` is where the file says that it ends."""

    version: int
    root: int
    extension: int | None
    end: int


def find_superblock(source: Source) -> int:
    """Where the signature is: at 0, 512, 1024 and so on by doubling; -1 where it is nowhere."""
    at = 0
    while at + len(SIGNATURE) <= source.size_bytes:
        if source.read_at(at, len(SIGNATURE)) == SIGNATURE:
            return at
        at = at * 2 or 512
    return -1


def read_superblock(image: Image, defects: Defects) -> Superblock:
    """Read it, and set the base and the sizes of the image.

    Raises:
        MalformedArtifactError: there is none, or it claims what cannot be.
        UnsupportedError: another version.
    """
    start = find_superblock(image.source)
    if start < 0:
        raise MalformedArtifactError("there is no signature of an HDF5 file", locator="byte 0")
    image.base = start
    head = image.peek(0, 16)
    head.take(8)
    version = head.number(1)
    if version > 3:
        raise UnsupportedError(f"superblocks of version {version} are not read", locator=f"byte {start + 8}")
    block = _before(image, version) if version < 2 else _after(image)
    if start:
        _user_block(image.source, start, defects)
    if block.end > image.source.size_bytes:
        message = f"the file says that it ends at {block.end:,}, and ends at {image.source.size_bytes:,}"
        defects.add("hdf5.bounds", message, f"byte {start}")
    return block


def _sizes(image: Image, cursor: Cursor) -> None:
    offset_size, length_size = cursor.number(1), cursor.number(1)
    if offset_size not in _SIZES or length_size not in _SIZES:
        raise UnsupportedError(f"addresses of {offset_size} bytes", locator=f"byte {cursor.place}")
    image.offset_size = cursor.offset_size = offset_size
    image.length_size = cursor.length_size = length_size


def _before(image: Image, version: int) -> Superblock:
    head = image.peek(0, 16)
    head.take(13)
    _sizes(image, head)
    o = image.offset_size
    size = 24 + 4 * version + 4 * o + 2 * o + 8 + 16
    cursor = image.structure(0, size, "superblock", SIGNATURE)
    cursor.take(8)
    image.group_leaf_k, image.group_internal_k = cursor.number(2), cursor.number(2)
    cursor.take(4)
    if version:
        image.chunk_internal_k = cursor.number(2)
        cursor.take(2)
    base, free, end, driver = (cursor.address() for _ in range(4))
    cursor.take(o)
    root = cursor.address()
    if driver is not None or free is not None:
        raise UnsupportedError("files in several parts are not read", locator=f"byte {cursor.place}")
    return _checked(image, version, base, end, root, None)


def _after(image: Image) -> Superblock:
    head = image.peek(0, 16)
    head.take(8)
    version = head.number(1)
    _sizes(image, head)
    cursor = image.structure(0, 12 + 4 * image.offset_size + 4, "superblock", SIGNATURE)
    image.verify(cursor)
    cursor.take(4)
    base, extension, end, root = (cursor.address() for _ in range(4))
    return _checked(image, version, base, end, root, extension)


def _checked(
    image: Image, version: int, base: int | None, end: int | None, root: int | None, extension: int | None
) -> Superblock:
    if base != image.base or root is None or end is None:
        raise MalformedArtifactError("the base address is not where the superblock is", locator=f"byte {image.base}")
    return Superblock(version=version, root=root, extension=extension, end=end)


def _user_block(source: Source, size_bytes: int, defects: Defects) -> None:
    if size_bytes > 1 << 20:
        defects.add("hdf5.user-block", "a user block of over 1 MiB stands before the file", "byte 0", grade=UNJUDGED)
    elif source.read_at(0, size_bytes).strip(b"\0"):
        message = "something stands before the superblock, where other programs begin to read"
        defects.add("hdf5.user-block", message, "byte 0")
