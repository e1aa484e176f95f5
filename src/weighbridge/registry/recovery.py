"""Clearing up: what a run that did not end left behind, and what nothing needs any longer."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from pathlib import Path

from sqlalchemy import delete

from weighbridge.errors import TamperedError
from weighbridge.registry.blobs import BlobStore
from weighbridge.registry.database import Database
from weighbridge.registry.durable import explained, fsync_folder, unfinished
from weighbridge.registry.evidence import EvidenceStore
from weighbridge.registry.founding import DATABASE_NAME, is_store, read_identity
from weighbridge.registry.leases import read_leases
from weighbridge.registry.locks import exclusive_lock_if_free, is_held
from weighbridge.registry.log import count_entries
from weighbridge.registry.outbox import entry_path
from weighbridge.registry.processes import list_staging
from weighbridge.registry.queries import DecisionFilter, query_decisions, read_needed_blobs, read_needed_evidence
from weighbridge.registry.tables import LEASE
from weighbridge.vocabulary import Verdict


class Keep(Enum):
    """Whose blobs a collection keeps. Evidence of a decision is always kept, because the log speaks of it."""

    DECIDED = "decided"
    """Models that were ever decided on."""
    ADMITTED = "admitted"
    """Models with an unexpired decision other than a refusal, which no later one for the same use and policy has replaced."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Freed:
    """What was deleted, or would be: files and their bytes. `busy`: nothing was, because the store was in use."""

    files: int = 0
    size_bytes: int = 0
    busy: bool = False


def find_left_overs(root: Path) -> tuple[Path, ...]:
    """Staging folders of processes that have ended: the sign of a run that did not end well. Lists nothing else."""
    return tuple(folder for folder in list_staging(root) if not is_held(folder))


def recover(root: Path, copies: Iterable[Path] = ()) -> Freed:
    """Delete what dead runs left: staged files, evidence and blobs that no entry of the log needs, their leases.

    In `copies`, folders with copies of checkpoints, what was not finished goes, too. Cheap where every run ended well.
    Where another process is using the store nothing is done, the next run does it.

    Raises:
        RegistryError: the store cannot be read or written.
        TamperedError: the database is older than its exported log; nothing is deleted.
    """
    if not find_left_overs(root):
        return Freed()
    with exclusive_lock_if_free(root) as held:
        if not held:
            return Freed(busy=True)
        _clear_copies(read_identity(root).id, copies)
        with _opened(root) as database:
            _release_leases(database)
            return _clear(root, database, None, dry_run=False)


def collect_garbage(
    root: Path,
    *,
    now: datetime,
    keep: Keep = Keep.DECIDED,
    dry_run: bool = False,
    under_lock: Callable[[], None] | None = None,
) -> Freed:
    """Delete what nothing needs: as `recover`, and besides the blobs of models that `keep` does not name.

    The database is only read, so that this works on a full disk. Where there is no store there is nothing to delete.

    Args:
        root: the folder of the store.
        now: decides which decisions have expired.
        keep: whose blobs stay.
        dry_run: delete nothing, count what would be.
        under_lock: run at the end, while nobody else uses the store; not in a dry run.

    Raises:
        RegistryError: the store cannot be read or written.
        TamperedError: the database is older than its exported log; nothing is deleted.
    """
    if not is_store(root):
        return Freed()
    with exclusive_lock_if_free(root) as held:
        if not held:
            return Freed(busy=True)
        with _opened(root, for_reading=True) as database:
            freed = _clear(root, database, _kept_subjects(database, keep, now), dry_run=dry_run)
        if under_lock is not None and not dry_run:
            under_lock()
        return freed


def require_log_not_behind(root: Path, size: int) -> None:
    """Check that no entry was exported that the database, with `size` entries, does not have.

    Raises:
        TamperedError: one was: the database is an older one that was put back.
    """
    ahead = entry_path(root, size)
    if ahead.exists():
        raise TamperedError(
            f"the database has {size} log entries, but {ahead} was exported: an older database was put back",
            subject=str(ahead),
            remedy="find out who did it, then run: weighbridge rebuild",
        )


@contextmanager
def _opened(root: Path, *, for_reading: bool = False) -> Iterator[Database]:
    database = Database(root / DATABASE_NAME, for_reading=for_reading)
    try:
        database.require_store(read_identity(root).id)
        yield database
    finally:
        database.close()


def _release_leases(database: Database) -> None:
    """Every one: who has a lease and lives holds the lock of the store."""
    with database.reading() as connection:
        left = read_leases(connection)
    if left:
        with database.writing() as connection:
            connection.execute(delete(LEASE))


def _clear_copies(store_id: str, folders: Iterable[Path]) -> None:
    """Delete unfinished copies of checkpoints of this store; a folder that is away is no reason not to work."""
    for folder in folders:
        with suppress(OSError):
            for path in folder.glob(unfinished(f"{store_id}-*.checkpoint")):
                path.unlink()


def _kept_subjects(database: Database, keep: Keep, now: datetime) -> set[str] | None:
    if keep is Keep.DECIDED:
        return None
    with database.reading() as connection:
        decisions = query_decisions(connection, DecisionFilter(latest=True))
    standing = [decision for decision in decisions if decision.expires_at > now]
    return {decision.subject for decision in standing if decision.verdict is not Verdict.REFUSE}


def _clear(root: Path, database: Database, subjects: set[str] | None, *, dry_run: bool) -> Freed:
    with database.reading() as connection:
        require_log_not_behind(root, count_entries(connection))
        needed_evidence = read_needed_evidence(connection)
        needed_blobs = read_needed_blobs(connection, subjects)
    evidence, blobs = EvidenceStore(root / "evidence"), BlobStore(root / "blobs")
    sizes = []
    for store, needed in ((evidence, needed_evidence), (blobs, needed_blobs)):
        for sha256 in store.list():
            if sha256 not in needed:
                path = store.path_of(sha256)
                sizes.append(_size(path) if dry_run else store.remove(sha256))
    # Last, so that a crash before this point is found and recovered from again.
    for folder in find_left_overs(root):
        sizes += [_size(path) for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink()]
        if not dry_run:
            _delete_folder(folder)
    return Freed(files=len(sizes), size_bytes=sum(sizes))


def _size(path: Path) -> int:
    with explained(path, "look at"):
        return path.lstat().st_size


def _delete_folder(folder: Path) -> None:
    with explained(folder, "delete"):
        if folder.is_dir() and not folder.is_symlink():
            shutil.rmtree(folder)
        else:
            folder.unlink()
    fsync_folder(folder.parent)
