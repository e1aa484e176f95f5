"""`weighbridge inspect REF...`: the dossier only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from weighbridge.cli import render, wording
from weighbridge.cli.reporting import Counted, Reporting, report_options
from weighbridge.cli.running import Exit, Session, cli_command
from weighbridge.errors import HostileInputError, OutputLostError, UsageError, WeighbridgeError
from weighbridge.vocabulary import Dossier, Finding, ModelRef, Outcome, Preview, Severity

if TYPE_CHECKING:
    from weighbridge.admission.installation import Installation
    from weighbridge.inspection.loaders import Assessment, LookedAt, Named
    from weighbridge.policy.suppressions import Suppression

_LEVELS = [severity.value for severity in Severity if severity is not Severity.UNKNOWN]


@cli_command(short_help="Examine a model's files; the dossier only, nothing recorded.")
@click.argument("references", metavar="REF...", nargs=-1, required=True)
@click.option("--fail-on", type=click.Choice(_LEVELS), default="high", show_default=True, help="Severity that exits 1.")
@click.option("--header-only", is_flag=True, help="Do not hash: a preview without a subject, never exit 0.")
@click.option(
    "--full",
    "is_full",
    is_flag=True,
    help="Look at every value of the tensors, not at a sample; what cannot be looked at is unknown.",
)
@click.option("--all", "show_all", is_flag=True, help="Also print what passed.")
@report_options
def command(
    session: Session, *, references: tuple[str, ...], reporting: Reporting, header_only: bool, **how: Any
) -> Exit:
    """Examine the files of each REF and print what was found; nothing is decided or recorded.

    Local models are examined where they lie; others are fetched to a temporary folder. Exit 0: every byte was read and no
    check failed at or above --fail-on; 1: one did; 3: something could not be read or judged. Of several REFs the worst
    counts: 1, then 3, then 0. With --for-loader the files are tested for what is published about that loader in that version:
    open to it is a failed check of the advisory's severity, and what cannot be told is unknown.
    """
    if header_only and how["is_full"]:
        raise UsageError("--full looks at values, which --header-only leaves alone")
    reporting.check(as_json=session.as_json, references=references, header_only=header_only)
    loaders = reporting.loaders()
    with session.installation() as house:
        house.warm_jail()  # first of all: it gets ready while the rest is imported
        entries = reporting.entries(house.clock())
        look = _Look(session=session, house=house, reporting=reporting, loaders=loaders, entries=entries, **how)
        codes = [look.at(reference, header_only=header_only, is_one=len(references) == 1) for reference in references]
    return next(code for code in (Exit.FOUND, Exit.UNSURE, Exit.OK) if code in codes)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """How every REF of one call is looked at."""

    session: Session
    house: Installation
    reporting: Reporting
    loaders: tuple[Named, ...]
    entries: tuple[Suppression, ...]
    fail_on: str
    show_all: bool
    is_full: bool

    def at(self, reference: str, *, header_only: bool, is_one: bool) -> Exit:
        """Examine one REF and say what was found. An error stops one REF of several, and the others are examined."""
        try:
            return self._preview(reference) if header_only else self._dossier(reference)
        except (UsageError, OutputLostError):
            raise
        except WeighbridgeError as problem:
            if is_one:
                raise
            render.error(problem, as_json=False)
            return Exit.FOUND if isinstance(problem, HostileInputError) else Exit.UNSURE

    def _dossier(self, reference: str) -> Exit:
        from weighbridge.admission.examination import inspect

        with self._progress() as progress:
            dossier = inspect(self._parsed(reference), house=self.house, watch=progress, is_full=self.is_full)
        moment = self.house.clock()
        dossier, assessments = self._asked(dossier)
        counted = self.reporting.count(dossier, self.entries, moment)
        code = exit_code(counted.findings, is_whole=counted.is_whole, fail_on=self.fail_on)
        self.reporting.write(dossier, counted.suppressed)
        self.reporting.write_vex(dossier, assessments, moment)
        if not self.reporting.takes_stdout:
            self._show(dossier, counted, reference, code)
        return code

    def _preview(self, reference: str) -> Exit:
        from weighbridge.admission.examination import preview

        ref = self._parsed(reference)
        if ref.hub != "local":
            raise UsageError("a header-only look needs a local path", subject=reference)
        with self._progress() as progress:
            seen = preview(ref, house=self.house, watch=progress)
        seen, _ = self._asked(seen)
        self.reporting.write(seen, {})
        code = exit_code(seen.findings, is_whole=False, fail_on=self.fail_on)
        if not self.reporting.takes_stdout:
            _show_preview(seen, self.session, show_all=self.show_all)
        return code

    def _asked(self, looked_at: LookedAt) -> tuple[LookedAt, tuple[Assessment, ...]]:
        """With the answers about the loaders that were named; the same where none was."""
        if not self.loaders:
            return looked_at, ()
        from weighbridge.inspection.loaders import answer

        return answer(looked_at, self.loaders)

    def _parsed(self, reference: str) -> ModelRef:
        from weighbridge.hubs.access.references import parse_reference

        return parse_reference(reference, self.house.hubs.found)

    @contextmanager
    def _progress(self) -> Iterator[render.Progress]:
        progress = render.Progress(quiet=self.session.as_json)
        try:
            yield progress
        finally:
            progress.end()

    def _show(self, dossier: Dossier, counted: Counted, reference: str, code: Exit) -> None:
        from weighbridge.registry import wire

        if self.session.as_json:
            told = {"suppressed": counted.listed()} if self.entries else {}
            render.document("dossier", {"reference": reference, "dossier": wire.plain(dossier), **told})
            return
        lines = [render.row("examined", wording.coverage(dossier))]
        lines += [render.row("model", f"{h.path}  {wording.header(h)}") for h in dossier.headers if h.tensors]
        lines += wording.sorted_findings(counted.findings, show_all=self.show_all)
        lines += counted.rows()
        lines.append(render.row("subject", f"sha256:{dossier.subject}"))
        lines.append(_result(code, self.fail_on))
        render.rows(lines)


def exit_code(findings: tuple[Finding, ...], *, is_whole: bool, fail_on: str) -> Exit:
    """1 for a FAIL at or above `fail_on`; 3 for an UNKNOWN, an ERROR or unread bytes; else 0."""
    limit = Severity(fail_on).rank
    if any(f.outcome is Outcome.FAIL and f.severity.rank >= limit for f in findings):
        return Exit.FOUND
    if not is_whole or any(f.outcome in (Outcome.UNKNOWN, Outcome.ERROR) for f in findings):
        return Exit.UNSURE
    return Exit.OK


def _show_preview(preview: Preview, session: Session, *, show_all: bool) -> None:
    from weighbridge.registry import wire

    if session.as_json:
        render.document("preview", {"preview": wire.plain(preview)})
        return
    lines = [render.row("preview", wording.coverage(preview))]
    lines += [render.row("model", f"{h.path}  {wording.header(h)}") for h in preview.headers if h.tensors]
    lines += wording.sorted_findings(preview.findings, show_all=show_all)
    lines.append(render.row("note", "headers only: not hashed, so this is no subject and nothing can be decided on it"))
    render.rows(lines)


def _result(code: Exit, fail_on: str) -> render.Row:
    match code:
        case Exit.OK:
            return render.row("result", render.Part(f"nothing at or above {fail_on}, every byte read", "green"))
        case Exit.FOUND:
            return render.row("result", render.Part(f"failed at or above {fail_on}", "red"))
        case _:
            return render.row("result", render.Part("could not tell: something is unread or unknown", "yellow"))
