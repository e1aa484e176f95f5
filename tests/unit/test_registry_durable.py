"""Whole files or none, and evidence that is what its name says."""

from __future__ import annotations

import hashlib
import os
import stat

import pytest

from weighbridge.errors import RegistryError, TamperedError
from weighbridge.registry.durable import make_folder_durably, rename_durably, write_durably
from weighbridge.registry.evidence import EvidenceStore, is_digest


def test_a_file_is_written_whole_and_private(tmp_path):
    path = tmp_path / "file"
    write_durably(path, b"first")
    write_durably(path, b"second", mode=0o400)
    assert path.read_bytes() == b"second"
    assert stat.S_IMODE(path.stat().st_mode) == 0o400
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("what", ["folder", "staging", "target"])
def test_a_write_that_fails_leaves_nothing_and_says_what_to_do(tmp_path, what):
    staging = tmp_path / "staging"
    staging.mkdir()
    path = tmp_path / "file"
    match what:
        case "folder":
            path = tmp_path / "gone" / "file"
        case "staging":
            staging.rmdir()
        case "target":
            (path / "in the way").mkdir(parents=True)
    with pytest.raises(RegistryError) as refused:
        write_durably(path, b"data", staging=staging)
    assert refused.value.subject == str(path)
    assert str(path) in str(refused.value)
    assert refused.value.remedy
    assert not path.is_file()
    assert not list(staging.glob("*")) if staging.exists() else True


def test_an_input_output_error_of_the_disk_is_named(tmp_path, monkeypatch):
    def fail(fd):
        raise OSError(5, "broken")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(RegistryError, match="Input/output error") as refused:
        write_durably(tmp_path / "file", b"data")
    assert "check it" in refused.value.remedy
    assert list(tmp_path.iterdir()) == []


def test_folders_are_made_with_what_is_above_them(tmp_path):
    make_folder_durably(tmp_path / "a" / "b" / "c")
    make_folder_durably(tmp_path / "a" / "b" / "c")
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o700
    (tmp_path / "file").touch()
    with pytest.raises(RegistryError, match="make"):
        make_folder_durably(tmp_path / "file" / "below")


def test_renaming_between_folders(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "file").write_bytes(b"x")
    rename_durably(tmp_path / "one" / "file", tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"x"
    with pytest.raises(RegistryError, match="write"):
        rename_durably(tmp_path / "one" / "file", tmp_path / "other")


def test_every_write_is_synced_before_it_is_visible(tmp_path, monkeypatch):
    """The order that a power loss asks for, watched at the system calls."""
    steps: list[tuple[str, str]] = []
    fsync, replace = os.fsync, os.replace

    def watch_fsync(fd):
        steps.append(("fsync", os.readlink(f"/proc/self/fd/{fd}")))
        fsync(fd)

    monkeypatch.setattr(os, "fsync", watch_fsync)
    monkeypatch.setattr(os, "replace", lambda *names: (steps.append(("rename", str(names[1]))), replace(*names)))
    staging = tmp_path / "staging"
    staging.mkdir()
    store = EvidenceStore(tmp_path / "evidence", staging=staging)
    path = store.path_of(store.put(b"data"))
    folders = [str(tmp_path), str(tmp_path / "evidence"), str(path.parent.parent)]
    assert [where for what, where in steps if what == "fsync"][:3] == folders
    kinds = [(what, where) for what, where in steps if where not in folders]
    assert [what for what, _ in kinds] == ["fsync", "rename", "fsync"]
    assert kinds[0][1].startswith(str(staging))
    assert [where for _, where in kinds[1:]] == [str(path), str(path.parent)]


def test_evidence_comes_back_as_it_was_put(tmp_path):
    store = EvidenceStore(tmp_path / "evidence")
    digests = [store.put(data) for data in (b"", b"a", b"b" * 100_000)]
    assert [store.read(digest) for digest in digests] == [b"", b"a", b"b" * 100_000]
    assert store.put(b"a") == digests[1] == hashlib.sha256(b"a").hexdigest()
    assert list(store.list()) == sorted(digests)
    assert store.has(digests[0])
    assert store.remove(digests[1]) == 1
    assert store.remove(digests[1]) == 0
    assert not store.has(digests[1])
    with pytest.raises(RegistryError, match="is missing"):
        store.read(digests[1])


def test_changed_evidence_is_refused_and_not_written_over(tmp_path):
    store = EvidenceStore(tmp_path / "evidence")
    digest = store.put(b"a")
    store.path_of(digest).write_bytes(b"b")
    with pytest.raises(TamperedError, match="was changed"):
        store.read(digest)
    with pytest.raises(TamperedError, match="was changed"):
        store.put(b"a")
    assert store.path_of(digest).read_bytes() == b"b"


@pytest.mark.parametrize("name", ["", "a" * 63, "A" * 64, "../" + "a" * 61, "a" * 64 + "\n", "g" * 64])
def test_only_digests_become_paths(tmp_path, name):
    assert not is_digest(name)
    with pytest.raises(RegistryError, match="not a sha256"):
        EvidenceStore(tmp_path).path_of(name)


def test_strangers_among_the_evidence_are_listed(tmp_path):
    store = EvidenceStore(tmp_path)
    digest = store.put(b"a")
    (tmp_path / "sha256" / "note").touch()
    (store.path_of(digest).parent / "x").touch()
    (tmp_path / "sha256" / "00").mkdir()
    (tmp_path / "sha256" / "00" / digest).touch()
    assert {path.name for path in store.list_strangers()} == {"note", "x", digest}
