"""A bounded reader of 7z archives: the header, whose every length is checked, and the simple chains of coders that Python unfolds.

Source: 7zFormat.txt and Methods.txt of the LZMA SDK 25.01 (public domain).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from weighbridge.errors import MalformedArtifactError
from weighbridge.formats.archives.sevenzip_coders import Coder, is_read, unfold
from weighbridge.formats.headers.defects import OverLimitError
from weighbridge.formats.reading.source import Source

MAGIC = b"7z\xbc\xaf\x27\x1c"
START_BYTES = 32
MEMBER_LIMIT = 12_000
_FOLDER_LIMIT = 4_000
_HEADER_LIMIT_BYTES = 4 << 20
_NAMES_LIMIT_BYTES = 4 << 20

_END, _HEADER, _STREAMS, _FILES, _PACK, _UNPACK, _SUBSTREAMS = 0x00, 0x01, 0x04, 0x05, 0x06, 0x07, 0x08
_SIZE, _CRC, _FOLDER, _CODER_SIZES, _STREAM_COUNTS = 0x09, 0x0A, 0x0B, 0x0C, 0x0D
_EMPTY_STREAM, _EMPTY_FILE, _ANTI, _NAMES, _ATTRIBUTES, _ENCODED = 0x0E, 0x0F, 0x10, 0x11, 0x15, 0x17
_DUMMY = 0x19
_HARMLESS = (_EMPTY_FILE, 0x12, 0x13, 0x14, _DUMMY)
"""Which of the empty ones are files, three times, and padding."""
_UNIX, _LINK, _KIND, _REPARSE = 0x8000, 0o120000, 0o170000, 0x400
"""Attributes: that a mode of Unix stands in the upper half, the link among its kinds, and the link of Windows."""


@dataclass(slots=True, kw_only=True)
class Folder:
    """Streams that were packed together, from `start` to `end` of the file. `chain` is empty where it is none that is read."""

    chain: tuple[Coder, ...]
    sizes: list[int] = field(default_factory=list)
    final: int = 0
    packed: int = 1
    crc32: int | None = None
    start: int = 0
    end: int = 0
    streams: list[tuple[int, int | None]] = field(default_factory=list)

    @property
    def size_bytes(self) -> int:
        """What it unfolds to."""
        return self.sizes[self.final]


@dataclass(slots=True, kw_only=True)
class SevenMember:
    """One name. `folder` is -1 where it has no content; `offset` is where its bytes lie in what the folder unfolds to."""

    name: str
    folder: int = -1
    offset: int = 0
    size_bytes: int = 0
    crc32: int | None = None
    is_link: bool = False


@dataclass(slots=True, kw_only=True)
class SevenArchive:
    """What the header says. `header` is where it lies; `extra` are the folders that hold it where it is packed itself."""

    folders: list[Folder] = field(default_factory=list)
    members: list[SevenMember] = field(default_factory=list)
    extra: list[Folder] = field(default_factory=list)
    header: tuple[int, int] = (0, 0)
    problems: list[str] = field(default_factory=list)


class _Bytes:
    """A header while it is read."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, size_bytes: int) -> bytes:
        if size_bytes < 0 or self.at + size_bytes > len(self.data):
            raise MalformedArtifactError("the header of the archive is cut off", locator=f"header byte {self.at}")
        self.at += size_bytes
        return self.data[self.at - size_bytes : self.at]

    def byte(self) -> int:
        return self.take(1)[0]

    def number(self) -> int:
        first, value, mask = self.byte(), 0, 0x80
        for n in range(8):
            if not first & mask:
                return value | (first & (mask - 1)) << 8 * n
            value |= self.byte() << 8 * n
            mask >>= 1
        return value

    def count(self, limit: int) -> int:
        """A number of things.

        Raises:
            OverLimitError: there are more than are read.
        """
        value = self.number()
        if value > limit:
            raise OverLimitError(f"{min(value, 1 << 62):,} where {limit:,} are read", locator=f"header byte {self.at}")
        return value

    def expect(self, mark: int) -> None:
        found = self.byte()
        if found != mark:
            raise MalformedArtifactError(
                f"0x{found:02x} stands where 0x{mark:02x} belongs", locator=f"header byte {self.at - 1}"
            )

    def bits(self, count: int) -> list[bool]:
        raw = self.take((count + 7) // 8)
        return [bool(raw[n // 8] & 0x80 >> n % 8) for n in range(count)]

    def some(self, count: int) -> list[bool]:
        """Which of the things have a value: all of them, or those whose bit is set."""
        return [True] * count if self.byte() else self.bits(count)

    def checksums(self, count: int) -> list[int | None]:
        return [struct.unpack("<I", self.take(4))[0] if is_there else None for is_there in self.some(count)]


def read_archive(source: Source) -> SevenArchive:
    """Read the header, unfolding it where it is packed.

    Raises:
        MalformedArtifactError: it is broken, or says what the file does not hold.
        OverLimitError: there is more than is read.
    """
    head = source.read_at(0, START_BYTES)
    crc, offset, size, header_crc = struct.unpack("<IQQI", head[8:])
    if zlib.crc32(head[12:]) != crc:
        raise MalformedArtifactError("the checksum of the start is wrong", locator="byte 8")
    if head[6] != 0:
        raise OverLimitError(f"version {head[6]}.{head[7]} of the format", locator="byte 6")
    archive = SevenArchive(header=(START_BYTES + offset, START_BYTES + offset + size))
    if not size:
        return archive
    raw = _checked(_piece(source, *archive.header), header_crc)
    while raw[:1] == bytes((_ENCODED,)):
        if archive.extra:
            raise MalformedArtifactError("the header is packed twice", locator=f"byte {archive.header[0]}")
        reader = _Bytes(raw[1:])
        archive.extra = _streams(reader, source)
        if len(archive.extra) != 1 or not is_read(archive.extra[0].chain):
            raise OverLimitError(
                "a header that is packed in a way that is not read", locator=f"byte {archive.header[0]}"
            )
        folder = archive.extra[0]
        if folder.size_bytes > _HEADER_LIMIT_BYTES:
            raise OverLimitError(f"a header of {folder.size_bytes:,} bytes", locator=f"byte {folder.start}")
        raw = unfold(folder.chain, source.read_at(folder.start, folder.end - folder.start), folder.size_bytes)
        raw = raw if folder.crc32 is None else _checked(raw, folder.crc32)
    _read_header(_Bytes(raw), source, archive)
    return archive


def _piece(source: Source, start: int, end: int) -> bytes:
    if end - start > _HEADER_LIMIT_BYTES:
        raise OverLimitError(f"a header of {min(end - start, 1 << 62):,} bytes", locator=f"byte {min(start, 1 << 62)}")
    return source.read_at(start, end - start)


def _checked(data: bytes, crc: int) -> bytes:
    if zlib.crc32(data) != crc:
        raise MalformedArtifactError("the checksum of the header is wrong", locator="byte 28")
    return data


def _read_header(reader: _Bytes, source: Source, archive: SevenArchive) -> None:
    reader.expect(_HEADER)
    mark = reader.byte()
    if mark == _STREAMS:
        archive.folders = _streams(reader, source)
        mark = reader.byte()
    if mark == _FILES:
        _files(reader, archive)
        mark = reader.byte()
    if mark != _END:
        raise OverLimitError(f"a part 0x{mark:02x} of the header is not read", locator=f"header byte {reader.at - 1}")
    if reader.at != len(reader.data):
        archive.problems.append("bytes stand behind the end of the header")


def _streams(reader: _Bytes, source: Source) -> list[Folder]:
    """The packed streams, the folders that they unfold to, and the streams in each of those."""
    reader.expect(_PACK)
    position = START_BYTES + reader.number()
    packed = reader.count(_FOLDER_LIMIT)
    sizes = [0] * packed
    mark = reader.byte()
    if mark == _SIZE:
        sizes = [reader.number() for _ in range(packed)]
        mark = reader.byte()
    if mark == _CRC:
        reader.checksums(packed)
        mark = reader.byte()
    if mark != _END:
        raise MalformedArtifactError("the packed streams do not end", locator=f"header byte {reader.at - 1}")
    folders = _folders(reader)
    if sum(folder.packed for folder in folders) != packed:
        raise MalformedArtifactError("folders take other streams than there are", locator=f"header byte {reader.at}")
    stretches = iter(sizes)
    for folder in folders:
        folder.start = position
        position += sum(next(stretches) for _ in range(folder.packed))
        folder.end = position
        if position > source.size_bytes:
            raise MalformedArtifactError(
                "a packed stream leaves the file", locator=f"byte {min(folder.start, 1 << 62)}"
            )
        folder.streams = [(folder.size_bytes, folder.crc32)]
    mark = reader.byte()
    if mark == _SUBSTREAMS:
        _substreams(reader, folders)
        mark = reader.byte()
    if mark != _END:
        raise MalformedArtifactError("the streams do not end", locator=f"header byte {reader.at - 1}")
    return folders


def _folders(reader: _Bytes) -> list[Folder]:
    reader.expect(_UNPACK)
    reader.expect(_FOLDER)
    count = reader.count(_FOLDER_LIMIT)
    reader.expect(0)  # not somewhere else
    folders = [_folder(reader) for _ in range(count)]
    reader.expect(_CODER_SIZES)
    for folder in folders:
        folder.sizes = [reader.number() for _ in folder.sizes]
    mark = reader.byte()
    if mark == _CRC:
        for folder, crc in zip(folders, reader.checksums(count), strict=True):
            folder.crc32 = crc
        mark = reader.byte()
    if mark != _END:
        raise MalformedArtifactError("the folders do not end", locator=f"header byte {reader.at - 1}")
    return folders


def _folder(reader: _Bytes) -> Folder:
    coders: list[tuple[Coder, int, int]] = []
    count = reader.count(8)
    for _ in range(count):
        flags = reader.byte()
        name = reader.take(flags & 0x0F)
        inputs, outputs = (reader.count(8), reader.count(8)) if flags & 0x10 else (1, 1)
        properties = reader.take(reader.count(1 << 12)) if flags & 0x20 else b""
        coders.append((Coder(name, properties), inputs, outputs))
    inputs, outputs = sum(coder[1] for coder in coders), sum(coder[2] for coder in coders)
    if not outputs or inputs < outputs - 1:
        raise MalformedArtifactError("a folder without an output", locator=f"header byte {reader.at}")
    bound = {reader.number(): reader.number() for _ in range(outputs - 1)}
    packed = inputs - (outputs - 1)
    if packed > 1:
        for _ in range(packed):
            reader.number()
    finals = [n for n in range(outputs) if n not in bound.values()]
    if len(finals) != 1 or len(bound) != outputs - 1:
        raise MalformedArtifactError("the coders of a folder are bound in no order", locator=f"header byte {reader.at}")
    is_simple = packed == 1 and inputs == outputs == count
    chain = _chain([coder[0] for coder in coders], bound) if is_simple else ()
    return Folder(chain=chain, sizes=[0] * outputs, final=finals[0], packed=packed)


def _chain(coders: list[Coder], bound: dict[int, int]) -> tuple[Coder, ...]:
    """The coders in the order that unfolds; nothing where they make no chain."""
    follows = {out: taker for taker, out in bound.items()}
    position = next((n for n in range(len(coders)) if n not in bound), None)
    chain: list[Coder] = []
    while position is not None and position < len(coders) and len(chain) < len(coders):
        chain.append(coders[position])
        position = follows.get(position)
    return tuple(chain) if len(chain) == len(coders) and position is None else ()


def _substreams(reader: _Bytes, folders: list[Folder]) -> None:
    counts = [1] * len(folders)
    mark = reader.byte()
    if mark == _STREAM_COUNTS:
        counts = [reader.count(MEMBER_LIMIT) for _ in folders]
        mark = reader.byte()
    if sum(counts) > MEMBER_LIMIT:
        raise OverLimitError(f"more than {MEMBER_LIMIT:,} members", locator=f"header byte {reader.at}")
    for folder, count in zip(folders, counts, strict=True):
        sizes = [reader.number() for _ in range(count - 1)] if mark == _SIZE else []
        left = folder.size_bytes - sum(sizes)
        if left < 0 or (count > 1 and mark != _SIZE):
            raise MalformedArtifactError("streams are longer than their folder", locator=f"header byte {reader.at}")
        known = folder.crc32 if count == 1 else None
        folder.streams = [(size, known) for size in (*sizes, left)] if count else []
    if mark == _SIZE:
        mark = reader.byte()
    if mark == _CRC:
        unknown = [(folder, n) for folder in folders for n, (_, crc) in enumerate(folder.streams) if crc is None]
        for (folder, n), crc in zip(unknown, reader.checksums(len(unknown)), strict=True):
            folder.streams[n] = (folder.streams[n][0], crc)
        mark = reader.byte()
    if mark != _END:
        raise MalformedArtifactError("the streams of the folders do not end", locator=f"header byte {reader.at - 1}")


def _files(reader: _Bytes, archive: SevenArchive) -> None:
    count = reader.count(MEMBER_LIMIT)
    names, empty, links = [""] * count, [False] * count, [False] * count
    for mark, body in _properties(reader, archive):
        if mark == _NAMES:
            names = _names(body, count)
        elif mark == _EMPTY_STREAM:
            empty = body.bits(count)
        elif mark == _ATTRIBUTES:
            links = _links(body, count)
        elif problem := _property_problem(mark, body):
            archive.problems.append(problem)
    if not all(folder.streams for folder in archive.folders):
        archive.problems.append("bytes are packed that belong to no file")
    streams = [(n, at, stream) for n, folder in enumerate(archive.folders) for at, stream in _offsets(folder)]
    if len(streams) != count - sum(empty):
        raise MalformedArtifactError("there are other streams than files", locator=f"header byte {reader.at}")
    contents = iter(streams)
    for name, is_empty, is_link in zip(names, empty, links, strict=True):
        member = SevenMember(name=name, is_link=is_link)
        if not is_empty:
            member.folder, member.offset, (member.size_bytes, member.crc32) = next(contents)
        archive.members.append(member)


def _properties(reader: _Bytes, archive: SevenArchive) -> Iterator[tuple[int, _Bytes]]:
    """The properties of the files, each of which stands once: archivers disagree about which of two counts."""
    seen = {0}
    while mark := reader.byte():
        if mark in seen and mark != _DUMMY:
            archive.problems.append(f"the property 0x{mark:02x} of the files stands twice")
        seen.add(mark)
        yield mark, _Bytes(reader.take(reader.count(_NAMES_LIMIT_BYTES)))


def _property_problem(mark: int, body: _Bytes) -> str:
    """What is wrong with a property that says nothing of names and contents."""
    if mark == _ANTI:
        return "the archive deletes files where it is unpacked"
    if mark == _DUMMY and body.data.strip(b"\0"):
        return "the padding of the header holds something"
    return "" if mark in _HARMLESS else f"files have a property 0x{mark:02x} that is not known here"


def _offsets(folder: Folder) -> list[tuple[int, tuple[int, int | None]]]:
    found, at = [], 0
    for stream in folder.streams:
        found.append((at, stream))
        at += stream[0]
    return found


def _names(body: _Bytes, count: int) -> list[str]:
    body.expect(0)  # not somewhere else
    text = body.data[1:].decode("utf-16-le", "backslashreplace")
    names = text.split("\0")
    if len(names) != count + 1 or names[-1]:
        raise MalformedArtifactError("there are other names than files", locator="header names")
    return names[:-1]


def _links(body: _Bytes, count: int) -> list[bool]:
    is_there = body.some(count)
    body.expect(0)  # not somewhere else
    attributes = [struct.unpack("<I", body.take(4))[0] if there else 0 for there in is_there]
    return [bool(value & _REPARSE) or (bool(value & _UNIX) and value >> 16 & _KIND == _LINK) for value in attributes]
