"""A store as ollama writes it: manifests by registry, namespace, model and tag, and blobs by digest."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

_VENDOR = "application/vnd.ollama.image."


def put_ollama_model(
    store: Path, model: str, layers: list[tuple[str, bytes]], *, tag: str = "latest", namespace: str = "library"
) -> Path:
    """Write a model of the default registry into `store`; the path of its manifest.

    Args:
        store: the folder that OLLAMA_MODELS names.
        model: its name without a tag.
        layers: kind (`model`, `template`, `license`, …) and bytes of each layer, in order.
        tag: its tag.
        namespace: who publishes it.
    """
    config = json.dumps({"model_format": "gguf", "architecture": "amd64", "os": "linux"}).encode()
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": _put_blob(store, "application/vnd.docker.container.image.v1+json", config),
        "layers": [_put_blob(store, f"{_VENDOR}{kind}", data) for kind, data in layers],
    }
    path = store / "manifests" / "registry.ollama.ai" / namespace / model / tag
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(manifest))
    return path


def blob_path(store: Path, data: bytes) -> Path:
    """Where a layer of these bytes lies."""
    return store / "blobs" / f"sha256-{hashlib.sha256(data).hexdigest()}"


def _put_blob(store: Path, media_type: str, data: bytes) -> dict[str, str | int]:
    path = blob_path(store, data)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return {"mediaType": media_type, "digest": f"sha256:{hashlib.sha256(data).hexdigest()}", "size": len(data)}
