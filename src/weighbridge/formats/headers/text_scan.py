"""Is a file text, all of it: valid UTF-8 or UTF-16 without control characters. Streamed, so that size does not matter."""

from __future__ import annotations

import codecs
import hashlib
import re
from dataclasses import dataclass

from weighbridge.formats.headers.hidden import find_hidden
from weighbridge.formats.reading.source import Source

SCAN_LIMIT_BYTES = 44 << 20
"""What is scanned of one file; the rest of a longer one stays unread."""

_BLOCK_BYTES = 1 << 20
_CONTROLS = bytes(set(range(32)) - set(b"\t\n\v\f\r"))
_CONTROL = re.compile("[\x00-\x08\x0e-\x1f]")
_CARRY = 8
_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_DECODERS = {name: codecs.getincrementaldecoder(name) for _, name in _BOMS}  # looked up here: a jail may open no module


@dataclass(frozen=True, slots=True, kw_only=True)
class TextScan:
    """What a scan saw. `bad_offset` is a byte that text cannot hold (near it, for broken encodings), None where all is text.

    `scanned_bytes` is how far it got; `sha256` is of these bytes; `hidden` has (byte offset, code point).
    """

    encoding: str
    bom_bytes: int
    scanned_bytes: int
    bad_offset: int | None
    sha256: str
    hidden: tuple[tuple[int, str], ...] = ()


def scan_text(source: Source, *, is_thorough: bool) -> TextScan:
    """Scan a file up to SCAN_LIMIT_BYTES. Only a thorough scan hashes it and looks for hidden characters."""
    head = source.head(4)
    bom, encoding = next(((b, name) for b, name in _BOMS if head.startswith(b)), (b"", "utf-8"))
    decoder = _DECODERS[encoding]()
    digest = hashlib.sha256(head[: len(bom)])
    hidden: list[tuple[int, str]] = []
    end = min(source.size_bytes, SCAN_LIMIT_BYTES)
    position, carry, bad = len(bom), "", None
    while position < end and bad is None:
        block = source.read_at(position, min(_BLOCK_BYTES, end - position))
        is_last = position + len(block) == source.size_bytes
        text, bad = _decode(decoder, block, position, encoding, is_last=is_last)
        if is_thorough:
            digest.update(block)
            if len(hidden) < 8 and not text.isascii():
                hidden += _hidden(carry, text, position, encoding)
            carry = text[-_CARRY:]
        position += len(block)
    return TextScan(
        encoding=encoding,
        bom_bytes=len(bom),
        scanned_bytes=position if bad is None else bad,
        bad_offset=bad,
        sha256=digest.hexdigest(),
        hidden=tuple(hidden[:8]),
    )


def _decode(
    decoder: codecs.IncrementalDecoder, block: bytes, position: int, encoding: str, *, is_last: bool
) -> tuple[str, int | None]:
    """The text of a block and where it stops being text."""
    try:
        text = decoder.decode(block, final=is_last)
    except UnicodeDecodeError as problem:
        return "", position + min(problem.start, len(block) - 1)
    if encoding == "utf-8":
        if len(block.translate(None, _CONTROLS)) == len(block):
            return text, None
        return "", position + next(i for i, byte in enumerate(block) if byte in _CONTROLS)
    match = _CONTROL.search(text)
    return text, None if match is None else position + 2 * match.start()


def _hidden(carry: str, text: str, position: int, encoding: str) -> list[tuple[int, str]]:
    whole = carry + text
    start = len(carry)
    return [
        (position + len(text[: item.index - start].encode(encoding)), item.code_point)
        for item in find_hidden(whole, start=start, is_start=False)
    ]
