"""`weighbridge why REF`: rule by rule, the path to the verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from weighbridge.cli import render, wording
from weighbridge.cli.running import Exit, Session, cli_command
from weighbridge.cli.use import which_options
from weighbridge.vocabulary import Standing

if TYPE_CHECKING:
    from weighbridge.admission.recall import Which

_STYLE = {Standing.CLEAR: "green", Standing.FIRED: "red", Standing.UNDETERMINED: "yellow"}


@cli_command(short_help="Rule by rule, the path to a verdict.")
@click.argument("reference", metavar="REF|DIGEST")
@which_options
def command(session: Session, *, which: Which, reference: str) -> Exit:
    """Print every rule of the policy, how it came out for this model and use, the evidence, and the shortest way to yes."""
    from weighbridge.admission.recall import recall
    from weighbridge.admission.replaying import trace
    from weighbridge.registry import wire

    with session.installation() as house:
        known = recall(house, reference, which)
        policy, steps = trace(house, known)
    decision = known.decision
    if session.as_json:
        body = {"reference": known.reference, "digest": known.digest, "decision": wire.plain(decision)}
        render.document("why", {**body, "trace": [wire.plain(step) for step in steps]})
        return Exit.OK
    lines = [render.row("verdict", wording.verdict(decision), f"  {known.reference}")]
    lines.append(render.row("policy", f"{policy.name}@{policy.version}   engine {decision.engine}"))
    reasons = {reason.rule: reason for reason in decision.reasons}
    titles = {rule.id: rule.title for rule in policy.rules}
    for step in steps:
        style = _STYLE.get(step.standing, "yellow")
        told = f"  {step.rule}  {titles.get(step.rule, '')}"
        lines.append(render.row("rule", render.Part(f"{step.standing.value:<12}", style), told))
        if step.rule in reasons and step.standing is not Standing.CLEAR:
            lines += wording.reason_rows(reasons[step.rule], known.digest)
    lines += [render.row("condition", text) for text in decision.conditions]
    lines.append(render.row("decision", known.digest))
    render.rows(lines)
    return Exit.OK
