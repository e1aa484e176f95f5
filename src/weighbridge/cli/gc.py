"""`weighbridge gc`: free what no decision needs."""

from __future__ import annotations

import click

from weighbridge.cli import render, wording
from weighbridge.cli.running import Exit, Session, cli_command


@cli_command(short_help="Free what no decision needs.")
@click.option("--dry-run", is_flag=True, help="Only say what would be freed.")
@click.option("--expired", is_flag=True, help="Also the bytes of models whose decisions are all expired or refusals.")
def command(session: Session, *, dry_run: bool, expired: bool) -> Exit:
    """Delete staged bytes and evidence that no decision refers to, and leftovers of interrupted runs.

    Evidence and log of decisions are never deleted. Nothing is done while an admission runs.
    """
    from weighbridge.admission.rebuilding import collect_garbage

    with session.installation(writable=True) as house:
        freed = collect_garbage(house, dry_run=dry_run, expired=expired)
    if session.as_json:
        body = {"files": freed.files, "size_bytes": freed.size_bytes, "dry_run": dry_run, "busy": freed.busy}
        render.document("gc", body)
    elif freed.busy:
        render.plain_text("an admission is running; nothing was touched, try again later")
    else:
        verb = "would free" if dry_run else "freed"
        render.plain_text(f"{verb} {wording.count(freed.files, 'file')}, {wording.amount(freed.size_bytes)}")
    return Exit.UNSURE if freed.busy else Exit.OK
