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

from weighbridge.vocabulary import Decision, Dossier, UseContext, Verdict

if TYPE_CHECKING:
    from weighbridge.admission.installation import Installation
    from weighbridge.admission.verification import Report

__all__ = ["Decision", "Dossier", "UseContext", "Verdict", "admit", "inspect", "path", "verify", "why"]


def admit(
    reference: str,
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
        return admit_model(parse_reference(reference), use=use or UseContext(), policy=rules, house=house, again=again)


def inspect(reference: str, *, home: str | Path | None = None) -> Dossier:
    """Examine a model's files and return everything known about them; nothing is decided or recorded."""
    from weighbridge.admission.examination import inspect as inspect_files
    from weighbridge.hubs.access.references import parse_reference

    with _installation(home) as house:
        return inspect_files(parse_reference(reference), house=house)


def path(reference: str, *, home: str | Path | None = None) -> Path:
    """A verified, read-only path holding exactly the admitted bytes of a model.

    Raises:
        UsageError: there is no decision, it is not an admission, it has expired, or the bytes changed.
    """
    from weighbridge.admission.loading import open_path
    from weighbridge.admission.recall import recall
    from weighbridge.errors import UsageError

    with _installation(home, writable=True) as house:
        allowed = open_path(house, recall(house, reference))
    if allowed.path is None:
        raise UsageError(allowed.reason, subject=reference, remedy=allowed.remedy)
    return allowed.path


def why(reference: str, *, home: str | Path | None = None) -> Decision:
    """The decision that stands for a model: its reasons name rule, findings and the shortest way to yes."""
    from weighbridge.admission.recall import recall

    with _installation(home) as house:
        return recall(house, reference).decision


def verify(reference: str, *, checkpoint: str | Path | None = None, home: str | Path | None = None) -> Report:
    """Check a decision's signature, its place in the log, its evidence and the model's bytes."""
    from weighbridge.admission.recall import recall
    from weighbridge.admission.verification import verify_decision

    with _installation(home) as house:
        kept = Path(checkpoint) if checkpoint else None
        return verify_decision(house, recall(house, reference), checkpoint=kept, key=None)


def _installation(home: str | Path | None, *, writable: bool = False) -> Installation:
    from weighbridge.admission.installation import Installation, Settings

    environment = dict(os.environ)
    settings = Settings.read(environment, home=Path(home) if home else None)
    return Installation(settings, environment=environment, clock=lambda: datetime.now(UTC), writable=writable)
