"""Files that are either whole under their name and on the disk, or not there at all.

The order is always: write under a temporary name, fsync the file, rename, fsync the folder. A folder that had to be made is
made durable first, by fsync of the one above it. What a crash leaves behind lies under a temporary name only.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from weighbridge.errors import RegistryError

PRIVATE_FILE = 0o600
PRIVATE_FOLDER = 0o700

_REMEDIES = {
    errno.ENOSPC: "free some space there (weighbridge gc) and run again",
    errno.EDQUOT: "raise the quota or free some space there (weighbridge gc) and run again",
    errno.EIO: "the disk reports errors: check it, then run weighbridge verify",
    errno.EROFS: "mount it writable and run again",
    errno.EACCES: "give this user read and write access to it and run again",
    errno.EPERM: "give this user read and write access to it and run again",
    errno.ENOENT: "put the folder back, or name another one",
    errno.EMFILE: "raise the limit of open files (ulimit -n) and run again",
}


@contextmanager
def explained(path: Path, doing: str) -> Iterator[None]:
    """Turn an OSError of the body into a RegistryError that says what was being done, where, and what to do.

    Raises:
        RegistryError: the body failed; `subject` is the path.
    """
    try:
        yield
    except OSError as failure:
        reason = os.strerror(failure.errno) if failure.errno else str(failure)
        raise RegistryError(
            f"could not {doing} {path}: {reason}",
            subject=str(path),
            remedy=_REMEDIES.get(failure.errno or 0, "look at that path, then run again"),
        ) from failure


def fsync_folder(folder: Path) -> None:
    """Make the names in `folder` survive a power loss.

    Raises:
        RegistryError: the folder cannot be opened or synced.
    """
    with explained(folder, "sync"):
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def make_folder_durably(folder: Path, *, mode: int = PRIVATE_FOLDER) -> None:
    """Make `folder` and what is missing above it, each one durable before the next.

    Raises:
        RegistryError: it cannot be made.
    """
    if folder.is_dir():
        return
    if not folder.parent.is_dir():
        make_folder_durably(folder.parent, mode=mode)
    with explained(folder, "make"), suppress(FileExistsError):
        folder.mkdir(mode=mode)
    fsync_folder(folder.parent)


def rename_durably(source: Path, target: Path) -> None:
    """Rename a file that is already synced, over whatever has the name, and sync the folders of both names.

    Raises:
        RegistryError: it cannot be renamed.
    """
    with explained(target, "write"):
        source.replace(target)
    fsync_folder(target.parent)
    if source.parent != target.parent:
        fsync_folder(source.parent)


def unfinished(name: str) -> str:
    """The pattern of the temporary names under which `write_durably` writes a file of this name beside it."""
    return f".{name}.*.part"


def write_durably(path: Path, data: bytes, *, mode: int = PRIVATE_FILE, staging: Path | None = None) -> None:
    """Write a whole file and return when it would survive a power loss.

    Args:
        path: the final name; its folder must be there.
        data: everything the file holds.
        mode: permission bits of the file.
        staging: folder, on the same file system, for the temporary name; the folder of `path` where not given.

    Raises:
        RegistryError: nothing is left under the final name that was not there before, nor under the temporary one.
    """
    temporary: Path | None = None
    try:
        with explained(path, "write"):
            fd, name = tempfile.mkstemp(dir=staging or path.parent, prefix=f".{path.name}.", suffix=".part")
            temporary = Path(name)
            with os.fdopen(fd, "wb") as file:
                file.write(data)
                file.flush()
                os.fchmod(file.fileno(), mode)
                os.fsync(file.fileno())
            temporary.replace(path)
            temporary = None
    finally:
        if temporary is not None:
            with suppress(OSError):
                temporary.unlink()
    fsync_folder(path.parent)
