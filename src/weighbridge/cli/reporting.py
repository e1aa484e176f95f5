"""What `inspect` writes besides its words, and what it does not count: `--sarif`, `--suppress`, `--write-baseline`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from weighbridge.cli import render, wording
from weighbridge.errors import UsageError
from weighbridge.vocabulary import Dossier, Finding, Preview

if TYPE_CHECKING:
    from weighbridge.policy.suppressions import Suppression

TO_STDOUT = "-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """Findings that count, those that do not with the entry that says so, and whether all bytes are read or spoken for."""

    findings: tuple[Finding, ...]
    suppressed: Mapping[Finding, Suppression]
    is_whole: bool

    def rows(self) -> list[render.Row]:
        """What does not count, for a person."""
        return [
            render.row("suppressed", wording.finding(finding), render.Part(f"  {entry.justification}", "grey"))
            for finding, entry in self.suppressed.items()
        ]

    def listed(self) -> list[dict[str, Any]]:
        """What does not count, as plain values."""
        from weighbridge.registry import wire

        return [
            {"finding": wire.plain(finding), "reason": entry.reason, "until": entry.until.isoformat()}
            for finding, entry in self.suppressed.items()
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reporting:
    """The options, as they were given."""

    sarif: str
    suppress: Path | None
    baseline: Path | None
    until: date | None

    @property
    def takes_stdout(self) -> bool:
        """Whether the report stands where the words would."""
        return self.sarif == TO_STDOUT

    def check(self, *, as_json: bool, references: int, header_only: bool) -> None:
        """Refuse what cannot go together.

        Raises:
            UsageError: it cannot.
        """
        problem = ""
        if self.takes_stdout and as_json:
            problem = "--json and --sarif - both want standard output"
        elif references != 1 and (self.sarif or self.baseline or as_json):
            problem = "--json, --sarif and --write-baseline are for one REF"
        elif header_only and (self.suppress or self.baseline):
            problem = "suppressions go by digest, and --header-only makes none"
        elif bool(self.baseline) != bool(self.until):
            problem = "--write-baseline and --until go together"
        if problem:
            raise UsageError(problem, remedy="see: weighbridge inspect --help")

    def entries(self, moment: datetime) -> tuple[Suppression, ...]:
        """The suppressions of the file; those that are over are told."""
        if self.suppress is None:
            return ()
        from weighbridge.policy.bounded_yaml import LIMIT_BYTES
        from weighbridge.policy.suppressions import load_suppressions

        try:
            with self.suppress.open("rb") as stream:
                data = stream.read(LIMIT_BYTES + 1)
        except OSError as problem:
            raise UsageError(
                f"{self.suppress} cannot be read: {problem.strerror}", subject=str(self.suppress)
            ) from problem
        entries = load_suppressions(data, subject=str(self.suppress))
        for entry in entries:
            if not entry.is_live(moment):
                render.say(f"expired on {entry.until.isoformat()}, not counted: {entry.check} of {entry.sha256[:16]}")
        return entries

    def count(self, dossier: Dossier, entries: tuple[Suppression, ...], moment: datetime) -> Counted:
        """Set aside what is suppressed."""
        if not entries:
            whole = bool(dossier.artifacts) and not dossier.unread
            return Counted(findings=dossier.findings, suppressed={}, is_whole=whole)
        from weighbridge.policy.suppressions import is_whole, suppressed

        covered = suppressed(dossier, entries, moment=moment)
        left = tuple(finding for finding in dossier.findings if finding not in covered)
        return Counted(findings=left, suppressed=covered, is_whole=is_whole(dossier, covered))

    def write(self, looked_at: Dossier | Preview, covered: Mapping[Finding, Suppression]) -> None:
        """Write the report and the baseline that were asked for.

        Raises:
            UsageError: a file cannot be written.
        """
        if self.sarif:
            from importlib.metadata import version

            from weighbridge.inspection.sarif import sarif

            reasons = {finding: entry.justification for finding, entry in covered.items()}
            text = sarif(looked_at, version=version("weighbridge"), suppressed=reasons if self.suppress else None)
            if self.takes_stdout:
                render.data(text)
            else:
                _write(Path(self.sarif), text.encode("ascii"))
        if self.baseline and self.until and isinstance(looked_at, Dossier):
            from weighbridge.policy.suppressions import baseline, write_suppressions

            _write(self.baseline, write_suppressions(baseline(looked_at, until=self.until)))


def report_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options, given to `function` as one `reporting`."""

    @click.option(
        "--sarif", default="", metavar="FILE", help="Write the findings as SARIF 2.1.0; - is standard output."
    )
    @click.option(
        "--suppress", type=click.Path(path_type=Path), help="Findings that do not count, with reasons (YAML)."
    )
    @click.option("--write-baseline", type=click.Path(path_type=Path), help="Write suppressions of every finding.")
    @click.option("--until", type=click.DateTime(["%Y-%m-%d"]), help="Last day of the baseline.")
    @wraps(function)
    def called(
        *args: Any, sarif: str, suppress: Path | None, write_baseline: Path | None, until: datetime | None, **rest: Any
    ) -> Any:
        day = until.date() if until else None
        reporting = Reporting(sarif=sarif, suppress=suppress, baseline=write_baseline, until=day)
        return function(*args, reporting=reporting, **rest)

    return called


def _write(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as problem:
        raise UsageError(f"{path} cannot be written: {problem.strerror}", subject=str(path)) from problem
