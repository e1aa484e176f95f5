"""Every file under a folder, opened without following a link, so that a folder which changes cannot lead elsewhere."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from weighbridge.errors import HostileInputError, HubError, ModelNotFoundError
from weighbridge.registry.hashing import kind_of
from weighbridge.registry.names import DEPTH_LIMIT
from weighbridge.vocabulary import clip

FILE_LIMIT = 100_000

_FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

_LEFT_OUT = {
    ".git": "version control of the folder, not part of the model",
    ".cache/huggingface": "download records of huggingface_hub, not part of the model",
}

_BLOB_NAME = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?\Z")
_SHARED_TARGET = re.compile(r"\.\./\.\./blobs/([0-9a-f]{2})/(\1[0-9a-f]{62})\Z")
_SNAPSHOT = re.compile(r"models--[^/]+/snapshots/[0-9a-f]{40}\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundFile:
    """A file by its path within the folder. `blob` names the cache file a snapshot's link points at, else it is empty."""

    path: str
    blob: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """What lies in a folder: files to weigh, sorted, and names left out with the reason."""

    files: tuple[FoundFile, ...]
    left_out: tuple[tuple[str, str], ...]


class FolderWalk:
    """A folder held open, so that everything is reached from this descriptor whatever happens to its name.

    A snapshot of a Hugging Face cache (`models--ORG--NAME/snapshots/COMMIT`) is a folder of links; those, and only those,
    that point at a regular file in the `blobs` folder of the same cache are read, without following a link anywhere.
    """

    def __init__(self, root: Path) -> None:
        """Open `root`; a link that the caller names as the root itself is followed.

        Raises:
            ModelNotFoundError: it is not there.
            HubError: it cannot be opened.
        """
        try:
            self.root = root.resolve(strict=True)
            self._fd = os.open(self.root, _FOLDER_FLAGS)
        except OSError as problem:
            raise unreadable(str(root), problem) from problem
        self._is_snapshot = bool(_SNAPSHOT.search("/".join(self.root.parts[-3:])))

    def close(self) -> None:
        """Let go of the folder."""
        os.close(self._fd)

    def look(self) -> Listing:
        """Look at every name, open no file.

        Raises:
            HostileInputError: a link, device, pipe or socket lies there, or it is too deep or too large.
        """
        files: list[FoundFile] = []
        left_out: list[tuple[str, str]] = []
        folders = [""]
        while folders:
            folder = folders.pop()
            if folder.count("/") >= DEPTH_LIMIT:
                raise _hostile(folder, f"lies over {DEPTH_LIMIT} folders deep")
            for name, status in self._entries(folder):
                path = f"{folder}{name}"
                if stat.S_ISDIR(status.st_mode):
                    if path in _LEFT_OUT:
                        left_out.append((f"{path}/", _LEFT_OUT[path]))
                    else:
                        folders.append(f"{path}/")
                else:
                    files.append(self._judge(path, status))
                if len(files) > FILE_LIMIT:
                    raise _hostile(self.root.name, f"holds more than {FILE_LIMIT} files")
        return Listing(files=tuple(sorted(files, key=lambda file: file.path)), left_out=tuple(sorted(left_out)))

    def open_file(self, file: FoundFile) -> int:
        """A read-only descriptor of a listed file; the caller closes it. Nothing is waited for, no link is followed.

        Raises:
            HostileInputError: it is not what it was when it was listed.
            HubError: it cannot be opened.
        """
        if file.blob:
            return self._open_blob(file)
        *folders, name = file.path.split("/")
        folder = self._descend(folders, file.path)
        try:
            return os.open(name, _FILE_FLAGS, dir_fd=folder)
        except OSError as problem:
            raise _vanished(file.path, problem) from problem
        finally:
            os.close(folder)

    def _entries(self, folder: str) -> Iterator[tuple[str, os.stat_result]]:
        fd = self._descend(folder.split("/")[:-1], folder)
        try:
            with os.scandir(fd) as entries:
                for entry in entries:
                    yield entry.name, entry.stat(follow_symlinks=False)
        except OSError as problem:
            raise _vanished(folder or self.root.name, problem) from problem
        finally:
            os.close(fd)

    def _descend(self, folders: list[str], path: str) -> int:
        """A descriptor of a folder below the root, one part at a time."""
        fd = os.dup(self._fd)
        for part in folders:
            try:
                below = os.open(part, _FOLDER_FLAGS, dir_fd=fd)
            except OSError as problem:
                raise _vanished(path, problem) from problem
            finally:
                os.close(fd)
            fd = below
        return fd

    def _judge(self, path: str, status: os.stat_result) -> FoundFile:
        if stat.S_ISREG(status.st_mode):
            return FoundFile(path=path)
        if stat.S_ISLNK(status.st_mode) and self._is_snapshot and (blob := self._blob_of(path)):
            return FoundFile(path=path, blob=blob)
        raise _hostile(path, f"is {kind_of(status.st_mode)}, which is not followed or read")

    def _blob_of(self, path: str) -> str:
        """The name in the cache's own `blobs` folder that a link of a snapshot points at; empty for any other link."""
        *folders, name = path.split("/")
        folder = self._descend(folders, path)
        try:
            target = os.readlink(name, dir_fd=folder)
        except OSError as problem:
            raise _vanished(path, problem) from problem
        finally:
            os.close(folder)
        up = "../" * (len(folders) + 2) + "blobs/"
        blob = target.removeprefix(up)
        return blob if target.startswith(up) and _BLOB_NAME.match(blob) else ""

    def _open_blob(self, file: FoundFile) -> int:
        repository = self.root.parent.parent
        try:
            return _open_below(repository / "blobs", file.blob)
        except OSError as problem:
            if problem.errno != errno.ELOOP:
                raise _vanished(file.path, problem) from problem
        # Newer caches keep one copy for many repositories: a link to `blobs/ab/<hash>` of the whole cache.
        try:
            shared = _SHARED_TARGET.match(str((repository / "blobs" / file.blob).readlink()))
            if not shared:
                raise _hostile(file.path, "is a symbolic link out of the cache it lies in")
            return _open_below(repository.parent / "blobs" / shared[1], shared[2])
        except OSError as problem:
            raise _vanished(file.path, problem) from problem


def unreadable(path: str, problem: OSError) -> HubError:
    """What to say of a path that was asked for and cannot be opened."""
    if problem.errno in {errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG}:
        return ModelNotFoundError(
            f"there is no file or folder {clip(path)}",
            subject=clip(path),
            remedy="check the path; to ask the hub write hf:ORG/NAME",
        )
    return HubError(
        f"{clip(path)} cannot be opened: {problem.strerror}", subject=clip(path), remedy="check who may read it"
    )


def _open_below(folder: Path, name: str) -> int:
    fd = os.open(folder, _FOLDER_FLAGS)
    try:
        return os.open(name, _FILE_FLAGS, dir_fd=fd)
    finally:
        os.close(fd)


def _hostile(path: str, problem: str) -> HostileInputError:
    return HostileInputError(
        f"{clip(path)} {problem}", subject=clip(path), remedy="put regular files in its place, then weigh it again"
    )


def _vanished(path: str, problem: OSError) -> HostileInputError | HubError:
    if problem.errno in {errno.ENOENT, errno.ELOOP, errno.ENOTDIR, errno.ENXIO}:
        return HostileInputError(
            f"{clip(path)} changed while the folder was read: {problem.strerror}",
            subject=clip(path),
            remedy="wait until nothing writes to the folder, then weigh it again",
        )
    return HubError(
        f"{clip(path)} cannot be read: {problem.strerror}", subject=clip(path), remedy="check who may read it"
    )
