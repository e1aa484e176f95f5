"""ONNX: a protobuf message that holds a graph, its functions and its weights, or says in which files beside it they lie.

An ONNX file runs nothing by itself; it names operators, and an operator of a library that the runtime was told to load can
be anything. So every operator has to be known, or defined as a function in the file. Source: onnx/onnx.proto, docs/IR.md.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from weighbridge.errors import MalformedArtifactError
from weighbridge.formats.graphs.messages import TEXT_LIMIT_BYTES, Messages, Place, schema
from weighbridge.formats.graphs.notes import NOTE_LIMIT_BYTES, call_in, pickle_in
from weighbridge.formats.graphs.onnx_tensors import Tensors, element_types
from weighbridge.formats.graphs.operators import Deed, onnx_operators
from weighbridge.formats.graphs.tensors import tile
from weighbridge.formats.headers.defects import ODD, UNJUDGED, Defects, OverLimitError
from weighbridge.formats.headers.protobuf import VARINT, Wire
from weighbridge.formats.reading.contract import Format, Match, Part, Reading, part_path, whole
from weighbridge.formats.reading.source import Inflated, Source
from weighbridge.vocabulary import Evidence, Fact, Finding, Header, Outcome, Severity, SpanKind, clip

_LAST_IR = 14
_DEPTH_LIMIT = 32
_FIRST_FIELDS = 64
_METADATA_LIMIT = 64
_NOTE_LIMIT = 1000
_GRAPH, _OPSETS, _IR_VERSION = 7, 8, 1
_TOP = frozenset((*range(1, 9), 14, 20, 25, 26))
_CRITICAL = (Outcome.FAIL, Severity.CRITICAL)


def sniff(source: Source) -> Match:
    """CERTAIN where the whole file is fields of a model with a graph of operators, in any order; LIKELY where it is cut short."""
    head = source.head(2)
    if len(head) < 2 or head[0] >> 3 not in _TOP:
        return Match.NO
    is_usual = head[0] == _IR_VERSION << 3 and 1 <= head[1] <= _LAST_IR + 50  # other orders load as well
    seen: dict[int, Place] = {}
    wire = Wire(source, field_limit=10_000, window_bytes=4096)
    try:
        for number, kind, start, end, _ in wire.fields(0, source.size_bytes):
            if number not in _TOP or (kind == VARINT) is not (number in (1, 5)):
                return Match.NO
            seen.setdefault(number, (start, end))
        if _GRAPH not in seen or not (is_usual or _OPSETS in seen):
            return Match.NO
        return Match.CERTAIN if _is_graph(wire, seen[_GRAPH]) else Match.NO
    except MalformedArtifactError:
        return Match.LIKELY if is_usual and (_GRAPH in seen or len(seen) > 1) else Match.NO


def _is_graph(wire: Wire, place: Place) -> bool:
    """Whether the first fields of a place are those of a graph."""
    known = schema("onnx")["GraphProto"]
    for count, (number, *_) in enumerate(wire.fields(*place)):
        if number not in known:
            return False
        if count >= _FIRST_FIELDS:
            break
    return True


def read(source: Source) -> Reading:
    """Judge a model from its skeleton; the numbers of tensors are not read."""
    model = _Model(source)
    is_walked = False
    try:
        model.read()
        is_walked = True
    except OverLimitError as problem:
        model.defects.add("onnx.limit", clip(problem.message), problem.locator, grade=UNJUDGED)
    except MalformedArtifactError as problem:
        model.defects.add_error("onnx.bounds", problem)
    return model.judge(is_walked=is_walked)


class _Model:
    """One model while it is read."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.defects = Defects(source.path)
        self.messages = Messages(Wire(source), schema("onnx"), self.defects, prefix="onnx")
        self.tensors = Tensors(self.messages, self.defects)
        self.operators = onnx_operators()
        self.functions: set[tuple[str, str]] = set()
        self.called: set[tuple[str, str, str]] = set()
        self.domains: set[str] = set()
        self.seen: dict[tuple[str, str], int] = {}
        self.facts: list[Fact] = []
        self.nodes = 0
        self.parts: list[Part] = []

    def read(self) -> None:
        """Walk the model from its root.

        Raises:
            MalformedArtifactError: it is not of the wire format, or too deep.
        """
        take, text = self.messages.take, self.messages.text
        model = take("ModelProto", (0, self.source.size_bytes))
        version = model.get("ir_version", [0])[0]
        if not 1 <= version <= _LAST_IR:
            self.defects.add(
                "onnx.version", f"version {version} of the format is not known here", "byte 0", grade=UNJUDGED
            )
        self._take_opsets(model)
        if "graph" not in model or not self.domains:
            self.defects.add("onnx.incomplete", "it has no graph, or does not say which operators it takes", "byte 0")
        self._take_facts(model)
        functions = [take("FunctionProto", place) for place in model.get("functions", ())]
        self.functions = {(text(function, "domain"), text(function, "name")) for function in functions}
        calls: dict[tuple[str, str, str], set[tuple[str, str, str]]] = {}
        for function in functions:
            key = (text(function, "domain"), text(function, "name"), text(function, "overload"))
            self.called = calls.setdefault(key, set())
            self._take_opsets(function)
            self._take_nodes(function, depth=1)
            for place in function.get("attribute_proto", ()):
                self._take_attribute(place, depth=1)
        self._judge_calls(calls)
        for place in model.get("graph", ()):
            self._take_graph(place, depth=0)
        for place in model.get("training_info", ()):
            training = take("TrainingInfoProto", place)
            for graph in (*training.get("initialization", ()), *training.get("algorithm", ())):
                self._take_graph(graph, depth=1)
        for (domain, _), start in self.seen.items():
            if domain not in self.domains and domain not in ("", "ai.onnx"):
                message = f"operators of {clip(domain)!r} are used, which the model does not announce"
                self.defects.add("onnx.domain", message, f"byte {start}", grade=ODD)

    def _take_opsets(self, message: dict[str, list[Any]]) -> None:
        for place in message.get("opset_import", ()):
            self.domains.add(self.messages.text(self.messages.take("OperatorSetIdProto", place), "domain"))

    def _take_facts(self, model: dict[str, list[Any]]) -> None:
        for key in ("producer_name", "producer_version"):
            if value := self.messages.text(model, key):
                self.facts.append(Fact(name=f"onnx.{key}", value=clip(value)))
        notes = model.get("metadata_props", ())
        if len(notes) > _NOTE_LIMIT:
            raise OverLimitError(f"over {_NOTE_LIMIT:,} notes", locator=f"byte {notes[_NOTE_LIMIT][0]}")
        for place in notes:
            self._take_note(self.messages.take("StringStringEntryProto", place))

    def _take_note(self, entry: dict[str, list[Any]]) -> None:
        key = self.messages.text(entry, "key")
        for start, end in entry.get("value", ()):
            if end - start > NOTE_LIMIT_BYTES:
                message = f"the note {clip(key)!r} has {end - start:,} bytes, and was not searched"
                self.defects.add("onnx.note", message, f"byte {start}", grade=UNJUDGED)
                continue
            value = self.messages.bytes_at((start, end), limit=NOTE_LIMIT_BYTES)
            if call := call_in(value):
                message = f"the note {clip(key)!r} is code, which runs where a program evaluates it"
                self.defects.add("onnx.note", message, f"byte {start}", excerpt=call)
            if data := pickle_in(value):
                path = part_path(self.source.path, key or "note")
                content = partial(Inflated, data, path=path, outer=self.source)
                self.parts.append(Part(start=start, end=end, open=content))
            elif len(self.facts) < _METADATA_LIMIT:
                shown = value[:TEXT_LIMIT_BYTES].decode("utf-8", "backslashreplace")
                self.facts.append(Fact(name=clip(key), value=clip(shown)))

    def _take_graph(self, place: Place, *, depth: int) -> None:
        if depth > _DEPTH_LIMIT:
            raise MalformedArtifactError(f"graphs lie more than {_DEPTH_LIMIT} deep", locator=f"byte {place[0]}")
        graph = self.messages.take("GraphProto", place)
        names = set[str]()
        for tensor in graph.get("initializer", ()):
            name = self.tensors.take(tensor)
            if name in names:
                message = f"two initial values are called {clip(name)!r}, and loaders disagree about which counts"
                self.defects.add("onnx.tensor-bytes", message, f"byte {tensor[0]}")
            names.add(name)
        for tensor in graph.get("sparse_initializer", ()):
            self._take_sparse(tensor)
        self._take_nodes(graph, depth=depth)

    def _take_sparse(self, place: Place) -> None:
        sparse = self.messages.take("SparseTensorProto", place)
        for tensor in (*sparse.get("values", ()), *sparse.get("indices", ())):
            self.tensors.take(tensor)

    def _take_nodes(self, holder: dict[str, list[Any]], *, depth: int) -> None:
        for place in holder.get("node", ()):
            self.nodes += 1
            node = self.messages.take("NodeProto", place)
            name = self.messages.text(node, "op_type")
            domain = self.messages.text(node, "domain")
            if (domain, name) in self.functions:
                self.called.add((domain, name, self.messages.text(node, "overload")))
            if (domain, name) not in self.seen:
                self.seen[domain, name] = place[0]
                self._judge_operator(domain, name, place[0])
            for attribute in node.get("attribute", ()):
                self._take_attribute(attribute, depth=depth)

    def _take_attribute(self, place: Place, *, depth: int) -> None:
        attribute = self.messages.take("AttributeProto", place)
        for graph in (*attribute.get("g", ()), *attribute.get("graphs", ())):
            self._take_graph(graph, depth=depth + 1)
        for tensor in (*attribute.get("t", ()), *attribute.get("tensors", ())):
            self.tensors.take(tensor)
        for tensor in (*attribute.get("sparse_tensor", ()), *attribute.get("sparse_tensors", ())):
            self._take_sparse(tensor)

    def _judge_calls(self, calls: dict[tuple[str, str, str], set[tuple[str, str, str]]]) -> None:
        """Note functions that call each other in a circle, which the specification forbids and a loader unfolds without end."""
        callers: dict[tuple[str, str, str], list[tuple[str, str, str]]] = {}
        for caller, called in calls.items():
            for function in called & calls.keys():
                callers.setdefault(function, []).append(caller)
        left = {caller: len(called & calls.keys()) for caller, called in calls.items()}
        done = [function for function, count in left.items() if not count]
        while done:
            function = done.pop()
            del left[function]
            for caller in callers.get(function, ()):
                left[caller] -= 1
                if not left[caller]:
                    done.append(caller)
        if left:
            shown = clip("::".join(next(iter(left))[:2]))
            self.defects.add("onnx.operator", f"function {shown} calls itself, or one that calls it", excerpt=shown)

    def _judge_operator(self, domain: str, name: str, start: int) -> None:
        shown = clip(f"{domain or 'ai.onnx'}::{name}")
        match self.operators.deed(domain, name):
            case Deed.CALCULATES:
                return
            case Deed.REACHES_OUT:
                message = f"operator {shown} runs code of another language or library, or touches files"
                self.defects.add("onnx.operator", message, f"byte {start}", grade=_CRITICAL, excerpt=shown)
            case Deed.FOREIGN if (domain, name) not in self.functions:
                message = f"operator {shown} is not known here and needs a native library; it needs a policy line"
                self.defects.add("onnx.operator", message, f"byte {start}", grade=UNJUDGED, excerpt=shown)

    def judge(self, *, is_walked: bool) -> Reading:
        """Conclude from what was read."""
        words = f"{self.nodes:,} nodes of {len(self.seen):,} operators, {len(self.tensors.listed):,} tensors"
        findings = (self.defects.structure("onnx.structure", words), *self.defects.findings())
        spans = (
            tile(self.tensors.extents, self.source, "graph", borders=[(part.start, part.end) for part in self.parts])
            if is_walked
            else whole(SpanKind.UNREAD, self.source, "the graph could not be followed to its end")
        )
        return Reading(
            spans=spans,
            parts=tuple(self.parts) if is_walked else (),
            starts=tuple(self.tensors.starts),
            findings=(*findings, self._on_load(findings, is_walked=is_walked)),
            header=Header(
                path=self.source.path,
                format="onnx",
                parameter_count=self.tensors.parameter_count,
                dtypes=tuple(sorted({tensor.dtype for tensor in self.tensors.listed if tensor.dtype})),
                tensors=tuple(self.tensors.listed),
                metadata=tuple(self.facts),
                weights_bytes=self.tensors.stored_bytes,
            ),
        )

    def _on_load(self, findings: tuple[Finding, ...], *, is_walked: bool) -> Finding:
        worst = [finding for finding in findings if finding.check == "onnx.operator"]
        outcome, severity = Outcome.PASS, Severity.INFO
        message = f"all {len(self.seen):,} operators are known to calculate only"
        if any(finding.severity is Severity.CRITICAL for finding in worst):
            outcome, severity, message = Outcome.FAIL, Severity.CRITICAL, "an operator runs code or touches files"
        elif worst or not is_walked:
            outcome, severity, message = Outcome.UNKNOWN, Severity.HIGH, "an operator is not known, or was not read"
        place = Evidence(artifact=self.source.path)
        return Finding(check="code.on-load", outcome=outcome, severity=severity, message=message, evidence=(place,))


def _prepare() -> None:
    schema("onnx")
    element_types()
    onnx_operators()


FORMAT = Format(
    name="onnx",
    title="ONNX",
    media_type="application/onnx",
    version=2,
    may_hold_code=True,
    checks=(
        "code.on-load",
        *(
            f"onnx.{what}"
            for what in (
                *("structure", "bounds", "limit", "version", "field", "incomplete", "operator", "domain", "dimensions"),
                *("tensor-type", "tensor-bytes", "external-data", "external-path", "note"),
            )
        ),
    ),
    references=(
        "https://github.com/onnx/onnx/blob/main/docs/IR.md",
        "https://github.com/onnx/onnx/blob/main/docs/ExternalData.md",
    ),
    sniff=sniff,
    read=read,
    prepare=_prepare,
)
