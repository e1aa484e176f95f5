from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from weighbridge.errors import HostileInputError, RegistryError, TamperedError
from weighbridge.registry import hashing
from weighbridge.registry.blobs import BlobStore

DATA = b"weights" * 1000
SHA = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "blobs")


def put(store: BlobStore, tmp_path: Path, data: bytes = DATA, expected: str = "") -> str:
    source = tmp_path / "source.bin"
    source.write_bytes(data)
    fd = os.open(source, os.O_RDONLY)
    try:
        return store.add_from_fd(fd, folder=tmp_path / "staging", path="source.bin", expected_sha256=expected).sha256
    finally:
        os.close(fd)


def everything(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


def test_a_blob_is_what_its_name_says(store: BlobStore, tmp_path: Path) -> None:
    assert put(store, tmp_path) == SHA
    assert store.path_of(SHA) == tmp_path / "blobs" / "sha256" / SHA[:2] / SHA
    assert store.path_of(SHA).read_bytes() == DATA
    assert stat.S_IMODE(store.path_of(SHA).stat().st_mode) == 0o400
    assert store.has(SHA)
    assert store.verify(SHA)
    assert store.list() == (SHA,)
    assert everything(tmp_path / "staging") == []


def test_opening_gives_the_bytes(store: BlobStore, tmp_path: Path) -> None:
    put(store, tmp_path)
    fd = store.open_fd(SHA)
    try:
        assert os.read(fd, len(DATA) + 1) == DATA
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.write(fd, b"x")
    finally:
        os.close(fd)


@pytest.mark.parametrize("size", [0, 1, (1 << 18) - 1, 1 << 18, (1 << 24) - 1, 1 << 24, (1 << 24) + 4097])
def test_every_size_is_copied_whole(store: BlobStore, tmp_path: Path, size: int) -> None:
    data = (b"0123456789abcdef" * (size // 16 + 1))[:size]
    sha256 = put(store, tmp_path, data)
    assert sha256 == hashlib.sha256(data).hexdigest()
    assert store.path_of(sha256).read_bytes() == data


def test_the_same_bytes_are_kept_once(store: BlobStore, tmp_path: Path) -> None:
    put(store, tmp_path)
    put(store, tmp_path)
    assert everything(tmp_path / "blobs") == [f"sha256/{SHA[:2]}/{SHA}"]


def test_a_blob_that_was_damaged_is_whole_after_the_same_bytes_come_in_again(store: BlobStore, tmp_path: Path) -> None:
    put(store, tmp_path)
    damaged = store.path_of(SHA)
    damaged.chmod(0o600)
    damaged.write_bytes(DATA[:-1] + b"X")
    assert not store.verify(SHA)
    put(store, tmp_path)
    assert store.verify(SHA)


def test_bytes_that_are_not_the_promised_ones_leave_nothing(store: BlobStore, tmp_path: Path) -> None:
    with pytest.raises(HostileInputError, match=f"(?s)source.bin.*{SHA}.*{'0' * 64}"):
        put(store, tmp_path, expected="0" * 64)
    assert store.list() == ()
    assert everything(tmp_path / "staging") == []


@pytest.mark.parametrize("name", ["", "..", "a" * 63, "A" * 64, "g" * 64, "a" * 64 + "\n", "../" + "a" * 61])
def test_only_a_digest_becomes_a_path(store: BlobStore, name: str) -> None:
    with pytest.raises(RegistryError, match="not a sha256"):
        store.path_of(name)


def test_a_missing_blob_says_so(store: BlobStore) -> None:
    with pytest.raises(RegistryError, match="not in the store"):
        store.open_fd(SHA)
    assert not store.has(SHA)
    assert not store.verify(SHA)
    assert store.list() == ()
    assert store.remove(SHA) == 0


def test_removing_says_what_it_freed(store: BlobStore, tmp_path: Path) -> None:
    put(store, tmp_path)
    assert store.remove(SHA) == len(DATA)
    assert store.list() == ()


def test_a_link_in_the_place_of_a_blob_is_tampering(store: BlobStore, tmp_path: Path) -> None:
    put(store, tmp_path)
    store.path_of(SHA).unlink()
    store.path_of(SHA).symlink_to(tmp_path / "source.bin")
    with pytest.raises(TamperedError, match="symbolic link"):
        store.open_fd(SHA)
    assert not store.has(SHA)
    assert not store.verify(SHA)


def test_a_pipe_in_the_place_of_a_blob_is_tampering(store: BlobStore, tmp_path: Path) -> None:
    put(store, tmp_path)
    store.path_of(SHA).unlink()
    os.mkfifo(store.path_of(SHA))
    with pytest.raises(TamperedError, match="not a regular file"):
        store.open_fd(SHA)


def test_a_blob_that_others_may_write_is_not_opened(store: BlobStore, tmp_path: Path) -> None:
    put(store, tmp_path)
    store.path_of(SHA).chmod(0o666)
    with pytest.raises(TamperedError, match="written by others"):
        store.open_fd(SHA)


def test_strange_files_in_the_store_are_not_listed(store: BlobStore, tmp_path: Path) -> None:
    put(store, tmp_path)
    (tmp_path / "blobs" / "sha256" / "README").write_text("hello")
    (tmp_path / "blobs" / "sha256" / SHA[:2] / "x.part").write_text("hello")
    (tmp_path / "blobs" / "sha256" / "zz").mkdir()
    (tmp_path / "blobs" / "sha256" / "zz" / SHA).write_text("hello")
    assert store.list() == (SHA,)


@pytest.mark.parametrize("call", ["write", "fsync", "fchmod", "replace"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_write_that_fails_leaves_nothing_behind(
    store: BlobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int
) -> None:
    def fails(*args: object, **rest: object) -> None:
        raise OSError(code, os.strerror(code))

    (tmp_path / "blobs" / "sha256" / SHA[:2]).mkdir(parents=True)
    with monkeypatch.context() as patch:
        patch.setattr(*((Path, call) if call == "replace" else (os, call)), fails)
        with pytest.raises(RegistryError) as caught:
            put(store, tmp_path)
    assert os.strerror(code) in caught.value.message
    assert caught.value.remedy
    assert store.list() == ()
    assert everything(tmp_path / "staging") == []


def test_an_interrupted_copy_leaves_nothing_behind(store: BlobStore, tmp_path: Path) -> None:
    source = tmp_path / "source.bin"
    source.write_bytes(bytes(1 << 20))

    def stop(done: int) -> None:
        raise KeyboardInterrupt

    with source.open("rb") as file, pytest.raises(KeyboardInterrupt):
        store.add_from_fd(file.fileno(), folder=tmp_path / "staging", on_bytes=stop)
    assert everything(tmp_path / "staging") == []
    assert store.list() == ()


def test_what_does_not_fit_is_refused_before_it_is_copied(store: BlobStore, tmp_path: Path) -> None:
    huge = tmp_path / "huge.bin"
    with huge.open("wb") as file:
        file.truncate(1 << 43)
    with huge.open("rb") as file, pytest.raises(RegistryError, match="do not fit"):
        store.add_from_fd(file.fileno(), folder=tmp_path / "staging")


def test_the_copy_goes_on_where_the_file_system_refuses_direct_writes(
    store: BlobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    refused = []

    def choosy(fd: int, data: memoryview) -> int:
        if hashing._is_direct(fd):
            refused.append(fd)
            raise OSError(errno.EINVAL, "Invalid argument")
        return write(fd, data)

    monkeypatch.setattr(os, "write", choosy)
    data = os.urandom(1 << 20) * 17
    sha256 = put(store, tmp_path, data)
    monkeypatch.undo()
    assert len(refused) <= 1
    assert sha256 == hashlib.sha256(data).hexdigest()
    assert store.verify(sha256)


def test_a_clone_is_hashed_not_its_source(store: BlobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the file system shares extents, the digest is that of the clone, whatever the source is by then."""

    def clone(source: int, target: int) -> bool:
        os.write(target, DATA)
        return True

    monkeypatch.setattr("weighbridge.registry.blobs.clone", clone)
    assert put(store, tmp_path, b"something else") == SHA
    assert store.path_of(SHA).read_bytes() == DATA


@pytest.fixture
def xfs(tmp_path: Path) -> Iterator[Path]:
    """An XFS of its own, whose files can share extents."""
    if shutil.which("mkfs.xfs") is None:
        pytest.skip("mkfs.xfs is not installed")
    image, folder = tmp_path / "image", tmp_path / "xfs"
    with image.open("wb") as file:
        file.truncate(300 << 20)  # the least that mkfs.xfs takes
    subprocess.run(["mkfs.xfs", "-q", "-m", "reflink=1", image], check=True)
    folder.mkdir()
    if subprocess.run(["mount", "-o", "loop", image, folder], check=False, capture_output=True).returncode != 0:
        pytest.skip("no loop device can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def test_a_file_system_that_shares_extents_holds_a_staged_model_once(xfs: Path) -> None:
    data = os.urandom(1 << 20) * 16
    (xfs / "source.bin").write_bytes(data)
    os.sync()
    before = os.statvfs(xfs)
    store = BlobStore(xfs / "blobs")
    sha256 = put(store, xfs, data)
    assert store.verify(sha256)
    os.sync()
    after = os.statvfs(xfs)
    assert (before.f_bfree - after.f_bfree) * after.f_frsize < len(data) // 8
    (xfs / "source.bin").write_bytes(b"another model")
    assert store.verify(sha256), "what is written to the source later must not reach the store"
