"""Deciding again from kept evidence: the same inputs must give the same statement, byte for byte."""

from __future__ import annotations

from dataclasses import dataclass

from weighbridge.admission.decision import Exceptions, decide, weigh_up
from weighbridge.admission.installation import Installation
from weighbridge.admission.recall import Recalled, read_grounds
from weighbridge.attestation.statement import decision_statement, read_approval, read_decision, read_waiver
from weighbridge.errors import WeighbridgeError
from weighbridge.policy.judgement import ENGINE, RuleTrace
from weighbridge.vocabulary import Decision, Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """How the repetition of one decision came out."""

    digest: str
    is_equal: bool
    message: str


def replay(house: Installation, known: Recalled) -> Replayed:
    """Decide again from the evidence that a decision names and compare the statements. The signature is checked, not repeated."""
    decision = known.decision
    if decision.engine != ENGINE:
        message = f"made by {decision.engine}, which this release does not know; it knows {ENGINE}"
        return Replayed(digest=known.digest, is_equal=False, message=message)
    try:
        grounds = read_grounds(house, decision)
        again = decide(grounds, _exceptions(house, decision), decision.decided_at)
    except WeighbridgeError as problem:
        return Replayed(digest=known.digest, is_equal=False, message=problem.message)
    is_equal = decision_statement(again) == decision_statement(decision)
    message = (
        f"{decision.verdict.value}" if is_equal else f"was {decision.verdict.value}, comes out {again.verdict.value}"
    )
    return Replayed(digest=known.digest, is_equal=is_equal, message=message)


def trace(house: Installation, known: Recalled) -> tuple[Policy, tuple[RuleTrace, ...]]:
    """The policy of a decision and how each of its rules came out."""
    grounds = read_grounds(house, known.decision)
    judgement = weigh_up(grounds, _exceptions(house, known.decision), known.decision.decided_at)
    return grounds.policy, judgement.trace


def _exceptions(house: Installation, decision: Decision) -> Exceptions:
    read = house.registry.evidence.read
    approvals = {digest: read_approval(read(digest)) for digest in decision.approvals}
    return Exceptions(
        waivers={digest: read_waiver(read(digest)) for digest in decision.waivers},
        approvals=approvals,
        approved={one.decision: read_decision(read(one.decision)) for one in approvals.values()},
    )
