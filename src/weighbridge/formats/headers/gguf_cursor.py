"""Walking the header of a GGUF file in bounded memory: a window over the file, typed reads, long arrays skipped unbuilt."""

from __future__ import annotations

import hashlib
import struct

from weighbridge.errors import MalformedArtifactError
from weighbridge.formats.headers.defects import OverLimitError
from weighbridge.formats.reading.source import Source

WINDOW_BYTES = 1 << 20
HEADER_LIMIT_BYTES = 128 << 20
"""Most header bytes walked; real headers end below 40 MB (vocabularies of 262,000 tokens with merges and scores)."""

_INT32_MAX = (1 << 31) - 1
"""Longest text of a token that llama.cpp can count (CVE-2025-49847)."""

STRING_LIMIT = 2_000_000
"""Most strings walked in arrays of one file."""


ARRAY_LIMIT = 100_000
"""Most arrays walked that lie in other arrays of one file; no writer is known to make any."""


class Cursor:
    """A position in a file that only moves forward.

    Invariant: `buffer` holds the bytes from `base`; `position` is absolute. What is passed while a hash is set is hashed.
    """

    def __init__(self, source: Source, *, is_big: bool, is_wide: bool, start: int) -> None:
        self.source = source
        self.order = ">" if is_big else "<"
        self.base = start
        self.offset = 0
        self.buffer = b""
        self.hash: hashlib._Hash | None = None
        self.strings_left = STRING_LIMIT
        self.arrays_left = ARRAY_LIMIT
        self.is_wide = is_wide
        self.infos: dict[int, struct.Struct] = {}
        self.count_format = struct.Struct(self.order + ("Q" if is_wide else "I"))

    @property
    def position(self) -> int:
        """Where the next read starts, from the start of the file."""
        return self.base + self.offset

    @property
    def left_bytes(self) -> int:
        """Bytes between here and the end of the file."""
        return self.source.size_bytes - self.position

    def fill(self, size_bytes: int) -> None:
        """Have `size_bytes` in the buffer behind the offset.

        Raises:
            MalformedArtifactError: they are not in the file.
            OverLimitError: the header is longer than HEADER_LIMIT_BYTES.
        """
        if len(self.buffer) - self.offset >= size_bytes:
            return
        if size_bytes > self.left_bytes:
            raise MalformedArtifactError(
                f"{size_bytes:,} bytes are claimed, {self.left_bytes:,} are left", locator=f"byte {self.position}"
            )
        if self.position + size_bytes > HEADER_LIMIT_BYTES:
            raise OverLimitError(f"the header is over {HEADER_LIMIT_BYTES:,} bytes", locator=f"byte {self.position}")
        kept = self.buffer[self.offset :]
        self.base, self.offset = self.position, 0
        wanted = max(size_bytes, WINDOW_BYTES) - len(kept)
        start = self.base + len(kept)
        self.buffer = kept + self.source.read_at(start, min(wanted, self.source.size_bytes - start))

    def take(self, size_bytes: int) -> bytes:
        """The next bytes, as one piece."""
        self.fill(size_bytes)
        piece = self.buffer[self.offset : self.offset + size_bytes]
        self.offset += size_bytes
        if self.hash:
            self.hash.update(piece)
        return piece

    def skip(self, size_bytes: int) -> None:
        """Pass bytes, a window at a time."""
        if size_bytes > self.left_bytes:
            self.fill(size_bytes)
        while size_bytes > 0:
            step = min(size_bytes, WINDOW_BYTES)
            self.take(step)
            size_bytes -= step

    def number(self, code: str) -> int | float:
        """One number by its `struct` code."""
        size = struct.calcsize(self.order + code)
        value: int | float = struct.unpack(self.order + code, self.take(size))[0]
        return value

    def integers(self, code: str, count: int) -> tuple[int, ...]:
        """That many integers by their `struct` code, at once."""
        layout = f"{self.order}{count}{code}"
        return struct.unpack(layout, self.take(struct.calcsize(layout)))

    def shape_and_place(self, dims: int) -> tuple[int, ...]:
        """The rest of a tensor info: its lengths, type number and offset."""
        layout = self.infos.get(dims)
        if layout is None:
            layout = self.infos[dims] = struct.Struct(f"{self.order}{dims}{'Q' if self.is_wide else 'I'}IQ")
        return layout.unpack(self.take(layout.size))

    def count(self) -> int:
        """A count or length: 64 bits since version 2, 32 before."""
        value: int = self.count_format.unpack(self.take(self.count_format.size))[0]
        return value

    def word(self) -> int:
        """An unsigned 32-bit number."""
        return int.from_bytes(self.take(4), "big" if self.order == ">" else "little")

    def length(self, what: str, *, each_bytes: int = 1) -> int:
        """A count of things of at least `each_bytes`, checked against what is left of the file.

        Raises:
            MalformedArtifactError: so many do not fit.
        """
        start = self.position
        value = self.count()
        if value * each_bytes > self.left_bytes:
            raise MalformedArtifactError(
                f"{what} is {value:,}, which does not fit in the {self.left_bytes:,} bytes left",
                locator=f"byte {start}",
            )
        return value

    def string(self, what: str, *, limit: int) -> bytes:
        """A string of at most `limit` bytes.

        Raises:
            MalformedArtifactError: it is longer.
        """
        start = self.position
        size = self.length(f"the length of {what}")
        if size > limit:
            raise MalformedArtifactError(f"{what} has {size:,} bytes, over {limit:,}", locator=f"byte {start}")
        return self.take(size)

    def skip_strings(self, count: int) -> None:
        """Pass an array of strings without building it.

        Raises:
            MalformedArtifactError: one of them leaves the file.
            OverLimitError: more than STRING_LIMIT strings in this file.
        """
        if count > self.strings_left:
            raise OverLimitError(f"arrays hold more than {STRING_LIMIT:,} strings", locator=f"byte {self.position}")
        self.strings_left -= count
        size = self.count_format.size
        while count:
            self.fill(size)
            done = self._pass_strings(count)
            count -= done
            if not done:
                self.skip(self._long_string(size))
                count -= 1

    def _pass_strings(self, count: int) -> int:
        """Pass the strings that lie whole in the buffer; how many."""
        unpack_from, size = self.count_format.unpack_from, self.count_format.size
        buffer, start = self.buffer, self.offset
        offset, last, done = start, len(buffer) - size, 0
        while done < count and offset <= last:
            after = offset + size + unpack_from(buffer, offset)[0]
            if after > len(buffer):
                break
            offset = after
            done += 1
        if self.hash and offset > start:
            self.hash.update(buffer[start:offset])
        self.offset = offset
        return done

    def _long_string(self, size: int) -> int:
        """Bytes of the string ahead that leaves the buffer, its length included."""
        length: int = self.count_format.unpack_from(self.buffer, self.offset)[0]
        if length > self.left_bytes - size:
            raise MalformedArtifactError(
                f"a string of {length:,} bytes leaves the file", locator=f"byte {self.position}"
            )
        if length > _INT32_MAX:
            raise MalformedArtifactError(
                f"a string of {length:,} bytes, more than 31 bits can count", locator=f"byte {self.position}"
            )
        return size + length
