"""The disk that bench/power_loss.py imagines: what it keeps and what it loses, on recordings of real programs."""

from __future__ import annotations

import importlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parents[2] / "bench"
PRELUDE = """
import os, sys
place = sys.argv[1]
def sync(name):
    fd = os.open(f"{place}/{name}", os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)
def write(name, data, *, synced=False):
    fd = os.open(f"{place}/{name}", os.O_WRONLY | os.O_CREAT, 0o600)
    os.write(fd, data)
    if synced:
        os.fsync(fd)
    os.close(fd)
"""


@pytest.fixture
def power_loss(monkeypatch):
    # Last, because bench/inspect.py must not stand in for the standard library's.
    monkeypatch.setattr(sys, "path", [*sys.path, str(BENCH)])
    return importlib.import_module("power_loss")


@pytest.fixture
def replayed(power_loss, tmp_path):
    """Runs a program on a folder that holds `old`, under strace; what each state has of it, as name to bytes."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")

    def replay(program: str) -> dict[str, dict[str, bytes]]:
        place, before, log = tmp_path / "place", tmp_path / "before", tmp_path / "log"
        place.mkdir()
        (place / "old").write_bytes(b"old")
        shutil.copytree(place, before)
        trace = f"trace={','.join(power_loss.CALLS)}"
        command = ["strace", "-f", "-y", "-xx", "-s", "100000", "-o", log, "-e", trace, sys.executable, "-I", "-S"]
        subprocess.run([*command, "-c", PRELUDE + program, place], check=True)
        place.rename(tmp_path / "after")
        before.rename(place)
        disk = power_loss.Disk(place)
        for call in power_loss.read_calls(log):
            disk.take(call)
        shutil.rmtree(place)
        (tmp_path / "after").rename(place)
        disk.require_same()
        kept = {}
        for name, state in power_loss.STATES.items():
            power_loss.materialise(place, disk, state)
            files = (path for path in place.rglob("*") if path.is_file())
            kept[name] = {str(path.relative_to(place)): path.read_bytes() for path in files}
        return kept

    return replay


def test_a_file_that_was_written_and_not_synced_may_be_missing_empty_or_torn(replayed):
    kept = replayed('write("new", b"12345678")')
    assert kept["strict"] == {"old": b"old"}
    assert kept["dropped"] == {"old": b"old", "new": b""}
    assert kept["half"] == {"old": b"old", "new": b"1234"}


def test_fsync_of_a_file_does_not_keep_its_name(replayed):
    kept = replayed('write("new", b"12345678", synced=True)')
    assert kept["strict"] == {"old": b"old"}
    assert kept["dropped"] == kept["half"] == kept["holes"] == {"old": b"old", "new": b"12345678"}


def test_fsync_of_the_folder_keeps_the_name_and_not_the_bytes(replayed):
    kept = replayed('write("new", b"12345678"); sync("")')
    assert kept["strict"] == {"old": b"old", "new": b""}


def test_a_file_and_its_folder_synced_survive_everything(replayed):
    kept = replayed('write("new", b"12345678", synced=True); sync("")')
    assert all(files == {"old": b"old", "new": b"12345678"} for files in kept.values())


def test_a_rename_without_a_synced_folder_may_not_have_happened(replayed):
    kept = replayed('write("new", b"new", synced=True); os.replace(f"{place}/new", f"{place}/old")')
    assert kept["strict"] == {"old": b"old"}
    assert kept["dropped"] == {"old": b"new"}


def test_a_rename_of_bytes_that_were_not_synced_may_lose_both(replayed):
    kept = replayed('write("new", b"new"); os.replace(f"{place}/new", f"{place}/old"); sync("")')
    assert kept["strict"] == kept["dropped"] == {"old": b""}


def test_a_new_folder_is_lost_with_what_is_in_it_until_the_folder_above_is_synced(replayed):
    program = 'os.mkdir(f"{place}/in"); write("in/new", b"new", synced=True); sync("in")'
    assert replayed(program)["strict"] == {"old": b"old"}


def test_a_removed_file_may_come_back(replayed):
    kept = replayed('os.unlink(f"{place}/old")')
    assert kept["strict"] == {"old": b"old"}
    assert kept["dropped"] == {}


def test_writes_reach_the_disk_in_any_order(replayed):
    kept = replayed('fd = os.open(f"{place}/old", os.O_WRONLY); os.pwrite(fd, b"A", 0); os.pwrite(fd, b"B", 4)')
    assert kept["strict"] == {"old": b"old"}
    assert kept["half"] == {"old": b"Ald"}
    assert kept["holes"] == {"old": b"old\0B"}


def test_what_two_threads_write_is_taken_in_the_order_of_time(replayed):
    program = """
import threading
fd = os.open(f"{place}/old", os.O_WRONLY)
for number in range(8):
    thread = threading.Thread(target=os.pwrite, args=(fd, bytes([65 + number]), number % 4))
    thread.start()
    thread.join()
os.fsync(fd)
"""
    assert all(files == {"old": b"EFGH"} for files in replayed(program).values())


def test_a_change_that_the_recording_does_not_show_is_not_passed_over(replayed):
    program = """
import mmap
fd = os.open(f"{place}/old", os.O_RDWR)
with mmap.mmap(fd, 3) as view:
    view[:] = b"new"
"""
    with pytest.raises(SystemExit, match="does not explain"):
        replayed(program)
