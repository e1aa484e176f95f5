"""The inside of the jail: a process that imports its tasks, locks itself in, and answers one job after another.

Started by `cell.Cell` with an empty environment. Nothing that a model sent is read before the lockdown, and nothing can be
imported after it, so whatever a task may need is loaded here.
"""

from __future__ import annotations

import _socket
import codecs
import gc
import hashlib
import json
import os
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import Any, NamedTuple, NoReturn

from weighbridge.jail.frames import ANSWER, ANSWERS_FD, FAILED, JOB, JOBS_FD, MEMORY, RAISED, READY, VALUE
from weighbridge.jail.lockdown import allow_cpu, die_with_parent, lock_down
from weighbridge.vocabulary import clip

Task = Callable[[int, dict[str, Any]], Any]

_CODECS = (
    *("ascii", "latin-1", "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"),
    *("unicode_escape", "raw_unicode_escape"),
)
_MODULES = ("zlib", "unicodedata", "_strptime")
_BESIDE_BYTES = _socket.CMSG_SPACE(4)
_CLOSE_ON_EXEC = getattr(_socket, "MSG_CMSG_CLOEXEC", 0)
_DIGESTS = ("md5", "sha1", "sha256", "sha512", "blake2b")


class _Job(NamedTuple):
    number: int
    fd: int
    body: dict[str, Any]


def main() -> NoReturn:
    """Serve jobs until the parent closes the socket."""
    sys.stdin = sys.stdout = None  # what a module prints must not become part of an answer
    jobs = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0, JOBS_FD)
    setting = _receive(jobs).body
    die_with_parent(setting["parent"])
    sys.path += setting["import_path"]
    gc.disable()  # imports make no garbage worth a search
    tasks, failure = _load_all(setting["tasks"])
    if failure:
        _answer(0, FAILED, failure)
        os._exit(1)
    _preload()
    sys.stderr = None
    confinement = lock_down(bytes.fromhex(setting["filter"]), memory_bytes=setting["memory_bytes"])
    _answer(0, READY, json.dumps({name: getattr(confinement, name) for name in confinement.__slots__}).encode())
    while True:
        job = _receive(jobs)
        allow_cpu(setting["cpu_s"])
        kind, value = _run(tasks[job.body["task"]], job.fd, job.body["arguments"])
        if job.fd >= 0:
            with suppress(OSError):  # a task may have closed it
                os.close(job.fd)
        _answer(job.number, kind, value)


def _load_all(names: list[str]) -> tuple[dict[str, Task], bytes]:
    """The tasks by name, or why one could not be loaded. A module with tasks may have a `prepare`, which is called once."""
    tasks: dict[str, Task] = {}
    for name in names:
        kind, value = _run(_load, -1, {"name": name, "into": tasks})
        if kind != VALUE:
            return {}, value or json.dumps({"type": "MemoryError", "message": name}).encode()
    return tasks, b""


def _load(_fd: int, arguments: dict[str, Any]) -> None:
    module_name, _, function = arguments["name"].partition(":")
    module = import_module(module_name)
    getattr(module, "prepare", bool)()
    arguments["into"][arguments["name"]] = getattr(module, function)


def _run(task: Task, fd: int, arguments: dict[str, Any]) -> tuple[bytes, bytes]:
    try:
        value = task(fd, arguments)
        return VALUE, value if isinstance(value, bytes) else json.dumps(value).encode()
    except MemoryError:
        return MEMORY, b""
    except Exception as problem:  # noqa: BLE001  # the jail's boundary: whatever a task raises becomes a Stopped
        said = {"type": clip(type(problem).__name__), "message": clip(str(problem))}
        return RAISED, json.dumps(said).encode()


def _preload() -> None:
    """Load what tasks reach lazily: codecs, digests (OpenSSL reads its configuration on first use) and a few modules."""
    for codec in _CODECS:
        codecs.lookup(codec)
    for module in _MODULES:
        import_module(module)
    for digest in _DIGESTS:
        hashlib.new(digest, usedforsecurity=False).hexdigest()
    warnings.simplefilter("ignore")
    gc.freeze()
    gc.enable()


def _receive(jobs: _socket.socket) -> _Job:
    """The next job. Ends the process where the parent has closed the socket."""
    head, fd = _receive_exactly(jobs, JOB.size)
    number, length = JOB.unpack(head)
    body, _ = _receive_exactly(jobs, length)
    return _Job(number, fd, json.loads(body))


def _receive_exactly(jobs: _socket.socket, size_bytes: int) -> tuple[bytes, int]:
    """So many bytes and the descriptor that came with them, or -1. A descriptor comes with the first byte of its job."""
    received, fd = b"", -1
    while len(received) < size_bytes:
        piece, beside, _, _ = jobs.recvmsg(size_bytes - len(received), _BESIDE_BYTES, _CLOSE_ON_EXEC)
        if not piece:
            os._exit(0)
        received += piece
        for _, _, data in beside:
            fd = int.from_bytes(data[:4], sys.byteorder)
    return received, fd


def _answer(number: int, kind: bytes, value: bytes) -> None:
    frame = memoryview(ANSWER.pack(number, kind, len(value)) + value)
    while frame:
        frame = frame[os.write(ANSWERS_FD, frame) :]
