"""The coders of 7z archives that Python's own libraries unfold, within limits.

Source: Methods.txt of the LZMA SDK 25.01. What needs other libraries (PPMd, BCJ2, ARM64, AES, Zstandard) is not unfolded.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from dataclasses import dataclass
from typing import Any

from weighbridge.errors import MalformedArtifactError

UNFOLDED_LIMIT_BYTES = 32 << 20
"""Largest folder that is unfolded."""
_COPY, _DEFLATE, _BZIP2, _LZMA, _LZMA2, _DELTA = b"\0", b"\4\1\x08", b"\4\2\2", b"\3\1\1", b"\x21", b"\3"
_BRANCHES = {
    b"\3\3\1\3": lzma.FILTER_X86,
    b"\4": lzma.FILTER_X86,
    b"\3\3\2\5": lzma.FILTER_POWERPC,
    b"\5": lzma.FILTER_POWERPC,
    b"\3\3\4\1": lzma.FILTER_IA64,
    b"\6": lzma.FILTER_IA64,
    b"\3\3\5\1": lzma.FILTER_ARM,
    b"\7": lzma.FILTER_ARM,
    b"\3\3\7\1": lzma.FILTER_ARMTHUMB,
    b"\x08": lzma.FILTER_ARMTHUMB,
    b"\3\3\x08\5": lzma.FILTER_SPARC,
    b"\x09": lzma.FILTER_SPARC,
}
_LEAST_DICTIONARY = 4096
_TAIL_BYTES = 16
"""More than an encoder of LZMA writes to end its last symbol."""


@dataclass(frozen=True, slots=True)
class Coder:
    """One coder: its id and its properties."""

    id: bytes
    properties: bytes


def is_read(chain: tuple[Coder, ...]) -> bool:
    """Whether a chain is one that is unfolded here."""
    if not chain:
        return False
    first, rest = chain[0].id, chain[1:]
    if first in (_COPY, _DEFLATE, _BZIP2):
        return not rest
    if first == _LZMA:  # a filter behind a stream without an end would keep its last bytes
        return all(coder.id == _DELTA for coder in rest)
    return first == _LZMA2 and all(coder.id in _BRANCHES or coder.id == _DELTA for coder in rest)


def unfold(chain: tuple[Coder, ...], packed: bytes, size_bytes: int) -> bytes:
    """What a packed stream holds.

    Raises:
        MalformedArtifactError: it does not unfold to that size, or is none that is read.
    """
    if not is_read(chain) or size_bytes > UNFOLDED_LIMIT_BYTES:
        raise MalformedArtifactError("a stream that is not unfolded here")
    try:
        data = _unfold(chain, packed, size_bytes)
    except (lzma.LZMAError, zlib.error, OSError, ValueError, EOFError) as broken:
        raise MalformedArtifactError("a packed stream is broken") from broken
    if len(data) != size_bytes:
        raise MalformedArtifactError("a packed stream does not unfold to its size")
    return data


def _unfold(chain: tuple[Coder, ...], packed: bytes, size_bytes: int) -> bytes:
    first = chain[0].id
    if first == _COPY:
        return packed
    if first == _LZMA:
        return _unfold_endless(chain, packed, size_bytes)
    engine: Any = bz2.BZ2Decompressor()
    if first == _DEFLATE:
        engine = zlib.decompressobj(-15)
    elif first == _LZMA2:
        engine = _engine(chain, size_bytes)
    data: bytes = engine.decompress(packed, size_bytes + 1)
    if not engine.eof or engine.unused_data:
        raise MalformedArtifactError("a packed stream does not end where it should")
    return data


def _engine(chain: tuple[Coder, ...], size_bytes: int) -> lzma.LZMADecompressor:
    filters = [_filter(coder, size_bytes) for coder in reversed(chain)]
    return lzma.LZMADecompressor(format=lzma.FORMAT_RAW, filters=filters)


def _unfold_endless(chain: tuple[Coder, ...], packed: bytes, size_bytes: int) -> bytes:
    """LZMA without an end mark: it has all when the size is reached, which must take its last bytes too."""
    engine = _engine(chain, size_bytes)
    data = engine.decompress(packed[:-_TAIL_BYTES], size_bytes)
    if len(data) == size_bytes and len(packed) > _TAIL_BYTES:
        raise MalformedArtifactError("bytes stand behind a packed stream")
    return data + engine.decompress(packed[-_TAIL_BYTES:], size_bytes - len(data))


def _filter(coder: Coder, size_bytes: int) -> dict[str, Any]:
    """A coder as liblzma has it; no dictionary is larger than what is unfolded."""
    largest = max(size_bytes, _LEAST_DICTIONARY)
    if coder.id == _LZMA:
        if len(coder.properties) != 5 or coder.properties[0] >= 9 * 5 * 5:
            raise ValueError("the properties of LZMA")
        packed, dictionary = coder.properties[0], int.from_bytes(coder.properties[1:], "little")
        modes = {"lc": packed % 9, "lp": packed // 9 % 5, "pb": packed // 45}
        return {"id": lzma.FILTER_LZMA1, "dict_size": min(max(dictionary, _LEAST_DICTIONARY), largest), **modes}
    if coder.id == _LZMA2:
        if len(coder.properties) != 1 or coder.properties[0] > 40:
            raise ValueError("the properties of LZMA2")
        bits = coder.properties[0]
        dictionary = (2 | bits & 1) << bits // 2 + 11
        return {"id": lzma.FILTER_LZMA2, "dict_size": min(dictionary, largest)}
    if coder.id == _DELTA:
        return {"id": lzma.FILTER_DELTA, "dist": (coder.properties[0] if coder.properties else 0) + 1}
    return {"id": _BRANCHES[coder.id]}
