"""Findings that do not count until a day, each bound to the digest of a file, and written with a reason.

Laws: a suppression covers one check of one file's bytes, never another; it covers what failed, and what nobody could judge
only where it says `outcome: unknown`. A check that broke, a finding about no file and bytes that belong to nothing are never
suppressed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime
from typing import Any

import yaml

from weighbridge.errors import UsageError
from weighbridge.inspection.judgements import ACCOUNTED
from weighbridge.inspection.sarif import outer_artifact
from weighbridge.policy.bounded_yaml import LIMIT_BYTES, read_mapping, refuse_unknown_keys
from weighbridge.vocabulary import Dossier, Evidence, Finding, Outcome, clip

BASELINE = "baseline"
"""The reason of entries that were written, not argued."""

_CHECK = re.compile(r"[a-z][a-z0-9_]*(?:[-.][a-z0-9_]+)*")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_OUTCOMES = (Outcome.FAIL, Outcome.UNKNOWN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Suppression:
    """One entry. `until` is the last day on which it counts, in UTC; an empty `locator` is every place."""

    sha256: str
    check: str
    reason: str
    until: date
    outcome: Outcome = Outcome.FAIL
    locator: str = ""

    def is_live(self, moment: datetime) -> bool:
        """Whether its last day is not over."""
        return moment.astimezone(UTC).date() <= self.until

    @property
    def justification(self) -> str:
        """The reason and the day, for a report."""
        return f"{self.reason} (until {self.until.isoformat()})"


_KEYS = tuple(field.name for field in fields(Suppression))


def load_suppressions(data: bytes, *, subject: str) -> tuple[Suppression, ...]:
    """Read a file of suppressions: YAML, a list below `suppressions:`, at most 256 KiB.

    Raises:
        UsageError: it is not one; the message names the entry and what is wrong.
    """
    raw = read_mapping(data, subject=subject, refusal=UsageError)
    refuse_unknown_keys(raw, ("suppressions",), where=subject, subject=subject, refusal=UsageError)
    entries = raw.get("suppressions")
    if not isinstance(entries, list):
        remedy = "Write `suppressions:` with a list below it."
        raise UsageError(f"{subject} has no list of suppressions", subject=subject, remedy=remedy)
    return tuple(_read(entry, f"{subject} entry {number}", subject) for number, entry in enumerate(entries, 1))


def suppressed(dossier: Dossier, entries: Iterable[Suppression], *, moment: datetime) -> dict[Finding, Suppression]:
    """The findings that do not count at `moment`, each with the entry that covers its first place.

    A finding is covered where each of its places is.
    """
    live: dict[tuple[str, str, Outcome], list[Suppression]] = {}
    for entry in entries:
        if entry.is_live(moment):
            live.setdefault((entry.sha256, entry.check, entry.outcome), []).append(entry)
    files = {artifact.path: artifact for artifact in dossier.artifacts}
    covered: dict[Finding, Suppression] = {}
    for finding in dossier.findings:
        if not live or not _can_be_suppressed(finding.check, finding.outcome):
            continue
        found = []
        for place in finding.evidence:
            file = outer_artifact(place.artifact, files)
            digest = file.sha256 if file else ""
            found.append(_covering(place, live.get((digest, finding.check, finding.outcome), ())))
        if found and found[0] is not None and None not in found:
            covered[finding] = found[0]
    return covered


def is_whole(dossier: Dossier, covered: Mapping[Finding, Suppression]) -> bool:
    """Whether every byte was read, but for files whose unread bytes are suppressed by name."""
    named = {p.artifact for f in covered if f.check == ACCOUNTED and f.outcome is Outcome.UNKNOWN for p in f.evidence}
    return bool(dossier.artifacts) and all(unread.path in named for unread in dossier.unread)


def baseline(dossier: Dossier, *, until: date) -> tuple[Suppression, ...]:
    """An entry for every finding of a dossier that can be suppressed."""
    files = {artifact.path: artifact for artifact in dossier.artifacts}
    named: set[tuple[str, str, str]] = set()
    for finding in dossier.findings:
        if _can_be_suppressed(finding.check, finding.outcome):
            places = [outer_artifact(place.artifact, files) for place in finding.evidence]
            named |= {(file.sha256, finding.check, finding.outcome.value) for file in places if file and file.sha256}
    return tuple(
        Suppression(sha256=digest, check=check, reason=BASELINE, until=until, outcome=Outcome(outcome))
        for digest, check, outcome in sorted(named)
    )


def write_suppressions(entries: Iterable[Suppression]) -> bytes:
    """The file that `load_suppressions` reads as these entries.

    Raises:
        UsageError: it would be larger than is read again.
    """
    listed = [
        {"sha256": entry.sha256, "check": entry.check, "outcome": entry.outcome.value}
        | ({"locator": entry.locator} if entry.locator else {})
        | {"reason": entry.reason, "until": entry.until.isoformat()}
        for entry in entries
    ]
    written = yaml.safe_dump({"suppressions": listed}, sort_keys=False, allow_unicode=False, width=1000).encode()
    if len(written) > LIMIT_BYTES:
        raise UsageError(
            f"{len(listed):,} suppressions are more than one file holds", remedy="Examine fewer files at once."
        )
    return written


def _can_be_suppressed(check: str, outcome: Outcome) -> bool:
    return outcome in _OUTCOMES and (check, outcome) != (ACCOUNTED, Outcome.FAIL)


def _covering(place: Evidence, entries: Iterable[Suppression]) -> Suppression | None:
    return next((entry for entry in entries if entry.locator in ("", place.locator)), None)


def _read(entry: object, where: str, subject: str) -> Suppression:
    if not isinstance(entry, dict):
        raise _refused(where, "is not a mapping", subject)
    refuse_unknown_keys(entry, _KEYS, where=where, subject=subject, refusal=UsageError)
    given = {key: _text(entry, key, where, subject) for key in ("sha256", "check", "reason", "until")}
    if not _SHA256.fullmatch(given["sha256"]):
        raise _refused(where, "`sha256` is not 64 hexadecimal digits in lower case", subject)
    if not _CHECK.fullmatch(given["check"]):
        raise _refused(where, f"`check` is no check id: {clip(given['check'], 60)}", subject)
    told = entry.get("outcome", Outcome.FAIL.value)
    if told not in [outcome.value for outcome in _OUTCOMES]:
        raise _refused(where, "`outcome` is neither `fail` nor `unknown`", subject)
    if not _can_be_suppressed(given["check"], Outcome(told)):
        raise _refused(where, "bytes that nobody can explain are never suppressed", subject)
    locator = _text(entry, "locator", where, subject) if "locator" in entry else ""
    until = _day(given["until"], where, subject)
    return Suppression(
        sha256=given["sha256"],
        check=given["check"],
        reason=given["reason"].strip(),
        until=until,
        outcome=Outcome(told),
        locator=locator,
    )


def _text(entry: dict[str, Any], key: str, where: str, subject: str) -> str:
    value = entry.get(key)
    if not isinstance(value, str) or not value.strip():
        raise _refused(where, f"`{key}` is missing, empty or no text", subject)
    return value


def _day(text: str, where: str, subject: str) -> date:
    try:
        if _DAY.fullmatch(text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise _refused(where, f"`until` is no day such as 2027-01-31: {clip(text, 40)}", subject)


def _refused(where: str, problem: str, subject: str) -> UsageError:
    return UsageError(f"{where}: {problem}", subject=subject, remedy="Correct that entry.")
