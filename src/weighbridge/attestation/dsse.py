"""Signed envelopes: DSSE 1.0 (github.com/secure-systems-lab/dsse) by securesystemslib, with Ed25519.

Envelopes are written in their RFC 8785 form and read back only in that form, so that no byte of one can change unnoticed,
not even one that the signature does not cover.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from weighbridge.attestation.keys import SigningKey, VerifyingKey
from weighbridge.errors import MalformedArtifactError, SigningError, TamperedError
from weighbridge.registry import wire
from weighbridge.vocabulary import clip

IN_TOTO = "application/vnd.in-toto+json"
"""The payload type of an in-toto statement."""

LIMIT_BYTES = 64 * 1024 * 1024
_LIMIT_SIGNATURES = 16


class _Signature(msgspec.Struct, forbid_unknown_fields=True):
    keyid: str
    sig: str


class _Envelope(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    payload: str
    payload_type: str
    signatures: list[_Signature]


def sign_payload(payload: bytes, payload_type: str, signer: SigningKey) -> bytes:
    """Wrap and sign. The same payload and key give the same envelope, byte for byte (Ed25519 is deterministic)."""
    from securesystemslib.dsse import Envelope
    from securesystemslib.signer import CryptoSigner, SSlibKey  # type: ignore[attr-defined]  # re-exported without saying so

    public = SSlibKey.from_crypto(signer.public_key.public_key(), keyid=signer.key_id)
    envelope = Envelope(payload, payload_type, {})
    envelope.sign(CryptoSigner(signer.private, public))
    return wire.canonical(envelope.to_dict())


def verify_envelope(envelope: bytes, keys: Iterable[VerifyingKey], *, payload_type: str = IN_TOTO) -> bytes:
    """Check every signature of an envelope and return its payload.

    Args:
        envelope: what `sign_payload` wrote.
        keys: the keys that are trusted; each signature must be by one of them.
        payload_type: what the payload must be declared as.

    Raises:
        MalformedArtifactError: it is no envelope, or declares another payload type.
        SigningError: it is signed by a key that is not among `keys`.
        TamperedError: a signature does not fit, or the envelope is not byte for byte as it was written.
    """
    from securesystemslib.dsse import Envelope
    from securesystemslib.exceptions import VerificationError
    from securesystemslib.signer import SSlibKey  # type: ignore[attr-defined]  # re-exported without saying so

    read = _read(envelope)
    if read.payload_type != payload_type:
        raise MalformedArtifactError(f"the envelope holds {clip(read.payload_type, 80)}, not {payload_type}")
    trusted = {key.key_id: key for key in keys}
    signers = [signature.keyid for signature in read.signatures]
    if stranger := next((keyid for keyid in signers if keyid not in trusted), ""):
        remedy = "Put its public key under trusted/ in the keys folder if you trust it."
        raise SigningError(
            f"signed by a key that is not trusted: {clip(stranger, 80)}", subject=clip(stranger, 80), remedy=remedy
        )
    known = [SSlibKey.from_crypto(trusted[keyid].public_key(), keyid=keyid) for keyid in signers]
    try:
        parsed = Envelope.from_dict(msgspec.to_builtins(read))
        parsed.verify(list(known), threshold=len(known))
    except VerificationError as problem:
        raise _changed("the signature does not fit the payload", signers[0]) from problem
    except (ValueError, KeyError) as problem:
        raise MalformedArtifactError(f"not an envelope: {clip(str(problem))}") from problem
    if wire.canonical(parsed.to_dict()) != envelope:
        raise _changed("the envelope is not byte for byte as it was written", signers[0])
    return bytes(parsed.payload)


def _read(envelope: bytes) -> _Envelope:
    if len(envelope) > LIMIT_BYTES:
        raise MalformedArtifactError(f"an envelope of {len(envelope)} bytes; the limit is {LIMIT_BYTES}")
    try:
        read = wire.decoder(_Envelope).decode(envelope)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as problem:
        raise MalformedArtifactError(f"not an envelope: {clip(str(problem))}") from problem
    signers = {signature.keyid for signature in read.signatures}
    if not 0 < len(read.signatures) <= _LIMIT_SIGNATURES or len(signers) != len(read.signatures):
        raise MalformedArtifactError(f"an envelope has 1 to {_LIMIT_SIGNATURES} signatures by different keys")
    return read


def _changed(said: str, key_id: str) -> TamperedError:
    remedy = "Restore it from a copy; `weighbridge verify` checks everything that is stored."
    return TamperedError(said, subject=key_id, remedy=remedy)
