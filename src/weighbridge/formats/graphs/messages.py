"""Protobuf messages by schema: a message as a dictionary of its fields, submessages still places in the file.

Nothing is built that was not asked for, so a graph of any size is taken one message at a time. A field that the schema
does not have is noted: what nobody knows, nobody has judged.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from weighbridge.errors import MalformedArtifactError
from weighbridge.formats.headers.defects import UNJUDGED, Defects
from weighbridge.formats.headers.protobuf import FIXED32, FIXED64, LENGTH, VARINT, Wire
from weighbridge.vocabulary import clip

Place = tuple[int, int]
"""Start and end of a payload in the file."""

TEXT_LIMIT_BYTES = 4096
_WIRES = {"varint": VARINT, "fixed32": FIXED32, "fixed64": FIXED64}


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    wire: int
    is_repeated: bool


Schema = dict[str, dict[int, _Field]]


@cache
def schema(name: str) -> Schema:
    """The messages of one table in `data/`."""
    table = tomllib.loads(data_text(f"{name}_messages.toml"))
    return {message: {int(n): _field(words) for n, words in rows.items()} for message, rows in table.items()}


def data_text(name: str) -> str:
    """One of the tables of this package."""
    return files(__package__).joinpath("data", name).read_text(encoding="utf-8")


def _field(words: str) -> _Field:
    name, kind, *rest = words.split()
    return _Field(name, _WIRES.get(kind, LENGTH), bool(rest))


class Messages:
    """The messages of one file, by one schema; what is against the schema is noted under `<prefix>.field`."""

    def __init__(self, wire: Wire, fields: Schema, defects: Defects, *, prefix: str) -> None:
        self.wire = wire
        self.defects = defects
        self._schema = fields
        self._check = f"{prefix}.field"

    def take(self, message: str, place: Place) -> dict[str, list[Any]]:
        """The fields of one message by name: numbers, or places of what has a length; packed numbers stay places.

        Raises:
            MalformedArtifactError: it is not of the wire format.
        """
        known = self._schema[message]
        found: dict[str, list[Any]] = {}
        for number, wire, start, end, value in self.wire.fields(*place):
            field = known.get(number)
            if field is None or (wire != field.wire and not (wire == LENGTH and field.is_repeated)):
                self._note(message, number, start, "is not known here", grade=UNJUDGED)
                continue
            held = found.setdefault(field.name, [])
            if held and not field.is_repeated:
                self._note(message, number, start, "stands twice")
            held.append((start, end) if wire == LENGTH else value)
        return found

    def text(self, fields: dict[str, list[Any]], name: str, *, limit: int = TEXT_LIMIT_BYTES) -> str:
        """A short text of a message, empty where it is not there.

        Raises:
            MalformedArtifactError: it is longer than `limit`.
        """
        for place in fields.get(name, ()):
            return self.text_at(place, limit=limit)
        return ""

    def text_at(self, place: Place, *, limit: int = TEXT_LIMIT_BYTES) -> str:
        """The text in one place; what is no UTF-8 shows as escapes."""
        return self.bytes_at(place, limit=limit).decode("utf-8", "backslashreplace")

    def bytes_at(self, place: Place, *, limit: int = TEXT_LIMIT_BYTES) -> bytes:
        """The bytes in one place.

        Raises:
            MalformedArtifactError: they are more than `limit`.
        """
        start, end = place
        if end - start > limit:
            raise MalformedArtifactError(f"a text has {end - start:,} bytes, over {limit:,}", locator=f"byte {start}")
        return self.wire.payload(start, end)

    def numbers(self, values: list[Any], *, limit: int) -> list[int]:
        """Repeated varints, packed or not.

        Raises:
            MalformedArtifactError: there are more than `limit`.
        """
        found: list[int] = []
        for value in values:
            if isinstance(value, int):
                found.append(value)
            else:
                for number in self.wire.varints(*value):
                    found.append(number)
                    if len(found) > limit:
                        break
            if len(found) > limit:
                raise MalformedArtifactError(f"over {limit} numbers where few belong")
        return found

    def _note(self, message: str, number: int, start: int, problem: str, **grade: Any) -> None:
        self.defects.add(self._check, f"field {number} of a {clip(message)} {problem}", f"byte {start}", **grade)
