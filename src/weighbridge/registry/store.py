"""The store of one installation: evidence, blobs, the log, and the index over them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection, select

from weighbridge.errors import LogUnavailableError, RegistryError, UsageError
from weighbridge.registry import copies, log, outbox, queries, wire
from weighbridge.registry.blobs import BlobStore
from weighbridge.registry.database import Database
from weighbridge.registry.durable import make_folder_durably
from weighbridge.registry.evidence import EvidenceStore
from weighbridge.registry.founding import DATABASE_NAME, Entropy, StoreIdentity, establish, recognise
from weighbridge.registry.leases import Lease, hold_lease
from weighbridge.registry.locks import held_folder, shared_lock
from weighbridge.registry.log import CheckpointSigner
from weighbridge.registry.processes import this_process
from weighbridge.registry.queries import DecisionFilter, DecisionRow
from weighbridge.registry.recording import (
    Recorded,
    find_standing,
    insert_rows,
    require_evidence,
    require_exported_no_further,
)
from weighbridge.registry.records import (
    NAME,
    EvidenceUse,
    LogEntry,
    Record,
    RecordedApproval,
    RecordedDecision,
    RecordedEvent,
    RecordedWaiver,
    entry_of,
    read_entry,
)
from weighbridge.registry.recovery import recover, require_log_not_behind
from weighbridge.registry.tables import LOG_ENTRY


class Registry:
    """An open store. `open` makes one; use it in a `with` block.

    `evidence` and `blobs` are the files by digest, `identity` names the store, `staging` is a folder for this process to
    work in, emptied when it ends. Threads may share a registry, a forked child may not.

    Law: what `record_*` returned survives a power loss and stands in the log; what raised has not happened, unless the
    message says that it cannot be known.
    """

    evidence: EvidenceStore
    blobs: BlobStore
    identity: StoreIdentity
    warnings: tuple[str, ...]

    def __init__(
        self,
        root: Path,
        identity: StoreIdentity,
        *,
        clock: Callable[[], datetime],
        sign_checkpoint: CheckpointSigner | None,
        checkpoint_copies: tuple[Path, ...],
        entropy: Entropy,
    ) -> None:
        self.root = root
        self.identity = identity
        self.blobs = BlobStore(root / "blobs")
        self.evidence = EvidenceStore(root / "evidence", is_writable=False)
        self.warnings = ()
        self._staging: Path | None = None
        self._clock = clock
        self._sign = sign_checkpoint
        self._copies = checkpoint_copies
        self._entropy = entropy
        self._database = Database(root / DATABASE_NAME, for_reading=sign_checkpoint is None)
        self._has_failed = False
        self._held = ExitStack()
        self._held.callback(self._database.close)

    @classmethod
    def open(
        cls,
        root: Path,
        *,
        clock: Callable[[], datetime],
        sign_checkpoint: CheckpointSigner | None = None,
        checkpoint_copies: tuple[Path, ...] = (),
        entropy: Entropy = os.urandom,
    ) -> Registry:
        """Open the store at `root`, for reading, or with a `sign_checkpoint` for writing.

        For writing an empty store is made where there is none, what dead runs left is cleared up first, what earlier commits
        still owe is written (what cannot be written elsewhere is said in `warnings`), and nobody clears up until it is closed.
        For reading nothing is made, folder, files and file system may be such that nothing can be, and a database that is
        shown to be an older one is said in `warnings`.

        Args:
            root: the folder of the store.
            clock: the time, aware.
            sign_checkpoint: signs each state of the log; None opens the store for reading.
            checkpoint_copies: folders, best on another machine, that each get a copy of every checkpoint, and whose newest
                copy the log must continue before anything is added to it.
            entropy: gives random bytes.

        Raises:
            LogUnavailableError: the database is missing, damaged or not the one of this store, or for writing, its log is
                not a continuation of the newest copy of a checkpoint, or not all of it is kept as files, or none can be added.
            TamperedError: for writing, the database is older than its exported log.
            RegistryError: the folder cannot be read or written, or holds a store of a later release, or for reading, none.
        """
        root = root.absolute()
        identity = recognise(root) if sign_checkpoint is None else establish(root, entropy=entropy)
        registry = cls(
            root,
            identity,
            clock=clock,
            sign_checkpoint=sign_checkpoint,
            checkpoint_copies=tuple(folder.absolute() for folder in checkpoint_copies),
            entropy=entropy,
        )
        try:
            registry._database.require_store(identity.id)
            if sign_checkpoint is not None:
                registry._begin_writing()
            else:
                registry.warnings = registry._staleness()
        except BaseException:
            registry.close()
            raise
        return registry

    def __enter__(self) -> Registry:
        """The registry itself; it is open already."""
        return self

    def __exit__(self, *problem: object) -> None:
        """Close it. After a failure a sign stays, so that the next run deletes what was put in and never recorded."""
        self._has_failed |= any(part is not None for part in problem)
        self.close()

    def close(self) -> None:
        """Give everything back. Closing twice is fine."""
        self._held.close()

    @property
    def staging(self) -> Path:
        """The folder of this process for files that are on their way in, on the file system of the store.

        Raises:
            RegistryError: the store is open for reading only.
        """
        if self._staging is None:
            raise _read_only(self.root)
        return self._staging

    def expect_left_overs(self) -> None:
        """Have a later run delete what this one put into the store and will not record."""
        self._has_failed = True

    def lease(
        self, key: str, *, timeout_s: float = 3600.0, on_wait: Callable[[str], None] | None = None
    ) -> AbstractContextManager[Lease]:
        """Be the only one, of all threads and processes, to work on `key`.

        Whoever gets the lease after another had it should first look whether the work is done: `find_decision`. `on_wait` is
        told once, when a second has passed, which process is waited for and since when that one works.

        Raises:
            RegistryError: somebody alive holds it for longer than `timeout_s`.
        """
        if self._sign is None:
            raise _read_only(self.root)
        owner = self._entropy(16).hex()
        return hold_lease(self._database, key, owner=owner, clock=self._clock, timeout_s=timeout_s, on_wait=on_wait)

    def record_decision(self, record: RecordedDecision, *, again: bool = False) -> Recorded:
        """Record a decision, unless one stands for its key: then that one is the answer. With `again`, record it anyway.

        Its evidence (envelope, manifest under the subject, all that `record.evidence` lists) must have been put before.

        Raises:
            LogUnavailableError: the log cannot be written, so there is no decision.
            RegistryError: some of its evidence is missing.
        """
        return self._record(record, again=again)

    def record_waiver(self, record: RecordedWaiver) -> Recorded:
        """Record a waiver whose envelope was put before; a second time changes nothing.

        Raises:
            LogUnavailableError: the log cannot be written.
            RegistryError: its envelope is missing.
        """
        return self._record(record)

    def record_approval(self, record: RecordedApproval) -> Recorded:
        """Record an approval whose envelope was put before; a second time changes nothing.

        Raises:
            LogUnavailableError: the log cannot be written.
            RegistryError: its envelope is missing.
        """
        return self._record(record)

    def record_event(self, record: RecordedEvent) -> Recorded:
        """Record anything else that belongs in the log, such as a rotated key.

        Raises:
            LogUnavailableError: the log cannot be written.
            RegistryError: some of its evidence is missing.
        """
        return self._record(record)

    def record_name(self, reference: str, subject: str) -> Recorded:
        """Record that the name `reference` points at the model `subject`, unless that is what it pointed at last.

        Raises:
            UsageError: there is no name, or `subject` is no digest.
            LogUnavailableError: the log cannot be written.
            RegistryError: the manifest of the model is not kept here.
        """
        if not reference:
            raise UsageError("a name must not be empty", subject=subject, remedy="give the name that was asked for")
        manifest = (EvidenceUse(role="manifest", digest=subject),)
        return self._record(
            RecordedEvent(
                kind=NAME, digest=subject, at=self._clock(), subject=subject, reference=reference, evidence=manifest
            )
        )

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One state of the store, for the functions of `queries` and `log`.

        Raises:
            RegistryError: the database cannot be read.
        """
        with self._database.reading() as connection:
            yield connection

    def require_current(self) -> tuple[str, ...]:
        """Check that nothing shows the database to be an older one that was put back.

        Its own exported log could, and copies of checkpoints elsewhere. Returns in words which folders of copies are of no use.

        Raises:
            TamperedError: the exported log is ahead of it.
            LogUnavailableError: a copy of a checkpoint is, or says something else.
        """
        # Copies are looked at first: another process may add to log and copies at any time.
        elsewhere = copies.survey(self._copies, self.identity.id)
        with self._database.reading(LogUnavailableError) as connection:
            require_log_not_behind(self.root, log.count_entries(connection))
            copies.require_continued(connection, elsewhere.copies)
        return elsewhere.warnings

    def find_decision(self, key: str, now: datetime | None = None) -> DecisionRow | None:
        """The decision that stands for a key: the last one, unless it has expired."""
        with self.reading() as connection:
            return queries.find_decision(connection, key, now or self._clock())

    def read_decision(self, decision: str) -> DecisionRow | None:
        """The decision with this digest."""
        with self.reading() as connection:
            return queries.read_decision(connection, decision)

    def query_decisions(self, wanted: DecisionFilter | None = None) -> tuple[DecisionRow, ...]:
        """The decisions that fit, in the order they were made; by default the latest of each (subject, use, policy)."""
        with self.reading() as connection:
            return queries.query_decisions(connection, wanted or DecisionFilter())

    def query_waivers(self, subject: str | None = None, *, at: datetime | None = None) -> tuple[queries.WaiverRow, ...]:
        """Waivers, of one model where given, and only those in force at `at` where given."""
        with self.reading() as connection:
            return queries.query_waivers(connection, subject, at=at)

    def query_approvals(self, decision: str) -> tuple[queries.ApprovalRow, ...]:
        """The approvals of a decision."""
        with self.reading() as connection:
            return queries.query_approvals(connection, decision)

    def query_labels(self, reference: str | None = None) -> tuple[queries.Label, ...]:
        """Which models a name pointed at, or every name, the latest last."""
        with self.reading() as connection:
            return queries.query_labels(connection, reference)

    def query_evidence(self, log_index: int) -> tuple[EvidenceUse, ...]:
        """Every evidence document that an entry of the log rests on."""
        with self.reading() as connection:
            return queries.query_evidence(connection, log_index)

    def find_by_prefix(self, prefix: str) -> queries.Named:
        """What the digest that begins with `prefix` stands for; an ambiguous prefix is an error that names the matches."""
        with self.reading() as connection:
            return queries.find_by_prefix(connection, prefix)

    def read_entry(self, log_index: int) -> LogEntry:
        """The entry of the log at `log_index`, from 0.

        Raises:
            RegistryError: the log is shorter.
        """
        with self.reading() as connection:
            data = connection.scalar(select(LOG_ENTRY.c.entry).where(LOG_ENTRY.c.log_index == log_index))
        if data is None:
            raise RegistryError(f"the log has no entry {log_index}", subject=str(log_index))
        return read_entry(data)

    def read_leaf_hashes(self, size: int | None = None) -> list[bytes]:
        """The leaf hashes of the first `size` entries of the log, of all that its last checkpoint covers where not given.

        Raises:
            RegistryError: the log is shorter.
        """
        with self.reading() as connection:
            return log.read_leaf_hashes(connection, log.read_latest(connection).size if size is None else size)

    def read_checkpoint(self, size: int | None = None) -> log.Checkpoint:
        """The checkpoint of this size, the last one where not given; of an empty log the empty one."""
        with self.reading() as connection:
            return log.read_latest(connection) if size is None else log.read_checkpoint(connection, size)

    def prove_inclusion(self, log_index: int, size: int | None = None) -> log.Inclusion:
        """Show that an entry stands in the log of the checkpoint of `size`, the last one where not given."""
        with self.reading() as connection:
            return log.prove_inclusion(connection, log_index, size)

    def prove_consistency(self, old_size: int, size: int) -> tuple[bytes, ...]:
        """Show that the log of `old_size` entries is the beginning of the one of `size` entries."""
        with self.reading() as connection:
            return log.prove_consistency(connection, old_size, size)

    def _begin_writing(self) -> None:
        recover(self.root, self._copies)
        self._held.enter_context(shared_lock(self.root))
        staging = self.root / "staging" / f"{this_process()}-{self._entropy(8).hex()}"
        make_folder_durably(staging)
        self._held.enter_context(held_folder(staging))
        self._held.callback(self._leave, staging)
        self._staging = staging
        self.evidence = EvidenceStore(self.root / "evidence", staging=staging)
        self.warnings = self.require_current()
        self.warnings += self._drain()
        with self._database.reading(LogUnavailableError) as connection:
            outbox.require_exported(connection, self.root)

    def _staleness(self) -> tuple[str, ...]:
        try:
            self.require_current()
        except RegistryError as problem:
            return (problem.message,)
        return ()

    def _record(self, record: Record, *, again: bool = False) -> Recorded:
        if self._sign is None:
            raise _read_only(self.root)
        with self._database.reading(LogUnavailableError) as connection:
            standing = find_standing(connection, record, self._clock(), again=again)
        if standing is not None:
            return standing
        require_evidence(record, self.evidence)
        record_digest = self.evidence.put(wire.canonical(record))
        with self._database.writing() as connection:
            # Another process may have been faster since the look above.
            standing = find_standing(connection, record, self._clock(), again=again)
            if standing is not None:
                return standing
            require_exported_no_further(connection, self.root)
            outbox.require_room(self.root)
            entry = entry_of(record, record_digest, self._clock())
            log_index = insert_rows(connection, entry, record, self.evidence)
            checkpoint = log.append(connection, [entry], self._sign)
            outbox.enqueue(connection, [log_index], checkpoint.size, self._copies)
        return Recorded(log_index=log_index, digest=entry.digest, is_fresh=True, warnings=self._drain())

    def _leave(self, staging: Path) -> None:
        """Delete the staging folder of a run that ends well; after a failure it stays, empty, as the sign for recovery.

        Where it cannot be deleted it is such a sign, too: what was recorded stands, and nothing has to be said.
        """
        with suppress(OSError):
            _empty(staging)
            if not self._has_failed:
                staging.rmdir()

    def _drain(self) -> tuple[str, ...]:
        export = outbox.Export(root=self.root, store_id=self.identity.id, copies=self._copies, staging=self._staging)
        return outbox.drain(self._database, export)


def _empty(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        else:
            path.unlink()


def _read_only(root: Path) -> RegistryError:
    return RegistryError(
        f"the store {root} is open for reading only",
        subject=str(root),
        remedy="open it with something that signs checkpoints",
    )
