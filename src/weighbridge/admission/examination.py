"""Looking without deciding: the dossier of a model, or a preview from headers alone. Nothing is recorded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from weighbridge.admission.installation import Installation
from weighbridge.admission.staging import QUIET, Watch
from weighbridge.inspection.inspect import Values, inspect_model
from weighbridge.inspection.judgements import PLUGIN_HUBS, broken_unit
from weighbridge.jail.confinement import Confinement
from weighbridge.registry.blobs import BlobStore
from weighbridge.registry.intake import InPlaceIntake, StagingIntake, WeighedModel
from weighbridge.vocabulary import Dossier, Evidence, Finding, ModelRef, Outcome, Preview, Severity


def examine(
    model: WeighedModel, *, house: Installation, watch: Watch = QUIET, values: Values = Values.SAMPLED
) -> Dossier:
    """Open every file of a weighed model in the jail and put what is known into a dossier.

    Raises:
        HostileInputError: a file is no longer the one that was weighed.
    """
    seen = inspect_model(model, jail=house.jail, on_file=partial(watch, "inspect"), values=values)
    model.check_unchanged()
    _warn_of_isolation(seen.isolation, house)
    return Dossier(
        subject=model.root,
        artifacts=seen.artifacts,
        headers=seen.headers,
        findings=(*seen.findings, *_left_out(model), *_broken_hubs(house)),
        unread=seen.unread,
        tools=seen.tools,
    )


def _warn_of_isolation(isolation: Confinement, house: Installation) -> None:
    """Say where the readers ran without a filter of system calls; what holds them is no part of a dossier's digest."""
    if not isolation.seccomp:
        house.warnings += (
            f"no system call filter held the process that read the model, only: {isolation}; see: weighbridge doctor",
        )


def _broken_hubs(house: Installation) -> list[Finding]:
    return [broken_unit(unit, PLUGIN_HUBS) for unit in house.hubs.broken]


def _left_out(model: WeighedModel) -> list[Finding]:
    return [
        Finding(
            check="intake.left-out",
            outcome=Outcome.NOT_APPLICABLE,
            severity=Severity.INFO,
            message=f"is not part of the model: {name.reason}",
            evidence=(Evidence(artifact=name.path),),
        )
        for name in model.left_out
    ]


def inspect(ref: ModelRef, *, house: Installation, watch: Watch = QUIET, is_full: bool = False) -> Dossier:
    """Weigh and examine a model: a local one where it lies, any other in a temporary folder; `is_full` looks at every value.

    Raises:
        HubError: the model could not be had.
        HostileInputError: the model was refused at the door, or changed while it was examined.
    """
    with _look(ref, house, digest=True, watch=watch) as model:
        return examine(model, house=house, watch=watch, values=Values.ALL if is_full else Values.SAMPLED)


def preview(ref: ModelRef, *, house: Installation, watch: Watch = QUIET) -> Preview:
    """Examine the headers of a local model without hashing it."""
    with _look(ref, house, digest=False, watch=watch) as model:
        seen = inspect_model(model, jail=house.jail, on_file=partial(watch, "inspect"), values=Values.UNSEEN)
        model.check_unchanged()
    _warn_of_isolation(seen.isolation, house)
    return Preview(
        reference=str(ref), artifacts=seen.artifacts, headers=seen.headers, findings=seen.findings, unread=seen.unread
    )


@contextmanager
def _look(ref: ModelRef, house: Installation, *, digest: bool, watch: Watch) -> Iterator[WeighedModel]:
    hub = house.hub(ref.hub)
    house.warm_jail()
    if ref.hub == "local":
        with InPlaceIntake(digest=digest, on_bytes=partial(watch, "hash")) as intake:
            hub.fetch(hub.resolve(ref.name, ref.revision, house.hub_access()), intake, house.hub_access())
            yield intake.finish()
        return
    with TemporaryDirectory(prefix="weighbridge-") as temporary:
        folder = Path(temporary)
        access = house.hub_access(partial(watch, "fetch"), download_folder=folder / "downloads")
        pinned = hub.resolve(ref.name, ref.revision, access)
        with StagingIntake(BlobStore(folder / "blobs"), folder / "staging", on_bytes=partial(watch, "hash")) as intake:
            hub.fetch(pinned, intake, access)
            yield intake.finish()
