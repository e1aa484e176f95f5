"""`weighbridge path REF`: a verified, read-only path to load from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from weighbridge.cli import render
from weighbridge.cli.running import Exit, Session, cli_command
from weighbridge.cli.use import which_options
from weighbridge.errors import UsageError

if TYPE_CHECKING:
    from weighbridge.admission.recall import Which


@cli_command(short_help="A verified, read-only path to load an admitted model from.")
@click.argument("reference", metavar="REF|DIGEST")
@which_options
def command(session: Session, *, which: Which, reference: str) -> Exit:
    """Print the folder, or for a single file the file, that holds exactly the bytes that were admitted.

    Every byte is hashed again first. Only a decision that stands under the policy in force counts. Exit 1 when it is a
    refusal, has expired, was superseded, or the bytes changed; 3 when it was referred.
    """
    from weighbridge.admission.loading import open_path
    from weighbridge.admission.recall import recall

    with session.installation() as house:
        known = recall(house, reference, which)
        allowed = open_path(house, known, policy=which.policy)
    if allowed.path is None:
        refusal = UsageError(f"no path: {allowed.reason}", subject=known.digest, remedy=allowed.remedy)
        render.error(refusal, as_json=session.as_json)
        return Exit.UNSURE if allowed.is_referred else Exit.FOUND
    if session.as_json:
        body = {"reference": known.reference, "subject": known.decision.subject, "decision": known.digest}
        render.document("path", {**body, "path": str(allowed.path)})
    else:
        render.plain_text(str(allowed.path))
    return Exit.OK
