"""`weighbridge verify [REF|DIGEST]`: signature, log, evidence and bytes, offline."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from weighbridge.cli import render
from weighbridge.cli.running import Exit, Session, cli_command
from weighbridge.cli.use import which_options

if TYPE_CHECKING:
    from weighbridge.admission.recall import Which


@cli_command(short_help="Check signatures, log, evidence and bytes, offline.")
@click.argument("reference", required=False, metavar="[REF|DIGEST]")
@click.option("--checkpoint", type=click.Path(path_type=Path, dir_okay=False), help="A checkpoint kept elsewhere.")
@click.option("--key", type=click.Path(path_type=Path, dir_okay=False), help="Trust only this public key (PEM).")
@which_options
def command(
    session: Session, *, which: Which, reference: str | None, checkpoint: Path | None, key: Path | None
) -> Exit:
    """Check one decision (signature, inclusion in the log, evidence, the model's bytes), or without REF the whole store.

    With --checkpoint, also that the log has not been cut short, rewritten or replaced by an older copy since that checkpoint
    was taken; without one the answer says so. Exit 1 when anything does not match.
    """
    from weighbridge.admission.recall import recall
    from weighbridge.admission.verification import verify_decision, verify_installation

    progress = render.Progress(quiet=session.as_json)
    with session.installation() as house:
        try:
            if reference is None:
                report = verify_installation(house, checkpoint=checkpoint, key=key, watch=progress)
            else:
                report = verify_decision(
                    house, recall(house, reference, which), checkpoint=checkpoint, key=key, watch=progress
                )
        finally:
            progress.end()
    if session.as_json:
        told = [{"check": a.check, "passed": a.passed, "message": a.message} for a in report.answers]
        render.document("verification", {"passed": report.passed, "answers": told, "notes": list(report.notes)})
    else:
        lines = [
            render.row(
                "pass" if a.passed else "FAIL", render.Part(a.check, "green" if a.passed else "red"), f"  {a.message}"
            )
            for a in report.answers
        ]
        lines += [render.row("note", note) for note in report.notes]
        render.rows(lines)
    return Exit.OK if report.passed else Exit.FOUND
