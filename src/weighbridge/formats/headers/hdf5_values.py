"""The values of attributes and of data of variable length: what lies in global heaps, and what text an attribute holds."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import prod

from weighbridge.errors import MalformedArtifactError
from weighbridge.formats.headers.hdf5_heaps import GlobalHeaps
from weighbridge.formats.headers.hdf5_image import Image, UnsupportedError
from weighbridge.formats.headers.hdf5_messages import Attribute, Datatype, Kind, dataspace, datatype
from weighbridge.formats.headers.hdf5_objects import read_object, shared_address

VALUE_LIMIT = 50_000
"""Elements of one value of variable length."""

_ATTRIBUTE_WORK = 20
_PICKLE = re.compile(rb"\A\x80[\x00-\x05]|[ci][A-Za-z_][\w.]*\n[A-Za-z_][\w.]*\n")
"""The start of a pickle, or a global in one. PyTables unpickles an attribute that ends with a full stop (tables/attributeset.py)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """What an attribute holds, as far as it is text: its strings, without the zeros behind them."""

    name: bytes
    texts: tuple[bytes, ...]
    is_text: bool

    @property
    def is_pickle(self) -> bool:
        """Whether one of the strings looks like a pickle."""
        return any(text.endswith(b".") and _PICKLE.search(text) is not None for text in self.texts)


@dataclass(slots=True, kw_only=True)
class Values:
    """Reads values of one file; committed types are followed."""

    image: Image
    heaps: GlobalHeaps

    def type_of(self, data: bytes, place: int, *, is_shared: bool) -> Datatype:
        """A type from its message, or from the object that the message leads to."""
        if not is_shared:
            return datatype(self.image.cursor(data, place))
        return datatype(self.image.cursor(self._shared(data, place, Kind.DATATYPE), place))

    def space_of(self, data: bytes, place: int, *, is_shared: bool) -> tuple[int, ...] | None:
        """A dataspace, likewise."""
        if is_shared:
            data = self._shared(data, place, Kind.DATASPACE)
        return dataspace(self.image.cursor(data, place))

    def _shared(self, data: bytes, place: int, kind: Kind) -> bytes:
        address = shared_address(self.image.cursor(data, place))
        image = Image(source=self.image.source, base=self.image.base)  # the walk claims the object by its own name
        image.offset_size, image.length_size = self.image.offset_size, self.image.length_size
        self.image.spend(10, address)
        for message in read_object(image, address):
            if message.kind == kind and not message.is_shared:
                return message.data
        raise MalformedArtifactError("a shared message is not there", locator=f"byte {place}")

    def attribute(self, found: Attribute, place: int) -> Value:
        """The value of an attribute.

        Raises:
            MalformedArtifactError: it is shorter than its type and shape say.
            UnsupportedError: a type that is not read.
        """
        self.image.spend(_ATTRIBUTE_WORK + len(found.kind) // 8, 0)
        kind = self.type_of(found.kind, place, is_shared=bool(found.flags & 1))
        shape = self.space_of(found.space, place, is_shared=bool(found.flags & 2))
        count = 0 if shape is None else prod(shape)
        if count * kind.size_bytes > len(found.data):
            raise MalformedArtifactError("an attribute is shorter than its shape", locator=f"byte {place}")
        data = found.data[: count * kind.size_bytes]
        if kind.references:
            values = self.follow(data, kind, place)
            return Value(name=found.name, texts=values if kind.is_text else (), is_text=kind.is_text)
        if not kind.is_text:
            return Value(name=found.name, texts=(data,) if kind.name.startswith("V") else (), is_text=False)
        if count > VALUE_LIMIT:
            raise UnsupportedError("an attribute of too many strings", locator=f"byte {place}")
        self.image.spend(count // 4, 0)
        width = kind.size_bytes
        texts = tuple(data[at : at + width].rstrip(b"\0") for at in range(0, len(data), width)) if width else ()
        return Value(name=found.name, texts=texts, is_text=True)

    def follow(self, data: bytes, kind: Datatype, place: int) -> tuple[bytes, ...]:
        """What the references in an array of elements lead to.

        Raises:
            MalformedArtifactError: one leads nowhere.
        """
        image, lead = self.image, kind.pointer_lead
        step = lead + image.offset_size + 4
        count = len(data) // max(kind.size_bytes, 1)
        if count * len(kind.references) > VALUE_LIMIT:
            raise UnsupportedError("too many values of variable length", locator=f"byte {place}")
        image.spend(count * len(kind.references), 0)
        found = []
        for element in range(count):
            for at in kind.references:
                start = element * kind.size_bytes + at
                cursor = image.cursor(data[start : start + step], place)
                length = cursor.number(lead)
                address, index = cursor.address(), cursor.number(4)
                is_empty = address in (None, 0) or (index == 0 and length == 0)
                found.append(b"" if address is None or is_empty else self.heaps.value(address, index)[: length or None])
        return tuple(found)
