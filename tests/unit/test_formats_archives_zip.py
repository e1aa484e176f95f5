"""The zip walker agrees with other readers on honest archives and tells where the records disagree."""

from __future__ import annotations

import io
import struct
import zipfile

import pytest

from weighbridge.errors import MalformedArtifactError
from weighbridge.formats.archives.zip import checksum, open_member, walk
from weighbridge.formats.reading.source import Source
from weighbridge.testing.models import source_of
from weighbridge.testing.pickles import Entry, write_zip

ENTRIES = [
    Entry(name="a/one", data=b"one" * 50),
    Entry(name="a/two", data=b"two" * 500, method=8),
    Entry(name="a/empty", data=b""),
]


def content(source: Source, index: int) -> bytes:
    member = walk(source).members[index]
    opened = open_member(source, member, path="x", limit_bytes=1 << 20)
    return opened.read_at(0, opened.size_bytes)


def test_it_sees_what_zipfile_sees() -> None:
    data = write_zip(ENTRIES)
    with source_of(data) as source, zipfile.ZipFile(io.BytesIO(data)) as other:
        archive = walk(source)
        assert archive.problems == []
        assert [m.name for m in archive.members] == other.namelist()
        for index, member in enumerate(archive.members):
            assert content(source, index) == other.read(member.name)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_it_reads_what_zipfile_writes(method: int) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression=method) as archive:
        archive.writestr("a/b", b"hello" * 100)
        archive.writestr("a/名", b"x")
        with archive.open("a/wide", "w", force_zip64=True) as member:
            member.write(b"wide")
    with source_of(out.getvalue()) as source:
        assert walk(source).problems == []
        assert content(source, 2) == b"wide"


def test_what_is_streamed_has_descriptors_and_is_read() -> None:
    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            self.data = b""

        def writable(self) -> bool:
            return True

        def write(self, data: bytes) -> int:
            self.data += bytes(data)
            return len(data)

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w") as archive:
        archive.writestr("a", b"streamed")
    with source_of(pipe.data) as source:
        assert walk(source).problems == []
        assert content(source, 0) == b"streamed"


def test_a_member_that_unfolds_too_far_is_not_opened() -> None:
    with source_of(write_zip([Entry(name="a", data=bytes(8 << 20), method=8)])) as source:
        archive = walk(source)
        assert "unfolds more than" in archive.problems[0][0]
        with pytest.raises(MalformedArtifactError):
            open_member(source, archive.members[0], path="x", limit_bytes=1 << 30)


@pytest.mark.parametrize("size_bytes", [1, 1499, 1501, 1 << 31])
def test_a_member_that_lies_about_its_size_is_not_opened(size_bytes: int) -> None:
    data = write_zip([Entry(name="a", data=b"two" * 500, method=8, size_bytes=size_bytes)])
    with source_of(data) as source, pytest.raises(MalformedArtifactError):
        content(source, 0)


def test_the_checksum_is_that_of_zlib() -> None:
    with source_of(write_zip(ENTRIES)) as source:
        member = walk(source).members[0]
        assert checksum(open_member(source, member, path="x", limit_bytes=1)) == member.crc32


@pytest.mark.parametrize("data", [b"", b"PK", b"PK\x05\x06" + bytes(17), b"x" * 100_000, b"PK\x05\x06" + b"\xff" * 18])
def test_what_is_no_archive_is_said_so(data: bytes) -> None:
    with source_of(data) as source, pytest.raises(MalformedArtifactError):
        walk(source)


def test_zip64_offsets_are_followed() -> None:
    """A directory whose 32-bit fields say "see the zip64 field"."""
    data = bytearray(write_zip([Entry(name="a", data=b"abc", flags=0, extra=b"")]))
    start = data.index(b"PK\1\2")
    field = struct.pack("<HHQQQ", 1, 24, 3, 3, 0)
    data[start + 20 : start + 28] = b"\xff" * 8
    data[start + 42 : start + 46] = b"\xff" * 4
    data[start + 30 : start + 32] = struct.pack("<H", len(field))
    directory = bytes(data[start : start + 47]) + field
    tail = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, len(directory), start, 0)
    with source_of(bytes(data[:start]) + directory + tail) as source:
        archive = walk(source)
        assert archive.problems == []
        assert content(source, 0) == b"abc"
