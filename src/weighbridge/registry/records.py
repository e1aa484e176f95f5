"""What the log says and what is kept behind each of its entries, as words.

An entry of the log names two digests: what was recorded (the payload of a signed statement), and a record, a small evidence
document that holds everything the index needs. Index rows are computed from entries and records alone, so that the database
can be rebuilt from files.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from weighbridge.errors import MalformedArtifactError, TamperedError, UsageError
from weighbridge.registry import wire
from weighbridge.registry.evidence import is_digest
from weighbridge.vocabulary import Verdict, clip

_KIND = re.compile(r"[a-z][a-z0-9.-]{0,60}\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceUse:
    """One evidence document that an entry rests on, and what it is there for, such as `dossier` or `policy`."""

    role: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedDecision:
    """Everything the index holds about a decision.

    `key` is the idempotency key: a digest over (root, policy, use, waiver set, check versions), given by the caller.
    `decision` is the sha256 of the statement, `envelope` the digest of the signed envelope around it. `reference` is the
    name the model was asked for by, a claim. `evidence` lists what must be kept besides what the other fields name.
    """

    key: str
    decision: str
    envelope: str
    subject: str
    dossier: str
    policy: str
    use: str
    verdict: Verdict
    decided_at: datetime
    expires_at: datetime
    reference: str = ""
    evidence: tuple[EvidenceUse, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "evidence", tuple(sorted(set(self.evidence), key=lambda use: (use.role, use.digest))))


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedWaiver:
    """Everything the index holds about a waiver: `waiver` is the sha256 of its statement; an empty `use` covers every use."""

    waiver: str
    envelope: str
    rule: str
    subject: str
    use: str
    by: str
    issued_at: datetime
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedApproval:
    """Everything the index holds about an approval of the decision with the digest `decision`."""

    approval: str
    envelope: str
    decision: str
    by: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedEvent:
    """Anything else worth a line in the log, such as a rotated key: `digest` is what it is about, `kind` a dotted word.

    An event with a `reference` says that this name pointed at `subject` at that time.
    """

    kind: str
    digest: str
    at: datetime
    subject: str = ""
    reference: str = ""
    evidence: tuple[EvidenceUse, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "evidence", tuple(sorted(set(self.evidence), key=lambda use: (use.role, use.digest))))


Record = RecordedDecision | RecordedWaiver | RecordedApproval | RecordedEvent
NAME = "name"
"""The kind of event that records a name of a model that was decided on before."""
_STATEMENTS = frozenset({"decision", "waiver", "approval"})


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEntry:
    """One line of the log. Its RFC 8785 form is the leaf of the Merkle tree.

    `digest` is the sha256 of the recorded statement, `record` the digest of the record, `subject` the model it is about or
    empty, `at` when it was recorded, in RFC 3339.
    """

    kind: str
    digest: str
    record: str
    subject: str
    at: str


def timestamp(moment: datetime) -> str:
    """A time as fixed-width RFC 3339 text in UTC, so that text order is time order.

    Raises:
        UsageError: the time has no zone, or is no time in UTC.
    """
    if moment.tzinfo is None:
        raise UsageError(f"time {moment} has no zone", subject=str(moment), remedy="give an aware time, best in UTC")
    try:
        return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    except OverflowError as problem:
        raise UsageError(
            f"time {moment} is out of range", subject=str(moment), remedy="give a time in UTC"
        ) from problem


def read_timestamp(text: str) -> datetime:
    """The time that `timestamp` wrote.

    Raises:
        MalformedArtifactError: it did not write this.
    """
    try:
        moment = datetime.fromisoformat(text)
        same = timestamp(moment) == text
    except (ValueError, UsageError):
        same = False
    if not same:
        raise MalformedArtifactError(f"{clip(text)!r} is no time in RFC 3339 with microseconds", subject=clip(text))
    return moment


def entry_of(record: Record, record_digest: str, at: datetime) -> LogEntry:
    """The line of the log for a record that is kept under `record_digest`.

    Raises:
        UsageError: the kind of an event, or one of the digests, is not what the log may hold.
    """
    match record:
        case RecordedDecision():
            kind, digest, subject = "decision", record.decision, record.subject
        case RecordedWaiver():
            kind, digest, subject = "waiver", record.waiver, record.subject
        case RecordedApproval():
            kind, digest, subject = "approval", record.approval, ""
        case RecordedEvent():
            kind, digest, subject = record.kind, record.digest, record.subject
            if not _KIND.match(kind) or kind in _STATEMENTS:
                raise UsageError(f"{clip(kind)!r} is no kind of event", subject=clip(kind))
    for name in (digest, *(use.digest for use in evidence_of(record))):
        if not is_digest(name):
            raise UsageError(
                f"{clip(name)!r} is no sha256 digest", subject=clip(name), remedy="record digests, not names"
            )
    return LogEntry(kind=kind, digest=digest, record=record_digest, subject=subject, at=timestamp(at))


def read_entry(data: bytes) -> LogEntry:
    """Read a line of the log, which must be in its canonical form.

    Raises:
        MalformedArtifactError: it is not an entry.
        TamperedError: it is one, but not in the form that was hashed.
    """
    entry = wire.decode(LogEntry, data)
    if wire.canonical(entry) != data:
        raise TamperedError("a log entry is not in canonical form", subject=clip(data))
    return entry


def read_record(entry: LogEntry, data: bytes) -> Record:
    """Read the record behind an entry and check that it is the one the entry speaks of.

    Raises:
        MalformedArtifactError: it is no record of this kind.
        TamperedError: record and entry do not say the same.
    """
    match entry.kind:
        case "decision":
            record: Record = wire.decode(RecordedDecision, data)
        case "waiver":
            record = wire.decode(RecordedWaiver, data)
        case "approval":
            record = wire.decode(RecordedApproval, data)
        case _:
            record = wire.decode(RecordedEvent, data)
    at = read_timestamp(entry.at)
    try:
        same = entry_of(record, entry.record, at) == entry
    except UsageError:
        same = False
    if not same:
        raise TamperedError(f"the record {entry.record} is not the one of its log entry", subject=entry.record)
    return record


def evidence_of(record: Record) -> tuple[EvidenceUse, ...]:
    """Every evidence document that a record rests on, without the record itself."""
    match record:
        case RecordedDecision():
            named = {
                "envelope": record.envelope,
                "manifest": record.subject,
                "dossier": record.dossier,
                "policy": record.policy,
                "use": record.use,
            }
            own = tuple(EvidenceUse(role=role, digest=digest) for role, digest in named.items())
            return tuple(dict.fromkeys(own + record.evidence))
        case RecordedWaiver() | RecordedApproval():
            return (EvidenceUse(role="envelope", digest=record.envelope),)
        case RecordedEvent():
            return record.evidence
