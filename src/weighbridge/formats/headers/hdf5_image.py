"""An HDF5 file as its structures see it: addresses from a base, little-endian numbers, and a claim on everything that was read.

Source: HDF5 File Format Specification Version 3.0, https://support.hdfgroup.org/documentation/hdf5/latest/_f_m_t3.html
(section numbers below are its own).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from weighbridge.errors import MalformedArtifactError
from weighbridge.formats.headers.defects import OverLimitError
from weighbridge.formats.headers.hdf5_checksum import checksum
from weighbridge.formats.reading.source import Source
from weighbridge.vocabulary import SpanKind

WORK_LIMIT = 300_000
"""What walking one file may cost, below a second: a structure is ten, an entry of a table one. A model of a thousand layers takes half."""

STRUCTURES_BYTES = 64 << 20
"""Bytes of structures that are read in one file, whether they overlap or not."""

_STRUCTURE_WORK = 10

PIECE_LIMIT_BYTES = 16 << 20
"""Longest structure that is read in one piece."""

KEPT_FREE_BYTES = 1 << 16
"""Unused room of a heap that is counted as its own; what is longer has to be zeros."""


class UnsupportedError(OverLimitError):
    """A structure of the format that this release does not read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Bytes of the file, from `start` to `end`, that a structure or a dataset calls its own."""

    start: int
    end: int
    kind: SpanKind
    note: str


class Cursor:
    """Numbers out of one structure. `offset_size` and `length_size` are those of the superblock."""

    __slots__ = ("at", "data", "length_size", "offset_size", "place")

    def __init__(self, data: bytes, *, offset_size: int, length_size: int, place: int) -> None:
        self.data = data
        self.at = 0
        self.offset_size = offset_size
        self.length_size = length_size
        self.place = place

    @property
    def left(self) -> int:
        """Bytes behind the position."""
        return len(self.data) - self.at

    def take(self, size_bytes: int) -> bytes:
        """The next bytes.

        Raises:
            MalformedArtifactError: the structure is shorter.
        """
        start, end = self.at, self.at + size_bytes
        if size_bytes < 0 or end > len(self.data):
            raise MalformedArtifactError("a structure is cut short", locator=f"byte {self.place}")
        self.at = end
        return self.data[start:end]

    def number(self, size_bytes: int) -> int:
        """The next unsigned number of so many bytes."""
        return int.from_bytes(self.take(size_bytes), "little")

    def address(self) -> int | None:
        """The next address, None where it is the undefined one."""
        raw = self.take(self.offset_size)
        return None if raw == b"\xff" * self.offset_size else int.from_bytes(raw, "little")

    def length(self) -> int:
        """The next length."""
        return self.number(self.length_size)

    def text(self) -> bytes:
        """Bytes up to the next zero byte, which is passed over."""
        end = self.data.find(b"\0", self.at)
        if end < 0:
            raise MalformedArtifactError("a name does not end", locator=f"byte {self.place}")
        return self.take(end + 1 - self.at)[:-1]

    def align(self, start: int = 0) -> None:
        """Pass over padding to a multiple of eight bytes from `start`."""
        self.at = min(len(self.data), self.at + -(self.at - start) % 8)


@dataclass(slots=True, kw_only=True)
class Image:
    """The file from its base address on.

    Invariant: `claims` holds every structure once, by where it starts; a second one at the same place is an error, because no
    structure of the format is shared but those that their owners keep (objects and global heaps).
    """

    source: Source
    base: int = 0
    offset_size: int = 8
    length_size: int = 8
    group_leaf_k: int = 4
    group_internal_k: int = 16
    chunk_internal_k: int = 32
    claims: dict[int, Claim] = field(default_factory=dict)
    clashes: list[Claim] = field(default_factory=list)
    work: int = 0
    read_bytes: int = 0

    def spend(self, work: int, address: int) -> None:
        """Note what something costs.

        Raises:
            OverLimitError: that was too much.
        """
        self.work += work
        if self.work > WORK_LIMIT:
            raise OverLimitError("more structures than are walked", locator=f"byte {self.base + address}")

    def read(self, address: int, size_bytes: int) -> bytes:
        """Bytes at an address.

        Raises:
            MalformedArtifactError: they leave the file.
            OverLimitError: more than is read at once.
        """
        self.read_bytes += size_bytes
        if size_bytes > PIECE_LIMIT_BYTES or self.read_bytes > STRUCTURES_BYTES:
            raise OverLimitError(f"a structure of {size_bytes:,} bytes", locator=f"byte {self.base + address}")
        return self.source.read_at(self.base + address, size_bytes)

    def cursor(self, data: bytes, address: int) -> Cursor:
        """A cursor over bytes that were read at an address."""
        return Cursor(data, offset_size=self.offset_size, length_size=self.length_size, place=self.base + address)

    def peek(self, address: int, size_bytes: int) -> Cursor:
        """A cursor over as much of so many bytes as the file has."""
        left = self.source.size_bytes - self.base - address
        return self.cursor(self.read(address, max(0, min(size_bytes, left))), address)

    def structure(self, address: int, size_bytes: int, note: str, signature: bytes = b"") -> Cursor:
        """Read and claim a structure; the cursor stands behind its signature.

        Raises:
            MalformedArtifactError: it leaves the file, has another signature, or was met before.
            OverLimitError: that was one too many.
        """
        if self.base + address in self.claims:
            raise MalformedArtifactError(f"the {note} belongs to two owners", locator=f"byte {self.base + address}")
        cursor = self.cursor(self.read(address, size_bytes), address)
        if cursor.take(len(signature)) != signature:
            raise MalformedArtifactError(f"there is no {note}", locator=f"byte {self.base + address}")
        self.claim(address, size_bytes, note)
        return cursor

    def verify(self, cursor: Cursor, body: bytes | None = None, *, at: int = -4) -> None:
        """Compare the checksum of a structure, in its last four bytes or those at `at`, with that of all before it, or of `body`.

        Raises:
            MalformedArtifactError: they differ, so the library refuses what another reader may take.
        """
        said = cursor.data[at:][:4]
        body = cursor.data[:at] if body is None else body
        self.spend(len(body) // 8, cursor.place - self.base)
        if checksum(body) != int.from_bytes(said, "little"):
            raise MalformedArtifactError("the checksum of a structure is wrong", locator=f"byte {cursor.place}")

    def claim(self, address: int, size_bytes: int, note: str, kind: SpanKind = SpanKind.HEADER) -> None:
        """Claim bytes at an address. Empty ones are not kept; what clashes with an earlier one at the same place is noted.

        Raises:
            OverLimitError: that was one too many.
        """
        self.spend(_STRUCTURE_WORK, address)
        if size_bytes == 0:
            return
        start = self.base + address
        claim = Claim(start=start, end=start + size_bytes, kind=kind, note=note)
        if start in self.claims:
            self.clashes.append(claim)
        else:
            self.claims[start] = claim


def log2(value: int) -> int:
    """The exponent of the largest power of two in a number; 0 for 0."""
    return max(value.bit_length() - 1, 0)


def enclosing_size(limit: int) -> int:
    """Bytes that hold numbers up to `limit` (H5VM_limit_enc_size)."""
    return log2(limit) // 8 + 1
