"""Housekeeping of an installation: the database from evidence, and what no decision needs."""

from __future__ import annotations

import shutil
from pathlib import Path

from weighbridge.admission.installation import Installation
from weighbridge.admission.verification import read_note, readers_of
from weighbridge.registry.durable import explained
from weighbridge.registry.rebuilding import Rebuilt, rebuild
from weighbridge.registry.recovery import Freed, Keep
from weighbridge.registry.recovery import collect_garbage as collect


def rebuild_registry(house: Installation, *, checkpoint: Path | None = None) -> Rebuilt:
    """Make the database anew from exported log, checkpoints and evidence; see `registry.rebuilding.rebuild`.

    Raises:
        TamperedError: they do not agree.
        RegistryError: the store is in use, is none, or cannot be written.
    """
    readers = readers_of(house.verifying_keys())
    return rebuild(house.registry_root, readers=readers, now=house.now(), checkpoint=read_note(house, checkpoint))


def collect_garbage(house: Installation, *, dry_run: bool, expired: bool) -> Freed:
    """Delete what no decision needs, unfinished downloads, and model folders whose bytes are gone.

    With `expired` also the bytes of models that no standing admission or referral names. Evidence of decisions stays.

    Raises:
        RegistryError: the store cannot be read or written.
    """
    keep = Keep.ADMITTED if expired else Keep.DECIDED
    home = house.settings.home

    def clear_folders() -> None:
        with explained(home, "clear up"):
            for folder in _useless(home):
                _remove(folder)

    under_lock = None if dry_run else clear_folders
    return collect(house.registry_root, now=house.now(), keep=keep, dry_run=dry_run, under_lock=under_lock)


def _useless(home: Path) -> list[Path]:
    """Downloads, half-made folders, and model folders that hold the last link to a file the store no longer has."""
    downloads, models = home / "downloads", home / "models"
    found = list(downloads.iterdir()) if downloads.is_dir() else []
    for folder in models.iterdir() if models.is_dir() else ():
        files = [path for path in folder.rglob("*") if path.is_file()]
        if folder.name.startswith(".") or any(path.lstat().st_nlink < 2 for path in files):
            found.append(folder)
    return found


def _remove(path: Path) -> None:
    if not path.is_dir() or path.is_symlink():
        path.unlink()
        return
    for inner in [path, *(below for below in path.rglob("*") if below.is_dir() and not below.is_symlink())]:
        inner.chmod(0o700)
    shutil.rmtree(path)
