"""The connection to `registry.sqlite`, and what must hold before and after every transaction.

A log that cannot be written stops decisions. That a COMMIT returned is not enough: a database file that was deleted or
replaced while it is open still commits, into a file that nobody will find again. So the file and its write-ahead log are
compared with what was opened, inside each transaction and once more after it.

No code in this process may open and close the database file on its own: POSIX would drop SQLite's locks with it.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import Connection, Engine, QueuePool, create_engine, event, select, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry

from weighbridge.errors import LogUnavailableError, RegistryError
from weighbridge.registry import tables
from weighbridge.registry.durable import PRIVATE_FILE, explained
from weighbridge.registry.migrations import MIGRATIONS, migrate, read_applied

BUSY_TIMEOUT_S = 60
_BEGIN = "weighbridge_begin"
_FILES = "weighbridge_files"
_Identity = tuple[tuple[int, int] | None, tuple[int, int] | None]
_PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=ON",
    "PRAGMA recursive_triggers=ON",
    "PRAGMA trusted_schema=OFF",
)


class Database:
    """One SQLite file in WAL mode with synchronous=FULL. Threads may share it; a forked child may not."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._engine = _make_engine(path)

    @contextmanager
    def reading(self, failing: type[RegistryError] = RegistryError) -> Iterator[Connection]:
        """A transaction that sees one state of the store.

        Raises:
            RegistryError: the database is missing, replaced, damaged or locked; as the kind given by `failing`.
        """
        try:
            with self._engine.connect() as connection:
                # The transaction begins with the first statement.
                connection.exec_driver_sql("SELECT 1")
                self._require_same_file(connection, failing)
                yield connection
        except SQLAlchemyError as failure:
            raise self._explained(failure, failing) from failure

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that is on the disk when this returns, or has not happened.

        Raises:
            LogUnavailableError: the database is missing, replaced, read-only, full, damaged, locked, or has lost the tables
                and triggers of the log.
        """
        try:
            with self._engine.execution_options(**{_BEGIN: "BEGIN IMMEDIATE"}).connect() as connection:
                connection.exec_driver_sql("SELECT 1")
                self._require_same_file(connection, LogUnavailableError)
                _require_whole_schema(connection, self.path)
                yield connection
                self._require_same_file(connection, LogUnavailableError)
                connection.commit()
                self._require_same_file(connection, LogUnavailableError)
        except SQLAlchemyError as failure:
            raise self._explained(failure, LogUnavailableError) from failure

    def require_store(self, store_id: str) -> None:
        """Check that this is the database of the store `store_id`, and bring an older schema up to date.

        Raises:
            LogUnavailableError: it is missing, empty, damaged or belongs to another store.
            RegistryError: it was written by a later release.
        """
        if not self.path.exists():
            raise LogUnavailableError(
                f"{self.path} is missing, and with it the log of this store",
                subject=str(self.path),
                remedy="run: weighbridge rebuild (it restores the database from evidence and exported log)",
            )
        try:
            with self._engine.execution_options(**{_BEGIN: "BEGIN"}).connect() as connection:
                applied = read_applied(connection)
                found = (
                    connection.scalar(select(tables.STORE.c.value).where(tables.STORE.c.name == "id"))
                    if applied
                    else ""
                )
                connection.rollback()
                if found == store_id and len(applied) != len(MIGRATIONS):
                    self._migrate()
        except SQLAlchemyError as failure:
            raise self._explained(failure, LogUnavailableError) from failure
        if found != store_id:
            what = f"belongs to the store {found}, not to {store_id}" if found else "holds no store"
            raise LogUnavailableError(
                f"{self.path} {what}",
                subject=str(self.path),
                remedy="put the right file back, or run: weighbridge rebuild",
            )

    def _migrate(self) -> None:
        with self._engine.execution_options(**{_BEGIN: "BEGIN IMMEDIATE"}).begin() as connection:
            migrate(connection)

    def close(self) -> None:
        """Close every connection; the last one of all processes folds the write-ahead log into the database."""
        self._engine.dispose()

    def _require_same_file(self, connection: Connection, kind: type[RegistryError]) -> None:
        opened: _Identity = connection.info[_FILES]
        present = _identity(self.path)
        if present == opened and _is_writable(self.path):
            return
        if present == opened:
            raise kind(
                f"{self.path} was made read-only",
                subject=str(self.path),
                remedy=f"chmod u+w {self.path}, then run again",
            )
        what = (
            "removed" if present[0] is None else "replaced" if present[0] != opened[0] else "parted from its -wal file"
        )
        raise kind(
            f"{self.path} was {what} while it was open, so nothing can be recorded",
            subject=str(self.path),
            remedy="stop every weighbridge process, then run: weighbridge rebuild",
        )

    def _explained(self, failure: SQLAlchemyError, kind: type[RegistryError]) -> RegistryError:
        reason = str(getattr(failure, "orig", None) or failure)
        fitting = (remedy for words, remedy in _REMEDIES.items() if words in reason)
        remedy = next(fitting, "run: weighbridge verify, and if it is damaged: weighbridge rebuild")
        return kind(f"{self.path} cannot be used: {reason}", subject=str(self.path), remedy=remedy)


_REMEDIES = {
    "disk is full": "free some space there (weighbridge gc) and run again",
    "readonly": "make the file and its folder writable for this user, then run again",
    "locked": "another weighbridge is writing for more than a minute: wait for it, or end it, then run again",
    "unable to open": "check that the folder is there and belongs to this user; if the file is gone: weighbridge rebuild",
    "disk I/O error": "the disk reports errors: check it, then run: weighbridge verify",
}


def _make_engine(path: Path) -> Engine:
    address = f"file:{quote(str(path.absolute()))}?mode=rw"

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(
            address,
            uri=True,
            timeout=BUSY_TIMEOUT_S,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
        )

    engine = create_engine("sqlite://", creator=connect, poolclass=QueuePool, pool_size=4, max_overflow=-1)

    @event.listens_for(engine, "connect")
    def prepare(connection: DBAPIConnection, entry: ConnectionPoolEntry) -> None:
        before = _identity(path)
        cursor = connection.cursor()
        for pragma in _PRAGMAS:
            cursor.execute(pragma)
        # The write-ahead log comes into being with the first look at the database.
        cursor.execute("SELECT count(*) FROM sqlite_master").fetchall()
        cursor.close()
        after = _identity(path)
        if before[0] is None or before[0] != after[0]:
            raise LogUnavailableError(
                f"{path} was replaced while it was opened",
                subject=str(path),
                remedy="run again; then weighbridge verify",
            )
        entry.info[_FILES] = after

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql(connection.get_execution_options().get(_BEGIN, "BEGIN"))

    return engine


def build_database(path: Path, fill: Callable[[Connection], None]) -> None:
    """Make a database with the whole schema and what `fill` writes, synced and closed, ready to be renamed.

    Raises:
        RegistryError: it could not be written.
    """
    with explained(path, "make"):
        for left_over in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
            left_over.unlink(missing_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, PRIVATE_FILE))
    engine = _make_engine(path)
    try:
        with engine.execution_options(**{_BEGIN: "BEGIN IMMEDIATE"}).begin() as connection:
            migrate(connection)
            fill(connection)
    except SQLAlchemyError as failure:
        raise RegistryError(
            f"could not make {path}: {failure}", subject=str(path), remedy="free some space there and run again"
        ) from failure
    finally:
        engine.dispose()
    with explained(path, "sync"):
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def _is_writable(path: Path) -> bool:
    """Whether the owner may write; asked of the mode, because root may write anything."""
    try:
        return bool(path.stat().st_mode & stat.S_IWUSR)
    except OSError:
        return False


def _identity(path: Path) -> _Identity:
    """Device and inode of the database and of its write-ahead log; None for what is not there."""

    def look(file: Path) -> tuple[int, int] | None:
        try:
            status = file.stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino

    return look(path), look(path.with_name(f"{path.name}-wal"))


def find_lost_schema(connection: Connection) -> tuple[str, ...]:
    """The tables and triggers that are missing or were changed, by name."""
    rows = connection.execute(text("SELECT type, name, sql FROM sqlite_master WHERE type IN ('table', 'trigger')"))
    present = {(kind, name): sql for kind, name, sql in rows}
    lost = [name for name in tables.METADATA.tables if ("table", name) not in present]
    lost += [name for name, sql in tables.TRIGGERS.items() if present.get(("trigger", name)) != sql]
    return tuple(sorted(lost))


def _require_whole_schema(connection: Connection, path: Path) -> None:
    lost = find_lost_schema(connection)
    if lost:
        raise LogUnavailableError(
            f"{path} has lost {', '.join(lost)}, so its log cannot be trusted with a decision",
            subject=str(path),
            remedy="find out who changed it, then run: weighbridge rebuild",
        )
