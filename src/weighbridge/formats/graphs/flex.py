"""The TensorFlow operator inside an operator of TensorFlow Lite: a flexbuffer of its name and of its node as a message.

Source: tensorflow/lite/delegates/flex/kernel.cc (`OpNode::BuildEagerOp` runs the node, not the name that the operator is listed under),
flatbuffers docs/source/internals.md "FlexBuffers".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from weighbridge.errors import MalformedArtifactError
from weighbridge.formats.graphs.flatbuffers import Flatbuffer, Vector
from weighbridge.formats.graphs.messages import Messages

_VECTOR, _STRING, _BLOB = 10, 5, 25
_TYPED_STRINGS = 15


@dataclass(frozen=True, slots=True)
class FlexNode:
    """An operator that TensorFlow runs: its name, and where a printer prints, empty where it says nothing of that."""

    operator: str
    stream: str = ""


def node_of(messages: Messages, flat: Flatbuffer, options: Vector) -> FlexNode | None:
    """The operator that such options make TensorFlow run; None where they are not written as its converter does."""
    try:
        places = _items(flat, options)
        if len(places) != 2:
            return None
        name = messages.bytes_at(places[0], limit=256)
        node = messages.take("NodeDef", places[1])
        operators = node.get("op", [])
        if len(operators) != 1 or messages.bytes_at(operators[0], limit=256) != name:
            return None
        operator = name.decode("utf-8", "backslashreplace")
        return FlexNode(operator, _stream(messages, node) if operator == "PrintV2" else "")
    except MalformedArtifactError:
        return None


def _stream(messages: Messages, node: dict[str, list[Any]]) -> str:
    for place in node.get("attr", ()):
        entry = messages.take("NodeDef.AttrEntry", place)
        if messages.text(entry, "key") == "output_stream":
            for value in entry.get("value", ()):
                return messages.text(messages.take("AttrValue", value), "s")
    return ""


def _items(flat: Flatbuffer, options: Vector) -> list[tuple[int, int]]:
    """Where the two texts of the root vector lie.

    Raises:
        MalformedArtifactError: something leaves the options.
    """
    if options.count < 6:
        return []
    packed, root_width = flat.read(options.end - 2, 2)
    kind, width = packed >> 2, 1 << (packed & 3)
    root = options.end - 2 - root_width
    if kind not in (_VECTOR, _TYPED_STRINGS) or root_width not in (1, 2, 4, 8):
        return []
    vector = root - flat.number(root, root_width)
    count = flat.number(vector - width, width)
    if count != 2 or vector - width < options.start:
        return []
    found = []
    for number in range(count):
        at = vector + number * width
        item = flat.read(vector + count * width + number, 1)[0] if kind == _VECTOR else _STRING << 2
        start, size_width = at - flat.number(at, width), 1 << (item & 3)
        if item >> 2 not in (_STRING, _BLOB) or start - size_width < options.start:
            return []
        size = flat.number(start - size_width, size_width)
        if start + size > options.end:
            return []
        found.append((start, start + size))
    return found
