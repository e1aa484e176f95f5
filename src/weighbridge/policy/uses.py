"""A use context as people write it."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import msgspec

from weighbridge.errors import MalformedArtifactError, UsageError
from weighbridge.policy.bounded_yaml import Refusal, refuse_unknown_keys
from weighbridge.registry import wire
from weighbridge.vocabulary import Answer, UseContext, clip

_WORDS = {True: Answer.YES.value, False: Answer.NO.value}


def read_use(raw: Any, *, where: str, subject: str, refusal: Refusal) -> UseContext:
    """A use from plain values; `true` and `false` stand for the answers yes and no.

    Raises:
        PolicyError, UsageError: as `refusal` says.
    """
    if not isinstance(raw, dict):
        raise refusal(f"{where} is not a mapping", subject=subject, remedy="Write `purpose: …` and the like.")
    refuse_unknown_keys(raw, (f.name for f in fields(UseContext)), where=where, subject=subject, refusal=refusal)
    plain = {key: _WORDS[value] if isinstance(value, bool) else value for key, value in raw.items()}
    try:
        return wire.convert(UseContext, plain)
    except msgspec.ValidationError as problem:
        raise refusal(f"{where}: {clip(str(problem))}", subject=subject, remedy="Correct that field.") from problem


def require_signable(use: Any) -> UseContext:
    """The use itself, where every field is of its type and can be written and signed.

    Raises:
        UsageError: it is no use, or holds what JSON cannot hold: text that is none, a number beyond 2^53.
    """
    if not isinstance(use, UseContext):
        raise UsageError(f"the use is {type(use).__name__}, not a UseContext", subject="use")
    try:
        wire.canonical(use)
        return wire.decode(UseContext, wire.encode(use))
    except (MalformedArtifactError, TypeError, ValueError, OverflowError) as problem:
        raise UsageError(f"the use cannot be signed: {clip(str(problem))}", subject="use") from problem


def require_text(**said: str) -> None:
    """What a person says beside a signature must be text.

    Raises:
        UsageError: one of the words holds what is none; it is named.
    """
    for name, text in said.items():
        try:
            text.encode()
        except UnicodeEncodeError as problem:
            raise UsageError(f"{name} holds what is no text", subject=name) from problem
