"""The database is made anew from the files beside it, equal to what it was."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing

import pytest

from weighbridge.errors import LogUnavailableError, RegistryError, TamperedError
from weighbridge.registry.outbox import drain
from weighbridge.registry.rebuilding import rebuild
from weighbridge.registry.store import Registry
from weighbridge.registry.tables import METADATA
from weighbridge.registry.verification import verify_store
from weighbridge.testing.filled_store import NOON, Seal, decide, fill, open_store

READERS = Seal().readers


def rows(root):
    with closing(sqlite3.connect(root / "registry.sqlite")) as connection:
        schema = connection.execute("SELECT type, name, sql FROM sqlite_master ORDER BY type, name").fetchall()
        content = {
            name: sorted(connection.execute(f"SELECT * FROM {name}").fetchall(), key=repr) for name in METADATA.tables
        }
    return schema, content


@pytest.fixture
def root(tmp_path):
    with open_store(tmp_path / "store") as registry:
        fill(registry)
    return tmp_path / "store"


def scribble(path):
    data = bytearray(path.read_bytes())
    data[100:3000] = b"\xff" * 2900
    path.write_bytes(data)


@pytest.mark.parametrize("damage", ["lost", "scribbled", "empty", "whole"])
def test_a_rebuilt_database_is_equal_row_by_row(root, damage):
    before = rows(root)
    path = root / "registry.sqlite"
    match damage:
        case "lost":
            path.unlink()
        case "scribbled":
            scribble(path)
        case "empty":
            path.write_bytes(b"")
    if damage != "whole":
        with pytest.raises(LogUnavailableError):
            open_store(root)
    rebuilt = rebuild(root, readers=READERS, now=NOON)
    assert (rebuilt.entries, rebuilt.checkpoints, rebuilt.warnings) == (7, 7, ())
    if damage == "lost":
        assert rebuilt.kept_aside is None
    else:
        assert rebuilt.kept_aside == root / "registry.sqlite.damaged-20261121T120000Z"
        assert rebuilt.kept_aside.is_file()
    assert rows(root) == before
    with open_store(root) as registry:
        assert verify_store(registry, readers=READERS).is_sound
        assert decide(registry, "acme/later").log_index == 7


def test_what_was_not_exported_yet_is_taken_from_the_old_database(root, monkeypatch):
    monkeypatch.setattr("weighbridge.registry.outbox.drain", lambda *_: ())
    with open_store(root) as registry:
        decide(registry, "acme/late")
    monkeypatch.setattr("weighbridge.registry.outbox.drain", drain)
    assert not (root / "log/entries/000000007.json").exists()
    before = rows(root)[1]
    assert rebuild(root, readers=READERS, now=NOON).entries == 8
    after = rows(root)[1]
    assert len(before.pop("outbox")) == 2
    assert after.pop("outbox") == []
    assert after == before
    assert (root / "log/entries/000000007.json").exists()


def test_entries_that_no_checkpoint_signs_are_set_aside(root):
    (root / "registry.sqlite").unlink()
    (root / "log/checkpoints/000000007.checkpoint").unlink()
    rebuilt = rebuild(root, readers=READERS, now=NOON)
    assert rebuilt.entries == 6
    assert rebuilt.warnings == ("left out, signed by no checkpoint: 1 at the end of the log",)
    assert len(list((root / "log/unsigned").iterdir())) == 1
    with open_store(root) as registry:
        assert verify_store(registry, readers=READERS).is_sound


def test_a_checkpoint_from_elsewhere_must_agree(root):
    kept_elsewhere = (root / "log/checkpoints/000000007.checkpoint").read_text()
    assert rebuild(root, readers=READERS, now=NOON, checkpoint=kept_elsewhere).entries == 7
    (root / "registry.sqlite").unlink()
    (root / "log/checkpoints/000000007.checkpoint").unlink()
    with pytest.raises(TamperedError, match="a checkpoint from elsewhere knew 7"):
        rebuild(root, readers=READERS, now=NOON, checkpoint=kept_elsewhere)
    assert not (root / "registry.sqlite").exists()


def change_an_entry(root):
    path = root / "log/entries/000000002.json"
    path.write_bytes(path.read_bytes().replace(b'"kind":"decision"', b'"kind":"decisiom"'))


def lose_an_entry(root):
    (root / "log/entries/000000002.json").unlink()


def change_the_last_checkpoint(root):
    path = root / "log/checkpoints/000000007.checkpoint"
    path.write_text(path.read_text().replace("A", "B"))


def change_evidence(root):
    for path in (root / "evidence").rglob("*"):
        if path.is_file() and b'"reference":"local:acme/model-1"' in path.read_bytes():
            path.write_bytes(path.read_bytes().replace(b"model-1", b"model-2"))


def lose_a_manifest(root):
    for path in (root / "evidence").rglob("*"):
        if path.is_file() and b'"entries"' in path.read_bytes():
            path.unlink()


@pytest.mark.parametrize(
    "damage",
    [change_an_entry, lose_an_entry, change_the_last_checkpoint, change_evidence, lose_a_manifest],
    ids=lambda damage: damage.__name__,
)
def test_what_does_not_fit_is_named_and_nothing_is_put_in_place(root, damage):
    scribble(root / "registry.sqlite")
    damaged = (root / "registry.sqlite").read_bytes()
    damage(root)
    with pytest.raises(TamperedError, match="cannot be rebuilt") as refused:
        rebuild(root, readers=READERS, now=NOON)
    assert refused.value.subject
    assert (root / "registry.sqlite").read_bytes() == damaged


def test_a_broken_checkpoint_in_the_middle_is_left_out_and_said(root):
    (root / "registry.sqlite").unlink()
    (root / "log/checkpoints/000000003.checkpoint").write_bytes(b"\xff noise")
    rebuilt = rebuild(root, readers=READERS, now=NOON)
    assert (rebuilt.entries, rebuilt.checkpoints) == (7, 6)
    assert rebuilt.warnings[0].startswith("checkpoint 3 was left out")


def test_a_statement_of_another_signer_is_not_restored(root):
    stranger = Seal("stranger").readers
    mixed = type(READERS)(
        checkpoint=READERS.checkpoint, decision=stranger.decision, waiver=READERS.waiver, approval=READERS.approval
    )
    with pytest.raises(TamperedError, match="entry 0 cannot be restored"):
        rebuild(root, readers=mixed, now=NOON)


def test_a_store_in_use_is_not_rebuilt(root):
    with open_store(root), pytest.raises(RegistryError, match="in use"):
        rebuild(root, readers=READERS, now=NOON, timeout_s=0)


def test_a_rebuild_that_was_cut_off_between_its_steps_is_refused_by_opening_and_can_be_repeated(root):
    before = rows(root)
    shutil.copy(root / "registry.sqlite", root / "registry.sqlite.building")
    (root / "registry.sqlite").rename(root / "registry.sqlite.damaged-20261121T115959Z")
    (root / "registry.sqlite-wal").write_bytes(b"the end of another log")
    with pytest.raises(LogUnavailableError, match="is missing"):
        Registry.open(root, clock=lambda: NOON)
    rebuild(root, readers=READERS, now=NOON)
    assert rows(root) == before
