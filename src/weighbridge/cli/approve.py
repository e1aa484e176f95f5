"""`weighbridge approve REF|DIGEST`: a person's signed yes to a referred decision."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from weighbridge.cli import render, wording
from weighbridge.cli.running import Exit, Session, cli_command, user_name
from weighbridge.cli.use import which_options
from weighbridge.vocabulary import Verdict

if TYPE_CHECKING:
    from weighbridge.admission.recall import Which


@cli_command(short_help="Sign a person's yes to a referred decision.")
@click.argument("reference", metavar="REF|DIGEST")
@click.option("--by", default=user_name, show_default="you", help="Who approves; never the owner named in the use.")
@click.option("--reason", required=True, help="Why it is all right, in a sentence.")
@which_options
def command(session: Session, *, which: Which, reference: str, by: str, reason: str) -> Exit:
    """Approve the decision that stands for REF, as shown by `why`, and decide again with that approval.

    The approval signs the digest of the decision, so the evidence cannot move under the approver. It lifts what the policy
    refers to a person; refusals need a waiver, and broken checks or unexplained bytes nothing lifts.
    """
    from weighbridge.admission.exceptions import approve
    from weighbridge.admission.recall import read_grounds, recall
    from weighbridge.admission.recording import decision_digest
    from weighbridge.registry import wire

    with session.installation(writable=True) as house:
        known = recall(house, reference, which)
        decision = approve(house, known, by=by, reason=reason)
        grounds = read_grounds(house, decision)
    digest = decision_digest(decision)
    if session.as_json:
        body = {"reference": known.reference, "digest": digest, "decision": wire.plain(decision)}
        render.document("admission", body)
    else:
        render.rows(wording.decision_rows(decision, digest=digest, reference=known.reference, grounds=grounds))
    return Exit.OK if decision.verdict.rank <= Verdict.ADMIT_WITH_CONDITIONS.rank else Exit.UNSURE
