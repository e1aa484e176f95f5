"""A bounded reader of flatbuffers: tables by a schema, and a claim on every byte that belongs to one of them.

No table is believed to lie where it says: each vtable, table, string and vector is claimed, and two that share bytes without being the
same are a defect, as the verifier of flatbuffers has it. Source: flatbuffers 25.12 docs/source/internals.md, src/verifier.
"""

from __future__ import annotations

import struct
import tomllib
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from weighbridge.errors import MalformedArtifactError
from weighbridge.formats.graphs.messages import data_text
from weighbridge.formats.headers.defects import UNJUDGED, Defects, OverLimitError
from weighbridge.formats.reading.source import Source
from weighbridge.vocabulary import clip

OBJECT_LIMIT = 80_000
"""Tables, texts and vectors of one file that are followed, and places of tables in vectors."""
_PAGE_BYTES, _PAGE_LIMIT = 1 << 12, 1 << 12
_NUMBERS_LIMIT, _ALL_NUMBERS_LIMIT = 1 << 16, 1 << 21
_TEXT_LIMIT_BYTES = 1 << 12
_VTABLE_LIMIT_BYTES = 1 << 10

Node = dict[str, Any]
"""A table: its fields by name. Numbers are unsigned, texts and vectors are a Vector, tables are nodes, `@` is where it lies, `@table` what it is."""


@dataclass(frozen=True, slots=True)
class Vector:
    """Items of `width` bytes from `start`."""

    start: int
    count: int
    width: int

    @property
    def end(self) -> int:
        """The byte after the last item."""
        return self.start + self.count * self.width


@dataclass(frozen=True, slots=True)
class _Slot:
    name: str
    kind: str
    of: str = ""
    width: int = 4

    @property
    def inline(self) -> int:
        """Bytes of the field in its table: the number itself, or a place."""
        return self.width if self.kind == "scalar" else 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """Tables by name, as their slots in order, and unions as the tables of their numbers; `rest` is what else its file says."""

    tables: dict[str, tuple[_Slot, ...]]
    unions: dict[str, tuple[str, ...]]
    rest: dict[str, Any] = field(default_factory=dict)


@cache
def flat_schema(name: str) -> Schema:
    """One schema of `data/`."""
    table = tomllib.loads(data_text(f"{name}_schema.toml"))
    tables = {name: tuple(map(_slot, rows)) for name, rows in table.pop("tables").items()}
    unions = {name: tuple(rows) for name, rows in table.pop("unions").items()}
    return Schema(tables=tables, unions=unions, rest=table)


def _slot(words: str) -> _Slot:
    name, kind, *rest = words.split()
    of = rest[0] if rest else ""
    return _Slot(name, kind, of, int(of)) if of.isdigit() else _Slot(name, kind, of)


class Flatbuffer:
    """One file while it is walked. `claims` are (start, end) by start; `claimed_as` says what lies there."""

    def __init__(self, source: Source, schema: Schema, defects: Defects, *, prefix: str) -> None:
        self.source = source
        self.claims: dict[int, int] = {}
        self._kinds: dict[int, str] = {}
        self._schema = schema
        self._defects = defects
        self._prefix = prefix
        self._pages: dict[int, bytes] = {}
        self._objects = 0
        self._numbers_left = _ALL_NUMBERS_LIMIT
        self._nodes: dict[tuple[str, int], Node] = {}
        self._layouts: dict[
            tuple[int, str], tuple[int, tuple[tuple[int, _Slot], ...], tuple[tuple[int, int], ...]]
        ] = {}

    def numbers_of(self, node: Node, endings: tuple[str, ...]) -> dict[str, Any]:
        """The numbers, and vectors of them, of the fields with such names; a number that is left out is zero."""
        slots = (slot for slot in self._schema.tables[node["@table"]] if slot.name.endswith(endings))
        return {
            s.name: node.get(s.name, 0 if s.kind == "scalar" else None) for s in slots if s.kind in ("scalar", "vector")
        }

    def root(self, name: str) -> Node:
        """The outermost table.

        Raises:
            MalformedArtifactError: something leaves the file, or lies over something else.
            OverLimitError: more objects than are followed.
        """
        self.claim(0, 8, "root")
        return self.table(name, self.number(0, 4))

    def read(self, start: int, size_bytes: int) -> bytes:
        """Some bytes, by pages that are kept."""
        if start < 0 or start + size_bytes > self.source.size_bytes:
            raise MalformedArtifactError(f"{size_bytes} bytes leave the file", locator=f"byte {max(start, 0)}")
        page, offset = divmod(start, _PAGE_BYTES)
        if offset + size_bytes > _PAGE_BYTES:
            if size_bytes > _PAGE_BYTES:
                return self.source.read_at(start, size_bytes)
            return (self._page(page) + self._page(page + 1))[offset : offset + size_bytes]
        return self._page(page)[offset : offset + size_bytes]

    def _page(self, page: int) -> bytes:
        held = self._pages.get(page)
        if held is None:
            if len(self._pages) >= _PAGE_LIMIT:
                self._pages.clear()
            start = page * _PAGE_BYTES
            held = self._pages[page] = self.source.read_at(start, min(_PAGE_BYTES, self.source.size_bytes - start))
        return held

    def number(self, start: int, width: int) -> int:
        """An unsigned number."""
        held, offset = self._pages.get(start >> 12), start & (_PAGE_BYTES - 1)
        if held is not None and offset + width <= len(held):
            return int.from_bytes(held[offset : offset + width], "little")
        return int.from_bytes(self.read(start, width), "little")

    def numbers(self, vector: Vector | None, code: str = "i") -> tuple[int, ...]:
        """The items of a short vector, by a code of `struct`.

        Raises:
            OverLimitError: there are more than are read.
        """
        if vector is None:
            return ()
        self._numbers_left -= vector.count
        if vector.count > _NUMBERS_LIMIT or self._numbers_left < 0:
            raise OverLimitError(
                f"more numbers than are read, or {vector.count:,} at once", locator=f"byte {vector.start}"
            )
        return struct.unpack(f"<{vector.count}{code}", self.read(vector.start, vector.count * vector.width))

    def text(self, vector: Vector | None) -> str:
        """A text, its beginning where it is long; what is no UTF-8 shows as escapes."""
        if vector is None:
            return ""
        raw = self.read(vector.start, min(vector.count, _TEXT_LIMIT_BYTES))
        return raw.decode("utf-8", "backslashreplace")

    def claim(self, start: int, end: int, kind: str) -> None:
        """Note that bytes belong to an object.

        Raises:
            MalformedArtifactError: they leave the file, or begin where another object does.
        """
        if end > self.source.size_bytes or start < 0:
            raise MalformedArtifactError(f"a {kind} leaves the file", locator=f"byte {max(start, 0)}")
        if self.claims.setdefault(start, end) != end or self._kinds.setdefault(start, kind) != kind:
            raise MalformedArtifactError(f"a {kind} lies over another object", locator=f"byte {start}")

    def _count(self, place: int, more: int = 1) -> None:
        self._objects += more
        if self._objects > OBJECT_LIMIT:
            raise OverLimitError(f"more than {OBJECT_LIMIT:,} objects are not followed", locator=f"byte {place}")

    def table(self, name: str, place: int) -> Node:
        """One table and all that it holds; the same one is read once."""
        known = self._nodes.get((name, place))
        if known is not None:
            return known
        self._count(place)
        distance = int.from_bytes(self.read(place, 4), "little", signed=True)
        fields, extents = self._layout(place - distance, name, place)
        for first, last in extents:
            self.claim(place + first, place + last, f"table {name}")
        node: Node = {"@": place, "@table": name}
        self._nodes[name, place] = node
        for offset, slot in fields:
            node[slot.name] = self._value(slot, place + offset, node)
        return node

    def _layout(
        self, place: int, name: str, table: int
    ) -> tuple[tuple[tuple[int, _Slot], ...], tuple[tuple[int, int], ...]]:
        """The fields that a vtable has for a table, and the stretches of the table that they fill."""
        known = self._layouts.get((place, name))
        if known is None:
            size, table_size = struct.unpack("<2H", self.read(place, 4))
            if size < 4 or size % 2 or size > _VTABLE_LIMIT_BYTES or table_size < 4:
                raise MalformedArtifactError(f"a vtable of {size} bytes", locator=f"byte {place}")
            self.claim(place, place + size, "vtable")
            offsets = struct.unpack(f"<{size // 2 - 2}H", self.read(place + 4, size - 4))
            known = (table_size, *self._fields(name, offsets, table_size, place))
            self._layouts[place, name] = known
        if table + known[0] > self.source.size_bytes:
            raise MalformedArtifactError(f"a table {name} leaves the file", locator=f"byte {table}")
        return known[1:]

    def _fields(
        self, name: str, offsets: tuple[int, ...], table_size: int, place: int
    ) -> tuple[tuple[tuple[int, _Slot], ...], tuple[tuple[int, int], ...]]:
        slots = self._schema.tables[name]
        found: list[tuple[int, _Slot]] = []
        extents = [(0, 4)]
        for number, offset in enumerate(offsets):
            if not offset:
                continue
            if number >= len(slots) or slots[number].name == "-":
                message = f"field {number} of a {name} is not known here"
                self._defects.add(f"{self._prefix}.field", message, f"byte {place}", grade=UNJUDGED)
                continue
            if offset + slots[number].inline > table_size:
                raise MalformedArtifactError(f"field {number} of a {name} leaves its table", locator=f"byte {place}")
            found.append((offset, slots[number]))
            extents.append((offset, offset + slots[number].inline))
        return tuple(found), _joined(sorted(extents), place)

    def _value(self, slot: _Slot, place: int, node: Node) -> Any:
        if slot.kind == "scalar":
            return self.number(place, slot.width)
        target = place + self.number(place, 4)
        match slot.kind:
            case "table":
                return self.table(slot.of, target)
            case "union":
                return self._union(slot, target, node)
            case "string":
                vector = self._vector(target, 1, "text", more=1)
                if self.read(vector.end, 1) != b"\0":
                    raise MalformedArtifactError("a text does not end in a zero", locator=f"byte {vector.end}")
                return vector
            case "vector":
                return self._vector(target, slot.width, f"vector of {slot.width}")
        vector = self._vector(target, 4, "vector of places")
        self._count(target, vector.count)
        return [self._item(slot, vector.start + 4 * n) for n in range(vector.count)]

    def _item(self, slot: _Slot, place: int) -> Any:
        target = place + self.number(place, 4)
        return self.table(slot.of, target) if slot.kind == "tables" else self._vector(target, 1, "text", more=1)

    def _union(self, slot: _Slot, target: int, node: Node) -> Node | None:
        number, tables = node.get(f"{slot.name}_type", 0), self._schema.unions[slot.of]
        name = tables[number] if number < len(tables) else "-"
        if name == "-":
            message = f"number {number} of {clip(slot.of)} is not known here"
            self._defects.add(f"{self._prefix}.field", message, f"byte {target}", grade=UNJUDGED)
            return None
        return self.table(name, target)

    def _vector(self, place: int, width: int, kind: str, *, more: int = 0) -> Vector:
        self._count(place)
        vector = Vector(place + 4, self.number(place, 4), width)
        self.claim(place, vector.end + more, kind)
        return vector


def _joined(extents: list[tuple[int, int]], place: int) -> tuple[tuple[int, int], ...]:
    """Stretches that touch, as one."""
    joined: list[tuple[int, int]] = []
    for first, last in extents:
        if joined and first < joined[-1][1]:
            raise MalformedArtifactError("two fields of a table share bytes", locator=f"byte {place}")
        if joined and first == joined[-1][1]:
            joined[-1] = (joined[-1][0], last)
        else:
            joined.append((first, last))
    return tuple(joined)
