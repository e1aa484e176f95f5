"""The story of weighbridge: a model goes in, a signed decision bound to its bytes comes out."""

from __future__ import annotations

from functools import partial

from weighbridge.admission.decision import Grounds, decide, idempotency_key
from weighbridge.admission.exceptions import standing_approvals, standing_waivers
from weighbridge.admission.installation import Installation
from weighbridge.admission.recording import read_recorded, record
from weighbridge.admission.staging import QUIET, Watch, label_of, stage
from weighbridge.inspection.inspect import inspect_model
from weighbridge.registry.intake import WeighedModel
from weighbridge.vocabulary import (
    Approval,
    Decision,
    Dossier,
    Evidence,
    Finding,
    ModelRef,
    Outcome,
    Policy,
    Severity,
    UseContext,
    Waiver,
)


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


def examine(model: WeighedModel, *, house: Installation, watch: Watch = QUIET) -> Dossier:
    """Open every file of a weighed model in the jail and put what is known into a dossier.

    Raises:
        HostileInputError: a file is no longer the one that was weighed.
    """
    seen = inspect_model(model, jail=house.jail, on_file=partial(watch, "inspect"))
    model.check_unchanged()
    return Dossier(
        subject=model.root,
        artifacts=seen.artifacts,
        headers=seen.headers,
        findings=(*seen.findings, *_left_out(model)),
        unread=seen.unread,
        tools=seen.tools,
    )


def _left_out(model: WeighedModel) -> list[Finding]:
    return [
        Finding(
            check="intake.left-out",
            outcome=Outcome.NOT_APPLICABLE,
            severity=Severity.INFO,
            message=f"is not part of the model: {name.reason}",
            evidence=(Evidence(artifact=name.path),),
        )
        for name in model.left_out
    ]
