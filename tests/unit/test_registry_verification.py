"""Everything is recomputed, and every change of content is found."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from weighbridge.errors import LogUnavailableError
from weighbridge.registry.store import Registry
from weighbridge.registry.tables import INDEX_TABLES, TRIGGERS
from weighbridge.registry.verification import NO_CHECKPOINT, Verification, verify_store
from weighbridge.testing.filled_store import NOON, Seal, decide, draft_decision, fill, open_store
from weighbridge.vocabulary import Verdict

MUTATIONS = int(os.environ.get("WEIGHBRIDGE_MUTATIONS", "500"))
LOG_COLUMNS = {"log_entry": ("entry", "leaf_hash"), "checkpoint": ("root_hash", "frontier", "note")}
KEYS = {"log_entry": "log_index", "checkpoint": "size"}


def verify(root: Path, checkpoint: str | None = None, seal: Seal | None = None) -> Verification:
    with Registry.open(root, clock=lambda: NOON) as registry:
        return verify_store(registry, readers=(seal or Seal()).readers, checkpoint=checkpoint)


@pytest.fixture
def root(tmp_path):
    with open_store(tmp_path / "store") as registry:
        fill(registry)
    return tmp_path / "store"


def test_an_untouched_store_is_sound_and_says_that_nobody_vouched_for_its_length(root):
    answer = verify(root)
    assert answer.problems == ()
    assert answer.is_sound
    assert (answer.entries, answer.checkpoints) == (7, 7)
    assert answer.evidence_files > 20
    assert not answer.had_checkpoint
    assert answer.elsewhere == NO_CHECKPOINT
    assert "had no checkpoint from elsewhere" in answer.elsewhere


def test_any_earlier_checkpoint_vouches(root):
    for path in sorted((root / "log/checkpoints").iterdir()):
        answer = verify(root, path.read_text())
        assert answer.is_sound
        assert answer.had_checkpoint
        assert f"agrees with the checkpoint from elsewhere at {int(path.stem)} entries" == answer.elsewhere


def test_an_empty_store_is_sound(tmp_path):
    with open_store(tmp_path / "store"):
        pass
    assert verify(tmp_path / "store").is_sound


# --- what only a checkpoint kept elsewhere shows ---------------------------------------------------------------------


def test_a_log_cut_short_with_everything_that_belongs_to_it_needs_a_checkpoint_from_elsewhere(root):
    kept_elsewhere = (root / "log/checkpoints/000000007.checkpoint").read_text()
    with closing(sqlite3.connect(root / "registry.sqlite", isolation_level=None)) as connection:
        for name in TRIGGERS:
            connection.execute(f"DROP TRIGGER {name}")
        for table in ("log_entry", *(t.name for t in INDEX_TABLES if "log_index" in t.c)):
            connection.execute(f"DELETE FROM {table} WHERE log_index >= 5")
        connection.execute("DELETE FROM checkpoint WHERE size > 5")
        for statement in TRIGGERS.values():
            connection.execute(statement)
    for number in (5, 6):
        (root / f"log/entries/{number:09}.json").unlink()
        (root / f"log/checkpoints/{number + 1:09}.checkpoint").unlink()
    alone = verify(root)
    assert alone.is_sound
    assert alone.elsewhere == NO_CHECKPOINT
    answer = verify(root, kept_elsewhere)
    assert [problem.message for problem in answer.problems] == [
        "the log has 5 entries, a checkpoint from elsewhere knew 7: it was cut short or put back"
    ]


def test_a_store_put_back_from_yesterday_needs_a_checkpoint_from_elsewhere(root, tmp_path):
    shutil.copytree(root, tmp_path / "yesterday")
    with open_store(root) as registry:
        decide(registry, "acme/today")
        kept_elsewhere = registry.read_checkpoint().note
    shutil.rmtree(root)
    (tmp_path / "yesterday").rename(root)
    assert verify(root).is_sound
    assert not verify(root, kept_elsewhere).is_sound


def test_a_rewritten_log_needs_a_checkpoint_from_elsewhere(root, tmp_path):
    kept_elsewhere = (root / "log/checkpoints/000000004.checkpoint").read_text()
    with open_store(tmp_path / "other") as registry:
        fill(registry, models=5)
    assert verify(tmp_path / "other").is_sound
    answer = verify(tmp_path / "other", kept_elsewhere)
    assert [problem.message for problem in answer.problems] == [
        "the first 4 entries are not those that a checkpoint from elsewhere knew: the log was rewritten"
    ]


def test_a_checkpoint_of_somebody_else_vouches_for_nothing(root):
    forged = Seal("stranger").sign_checkpoint(1, b"\0" * 32)
    answer = verify(root, forged)
    assert [problem.subject for problem in answer.problems] == ["checkpoint from elsewhere"]


# --- what the store shows by itself ----------------------------------------------------------------------------------


def test_statements_of_another_signer_are_found(root):
    answer = verify(root, seal=Seal("stranger"))
    assert sum("cannot be trusted" in problem.message for problem in answer.problems) == 7 + 6


def test_a_record_that_says_otherwise_than_its_statement_is_found(tmp_path):
    with open_store(tmp_path / "store") as registry:
        refused = draft_decision(registry, "acme/tiny", verdict=Verdict.REFUSE)
        later = refused.expires_at + timedelta(days=1)
        registry.record_decision(replace(refused, verdict=Verdict.ADMIT, expires_at=later))
    messages = {problem.message for problem in verify(tmp_path / "store").problems}
    assert messages == {
        "says another verdict than its signed statement",
        "says another expires_at than its signed statement",
    }


def test_a_lost_trigger_and_strange_files_are_named(root):
    with closing(sqlite3.connect(root / "registry.sqlite", isolation_level=None)) as connection:
        connection.execute("DROP TRIGGER log_entry_no_update")
    (root / "log/entries/000000099.json").write_text("{}")
    (root / "evidence/sha256/stray\x1b[2J").touch()
    subjects = {problem.subject for problem in verify(root).problems}
    assert subjects == {"log_entry_no_update", "log/entries/000000099.json", "sha256/stray\\x1b[2J"}


def test_a_database_of_noise_is_a_problem_and_not_an_exception(root):
    data = bytearray((root / "registry.sqlite").read_bytes())
    noise = random.Random(1)
    for _ in range(200):
        data[noise.randrange(4096, len(data))] ^= noise.randrange(1, 256)
    (root / "registry.sqlite").write_bytes(data)
    try:
        answer = verify(root)
    except LogUnavailableError:
        return
    assert not answer.is_sound


class Vandal:
    """Makes one random change of content and undoes it."""

    def __init__(self, root: Path, seed: int) -> None:
        self.root = root
        self.random = random.Random(seed)
        self.database = root / "registry.sqlite"
        self.pristine = self.database.read_bytes()
        self.files = [
            path for part in ("evidence", "log") for path in sorted((root / part).rglob("*")) if path.is_file()
        ]
        self.undo: dict[Path, bytes] = {}

    def strike(self) -> str:
        """Change something and say what."""
        acts = (
            self.flip_in_file,
            self.delete_file,
            self.swap_files,
            self.cut_file,
            self.flip_in_row,
            self.delete_row,
            self.swap_rows,
            self.change_type,
            self.change_index_row,
            self.delete_index_row,
            self.repeat_index_row,
        )
        return self.random.choice(acts)()

    def restore(self) -> None:
        for path, data in self.undo.items():
            path.write_bytes(data)
        self.undo.clear()
        self.database.write_bytes(self.pristine)

    def write(self, path: Path, data: bytes) -> None:
        self.undo.setdefault(path, path.read_bytes())
        path.write_bytes(data)

    def flipped(self, data: bytes) -> bytes:
        changed = bytearray(data)
        changed[self.random.randrange(len(changed))] ^= self.random.randrange(1, 256)
        return bytes(changed)

    def flip_in_file(self) -> str:
        path = self.random.choice(self.files)
        self.write(path, self.flipped(path.read_bytes()))
        return f"flipped a byte of {path}"

    def cut_file(self) -> str:
        path = self.random.choice(self.files)
        data = path.read_bytes()
        self.write(path, data[: self.random.randrange(len(data))])
        return f"cut {path}"

    def delete_file(self) -> str:
        path = self.random.choice(self.files)
        self.undo[path] = path.read_bytes()
        path.unlink()
        return f"deleted {path}"

    def swap_files(self) -> str:
        one, other = self.random.sample(self.files, 2)
        first, second = one.read_bytes(), other.read_bytes()
        if first == second:
            return self.flip_in_file()
        self.write(one, second)
        self.write(other, first)
        return f"swapped {one} and {other}"

    def run(self, *statements: tuple[str, tuple]) -> None:
        with closing(sqlite3.connect(self.database, isolation_level=None)) as connection:
            connection.execute("PRAGMA synchronous=OFF")
            connection.execute("BEGIN")
            for name in TRIGGERS:
                connection.execute(f"DROP TRIGGER {name}")
            for statement, values in statements:
                assert connection.execute(statement, values).rowcount == 1, statement
            for statement in TRIGGERS.values():
                connection.execute(statement)
            connection.execute("COMMIT")

    def ask(self, statement: str) -> list[tuple]:
        with closing(sqlite3.connect(self.database)) as connection:
            return connection.execute(statement).fetchall()

    def log_cell(self) -> tuple[str, str, int, object]:
        table = self.random.choice(list(LOG_COLUMNS))
        column = self.random.choice(LOG_COLUMNS[table])
        key, value = self.random.choice(self.ask(f"SELECT {KEYS[table]}, {column} FROM {table}"))
        return table, column, key, value

    def flip_in_row(self) -> str:
        table, column, key, value = self.log_cell()
        if isinstance(value, str):
            changed: object = self.flipped(value.encode()).decode("latin-1")
        else:
            changed = self.flipped(value)
        self.run((f"UPDATE {table} SET {column} = ? WHERE {KEYS[table]} = ?", (changed, key)))
        return f"flipped a byte of {table}.{column} {key}"

    def change_type(self) -> str:
        table, column, key, value = self.log_cell()
        other = value.encode() if isinstance(value, str) else value.decode("latin-1")
        self.run((f"UPDATE {table} SET {column} = ? WHERE {KEYS[table]} = ?", (other, key)))
        return f"changed the type of {table}.{column} {key}"

    def delete_row(self) -> str:
        table, _, key, _ = self.log_cell()
        self.run((f"DELETE FROM {table} WHERE {KEYS[table]} = ?", (key,)))
        return f"deleted {table} {key}"

    def swap_rows(self) -> str:
        table = self.random.choice(list(LOG_COLUMNS))
        columns, key = LOG_COLUMNS[table], KEYS[table]
        one, other = self.random.sample(self.ask(f"SELECT {key}, {', '.join(columns)} FROM {table}"), 2)
        change = f"UPDATE {table} SET {', '.join(f'{column} = ?' for column in columns)} WHERE {key} = ?"
        self.run((change, (*other[1:], one[0])), (change, (*one[1:], other[0])))
        return f"swapped {table} {one[0]} and {other[0]}"

    def index_row(self) -> tuple[str, int, list[str], tuple]:
        table = self.random.choice(INDEX_TABLES)
        columns = [column.name for column in table.columns]
        names = ", ".join(f'"{name}"' for name in columns)
        row = self.random.choice(self.ask(f"SELECT rowid, {names} FROM {table.name}"))
        return table.name, row[0], columns, row[1:]

    def change_index_row(self) -> str:
        table, rowid, columns, row = self.index_row()
        place = self.random.randrange(len(columns))
        value = row[place] + 1000 if isinstance(row[place], int) else f"{row[place]}x"
        self.run((f'UPDATE {table} SET "{columns[place]}" = ? WHERE rowid = ?', (value, rowid)))
        return f"changed {table}.{columns[place]} {rowid}"

    def delete_index_row(self) -> str:
        table, rowid, _, _ = self.index_row()
        self.run((f"DELETE FROM {table} WHERE rowid = ?", (rowid,)))
        return f"deleted {table} {rowid}"

    def repeat_index_row(self) -> str:
        table, _, columns, row = self.index_row()
        unique = [f"{value}y" if isinstance(value, str) else value + 2000 for value in row]
        self.run((f"INSERT INTO {table} VALUES ({', '.join('?' * len(columns))})", tuple(unique)))
        return f"added a row to {table}"


def test_random_changes_of_content_are_all_found(root):
    vandal = Vandal(root, seed=20261121)
    missed = []
    for _ in range(MUTATIONS):
        what = vandal.strike()
        if verify(root).is_sound:
            missed.append(what)
        vandal.restore()
    assert missed == []
    assert verify(root).is_sound
