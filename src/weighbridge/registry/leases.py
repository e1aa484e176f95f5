"""One run at a time for one key, across threads and processes, and freed when the process that had it dies."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, insert, select, update

from weighbridge.errors import RegistryError
from weighbridge.registry.database import Database
from weighbridge.registry.processes import is_at_work, read_process, this_process
from weighbridge.registry.records import timestamp
from weighbridge.registry.tables import LEASE
from weighbridge.vocabulary import clip

_FIRST_WAIT_S = 0.02
_LONGEST_WAIT_S = 0.5
_SILENT_WAIT_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """Who runs for a key. `owner` is a random token: two threads of one process are two owners."""

    key: str
    owner: str
    process: str
    since: str


@contextmanager
def hold_lease(
    database: Database,
    key: str,
    *,
    owner: str,
    clock: Callable[[], datetime],
    timeout_s: float,
    on_wait: Callable[[str], None] | None = None,
) -> Iterator[Lease]:
    """Hold the lease of `key`, waiting until whoever has it gives it back or is found dead.

    `on_wait` is told once, when a second has passed, who is waited for.

    Raises:
        RegistryError: somebody alive holds it for longer than `timeout_s`; the message names them.
        LogUnavailableError: the store cannot be written.
    """
    wanted = Lease(key=key, owner=owner, process=str(this_process()), since=timestamp(clock()))
    held = _wait(database, wanted, timeout_s, on_wait)
    try:
        yield held
    finally:
        # What came of the work, a decision or an error, is what the caller must hear: "no decision" would be a lie by then.
        _give_back(database, held)


def read_leases(connection: Connection) -> tuple[Lease, ...]:
    """Every lease there is, those of dead processes too."""
    rows = connection.execute(select(LEASE).order_by(LEASE.c.key))
    return tuple(Lease(key=key, owner=owner, process=process, since=since) for key, owner, process, since in rows)


def _wait(database: Database, wanted: Lease, timeout_s: float, on_wait: Callable[[str], None] | None) -> Lease:
    began = time.monotonic()
    pause_s = _FIRST_WAIT_S
    # Spreads the waiters of one process; it decides nothing.
    pause_s += (threading.get_ident() % 97) / 10_000
    while True:
        with database.reading() as connection:
            holder = _read(connection, wanted.key)
        if not _is_held(database, holder) and _take(database, wanted):
            return wanted
        waited_s = time.monotonic() - began
        if waited_s >= timeout_s and holder is not None:
            remedy = "wait for it to end, or end it: its lease is then free"
            raise RegistryError(_told(holder), subject=wanted.key, remedy=remedy)
        if waited_s >= _SILENT_WAIT_S and holder is not None and on_wait is not None:
            on_wait(_told(holder))
            on_wait = None
        time.sleep(pause_s)
        pause_s = min(pause_s * 1.5, _LONGEST_WAIT_S)


def _is_held(database: Database, holder: Lease | None) -> bool:
    return holder is not None and is_at_work(database.path.parent, holder.process)


def _told(holder: Lease) -> str:
    process = read_process(holder.process)
    return f"process {process.pid if process else '?'} has been working on {clip(holder.key)} since {holder.since}"


def _take(database: Database, wanted: Lease) -> bool:
    """Take a lease that is free or whose holder is dead: compare and set, inside one write transaction."""
    values = {"owner": wanted.owner, "process": wanted.process, "since": wanted.since}
    with database.writing() as connection:
        holder = _read(connection, wanted.key)
        if holder is None:
            connection.execute(insert(LEASE).values(key=wanted.key, **values))
            return True
        if _is_held(database, holder):
            return False
        same = (LEASE.c.key == wanted.key) & (LEASE.c.owner == holder.owner)
        return connection.execute(update(LEASE).where(same).values(**values)).rowcount == 1


def _give_back(database: Database, held: Lease) -> None:
    """Release a lease; one that cannot be released at the second attempt either ends with the process."""
    for _ in range(2):
        with suppress(RegistryError):
            _release(database, held)
            break


def _release(database: Database, held: Lease) -> None:
    with database.writing() as connection:
        connection.execute(delete(LEASE).where((LEASE.c.key == held.key) & (LEASE.c.owner == held.owner)))


def _read(connection: Connection, key: str) -> Lease | None:
    row = connection.execute(select(LEASE).where(LEASE.c.key == key)).one_or_none()
    return None if row is None else Lease(key=row[0], owner=row[1], process=row[2], since=row[3])
