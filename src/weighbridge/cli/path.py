"""`weighbridge path REF`: a verified, read-only path to load from."""

from __future__ import annotations

import click

from weighbridge.cli import render
from weighbridge.cli.running import Exit, Session, cli_command


@cli_command(short_help="A verified, read-only path to load an admitted model from.")
@click.argument("reference", metavar="REF|DIGEST")
def command(session: Session, *, reference: str) -> Exit:
    """Print the folder, or for a single file the file, that holds exactly the bytes that were admitted.

    Every byte is hashed again first. Exit 1 when the decision is a refusal, has expired, or the bytes changed; 3 when it was
    referred.
    """
    from weighbridge.admission.loading import open_path
    from weighbridge.admission.recall import recall

    with session.installation(writable=True) as house:
        known = recall(house, reference)
        allowed = open_path(house, known)
    if allowed.path is None:
        render.rows([render.row("no", render.Part(allowed.reason, "red")), render.row("try", allowed.remedy)])
        return Exit.UNSURE if allowed.is_referred else Exit.FOUND
    if session.as_json:
        body = {"reference": known.reference, "subject": known.decision.subject, "decision": known.digest}
        render.document("path", {**body, "path": str(allowed.path)})
    else:
        render.plain_text(str(allowed.path))
    return Exit.OK
