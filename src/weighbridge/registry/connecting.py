"""How the file of the database is opened, which files were opened, and what an error of SQLite means to a person.

To read a database in WAL mode SQLite needs its shared memory file, which it makes anew where no process has one. Where it
cannot, on a folder or a disk that takes nothing, the file is read as one that nobody writes (`immutable`), provided that no
write-ahead log holds transactions beside it; and whether somebody did write is looked at afterwards.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import Connection, Engine, QueuePool, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry

from weighbridge.errors import LogUnavailableError, RegistryError

BUSY_TIMEOUT_S = 60
BEGIN = "weighbridge_begin"
"""The execution option that says how a transaction begins."""
FILES = "weighbridge_files"
"""Where `Connection.info` keeps the `Files` that were opened."""

_WRITE, _READ, _FROZEN = "mode=rw", "mode=ro", "mode=ro&immutable=1"
_PRAGMAS = ("PRAGMA foreign_keys=ON", "PRAGMA recursive_triggers=ON", "PRAGMA trusted_schema=OFF")
_WRITING_PRAGMAS = ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL")
_CANNOT_WRITE = frozenset({sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN})
_FULL_BELOW_BYTES = 1 << 20
_FULL = "free some space there (weighbridge gc) and run again"
_REMEDIES = {
    "readonly": "make the file and its folder writable for this user, then run again",
    "locked": "another weighbridge is writing for more than a minute: wait for it, or end it, then run again",
    "unable to open": "check that the folder is there and belongs to this user; if the file is gone: weighbridge rebuild",
    "disk I/O error": "the disk reports errors: check it, then run: weighbridge verify",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """The database and its write-ahead log as numbers that change when another file takes the name; None for no file.

    Where the database is read as one that nobody writes (`is_frozen`), they change when somebody does.
    """

    database: tuple[int, ...] | None
    log: tuple[int, ...] | None
    is_frozen: bool = False


class _Opened(sqlite3.Connection):
    files: Files


def make_engine(path: Path, *, for_reading: bool = False) -> Engine:
    """Connections to the database at `path`, for any thread, one thread each at a time.

    With `for_reading` a database can be opened that this process must not or cannot write.
    """

    def connect() -> sqlite3.Connection:
        ways = _ways_to_read(path) if for_reading else (_WRITE,)
        for way in ways[:-1]:
            try:
                return _connect(path, way)
            except sqlite3.OperationalError as failure:
                if _code(failure) not in _CANNOT_WRITE:
                    raise
        return _connect(path, ways[-1])

    engine = create_engine("sqlite://", creator=connect, poolclass=QueuePool, pool_size=4, max_overflow=-1)

    @event.listens_for(engine, "connect")
    def remember(connection: DBAPIConnection, entry: ConnectionPoolEntry) -> None:
        if isinstance(connection, _Opened):
            entry.info[FILES] = connection.files

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql(connection.get_execution_options().get(BEGIN, "BEGIN"))

    return engine


def look_at_files(path: Path, *, is_frozen: bool = False) -> Files:
    """What lies under the name of a database at this moment."""

    def look(file: Path) -> tuple[int, ...] | None:
        try:
            status = file.stat()
        except OSError:
            return None
        if not is_frozen:
            return status.st_dev, status.st_ino
        return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns

    log = _log_of(path)
    # An empty write-ahead log says nothing: a process that failed to open the database may have left it.
    is_looked_at = not is_frozen or _size(log) > 0
    return Files(database=look(path), log=look(log) if is_looked_at else None, is_frozen=is_frozen)


def is_writable(path: Path) -> bool:
    """Whether the owner may write; asked of the mode, because root may write anything."""
    try:
        return bool(path.stat().st_mode & stat.S_IWUSR)
    except OSError:
        return False


def explain(
    path: Path, failure: SQLAlchemyError, kind: type[RegistryError], *, for_reading: bool = False
) -> RegistryError:
    """An error of the database in words: what, where, and what to do."""
    cause = getattr(failure, "orig", None) or failure
    code, reason = _code(cause), str(cause)
    fitting = (remedy for words, remedy in _REMEDIES.items() if words in reason)
    remedy = next(fitting, "run: weighbridge verify, and if it is damaged: weighbridge rebuild")
    if code == sqlite3.SQLITE_FULL or (code in _CANNOT_WRITE and _is_full(path.parent)):
        reason, remedy = "the disk is full", _FULL
    elif for_reading and code in _CANNOT_WRITE and _size(_log_of(path)) > 0:
        reason += f", and {_log_of(path).name} holds transactions that cannot be read from a folder that takes no files"
        remedy = "copy the whole store to where this user can write, and read the copy"
    return kind(f"{path} cannot be used: {reason}", subject=str(path), remedy=remedy)


def _ways_to_read(path: Path) -> tuple[str, ...]:
    """How to try to open a database for reading, in order, seldom making a file beside it that stays."""
    may_write = all(is_writable(place) and os.access(place, os.W_OK) for place in (path, path.parent))
    has_log, has_memory = _size(_log_of(path)) > 0, path.with_name(f"{path.name}-shm").exists()
    ways = [_WRITE] if may_write else []
    ways += [_READ] if has_log or has_memory else []
    ways += [] if has_log else [_FROZEN]
    return tuple(ways)


def _connect(path: Path, way: str) -> _Opened:
    before = look_at_files(path, is_frozen=way == _FROZEN)
    opened = sqlite3.connect(
        f"file:{quote(str(path.absolute()))}?{way}",
        uri=True,
        timeout=BUSY_TIMEOUT_S,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=256,
        factory=_Opened,
    )
    try:
        for pragma in (*(_WRITING_PRAGMAS if way == _WRITE else ()), *_PRAGMAS):
            opened.execute(pragma)
        # The write-ahead log comes into being with the first look at the database.
        opened.execute("SELECT count(*) FROM sqlite_master").fetchall()
        opened.files = look_at_files(path, is_frozen=before.is_frozen)
        _require_unchanged(path, before, opened.files)
    except BaseException:
        opened.close()
        raise
    return opened


def _require_unchanged(path: Path, before: Files, after: Files) -> None:
    if before.database is None or before.database != after.database:
        raise LogUnavailableError(
            f"{path} was replaced while it was opened",
            subject=str(path),
            remedy="run again; then weighbridge verify",
        )


def _code(failure: BaseException) -> int:
    """The primary code of an error of SQLite, 0 for other errors."""
    extended: int = getattr(failure, "sqlite_errorcode", 0)
    return extended & 0xFF


def _log_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _is_full(folder: Path) -> bool:
    """Whether the file system has no room for a few pages, or for one more file."""
    try:
        names = os.statvfs(folder)
        free_bytes = shutil.disk_usage(folder).free
    except OSError:
        return False
    return free_bytes < _FULL_BELOW_BYTES or (names.f_files > 0 and names.f_favail == 0)
