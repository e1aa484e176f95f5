"""What `inspect` asks and writes besides its words, and what it does not count.

`--sarif`, `--for-loader`, `--vex`, `--suppress`, `--write-baseline`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from weighbridge.cli import render, wording
from weighbridge.errors import UsageError
from weighbridge.vocabulary import Dossier, Finding, Preview

if TYPE_CHECKING:
    from weighbridge.inspection.loaders import Assessment, Named
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
    for_loader: tuple[str, ...]
    vex: str
    suppress: Path | None
    baseline: Path | None
    until: date | None

    @property
    def takes_stdout(self) -> bool:
        """Whether a report stands where the words would."""
        return TO_STDOUT in (self.sarif, self.vex)

    def check(self, *, as_json: bool, references: tuple[str, ...], header_only: bool) -> None:
        """Refuse what cannot go together.

        Raises:
            UsageError: it cannot.
        """
        problem = ""
        if [as_json, self.sarif == TO_STDOUT, self.vex == TO_STDOUT].count(True) > 1:
            problem = "of --json, --sarif - and --vex - only one can have standard output"
        elif len(references) != 1 and (self.sarif or self.vex or self.baseline or as_json):
            problem = "--json, --sarif, --vex and --write-baseline are for one REF"
        elif self.vex and not self.for_loader:
            problem = "--vex says what the loaders of --for-loader are open to, and none is named"
        elif header_only and self.vex:
            problem = "a VEX document goes by digest, and --header-only makes none"
        elif header_only and (self.suppress or self.baseline):
            problem = "suppressions go by digest, and --header-only makes none"
        elif bool(self.baseline) != bool(self.until):
            problem = "--write-baseline and --until go together"
        elif self._shares_a_file(references):
            problem = "of --sarif, --vex, --suppress and --write-baseline two name one file, or one names REF, which would be overwritten"
        if problem:
            raise UsageError(problem, remedy="see: weighbridge inspect --help")

    def _shares_a_file(self, references: tuple[str, ...]) -> bool:
        named = (self.sarif, self.vex, self.suppress, self.baseline)
        paths = [Path(path).resolve() for path in named if path and path != TO_STDOUT]
        models = {Path(reference).resolve() for reference in references} if paths else set()
        return len(set(paths)) < len(paths) or not models.isdisjoint(paths)

    def loaders(self) -> tuple[Named, ...]:
        """The loaders of `--for-loader`, each once.

        Raises:
            UsageError: one is not known, its version is none, or a VEX document is asked for and no advisory is known of any.
        """
        if not self.for_loader:
            return ()
        from weighbridge.inspection.loader_advisories import table
        from weighbridge.inspection.loaders import parse_loader

        named = tuple(dict.fromkeys(parse_loader(text) for text in self.for_loader))
        if self.vex and not {one.loader for one in named} & {advisory.loader for advisory in table().advisories}:
            problem = "no advisory is known here about any of these loaders, and a VEX document needs a statement"
            raise UsageError(problem, remedy="see: weighbridge inspect --help")
        return named

    def write_vex(self, dossier: Dossier, assessments: tuple[Assessment, ...], moment: datetime) -> None:
        """Write the OpenVEX document that was asked for.

        Raises:
            UsageError: the file cannot be written.
        """
        if not self.vex:
            return
        from importlib.metadata import version

        from weighbridge.inspection.openvex import openvex

        _put(self.vex, openvex(dossier, assessments, version=version("weighbridge"), moment=moment))

    def entries(self, moment: datetime) -> tuple[Suppression, ...]:
        """The suppressions of the file; those that are over are told.

        Raises:
            UsageError: the file cannot be read or is none, or the baseline to be written would be over.
        """
        if self.until and self.until < moment.astimezone(UTC).date():
            raise UsageError(f"--until {self.until.isoformat()} is over, so the baseline would cover nothing")
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
            _put(self.sarif, text)
        if self.baseline and self.until and isinstance(looked_at, Dossier):
            from weighbridge.policy.suppressions import baseline, write_suppressions

            _write(self.baseline, write_suppressions(baseline(looked_at, until=self.until)))


def report_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options, given to `function` as one `reporting`."""

    @click.option(
        "--sarif", default="", metavar="FILE", help="Write the findings as SARIF 2.1.0; - is standard output."
    )
    @click.option(
        "--for-loader",
        multiple=True,
        metavar="'NAME VERSION'",
        help="Test what is published about a loader, as 'torch 2.9'; may be repeated.",
    )
    @click.option("--vex", default="", metavar="FILE", help="Write that as OpenVEX; - is standard output.")
    @click.option(
        "--suppress", type=click.Path(path_type=Path), help="Findings that do not count, with reasons (YAML)."
    )
    @click.option("--write-baseline", type=click.Path(path_type=Path), help="Write suppressions of every finding.")
    @click.option("--until", type=click.DateTime(["%Y-%m-%d"]), help="Last day of the baseline.")
    @wraps(function)
    def called(
        *args: Any, sarif: str, suppress: Path | None, write_baseline: Path | None, until: datetime | None, **rest: Any
    ) -> Any:
        loaders = {"for_loader": rest.pop("for_loader"), "vex": rest.pop("vex")}
        day = until.date() if until else None
        reporting = Reporting(sarif=sarif, suppress=suppress, baseline=write_baseline, until=day, **loaders)
        return function(*args, reporting=reporting, **rest)

    return called


def _put(target: str, text: str) -> None:
    """Write a report of ASCII text to a file, or to standard output where the target says so."""
    if target == TO_STDOUT:
        render.data(text)
    else:
        _write(Path(target), text.encode("ascii"))


def _write(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as problem:
        raise UsageError(f"{path} cannot be written: {problem.strerror}", subject=str(path)) from problem
