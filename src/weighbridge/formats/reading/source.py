"""A hostile file behind a file descriptor, read only in bounded pieces."""

from __future__ import annotations

import os

from weighbridge.errors import MalformedArtifactError

PIECE_LIMIT_BYTES = 128 << 20
"""Largest single read; nothing a format needs in one piece is longer (safetensors caps its header at 100 MB)."""

OPCODE_LIMIT = 1_200_000
"""Pickle opcodes that are followed in one file, whatever lies in it and however often it is looked at."""


class Source:
    """Random access to one file, by `pread`, with a budget.

    Invariant: never more than `budget_bytes` are read in all, and never more than PIECE_LIMIT_BYTES at once. `path` is the
    name within the model, for messages and for guesses that only a name allows. `start` and `size_bytes` may frame a part of
    the file: a stored member of an archive is a Source of its own, and draws on the budgets of the file.
    """

    __slots__ = ("_budget", "_fd", "_opcodes", "path", "size_bytes", "start")

    def __init__(self, fd: int, *, path: str, size_bytes: int, start: int = 0, budget_bytes: int = 1 << 31) -> None:
        self._fd = fd
        self._budget = [budget_bytes]
        self._opcodes = [OPCODE_LIMIT]
        self.path = path
        self.size_bytes = size_bytes
        self.start = start

    @property
    def budget_left_bytes(self) -> int:
        """What may still be read."""
        return self._budget[0]

    @property
    def opcodes_left(self) -> int:
        """Pickle opcodes that may still be followed."""
        return self._opcodes[0]

    def spend_opcodes(self, count: int) -> None:
        """Note that so many were followed."""
        self._opcodes[0] -= count

    def share_budgets(self, outer: Source) -> None:
        """Draw on the budgets of the file that this one was found in."""
        self._budget, self._opcodes = outer._budget, outer._opcodes  # its own class

    def read_at(self, offset: int, size_bytes: int) -> bytes:
        """Exactly `size_bytes` bytes from `offset`.

        Raises:
            MalformedArtifactError: the range leaves the file, is over a limit, or the budget is spent.
        """
        if offset < 0 or size_bytes < 0 or offset + size_bytes > self.size_bytes:
            raise MalformedArtifactError(
                f"{size_bytes} bytes are asked for, the file ends at {self.size_bytes}", locator=f"byte {offset}"
            )
        if size_bytes > min(PIECE_LIMIT_BYTES, self._budget[0]):
            raise MalformedArtifactError(f"reading {size_bytes} bytes is over the limit", locator=f"byte {offset}")
        self._budget[0] -= size_bytes
        pieces = []
        position, end = self.start + offset, self.start + offset + size_bytes
        while position < end:
            piece = os.pread(self._fd, end - position, position)
            if not piece:
                raise MalformedArtifactError("the file became shorter while it was read", locator=f"byte {offset}")
            pieces.append(piece)
            position += len(piece)
        return b"".join(pieces)

    def head(self, size_bytes: int = 4096) -> bytes:
        """The first bytes, as many as there are."""
        return self.read_at(0, min(size_bytes, self.size_bytes))

    def part(self, offset: int, size_bytes: int, *, path: str) -> Source:
        """A stretch of this file as a Source of its own, drawing on the same budget.

        Raises:
            MalformedArtifactError: the stretch leaves the file.
        """
        if offset < 0 or size_bytes < 0 or offset + size_bytes > self.size_bytes:
            raise MalformedArtifactError(f"a part of {size_bytes} bytes leaves the file", locator=f"byte {offset}")
        inner = Source(self._fd, path=path, size_bytes=size_bytes, start=self.start + offset)
        inner.share_budgets(self)
        return inner


class Inflated(Source):
    """What was decompressed out of a file: a Source over bytes in memory, or over a stretch of them."""

    __slots__ = ("_bytes",)

    def __init__(self, data: bytes, *, path: str, outer: Source, start: int = 0, size_bytes: int = -1) -> None:
        super().__init__(-1, path=path, size_bytes=len(data) if size_bytes < 0 else size_bytes, start=start)
        self.share_budgets(outer)
        self._bytes = data

    def read_at(self, offset: int, size_bytes: int) -> bytes:
        """Exactly `size_bytes` bytes from `offset`.

        Raises:
            MalformedArtifactError: the range leaves the content.
        """
        if offset < 0 or size_bytes < 0 or offset + size_bytes > self.size_bytes:
            raise MalformedArtifactError(f"{size_bytes} bytes leave the content", locator=f"byte {offset}")
        return self._bytes[self.start + offset : self.start + offset + size_bytes]

    def part(self, offset: int, size_bytes: int, *, path: str) -> Source:
        """A stretch of the content as a Source of its own.

        Raises:
            MalformedArtifactError: the stretch leaves the content.
        """
        if offset < 0 or size_bytes < 0 or offset + size_bytes > self.size_bytes:
            raise MalformedArtifactError(f"a part of {size_bytes} bytes leaves the content", locator=f"byte {offset}")
        return Inflated(self._bytes, path=path, outer=self, start=self.start + offset, size_bytes=size_bytes)
