"""The lock of a store: everyone who writes holds it shared, whoever clears up holds it alone.

It is a flock on `root/lock`, so the kernel gives it back when a process ends, however it ends. So is the lock of a staging
folder, by which others, in other containers too, see that who works there lives.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from weighbridge.errors import RegistryError
from weighbridge.registry.durable import PRIVATE_FILE, explained

WAIT_S = 60.0
_POLL_S = 0.02
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_FOLDER = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})


@contextmanager
def shared_lock(root: Path, *, timeout_s: float = WAIT_S) -> Iterator[None]:
    """Hold the store for writing beside others.

    Raises:
        RegistryError: somebody clears up for longer than `timeout_s`.
    """
    with _opened(root) as fd:
        _wait(fd, fcntl.LOCK_SH, root, timeout_s)
        yield


@contextmanager
def exclusive_lock(root: Path, *, timeout_s: float = WAIT_S) -> Iterator[None]:
    """Hold the store alone.

    Raises:
        RegistryError: somebody is writing for longer than `timeout_s`.
    """
    with _opened(root) as fd:
        _wait(fd, fcntl.LOCK_EX, root, timeout_s)
        yield


@contextmanager
def exclusive_lock_if_free(root: Path) -> Iterator[bool]:
    """Hold the store alone where nobody uses it at this moment; gives whether it is held."""
    with _opened(root) as fd:
        yield _try(fd, fcntl.LOCK_EX, root)


@contextmanager
def held_folder(folder: Path) -> Iterator[None]:
    """Hold a folder as the sign that this process is at work in it.

    Raises:
        RegistryError: it cannot be locked.
    """
    with explained(folder, "lock"):
        fd = os.open(folder, _FOLDER)
    try:
        with explained(folder, "lock"):
            fcntl.flock(fd, fcntl.LOCK_EX)  # at once, but for somebody who looks whether it is held
        yield
    finally:
        os.close(fd)


def is_held(folder: Path) -> bool:
    """Whether a process that lives holds a folder; a name that is gone, or is none of a folder, is held by nobody.

    Raises:
        RegistryError: that cannot be told.
    """
    with explained(folder, "look at"):
        try:
            fd = os.open(folder, _FOLDER)
        except OSError as failure:
            if failure.errno in _NO_FOLDER:
                return False
            raise
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(fd)
    return False


@contextmanager
def _opened(root: Path) -> Iterator[int]:
    path = root / "lock"
    with explained(path, "lock"):
        fd = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, PRIVATE_FILE)
    try:
        yield fd
    finally:
        os.close(fd)


def _try(fd: int, kind: int, root: Path) -> bool:
    with explained(root / "lock", "lock"):
        try:
            fcntl.flock(fd, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def _wait(fd: int, kind: int, root: Path, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while not _try(fd, kind, root):
        if time.monotonic() >= deadline:
            raise RegistryError(
                f"the store {root} is in use by another weighbridge",
                subject=str(root),
                remedy="wait until it has ended (a gc, a rebuild or an admission), then run again",
            )
        time.sleep(_POLL_S)
