"""One jailed child seen from outside: its start, its jobs, its watchdog, and how it died."""

from __future__ import annotations

import array
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from weighbridge.errors import JailError
from weighbridge.jail.filter import build_filter
from weighbridge.jail.frames import ANSWER, FAILED, JOB, MEMORY, RAISED, READY, VALUE
from weighbridge.jail.terms import Completed, Confinement, Job, Limits, Stopped, StopReason
from weighbridge.vocabulary import clip

_START = "from weighbridge.jail.child import main; main()"
_PIECE_BYTES = 1 << 20
_SETTING_BYTES = 1 << 20
_JOBS_AHEAD = 8
_BYTES_AHEAD = 1 << 15
_REMEDY = "run `weighbridge doctor`; an installation that works imports weighbridge in `python -I`"


class _NoAnswer(Exception):  # noqa: N818  # it carries a reason, it is not an error of its own
    def __init__(self, reason: StopReason, detail: str) -> None:
        super().__init__(detail)
        self.stopped = Stopped(reason=reason, detail=detail)


class Cell:
    """A child process that has the given tasks loaded. `is_spent` once it may not be given another job.

    Belongs to the thread that made it: the kernel kills the child when that thread ends.
    """

    def __init__(self, tasks: Iterable[str], limits: Limits, import_path: Iterable[str]) -> None:
        self.tasks = frozenset(tasks)
        self.jobs_done = 0
        self._limits = limits
        self._thread = threading.get_ident()
        self._number = 0
        self._waiting: deque[tuple[int, int]] = deque()
        self._confinement: Confinement | None = None
        self._jobs, jobs_end = socket.socketpair()
        self._answers, answers_end = os.pipe()
        self._complaints, complaints_end = os.pipe()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-X", "utf8", "-c", _START],
                stdin=jobs_end.fileno(),
                stdout=answers_end,
                stderr=complaints_end,
                env={},
                cwd="/",
                start_new_session=True,
            )
        except OSError as problem:
            self._close_descriptors()
            raise JailError(f"no child process can be started: {problem.strerror}", remedy=_REMEDY) from problem
        finally:
            jobs_end.close()
            os.close(answers_end)
            os.close(complaints_end)
        self._poll = select.poll()
        self._poll.register(self._answers, select.POLLIN)
        self._send_setting(import_path)

    @property
    def is_spent(self) -> bool:
        """Whether it is dead, or belongs to another thread."""
        return self._thread != threading.get_ident() or self._process.poll() is not None

    def confinement(self) -> Confinement:
        """What holds the child; waits until its start is over.

        Raises:
            JailError: it did not start, or a task could not be loaded.
        """
        if self._confinement is None:
            self._confinement = self._await_start()
        return self._confinement

    @property
    def has_room(self) -> bool:
        """Whether another job may be sent before the answers to earlier ones are fetched; more could block both sides."""
        return len(self._waiting) < _JOBS_AHEAD and sum(size for _, size in self._waiting) < _BYTES_AHEAD

    def submit(self, task: str, job: Job) -> None:
        """Send one job; its answer is fetched by `collect`, in the order of sending.

        Raises:
            JailError: the child did not start.
            ConnectionError: the child was dead before it got the job.
        """
        self.confinement()
        fds = [job.open_fd()] if job.open_fd else []
        self._number += 1
        try:
            size = self._send({"task": task, "arguments": job.arguments}, fds)
        finally:
            for fd in fds:
                os.close(fd)
        self._waiting.append((self._number, size))
        self.jobs_done += 1

    def collect(self) -> Completed | Stopped:
        """The answer to the first job that has none yet. After any Stopped but RAISED the child is dead."""
        number, _ = self._waiting.popleft()
        try:
            kind, value = self._read_answer(number, self._limits.wall_s, self._limits.answer_bytes)
            return self._judge(kind, value)
        except _NoAnswer as problem:
            self.end()
            return problem.stopped

    def end(self) -> None:
        """Kill the child with its whole process group, and leave no zombie and no descriptor behind."""
        self._kill()
        self._close_descriptors()

    def _judge(self, kind: bytes, value: bytes) -> Completed | Stopped:
        if not self._waiting and self._poll.poll(0) and os.read(self._answers, 1):
            raise _NoAnswer(StopReason.GARBLED, "more came than one answer")
        if kind == VALUE:
            return Completed(value=value)
        if kind == MEMORY:
            raise _NoAnswer(StopReason.OUT_OF_MEMORY, f"needed more than {self._limits.memory_bytes} bytes")
        if kind != RAISED:
            raise _NoAnswer(StopReason.GARBLED, "the answer is of no known kind")
        return Stopped(reason=StopReason.RAISED, detail=_exception_text(value))

    def _send_setting(self, import_path: Iterable[str]) -> None:
        setting = {
            "parent": os.getpid(),
            "tasks": sorted(self.tasks),
            "import_path": list(import_path),
            "filter": build_filter(os.uname().machine).hex(),
            "memory_bytes": self._limits.memory_bytes,
            "cpu_s": self._limits.cpu_s,
        }
        try:
            self._send(setting, [])
        except ConnectionError as problem:
            raise self._start_failed("it died at once") from problem

    def _send(self, body: dict[str, Any], fds: list[int]) -> int:
        """Send one message; the number of its bytes."""
        text = json.dumps(body).encode()
        message = JOB.pack(self._number, len(text)) + text
        beside = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self._jobs.settimeout(self._limits.wall_s)
        sent = self._jobs.sendmsg([message], beside)
        if sent < len(message):  # sending nothing would fail where the child has died of the message already
            self._jobs.sendall(message[sent:])
        return len(message)

    def _await_start(self) -> Confinement:
        try:
            kind, value = self._read_answer(0, self._limits.start_s, _SETTING_BYTES)
        except _NoAnswer as problem:
            raise self._start_failed(problem.stopped.detail) from problem
        if kind == FAILED:
            self.end()
            text = f"a task could not be loaded in the jail: {_exception_text(value)}"
            raise JailError(text, subject=", ".join(sorted(self.tasks)), remedy=_REMEDY)
        if kind != READY:
            raise self._start_failed("its first answer is of no known kind")
        said = json.loads(value)
        return Confinement(
            seccomp=said["seccomp"],
            landlock_abi=said["landlock_abi"],
            rlimits=tuple(said["rlimits"]),
            problems=tuple(said["problems"]),
        )

    def _start_failed(self, detail: str) -> JailError:
        self._kill()
        os.set_blocking(self._complaints, False)
        try:
            last_line = os.read(self._complaints, 1 << 16).strip().rpartition(b"\n")[2]
        except BlockingIOError:
            last_line = b""
        self._close_descriptors()
        return JailError(f"the jailed child did not start: {clip(last_line) or detail}", remedy=_REMEDY)

    def _read_answer(self, wanted: int, timeout_s: float, limit_bytes: int) -> tuple[bytes, bytes]:
        deadline = time.monotonic() + timeout_s
        late = _NoAnswer(StopReason.TIMED_OUT, f"no answer within {timeout_s:g} s")
        number, kind, length = ANSWER.unpack(self._read_exactly(ANSWER.size, deadline, late))
        if number != wanted:
            raise _NoAnswer(StopReason.GARBLED, "the answer belongs to no job")
        if length > limit_bytes:
            raise _NoAnswer(StopReason.OVERSIZED, f"the answer has {length} bytes, the limit is {limit_bytes}")
        return kind, self._read_exactly(length, deadline, late)

    def _read_exactly(self, size_bytes: int, deadline: float, late: _NoAnswer) -> bytes:
        received = bytearray()
        while len(received) < size_bytes:
            left_s = deadline - time.monotonic()
            if left_s <= 0 or not self._poll.poll(left_s * 1000):
                raise late
            piece = os.read(self._answers, min(_PIECE_BYTES, size_bytes - len(received)))
            if not piece:
                raise self._death()
            received += piece
        return bytes(received)

    def _death(self) -> _NoAnswer:
        """Why the pipe of answers ended."""
        try:
            code = self._process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            return _NoAnswer(StopReason.GARBLED, "it closed its pipe without an answer")
        if code >= 0:
            return _NoAnswer(StopReason.CRASHED, f"it left with exit status {code} without an answer")
        match -code:
            case signal.SIGSYS:
                return _NoAnswer(StopReason.REFUSED_SYSCALL, "SIGSYS: it asked the kernel for what no parser needs")
            case signal.SIGXCPU:
                return _NoAnswer(StopReason.OUT_OF_CPU, f"used more than {self._limits.cpu_s} s of processor time")
            case number:
                return _NoAnswer(StopReason.CRASHED, _signal_name(number))

    def _kill(self) -> None:
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def _close_descriptors(self) -> None:
        self._jobs.close()
        for name in ("_answers", "_complaints"):
            if (fd := getattr(self, name)) >= 0:
                os.close(fd)
                setattr(self, name, -1)


def _exception_text(value: bytes) -> str:
    """`Type: message` of a RAISED answer; it comes from the child, so nothing of it is believed."""
    try:
        said = json.loads(value)
        return clip(f"{said['type']}: {said['message']}")
    except (ValueError, KeyError, TypeError, RecursionError):
        return "an exception that cannot be shown"


def _signal_name(number: int) -> str:
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    return f"{name} from outside, as when the machine runs out of memory" if name == "SIGKILL" else name
