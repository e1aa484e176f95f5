"""`weighbridge rules`: the rules of the policy in force."""

from __future__ import annotations

from pathlib import Path

import click

from weighbridge.cli import render
from weighbridge.cli.running import Exit, Session, cli_command


@cli_command(short_help="Rules of the policy in force.")
@click.option("--policy", "policy_file", type=click.Path(path_type=Path), help="Policy file instead of the default.")
def command(session: Session, *, policy_file: Path | None) -> Exit:
    """List the rules that `admit` would judge by: id, what it does when it fires, and in plain words."""
    from weighbridge.registry import wire

    with session.installation() as house:
        policy = house.policy(policy_file)
    if session.as_json:
        render.document("rules", {"digest": wire.digest(policy), "policy": wire.plain(policy)})
        return Exit.OK
    render.rows([render.row("policy", f"{policy.name}@{policy.version}   sha256:{wire.digest(policy)}")])
    render.table(
        ("rule", "effect", "severity", "title"),
        [(rule.id, rule.effect.value, rule.severity.value, rule.title) for rule in policy.rules],
    )
    return Exit.OK
