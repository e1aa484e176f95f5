"""`weighbridge list`: decisions in this installation."""

from __future__ import annotations

import click

from weighbridge.cli import render, wording
from weighbridge.cli.running import Exit, Session, cli_command


@cli_command(short_help="Decisions in this installation.")
@click.option("--all", "show_all", is_flag=True, help="Also superseded and expired ones.")
def command(session: Session, *, show_all: bool) -> Exit:
    """List the decisions that stand, the newest first."""
    from weighbridge.admission.recall import recall_all
    from weighbridge.registry import wire

    with session.installation() as house:
        known = recall_all(house, superseded=show_all)
        moment = house.now()
    if session.as_json:
        body = [{"digest": k.digest, "reference": k.reference, "decision": wire.plain(k.decision)} for k in known]
        render.document("decisions", {"decisions": body})
        return Exit.OK
    if not known:
        render.say("no decision yet; begin with: weighbridge admit ./model")
        return Exit.OK
    lines = [
        (
            wording.verdict(k.decision),
            k.decision.subject[:12],
            k.digest[:12],
            f"{k.decision.decided_at:%Y-%m-%d}",
            "expired" if k.decision.expires_at <= moment else f"{k.decision.expires_at:%Y-%m-%d}",
            k.reference,
        )
        for k in known
    ]
    render.table(("verdict", "subject", "decision", "decided", "until", "reference"), lines)
    return Exit.OK
