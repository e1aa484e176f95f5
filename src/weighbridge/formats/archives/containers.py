"""What a file is besides its own format: containers that some loader would open whatever the file is called.

torch.load tries a tar archive first (torch/serialization.py `_legacy_load`), zip archives are found from their end
(Python's zipfile, Keras), HDF5 files may begin behind a user block (HDF5 File Format Specification 3.0, section II.A), and
joblib inflates by the first bytes (joblib/compressor.py). Each of them is recognised here as its own reader does it.
"""

from __future__ import annotations

import lzma
import re
import tarfile
import zlib
from collections.abc import Callable
from typing import Protocol

from weighbridge.errors import MalformedArtifactError
from weighbridge.formats.archives.zip import is_archive
from weighbridge.formats.reading.source import Source

_HDF5 = b"\x89HDF\r\n\x1a\n"
_HDF5_FIRST_BLOCK = 512
_SAMPLE_BYTES = 4096
_INFLATED_BYTES = 64
_MEMORY_LIMIT_BYTES = 80 << 20
_PROTO = b"\x80"
_ZFILE = re.compile(rb"ZF0x[0-9a-fA-F]+")
"""joblib's own container before 0.10: the length in hexadecimal, then a zlib stream (joblib/numpy_pickle_compat.py)."""


_BZIP2 = re.compile(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)")
"""The header with that of a first block, or of the end: a block unfolds as a whole, so that no sample of one does."""


class _Inflater(Protocol):
    @property
    def eof(self) -> bool: ...

    def decompress(self, data: bytes, _max_length: int, /) -> bytes: ...


def containers_in(source: Source) -> tuple[str, ...]:
    """The names of the containers that loaders would see in a file, in the order of _CONTAINERS."""
    return tuple(name for name, is_one in _CONTAINERS.items() if is_one(source))


def _is_tar(source: Source) -> bool:
    try:
        tarfile.TarInfo.frombuf(source.head(tarfile.BLOCKSIZE), "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


def _is_zip(source: Source) -> bool:
    try:
        return is_archive(source)
    except MalformedArtifactError:
        return False


def _is_hdf5(source: Source) -> bool:
    block = _HDF5_FIRST_BLOCK
    while block + len(_HDF5) <= source.size_bytes:
        if source.read_at(block, len(_HDF5)) == _HDF5:
            return True
        block *= 2
    return False


def _inflates(magic: bytes, inflater: Callable[[], _Inflater]) -> Callable[[Source], bool]:
    def is_one(source: Source) -> bool:
        head = source.head(_SAMPLE_BYTES)
        if not head.startswith(magic):
            return False
        made = inflater()
        try:
            first = made.decompress(head, _INFLATED_BYTES)
            if first[:1] == _PROTO or made.eof:
                return True
            # Text that begins with x^ inflates for some bytes by chance, and never for as long as a whole sample.
            return len(first) == _INFLATED_BYTES and bool(inflater().decompress(head, 1 << 20))
        except (zlib.error, OSError, lzma.LZMAError, EOFError):
            return False

    return is_one


def _is_joblib_0_9(source: Source) -> bool:
    return _ZFILE.match(source.head(_SAMPLE_BYTES)) is not None


_CONTAINERS: dict[str, Callable[[Source], bool]] = {
    "tar": _is_tar,
    "zip": _is_zip,
    "hdf5": _is_hdf5,
    "zlib": _inflates(b"x", zlib.decompressobj),
    "gzip": _inflates(b"\x1f\x8b", lambda: zlib.decompressobj(wbits=31)),
    "bzip2": lambda source: _BZIP2.match(source.head(16)) is not None,
    "xz": _inflates(b"\xfd7zXZ\x00", lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MEMORY_LIMIT_BYTES)),
    "lzma": _inflates(b"\x5d\x00", lambda: lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=_MEMORY_LIMIT_BYTES)),
    "joblib": _is_joblib_0_9,
}
