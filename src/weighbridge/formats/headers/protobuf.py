"""Walking the protobuf wire format in bounded memory: fields as places in a file, payloads skipped by their length.

Source: protobuf.dev/programming-guides/encoding. A walk knows no schema. What no writer of model graphs makes is refused:
groups, field number 0, wire types 6 and 7, varints that are longer than their value needs or over 64 bits.
"""

from __future__ import annotations

from collections.abc import Iterator

from weighbridge.errors import MalformedArtifactError
from weighbridge.formats.headers.defects import OverLimitError
from weighbridge.formats.reading.source import Source

WINDOW_BYTES = 1 << 16
FIELD_LIMIT = 400_000
"""Most fields walked in one file, which takes below half a second."""

PAYLOAD_LIMIT_BYTES = 1 << 20
"""Longest payload that is taken as one piece."""

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
"""Wire types."""

_HEAD_BYTES = 20
_LAST_NUMBER = (1 << 29) - 1

Field = tuple[int, int, int, int, int]
"""Field number, wire type, start and end of the payload, and the unsigned value of a varint or fixed number (else 0)."""


class Wire:
    """One file whose messages are walked, with a budget of fields.

    Invariant: `_buffer` holds the bytes from `_base`; every yielded payload lies inside the message it was asked of.
    """

    def __init__(self, source: Source, *, field_limit: int = FIELD_LIMIT, window_bytes: int = WINDOW_BYTES) -> None:
        self.source = source
        self.fields_left = field_limit
        self._window = window_bytes
        self._buffer = b""
        self._base = 0

    def fields(self, start: int, end: int) -> Iterator[Field]:
        """The fields of the message in bytes `start` up to `end`, in order, nothing copied.

        Raises:
            MalformedArtifactError: a field is not of the wire format, or leaves the message.
            OverLimitError: the file has more fields than the budget.
        """
        position = start
        while position < end:
            if self.fields_left <= 0:
                raise OverLimitError("more protobuf fields than this release reads", locator=f"byte {position}")
            self.fields_left -= 1
            self._hold(position, end)
            tag, after = self._varint(position, end)
            number, wire = tag >> 3, tag & 7
            if not 1 <= number <= _LAST_NUMBER:
                raise MalformedArtifactError(f"field number {number} is not allowed", locator=f"byte {position}")
            value = 0
            if wire == LENGTH:
                size, first = self._varint(after, end)
                position = first + size
            elif wire == VARINT:
                first = after
                value, position = self._varint(after, end)
            elif wire in (FIXED32, FIXED64):
                first, position = after, after + (4 if wire == FIXED32 else 8)
            else:
                raise MalformedArtifactError(
                    f"wire type {wire} of field {number} is not read here", locator=f"byte {position}"
                )
            if position > end:
                raise MalformedArtifactError(f"field {number} leaves its message", locator=f"byte {first}")
            if wire in (FIXED32, FIXED64):
                value = int.from_bytes(self._buffer[first - self._base : position - self._base], "little")
            yield number, wire, first, position, value

    def payload(self, start: int, end: int, *, limit: int = PAYLOAD_LIMIT_BYTES) -> bytes:
        """The bytes of a payload.

        Raises:
            OverLimitError: they are more than `limit`.
        """
        if end - start > limit:
            raise OverLimitError(f"{end - start:,} bytes in one field, over {limit:,}", locator=f"byte {start}")
        if self._base <= start and end <= self._base + len(self._buffer):
            return self._buffer[start - self._base : end - self._base]
        return self.source.read_at(start, end - start)

    def varints(self, start: int, end: int) -> Iterator[int]:
        """The numbers of a packed payload, each counted as a field.

        Raises:
            MalformedArtifactError: one of them is cut off or too long.
        """
        position = start
        while position < end:
            if self.fields_left <= 0:
                raise OverLimitError("more protobuf fields than this release reads", locator=f"byte {position}")
            self.fields_left -= 1
            self._hold(position, end)
            value, position = self._varint(position, end)
            yield value

    def _hold(self, position: int, end: int) -> None:
        """Have the next field's head in the buffer, as far as the message goes."""
        base, buffer = self._base, self._buffer
        needed = min(end, position + _HEAD_BYTES)
        if not (base <= position and needed <= base + len(buffer)):
            size = min(self._window, self.source.size_bytes - position)
            self._buffer = self.source.read_at(position, size)
            self._base = position

    def _varint(self, position: int, end: int) -> tuple[int, int]:
        """A varint and where it ends."""
        buffer, at = self._buffer, position - self._base
        last = min(end - self._base, at + 10)
        value = shift = 0
        while at < last:
            byte = buffer[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                if (byte == 0 and shift) or value >> 64:
                    raise MalformedArtifactError("a varint is longer than its value", locator=f"byte {position}")
                return value, at + self._base
            shift += 7
        problem = "is over ten bytes" if shift >= 70 else "leaves its message"  # ten times seven bits
        raise MalformedArtifactError(f"a varint {problem}", locator=f"byte {position}")


def signed(value: int) -> int:
    """A varint as the int64 that it spells."""
    return value - (1 << 64) if value >> 63 else value
