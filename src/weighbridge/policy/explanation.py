"""A policy in plain words."""

from __future__ import annotations

from dataclasses import dataclass

from weighbridge.policy.floor import LAWS
from weighbridge.vocabulary import Effect, Policy, Severity


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
            "Refers a model without files or without any answered check. Nobody can waive it.",
            "Refers a model where a check broke. Nobody can waive it.",
            "Refers a model with bytes that belong to nothing. Nobody can waive it.",
            "Refers a model with bytes that nobody examined. A waiver that names this law lifts it.",
            "Refers a model with a failed check, medium or worse, that no rule looks at. An approval lifts it.",
        ),
        strict=True,
    )
)
"""The laws that stand under every policy, in plain words, for `policy explain`."""
