"""From a dossier, a policy and a use to a verdict. Pure: no clock, no file, no network, no chance.

REFUSE   a rule with effect `refuse` fired and no waiver covers it; a proven failure stands even when other parts broke.
REFER    otherwise, a rule with effect `refer` fired, any rule is undetermined, or a law of the floor holds, and nobody
         waived or approved it.
ADMIT_WITH_CONDITIONS   otherwise, a `condition` rule fired, or something was waived or approved.
ADMIT    otherwise.

What is guaranteed. For every policy: evidence that a rule asks for and that is missing never gives ADMIT; broken checks,
unexplained bytes and a file without its own answers (see `floor`) are at least referred; where the other checks leave no file
without its answers, the verdict is never kinder for the failed ones. No number of passed checks or of files that no rule counts
changes a verdict, and what a rule cannot look through to its end is undetermined beyond any approval. For policies whose
conditions look for failures rather than for their absence (and whose `condition` rules do not mix them with what somebody may
leave unsaid), adding any failed check to a dossier in which every file has its answers never makes the verdict kinder;
`linting.check_policy` names rules that it finds otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from weighbridge.errors import UsageError
from weighbridge.policy.examination import (
    CompiledRule,
    Evidence,
    Examined,
    compile_policy,
    examine_rule,
    rests_on,
)
from weighbridge.policy.expressions import Fault
from weighbridge.policy.floor import APPROVABLE, WAIVABLE, Ruled, floor, listed
from weighbridge.registry import wire
from weighbridge.vocabulary import (
    Approval,
    Decision,
    Dossier,
    Effect,
    Policy,
    Reason,
    Standing,
    UseContext,
    Verdict,
    Waiver,
    clip,
)

ENGINE = "weighbridge-policy/1"
"""The version of these semantics, messages included; part of every decision."""

WAIVER_DAYS = 180
_PROSE = 500
_RANKS = {verdict.value: verdict.rank for verdict in Verdict}


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleTrace:
    """One rule on the way to a verdict. `said` is the condition's value or error; `missing` are unanswered needs."""

    rule: str
    effect: Effect
    standing: Standing
    said: str
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """A verdict, why, on what conditions, and rule by rule how it came about. All in one order, whatever the input's.

    `expires_at` is the end of the policy's validity, of the first waiver used, or of what was approved, whichever comes first.
    """

    verdict: Verdict
    reasons: tuple[Reason, ...]
    conditions: tuple[str, ...]
    trace: tuple[RuleTrace, ...]
    expires_at: datetime


def judge(  # noqa: PLR0913  # everything that a verdict may rest on is named here, and only here
    dossier: Dossier,
    policy: Policy,
    use: UseContext,
    *,
    waivers: Mapping[str, Waiver],
    approvals: Mapping[str, Approval],
    facts: Mapping[str, Any],
    now: datetime,
    approvals_end: datetime | None = None,
) -> Judgement:
    """Judge one model for one use.

    Args:
        dossier: everything known.
        policy: the rules.
        use: what it is wanted for; what nobody said is unknown to the rules.
        waivers: by digest, their signatures checked by the caller.
        approvals: by digest, their signatures checked; only those for which `approval_binds` holds.
        facts: facts of the world, JSON values by name.
        now: timezone-aware.
        approvals_end: when the first of the decisions that were approved expires; timezone-aware.

    Raises:
        PolicyError: a rule cannot be compiled.
        UsageError: `now` or `approvals_end` has no time zone, or `facts` is not JSON.
    """
    for name, time in (("now", now), ("approvals_end", approvals_end)):
        if time is not None and time.tzinfo is None:
            raise UsageError(f"{name} has no time zone", subject=name, remedy="Pass a UTC time.")
    evidence = Evidence(dossier, use, facts)
    ruled = [Ruled(compiled=rule, examined=examine_rule(rule, evidence)) for rule in compile_policy(policy)]
    exceptions = _Exceptions.that_hold(dossier.subject, use, waivers=waivers, approvals=approvals, now=now)
    matters = [_matter(rule.examined, rule.compiled, evidence, exceptions) for rule in ruled]
    matters += [_law(reason, exceptions) for reason in floor(dossier, evidence, ruled)]
    matters.sort(key=lambda matter: (-_RANKS[matter.verdict.value], matter.reason.rule))
    return Judgement(
        verdict=matters[0].verdict if matters else Verdict.ADMIT,
        reasons=tuple(matter.reason for matter in matters if matter.reason.standing is not Standing.CLEAR),
        conditions=tuple(sorted({condition for matter in matters for condition in matter.conditions})),
        trace=tuple(_trace(matter) for matter in sorted(matters, key=lambda matter: matter.reason.rule)),
        expires_at=min([now + timedelta(days=policy.valid_days), *_ends(matters, approvals_end)]),
    )


def _ends(matters: Iterable[_Matter], approvals_end: datetime | None) -> Iterator[datetime]:
    for matter in matters:
        if matter.waiver is not None:
            yield matter.waiver.until
        if matter.reason.standing is Standing.APPROVED and approvals_end is not None:
            yield approvals_end


def approval_binds(earlier: Decision, *, subject: str, dossier: str, policy: str, use: str, now: datetime) -> bool:
    """Whether an approval of `earlier` speaks for a judgement of these digests at this time.

    The dossier counts too: what an approver was shown cannot change under the signature. An approval ends with the decision
    it names.
    """
    is_same = (earlier.subject, earlier.dossier, earlier.policy, earlier.use) == (subject, dossier, policy, use)
    return is_same and now < earlier.expires_at


def waiver_holds(waiver: Waiver, *, subject: str, use: str, now: datetime) -> bool:
    """Whether a waiver covers this model and use at this time. `use` is the digest of the use.

    It must have been issued, not have run out, and not run longer than 180 days in all. Times without a zone never hold.
    """
    if waiver.issued_at.tzinfo is None or waiver.until.tzinfo is None:
        return False
    is_in_time = waiver.issued_at <= now < waiver.until and waiver.until - waiver.issued_at <= timedelta(
        days=WAIVER_DAYS
    )
    return is_in_time and waiver.scope.subject == subject and waiver.scope.use in ("", use)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Exceptions:
    """Waivers that hold, by rule (of several the one that lasts longest), and approvals in order."""

    waivers: Mapping[str, Waiver]
    approvals: tuple[Approval, ...]

    @classmethod
    def that_hold(
        cls,
        subject: str,
        use: UseContext,
        *,
        waivers: Mapping[str, Waiver],
        approvals: Mapping[str, Approval],
        now: datetime,
    ) -> _Exceptions:
        identity = wire.digest(use) if any(waiver.scope.use for waiver in waivers.values()) else ""
        holding = [w for w in waivers.values() if waiver_holds(w, subject=subject, use=identity, now=now)]
        by_rule = {w.rule: w for w in sorted(holding, key=lambda w: (w.until.timestamp(), repr(w)))}
        return cls(waivers=by_rule, approvals=tuple(sorted(approvals.values(), key=repr)))

    def lift(self, standing: Standing, rule: str, *, can_waive: bool, can_approve: bool) -> Standing:
        """What becomes of a standing. A waiver goes before an approval, so that its end bounds the decision."""
        if standing is Standing.CLEAR:
            return standing
        if can_waive and rule in self.waivers:
            return Standing.WAIVED
        return Standing.APPROVED if can_approve and self.approvals else standing


@dataclass(frozen=True, slots=True, kw_only=True)
class _Matter:
    """One rule or law settled: what it asks of the verdict, and what it adds to the conditions."""

    verdict: Verdict
    reason: Reason
    said: str = ""
    missing: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ()
    waiver: Waiver | None = None


def _matter(examined: Examined, compiled: CompiledRule, evidence: Evidence, exceptions: _Exceptions) -> _Matter:
    rule, bare = examined.rule, examined.standing
    waiver = exceptions.waivers.get(rule.id)
    is_open = rule.effect is Effect.REFER or bare is Standing.UNDETERMINED
    standing = exceptions.lift(
        bare,
        rule.id,
        can_waive=bare is Standing.FIRED or not examined.is_broken,
        can_approve=is_open and not examined.is_broken,
    )
    reason = Reason(
        rule=rule.id,
        standing=standing,
        effect=rule.effect,
        message=rule.message if bare is not Standing.UNDETERMINED else _open_question(examined),
        remedy=rule.remedy if bare is not Standing.UNDETERMINED else _way_to_an_answer(examined, evidence),
        findings=rests_on(examined, compiled, evidence) if bare is not Standing.CLEAR else (),
    )
    is_condition = rule.effect is Effect.CONDITION and examined.is_true and standing is not Standing.WAIVED
    return _settled(
        reason,
        own=(f"{rule.id}: {rule.message}",) if is_condition else (),
        waiver=waiver,
        approvals=exceptions.approvals,
        said=examined.said,
        missing=examined.missing,
    )


def _law(reason: Reason, exceptions: _Exceptions) -> _Matter:
    waiver = exceptions.waivers.get(reason.rule)
    standing = exceptions.lift(
        reason.standing, reason.rule, can_waive=reason.rule in WAIVABLE, can_approve=reason.rule in APPROVABLE
    )
    settled = Reason(
        rule=reason.rule,
        standing=standing,
        effect=reason.effect,
        message=reason.message,
        remedy=reason.remedy,
        findings=reason.findings,
    )
    return _settled(
        settled, own=(), waiver=waiver, approvals=exceptions.approvals, said="a law of weighbridge", missing=()
    )


def _settled(
    reason: Reason,
    *,
    own: tuple[str, ...],
    waiver: Waiver | None,
    approvals: Iterable[Approval],
    said: str,
    missing: tuple[str, ...],
) -> _Matter:
    conditions, used = own, None
    if reason.standing is Standing.WAIVED and waiver is not None:
        conditions, used = (*own, _waiver_condition(waiver)), waiver
    if reason.standing is Standing.APPROVED:
        conditions = (*own, *(f"{reason.rule}: approved by {_prose(a.by)}: {_prose(a.reason)}" for a in approvals))
    verdict = _verdict(reason.effect, reason.standing)
    return _Matter(verdict=verdict, reason=reason, said=said, missing=missing, conditions=conditions, waiver=used)


def _verdict(effect: Effect, standing: Standing) -> Verdict:
    match standing:
        case Standing.CLEAR:
            return Verdict.ADMIT
        case Standing.WAIVED | Standing.APPROVED:
            return Verdict.ADMIT_WITH_CONDITIONS
        case Standing.UNDETERMINED:
            return Verdict.REFER
        case Standing.FIRED:
            return _FIRED[effect]


_FIRED = {
    Effect.REFUSE: Verdict.REFUSE,
    Effect.REFER: Verdict.REFER,
    Effect.CONDITION: Verdict.ADMIT_WITH_CONDITIONS,
}


def _open_question(examined: Examined) -> str:
    parts = []
    if examined.missing:
        parts.append(f"no check answers {', '.join(examined.missing)}")
    if examined.unsure:
        checks = sorted({finding.check for finding in examined.unsure})
        parts.append(f"{', '.join(checks[:5])} could not tell")
    if examined.fault is not None and (examined.fault is not Fault.UNSAID or not parts):
        parts.append(examined.fault.value)
    return f"cannot be told: {examined.rule.title} ({'; '.join(parts)})"


def _way_to_an_answer(examined: Examined, evidence: Evidence) -> str:
    """The one thing that helps; the same words for every rule that waits for the same files."""
    if examined.fault not in (None, Fault.UNSAID):
        return (
            "Ask whoever wrote the policy to write this rule in another way; until then nobody can approve or waive it."
        )
    if examined.is_broken:
        return "Admit again; where the check breaks again, `weighbridge doctor` says what this installation lacks."
    waiting = {evidence.file_of(place.artifact) for finding in examined.unsure for place in finding.evidence}
    if waiting and not examined.missing and waiting < evidence.files:
        return (
            f"Admit the model without {listed(waiting)} if nothing needs it; else have a reviewer look at it and approve "
            "the decision."
        )
    if examined.missing or examined.unsure:
        return "Take a release that can be examined, or have a reviewer look at the findings and approve the decision."
    return "Say what the rule asks for (`weighbridge policy explain`), or have a reviewer approve the decision."


def _waiver_condition(waiver: Waiver) -> str:
    done = _prose(waiver.control) or _prose(waiver.reason)
    return (
        f"{waiver.rule}: {done} (waived by {_prose(waiver.by)} until {waiver.until.astimezone(UTC).date().isoformat()})"
    )


def _prose(text: str) -> str:
    return clip(text.strip(), _PROSE)


def _trace(matter: _Matter) -> RuleTrace:
    reason = matter.reason
    return RuleTrace(
        rule=reason.rule, effect=reason.effect, standing=reason.standing, said=matter.said, missing=matter.missing
    )
