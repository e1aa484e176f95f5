"""Models that ollama has pulled: a manifest that names blobs by digest, in the store of this machine."""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import msgspec

from weighbridge.errors import HostileInputError, HubError, ModelNotFoundError, UsageError
from weighbridge.hubs.access.contract import Hub, HubAccess
from weighbridge.registry import wire
from weighbridge.registry.hashing import Footprint
from weighbridge.registry.intake import Intake
from weighbridge.vocabulary import ModelRef, clip

MANIFEST_LIMIT_BYTES = 4 << 20
LAYER_LIMIT = 10_000
LISTED = 20
"""How many of the models that are there an error names."""

_PART = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"
_NAME = re.compile(
    rf"(?:(?:(?P<registry>{_PART}(?::\d+)?)/)?(?P<namespace>{_PART})/)?(?P<model>{_PART})(?::(?P<tag>{_PART}))?\Z",
    re.ASCII,
)
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})\Z")
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

_LAYER_NAMES = {
    "application/vnd.ollama.image.model": "model.gguf",
    "application/vnd.ollama.image.projector": "projector.gguf",
    "application/vnd.ollama.image.adapter": "adapter.gguf",
    "application/vnd.ollama.image.template": "template",
    "application/vnd.ollama.image.system": "system",
    "application/vnd.ollama.image.prompt": "prompt",
    "application/vnd.ollama.image.license": "license",
    "application/vnd.ollama.image.params": "params.json",
    "application/vnd.ollama.image.messages": "messages.json",
    "application/vnd.docker.container.image.v1+json": "config.json",
}
"""File names for the media types that ollama writes (github.com/ollama/ollama, server/create.go); others become `layer`."""


class _Layer(msgspec.Struct, rename={"media_type": "mediaType"}):
    digest: str
    size: int
    media_type: str = ""


class _OllamaManifest(msgspec.Struct):
    layers: list[_Layer]
    config: _Layer | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Store:
    root: Path

    @classmethod
    def of(cls, access: HubAccess) -> _Store:
        environment = access.environment
        chosen = environment.get("OLLAMA_MODELS")
        return cls(root=Path(chosen) if chosen else Path(environment.get("HOME", "/")) / ".ollama" / "models")

    def manifest_of(self, name: str) -> Path:
        found = _NAME.match(name)
        if not found or ".." in name:
            raise UsageError(
                f"{clip(name)!r} cannot be a model of ollama", subject=clip(name), remedy="write ollama:NAME:TAG"
            )
        registry, namespace = found["registry"] or "registry.ollama.ai", found["namespace"] or "library"
        return self.root / "manifests" / registry / namespace / found["model"] / (found["tag"] or "latest")

    def blob_of(self, sha256: str) -> Path:
        return self.root / "blobs" / f"sha256-{sha256}"

    def models(self) -> list[str]:
        """Names as a person would type them, sorted."""
        top = self.root / "manifests"
        found = ("/".join(path.relative_to(top).parts) for path in top.glob("*/*/*/*"))
        short = (name.removeprefix("registry.ollama.ai/").removeprefix("library/") for name in found)
        return sorted(":".join(name.rsplit("/", 1)) for name in short)


def claim(text: str) -> ModelRef | None:
    """`ollama:NAME:TAG`, with namespace and registry before the name, and `@DIGEST` of the manifest behind it."""
    if not text.startswith("ollama:"):
        return None
    name, _, revision = text.removeprefix("ollama:").partition("@")
    return ModelRef(hub="ollama", name=name, revision=revision.removeprefix("sha256:"))


def resolve(name: str, revision: str, access: HubAccess) -> ModelRef:
    """Pin a tag to the sha256 of its manifest.

    Raises:
        UsageError: this cannot be a name.
        ModelNotFoundError: the store does not have it; the message names what is there.
        HubError: the store cannot be read.
    """
    store = _Store.of(access)
    sha256 = hashlib.sha256(_read_manifest(store, name)).hexdigest()
    if revision and revision != sha256:
        raise ModelNotFoundError(
            f"ollama:{clip(name)} is manifest {sha256}, not {clip(revision)}",
            subject=clip(name),
            remedy="leave the digest out to weigh what is there",
        )
    return ModelRef(hub="ollama", name=name, revision=sha256)


def fetch(ref: ModelRef, intake: Intake, access: HubAccess) -> None:
    """Take the manifest, the configuration and every layer; each blob must be the bytes that its name says.

    Raises:
        HostileInputError: the manifest changed or names what it must not, or a blob is not its digest.
        HubError: the store cannot be read.
    """
    store = _Store.of(access)
    data = _read_manifest(store, ref.name)
    if hashlib.sha256(data).hexdigest() != ref.revision:
        raise HostileInputError(
            f"the manifest of {clip(ref.name)} changed while it was weighed", subject=clip(ref.name)
        )
    layers = _layers(data, ref.name)
    _take(store.manifest_of(ref.name), "manifest.json", len(data), ref.revision, intake)
    for path, layer, sha256 in layers:
        _take(store.blob_of(sha256), path, layer.size, sha256, intake)


def _read_manifest(store: _Store, name: str) -> bytes:
    path = store.manifest_of(name)
    try:
        fd = os.open(path, _FLAGS)
    except (FileNotFoundError, NotADirectoryError) as problem:
        raise _not_there(store, name) from problem
    except OSError as problem:
        raise _unreadable(path, problem) from problem
    try:
        size = Footprint.of(fd, f"manifest of {name}").size_bytes
        if size > MANIFEST_LIMIT_BYTES:
            raise HostileInputError(f"the manifest of {clip(name)} is {size} bytes long", subject=clip(name))
        return os.pread(fd, size, 0)
    except OSError as problem:
        raise _unreadable(path, problem) from problem
    finally:
        os.close(fd)


def _layers(data: bytes, name: str) -> list[tuple[str, _Layer, str]]:
    try:
        manifest = wire.decoder(_OllamaManifest).decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as problem:
        raise HostileInputError(
            f"the manifest of {clip(name)} is not one of ollama: {clip(str(problem))}", subject=clip(name)
        ) from problem
    layers = [*([manifest.config] if manifest.config else []), *manifest.layers]
    if len(layers) > LAYER_LIMIT:
        raise HostileInputError(f"the manifest of {clip(name)} names {len(layers)} layers", subject=clip(name))
    named: list[tuple[str, _Layer, str]] = []
    seen: Counter[str] = Counter()
    for layer in layers:
        digest = _DIGEST.match(layer.digest)
        if not digest or layer.size < 0:
            raise HostileInputError(
                f"the manifest of {clip(name)} names a layer {clip(layer.digest)!r}, which is no sha256",
                subject=clip(name),
            )
        plain = _LAYER_NAMES.get(layer.media_type.partition(";")[0].strip(), "layer")
        seen[plain] += 1
        named.append((_numbered(plain, seen[plain]), layer, digest[1]))
    return named


def _numbered(name: str, number: int) -> str:
    stem, dot, suffix = name.partition(".")
    return name if number == 1 else f"{stem}-{number}{dot}{suffix}"


def _take(place: Path, path: str, size: int, sha256: str, intake: Intake) -> None:
    try:
        fd = os.open(place, _FLAGS)
    except FileNotFoundError as problem:
        raise HubError(
            f"the store lacks {place.name}, which is {path} of the model",
            subject=place.name,
            remedy="pull the model again with ollama",
        ) from problem
    except OSError as problem:
        raise _unreadable(place, problem) from problem
    try:
        found = Footprint.of(fd, path).size_bytes
        if found != size:
            raise HostileInputError(f"{path} is {found} bytes long, the manifest says {size}", subject=path)
        intake.take(path, fd, expected_sha256=sha256)
    finally:
        os.close(fd)


def _not_there(store: _Store, name: str) -> ModelNotFoundError:
    there = store.models()
    listed = ", ".join(clip(model) for model in there[:LISTED]) + (" …" if len(there) > LISTED else "")
    return ModelNotFoundError(
        f"ollama has no model {clip(name)} in {store.root}" + (f"; there are {listed}" if there else ""),
        subject=clip(name),
        remedy="pull it with ollama first, or set OLLAMA_MODELS to the store that has it",
    )


def _unreadable(path: Path, problem: OSError) -> HubError:
    return HubError(
        f"{path} cannot be read: {problem.strerror}",
        subject=str(path),
        remedy="check who may read the store, and that no links lie in it",
    )


HUB = Hub(
    name="ollama",
    title="The model store of ollama on this machine",
    version=1,
    forms=("ollama:NAME[:TAG]",),
    references=("https://github.com/ollama/ollama/blob/main/docs/import.md",),
    claims=claim,
    resolve=resolve,
    fetch=fetch,
)
