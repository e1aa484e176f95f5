"""What a person types for a model, read into a ModelRef by the hub that claims it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from weighbridge.errors import UsageError
from weighbridge.hubs.access.contract import Hub
from weighbridge.plugins import find_units
from weighbridge.vocabulary import ModelRef, clip


def parse_reference(text: str, hubs: Mapping[str, Hub] | None = None) -> ModelRef:
    """Read `local:PATH`, an existing path, `hf:ORG/NAME@REVISION`, `ORG/NAME`, `ollama:NAME:TAG` and what other hubs claim.

    A spelling that names its hub means that hub. Else a path that exists wins, so that a folder `org/name` is never asked
    of the network. `hubs` are those of this installation; the room is scanned where they are not given.

    Raises:
        UsageError: no hub claims it; the message says which forms there are.
    """
    units = find_units("hubs", Hub).found if hubs is None else hubs
    text = text.strip()
    if text and "\0" not in text:
        order = _order(text, units)
        for hub in order:
            if ref := hub.claims(text):
                return ref
    forms = ", ".join(form for hub in units.values() for form in hub.forms)
    raise UsageError(
        f"{clip(text)!r} is neither an existing file or folder nor a model reference",
        subject=clip(text),
        remedy=f"write one of: {forms}",
    )


def _order(text: str, units: Mapping[str, Hub]) -> list[Hub]:
    """The folder on disk first, unless the text names another hub before its first colon."""
    local = units.get("local")
    others = [hub for hub in units.values() if hub is not local]
    scheme = text.partition(":")[0]
    if local and (_exists(text) or scheme == local.name) and not any(_names(hub, scheme) for hub in others):
        return [local, *others]
    return [*others, local] if local else others


def _names(hub: Hub, scheme: str) -> bool:
    return any(form.startswith(f"{scheme}:") for form in hub.forms)


def _exists(text: str) -> bool:
    try:
        Path(text).lstat()
    except (OSError, ValueError):
        return False
    return True
