"""`weighbridge inspect REF`: the dossier only."""

from __future__ import annotations

import click

from weighbridge.cli import render, wording
from weighbridge.cli.running import Exit, Session, cli_command
from weighbridge.errors import UsageError
from weighbridge.vocabulary import Dossier, Finding, Outcome, Preview, Severity

_LEVELS = [severity.value for severity in Severity if severity is not Severity.UNKNOWN]


@cli_command(short_help="Examine a model's files; the dossier only, nothing recorded.")
@click.argument("reference", metavar="REF")
@click.option("--fail-on", type=click.Choice(_LEVELS), default="high", show_default=True, help="Severity that exits 1.")
@click.option("--header-only", is_flag=True, help="Do not hash: a preview without a subject, never exit 0.")
@click.option("--all", "show_all", is_flag=True, help="Also print what passed.")
def command(session: Session, *, reference: str, fail_on: str, header_only: bool, show_all: bool) -> Exit:
    """Examine the files of REF and print what was found; nothing is decided or recorded.

    Local models are examined where they lie; others are fetched to a temporary folder. Exit 0: every byte was read and no
    check failed at or above --fail-on; 1: one did; 3: something could not be read or judged.
    """
    progress = render.Progress(quiet=session.as_json)
    with session.installation() as house:
        house.warm_jail()  # first of all: it gets ready while the rest is imported
        from weighbridge.admission.examination import inspect, preview
        from weighbridge.hubs.access.references import parse_reference

        ref = parse_reference(reference, house.hubs.found)
        try:
            if header_only:
                if ref.hub != "local":
                    raise UsageError("a header-only look needs a local path", subject=reference)
                return _show_preview(preview(ref, house=house, watch=progress), session, fail_on, show_all=show_all)
            dossier = inspect(ref, house=house, watch=progress)
        finally:
            progress.end()
    return _show(dossier, session, reference, fail_on, show_all=show_all)


def exit_code(findings: tuple[Finding, ...], *, is_whole: bool, fail_on: str) -> Exit:
    """1 for a FAIL at or above `fail_on`; 3 for an UNKNOWN, an ERROR or unread bytes; else 0."""
    limit = Severity(fail_on).rank
    if any(f.outcome is Outcome.FAIL and f.severity.rank >= limit for f in findings):
        return Exit.FOUND
    if not is_whole or any(f.outcome in (Outcome.UNKNOWN, Outcome.ERROR) for f in findings):
        return Exit.UNSURE
    return Exit.OK


def _show(dossier: Dossier, session: Session, reference: str, fail_on: str, *, show_all: bool) -> Exit:
    from weighbridge.registry import wire

    is_whole = bool(dossier.artifacts) and not dossier.unread
    code = exit_code(dossier.findings, is_whole=is_whole, fail_on=fail_on)
    if session.as_json:
        render.document("dossier", {"reference": reference, "dossier": wire.plain(dossier)})
        return code
    lines = [render.row("examined", wording.coverage(dossier))]
    lines += [render.row("model", f"{h.path}  {wording.header(h)}") for h in dossier.headers if h.tensors]
    lines += wording.sorted_findings(dossier.findings, show_all=show_all)
    lines.append(render.row("subject", f"sha256:{dossier.subject}"))
    lines.append(_result(code, fail_on))
    render.rows(lines)
    return code


def _show_preview(preview: Preview, session: Session, fail_on: str, *, show_all: bool) -> Exit:
    from weighbridge.registry import wire

    code = exit_code(preview.findings, is_whole=False, fail_on=fail_on)
    if session.as_json:
        render.document("preview", {"preview": wire.plain(preview)})
        return code
    lines = [render.row("preview", wording.coverage(preview))]
    lines += [render.row("model", f"{h.path}  {wording.header(h)}") for h in preview.headers if h.tensors]
    lines += wording.sorted_findings(preview.findings, show_all=show_all)
    lines.append(render.row("note", "headers only: not hashed, so this is no subject and nothing can be decided on it"))
    render.rows(lines)
    return code


def _result(code: Exit, fail_on: str) -> render.Row:
    match code:
        case Exit.OK:
            return render.row("result", render.Part(f"nothing at or above {fail_on}, every byte read", "green"))
        case Exit.FOUND:
            return render.row("result", render.Part(f"failed at or above {fail_on}", "red"))
        case _:
            return render.row("result", render.Part("could not tell: something is unread or unknown", "yellow"))
