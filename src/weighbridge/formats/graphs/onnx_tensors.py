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
from weighbridge.formats.headers.defects import ODD, UNJUDGED, Defects
from weighbridge.vocabulary import Outcome, Severity, Tensor, clip

_RANK_LIMIT = 64
_INT64_MAX = (1 << 63) - 1
_DIGITS = 19
_ENTRY_LIMIT = 16
_TYPED = ("float_data", "int32_data", "int64_data", "double_data", "uint64_data")
_KNOWN_KEYS = {"location", "offset", "length", "checksum", "basepath", "prepacked"}
_EXTERNAL = 1
_BAD = (Outcome.FAIL, Severity.HIGH)
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
        self.extents: list[tuple[int, int, str]] = []
        self.locations: set[str] = set()
        self.parameter_count = 0
        self.stored_bytes = 0

    def take(self, place: Place) -> None:
        """Read one TensorProto and check it."""
        fields = self.messages.take("TensorProto", place)
        name = self.messages.text(fields, "name")
        start = place[0]
        type_name, bits = element_types().get(fields.get("data_type", [0])[0], ("", -1))
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
        self._check_bytes(fields, shown, size if bits > 0 else None, elements, locator)
        for key in ("raw_data", *_TYPED, "string_data"):
            self.extents += [(*where, name) for where in fields.get(key, ()) if isinstance(where, tuple)]
        is_stored = fields.get("data_location", [0])[0] != _EXTERNAL
        if is_stored:
            self.parameter_count += elements
            self.stored_bytes += size
        if len(self.listed) < TENSOR_LIMIT:
            self.listed.append(
                Tensor(name=shown, dtype=type_name, shape=tuple(dims), size_bytes=size if is_stored else 0)
            )

    def _check_bytes(
        self, fields: dict[str, list[Any]], name: str, size: int | None, elements: int, locator: str
    ) -> None:
        stored = [key for key in ("raw_data", *_TYPED, "string_data") if fields.get(key)]
        if fields.get("data_location", [0])[0] == _EXTERNAL or fields.get("external_data"):
            self._check_external(fields, name, size, locator)
            if stored:
                message = f"tensor {name!r} has bytes here and beside the file"
                self.defects.add("onnx.tensor-bytes", message, locator)
            return
        if len(stored) > 1:
            self.defects.add("onnx.tensor-bytes", f"tensor {name!r} holds its numbers twice", locator)
        elif stored == ["raw_data"]:
            (start, end), *_ = fields["raw_data"]
            if size is None or end - start != size:
                message = f"tensor {name!r} has {end - start:,} bytes where its dimensions ask for {size or 0:,}"
                self.defects.add("onnx.tensor-bytes", message, locator)
        elif stored == ["string_data"] and len(fields["string_data"]) != elements:
            self.defects.add(
                "onnx.tensor-bytes", f"tensor {name!r} has not as many texts as its dimensions say", locator
            )
        elif not stored and elements:
            self.defects.add("onnx.tensor-bytes", f"tensor {name!r} has dimensions and no numbers", locator)

    def _check_external(self, fields: dict[str, list[Any]], name: str, size: int | None, locator: str) -> None:
        entries: dict[str, str] = {}
        for place in fields.get("external_data", ())[:_ENTRY_LIMIT]:
            entry = self.messages.take("StringStringEntryProto", place)
            key = self.messages.text(entry, "key")
            if key in entries or key not in _KNOWN_KEYS:
                message = f"the external data of tensor {name!r} says {clip(key)!r} twice, or nobody knows what that is"
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
