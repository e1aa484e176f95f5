"""A store that cannot be written is still read: by its modes, on a full disk, and after a kill."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from weighbridge.errors import LogUnavailableError, RegistryError
from weighbridge.registry.database import Database
from weighbridge.registry.founding import DATABASE_NAME, is_store
from weighbridge.registry.recovery import collect_garbage
from weighbridge.registry.store import Registry
from weighbridge.testing.filled_store import NOON, Seal, add_model, decide, fill, open_store

READER = """
import json, os, sys
from pathlib import Path
from weighbridge.errors import WeighbridgeError
from weighbridge.registry.store import Registry
from weighbridge.registry.verification import verify_store
from weighbridge.testing.filled_store import NOON, Seal
root = Path(sys.argv[1])
try:
    open(root / "trial", "w")
    sys.exit("the folder can be written")
except PermissionError:
    pass
try:
    with Registry.open(root, clock=lambda: NOON) as registry:
        answer = verify_store(registry, readers=Seal().readers)
        print(json.dumps([len(registry.query_decisions()), [problem.message for problem in answer.problems]]))
except WeighbridgeError as problem:
    print(json.dumps([problem.message, problem.remedy]))
"""
PR_CAPBSET_DROP = 24


def drop_capabilities() -> None:
    """Make root a user like any other from the next exec on."""
    for capability in range(64):
        ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)


def read_as_a_user(root: Path):
    """What an unprivileged process reads of the store, while nothing under it can be written."""
    folders = [root, *(path for path in root.rglob("*") if path.is_dir())]
    files = [path for path in root.rglob("*") if path.is_file()]
    for path in (*files, *folders):
        path.chmod(path.stat().st_mode & ~0o222)
    before = sorted(root.rglob("*"))
    try:
        run = subprocess.run(
            [sys.executable, "-W", "error", "-c", READER, str(root)],
            preexec_fn=drop_capabilities,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert run.returncode == 0, run.stderr
        assert sorted(root.rglob("*")) == before
        return json.loads(run.stdout)
    finally:
        for folder in folders:
            folder.chmod(0o700)


def filled(root: Path) -> int:
    with open_store(root) as registry:
        fill(registry)
        return len(registry.query_decisions())


def copy_with_transactions_in_its_log(root: Path) -> tuple[Path, int]:
    """What a kill leaves, a committed decision that is in the write-ahead log only, and how many decisions there are."""
    before = filled(root)
    killed = root.with_name("killed")
    with open_store(root) as registry:
        decide(registry, "acme/in-the-log")
        shutil.copytree(root, killed, ignore=shutil.ignore_patterns("staging"))
    assert (killed / f"{DATABASE_NAME}-wal").stat().st_size > 0
    return killed, before + 1


def test_a_store_without_write_permission_is_read_and_verified(tmp_path):
    count = filled(tmp_path / "store")
    assert read_as_a_user(tmp_path / "store") == [count, []]


def test_an_empty_write_ahead_log_beside_it_is_no_obstacle(tmp_path):
    count = filled(tmp_path / "store")
    (tmp_path / "store" / f"{DATABASE_NAME}-wal").touch()
    (tmp_path / "store" / f"{DATABASE_NAME}-shm").write_bytes(b"abc")
    assert read_as_a_user(tmp_path / "store") == [count, []]


def test_transactions_that_are_in_the_write_ahead_log_only_are_read(tmp_path):
    killed, count = copy_with_transactions_in_its_log(tmp_path / "store")
    assert read_as_a_user(killed) == [count, []]


def test_transactions_that_cannot_be_read_are_an_error_with_a_way_out_and_never_left_out(tmp_path):
    killed, _ = copy_with_transactions_in_its_log(tmp_path / "store")
    (killed / f"{DATABASE_NAME}-shm").unlink()
    message, remedy = read_as_a_user(killed)
    assert f"{DATABASE_NAME}-wal holds transactions" in message
    assert remedy.startswith("copy the whole store")


def test_a_database_file_without_write_permission_is_read_and_not_written(tmp_path):
    root = tmp_path / "store"
    count = filled(root)
    (root / DATABASE_NAME).chmod(0o400)
    with Registry.open(root, clock=lambda: NOON) as registry:
        assert len(registry.query_decisions()) == count
    assert not (root / f"{DATABASE_NAME}-wal").exists()
    with pytest.raises(LogUnavailableError, match="read-only"):
        open_store(root)


def test_a_writer_who_comes_while_it_is_read_as_frozen_is_noticed(tmp_path):
    root = tmp_path / "store"
    filled(root)
    (root / DATABASE_NAME).chmod(0o400)
    with Registry.open(root, clock=lambda: NOON) as registry:
        registry.query_decisions()
        (root / DATABASE_NAME).chmod(0o600)
        with open_store(root) as writer:
            decide(writer, "acme/meanwhile")
            with pytest.raises(RegistryError, match="changed while it was read"):
                registry.query_decisions()
        with pytest.raises(RegistryError, match="changed while it was read"):
            registry.query_decisions()


def test_reading_makes_no_store(tmp_path):
    root = tmp_path / "home" / "registry"
    for _ in range(2):
        assert not is_store(root)
        with pytest.raises(RegistryError, match=f"no store at {root}") as refused:
            Registry.open(root, clock=lambda: NOON)
        assert "the first admission makes one" in refused.value.remedy
        assert not any(tmp_path.rglob("*")) or list(root.iterdir()) == []
        root.mkdir(parents=True, exist_ok=True)
    filled(root)
    assert is_store(root)
    (root / DATABASE_NAME).unlink()
    assert is_store(root)
    with pytest.raises(LogUnavailableError, match="is missing"):
        Registry.open(root, clock=lambda: NOON)


def test_a_founding_that_was_cut_off_is_no_store_and_remains_are_one(tmp_path):
    root = tmp_path / "store"
    with open_store(root):
        pass
    identity = (root / "installation.json").read_bytes()
    (root / "installation.json").unlink()
    assert not is_store(root)
    with pytest.raises(RegistryError, match="no store at"):
        Registry.open(root, clock=lambda: NOON)
    (root / "installation.json").write_bytes(identity)
    filled(root)
    (root / "installation.json").unlink()
    assert is_store(root)
    with pytest.raises(RegistryError, match=r"without its installation\.json"):
        Registry.open(root, clock=lambda: NOON)


@pytest.fixture
def small(tmp_path):
    """A small file system of our own."""
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(folder)]
    if subprocess.run(command, check=False, capture_output=True).returncode != 0:
        pytest.skip("no tmpfs can be mounted without a user namespace of our own")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill_up(path: Path) -> None:
    """Take all the room there is."""
    with suppress(OSError), path.open("wb", buffering=0) as filler:
        while True:
            filler.write(bytes(os.sysconf("SC_PAGESIZE")))


def test_a_store_on_a_full_disk_is_read_and_cleared_up_and_the_disk_is_named(small):
    root = small / "store"
    count = filled(root)
    with open_store(root) as registry:
        add_model(registry, "acme/forgotten")
    fill_up(small / "filler")
    with Registry.open(root, clock=lambda: NOON) as registry:
        assert len(registry.query_decisions()) == count
    for_writing = Database(root / DATABASE_NAME)
    with pytest.raises(LogUnavailableError, match="the disk is full") as refused, for_writing.writing():
        pytest.fail("the disk is not full")
    for_writing.close()
    assert "gc" in refused.value.remedy
    with pytest.raises(RegistryError, match=r"disk is full|No space left"):
        Registry.open(root, clock=lambda: NOON, sign_checkpoint=Seal().sign_checkpoint)
    assert collect_garbage(root, now=NOON).files == 2
    (small / "filler").unlink()
    with open_store(root) as registry:
        assert len(registry.query_decisions()) == count
