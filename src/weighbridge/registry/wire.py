"""Words as JSON: encoding for people and pipes, and the RFC 8785 form that digests are taken of."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import replace
from typing import Any, TypeVar

import msgspec

from weighbridge.errors import MalformedArtifactError
from weighbridge.vocabulary import Dossier, Manifest

W = TypeVar("W")

_MAKING = threading.Lock()
"""msgspec 0.22 crashes the interpreter where two threads work out the fields of the same dataclass at once."""
_DECODERS: dict[object, Any] = {}


def encode(word: object) -> bytes:
    """A word as compact JSON, which `decode` reads back equal."""
    return msgspec.json.encode(word)


def decode(kind: type[W], data: bytes) -> W:
    """Read a word back, checking every type.

    Raises:
        MalformedArtifactError: the bytes are not JSON of this word.
    """
    try:
        return decoder(kind).decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as problem:
        raise MalformedArtifactError(f"not a {kind.__name__}: {problem}") from problem


def decoder(kind: type[W]) -> msgspec.json.Decoder[W]:
    """The decoder of a word, made once; decoding with it is safe in any thread."""
    with _MAKING:
        if kind not in _DECODERS:
            _DECODERS[kind] = msgspec.json.Decoder(kind)
        made: msgspec.json.Decoder[W] = _DECODERS[kind]
        return made


def convert(kind: type[W], value: object) -> W:
    """A word from dicts, lists, strings and numbers, checking every type.

    Raises:
        msgspec.ValidationError: they are not this word.
    """
    decoder(kind)
    return msgspec.convert(value, kind)


def plain(word: object) -> Any:
    """A word as dicts, lists, strings and numbers: what JSON would hold."""
    return msgspec.to_builtins(word)


def canonical(word: object) -> bytes:
    """The RFC 8785 (JSON Canonicalization Scheme) bytes of a word or of plain values."""
    import rfc8785

    return rfc8785.dumps(plain(word))


def digest(word: object) -> str:
    """sha256, in hexadecimal, of the canonical form."""
    return hashlib.sha256(canonical(word)).hexdigest()


def root_digest(manifest: Manifest) -> str:
    """The subject: sha256 of the RFC 8785 form of `{"entries": [{"path", "sha256", "size_bytes"}, …]}`."""
    return digest(manifest)


def dossier_body(dossier: Dossier) -> Dossier:
    """The dossier without `tools`: what its digest covers, so that tool versions do not change it."""
    return replace(dossier, tools=())


def dossier_digest(dossier: Dossier) -> str:
    """The digest that a decision names."""
    return digest(dossier_body(dossier))


def model_signing_digest(manifest: Manifest) -> str:
    """The OpenSSF Model Signing 1.0 digest: sha256 over the raw file digests, paths compared part by part. It binds no names."""
    ordered = sorted(manifest.entries, key=lambda entry: entry.path.split("/"))
    return hashlib.sha256(b"".join(bytes.fromhex(entry.sha256) for entry in ordered)).hexdigest()
