"""Putting a decision down: evidence first, then decision, log entry and checkpoint in one transaction."""

from __future__ import annotations

import hashlib

from weighbridge.admission.decision import FACTS, Exceptions, Grounds
from weighbridge.admission.installation import Installation
from weighbridge.attestation.dsse import IN_TOTO, sign_payload, verify_envelope
from weighbridge.attestation.statement import approval_statement, decision_statement, read_decision, waiver_statement
from weighbridge.errors import TamperedError
from weighbridge.registry import wire
from weighbridge.registry.records import EvidenceUse, RecordedDecision
from weighbridge.vocabulary import Decision, Manifest


def decision_digest(decision: Decision) -> str:
    """The name of a decision: sha256 of its in-toto statement."""
    return hashlib.sha256(decision_statement(decision)).hexdigest()


def record(  # noqa: PLR0913  # what a decision is recorded with
    house: Installation,
    decision: Decision,
    grounds: Grounds,
    *,
    exceptions: Exceptions,
    reference: str,
    key: str,
    manifest: Manifest,
    again: bool = False,
) -> Decision:
    """Keep the evidence, sign the decision and record it; gives the decision that stands, which may be an earlier one.

    Raises:
        LogUnavailableError: the log cannot be written, so there is no decision.
    """
    evidence = house.registry.evidence
    payload = decision_statement(decision)
    evidence.put(wire.canonical(manifest))
    row = RecordedDecision(
        key=key,
        decision=hashlib.sha256(payload).hexdigest(),
        envelope=evidence.put(sign_payload(payload, IN_TOTO, house.signing_key)),
        subject=decision.subject,
        dossier=decision.dossier,
        policy=decision.policy,
        use=decision.use,
        verdict=decision.verdict,
        decided_at=decision.decided_at,
        expires_at=decision.expires_at,
        reference=reference,
        evidence=_keep(house, grounds, exceptions),
    )
    recorded = house.registry.record_decision(row, again=again)
    house.warnings += recorded.warnings
    return decision if recorded.is_fresh else read_recorded(house, recorded.digest)


def _keep(house: Installation, grounds: Grounds, exceptions: Exceptions) -> tuple[EvidenceUse, ...]:
    documents = [
        ("dossier", wire.canonical(wire.dossier_body(grounds.dossier))),
        ("policy", wire.canonical(grounds.policy)),
        ("use", wire.canonical(grounds.use)),
        ("facts", wire.canonical(FACTS)),
        ("tools", wire.canonical(grounds.dossier.tools)),
        *(("waiver", waiver_statement(waiver)) for waiver in exceptions.waivers.values()),
        *(("approval", approval_statement(approval)) for approval in exceptions.approvals.values()),
        *(("approved", decision_statement(earlier)) for earlier in exceptions.approved.values()),
    ]
    put = house.registry.evidence.put
    return tuple(EvidenceUse(role=role, digest=put(data)) for role, data in documents)


def read_recorded(house: Installation, digest: str) -> Decision:
    """The decision with this digest, its signature checked.

    Raises:
        TamperedError: it is not there, or not what was signed.
        SigningError: it was signed by a key that is not trusted here.
    """
    row = house.registry.read_decision(digest)
    if row is None:
        raise TamperedError(f"there is no decision {digest}", subject=digest, remedy="run: weighbridge verify")
    payload = verify_envelope(house.registry.evidence.read(row.envelope), house.verifying_keys())
    if hashlib.sha256(payload).hexdigest() != digest:
        raise TamperedError(
            "the index names another statement than was signed", subject=digest, remedy="run: weighbridge rebuild"
        )
    return read_decision(payload)
