"""What a refused admission put into the store is gone after the next run, also when its process went on with other models."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from weighbridge.testing.models import tiny_safetensors


def write_model(folder: Path, *names: str) -> Path:
    folder.mkdir()
    for name in names:
        (folder / name).write_bytes(tiny_safetensors() + name.encode() * 3)
    return folder


def write_damaged_snapshot(cache: Path) -> Path:
    """A snapshot of a hub's cache whose second file is not the one that its link promises."""
    promised = cache / "blobs" / ("0" * 64)
    promised.parent.mkdir(parents=True)
    promised.write_bytes(tiny_safetensors())
    snapshots = cache / "snapshots"
    snapshots.mkdir()
    snapshot = write_model(snapshots / ("1" * 40), "a.safetensors")
    (snapshot / "b.safetensors").symlink_to(f"../../blobs/{promised.name}")
    return snapshot


def admit(home: Path, *arguments: str) -> int:
    command = [sys.executable, "-m", "weighbridge", "admit", "--home", str(home), *arguments]
    return subprocess.run(command, capture_output=True, check=False).returncode


def blobs(home: Path) -> set[str]:
    return {path.name for path in (home / "registry" / "blobs").rglob("*") if path.is_file()}


def test_files_of_a_model_that_was_refused_at_the_door_do_not_stay(tmp_path):
    home = tmp_path / "home"
    good = write_model(tmp_path / "good", "README.md")
    hostile = write_damaged_snapshot(tmp_path / "models--acme--tiny")
    listing = tmp_path / "models.txt"
    listing.write_text(f"{hostile}\n{good}\n")
    assert admit(home, "--from", str(listing)) == 1
    assert len(blobs(home)) == 2
    admit(home, str(good))
    assert len(blobs(home)) == 1


def test_a_run_that_ends_well_leaves_no_sign(tmp_path):
    home = tmp_path / "home"
    admit(home, str(write_model(tmp_path / "good", "README.md")))
    assert list((home / "registry" / "staging").iterdir()) == []
