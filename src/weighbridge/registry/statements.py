"""Comparing a record with the signed statement it was made from.

What a statement looks like and who may sign it is the matter of a room above; the readers are passed in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from weighbridge.registry.records import (
    Record,
    RecordedApproval,
    RecordedDecision,
    RecordedEvent,
    RecordedWaiver,
    evidence_of,
)
from weighbridge.vocabulary import Approval, Decision, Waiver


@dataclass(frozen=True, slots=True, kw_only=True)
class Readers:
    """How signed things are read. Each checks the signature and raises a WeighbridgeError where it does not hold.

    `checkpoint` gives size and root hash of a signed note. The others take an envelope and give the sha256 of its payload
    and the word it states.
    """

    checkpoint: Callable[[str], tuple[int, bytes]]
    decision: Callable[[bytes], tuple[str, Decision]]
    waiver: Callable[[bytes], tuple[str, Waiver]]
    approval: Callable[[bytes], tuple[str, Approval]]


def find_differences(record: Record, envelope: bytes, readers: Readers) -> tuple[str, ...]:
    """The names of what a record says otherwise than its signed statement.

    Raises:
        WeighbridgeError: the envelope cannot be read or its signature does not hold.
    """
    return tuple(name for name, recorded, stated in _pairs(record, envelope, readers) if recorded != stated)


def _pairs(record: Record, envelope: bytes, readers: Readers) -> Iterator[tuple[str, object, object]]:
    match record:
        case RecordedDecision():
            digest, decision = readers.decision(envelope)
            yield "decision", record.decision, digest
            for name in ("subject", "dossier", "policy", "use", "verdict", "decided_at", "expires_at"):
                yield name, getattr(record, name), getattr(decision, name)
            kept = {use.digest for use in evidence_of(record)}
            named = {decision.dossier, decision.policy, decision.use, decision.facts}
            named |= {*decision.waivers, *decision.approvals}
            yield "evidence", sorted(named - kept - {""}), []
        case RecordedWaiver():
            digest, waiver = readers.waiver(envelope)
            yield "waiver", record.waiver, digest
            yield "subject", record.subject, waiver.scope.subject
            yield "use", record.use, waiver.scope.use
            for name in ("rule", "by", "issued_at", "until"):
                yield name, getattr(record, name), getattr(waiver, name)
        case RecordedApproval():
            digest, approval = readers.approval(envelope)
            yield "approval", record.approval, digest
            for name in ("decision", "by", "at"):
                yield name, getattr(record, name), getattr(approval, name)
        case RecordedEvent():
            return
