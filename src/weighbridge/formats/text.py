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
from weighbridge.formats.headers.tables import RUN_BY
from weighbridge.formats.headers.text_code import SOURCE_LIMIT_BYTES, capabilities
from weighbridge.formats.headers.text_demands import (
    find_code_targets,
    find_python_tags,
    has_odd_target,
    renames_tags,
    spelled,
)
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
from weighbridge.formats.reading.contract import Format, Match, Reading, own_name
from weighbridge.formats.reading.source import Source
from weighbridge.formats.reading.spans import Span
from weighbridge.formats.templates.judge import judge_template
from weighbridge.vocabulary import Evidence, Fact, Finding, Header, Outcome, Severity, SpanKind, clip

_EDGE_BYTES = 4096
_YAML_LIMIT_BYTES = 4 << 20
_TEMPLATE_LIMIT_BYTES = 4 << 20
_ANCHOR = re.compile(rb"(?:^|[\s\[,{])&[A-Za-z0-9_]", re.MULTILINE)
_ALIAS = re.compile(rb"(?:^|[\s\[,{])\*[A-Za-z0-9_]", re.MULTILINE)
_INFO = (Outcome.FAIL, Severity.INFO)
_DEMANDS_LIMIT_BYTES = 4 << 20
"""Largest text that is searched for demands; YAML over its own limit is said to be unlooked at, other settings are small."""
_MAKES_DEMANDS = {TextKind.YAML, TextKind.CONFIG, TextKind.JSON, TextKind.PROSE}
_MARKUP = {".md", ".markdown", ".rst"}
"""Prose for people, which may speak of what a loader must not be given."""
_CARRIES_JSON = {TextKind.JSON, TextKind.VOCABULARY, TextKind.NOTEBOOK, TextKind.TEMPLATE}
_MAY_BE_KERAS = {TextKind.YAML, TextKind.CONFIG, TextKind.PROSE, TextKind.JSON_LINES, TextKind.VOCABULARY}
_OPERATOR = re.compile(rb"\bop\s*:\s*[\"']([\w>]*)(?:[\"'](?:\s*([\"']))?|())")
_KERAS_OBJECT = re.compile(rb'"' + spelled("class_name") + rb'"\s*:\s*"')
_KERAS_LAMBDA = re.compile(rb"\b(?:function|output_shape|mask)_type[\"']?\s*:\s*[\"']?(?:lambda|raw)\b|\b__lambda__\b")
_HIDDEN_GRADES = {
    TextKind.VOCABULARY: None,
    TextKind.PROSE: _INFO,
    TextKind.JSON_LINES: _INFO,
    TextKind.NOTEBOOK: _INFO,
}
_LOADED_SOURCES = re.compile(
    r"(?:pipeline|handler|modeling|configuration|tokenization|processing|image_processing|custom)[\w-]*\.py\Z"
)
"""Sources that a loader imports by their name, or by what a configuration calls them."""
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
        self.keras: tuple[Finding, ...] = ()

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
        if own_name(self.source.path).endswith(".pbtxt"):
            self.look_at_graph()
        match self.kind:
            case TextKind.LFS_POINTER:
                message = "a git-LFS pointer stands where the file itself should be: the real bytes are missing"
                self.defects.add("text.lfs-pointer", message, "line 1", grade=UNJUDGED, excerpt=self.head)
            case TextKind.YAML:
                self.look_at_yaml()
            case TextKind.TEMPLATE if not is_json_named(self.source.path):
                self.look_at_template()
            case TextKind.CODE | TextKind.NOTEBOOK:
                self.look_at_code()
        if self.kind in _CARRIES_JSON and (is_json_named(self.source.path) or self.kind is TextKind.JSON):
            structure = self.look_at_json(words)
        elif self.kind in _MAY_BE_KERAS:
            self.look_for_keras()
        if self.kind in _MAKES_DEMANDS and PurePosixPath(self.source.path).suffix.lower() not in _MARKUP:
            self.look_for_demands()
        self.look_for_hidden()
        span = Span(start=0, end=self.source.size_bytes, kind=SpanKind.HEADER, note=SAYS[self.kind])
        return Reading(spans=(span,), findings=(structure, *self.defects.findings(), *self.keras), header=self.header())

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
        self.look_at_keras(data, is_declared=facts.is_keras)
        if not result.duplicates:
            return _structure(self.source, Outcome.PASS, Severity.INFO, words)
        first = result.duplicates[0]
        message = f"the key {clip(first.key)!r} stands twice" + (
            f" (and {result.duplicate_count - 1:,} more)" if result.duplicate_count > 1 else ""
        )
        locator = f"byte {start + first.offset}"
        return _structure(self.source, Outcome.FAIL, Severity.MEDIUM, f"{message}, so readers may disagree", locator)

    def look_at_keras(self, data: bytes, *, is_declared: bool) -> None:
        """Judge what `keras.models.model_from_json` would build, which takes a list, or objects anywhere, and no word of Keras.

        Where nothing says that it is for Keras, only code and names that run code count.
        """
        from weighbridge.formats.headers.keras_config import CONFIG_LIMIT_BYTES, KerasModel, answer, judge

        if not is_declared and (len(data) > CONFIG_LIMIT_BYTES or not _KERAS_OBJECT.search(data)):
            return
        model = KerasModel(defects=Defects(self.source.path))
        judge(data, model, where=own_name(self.source.path))
        found = [f for f in answer(model, path=self.source.path) if f.outcome is not Outcome.PASS]
        is_code = any(f.outcome is Outcome.FAIL and f.check == "code.on-load" for f in found)
        self.keras = tuple(found) if is_declared or is_code else ()

    def look_at_graph(self) -> None:
        """Operators of a TensorFlow graph in text form that reach out; other texts of that name hold labels and settings."""
        from weighbridge.formats.graphs.operators import Deed, tensorflow_operators

        if own_name(self.source.path) == "saved_model.pbtxt":
            message = "a TensorFlow graph in text form, whose operators this release does not judge"
            self.defects.add("code.on-load", message, "line 1", grade=UNJUDGED)
        size = min(self.source.size_bytes, _DEMANDS_LIMIT_BYTES)
        operators = tensorflow_operators()
        odd, names = "", dict[str, int]()
        for match in _OPERATOR.finditer(self.source.read_at(0, size)):
            name = match.group(1).decode()
            names.setdefault(name, match.start())
            if match.lastindex != 1 or operators.deed(name) is Deed.FOREIGN:
                odd = odd or f"operator {clip(name)!r} of TensorFlow is not known here, or spelled in pieces"
        if worst := next((name for name in names if operators.deed(name) is Deed.REACHES_OUT), None):
            message = f"operator {worst} of TensorFlow {operators.reaches_out[worst]} when the graph runs"
            self.defects.add("code.on-load", message, f"byte {names[worst]}", excerpt=worst)
        elif odd or (names and size < self.source.size_bytes):
            message = odd or f"a TensorFlow graph in text form of more than {size:,} bytes"
            self.defects.add("code.on-load", message, grade=UNJUDGED)

    def look_for_keras(self) -> None:
        """Models of Keras in texts that are not named as JSON, and in YAML, of which older versions built models."""
        start, size = self.scan.bom_bytes, self.source.size_bytes - self.scan.bom_bytes
        if size > _DEMANDS_LIMIT_BYTES or self.scan.encoding != "utf-8":
            return
        data = self.source.read_at(start, size)
        if self.kind is TextKind.YAML and (found := _KERAS_LAMBDA.search(data)):
            message = "a model of Keras holds Python code, which loading unmarshals"
            self.defects.add("keras.lambda", message, f"byte {start + found.start()}", excerpt=found.group())
        if looks_like_json(self.head, self.tail):
            self.look_at_keras(data, is_declared=False)

    def look_at_fetched(self, fetched: list[tuple[int, str]], data: bytes) -> None:
        """Refuse settings by which a loader fetches code and runs it, without anybody agreeing to that."""
        for offset, key in fetched:
            message = f"{key} names a repository whose code a loader fetches and runs, whether it may or not"
            place, excerpt = f"byte {self.scan.bom_bytes + offset}", data[offset : offset + 120]
            self.defects.add("text.remote-code", message, place, excerpt=excerpt, references=("CVE-2026-4372",))
            self.defects.add("code.on-load", f"runs the code that {key} names", place, excerpt=excerpt)

    def look_at_facts(self, facts: JsonFacts, data: bytes) -> None:
        """Turn what a document says into findings and digests."""
        self.digests += facts.digests
        for offset, key in facts.remote:
            message = f"{key} asks a loader to import code that is not of the libraries known here, which this release does not analyse"
            place = f"byte {self.scan.bom_bytes + offset}"
            excerpt = data[offset : offset + 120]
            self.defects.add("text.remote-code", message, place, grade=UNJUDGED, excerpt=excerpt)
            self.defects.add("code.on-load", f"runs code if {key} is followed", place, grade=UNJUDGED, excerpt=excerpt)
        self.look_at_fetched(facts.fetched, data)
        for what, why in facts.unlooked:
            self.defects.add("text.template", f"{what} is not judged: {clip(why)}", grade=UNJUDGED)
        for name, found in facts.unsafe:
            self.refuse_template(name, found, "/chat_template")
        for offset, path in facts.outside:
            message = f"sends a loader to {clip(path)!r}, which is not a file of this model"
            self.defects.add("text.path-escape", message, f"byte {self.scan.bom_bytes + offset}")
        for place, step in facts.rewrites:
            message = f"the tokenizer rewrites text: {clip(step)}"
            self.defects.add("text.rewrites", message, place, excerpt=step)
        for name, what in facts.conditional:
            message = f"the chat template {clip(name)!r} says something else where {clip(what)} is spoken of"
            self.defects.add("text.template", message, "/chat_template")
        for name, code_point in facts.hidden:
            message = f"the chat template {clip(name)!r} holds the invisible character {code_point}"
            self.defects.add("text.hidden-characters", message, "/chat_template", grade=ODD)
        if self.kind is TextKind.JSON and not self.is_vocabulary():
            for item in find_escaped(data):
                message = f"the invisible character {item.code_point} stands here as an escape"
                self.defects.add(
                    "text.hidden-characters", message, f"byte {self.scan.bom_bytes + item.index}", grade=ODD
                )

    def refuse_template(self, name: str, found: str, locator: str) -> None:
        """Report what reaches out of a template."""
        message = f"the chat template {clip(name)!r} reaches for {clip(found)}, which leads out of the sandbox"
        self.defects.add("text.template", message, locator)

    def look_for_demands(self) -> None:
        """Tags that make an unsafe YAML loader build Python objects, and targets that run code. Nothing is loaded."""
        if self.source.size_bytes > _DEMANDS_LIMIT_BYTES:
            return
        start = self.scan.bom_bytes
        data = self.source.read_at(start, self.source.size_bytes - start)
        if self.scan.encoding != "utf-8":
            data = data.decode(self.scan.encoding, "replace").encode()
        tags = list(islice(find_python_tags(data), EVIDENCE_LIMIT + 1))
        grade = (Outcome.FAIL, Severity.HIGH) if self.kind is TextKind.YAML else UNJUDGED
        for offset, tag in tags[:EVIDENCE_LIMIT]:
            message = "a tag asks a YAML loader to build a Python object, which runs code in loaders that allow it"
            self.defects.add("text.yaml", message, f"byte {start + offset}", grade=grade, excerpt=tag)
        if self.kind is TextKind.YAML and renames_tags(data):
            message = "a directive renames the tags of this YAML, so that nobody knows what they ask for"
            self.defects.add("text.yaml", message, grade=UNJUDGED)
        for offset, name in islice(find_code_targets(data), EVIDENCE_LIMIT):
            message = f"a target asks a loader to call {clip(name)}"
            self.defects.add("text.remote-code", message, f"byte {start + offset}", excerpt=name)
        if has_odd_target(data):
            message = "a target is spelled so that nobody knows what it asks a loader to call"
            self.defects.add("text.remote-code", message, grade=UNJUDGED)

    def look_at_yaml(self) -> None:
        """Aliases that multiply. YAML is not loaded."""
        if self.source.size_bytes > _YAML_LIMIT_BYTES:
            message = f"YAML over {_YAML_LIMIT_BYTES:,} bytes is not looked at"
            self.defects.add("text.yaml", message, grade=(Outcome.UNKNOWN, Severity.MEDIUM))
            return
        data = self.source.read_at(0, self.source.size_bytes)
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
        stem = own_name(self.source.path).split(".")[0]
        name = "" if stem == "chat_template" else stem
        template = text.decode(self.scan.encoding)
        self.digests.append(template_fact(name, template))
        verdict = judge_template(template)
        if verdict.unsafe:
            self.refuse_template(name or "default", verdict.unsafe, "line 1")
        if verdict.topic:
            message = f"the chat template says something else where {clip(verdict.topic)} is spoken of"
            self.defects.add("text.template", message, "line 1")
        if verdict.unjudged:
            message = f"the chat template is not judged: {clip(verdict.unjudged)}"
            self.defects.add("text.template", message, "line 1", grade=UNJUDGED)

    def look_at_code(self) -> None:
        """Name source that is carried along, and who runs it where somebody does without being asked."""
        name = own_name(self.source.path)
        if name in RUN_BY:
            message = f"{SAYS[self.kind]} that {RUN_BY[name]}, and that this release does not analyse"
            self.defects.add("text.code-carried", message, grade=UNJUDGED)
            self.look_at_python(name)
            return
        if name.endswith(".py"):
            self.look_at_python(name)
        message = f"{SAYS[self.kind]}; it runs where somebody imports or starts it"
        self.defects.add("text.code-carried", message, grade=(Outcome.NOT_APPLICABLE, Severity.INFO))

    def look_at_python(self, name: str) -> None:
        """Name what importing the file would do, and what its functions may do."""
        if self.source.size_bytes > SOURCE_LIMIT_BYTES:
            return
        text = self.source.read_at(self.scan.bom_bytes, self.source.size_bytes - self.scan.bom_bytes)
        try:
            found = capabilities(text.decode(self.scan.encoding))
        except ValueError:
            return  # whoever imports it fails as well
        is_imported = _LOADED_SOURCES.match(name) is not None
        for item in found[:EVIDENCE_LIMIT]:
            place, when = f"line {item.line}", "where it is imported" if item.is_on_import else "in a function"
            message = f"Python source {item.does} {when}: {clip(item.name)}"
            is_grave = item.is_on_import or (is_imported and item.does != "reaches the network")
            grade = (Outcome.FAIL, Severity.CRITICAL if item.is_on_import else Severity.HIGH) if is_grave else UNJUDGED
            self.defects.add("text.code-capability", message, place, grade=grade, excerpt=item.name)

    def look_for_hidden(self) -> None:
        """Report characters that nobody sees, as gravely as the kind of text deserves."""
        grade = None if self.is_vocabulary() else _HIDDEN_GRADES.get(self.kind, ODD)
        for offset, code_point in self.scan.hidden if grade else ():
            message = f"the invisible character {code_point} stands in {SAYS[self.kind]}"
            self.defects.add("text.hidden-characters", message, f"byte {offset}", grade=grade or ODD)

    def is_vocabulary(self) -> bool:
        """Whether the tokens of a model stand in this file."""
        return self.kind is TextKind.VOCABULARY or own_name(self.source.path) in _LINT_ONLY

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
    version=3,
    may_hold_code=False,
    checks=(
        *(f"text.{what}" for what in ("structure", "remote-code", "lfs-pointer", "code-carried", "hidden-characters")),
        *(
            "text.yaml",
            "text.template",
            "text.misnamed",
            "text.path-escape",
            "text.code-capability",
            "text.rewrites",
            *("keras.config", "keras.class", "keras.lambda", "keras.file-access"),
            "code.on-load",
        ),
    ),
    references=(
        "https://www.rfc-editor.org/rfc/rfc8259",
        "https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md",
        "https://nvd.nist.gov/vuln/detail/CVE-2021-42574",
    ),
    sniff=sniff,
    read=read,
)
