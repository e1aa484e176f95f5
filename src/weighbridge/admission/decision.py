"""From evidence to a decision: pure functions, so that `replay` gives the same bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from weighbridge.inspection.inspect import required_versions
from weighbridge.policy.judgement import ENGINE, Judgement, judge
from weighbridge.registry import wire
from weighbridge.vocabulary import Approval, Decision, Dossier, Policy, UseContext, Waiver

FACTS: dict[str, str] = {}
"""Facts of the world that a decision may rest on besides the dossier. None in this release; named so that later ones can."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grounds:
    """What a decision is made on, as words; the decision names their digests."""

    dossier: Dossier
    policy: Policy
    use: UseContext


@dataclass(frozen=True, slots=True, kw_only=True)
class Exceptions:
    """What people signed that bears on a decision, by digest, every signature checked.

    `approved` are the earlier decisions that the approvals speak of: an approval ends with the decision it names.
    """

    waivers: Mapping[str, Waiver] = field(default_factory=dict)
    approvals: Mapping[str, Approval] = field(default_factory=dict)
    approved: Mapping[str, Decision] = field(default_factory=dict)


def idempotency_key(root: str, *, policy: Policy, use: UseContext, waivers: Mapping[str, Waiver]) -> str:
    """What makes two admissions the same: root, policy, use, waiver set and the versions of the checks."""
    parts = {
        "root": root,
        "policy": wire.digest(policy),
        "use": wire.digest(use),
        "waivers": sorted(waivers),
        "engine": ENGINE,
        "checks": sorted([tool.name, tool.version] for tool in required_versions()),
    }
    return wire.digest(parts)


def weigh_up(grounds: Grounds, exceptions: Exceptions, now: datetime) -> Judgement:
    """The judgement on these grounds, rule by rule."""
    return judge(
        grounds.dossier,
        grounds.policy,
        grounds.use,
        waivers=exceptions.waivers,
        approvals=exceptions.approvals,
        approvals_end=min((earlier.expires_at for earlier in exceptions.approved.values()), default=None),
        facts=FACTS,
        now=now,
    )


def decide(grounds: Grounds, exceptions: Exceptions, now: datetime) -> Decision:
    """Judge, and name everything the judgement rests on."""
    judgement = weigh_up(grounds, exceptions, now)
    return Decision(
        subject=grounds.dossier.subject,
        dossier=wire.dossier_digest(grounds.dossier),
        policy=wire.digest(grounds.policy),
        use=wire.digest(grounds.use),
        waivers=tuple(sorted(exceptions.waivers)),
        approvals=tuple(sorted(exceptions.approvals)),
        facts=wire.digest(FACTS),
        engine=ENGINE,
        verdict=judgement.verdict,
        reasons=judgement.reasons,
        conditions=judgement.conditions,
        decided_at=now,
        expires_at=judgement.expires_at,
    )
