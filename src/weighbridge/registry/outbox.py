"""What a committed transaction still owes: copies of its log entry and checkpoint as files, here and elsewhere.

The rows of the outbox are written by the transaction itself and deleted when the file is on the disk, so that a crash
between the two is made good at the next opening. Writing the same file twice changes nothing; a file that holds something
else is never overwritten, because it shows that the log was rewritten.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, delete, insert, select

from weighbridge.errors import LogUnavailableError, RegistryError, TamperedError
from weighbridge.registry.copies import copy_path
from weighbridge.registry.database import Database
from weighbridge.registry.durable import explained, fsync_folder, write_durably
from weighbridge.registry.log import count_entries
from weighbridge.registry.tables import CHECKPOINT, LOG_ENTRY, OUTBOX


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """Where a store puts its files: its own folder, its id, the folders kept elsewhere, and where it writes first."""

    root: Path
    store_id: str
    copies: tuple[Path, ...]
    staging: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Owed:
    id: int
    path: Path
    data: bytes


def entry_path(root: Path, log_index: int) -> Path:
    """Where the log entry at `log_index` is kept as a file."""
    return root / "log" / "entries" / f"{log_index:09}.json"


def checkpoint_path(root: Path, size: int) -> Path:
    """Where the checkpoint of this size is kept as a file."""
    return root / "log" / "checkpoints" / f"{size:09}.checkpoint"


def enqueue(connection: Connection, log_indexes: Iterable[int], size: int, copies: Iterable[Path]) -> None:
    """Owe the files of these entries, of the checkpoint after them, and its copies; in the caller's transaction."""
    owed = [("entry", str(log_index)) for log_index in log_indexes] + [("checkpoint", str(size))]
    owed += [("copy", json.dumps([str(folder), size])) for folder in copies]
    connection.execute(insert(OUTBOX), [{"kind": kind, "payload": payload} for kind, payload in owed])


def require_room(root: Path) -> None:
    """Check that an entry and a checkpoint can be added to the log beside the database.

    Raises:
        LogUnavailableError: one of its folders is gone, is none, or cannot be written to.
    """
    for folder in (entry_path(root, 0).parent, checkpoint_path(root, 0).parent):
        if not folder.is_dir():
            raise _unavailable(f"{folder}, a part of the log, is gone", folder)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise LogUnavailableError(
                f"{folder}, a part of the log, cannot be written to",
                subject=str(folder),
                remedy="give this user write access to it and run again",
            )


def require_exported(connection: Connection, root: Path) -> None:
    """Check that every entry of the log is kept as a file, too, or still owed by another process, and that more can be.

    Raises:
        LogUnavailableError: some are not, or cannot be.
    """
    require_room(root)
    folder = entry_path(root, 0).parent
    owed = {int(payload) for payload in connection.scalars(select(OUTBOX.c.payload).where(OUTBOX.c.kind == "entry"))}
    with explained(folder, "list"):  # after the rows, which go when the file is there
        kept = {path.name for path in folder.iterdir()}
    wanted = (entry_path(root, place) for place in range(count_entries(connection)) if place not in owed)
    if missing := next((path for path in wanted if path.name not in kept), None):
        raise _unavailable(f"{missing}, a part of the log, is missing", missing)


def _unavailable(problem: str, path: Path) -> LogUnavailableError:
    return LogUnavailableError(
        f"{problem}; nothing is recorded",
        subject=str(path),
        remedy="find out what happened to it, then run: weighbridge rebuild",
    )


def drain(database: Database, export: Export) -> tuple[str, ...]:
    """Write every file that is owed and can be, and return in words what could not be written.

    Copies that are owed to folders which are not in `export.copies` stay owed, in silence.
    """
    try:
        with database.reading() as connection:
            owed = _read_owed(connection, export)
    except RegistryError as failure:
        return (f"the outbox could not be read: {failure.message}",)
    done, problems = _write_all(owed, export)
    if done:
        try:
            with database.writing() as connection:
                connection.execute(delete(OUTBOX).where(OUTBOX.c.id.in_(done)))
        except RegistryError as failure:
            problems.append(f"the outbox could not be cleared: {failure.message}")
    return tuple(problems)


def _write_all(owed: list[_Owed], export: Export) -> tuple[list[int], list[str]]:
    """The ids of what was written, and what went wrong: one complaint a folder, the rest of that folder waits."""
    done: list[int] = []
    problems: dict[Path, str] = {}
    for file in owed:
        folder = file.path.parent
        if folder in problems:
            continue
        try:
            _write(file.path, file.data, export)
        except RegistryError as failure:
            waiting = sum(other.path.parent == folder for other in owed)
            more = f" ({waiting} files wait for that folder)" if waiting > 1 else ""
            problems[folder] = f"{failure.message}{more}; it is tried again at the next opening"
        else:
            done.append(file.id)
    return done, list(problems.values())


def _write(path: Path, data: bytes, export: Export) -> None:
    with explained(path, "read"):
        try:
            present = path.read_bytes()
        except FileNotFoundError:
            present = None
    if present is None:
        inside = path.is_relative_to(export.root)
        write_durably(path, data, staging=export.staging if inside else None)
    elif present == data:
        fsync_folder(path.parent)
    else:
        raise TamperedError(
            f"{path} holds something else than this log, so the log or the file was rewritten",
            subject=str(path),
            remedy="run: weighbridge verify",
        )


def _read_owed(connection: Connection, export: Export) -> list[_Owed]:
    owed: list[_Owed] = []
    for row_id, kind, payload in connection.execute(select(OUTBOX).order_by(OUTBOX.c.id)).all():
        if kind == "entry":
            data = connection.scalar(select(LOG_ENTRY.c.entry).where(LOG_ENTRY.c.log_index == int(payload)))
            path = entry_path(export.root, int(payload))
        else:
            folder, size = (None, int(payload)) if kind == "checkpoint" else json.loads(payload)
            if folder is not None and Path(folder) not in export.copies:
                continue
            note = connection.scalar(select(CHECKPOINT.c.note).where(CHECKPOINT.c.size == size))
            data = None if note is None else note.encode()
            here = checkpoint_path(export.root, size)
            path = here if folder is None else copy_path(Path(folder), export.store_id, size)
        if data is not None:
            owed.append(_Owed(id=row_id, path=path, data=data))
    return owed
