"""`weighbridge rebuild`: the index and log database from evidence."""

from __future__ import annotations

from pathlib import Path

import click

from weighbridge.cli import render
from weighbridge.cli.running import Exit, Session, cli_command


@cli_command(short_help="Restore the index and log database from evidence.")
@click.option("--checkpoint", type=click.Path(path_type=Path, dir_okay=False), help="A checkpoint kept elsewhere.")
def command(session: Session, *, checkpoint: Path | None) -> Exit:
    """Make the database anew from evidence, log entries and checkpoints; a damaged one is kept beside it.

    With --checkpoint the result must continue the log of that checkpoint; without one nobody can tell that its end is there.
    """
    from weighbridge.admission.rebuilding import rebuild_registry

    with session.installation(writable=True) as house:
        rebuilt = rebuild_registry(house, checkpoint=checkpoint)
    aside = str(rebuilt.kept_aside or "")
    if session.as_json:
        counted = {"entries": rebuilt.entries, "checkpoints": rebuilt.checkpoints}
        render.document("rebuild", {**counted, "kept_aside": aside, "warnings": list(rebuilt.warnings)})
        return Exit.OK
    render.plain_text(f"rebuilt: {rebuilt.entries} log entries under {rebuilt.checkpoints} checkpoints")
    for warning in rebuilt.warnings:
        render.say(warning)
    if aside:
        render.plain_text(f"the old database is kept as {aside}")
    return Exit.OK
