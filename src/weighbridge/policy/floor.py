"""What no policy can switch off: the reasons that hold for every model, whatever rules there are.

law.nothing-examined      no file with any byte was read, or no check  nobody can wave it through
                          said anything but that it failed
law.file-not-examined     nothing says of a file that was read what    nobody
                          it is, where its bytes went or whether it
                          runs code, or that every file was examined
law.check-broke           a check broke                                nobody
law.bytes-unexplained     bytes belong to nothing                      nobody
law.bytes-unread          nobody examined some bytes                   an approval, or a waiver that names this law
law.failure-not-covered   a check failed at medium or above, and       an approval of the decision
                          no rule of the policy looked at it; at high
                          or above, `condition` rules do not count
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from weighbridge.policy.examination import (
    FINDINGS_PER_REASON,
    CompiledRule,
    Evidence,
    Examined,
    is_needed,
    worst_first,
)
from weighbridge.vocabulary import Artifact, Dossier, Effect, Finding, Outcome, Reason, Severity, Standing, clip

NOTHING_EXAMINED = "law.nothing-examined"
FILE_NOT_EXAMINED = "law.file-not-examined"
CHECK_BROKE = "law.check-broke"
BYTES_UNEXPLAINED = "law.bytes-unexplained"
BYTES_UNREAD = "law.bytes-unread"
FAILURE_NOT_COVERED = "law.failure-not-covered"

EVERY_FILE = ("format.recognised", "bytes.accounted", "code.on-load")
"""Checks that inspection answers for every file that it read."""
EVERY_MODEL = "inspection.examined"
"""The check that inspection answers once for a model, or for each file that it could not examine."""
WAIVABLE = frozenset({BYTES_UNREAD})
APPROVABLE = frozenset({BYTES_UNREAD, FAILURE_NOT_COVERED})
LAWS = (NOTHING_EXAMINED, FILE_NOT_EXAMINED, CHECK_BROKE, BYTES_UNEXPLAINED, BYTES_UNREAD, FAILURE_NOT_COVERED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruled:
    """A compiled rule and how it came out on the evidence."""

    compiled: CompiledRule
    examined: Examined


def floor(dossier: Dossier, evidence: Evidence, ruled: Sequence[Ruled]) -> list[Reason]:
    """Every reason to refer that does not come from the policy; each stands FIRED with effect REFER."""
    found = (
        _nothing_examined(dossier) or _file_not_examined(dossier, evidence),
        _check_broke(dossier),
        _bytes_unexplained(dossier),
        _bytes_unread(dossier),
        _failure_not_covered(evidence, ruled),
    )
    return [reason for reason in found if reason is not None]


def _nothing_examined(dossier: Dossier) -> Reason | None:
    message = "no check says anything but that it failed"
    if not dossier.artifacts:
        message = "the model has no files"
    elif not any(_is_read(artifact) for artifact in dossier.artifacts):
        message = "no file with any byte in it was read"
    elif any(finding.outcome is not Outcome.FAIL for finding in dossier.findings):
        return None
    return _reason(NOTHING_EXAMINED, message, "Check the reference, then admit again.")


def _file_not_examined(dossier: Dossier, evidence: Evidence) -> Reason | None:
    """What a policy needs is answered by any file of a model; these are to be answered by each file that was read.

    A failure answers where it is grave, so that none that no rule has to look at takes this law's place.
    """
    answers = [f for f in dossier.findings if f.outcome is not Outcome.FAIL or f.severity.rank >= Severity.HIGH.rank]
    said = {(evidence.file_of(place.artifact), f.check) for f in answers for place in f.evidence}
    read = [a.path for a in dossier.artifacts if a.size_bytes and not a.account.unread_bytes]
    silent = [(path, check) for path in read for check in EVERY_FILE if (path, check) not in said]
    message = f"nothing answers {listed({check for _, check in silent})} for {listed({path for path, _ in silent})}"
    if not silent:
        if any(finding.check == EVERY_MODEL for finding in answers):
            return None
        message = "nothing says whether every file was examined"
    remedy = "Admit again; where it stays so, `weighbridge doctor` says what this installation lacks."
    return _reason(FILE_NOT_EXAMINED, message, remedy)


def _is_read(artifact: Artifact) -> bool:
    account = artifact.account
    return account.header_bytes + account.tensor_bytes + account.padding_bytes + account.unexplained_bytes > 0


def _check_broke(dossier: Dossier) -> Reason | None:
    broken = [finding for finding in dossier.findings if finding.outcome is Outcome.ERROR]
    if not broken:
        return None
    checks = listed({finding.check for finding in broken})
    remedy = "Admit again; where it breaks again, `weighbridge doctor` says what this installation lacks."
    return _reason(CHECK_BROKE, f"a check broke, so nobody can say: {checks}", remedy, broken)


def _bytes_unexplained(dossier: Dossier) -> Reason | None:
    sizes = {a.path: _unexplained(a) for a in dossier.artifacts if _unexplained(a)}
    if not sizes:
        return None
    message = f"{sum(sizes.values())} bytes belong to nothing in {listed(sizes)}"
    remedy = "Ask the publisher for files without them, or convert the model; bytes that nobody can explain are never admitted."
    return _reason(BYTES_UNEXPLAINED, message, remedy, _about_bytes(dossier))


def _unexplained(artifact: Artifact) -> int:
    """Unexplained bytes, and whatever the account leaves out or counts twice."""
    account = artifact.account
    told = account.header_bytes + account.tensor_bytes + account.padding_bytes + account.unread_bytes
    return max(account.unexplained_bytes, abs(artifact.size_bytes - told))


def _bytes_unread(dossier: Dossier) -> Reason | None:
    sizes = {a.path: a.account.unread_bytes for a in dossier.artifacts if a.account.unread_bytes}
    for unread in dossier.unread:
        sizes[unread.path] = max(unread.size_bytes, sizes.get(unread.path, 0))
    if not sizes:
        return None
    message = f"nobody examined {sum(sizes.values())} bytes in {listed(sizes)}"
    remedy = f"Take the model without these files, or have somebody look at them and waive {BYTES_UNREAD}."
    return _reason(BYTES_UNREAD, message, remedy, _about_bytes(dossier))


def _failure_not_covered(evidence: Evidence, ruled: Sequence[Ruled]) -> Reason | None:
    serious = [f for f in evidence.suspects if f.outcome is Outcome.FAIL and f.severity.rank >= Severity.MEDIUM.rank]
    grave = [f for f in serious if f.severity.rank >= Severity.HIGH.rank]
    strict = [rule for rule in ruled if rule.compiled.rule.effect is not Effect.CONDITION]
    left = _not_covered(grave, evidence, strict)
    left += _not_covered([f for f in serious if f.severity.rank < Severity.HIGH.rank], evidence, ruled)
    if not left:
        return None
    checks = listed({finding.check for finding in left})
    remedy = (
        "Approve the decision after looking at the findings, or write a rule that refuses or refers on these checks."
    )
    return _reason(FAILURE_NOT_COVERED, f"no rule of the policy looks at failed checks: {checks}", remedy, left)


def _not_covered(failed: list[Finding], evidence: Evidence, ruled: Sequence[Ruled]) -> list[Finding]:
    """Those that no rule names among its needs and on which no rule fired."""
    is_named = {check: any(is_needed(r.compiled.rule, check) for r in ruled) for check in {f.check for f in failed}}
    left = [finding for finding in failed if not is_named[finding.check]]
    for rule in ruled:
        if left and rule.examined.is_true:
            covered = set(evidence.trips(rule.compiled, left))
            left = [finding for finding in left if finding not in covered]
    return left


def _about_bytes(dossier: Dossier) -> list[Finding]:
    good = (Outcome.PASS, Outcome.NOT_APPLICABLE)
    return [f for f in dossier.findings if f.check == "bytes.accounted" and f.outcome not in good]


def listed(names: Iterable[str]) -> str:
    """The first three of them, safe to show, and how many more there are."""
    ordered = sorted(names)
    shown = ", ".join(clip(name, 80) for name in ordered[:3])
    return shown if len(ordered) <= 3 else f"{shown} and {len(ordered) - 3} more"


def _reason(law: str, message: str, remedy: str, findings: Iterable[Finding] = ()) -> Reason:
    kept = tuple(worst_first(findings)[:FINDINGS_PER_REASON])
    return Reason(rule=law, standing=Standing.FIRED, effect=Effect.REFER, message=message, remedy=remedy, findings=kept)
