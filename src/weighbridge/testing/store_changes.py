"""One random change of content in a store at a time, in its files and in the rows of its database, and the way back."""

# ruff: noqa: S608  # the names of tables and columns are our own

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

from weighbridge.registry.tables import INDEX_TABLES, TRIGGERS

_LOG_COLUMNS = {"log_entry": ("entry", "leaf_hash"), "checkpoint": ("root_hash", "frontier", "note")}
_KEYS = {"log_entry": "log_index", "checkpoint": "size"}


def find_missed(vandal: Vandal, is_sound: Callable[[], bool], count: int) -> list[str]:
    """Make `count` changes one after the other, each undone before the next; those after which all seemed sound."""
    missed = []
    for _ in range(count):
        what = vandal.strike()
        if is_sound():
            missed.append(what)
        vandal.restore()
    return missed


class Vandal:
    """Makes one random change of content and undoes it."""

    def __init__(self, root: Path, rng: Random) -> None:
        self._root = root
        self._random = rng
        self._database = root / "registry.sqlite"
        self._pristine = self._database.read_bytes()
        self._files = [
            path for part in ("evidence", "log") for path in sorted((root / part).rglob("*")) if path.is_file()
        ]
        self._undo: dict[Path, bytes] = {}

    def strike(self) -> str:
        """Change something and say what."""
        acts = (
            self._flip_in_file,
            self._delete_file,
            self._swap_files,
            self._cut_file,
            self._flip_in_row,
            self._delete_row,
            self._swap_rows,
            self._change_type,
            self._change_index_row,
            self._delete_index_row,
            self._repeat_index_row,
        )
        return self._random.choice(acts)()

    def restore(self) -> None:
        """Put everything back."""
        for path, data in self._undo.items():
            path.write_bytes(data)
        self._undo.clear()
        self._database.write_bytes(self._pristine)

    def _write(self, path: Path, data: bytes) -> None:
        self._undo.setdefault(path, path.read_bytes())
        path.write_bytes(data)

    def _flipped(self, data: bytes) -> bytes:
        changed = bytearray(data)
        changed[self._random.randrange(len(changed))] ^= self._random.randrange(1, 256)
        return bytes(changed)

    def _flip_in_file(self) -> str:
        path = self._random.choice(self._files)
        self._write(path, self._flipped(path.read_bytes()))
        return f"flipped a byte of {path}"

    def _cut_file(self) -> str:
        path = self._random.choice(self._files)
        data = path.read_bytes()
        self._write(path, data[: self._random.randrange(len(data))])
        return f"cut {path}"

    def _delete_file(self) -> str:
        path = self._random.choice(self._files)
        self._undo[path] = path.read_bytes()
        path.unlink()
        return f"deleted {path}"

    def _swap_files(self) -> str:
        one, other = self._random.sample(self._files, 2)
        first, second = one.read_bytes(), other.read_bytes()
        if first == second:
            return self._flip_in_file()
        self._write(one, second)
        self._write(other, first)
        return f"swapped {one} and {other}"

    def _run(self, *statements: tuple[str, tuple[object, ...]]) -> None:
        with closing(sqlite3.connect(self._database, isolation_level=None)) as connection:
            connection.execute("PRAGMA synchronous=OFF")
            connection.execute("BEGIN")
            for name in TRIGGERS:
                connection.execute(f"DROP TRIGGER {name}")
            for statement, values in statements:
                if connection.execute(statement, values).rowcount != 1:
                    raise AssertionError(statement)
            for statement in TRIGGERS.values():
                connection.execute(statement)
            connection.execute("COMMIT")

    def _ask(self, statement: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self._database)) as connection:
            return connection.execute(statement).fetchall()

    def _log_cell(self) -> tuple[str, str, int, Any]:
        table = self._random.choice(list(_LOG_COLUMNS))
        column = self._random.choice(_LOG_COLUMNS[table])
        key, value = self._random.choice(self._ask(f"SELECT {_KEYS[table]}, {column} FROM {table}"))
        return table, column, key, value

    def _flip_in_row(self) -> str:
        table, column, key, value = self._log_cell()
        if isinstance(value, str):
            changed: object = self._flipped(value.encode()).decode("latin-1")
        else:
            changed = self._flipped(value)
        self._run((f"UPDATE {table} SET {column} = ? WHERE {_KEYS[table]} = ?", (changed, key)))
        return f"flipped a byte of {table}.{column} {key}"

    def _change_type(self) -> str:
        table, column, key, value = self._log_cell()
        other = value.encode() if isinstance(value, str) else value.decode("latin-1")
        self._run((f"UPDATE {table} SET {column} = ? WHERE {_KEYS[table]} = ?", (other, key)))
        return f"changed the type of {table}.{column} {key}"

    def _delete_row(self) -> str:
        table, _, key, _ = self._log_cell()
        self._run((f"DELETE FROM {table} WHERE {_KEYS[table]} = ?", (key,)))
        return f"deleted {table} {key}"

    def _swap_rows(self) -> str:
        table = self._random.choice(list(_LOG_COLUMNS))
        columns, key = _LOG_COLUMNS[table], _KEYS[table]
        one, other = self._random.sample(self._ask(f"SELECT {key}, {', '.join(columns)} FROM {table}"), 2)
        change = f"UPDATE {table} SET {', '.join(f'{column} = ?' for column in columns)} WHERE {key} = ?"
        self._run((change, (*other[1:], one[0])), (change, (*one[1:], other[0])))
        return f"swapped {table} {one[0]} and {other[0]}"

    def _index_row(self) -> tuple[str, int, list[str], tuple[Any, ...]]:
        table = self._random.choice(INDEX_TABLES)
        columns = [column.name for column in table.columns]
        names = ", ".join(f'"{name}"' for name in columns)
        row = self._random.choice(self._ask(f"SELECT rowid, {names} FROM {table.name}"))
        return table.name, row[0], columns, row[1:]

    def _change_index_row(self) -> str:
        table, rowid, columns, row = self._index_row()
        place = self._random.randrange(len(columns))
        value = row[place] + 1000 if isinstance(row[place], int) else f"{row[place]}x"
        self._run((f'UPDATE {table} SET "{columns[place]}" = ? WHERE rowid = ?', (value, rowid)))
        return f"changed {table}.{columns[place]} {rowid}"

    def _delete_index_row(self) -> str:
        table, rowid, _, _ = self._index_row()
        self._run((f"DELETE FROM {table} WHERE rowid = ?", (rowid,)))
        return f"deleted {table} {rowid}"

    def _repeat_index_row(self) -> str:
        table, _, columns, row = self._index_row()
        unique = [f"{value}y" if isinstance(value, str) else value + 2000 for value in row]
        self._run((f"INSERT INTO {table} VALUES ({', '.join('?' * len(columns))})", tuple(unique)))
        return f"added a row to {table}"
