"""How a store begins: `installation.json`, made once, and the first empty database."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, insert, select
from sqlalchemy.exc import SQLAlchemyError

from weighbridge.errors import MalformedArtifactError, RegistryError
from weighbridge.registry import wire
from weighbridge.registry.database import Database, build_database
from weighbridge.registry.durable import explained, fsync_folder, make_folder_durably, rename_durably, write_durably
from weighbridge.registry.locks import exclusive_lock
from weighbridge.registry.log import count_entries
from weighbridge.registry.tables import STORE

FORMAT_VERSION = 1
DATABASE_NAME = "registry.sqlite"
_FILE = "installation.json"
_BUILDING = "registry.sqlite.building"

Entropy = Callable[[int], bytes]
"""Gives this many random bytes; `os.urandom` outside of tests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreIdentity:
    """What a store is: the format of its folder, a random id, and the origin line of its checkpoints."""

    format_version: int
    id: str
    origin: str


def establish(root: Path, *, entropy: Entropy = os.urandom) -> StoreIdentity:
    """Read what the store at `root` is; make an empty one where there is none.

    An existing store is never replaced by an empty one: a folder that holds a log but no `installation.json` is an error.

    Raises:
        RegistryError: the folder cannot be written, or holds the remains of a store or one of a later format.
    """
    if (root / _FILE).exists():
        return read_identity(root)
    make_folder_durably(root)
    with exclusive_lock(root):
        if (root / _FILE).exists():
            return read_identity(root)
        _refuse_remains(root)
        identity = _found_identity(root) or _found(root, entropy)
        # By way of the staging folder, where the recovery of the next run finds what a crash leaves of it.
        write_durably(root / _FILE, wire.canonical(identity), staging=root / "staging")
        return identity


def is_store(root: Path) -> bool:
    """Whether there is a store at `root`, whole or damaged. A founding that a crash cut off has not made one.

    Raises:
        RegistryError: the folder cannot be looked into.
    """
    if _has_identity(root):
        return True
    try:
        _refuse_remains(root)
        _found_identity(root)
    except RegistryError:
        return True
    return False


def recognise(root: Path) -> StoreIdentity:
    """Read what the store at `root` is, and make nothing.

    Raises:
        RegistryError: there is none, or only the remains of one, or one of a later format.
    """
    if _has_identity(root):
        return read_identity(root)
    _refuse_remains(root)
    _found_identity(root)
    raise RegistryError(
        f"no store at {root}", subject=str(root), remedy="the first admission makes one: weighbridge admit"
    )


def read_identity(root: Path) -> StoreIdentity:
    """Read `installation.json`.

    Raises:
        RegistryError: it is missing, unreadable or of a later format.
    """
    path = root / _FILE
    with explained(path, "read"):
        data = path.read_bytes()
    try:
        identity = wire.decode(StoreIdentity, data)
    except MalformedArtifactError as problem:
        raise RegistryError(
            f"{path} is damaged: {problem}", subject=str(path), remedy="put it back from a backup of the store"
        ) from problem
    if identity.format_version != FORMAT_VERSION:
        raise RegistryError(
            f"{path} has format {identity.format_version}, this release reads {FORMAT_VERSION}",
            subject=str(path),
            remedy="install the release of weighbridge that wrote it, or a later one",
        )
    return identity


def write_identity_row(connection: Connection, identity: StoreIdentity) -> None:
    """Name the store inside its database, so that the database of another store is recognised."""
    connection.execute(insert(STORE).values(name="id", value=identity.id))


def _found(root: Path, entropy: Entropy) -> StoreIdentity:
    store_id = entropy(16).hex()
    identity = StoreIdentity(format_version=FORMAT_VERSION, id=store_id, origin=f"weighbridge/{store_id}")
    for folder in ("staging", "evidence/sha256", "blobs/sha256", "log/entries", "log/checkpoints"):
        make_folder_durably(root / folder)
        fsync_folder((root / folder).parent)
    building = root / _BUILDING
    build_database(building, lambda connection: write_identity_row(connection, identity))
    rename_durably(building, root / DATABASE_NAME)
    return identity


def _has_identity(root: Path) -> bool:
    with explained(root / _FILE, "look for"):
        return (root / _FILE).exists()


def _found_identity(root: Path) -> StoreIdentity | None:
    """The identity of a store whose founding was cut off after its empty database was made."""
    path = root / DATABASE_NAME
    if not path.exists():
        return None
    database = Database(path, for_reading=True)
    try:
        with suppress(RegistryError, SQLAlchemyError), database.reading() as connection:
            store_id = connection.scalar(select(STORE.c.value).where(STORE.c.name == "id"))
            if store_id and count_entries(connection) == 0:
                return StoreIdentity(format_version=FORMAT_VERSION, id=store_id, origin=f"weighbridge/{store_id}")
    finally:
        database.close()
    raise _remains(root, DATABASE_NAME)


def _refuse_remains(root: Path) -> None:
    for name in ("log/entries", "log/checkpoints", "evidence/sha256"):
        with explained(root / name, "list"):
            if (root / name).is_dir() and any((root / name).iterdir()):
                raise _remains(root, name)


def _remains(root: Path, name: str) -> RegistryError:
    return RegistryError(
        f"{root} holds a store ({name}) without its {_FILE}",
        subject=str(root),
        remedy=f"put {_FILE} back from a backup, or choose an empty folder",
    )
