"""Making the database anew from what lies beside it: exported log, signed checkpoints and evidence."""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import Connection, insert

from weighbridge.errors import RegistryError, TamperedError, WeighbridgeError
from weighbridge.registry import merkle
from weighbridge.registry.database import build_database
from weighbridge.registry.durable import explained, fsync_folder, make_folder_durably, rename_durably, write_durably
from weighbridge.registry.evidence import EvidenceStore
from weighbridge.registry.founding import DATABASE_NAME, StoreIdentity, read_identity, write_identity_row
from weighbridge.registry.indexing import Explained, IndexBuilder
from weighbridge.registry.locks import exclusive_lock
from weighbridge.registry.log import Checkpoint, checkpoint_row
from weighbridge.registry.outbox import checkpoint_path, entry_path
from weighbridge.registry.records import RecordedEvent
from weighbridge.registry.statements import Readers, find_differences
from weighbridge.registry.tables import CHECKPOINT, LOG_ENTRY
from weighbridge.registry.verification import check_continues

_BUILDING = "registry.sqlite.building"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuilt:
    """What a rebuild came to: entries and checkpoints restored, where the old database lies, and what was odd on the way."""

    entries: int
    checkpoints: int
    kept_aside: Path | None
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """The log as far as it could be found: entries without a gap from 0, and notes by the size they were kept under."""

    entries: list[bytes]
    notes: dict[int, str]


def rebuild(
    root: Path, *, readers: Readers, now: datetime, checkpoint: str | None = None, timeout_s: float = 10.0
) -> Rebuilt:
    """Put a database in place that holds what exported log and evidence say, checked against the signed checkpoints.

    Entries at the end that no checkpoint signs were never acknowledged: they are moved aside. Nothing else is left out, and
    the store stays as it was where anything does not fit.

    Args:
        root: the folder of the store.
        readers: how checkpoints and statements are read and their signatures checked.
        now: names what is kept aside.
        checkpoint: the text of a checkpoint that was kept elsewhere, which the result must agree with.
        timeout_s: how long to wait for others to leave the store.

    Raises:
        TamperedError: log, checkpoints and evidence do not agree.
        RegistryError: the store is in use, is none, or cannot be written.
    """
    root = root.absolute()
    identity = read_identity(root)
    with exclusive_lock(root, timeout_s=timeout_s):
        found = _find_log(root)
        signed, warnings = _read_notes(found, readers)
        size = max(signed, default=0)
        checkpoints = _check(found.entries[:size], signed, size)
        _check_elsewhere(found.entries[:size], readers, checkpoint)
        told = _explain(found.entries[:size], EvidenceStore(root / "evidence"), readers)
        _export(root, found.entries[:size], checkpoints)
        building = root / _BUILDING
        build_database(
            building, lambda connection: _fill(connection, identity, found.entries[:size], checkpoints, told)
        )
        stamp = now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
        warnings += _move_tail_aside(root, len(found.entries), size, stamp)
        kept_aside = _swap(root, building, stamp)
    return Rebuilt(entries=size, checkpoints=len(checkpoints), kept_aside=kept_aside, warnings=tuple(warnings))


def _find_log(root: Path) -> _Found:
    """Read the exported log; what it lacks is taken from the old database, as far as that can be read."""
    old_entries, old_notes = _salvage(root / DATABASE_NAME)
    entries: list[bytes] = []
    while True:
        path = entry_path(root, len(entries))
        with explained(path, "read"):
            data = path.read_bytes() if path.is_file() else old_entries.get(len(entries))
        if data is None:
            break
        entries.append(data)
    notes = dict(old_notes)
    folder = root / "log" / "checkpoints"
    with explained(folder, "read"):
        for path in sorted(folder.glob("*.checkpoint")):
            if path.stem.isdecimal():
                notes[int(path.stem)] = path.read_bytes().decode("utf-8", "backslashreplace")
    return _Found(entries=entries, notes=notes)


def _salvage(path: Path) -> tuple[dict[int, bytes], dict[int, str]]:
    """Entries and notes of a database that may be damaged anywhere; they are trusted only as far as a signature covers them."""
    entries: dict[int, bytes] = {}
    notes: dict[int, str] = {}
    if not path.exists():
        return entries, notes
    with suppress(sqlite3.Error), closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as connection:
        for log_index, entry in connection.execute("SELECT log_index, entry FROM log_entry"):
            if isinstance(log_index, int) and isinstance(entry, bytes):
                entries[log_index] = entry  # noqa: PERF403  # what was read before an error is kept
        for size, note in connection.execute("SELECT size, note FROM checkpoint"):
            if isinstance(size, int) and isinstance(note, str):
                notes[size] = note  # noqa: PERF403  # what was read before an error is kept
    return entries, notes


def _read_notes(found: _Found, readers: Readers) -> tuple[dict[int, tuple[bytes, str]], list[str]]:
    """Root and text of every checkpoint by size; those that cannot be read are reported if a later one covers them."""
    signed: dict[int, tuple[bytes, str]] = {}
    broken: dict[int, str] = {}
    for size, note in sorted(found.notes.items()):
        try:
            stated, root_hash = readers.checkpoint(note)
        except WeighbridgeError as failure:
            broken[size] = failure.message
            continue
        if stated != size:
            broken[size] = f"it speaks of {stated} entries"
            continue
        signed[size] = (root_hash, note)
    last = max(signed, default=0)
    for size, reason in broken.items():
        if size > last:
            raise _does_not_fit(
                f"the last checkpoint, of {size} entries, cannot be trusted: {reason}", f"checkpoint {size}"
            )
    return signed, [f"checkpoint {size} was left out: {reason}" for size, reason in broken.items()]


def _check(entries: list[bytes], signed: dict[int, tuple[bytes, str]], size: int) -> list[Checkpoint]:
    if len(entries) < size:
        raise _does_not_fit(
            f"a checkpoint signs {size} entries, entry {len(entries)} is missing", f"entry {len(entries)}"
        )
    checkpoints: list[Checkpoint] = []
    frontier: merkle.Frontier = ()
    for place, data in enumerate(entries):
        frontier = merkle.extend(frontier, place, merkle.leaf_hash(data))
        if place + 1 not in signed:
            continue
        root_hash, note = signed[place + 1]
        if merkle.root_of_frontier(frontier) != root_hash:
            raise _does_not_fit(
                f"the first {place + 1} entries are not those that were signed", f"checkpoint {place + 1}"
            )
        checkpoints.append(Checkpoint(size=place + 1, root_hash=root_hash, note=note, frontier=frontier))
    return checkpoints


def _check_elsewhere(entries: list[bytes], readers: Readers, checkpoint: str | None) -> None:
    if checkpoint is None:
        return
    try:
        check_continues([merkle.leaf_hash(data) for data in entries], readers, checkpoint)
    except TamperedError as failure:
        raise _does_not_fit(failure.message, failure.subject) from failure


def _explain(entries: list[bytes], evidence: EvidenceStore, readers: Readers) -> list[Explained]:
    builder = IndexBuilder(evidence)
    told: list[Explained] = []
    for place, data in enumerate(entries):
        try:
            told.append(builder.explain(place, data))
            record = told[-1].record
            if isinstance(record, RecordedEvent):
                continue
            differences = find_differences(record, evidence.read(record.envelope), readers)
        except WeighbridgeError as failure:
            raise _does_not_fit(f"entry {place} cannot be restored: {failure.message}", f"entry {place}") from failure
        if differences:
            raise _does_not_fit(
                f"entry {place} says another {', '.join(differences)} than was signed", f"entry {place}"
            )
    return told


def _fill(
    connection: Connection,
    identity: StoreIdentity,
    entries: list[bytes],
    checkpoints: list[Checkpoint],
    told: list[Explained],
) -> None:
    write_identity_row(connection, identity)
    for place, data in enumerate(entries):
        leaf = merkle.leaf_hash(data)
        connection.execute(insert(LOG_ENTRY).values(log_index=place, entry=data, leaf_hash=leaf))
    for checkpoint in checkpoints:
        connection.execute(insert(CHECKPOINT).values(**checkpoint_row(checkpoint)))
    for explanation in told:
        for table, values in explanation.rows:
            connection.execute(insert(table).values(**values))


def _export(root: Path, entries: list[bytes], checkpoints: list[Checkpoint]) -> None:
    """Write the files that only the old database had."""
    owed = [(entry_path(root, place), data) for place, data in enumerate(entries)]
    owed += [(checkpoint_path(root, checkpoint.size), checkpoint.note.encode()) for checkpoint in checkpoints]
    for folder in {path.parent for path, _ in owed}:
        make_folder_durably(folder)
    for path, data in owed:
        if not path.exists():
            write_durably(path, data)


def _move_tail_aside(root: Path, found: int, size: int, stamp: str) -> list[str]:
    moved = [entry_path(root, place) for place in range(size, found) if entry_path(root, place).exists()]
    if moved:
        make_folder_durably(root / "log" / "unsigned")
    for path in moved:
        rename_durably(path, root / "log" / "unsigned" / f"{path.stem}-{stamp}.json")
    return [f"left out, signed by no checkpoint: {len(moved)} at the end of the log"] if moved else []


def _swap(root: Path, building: Path, stamp: str) -> Path | None:
    """Put the database in place. Between the steps there is none, which every opening refuses: never one without its end."""
    path = root / DATABASE_NAME
    kept_aside = root / f"{DATABASE_NAME}.damaged-{stamp}"
    had_one = path.exists()
    if had_one:
        if kept_aside.exists():
            raise RegistryError(
                f"{kept_aside} is there already", subject=str(kept_aside), remedy="move it away, run again"
            )
        rename_durably(path, kept_aside)
    for suffix in ("-wal", "-shm"):
        beside = path.with_name(path.name + suffix)
        if beside.exists():
            rename_durably(beside, kept_aside.with_name(kept_aside.name + suffix))
    rename_durably(building, path)
    fsync_folder(root)
    return kept_aside if had_one else None


def _does_not_fit(message: str, subject: str) -> TamperedError:
    return TamperedError(
        f"the database cannot be rebuilt: {message}",
        subject=subject,
        remedy="put the missing or changed file back from a backup of the store, then run: weighbridge rebuild",
    )
