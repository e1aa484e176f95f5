"""What the Hugging Face hub says about a repository, read as hostile input, and what its refusals mean.

The protocol is that of huggingface.co/docs/hub/api; refusals are told apart by huggingface_hub.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from weighbridge.errors import AccessDeniedError, HostileInputError, HubError, ModelNotFoundError, UsageError
from weighbridge.hubs.access.contract import HubAccess
from weighbridge.hubs.access.http_client import http_library, is_address, is_loopback
from weighbridge.registry import wire
from weighbridge.registry.names import refuse_hostile_names
from weighbridge.vocabulary import clip

DEFAULT_ENDPOINT = "https://huggingface.co"
LISTING_LIMIT_BYTES = 64 << 20
FILE_LIMIT = 50_000
"""From here on the hub cuts its lists short, so a longer one cannot be told from a whole one."""

_COMMIT = re.compile(r"[0-9a-f]{40}\Z")
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
_TOKEN = re.compile(r"[!-~]*\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class HubFile:
    """One file that the hub promises: `sha256` where it is stored with Git LFS, else `git_sha1` of the blob."""

    path: str
    size_bytes: int
    sha256: str = ""
    git_sha1: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """The files of a repository at one commit."""

    commit: str
    files: tuple[HubFile, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Which server is asked, and the token it alone is given; `token` is empty without one."""

    url: str
    token: str

    @classmethod
    def of(cls, access: HubAccess) -> Endpoint:
        """From HF_ENDPOINT, and HF_TOKEN, HUGGING_FACE_HUB_TOKEN or the file that HF_TOKEN_PATH names.

        A token that `hf auth login` left in its own place is not picked up: it goes nowhere that nobody asked for.

        Raises:
            HubError: offline mode, or a token file that cannot be read.
            UsageError: the endpoint or the token cannot be one, or the token would go out in the clear.
        """
        environment = access.environment
        if access.offline or environment.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}:
            raise HubError(
                "the hub may not be asked: offline mode is on", remedy="unset HF_HUB_OFFLINE, or name a local folder"
            )
        url = (environment.get("HF_ENDPOINT") or DEFAULT_ENDPOINT).rstrip("/")
        if not is_address(url):
            raise UsageError(f"HF_ENDPOINT is no URL: {clip(url)}", remedy=f"write {DEFAULT_ENDPOINT} or your mirror's")
        token = _token(environment)
        if not _TOKEN.match(token):
            raise UsageError(
                "the token of the hub holds a character that no token has",
                remedy="copy it again into HF_TOKEN, or into the file that HF_TOKEN_PATH names",
            )
        if token and not url.lower().startswith("https://") and not is_loopback(url):
            raise UsageError(
                f"the token would go to {clip(url)} unencrypted", remedy="use https in HF_ENDPOINT, or unset HF_TOKEN"
            )
        return cls(url=url, token=token)

    @property
    def headers(self) -> dict[str, str]:
        """What every request to the endpoint carries."""
        return {"authorization": f"Bearer {self.token}"} if self.token else {}

    def file_url(self, name: str, commit: str, path: str) -> str:
        """Where the endpoint serves one file of a repository at a commit."""
        return f"{self.url}/{quote(name)}/resolve/{commit}/{quote(path)}"


class _Lfs(msgspec.Struct):
    sha256: str
    size: int


class _Sibling(msgspec.Struct):
    rfilename: str
    size: int | None = None
    blob_id: str | None = msgspec.field(name="blobId", default=None)
    lfs: _Lfs | None = None


class _Info(msgspec.Struct):
    sha: str
    siblings: list[_Sibling] = []


def read_repository(client: Any, endpoint: Endpoint, name: str, revision: str) -> Repository:
    """Ask for a repository at a branch, tag or commit: what it is pinned to, and its files with their digests.

    Raises:
        ModelNotFoundError, AccessDeniedError, HubError: as the hub answers.
        HostileInputError: names or digests in the answer are not what they must be.
    """
    url = f"{endpoint.url}/api/models/{quote(name)}/revision/{quote(revision, safe='')}"
    with (
        explained(endpoint, name, revision),
        client.stream("GET", url, params={"blobs": "true"}, headers=endpoint.headers) as reply,
    ):
        raise_for_status(reply)
        info = _parse(reply, url)
    if not _COMMIT.match(info.sha) or (_COMMIT.match(revision) and info.sha != revision):
        raise HostileInputError(
            f"asked for {clip(revision)}, the hub answers with commit {clip(info.sha)}", subject=clip(name)
        )
    if len(info.siblings) >= FILE_LIMIT:
        raise HubError(
            f"{clip(name)} has {FILE_LIMIT} files or more, and the hub does not list more than that",
            subject=clip(name),
            remedy="fetch it with git, then weigh the folder",
        )
    refuse_hostile_names(sibling.rfilename for sibling in info.siblings)
    return Repository(commit=info.sha, files=tuple(_file(sibling) for sibling in info.siblings))


def raise_for_status(reply: Any) -> None:
    """Raise the library's error for a refusal, its body read first, because a streamed reply has none yet."""
    from huggingface_hub.utils import hf_raise_for_status  # type: ignore[attr-defined]  # public, though not in __all__

    if reply.status_code >= 400:
        for piece in reply.iter_raw(1 << 16):
            del piece
            break  # enough to let the server go; what counts stands in the headers
    hf_raise_for_status(reply)


@contextlib.contextmanager
def explained(endpoint: Endpoint, name: str, revision: str) -> Iterator[None]:
    """Turn what huggingface_hub and its HTTP library raise into what a person can act on.

    Raises:
        ModelNotFoundError, AccessDeniedError, HubError: with the page to visit or the setting to change.
    """
    from huggingface_hub import errors

    try:
        yield
    except errors.HfHubHTTPError as problem:
        raise _refusal(problem, endpoint, name, revision) from problem
    except http_library().HTTPError as problem:
        raise HubError(
            f"{clip(endpoint.url)} cannot be reached: {clip(str(problem) or type(problem).__name__)}",
            subject=clip(name),
            remedy="check the network, HTTPS_PROXY, and HF_ENDPOINT if you use a mirror (`weighbridge doctor`)",
        ) from problem


def _refusal(problem: Exception, endpoint: Endpoint, name: str, revision: str) -> HubError:
    from huggingface_hub import errors

    page = f"{endpoint.url}/{clip(name)}"
    how = f"set HF_TOKEN to a token that may read it ({endpoint.url}/settings/tokens)"
    status = getattr(getattr(problem, "response", None), "status_code", 0)
    subject = clip(name)
    match problem:
        case errors.GatedRepoError():
            return AccessDeniedError(
                f"{subject} is gated: its publisher asks for terms to be accepted",
                subject=subject,
                remedy=f"accept them at {page}, then {how}",
            )
        case errors.RevisionNotFoundError():
            return ModelNotFoundError(
                f"{subject} has no revision {clip(revision)}", subject=subject, remedy=f"see the branches at {page}"
            )
        case errors.RemoteEntryNotFoundError():
            return ModelNotFoundError(
                f"{subject} lists a file that the hub does not have", subject=subject, remedy="try again later"
            )
        case errors.DisabledRepoError():
            return AccessDeniedError(f"the hub has disabled {subject}", subject=subject, remedy=f"see {page}")
        case errors.RepositoryNotFoundError():
            return _not_found(subject, how, has_token=bool(endpoint.token))
    if status in {401, 403}:
        what = "did not accept the token for" if endpoint.token else "asks for a token for"
        return AccessDeniedError(f"the hub {what} {subject} (HTTP {status})", subject=subject, remedy=how)
    if status == 404:
        return _not_found(subject, how, has_token=bool(endpoint.token))
    return HubError(
        f"{clip(endpoint.url)} answered HTTP {status} for {subject}", subject=subject, remedy="try again later"
    )


def _not_found(subject: str, how: str, *, has_token: bool) -> ModelNotFoundError:
    return ModelNotFoundError(
        f"the hub has no model {subject}, or it is private: the hub answers both alike",
        subject=subject,
        remedy="check the spelling" + ("; the token may not be allowed to read it" if has_token else f"; {how}"),
    )


def _token(environment: Mapping[str, str]) -> str:
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        if token := environment.get(name, "").strip():
            return token
    if not (path := environment.get("HF_TOKEN_PATH")):
        return ""
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as problem:
        raise HubError(f"the token file {clip(path)} cannot be read", remedy="check HF_TOKEN_PATH") from problem


def _parse(reply: Any, url: str) -> _Info:
    body = bytearray()
    for piece in reply.iter_raw():
        body += piece
        if len(body) > LISTING_LIMIT_BYTES:
            raise HostileInputError(f"the answer of {clip(url)} is over {LISTING_LIMIT_BYTES} bytes", subject=clip(url))
    try:
        return wire.decoder(_Info).decode(bytes(body))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as problem:
        raise HubError(
            f"{clip(url)} does not answer as a hub does: {clip(str(problem))}",
            remedy="check HF_ENDPOINT and the proxy: something else may have answered",
        ) from problem


def _file(sibling: _Sibling) -> HubFile:
    path, lfs = sibling.rfilename, sibling.lfs
    size = lfs.size if lfs else sibling.size
    if size is None or size < 0:
        raise HubError(f"the hub does not say how long {clip(path)} is", subject=clip(path))
    if lfs and _SHA256.match(lfs.sha256):
        return HubFile(path=path, size_bytes=size, sha256=lfs.sha256)
    if not lfs and sibling.blob_id and _COMMIT.match(sibling.blob_id):
        return HubFile(path=path, size_bytes=size, git_sha1=sibling.blob_id)
    raise HubError(
        f"the hub gives no digest for {clip(path)}, so what it sends cannot be checked",
        subject=clip(path),
        remedy="ask the hub itself instead of a mirror, or fetch the files and weigh the folder",
    )
