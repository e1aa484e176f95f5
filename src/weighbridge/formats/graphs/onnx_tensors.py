"""Tensors of ONNX graphs: their bytes in the file or beside it, against what their dimensions ask for.

Source: onnx/onnx.proto (TensorProto), docs/ExternalData.md of onnx; CVE-2022-25882, CVE-2024-27318 and CVE-2024-5187 are
paths of external data that leave the folder.
"""

from __future__ import annotations

import tomllib
from functools import cache
from typing import Any

from weighbridge.formats.graphs.messages import Messages, Place, data_text
from weighbridge.formats.graphs.places import leaves_folder
from weighbridge.formats.graphs.tensors import TENSOR_LIMIT
from weighbridge.formats.headers.defects import ODD, UNJUDGED, Defects, OverLimitError
from weighbridge.vocabulary import Outcome, Severity, Tensor, clip

_RANK_LIMIT = 64
_INT64_MAX = (1 << 63) - 1
_DIGITS = 19
_ENTRY_LIMIT = 16
_TYPED = {
    "float_data": {1, 14},
    "int32_data": {*range(2, 7), 9, 10, *range(16, 27)},
    "int64_data": {7},
    "double_data": {11, 15},
    "uint64_data": {12, 13},
}
"""Which element types may stand in which array."""
_STORED = ("raw_data", *_TYPED)
_WIDTHS = {"float_data": 4, "double_data": 8}
_STRING = 8
_BYTE_BITS = 8
_GOES_ON = bytes(range(128, 256))
_PIECE_BYTES = 1 << 20
_VARINT_LIMIT_BYTES = 64 << 20
_KNOWN_KEYS = {"location", "offset", "length", "checksum", "basepath", "prepacked"}
_EXTERNAL = 1
_BAD = (Outcome.FAIL, Severity.HIGH)
Fields = dict[str, list[Any]]
_ESCAPES = ("CVE-2022-25882", "CVE-2024-27318", "CVE-2024-5187")


@cache
def element_types() -> dict[int, tuple[str, int]]:
    """Name and bits of an element, by type number."""
    table = tomllib.loads(data_text("onnx_types.toml"))
    return {int(number): (name, bits) for number, (name, bits) in table.items()}


class Tensors:
    """The tensors of one model while they are read."""

    def __init__(self, messages: Messages, defects: Defects) -> None:
        self.messages = messages
        self.defects = defects
        self.listed: list[Tensor] = []
        self.starts: list[int] = []
        self.extents: list[tuple[int, int, str]] = []
        self.locations: set[str] = set()
        self.parameter_count = 0
        self.stored_bytes = 0
        self._varint_bytes_left = _VARINT_LIMIT_BYTES

    def take(self, place: Place) -> str:
        """Read one TensorProto and check it; its name."""
        fields = self.messages.take("TensorProto", place)
        name = self.messages.text(fields, "name")
        start = place[0]
        kind = fields.get("data_type", [0])[0]
        type_name, bits = element_types().get(kind, ("", -1))
        dims = self.messages.numbers(fields.get("dims", []), limit=_RANK_LIMIT)
        elements, locator = 1, f"byte {start}"
        for length in dims:
            elements *= length
        shown = clip(name)
        if elements > _INT64_MAX or any(length > _INT64_MAX for length in dims):
            self.defects.add("onnx.dimensions", f"the dimensions of tensor {shown!r} overflow 64 bits", locator)
            elements = 0
        elif not type_name:
            self.defects.add("onnx.tensor-type", f"tensor {shown!r} has an unknown type", locator, grade=UNJUDGED)
        size = -(-elements * max(bits, 0) // 8)
        self._check_bytes(fields, shown, kind, elements, locator)
        for key in (*_STORED, "string_data"):
            self.extents += [(*where, name) for where in fields.get(key, ()) if isinstance(where, tuple)]
        is_stored = fields.get("data_location", [0])[0] != _EXTERNAL
        if is_stored:
            self.parameter_count += elements
            self.stored_bytes += size
        if len(self.listed) < TENSOR_LIMIT:
            self.listed.append(
                Tensor(name=shown, dtype=type_name, shape=tuple(dims), size_bytes=size if is_stored else 0)
            )
            self.starts.append(_start(fields, size))
        return name

    def _check_bytes(self, fields: Fields, name: str, kind: int, elements: int, locator: str) -> None:
        """Hold the numbers of a tensor, here or beside the file, against its type and dimensions."""
        type_name, bits = element_types().get(kind, ("", -1))
        size = -(-elements * bits // 8) if bits > 0 else None
        stored = [key for key in (*_STORED, "string_data") if fields.get(key)]
        problem = ""
        if fields.get("data_location", [0])[0] == _EXTERNAL or fields.get("external_data"):
            self._check_external(fields, name, size, locator)
            problem = "has bytes here and beside the file" if stored else ""
        elif len(stored) > 1:
            problem = "holds its numbers twice"
        elif not stored:
            problem = "has dimensions and no numbers" if elements else ""
        elif not type_name:
            return  # its type is not known, which is told
        elif stored == ["raw_data"]:
            (start, end), *_ = fields["raw_data"]
            problem = (
                f"has {end - start:,} bytes where its dimensions ask for {size or 0:,}" if end - start != size else ""
            )
        elif stored == ["string_data"]:
            is_right = kind == _STRING and len(fields["string_data"]) == elements
            problem = "" if is_right else "has not as many texts as its dimensions say"
        elif kind not in _TYPED[stored[0]]:
            problem = f"is of type {type_name}, and its numbers stand in {stored[0]}"
        else:
            asked = elements * (2 if type_name.startswith("complex") else 1)
            count = self._count(stored[0], fields[stored[0]])
            if count not in (asked, size if bits < _BYTE_BITS else asked):
                problem = f"has {count:,} numbers where its dimensions ask for {asked:,}"
        if problem:
            self.defects.add("onnx.tensor-bytes", f"tensor {name!r} {problem}", locator)

    def _count(self, key: str, values: list[Any]) -> int:
        """How many numbers a typed array holds, packed or not.

        Raises:
            OverLimitError: packed numbers of no fixed width take more bytes than are counted.
        """
        count = sum(isinstance(value, int) for value in values)
        for start, end in (value for value in values if isinstance(value, tuple)):
            if width := _WIDTHS.get(key):
                count += -(-(end - start) // width)
                continue
            self._varint_bytes_left -= end - start
            if self._varint_bytes_left < 0:
                raise OverLimitError("more numbers of no fixed width than are counted here", locator=f"byte {start}")
            for at in range(start, end, _PIECE_BYTES):
                piece = self.messages.wire.source.read_at(at, min(_PIECE_BYTES, end - at))
                count += len(piece.translate(None, _GOES_ON))
        return count

    def _check_external(self, fields: Fields, name: str, size: int | None, locator: str) -> None:
        entries: dict[str, str] = {}
        for place in fields.get("external_data", ())[:_ENTRY_LIMIT]:
            entry = self.messages.take("StringStringEntryProto", place)
            key = self.messages.text(entry, "key")
            if key in entries:
                message = f"the external data of tensor {name!r} says {clip(key)!r} twice"
                self.defects.add("onnx.external-data", message, locator)
            elif key not in _KNOWN_KEYS:
                message = f"the external data of tensor {name!r} says {clip(key)!r}, which is not known here"
                self.defects.add("onnx.external-data", message, locator)
            entries[key] = self.messages.text(entry, "value")
        location = entries.get("location", "")
        if leaves_folder(location) or (entries.get("basepath") and leaves_folder(entries["basepath"])):
            self.defects.add(
                "onnx.external-path",
                f"the bytes of tensor {name!r} are to come from {clip(location)!r}, which leaves the folder",
                locator,
                excerpt=location,
                references=_ESCAPES,
            )
        self.locations.add(location)
        for key in ("offset", "length"):
            value = entries.get(key, "0")
            if not (value.isascii() and value.isdigit() and len(value) <= _DIGITS) or int(value) > _INT64_MAX:
                message = f"the {key} of tensor {name!r} beside the file is no number that can be"
                self.defects.add("onnx.external-data", message, locator, excerpt=value)
            elif key == "length" and "length" in entries and size is not None and int(value) != size:
                message = f"tensor {name!r} takes {int(value):,} bytes beside the file, its dimensions ask for {size:,}"
                self.defects.add("onnx.external-data", message, locator, grade=ODD if int(value) > size else _BAD)


def _start(fields: Fields, size: int) -> int:
    """Where the numbers of a tensor start that lie in one piece as they are in memory; -1 for the others."""
    stored = [place for key in ("raw_data", *_WIDTHS) for place in fields.get(key, ())]
    if len(stored) == 1 and isinstance(stored[0], tuple) and stored[0][1] - stored[0][0] == size:
        return int(stored[0][0])
    return -1
