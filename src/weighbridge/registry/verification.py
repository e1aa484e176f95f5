"""Recomputing everything: whether log, checkpoints, files, evidence and index still say the same.

Whoever can write the store can also cut the end off its log or put yesterday's database back. Only a checkpoint that was
kept elsewhere shows that, so the answer says whether there was one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Table, select, text

from weighbridge.errors import RegistryError, TamperedError, WeighbridgeError
from weighbridge.registry import merkle
from weighbridge.registry.copies import Copy, survey
from weighbridge.registry.database import find_lost_schema
from weighbridge.registry.durable import explained
from weighbridge.registry.evidence import EvidenceStore
from weighbridge.registry.indexing import IndexBuilder
from weighbridge.registry.log import split_frontier
from weighbridge.registry.outbox import checkpoint_path, entry_path
from weighbridge.registry.records import Record, RecordedEvent, evidence_of
from weighbridge.registry.statements import Readers, find_differences
from weighbridge.registry.store import Registry
from weighbridge.registry.tables import INDEX_TABLES, OUTBOX
from weighbridge.vocabulary import clip

NO_CHECKPOINT = (
    "had no checkpoint from elsewhere, so a log that was cut short or put back cannot be told from a whole one"
)

ELSEWHERE = "checkpoint from elsewhere"
"""The subject of what is wrong with such a checkpoint itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that does not agree: what it is about, and how."""

    subject: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What was looked at and what was wrong with it.

    `elsewhere` says how the log stands to the checkpoints that were kept elsewhere, or that there was none. `warnings` say
    which folders of copies could not be used.
    """

    problems: tuple[Problem, ...]
    elsewhere: str
    had_checkpoint: bool
    entries: int
    checkpoints: int
    evidence_files: int
    warnings: tuple[str, ...] = ()

    @property
    def is_sound(self) -> bool:
        """Whether everything agrees, as far as it could be looked at."""
        return not self.problems


@dataclass(slots=True, kw_only=True)
class _State:
    """What was read of the database in one transaction, as raw values of any type."""

    entries: list[tuple[Any, Any, Any]] = field(default_factory=list)
    checkpoints: list[tuple[Any, Any, Any, Any]] = field(default_factory=list)
    index: dict[str, list[tuple[Any, ...]]] = field(default_factory=dict)
    owed: set[tuple[str, str]] = field(default_factory=set)
    problems: list[Problem] = field(default_factory=list)


def check_continues(leaves: Sequence[bytes], readers: Readers, note: str) -> str:
    """Check that a log continues a checkpoint of it that was kept elsewhere, and say in words at which size.

    Args:
        leaves: the leaf hashes of the log, from its first entry; see `Registry.read_leaf_hashes`.
        readers: how checkpoints are read and their signatures checked.
        note: the text of the checkpoint.

    Raises:
        TamperedError: the checkpoint cannot be trusted, or the log was cut short, put back or rewritten.
    """
    remedy = "find out who changed the store, then put it back from a backup that is as new as the checkpoint"
    try:
        size, root = readers.checkpoint(note)
    except WeighbridgeError as failure:
        raise TamperedError(
            f"the checkpoint from elsewhere cannot be trusted: {failure.message}",
            subject=ELSEWHERE,
            remedy="give the checkpoint of this store, and the key that signed it",
        ) from failure
    if size > len(leaves):
        raise TamperedError(
            f"the log has {len(leaves)} entries, a checkpoint from elsewhere knew {size}: it was cut short or put back",
            subject="log",
            remedy=remedy,
        )
    if merkle.root_of(leaves[:size]) != root:
        raise TamperedError(
            f"the first {size} entries are not those that a checkpoint from elsewhere knew: the log was rewritten",
            subject="log",
            remedy=remedy,
        )
    return f"agrees with the checkpoint from elsewhere at {size} entries"


def verify_store(
    registry: Registry, *, readers: Readers, checkpoint: str | None = None, copies: Iterable[Path] = ()
) -> Verification:
    """Recompute the whole store: O(entries + bytes of evidence).

    Args:
        registry: an open store; it may be in use by others.
        readers: how checkpoints and statements are read and their signatures checked.
        checkpoint: the text of a checkpoint of this log that was kept elsewhere.
        copies: folders with copies of checkpoints; the newest one in each is looked at.
    """
    # Before anything else, because log and copies may grow meanwhile.
    kept = survey(copies, registry.identity.id)
    # Files are listed first: an entry has its file only after it was committed, so none may be ahead of what is read next.
    files = _list_exports(registry.root)
    state = _read_state(registry)
    problems = list(state.problems)
    leaves, log_problems = _check_log(state, readers)
    problems += log_problems
    problems += _check_exports(registry.root, files, state)
    good, evidence_problems = _check_evidence(registry.evidence)
    problems += evidence_problems
    problems += _check_index(state, registry.evidence, readers, good)
    problems += _check_copies(state, kept.copies)
    notes = ([] if checkpoint is None else [checkpoint]) + [copy.note for copy in kept.copies]
    elsewhere, outside = _check_elsewhere(leaves, readers, notes)
    return Verification(
        problems=tuple(dict.fromkeys(problems + outside)),
        elsewhere=elsewhere,
        had_checkpoint=bool(notes),
        warnings=kept.warnings,
        entries=len(state.entries),
        checkpoints=len(state.checkpoints),
        evidence_files=len(good),
    )


def _read_state(registry: Registry) -> _State:
    state = _State()
    try:
        with registry.reading() as connection:
            _read_all(connection, state)
    except RegistryError as failure:
        state.problems.append(Problem(subject="database", message=failure.message))
    return state


def _read_all(connection: Connection, state: _State) -> None:
    # Columns are read without types: a value of another type than its column's must become a problem, not an exception.
    state.problems += [
        Problem(subject=name, message="is missing or was changed") for name in find_lost_schema(connection)
    ]
    for (line,) in connection.execute(text("PRAGMA integrity_check")):
        if line != "ok":
            state.problems.append(Problem(subject="database", message=clip(line)))
    entries = connection.execute(text("SELECT log_index, entry, leaf_hash FROM log_entry ORDER BY log_index"))
    state.entries = [(row[0], row[1], row[2]) for row in entries]
    checkpoints = connection.execute(text("SELECT size, root_hash, frontier, note FROM checkpoint ORDER BY size"))
    state.checkpoints = [(row[0], row[1], row[2], row[3]) for row in checkpoints]
    for table in INDEX_TABLES:
        state.index[table.name] = [tuple(row) for row in connection.execute(select(table))]
    state.owed = {(kind, payload) for _, kind, payload in connection.execute(select(OUTBOX))}


def _check_log(state: _State, readers: Readers) -> tuple[list[bytes], list[Problem]]:
    """The leaf hashes as recomputed from the entries, and what is wrong with rows and checkpoints."""
    problems: list[Problem] = []
    leaves: list[bytes] = []
    frontiers: dict[Any, merkle.Frontier] = {}
    sizes = {row[0] for row in state.checkpoints}
    frontier: merkle.Frontier = ()
    for place, (log_index, data, stored) in enumerate(state.entries):
        if log_index != place:
            problems.append(Problem(subject=f"entry {place}", message="is missing from the log"))
            break
        leaf = merkle.leaf_hash(data) if isinstance(data, bytes) else b""
        if leaf != stored:
            problems.append(Problem(subject=f"entry {place}", message="does not have the hash that was stored with it"))
        frontier = merkle.extend(frontier, place, leaf)
        leaves.append(leaf)
        if place + 1 in sizes:
            frontiers[place + 1] = frontier
    last = state.checkpoints[-1][0] if state.checkpoints else 0
    if last != len(state.entries):
        problems.append(
            Problem(subject="log", message=f"has {len(state.entries)} entries, its last checkpoint says {last}")
        )
    for row in state.checkpoints:
        problems += [
            Problem(subject=f"checkpoint {row[0]}", message=message)
            for message in _check_checkpoint(row, frontiers.get(row[0]), readers)
        ]
    return leaves, problems


def _check_checkpoint(row: tuple[Any, ...], frontier: merkle.Frontier | None, readers: Readers) -> Iterator[str]:
    size, root_hash, stored, note = row
    if frontier is None:
        yield "speaks of entries that are not there"
        return
    root = merkle.root_of_frontier(frontier)
    if root_hash != root:
        yield "has another root than the entries"
    if not isinstance(stored, bytes) or split_frontier(stored) != frontier:
        yield "has another frontier than the entries"
    if not isinstance(note, str):
        yield "is not text"
        return
    try:
        if readers.checkpoint(note) != (size, root):
            yield "signs another size or root than the entries have"
    except WeighbridgeError as failure:
        yield f"cannot be trusted: {failure.message}"


def _list_exports(root: Path) -> dict[str, bytes]:
    """Every file of the exported log, by its path below the store."""
    found: dict[str, bytes] = {}
    for folder in ("log/entries", "log/checkpoints"):
        with explained(root / folder, "read"):
            for path in sorted((root / folder).iterdir()) if (root / folder).is_dir() else []:
                found[f"{folder}/{path.name}"] = path.read_bytes()
    return found


def _check_exports(root: Path, files: dict[str, bytes], state: _State) -> Iterator[Problem]:
    expected: dict[str, tuple[Any, bool]] = {}
    for log_index, data, _ in state.entries:
        name = str(entry_path(root, log_index).relative_to(root))
        expected[name] = (data, ("entry", str(log_index)) in state.owed)
    for size, _, _, note in state.checkpoints:
        name = str(checkpoint_path(root, size).relative_to(root))
        expected[name] = (note.encode() if isinstance(note, str) else note, ("checkpoint", str(size)) in state.owed)
    for name, (data, is_owed) in expected.items():
        if name not in files and not is_owed:
            yield Problem(subject=name, message="is missing")
        elif name in files and files[name] != data:
            yield Problem(subject=name, message="is not what the log holds")
    for name in sorted(set(files) - set(expected)):
        yield Problem(subject=clip(name), message="is in the exported log, but not in the log")


def _check_evidence(evidence: EvidenceStore) -> tuple[set[str], list[Problem]]:
    good: set[str] = set()
    problems = [
        Problem(subject=clip(str(path.relative_to(evidence.root))), message="lies among the evidence and is none")
        for path in evidence.list_strangers()
    ]
    for sha256 in evidence.list():
        try:
            evidence.read(sha256)
        except RegistryError as failure:
            problems.append(Problem(subject=sha256, message=failure.message))
        else:
            good.add(sha256)
    return good, problems


def _check_index(state: _State, evidence: EvidenceStore, readers: Readers, good: set[str]) -> Iterator[Problem]:
    builder = IndexBuilder(evidence)
    expected: dict[str, set[tuple[Any, ...]]] = {table.name: set() for table in INDEX_TABLES}
    for log_index, data, _ in state.entries:
        name = f"entry {log_index}"
        if not isinstance(data, bytes):
            yield Problem(subject=name, message="is not stored as bytes")
            continue
        try:
            told = builder.explain(log_index, data)
        except WeighbridgeError as failure:
            yield Problem(subject=name, message=failure.message)
            continue
        for table, values in told.rows:
            expected[table.name].add(tuple(values[column.name] for column in table.columns))
        yield from _check_statement(name, told.record, evidence, readers, good)
    for table in INDEX_TABLES:
        yield from _compare(table, expected[table.name], state.index.get(table.name, []))


def _check_statement(
    name: str, record: Record, evidence: EvidenceStore, readers: Readers, good: set[str]
) -> Iterator[Problem]:
    for use in evidence_of(record):
        if use.digest not in good:
            yield Problem(subject=use.digest, message=f"the {use.role} of {name} is missing or was changed")
    if isinstance(record, RecordedEvent) or record.envelope not in good:
        return
    try:
        for difference in find_differences(record, evidence.read(record.envelope), readers):
            yield Problem(subject=name, message=f"says another {difference} than its signed statement")
    except WeighbridgeError as failure:
        yield Problem(subject=name, message=f"its statement cannot be trusted: {failure.message}")


def _compare(table: Table, expected: set[tuple[Any, ...]], found: list[tuple[Any, ...]]) -> Iterator[Problem]:
    present = set(found)
    if len(present) != len(found):
        yield Problem(subject=table.name, message="holds a row twice")
    for row in sorted(expected - present, key=repr):
        yield Problem(subject=table.name, message=f"has lost or changed the row {clip(str(row))}")
    for row in sorted(present - expected, key=repr):
        yield Problem(subject=table.name, message=f"has a row that no evidence explains: {clip(str(row))}")


def _check_copies(state: _State, copies: Iterable[Copy]) -> Iterator[Problem]:
    """Whether each copy is the very text that the log has; whether it has its entries is checked beside."""
    own = {size: note for size, _, _, note in state.checkpoints}
    for copy in copies:
        if copy.size in own and own[copy.size] != copy.note:
            yield Problem(subject=clip(str(copy.path)), message="is another checkpoint than the log has of that size")


def _check_elsewhere(leaves: list[bytes], readers: Readers, notes: list[str]) -> tuple[str, list[Problem]]:
    """How the log stands to these checkpoints, in the words for the first, and what is wrong with any."""
    told: list[str] = []
    problems: list[Problem] = []
    for note in notes:
        try:
            told.append(check_continues(leaves, readers, note))
        except TamperedError as failure:
            problems.append(Problem(subject=failure.subject, message=failure.message))
    return (*(problem.message for problem in problems), *told, NO_CHECKPOINT)[0], problems
