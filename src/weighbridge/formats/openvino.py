"""OpenVINO intermediate representation (.xml): the graph, whose constants are stretches of a file of raw numbers beside it.

Operators are those of OpenVINO's own operator sets; any other one runs native code of an extension library. The file of numbers has
no magic number and no structure of its own, so nothing but this graph says what it is.
Source: OpenVINO 2026.4, "OpenVINO IR format" and src/frontends/ir/src/ir_deserializer.cpp.
"""

from __future__ import annotations

import math
import re
import tomllib
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

from weighbridge.errors import MalformedArtifactError
from weighbridge.formats.headers.defects import UNJUDGED, Defects, OverLimitError
from weighbridge.formats.headers.xml_document import Element, has_root, parse
from weighbridge.formats.reading.contract import Format, Match, Reading, whole
from weighbridge.formats.reading.source import Source
from weighbridge.vocabulary import Evidence, Fact, Finding, Header, Outcome, Severity, SpanKind, clip

_LIBRARY = re.compile(r"\.(?:so(?:\.[0-9]+)*|dll|dylib|pyd|exe|bat|sh|py)\s*\Z", re.IGNORECASE)
_NUMBER = re.compile(r"[0-9]{1,19}")
_FURTHEST = (1 << 63) - 1
_VERSIONS = {"10", "11"}
_CODE = ("openvino.library", "openvino.xml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Operators:
    """The tables: types by operator set in lower case (the reader of OpenVINO looks again without case), bits by element type."""

    by_set: dict[str, frozenset[str]]
    spelled: dict[str, str]
    bits: dict[str, int]


@cache
def operators() -> Operators:
    """The tables of this release, read once."""
    text = files("weighbridge.formats.headers").joinpath("openvino_operators.toml").read_text(encoding="utf-8")
    table: dict[str, Any] = tomllib.loads(text)
    by_set: dict[str, frozenset[str]] = {}
    known: set[str] = set()
    for number in range(1, 100):
        if (change := table.get(f"opset{number}")) is None:
            break
        known = (known - set(change["removed"])) | set(change["added"])
        by_set[f"opset{number}"] = frozenset(name.lower() for name in known)
    spelled = {short.lower(): name.lower() for short, name in table["spelled"].items()}
    return Operators(by_set=by_set, spelled=spelled, bits=table["bits"])


def prepare() -> None:
    """Read the tables."""
    operators()


@dataclass(slots=True)
class _Graph:
    """A graph while it is walked."""

    defects: Defects
    name: str = ""
    version: str = ""
    layers: int = 0
    constants: int = 0
    elements: int = 0
    weights_end: int = 0
    layer: str = ""
    kind: str = ""
    seen: set[str] = field(default_factory=set)

    def take(self, element: Element) -> None:
        """Judge the start of one element."""
        for key, value in element.attributes:
            if _LIBRARY.search(value):
                message = f"the attribute {clip(key, 40)} names a library or program: {clip(value, 80)!r}"
                self.defects.add("openvino.library", message, self.layer, excerpt=clip(value))
        if element.depth == 1:
            self.name, self.version = element.get("name"), element.get("version")
            if self.version not in _VERSIONS:
                message = f"version {clip(self.version, 20)!r} of the representation is not judged"
                self.defects.add("openvino.operator", message, grade=UNJUDGED)
        elif element.name == "layer":
            self.take_layer(element)
        elif element.name == "data" and self.kind == "constant":
            self.take_constant(element)

    def take_layer(self, element: Element) -> None:
        """Whether the operator is one of OpenVINO's own."""
        self.layers += 1
        self.layer = f"layer {clip(element.get('id'), 20)} {clip(element.get('name'), 60)}"
        known = operators()
        spelled = element.get("type").lower()
        self.kind = known.spelled.get(spelled, spelled)
        version = element.get("version")
        if self.kind not in known.by_set.get(version, frozenset()):
            message = f"{clip(element.get('type'), 60)!r} of {clip(version, 40)!r} is no operator of OpenVINO: an extension library runs it"
            self.defects.add("openvino.operator", message, self.layer, grade=UNJUDGED)

    def take_constant(self, element: Element) -> None:
        """Where the numbers of a constant lie in the file beside."""
        self.constants += 1
        offset, size = element.get("offset"), element.get("size")
        if not _NUMBER.fullmatch(offset) or not _NUMBER.fullmatch(size) or int(offset) + int(size) > _FURTHEST:
            message = f"a constant at {clip(offset, 30)!r} of {clip(size, 30)!r} bytes lies in no file"
            self.defects.add("openvino.weights", message, self.layer)
            return
        self.weights_end = max(self.weights_end, int(offset) + int(size))
        shape = [part.strip() for part in element.get("shape").split(",") if part.strip()][:64]
        bits = operators().bits.get(element.get("element_type"))
        if not all(map(_NUMBER.fullmatch, shape)):
            self.defects.add("openvino.weights", f"a constant has the shape {clip(','.join(shape), 60)!r}", self.layer)
            return
        count = math.prod(map(int, shape))
        self.elements += count
        # An empty constant keeps a byte, as ov.save_model writes it.
        wanted = (0, 1) if not count else ((count * (bits or 0) + 7) // 8,)
        if bits is not None and int(size) not in wanted:
            message = f"a constant of {clip(str(count), 60)} elements of {bits} bits has {size} bytes"
            self.defects.add("openvino.weights", message, self.layer)


def sniff(source: Source) -> Match:
    """CERTAIN where the root element is that of an OpenVINO graph."""
    return Match.CERTAIN if has_root(source, "net") else Match.NO


def read(source: Source) -> Reading:
    """Judge every layer."""
    defects = Defects(source.path)
    graph = _Graph(defects)
    spans = whole(SpanKind.HEADER, source, "OpenVINO graph")
    try:
        parse(source, defects, "openvino.xml", on_start=graph.take)
    except MalformedArtifactError as problem:
        spans = whole(SpanKind.UNREAD, source, "not read to its end")
        grade = UNJUDGED if isinstance(problem, OverLimitError) else (Outcome.FAIL, Severity.HIGH)
        defects.add("openvino.parse", clip(problem.message), problem.locator, grade=grade)
    said = f"{graph.layers:,} layers, {graph.constants:,} constants in {graph.weights_end:,} bytes of the file beside"
    findings = (defects.structure("openvino.structure", said), *defects.findings())
    return Reading(spans=spans, findings=(*findings, _code(source, findings)), header=_header(source, graph))


def _code(source: Source, findings: tuple[Finding, ...]) -> Finding:
    worst = next((f for f in findings if f.check in _CODE and f.outcome is Outcome.FAIL), None)
    is_open = any(f.outcome is not Outcome.PASS for f in findings)
    evidence = worst.evidence if worst else (Evidence(artifact=source.path),)
    outcome, severity, words = Outcome.PASS, Severity.INFO, "every operator is one of OpenVINO's own"
    if worst:
        outcome, severity, words = Outcome.FAIL, Severity.CRITICAL, f"loading may run code: {worst.message}"
    elif is_open:
        outcome, severity, words = Outcome.UNKNOWN, Severity.HIGH, "cannot say that loading runs no code"
    return Finding(
        check="code.on-load", outcome=outcome, severity=severity, message=clip(words, 400), evidence=evidence
    )


def _header(source: Source, graph: _Graph) -> Header:
    facts = {
        "name": clip(graph.name),
        "ir_version": clip(graph.version),
        "layers": str(graph.layers),
        "constants": str(graph.constants),
        "weights_file_bytes": str(graph.weights_end),
    }
    return Header(
        path=source.path,
        format="openvino",
        parameter_count=min(graph.elements, _FURTHEST),
        metadata=tuple(Fact(name=name, value=value) for name, value in facts.items() if value),
    )


FORMAT = Format(
    name="openvino",
    title="OpenVINO graph (.xml)",
    media_type="application/x-openvino",
    version=1,
    may_hold_code=True,
    checks=(
        *(f"openvino.{what}" for what in ("structure", "parse", "xml", "operator", "library", "weights")),
        "code.on-load",
    ),
    references=(
        "https://docs.openvino.ai/2026/documentation/openvino-ir-format.html",
        "https://cwe.mitre.org/data/definitions/611.html",
    ),
    sniff=sniff,
    read=read,
    prepare=prepare,
)
