"""Bytes behind a file descriptor: hashed in one pass, or copied while they are hashed, and never trusted to stand still."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import mmap
import os
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from weighbridge.errors import HostileInputError, HubError
from weighbridge.vocabulary import clip

PIECE_BYTES = 1 << 18
"""One read. It fits a second-level cache, so the bytes are hashed while they are still near."""

DIRECT_PIECE_BYTES = 1 << 22
DIRECT_FROM_BYTES = 1 << 24
"""Files from this size on bypass the page cache when written: no second copy in memory, about half the processor time."""

FICLONE = 0x40049409
"""ioctl_ficlone(2): share the extents of another file, copy on write."""

OnBytes = Callable[[int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """What `fstat` says of a file that nobody touched: any write, truncation or replacement changes one of these."""

    device: int
    inode: int
    size_bytes: int
    modified_ns: int
    changed_ns: int

    @classmethod
    def of(cls, fd: int, path: str) -> Footprint:
        """Look at an open file.

        Raises:
            HostileInputError: it is not a regular file.
        """
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise HostileInputError(
                f"{clip(path)} is {kind_of(status.st_mode)}, only regular files are weighed",
                subject=clip(path),
                remedy="remove it from the model, or copy its content into a regular file",
            )
        return cls(
            device=status.st_dev,
            inode=status.st_ino,
            size_bytes=status.st_size,
            modified_ns=status.st_mtime_ns,
            changed_ns=status.st_ctime_ns,
        )

    def require(self, fd: int, path: str) -> None:
        """Compare with the file as it is at this moment.

        Raises:
            HostileInputError: it is another file, or it was written to.
        """
        if Footprint.of(fd, path) != self:
            raise changed(path)


def kind_of(mode: int) -> str:
    """What a file that is not regular is, in words."""
    kinds = {
        stat.S_IFDIR: "a folder",
        stat.S_IFLNK: "a symbolic link",
        stat.S_IFIFO: "a named pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device file",
        stat.S_IFBLK: "a device file",
    }
    return kinds.get(stat.S_IFMT(mode), "not a regular file")


def changed(path: str) -> HostileInputError:
    """The refusal of a file that does not stand still."""
    return HostileInputError(
        f"{clip(path)} changed while it was weighed",
        subject=clip(path),
        remedy="wait until nothing writes to it, then weigh it again",
    )


def hash_fd(fd: int, *, path: str = "", on_bytes: OnBytes | None = None) -> str:
    """sha256 of a whole regular file, from its first byte, whatever the position of `fd`; the position stays as it is.

    `on_bytes` is told how many bytes are done.

    Raises:
        HostileInputError: it is no regular file, or it changed during the read.
        HubError: it cannot be read.
    """
    before = Footprint.of(fd, path)
    digest = hashlib.sha256()
    done = 0
    for piece in _pieces(fd, before.size_bytes, path, [memoryview(bytearray(PIECE_BYTES))]):
        digest.update(piece)
        done += len(piece)
        if on_bytes:
            on_bytes(done)
    before.require(fd, path)
    return digest.hexdigest()


def clone(source: int, target: int) -> bool:
    """Share the bytes of `source` with the empty file `target` where the file system can (FICLONE); says whether it did."""
    try:
        fcntl.ioctl(target, FICLONE, source)
    except OSError as problem:
        # Both descriptors are good, so every refusal but a full disk means: this pair of file systems cannot do it.
        if problem.errno in {errno.ENOSPC, errno.EDQUOT, errno.EIO}:
            raise
        return False
    return True


def copy_hashing(source: int, target: int, *, path: str = "", on_bytes: OnBytes | None = None) -> tuple[str, int]:
    """Copy `source` into the empty file `target`, reading each byte once; sha256 and size of what was written.

    A large file is written past the page cache by a second thread while the next piece is hashed.

    Raises:
        HostileInputError: the source is no regular file, or it changed during the read.
        HubError: the source cannot be read.
        OSError: the target cannot be written.
    """
    before = Footprint.of(source, path)
    size = before.size_bytes
    direct = size >= DIRECT_FROM_BYTES and _set_direct(target, on=True)
    length = DIRECT_PIECE_BYTES if direct else PIECE_BYTES
    # Anonymous maps are page-aligned, which O_DIRECT asks for.
    buffers = [memoryview(mmap.mmap(-1, length)) for _ in range(2 if direct else 1)]
    write = _write_behind(target) if direct else _write_through(target)
    digest = hashlib.sha256()
    done = 0
    with write as put:
        for piece in _pieces(source, size, path, buffers):
            put(piece)
            digest.update(piece)
            done += len(piece)
            if on_bytes:
                on_bytes(done)
    before.require(source, path)
    return digest.hexdigest(), done


def _pieces(fd: int, size: int, path: str, buffers: list[memoryview]) -> Iterator[memoryview]:
    """Successive pieces of the file, in turn in each of `buffers`; refuses a file that is not `size` bytes long."""
    offset = turn = 0
    while offset < size:
        buffer = buffers[turn % len(buffers)][: size - offset]
        length = _fill(fd, buffer, offset, path)
        if not length:
            raise changed(path)
        offset += length
        turn += 1
        yield buffer[:length]
    if _fill(fd, memoryview(bytearray(1)), offset, path):
        raise changed(path)


def _fill(fd: int, buffer: memoryview, offset: int, path: str) -> int:
    """Read until the buffer is full or the file ends, so that every piece but the last keeps O_DIRECT's alignment."""
    length = 0
    try:
        while length < len(buffer) and (got := os.preadv(fd, [buffer[length:]], offset + length)):
            length += got
    except OSError as problem:
        raise HubError(
            f"{clip(path)} cannot be read at byte {offset + length}: {problem.strerror}",
            subject=clip(path),
            remedy="check the disk or mount that holds it",
        ) from problem
    return length


def _set_direct(fd: int, *, on: bool) -> bool:
    """Switch O_DIRECT, where the platform and file system have it."""
    flag = getattr(os, "O_DIRECT", 0)
    try:
        flags = fcntl.fcntl(fd, fcntl.F_GETFL)
        fcntl.fcntl(fd, fcntl.F_SETFL, flags | flag if on else flags & ~flag)
    except OSError:
        return False
    return bool(flag)


def _write_all(fd: int, piece: memoryview) -> None:
    if len(piece) % mmap.PAGESIZE:
        _set_direct(fd, on=False)  # the unaligned end of a file
    while piece:
        try:
            piece = piece[os.write(fd, piece) :]
        except OSError as problem:
            # A file system may accept the flag and then refuse the write; the page cache always takes it.
            if problem.errno != errno.EINVAL or not _is_direct(fd):
                raise
            _set_direct(fd, on=False)


def _is_direct(fd: int) -> bool:
    return bool(fcntl.fcntl(fd, fcntl.F_GETFL) & getattr(os, "O_DIRECT", 0))


@contextlib.contextmanager
def _write_through(fd: int) -> Iterator[Callable[[memoryview], None]]:
    yield lambda piece: _write_all(fd, piece)


@contextlib.contextmanager
def _write_behind(fd: int) -> Iterator[Callable[[memoryview], None]]:
    """Writes run one piece behind the reader. With two buffers, a piece is on disk before its buffer is filled again."""
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="weighbridge-write") as thread:
        last: Future[None] | None = None

        def put(piece: memoryview) -> None:
            nonlocal last
            if last:
                last.result()
            last = thread.submit(_write_all, fd, piece)

        yield put
        if last:
            last.result()
