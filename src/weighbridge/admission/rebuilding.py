"""Housekeeping of an installation: the database from evidence, and what no decision needs."""

from __future__ import annotations

import shutil
from pathlib import Path

from weighbridge.admission.installation import Installation
from weighbridge.admission.verification import readers_of
from weighbridge.registry.rebuilding import Rebuilt, rebuild
from weighbridge.registry.recovery import Freed, Keep
from weighbridge.registry.recovery import collect_garbage as collect


def rebuild_registry(house: Installation, *, checkpoint: str | None = None) -> Rebuilt:
    """Make the database anew from exported log, checkpoints and evidence; see `registry.rebuilding.rebuild`.

    Raises:
        TamperedError: they do not agree.
        RegistryError: the store is in use, is none, or cannot be written.
    """
    readers = readers_of(house.verifying_keys())
    return rebuild(house.registry_root, readers=readers, now=house.now(), checkpoint=checkpoint)


def collect_garbage(house: Installation, *, dry_run: bool, expired: bool) -> Freed:
    """Delete what no decision needs; with `expired` also bytes of models that no standing admission or referral names.

    Folders that `path` made for models whose bytes are gone are removed, too.

    Raises:
        RegistryError: the store cannot be read or written.
    """
    keep = Keep.ADMITTED if expired else Keep.DECIDED
    freed = collect(house.registry_root, now=house.now(), keep=keep, dry_run=dry_run)
    if not dry_run and not freed.busy:
        _remove_unbacked(house.settings.home / "models")
    return freed


def _remove_unbacked(models: Path) -> None:
    """Remove model folders that hold a file which the store no longer has: its last link would be there."""
    for folder in models.iterdir() if models.is_dir() else ():
        files = [path for path in folder.rglob("*") if path.is_file()]
        if folder.name.startswith(".") or any(path.lstat().st_nlink < 2 for path in files):
            _remove_read_only(folder)


def _remove_read_only(folder: Path) -> None:
    for inner in [folder, *(path for path in folder.rglob("*") if path.is_dir() and not path.is_symlink())]:
        inner.chmod(0o700)
    shutil.rmtree(folder)
