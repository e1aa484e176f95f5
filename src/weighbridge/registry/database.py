"""The connection to `registry.sqlite`, and what must hold before and after every transaction.

A log that cannot be written stops decisions. That a COMMIT returned is not enough: a database file that was deleted or
replaced while it is open still commits, into a file that nobody will find again. So the file and its write-ahead log are
compared with what was opened, inside each transaction and once more after it.

No code in this process may open and close the database file on its own: POSIX would drop SQLite's locks with it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, select, text
from sqlalchemy.exc import SQLAlchemyError

from weighbridge.errors import LogUnavailableError, RegistryError
from weighbridge.registry import tables
from weighbridge.registry.connecting import BEGIN, FILES, Files, explain, is_writable, look_at_files, make_engine
from weighbridge.registry.durable import PRIVATE_FILE, explained
from weighbridge.registry.migrations import MIGRATIONS, migrate, read_applied


class Database:
    """One SQLite file in WAL mode with synchronous=FULL. Threads may share it; a forked child may not.

    With `for_reading` it can lie where nothing can be written: on a full disk, or under names that take no change.
    """

    def __init__(self, path: Path, *, for_reading: bool = False) -> None:
        self.path = path
        self._for_reading = for_reading
        self._engine = make_engine(path, for_reading=for_reading)

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
                if connection.info[FILES].is_frozen:
                    self._require_same_file(connection, failing)
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
            with self._engine.execution_options(**{BEGIN: "BEGIN IMMEDIATE"}).connect() as connection:
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
            with self._engine.execution_options(**{BEGIN: "BEGIN"}).connect() as connection:
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
        with self._engine.execution_options(**{BEGIN: "BEGIN IMMEDIATE"}).begin() as connection:
            migrate(connection)

    def close(self) -> None:
        """Close every connection; the last one of all processes folds the write-ahead log into the database."""
        self._engine.dispose()

    def _require_same_file(self, connection: Connection, kind: type[RegistryError]) -> None:
        opened: Files = connection.info[FILES]
        present = look_at_files(self.path, is_frozen=opened.is_frozen)
        if present != opened:
            raise self._exchanged(opened, present, kind)
        if not self._for_reading and not is_writable(self.path):
            raise kind(
                f"{self.path} was made read-only",
                subject=str(self.path),
                remedy=f"chmod u+w {self.path}, then run again",
            )

    def _exchanged(self, opened: Files, present: Files, kind: type[RegistryError]) -> RegistryError:
        if opened.is_frozen:
            return kind(f"{self.path} was changed while it was read", subject=str(self.path), remedy="run again")
        same_database = present.database == opened.database
        what = "removed" if present.database is None else "parted from its -wal file" if same_database else "replaced"
        return kind(
            f"{self.path} was {what} while it was open, so nothing can be recorded",
            subject=str(self.path),
            remedy="stop every weighbridge process, then run: weighbridge rebuild",
        )

    def _explained(self, failure: SQLAlchemyError, kind: type[RegistryError]) -> RegistryError:
        return explain(self.path, failure, kind, for_reading=self._for_reading)


def build_database(path: Path, fill: Callable[[Connection], None]) -> None:
    """Make a database with the whole schema and what `fill` writes, synced and closed, ready to be renamed.

    Raises:
        RegistryError: it could not be written.
    """
    with explained(path, "make"):
        for left_over in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
            left_over.unlink(missing_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, PRIVATE_FILE))
    engine = make_engine(path)
    try:
        with engine.execution_options(**{BEGIN: "BEGIN IMMEDIATE"}).begin() as connection:
            migrate(connection)
            fill(connection)
    except SQLAlchemyError as failure:
        raise explain(path, failure, RegistryError) from failure
    finally:
        engine.dispose()
    log, index = (path.with_name(f"{path.name}{ending}") for ending in ("-wal", "-shm"))
    with explained(index, "remove"):
        index.unlink(missing_ok=True)
    if log.exists():
        # SQLite says nothing when the last connection cannot fold the log in; renamed without it, the database is empty.
        raise RegistryError(
            f"could not make {path}: its write-ahead log could not be folded in",
            subject=str(path),
            remedy="free some space there, check the disk, and run again",
        )
    with explained(path, "sync"):
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


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
