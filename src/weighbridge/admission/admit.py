"""The story of weighbridge: a model goes in, a signed decision bound to its bytes comes out."""

from __future__ import annotations

from weighbridge.admission.decision import Grounds, decide, idempotency_key
from weighbridge.admission.examination import examine
from weighbridge.admission.exceptions import standing_approvals, standing_waivers
from weighbridge.admission.installation import Installation
from weighbridge.admission.recording import read_recorded, record
from weighbridge.admission.staging import QUIET, Watch, label_of, stage
from weighbridge.vocabulary import Approval, Decision, ModelRef, Policy, UseContext, Waiver


def admit(
    ref: ModelRef,
    *,
    use: UseContext,
    policy: Policy,
    house: Installation,
    again: bool = False,
    watch: Watch = QUIET,
) -> Decision:
    """Stage, identify, inspect, decide, record. Nothing is served before record() returns.

    The same model, policy, use, waivers and check versions give the decision that stands already, while it has not expired;
    `again` weighs anew. Many callers at once, in one process or several, make one run.

    Raises:
        HubError: the model could not be had.
        HostileInputError: the model was refused at the door; nothing is recorded, because it has no digest.
        LogUnavailableError: the log cannot be written, so there is no decision.
    """
    house.warm_jail()
    with stage(ref, house, watch) as (pinned, model):
        waivers = standing_waivers(house, subject=model.root, use=use)
        key = idempotency_key(model.root, policy=policy, use=use, waivers=waivers)
        with house.registry.lease(key):
            standing = None if again else house.registry.find_decision(key)
            if standing:
                return read_recorded(house, standing.decision)
            grounds = Grounds(dossier=examine(model, house=house, watch=watch), policy=policy, use=use)
            approvals = standing_approvals(house, grounds)
            decision = decide(grounds, waivers=waivers, approvals=approvals, now=house.now())
            exceptions: list[Waiver | Approval] = [*waivers.values(), *approvals.values()]
            return record(
                house,
                decision,
                grounds,
                exceptions=exceptions,
                reference=label_of(pinned),
                key=key,
                manifest=model.manifest,
                again=again,
            )
