"""What no policy can switch off: the reasons that hold for every model, whatever rules there are.

law.nothing-examined      there is no file, or no check passed         nobody can wave it through
law.check-broke           a check broke                                nobody
law.bytes-unexplained     bytes belong to nothing                      nobody
law.bytes-unread          nobody examined some bytes                   an approval, or a waiver that names this law
law.failure-not-covered   a check failed at medium or above, and       an approval of the decision
                          no rule of the policy looked at it
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
CHECK_BROKE = "law.check-broke"
BYTES_UNEXPLAINED = "law.bytes-unexplained"
BYTES_UNREAD = "law.bytes-unread"
FAILURE_NOT_COVERED = "law.failure-not-covered"

WAIVABLE = frozenset({BYTES_UNREAD})
APPROVABLE = frozenset({BYTES_UNREAD, FAILURE_NOT_COVERED})
LAWS = (NOTHING_EXAMINED, CHECK_BROKE, BYTES_UNEXPLAINED, BYTES_UNREAD, FAILURE_NOT_COVERED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruled:
    """A compiled rule and how it came out on the evidence."""

    compiled: CompiledRule
    examined: Examined


def floor(dossier: Dossier, evidence: Evidence, ruled: Sequence[Ruled]) -> list[Reason]:
    """Every reason to refer that does not come from the policy; each stands FIRED with effect REFER."""
    found = (
        _nothing_examined(dossier),
        _check_broke(dossier),
        _bytes_unexplained(dossier),
        _bytes_unread(dossier),
        _failure_not_covered(evidence, ruled),
    )
    return [reason for reason in found if reason is not None]


def _nothing_examined(dossier: Dossier) -> Reason | None:
    if dossier.artifacts and any(finding.outcome is not Outcome.FAIL for finding in dossier.findings):
        return None
    message = "the model has no files" if not dossier.artifacts else "no check says anything but that it failed"
    return _reason(NOTHING_EXAMINED, message, "Check the reference, then admit again.")


def _check_broke(dossier: Dossier) -> Reason | None:
    broken = [finding for finding in dossier.findings if finding.outcome is Outcome.ERROR]
    if not broken:
        return None
    checks = _listed({finding.check for finding in broken})
    remedy = "Admit again; where it breaks again, `weighbridge doctor` says what this installation lacks."
    return _reason(CHECK_BROKE, f"a check broke, so nobody can say: {checks}", remedy, broken)


def _bytes_unexplained(dossier: Dossier) -> Reason | None:
    sizes = {a.path: _unexplained(a) for a in dossier.artifacts if _unexplained(a)}
    if not sizes:
        return None
    message = f"{sum(sizes.values())} bytes belong to nothing in {_listed(sizes)}"
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
    message = f"nobody examined {sum(sizes.values())} bytes in {_listed(sizes)}"
    remedy = f"Take the model without these files, or have somebody look at them and waive {BYTES_UNREAD}."
    return _reason(BYTES_UNREAD, message, remedy, _about_bytes(dossier))


def _failure_not_covered(evidence: Evidence, ruled: Sequence[Ruled]) -> Reason | None:
    serious = [f for f in evidence.suspects if f.outcome is Outcome.FAIL and f.severity.rank >= Severity.MEDIUM.rank]
    left = [f for f in serious if not any(is_needed(rule.compiled.rule, f.check) for rule in ruled)]
    for rule in ruled:
        if left and rule.examined.is_true:
            covered = set(evidence.trips(rule.compiled, left))
            left = [finding for finding in left if finding not in covered]
    if not left:
        return None
    checks = _listed({finding.check for finding in left})
    remedy = "Approve the decision after looking at the findings, or write a rule about these checks."
    return _reason(FAILURE_NOT_COVERED, f"no rule of the policy looks at failed checks: {checks}", remedy, left)


def _about_bytes(dossier: Dossier) -> list[Finding]:
    good = (Outcome.PASS, Outcome.NOT_APPLICABLE)
    return [f for f in dossier.findings if f.check == "bytes.accounted" and f.outcome not in good]


def _listed(names: Iterable[str]) -> str:
    ordered = sorted(names)
    shown = ", ".join(clip(name, 80) for name in ordered[:3])
    return shown if len(ordered) <= 3 else f"{shown} and {len(ordered) - 3} more"


def _reason(law: str, message: str, remedy: str, findings: Iterable[Finding] = ()) -> Reason:
    kept = tuple(worst_first(findings)[:FINDINGS_PER_REASON])
    return Reason(rule=law, standing=Standing.FIRED, effect=Effect.REFER, message=message, remedy=remedy, findings=kept)
