"""The rows of the index, computed from an entry of the log and the record behind it, and from nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Table

from weighbridge.errors import RegistryError
from weighbridge.registry import tables, wire
from weighbridge.registry.evidence import EvidenceStore
from weighbridge.registry.records import (
    LogEntry,
    Record,
    RecordedApproval,
    RecordedDecision,
    RecordedEvent,
    RecordedWaiver,
    evidence_of,
    read_entry,
    read_record,
    timestamp,
)
from weighbridge.vocabulary import Manifest

Row = tuple[Table, dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """What an entry of the log says, and every index row that follows from it."""

    entry: LogEntry
    record: Record
    rows: tuple[Row, ...]


class IndexBuilder:
    """Computes the index anew from the entries of the log, which must be given in their order."""

    def __init__(self, evidence: EvidenceStore) -> None:
        self._evidence = evidence
        self._decisions: Counter[str] = Counter()
        self._subjects: set[str] = set()

    def explain(self, log_index: int, data: bytes) -> Explained:
        """The words and rows behind the entry at `log_index`.

        Raises:
            WeighbridgeError: the entry, its record or its manifest is missing, damaged or does not fit.
        """
        entry = read_entry(data)
        record = read_record(entry, self._evidence.read(entry.record))
        if not isinstance(record, RecordedDecision):
            return Explained(entry=entry, record=record, rows=tuple(rows_of(log_index, entry, record)))
        sequence = self._decisions[record.key]
        self._decisions[record.key] += 1
        rows = list(rows_of(log_index, entry, record, sequence=sequence))
        if record.subject not in self._subjects:
            self._subjects.add(record.subject)
            rows += manifest_rows(record.subject, self._evidence)
        return Explained(entry=entry, record=record, rows=tuple(rows))


def rows_of(log_index: int, entry: LogEntry, record: Record, *, sequence: int = 0) -> Iterator[Row]:
    """Every index row of one entry but those of its manifest. `sequence` counts the decisions of one key, from 0."""
    place = {"log_index": log_index, "record": entry.record}
    match record:
        case RecordedDecision():
            yield tables.DECISION, place | {"sequence": sequence} | _decision_values(record)
            yield from _label(log_index, entry, record)
        case RecordedWaiver():
            times = {"issued_at": timestamp(record.issued_at), "until": timestamp(record.until)}
            yield tables.WAIVER, place | _values(record, "waiver", "envelope", "rule", "subject", "use", "by") | times
        case RecordedApproval():
            names = ("approval", "envelope", "decision", "by")
            yield (
                tables.APPROVAL,
                place | {name: getattr(record, name) for name in names} | {"at": timestamp(record.at)},
            )
        case RecordedEvent():
            yield tables.EVENT, place | _values(record, "kind", "digest", "subject") | {"at": timestamp(record.at)}
            yield from _label(log_index, entry, record)
    yield tables.EVIDENCE_USE, {"log_index": log_index, "role": "record", "digest": entry.record}
    for use in evidence_of(record):
        yield tables.EVIDENCE_USE, {"log_index": log_index, "role": use.role, "digest": use.digest}


def manifest_rows(subject: str, evidence: EvidenceStore) -> Iterator[Row]:
    """The blobs of a model, from the manifest that is kept as evidence under its root digest.

    Raises:
        RegistryError: the manifest is not kept.
        TamperedError: it was changed.
        MalformedArtifactError: what is kept there is no manifest.
    """
    manifest = wire.decode(Manifest, evidence.read(subject))
    if wire.root_digest(manifest) != subject:
        raise RegistryError(f"the manifest {subject} is not kept in its canonical form", subject=subject)
    sizes = {file.sha256: file.size_bytes for file in manifest.entries}
    for sha256, size_bytes in sorted(sizes.items()):
        yield tables.MANIFEST_BLOB, {"subject": subject, "sha256": sha256, "size_bytes": size_bytes}


def _label(log_index: int, entry: LogEntry, record: RecordedDecision | RecordedEvent) -> Iterator[Row]:
    if record.reference:
        label = {"reference": record.reference, "subject": record.subject, "at": entry.at}
        yield tables.LABEL, {"log_index": log_index} | label


def _decision_values(record: RecordedDecision) -> dict[str, object]:
    names = ("key", "decision", "envelope", "subject", "dossier", "policy", "use", "reference")
    return _values(record, *names) | {
        "verdict": record.verdict.value,
        "decided_at": timestamp(record.decided_at),
        "expires_at": timestamp(record.expires_at),
    }


def _values(record: Record, *names: str) -> dict[str, object]:
    return {name: getattr(record, name) for name in names}
