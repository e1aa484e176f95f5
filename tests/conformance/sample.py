"""What the conformance suite reads: small valid files, as bytes behind a descriptor."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from weighbridge.formats.reading.source import Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One small valid file of a format.

    `is_whole_only` says that no shorter beginning of it is a valid file, so that every truncation has to be noticed.
    Text is not like that: half a sentence is text.
    `is_readable` is false for what its format can only name.
    """

    name: str
    path: str
    data: bytes
    is_whole_only: bool = True
    is_readable: bool = True


@contextmanager
def opened(data: bytes, path: str = "sample") -> Iterator[Source]:
    """Bytes as a Source over an anonymous file, with a read budget far below that of a real file."""
    fd = os.memfd_create("sample")
    try:
        os.write(fd, data)
        yield Source(fd, path=path, size_bytes=len(data), budget_bytes=64 * len(data) + (1 << 20))
    finally:
        os.close(fd)
