"""The table of published advisories about files that loaders read: which versions, and what in a file has to be so.

The rows are data/loader_advisories.toml, each with its source and how it was verified.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cache
from importlib.resources import files
from typing import Any

from weighbridge.inspection.loader_versions import Key, version_key
from weighbridge.vocabulary import Severity


class Reach(Enum):
    """Where a version stands to the ranges of an advisory."""

    BEFORE = "before"
    WITHIN = "within"
    PAST = "past"


@dataclass(frozen=True, slots=True, kw_only=True)
class Loader:
    """A program that loads model files. `order` is how its versions are ordered, `purl` its package URL without a version."""

    name: str
    title: str
    order: str
    purl: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """What of a file meets an advisory, in terms of what its reader found.

    A file counts that was read as one of `formats`, whose name is like `name`, whose header says `fact` (`name=value`) and of
    which the check `shows` spoke, each where it is given. It meets the condition where one of the checks `fails` failed with a
    message like `says` and a piece of evidence whose excerpt is like `excerpt`.
    """

    formats: tuple[str, ...]
    fails: tuple[str, ...]
    says: re.Pattern[str] | None = None
    excerpt: re.Pattern[str] | None = None
    name: re.Pattern[str] | None = None
    fact: str = ""
    shows: str = ""
    holds: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Versions from `start` (empty: the first) up to `before` (empty: no fix is published)."""

    start: str = ""
    before: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Advisory:
    """One published vulnerability of one loader. `needs` says in plain words what a file must hold to reach it."""

    cve: str
    loader: Loader
    ranges: tuple[Range, ...]
    severity: Severity
    source: str
    verified: str
    needs: str
    conditions: tuple[Condition, ...]

    def reach(self, version: Key) -> Reach:
        """Where a version stands: within one of the ranges, before all of them, or past the fix."""
        is_past = False
        for span in self.ranges:
            start, before = (version_key(text, self.loader.order) for text in (span.start, span.before))
            if (start is None or version >= start) and (before is None or version < before):
                return Reach.WITHIN
            is_past = is_past or (before is not None and version >= before)
        return Reach.PAST if is_past else Reach.BEFORE

    @property
    def fixed_in(self) -> tuple[str, ...]:
        """The versions that hold the fix."""
        return tuple(span.before for span in self.ranges if span.before)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What is known of a format: the checks that say that a file was not read to its end, and how its files are called.

    `any_name`: loaders open such a file whatever it is called, and no magic number has to stand at its start.
    """

    unread: tuple[str, ...]
    suffixes: tuple[str, ...]
    any_name: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Every loader by name, every advisory, and the formats that they speak of."""

    loaders: Mapping[str, Loader]
    advisories: tuple[Advisory, ...]
    formats: Mapping[str, Kind]


@cache
def table() -> Table:
    """The rows of loader_advisories.toml."""
    text = files(__package__).joinpath("data/loader_advisories.toml").read_text(encoding="utf-8")
    rows = tomllib.loads(text)
    loaders = {name: Loader(name=name, **row) for name, row in rows["loaders"].items()}
    return Table(
        loaders=loaders,
        advisories=tuple(_advisory(row, loaders) for row in rows["advisories"]),
        formats={name: _kind(row) for name, row in rows["formats"].items()},
    )


def _kind(row: dict[str, Any]) -> Kind:
    return Kind(unread=tuple(row["unread"]), suffixes=tuple(row["suffixes"]), any_name=bool(row.get("any_name", False)))


def _advisory(row: dict[str, Any], loaders: Mapping[str, Loader]) -> Advisory:
    return Advisory(
        cve=row["cve"],
        loader=loaders[row["loader"]],
        ranges=tuple(Range(**span) for span in row["ranges"]),
        severity=Severity(row["severity"]),
        source=row["source"],
        verified=row["verified"],
        needs=row["needs"],
        conditions=tuple(_condition(when) for when in row["when"]),
    )


def _condition(row: dict[str, Any]) -> Condition:
    return Condition(
        formats=tuple(row["formats"]),
        fails=tuple(row["fails"]),
        says=_pattern(row, "says"),
        excerpt=_pattern(row, "excerpt"),
        name=_pattern(row, "name"),
        fact=row.get("fact", ""),
        shows=row.get("shows", ""),
        holds=tuple(row.get("holds", ())),
    )


def _pattern(row: dict[str, Any], key: str) -> re.Pattern[str] | None:
    return re.compile(row[key]) if key in row else None
