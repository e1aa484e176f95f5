"""One rule against one dossier: clear, fired or undetermined, and on what that rests.

A rule is looked at twice where the dossier holds failed checks: as it is, and without them. The stricter answer counts. So
no condition, whatever negation it uses, is kinder to a model for a failure that was found, and a failed check is never by
itself the evidence that a rule asked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import translate
from functools import cached_property, lru_cache
from itertools import islice
from typing import Any

from weighbridge.policy.expressions import Expression, Fault, Reply
from weighbridge.policy.inputs import QUIET, findings_values, input_values, kinds_values
from weighbridge.policy.paging import ask
from weighbridge.vocabulary import (
    Answer,
    Dossier,
    Effect,
    Finding,
    Outcome,
    Policy,
    Rule,
    Severity,
    Standing,
    UseContext,
)

FINDINGS_PER_REASON = 100
"""A reason names the worst findings up to this number; the dossier has them all."""

_UNSURE = (Outcome.UNKNOWN, Outcome.ERROR)
TRIED = 1000
"""Most findings that are tried one by one on a condition that looks at more than their kinds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledRule:
    """A rule with its condition compiled."""

    rule: Rule
    condition: Expression


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """How a rule came out before anybody waived or approved it.

    `standing` is CLEAR, FIRED or UNDETERMINED. `is_true` says that the condition held, which an undetermined `condition`
    rule may do as well. `said` is the condition's value or error, `fault` why it has no answer. `missing` are patterns of
    `needs` that no finding answers; `unsure` are findings they match that are UNKNOWN or ERROR, worst first.
    """

    rule: Rule
    standing: Standing
    is_true: bool
    said: str
    fault: Fault | None = None
    missing: tuple[str, ...] = ()
    unsure: tuple[Finding, ...] = ()

    @property
    def is_broken(self) -> bool:
        """Whether the condition cannot be worked out or a check that the rule needs broke: no person can wave that through."""
        is_faulty = self.fault not in (None, Fault.UNSAID)
        return is_faulty or any(finding.outcome is Outcome.ERROR for finding in self.unsure)


class Evidence:
    """A dossier, a use and facts, put once into the form that every rule looks at."""

    def __init__(self, dossier: Dossier, use: UseContext, facts: Mapping[str, Any]) -> None:
        values = input_values(dossier, use, facts)
        self.files = frozenset(artifact.path for artifact in dossier.artifacts)
        self.suspects = tuple(worst_first(finding for finding in dossier.findings if finding.outcome not in QUIET))
        """Findings that are neither PASS nor NOT_APPLICABLE, worst first."""
        self._ordered = (*self.suspects, *(finding for finding in dossier.findings if finding.outcome in QUIET))
        self._values = values
        self._alone: dict[Finding, _Look] = {}
        self.whole = _Look(values, self._ordered)

    @cached_property
    def without_failures(self) -> _Look | None:
        """The same without its failed checks; None where nothing failed."""
        kept = tuple(finding for finding in self._ordered if finding.outcome is not Outcome.FAIL)
        return _Look(self._values, kept) if len(kept) < len(self._ordered) else None

    @cached_property
    def _none(self) -> _Look:
        return _Look(self._values, (), bind_empty=True)

    def _only(self, finding: Finding) -> _Look:
        if finding not in self._alone:
            self._alone[finding] = _Look(self._values, (finding,))
        return self._alone[finding]

    def file_of(self, artifact: str) -> str:
        """The file of the model that holds this artifact: itself, or the archive that it is a member of."""
        while artifact not in self.files and "!" in artifact:
            artifact = artifact.rpartition("!")[0]
        return artifact

    def ask_over(self, compiled: CompiledRule, findings: Iterable[Finding]) -> Answer:
        """The condition with exactly these findings, an empty list included, and everything else as it is."""
        return _Look(self._values, tuple(findings), bind_empty=True).ask(compiled).answer

    def trips(self, compiled: CompiledRule, findings: Iterable[Finding]) -> list[Finding]:
        """Those of `findings` on which alone the condition holds; none where it holds without any finding.

        Where the condition asks for more than their kinds, only the first TRIED are tried.
        """
        if self._none.holds(compiled):
            return []
        if not compiled.condition.reach.sees_kinds_only:
            return [finding for finding in islice(findings, TRIED) if self._only(finding).holds(compiled)]
        holds: dict[tuple[str, Outcome, Severity], bool] = {}
        tripping = []
        for finding in findings:
            kind = (finding.check, finding.outcome, finding.severity)
            if kind not in holds:
                holds[kind] = self._only(finding).holds(compiled)
            if holds[kind]:
                tripping.append(finding)
        return tripping


class _Look:
    """The variables with one choice of findings, in order."""

    def __init__(self, values: Mapping[str, Any], findings: Sequence[Finding], *, bind_empty: bool = False) -> None:
        self._values = values
        self._findings = findings
        self._is_bound = bool(findings) or bind_empty

    @cached_property
    def _full(self) -> list[dict[str, Any]]:
        return findings_values(self._findings)

    @cached_property
    def _kinds(self) -> list[dict[str, Any]]:
        return kinds_values(self._findings)

    @cached_property
    def _checks(self) -> frozenset[str]:
        return frozenset(finding.check for finding in self._findings)

    @cached_property
    def _unsure(self) -> tuple[Finding, ...]:
        return tuple(dict.fromkeys(finding for finding in self._findings if finding.outcome in _UNSURE))

    def ask(self, compiled: CompiledRule) -> Reply:
        """The condition over what it touches."""
        reach = compiled.condition.reach
        bound = {name: value for name, value in self._values.items() if name in reach.variables}
        if self._is_bound and "findings" in reach.variables:
            bound["findings"] = self._kinds if reach.sees_kinds_only else self._full
        return ask(compiled.condition, bound)

    def holds(self, compiled: CompiledRule) -> bool:
        return self.ask(compiled).answer is Answer.YES

    def examine(self, compiled: CompiledRule) -> Examined:
        rule = compiled.rule
        answering = {pattern: [check for check in self._checks if matches(pattern, check)] for pattern in rule.needs}
        missing = tuple(sorted(pattern for pattern, checks in answering.items() if not checks))
        needed = {check for checks in answering.values() for check in checks}
        unsure = tuple(finding for finding in self._unsure if finding.check in needed)
        reply = self.ask(compiled)
        return Examined(
            rule=rule,
            standing=_standing(rule.effect, reply.answer, is_answered=not missing and not unsure),
            is_true=reply.answer is Answer.YES,
            said=reply.said,
            fault=reply.fault,
            missing=missing,
            unsure=unsure,
        )


@lru_cache(maxsize=64)
def compile_policy(policy: Policy) -> tuple[CompiledRule, ...]:
    """Compile every condition, once a policy.

    Raises:
        PolicyError: a condition cannot be used.
    """
    ordered = sorted(policy.rules, key=lambda rule: (rule.id, repr(rule)))
    return tuple(CompiledRule(rule=rule, condition=Expression(rule.when, rule=rule.id)) for rule in ordered)


def examine_rule(compiled: CompiledRule, evidence: Evidence) -> Examined:
    """Look at the evidence as it is and without its failures; the stricter answer counts."""
    first = evidence.whole.examine(compiled)
    bare = evidence.without_failures
    if bare is None or (first.standing is Standing.FIRED and first.rule.effect is not Effect.CONDITION):
        return first
    second = bare.examine(compiled)
    if _strictness(second) <= _strictness(first):
        return first
    return replace(second, is_true=first.is_true or second.is_true)


def rests_on(examined: Examined, compiled: CompiledRule, evidence: Evidence) -> tuple[Finding, ...]:
    """The findings behind a standing, worst first.

    FIRED: failed findings that `needs` names, and those that make the condition true on their own. UNDETERMINED: the unsure ones.
    """
    if examined.standing is not Standing.FIRED:
        return examined.unsure[:FINDINGS_PER_REASON]
    suspects = dict.fromkeys(evidence.suspects)
    needed = {f for f in suspects if f.outcome is Outcome.FAIL and is_needed(compiled.rule, f.check)}
    tripping = set(evidence.trips(compiled, (finding for finding in suspects if finding not in needed)))
    return tuple(islice((f for f in suspects if f in needed or f in tripping), FINDINGS_PER_REASON))


def is_needed(rule: Rule, check: str) -> bool:
    """Whether some pattern of the rule's `needs` names this check."""
    return any(matches(pattern, check) for pattern in rule.needs)


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """Findings in the one order that everything uses: severity falling, then check, then the rest."""
    return sorted(findings, key=lambda finding: (-finding.severity.rank, finding.check, repr(finding)))


@lru_cache(maxsize=4096)
def matches(pattern: str, check: str) -> bool:
    """Whether a check id is meant by a pattern; `*` stands for any characters, dots too."""
    return _regex(pattern).match(check) is not None


@lru_cache(maxsize=512)
def _regex(pattern: str) -> re.Pattern[str]:
    return re.compile(translate(pattern))


def _standing(effect: Effect, answer: Answer, *, is_answered: bool) -> Standing:
    """Being told to go on under a condition is kinder than being referred, so a `condition` rule must know enough to fire."""
    if answer is Answer.YES and (is_answered or effect is not Effect.CONDITION):
        return Standing.FIRED
    return Standing.CLEAR if answer is Answer.NO and is_answered else Standing.UNDETERMINED


def _strictness(examined: Examined) -> tuple[int, bool]:
    order = [Standing.CLEAR, Standing.UNDETERMINED, Standing.FIRED]
    if examined.rule.effect is Effect.CONDITION:
        order = [Standing.CLEAR, Standing.FIRED, Standing.UNDETERMINED]
    return order.index(examined.standing), examined.is_broken
