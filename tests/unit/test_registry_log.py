"""If the log cannot be written, there is no decision: removed, replaced, read-only, gutted, full, put back."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import subprocess
from contextlib import closing

import pytest

from weighbridge.errors import LogUnavailableError, RegistryError, TamperedError
from weighbridge.registry import log, outbox
from weighbridge.registry.founding import establish
from weighbridge.registry.store import Registry
from weighbridge.registry.tables import TRIGGERS
from weighbridge.testing.filled_store import NOON, Seal, decide, draft_decision, open_store


def raw(root):
    return closing(sqlite3.connect(root / "registry.sqlite", isolation_level=None))


def drop(root, *statements):
    with raw(root) as connection:
        for statement in statements:
            connection.execute(statement)


def remove(root):
    (root / "registry.sqlite").unlink()


def move_away(root):
    (root / "registry.sqlite").rename(root / "elsewhere.sqlite")


def replace_by_a_copy(root):
    shutil.copy(root / "registry.sqlite", root / "copy")
    (root / "copy").replace(root / "registry.sqlite")


def replace_by_nothing(root):
    (root / "empty").touch(mode=0o600)
    (root / "empty").replace(root / "registry.sqlite")


def remove_the_write_ahead_log(root):
    (root / "registry.sqlite-wal").unlink()


def make_read_only(root):
    (root / "registry.sqlite").chmod(0o400)


def drop_the_log(root):
    drop(root, "DROP TABLE log_entry")


def drop_a_trigger(root):
    drop(root, "DROP TRIGGER log_entry_no_delete")


def weaken_a_trigger(root):
    drop(
        root,
        "DROP TRIGGER checkpoint_no_update",
        "CREATE TRIGGER checkpoint_no_update BEFORE UPDATE ON checkpoint BEGIN SELECT 1; END",
    )


def cut_the_end_off(root):
    drop(root, "DROP TRIGGER log_entry_no_delete", "DELETE FROM log_entry", TRIGGERS["log_entry_no_delete"])


DAMAGES = [
    remove,
    move_away,
    replace_by_a_copy,
    replace_by_nothing,
    remove_the_write_ahead_log,
    make_read_only,
    drop_the_log,
    drop_a_trigger,
    weaken_a_trigger,
    cut_the_end_off,
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_damage_while_the_store_is_open_means_no_decision(tmp_path, damage):
    root = tmp_path / "store"
    with open_store(root) as registry:
        decide(registry, "acme/first")
        draft = draft_decision(registry, "acme/tiny")
        damage(root)
        with pytest.raises(LogUnavailableError) as refused:
            registry.record_decision(draft)
        assert refused.value.remedy
        assert not (root / "log/entries/000000001.json").exists()


@pytest.mark.parametrize("damage", [remove, move_away, replace_by_nothing, drop_the_log, drop_a_trigger])
def test_damage_while_the_store_is_closed_means_no_decision(tmp_path, damage):
    root = tmp_path / "store"
    with open_store(root) as registry:
        decide(registry, "acme/first")
    damage(root)
    with pytest.raises(LogUnavailableError) as refused, open_store(root) as registry:
        decide(registry, "acme/tiny")
    assert "weighbridge rebuild" in str(refused.value.remedy)


def test_a_file_that_vanishes_during_the_transaction_is_noticed(tmp_path):
    root = tmp_path / "store"
    seal = Seal()

    def sign_and_remove(size, root_hash):
        (root / "registry.sqlite").unlink()
        return seal.sign_checkpoint(size, root_hash)

    with Registry.open(root, clock=lambda: NOON, sign_checkpoint=sign_and_remove) as registry:
        draft = draft_decision(registry, "acme/tiny")
        with pytest.raises(LogUnavailableError, match="removed"):
            registry.record_decision(draft)


def test_a_missing_database_is_never_replaced_by_an_empty_one(tmp_path):
    root = tmp_path / "store"
    with open_store(root) as registry:
        decide(registry, "acme/first")
    remove(root)
    for _ in range(2):
        with pytest.raises(LogUnavailableError, match="is missing") as refused:
            open_store(root)
        assert "weighbridge rebuild" in refused.value.remedy
    assert not (root / "registry.sqlite").exists()


def test_the_database_of_another_store_is_refused(tmp_path):
    establish(tmp_path / "one")
    establish(tmp_path / "other")
    shutil.copy(tmp_path / "other/registry.sqlite", tmp_path / "one/registry.sqlite")
    with pytest.raises(LogUnavailableError, match="belongs to the store"):
        open_store(tmp_path / "one")


def test_remains_of_a_store_are_not_taken_for_an_empty_folder(tmp_path):
    root = tmp_path / "store"
    with open_store(root) as registry:
        decide(registry, "acme/first")
    (root / "installation.json").rename(root / "aside")
    with pytest.raises(RegistryError, match=r"without its installation\.json"):
        open_store(root)
    (root / "aside").rename(root / "installation.json")
    with open_store(root) as registry:
        assert len(registry.query_decisions()) == 1


@pytest.mark.parametrize("content", [b"", b"{}", b'{"format_version":2,"id":"a","origin":"b"}'])
def test_a_damaged_or_later_installation_file_is_named(tmp_path, content):
    root = tmp_path / "store"
    establish(root)
    (root / "installation.json").write_bytes(content)
    with pytest.raises(RegistryError, match=r"installation\.json"):
        open_store(root)


def test_a_store_of_a_later_release_is_refused(tmp_path):
    root = tmp_path / "store"
    establish(root)
    drop(root, "INSERT INTO applied_migration VALUES ('9999-later')")
    with pytest.raises(RegistryError, match="later release"):
        open_store(root)


def test_yesterdays_database_is_recognised_by_the_exported_log(tmp_path):
    root = tmp_path / "store"
    with open_store(root) as registry:
        decide(registry, "acme/first")
    shutil.copy(root / "registry.sqlite", tmp_path / "yesterday")
    with open_store(root) as registry:
        decide(registry, "acme/second")
    shutil.copy(tmp_path / "yesterday", root / "registry.sqlite")
    with pytest.raises(TamperedError, match="older database was put back"):
        open_store(root)


def test_a_founding_that_was_cut_off_is_completed(tmp_path):
    root = tmp_path / "store"
    identity = establish(root)
    (root / "installation.json").unlink()
    assert establish(root) == identity
    (root / "installation.json").unlink()
    (root / "registry.sqlite").unlink()
    (root / "registry.sqlite.building").write_bytes(b"half a database")
    assert establish(root).id != identity.id
    with open_store(root) as registry:
        assert decide(registry, "acme/tiny").is_fresh


def test_a_full_disk_means_no_decision_and_an_intact_store(tmp_path):
    root = tmp_path / "store"
    with open_store(root) as registry:
        decide(registry, "acme/first")
        draft = draft_decision(registry, "acme/tiny")
        # SQLite says the same thing for a full disk and for a database that may not grow.
        with registry._database._engine.connect() as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        for pooled in [registry._database._engine.raw_connection() for _ in range(2)]:
            pooled.driver_connection.execute(f"PRAGMA max_page_count={pages}")
            pooled.close()
        with pytest.raises(LogUnavailableError, match="full") as refused:
            [decide(registry, f"acme/model-{number}") for number in range(40)]
        assert "free some space" in refused.value.remedy
        size = registry.read_checkpoint().size
    with open_store(root) as registry:
        assert registry.read_checkpoint().size == size
        assert registry.record_decision(draft).is_fresh


@pytest.mark.parametrize(
    "verb", ["UPDATE log_entry SET entry = x'00'", "DELETE FROM checkpoint", "DELETE FROM log_entry"]
)
def test_the_log_is_append_only(tmp_path, verb):
    root = tmp_path / "store"
    with open_store(root) as registry:
        decide(registry, "acme/first")
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        drop(root, verb)


@pytest.mark.parametrize("place", [0, 2, 7, -1])
def test_the_log_grows_by_one_at_its_end(tmp_path, place):
    root = tmp_path / "store"
    with open_store(root) as registry:
        decide(registry, "acme/first")
    with pytest.raises(sqlite3.IntegrityError, match="at its end"):
        drop(root, f"INSERT OR REPLACE INTO log_entry VALUES ({place}, x'00', x'00')")


def test_what_was_committed_and_not_exported_is_exported_at_the_next_opening(tmp_path):
    root = tmp_path / "store"
    with open_store(root) as registry:
        decide(registry, "acme/first")
        with registry._database.writing() as connection:
            outbox.enqueue(connection, [0], 1, ())
        for path in [*(root / "log/entries").iterdir(), *(root / "log/checkpoints").iterdir()]:
            path.unlink()
    with open_store(root) as registry:
        assert registry.warnings == ()
        assert (root / "log/entries/000000000.json").read_bytes() == registry.prove_inclusion(0).entry
        with registry.reading() as connection:
            assert connection.exec_driver_sql("SELECT count(*) FROM outbox").scalar() == 0
    assert (root / "log/checkpoints/000000001.checkpoint").is_file()


def test_a_log_that_contradicts_its_last_checkpoint_takes_nothing_more(tmp_path):
    root = tmp_path / "store"
    with open_store(root) as registry:
        decide(registry, "acme/first")
    with raw(root) as connection:
        connection.execute("DROP TRIGGER checkpoint_no_update")
        connection.execute("UPDATE checkpoint SET frontier = zeroblob(32)")
        connection.execute(TRIGGERS["checkpoint_no_update"])
    with open_store(root) as registry, pytest.raises(LogUnavailableError, match="last checkpoint"):
        decide(registry, "acme/tiny")


def test_asking_for_sizes_that_never_were(tmp_path):
    with open_store(tmp_path / "store") as registry:
        assert registry.read_checkpoint() == log.EMPTY
        decide(registry, "acme/first")
        for ask in (
            lambda: registry.read_checkpoint(2),
            lambda: registry.prove_consistency(0, 1),
            lambda: registry.prove_consistency(1, 2),
            lambda: registry.read_entry(1),
            lambda: registry.prove_inclusion(-1),
        ):
            with pytest.raises(RegistryError):
                ask()


def test_a_really_full_file_system_refuses_and_stays_intact(tmp_path):
    root = tmp_path / "small"
    root.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=700k", "none", str(root)], check=False)
    if mounted.returncode != 0:
        pytest.skip("no tmpfs can be mounted without a user namespace of our own")
    try:
        failure = None
        with open_store(root / "store") as registry:
            for number in range(300):
                try:
                    decide(registry, f"acme/model-{number}")
                except RegistryError as refusal:
                    failure = refusal
                    break
            assert failure is not None
            assert os.strerror(errno.ENOSPC) in str(failure) or "full" in str(failure) or "do not fit" in str(failure)
            decided = len(registry.query_decisions())
        assert decided > 0
        (root / "store/staging").mkdir(exist_ok=True)
        subprocess.run(["mount", "-o", "remount,size=4m", str(root)], check=True)
        with open_store(root / "store") as registry:
            assert len(registry.query_decisions()) == decided == registry.read_checkpoint().size
            assert decide(registry, "acme/later").warnings == ()
            assert len(list((root / "store/log/entries").iterdir())) == decided + 1
    finally:
        subprocess.run(["umount", str(root)], check=True)
