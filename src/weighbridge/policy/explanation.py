"""A policy in plain words."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from weighbridge.policy.floor import LAWS
from weighbridge.vocabulary import Effect, Policy, Reason, Severity, Standing


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleExplanation:
    """One rule for a reader: `words` is a sentence, `asks_for` the evidence without which the rule cannot be clear."""

    rule: str
    title: str
    severity: Severity
    effect: Effect
    words: str
    asks_for: tuple[str, ...]
    when: str
    remedy: str
    references: tuple[str, ...]


def explain(policy: Policy) -> tuple[RuleExplanation, ...]:
    """A policy in plain words, rule by rule in the order of the file."""
    return tuple(
        RuleExplanation(
            rule=rule.id,
            title=rule.title,
            severity=rule.severity,
            effect=rule.effect,
            words=f"{_EFFECTS[rule.effect]} when {_lower(rule.message)}. {_asked(rule.needs)}",
            asks_for=rule.needs,
            when=rule.when,
            remedy=rule.remedy,
            references=rule.references,
        )
        for rule in policy.rules
    )


def grouped(reasons: Iterable[Reason]) -> tuple[tuple[Reason, ...], ...]:
    """Reasons that one thing would help, together; groups and their members keep the order of the first.

    Two undetermined reasons belong together where the same files leave them open and the same remedy helps; any other two
    where they stand alike, rest on the same findings and these are some.
    """
    groups: dict[object, list[Reason]] = {}
    for number, reason in enumerate(reasons):
        key: object = number
        if reason.findings and reason.standing is Standing.UNDETERMINED:
            key = (reason.standing, _files(reason), reason.remedy)
        elif reason.findings:
            key = (reason.standing, reason.effect, frozenset(reason.findings))
        groups.setdefault(key, []).append(reason)
    return tuple(tuple(group) for group in groups.values())


def _files(reason: Reason) -> frozenset[str]:
    return frozenset(place.artifact.partition("!")[0] for finding in reason.findings for place in finding.evidence)


_EFFECTS = {
    Effect.REFUSE: "Refuses the model",
    Effect.REFER: "Asks for a reviewer",
    Effect.CONDITION: "Admits under a condition",
}


def _asked(needs: tuple[str, ...]) -> str:
    if not needs:
        return "It asks for no evidence of its own."
    return f"Without an answer of {', '.join(needs)} it cannot be clear, and a reviewer is asked."


def _lower(text: str) -> str:
    stripped = text.rstrip(". ")
    return stripped[:1].lower() + stripped[1:]


FLOOR: tuple[tuple[str, str], ...] = tuple(
    zip(
        LAWS,
        (
            "Refers a model of which no byte was read or no check answered. Nobody can waive it.",
            "Refers a model where nothing says of a file that was read what it is, where its bytes went or whether it runs code, or that every file was examined. Nobody can waive it.",
            "Refers a model where a check broke. Nobody can waive it.",
            "Refers a model with bytes that belong to nothing. Nobody can waive it.",
            "Refers a model with bytes that nobody examined. An approval lifts it, or a waiver that names this law.",
            "Refers a model with a failed check, medium or worse, that no rule looks at; from high on, a rule that only adds a condition is not enough. An approval lifts it.",
        ),
        strict=True,
    )
)
"""The laws that stand under every policy, in plain words, for `policy explain`."""
