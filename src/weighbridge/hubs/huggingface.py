"""Models of the Hugging Face hub, or of a mirror that speaks its protocol: pinned to a commit, every file checked."""

from __future__ import annotations

import hashlib
import os
import re

from weighbridge.errors import HostileInputError, UsageError
from weighbridge.hubs.access.contract import Hub, HubAccess
from weighbridge.hubs.access.downloads import Download, download_folder
from weighbridge.hubs.access.http_client import open_client
from weighbridge.hubs.access.hub_protocol import Endpoint, HubFile, read_repository
from weighbridge.registry.intake import Intake
from weighbridge.vocabulary import ModelRef, clip

_REPOSITORY = r"(?P<name>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)"
_REVISION = r"(?:@(?P<revision>[^\s@]+))?"
_BARE = re.compile(rf"{_REPOSITORY}{_REVISION}\Z", re.ASCII)
_PAGE = re.compile(
    rf"https?://(?:www\.)?(?:huggingface\.co|hf\.co)/{_REPOSITORY}(?:/tree/(?P<revision>[^\s?#]+))?/?(?:[?#].*)?\Z",
    re.ASCII,
)
_NAME = re.compile(r"(?:[A-Za-z0-9][\w.-]*/)?[A-Za-z0-9][\w.-]*\Z", re.ASCII)
_NAME_LIMIT = 96 + 1 + 96


def claim(text: str) -> ModelRef | None:
    """`hf:ORG/NAME`, `huggingface:ORG/NAME`, the address of its page, or a bare `ORG/NAME`, each with `@REVISION`."""
    scheme, colon, rest = text.partition(":")
    if colon and scheme in {"hf", "huggingface"}:
        name, _, revision = rest.partition("@")
        return ModelRef(hub="huggingface", name=name, revision=revision)
    if found := _BARE.match(text) or _PAGE.match(text):
        return ModelRef(hub="huggingface", name=found["name"], revision=found["revision"] or "")
    return None


def resolve(name: str, revision: str, access: HubAccess) -> ModelRef:
    """Pin a branch or tag (`main` where none is given) to its commit of this moment.

    Raises:
        UsageError: this cannot be the name of a repository.
        ModelNotFoundError, AccessDeniedError, HubError: as the hub answers.
    """
    if not _NAME.match(name) or len(name) > _NAME_LIMIT or "--" in name or ".." in name:
        raise UsageError(
            f"{clip(name)!r} cannot be a model of the hub",
            subject=clip(name),
            remedy="write hf:ORG/NAME or hf:ORG/NAME@REVISION",
        )
    endpoint = Endpoint.of(access)
    with open_client(access.environment) as client:
        pinned = read_repository(client, endpoint, name, revision or "main")
    return ModelRef(hub="huggingface", name=name, revision=pinned.commit)


def fetch(ref: ModelRef, intake: Intake, access: HubAccess) -> None:
    """Fetch every file of the commit, check it against the digest that the hub keeps for it, and give it to the intake.

    What was fetched stays in the download folder until all of it is taken in, so that an interrupted run goes on.

    Raises:
        HostileInputError: a name is refused, or bytes are not those that the hub promised.
        ModelNotFoundError, AccessDeniedError, HubError: as the hub answers.
    """
    endpoint = Endpoint.of(access)
    with open_client(access.environment) as client:
        repository = read_repository(client, endpoint, ref.name, ref.revision)
        key = f"{endpoint.url}\n{ref.name}\n{repository.commit}"
        with download_folder(access, key, repository.files) as folder:
            download = Download(
                client=client,
                endpoint=endpoint,
                name=ref.name,
                commit=repository.commit,
                folder=folder,
                access=access,
            )
            for file in repository.files:
                _bring(download, file, intake)


def _bring(download: Download, file: HubFile, intake: Intake) -> None:
    """Fetch and take one file. Bytes of an earlier run may have been lost to a crash, so those get a second chance."""
    resumed = download.fetch(file)
    try:
        _take(download, file, intake)
    except HostileInputError:
        download.place_of(file).unlink(missing_ok=True)
        if not resumed:
            raise
        download.fetch(file)
        _take(download, file, intake)


def _take(download: Download, file: HubFile, intake: Intake) -> None:
    fd = os.open(download.place_of(file), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        intake.take(file.path, fd, expected_sha256=file.sha256 or _sha256_of_blob(fd, file))
    finally:
        os.close(fd)


def _sha256_of_blob(fd: int, file: HubFile) -> str:
    """Check a file against the name that git gives it (sha1 of `blob SIZE NUL` and the bytes); the sha256 of those bytes."""
    git = hashlib.sha1(b"blob %d\0" % file.size_bytes, usedforsecurity=False)
    sha256 = hashlib.sha256()
    offset = 0
    while piece := os.pread(fd, 1 << 20, offset):
        git.update(piece)
        sha256.update(piece)
        offset += len(piece)
    if git.hexdigest() != file.git_sha1:
        raise HostileInputError(
            f"{clip(file.path)} has git sha1 {git.hexdigest()}, the hub promised {file.git_sha1}",
            subject=clip(file.path),
            remedy="fetch it again; where it stays, ask whoever publishes it",
        )
    return sha256.hexdigest()


HUB = Hub(
    name="huggingface",
    title="The Hugging Face hub or a mirror of it",
    version=1,
    forms=(
        "hf:ORG/NAME[@REVISION]",
        "huggingface:ORG/NAME[@REVISION]",
        "ORG/NAME[@REVISION]",
        "https://huggingface.co/ORG/NAME",
    ),
    references=("https://huggingface.co/docs/hub/api", "https://huggingface.co/docs/huggingface_hub"),
    claims=claim,
    resolve=resolve,
    fetch=fetch,
)
