"""What an admission does on a disk that is full, or fills up under it, one page or one file later each time.

The store lies on a tmpfs of its own, in a mount namespace of its own, with room for so many pages or files more. The command
line admits; where it says that it could not, room is made, and the store is asked what a crash is asked.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
from pathlib import Path

from crash_ground import Ground, Tally, check, forked, spread

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
AMPLE_BYTES = 64 << 20
NEWNS, NEWUSER, REMOUNT, RECURSIVE, PRIVATE = 0x20000, 0x10000000, 32, 16384, 1 << 18  # sched.h, mount.h
BROKE = 4
AMPLE_FILES = 10_000
MOST_PAGES, MOST_FILES = 60, 30
"""An admission of a tiny model needs fewer, the write-ahead log of the database and the copies of checkpoints included."""

Room = tuple[int, int]
"""Bytes and files that a file system holds."""


class NoMount(Exception):  # noqa: N818  # it says what this machine does not have
    """This user cannot mount a tmpfs here."""


def fill(folder: Path, limit: int | None, piece: slice) -> Tally:
    """Admit with room for 0, 1, 2, … pages, then for 0, 1, 2, … files, or for `limit` such numbers, spread evenly.

    Raises:
        NoMount: the kernel gives this user no mount namespace.
    """
    places = [("pages", number) for number in range(MOST_PAGES)] + [("files", number) for number in range(MOST_FILES)]
    wanted = spread(places, limit)[piece]
    # In a fork: a process that has moved to another namespace does not come back.
    told = forked(lambda _: _fill(folder, wanted))
    if not isinstance(results := told.get("done"), list):
        raised = str(told.get("raised"))
        raise (
            NoMount(raised) if raised.startswith("NoMount") else SystemExit(f"the full disk could not be tried: {told}")
        )
    tally = Tally()
    for where, outcome, problems in results:
        tally.note(where, outcome, problems)
    return tally


def _fill(folder: Path, wanted: list[tuple[str, int]]) -> list[tuple[str, str, list[str]]]:
    _leave_namespaces()
    ground = Ground(folder)
    place = ground.fresh("disk")
    size, files = _occupied(place, ground)
    usual, _, _ = forked(lambda _: _admit(place, ground))["done"]
    results = []
    for kind, number in wanted:
        room = (size + number * PAGE_BYTES, AMPLE_FILES) if kind == "pages" else (AMPLE_BYTES, files + number)
        results.append((f"room for {number} {kind}", *_point(place, ground, room, usual)))
    return results


def _point(place: Path, ground: Ground, room: Room, usual: int) -> tuple[str, list[str]]:
    _occupied(place, ground)
    _mount(place, room, REMOUNT)
    code, document, said = forked(lambda _: _admit(place, ground))["done"]
    _mount(place, (AMPLE_BYTES, AMPLE_FILES), REMOUNT)
    acknowledged = {document["digest"]} if "digest" in document else set()
    known, problems = check(place, ground, ground.acknowledged | acknowledged)
    if code == BROKE:
        error = document.get("error", {})
        if "defect of weighbridge" in said or not error.get("remedy"):
            problems.append(f"an error nobody can act on: {said}")
        if known > len(ground.acknowledged):
            problems.append(f"refused, and yet decided: {said}")
    elif code != usual:
        problems.append(f"exit code {code}: {said}")
    return ("refused" if code == BROKE else "admitted"), problems


def _occupied(place: Path, ground: Ground) -> Room:
    """Put a fresh tmpfs at `place` with a copy of the store in it; how many bytes and files that takes."""
    _libc().umount2(os.fsencode(place), 2)
    _mount(place, (AMPLE_BYTES, AMPLE_FILES))
    shutil.copytree(ground.base, place, symlinks=True, dirs_exist_ok=True)
    status = os.statvfs(place)
    return (status.f_blocks - status.f_bfree) * status.f_frsize, status.f_files - status.f_ffree


def _admit(place: Path, ground: Ground) -> tuple[int, dict[str, object], str]:
    """Run `weighbridge admit` in this process: its exit code, the document on standard output, and what it said."""
    from weighbridge.cli.main import weighbridge
    from weighbridge.cli.running import run

    os.environ["WEIGHBRIDGE_CHECKPOINTS"] = str(place / "copies")
    out, err = ground.folder / "out", ground.folder / "err"
    for descriptor, file in ((1, out), (2, err)):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), descriptor)
    code = run(weighbridge, ["admit", "--json", "--home", str(place / "home"), str(ground.model)])
    return code, json.loads(out.read_text() or "{}"), err.read_text()


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _mount(place: Path, room: Room, flags: int = 0) -> None:
    options = f"size={room[0]},nr_inodes={room[1]}"
    if _libc().mount(b"none", os.fsencode(place), b"tmpfs", flags, options.encode()):
        raise NoMount(f"the kernel mounts no tmpfs for this user: {os.strerror(ctypes.get_errno())}")


def _leave_namespaces() -> None:
    """Go where this process may mount and nobody else sees it; with a user namespace where it is not root."""
    user, group, is_root = os.getuid(), os.getgid(), os.geteuid() == 0
    if _libc().unshare(NEWNS if is_root else NEWNS | NEWUSER):
        raise NoMount(f"the kernel gives this user no mount namespace for a tmpfs: {os.strerror(ctypes.get_errno())}")
    if not is_root:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    if _libc().mount(b"none", b"/", None, RECURSIVE | PRIVATE, None):
        raise NoMount(f"the kernel keeps mounts shared, so no tmpfs: {os.strerror(ctypes.get_errno())}")
