"""The append-only log: entries, the Merkle tree over them, and a signed checkpoint for every state it had.

The tree is that of RFC 6962. The last checkpoint carries the frontier of the tree, so that an append reads and hashes
O(log n) values. What is signed, and how a checkpoint is written down, is the caller's: `CheckpointSigner`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import Connection, Row, func, insert, select

from weighbridge.errors import LogUnavailableError, RegistryError
from weighbridge.registry import merkle, wire
from weighbridge.registry.records import LogEntry
from weighbridge.registry.tables import CHECKPOINT, LOG_ENTRY

CheckpointSigner = Callable[[int, bytes], str]
"""Makes the signed text that states size and root hash of the log."""


class Signer(Protocol):
    """What signs: an Ed25519 key. `sign` gives the raw signature of `data`."""

    @property
    def key_id(self) -> str:
        """The name of the key, which a verifier looks it up by."""
        ...

    def sign(self, data: bytes) -> bytes:
        """The raw signature of `data`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A state of the log: how many entries, their root, and the signed text that says so. `size` 0 has no text."""

    size: int
    root_hash: bytes
    note: str
    frontier: merkle.Frontier


@dataclass(frozen=True, slots=True, kw_only=True)
class Inclusion:
    """What shows an outsider that an entry stands in the log that a checkpoint signs."""

    log_index: int
    entry: bytes
    proof: tuple[bytes, ...]
    checkpoint: Checkpoint


EMPTY = Checkpoint(size=0, root_hash=merkle.EMPTY_ROOT, note="", frontier=())


def split_frontier(data: bytes) -> merkle.Frontier:
    """The frontier that was written as its hashes one after the other."""
    return tuple(data[at : at + merkle.HASH_BYTES] for at in range(0, len(data), merkle.HASH_BYTES))


def read_latest(connection: Connection) -> Checkpoint:
    """The last checkpoint, `EMPTY` where there is none."""
    row = connection.execute(select(CHECKPOINT).order_by(CHECKPOINT.c.size.desc()).limit(1)).one_or_none()
    return EMPTY if row is None else _checkpoint(row)


def read_checkpoint(connection: Connection, size: int) -> Checkpoint:
    """The checkpoint of this size.

    Raises:
        RegistryError: none was signed at this size.
    """
    row = connection.execute(select(CHECKPOINT).where(CHECKPOINT.c.size == size)).one_or_none()
    if row is None:
        raise RegistryError(f"no checkpoint of size {size}", subject=str(size), remedy="see: weighbridge verify")
    return _checkpoint(row)


def count_entries(connection: Connection) -> int:
    """How many entries the log has."""
    return connection.scalar(select(func.coalesce(func.max(LOG_ENTRY.c.log_index) + 1, 0))) or 0


def append(connection: Connection, entries: Sequence[LogEntry], sign: CheckpointSigner) -> Checkpoint:
    """Add entries at the end of the log and sign its new state, inside the caller's transaction.

    Raises:
        LogUnavailableError: the log is not what its last checkpoint says.
    """
    last = read_latest(connection)
    if count_entries(connection) != last.size or merkle.root_of_frontier(last.frontier) != last.root_hash:
        raise LogUnavailableError(
            f"the log has {count_entries(connection)} entries, its last checkpoint speaks of {last.size}",
            subject="log",
            remedy="run: weighbridge verify, then weighbridge rebuild",
        )
    frontier, size = last.frontier, last.size
    for entry in entries:
        data = wire.canonical(entry)
        leaf = merkle.leaf_hash(data)
        connection.execute(insert(LOG_ENTRY).values(log_index=size, entry=data, leaf_hash=leaf))
        frontier = merkle.extend(frontier, size, leaf)
        size += 1
    root = merkle.root_of_frontier(frontier)
    signed = Checkpoint(size=size, root_hash=root, note=sign(size, root), frontier=frontier)
    connection.execute(insert(CHECKPOINT).values(**checkpoint_row(signed)))
    return signed


def checkpoint_row(checkpoint: Checkpoint) -> dict[str, object]:
    """The values of the row that holds a checkpoint."""
    return {
        "size": checkpoint.size,
        "root_hash": checkpoint.root_hash,
        "frontier": b"".join(checkpoint.frontier),
        "note": checkpoint.note,
    }


def read_leaf_hashes(connection: Connection, size: int) -> list[bytes]:
    """The leaf hashes of the first `size` entries.

    Raises:
        RegistryError: the log is shorter.
    """
    column = LOG_ENTRY.c.leaf_hash
    hashes = list(
        connection.scalars(select(column).where(LOG_ENTRY.c.log_index < size).order_by(LOG_ENTRY.c.log_index))
    )
    if len(hashes) != size:
        raise RegistryError(
            f"the log has {len(hashes)} entries, not {size}", subject="log", remedy="run: weighbridge verify"
        )
    return hashes


def prove_inclusion(connection: Connection, log_index: int, size: int | None = None) -> Inclusion:
    """Show that the entry at `log_index` stands in the log of the checkpoint of `size`, the last one where not given.

    Raises:
        RegistryError: there is no such entry or checkpoint.
    """
    checkpoint = read_latest(connection) if size is None else read_checkpoint(connection, size)
    if not 0 <= log_index < checkpoint.size:
        raise RegistryError(f"no entry {log_index} in a log of {checkpoint.size}", subject=str(log_index))
    data = connection.scalar(select(LOG_ENTRY.c.entry).where(LOG_ENTRY.c.log_index == log_index))
    proof = merkle.inclusion_proof(log_index, read_leaf_hashes(connection, checkpoint.size))
    return Inclusion(log_index=log_index, entry=data or b"", proof=proof, checkpoint=checkpoint)


def prove_consistency(connection: Connection, old_size: int, size: int) -> tuple[bytes, ...]:
    """Show that the log of `old_size` entries is the beginning of the one of `size` entries.

    Raises:
        RegistryError: the log never had such sizes.
    """
    if not 1 <= old_size <= size:
        raise RegistryError(f"no way from {old_size} to {size} entries", subject=str(old_size))
    return merkle.consistency_proof(old_size, read_leaf_hashes(connection, size))


def _checkpoint(row: Row[Any]) -> Checkpoint:
    return Checkpoint(size=row.size, root_hash=row.root_hash, note=row.note, frontier=split_frontier(row.frontier))
