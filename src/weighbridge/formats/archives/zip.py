"""A bounded zip reader that believes nothing twice: end record, zip64, central directory and every local header.

Readers of zip files differ in which of these they trust (miniz in torch takes the central directory and the lengths of the
local header; Python's zipfile shifts offsets by prepended bytes; streaming readers see only local headers). Where the records
agree and tile the file without gap or overlap, all readers see the same members. Everything else is a problem, and a
problem does not stop the walk: what can be located is still examined.

Source: PKWARE APPNOTE.TXT 6.3.10, sections 4.3 to 4.5; miniz 3.0 as bundled with torch 2.13.
"""

from __future__ import annotations

import stat
import struct
import zlib
from contextlib import suppress
from dataclasses import dataclass, field

from weighbridge.errors import MalformedArtifactError
from weighbridge.formats.archives.tar import is_tar, walk_tar
from weighbridge.formats.headers.defects import OverLimitError
from weighbridge.formats.reading.source import Inflated, Source
from weighbridge.formats.reading.spans import Span
from weighbridge.vocabulary import SpanKind, clip

MEMBER_LIMIT = 12_000
"""Most members read, which takes half a second; a checkpoint has one for each storage."""
DIRECTORY_LIMIT_BYTES = 64 << 20
PROBLEM_LIMIT = 20
STORED, DEFLATED = 0, 8
_NEWEST_VERSION = 63
"""6.3, the newest version of the format that a member may need; Python's zipfile reads none beyond it."""
RATIO_LIMIT, RATIO_FREE_BYTES = 200, 4 << 20
"""Largest expansion of a compressed member, and the size up to which any is let pass: zeros pack a thousand times."""

_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR = struct.Struct("<4sLQL")
_FAT = 0
"""The system, in "version made by", whose external attributes hold no file mode; Unix is 3, and others do as it does (APPNOTE 4.4.2)."""
_CENTRAL = struct.Struct("<4s4B4HL2L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_ALLOWED_FLAGS = 0x0800 | 0x0008 | 0x0006
_ZIP64, _TORCH_PADDING = 0x0001, 0x4246
_HARMLESS_EXTRAS = (0x5455, 0x7875, 0x000A)
"""Timestamps and Unix owners, as Info-ZIP and Windows write them."""
_EXTRA_LIMIT = 16
_FULL16, _FULL32 = 0xFFFF, 0xFFFFFFFF


@dataclass(slots=True, kw_only=True)
class Member:
    """One member as the central directory has it. `data_offset` is where its bytes begin; -1 where that is unknown."""

    name: str
    method: int
    flags: int
    crc32: int
    stored_bytes: int
    size_bytes: int
    header_offset: int
    data_offset: int = -1

    @property
    def end(self) -> int:
        """The byte after the stored data."""
        return self.data_offset + self.stored_bytes


@dataclass(slots=True, kw_only=True)
class Archive:
    """What the walk found. `spans` cover everything but the members' data; `problems` are (message, locator)."""

    members: list[Member] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)

    def complain(self, message: str, offset: int) -> None:
        """Record a disagreement."""
        if len(self.problems) < PROBLEM_LIMIT:
            self.problems.append((clip(message, 300), f"byte {offset}"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Directory:
    """Where the central directory lies and how many members it announces.

    The end records lie from `end_offset` to `stop`. `shift` is what the offsets in the directory are off by.
    """

    offset: int
    size_bytes: int
    count: int
    end_offset: int
    stop: int
    shift: int = 0


def find_directory(source: Source, archive: Archive | None = None) -> Directory:
    """Read the end records.

    Raises:
        MalformedArtifactError: there is no end record, or it points outside the file.
    """
    archive = archive or Archive()
    place = _find_end(source, archive)
    _, disk, first_disk, here, count, size, offset, _comment = _END.unpack(source.read_at(place, _END.size))
    end, stop = place, place + _END.size
    if disk not in (0, _FULL16) or first_disk not in (0, _FULL16) or here != count:
        archive.complain("the archive claims to be one of several disks", place)
    wide = _read_end64(source, place, archive)
    if wide is not None:
        end, *values = wide
        narrow = ((count, _FULL16), (size, _FULL32), (offset, _FULL32))
        for (small, full), large in zip(narrow, values, strict=True):
            if small not in (full, large):
                archive.complain("the end record and the zip64 end record disagree", place)
        count, size, offset = values
    elif _FULL32 in (size, offset) or count == _FULL16:
        archive.complain("a zip64 end record is announced and missing", place)
    if MEMBER_LIMIT < count <= size // _CENTRAL.size and size <= end:
        raise OverLimitError(f"{count:,} members, this release reads {MEMBER_LIMIT:,}", locator=f"byte {place}")
    if size > min(DIRECTORY_LIMIT_BYTES, end) or count > MEMBER_LIMIT:
        raise MalformedArtifactError(
            "the central directory is larger than the file or than is read", locator=f"byte {place}"
        )
    shift = end - size - offset
    if shift:
        archive.complain(
            "the central directory is not where the end record says: bytes were put before or inside", place
        )
        if 0 <= offset <= source.size_bytes - 4 and source.read_at(offset, 4) == b"PK\x01\x02":
            size = min(size, end - offset)
            return Directory(offset=offset, size_bytes=size, count=count, end_offset=end, stop=stop)
    return Directory(offset=end - size, size_bytes=size, count=count, end_offset=end, stop=stop, shift=shift)


def is_archive(source: Source) -> bool:
    """Whether readers find a directory in a file, whatever else is wrong with the archive.

    The last member of a tar may be a zip, whose end record a reader then finds near the end of the tar: what it sees is that
    member, which is examined as such, so that the tar is no zip.

    Raises:
        MalformedArtifactError: there is no usable end record.
    """
    place = _find_end(source, Archive())
    *_, size, offset, comment = _END.unpack(source.read_at(place, _END.size))
    ends = [(place - size, offset)]
    with suppress(MalformedArtifactError):  # not every reader looks at it
        if wide := _read_end64(source, place, Archive()):
            ends.append((wide[0] - wide[2], wide[3]))
    last = source.size_bytes - 4
    starts = {start for pair in ends for start in pair if 0 <= start <= last and _is_central(source, start)}
    stop = place + _END.size + comment
    inner = {start for start, offset in ends if _is_tar_member(source, start - offset, stop)} if starts else set()
    return bool(starts - inner)


def _is_central(source: Source, at: int) -> bool:
    return source.read_at(at, 4) == b"PK\x01\x02"


def _is_tar_member(source: Source, start: int, stop: int) -> bool:
    """Whether these bytes begin a member of a tar and end in it."""
    if start < 0 or not is_tar(source):
        return False
    try:
        members = walk_tar(source).members
    except MalformedArtifactError:
        return False
    return any(member.start == start and stop <= member.end for member in members)


def _find_end(source: Source, archive: Archive) -> int:
    size = source.size_bytes
    if size >= _END.size and source.read_at(size - _END.size, 4) == b"PK\x05\x06":
        place = size - _END.size
        if source.read_at(size - 2, 2) == b"\0\0":
            return place
    tail_size = min(size, _END.size + 0xFFFF)
    tail = source.read_at(size - tail_size, tail_size)
    at = tail.rfind(b"PK\x05\x06", 0, max(tail_size - _END.size + 4, 0))
    if at < 0:
        raise MalformedArtifactError(
            "no end record: this is not a zip archive, or it is cut off", locator=f"byte {size}"
        )
    place = size - tail_size + at
    archive.complain("bytes follow the end record", place + _END.size)
    return place


def _read_end64(source: Source, place: int, archive: Archive) -> tuple[int, int, int, int] | None:
    at = place - _LOCATOR.size
    if at < _END64.size or source.read_at(at, 4) != b"PK\x06\x07":
        return None
    _, disk, where, disks = _LOCATOR.unpack(source.read_at(at, _LOCATOR.size))
    record = at - _END64.size
    magic, size, _, _, disk64, first64, here, count, directory_size, offset = _END64.unpack(
        source.read_at(record, _END64.size)
    )
    if magic != b"PK\x06\x06":
        raise MalformedArtifactError("the zip64 end record is not before its locator", locator=f"byte {at}")
    if (
        where != record
        or size != _END64.size - 12
        or (disk, disk64, first64) != (0, 0, 0)
        or disks > 1
        or here != count
    ):
        archive.complain("the zip64 end record is not the one that its locator names", record)
    return record, count, directory_size, offset


def walk(source: Source, *, start: int = 0) -> Archive:
    """Read every record of an archive, whose first member begins at `start`: behind what it was appended to.

    Raises:
        MalformedArtifactError: there is no usable central directory.
    """
    archive = Archive()
    directory = find_directory(source, archive)
    _read_directory(source, directory, archive)
    _check_names(archive)
    position = start
    for member in sorted(archive.members, key=lambda m: m.header_offset):
        position = _read_local(source, member, position, directory, archive)
    if position != directory.offset:
        archive.complain("bytes lie between the last member and the central directory", position)
    stop = directory.offset + directory.size_bytes
    archive.spans.append(Span(start=directory.offset, end=stop, kind=SpanKind.HEADER, note="central directory"))
    archive.spans.append(Span(start=directory.end_offset, end=directory.stop, kind=SpanKind.HEADER, note="end records"))
    return archive


def _read_directory(source: Source, directory: Directory, archive: Archive) -> None:
    data = source.read_at(directory.offset, directory.size_bytes)
    at = 0
    while at < len(data):
        if at + _CENTRAL.size > len(data) or data[at : at + 4] != b"PK\x01\x02":
            raise MalformedArtifactError("the central directory is broken", locator=f"byte {directory.offset + at}")
        fields = _CENTRAL.unpack_from(data, at)
        lengths = fields[12:15]
        body = at + _CENTRAL.size
        if len(archive.members) >= MEMBER_LIMIT:
            raise OverLimitError(f"more than {MEMBER_LIMIT:,} members", locator=f"byte {directory.offset + at}")
        if body + sum(lengths) > len(data):
            raise MalformedArtifactError("the central directory is broken", locator=f"byte {directory.offset + at}")
        raw_name = data[body : body + lengths[0]]
        extra = data[body + lengths[0] : body + lengths[0] + lengths[1]]
        archive.members.append(_member(fields, raw_name, extra, directory, archive))
        if lengths[2]:
            archive.complain("a member carries a comment", directory.offset + at)
        at = body + sum(lengths)
    if len(archive.members) != directory.count:
        archive.complain(
            f"the end record announces {directory.count} members, the directory has {len(archive.members)}",
            directory.offset,
        )


def _member(fields: tuple[int, ...], raw_name: bytes, extra: bytes, directory: Directory, archive: Archive) -> Member:
    flags, method, crc, stored, size, disk, offset = *fields[5:7], *fields[9:12], fields[15], fields[18]
    place = directory.offset
    if fields[3] > _NEWEST_VERSION:
        archive.complain(f"a member needs version {fields[3] / 10:g} of the format, which does not exist", place)
    for kind, body in _extras(extra, archive, place):
        if kind == _ZIP64:
            wanted = [value == _FULL32 for value in (size, stored, offset)]
            if len(body) != 8 * sum(wanted):
                archive.complain("a zip64 field has the wrong length", place)
                continue
            values = list(struct.unpack(f"<{sum(wanted)}Q", body))
            size = values.pop(0) if wanted[0] else size
            stored = values.pop(0) if wanted[1] else stored
            offset = values.pop(0) if wanted[2] else offset
        elif kind not in _HARMLESS_EXTRAS:
            archive.complain(f"a member carries an extra field 0x{kind:04x} in the directory", place)
    if disk:
        archive.complain("a member lies on another disk", place)
    if stat.S_ISLNK(fields[17] >> 16) and fields[2] != _FAT:
        archive.complain("a member is a symbolic link, which leads wherever it says once it is unpacked", place)
    return Member(
        name=_name(raw_name, flags, archive, place),
        method=method,
        flags=flags,
        crc32=crc,
        stored_bytes=stored,
        size_bytes=size,
        header_offset=offset + directory.shift,
    )


def _extras(extra: bytes, archive: Archive, place: int) -> list[tuple[int, bytes]]:
    found: list[tuple[int, bytes]] = []
    at = 0
    while at + 4 <= len(extra) and len(found) <= _EXTRA_LIMIT:
        kind, length = struct.unpack_from("<HH", extra, at)
        found.append((kind, extra[at + 4 : at + 4 + length]))
        at += 4 + length
    if len({kind for kind, _ in found}) != len(found):
        archive.complain("a member carries an extra field twice", place)
    if at != len(extra):
        archive.complain("the extra fields of a member do not add up", place)
    return found


def _name(raw: bytes, flags: int, archive: Archive, place: int) -> str:
    try:
        name = raw.decode("utf-8")
    except UnicodeDecodeError:
        archive.complain("a member's name is not valid UTF-8", place)
        return raw.decode("utf-8", "backslashreplace")
    if not raw.isascii() and not flags & 0x0800:
        archive.complain(f"the name {name} is read differently by different readers", place)
    return name


def _check_names(archive: Archive) -> None:
    seen: set[str] = set()
    for member in archive.members:
        name, folded = member.name, member.name.casefold()
        if folded in seen:
            archive.complain(f"two members are called {name}", member.header_offset)
        seen.add(folded)
        parts = name.removesuffix("/").split("/")
        if not name.isprintable() or "\\" in name or ":" in name or {"", ".", ".."} & set(parts) or len(name) > 1024:
            archive.complain(f"the name {name} leaves the archive or hides something", member.header_offset)
        if name.endswith("/") and member.size_bytes:
            archive.complain(f"the folder {name} has content", member.header_offset)


def _read_local(source: Source, member: Member, position: int, directory: Directory, archive: Archive) -> int:
    """Compare one local header with the directory; gives the byte after the member."""
    start = member.header_offset
    if start < 0 or start + _LOCAL.size > directory.offset:
        archive.complain(f"{member.name} lies outside the archive", max(start, 0))
        return position
    head = source.read_at(start, min(_LOCAL.size + len(member.name) + 256, directory.offset - start))
    magic, _, flags, method, _, _, crc, stored, size, name_length, extra_length = _LOCAL.unpack_from(head)
    body = _LOCAL.size + name_length + extra_length
    if magic != b"PK\x03\x04" or start + body + member.stored_bytes > directory.offset:
        archive.complain(f"{member.name} has no local header, or its data leaves the archive", start)
        return position
    if body > len(head):
        head = source.read_at(start, body)
    member.data_offset = start + body
    if start != position:
        archive.complain(
            f"{member.name} {'overlaps' if start < position else 'leaves a gap to'} what lies before it", start
        )
    local_name = head[_LOCAL.size : _LOCAL.size + name_length]
    if local_name != member.name.encode("utf-8", "surrogateescape") or (flags, method) != (member.flags, member.method):
        archive.complain(f"{member.name} has another name, method or flags in its local header", start)
    _check_method(member, archive)
    extra = head[body - extra_length : body]
    is_wide = _check_extras(extra, member, archive)
    said, known = (crc, stored, size), (member.crc32, member.stored_bytes, member.size_bytes)
    is_later = bool(flags & 0x0008) and not any(value % _FULL32 for value in said)
    fits = all(value == right or (is_wide and value == _FULL32) for value, right in zip(said, known, strict=True))
    if not fits and not is_later:
        archive.complain(f"{member.name} has another size or checksum in its local header", start)
    _claim_header(start, body, extra, archive)
    return _read_descriptor(source, member, directory, archive)


def _check_method(member: Member, archive: Archive) -> None:
    place = member.header_offset
    if member.flags & ~_ALLOWED_FLAGS:
        archive.complain(f"{member.name} is marked as encrypted or patched (flags 0x{member.flags:04x})", place)
    if member.method not in (STORED, DEFLATED):
        archive.complain(f"{member.name} is compressed by method {member.method}", place)
    if member.method == STORED and member.stored_bytes != member.size_bytes:
        archive.complain(f"{member.name} is stored, but not at its size", place)
    if _unfolds_too_far(member):
        archive.complain(f"{member.name} unfolds more than {RATIO_LIMIT} times", place)


def _unfolds_too_far(member: Member) -> bool:
    is_large = member.method == DEFLATED and member.size_bytes > RATIO_FREE_BYTES
    return is_large and member.size_bytes > member.stored_bytes * RATIO_LIMIT


def _check_extras(extra: bytes, member: Member, archive: Archive) -> bool:
    """Whether the local header has a zip64 field; complains about fields that nothing explains."""
    is_wide = False
    known = {0, member.size_bytes, member.stored_bytes, member.header_offset}
    for kind, body in _extras(extra, archive, member.header_offset):
        if kind == _ZIP64:
            is_wide = True
            if len(body) % 8 or not known.issuperset(struct.unpack(f"<{len(body) // 8}Q", body[: len(body) // 8 * 8])):
                archive.complain(f"{member.name} has other zip64 sizes in its local header", member.header_offset)
        elif kind == _TORCH_PADDING:
            if body.strip(b"Z"):
                archive.complain(f"the alignment padding of {member.name} holds something", member.header_offset)
        elif kind not in _HARMLESS_EXTRAS or len(body) > 32:
            archive.complain(f"{member.name} carries an extra field 0x{kind:04x}", member.header_offset)
    return is_wide


def _claim_header(start: int, body: int, extra: bytes, archive: Archive) -> None:
    padding = 0
    if extra[:2] == b"FB" and len(extra) >= 4 and not extra[4:].strip(b"Z"):
        padding = len(extra) - 4
    archive.spans.append(Span(start=start, end=start + body - padding, kind=SpanKind.HEADER, note="local header"))
    archive.spans.append(
        Span(start=start + body - padding, end=start + body, kind=SpanKind.PADDING, note="alignment of torch")
    )


def _read_descriptor(source: Source, member: Member, directory: Directory, archive: Archive) -> int:
    end = member.end
    if not member.flags & 0x0008:
        return end
    tail = source.read_at(end, min(24, directory.offset - end))
    values = (member.crc32, member.stored_bytes, member.size_bytes)
    for layout in ("<4sLLL", "<4sLQQ"):
        length = struct.calcsize(layout)
        if len(tail) >= length and struct.unpack_from(layout, tail) == (b"PK\x07\x08", *values):
            archive.spans.append(Span(start=end, end=end + length, kind=SpanKind.HEADER, note="data descriptor"))
            return end + length
    archive.complain(f"{member.name} has no data descriptor that agrees with the directory", end)
    return end


def open_member(
    source: Source, member: Member, *, path: str, limit_bytes: int, archive: Archive | None = None
) -> Source:
    """The content of a member as a Source: a part of the file where it is stored, else decompressed within `limit_bytes`.

    Bytes behind the compressed data, which most loaders pass over, are a problem of `archive`, or an error where there is none.

    Raises:
        MalformedArtifactError: it cannot be located, is too large, or does not unfold to its size.
    """
    if member.data_offset < 0 or member.method not in (STORED, DEFLATED):
        raise MalformedArtifactError(
            "the member cannot be located or decompressed", locator=f"byte {member.header_offset}"
        )
    if member.method == STORED:
        return source.part(member.data_offset, member.stored_bytes, path=path)
    if member.size_bytes > limit_bytes or _unfolds_too_far(member):
        raise MalformedArtifactError("the member unfolds too far", locator=f"byte {member.data_offset}")
    engine = zlib.decompressobj(-15)
    try:
        data = engine.decompress(source.read_at(member.data_offset, member.stored_bytes), member.size_bytes + 1)
    except zlib.error as broken:
        raise MalformedArtifactError("the compressed data are broken", locator=f"byte {member.data_offset}") from broken
    is_followed = bool(engine.unused_data)
    if is_followed and archive is not None:
        archive.complain(f"bytes stand behind the compressed data of {member.name}", member.data_offset)
        is_followed = False
    if len(data) != member.size_bytes or not engine.eof or is_followed:
        raise MalformedArtifactError("the member does not unfold to its size", locator=f"byte {member.data_offset}")
    return Inflated(data, path=path, outer=source)


def checksum(content: Source) -> int:
    """The CRC-32 of a whole member."""
    value, piece = 0, 1 << 18
    for offset in range(0, content.size_bytes, piece):
        value = zlib.crc32(content.read_at(offset, min(piece, content.size_bytes - offset)), value)
    return value
