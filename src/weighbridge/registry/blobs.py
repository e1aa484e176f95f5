"""Content-addressed files: `root/sha256/ab/<hex>`, read-only, each the bytes that its name is the digest of."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from weighbridge.errors import HostileInputError, RegistryError, TamperedError
from weighbridge.registry.durable import explained, fsync_folder, make_folder_durably
from weighbridge.registry.hashing import Footprint, OnBytes, clone, copy_hashing, hash_fd
from weighbridge.vocabulary import clip

_SHA256 = re.compile(r"[0-9a-f]{64}\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    """One stored file. `footprint` is how it lay on disk when it was stored."""

    sha256: str
    size_bytes: int
    footprint: Footprint


class BlobStore:
    """The bytes of every staged model, one file a digest.

    Invariant: a file appears under its final name only complete, hashed and on disk: it is written under a temporary
    name, fsynced, renamed, and the folder is fsynced. Files are 0400 and never written again.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def path_of(self, sha256: str) -> Path:
        """Where the blob of this digest lies or would lie.

        Raises:
            RegistryError: this is no sha256.
        """
        if not _SHA256.match(sha256):
            raise RegistryError(f"{clip(sha256)!r} is not a sha256 in lower-case hexadecimal", subject=clip(sha256))
        return self.root / "sha256" / sha256[:2] / sha256

    def has(self, sha256: str) -> bool:
        """Whether a regular file of this name is there; `verify` says whether it is whole."""
        path = self.path_of(sha256)
        return path.is_file() and not path.is_symlink()

    def open_fd(self, sha256: str) -> int:
        """A read-only descriptor of the blob; the caller closes it. Links are not followed.

        Raises:
            RegistryError: it is not there or cannot be opened.
            TamperedError: something else than a regular file of ours lies in its place.
        """
        path = self.path_of(sha256)
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError as problem:
            raise RegistryError(
                f"blob {sha256} is not in the store", subject=sha256, remedy="stage the model again"
            ) from problem
        except OSError as problem:
            if problem.errno == errno.ELOOP:
                raise _tampered(sha256, "is a symbolic link") from problem
            raise RegistryError(
                f"blob {sha256} cannot be opened: {problem.strerror}",
                subject=sha256,
                remedy="the store must belong to the user who runs weighbridge",
            ) from problem
        try:
            self._require_ours(fd, sha256)
        except BaseException:
            os.close(fd)
            raise
        return fd

    def add_from_fd(
        self, fd: int, *, folder: Path, path: str = "", expected_sha256: str = "", on_bytes: OnBytes | None = None
    ) -> Blob:
        """Take the bytes of a regular file in, by reflink where the file system has it, else copied while hashed.

        `folder` holds the temporary file and lies on the file system of the store. `path` names the file in messages.
        A blob that is there already is replaced by these same bytes, so that what lies in the store is what was hashed
        in this moment, whatever had happened to the file before.

        Raises:
            HostileInputError: the source is no regular file, changed while it was read, or is not `expected_sha256`.
            HubError: the source cannot be read.
            RegistryError: the store cannot be written; nothing is left behind.
        """
        self._require_room(folder, os.fstat(fd).st_size)
        with self._temporary(folder) as (name, target), explained(name, "write"):
            sha256, size = _stage(fd, target, path, on_bytes)
            require_expected(path, sha256, expected_sha256)
            os.fchmod(target, 0o400)
            os.fsync(target)
            self._move_in(name, sha256)
            return Blob(sha256=sha256, size_bytes=size, footprint=Footprint.of(target, path))

    def verify(self, sha256: str) -> bool:
        """Hash the blob again: whether it is there and its bytes are those of its name."""
        if not self.has(sha256):
            return False
        try:
            fd = self.open_fd(sha256)
        except TamperedError:
            return False
        try:
            return hash_fd(fd, path=sha256) == sha256
        except HostileInputError:
            return False
        finally:
            os.close(fd)

    def list(self) -> tuple[str, ...]:
        """The digests of every blob, sorted."""
        top = self.root / "sha256"
        names = (name for folder in _names(top) for name in _names(top / folder) if name[:2] == folder)
        return tuple(sorted(name for name in names if _SHA256.match(name)))

    def remove(self, sha256: str) -> int:
        """Delete a blob; how many bytes that frees, 0 where it was not there.

        Raises:
            RegistryError: it cannot be deleted.
        """
        path = self.path_of(sha256)
        with explained(path, "remove"):
            try:
                size = path.lstat().st_size
                path.unlink()
            except FileNotFoundError:
                return 0
            fsync_folder(path.parent)
        return size

    def _require_ours(self, fd: int, sha256: str) -> None:
        try:
            Footprint.of(fd, sha256)
        except HostileInputError as problem:
            raise _tampered(sha256, "is not a regular file") from problem
        status = os.fstat(fd)
        if status.st_mode & 0o022:
            raise _tampered(sha256, "can be written by others")

    def _require_room(self, folder: Path, size: int) -> None:
        """Say so before the copy begins. A reflink needs no room, but whether there will be one is not known yet."""
        with explained(folder, "write to"):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            free = shutil.disk_usage(folder).free
        if size > free:
            raise RegistryError(
                f"{size} bytes do not fit on the disk of {folder}, {free} are free",
                subject=str(folder),
                remedy="free space (`weighbridge gc`), or move the store to a larger disk",
            )

    @contextlib.contextmanager
    def _temporary(self, folder: Path) -> Iterator[tuple[Path, int]]:
        name = folder / f"{secrets.token_hex(8)}.part"
        with explained(name, "write"):
            fd = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            yield name, fd
        finally:
            os.close(fd)
            # What cannot be deleted here goes with the folder, or with the recovery of the next run.
            with contextlib.suppress(OSError):
                name.unlink(missing_ok=True)

    def _move_in(self, name: Path, sha256: str) -> None:
        place = self.path_of(sha256)
        make_folder_durably(place.parent)
        name.replace(place)
        fsync_folder(place.parent)


def require_expected(path: str, sha256: str, expected: str) -> None:
    """Compare with what the source promised; an empty promise is none.

    Raises:
        HostileInputError: they differ.
    """
    if expected and sha256 != expected:
        raise HostileInputError(
            f"{clip(path)} has sha256 {sha256}, the source promised {clip(expected)}",
            subject=clip(path),
            remedy="fetch it again; where it stays, ask whoever publishes it",
        )


def _stage(fd: int, target: int, path: str, on_bytes: OnBytes | None) -> tuple[str, int]:
    before = Footprint.of(fd, path)
    if not clone(fd, target):
        return copy_hashing(fd, target, path=path, on_bytes=on_bytes)
    sha256 = hash_fd(target, path=path, on_bytes=on_bytes)
    before.require(fd, path)
    return sha256, os.fstat(target).st_size


def _names(folder: Path) -> list[str]:
    try:
        return [entry.name for entry in folder.iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _tampered(sha256: str, what: str) -> TamperedError:
    return TamperedError(
        f"blob {sha256} {what}", subject=sha256, remedy="stage the model again, and find out who changed the store"
    )
