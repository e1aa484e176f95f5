"""Signed checkpoints of the log: what can be kept elsewhere, so that a rewritten log is told from the one that was.

A checkpoint is a C2SP tlog-checkpoint, a signed note with Ed25519 signatures:

    <origin>
    <size of the log, in leaves>
    <base64 of the root hash>

    — <key name> <base64 of 4 bytes of key hash and 64 bytes of signature>

The key name is the origin; the key hash is the first 4 bytes of SHA-256(name, 0x0A, 0x01, public key). The signature covers
the text above the blank line, with its last newline. Signatures by unknown keys are passed over, as the specification says;
a known key whose signature does not fit refuses the whole note.

Sources: https://c2sp.org/signed-note, https://c2sp.org/tlog-checkpoint
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from weighbridge.attestation.keys import VerifyingKey
from weighbridge.errors import MalformedArtifactError, SigningError, TamperedError
from weighbridge.vocabulary import clip

LIMIT_CHARACTERS = 64 * 1024
_LIMIT_SIGNATURES = 64
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")
_DASH = "\N{EM DASH} "


class NoteSigner(Protocol):
    """What a note is signed with: an Ed25519 key."""

    @property
    def public_key(self) -> VerifyingKey:
        """The public half."""
        ...

    def sign(self, data: bytes) -> bytes:
        """The raw Ed25519 signature of `data`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A verified tree head. `root` is the 32 bytes of the RFC 6962 root; `signers` are the ids of the keys that fit."""

    origin: str
    size: int
    root: bytes
    signers: tuple[str, ...]
    extensions: tuple[str, ...] = ()


def sign_checkpoint(origin: str, size: int, root: bytes, signer: NoteSigner) -> str:
    """The signed note for a log of `size` leaves with this root.

    Args:
        origin: the log's own name, such as `example.com/log42`; without spaces and plus signs.
        size: leaves, 0 or more.
        root: 32 bytes.
        signer: the log's key.

    Raises:
        MalformedArtifactError: one of these cannot be put into a checkpoint.
    """
    if size < 0 or len(root) != hashlib.sha256().digest_size:
        raise MalformedArtifactError(f"no checkpoint has size {size} and a root of {len(root)} bytes", subject=origin)
    return sign_note(f"{origin}\n{size}\n{base64.b64encode(root).decode()}\n", name=origin, signer=signer)


def read_checkpoint(text: str, keys: Iterable[VerifyingKey], *, name: str = "") -> Checkpoint:
    """Verify a checkpoint and read it.

    Args:
        text: the signed note.
        keys: keys of which at least one must have signed.
        name: the key name in signature lines, where it is not the origin.

    Raises:
        MalformedArtifactError: it is not a checkpoint.
        SigningError: no known key signed it.
        TamperedError: the signature of a known key does not fit.
    """
    origin = text.split("\n", 1)[0]
    body, signers = open_note(text, keys, name=name or origin)
    lines = body.removesuffix("\n").split("\n")
    if len(lines) < 3 or not all(lines):
        raise MalformedArtifactError("a checkpoint has at least three lines, none of them empty", subject=clip(origin))
    _, size, root, *extensions = lines
    if not _SIZE.fullmatch(size):
        raise MalformedArtifactError(f"not the size of a log: {clip(size, 40)}", locator="line 2", subject=clip(origin))
    decoded = _decode(root, "line 3")
    if len(decoded) != hashlib.sha256().digest_size:
        raise MalformedArtifactError(f"a root of {len(decoded)} bytes", locator="line 3", subject=clip(origin))
    return Checkpoint(origin=origin, size=int(size), root=decoded, signers=signers, extensions=tuple(extensions))


def sign_note(text: str, *, name: str, signer: NoteSigner) -> str:
    """Sign a text that ends in a newline, under a key name.

    Raises:
        MalformedArtifactError: the text or the name cannot be part of a note.
    """
    _refuse_bad_name(name)
    if not text.endswith("\n") or not _is_clean(text):
        raise MalformedArtifactError(
            "a note ends in a newline and holds no other control character", subject=clip(name)
        )
    blob = _key_hash(name, signer.public_key) + signer.sign(text.encode())
    return f"{text}\n{_DASH}{name} {base64.b64encode(blob).decode()}\n"


def open_note(note: str, keys: Iterable[VerifyingKey], *, name: str) -> tuple[str, tuple[str, ...]]:
    """Verify a signed note; returns its text and the ids of the keys that signed it under `name`.

    Raises:
        MalformedArtifactError, SigningError, TamperedError: as for `read_checkpoint`.
    """
    _refuse_bad_name(name)
    if len(note) > LIMIT_CHARACTERS or not _is_clean(note) or not note.endswith("\n"):
        raise MalformedArtifactError("not a signed note: too long, cut off, or with control characters")
    text, blank, tail = note.rpartition("\n\n")
    lines = tail.removesuffix("\n").split("\n")
    if not blank or not text or len(lines) > _LIMIT_SIGNATURES:
        raise MalformedArtifactError("not a signed note: a blank line parts the text from 1 to 64 signatures")
    text += "\n"
    known = {_key_hash(name, key): key for key in keys}
    signers = []
    for line in lines:
        signed_by, blob = _signature(line)
        key = known.get(blob[:4])
        if signed_by != name or key is None:
            continue
        if not key.fits(blob[4:], text.encode()):
            remedy = "Compare it with the copy that was kept elsewhere."
            raise TamperedError("the signature does not fit the note", subject=clip(name), remedy=remedy)
        signers.append(key.key_id)
    if not signers:
        remedy = "Put the public key of the log under trusted/ in the keys folder."
        raise SigningError(f"no known key signed this note as {clip(name)}", subject=clip(name), remedy=remedy)
    return text, tuple(dict.fromkeys(signers))


def _key_hash(name: str, key: VerifyingKey) -> bytes:
    return hashlib.sha256(name.encode() + b"\n\x01" + key.raw).digest()[:4]


def _signature(line: str) -> tuple[str, bytes]:
    parts = line.removeprefix(_DASH).split(" ")
    if not line.startswith(_DASH) or len(parts) != 2:
        raise MalformedArtifactError(f"not a signature line: {clip(line, 80)}")
    name, encoded = parts
    _refuse_bad_name(name)
    blob = _decode(encoded, "signature")
    if len(blob) <= 4:
        raise MalformedArtifactError(f"not a signature line: {clip(line, 80)}")
    return name, blob


def _decode(encoded: str, locator: str) -> bytes:
    """Standard base64 in its one canonical spelling."""
    try:
        decoded = base64.b64decode(encoded, validate=True)
    except ValueError as problem:
        raise MalformedArtifactError(f"not base64: {clip(encoded, 80)}", locator=locator) from problem
    if base64.b64encode(decoded).decode() != encoded:
        raise MalformedArtifactError(f"not canonical base64: {clip(encoded, 80)}", locator=locator)
    return decoded


def _refuse_bad_name(name: str) -> None:
    if not name or "+" in name or any(character.isspace() for character in name) or not _is_clean(name):
        raise MalformedArtifactError(
            f"not a key name: {clip(name, 80)!r}", remedy="Use a name such as example.com/log."
        )


def _is_clean(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return all(character == "\n" or character >= " " for character in text)
