"""Models that lie on this machine: a folder, or a single file."""

from __future__ import annotations

import os
import stat
from functools import partial
from pathlib import Path

from weighbridge.errors import HostileInputError
from weighbridge.hubs.access.contract import Hub, HubAccess
from weighbridge.hubs.access.folder_walk import FolderWalk, FoundFile, unreadable
from weighbridge.registry.hashing import kind_of
from weighbridge.registry.intake import Intake
from weighbridge.registry.names import refuse_hostile_names
from weighbridge.vocabulary import ModelRef, clip


def claim(text: str) -> ModelRef | None:
    """`local:PATH`, a text that begins like a path, or one that is a path on this machine."""
    if text.startswith("local:"):
        return ModelRef(hub="local", name=text.removeprefix("local:"))
    return ModelRef(hub="local", name=text) if text[:1] in {"/", ".", "~"} or os.path.lexists(text) else None


def resolve(name: str, revision: str, access: HubAccess) -> ModelRef:
    """The path as typed. A folder has no revision: what pins it is the root digest of what was taken in.

    Raises:
        ModelNotFoundError: there is no such path.
        HostileInputError: it is neither a folder nor a regular file.
    """
    del revision
    path = _path(name, access)
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as problem:
        raise unreadable(name, problem if isinstance(problem, OSError) else FileNotFoundError(2, "")) from problem
    if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
        raise HostileInputError(
            f"{clip(name)} is {kind_of(mode)}, only folders and regular files are weighed",
            subject=clip(name),
            remedy="name the folder or file of the model",
        )
    return ModelRef(hub="local", name=name)


def fetch(ref: ModelRef, intake: Intake, access: HubAccess) -> None:
    """Every regular file below the path; names are judged before any byte is read.

    Raises:
        HostileInputError: a name, a link, a device, or something that changed meanwhile.
        HubError: something cannot be read.
    """
    path = _path(ref.name, access)
    if path.is_dir():
        _fetch_folder(path, intake)
    else:
        _fetch_file(path, intake)


def _path(name: str, access: HubAccess) -> Path:
    """The path, `~` read as the home of the environment that was given."""
    home = access.environment.get("HOME", "")
    return Path(home) / name[2:] if home and (name == "~" or name.startswith("~/")) else Path(name)


def _fetch_folder(path: Path, intake: Intake) -> None:
    walk = FolderWalk(path)
    try:
        listing = walk.look()
        refuse_hostile_names(file.path for file in listing.files)
        for name, reason in listing.left_out:
            intake.leave_out(name, reason)
        for file in listing.files:
            fd = walk.open_file(file)
            try:
                intake.take(file.path, fd, expected_sha256=_promised(file), opener=partial(_open_again, path, file))
            finally:
                os.close(fd)
        if walk.look() != listing:
            raise HostileInputError(
                f"files came or went in {clip(str(path))} while it was weighed",
                subject=clip(str(path)),
                remedy="wait until nothing writes to the folder, then weigh it again",
            )
    finally:
        walk.close()


def _promised(file: FoundFile) -> str:
    """A cache names the files that were stored with Git LFS by their sha256."""
    return file.blob if len(file.blob) == 64 else ""


def _open_again(path: Path, file: FoundFile) -> int:
    walk = FolderWalk(path)
    try:
        return walk.open_file(file)
    finally:
        walk.close()


def _fetch_file(path: Path, intake: Intake) -> None:
    """The link that a person names is followed once; the file behind it carries the name that was asked for."""
    refuse_hostile_names([path.name])
    try:
        place = path.resolve(strict=True)
    except OSError as problem:
        raise unreadable(str(path), problem) from problem

    def reopen() -> int:
        try:
            return os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
        except OSError as problem:
            raise unreadable(str(path), problem) from problem

    fd = reopen()
    try:
        intake.take(path.name, fd, opener=reopen)
    finally:
        os.close(fd)


HUB = Hub(
    name="local",
    title="A folder or file on this machine",
    version=1,
    forms=("local:PATH", "./PATH", "/PATH"),
    references=("https://man7.org/linux/man-pages/man2/open.2.html",),
    claims=claim,
    resolve=resolve,
    fetch=fetch,
)
