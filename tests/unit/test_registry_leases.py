"""One run a key: across processes and threads, and after a kill."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace

import pytest

from weighbridge.errors import RegistryError
from weighbridge.registry.leases import read_leases
from weighbridge.registry.processes import is_at_work, read_process, this_process
from weighbridge.registry.records import timestamp
from weighbridge.registry.recovery import collect_garbage, find_left_overs, recover
from weighbridge.testing.filled_store import NOON, open_store

RACER = """
import sys, threading
from pathlib import Path
from weighbridge.testing.filled_store import NOON, digest_of, draft_decision, open_store

root, runs, results = Path(sys.argv[1]), Path(sys.argv[2]), []

def admit():
    with registry.lease("one model", timeout_s=120):
        found = registry.find_decision(key)
        if found is None:
            with runs.open("a") as file:
                file.write("run\\n")
            draft = draft_decision(registry, "acme/tiny")
            registry.record_decision(draft)
            found = registry.find_decision(key)
    results.append(found.decision)

with open_store(root) as registry:
    key = draft_decision(registry, "acme/tiny").key
    threads = [threading.Thread(target=admit) for _ in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
print(*results)
"""

HOLDER = """
import sys, time
from pathlib import Path
from weighbridge.testing.filled_store import open_store
with open_store(Path(sys.argv[1])) as registry, registry.lease("one model"):
    print("held", flush=True)
    time.sleep(600)
"""


def start(program, *arguments):
    command = [sys.executable, "-W", "error", "-c", program, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_64_callers_in_8_processes_make_one_run_and_one_decision(tmp_path):
    runs = tmp_path / "runs"
    processes = [start(RACER, tmp_path / "store", runs) for _ in range(8)]
    answers = [process.communicate(timeout=240)[0].split() for process in processes]
    assert [process.returncode for process in processes] == [0] * 8
    assert [len(answer) for answer in answers] == [8] * 8
    assert len({digest for answer in answers for digest in answer}) == 1
    assert runs.read_text() == "run\n"
    with open_store(tmp_path / "store") as registry:
        assert registry.read_checkpoint().size == 1
        with registry.reading() as connection:
            assert read_leases(connection) == ()


def test_a_killed_holder_frees_its_lease_and_a_live_one_is_named(tmp_path):
    root = tmp_path / "store"
    with start(HOLDER, root) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with open_store(root) as registry:
            named = f"process {holder.pid} has been working"
            with pytest.raises(RegistryError, match=named), registry.lease("one model", timeout_s=0.1):
                pytest.fail("two hold it")
            with registry.lease("another model", timeout_s=0.1):
                pass
            holder.kill()
            # not reaped yet: a zombie holds nothing
            with registry.lease("one model", timeout_s=30) as lease:
                assert read_process(lease.process) is not None


def test_a_lease_is_given_back_when_the_work_fails(tmp_path):
    with open_store(tmp_path / "store") as registry:
        with pytest.raises(KeyError), registry.lease("one model"):
            raise KeyError
        with registry.lease("one model", timeout_s=0):
            pass


def test_two_threads_of_a_process_are_two_owners(tmp_path):
    with open_store(tmp_path / "store") as registry, registry.lease("one model"):
        waiting = registry.lease("one model", timeout_s=0.05)
        with pytest.raises(RegistryError, match="has been working"), waiting:
            pytest.fail("two hold it")
        with registry.lease("another model", timeout_s=0):
            pass


def test_who_waits_is_told_once_for_whom(tmp_path):
    told = []
    with open_store(tmp_path / "store") as registry:
        with registry.lease("one model", timeout_s=0.05, on_wait=told.append):
            waiting = registry.lease("one model", timeout_s=2.0, on_wait=told.append)
            with pytest.raises(RegistryError, match="has been working"), waiting:
                pytest.fail("two hold it")
        with registry.lease("one model", timeout_s=0, on_wait=told.append):
            pass
    assert told == [f"process {os.getpid()} has been working on one model since {timestamp(NOON)}"]


def start_in_container(program, *arguments):
    """A process with process ids of its own, as in a container; killed, it takes what runs there with it."""
    container = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child"]
    if (
        shutil.which("unshare") is None
        or subprocess.run([*container, "true"], check=False, capture_output=True).returncode
    ):
        pytest.skip("no user namespace can be made here")
    command = [*container, sys.executable, "-W", "error", "-c", program, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_a_container_keeps_its_lease_while_it_lives_and_not_longer(tmp_path):
    root = tmp_path / "store"
    with start_in_container(HOLDER, root) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with open_store(root) as registry:
            assert not recover(root).files
            with pytest.raises(RegistryError, match="process 1 has been"), registry.lease("one model", timeout_s=0.1):
                pytest.fail("two hold it")
            holder.kill()
            # Nobody may clear up meanwhile: this registry is open.
            with registry.lease("one model", timeout_s=30):
                pass
    with open_store(root) as registry:
        assert list((root / "staging").iterdir()) == [registry.staging]


@pytest.mark.parametrize("clear", [recover, lambda root: collect_garbage(root, now=NOON)], ids=["recover", "gc"])
def test_what_a_killed_container_left_is_cleared_up(tmp_path, clear):
    root = tmp_path / "store"
    with start_in_container(HOLDER, root) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert len(list((root / "staging").iterdir())) == 1
        holder.kill()
    # What ran in the container ends a moment after the container itself.
    while not find_left_overs(root) or clear(root).busy:
        time.sleep(0.01)
    assert list((root / "staging").iterdir()) == []
    with open_store(root) as registry, registry.lease("one model", timeout_s=0):
        pass


def test_a_name_is_that_of_one_process_in_its_staging_folder(tmp_path):
    own = this_process()
    assert own.pid == os.getpid()
    # the boot id loses its dashes in the folder name
    again = read_process(f"{own}-0011aabb")
    assert again is not None
    assert str(again) == str(own)
    with open_store(tmp_path / "store") as registry:
        assert registry.staging.name.startswith(f"{own}-")
        assert is_at_work(registry.root, str(own))
        assert not is_at_work(registry.root, str(replace(own, started=own.started + 1)))
        assert not is_at_work(registry.root, str(replace(own, namespace="4026530000")))
        assert not is_at_work(registry.root, str(own)[:-1])
        assert not is_at_work(registry.root, "")
    assert not is_at_work(tmp_path / "store", str(own))


@pytest.mark.parametrize("text", ["", "zz", "1-1-none-none"])
def test_a_lease_of_nobody_at_work_is_free(tmp_path, text):
    with open_store(tmp_path / "store") as registry:
        (registry.root / "staging" / f"{text}-0011aabb").mkdir()
        with closing(sqlite3.connect(registry.root / "registry.sqlite")) as connection:
            connection.execute("INSERT INTO lease VALUES ('one model', 'somebody', ?, ?)", (text, timestamp(NOON)))
            connection.commit()
        with registry.lease("one model", timeout_s=0):
            pass


@pytest.mark.parametrize("text", ["", "x-1-2-3", "1-2", "1--2-3", json.dumps({})])
def test_what_names_no_process(text):
    assert read_process(text) is None
