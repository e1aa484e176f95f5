"""The object headers of an HDF5 file, both versions, with what they continue in (section IV.A.1)."""

from __future__ import annotations

from dataclasses import dataclass

from weighbridge.errors import MalformedArtifactError
from weighbridge.formats.headers.hdf5_image import Cursor, Image, UnsupportedError
from weighbridge.formats.headers.hdf5_messages import Kind

MESSAGE_LIMIT = 20_000
_MESSAGE_WORK = 2
_SHARED = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message of an object header. `place` is its address; `is_shared` says that `data` only tells where it is."""

    kind: int
    data: bytes
    place: int
    is_shared: bool = False


def read_object(image: Image, address: int) -> list[Message]:
    """All messages of an object, in the order in which the library meets them.

    Raises:
        MalformedArtifactError: a block leaves the file, is met twice or is cut short.
        UnsupportedError: another version.
    """
    head = image.peek(address, 4).data
    if head == b"OHDR":
        return _second(image, address)
    if head[:1] == b"\1":
        return _first(image, address)
    raise MalformedArtifactError("there is no object header", locator=f"byte {image.base + address}")


def _first(image: Image, address: int) -> list[Message]:
    head = image.peek(address, 16)
    head.take(2)
    count = head.number(2)
    head.take(4)
    size = head.number(4)
    image.spend(_MESSAGE_WORK * count, address)
    body = image.structure(address, 16 + size, "object header")
    body.take(16)
    messages: list[Message] = []
    waiting = [body]
    while waiting:
        cursor = waiting.pop(0)
        while cursor.left >= 8 and len(messages) < count:
            at = cursor.at
            kind, length, flags = cursor.number(2), cursor.number(2), cursor.number(1)
            cursor.take(3)
            message = _message(kind, cursor.take(length), flags, cursor.place + at)
            cursor.at = min(len(cursor.data), at + 8 + -(-length // 8) * 8)
            messages.append(message)
            if kind == Kind.CONTINUATION:
                waiting.append(_continued(image, message, b""))
    if len(messages) < count:
        raise MalformedArtifactError(
            f"an object header of {count:,} messages holds {len(messages):,}", locator=f"byte {image.base + address}"
        )
    return messages


def _second(image: Image, address: int) -> list[Message]:
    head = image.peek(address, 40)
    head.take(4)
    version, flags = head.number(1), head.number(1)
    if version != 2:
        raise UnsupportedError(f"object headers of version {version}", locator=f"byte {image.base + address}")
    head.take((16 if flags & 32 else 0) + (4 if flags & 16 else 0))
    size = head.number(1 << (flags & 3))
    start = head.at
    body = image.structure(address, start + size + 4, "object header")
    image.verify(body)
    body.data = body.data[:-4]
    body.take(start)
    lead = 6 if flags & 4 else 4
    messages: list[Message] = []
    waiting = [body]
    while waiting:
        cursor = waiting.pop(0)
        while cursor.left >= lead:
            image.spend(_MESSAGE_WORK, address)
            at = cursor.at
            kind, length, bits = cursor.number(1), cursor.number(2), cursor.number(1)
            cursor.take(lead - 4)
            message = _message(kind, cursor.take(length), bits, cursor.place + at)
            messages.append(message)
            if len(messages) > MESSAGE_LIMIT:
                raise UnsupportedError("an object of too many messages", locator=f"byte {image.base + address}")
            if kind == Kind.CONTINUATION:
                waiting.append(_continued(image, message, b"OCHK"))
    return messages


def _message(kind: int, data: bytes, flags: int, place: int) -> Message:
    return Message(kind=kind, data=data, place=place, is_shared=bool(flags & _SHARED))


def _continued(image: Image, message: Message, signature: bytes) -> Cursor:
    where = image.cursor(message.data, message.place)
    address, size = where.address(), where.length()
    if address is None:
        raise MalformedArtifactError("an object header continues nowhere", locator=f"byte {message.place}")
    cursor = image.structure(address, size, "object header, continued", signature)
    if signature:
        image.verify(cursor)
        cursor.data = cursor.data[:-4]
    return cursor


def shared_address(cursor: Cursor) -> int:
    """Where a shared message is: the address of the object header that holds it (section IV.A.1, Shared Message).

    Raises:
        UnsupportedError: it is in the table of shared messages.
    """
    version, kind = cursor.number(1), cursor.number(1)
    if version == 3 and kind != 2:
        raise UnsupportedError("messages in a shared table are not read", locator=f"byte {cursor.place}")
    cursor.take(6 if version == 1 else 0)
    address = cursor.address()
    if version not in (1, 2, 3) or address is None:
        raise MalformedArtifactError("a shared message leads nowhere", locator=f"byte {cursor.place}")
    return address
