"""What a hub unit is: a place that models come from, asked by name, pinned, and emptied into an intake."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from weighbridge.vocabulary import ModelRef

if TYPE_CHECKING:
    from weighbridge.registry.intake import Intake


def _unheard(_path: str, _done_bytes: int, _total_bytes: int) -> None:
    """Progress that nobody watches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HubAccess:
    """What a hub may use of the world.

    `environment` is where it reads tokens, endpoints, proxies and store folders; the process's own is not looked at.
    `download_folder` keeps unfinished downloads, so that a later run goes on where one stopped. `on_bytes(path, done, total)`
    follows a download. `offline` forbids the network. `wait` sleeps between attempts, in seconds.
    """

    environment: Mapping[str, str]
    download_folder: Path
    on_bytes: Callable[[str, int, int], None] = field(default=_unheard, repr=False)
    offline: bool = False
    wait: Callable[[float], None] = field(default=time.sleep, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hub:
    """One place that models come from.

    `version` grows whenever the same pinned reference may give other files. `forms` are the spellings it understands, for
    messages and documentation. `claims(text)` reads such a spelling, or gives None where it is not one of its own.
    `resolve(name, revision, access)` pins: what it returns always means the same files, or, for a folder, what lies there.
    `fetch(ref, intake, access)` gives every file of a pinned reference to `intake.take`, and what is no part of the model to
    `intake.leave_out`.
    """

    name: str
    title: str
    version: int
    forms: tuple[str, ...]
    references: tuple[str, ...]
    claims: Callable[[str], ModelRef | None]
    resolve: Callable[[str, str, HubAccess], ModelRef]
    fetch: Callable[[ModelRef, Intake, HubAccess], None]
