"""One rule against one dossier: clear, fired or undetermined, and on what that rests.

A rule is looked at twice where the dossier holds failed checks: as it is, and without them. The stricter answer counts. So
no condition, whatever negation it uses, is kinder to a model for a failure that was found, and a failed check is never by
itself the evidence that a rule asked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from fnmatch import translate
from functools import cached_property, lru_cache
from typing import Any

from weighbridge.policy.expressions import Binding, Expression
from weighbridge.policy.inputs import finding_value, input_values
from weighbridge.vocabulary import Answer, Dossier, Effect, Finding, Outcome, Policy, Rule, Standing, UseContext

FINDINGS_PER_REASON = 100
"""A reason names the worst findings up to this number; the dossier has them all."""

_UNSURE = (Outcome.UNKNOWN, Outcome.ERROR)
_GOOD = (Outcome.PASS, Outcome.NOT_APPLICABLE)


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledRule:
    """A rule with its condition compiled."""

    rule: Rule
    condition: Expression


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """How a rule came out before anybody waived or approved it.

    `standing` is CLEAR, FIRED or UNDETERMINED. `is_true` says that the condition held, which an undetermined `condition`
    rule may do as well. `said` is the condition's value or error. `missing` are patterns of `needs` that no finding answers;
    `unsure` are findings they match that are UNKNOWN or ERROR.
    """

    rule: Rule
    standing: Standing
    is_true: bool
    said: str
    missing: tuple[str, ...] = ()
    unsure: tuple[Finding, ...] = ()

    @property
    def is_broken(self) -> bool:
        """Whether a check that the rule needs broke, which no person can wave through."""
        return any(finding.outcome is Outcome.ERROR for finding in self.unsure)


class Evidence:
    """A dossier, a use and facts, bound once for every rule that looks at them."""

    def __init__(self, dossier: Dossier, use: UseContext, facts: Mapping[str, Any]) -> None:
        self._values = input_values(dossier, use, facts)
        self._bound = [(finding, finding_value(finding)) for finding in dossier.findings]
        self._alone: dict[Finding, _Look] = {}
        self.whole = _Look.over(self._values, self._bound)

    @cached_property
    def without_failures(self) -> _Look | None:
        """The same without its failed checks; None where nothing failed."""
        kept = [pair for pair in self._bound if pair[0].outcome is not Outcome.FAIL]
        return _Look.over(self._values, kept) if len(kept) < len(self._bound) else None

    @cached_property
    def suspects(self) -> tuple[Finding, ...]:
        """Findings that are neither PASS nor NOT_APPLICABLE, worst first."""
        return tuple(worst_first(finding for finding, _ in self._bound if finding.outcome not in _GOOD))

    def _only(self, finding: Finding) -> _Look:
        if finding not in self._alone:
            self._alone[finding] = _Look.over(self._values, [(finding, finding_value(finding))])
        return self._alone[finding]

    @cached_property
    def _none(self) -> _Look:
        return _Look.over(self._values, [], bind_empty=True)

    def ask_over(self, compiled: CompiledRule, findings: Iterable[Finding]) -> Answer:
        """The condition with exactly these findings, an empty list included, and everything else as it is."""
        pairs = [(finding, finding_value(finding)) for finding in findings]
        return compiled.condition.ask(_Look.over(self._values, pairs, bind_empty=True).binding).answer

    def trips(self, compiled: CompiledRule, findings: Iterable[Finding]) -> list[Finding]:
        """Those of `findings` on which alone the condition holds; none where it holds without any finding."""
        if self._none.holds(compiled):
            return []
        return [finding for finding in findings if self._only(finding).holds(compiled)]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    binding: Binding
    by_check: dict[str, list[Finding]]

    @classmethod
    def over(
        cls, values: dict[str, Any], pairs: list[tuple[Finding, dict[str, Any]]], *, bind_empty: bool = False
    ) -> _Look:
        by_check: dict[str, list[Finding]] = {}
        for finding, _ in pairs:
            by_check.setdefault(finding.check, []).append(finding)
        bound = {**values, "findings": [value for _, value in pairs]} if pairs or bind_empty else values
        return cls(binding=Binding(bound), by_check=by_check)

    def holds(self, compiled: CompiledRule) -> bool:
        return compiled.condition.ask(self.binding).answer is Answer.YES

    def examine(self, compiled: CompiledRule) -> Examined:
        rule = compiled.rule
        matched = {pattern: self._matching(pattern) for pattern in rule.needs}
        missing = tuple(sorted(pattern for pattern, findings in matched.items() if not findings))
        unsure = {finding for findings in matched.values() for finding in findings if finding.outcome in _UNSURE}
        reply = compiled.condition.ask(self.binding)
        return Examined(
            rule=rule,
            standing=_standing(rule.effect, reply.answer, is_answered=not missing and not unsure),
            is_true=reply.answer is Answer.YES,
            said=reply.said,
            missing=missing,
            unsure=tuple(worst_first(unsure)[:FINDINGS_PER_REASON]),
        )

    def _matching(self, pattern: str) -> list[Finding]:
        return [finding for check, found in self.by_check.items() if matches(pattern, check) for finding in found]


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
    if bare is None or _strictness(first) == _STRICTEST:
        return first
    second = bare.examine(compiled)
    return (
        replace(second, is_true=first.is_true or second.is_true) if _strictness(second) > _strictness(first) else first
    )


def rests_on(examined: Examined, compiled: CompiledRule, evidence: Evidence) -> tuple[Finding, ...]:
    """The findings behind a standing, worst first.

    FIRED: failed findings that `needs` names, and those that make the condition true on their own. UNDETERMINED: the unsure ones.
    """
    if examined.standing is not Standing.FIRED:
        return examined.unsure
    suspects = evidence.suspects[: 10 * FINDINGS_PER_REASON]
    needed = {f for f in suspects if f.outcome is Outcome.FAIL and is_needed(compiled.rule, f.check)}
    tripping = evidence.trips(compiled, (finding for finding in suspects if finding not in needed))
    return tuple(worst_first({*needed, *tripping})[:FINDINGS_PER_REASON])


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


_STRICTEST = 2


def _strictness(examined: Examined) -> int:
    order = [Standing.CLEAR, Standing.UNDETERMINED, Standing.FIRED]
    if examined.rule.effect is Effect.CONDITION:
        order = [Standing.CLEAR, Standing.FIRED, Standing.UNDETERMINED]
    return order.index(examined.standing)
