"""`weighbridge keys`: the signing key and the public keys that are trusted here."""

from __future__ import annotations

import click

from weighbridge.cli import render
from weighbridge.cli.running import Exit, Session, cli_command


@cli_command(short_help="List and rotate signing keys.")
@click.option(
    "--rotate", is_flag=True, help="Make a new signing key; the old public key stays trusted for what it signed."
)
def command(session: Session, *, rotate: bool) -> Exit:
    """List the public keys of this installation, the one that signs first, in PEM so that others can verify."""
    from weighbridge.admission.exceptions import rotate_key

    with session.installation(writable=rotate) as house:
        if rotate:
            rotate_key(house)
        keys = house.public_keys()
    if session.as_json:
        told = [{"key_id": key.key_id, "signs": key.signs, "pem": key.pem} for key in keys]
        render.document("keys", {"keys": told})
        return Exit.OK
    for key in keys:
        render.rows([render.row("signs" if key.signs else "trusted", key.key_id)])
        render.plain_text(key.pem.rstrip())
    if not keys:
        render.say("no key yet; the first admission makes one")
    return Exit.OK
