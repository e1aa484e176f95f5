"""The key of an installation: Ed25519, made on first use, kept where only its owner can read it.

    keys/                       0700
      signing-key.pem           0600  the private key (PKCS #8 PEM, RFC 5958), not encrypted
      signing-key.next.pem      0600  only while a rotation is under way
      trusted/<key id>.pem            public keys that signed here before (SubjectPublicKeyInfo PEM)
      rotations/<key id>.json         signed statements by which the old key names its successor

A key id is the sha256, in hexadecimal, of the 32 raw bytes of the public key (RFC 8032).
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from weighbridge.errors import RegistryError, SigningError
from weighbridge.registry.durable import PRIVATE_FILE, fsync_folder, make_folder_durably, unfinished, write_durably

KEY_FILE = "signing-key.pem"
NEXT_KEY_FILE = "signing-key.next.pem"
TRUSTED_FOLDER = "trusted"
ROTATIONS_FOLDER = "rotations"
_LIMIT_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyingKey:
    """A public key: `raw` is its 32 bytes."""

    raw: bytes

    @property
    def key_id(self) -> str:
        """sha256 of the raw public key, in hexadecimal."""
        return hashlib.sha256(self.raw).hexdigest()

    @property
    def pem(self) -> bytes:
        """SubjectPublicKeyInfo PEM (RFC 8410)."""
        return self.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def public_key(self) -> Ed25519PublicKey:
        """The key as `cryptography` has it.

        Raises:
            SigningError: these are not 32 bytes.
        """
        try:
            return Ed25519PublicKey.from_public_bytes(self.raw)
        except ValueError as problem:
            raise SigningError("not an Ed25519 public key: it has 32 bytes", subject=self.raw.hex()[:80]) from problem

    def fits(self, signature: bytes, data: bytes) -> bool:
        """Whether the holder of this key signed `data`."""
        try:
            self.public_key().verify(signature, data)
        except InvalidSignature:
            return False
        return True

    @classmethod
    def read(cls, path: Path) -> VerifyingKey:
        """Read a public key from PEM.

        Raises:
            SigningError: the file cannot be read or is no Ed25519 public key.
        """
        try:
            key = load_pem_public_key(_read_bounded(path))
        except (ValueError, UnsupportedAlgorithm) as problem:
            raise _not_a_key(path, "public") from problem
        if not isinstance(key, Ed25519PublicKey):
            raise _not_a_key(path, "public")
        return cls(raw=key.public_bytes_raw())


class SigningKey:
    """A private key in memory. A `Signer`: it has a `key_id` and signs bytes."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        self.public_key = VerifyingKey(raw=private.public_key().public_bytes_raw())

    def __repr__(self) -> str:
        return f"SigningKey({self.key_id})"

    @property
    def key_id(self) -> str:
        """sha256 of the raw public key, in hexadecimal."""
        return self.public_key.key_id

    @property
    def private(self) -> Ed25519PrivateKey:
        """The key as `cryptography` has it, for libraries that sign with it."""
        return self._private

    def sign(self, data: bytes) -> bytes:
        """The 64 bytes of the Ed25519 signature of `data`; the same every time."""
        return self._private.sign(data)

    @classmethod
    def load(cls, path: Path) -> SigningKey:
        """Read a private key, PKCS #8 PEM, that only its owner can read. Links are followed: secrets are mounted as links.

        Raises:
            SigningError: it is not there, not an unencrypted Ed25519 key, or others can read it.
        """
        try:
            key = load_pem_private_key(_read_bounded(path, is_private=True), password=None)
        except TypeError as problem:
            remedy = "Decrypt it (`openssl pkey`) into a file that only you can read."
            raise SigningError(f"{path} is encrypted", subject=str(path), remedy=remedy) from problem
        except (ValueError, UnsupportedAlgorithm) as problem:
            raise _not_a_key(path, "private") from problem
        if not isinstance(key, Ed25519PrivateKey):
            raise _not_a_key(path, "private")
        return cls(key)

    @classmethod
    def load_or_create(cls, folder: Path) -> SigningKey:
        """The key in `folder`, made if there is none. Of several processes that try at once, one makes it and all get it.

        Raises:
            SigningError: the folder or the key is open to others, cannot be written, or is not a key.
        """
        path = folder / KEY_FILE
        if path.exists():
            refuse_open_folder(folder)
            key = cls.load(path)
            with writing(folder):
                # Whoever made it may not have synced its name yet, and what is signed must not outlive the key.
                fsync_folder(folder)
            return key
        with locked(folder):
            if not path.exists():
                write_private(path, Ed25519PrivateKey.generate())
        return cls.load(path)


def trusted_keys(folder: Path) -> tuple[VerifyingKey, ...]:
    """Public keys that this installation signed with before, and others that were put there, in the order of their ids.

    Raises:
        SigningError: a file there is no public key, or is named after another key.
    """
    keys = []
    for path in sorted((folder / TRUSTED_FOLDER).glob("*.pem")):
        key = VerifyingKey.read(path)
        if path.stem != key.key_id:
            remedy = f"Rename it to {key.key_id}.pem if you trust it, else delete it."
            raise SigningError(f"{path} holds the key {key.key_id}", subject=str(path), remedy=remedy)
        keys.append(key)
    return tuple(keys)


def keep_public_half(folder: Path, key: VerifyingKey, *, staging: Path) -> None:
    """Write a public key into `folder`, unless it is there, so that a lost keys folder does not take it along.

    It is written under a temporary name in `staging`, on the same file system, first.

    Raises:
        RegistryError: it cannot be written.
    """
    path = folder / f"{key.key_id}.pem"
    if not path.exists():
        make_folder_durably(folder)
        write_durably(path, key.pem, mode=PRIVATE_FILE, staging=staging)


def write_private(path: Path, private: Ed25519PrivateKey) -> None:
    """Write a private key so that after a crash there is all of it or none of it. The caller holds `locked(folder)`.

    Raises:
        SigningError: it cannot be written.
    """
    write_whole(path, private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def write_whole(path: Path, data: bytes) -> None:
    """Write a file of mode 0600 that is whole and on the disk, or not there. The caller holds `locked(folder)`.

    Raises:
        SigningError: it cannot be written.
    """
    with writing(path):
        # What a killed process left is a secret that nobody would miss.
        for left_over in path.parent.glob(unfinished(path.name)):
            left_over.unlink()
        write_durably(path, data, mode=PRIVATE_FILE)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the keys folder, made with mode 0700 if it is not there, against other processes. A killed one lets go.

    Its name, and those above it that had to be made, survive a power loss: no log may outlive the key that signed it.

    Raises:
        SigningError: it cannot be made, or others can write to it.
    """
    with writing(folder):
        make_folder_durably(folder)
        # Another process may have made it a moment ago and not yet synced the folder above.
        fsync_folder(folder.parent)
        refuse_open_folder(folder)
        descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, PRIVATE_FILE)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what goes wrong with files in the body into an error about keys.

    Raises:
        SigningError: the body failed; `subject` is the path.
    """
    try:
        yield
    except (OSError, RegistryError) as problem:
        reason = f"{path}: {problem.strerror}" if isinstance(problem, OSError) else problem.message
        remedy = "Free space there, or choose a folder that you can write to with WEIGHBRIDGE_HOME."
        raise SigningError(reason, subject=str(path), remedy=remedy) from problem


def refuse_open_folder(folder: Path) -> None:
    """Refuse a keys folder in which others could exchange a key.

    Raises:
        SigningError: group or others can write to it.
    """
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode & 0o022:
        remedy = f"chmod 700 {folder}"
        raise SigningError(f"others can write to {folder} (mode {mode:o})", subject=str(folder), remedy=remedy)


def _read_bounded(path: Path, *, is_private: bool = False) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as stream:
            status = os.fstat(stream.fileno())
            if not stat.S_ISREG(status.st_mode) or status.st_size > _LIMIT_BYTES:
                raise _not_a_key(path, "private" if is_private else "public")
            if is_private and status.st_mode & 0o077:
                remedy = f"chmod 600 {path}"
                mode = stat.S_IMODE(status.st_mode)
                raise SigningError(f"others can read {path} (mode {mode:o})", subject=str(path), remedy=remedy)
            return stream.read(_LIMIT_BYTES)
    except OSError as problem:
        remedy = "Check the path and who owns it."
        raise SigningError(f"{path} cannot be read: {problem.strerror}", subject=str(path), remedy=remedy) from problem


def _not_a_key(path: Path, kind: str) -> SigningError:
    remedy = "`openssl genpkey -algorithm ed25519` makes one."
    return SigningError(f"{path} is not an Ed25519 {kind} key in PEM", subject=str(path), remedy=remedy)
