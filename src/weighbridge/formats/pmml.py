"""PMML: a statistical model as XML, with expressions of built-in functions, and extensions that hold anything.

Scoring engines load a Java class where a function has the name of one (JPMML, FunctionUtil), and some run scripts that stand in
extensions. Elements and functions are those of the standard; any other one cannot be judged.
Source: PMML 4.4.1, https://dmg.org/pmml/v4-4-1/GeneralStructure.html.
"""

from __future__ import annotations

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

_SPACE = re.compile(r"http://www\.dmg\.org/PMML-[1-4]_[0-9](?:_[0-9])?/?")
_CRITICAL = (Outcome.FAIL, Severity.CRITICAL)
_ADDRESS = re.compile(
    r"\s*+(?:file|https?|ftp|jar|ldaps?|rmi|jndi|iiop|corba\w*|dns|netdoc|gopher|data|javascript|vbscript|\\\\)\s*:",
    re.IGNORECASE,
)
_LOOKUP = re.compile(r"\$\{[^}]{0,80}(?:jndi|ldap|rmi|env|sys|script|java):?", re.IGNORECASE)
_CLASS_PATH = re.compile(r"[A-Za-z_$][\w$]*(?:\.[A-Za-z_$][\w$]*)+")
_CODE = re.compile(
    r"<script|javascript|(?:x|text|application)[-/](?:java|python|groovy|ecma|ruby|perl|sh)|\bjava\.(?:lang|io|net|util)\b|getRuntime|ProcessBuilder"
    r"|ScriptEngine|\bnew\s+[A-Z]\w*\s*\(|\beval\s*\(|\bexec\s*\(|\bfunction\s*\w{0,40}\s*\(|\bimport\s+\w|__import__|os\.system|subprocess|groovy"
    r"|\bdef\s+\w+\s*\(|\blambda\s+\w|#!\s*/|\bsystem\s*\(|(?:file|jar|ldaps?|rmi|jndi):",
    re.IGNORECASE,
)
_TEXT_LIMIT = 1 << 16
_FUNCTION_LIMIT = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """The tables of the standard."""

    elements: frozenset[str]
    functions: frozenset[str]
    prose: frozenset[str]


@cache
def names() -> Names:
    """The tables of this release, read once."""
    text = files("weighbridge.formats.headers").joinpath("pmml_names.toml").read_text(encoding="utf-8")
    table: dict[str, Any] = tomllib.loads(text)
    return Names(
        elements=frozenset(table["elements"].split()),
        functions=frozenset(table["functions"].split()),
        prose=frozenset(table["prose"]),
    )


def prepare() -> None:
    """Read the tables."""
    names()


@dataclass(slots=True)
class _Model:
    """A model while it is walked. `within` is the depth of the outermost extension that is open, 0 outside of any."""

    defects: Defects
    version: str = ""
    architecture: str = ""
    elements: int = 0
    within: int = 0
    is_table: int = 0
    text: list[str] = field(default_factory=list)
    text_length: int = 0
    defined: set[str] = field(default_factory=set)
    applied: set[str] = field(default_factory=set)

    def open(self, element: Element) -> None:
        """Judge the start of one element."""
        self.elements += 1
        self.look_at_attributes(element)
        if element.depth == 1:
            self.version = element.get("version")
            if element.space and not _SPACE.fullmatch(element.space):
                self.defects.add(
                    "pmml.element", f"the namespace {clip(element.space, 80)!r} is not one of PMML", grade=UNJUDGED
                )
        if self.within or self.is_table:
            return
        if element.name == "Extension":
            self.within = element.depth
        elif element.name == "InlineTable":
            self.is_table = element.depth
        elif element.name not in names().elements or (element.space and not _SPACE.fullmatch(element.space)):
            message = f"the element {clip(element.name, 60)!r} is not one of PMML"
            self.defects.add("pmml.element", message, f"element {self.elements}", grade=UNJUDGED)
        self.look_at_function(element)
        if element.depth == 2 and not self.architecture and element.name.endswith(("Model", "Network", "Scorecard")):
            self.architecture = element.name

    def close(self, depth: int) -> None:
        """Judge the extension that ends here."""
        if depth == self.is_table:
            self.is_table = 0
        if depth != self.within:
            return
        self.within = 0
        self.look_for_code("".join(self.text))
        self.text, self.text_length = [], 0

    def take_text(self, text: str) -> None:
        """Keep what stands in an extension."""
        if not self.within:
            return
        self.text_length += len(text)
        if self.text_length <= _TEXT_LIMIT:
            self.text.append(text)
        else:
            self.defects.add("pmml.extension", "an extension holds more text than is read", grade=UNJUDGED)

    def look_at_attributes(self, element: Element) -> None:
        """Addresses, and code in an extension."""
        for key, value in element.attributes:
            if key.endswith(("}schemaLocation", "}noNamespaceSchemaLocation")) or key in names().prose:
                is_address = False
            else:
                is_address = _ADDRESS.match(value) is not None
            if is_address or _LOOKUP.search(value):
                message = (
                    f"the attribute {clip(key.rpartition('}')[2], 40)} sends a reader elsewhere: {clip(value, 80)!r}"
                )
                self.defects.add("pmml.address", message, f"element {self.elements}", excerpt=clip(value))
            elif self.within or element.name == "Extension":
                self.look_for_code(value)

    def look_for_code(self, text: str) -> None:
        """Whether a text of an extension is a program."""
        if found := _CODE.search(text[:_TEXT_LIMIT]):
            excerpt = clip(text[max(0, found.start() - 20) : found.end() + 60])
            message = f"an extension holds code, which an engine may run: {clip(found.group(), 40)!r}"
            self.defects.add("pmml.extension", message, f"element {self.elements}", excerpt=excerpt)

    def look_at_function(self, element: Element) -> None:
        """Note which functions are defined and which are called."""
        if element.name == "DefineFunction":
            self.defined.add(element.get("name"))
        elif element.name == "Apply":
            self.applied.add(element.get("function"))
        elif element.name == "Aggregate" and element.get("function") not in _AGGREGATES:
            message = f"aggregates by {clip(element.get('function'), 40)!r}, which is not in the standard"
            self.defects.add("pmml.function", message, grade=UNJUDGED)
        if len(self.applied) > _FUNCTION_LIMIT or len(self.defined) > _FUNCTION_LIMIT:
            raise OverLimitError("more functions than are judged", locator=f"element {self.elements}")

    def conclude(self) -> None:
        """Judge the functions, whose definitions may stand behind their calls."""
        for name in sorted(self.applied - names().functions):
            if _CLASS_PATH.fullmatch(name) and name not in self.defined:
                message = f"calls {clip(name, 80)}, the path of a class that an engine loads by its name"
                self.defects.add("pmml.function", message, excerpt=clip(name), grade=_CRITICAL)
            elif name not in self.defined or "." in name:
                message = f"calls the function {clip(name, 80)!r}, which is not one of PMML"
                self.defects.add("pmml.function", message, excerpt=clip(name), grade=UNJUDGED)


_AGGREGATES = {"count", "sum", "average", "min", "max", "multiset"}


def sniff(source: Source) -> Match:
    """CERTAIN where the root element is PMML."""
    return Match.CERTAIN if has_root(source, "PMML") else Match.NO


def read(source: Source) -> Reading:
    """Judge every element, function and extension."""
    defects = Defects(source.path)
    model = _Model(defects)
    spans = whole(SpanKind.HEADER, source, "PMML document")
    try:
        parse(source, defects, "pmml.xml", on_start=model.open, on_end=model.close, on_text=model.take_text)
    except MalformedArtifactError as problem:
        spans = whole(SpanKind.UNREAD, source, "not read to its end")
        grade = UNJUDGED if isinstance(problem, OverLimitError) else (Outcome.FAIL, Severity.HIGH)
        defects.add("pmml.parse", clip(problem.message), problem.locator, grade=grade)
    model.conclude()
    said = f"PMML {clip(model.version, 10)}, {model.elements:,} elements"
    findings = (defects.structure("pmml.structure", said), *defects.findings())
    version = (Fact(name="pmml_version", value=clip(model.version)),) if model.version else ()
    header = Header(path=source.path, format="pmml", architecture=clip(model.architecture), metadata=version)
    return Reading(spans=spans, findings=(*findings, _code(source, findings)), header=header)


def _code(source: Source, findings: tuple[Finding, ...]) -> Finding:
    runs = ("pmml.function", "pmml.extension", "pmml.address", "pmml.xml")
    worst = next((f for f in findings if f.check in runs and f.outcome is Outcome.FAIL), None)
    is_open = any(f.outcome is not Outcome.PASS for f in findings)
    evidence = worst.evidence if worst else (Evidence(artifact=source.path),)
    outcome, severity, words = Outcome.PASS, Severity.INFO, "expressions of the standard's own functions only"
    if worst:
        outcome, severity, words = Outcome.FAIL, Severity.CRITICAL, f"an engine may run code: {worst.message}"
    elif is_open:
        outcome, severity, words = Outcome.UNKNOWN, Severity.HIGH, "cannot say that no engine runs code"
    return Finding(
        check="code.on-load", outcome=outcome, severity=severity, message=clip(words, 400), evidence=evidence
    )


FORMAT = Format(
    name="pmml",
    title="PMML document",
    media_type="application/x-pmml",
    version=1,
    may_hold_code=True,
    checks=(
        *(f"pmml.{what}" for what in ("structure", "parse", "xml", "element", "function", "extension", "address")),
        "code.on-load",
    ),
    references=("https://dmg.org/pmml/v4-4-1/GeneralStructure.html", "https://cwe.mitre.org/data/definitions/611.html"),
    sniff=sniff,
    read=read,
    prepare=prepare,
)
