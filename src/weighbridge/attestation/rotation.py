"""Changing the key: the old key signs a statement that names the new one, and stays trusted for what it signed."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from weighbridge.attestation.dsse import IN_TOTO, sign_payload, verify_envelope
from weighbridge.attestation.keys import (
    KEY_FILE,
    NEXT_KEY_FILE,
    ROTATIONS_FOLDER,
    TRUSTED_FOLDER,
    SigningKey,
    VerifyingKey,
    locked,
    write_private,
    write_whole,
    writing,
)
from weighbridge.attestation.statement import KeyRotation, read_rotation, rotation_statement
from weighbridge.errors import SigningError, TamperedError
from weighbridge.registry.durable import PRIVATE_FOLDER, fsync_folder, rename_durably


def rotate_key(folder: Path, *, now: datetime) -> SigningKey:
    """Put a new key in the place of the one in `folder` and return it.

    The old public key goes to `trusted/`, the signed statement to `rotations/`; the old private key is gone at the end. A
    rotation that was interrupted is finished by the next one, with the same new key.

    Args:
        folder: the keys folder.
        now: UTC; the time in the statement.

    Raises:
        SigningError: there is no key yet, or the folder cannot be written.
    """
    with locked(folder):
        old = SigningKey.load(folder / KEY_FILE)
        if not (folder / NEXT_KEY_FILE).exists():
            write_private(folder / NEXT_KEY_FILE, Ed25519PrivateKey.generate())
        new = SigningKey.load(folder / NEXT_KEY_FILE)
        with writing(folder):
            for name in (TRUSTED_FOLDER, ROTATIONS_FOLDER):
                (folder / name).mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
            # Also where a killed rotation made them: the old private key must not go before these names stay.
            fsync_folder(folder)
        write_whole(folder / TRUSTED_FOLDER / f"{old.key_id}.pem", old.public_key.pem)
        rotation = KeyRotation(
            old_key_id=old.key_id, new_key_id=new.key_id, new_public_key=new.public_key.raw.hex(), at=now
        )
        envelope = sign_payload(rotation_statement(rotation), IN_TOTO, old)
        write_whole(folder / ROTATIONS_FOLDER / f"{old.key_id}.json", envelope)
        with writing(folder):
            rename_durably(folder / NEXT_KEY_FILE, folder / KEY_FILE)
        return new


def read_rotations(folder: Path) -> tuple[bytes, ...]:
    """The signed rotation statements of a keys folder, in the order of the old key's id."""
    return tuple(path.read_bytes() for path in sorted((folder / ROTATIONS_FOLDER).glob("*.json")))


def follow_rotations(pinned: VerifyingKey, envelopes: Iterable[bytes]) -> tuple[VerifyingKey, ...]:
    """From a key that somebody trusts, every later key it leads to, in order; the first is `pinned` itself.

    This is how a party that knew an old key checks what a new one signed. Statements by other keys are passed over.

    Raises:
        MalformedArtifactError: an envelope by a key of the chain is no rotation statement.
        TamperedError: one does not fit its signature, or names a key that is not its own.
    """
    waiting = list(envelopes)
    chain = [pinned]
    while True:
        step = _successor(chain[-1], waiting)
        if step is None or step in chain:
            return tuple(chain)
        chain.append(step)


def _successor(key: VerifyingKey, envelopes: list[bytes]) -> VerifyingKey | None:
    for envelope in envelopes:
        try:
            rotation = read_rotation(verify_envelope(envelope, [key]))
        except SigningError:  # by another key: not a step from here
            continue
        raw = bytes.fromhex(rotation.new_public_key)
        successor = VerifyingKey(raw=raw)
        if rotation.old_key_id != key.key_id or rotation.new_key_id != successor.key_id:
            raise TamperedError("a rotation names a key that is not its own", subject=key.key_id)
        return successor
    return None
