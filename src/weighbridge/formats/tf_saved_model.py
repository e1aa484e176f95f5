"""TensorFlow graphs: SavedModel, MetaGraphDef, frozen GraphDef, and the layer descriptions of Keras 2 beside them.

A graph is a program: nodes in the graph and in its functions name operators, some of which read and write files or call
Python. So each operator has to be known to calculate; what is said of the paths that savers and vocabularies use must stay
in the model. Source: tensorflow/core/protobuf/saved_model.proto, SECURITY.md of tensorflow ("models are programs").
"""

from __future__ import annotations

from typing import Any

from weighbridge.errors import MalformedArtifactError
from weighbridge.formats.graphs.keras_layers import code_in
from weighbridge.formats.graphs.messages import TEXT_LIMIT_BYTES, Messages, Place, schema
from weighbridge.formats.graphs.operators import Deed, tensorflow_operators
from weighbridge.formats.graphs.places import leaves_folder
from weighbridge.formats.headers.defects import UNJUDGED, Defects, OverLimitError
from weighbridge.formats.headers.protobuf import LENGTH, Wire
from weighbridge.formats.reading.contract import Format, Match, Reading, own_name, whole
from weighbridge.formats.reading.source import Source
from weighbridge.vocabulary import Evidence, Fact, Finding, Header, Outcome, Severity, SpanKind, clip

_CRITICAL = (Outcome.FAIL, Severity.CRITICAL)
_KERAS = "keras.SavedMetadata"
_FINGERPRINT = "FingerprintDef"
_ROOTS = ("SavedModel", "MetaGraphDef", "GraphDef", _KERAS, _FINGERPRINT)
_FINGERPRINT_LIMIT_BYTES = 512
_WIRE_LIMIT = 20_000
_TEXT_LIMIT_BYTES = 1 << 20
_LISTED = 200


def root_of(source: Source) -> str:
    """The message that a file is, empty where it is none of them: by its fields, and by those of its first part.

    Raises:
        MalformedArtifactError: it is not of the wire format.
    """
    head = source.head(2)
    if len(head) < 2 or head[0] not in (0x08, 0x0A):
        return ""
    wire = Wire(source, field_limit=_WIRE_LIMIT, window_bytes=4096)
    fields: list[tuple[int, int, Place]] = []
    for number, kind, start, end, _ in wire.fields(0, source.size_bytes):
        fields.append((number, kind, (start, end)))
        if len(fields) > _LISTED:
            break
    return next((root for root in _ROOTS if _fits(wire, root, fields)), "")


def _fits(wire: Wire, root: str, fields: list[tuple[int, int, Place]]) -> bool:
    table = schema("tensorflow")[root]
    if any(number not in table or (kind != LENGTH and kind != table[number].wire) for number, kind, _ in fields):
        return False
    numbers = {number: place for number, kind, place in reversed(fields) if kind == LENGTH}
    match root:
        case "SavedModel":
            return (
                2 in numbers
                and any(n == 1 and kind != LENGTH for n, kind, _ in fields)
                and _has_graph(wire, numbers[2])
            )  # meta_graphs
        case "MetaGraphDef":
            return _has_graph(wire, (0, wire.source.size_bytes))
        case "GraphDef":
            return 1 in numbers and _is_node(wire, numbers[1])
        case "FingerprintDef":
            return 6 in numbers and wire.source.size_bytes <= _FINGERPRINT_LIMIT_BYTES  # version
        case _:
            return 1 in numbers and _is_layer(wire, numbers[1])


def _has_graph(wire: Wire, place: Place) -> bool:
    for number, kind, start, end, _ in wire.fields(*place):
        if number == 2 and kind == LENGTH:  # graph_def
            return any(n == 1 and k == LENGTH and _is_node(wire, (s, e)) for n, k, s, e, _ in wire.fields(start, end))
    return False


def _is_node(wire: Wire, place: Place) -> bool:
    found = {number: (start, end) for number, kind, start, end, _ in wire.fields(*place) if kind == LENGTH}
    known = schema("tensorflow")["NodeDef"]
    return {1, 2} <= set(found) <= set(known) and wire.payload(*found[2], limit=256).replace(b">", b"").isalnum()


def _is_layer(wire: Wire, place: Place) -> bool:
    found = {number: (start, end) for number, kind, start, end, _ in wire.fields(*place) if kind == LENGTH}
    return 4 in found and wire.payload(*found[4], limit=256).startswith(b"_tf_keras_")  # identifier


def sniff(source: Source) -> Match:
    """CERTAIN by the structure of one of the roots, LIKELY where such a file is cut short."""
    try:
        root = root_of(source)
    except MalformedArtifactError:
        suspect = source.path.endswith((".pb", ".meta"))
        return Match.LIKELY if suspect and source.head(1) in (b"\x08", b"\x0a") else Match.NO
    if root == _FINGERPRINT:  # numbers without a mark of their own: the name has to say it
        return Match.LIKELY if own_name(source.path) == "fingerprint.pb" else Match.NO
    return Match.CERTAIN if root else Match.NO


def read(source: Source) -> Reading:
    """Judge a graph by its operators; constants are not read, but for paths."""
    graph = _Graph(source)
    is_walked = False
    try:
        graph.read(root_of(source))
        is_walked = True
    except OverLimitError as problem:
        graph.defects.add("tf_saved_model.limit", clip(problem.message), problem.locator, grade=UNJUDGED)
    except MalformedArtifactError as problem:
        graph.defects.add_error("tf_saved_model.bounds", problem)
    return graph.judge(is_walked=is_walked)


class _Graph:
    """One file while it is read."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.defects = Defects(source.path)
        self.messages = Messages(Wire(source), schema("tensorflow"), self.defects, prefix="tf_saved_model")
        self.operators = tensorflow_operators()
        self.functions: set[str] = set()
        self.seen: set[str] = set()
        self.judged: set[str] = set()
        self.nodes = 0
        self.root = ""

    def read(self, root: str) -> None:
        """Walk the file from its root.

        Raises:
            MalformedArtifactError: it is not of the wire format.
        """
        self.root = root
        place = (0, self.source.size_bytes)
        if not root:
            raise MalformedArtifactError("it is none of the messages that are read here", locator="byte 0")
        if root == _KERAS:
            for layer in self.messages.take(root, place).get("nodes", ()):
                self._judge_layer(self.messages.take("keras.SavedObject", layer), layer[0])
        elif root == _FINGERPRINT:
            for version in self.messages.take(root, place).get("version", ()):
                self.messages.take("VersionDef", version)
        elif root == "GraphDef":
            self._take_graph(place)
        elif root == "MetaGraphDef":
            self._take_meta(place)
        else:
            model = self.messages.take(root, place)
            if model.get("saved_model_schema_version") != [1]:
                self.defects.add(
                    "tf_saved_model.version", "the version of the format is not 1", "byte 0", grade=UNJUDGED
                )
            for meta in model.get("meta_graphs", ()):
                self._take_meta(meta)

    def _take_meta(self, place: Place) -> None:
        meta = self.messages.take("MetaGraphDef", place)
        for graph in meta.get("graph_def", ()):
            self._take_graph(graph)
        for asset in meta.get("asset_file_def", ()):
            name = self.messages.text(self.messages.take("AssetFileDef", asset), "filename")
            if leaves_folder(name):
                message = f"an asset is {clip(name)!r}, which leaves the model"
                self.defects.add("tf_saved_model.path", message, f"byte {asset[0]}", excerpt=name)
        for objects in meta.get("object_graph_def", ()):
            for node in self.messages.take("SavedObjectGraph", objects).get("nodes", ()):
                for user in self.messages.take("SavedObject", node).get("user_object", ()):
                    self._judge_layer(self.messages.take("SavedUserObject", user), user[0])

    def _take_graph(self, place: Place) -> None:
        graph = self.messages.take("GraphDef", place)
        libraries = [self.messages.take("FunctionDefLibrary", library) for library in graph.get("library", ())]
        functions = [
            self.messages.take("FunctionDef", function)
            for library in libraries
            for function in library.get("function", ())
        ]
        self.functions = {self._name_of(function) for function in functions}
        self.judged = set()  # another graph has other functions
        self._take_nodes(graph.get("node", []))
        for function in functions:
            self._take_nodes(function.get("node_def", []))

    def _name_of(self, function: dict[str, list[Any]]) -> str:
        for signature in function.get("signature", ()):
            for number, kind, start, end, _ in self.messages.wire.fields(*signature):
                if number == 1 and kind == LENGTH:
                    return self.messages.text_at((start, end))
        return ""

    def _take_nodes(self, places: list[Place]) -> None:
        """Judge the operators of one graph; where it has some that take paths, its constant texts are looked at."""
        constants: list[dict[str, list[Any]]] = []
        takes_paths = False
        for place in places:
            self.nodes += 1
            node = self.messages.take("NodeDef", place)
            name = self.messages.text(node, "op")
            if name == "Const":
                constants.append(node)
            elif name == "PrintV2":
                self._judge_print(node, place[0])
            elif name in self.operators.paths:
                takes_paths = True
            self.seen.add(name)
            if name not in self.judged:
                self.judged.add(name)
                self._judge_operator(name, place[0])
        if takes_paths:
            for node in constants:
                self._judge_constant(node)

    def _judge_operator(self, name: str, start: int) -> None:
        match self.operators.deed(name):
            case Deed.CALCULATES:
                return
            case Deed.FOREIGN if name in self.functions:
                return  # judged where it is defined
            case Deed.REACHES_OUT:
                message = f"operator {clip(name)} {self.operators.reaches_out[name]} when the graph runs"
                self.defects.add("tf_saved_model.operator", message, f"byte {start}", grade=_CRITICAL, excerpt=name)
            case Deed.FOREIGN:
                message = f"operator {clip(name)} is not known here; it needs a policy line"
                self.defects.add("tf_saved_model.operator", message, f"byte {start}", grade=UNJUDGED, excerpt=name)

    def _judge_print(self, node: dict[str, list[Any]], start: int) -> None:
        for place, value in self._attributes(node, "output_stream"):
            stream = self.messages.text(value, "s")
            if stream not in ("", "stderr", "stdout") and not stream.startswith("log("):
                message = f"it prints into {clip(stream)!r}"
                self.defects.add("tf_saved_model.operator", message, f"byte {place}", grade=_CRITICAL, excerpt=stream)
                self.seen.add(f"PrintV2 at {start}")

    def _attributes(self, node: dict[str, list[Any]], name: str) -> list[tuple[int, dict[str, list[Any]]]]:
        found = []
        for place in node.get("attr", ()):
            entry = self.messages.take("NodeDef.AttrEntry", place)
            if self.messages.text(entry, "key") == name:
                found += [(value[0], self.messages.take("AttrValue", value)) for value in entry.get("value", ())]
        return found

    def _judge_constant(self, node: dict[str, list[Any]]) -> None:
        for start, value in self._attributes(node, "value"):
            for place in value.get("tensor", ()):
                tensor = self.messages.take("TensorProto", place)
                for text_place in tensor.get("string_val", ()):
                    if text_place[1] - text_place[0] > TEXT_LIMIT_BYTES:
                        continue  # no system has a path as long as that
                    text = self.messages.text_at(text_place)
                    if text and text != "/part" and leaves_folder(text) and "\n" not in text:
                        message = (
                            f"a saver or a vocabulary stands beside the path {clip(text)!r}, which leaves the model"
                        )
                        self.defects.add("tf_saved_model.path", message, f"byte {start}", grade=_CRITICAL, excerpt=text)

    def _judge_layer(self, layer: dict[str, list[Any]], start: int) -> None:
        place = next(iter(layer.get("metadata", ())), (0, 0))
        if place[1] - place[0] > _TEXT_LIMIT_BYTES:
            message = "the description of a layer is longer than is read here"
            self.defects.add("tf_saved_model.layer", message, f"byte {start}", grade=UNJUDGED)
            return
        metadata = self.messages.bytes_at(place, limit=_TEXT_LIMIT_BYTES)
        if not metadata:
            return
        code, is_read = code_in(metadata)
        if code:
            self.defects.add("tf_saved_model.layer", clip(f"it holds {code}"), f"byte {start}", grade=_CRITICAL)
        elif not is_read:
            message = "the description of a layer is no JSON that can be read"
            self.defects.add("tf_saved_model.layer", message, f"byte {start}", grade=UNJUDGED)

    def judge(self, *, is_walked: bool) -> Reading:
        """Conclude from what was read."""
        words = f"{self.root}: {self.nodes:,} nodes of {len(self.seen):,} operators, {len(self.functions):,} functions"
        findings = (self.defects.structure("tf_saved_model.structure", words), *self.defects.findings())
        kind, note = (
            (SpanKind.HEADER, "graph") if is_walked else (SpanKind.UNREAD, "it could not be followed to its end")
        )
        return Reading(
            spans=whole(kind, self.source, note),
            findings=(*findings, self._on_load(findings, is_walked=is_walked)),
            header=Header(
                path=self.source.path,
                format="tf_saved_model",
                metadata=(Fact(name="tensorflow.message", value=self.root or "none"),),
            ),
        )

    def _on_load(self, findings: tuple[Finding, ...], *, is_walked: bool) -> Finding:
        outcome, severity = Outcome.PASS, Severity.INFO
        message = f"all {len(self.seen):,} operators are known and stay inside the process and the model"
        about = [f for f in findings if f.check.endswith((".operator", ".layer", ".path"))]
        if any(finding.outcome is Outcome.FAIL for finding in about):
            outcome, severity, message = (
                Outcome.FAIL,
                Severity.CRITICAL,
                "it runs code or reaches files when loaded or run",
            )
        elif about or not is_walked:
            outcome, severity, message = Outcome.UNKNOWN, Severity.HIGH, "not all of its operators and layers are known"
        place = Evidence(artifact=self.source.path)
        return Finding(check="code.on-load", outcome=outcome, severity=severity, message=message, evidence=(place,))


def _prepare() -> None:
    schema("tensorflow")
    tensorflow_operators()


FORMAT = Format(
    name="tf_saved_model",
    title="TensorFlow graph",
    media_type="application/x-tensorflow-graph",
    version=1,
    may_hold_code=True,
    checks=(
        "code.on-load",
        *(
            f"tf_saved_model.{what}"
            for what in ("structure", "bounds", "limit", "version", "field", "operator", "layer", "path")
        ),
    ),
    references=("https://github.com/tensorflow/tensorflow/blob/master/SECURITY.md",),
    sniff=sniff,
    read=read,
    prepare=_prepare,
)
