"""How the schema came to be: numbered steps, each applied once and remembered by name."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection, insert, inspect, select, text

from weighbridge.errors import RegistryError
from weighbridge.registry import tables


def _make_the_store(connection: Connection) -> None:
    tables.METADATA.create_all(connection)
    if connection.dialect.name == "sqlite":
        for statement in tables.TRIGGERS.values():
            connection.execute(text(statement))


MIGRATIONS: tuple[tuple[str, Callable[[Connection], None]], ...] = (("0001-the-store", _make_the_store),)
"""Every step, in order. A released step is never changed; a later one is added below it."""


def migrate(connection: Connection) -> tuple[str, ...]:
    """Apply the steps that this database has not seen, inside the caller's transaction, and return their names.

    Raises:
        RegistryError: the database has seen a step that this release does not know.
    """
    applied = read_applied(connection)
    known = [name for name, _ in MIGRATIONS]
    strange = sorted(set(applied) - set(known))
    if strange:
        raise RegistryError(
            f"the store was written by a later release ({', '.join(strange)})",
            subject=strange[0],
            remedy="install that release of weighbridge, or a later one",
        )
    missing = [(name, step) for name, step in MIGRATIONS if name not in applied]
    for name, step in missing:
        step(connection)
        connection.execute(insert(tables.APPLIED).values(name=name))
    return tuple(name for name, _ in missing)


def read_applied(connection: Connection) -> tuple[str, ...]:
    """The names of the steps that this database has seen; none for an empty one."""
    if not inspect(connection).has_table(tables.APPLIED.name):
        return ()
    return tuple(connection.scalars(select(tables.APPLIED.c.name).order_by(tables.APPLIED.c.name)))
