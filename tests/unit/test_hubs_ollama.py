from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from weighbridge.errors import HostileInputError, HubError, ModelNotFoundError, UsageError
from weighbridge.hubs.access.contract import HubAccess
from weighbridge.hubs.ollama import HUB
from weighbridge.registry.blobs import BlobStore
from weighbridge.registry.intake import StagingIntake, WeighedModel
from weighbridge.testing.ollama_store import blob_path, put_ollama_model

WEIGHTS = b"GGUF" + bytes(100)
LAYERS = [
    ("model", WEIGHTS),
    ("template", b"{{ .Prompt }}"),
    ("license", b"MIT"),
    ("license", b"Apache-2.0"),
    ("params", b'{"stop":["<s>"]}'),
    ("system", b"You are a scale."),
    ("projector", b"GGUF projector"),
    ("unheard-of", b"?"),
]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    put_ollama_model(tmp_path / "models", "tiny", LAYERS, tag="1b")
    return tmp_path / "models"


@pytest.fixture
def access(tmp_path: Path, store: Path) -> HubAccess:
    return HubAccess(environment={"OLLAMA_MODELS": str(store)}, download_folder=tmp_path / "downloads")


def weigh(name: str, access: HubAccess, tmp_path: Path) -> WeighedModel:
    with StagingIntake(BlobStore(tmp_path / "blobs"), tmp_path / "staging") as intake:
        HUB.fetch(HUB.resolve(name, "", access), intake, access)
        return intake.finish()


@pytest.mark.parametrize("name", ["tiny:1b", "library/tiny:1b", "registry.ollama.ai/library/tiny:1b"])
def test_a_model_of_the_store_is_its_manifest_configuration_and_layers(
    access: HubAccess, tmp_path: Path, name: str
) -> None:
    assert {entry.path for entry in weigh(name, access, tmp_path).manifest.entries} == {
        "manifest.json",
        "config.json",
        "model.gguf",
        "template",
        "license",
        "license-2",
        "params.json",
        "system",
        "projector.gguf",
        "layer",
    }


def test_a_tag_is_pinned_to_the_digest_of_its_manifest(access: HubAccess, store: Path) -> None:
    ref = HUB.resolve("tiny:1b", "", access)
    assert HUB.resolve("tiny:1b", ref.revision, access) == ref
    put_ollama_model(store, "tiny", [("model", b"GGUF other")], tag="1b")
    with pytest.raises(ModelNotFoundError, match=r"is manifest .* not"):
        HUB.resolve("tiny:1b", ref.revision, access)
    with (
        StagingIntake(BlobStore(store / "b"), store / "s") as intake,
        pytest.raises(HostileInputError, match="changed"),
    ):
        HUB.fetch(ref, intake, access)


def test_the_store_lies_below_home_where_nothing_else_is_said(store: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / ".ollama").mkdir(parents=True)
    store.rename(home / ".ollama" / "models")
    assert HUB.resolve("tiny:1b", "", HubAccess(environment={"HOME": str(home)}, download_folder=tmp_path)).revision


def test_a_missing_model_tells_what_is_there(access: HubAccess, store: Path) -> None:
    put_ollama_model(store, "big", [("model", WEIGHTS)], namespace="acme")
    with pytest.raises(ModelNotFoundError, match=r"there are acme/big:latest, tiny:1b$"):
        HUB.resolve("tiny", "", access)


@pytest.mark.parametrize(
    "name", ["", "../../etc/passwd", "a/b/c/d", "tiny:", ":1b", "a..b", "a b", ".hidden", "tiny:1b\n"]
)
def test_what_cannot_be_a_name_is_refused(access: HubAccess, name: str) -> None:
    with pytest.raises(UsageError, match="cannot be a model"):
        HUB.resolve(name, "", access)


def test_a_blob_that_is_not_its_digest_is_refused_by_name(access: HubAccess, store: Path, tmp_path: Path) -> None:
    blob_path(store, WEIGHTS).write_bytes(WEIGHTS[:-1] + b"X")
    with pytest.raises(HostileInputError, match=r"model\.gguf has sha256"):
        weigh("tiny:1b", access, tmp_path)


def test_a_blob_of_another_length_is_refused(access: HubAccess, store: Path, tmp_path: Path) -> None:
    blob_path(store, WEIGHTS).write_bytes(WEIGHTS + b"X")
    with pytest.raises(HostileInputError, match=r"model\.gguf is 105 bytes long, the manifest says 104"):
        weigh("tiny:1b", access, tmp_path)


def test_a_missing_blob_says_to_pull_again(access: HubAccess, store: Path, tmp_path: Path) -> None:
    blob_path(store, WEIGHTS).unlink()
    with pytest.raises(HubError, match=r"which is model\.gguf") as caught:
        weigh("tiny:1b", access, tmp_path)
    assert "pull" in caught.value.remedy


def test_a_link_in_the_store_is_not_followed(access: HubAccess, store: Path, tmp_path: Path) -> None:
    place = blob_path(store, WEIGHTS)
    place.rename(tmp_path / "elsewhere")
    place.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(HubError, match="cannot be read"):
        weigh("tiny:1b", access, tmp_path)


@pytest.mark.parametrize(
    "digest", ["sha256:../../../etc/passwd", "sha256:" + "A" * 64, "md5:" + "a" * 32, "", "sha256:" + "a" * 64 + "\n"]
)
def test_a_digest_never_becomes_a_path(access: HubAccess, store: Path, tmp_path: Path, digest: str) -> None:
    manifest = store / "manifests" / "registry.ollama.ai" / "library" / "tiny" / "1b"
    manifest.write_text(json.dumps({"layers": [{"digest": digest, "size": 3, "mediaType": "x"}]}))
    with pytest.raises(HostileInputError, match="which is no sha256"):
        weigh("tiny:1b", access, tmp_path)


@pytest.mark.parametrize(
    "text", ["", "null", "[]", '{"layers":3}', "[" * 100_000, '{"layers":[{"digest":1,"size":2}]}', "\xff"]
)
def test_a_manifest_that_is_none_is_refused(access: HubAccess, store: Path, tmp_path: Path, text: str) -> None:
    manifest = store / "manifests" / "registry.ollama.ai" / "library" / "tiny" / "1b"
    manifest.write_bytes(text.encode("latin-1"))
    with pytest.raises(HostileInputError, match="not one of ollama"):
        weigh("tiny:1b", access, tmp_path)


def test_a_huge_manifest_is_not_read(access: HubAccess, store: Path) -> None:
    os.truncate(store / "manifests" / "registry.ollama.ai" / "library" / "tiny" / "1b", 1 << 30)
    with pytest.raises(HostileInputError, match="bytes long"):
        HUB.resolve("tiny:1b", "", access)
