"""What people sign: waivers, approvals and key rotations, and those of them that stand for a model."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeVar
from unicodedata import normalize

from weighbridge.admission.decision import Exceptions, Grounds, decide
from weighbridge.admission.installation import Installation
from weighbridge.admission.recall import Recalled, read_grounds, read_manifest
from weighbridge.admission.recording import read_recorded, record
from weighbridge.attestation.dsse import IN_TOTO, sign_payload, verify_envelope
from weighbridge.attestation.rotation import read_rotations
from weighbridge.attestation.rotation import rotate_key as rotate_key_file
from weighbridge.attestation.statement import approval_statement, read_approval, read_waiver, waiver_statement
from weighbridge.errors import SigningError, UsageError
from weighbridge.policy.floor import LAWS, WAIVABLE
from weighbridge.policy.judgement import WAIVER_DAYS, waiver_holds
from weighbridge.policy.uses import require_text
from weighbridge.registry import wire
from weighbridge.registry.queries import DecisionFilter
from weighbridge.registry.records import EvidenceUse, RecordedApproval, RecordedEvent, RecordedWaiver
from weighbridge.vocabulary import Approval, Decision, Policy, Scope, UseContext, Waiver

S = TypeVar("S")


@dataclass(frozen=True, slots=True, kw_only=True)
class Exemption:
    """What somebody asks a waiver for."""

    rule: str
    reason: str
    control: str
    by: str
    until: datetime
    every_use: bool


def standing_waivers(house: Installation, *, subject: str, use: UseContext) -> dict[str, Waiver]:
    """Waivers of this installation that cover this model and use today, by digest, their signatures checked."""
    now = house.now()
    rows = house.registry.query_waivers(subject, at=now)
    signed = {row.waiver: _open(house, row.envelope, read_waiver) for row in rows}
    named = wire.digest(use)
    return {key: waiver for key, waiver in signed.items() if waiver_holds(waiver, subject=subject, use=named, now=now)}


def standing_exceptions(house: Installation, grounds: Grounds, waivers: dict[str, Waiver]) -> Exceptions:
    """`waivers`, and the approvals of earlier decisions on the very same dossier, policy and use that have not expired."""
    shown = wire.dossier_digest(grounds.dossier)
    same = DecisionFilter(
        subject=grounds.dossier.subject, policy=wire.digest(grounds.policy), use=wire.digest(grounds.use), latest=False
    )
    earlier = house.registry.query_decisions(same)
    now = house.now()
    bound = {made.decision: made for made in earlier if made.dossier == shown and now < made.expires_at}
    rows = [row for decision in bound for row in house.registry.query_approvals(decision) if row.at <= now]
    approvals = {row.approval: _open(house, row.envelope, read_approval) for row in rows}
    approved = {one.decision: read_recorded(house, one.decision) for one in approvals.values()}
    return Exceptions(waivers=waivers, approvals=approvals, approved=approved)


def waive(house: Installation, known: Recalled, asked: Exemption) -> tuple[str, Waiver]:
    """Sign and record a waiver for the model and use of a decision; gives its digest and the waiver.

    Raises:
        UsageError: the rule is not in the policy of the decision, the end is past or more than 180 days ahead, there is no
            reason, or the one who signs is the owner of the use.
    """
    decision = known.decision
    grounds = read_grounds(house, decision)
    issued_at = house.now()
    require_text(by=asked.by, reason=asked.reason, control=asked.control)
    _refuse_self_service(asked.by, grounds.use)
    _refuse_unknown_rule(asked.rule, decision, grounds.policy)
    if not asked.reason.strip():
        raise UsageError("a waiver needs a reason", subject=asked.rule)
    last = issued_at + timedelta(days=WAIVER_DAYS)
    if not issued_at < asked.until <= last:
        raise UsageError(
            f"a waiver ends after today and within {WAIVER_DAYS} days",
            subject=asked.rule,
            remedy=f"--until {last - timedelta(days=1):%Y-%m-%d} is the latest",
        )
    waiver = Waiver(
        rule=asked.rule,
        scope=Scope(subject=decision.subject, use="" if asked.every_use else decision.use),
        reason=asked.reason,
        control=asked.control,
        by=asked.by,
        issued_at=issued_at,
        until=asked.until,
    )
    payload = waiver_statement(waiver)
    row = RecordedWaiver(
        waiver=hashlib.sha256(payload).hexdigest(),
        envelope=_sign(house, payload),
        rule=waiver.rule,
        subject=waiver.scope.subject,
        use=waiver.scope.use,
        by=waiver.by,
        issued_at=waiver.issued_at,
        until=waiver.until,
    )
    house.registry.record_waiver(row)
    return row.waiver, waiver


def approve(house: Installation, known: Recalled, *, by: str, reason: str) -> Decision:
    """Sign a yes to a decision that stands, and decide again with it; gives the new decision.

    Raises:
        UsageError: the decision is no referral, has expired, was superseded or lies in the future, there is no reason, or the
            approver is the owner of the use.
    """
    decision, now = known.decision, house.now()
    grounds = read_grounds(house, decision)
    require_text(by=by, reason=reason)
    _refuse_self_service(by, grounds.use)
    if not reason.strip():
        raise UsageError("an approval needs a reason", subject=known.digest)
    if decision.expires_at <= now:
        raise UsageError("the decision has expired", subject=known.digest, remedy="admit the model again, then approve")
    if now < decision.decided_at:
        raise UsageError(
            "the decision was made later than it is by this clock",
            subject=known.digest,
            remedy="set the clock right, or admit the model again, then approve",
        )
    approval = Approval(decision=known.digest, by=by, reason=reason, at=now)
    payload = approval_statement(approval)
    digest = hashlib.sha256(payload).hexdigest()
    with house.registry.lease(known.key):
        _refuse_superseded(house, known)
        waivers = standing_waivers(house, subject=decision.subject, use=grounds.use)
        given = standing_exceptions(house, grounds, waivers)
        exceptions = replace(
            given,
            approvals={**given.approvals, digest: approval},
            approved={**given.approved, known.digest: decision},
        )
        again = decide(grounds, exceptions, now)
        if again.verdict is decision.verdict:
            raise UsageError(
                f"an approval does not lift what stands in the way: {again.reasons[0].rule}"
                if again.reasons
                else "nothing stands in the way, so there is nothing to approve",
                subject=known.digest,
                remedy=f"see: weighbridge why {known.digest[:12]}",
            )
        envelope = _sign(house, payload)
        house.registry.record_approval(
            RecordedApproval(approval=digest, envelope=envelope, decision=known.digest, by=by, at=now)
        )
        return record(
            house,
            again,
            grounds,
            exceptions=exceptions,
            reference=known.reference,
            key=known.key,
            manifest=read_manifest(house, decision),
            again=True,
        )


def rotate_key(house: Installation) -> None:
    """Put a new signing key in the place of the old one, signed by the old one, and note it in the log.

    Raises:
        SigningError: the key is kept outside of this installation, or there is none yet.
    """
    if house.settings.key_file:
        remedy = "rotate it where it is kept, and put the old public key under keys/trusted/"
        raise SigningError("the signing key is kept elsewhere", subject=str(house.settings.key_file), remedy=remedy)
    old = house.signing_key.key_id
    registry = house.registry
    new = rotate_key_file(house.keys_folder, now=house.now())
    house.signing_key = new
    kept = [registry.evidence.put(envelope) for envelope in read_rotations(house.keys_folder)]
    uses = tuple(EvidenceUse(role="envelope", digest=digest) for digest in kept)
    digest = hashlib.sha256(new.public_key.raw).hexdigest()
    registry.record_event(RecordedEvent(kind="key", digest=digest, subject=old, at=house.now(), evidence=uses))


def _sign(house: Installation, payload: bytes) -> str:
    return house.registry.evidence.put(sign_payload(payload, IN_TOTO, house.signing_key))


def _open(house: Installation, envelope: str, read: Callable[[bytes], S]) -> S:
    return read(verify_envelope(house.registry.evidence.read(envelope), house.verifying_keys()))


def _refuse_self_service(by: str, use: UseContext) -> None:
    if not by.strip():
        raise UsageError("nobody is named", remedy="--by NAME")
    if _folded(by) == _folded(use.owner):
        raise UsageError(
            f"{by} asked for this model and cannot be the one who lets it through",
            subject=by,
            remedy="--by NAME, of somebody else who answers for it",
        )


def _refuse_superseded(house: Installation, known: Recalled) -> None:
    """An approval of what a later decision answered otherwise would bring back evidence that nobody goes by any more."""
    decision = known.decision
    same = DecisionFilter(subject=decision.subject, use=decision.use, policy=decision.policy)
    latest = house.registry.query_decisions(same)[-1].decision
    if latest != known.digest:
        raise UsageError(
            "a later decision answers the same question",
            subject=known.digest,
            remedy=f"see: weighbridge why {latest[:16]}",
        )


def _folded(name: str) -> str:
    """A name without what the eye does not see: width, case and spaces."""
    return "".join(normalize("NFKC", name).casefold().split())


def _refuse_unknown_rule(rule: str, decision: Decision, policy: Policy) -> None:
    if rule in LAWS and rule not in WAIVABLE:
        raise UsageError(
            f"nobody can waive {rule}", subject=rule, remedy=f"see: weighbridge why {decision.subject[:16]}"
        )
    known = {one.id for one in policy.rules} | set(WAIVABLE)
    if rule not in known:
        raise UsageError(
            f"the policy {policy.name}@{policy.version} has no rule {rule!r}",
            subject=rule,
            remedy=f"its rules are: {', '.join(sorted(known))}",
        )
