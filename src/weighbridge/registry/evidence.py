"""Evidence: JSON words and envelopes as files, named by the sha256 of their bytes, never changed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from weighbridge.errors import RegistryError, TamperedError
from weighbridge.registry.durable import explained, fsync_folder, make_folder_durably, write_durably

_HEX = frozenset("0123456789abcdef")


def is_digest(text: str) -> bool:
    """Whether `text` is a lower-case hexadecimal sha256."""
    return len(text) == 64 and _HEX.issuperset(text)


class EvidenceStore:
    """Files under `root/sha256/ab/<hex>`, mode 0600.

    Law: what `read` returns has the digest it was asked for. `staging` is a folder on the same file system where files are
    written before they get their name; without it they are written beside their name. A store that is open for reading
    only takes nothing in, because nobody would keep a collection away from it.
    """

    def __init__(self, root: Path, *, staging: Path | None = None, is_writable: bool = True) -> None:
        self.root = root
        self._is_writable = is_writable
        self._staging = staging
        self._settled: set[Path] = set()

    def path_of(self, sha256: str) -> Path:
        """Where the evidence of this digest lies, or would lie.

        Raises:
            RegistryError: `sha256` is no digest, so it must not become a path.
        """
        if not is_digest(sha256):
            raise RegistryError(
                "not a sha256 digest", subject=sha256[:80], remedy="give 64 lower-case hexadecimal digits"
            )
        return self.root / "sha256" / sha256[:2] / sha256

    def put(self, data: bytes) -> str:
        """Keep `data` and return its digest; when this returns, it survives a power loss.

        Raises:
            RegistryError: it could not be written; nothing is left behind.
            TamperedError: other bytes lie under its digest.
        """
        if not self._is_writable:
            raise RegistryError(
                f"{self.root} is open for reading only", subject=str(self.root), remedy="open it for writing"
            )
        sha256 = hashlib.sha256(data).hexdigest()
        path = self.path_of(sha256)
        self._settle(path.parent)
        if not path.exists():
            write_durably(path, data, staging=self._staging)
            return sha256
        self.read(sha256)
        # Another process may have renamed it a moment ago and not yet synced the folder.
        fsync_folder(path.parent)
        return sha256

    def read(self, sha256: str) -> bytes:
        """The bytes of this digest, hashed again.

        Raises:
            RegistryError: there is no such evidence, or it cannot be read.
            TamperedError: the file does not hold what its name says.
        """
        path = self.path_of(sha256)
        try:
            with explained(path, "read"):
                data = path.read_bytes()
        except RegistryError as failure:
            if isinstance(failure.__cause__, FileNotFoundError):
                raise RegistryError(
                    f"evidence {sha256} is missing",
                    subject=sha256,
                    remedy=f"put {path} back from a backup of the store",
                ) from failure
            raise
        if hashlib.sha256(data).hexdigest() != sha256:
            raise TamperedError(
                f"evidence {sha256} was changed after it was kept",
                subject=sha256,
                remedy=f"put {path} back from a backup of the store, then run weighbridge verify",
            )
        return data

    def has(self, sha256: str) -> bool:
        """Whether a file of this name is there; it is not read."""
        return self.path_of(sha256).is_file()

    def list(self) -> Iterator[str]:
        """Every digest that has a file, in order. Files with other names are not listed."""
        for folder in _sorted_folder(self.root / "sha256"):
            yield from (path.name for path in _sorted_folder(folder) if is_digest(path.name))

    def list_strangers(self) -> Iterator[Path]:
        """Everything under `root/sha256` that is not evidence in its place."""
        for folder in _sorted_folder(self.root / "sha256"):
            if not folder.is_dir():
                yield folder
                continue
            for path in _sorted_folder(folder):
                if not is_digest(path.name) or path.name[:2] != folder.name or path.is_symlink():
                    yield path

    def remove(self, sha256: str) -> int:
        """Delete the evidence of this digest and return the bytes it freed, 0 where there was none.

        Raises:
            RegistryError: it cannot be deleted.
        """
        path = self.path_of(sha256)
        with explained(path, "delete"):
            try:
                size_bytes = path.lstat().st_size
                path.unlink()
            except FileNotFoundError:
                return 0
        return size_bytes

    def _settle(self, folder: Path) -> None:
        """Make `folder` durable once per store object, also where another process has just made it."""
        if folder in self._settled:
            return
        if folder.is_dir():
            fsync_folder(folder.parent)
        else:
            make_folder_durably(folder)
        self._settled.add(folder)


def _sorted_folder(folder: Path) -> list[Path]:
    with explained(folder, "list"):
        return sorted(folder.iterdir()) if folder.is_dir() else []
