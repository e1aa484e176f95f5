"""Taking a model in: from where it was asked, into content-addressed storage."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import mkdtemp
from typing import Protocol

from weighbridge.admission.installation import Installation
from weighbridge.registry.durable import explained
from weighbridge.registry.intake import StagingIntake, WeighedModel
from weighbridge.vocabulary import ModelRef


class Watch(Protocol):
    """Hears how far long work is: `done` of `total` bytes or files of `subject` are through `stage`."""

    def __call__(self, stage: str, subject: str, done: int, total: int, /) -> None:
        """Hear one step."""


def QUIET(stage: str, subject: str, done: int, total: int, /) -> None:  # noqa: N802  # a constant that can be called
    """A Watch that hears nothing."""


@contextmanager
def stage(ref: ModelRef, house: Installation, watch: Watch = QUIET) -> Iterator[tuple[ModelRef, WeighedModel]]:
    """Fetch and pin `ref`, copy it into the blob store while hashing, and yield the pinned reference and the model.

    Raises:
        HubError, HostileInputError: as the hub and the intake say.
        RegistryError: the store cannot take it (disk full).
    """
    access = house.hub_access(partial(watch, "fetch"))
    hub = house.hub(ref.hub)
    pinned = hub.resolve(ref.name, ref.revision, access)
    with explained(house.registry.staging, "write to"):
        folder = Path(mkdtemp(dir=house.registry.staging))
    try:
        with StagingIntake(house.registry.blobs, folder, on_bytes=partial(watch, "stage")) as intake:
            hub.fetch(pinned, intake, access)
            yield pinned, intake.finish()
    except BaseException:
        # Nothing may refer to what was staged so far, and this house may go on with other models.
        house.registry.expect_left_overs()
        raise


def label_of(ref: ModelRef) -> str:
    """How a reference is kept beside a decision: as `ModelRef` spells it, local paths made absolute."""
    if ref.hub != "local":
        return str(ref)
    return f"local:{os.path.abspath(os.path.expanduser(ref.name))}"  # noqa: PTH100, PTH111  # must not touch the disk
