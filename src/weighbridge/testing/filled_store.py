"""A store with something in it, signed with a real key in the plainest envelope there is: for tests of the store itself."""

from __future__ import annotations

import base64
import hashlib
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from weighbridge.errors import SigningError
from weighbridge.registry import wire
from weighbridge.registry.recording import Recorded
from weighbridge.registry.records import EvidenceUse, RecordedApproval, RecordedDecision, RecordedEvent, RecordedWaiver
from weighbridge.registry.statements import Readers
from weighbridge.registry.store import Registry
from weighbridge.vocabulary import Approval, Decision, Manifest, ManifestEntry, Scope, Verdict, Waiver

W = TypeVar("W")
NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def digest_of(text: str) -> str:
    """A digest that stands for something nobody looks at."""
    return hashlib.sha256(text.encode()).hexdigest()


class Seal:
    """Signs and reads with one Ed25519 key. An envelope is the raw signature followed by the canonical statement."""

    def __init__(self, seed: str = "seal") -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(seed.encode()).digest())

    def sign_checkpoint(self, size: int, root_hash: bytes) -> str:
        """Size, root and signature, one a line, in base64."""
        body = f"{size}\n{base64.b64encode(root_hash).decode()}\n"
        return body + base64.b64encode(self._key.sign(body.encode())).decode() + "\n"

    def read_checkpoint(self, note: str) -> tuple[int, bytes]:
        """Read what `sign_checkpoint` wrote, byte for byte."""
        body = "".join(note.splitlines(keepends=True)[:2])
        try:
            size, root = body.splitlines()
            stated = int(size), base64.b64decode(root, validate=True)
        except ValueError as problem:
            raise SigningError("not a checkpoint") from problem
        # Ed25519 signs the same bytes to the same signature, so the whole text is compared.
        if self.sign_checkpoint(*stated) != note:
            raise SigningError("the signature of the checkpoint does not hold")
        return stated

    def envelope(self, word: object) -> bytes:
        """A signed statement of a word."""
        payload = wire.canonical(word)
        return self._key.sign(payload) + payload

    def open(self, kind: type[W], envelope: bytes) -> tuple[str, W]:
        """Read what `envelope` wrote: the digest of the payload and the word."""
        signature, payload = envelope[:64], envelope[64:]
        try:
            self._key.public_key().verify(signature, payload)
        except InvalidSignature as problem:
            raise SigningError("the signature of the statement does not hold") from problem
        return hashlib.sha256(payload).hexdigest(), wire.decode(kind, payload)

    @property
    def readers(self) -> Readers:
        """Everything this seal signs, read back."""
        return Readers(
            checkpoint=self.read_checkpoint,
            decision=lambda envelope: self.open(Decision, envelope),
            waiver=lambda envelope: self.open(Waiver, envelope),
            approval=lambda envelope: self.open(Approval, envelope),
        )


def open_store(
    root: Path, *, seal: Seal | None = None, now: datetime = NOON, checkpoint_copies: tuple[Path, ...] = ()
) -> Registry:
    """A store open for writing, with a clock that stands still."""
    sign = (seal or Seal()).sign_checkpoint
    return Registry.open(root, clock=lambda: now, sign_checkpoint=sign, checkpoint_copies=checkpoint_copies)


def add_model(registry: Registry, name: str) -> Manifest:
    """Put a model of one file into the store: its blob, and its manifest as evidence."""
    data = f"the weights of {name}".encode()
    source = registry.staging / f"{digest_of(name)}.source"
    source.write_bytes(data)
    fd = os.open(source, os.O_RDONLY)
    try:
        blob = registry.blobs.add_from_fd(fd, folder=registry.staging, path=name)
    finally:
        os.close(fd)
        source.unlink()
    manifest = Manifest(entries=(ManifestEntry(path="w", size_bytes=blob.size_bytes, sha256=blob.sha256),))
    registry.evidence.put(wire.canonical(manifest))
    return manifest


def draft_decision(
    registry: Registry,
    name: str,
    *,
    seal: Seal | None = None,
    verdict: Verdict = Verdict.ADMIT,
    decided_at: datetime = NOON,
    use: str = "chat",
) -> RecordedDecision:
    """Everything about a decision on the model `name`, kept as evidence and ready to be recorded."""
    subject = wire.root_digest(add_model(registry, name))
    parts = {
        role: registry.evidence.put(wire.canonical({role: text}))
        for role, text in (("dossier", name), ("policy", "default"), ("use", use), ("facts", name))
    }
    decision = Decision(
        subject=subject,
        **parts,
        waivers=(),
        approvals=(),
        engine="1",
        verdict=verdict,
        reasons=(),
        conditions=(),
        decided_at=decided_at,
        expires_at=decided_at + timedelta(days=30),
    )
    envelope = (seal or Seal()).envelope(decision)
    return RecordedDecision(
        key=digest_of(f"{subject} {use}"),
        decision=wire.digest(decision),
        envelope=registry.evidence.put(envelope),
        subject=subject,
        dossier=decision.dossier,
        policy=decision.policy,
        use=decision.use,
        verdict=verdict,
        decided_at=decision.decided_at,
        expires_at=decision.expires_at,
        reference=f"local:{name}",
        evidence=(EvidenceUse(role="facts", digest=decision.facts),),
    )


def decide(registry: Registry, name: str, *, again: bool = False, decided_at: datetime = NOON) -> Recorded:
    """Record a decision on the model `name`."""
    return registry.record_decision(draft_decision(registry, name, decided_at=decided_at), again=again)


def waive(registry: Registry, subject: str, *, rule: str = "no-code-in-weights") -> Recorded:
    """Record a waiver of one rule for one model."""
    scope = Scope(subject=subject)
    until = NOON + timedelta(days=90)
    waiver = Waiver(rule=rule, scope=scope, reason="trial", control="no network", by="ann", issued_at=NOON, until=until)
    envelope = registry.evidence.put(Seal().envelope(waiver))
    return registry.record_waiver(
        RecordedWaiver(
            waiver=wire.digest(waiver),
            envelope=envelope,
            rule=rule,
            subject=subject,
            use="",
            by="ann",
            issued_at=NOON,
            until=until,
        )
    )


def approve(registry: Registry, decision: str, *, by: str = "bob") -> Recorded:
    """Record a person's approval of a decision."""
    approval = Approval(decision=decision, by=by, reason="looked at it", at=NOON)
    envelope = registry.evidence.put(Seal().envelope(approval))
    return registry.record_approval(
        RecordedApproval(approval=wire.digest(approval), envelope=envelope, decision=decision, by=by, at=NOON)
    )


def fill(registry: Registry, *, models: int = 3) -> None:
    """Some of everything: decisions, one of them repeated, a waiver, an approval and an event."""
    recorded = [decide(registry, f"acme/model-{number}") for number in range(models)]
    decide(registry, "acme/model-0", again=True, decided_at=NOON + timedelta(days=1))
    row = registry.read_decision(recorded[0].digest)
    if row is not None:
        waive(registry, row.subject)
    approve(registry, recorded[0].digest)
    key = registry.evidence.put(b"a public key")
    evidence = (EvidenceUse(role="key", digest=key),)
    registry.record_event(RecordedEvent(kind="key.rotated", digest=key, at=NOON, evidence=evidence))
