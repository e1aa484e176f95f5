"""What a TensorFlow Lite model says: its operators judged by name, its indexes by range, its buffers by where they lie."""

from __future__ import annotations

from math import prod

from weighbridge.errors import MalformedArtifactError
from weighbridge.formats.graphs.flatbuffers import Flatbuffer, Node, Vector, flat_schema
from weighbridge.formats.graphs.flex import node_of
from weighbridge.formats.graphs.messages import Messages, schema
from weighbridge.formats.graphs.operators import Deed, tensorflow_operators
from weighbridge.formats.graphs.places import leaves_folder
from weighbridge.formats.headers.defects import UNJUDGED, Defects, OverLimitError
from weighbridge.formats.headers.protobuf import Wire
from weighbridge.vocabulary import Outcome, Severity, Tensor, clip

_CRITICAL = (Outcome.FAIL, Severity.CRITICAL)
_CUSTOM, _PLACEHOLDER = 32, 127
_FLEX = "Flex"
_LISTED, _FACTS = 20_000, 32
_WORK_LIMIT = 100_000
"""Operators and tensors of all subgraphs together, those that share their tables counted each."""
_SUBGRAPH_FIELDS = ("subgraph", "subgraph_index", "subgraph_indices")
_ABSENT = -1
_PRINTER, _STREAMS = "PrintV2", ("", "stderr", "stdout")


class TfliteModel:
    """One model while it is read. `tensor_bytes` are the stretches of buffers, by start; `seen` the names of its operators."""

    def __init__(self, flat: Flatbuffer, defects: Defects) -> None:
        self.flat = flat
        self.defects = defects
        self.tensor_bytes: dict[int, int] = {}
        self.tensors: list[Tensor] = []
        self.seen: set[str] = set()
        self.facts: list[tuple[str, str]] = []
        self.subgraphs = 0
        self._work_left = _WORK_LIMIT
        self.operators = 0
        rest = flat_schema("tflite").rest
        self._names: list[str] = rest["operators"]["names"]
        self._foreign = frozenset(rest["operators"]["foreign"])
        self._custom = frozenset(rest["operators"]["custom"])
        self._types: dict[str, tuple[str, int]] = rest["types"]
        self._codes: list[str] = []
        self._buffer_bytes: list[int] = []
        self._messages = Messages(Wire(flat.source), schema("tensorflow"), defects, prefix="tflite")
        self._calls: dict[int, set[int]] = {}

    def read(self, model: Node) -> None:
        """Judge the whole model.

        Raises:
            MalformedArtifactError: something leaves the file.
            OverLimitError: a vector is longer than is read.
        """
        if model.get("version") != 3:
            self.defects.add(
                "tflite.version", "the version of the format is not 3", f"byte {model['@']}", grade=UNJUDGED
            )
        self.facts.append(("description", self.flat.text(model.get("description"))))
        for buffer in model.get("buffers", ()):
            self._take_buffer(buffer)
        for group in model.get("external_buffer_groups", ()):
            self._take_external(group)
        for number, metadata in enumerate(model.get("metadata", ())):
            if number < _FACTS:
                self.facts.append((f"metadata.{number}", self.flat.text(metadata.get("name"))))
            self._check_index("buffer", metadata.get("buffer", 0), len(self._buffer_bytes), metadata)
        self._codes = [self._name(code) for code in model.get("operator_codes", ())]
        graphs = model.get("subgraphs", [])
        self.subgraphs = len(graphs)
        for number, graph in enumerate(graphs):
            self._take_graph(graph, number)
        for signature in model.get("signature_defs", ()):
            self._check_index("subgraph", signature.get("subgraph_index", 0), self.subgraphs, signature)
        if not graphs:
            self.defects.add("tflite.index", "there is no subgraph", f"byte {model['@']}")
        self._check_calls()

    def _take_buffer(self, buffer: Node) -> None:
        data: Vector | None = buffer.get("data")
        offset, size = buffer.get("offset", 0), buffer.get("size", 0)
        if offset > 1:  # behind the flatbuffer, where it would grow over 2 GB
            self._claim(offset, size)
            self._buffer_bytes.append(size)
            return
        if data is not None and data.count:
            self.flat.claims[data.start - 4] = data.start  # its length; its bytes are the tensor's
            self._claim(data.start, data.count)
        self._buffer_bytes.append(data.count if data is not None else 0)

    def _claim(self, start: int, size_bytes: int) -> None:
        if start + size_bytes > self.flat.source.size_bytes:
            raise MalformedArtifactError(
                f"a buffer of {size_bytes:,} bytes leaves the file", locator=f"byte {min(start, 1 << 60)}"
            )
        if size_bytes and self.tensor_bytes.setdefault(start, start + size_bytes) != start + size_bytes:
            raise MalformedArtifactError("a buffer lies over another one", locator=f"byte {start}")

    def _take_external(self, group: Node) -> None:
        name = self.flat.text(group.get("name"))
        if leaves_folder(name):
            message = f"weights lie in {clip(name)!r}, which leaves the model"
            self.defects.add("tflite.external", message, f"byte {group['@']}", grade=_CRITICAL, excerpt=name)
        else:
            message = f"weights lie in another file, {clip(name)!r}, which is not looked for"
            self.defects.add("tflite.external", message, f"byte {group['@']}", grade=UNJUDGED, excerpt=name)

    def _name(self, code: Node) -> str:
        """The name of an operator, judged; a custom one by the text that a runtime looks it up by."""
        place = f"byte {code['@']}"
        old, new = _signed(code.get("deprecated_builtin_code", 0), 8), _signed(code.get("builtin_code", 0), 32)
        number = max(old, new)
        if new and old != min(new, _PLACEHOLDER):
            message = f"an operator is {old} to old runtimes and {new} to those since 2.4"
            self.defects.add("tflite.index", message, place)
        custom = self.flat.text(code.get("custom_code"))
        if custom or number == _CUSTOM:  # whatever its number says, the name must be one that may be run
            self._judge_custom(custom, place)
        if number == _CUSTOM:
            return custom
        if number < 0:
            self.defects.add("tflite.index", f"an operator has the number {number}", place)
            return f"number {number}"
        name = self._names[number] if number < len(self._names) else f"number {number}"
        if number >= len(self._names) or name in self._foreign or name == "-":
            message = f"operator {name} is not known here, or calls something by a name; it needs a policy line"
            self.defects.add("tflite.operator", message, place, grade=UNJUDGED, excerpt=name)
        return name

    def _judge_custom(self, name: str, place: str) -> None:
        if name.startswith(_FLEX):
            self._judge_tensorflow(name[len(_FLEX) :], place)
        elif name not in self._custom:
            message = f"custom operator {clip(name)} is not known here; it needs a policy line"
            self.defects.add("tflite.operator", message, place, grade=UNJUDGED, excerpt=name)

    def _judge_tensorflow(self, name: str, place: str) -> None:
        operators = tensorflow_operators()
        deed = operators.deed(name)
        if deed is Deed.REACHES_OUT:
            message = f"operator {clip(name)} of TensorFlow {operators.reaches_out[name]} when the model runs"
            self.defects.add("tflite.operator", message, place, grade=_CRITICAL, excerpt=name)
        elif deed is Deed.FOREIGN or (name in operators.paths and name != _PRINTER):
            message = f"operator {clip(name)} of TensorFlow is not known here or takes paths; it needs a policy line"
            self.defects.add("tflite.operator", message, place, grade=UNJUDGED, excerpt=name)

    def _take_graph(self, graph: Node, number: int) -> None:
        tensors = graph.get("tensors", [])
        self._work_left -= len(tensors) + len(graph.get("operators", ()))
        if self._work_left < 0:
            raise OverLimitError("more operators and tensors than are followed", locator=f"byte {graph['@']}")
        for tensor in tensors:
            self._take_tensor(tensor)
        for field in ("inputs", "outputs"):
            self._check_tensors(graph, field, len(tensors), lowest=0)
        calls = self._calls[number] = set()
        for operator in graph.get("operators", ()):
            self.operators += 1
            index = operator.get("opcode_index", 0)
            self._check_index("operator", index, len(self._codes), operator)
            name = self._codes[index] if index < len(self._codes) else ""
            self.seen.add(name)
            for field in ("inputs", "outputs", "intermediates"):
                self._check_tensors(operator, field, len(tensors), lowest=_ABSENT)
            self._take_options(operator, name)
            calls |= self._called(operator)

    def _take_options(self, operator: Node, name: str) -> None:
        offset, size = operator.get("large_custom_options_offset", 0), operator.get("large_custom_options_size", 0)
        if offset > 1:
            self._claim(offset, size)
        if not name.startswith(_FLEX):
            return
        options: Vector | None = operator.get("custom_options")
        place = f"byte {operator['@']}"
        node = node_of(self._messages, self.flat, options) if options is not None and offset <= 1 else None
        if node is None:
            message = f"what {clip(name)} runs is written in a way that is not known here"
            self.defects.add("tflite.operator", message, place, grade=UNJUDGED, excerpt=name)
        elif node.operator != name[len(_FLEX) :]:
            message = f"an operator that is called {clip(name)} runs {clip(node.operator)}"
            self.defects.add("tflite.operator", message, place, grade=_CRITICAL, excerpt=node.operator)
        elif node.stream not in _STREAMS and not node.stream.startswith("log("):
            message = f"it prints into {clip(node.stream)!r}"
            self.defects.add("tflite.operator", message, place, grade=_CRITICAL, excerpt=node.stream)

    def _called(self, operator: Node) -> set[int]:
        """The subgraphs that an operator runs."""
        found: set[int] = set()
        for options in (operator.get("builtin_options"), operator.get("builtin_options2")):
            values = self.flat.numbers_of(options, _SUBGRAPH_FIELDS).values() if options else ()
            for value in values:
                numbers = (value,) if isinstance(value, int) else self.flat.numbers(value)
                for number in numbers:
                    if number == (1 << 32) - 1 or number == _ABSENT:
                        continue
                    self._check_index("subgraph", number, self.subgraphs, operator)
                    found.add(number)
        return found

    def _take_tensor(self, tensor: Node) -> None:
        buffer = tensor.get("buffer", 0)
        self._check_index("buffer", buffer, len(self._buffer_bytes), tensor)
        dtype, bits = self._types.get(str(tensor.get("type", 0)), ("", 0))
        place = f"byte {tensor['@']}"
        if not dtype:
            self.defects.add("tflite.field", "a tensor has a type that is not known here", place, grade=UNJUDGED)
        shape = self.flat.numbers(tensor.get("shape"))
        if any(length < 0 for length in shape) or len(shape) > 64:
            self.defects.add("tflite.size", "a tensor has an impossible shape", place, excerpt=str(shape[:8]))
            return
        size = self._buffer_bytes[buffer] if buffer < len(self._buffer_bytes) else 0
        wanted = (prod(shape) * bits + 7) // 8
        if size and bits and wanted != size and "sparsity" not in tensor:
            message = f"a tensor of {min(wanted, 1 << 62):,} bytes has a buffer of {size:,}"
            self.defects.add("tflite.size", message, place)
        if size and len(self.tensors) < _LISTED and max(shape, default=0) < 1 << 31:
            name = clip(self.flat.text(tensor.get("name")), 120)
            self.tensors.append(Tensor(name=name, dtype=dtype, shape=shape, size_bytes=size))

    def _check_tensors(self, node: Node, field: str, count: int, *, lowest: int) -> None:
        numbers = self.flat.numbers(node.get(field))
        if numbers and not (lowest <= min(numbers) and max(numbers) < count):
            message = f"{field} name a tensor that is not there: {min(numbers)} to {max(numbers)} of {count:,}"
            self.defects.add("tflite.index", message, f"byte {node['@']}")

    def _check_index(self, what: str, index: int, count: int, node: Node) -> None:
        if not 0 <= index < count:
            self.defects.add("tflite.index", f"{what} {index} of {count:,} is named", f"byte {node['@']}")

    def _check_calls(self) -> None:
        """Whether a subgraph runs itself, over others too: a runtime would never return (CVE-2021-29591)."""
        left = {number: set(calls) for number, calls in self._calls.items()}
        while ready := [number for number, calls in left.items() if not calls & left.keys()]:
            for number in ready:
                del left[number]
        if left:
            message = f"subgraph {min(left)} runs itself, which never ends"
            self.defects.add("tflite.index", message, references=("CVE-2021-29591",))


def _signed(value: int, bits: int) -> int:
    """An unsigned number of so many bits as the signed one that it stands for."""
    return value - (1 << bits) if value >> bits - 1 else value
