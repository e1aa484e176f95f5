"""What a model may do to one version of one loader: published advisories tested against what the readers found.

An advisory counts where its versions hold the one that is asked for. Then every file of a format it speaks of meets its
condition, does not, or nobody can say, because its reader did not get to the place where the condition may lie.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import PurePosixPath
from typing import TypeVar

from weighbridge.errors import UsageError
from weighbridge.formats.headers.defects import EVIDENCE_LIMIT
from weighbridge.formats.pickling.report import FINDING_LIMIT
from weighbridge.inspection.examined import FALLBACK
from weighbridge.inspection.judgements import EXAMINED, INSIDE, LOADER, PLUGIN_FORMATS, formats_read
from weighbridge.inspection.loader_advisories import Advisory, Condition, Loader, Reach, table
from weighbridge.inspection.loader_versions import Key, version_key
from weighbridge.vocabulary import Dossier, Evidence, Finding, Outcome, Preview, Severity, clip

_MORE = re.compile(r" \(and ([\d,]{1,20}) more\)\Z")
_OPEN = (Outcome.UNKNOWN, Outcome.ERROR)
_BAD = (Outcome.FAIL, *_OPEN)
_MALFORMED = "not a sound "
_CUT = "…"
"""How a text ends that was longer than is kept."""


class Status(Enum):
    """Whether a loader is open to an advisory by this model, in the words of OpenVEX."""

    AFFECTED = "affected"
    UNDER_INVESTIGATION = "under_investigation"
    NOT_AFFECTED = "not_affected"
    FIXED = "fixed"


LookedAt = TypeVar("LookedAt", bound=Dossier | Preview)

_WORST = (Status.AFFECTED, Status.UNDER_INVESTIGATION, Status.NOT_AFFECTED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A loader in one version, as it was asked for."""

    loader: Loader
    version: str
    key: Key

    def __str__(self) -> str:
        return f"{self.loader.name} {self.version}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """What one advisory means for one loader and this model.

    `reach` is where the version stands; `files` are the files whose format the loader opens with what each of them does to it,
    by path, those inside archives included; none where no file is of such a format or the version is outside the ranges.
    """

    named: Named
    advisory: Advisory
    reach: Reach
    status: Status
    files: tuple[tuple[str, Status], ...] = ()
    evidence: tuple[Evidence, ...] = ()


def parse_loader(text: str) -> Named:
    """A loader and its version as `torch 2.9`.

    Raises:
        UsageError: the loader is not in the table, or that is none of its versions.
    """
    name, _, version = text.strip().partition(" ")
    known = table().loaders
    loader = known.get(name.lower())
    if loader is None:
        remedy = f"known loaders: {', '.join(sorted(known))}"
        raise UsageError(f"{clip(name, 80)!r} is no loader that is known here", remedy=remedy)
    key = version_key(version, loader.order)
    if key is None:
        example = "llama.cpp b6000" if loader.order == "build" else f"{loader.name} 2.9"
        raise UsageError(f"{clip(version, 80)!r} is no version of {loader.name}", remedy=f"write it as: {example}")
    return Named(loader=loader, version=version.strip(), key=key)


def answer(looked_at: LookedAt, loaders: Sequence[Named]) -> tuple[LookedAt, tuple[Assessment, ...]]:
    """What was looked at with a finding for each advisory added to it, and the assessments behind them."""
    assessments = assess(looked_at, loaders)
    findings = (*looked_at.findings, *findings_of(assessments, loaders))
    return replace(looked_at, findings=findings), assessments


def assess(looked_at: Dossier | Preview, loaders: Iterable[Named]) -> tuple[Assessment, ...]:
    """Every advisory of every loader, in the order of the table."""
    files = _Files(looked_at)
    return tuple(
        _assess(advisory, named, files)
        for named in loaders
        for advisory in table().advisories
        if advisory.loader == named.loader
    )


def _assess(advisory: Advisory, named: Named, files: _Files) -> Assessment:
    reach = advisory.reach(named.key)
    if reach is not Reach.WITHIN:
        status = Status.FIXED if reach is Reach.PAST else Status.NOT_AFFECTED
        return Assessment(named=named, advisory=advisory, reach=reach, status=status)
    met: dict[str, Status] = {}
    evidence: dict[Status, list[Evidence]] = {status: [] for status in Status}
    for condition in advisory.conditions:
        for path in files.of(condition):
            status, places = files.test(path, condition)
            evidence[status] += [place for place in places if place not in evidence[status]]
            met[path] = min(met.get(path, status), status, key=_WORST.index)
    status = min(met.values(), key=_WORST.index, default=Status.NOT_AFFECTED)
    return Assessment(
        named=named,
        advisory=advisory,
        reach=reach,
        status=status,
        files=tuple(sorted(met.items())),
        evidence=tuple(evidence[status][:EVIDENCE_LIMIT]),
    )


class _Files:
    """The files of a model, those inside archives included, with what was found in each."""

    def __init__(self, looked_at: Dossier | Preview) -> None:
        self._findings: dict[str, list[Finding]] = {}
        self._formats: dict[str, set[str]] = {}
        self._facts: dict[str, set[str]] = {}
        self._unexamined: set[str] = set()
        self._looks_like: set[str] = set()
        self._is_whole = True
        for file in looked_at.artifacts:
            self._formats.setdefault(file.path, set()).add(file.format)
        for header in looked_at.headers:
            self._formats.setdefault(header.path, set()).add(header.format)
            self._facts.setdefault(header.path, set()).update(f"{fact.name}={fact.value}" for fact in header.metadata)
        for finding in looked_at.findings:
            self._take(finding)

    def _take(self, finding: Finding) -> None:
        unit, _, what = finding.check.partition(".")
        is_about_all = finding.check == PLUGIN_FORMATS or (finding.check == EXAMINED and not finding.evidence)
        if is_about_all and finding.outcome in _BAD:
            self._is_whole = False
        around: set[str] = set()
        for path in {place.artifact for place in finding.evidence}:
            formats = self._formats.setdefault(path, set())
            formats.update(formats_read(finding))
            if what in ("structure", "reader") or finding.check == f"{FALLBACK}.format":
                formats.add(unit)
            around |= {path, *_archives_around(path)}
            if finding.check == f"{FALLBACK}.format" and finding.message.startswith("looks like "):
                self._looks_like.add(path)
            if finding.check in (EXAMINED, INSIDE) and finding.outcome in _BAD:
                self._unexamined.add(path)
        for path in around:  # what is found in a member counts for the archive as well
            self._findings.setdefault(path, []).append(finding)

    def of(self, condition: Condition) -> list[str]:
        """The files that a condition speaks of, and those of which nobody knows what they are."""
        return [
            path
            for path, formats in self._formats.items()
            if (formats & set(condition.formats) or self._may_be(path, condition)) and self._is_named(path, condition)
        ]

    def _may_be(self, path: str, condition: Condition) -> bool:
        """Whether a file may be of one of the formats, for all that is known: not examined, or only its name speaks for it."""
        if not self._is_whole or path in self._unexamined:
            return True
        suffix = PurePosixPath(path).suffix.lower()
        kinds = [table().formats[name] for name in condition.formats]
        is_open = path not in self._looks_like
        return FALLBACK in self._formats[path] and any(
            (kind.any_name and is_open) or suffix in kind.suffixes for kind in kinds
        )

    def _is_named(self, path: str, condition: Condition) -> bool:
        name = path.rpartition("!")[2].rpartition("/")[2]
        return condition.name is None or condition.name.search(name) is not None

    def _own(self, path: str) -> list[Finding]:
        found = self._findings.get(path, ())
        return [finding for finding in found if any(place.artifact == path for place in finding.evidence)]

    def test(self, path: str, condition: Condition) -> tuple[Status, tuple[Evidence, ...]]:
        """Whether one file meets a condition, and the places that say so."""
        status, places = _search(self._findings.get(path, []), condition)
        is_meant = self._is_meant(path, condition)
        if status is Status.AFFECTED and is_meant:
            return status, places
        if unread := self._unread(path, condition):
            return Status.UNDER_INVESTIGATION, places or unread
        if not is_meant:
            return Status.NOT_AFFECTED, _place(path)
        return status, places or _place(path)

    def _is_meant(self, path: str, condition: Condition) -> bool:
        shown = not condition.shows or any(finding.check == condition.shows for finding in self._own(path))
        said = not condition.fact or condition.fact in self._facts.get(path, ())
        return shown and said and all(f"{path}!{member}" in self._formats for member in condition.holds)

    def _unread(self, path: str, condition: Condition) -> tuple[Evidence, ...]:
        """Places of what kept the reader from the end of the file; some where it is not known to have been read."""
        formats = self._formats[path] & set(condition.formats)
        unread = {check for name in formats for check in table().formats[name].unread} | {EXAMINED, INSIDE}
        unread |= {f"{name}.reader" for name in formats}
        for finding in self._findings.get(path, ()):
            is_malformed = finding.message.startswith(_MALFORMED) and finding.check.endswith(".structure")
            if finding.outcome in _BAD and (finding.check in unread or is_malformed):
                return finding.evidence or _place(path)
        return () if self._is_whole and formats else _place(path)


def _search(findings: Sequence[Finding], condition: Condition) -> tuple[Status, tuple[Evidence, ...]]:
    """The worst that the findings say of the checks of a condition."""
    told = [finding for finding in findings if finding.check in condition.fails and finding.outcome in _BAD]
    doubts: list[tuple[Evidence, ...]] = []
    for finding in told:
        places = _matching(finding, condition)
        if places and finding.outcome is Outcome.FAIL:
            return Status.AFFECTED, places
        if places or _hides(finding, condition):
            doubts.append(places or finding.evidence)
    if not doubts and _is_cut(findings, condition):
        doubts.append(())
    return (Status.UNDER_INVESTIGATION, doubts[0]) if doubts else (Status.NOT_AFFECTED, ())


def _matching(finding: Finding, condition: Condition) -> tuple[Evidence, ...]:
    if condition.says is not None and not condition.says.search(finding.message):
        return ()
    wanted = condition.excerpt
    return tuple(place for place in finding.evidence if wanted is None or wanted.search(place.excerpt))


def _hides(finding: Finding, condition: Condition) -> bool:
    """Whether a finding counts places that it does not show, one of which may be what is looked for."""
    more = _MORE.search(finding.message)
    if more is None:
        return condition.says is not None and finding.message.endswith(_CUT)
    return condition.says is not None or int(more[1].replace(",", "")) + 1 > len(finding.evidence)


def _is_cut(findings: Sequence[Finding], condition: Condition) -> bool:
    """Whether a reader had more to say than it may, so that what is looked for may have been left out."""
    readers = {check.partition(".")[0] for check in condition.fails}
    said = sum(1 for f in findings if f.outcome is not Outcome.PASS and f.check.partition(".")[0] in readers)
    return said >= FINDING_LIMIT


def _archives_around(path: str) -> list[str]:
    parts = path.split("!")
    return ["!".join(parts[:count]) for count in range(1, len(parts))]


def _place(path: str) -> tuple[Evidence, ...]:
    return (Evidence(artifact=path),)


def findings_of(assessments: Sequence[Assessment], loaders: Sequence[Named]) -> tuple[Finding, ...]:
    """One finding for each advisory that a version has, and one for each loader about all that it has not."""
    within = [_finding(item) for item in assessments if item.reach is Reach.WITHIN]
    outside = [_clear(named, [item for item in assessments if item.named == named]) for named in loaders]
    return (*within, *(finding for finding in outside if finding))


def _finding(item: Assessment) -> Finding:
    """The answer about one advisory. Its places name it and the loader, so that what is set aside for one is not for another."""
    advisory = item.advisory
    outcome, severity = Outcome.PASS, Severity.INFO
    match item.status:
        case Status.AFFECTED:
            outcome, severity = Outcome.FAIL, advisory.severity
            words = f"{item.named} is open to {advisory.cve} by what it holds: {advisory.needs}"
        case Status.UNDER_INVESTIGATION:
            outcome, severity = Outcome.UNKNOWN, advisory.severity
            words = f"{item.named} has {advisory.cve}, and nobody can say whether the file holds {advisory.needs}"
        case _ if not item.files:
            outcome = Outcome.NOT_APPLICABLE
            words = f"{item.named} has {advisory.cve}, and no file here is of a format or name that it is about"
        case _:
            words = f"{item.named} has {advisory.cve}, which is not reached: it takes {advisory.needs}"
    return Finding(
        check=LOADER,
        outcome=outcome,
        severity=severity,
        message=words,
        evidence=tuple(
            replace(place, locator=f"{place.locator} {advisory.cve} {advisory.loader.name}".lstrip())
            for place in item.evidence
        ),
        references=(advisory.cve, advisory.source),
    )


def _clear(named: Named, items: Sequence[Assessment]) -> Finding | None:
    """PASS about the advisories of a loader whose ranges do not hold the version; None where there is none to speak of."""
    outside = [item.advisory for item in items if item.reach is not Reach.WITHIN]
    if items and not outside:
        return None
    names = ", ".join(advisory.cve for advisory in outside)
    words = f"{named} is outside the versions of {names}" if outside else f"no advisory is known here for {named}"
    references = tuple(advisory.cve for advisory in outside)
    return Finding(check=LOADER, outcome=Outcome.PASS, severity=Severity.INFO, message=words, references=references)
