"""The skips that a run may have: a number that may not rise, and reasons that hold only where something is really absent."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class SkipBudget:
    """`limit` skips for any reason; a skip whose reason holds one of `excuses` is counted apart."""

    limit: int
    excuses: tuple[str, ...]

    @classmethod
    def read(cls, path: Path, shared: Path | None) -> SkipBudget:
        """Read `skips.txt`. An excuse counts only where the shared folder, tool or module it names is absent."""
        limit, excuses = 0, []
        for line in path.read_text().splitlines():
            words = line.partition("#")[0].split(maxsplit=1)
            match words:
                case ["limit", number]:
                    limit = int(number)
                case ["shared", word]:
                    excuses += [word] if shared is None else []
                case ["tool", word]:
                    excuses += [word] if shutil.which(word) is None else []
                case ["module", word]:
                    excuses += [word] if find_spec(word) is None else []
                case ["kernel", word]:
                    excuses.append(word)
                case []:
                    continue
                case _:
                    raise ValueError(f"{path.name} holds a line that means nothing: {line!r}")
        return cls(limit=limit, excuses=tuple(excuses))

    def unexcused(self, reasons: list[str]) -> list[str]:
        """The reasons that count against the limit."""
        return [reason for reason in reasons if not any(word in reason for word in self.excuses)]

    def is_exceeded(self, reasons: list[str]) -> bool:
        """Whether there are more skips than the limit."""
        return len(self.unexcused(reasons)) > self.limit

    def report(self, reasons: list[str]) -> list[str]:
        """One line of counts, then the skips that count, when they are too many."""
        counted = self.unexcused(reasons)
        apart = len(reasons) - len(counted)
        lines = [f"skips: {len(counted)} of {self.limit} allowed, {apart} more for what this machine does not have"]
        if self.is_exceeded(reasons):
            lines.append("FAILED: more tests are skipped than tests/skips.txt allows:")
            lines += [f"  {count} x {reason}" for reason, count in sorted(Counter(counted).items())]
        return lines
