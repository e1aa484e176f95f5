"""A dossier or a preview as SARIF 2.1.0, for code scanning and editors. The same dossier gives the same bytes.

No times and no absolute paths: files are relative to SRCROOT, the folder that was examined. What is inside an archive is an
artifact of its own whose parent is the file; an offset inside it is told at that one, never as an offset of the file.

https://docs.oasis-open.org/sarif/sarif/v2.1.0/os/sarif-v2.1.0-os.html
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from weighbridge.inspection.judgements import CHECKS
from weighbridge.vocabulary import Artifact, Dossier, Evidence, Finding, Outcome, Preview, Severity

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/os/schemas/sarif-schema-2.1.0.json"
FINGERPRINT = "weighbridge/v1"
ROOT = "SRCROOT"
QUIET = (Outcome.PASS, Outcome.NOT_APPLICABLE)
"""Outcomes that are no result of a report."""

_LEVELS = ("none", "note", "warning", "error")
_BYTES = re.compile(r"byte (\d{1,18})(?: to (\d{1,18}))?(?: .*)?", re.DOTALL)
_LINE = re.compile(r"line (\d{1,9})(?: column (\d{1,9}))?(?: .*)?", re.DOTALL)


def outer_artifact(path: str, artifacts: Mapping[str, Artifact]) -> Artifact | None:
    """The examined file that `path` is, or that `outer!inner` lies in; None where it is no file of the model."""
    while path not in artifacts:
        path, mark, _ = path.rpartition("!")
        if not mark:
            return None
    return artifacts[path]


def sarif(looked_at: Dossier | Preview, *, version: str, suppressed: Mapping[Finding, str] | None = None) -> str:
    """One SARIF log with one run, as ASCII text.

    Args:
        looked_at: every finding that is not PASS or NOT_APPLICABLE becomes a result.
        version: of weighbridge.
        suppressed: findings that do not count, with their justification; None where nobody asked for suppressions.
    """
    run = _Run(looked_at.artifacts)
    told = [finding for finding in looked_at.findings if finding.outcome not in QUIET]
    rules = _rules(looked_at.findings, told)
    places = {rule["id"]: number for number, rule in enumerate(rules)}
    results = []
    for finding in told:
        result = {"ruleId": finding.check, "ruleIndex": places[finding.check], **run.result(finding)}
        if suppressed is not None:
            result["suppressions"] = _suppressions(suppressed.get(finding))
        results.append(result)
    driver = {"name": "weighbridge", "semanticVersion": version, "rules": rules}
    body = {
        "tool": {"driver": driver},
        "invocations": [{"executionSuccessful": all(finding.outcome is not Outcome.ERROR for finding in told)}],
        "originalUriBaseIds": {ROOT: {"description": {"text": "The folder that was examined."}}},
        "columnKind": "unicodeCodePoints",
        "artifacts": run.artifacts,
        "results": results,
    }
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [body]}, indent=2) + "\n"


class _Run:
    """The artifacts of a run, which grow by what lies inside of them as findings name it."""

    def __init__(self, files: Iterable[Artifact]) -> None:
        ordered = sorted(files, key=lambda file: file.path)
        self._files = {file.path: file for file in ordered}
        self._places = {file.path: number for number, file in enumerate(ordered)}
        self.artifacts = [self._file(file) for file in ordered]

    @staticmethod
    def _file(file: Artifact) -> dict[str, Any]:
        hashes = {"hashes": {"sha-256": file.sha256}} if file.sha256 else {}
        return {"location": {"uri": _uri(file.path), "uriBaseId": ROOT}, "length": file.size_bytes, **hashes}

    def result(self, finding: Finding) -> dict[str, Any]:
        """A finding at its first place; the others, and those inside an archive, are related locations."""
        level = _level(finding)
        made: dict[str, Any] = {"level": level, "message": {"text": _plain(finding.message)}}
        located = [place for place in finding.evidence if outer_artifact(place.artifact, self._files)]
        if located:
            made["locations"] = [self._location(located[0])]
            related = [self._inner(place) for place in located if place.artifact not in self._files]
            related += [self._location(place) for place in located[1:] if place.artifact in self._files]
            if related:
                made["relatedLocations"] = related
            made["partialFingerprints"] = {FINGERPRINT: self._fingerprint(finding.check, located[0])}
        made["properties"] = {"outcome": finding.outcome.value, "severity": finding.severity.value}
        excerpts = [place.excerpt for place in finding.evidence if place.excerpt]
        if excerpts:
            made["properties"]["excerpts"] = excerpts
        return made

    def _outer(self, place: Evidence) -> Artifact:
        found = outer_artifact(place.artifact, self._files)
        if found is None:
            raise KeyError(place.artifact)
        return found

    def _location(self, place: Evidence) -> dict[str, Any]:
        file = self._outer(place)
        at: dict[str, Any] = {"uri": _uri(file.path), "uriBaseId": ROOT, "index": self._places[file.path]}
        physical: dict[str, Any] = {"artifactLocation": at}
        location: dict[str, Any] = {"physicalLocation": physical}
        region = _region(place.locator)
        if file.path == place.artifact and region:
            physical["region"] = region
        else:
            name = f"{place.artifact} {place.locator}".rstrip()
            location["logicalLocations"] = [{"fullyQualifiedName": name}]
        return location

    def _inner(self, place: Evidence) -> dict[str, Any]:
        file = self._outer(place)
        index, path = self._places[file.path], file.path
        for name in place.artifact[len(file.path) + 1 :].split("!"):
            path += f"!{name}"
            if path not in self._places:
                self._places[path] = len(self.artifacts)
                self.artifacts.append({"location": {"uri": _uri(name)}, "parentIndex": index})
            index = self._places[path]
        region = _region(place.locator)
        return {"physicalLocation": {"artifactLocation": {"index": index}, **({"region": region} if region else {})}}

    def _fingerprint(self, check: str, place: Evidence) -> str:
        file = self._outer(place)
        inner = place.artifact[len(file.path) :]
        named = json.dumps([file.sha256, check, inner, place.locator])
        return hashlib.sha256(named.encode()).hexdigest()


def _rules(every: Iterable[Finding], told: Iterable[Finding]) -> list[dict[str, Any]]:
    levels: dict[str, str] = {finding.check: "warning" for finding in every}
    found: dict[str, list[str]] = {}
    for finding in told:
        found.setdefault(finding.check, []).append(_level(finding))
    levels |= {check: max(given, key=_LEVELS.index) for check, given in found.items()}
    return [
        {
            "id": check,
            "shortDescription": {
                "text": CHECKS.get(check, f"what the {check.partition('.')[0]} reader checks: {check}")
            },
            "defaultConfiguration": {"level": level},
        }
        for check, level in sorted(levels.items())
    ]


def _level(finding: Finding) -> str:
    """What code scanning shows: what nobody could judge is a warning, because a result of level none is not shown."""
    if finding.outcome is not Outcome.FAIL:
        return "warning"
    if finding.severity.rank >= Severity.HIGH.rank:
        return "error"
    return "warning" if finding.severity is Severity.MEDIUM else "note"


def _region(locator: str) -> dict[str, int]:
    if found := _BYTES.fullmatch(locator):
        start = int(found[1])
        end = int(found[2]) if found[2] else -1
        return {"byteOffset": start, **({"byteLength": end - start + 1} if end >= start else {})}
    if (found := _LINE.fullmatch(locator)) and int(found[1]) > 0:
        column = int(found[2] or 0)
        return {"startLine": int(found[1]), **({"startColumn": column} if column else {})}
    return {}


def _suppressions(justification: str | None) -> list[dict[str, str]]:
    if justification is None:
        return []
    return [{"kind": "external", "status": "accepted", "justification": justification}]


def _uri(path: str) -> str:
    """A relative reference that nothing takes for a scheme or a host."""
    kept = path.lstrip("/")
    return "%2F" * (len(path) - len(kept)) + quote(kept, safe="/", errors="backslashreplace")


def _plain(text: str) -> str:
    """Text in which nothing is a link (section 3.11.6), whatever the model wrote."""
    return re.sub(r"([\\\[\]])", r"\\\1", text)
