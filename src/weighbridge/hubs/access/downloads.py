"""Downloads that go on where they stopped, also after the process was killed.

huggingface_hub throws unfinished files away when it stops (its pull request 4228), so the bytes are fetched here. A file is
kept under the digest of its name: nothing that a hub says becomes a path on this machine.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from weighbridge.errors import HostileInputError, HubError
from weighbridge.hubs.access.contract import HubAccess
from weighbridge.hubs.access.http_client import http_library
from weighbridge.hubs.access.hub_protocol import Endpoint, HubFile, explained, raise_for_status
from weighbridge.vocabulary import clip

ATTEMPTS = 5
"""Replies in a row that bring a file no further than it ever was, before a download gives up."""

LONGEST_WAIT_S = 60.0

_RETRIED = frozenset({408, 416, 429, 500, 502, 503, 504})
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-")
_SECONDS = re.compile(r"[0-9]{1,9}\Z")


class _AskAgainError(Exception):
    """The server was not ready, or its reply ended too early; `wait_s` is what it asked for, or 0."""

    def __init__(self, wait_s: float = 0.0) -> None:
        super().__init__()
        self.wait_s = wait_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    """One pinned repository being fetched into one folder."""

    client: Any
    endpoint: Endpoint
    name: str
    commit: str
    folder: Path
    access: HubAccess

    def place_of(self, file: HubFile) -> Path:
        """Where the bytes of a file are collected."""
        return self.folder / hashlib.sha256(file.path.encode()).hexdigest()

    def fetch(self, file: HubFile) -> bool:
        """Fetch what is missing of a file; whether bytes of an earlier run were used.

        Raises:
            HubError: replies ended too early again and again, or the disk is full; what came is kept.
            HostileInputError: more bytes came than the hub promised.
        """
        place = self.place_of(file)
        place.touch(mode=0o600)
        had = have = furthest = _length(place, file)
        failures = 0
        while have < file.size_bytes:
            with explained(self.endpoint, self.name, self.commit):
                try:
                    self._stream(file, place, have)
                except (http_library().TransportError, _AskAgainError) as problem:
                    now = _length(place, file)
                    failures = 1 if now > furthest else failures + 1
                    furthest = max(furthest, now)
                    if failures >= ATTEMPTS:
                        raise _gave_up(file, now) from problem
                    self.access.wait(min(getattr(problem, "wait_s", 0.0) or 2.0 ** (failures - 1), LONGEST_WAIT_S))
            have = _length(place, file)
        return had > 0

    def _stream(self, file: HubFile, place: Path, have: int) -> None:
        headers = dict(self.endpoint.headers)
        if have:
            headers["range"] = f"bytes={have}-"
        url = self.endpoint.file_url(self.name, self.commit, file.path)
        with self.client.stream("GET", url, headers=headers) as reply:
            self._refuse_other_commit(reply, file)
            start = _start_of(reply, have)
            if start != have:
                os.truncate(place, 0)  # the server does not continue: from the first byte, then
            if reply.status_code in _RETRIED:
                raise _AskAgainError(_seconds(reply.headers.get("retry-after", "")))
            raise_for_status(reply)
            if start not in {0, have}:
                raise _AskAgainError
            self._write(reply, file, place, start)
        if _length(place, file) < file.size_bytes:
            raise _AskAgainError  # the reply ended cleanly and too early: as good as a connection that broke

    def _refuse_other_commit(self, reply: Any, file: HubFile) -> None:
        commit = (reply.history or [reply])[0].headers.get("x-repo-commit", self.commit)
        if commit != self.commit:
            raise HostileInputError(
                f"asked for {clip(file.path)} at {self.commit}, the hub answers from {clip(commit)}",
                subject=clip(file.path),
            )

    def _write(self, reply: Any, file: HubFile, place: Path, done: int) -> None:
        with _disk(place), place.open("ab") as target:
            for piece in reply.iter_raw():  # as it comes: a fixed length would lose the last piece before a cut
                done += len(piece)
                if done > file.size_bytes:
                    target.truncate(0)
                    raise HostileInputError(
                        f"{clip(file.path)} is longer than the {file.size_bytes} bytes the hub promised",
                        subject=clip(file.path),
                    )
                target.write(piece)
                target.flush()
                self.access.on_bytes(file.path, done, file.size_bytes)


@contextlib.contextmanager
def download_folder(access: HubAccess, key: str, files: tuple[HubFile, ...]) -> Iterator[Path]:
    """The folder of one pinned model, held by this process alone; removed when the body succeeds, kept when it does not.

    Raises:
        HubError: it cannot be made, or what is missing does not fit on its disk.
    """
    folder = access.download_folder / hashlib.sha256(key.encode()).hexdigest()[:32]
    with _disk(folder):
        lock = _lock(folder)
    try:
        _require_room(folder, files)
        yield folder
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(lock)


def _lock(folder: Path) -> int:
    """Hold the folder itself; another process that finishes meanwhile removes it, and then it is made again."""
    while True:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        fcntl.flock(fd, fcntl.LOCK_EX)
        try:
            if os.path.samestat(os.fstat(fd), folder.lstat()):
                return fd
        except FileNotFoundError:
            pass
        os.close(fd)


def _require_room(folder: Path, files: tuple[HubFile, ...]) -> None:
    here = sum(part.stat().st_size for part in folder.iterdir())
    missing = sum(file.size_bytes for file in files) - here
    free = shutil.disk_usage(folder).free
    if missing > free:
        raise HubError(
            f"{missing} bytes are still to be fetched, {free} are free on the disk of {folder}",
            subject=str(folder),
            remedy="free space (`weighbridge gc`), or set WEIGHBRIDGE_HOME to a larger disk",
        )


def _length(place: Path, file: HubFile) -> int:
    length = place.stat().st_size
    if length > file.size_bytes:
        os.truncate(place, 0)
        return 0
    return length


def _start_of(reply: Any, have: int) -> int:
    """The offset of the first byte that will come."""
    if reply.status_code == 206:
        found = _CONTENT_RANGE.match(reply.headers.get("content-range", ""))
        return int(found[1]) if found else -1
    return 0 if reply.status_code in {200, 416} else have


def _seconds(text: str) -> float:
    return float(text) if _SECONDS.match(text) else 0.0


@contextlib.contextmanager
def _disk(place: Path) -> Iterator[None]:
    try:
        yield
    except OSError as problem:
        raise HubError(
            f"the download cannot be kept in {place}: {problem.strerror}",
            subject=str(place),
            remedy="free space or check who owns the folder; what came is kept, run it again",
        ) from problem


def _gave_up(file: HubFile, have: int) -> HubError:
    return HubError(
        f"the download ended {ATTEMPTS} times at byte {have} of the {file.size_bytes} promised of {clip(file.path)}",
        subject=clip(file.path),
        remedy="run it again: it goes on from there; where it always ends there, ask whoever runs the hub",
    )
