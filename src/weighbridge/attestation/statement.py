"""What is signed: in-toto Statements v1 about decisions, waivers, approvals and key rotations.

A statement is written in its RFC 8785 form, so the same decision gives the same bytes on every machine and in every
release. Reading is strict: what was read is written again and must give the bytes that were read.

Source: https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any, TypeVar

import msgspec

from weighbridge.errors import MalformedArtifactError, TamperedError
from weighbridge.registry import wire
from weighbridge.vocabulary import Approval, Decision, Waiver, clip

STATEMENT = "https://in-toto.io/Statement/v1"
DECISION = "https://weighbridge.dev/decision/v1"
WAIVER = "https://weighbridge.dev/waiver/v1"
APPROVAL = "https://weighbridge.dev/approval/v1"
KEY_ROTATION = "https://weighbridge.dev/key-rotation/v1"

_DIGEST = re.compile(r"[0-9a-f]{64}")
W = TypeVar("W")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRotation:
    """An old key names its successor. `old_key_id` and `new_key_id` are key ids, `new_public_key` its 32 bytes as hexadecimal."""

    old_key_id: str
    new_key_id: str
    new_public_key: str
    at: datetime


class _Subject(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    digest: dict[str, str]


class _Statement(msgspec.Struct, forbid_unknown_fields=True):
    type: str = msgspec.field(name="_type")
    subject: list[_Subject]
    predicate_type: str = msgspec.field(name="predicateType")
    predicate: msgspec.Raw


def decision_statement(decision: Decision) -> bytes:
    """The statement of a decision. Its subject is the manifest, by the root digest.

    Raises:
        MalformedArtifactError: the subject is not a digest, or a time is not UTC.
    """
    return _statement("manifest", decision.subject, DECISION, decision)


def waiver_statement(waiver: Waiver) -> bytes:
    """The statement of a waiver. Its subject is the manifest of the model it covers.

    Raises:
        MalformedArtifactError: as for a decision.
    """
    return _statement("manifest", waiver.scope.subject, WAIVER, waiver)


def approval_statement(approval: Approval) -> bytes:
    """The statement of an approval. Its subject is the decision that the approver was shown, by its digest.

    Raises:
        MalformedArtifactError: as for a decision.
    """
    return _statement("decision", approval.decision, APPROVAL, approval)


def rotation_statement(rotation: KeyRotation) -> bytes:
    """The statement of a key rotation. Its subject is the new key; a key id is the sha256 of the raw public key.

    Raises:
        MalformedArtifactError: as for a decision.
    """
    return _statement("key", rotation.new_key_id, KEY_ROTATION, rotation)


def read_decision(payload: bytes) -> Decision:
    """Read a decision back from its statement.

    Raises:
        MalformedArtifactError: it is not a statement of a decision.
        TamperedError: its parts do not agree, or it is not byte for byte what weighbridge writes.
    """
    return _read(payload, DECISION, Decision, decision_statement)


def read_waiver(payload: bytes) -> Waiver:
    """Read a waiver back from its statement.

    Raises:
        MalformedArtifactError, TamperedError: as for a decision.
    """
    return _read(payload, WAIVER, Waiver, waiver_statement)


def read_approval(payload: bytes) -> Approval:
    """Read an approval back from its statement.

    Raises:
        MalformedArtifactError, TamperedError: as for a decision.
    """
    return _read(payload, APPROVAL, Approval, approval_statement)


def read_rotation(payload: bytes) -> KeyRotation:
    """Read a key rotation back from its statement.

    Raises:
        MalformedArtifactError, TamperedError: as for a decision.
    """
    return _read(payload, KEY_ROTATION, KeyRotation, rotation_statement)


def predicate_type(payload: bytes) -> str:
    """What a statement is about, so that a reader can choose.

    Raises:
        MalformedArtifactError: it is not a statement.
    """
    return _parse(payload).predicate_type


def _statement(name: str, digest: str, kind: str, word: Any) -> bytes:
    if not _DIGEST.fullmatch(digest):
        raise MalformedArtifactError(f"not a sha256 digest: {clip(digest, 80)}", subject=kind)
    for field in fields(word):
        value = getattr(word, field.name)
        if isinstance(value, datetime) and value.utcoffset() != timedelta(0):
            raise MalformedArtifactError(f"{field.name} is not a UTC time", subject=kind, remedy="Pass a UTC time.")
    return wire.canonical(
        {
            "_type": STATEMENT,
            "subject": [{"name": name, "digest": {"sha256": digest}}],
            "predicateType": kind,
            "predicate": wire.plain(word),
        }
    )


def _parse(payload: bytes) -> _Statement:
    try:
        statement = wire.decoder(_Statement).decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as problem:
        raise MalformedArtifactError(f"not an in-toto statement: {clip(str(problem))}") from problem
    if statement.type != STATEMENT:
        raise MalformedArtifactError(f"not an in-toto statement v1: {clip(statement.type, 80)}")
    return statement


def _read(payload: bytes, kind: str, word: type[W], write: Any) -> W:
    statement = _parse(payload)
    if statement.predicate_type != kind:
        raise MalformedArtifactError(f"a statement of {clip(statement.predicate_type, 80)}, not of {kind}")
    read = wire.decode(word, bytes(statement.predicate))
    if write(read) != payload:
        remedy = "Restore it from a copy; `weighbridge verify` checks everything that is stored."
        raise TamperedError(f"a statement of {kind} is not as it was written", subject=kind, remedy=remedy)
    return read
