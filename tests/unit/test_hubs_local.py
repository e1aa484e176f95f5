from __future__ import annotations

import hashlib
import os
import socket
from pathlib import Path

import pytest

from weighbridge.errors import HostileInputError, HubError, ModelNotFoundError
from weighbridge.hubs.access import folder_walk
from weighbridge.hubs.access.contract import HubAccess
from weighbridge.hubs.local import HUB
from weighbridge.registry.intake import InPlaceIntake, LeftOut, WeighedModel

COMMIT = "4b1c9e2" + "0" * 33


@pytest.fixture
def access(tmp_path: Path) -> HubAccess:
    return HubAccess(environment={"HOME": str(tmp_path)}, download_folder=tmp_path / "downloads")


def weigh(path: Path | str, access: HubAccess) -> WeighedModel:
    with InPlaceIntake() as intake:
        HUB.fetch(HUB.resolve(str(path), "", access), intake, access)
        return intake.finish()


def paths(model: WeighedModel) -> list[str]:
    return [entry.path for entry in model.manifest.entries]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    (folder / "1_Pooling").mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "1_Pooling" / "config.json").write_bytes(b"{}")
    (folder / ".gitattributes").write_bytes(b"*.bin filter=lfs")
    return folder


def test_every_file_of_a_folder_is_taken(model: Path, access: HubAccess) -> None:
    weighed = weigh(model, access)
    assert paths(weighed) == [".gitattributes", "1_Pooling/config.json", "model.safetensors"]
    assert weighed.manifest.entries[2].sha256 == hashlib.sha256(b"weights").hexdigest()
    assert weighed.left_out == ()


def test_a_single_file_is_a_model(model: Path, access: HubAccess) -> None:
    assert paths(weigh(model / "model.safetensors", access)) == ["model.safetensors"]


def test_a_path_below_home_is_found(model: Path, access: HubAccess) -> None:
    assert len(paths(weigh("~/model", access))) == 3


def test_the_name_stays_as_it_was_typed(model: Path, access: HubAccess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(model.parent)
    assert HUB.resolve("./model", "", access).name == "./model"
    assert len(paths(weigh("./model", access))) == 3


def test_records_of_git_and_of_the_hub_are_left_out_and_told(model: Path, access: HubAccess) -> None:
    (model / ".git" / "hooks").mkdir(parents=True)
    (model / ".git" / "hooks" / "post-checkout").write_text("#!/bin/sh")
    (model / ".cache" / "huggingface" / "download").mkdir(parents=True)
    (model / ".cache" / "huggingface" / "download" / "x.metadata").write_text("x")
    (model / ".cache" / "other").write_text("x")
    weighed = weigh(model, access)
    assert paths(weighed) == [".cache/other", ".gitattributes", "1_Pooling/config.json", "model.safetensors"]
    assert [left.path for left in weighed.left_out] == [".cache/huggingface/", ".git/"]
    assert all(isinstance(left, LeftOut) and left.reason for left in weighed.left_out)


def test_a_missing_path_says_how_to_ask_the_hub(tmp_path: Path, access: HubAccess) -> None:
    with pytest.raises(ModelNotFoundError, match="no file or folder") as caught:
        HUB.resolve(str(tmp_path / "nothing"), "", access)
    assert "hf:ORG/NAME" in caught.value.remedy


@pytest.mark.parametrize("name", ["a\0b", "x" * 5000])
def test_an_impossible_path_is_not_found(name: str, access: HubAccess) -> None:
    with pytest.raises(HubError):
        HUB.resolve(name, "", access)


def test_an_empty_folder_is_refused(tmp_path: Path, access: HubAccess) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(HostileInputError, match="no file"):
        weigh(tmp_path / "empty", access)


@pytest.mark.parametrize("target", ["model.safetensors", "/etc/passwd", "nowhere", ".", ".."])
def test_a_link_inside_a_model_is_refused_by_name(model: Path, access: HubAccess, target: str) -> None:
    (model / "link").symlink_to(target)
    with pytest.raises(HostileInputError, match="link is a symbolic link"):
        weigh(model, access)


def test_a_hard_link_is_a_file(model: Path, access: HubAccess) -> None:
    os.link(model / "model.safetensors", model / "again.safetensors")
    assert "again.safetensors" in paths(weigh(model, access))


def test_the_path_that_a_person_names_may_be_a_link(model: Path, tmp_path: Path, access: HubAccess) -> None:
    (tmp_path / "current").symlink_to(model)
    (tmp_path / "weights.safetensors").symlink_to(model / "model.safetensors")
    assert len(paths(weigh(tmp_path / "current", access))) == 3
    assert paths(weigh(tmp_path / "weights.safetensors", access)) == ["weights.safetensors"]


def test_a_pipe_is_refused_without_waiting_for_it(model: Path, access: HubAccess) -> None:
    os.mkfifo(model / "pipe")
    with pytest.raises(HostileInputError, match="pipe is a named pipe"):
        weigh(model, access)
    with pytest.raises(HostileInputError, match="named pipe"):
        weigh(model / "pipe", access)


def test_a_socket_is_refused(model: Path, access: HubAccess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(model)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        with pytest.raises(HostileInputError, match="socket is a socket"):
            weigh(model, access)


def test_a_device_is_refused(access: HubAccess) -> None:
    with pytest.raises(HostileInputError, match="device file"):
        weigh("/dev/zero", access)


def test_a_pipe_that_takes_the_place_of_a_listed_file_is_refused_without_waiting(
    model: Path, access: HubAccess, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = folder_walk.FolderWalk.look

    def late(walk: folder_walk.FolderWalk) -> folder_walk.Listing:
        listing = look(walk)
        (model / "model.safetensors").unlink()
        os.mkfifo(model / "model.safetensors")
        return listing

    monkeypatch.setattr(folder_walk.FolderWalk, "look", late)
    with pytest.raises(HostileInputError, match=r"model\.safetensors is a named pipe"):
        weigh(model, access)


@pytest.mark.parametrize("change", ["appears", "disappears"])
def test_a_file_that_comes_or_goes_meanwhile_is_noticed(model: Path, access: HubAccess, change: str) -> None:
    class Meddling(InPlaceIntake):
        def take(self, path, fd, **rest):  # type: ignore[no-untyped-def]
            entry = super().take(path, fd, **rest)
            if change == "appears":
                (model / "late.py").write_text("import os")
            else:
                (model / "1_Pooling" / "config.json").unlink(missing_ok=True)
            return entry

    with Meddling() as intake, pytest.raises(HostileInputError, match=r"came or went|changed"):
        HUB.fetch(HUB.resolve(str(model), "", access), intake, access)


def test_a_folder_that_becomes_a_link_leads_nowhere(model: Path, tmp_path: Path, access: HubAccess) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "config.json").write_text("secret")
    walk = folder_walk.FolderWalk(model)
    listing = walk.look()
    (model / "1_Pooling").rename(tmp_path / "moved")
    (model / "1_Pooling").symlink_to(outside)
    with pytest.raises(HostileInputError, match=r"1_Pooling/config\.json changed"):
        walk.open_file(next(file for file in listing.files if "config" in file.path))
    walk.close()


def test_names_are_judged_before_any_byte_is_read(model: Path, access: HubAccess) -> None:
    (model / "Model.safetensors").write_bytes(b"x")

    class Untouched(InPlaceIntake):
        def take(self, path, fd, **rest):  # type: ignore[no-untyped-def]
            raise AssertionError(path)

    with Untouched() as intake, pytest.raises(HostileInputError, match="case"):
        HUB.fetch(HUB.resolve(str(model), "", access), intake, access)


def test_a_name_that_is_not_unicode_is_refused(model: Path, access: HubAccess) -> None:
    with open(os.fsencode(model) + b"/\xff.bin", "wb") as file:
        file.write(b"x")
    with pytest.raises(HostileInputError, match="UTF-8"):
        weigh(model, access)


def test_too_deep_and_too_many_are_refused(model: Path, access: HubAccess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_walk, "FILE_LIMIT", 2)
    with pytest.raises(HostileInputError, match="more than 2 files"):
        weigh(model, access)
    monkeypatch.undo()
    deep = model.joinpath(*["d"] * 80)
    deep.mkdir(parents=True)
    (deep / "x").write_text("x")
    with pytest.raises(HostileInputError, match="folders deep"):
        weigh(model, access)


class Cache:
    """A repository in a cache of huggingface_hub."""

    def __init__(self, home: Path) -> None:
        self.hub = home / "hub"
        self.repository = self.hub / "models--acme--tiny"
        self.snapshot = self.repository / "snapshots" / COMMIT
        self.blobs = self.repository / "blobs"
        self.snapshot.mkdir(parents=True)
        self.blobs.mkdir()

    def add(self, path: str, data: bytes, blob: str = "") -> Path:
        blob = blob or hashlib.sha256(data).hexdigest()
        (self.blobs / blob).write_bytes(data)
        return self.link(path, "../" * (path.count("/") + 2) + f"blobs/{blob}")

    def link(self, path: str, target: str) -> Path:
        place = self.snapshot / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(target)
        return place


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    made = Cache(tmp_path)
    made.add("model.safetensors", b"weights")
    made.add("1_Pooling/config.json", b"{}", blob="a" * 40)
    return made


def test_a_snapshot_of_the_hubs_cache_is_read_through_its_blobs(cache: Cache, access: HubAccess) -> None:
    weighed = weigh(cache.snapshot, access)
    assert paths(weighed) == ["1_Pooling/config.json", "model.safetensors"]
    assert weighed.manifest.entries[1].sha256 == hashlib.sha256(b"weights").hexdigest()


def test_the_blob_shared_by_the_whole_cache_is_read(cache: Cache, access: HubAccess) -> None:
    shared = "ab" + "c" * 62
    (cache.hub / "blobs" / "ab").mkdir(parents=True)
    (cache.hub / "blobs" / "ab" / shared).write_bytes(b"big")
    etag = hashlib.sha256(b"big").hexdigest()
    (cache.blobs / etag).symlink_to(f"../../blobs/ab/{shared}")
    cache.link("big.bin", f"../../blobs/{etag}")
    assert "big.bin" in paths(weigh(cache.snapshot, access))


@pytest.mark.parametrize(
    "target",
    [
        "/etc/passwd",
        "../../../../secret",
        "../../blobs/../../../secret",
        "../../blobs/secret",
        "../../refs/main",
        "../../../models--other--one/blobs/" + "a" * 40,
        "model.safetensors",
        "../../blobs/" + "a" * 40 + "/",
    ],
)
def test_any_other_link_of_a_snapshot_is_refused(cache: Cache, access: HubAccess, target: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (cache.blobs / "secret").write_text("secret")
    cache.link("link", target)
    with pytest.raises(HostileInputError, match="link is a symbolic link"):
        weigh(cache.snapshot, access)


@pytest.mark.parametrize("target", ["/etc/passwd", "../../../secret", "../../blobs/ab/" + "f" * 64, "b" * 64])
def test_a_blob_that_is_itself_a_link_out_is_refused(cache: Cache, access: HubAccess, target: str) -> None:
    (cache.blobs / ("d" * 64)).symlink_to(target)
    cache.link("link", "../../blobs/" + "d" * 64)
    with pytest.raises(HostileInputError, match="link is a symbolic link out of the cache"):
        weigh(cache.snapshot, access)


def test_a_missing_blob_is_named(cache: Cache, access: HubAccess) -> None:
    cache.link("gone", "../../blobs/" + "e" * 64)
    with pytest.raises(HostileInputError, match="gone changed"):
        weigh(cache.snapshot, access)


def test_a_blob_of_the_cache_that_is_not_its_digest_is_refused(cache: Cache, access: HubAccess) -> None:
    cache.add("bad.bin", b"trojan", blob=hashlib.sha256(b"weights2").hexdigest())
    with pytest.raises(HostileInputError, match=r"bad\.bin has sha256"):
        weigh(cache.snapshot, access)


def test_links_as_in_a_cache_are_refused_elsewhere(tmp_path: Path, access: HubAccess) -> None:
    folder = tmp_path / "snapshots" / COMMIT
    folder.mkdir(parents=True)
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs" / ("a" * 40)).write_text("x")
    (folder / "x").symlink_to("../../blobs/" + "a" * 40)
    with pytest.raises(HostileInputError, match="symbolic link"):
        weigh(folder, access)
