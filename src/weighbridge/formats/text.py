"""Text: the JSON, YAML, markdown, templates, vocabularies, licences and sources that lie beside a model's weights.

Text runs nothing by being read. What matters is what it makes a loader do: fetch the repository's own Python, follow a
template, or find a pointer where weights should be.
"""

from __future__ import annotations

import re
from itertools import islice
from pathlib import PurePosixPath

from weighbridge.errors import MalformedArtifactError
from weighbridge.formats.headers.defects import EVIDENCE_LIMIT, ODD, UNJUDGED, Defects
from weighbridge.formats.headers.hidden import find_escaped
from weighbridge.formats.headers.text_json import JSON_LIMIT_BYTES, JsonFacts, read_json, template_fact
from weighbridge.formats.headers.text_kinds import (
    SAYS,
    TextKind,
    binary_suffix,
    is_json_named,
    kind_of,
    looks_like_json,
    missing_content,
)
from weighbridge.formats.headers.text_scan import TextScan, scan_text
from weighbridge.formats.reading.contract import Format, Match, Reading
from weighbridge.formats.reading.source import Source
from weighbridge.formats.reading.spans import Span
from weighbridge.vocabulary import Evidence, Fact, Finding, Header, Outcome, Severity, SpanKind, clip

_EDGE_BYTES = 4096
_YAML_LIMIT_BYTES = 4 << 20
_TEMPLATE_LIMIT_BYTES = 4 << 20
_YAML_TAG = re.compile(rb"(?:!!python/|!<tag:yaml\.org,2002:python/|tag:yaml\.org,2002:python/)[^\s]{0,80}")
_ANCHOR = re.compile(rb"(?:^|[\s\[,{])&[A-Za-z0-9_]", re.MULTILINE)
_ALIAS = re.compile(rb"(?:^|[\s\[,{])\*[A-Za-z0-9_]", re.MULTILINE)
_INFO = (Outcome.FAIL, Severity.INFO)
_CARRIES_JSON = {TextKind.JSON, TextKind.VOCABULARY, TextKind.NOTEBOOK, TextKind.TEMPLATE}
_HIDDEN_GRADES = {
    TextKind.VOCABULARY: None,
    TextKind.PROSE: _INFO,
    TextKind.JSON_LINES: _INFO,
    TextKind.NOTEBOOK: _INFO,
}
_LINT_ONLY = {"tokenizer_config.json"}
"""JSON that holds the tokens themselves beside its settings: odd characters belong there, its template is looked at alone."""


def sniff(source: Source) -> Match:
    """LIKELY where a text has the shape of JSON, FALLBACK for any other text, NO where a byte says that it is none."""
    if not source.size_bytes:
        return Match.FALLBACK
    scan = scan_text(source, is_thorough=False)
    if scan.bad_offset is not None:
        return Match.NO
    head, tail = _edges(source, scan)
    return Match.LIKELY if scan.encoding == "utf-8" and looks_like_json(head, tail) else Match.FALLBACK


def read(source: Source) -> Reading:
    """Examine one text file."""
    if not source.size_bytes:
        is_missed = bool(missing_content(source.path))
        outcome, severity = (Outcome.UNKNOWN, Severity.HIGH) if is_missed else (Outcome.PASS, Severity.INFO)
        return Reading(spans=(), findings=(_structure(source, outcome, severity, "an empty file"),))
    scan = scan_text(source, is_thorough=True)
    reader = _Reader(source, scan)
    if scan.bad_offset is not None:
        return reader.give_up(f"byte {scan.bad_offset} is not text", f"byte {scan.bad_offset}")
    if scan.scanned_bytes < source.size_bytes:
        return reader.give_up(f"text, of which the first {scan.scanned_bytes:,} bytes were read", "")
    return reader.judge()


def _structure(source: Source, outcome: Outcome, severity: Severity, message: str, locator: str = "") -> Finding:
    place = Evidence(artifact=source.path, locator=locator)
    evidence = () if outcome is Outcome.PASS else (place,)
    return Finding(check="text.structure", outcome=outcome, severity=severity, message=message, evidence=evidence)


def _edges(source: Source, scan: TextScan) -> tuple[bytes, bytes]:
    """The first and the last bytes, without the byte order mark."""
    start = scan.bom_bytes
    size = min(_EDGE_BYTES, source.size_bytes - start)
    return source.read_at(start, size), source.read_at(source.size_bytes - size, size)


class _Reader:
    """One text file while it is examined."""

    def __init__(self, source: Source, scan: TextScan) -> None:
        self.source = source
        self.scan = scan
        self.defects = Defects(source.path)
        self.head, self.tail = _edges(source, scan)
        self.kind = kind_of(source.path, self.head, self.tail, source.size_bytes)
        self.digests: list[Fact] = []
        self.facts: JsonFacts | None = None

    def give_up(self, message: str, locator: str) -> Reading:
        """What was read is accounted for, the rest is unread."""
        end = self.scan.scanned_bytes
        spans = [
            Span(start=0, end=end, kind=SpanKind.HEADER, note="text"),
            Span(start=end, end=self.source.size_bytes, kind=SpanKind.UNREAD, note="not examined"),
        ]
        finding = _structure(self.source, Outcome.UNKNOWN, Severity.HIGH, message, locator)
        return Reading(spans=tuple(s for s in spans if s.end > s.start), findings=(finding,))

    def judge(self) -> Reading:
        """Examine by kind and conclude."""
        words = f"{SAYS[self.kind]}, {self.source.size_bytes:,} bytes, {self.scan.encoding}"
        structure = _structure(self.source, Outcome.PASS, Severity.INFO, words)
        if self.kind is not TextKind.LFS_POINTER and (suffix := binary_suffix(self.source.path)):
            message = f"text stands in a file named {suffix}: it is cut off, an error page, or not what its name says"
            self.defects.add("text.misnamed", message, "line 1", grade=UNJUDGED, excerpt=self.head)
        match self.kind:
            case TextKind.LFS_POINTER:
                message = "a git-LFS pointer stands where the file itself should be: the real bytes are missing"
                self.defects.add("text.lfs-pointer", message, "line 1", grade=UNJUDGED, excerpt=self.head)
            case TextKind.YAML:
                self.look_at_yaml()
            case TextKind.TEMPLATE if not is_json_named(self.source.path):
                self.look_at_template()
            case TextKind.CODE | TextKind.NOTEBOOK:
                message = f"{SAYS[self.kind]}; no loader runs it by itself"
                self.defects.add("text.code-carried", message, grade=(Outcome.NOT_APPLICABLE, Severity.INFO))
        if self.kind in _CARRIES_JSON and (is_json_named(self.source.path) or self.kind is TextKind.JSON):
            structure = self.look_at_json(words)
        self.look_for_hidden()
        span = Span(start=0, end=self.source.size_bytes, kind=SpanKind.HEADER, note=SAYS[self.kind])
        return Reading(spans=(span,), findings=(structure, *self.defects.findings()), header=self.header())

    def look_at_json(self, words: str) -> Finding:
        """Parse it; the answer about its structure."""
        unknown = (Outcome.UNKNOWN, Severity.MEDIUM)
        start, size = self.scan.bom_bytes, self.source.size_bytes - self.scan.bom_bytes
        if size > JSON_LIMIT_BYTES or self.scan.encoding != "utf-8":
            why = f"over {JSON_LIMIT_BYTES:,} bytes" if size > JSON_LIMIT_BYTES else f"in {self.scan.encoding}"
            return _structure(self.source, *unknown, f"named or shaped as JSON, {why}: not parsed")
        data = self.source.read_at(start, size)
        try:
            facts = read_json(data, self.source.path, self.scan.sha256)
        except MalformedArtifactError as problem:
            return _structure(
                self.source, *unknown, f"named or shaped as JSON: {clip(problem.message)}", problem.locator
            )
        result = facts.survey
        self.facts = facts
        self.look_at_facts(facts, data)
        if not result.duplicates:
            return _structure(self.source, Outcome.PASS, Severity.INFO, words)
        first = result.duplicates[0]
        message = f"the key {clip(first.key)!r} stands twice" + (
            f" (and {result.duplicate_count - 1:,} more)" if result.duplicate_count > 1 else ""
        )
        locator = f"byte {start + first.offset}"
        return _structure(self.source, Outcome.FAIL, Severity.MEDIUM, f"{message}, so readers may disagree", locator)

    def look_at_facts(self, facts: JsonFacts, data: bytes) -> None:
        """Turn what a document says into findings and digests."""
        self.digests += facts.digests
        for offset, key in facts.remote:
            message = f"{key} asks a loader to run the repository's own Python, which this release does not analyse"
            place = f"byte {self.scan.bom_bytes + offset}"
            excerpt = data[offset : offset + 120]
            self.defects.add("text.remote-code", message, place, grade=UNJUDGED, excerpt=excerpt)
            self.defects.add("code.on-load", f"runs code if {key} is followed", place, grade=UNJUDGED, excerpt=excerpt)
        if facts.has_long_template:
            self.defects.add(
                "text.template", "the chat template is too long to look at", "/chat_template", grade=UNJUDGED
            )
        for name, code_point in facts.hidden:
            message = f"the chat template {clip(name)!r} holds the invisible character {code_point}"
            self.defects.add("text.hidden-characters", message, "/chat_template", grade=ODD)
        if self.kind is TextKind.JSON and not self.is_vocabulary():
            for item in find_escaped(data):
                message = f"the invisible character {item.code_point} stands here as an escape"
                self.defects.add(
                    "text.hidden-characters", message, f"byte {self.scan.bom_bytes + item.index}", grade=ODD
                )

    def look_at_yaml(self) -> None:
        """Tags that make an unsafe loader build Python objects, and aliases that multiply. YAML is not loaded."""
        if self.source.size_bytes > _YAML_LIMIT_BYTES:
            message = f"YAML over {_YAML_LIMIT_BYTES:,} bytes is not looked at"
            self.defects.add("text.yaml", message, grade=(Outcome.UNKNOWN, Severity.MEDIUM))
            return
        data = self.source.read_at(0, self.source.size_bytes)
        if self.scan.encoding != "utf-8":
            data = data.decode(self.scan.encoding, "replace").encode()
        for match in islice(_YAML_TAG.finditer(data), EVIDENCE_LIMIT):
            message = "a tag asks the YAML loader to build a Python object, which runs code in loaders that allow it"
            self.defects.add("text.yaml", message, f"byte {match.start()}", excerpt=match.group())
        self.defects.add_more("text.yaml", _YAML_TAG.findall(data))
        anchors, aliases = len(_ANCHOR.findall(data)), len(_ALIAS.findall(data))
        if anchors >= 5 and aliases >= 4 * anchors:
            message = f"{aliases:,} aliases of {anchors:,} anchors may expand without bound"
            self.defects.add("text.yaml", message, grade=(Outcome.UNKNOWN, Severity.MEDIUM))

    def look_at_template(self) -> None:
        """Digest a chat template that is a file of its own."""
        if self.source.size_bytes > _TEMPLATE_LIMIT_BYTES:
            message = f"a template over {_TEMPLATE_LIMIT_BYTES:,} bytes is not looked at"
            self.defects.add("text.template", message, grade=UNJUDGED)
            return
        text = self.source.read_at(self.scan.bom_bytes, self.source.size_bytes - self.scan.bom_bytes)
        stem = PurePosixPath(self.source.path).name.split(".")[0]
        name = "" if stem == "chat_template" else stem
        self.digests.append(template_fact(name, text.decode(self.scan.encoding)))

    def look_for_hidden(self) -> None:
        """Report characters that nobody sees, as gravely as the kind of text deserves."""
        grade = None if self.is_vocabulary() else _HIDDEN_GRADES.get(self.kind, ODD)
        for offset, code_point in self.scan.hidden if grade else ():
            message = f"the invisible character {code_point} stands in {SAYS[self.kind]}"
            self.defects.add("text.hidden-characters", message, f"byte {offset}", grade=grade or ODD)

    def is_vocabulary(self) -> bool:
        """Whether the tokens of a model stand in this file."""
        return self.kind is TextKind.VOCABULARY or PurePosixPath(self.source.path).name.lower() in _LINT_ONLY

    def header(self) -> Header | None:
        """What the file says about the model, None where that is nothing."""
        facts = self.facts
        if not self.digests and not facts:
            return None
        return Header(
            path=self.source.path,
            format="text",
            architecture=facts.architecture if facts else "",
            metadata=tuple(facts.metadata) if facts else (),
            digests=tuple(self.digests),
            cache_bytes_per_token=facts.cache_bytes_per_token if facts else None,
        )


FORMAT = Format(
    name="text",
    title="text of a model repository",
    media_type="text/plain",
    version=1,
    may_hold_code=False,
    checks=(
        *(f"text.{what}" for what in ("structure", "remote-code", "lfs-pointer", "code-carried", "hidden-characters")),
        *("text.yaml", "text.template", "text.misnamed", "code.on-load"),
    ),
    references=(
        "https://www.rfc-editor.org/rfc/rfc8259",
        "https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md",
        "https://nvd.nist.gov/vuln/detail/CVE-2021-42574",
    ),
    sniff=sniff,
    read=read,
)
