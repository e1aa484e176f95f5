"""Clearing up: after kills, and on request."""

from __future__ import annotations

import shutil
import subprocess
import sys
from datetime import timedelta

import pytest

from weighbridge.errors import RegistryError, TamperedError
from weighbridge.registry.locks import exclusive_lock, exclusive_lock_if_free, held_folder, is_held, shared_lock
from weighbridge.registry.recovery import Freed, Keep, collect_garbage, find_left_overs, recover
from weighbridge.registry.store import Registry
from weighbridge.testing.filled_store import NOON, Seal, add_model, decide, draft_decision, open_store
from weighbridge.vocabulary import Verdict

KILLED = """
import os, signal, sys
from pathlib import Path
from weighbridge.testing.filled_store import *
registry = open_store(Path(sys.argv[1]))
draft = draft_decision(registry, "acme/killed")
(registry.staging / "half").mkdir()
(registry.staging / "half" / "file").write_bytes(b"12345")
with registry.lease("acme/killed"):
    os.kill(os.getpid(), signal.SIGKILL)
"""


def kill_a_run(root):
    run = subprocess.run([sys.executable, "-W", "error", "-c", KILLED, str(root)], check=False, timeout=120)
    assert run.returncode == -9


def files_of(root):
    return {path.relative_to(root) for path in root.rglob("*") if path.is_file()}


def test_what_a_killed_run_left_is_gone_at_the_next_opening(tmp_path):
    root = tmp_path / "store"
    with open_store(root) as registry:
        decide(registry, "acme/kept")
    before = files_of(root)
    kill_a_run(root)
    assert len(find_left_overs(root)) == 1
    assert len(files_of(root) - before) > 5
    with open_store(root) as registry:
        assert len(registry.query_decisions()) == 1
        with registry.lease("acme/killed", timeout_s=0.1):
            pass
    assert files_of(root) == before


def test_recovery_does_nothing_where_every_run_ended_well(tmp_path):
    root = tmp_path / "store"
    with open_store(root) as registry:
        decide(registry, "acme/kept")
        unneeded = registry.evidence.put(b"nobody needs this")
    assert recover(root) == Freed()
    with Registry.open(root, clock=lambda: NOON) as registry:
        assert registry.evidence.has(unneeded)


def test_nothing_is_cleared_under_a_run_that_works(tmp_path):
    root = tmp_path / "store"
    with open_store(root) as registry:
        kill_a_run(root)
        draft = draft_decision(registry, "acme/working")
        assert recover(root) == Freed(busy=True)
        assert collect_garbage(root, now=NOON) == Freed(busy=True)
        assert registry.record_decision(draft).is_fresh
    freed = recover(root)
    assert freed.files > 5
    assert not freed.busy


def test_garbage_is_what_no_decision_needs(tmp_path):
    root = tmp_path / "store"
    with open_store(root) as registry:
        decide(registry, "acme/kept")
        before = files_of(root)
        add_model(registry, "acme/forgotten")
    would = collect_garbage(root, now=NOON, dry_run=True)
    assert would.files == 2
    assert len(files_of(root) - before) >= 2
    assert collect_garbage(root, now=NOON) == would
    assert collect_garbage(root, now=NOON) == Freed()
    with Registry.open(root, clock=lambda: NOON) as registry:
        assert registry.query_decisions()
        assert len(registry.blobs.list()) == 1


@pytest.mark.parametrize(
    ("keep", "names"),
    [
        (Keep.DECIDED, {"admitted", "refused", "expired", "replaced"}),
        (Keep.ADMITTED, {"admitted"}),
    ],
)
def test_what_is_kept_can_be_chosen(tmp_path, keep, names):
    root = tmp_path / "store"
    blobs = {}
    with open_store(root) as registry:
        for name in ("admitted", "refused", "expired", "replaced"):
            verdict = Verdict.REFUSE if name == "refused" else Verdict.ADMIT
            decided_at = NOON - timedelta(days=60) if name == "expired" else NOON
            registry.record_decision(draft_decision(registry, name, verdict=verdict, decided_at=decided_at))
            blobs[name] = add_model(registry, name).entries[0].sha256
        later = draft_decision(registry, "replaced", verdict=Verdict.REFUSE, decided_at=NOON + timedelta(hours=1))
        registry.record_decision(later, again=True)
    freed = collect_garbage(root, now=NOON, keep=keep)
    assert freed.files == 4 - len(names)
    with open_store(root) as registry:
        assert set(registry.blobs.list()) == {blobs[name] for name in names}
        assert len(list(registry.evidence.list())) > 20
        assert registry.query_decisions()


def test_there_is_no_garbage_where_there_is_no_store(tmp_path):
    assert collect_garbage(tmp_path / "store", now=NOON) == Freed()
    assert list(tmp_path.iterdir()) == []


def test_what_is_cleared_beside_is_cleared_under_the_lock(tmp_path):
    root = tmp_path / "store"
    asked = []

    def clear():
        with exclusive_lock_if_free(root) as held:
            asked.append(held)

    with open_store(root) as registry:
        decide(registry, "acme/kept")
        assert collect_garbage(root, now=NOON, under_lock=clear).busy
    collect_garbage(root, now=NOON, dry_run=True, under_lock=clear)
    assert asked == []
    collect_garbage(root, now=NOON, under_lock=clear)
    assert asked == [False]


def test_nothing_is_deleted_on_the_word_of_yesterdays_database(tmp_path):
    root = tmp_path / "store"
    with open_store(root) as registry:
        decide(registry, "acme/first")
    shutil.copy(root / "registry.sqlite", tmp_path / "yesterday")
    with open_store(root) as registry:
        decide(registry, "acme/second")
    shutil.copy(tmp_path / "yesterday", root / "registry.sqlite")
    before = files_of(root)
    with pytest.raises(TamperedError, match="put back"):
        collect_garbage(root, now=NOON)
    kill_folder = root / "staging" / "1-1-none-none-dead"
    kill_folder.mkdir()
    with pytest.raises(TamperedError, match="put back"):
        Registry.open(root, clock=lambda: NOON, sign_checkpoint=Seal().sign_checkpoint)
    assert files_of(root) == before


def test_the_lock_says_who_waits_for_what(tmp_path):
    alone = exclusive_lock(tmp_path, timeout_s=0.05)
    with shared_lock(tmp_path), shared_lock(tmp_path, timeout_s=0), pytest.raises(RegistryError, match="in use"), alone:
        pytest.fail("not alone")
    beside = shared_lock(tmp_path, timeout_s=0.05)
    with exclusive_lock(tmp_path, timeout_s=0), pytest.raises(RegistryError, match="in use"), beside:
        pytest.fail("somebody clears up")


def test_a_folder_is_held_while_somebody_works_in_it(tmp_path):
    folder, file, link = tmp_path / "folder", tmp_path / "file", tmp_path / "link"
    folder.mkdir()
    file.touch()
    link.symlink_to(folder)
    assert not is_held(folder)
    with held_folder(folder):
        assert is_held(folder)
        assert is_held(folder)
        assert not any(is_held(place) for place in (file, link, tmp_path / "nothing"))
    assert not is_held(folder)
    with pytest.raises(RegistryError, match="could not lock"), held_folder(tmp_path / "nothing"):
        pytest.fail("nothing is held")


def test_who_works_leaves_nothing_over(tmp_path):
    root = tmp_path / "store"
    with open_store(root) as registry:
        assert registry.staging.is_dir()
        assert find_left_overs(root) == ()
        kill_a_run(root)
        assert len(find_left_overs(root)) == 1
