"""`weighbridge replay [REF|DIGEST]`: decide again from kept evidence and compare."""

from __future__ import annotations

import click

from weighbridge.cli import render
from weighbridge.cli.running import Exit, Session, cli_command


@cli_command(short_help="Decide again from kept evidence and compare.")
@click.argument("reference", required=False, metavar="[REF|DIGEST]")
def command(session: Session, *, reference: str | None) -> Exit:
    """Repeat one decision, or without REF every decision, from its evidence alone; the statements must be equal byte by byte.

    Exit 1 when a statement differs, 3 when there is nothing to repeat.
    """
    from weighbridge.admission.recall import recall, recall_all
    from weighbridge.admission.replaying import replay

    with session.installation() as house:
        chosen = (recall(house, reference),) if reference else recall_all(house, superseded=True)
        results = [replay(house, known) for known in chosen]
    if session.as_json:
        told = [{"digest": r.digest, "is_equal": r.is_equal, "message": r.message} for r in results]
        render.document("replay", {"results": told})
    else:
        render.rows(
            render.row(
                "equal" if r.is_equal else "DIFFERS",
                render.Part(r.digest, "" if r.is_equal else "red"),
                f"  {r.message}",
            )
            for r in results
        )
        if not results:
            render.say("no decision to replay")
    if not results:
        return Exit.UNSURE
    return Exit.OK if all(result.is_equal for result in results) else Exit.FOUND
