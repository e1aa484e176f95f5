"""`weighbridge doctor`: is this installation whole."""

from __future__ import annotations

from weighbridge.cli import render
from weighbridge.cli.running import Exit, Session, cli_command
from weighbridge.vocabulary import Outcome

_STYLE = {Outcome.PASS: "green", Outcome.FAIL: "red", Outcome.ERROR: "red", Outcome.UNKNOWN: "yellow"}


@cli_command(short_help="Is this installation whole, and what is missing.")
def command(session: Session) -> Exit:
    """Try each part for real: isolation, store, key and signature, policy engine, units, disk, proxy, mirror and token settings.

    Nothing is sent over the network. Exit 0: all whole; 1: something is broken; 3: something works less well than it could.
    """
    from weighbridge.admission.diagnosis import diagnose

    with session.installation() as house:
        answers = diagnose(house)
    if session.as_json:
        told = [{"part": a.part, "outcome": a.outcome.value, "message": a.message, "remedy": a.remedy} for a in answers]
        render.document("doctor", {"answers": told})
    else:
        lines = []
        for a in answers:
            lines.append(render.row(a.part, render.Part(a.outcome.value, _STYLE.get(a.outcome, "")), f"  {a.message}"))
            if a.remedy:
                lines.append(render.row("", render.Part(f"try: {a.remedy}", "grey")))
        render.rows(lines)
    if any(a.outcome in (Outcome.FAIL, Outcome.ERROR) for a in answers):
        return Exit.FOUND
    return Exit.UNSURE if any(a.outcome is Outcome.UNKNOWN for a in answers) else Exit.OK
