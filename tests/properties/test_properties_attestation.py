"""Nothing that was signed can change by a byte unnoticed, and nothing is misread on the way."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from weighbridge.attestation.checkpoint import read_checkpoint, sign_checkpoint
from weighbridge.attestation.dsse import IN_TOTO, sign_payload, verify_envelope
from weighbridge.attestation.keys import SigningKey
from weighbridge.attestation.statement import decision_statement, read_decision, read_waiver, waiver_statement
from weighbridge.errors import WeighbridgeError
from weighbridge.registry import wire
from weighbridge.vocabulary import (
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

KEY = SigningKey(Ed25519PrivateKey.from_private_bytes(b"\x2a" * 32))
OTHER = SigningKey(Ed25519PrivateKey.from_private_bytes(b"\x2b" * 32))

texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
digests = st.binary(min_size=32, max_size=32).map(bytes.hex)
times = st.datetimes(datetime(2000, 1, 1), datetime(2200, 1, 1)).map(lambda t: t.replace(microsecond=0, tzinfo=UTC))
findings = st.builds(
    Finding,
    check=texts,
    outcome=st.sampled_from(Outcome),
    severity=st.sampled_from(Severity),
    message=texts,
    evidence=st.lists(st.builds(Evidence, artifact=texts, locator=texts, excerpt=texts), max_size=2).map(tuple),
)
reasons = st.builds(
    Reason,
    rule=texts,
    standing=st.sampled_from(Standing),
    effect=st.sampled_from(Effect),
    message=texts,
    remedy=texts,
    findings=st.lists(findings, max_size=2).map(tuple),
)
decisions = st.builds(
    Decision,
    subject=digests,
    dossier=digests,
    policy=digests,
    use=digests,
    waivers=st.lists(digests, max_size=2).map(tuple),
    approvals=st.lists(digests, max_size=2).map(tuple),
    facts=digests,
    engine=texts,
    verdict=st.sampled_from(Verdict),
    reasons=st.lists(reasons, max_size=2).map(tuple),
    conditions=st.lists(texts, max_size=2).map(tuple),
    decided_at=times,
    expires_at=times,
)
waivers = st.builds(
    Waiver,
    rule=texts,
    scope=st.builds(Scope, subject=digests, use=texts),
    reason=texts,
    control=texts,
    by=texts,
    issued_at=times,
    until=times,
)


@given(decisions)
def test_a_decision_comes_back_from_its_envelope(decision):
    payload = decision_statement(decision)
    envelope = sign_payload(payload, IN_TOTO, KEY)
    assert read_decision(verify_envelope(envelope, [OTHER.public_key, KEY.public_key])) == decision
    same = wire.decode(Decision, wire.encode(decision))
    assert sign_payload(decision_statement(same), IN_TOTO, KEY) == envelope


@given(waivers)
def test_a_waiver_comes_back(waiver):
    assert read_waiver(waiver_statement(waiver)) == waiver


_WAIVER = Waiver(
    rule="no-code-in-weights",
    scope=Scope(subject="a" * 64),
    reason="pilot",
    control="sandbox",
    by="ada",
    issued_at=datetime(2026, 11, 21, tzinfo=UTC),
    until=datetime(2026, 11, 21, tzinfo=UTC) + timedelta(days=9),
)
_ENVELOPE = sign_payload(waiver_statement(_WAIVER), IN_TOTO, KEY)
_NOTE = sign_checkpoint("example.com/log", 20852163, bytes(range(32)), KEY).encode()


def _verify_note(data: bytes) -> object:
    try:
        text = data.decode()
    except UnicodeDecodeError as problem:
        raise WeighbridgeError("not text") from problem
    return read_checkpoint(text, [KEY.public_key])


@settings(max_examples=250)
@given(st.integers(0, len(_ENVELOPE) - 1), st.integers(1, 255))
def test_no_byte_of_an_envelope_changes_unnoticed(position, flip):
    changed = bytearray(_ENVELOPE)
    changed[position] ^= flip
    with pytest.raises(WeighbridgeError):
        verify_envelope(bytes(changed), [KEY.public_key, OTHER.public_key])


@settings(max_examples=250)
@given(st.integers(0, len(_NOTE) - 1), st.integers(1, 255))
def test_no_byte_of_a_checkpoint_changes_unnoticed(position, flip):
    changed = bytearray(_NOTE)
    changed[position] ^= flip
    with pytest.raises(WeighbridgeError):
        _verify_note(bytes(changed))


@settings(max_examples=120)
@given(st.integers(0, len(_ENVELOPE)), st.integers(0, len(_NOTE)), st.binary(min_size=1, max_size=3))
def test_nothing_is_cut_off_or_slipped_in(cut, note_cut, extra):
    for data, verify, position in (
        (_ENVELOPE, lambda d: verify_envelope(d, [KEY.public_key]), cut),
        (_NOTE, _verify_note, note_cut),
    ):
        if position < len(data):
            with pytest.raises(WeighbridgeError):
                verify(data[:position])
        with pytest.raises(WeighbridgeError):
            verify(data[:position] + extra + data[position:])


@given(st.binary(max_size=80))
def test_any_bytes_are_refused_by_name(data):
    for verify in (lambda d: verify_envelope(d, [KEY.public_key]), _verify_note, read_decision):
        with pytest.raises(WeighbridgeError):
            verify(data)
