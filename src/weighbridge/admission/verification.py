"""Checking, offline: signatures, the log, evidence, and that a model's bytes are still those that were admitted."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from weighbridge.admission.installation import Installation
from weighbridge.admission.recall import Recalled, read_manifest, recall_all
from weighbridge.admission.staging import QUIET, Watch
from weighbridge.attestation.checkpoint import read_checkpoint
from weighbridge.attestation.dsse import verify_envelope
from weighbridge.attestation.keys import VerifyingKey
from weighbridge.attestation.rotation import follow_rotations, read_rotations
from weighbridge.attestation.statement import read_approval, read_decision, read_waiver
from weighbridge.errors import TamperedError, UsageError, WeighbridgeError
from weighbridge.registry import merkle
from weighbridge.registry.copies import newest_copy
from weighbridge.registry.founding import read_identity
from weighbridge.registry.statements import Readers
from weighbridge.registry.verification import NO_CHECKPOINT, check_continues, verify_store
from weighbridge.vocabulary import Verdict

S = TypeVar("S")


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """One thing that was checked, and how it came out."""

    check: str
    passed: bool
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything that was checked. `notes` say what could not be."""

    answers: tuple[Checked, ...]
    notes: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether something was checked and all of it held."""
        return bool(self.answers) and all(answer.passed for answer in self.answers)


def readers_of(keys: tuple[VerifyingKey, ...]) -> Readers:
    """How the registry reads what was signed by one of `keys`."""
    return Readers(
        checkpoint=partial(_read_note, keys),
        decision=partial(_open, keys, read_decision),
        waiver=partial(_open, keys, read_waiver),
        approval=partial(_open, keys, read_approval),
    )


def trusted(house: Installation, key: Path | None) -> tuple[VerifyingKey, ...]:
    """The keys that count: those of this installation, or the pinned one and its signed successors.

    Raises:
        SigningError: a key cannot be read.
    """
    if key is None:
        return house.verifying_keys()
    return follow_rotations(VerifyingKey.read(key), read_rotations(house.keys_folder))


def verify_installation(
    house: Installation, *, checkpoint: Path | None, key: Path | None, watch: Watch = QUIET
) -> Report:
    """Recompute the whole store: log, checkpoints, evidence, index, and the bytes of every model that is kept.

    Raises:
        UsageError: the checkpoint file cannot be read.
    """
    note = read_note(house, checkpoint)
    store = verify_store(
        house.registry,
        readers=readers_of(trusted(house, key)),
        checkpoint=note,
        copies=house.settings.checkpoint_folders,
    )
    answers = [Checked(check="store", passed=False, message=f"{p.subject}: {p.message}") for p in store.problems]
    if store.is_sound:
        counted = (
            f"{store.entries} log entries, {store.checkpoints} checkpoints, {store.evidence_files} evidence files agree"
        )
        answers.append(Checked(check="store", passed=True, message=counted))
    kept = house.registry.blobs.list()
    damaged = list(_damaged(house, kept, watch))
    told = (
        f"{len(damaged)} of {len(kept)} files do not match their digest: {damaged[0][:16]}"
        if damaged
        else f"{len(kept)} files match"
    )
    answers.append(Checked(check="bytes", passed=not damaged, message=told))
    if store.is_sound:
        answers.append(_checked("models", lambda: _check_models(house, set(kept))))
    if note is None:
        return Report(answers=tuple(answers), notes=(store.elsewhere, *store.warnings))
    answers.append(Checked(check="checkpoint", passed=store.is_sound, message=store.elsewhere))
    return Report(answers=tuple(answers), notes=store.warnings)


def verify_decision(
    house: Installation, known: Recalled, *, checkpoint: Path | None, key: Path | None, watch: Watch = QUIET
) -> Report:
    """Check one decision: its signature, its place in the signed log, its evidence, and the bytes of its model.

    Raises:
        UsageError: the checkpoint file cannot be read.
    """
    keys = trusted(house, key)
    note = read_note(house, checkpoint)
    answers = [
        _checked("signature", lambda: _check_signature(house, known, keys)),
        _checked("log", lambda: _check_inclusion(house, known, keys)),
        _checked("evidence", lambda: _check_evidence(house, known)),
        _checked("bytes", lambda: _check_bytes(house, known, watch)),
    ]
    if note is None:
        return Report(answers=tuple(answers), notes=(NO_CHECKPOINT,))
    return Report(
        answers=(
            *answers,
            _checked("checkpoint", lambda: check_continues(house.registry.read_leaf_hashes(), readers_of(keys), note)),
        )
    )


def _checked(check: str, look: Callable[[], str]) -> Checked:
    try:
        return Checked(check=check, passed=True, message=look())
    except WeighbridgeError as problem:
        return Checked(check=check, passed=False, message=problem.message)


def _check_signature(house: Installation, known: Recalled, keys: tuple[VerifyingKey, ...]) -> str:
    envelope = house.registry.evidence.read(known.envelope)
    digest, decision = _open(keys, read_decision, envelope)
    if digest != known.digest or decision != known.decision:
        raise TamperedError("the signed statement is another decision", subject=known.digest)
    return f"signed by a trusted key, statement {digest[:16]}"


def _check_inclusion(house: Installation, known: Recalled, keys: tuple[VerifyingKey, ...]) -> str:
    house.registry.require_current()
    shown = house.registry.prove_inclusion(known.log_index)
    size, root = _read_note(keys, shown.checkpoint.note)
    if (size, root) != (shown.checkpoint.size, shown.checkpoint.root_hash):
        raise TamperedError("the checkpoint says otherwise than its signature", subject=str(size))
    entry = house.registry.read_entry(known.log_index)
    is_there = merkle.verify_inclusion(known.log_index, size, merkle.leaf_hash(shown.entry), shown.proof, root)
    if entry.digest != known.digest or not is_there:
        raise TamperedError("the log does not hold this decision", subject=known.digest)
    return f"entry {known.log_index} of {size}, under a signed checkpoint"


def _check_evidence(house: Installation, known: Recalled) -> str:
    uses = house.registry.query_evidence(known.log_index)
    named = {use.digest for use in uses}
    decision = known.decision
    rests_on = {decision.dossier, decision.policy, decision.use, decision.facts, decision.subject}
    if missing := (rests_on | {*decision.waivers, *decision.approvals}) - named:
        raise TamperedError(f"evidence {min(missing)[:16]} is not kept with the decision", subject=min(missing))
    for digest in named:
        house.registry.evidence.read(digest)
    return f"{len(named)} documents match their digests"


def _check_bytes(house: Installation, known: Recalled, watch: Watch) -> str:
    entries = read_manifest(house, known.decision).entries
    wanted = sorted({entry.sha256 for entry in entries})
    missing = [sha256 for sha256 in wanted if not house.registry.blobs.has(sha256)]
    if missing:
        raise TamperedError(f"{len(missing)} of {len(wanted)} files are not kept any more", subject=missing[0])
    for sha256 in _damaged(house, wanted, watch):
        path = next(entry.path for entry in entries if entry.sha256 == sha256)
        raise TamperedError(f"{path} is no longer what was weighed", subject=sha256)
    return f"{len(entries)} files hold the bytes that were weighed"


def _check_models(house: Installation, kept: set[str]) -> str:
    """Every file of every model that a standing decision lets in or waits for is kept."""
    standing = [known for known in recall_all(house, superseded=False) if known.decision.verdict is not Verdict.REFUSE]
    for known in standing:
        missing = [entry.path for entry in read_manifest(house, known.decision).entries if entry.sha256 not in kept]
        if missing:
            raise TamperedError(
                f"{known.reference}: {len(missing)} files are not kept any more, such as {missing[0]}",
                subject=known.digest,
            )
    return f"the models of {len(standing)} standing decisions are all here"


def _damaged(house: Installation, digests: Iterable[str], watch: Watch) -> Iterator[str]:
    wanted = tuple(digests)
    for number, sha256 in enumerate(wanted):
        watch("verify", sha256[:16], number, len(wanted))
        if not house.registry.blobs.verify(sha256):
            yield sha256


def _read_note(keys: tuple[VerifyingKey, ...], note: str) -> tuple[int, bytes]:
    checkpoint = read_checkpoint(note, keys)
    return checkpoint.size, checkpoint.root


def _open(keys: tuple[VerifyingKey, ...], read: Callable[[bytes], S], envelope: bytes) -> tuple[str, S]:
    payload = verify_envelope(envelope, keys)
    return hashlib.sha256(payload).hexdigest(), read(payload)


def read_note(house: Installation, file: Path | None) -> str | None:
    """The text of a checkpoint that was kept elsewhere: `file`, else the newest copy in the configured folders.

    Raises:
        UsageError: the file cannot be read.
    """
    if file is None:
        folders = house.settings.checkpoint_folders if house.has_store else ()
        return newest_copy(folders, read_identity(house.registry_root).id) if folders else None
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        raise UsageError(f"the checkpoint cannot be read: {problem}", subject=str(file)) from problem
