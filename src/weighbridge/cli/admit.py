"""`weighbridge admit REF`: stage, weigh, decide, record."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from weighbridge.cli import render, wording
from weighbridge.cli.running import Exit, Session, cli_command
from weighbridge.cli.use import use_options
from weighbridge.errors import HostileInputError, UsageError, WeighbridgeError
from weighbridge.vocabulary import Decision, Policy, UseContext, Verdict

if TYPE_CHECKING:
    from weighbridge.admission.installation import Installation

_EXIT = {
    Verdict.ADMIT: Exit.OK,
    Verdict.ADMIT_WITH_CONDITIONS: Exit.OK,
    Verdict.REFER: Exit.UNSURE,
    Verdict.REFUSE: Exit.FOUND,
}
_WORST = (Exit.FOUND, Exit.BROKE, Exit.UNSURE, Exit.OK)


@cli_command(short_help="Weigh a model, decide by policy, record and sign.")
@click.argument("reference", required=False, metavar="REF")
@click.option("--from", "listing", type=click.Path(path_type=Path, dir_okay=False), help="A file with one REF a line.")
@click.option("--policy", "policy_file", type=click.Path(path_type=Path), help="Policy file instead of the default.")
@click.option(
    "--like", metavar="DIGEST", help="Ask again what an earlier decision answered: its model, use and policy."
)
@click.option("--again", is_flag=True, help="Weigh anew although a decision stands.")
@use_options
def command(  # one argument an option
    session: Session,
    *,
    reference: str | None,
    listing: Path | None,
    policy_file: Path | None,
    like: str | None,
    again: bool,
    use: UseContext,
) -> Exit:
    """Stage, weigh, decide and record the model REF: a folder or file, hf:ORG/NAME@REVISION or ollama:NAME:TAG.

    With --from many models are admitted one after the other; run the same command again after an interruption, decisions that
    stand are not made twice.
    """
    if like is not None and (reference or listing or policy_file or use != UseContext()):
        raise UsageError("--like brings its own model, use and policy", subject=like)
    references, expected = _references(reference, listing) if like is None else [], ""
    with session.installation(writable=True) as house:
        policy = house.policy(policy_file)
        if like is not None:
            references, use, policy, expected = _asked_before(house, like)
        if listing is None:
            decision = _admit(references[0], session, house, use=use, policy=policy, again=again, expected=expected)
            if session.as_json:
                render.document("admission", {**_told(decision, references[0]), "warnings": list(house.warnings)})
            else:
                _show(decision, references[0], house)
            return _EXIT[decision.verdict]
        outcomes = [_admit_one(text, session, house, use=use, policy=policy, again=again) for text in references]
        if session.as_json:
            body = {"admissions": [told for _, told in outcomes], "warnings": list(house.warnings)}
            render.document("admissions", body)
    codes = {code for code, _ in outcomes}
    return next(code for code in _WORST if code in codes)


def _asked_before(house: Installation, digest: str) -> tuple[list[str], UseContext, Policy, str]:
    """Reference, use, policy and subject of an earlier decision."""
    from weighbridge.admission.recall import read_grounds, recall

    known = recall(house, digest)
    grounds = read_grounds(house, known.decision)
    return [known.reference], grounds.use, grounds.policy, known.decision.subject


def _references(reference: str | None, listing: Path | None) -> list[str]:
    if (reference is None) == (listing is None):
        raise UsageError("name one model, or a list of models with --from", remedy="weighbridge admit ./model")
    if listing is None:
        return [reference or ""]
    try:
        lines = listing.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as problem:
        raise UsageError(f"the list cannot be read: {problem}", subject=str(listing)) from problem
    references = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not references:
        raise UsageError("the list names no model", subject=str(listing))
    return references


def _admit(
    text: str,
    session: Session,
    house: Installation,
    *,
    use: UseContext,
    policy: Policy,
    again: bool,
    expected: str = "",
) -> Decision:
    from weighbridge.admission.admit import admit
    from weighbridge.hubs.access.references import parse_reference

    progress = render.Progress(quiet=session.as_json)
    try:
        ref = parse_reference(text)
        return admit(ref, use=use, policy=policy, house=house, again=again, expected=expected, watch=progress)
    finally:
        progress.end()


def _admit_one(
    text: str, session: Session, house: Installation, *, use: UseContext, policy: Policy, again: bool
) -> tuple[Exit, dict[str, Any]]:
    """Admit one of many: its exit code and what to tell of it. What stops one does not stop the others."""
    try:
        decision = _admit(text, session, house, use=use, policy=policy, again=again)
    except WeighbridgeError as problem:
        problem.subject = f"{text}: {problem.subject}" if problem.subject not in ("", text) else text
        render.error(problem, as_json=False)
        told = {"reference": text, "error": render.error_body(problem)}
        return (Exit.FOUND if isinstance(problem, HostileInputError) else Exit.BROKE), told
    if not session.as_json:
        _show(decision, text, house)
    return _EXIT[decision.verdict], _told(decision, text)


def _told(decision: Decision, text: str) -> dict[str, Any]:
    from weighbridge.admission.recording import decision_digest
    from weighbridge.registry import wire

    return {"reference": text, "digest": decision_digest(decision), "decision": wire.plain(decision)}


def _show(decision: Decision, text: str, house: Installation) -> None:
    from weighbridge.admission.recall import read_grounds
    from weighbridge.admission.recording import decision_digest

    digest, grounds = decision_digest(decision), read_grounds(house, decision)
    render.rows(wording.decision_rows(decision, digest=digest, reference=text, grounds=grounds))
