"""`weighbridge waive RULE REF`: a signed, expiring exception."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

from weighbridge.cli import render
from weighbridge.cli.running import Exit, Session, cli_command, now, user_name
from weighbridge.cli.use import which_options

if TYPE_CHECKING:
    from weighbridge.admission.recall import Which


@cli_command(short_help="Sign an expiring exception to one rule for one model.")
@click.argument("rule")
@click.argument("reference", metavar="REF|DIGEST")
@click.option("--reason", required=True, help="Why the exception is needed.")
@click.option("--control", default="", help="What is done instead; becomes a condition.")
@click.option(
    "--by", default=user_name, show_default="you", help="Who answers for it; never the owner named in the use."
)
@click.option("--until", type=click.DateTime(["%Y-%m-%d"]), help="Last day, at most 180 days ahead. [default: 90 days]")
@click.option("--every-use", is_flag=True, help="For every use of this model, not only the one of the decision.")
@which_options
def command(  # noqa: PLR0913  # one argument an option
    session: Session,
    *,
    which: Which,
    rule: str,
    reference: str,
    reason: str,
    control: str,
    by: str,
    until: datetime | None,
    every_use: bool,
) -> Exit:
    """Waive RULE for the model of REF until a date, and print what to do next.

    The waiver is signed, kept in the log, bound to the model's digest, and flips the verdict back when it ends.
    """
    from weighbridge.admission.exceptions import Exemption, waive
    from weighbridge.admission.recall import recall
    from weighbridge.registry import wire

    end = until.replace(tzinfo=UTC) + timedelta(days=1) if until else now() + timedelta(days=90)
    with session.installation(writable=True) as house:
        known = recall(house, reference, which)
        asked = Exemption(rule=rule, reason=reason, control=control, by=by, until=end, every_use=every_use)
        digest, waiver = waive(house, known, asked)
    if session.as_json:
        render.document("waiver", {"digest": digest, "waiver": wire.plain(waiver)})
        return Exit.OK
    render.rows(
        [
            render.row("waived", f"{rule} for {known.reference} until {waiver.until:%Y-%m-%d}, by {by}"),
            render.row("waiver", digest),
            render.row("next", f"weighbridge admit --like {known.digest[:16]}"),
        ]
    )
    return Exit.OK
