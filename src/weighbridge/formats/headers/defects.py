"""What a reader has against a file, gathered so that a hostile one cannot make the report long."""

from __future__ import annotations

from collections.abc import Sized

from weighbridge.errors import MalformedArtifactError
from weighbridge.vocabulary import Evidence, Finding, Outcome, Severity, clip


class OverLimitError(MalformedArtifactError):
    """More than this release reads; nothing says that it is wrong."""


EVIDENCE_LIMIT = 8
"""Places shown for one check; the others are counted."""

DEFECT_LIMIT = 10_000
"""Defects of one file after which a reader need not go on."""


class Defects:
    """Findings against one file, one a check, with the first places and the number of all of them.

    Law: `structure` answers PASS only where nothing was added.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._found: dict[tuple[str, Outcome, Severity], list[Evidence]] = {}
        self._words: dict[tuple[str, Outcome, Severity], tuple[str, tuple[str, ...]]] = {}
        self._counts: dict[tuple[str, Outcome, Severity], int] = {}

    def __bool__(self) -> bool:
        return bool(self._counts)

    @property
    def total(self) -> int:
        """How many were noted."""
        return sum(self._counts.values())

    def add(
        self,
        check: str,
        message: str,
        locator: str = "",
        *,
        grade: tuple[Outcome, Severity] = (Outcome.FAIL, Severity.HIGH),
        excerpt: str | bytes = "",
        references: tuple[str, ...] = (),
    ) -> None:
        """Note one defect. The first message of a check is kept; clip what comes from the file before it gets here."""
        key = (check, *grade)
        self._counts[key] = self._counts.get(key, 0) + 1
        self._words.setdefault(key, (message, references))
        places = self._found.setdefault(key, [])
        if len(places) < EVIDENCE_LIMIT:
            places.append(Evidence(artifact=self._path, locator=clip(locator), excerpt=clip(excerpt)))

    def add_more(
        self, check: str, places: Sized, *, grade: tuple[Outcome, Severity] = (Outcome.FAIL, Severity.HIGH)
    ) -> None:
        """Count those of `places` that are beyond the first EVIDENCE_LIMIT, which are noted."""
        if len(places) > EVIDENCE_LIMIT:
            self._counts[(check, *grade)] += len(places) - EVIDENCE_LIMIT

    def add_error(self, check: str, error: MalformedArtifactError) -> None:
        """Note what a reader raised."""
        self.add(check, clip(error.message), error.locator)

    def structure(self, check: str, words: str) -> Finding:
        """The one answer about the structure: PASS in `words`, or as bad as the worst defect."""
        if not self._counts:
            return Finding(check=check, outcome=Outcome.PASS, severity=Severity.INFO, message=words)
        failed = [severity for (_, outcome, severity) in self._counts if outcome is Outcome.FAIL]
        outcome = Outcome.FAIL if failed else Outcome.UNKNOWN
        severity = max(failed or [key[2] for key in self._counts], key=lambda s: s.rank)
        names = sorted({key[0] for key in self._counts})
        message = f"{'the structure is not sound' if failed else 'the structure cannot be judged'}: {', '.join(names)}"
        return Finding(
            check=check, outcome=outcome, severity=severity, message=message, evidence=(Evidence(artifact=self._path),)
        )

    def findings(self) -> tuple[Finding, ...]:
        """One finding for each check, in order of appearance."""
        return tuple(
            Finding(
                check=key[0],
                outcome=key[1],
                severity=key[2],
                message=self._words[key][0] + (f" (and {count - 1:,} more)" if count > 1 else ""),
                evidence=tuple(self._found[key]),
                references=self._words[key][1],
            )
            for key, count in self._counts.items()
        )


UNJUDGED = (Outcome.UNKNOWN, Severity.HIGH)
"""The grade of what cannot be judged."""

ODD = (Outcome.FAIL, Severity.MEDIUM)
"""The grade of what is against the format and harms no loader that is known."""
