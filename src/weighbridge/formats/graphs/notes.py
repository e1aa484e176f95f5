"""Notes that travel with a model, key and value: nothing loads them, yet scripts evaluate and unpickle what they find there.

Source: `eval` of the class names in the metadata of ONNX files, as detection scripts of several projects had it.
"""

from __future__ import annotations

import base64
import binascii
import re

NOTE_LIMIT_BYTES = 1 << 20
_CALLS = re.compile(
    rb"__import__\s*\(|__(?:subclasses|globals|builtins)__|\b(?:os\.(?:system|popen|exec[lv]\w*|spawn\w+)"
    rb"|subprocess\.\w+|pty\.spawn|(?:marshal|pickle|cloudpickle)\.loads?)\s*\(|\bexec\s*\(\s*(?:compile|base64|__|open)"
)
_PICKLE = re.compile(rb"\x80[\x02-\x05]")


def call_in(value: bytes) -> str:
    """The first text of a note that only a program for Python would hold, empty where there is none."""
    found = _CALLS.search(value)
    return found.group().decode("ascii", "replace") if found else ""


def pickle_in(value: bytes) -> bytes:
    """The pickle that a note is, as it stands or in base64; empty where it is none."""
    if _PICKLE.match(value):
        return value
    packed = b"".join(value.split())
    if not packed.startswith(b"gA"):  # base64 of the first byte of a pickle and a small number
        return b""
    try:
        data = base64.b64decode(packed + b"=" * (-len(packed) % 4), validate=True)
    except binascii.Error:
        return b""
    return data if _PICKLE.match(data) else b""
