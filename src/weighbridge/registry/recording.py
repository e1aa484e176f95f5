"""What happens inside the one transaction that records something."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import Column, Connection, insert, select

from weighbridge.errors import LogUnavailableError, RegistryError, TamperedError
from weighbridge.registry.evidence import EvidenceStore
from weighbridge.registry.indexing import manifest_rows, rows_of
from weighbridge.registry.log import count_entries
from weighbridge.registry.queries import count_decisions, find_decision, find_label, read_decision
from weighbridge.registry.records import (
    NAME,
    LogEntry,
    Record,
    RecordedApproval,
    RecordedDecision,
    RecordedEvent,
    RecordedWaiver,
    evidence_of,
)
from weighbridge.registry.recovery import require_log_not_behind
from weighbridge.registry.tables import APPROVAL, MANIFEST_BLOB, WAIVER


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What recording came to.

    `digest` is that of the statement, `log_index` its entry. `is_fresh` is False where it stood already. `warnings` say
    which copies of the log could not be written; the record itself stands.
    """

    log_index: int
    digest: str
    is_fresh: bool
    warnings: tuple[str, ...] = ()


def find_standing(connection: Connection, record: Record, now: datetime, *, again: bool) -> Recorded | None:
    """What stands already in place of a record: the same statement, the decision that its key has, or the same name."""
    match record:
        case RecordedDecision():
            row = read_decision(connection, record.decision)
            if row is None and not again:
                row = find_decision(connection, record.key, now)
            return None if row is None else Recorded(log_index=row.log_index, digest=row.decision, is_fresh=False)
        case RecordedWaiver():
            return _find_same(connection, WAIVER.c.log_index, WAIVER.c.waiver, record.waiver)
        case RecordedApproval():
            return _find_same(connection, APPROVAL.c.log_index, APPROVAL.c.approval, record.approval)
        case RecordedEvent():
            label = find_label(connection, record.reference) if record.kind == NAME else None
            if label is None or label.subject != record.subject:
                return None
            return Recorded(log_index=label.log_index, digest=record.digest, is_fresh=False)


def require_evidence(record: Record, evidence: EvidenceStore) -> None:
    """Check that everything a record rests on is kept.

    Raises:
        RegistryError: something is missing; the message names it.
    """
    for use in evidence_of(record):
        if not evidence.has(use.digest):
            raise RegistryError(
                f"the {use.role} {use.digest} is not kept as evidence, so nothing was recorded",
                subject=use.digest,
                remedy="put the evidence before the record",
            )


def require_exported_no_further(connection: Connection, root: Path) -> None:
    """Check that the database is not an older one that was put back.

    Raises:
        LogUnavailableError: entries were exported that it does not have.
    """
    try:
        require_log_not_behind(root, count_entries(connection))
    except TamperedError as behind:
        raise LogUnavailableError(behind.message, subject=behind.subject, remedy=behind.remedy) from behind


def insert_rows(connection: Connection, entry: LogEntry, record: Record, evidence: EvidenceStore) -> int:
    """Write the index rows of an entry that is about to be appended, and return where it will stand in the log.

    Raises:
        RegistryError: the manifest of a decision is missing or was changed.
        MalformedArtifactError: what is kept as manifest is none.
    """
    log_index = count_entries(connection)
    sequence = 0
    if isinstance(record, RecordedDecision):
        sequence = count_decisions(connection, record.key)
        known = select(MANIFEST_BLOB.c.subject).where(MANIFEST_BLOB.c.subject == record.subject).limit(1)
        if connection.scalar(known) is None:
            for table, values in manifest_rows(record.subject, evidence):
                connection.execute(insert(table).values(**values))
    for table, values in rows_of(log_index, entry, record, sequence=sequence):
        connection.execute(insert(table).values(**values))
    return log_index


def _find_same(connection: Connection, place: Column[int], column: Column[str], digest: str) -> Recorded | None:
    log_index = connection.scalar(select(place).where(column == digest))
    return None if log_index is None else Recorded(log_index=log_index, digest=digest, is_fresh=False)
