"""`weighbridge rebuild`: the index and log database from evidence."""

from __future__ import annotations

from weighbridge.cli import render
from weighbridge.cli.running import Exit, Session, cli_command


@cli_command(short_help="Restore the index and log database from evidence.")
def command(session: Session) -> Exit:
    """Make the database anew from evidence, log entries and checkpoints; a damaged one is kept beside it."""
    from weighbridge.admission.rebuilding import rebuild_registry

    with session.installation(writable=True) as house:
        rebuilt = rebuild_registry(house)
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
