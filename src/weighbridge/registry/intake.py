"""How the bytes of a model come in: every file hashed, and what is examined later is what was hashed.

`StagingIntake` copies them into the store, which is the only way to a decision. `InPlaceIntake` leaves them where they are,
for a look at a model that is not (yet) wanted.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from weighbridge.errors import HostileInputError, RegistryError
from weighbridge.registry.blobs import Blob, BlobStore, require_expected
from weighbridge.registry.hashing import Footprint, changed, hash_fd
from weighbridge.registry.names import refuse_hostile_names
from weighbridge.registry.wire import root_digest
from weighbridge.vocabulary import Manifest, ManifestEntry, clip

__all__ = [
    "InPlaceIntake",
    "Intake",
    "LeftOut",
    "OnFileBytes",
    "Opener",
    "StagingIntake",
    "WeighedFile",
    "WeighedModel",
    "hash_fd",
]

KEPT_DESCRIPTORS = 256
"""How many files `InPlaceIntake` keeps open; files beyond that are opened again and compared with what was hashed."""

Opener = Callable[[], int]
OnFileBytes = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class WeighedFile:
    """One file of a model.

    `open_fd` gives a fresh read-only descriptor of the very bytes that were hashed; the caller closes it.
    `require_unchanged` raises HostileInputError where those bytes are no longer there. `sha256` is empty in a header-only
    look.
    """

    path: str
    size_bytes: int
    sha256: str
    open_fd: Opener = field(repr=False, compare=False)
    require_unchanged: Callable[[], None] = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A name under the model's folder that is not part of the model, and why; a folder ends in `/`."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WeighedModel:
    """Every file of one model, in the order of the manifest, and the names that were left out of it."""

    manifest: Manifest
    files: tuple[WeighedFile, ...]
    left_out: tuple[LeftOut, ...] = ()

    @property
    def root(self) -> str:
        """The root digest, the subject of every decision; empty for a header-only look, which has no subject."""
        return root_digest(self.manifest) if all(entry.sha256 for entry in self.manifest.entries) else ""

    def check_unchanged(self) -> None:
        """Look once more at the bytes behind every file.

        Raises:
            HostileInputError: the bytes of a file are not those that were hashed.
        """
        for file in self.files:
            file.require_unchanged()


class Intake(Protocol):
    """Takes files one by one, from any hub. Paths are judged by `refuse_hostile_names` before any model comes out."""

    def take(self, path: str, fd: int, *, expected_sha256: str = "", opener: Opener | None = None) -> ManifestEntry:
        """Weigh one file. `fd` stays open and the caller's; `opener` can open the same file again.

        Raises:
            HostileInputError: its name, kind or digest is refused, or it changed meanwhile.
            HubError: it cannot be read.
            RegistryError: it cannot be stored.
        """
        ...

    def leave_out(self, path: str, reason: str) -> None:
        """Note a name that is not part of the model, so that nothing is dropped in silence."""
        ...

    def finish(self) -> WeighedModel:
        """The whole model.

        Raises:
            HostileInputError: names collide, or no file was taken.
        """
        ...

    def close(self) -> None:
        """Let go of temporary files and descriptors; files of a finished staged model stay readable."""
        ...

    def __enter__(self) -> Self:
        """The intake itself."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        ...


class _Collecting:
    """What both ways share: the files taken so far and the checks on their names."""

    def __init__(self, on_bytes: OnFileBytes | None) -> None:
        self._on_bytes = on_bytes
        self._files: dict[str, WeighedFile] = {}
        self._left_out: list[LeftOut] = []

    def leave_out(self, path: str, reason: str) -> None:
        """Note a name that is not part of the model."""
        self._left_out.append(LeftOut(path=clip(path), reason=reason))

    def finish(self) -> WeighedModel:
        """The whole model, its names checked against each other."""
        refuse_hostile_names(self._files)
        if not self._files:
            raise HostileInputError("there is no file in it, so there is nothing to weigh")
        entries = (
            ManifestEntry(path=file.path, size_bytes=file.size_bytes, sha256=file.sha256)
            for file in self._files.values()
        )
        manifest = Manifest(entries=tuple(entries))
        files = tuple(self._files[entry.path] for entry in manifest.entries)
        return WeighedModel(manifest=manifest, files=files, left_out=tuple(self._left_out))

    def close(self) -> None:
        """Let go of what is held."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _admit_name(self, path: str) -> None:
        refuse_hostile_names([path])
        if path in self._files:
            raise HostileInputError(f"{clip(path)} is there twice", subject=clip(path))

    def _progress(self, path: str, total: int) -> Callable[[int], None] | None:
        report = self._on_bytes
        return (lambda done: report(path, done, total)) if report else None

    def _keep(self, file: WeighedFile) -> ManifestEntry:
        self._files[file.path] = file
        return ManifestEntry(path=file.path, size_bytes=file.size_bytes, sha256=file.sha256)


class StagingIntake(_Collecting):
    """Copies every file into `blobs` while hashing it (or clones it, then hashes the clone).

    `folder` holds unfinished files, on the file system of the store, and belongs to this intake alone: `close` removes it.
    After a kill it can simply be deleted. `on_bytes(path, done, total)` follows the copy.
    """

    def __init__(self, blobs: BlobStore, folder: Path, *, on_bytes: OnFileBytes | None = None) -> None:
        super().__init__(on_bytes)
        self._blobs = blobs
        self._folder = folder

    def take(self, path: str, fd: int, *, expected_sha256: str = "", opener: Opener | None = None) -> ManifestEntry:  # noqa: ARG002  # a staged file is never opened again at its source
        """Stage one file; see `Intake.take`."""
        self._admit_name(path)
        blob = self._blobs.add_from_fd(
            fd,
            folder=self._folder,
            path=path,
            expected_sha256=expected_sha256,
            on_bytes=self._progress(path, os.fstat(fd).st_size),
        )
        return self._keep(
            WeighedFile(
                path=path,
                size_bytes=blob.size_bytes,
                sha256=blob.sha256,
                open_fd=lambda: self._blobs.open_fd(blob.sha256),
                require_unchanged=lambda: self._require_blob(path, blob),
            )
        )

    def close(self) -> None:
        """Remove the folder of unfinished files.

        What cannot be removed is no reason to take back a decision: it goes with the staging folder around it.
        """
        with suppress(OSError):
            for leftover in self._folder.iterdir():
                leftover.unlink()
            self._folder.rmdir()

    def _require_blob(self, path: str, blob: Blob) -> None:
        """The stored file is as it was put there; where another admission put the same bytes again, they are hashed."""
        try:
            fd = self._blobs.open_fd(blob.sha256)
        except RegistryError as problem:
            raise HostileInputError(f"{clip(path)}: {problem}", subject=clip(path), remedy=problem.remedy) from problem
        try:
            if Footprint.of(fd, path) != blob.footprint and hash_fd(fd, path=path) != blob.sha256:
                raise changed(path)
        finally:
            os.close(fd)


class InPlaceIntake(_Collecting):
    """Hashes files where they lie and keeps them open. For looking only: what is decided on is staged.

    `digest=False` reads nothing but sizes: a header-only look, whose model has no root. `on_bytes(path, done, total)` follows
    the hashing.
    """

    def __init__(self, *, digest: bool = True, on_bytes: OnFileBytes | None = None) -> None:
        super().__init__(on_bytes)
        self._digest = digest
        self._kept: set[int] = set()

    def take(self, path: str, fd: int, *, expected_sha256: str = "", opener: Opener | None = None) -> ManifestEntry:
        """Weigh one file where it lies; see `Intake.take`. Without an `opener` its descriptor is kept, however many."""
        self._admit_name(path)
        footprint = Footprint.of(fd, path)
        sha256 = ""
        if self._digest:
            sha256 = hash_fd(fd, path=path, on_bytes=self._progress(path, footprint.size_bytes))
            footprint.require(fd, path)
            require_expected(path, sha256, expected_sha256)
        reopen = self._reopener(path, fd, footprint, opener)

        def require_unchanged() -> None:
            os.close(reopen())

        return self._keep(
            WeighedFile(
                path=path,
                size_bytes=footprint.size_bytes,
                sha256=sha256,
                open_fd=reopen,
                require_unchanged=require_unchanged,
            )
        )

    def close(self) -> None:
        """Close what was kept open; files of the model can then be opened only where a hub gave an opener."""
        while self._kept:
            os.close(self._kept.pop())

    def _reopener(self, path: str, fd: int, footprint: Footprint, opener: Opener | None) -> Opener:
        if opener is None or len(self._kept) < KEPT_DESCRIPTORS:
            kept = os.dup(fd)
            self._kept.add(kept)
            opener = partial(self._reopen, kept)
        source = opener

        def reopen() -> int:
            fresh = source()
            try:
                footprint.require(fresh, path)
            except BaseException:
                os.close(fresh)
                raise
            return fresh

        return reopen

    def _reopen(self, kept: int) -> int:
        """A fresh descriptor with a position of its own, also of a file whose name is gone; a duplicate without /proc."""
        if kept not in self._kept:
            raise ValueError("the intake is closed")
        try:
            return os.open(f"/proc/self/fd/{kept}", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return os.dup(kept)
