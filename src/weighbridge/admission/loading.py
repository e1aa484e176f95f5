"""A path to load an admitted model from: exactly its bytes, hashed again, read-only."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from tempfile import mkdtemp

from weighbridge.admission.installation import Installation
from weighbridge.admission.recall import Recalled, read_manifest
from weighbridge.errors import RegistryError
from weighbridge.registry import wire
from weighbridge.registry.blobs import BlobStore
from weighbridge.vocabulary import Manifest, Policy, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """Where to load from; `path` is None where that is not allowed, with the reason and what to do."""

    path: Path | None
    reason: str = ""
    remedy: str = ""
    is_referred: bool = False


def open_path(house: Installation, known: Recalled, *, policy: Policy | None = None) -> Allowed:
    """A folder with the files of an admitted model, or the file itself where the model is one file.

    The decision must stand: under the policy in force (or `policy`), not expired, not of the future, not superseded. The folder
    is made of hard links to the stored bytes, once; the bytes are hashed at every call.

    Raises:
        RegistryError: the folder cannot be made, or the database is an older one that was put back.
    """
    house.registry.require_current()
    decision = known.decision
    if refusal := _refusal(house, known, wire.digest(policy or house.policy())):
        return refusal
    manifest = read_manifest(house, decision)
    blobs = house.registry.blobs
    for entry in manifest.entries:
        if not blobs.has(entry.sha256) or not blobs.verify(entry.sha256):
            return Allowed(
                path=None,
                reason=f"{entry.path} is not kept as it was weighed",
                remedy=f"weighbridge admit --again --like {known.digest[:16]}",
            )
    folder = house.settings.home / "models" / decision.subject
    if not _holds(folder, manifest, blobs):
        _lay_out(folder, manifest, blobs)
    single = manifest.entries[0].path if len(manifest.entries) == 1 else ""
    return Allowed(path=folder / single if single else folder)


def _refusal(house: Installation, known: Recalled, in_force: str) -> Allowed | None:
    again = f"weighbridge admit {quote(known.reference)}"
    if known.decision.policy != in_force:
        return Allowed(path=None, reason="it was decided under another policy than the one in force", remedy=again)
    if known.is_superseded:
        return Allowed(path=None, reason="a later decision answers the same question", remedy=again)
    match known.decision.verdict:
        case Verdict.REFUSE:
            return Allowed(path=None, reason="the model was refused", remedy=f"weighbridge why {known.digest[:16]}")
        case Verdict.REFER:
            remedy = f"weighbridge why {known.digest[:16]}, then weighbridge approve"
            return Allowed(path=None, reason="the model waits for a person", remedy=remedy, is_referred=True)
        case Verdict.ADMIT | Verdict.ADMIT_WITH_CONDITIONS if known.decision.expires_at <= house.now():
            return Allowed(
                path=None,
                reason=f"the admission ended on {known.decision.expires_at:%Y-%m-%d}",
                remedy=f"weighbridge admit --like {known.digest[:16]}",
            )
        case Verdict.ADMIT | Verdict.ADMIT_WITH_CONDITIONS if house.now() < known.decision.decided_at:
            made = f"{known.decision.decided_at:%Y-%m-%d %H:%M:%S} UTC"
            return Allowed(
                path=None,
                reason=f"the admission is of {made}, later than it is by this clock",
                remedy=f"set the clock right, or: weighbridge admit --like {known.digest[:16]}",
            )
        case _:
            return None


def _holds(folder: Path, manifest: Manifest, blobs: BlobStore) -> bool:
    """Whether the folder holds the stored files, and nothing else."""
    wanted = {entry.path: entry.sha256 for entry in manifest.entries}
    found = [path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()] if folder.is_dir() else []
    if {path.relative_to(folder).as_posix() for path in found} != set(wanted):
        return False
    return all(
        os.path.samestat(path.lstat(), blobs.path_of(wanted[path.relative_to(folder).as_posix()]).lstat())
        for path in found
    )


def _lay_out(folder: Path, manifest: Manifest, blobs: BlobStore) -> None:
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        making = Path(mkdtemp(dir=folder.parent, prefix=".making-"))
        for entry in manifest.entries:
            target = making / entry.path
            target.parent.mkdir(parents=True, exist_ok=True)
            os.link(blobs.path_of(entry.sha256), target)
        for inner in sorted((path for path in making.rglob("*") if path.is_dir()), reverse=True):
            inner.chmod(0o555)
        if folder.exists():
            folder.rename(Path(mkdtemp(dir=folder.parent, prefix=".changed-")) / "folder")
        making.rename(folder)
        folder.chmod(0o555)
    except OSError as problem:
        raise RegistryError(
            f"the folder for the model cannot be made: {problem.strerror}",
            subject=str(folder),
            remedy="free some space, or make the data folder writable",
        ) from problem
