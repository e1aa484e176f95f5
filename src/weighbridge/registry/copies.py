"""Copies of checkpoints in folders elsewhere, and whether the log still continues them.

Whoever can write the store can cut its log short or put yesterday's back, and nothing inside it shows that. A copy of the
last checkpoint in a folder that they cannot write does.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, select

from weighbridge.errors import LogUnavailableError, RegistryError
from weighbridge.registry.durable import explained
from weighbridge.registry.log import count_entries
from weighbridge.registry.tables import CHECKPOINT

_NAME = re.compile(r"(?P<store>[0-9a-f]{1,64})-(?P<size>[0-9]{9,15})\.checkpoint\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """A checkpoint as a file elsewhere: `size` is what its name says, `note` the whole text."""

    path: Path
    size: int
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """The newest copy in each folder that has one, and in words which folders are of no use."""

    copies: tuple[Copy, ...]
    warnings: tuple[str, ...]


def copy_path(folder: Path, store_id: str, size: int) -> Path:
    """Where a store puts the copy of its checkpoint of this size."""
    return folder / f"{store_id}-{size:09}.checkpoint"


def newest_copy(folders: Iterable[Path], store_id: str | None = None) -> str | None:
    """The text of the newest checkpoint of a store in these folders; None where no folder has one that can be read.

    Without a `store_id` every copy counts, which is right only for folders that one store alone writes to.
    """
    found = survey(folders, store_id).copies
    return max(found, key=lambda copy: copy.size).note if found else None


def survey(folders: Iterable[Path], store_id: str | None) -> Survey:
    """Look for the newest copy in each folder. Take it before the log is read, which may grow meanwhile."""
    copies: list[Copy] = []
    warnings: list[str] = []
    for folder in folders:
        try:
            newest = _read_newest(folder, store_id)
        except RegistryError as failure:
            warnings.append(f"copies of checkpoints: {failure.message}")
            continue
        copies += [] if newest is None else [newest]
        if not os.access(folder, os.W_OK | os.X_OK):
            warnings.append(f"copies of checkpoints: this user may not write to {folder}")
    return Survey(copies=tuple(copies), warnings=tuple(warnings))


def require_continued(connection: Connection, copies: Iterable[Copy]) -> None:
    """Check that the log is not behind any of these copies and has the very checkpoint that each one is a copy of.

    No key is needed. A checkpoint inside the log that a rebuild had to leave out is compared by verification only.

    Raises:
        LogUnavailableError: the log was cut short, put back or rewritten, so nothing may be added to it.
    """
    size = count_entries(connection)
    for copy in copies:
        own = connection.scalar(select(CHECKPOINT.c.note).where(CHECKPOINT.c.size == copy.size))
        if own == copy.note or (own is None and copy.size <= size):
            continue
        what = (
            f"the log has {size} entries, and {copy.path} knew {copy.size}: it was cut short or put back"
            if own is None
            else f"{copy.path} is another checkpoint of {copy.size} entries than the log has: one of them was rewritten"
        )
        raise LogUnavailableError(
            f"{what}; nothing is recorded",
            subject=str(copy.path),
            remedy="find out who changed the store, put the newer one back from a backup; without one begin a new store",
        )


def _read_newest(folder: Path, store_id: str | None) -> Copy | None:
    with explained(folder, "read"):
        matches = [match for path in folder.iterdir() if (match := _NAME.match(path.name))]
    sizes = [(int(match["size"]), match.string) for match in matches if store_id in (None, match["store"])]
    if not sizes:
        return None
    size, name = max(sizes)
    with explained(folder / name, "read"):
        data = (folder / name).read_bytes()
    return Copy(path=folder / name, size=size, note=data.decode("utf-8", "backslashreplace"))
