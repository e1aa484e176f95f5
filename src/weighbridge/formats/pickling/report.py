"""What the machine has to say about one stream: findings, counted and clipped, and the proof when there is nothing to say."""

from __future__ import annotations

from collections.abc import Iterable

from weighbridge.formats.pickling.values import Global
from weighbridge.vocabulary import Evidence, Finding, Outcome, Severity, clip

FINDING_LIMIT = 50
"""Findings kept a file; how many more there were is said."""
CHECKS = (
    "code.on-load",
    "pickle.calls-unsafe-global",
    "pickle.computed-call",
    "pickle.computed-global",
    "pickle.expansion",
    "pickle.extension-code",
    "pickle.imports-unsafe-global",
    "pickle.mutates-unknown",
    "pickle.nested-data",
    "pickle.out-of-bounds",
    "pickle.persistent-id",
    "pickle.structure",
    "pickle.unlisted-call",
    "pickle.unlisted-global",
)
"""Every check that judging a pickle can answer."""
_CODE = frozenset(CHECKS) - {"code.on-load", "pickle.expansion", "pickle.nested-data", "pickle.structure"}
"""Checks whose failure means that loading would run something no policy covers."""


class Report:
    """Findings of one artifact, in the order they were made; equal ones once, with how often.

    `globals` are all names met, by (module, name); `calls` counts covered calls; `opcodes` counts what was interpreted.
    """

    __slots__ = ("_seen", "artifact", "calls", "findings", "globals", "is_whole", "more", "opcodes", "unsafe_events")

    def __init__(self, artifact: str) -> None:
        self.artifact = artifact
        self.findings: list[Finding] = []
        self.globals: dict[tuple[str, str], Global] = {}
        self.calls = 0
        self.opcodes = 0
        self.more = 0
        self.is_whole = True
        self.unsafe_events = 0
        self._seen: set[tuple[str, str]] = set()

    def add(
        self,
        check: str,
        message: str,
        locator: str,
        *,
        outcome: Outcome = Outcome.FAIL,
        severity: Severity = Severity.HIGH,
        excerpt: str = "",
        references: tuple[str, ...] = (),
    ) -> None:
        """Record one finding unless the same was said before. `message` and `excerpt` may hold hostile text."""
        if outcome is not Outcome.PASS:
            self.unsafe_events += 1
        key = (check, message[:400])
        if key in self._seen:
            return
        if check == "pickle.structure" and not self._replaces_structure(outcome, severity):
            return
        if len(self.findings) >= FINDING_LIMIT:
            self.more += 1
            return
        self._seen.add(key)
        evidence = Evidence(artifact=self.artifact, locator=locator, excerpt=clip(excerpt))
        self.findings.append(
            Finding(
                check=check,
                outcome=outcome,
                severity=severity,
                message=clip(message, 400),
                evidence=(evidence,),
                references=references,
            )
        )

    def _replaces_structure(self, outcome: Outcome, severity: Severity) -> bool:
        """A file has one structure; the worst thing that was said of it stays."""
        said = [finding for finding in self.findings if finding.check == "pickle.structure"]
        if not said:
            return True
        grade = (outcome is Outcome.FAIL, severity.rank)
        if grade <= (said[0].outcome is Outcome.FAIL, said[0].severity.rank):
            return False
        self.findings.remove(said[0])
        return True

    def fail(self, check: str, message: str, locator: str, *, excerpt: str = "") -> None:
        """Record something that loading would do and no policy covers."""
        self.add(check, message, locator, severity=Severity.CRITICAL, excerpt=excerpt)

    def doubt(self, check: str, message: str, locator: str, *, references: tuple[str, ...] = ()) -> None:
        """Record something that nobody can say."""
        self.add(check, message, locator, outcome=Outcome.UNKNOWN, severity=Severity.HIGH, references=references)


def structure(check: str, problem: str, *, artifact: str, said: str, outcome: Outcome = Outcome.FAIL) -> Finding:
    """The one answer to "is this file what its format says": `said` where there is no problem."""
    if not problem:
        return Finding(check=check, outcome=Outcome.PASS, severity=Severity.INFO, message=clip(said, 400))
    evidence = (Evidence(artifact=artifact),)
    return Finding(check=check, outcome=outcome, severity=Severity.HIGH, message=clip(problem, 400), evidence=evidence)


def conclude(reports: Iterable[Report], *, artifact: str, doubt: str = "") -> Finding:
    """The one answer of a file to "does loading it run code": all its streams together.

    `doubt` is a reason to say UNKNOWN that lies outside the streams (code of another kind, a member nobody read).
    """
    everything = list(reports)
    findings = [finding for report in everything for finding in report.findings]
    unsafe = [
        f for f in findings if f.outcome is Outcome.FAIL and (f.check in _CODE or f.severity is Severity.CRITICAL)
    ]
    dropped = sum(report.more for report in everything)
    if unsafe:
        first = next((f for f in unsafe if f.severity is Severity.CRITICAL), unsafe[0])
        others = len(unsafe) - 1 + dropped
        more = f", and {others} more" if others else ""
        return _answer(
            Outcome.FAIL,
            Severity.CRITICAL,
            f"loading runs what no policy covers: it {first.message}{more}",
            first.evidence,
        )
    open_questions = [f for f in findings if f.outcome is Outcome.UNKNOWN or f.check == "pickle.structure"]
    if open_questions or doubt or dropped or not all(report.is_whole for report in everything):
        first_doubt = doubt or (open_questions[0].message if open_questions else "the stream was not read to its end")
        return _answer(
            Outcome.UNKNOWN,
            Severity.HIGH,
            f"cannot say that loading runs no code: {first_doubt}",
            open_questions[0].evidence if open_questions and not doubt else (Evidence(artifact=artifact),),
        )
    return _proof(everything, artifact)


def _proof(reports: list[Report], artifact: str) -> Finding:
    named = [(report.artifact, found) for report in reports for found in report.globals.values()]
    calls = sum(report.calls for report in reports)
    shown = tuple(
        Evidence(
            artifact=where,
            locator=f"byte {found.at} {found.opcode}",
            excerpt=clip(f"{found.path}: {found.entry.kind}, {found.entry.policy}" if found.entry else found.path),
        )
        for where, found in named[:FINDING_LIMIT]
    )
    message = (
        f"every global is covered by the allowlist: {len(named)} globals, {calls} calls"
        if named
        else "no global is named: plain data"
    )
    return _answer(Outcome.PASS, Severity.INFO, message, shown or (Evidence(artifact=artifact),))


def _answer(outcome: Outcome, severity: Severity, message: str, evidence: tuple[Evidence, ...]) -> Finding:
    return Finding(
        check="code.on-load", outcome=outcome, severity=severity, message=clip(message, 400), evidence=evidence
    )
