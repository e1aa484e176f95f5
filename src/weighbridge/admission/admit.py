"""The story of weighbridge: a model goes in, a signed decision bound to its bytes comes out."""

from __future__ import annotations

from weighbridge.admission.decision import Grounds, decide, idempotency_key
from weighbridge.admission.examination import examine
from weighbridge.admission.exceptions import standing_exceptions, standing_waivers
from weighbridge.admission.installation import Installation
from weighbridge.admission.recording import read_recorded, record
from weighbridge.admission.staging import QUIET, Watch, label_of, stage
from weighbridge.errors import UsageError
from weighbridge.registry.queries import DecisionFilter, DecisionRow
from weighbridge.vocabulary import Decision, ModelRef, Policy, UseContext


def admit(
    ref: ModelRef,
    *,
    use: UseContext,
    policy: Policy,
    house: Installation,
    again: bool = False,
    expected: str = "",
    watch: Watch = QUIET,
) -> Decision:
    """Stage, identify, inspect, decide, record. Nothing is served before record() returns.

    The same model, policy, use, waivers and check versions give the decision that stands already, while it has not expired;
    `again` weighs anew. Many callers at once, in one process or several, make one run. `expected` is the root digest that the
    bytes must have, where only that model is meant.

    Raises:
        UsageError: the bytes are not those that were expected.
        HubError: the model could not be had.
        HostileInputError: the model was refused at the door; nothing is recorded, because it has no digest.
        LogUnavailableError: the log cannot be written, so there is no decision.
    """
    house.warm_jail()
    with stage(ref, house, watch) as (pinned, model):
        if expected not in ("", model.root):
            raise UsageError(
                f"the bytes at {label_of(ref)} are no longer those that were decided on",
                subject=f"sha256:{expected}",
                remedy="put them back, or admit what lies there by its name",
            )
        waivers = standing_waivers(house, subject=model.root, use=use)
        key = idempotency_key(model.root, policy=policy, use=use, waivers=waivers)
        with house.registry.lease(key, on_wait=lambda holder: watch("wait", holder, 0, 0)):
            standing = None if again else house.registry.find_decision(key)
            if standing and _stands(house, standing):
                _name(house, model.root, pinned, ref)
                return read_recorded(house, standing.decision)
            grounds = Grounds(dossier=examine(model, house=house, watch=watch), policy=policy, use=use)
            exceptions = standing_exceptions(house, grounds, waivers)
            decision = decide(grounds, exceptions, house.now())
            recorded = record(
                house,
                decision,
                grounds,
                exceptions=exceptions,
                reference=label_of(pinned),
                key=key,
                manifest=model.manifest,
                again=again or standing is not None,
            )
            _name(house, model.root, ref)
            return recorded


def _stands(house: Installation, known: DecisionRow) -> bool:
    """Whether it is no decision of the future (the clock was set back) and no later one answered the same question.

    A later one may have been made under other waivers or check versions.
    """
    same = DecisionFilter(subject=known.subject, use=known.use, policy=known.policy)
    return known.decided_at <= house.now() and house.registry.query_decisions(same)[-1].decision == known.decision


def _name(house: Installation, subject: str, *refs: ModelRef) -> None:
    """Keep the names a model was asked for by. A branch, or none, is kept as it was typed; it may point elsewhere tomorrow."""
    for ref in refs:
        house.warnings += house.registry.record_name(label_of(ref), subject).warnings
