"""What an attack case is, and the small assemblers that the families share.

A case is harmless: what it would run makes an empty file at the canary's place, or asks for an address of this machine where
nobody listens. Nothing here is built with the analyser or its test tools.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass, field

CANARY = os.environ.get("CANARY", "/tmp/weighbridge-canary")
"""The file whose appearance proves that a case is live. Names that begin with it count too."""
SHELL = f"touch {CANARY}"
STATEMENT = f"open({CANARY!r}, 'w')"
EXPRESSION = f"__import__('os').system({SHELL!r})"
Argument = "bytes | str | int | None | list | dict | tuple | Raw"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One attack: its files, by relative path, and how the one that matters is loaded.

    `loader` names a loader of `prove.py`, or "none" where nothing executes at load or the loader is not a Python one.
    `link` maps a relative path to the target of a symbolic link.
    """

    id: str
    kind: str
    files: dict[str, bytes]
    loader: str = "none"
    entry: str = ""
    link: dict[str, str] = field(default_factory=dict)
    note: str = ""


class Raw(bytes):
    """Opcodes that leave one object on the stack."""


def glob(module: str, name: str) -> Raw:
    return Raw(b"c" + module.encode() + b"\n" + name.encode() + b"\n")


def short(text: str) -> bytes:
    data = text.encode("utf-8", "surrogatepass")
    return b"\x8c" + bytes([len(data)]) + data if len(data) < 256 else long(text)


def long(text: str) -> bytes:
    data = text.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(data)) + data


def stack_glob(module: str, name: str) -> Raw:
    return Raw(short(module) + short(name) + b"\x93")


def push(value: object) -> bytes:
    match value:
        case Raw():
            return bytes(value)
        case None:
            return b"N"
        case bool():
            return b"\x88" if value else b"\x89"
        case bytes():
            return b"B" + struct.pack("<I", len(value)) + value
        case str():
            return long(value)
        case int():
            return b"J" + struct.pack("<i", value)
        case tuple():
            return b"(" + b"".join(map(push, value)) + b"t"
        case list():
            return b"](" + b"".join(map(push, value)) + b"e"
        case dict():
            return b"}(" + b"".join(push(k) + push(v) for k, v in value.items()) + b"u"
    raise TypeError(type(value))


def called(function: Raw, *arguments: object) -> Raw:
    """REDUCE of a function that opcodes push."""
    return Raw(bytes(function) + push(tuple(arguments)) + b"R")


def call(module: str, name: str, *arguments: object) -> Raw:
    """REDUCE of a name; dotted names need protocol 4."""
    return called(stack_glob(module, name) if "." in name else glob(module, name), *arguments)


def stream(body: bytes, protocol: int = 4) -> bytes:
    return b"\x80" + bytes([protocol]) + body + b"."


def system() -> Raw:
    return call("os", "system", SHELL)


def one(kind: str, name: str, data: bytes, *, path: str = "model.pkl", loader: str = "pickle", note: str = "") -> Case:
    """A case of one file."""
    return Case(id=f"{kind}/{name}", kind=kind, files={path: data}, loader=loader, entry=path, note=note)
