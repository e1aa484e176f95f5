"""weighbridge: nothing runs until it has been weighed.

The command line in Python, with the same words:

    import weighbridge

    decision = weighbridge.admit("./model", use=weighbridge.UseContext(purpose="search", owner="ana"))
    if decision.verdict.value.startswith("admit"):
        folder = weighbridge.path("./model")

Every function takes `home`, the data folder (default: WEIGHBRIDGE_HOME, else the user's data folder), and raises
`weighbridge.errors.WeighbridgeError` with what, where and what to do.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from weighbridge.vocabulary import Decision, Dossier, UseContext, Verdict, Waiver

if TYPE_CHECKING:
    from weighbridge.admission.installation import Installation
    from weighbridge.admission.verification import Report

__all__ = [
    "Decision",
    "Dossier",
    "UseContext",
    "Verdict",
    "Waiver",
    "admit",
    "approve",
    "decisions",
    "inspect",
    "path",
    "replay",
    "show",
    "verify",
    "waive",
    "why",
]


Reference = str | Path
"""A folder or file, `hf:ORG/NAME@REVISION`, `ollama:NAME:TAG`; where something was decided also a digest or its beginning."""


def admit(
    reference: Reference,
    *,
    use: UseContext | None = None,
    policy: str | Path | None = None,
    again: bool = False,
    home: str | Path | None = None,
) -> Decision:
    """Weigh a model, decide by policy, record and sign.

    Args:
        reference: a folder or file, `hf:ORG/NAME@REVISION` or `ollama:NAME:TAG`.
        use: what the model is wanted for.
        policy: a policy file instead of the default.
        again: weigh anew although a decision stands.
        home: the data folder.

    Returns:
        The decision, whatever its verdict: a refusal is an answer, not an exception.

    Raises:
        WeighbridgeError: no verdict could be reached: the model could not be had, was refused at the door, or the log
            cannot be written.
    """
    from weighbridge.admission.admit import admit as admit_model
    from weighbridge.hubs.access.references import parse_reference

    with _installation(home, writable=True) as house:
        rules = house.policy(Path(policy) if policy else None)
        ref = parse_reference(str(reference), house.hubs.found)
        return admit_model(ref, use=use or UseContext(), policy=rules, house=house, again=again)


def inspect(reference: Reference, *, home: str | Path | None = None) -> Dossier:
    """Examine a model's files and return everything known about them; nothing is decided or recorded."""
    from weighbridge.admission.examination import inspect as inspect_files
    from weighbridge.hubs.access.references import parse_reference

    with _installation(home) as house:
        return inspect_files(parse_reference(str(reference), house.hubs.found), house=house)


def path(reference: Reference, *, use: UseContext | None = None, home: str | Path | None = None) -> Path:
    """A verified, read-only path holding exactly the admitted bytes of a model.

    Raises:
        UsageError: there is no decision that stands, it is not an admission, or the bytes changed.
    """
    from weighbridge.admission.loading import open_path
    from weighbridge.admission.recall import Which, recall
    from weighbridge.errors import UsageError

    with _installation(home) as house:
        allowed = open_path(house, recall(house, str(reference), Which(use=use)))
    if allowed.path is None:
        raise UsageError(allowed.reason, subject=str(reference), remedy=allowed.remedy)
    return allowed.path


def why(reference: Reference, *, use: UseContext | None = None, home: str | Path | None = None) -> Decision:
    """The decision that stands for a model: its reasons name rule, findings and the shortest way to yes."""
    from weighbridge.admission.recall import Which, recall

    with _installation(home) as house:
        return recall(house, str(reference), Which(use=use)).decision


def show(reference: Reference, *, use: UseContext | None = None, home: str | Path | None = None) -> Dossier:
    """The dossier that a decision rests on."""
    from weighbridge.admission.recall import Which, read_dossier, recall

    with _installation(home) as house:
        return read_dossier(house, recall(house, str(reference), Which(use=use)))


def decisions(*, superseded: bool = False, home: str | Path | None = None) -> dict[str, Decision]:
    """The decisions of this installation by digest, the newest first; those that stand, or with `superseded` all."""
    from weighbridge.admission.recall import recall_all

    with _installation(home) as house:
        return {known.digest: known.decision for known in recall_all(house, superseded=superseded)}


def approve(reference: Reference, *, by: str, reason: str, home: str | Path | None = None) -> Decision:
    """Sign a person's yes to the decision that stands, and decide again with it.

    Raises:
        UsageError: it is no referral, has expired, or the approver is the owner of the use.
    """
    from weighbridge.admission.exceptions import approve as approve_decision
    from weighbridge.admission.recall import recall

    with _installation(home, writable=True) as house:
        return approve_decision(house, recall(house, str(reference)), by=by, reason=reason)


def waive(  # what a waiver says
    rule: str,
    reference: Reference,
    *,
    by: str,
    reason: str,
    until: datetime,
    control: str = "",
    home: str | Path | None = None,
) -> Waiver:
    """Sign an exception to one rule for the model and use of the decision that stands; `until` at most 180 days ahead.

    Raises:
        UsageError: the rule cannot be waived, the end is out of range, or the one who signs is the owner of the use.
    """
    from weighbridge.admission.exceptions import Exemption
    from weighbridge.admission.exceptions import waive as waive_rule
    from weighbridge.admission.recall import recall

    asked = Exemption(rule=rule, reason=reason, control=control, by=by, until=until, every_use=False)
    with _installation(home, writable=True) as house:
        return waive_rule(house, recall(house, str(reference)), asked)[1]


def verify(
    reference: Reference | None = None, *, checkpoint: str | Path | None = None, home: str | Path | None = None
) -> Report:
    """Check a decision's signature, its place in the log, its evidence and the model's bytes; without one, the whole store."""
    from weighbridge.admission.recall import recall
    from weighbridge.admission.verification import verify_decision, verify_installation

    kept = Path(checkpoint) if checkpoint else None
    with _installation(home) as house:
        if reference is None:
            return verify_installation(house, checkpoint=kept, key=None)
        return verify_decision(house, recall(house, str(reference)), checkpoint=kept, key=None)


def replay(reference: Reference, *, home: str | Path | None = None) -> bool:
    """Whether deciding again from the kept evidence gives the same statement, byte for byte."""
    from weighbridge.admission.recall import recall
    from weighbridge.admission.replaying import replay as replay_decision

    with _installation(home) as house:
        return replay_decision(house, recall(house, str(reference))).is_equal


def _installation(home: str | Path | None, *, writable: bool = False) -> Installation:
    from weighbridge.admission.installation import Installation, Settings

    environment = dict(os.environ)
    settings = Settings.read(environment, home=Path(home) if home else None)
    return Installation(settings, environment=environment, clock=lambda: datetime.now(UTC), writable=writable)
