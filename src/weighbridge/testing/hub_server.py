"""A hub on loopback that speaks the protocol of huggingface.co, with the faults that real ones have.

After huggingface.co/docs/hub/api and what the client library reads: repository information with the digests of files,
`resolve` with redirects to a content server of another origin, byte ranges, and error codes in `X-Error-Code`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from weighbridge.testing.loopback import Answers, Asked, serving

_INFO = re.compile(r"/api/models/(?P<name>[^/]+/[^/]+|[^/]+)/revision/(?P<revision>[^/]+)\Z")
_RESOLVE = re.compile(r"/(?P<name>[^/]+/[^/]+|[^/]+)/resolve/(?P<revision>[^/]+)/(?P<path>.+)\Z")
_RANGE = re.compile(r"bytes=(\d+)-\Z")


@dataclass(slots=True, kw_only=True)
class Faults:
    """What the server does wrong. Paths are those of files in a repository.

    `cuts` ends the connection after so many bytes, once for each number in turn. `wrong_bytes` sends other bytes of the same
    length under the right digest. `wrong_sha256` promises a digest that the bytes do not have. `names` renames files in
    the listing. `busy` answers 503 that many times. `ignores_range` always sends from the first byte. `surplus` bytes are
    added to every file, `missing` ones are promised and never sent. `hides_digests` leaves them out of the listing. `commit`
    is what the listing claims to be. `headers` take the place of those that belong there.
    """

    cuts: dict[str, list[int]] = field(default_factory=dict)
    wrong_bytes: set[str] = field(default_factory=set)
    wrong_sha256: set[str] = field(default_factory=set)
    names: dict[str, str] = field(default_factory=dict)
    busy: int = 0
    ignores_range: bool = False
    surplus: int = 0
    missing: int = 0
    hides_digests: bool = False
    commit: str = ""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class _Repository:
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    token: str = ""
    gated: bool = False

    def commit_of(self, revision: str) -> str:
        return self.branches.get(revision, revision if revision in self.commits else "")


class HubServer:
    """Repositories in memory. `asked` and `asked_content` are the requests that the two origins saw, in order.

    Files of `lfs_from_bytes` or more are stored as Git LFS does: with a sha256, and served by the content server.
    """

    def __init__(self, *, lfs_from_bytes: int = 1000) -> None:
        self.url = ""
        self.content_url = ""
        self.faults = Faults()
        self.asked: list[Asked] = []
        self.asked_content: list[Asked] = []
        self.bytes_sent = 0
        self._lfs_from_bytes = lfs_from_bytes
        self._repositories: dict[str, _Repository] = {}

    def publish(
        self, name: str, files: dict[str, bytes], *, branch: str = "main", token: str = "", gated: bool = False
    ) -> str:
        """Add a commit to a branch; its 40 hexadecimal digits. With `token`, only who brings it may read."""
        repository = self._repositories.setdefault(name, _Repository())
        seed = repr((name, len(repository.commits), sorted(files.items()))).encode()
        commit = hashlib.sha1(seed, usedforsecurity=False).hexdigest()
        repository.commits[commit] = dict(files)
        repository.branches[branch] = commit
        repository.token, repository.gated = token, gated
        return commit

    @contextmanager
    def running(self) -> Iterator[HubServer]:
        """Serve until the body ends."""
        hub = self

        class Faulty(Answers):
            def reply(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
                super().reply(status, headers | hub.faults.headers, body)

        class Hub(Faulty):
            def do_GET(self) -> None:  # noqa: N802  # the name is http.server's
                hub.asked.append(self.asked())
                hub._answer(self)

            do_HEAD = do_GET  # noqa: N815  # the name is http.server's

        class Content(Faulty):
            def do_GET(self) -> None:  # noqa: N802  # the name is http.server's
                hub.asked_content.append(self.asked())
                hub._send(self, *hub._find(unquote(self.path).removeprefix("/content/")))

            do_HEAD = do_GET  # noqa: N815  # the name is http.server's

        with serving(Hub) as self.url, serving(Content) as self.content_url:
            yield self

    def _answer(self, to: Answers) -> None:
        path = urlsplit(to.path).path
        found = _INFO.match(path) or _RESOLVE.match(path)
        if self.faults.busy > 0:
            self.faults.busy -= 1
            to.reply(503, {"Retry-After": "0"})
            return
        if not found:
            to.reply(404, {})
            return
        name, revision = unquote(found["name"]), unquote(found["revision"])
        repository = self._repositories.get(name)
        if repository is None:
            to.reply(401, {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"})
            return
        if repository.token and to.headers.get("Authorization") != f"Bearer {repository.token}":
            code = "GatedRepo" if repository.gated else "RepoNotFound"
            to.reply(401, {"X-Error-Code": code, "X-Error-Message": "Access is restricted"})
            return
        commit = repository.commit_of(revision)
        if not commit:
            to.reply(404, {"X-Error-Code": "RevisionNotFound"})
        elif "path" in found.re.groupindex:
            self._resolve(to, name, commit, unquote(found["path"]))
        else:
            body = json.dumps(self._information(name, commit)).encode()
            to.reply(200, {"Content-Type": "application/json", "X-Repo-Commit": commit}, body)

    def _information(self, name: str, commit: str) -> dict[str, Any]:
        files = self._repositories[name].commits[commit]
        return {
            "id": name,
            "sha": self.faults.commit or commit,
            "siblings": [self._sibling(path, data) for path, data in files.items()],
        }

    def _sibling(self, path: str, data: bytes) -> dict[str, Any]:
        size = len(data) + self.faults.missing
        sibling: dict[str, Any] = {"rfilename": self.faults.names.get(path, path), "size": size}
        if self.faults.hides_digests:
            return sibling
        sibling["blobId"] = git_sha1(data)
        if len(data) >= self._lfs_from_bytes:
            seen = data + b"?" if path in self.faults.wrong_sha256 else data
            sibling["lfs"] = {"sha256": hashlib.sha256(seen).hexdigest(), "size": size, "pointerSize": 134}
        return sibling

    def _resolve(self, to: Answers, name: str, commit: str, path: str) -> None:
        data = self._repositories[name].commits[commit].get(path)
        if data is None:
            to.reply(404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit})
        elif len(data) >= self._lfs_from_bytes:
            headers = {
                "Location": f"{self.content_url}/content/{name}/{commit}/{quote(path)}",
                "X-Repo-Commit": commit,
                "X-Linked-Etag": f'"{hashlib.sha256(data).hexdigest()}"',
                "X-Linked-Size": str(len(data)),
            }
            to.reply(302, headers)
        else:
            self._send(to, path, data, {"X-Repo-Commit": commit, "ETag": f'"{git_sha1(data)}"'})

    def _find(self, key: str) -> tuple[str, bytes, dict[str, str]]:
        """A file by what the content server is asked for: name, commit and path."""
        for name, repository in self._repositories.items():
            for commit, files in repository.commits.items():
                path = key.removeprefix(f"{name}/{commit}/")
                if path != key and path in files:
                    return path, files[path], {"ETag": f'"{hashlib.sha256(files[path]).hexdigest()}"'}
        raise KeyError(key)

    def _send(self, to: Answers, path: str, data: bytes, headers: dict[str, str]) -> None:
        if path in self.faults.wrong_bytes:
            data = bytes(byte ^ 1 for byte in data)
        data += b"\0" * self.faults.surplus
        asked = _RANGE.match(to.headers.get("Range", ""))
        start = int(asked[1]) if asked and not self.faults.ignores_range else 0
        status = 206 if start else 200
        if start > len(data):
            to.reply(416, {"Content-Range": f"bytes */{len(data)}"})
            return
        body = data[start:]
        extra = {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"} if start else {}
        cuts = self.faults.cuts.get(path)
        if cuts and to.command == "GET":
            body = body[: cuts.pop(0)]
            extra |= {"Content-Length": str(len(data) - start)}
            to.close_connection = True
        self.bytes_sent += len(body)
        to.reply(status, headers | extra | {"Accept-Ranges": "bytes"}, body)


def git_sha1(data: bytes) -> str:
    """The name that git gives to a blob of these bytes."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
