"""Questions to the index. Each takes a connection, so that several are answered from one state of the store.

A database takes any value in any column, and whoever can write the file can put one there. So every row is looked at before
it is believed, and each question may raise TamperedError.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Row, Select, Table, func, select

from weighbridge.errors import MalformedArtifactError, TamperedError, UsageError
from weighbridge.registry.evidence import is_digest
from weighbridge.registry.records import EvidenceUse, read_timestamp, timestamp
from weighbridge.registry.tables import APPROVAL, DECISION, EVENT, EVIDENCE_USE, LABEL, MANIFEST_BLOB, WAIVER
from weighbridge.vocabulary import Verdict, clip

_VERDICTS = frozenset(verdict.value for verdict in Verdict)
_DIGESTS = frozenset({"record", "envelope", "digest", "sha256"})
"""Columns by which files of the store are found, so that what is none of their names is not taken for one."""
_SHORTEST_PREFIX = 4
_MATCHES_SHOWN = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionRow:
    """A decision as the index knows it. `sequence` counts the decisions of one key from 0; `log_index` is its log entry."""

    log_index: int
    record: str
    key: str
    sequence: int
    decision: str
    envelope: str
    subject: str
    dossier: str
    policy: str
    use: str
    verdict: Verdict
    decided_at: datetime
    expires_at: datetime
    reference: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WaiverRow:
    """A waiver as the index knows it; an empty `use` covers every use."""

    log_index: int
    record: str
    waiver: str
    envelope: str
    rule: str
    subject: str
    use: str
    by: str
    issued_at: datetime
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalRow:
    """An approval as the index knows it."""

    log_index: int
    record: str
    approval: str
    envelope: str
    decision: str
    by: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRow:
    """Any other entry as the index knows it."""

    log_index: int
    record: str
    kind: str
    digest: str
    subject: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """A name and the model it pointed at when it was asked for. Names move; digests do not."""

    log_index: int
    reference: str
    subject: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """What a digest stands for: `kind` is `decision`, `subject`, `waiver` or `approval`."""

    kind: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionFilter:
    """Which decisions are wanted; what is None does not restrict. `reference_part` is any part of the name asked for.

    `latest` keeps only the last decision of each (subject, use, policy).
    """

    subject: str | None = None
    use: str | None = None
    policy: str | None = None
    reference_part: str | None = None
    verdict: Verdict | None = None
    latest: bool = True
    limit: int | None = None


def find_decision(connection: Connection, key: str, now: datetime) -> DecisionRow | None:
    """The decision that stands for a key: the last one made, unless it has expired. An older one never comes back."""
    last = select(DECISION).where(DECISION.c.key == key).order_by(DECISION.c.sequence.desc()).limit(1)
    row = connection.execute(last).one_or_none()
    found = None if row is None else _decision(row)
    return found if found is not None and found.expires_at > now else None


def read_decision(connection: Connection, decision: str) -> DecisionRow | None:
    """The decision with this digest."""
    row = connection.execute(select(DECISION).where(DECISION.c.decision == decision)).one_or_none()
    return None if row is None else _decision(row)


def count_decisions(connection: Connection, key: str) -> int:
    """How many decisions were recorded under a key: the sequence of the next one."""
    return connection.scalar(select(func.count()).where(DECISION.c.key == key)) or 0


def query_decisions(connection: Connection, wanted: DecisionFilter) -> tuple[DecisionRow, ...]:
    """The decisions that fit, in the order they were made."""
    chosen = select(DECISION).where(*_conditions(wanted)).order_by(DECISION.c.log_index.desc())
    if wanted.latest:
        one_each = (DECISION.c.subject, DECISION.c.use, DECISION.c.policy)
        chosen = chosen.where(DECISION.c.log_index.in_(select(func.max(DECISION.c.log_index)).group_by(*one_each)))
    if wanted.limit is not None:
        chosen = chosen.limit(wanted.limit)
    return tuple(_decision(row) for row in reversed(connection.execute(chosen).all()))


def query_waivers(
    connection: Connection, subject: str | None = None, *, at: datetime | None = None
) -> tuple[WaiverRow, ...]:
    """Waivers, of one model where given, and only those in force at `at` where given; in the order they were recorded."""
    chosen = select(WAIVER).order_by(WAIVER.c.log_index)
    if subject is not None:
        chosen = chosen.where(WAIVER.c.subject == subject)
    if at is not None:
        chosen = chosen.where(WAIVER.c.issued_at <= timestamp(at), WAIVER.c.until > timestamp(at))
    return tuple(WaiverRow(**_values(WAIVER, row, "issued_at", "until")) for row in connection.execute(chosen))


def query_approvals(connection: Connection, decision: str) -> tuple[ApprovalRow, ...]:
    """The approvals of a decision, in the order they were recorded."""
    chosen = select(APPROVAL).where(APPROVAL.c.decision == decision).order_by(APPROVAL.c.log_index)
    return tuple(ApprovalRow(**_values(APPROVAL, row, "at")) for row in connection.execute(chosen))


def query_events(connection: Connection, kind: str | None = None, subject: str | None = None) -> tuple[EventRow, ...]:
    """Other entries, of one kind and about one subject where given, in the order they were recorded."""
    chosen = select(EVENT).order_by(EVENT.c.log_index)
    if kind is not None:
        chosen = chosen.where(EVENT.c.kind == kind)
    if subject is not None:
        chosen = chosen.where(EVENT.c.subject == subject)
    return tuple(EventRow(**_values(EVENT, row, "at")) for row in connection.execute(chosen))


def query_labels(connection: Connection, reference: str | None = None) -> tuple[Label, ...]:
    """Which models a name pointed at, or every name, the latest last."""
    chosen: Select[Any] = select(LABEL).order_by(LABEL.c.log_index)
    if reference is not None:
        chosen = chosen.where(LABEL.c.reference == reference)
    return tuple(Label(**_values(LABEL, row, "at")) for row in connection.execute(chosen))


def find_label(connection: Connection, reference: str) -> Label | None:
    """Which model a name pointed at last."""
    last = select(LABEL).where(LABEL.c.reference == reference).order_by(LABEL.c.log_index.desc()).limit(1)
    row = connection.execute(last).one_or_none()
    return None if row is None else Label(**_values(LABEL, row, "at"))


def query_evidence(connection: Connection, log_index: int) -> tuple[EvidenceUse, ...]:
    """Every evidence document that an entry rests on."""
    chosen = select(EVIDENCE_USE).where(EVIDENCE_USE.c.log_index == log_index)
    rows = connection.execute(chosen.order_by(EVIDENCE_USE.c.role, EVIDENCE_USE.c.digest))
    found = (_values(EVIDENCE_USE, row) for row in rows)
    return tuple(EvidenceUse(role=values["role"], digest=values["digest"]) for values in found)


def read_needed_evidence(connection: Connection) -> set[str]:
    """Every digest of evidence that some entry rests on."""
    column = EVIDENCE_USE.c.digest
    return {_checked(column, digest) for digest in connection.scalars(select(column).distinct())}


def read_needed_blobs(connection: Connection, subjects: set[str] | None = None) -> set[str]:
    """Every blob of every model that was decided on, or of these models only."""
    column = MANIFEST_BLOB.c.sha256
    rows = connection.execute(select(MANIFEST_BLOB.c.subject, column))
    return {_checked(column, sha256) for subject, sha256 in rows if subjects is None or subject in subjects}


def find_by_prefix(connection: Connection, prefix: str) -> Named:
    """What the digest that begins with `prefix` stands for.

    Raises:
        UsageError: the prefix is too short or no hexadecimal text, or nothing begins with it, or more than one digest does.
    """
    if len(prefix) < _SHORTEST_PREFIX or not set(prefix) <= set("0123456789abcdef"):
        raise UsageError(
            f"{clip(prefix)!r} is no digest", subject=clip(prefix), remedy="give 4 or more hexadecimal digits"
        )
    columns = {
        "decision": DECISION.c.decision,
        "subject": DECISION.c.subject,
        "waiver": WAIVER.c.waiver,
        "approval": APPROVAL.c.approval,
    }
    found: list[Named] = []
    for kind, column in columns.items():
        # "g" sorts behind every hexadecimal digit.
        begins = select(column).distinct().where(column >= prefix, column < prefix + "g").order_by(column)
        found += [Named(kind=kind, digest=digest) for digest in connection.scalars(begins.limit(_MATCHES_SHOWN))]
    if not found:
        raise UsageError(f"no digest begins with {prefix}", subject=prefix, remedy="see: weighbridge list")
    if len(found) > 1:
        matches = ", ".join(f"{named.kind} {named.digest[:16]}" for named in found[:_MATCHES_SHOWN])
        raise UsageError(f"{prefix} begins more than one digest: {matches}", subject=prefix, remedy="give more digits")
    return found[0]


def _conditions(wanted: DecisionFilter) -> list[ColumnElement[bool]]:
    pairs = (
        (DECISION.c.subject, wanted.subject),
        (DECISION.c.use, wanted.use),
        (DECISION.c.policy, wanted.policy),
        (DECISION.c.verdict, None if wanted.verdict is None else wanted.verdict.value),
    )
    conditions: list[ColumnElement[bool]] = [column == value for column, value in pairs if value is not None]
    if wanted.reference_part is not None:
        conditions.append(DECISION.c.reference.contains(wanted.reference_part, autoescape=True))
    return conditions


def _decision(row: Row[Any]) -> DecisionRow:
    values = _values(DECISION, row, "decided_at", "expires_at")
    if values["verdict"] not in _VERDICTS:
        raise _changed(DECISION.c.verdict, values["verdict"])
    return DecisionRow(**{**values, "verdict": Verdict(values["verdict"])})


def _values(table: Table, row: Row[Any], *times: str) -> dict[str, Any]:
    """A whole row of a table by the names of its columns, with `times` read."""
    found = row._mapping  # noqa: SLF001  # SQLAlchemy's public name for it
    values = {column.name: _checked(column, found[column.name]) for column in table.columns}
    for name in times:
        try:
            values[name] = read_timestamp(values[name])
        except MalformedArtifactError as problem:
            raise _changed(table.columns[name], values[name]) from problem
    return values


def _checked(column: Column[Any], value: Any) -> Any:
    """A value that the store may have written into a column.

    Raises:
        TamperedError: it did not write this.
    """
    is_whole = type(value) is column.type.python_type and (type(value) is not int or value >= 0)
    if not is_whole or (column.name in _DIGESTS and not is_digest(value)):
        raise _changed(column, value)
    return value


def _changed(column: Column[Any], value: object) -> TamperedError:
    return TamperedError(
        f"the index was changed: a row of {column.table.name} has {clip(repr(value), 80)} as its {column.name}",
        subject=column.table.name,
        remedy="find out who changed it, then run: weighbridge rebuild",
    )
