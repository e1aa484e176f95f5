"""Finding what was decided: by digest, by the name a model was asked for, or by the bytes at a local path."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from shlex import quote

from weighbridge.admission.decision import Grounds
from weighbridge.admission.installation import Installation
from weighbridge.admission.recording import read_recorded
from weighbridge.admission.staging import label_of
from weighbridge.errors import UsageError
from weighbridge.hubs.access.references import parse_reference
from weighbridge.registry import wire
from weighbridge.registry.intake import InPlaceIntake
from weighbridge.registry.queries import DecisionFilter, DecisionRow, Label
from weighbridge.vocabulary import Decision, Dossier, Manifest, ModelRef, Policy, Tool, UseContext, clip

_DIGEST = re.compile(r"(?:sha256:)?([0-9a-f]{4,64})\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Which:
    """Which of a model's decisions is meant: under this policy instead of the one in force, for this use instead of any."""

    policy: Policy | None = None
    use: UseContext | None = None

    @property
    def is_said(self) -> bool:
        """Whether anything was said."""
        return self.policy is not None or self.use is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recalled:
    """A recorded decision: its digest, idempotency key, place in the log, and the name it was asked for by.

    `is_superseded` says that a later decision answers the same question: the same model, use and policy.
    """

    digest: str
    key: str
    log_index: int
    envelope: str
    reference: str
    is_superseded: bool
    decision: Decision


def recall(house: Installation, text: str, which: Which | None = None) -> Recalled:
    """The decision that `text` means: a digest of a decision or a model, or its beginning, or a model reference.

    A local path means the bytes that lie there, or, where it is gone, what was admitted under that name. Of a model's latest
    decisions, those under the policy in force come first, and of several uses the strictest is meant, unless `which` says
    otherwise.

    Raises:
        UsageError: nothing was decided on it, or a digest is ambiguous.
        HostileInputError: what lies at the path would not be taken in.
    """
    asked = which or Which()
    rows = (_by_digest(house, text) or _by_reference(house, text)) if house.has_store else ()
    if asked.use is not None:
        rows = tuple(row for row in rows if row.use == wire.digest(asked.use))
    in_force = wire.digest(asked.policy or house.policy())
    preferred = tuple(row for row in rows if row.policy == in_force)
    if asked.policy is None:
        preferred = preferred or rows
    if not preferred:
        raise UsageError(
            f"nothing was decided on {clip(text)}" + (" for that policy and use" if rows or asked.is_said else ""),
            subject=clip(text),
            remedy=f"weighbridge admit {quote(clip(text))}",
        )
    return _recalled(house, max(preferred, key=lambda row: (row.verdict.rank, row.log_index)))


def recall_all(house: Installation, *, superseded: bool) -> tuple[Recalled, ...]:
    """Every decision, the newest first; without `superseded` only the latest of each model, use and policy, unexpired."""
    if not house.has_store:
        return ()
    rows = house.registry.query_decisions(DecisionFilter(latest=not superseded))
    now = house.now()
    return tuple(_recalled(house, row) for row in reversed(rows) if superseded or row.expires_at > now)


def read_grounds(house: Installation, decision: Decision) -> Grounds:
    """Dossier, policy and use of a decision, read from evidence and checked against the digests it names."""
    return Grounds(
        dossier=wire.decode(Dossier, house.registry.evidence.read(decision.dossier)),
        policy=wire.decode(Policy, house.registry.evidence.read(decision.policy)),
        use=wire.decode(UseContext, house.registry.evidence.read(decision.use)),
    )


def read_dossier(house: Installation, known: Recalled) -> Dossier:
    """The dossier of a decision, with the tools that made it."""
    body = wire.decode(Dossier, house.registry.evidence.read(known.decision.dossier))
    return replace(body, tools=read_tools(house, known))


def read_manifest(house: Installation, decision: Decision) -> Manifest:
    """The files of the model of a decision."""
    return wire.decode(Manifest, house.registry.evidence.read(decision.subject))


def read_tools(house: Installation, known: Recalled) -> tuple[Tool, ...]:
    """What produced the evidence of a decision; stands outside its digest."""
    uses = house.registry.query_evidence(known.log_index)
    kept = next((use.digest for use in uses if use.role == "tools"), "")
    return wire.decode(tuple[Tool, ...], house.registry.evidence.read(kept)) if kept else ()


def _by_digest(house: Installation, text: str) -> tuple[DecisionRow, ...]:
    match = _DIGEST.match(text)
    if match is None or (not text.startswith("sha256:") and os.path.lexists(text)):
        return ()
    named = house.registry.find_by_prefix(match[1])
    if named.kind == "decision":
        row = house.registry.read_decision(named.digest)
        return (row,) if row else ()
    return house.registry.query_decisions(DecisionFilter(subject=named.digest)) if named.kind == "subject" else ()


def _by_reference(house: Installation, text: str) -> tuple[DecisionRow, ...]:
    ref = parse_reference(text, house.hubs.found)
    label = label_of(ref)
    labels = house.registry.query_labels(label)
    if not labels and ref.hub != "local":  # an @ in a path is part of a name
        labels = _of_any_revision(house, label)
    if ref.hub != "local" or not os.path.lexists(ref.name):
        return house.registry.query_decisions(DecisionFilter(subject=labels[-1].subject)) if labels else ()
    subject = _subject_at(ref, house)
    rows = house.registry.query_decisions(DecisionFilter(subject=subject))
    if labels and not rows:
        raise UsageError(
            f"{clip(text)} was decided on before, but the bytes that lie there have changed since",
            subject=f"sha256:{subject}",
            remedy=f"weighbridge admit {quote(clip(text))}; what was decided before: weighbridge why {labels[-1].subject[:16]}",
        )
    return rows


def _of_any_revision(house: Installation, label: str) -> tuple[Label, ...]:
    """The names of the one model that is known by revisions only; of several, one has to be named."""
    labels = tuple(known for known in house.registry.query_labels() if known.reference.startswith(f"{label}@"))
    if len({known.subject for known in labels}) > 1:
        raise UsageError(
            f"{clip(label)} was admitted in several revisions, and never without naming one",
            subject=clip(label),
            remedy=f"name one of: {', '.join(sorted({clip(known.reference) for known in labels})[:8])}",
        )
    return labels


def _subject_at(ref: ModelRef, house: Installation) -> str:
    with InPlaceIntake() as intake:
        house.hub("local").fetch(ref, intake, house.hub_access())
        return intake.finish().root


def _recalled(house: Installation, row: DecisionRow) -> Recalled:
    same = DecisionFilter(subject=row.subject, use=row.use, policy=row.policy)
    latest = house.registry.query_decisions(same)
    return Recalled(
        is_superseded=latest[-1].decision != row.decision,
        digest=row.decision,
        key=row.key,
        log_index=row.log_index,
        envelope=row.envelope,
        reference=row.reference,
        decision=read_recorded(house, row.decision),
    )
