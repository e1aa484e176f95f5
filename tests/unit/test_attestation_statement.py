"""Statements: the bytes that are signed, and reading them back."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest

from weighbridge.attestation import statement
from weighbridge.attestation.dsse import IN_TOTO, sign_payload, verify_envelope
from weighbridge.attestation.keys import SigningKey
from weighbridge.attestation.statement import KeyRotation, decision_statement, read_decision
from weighbridge.errors import MalformedArtifactError, SigningError, TamperedError
from weighbridge.vocabulary import (
    Approval,
    Decision,
    Effect,
    Evidence,
    Finding,
    Outcome,
    Reason,
    Scope,
    Severity,
    Standing,
    Verdict,
    Waiver,
)

AT = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
FINDING = Finding(
    check="code.on-load",
    outcome=Outcome.FAIL,
    severity=Severity.CRITICAL,
    message="calls os.system",
    evidence=(Evidence(artifact="a.pkl", locator="byte 61 REDUCE", excerpt="ö"),),
)
DECISION = Decision(
    subject="a" * 64,
    dossier="b" * 64,
    policy="c" * 64,
    use="d" * 64,
    waivers=("e" * 64,),
    approvals=(),
    facts="f" * 64,
    engine="weighbridge-policy/1",
    verdict=Verdict.REFUSE,
    reasons=(
        Reason(
            rule="no-code-in-weights",
            standing=Standing.FIRED,
            effect=Effect.REFUSE,
            message="m",
            remedy="r",
            findings=(FINDING,),
        ),
    ),
    conditions=(),
    decided_at=AT,
    expires_at=AT + timedelta(days=180),
)
GOLDEN = (
    '{"_type":"https://in-toto.io/Statement/v1","predicate":{"approvals":[],"conditions":[],'
    '"decided_at":"2026-11-21T12:00:00Z","dossier":"' + "b" * 64 + '","engine":"weighbridge-policy/1",'
    '"expires_at":"2027-05-20T12:00:00Z","facts":"' + "f" * 64 + '","policy":"' + "c" * 64 + '",'
    '"reasons":[{"effect":"refuse","findings":[{"check":"code.on-load","evidence":[{"artifact":"a.pkl","excerpt":"ö",'
    '"locator":"byte 61 REDUCE"}],"message":"calls os.system","outcome":"fail","references":[],"severity":"critical"}],'
    '"message":"m","remedy":"r","rule":"no-code-in-weights","standing":"fired"}],"subject":"' + "a" * 64 + '",'
    '"use":"' + "d" * 64 + '","verdict":"refuse","waivers":["' + "e" * 64 + '"]},'
    '"predicateType":"https://weighbridge.dev/decision/v1",'
    '"subject":[{"digest":{"sha256":"' + "a" * 64 + '"},"name":"manifest"}]}'
).encode()
WAIVER = Waiver(
    rule="no-code-in-weights",
    scope=Scope(subject="a" * 64),
    reason="pilot",
    control="sandbox",
    by="ada",
    issued_at=AT,
    until=AT + timedelta(days=30),
)
APPROVAL = Approval(decision="9" * 64, by="grace", reason="looked", at=AT)
ROTATION = KeyRotation(old_key_id="1" * 64, new_key_id="2" * 64, new_public_key="3" * 64, at=AT)
KINDS = [
    (DECISION, statement.decision_statement, statement.read_decision, "manifest", "a" * 64),
    (WAIVER, statement.waiver_statement, statement.read_waiver, "manifest", "a" * 64),
    (APPROVAL, statement.approval_statement, statement.read_approval, "decision", "9" * 64),
    (ROTATION, statement.rotation_statement, statement.read_rotation, "key", "2" * 64),
]


def test_a_decision_is_these_bytes_today_and_in_every_release():
    assert decision_statement(DECISION) == GOLDEN
    assert read_decision(GOLDEN) == DECISION


@pytest.mark.parametrize(("word", "write", "read", "name", "digest"), KINDS, ids=lambda value: type(value).__name__)
def test_every_word_comes_back(word, write, read, name, digest):
    payload = write(word)
    assert read(payload) == word
    said = json.loads(payload)
    assert said["subject"] == [{"name": name, "digest": {"sha256": digest}}]
    assert said["predicateType"] == statement.predicate_type(payload)
    for _, _, other, _, _ in KINDS:
        if other is not read:
            with pytest.raises(MalformedArtifactError):
                other(payload)


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s.replace("calls os.system", "calls os.systen") + " ",
        lambda s: s.replace(":[],", ": [],"),
        lambda s: s.replace('"waivers"', '"waivers":[],"waivers"'),
        lambda s: s.replace('"verdict"', '"verdikt":1,"verdict"'),
        lambda s: s.replace('"sha256":"a', '"sha256":"b'),
        lambda s: s.replace('"name":"manifest"', '"name":"another"'),
        lambda s: s.replace('"reasons":[{', '"reasons":[{"extra":0,'),
        lambda s: s.replace("2026-11-21T12:00:00Z", "2026-11-21T13:00:00+01:00"),
        lambda s: s.replace('"references":[],', ""),
    ],
)
def test_a_statement_that_is_not_as_it_was_written_is_refused(change):
    changed = change(GOLDEN.decode())
    assert changed.encode() != GOLDEN
    with pytest.raises((TamperedError, MalformedArtifactError)):
        read_decision(changed.encode())


@pytest.mark.parametrize(
    "payload", [b"", b"{}", b"[]", b"\xff", b"[" * 100_000, GOLDEN.replace(b"Statement/v1", b"Statement/v9")]
)
def test_what_is_no_statement_is_refused(payload):
    with pytest.raises(MalformedArtifactError):
        read_decision(payload)


@pytest.mark.parametrize("time", [datetime(2026, 11, 21), datetime(2026, 11, 21, tzinfo=timezone(timedelta(hours=1)))])
def test_only_utc_times_are_signed(time):
    with pytest.raises(MalformedArtifactError, match="at is not a UTC time"):
        statement.approval_statement(Approval(decision="9" * 64, by="grace", reason="", at=time))


def test_a_subject_is_a_digest():
    with pytest.raises(MalformedArtifactError, match="not a sha256 digest"):
        statement.approval_statement(Approval(decision="latest", by="grace", reason="", at=AT))


def test_the_same_decision_and_key_give_the_same_envelope(tmp_path):
    key = SigningKey.load_or_create(tmp_path / "keys")
    envelope = sign_payload(GOLDEN, IN_TOTO, key)
    assert envelope == sign_payload(GOLDEN, IN_TOTO, key)
    assert verify_envelope(envelope, [key.public_key]) == GOLDEN
    signature = json.loads(envelope)["signatures"][0]
    assert signature["keyid"] == key.key_id


def test_another_key_another_type_and_no_envelope_are_refused(tmp_path):
    key, other = (SigningKey.load_or_create(tmp_path / name) for name in ("keys", "others"))
    envelope = sign_payload(GOLDEN, IN_TOTO, key)
    with pytest.raises(SigningError, match="not trusted"):
        verify_envelope(envelope, [other.public_key])
    with pytest.raises(SigningError):
        verify_envelope(envelope, [])
    with pytest.raises(MalformedArtifactError, match="not text/plain"):
        verify_envelope(envelope, [key.public_key], payload_type="text/plain")
    claimed = envelope.replace(key.key_id.encode(), other.key_id.encode())
    with pytest.raises(TamperedError):
        verify_envelope(claimed, [key.public_key, other.public_key])
    twice = json.loads(envelope)
    for signatures in ([], twice["signatures"] * 2):
        changed = json.dumps({**twice, "signatures": signatures}).encode()
        with pytest.raises(MalformedArtifactError):
            verify_envelope(changed, [key.public_key])
