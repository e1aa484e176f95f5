"""The jail: jobs go in with one open file each, answers come out, and nothing that happens inside reaches the caller.

One child process serves many jobs. A child that crashed, hung or gave a wrong answer is replaced before the next job.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from types import TracebackType
from typing import Any, Self

from weighbridge.jail.cell import Cell
from weighbridge.jail.terms import Completed, Confinement, Job, Limits, Stopped, StopReason

__all__ = ["Completed", "Confinement", "Jail", "Job", "Limits", "StopReason", "Stopped"]


class _Waiting:
    """The jobs of one `call_many`: sent without an answer, to be sent (again), and not yet asked for."""

    def __init__(self, jobs: Iterable[Job]) -> None:
        self.sent: deque[Job] = deque()
        self.unsent: deque[Job] = deque()
        self._more = iter(jobs)

    def next(self) -> Job | None:
        return self.unsent.popleft() if self.unsent else next(self._more, None)

    def send_again(self) -> None:
        while self.sent:
            self.unsent.appendleft(self.sent.pop())


class Jail:
    """Confined child processes, one at a time; a context manager.

    Tasks are named `module:function` and called as `function(fd, arguments)`. They are imported by an isolated interpreter
    (`python -I`), before it locks itself in; `import_path` adds folders where it finds them. Several threads may share a
    jail: each call, and each `fresh` block, has it alone. Start it in a thread that lives as long as the jail is used.
    """

    def __init__(self, limits: Limits | None = None, *, import_path: tuple[str, ...] = ()) -> None:
        self._limits = limits or Limits()
        self._import_path = import_path
        self._tasks: frozenset[str] = frozenset()
        self._cell: Cell | None = None
        self._turn = threading.RLock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def isolation(self) -> Confinement:
        """What holds the child of this moment; starts one where none is there.

        Raises:
            JailError: no child can be started.
        """
        with self._turn:
            return self._ready_cell().confinement()

    def warm(self, *tasks: str) -> None:
        """Start a child with these tasks without waiting for it.

        Raises:
            JailError: no child process can be made.
        """
        with self._turn:
            self._ready_cell(*tasks)

    def call(self, task: str, *, arguments: dict[str, Any], fd: int | None = None) -> Completed | Stopped:
        """Run `task` in the jail on the open file `fd`, which stays the caller's, and on `arguments` (JSON).

        Raises:
            JailError: no child can be started, or the task cannot be imported.
        """
        job = Job(arguments=arguments, open_fd=None if fd is None else partial(os.dup, fd))
        [result] = self.call_many(task, [job])
        return result

    def call_many(self, task: str, jobs: Iterable[Job]) -> Iterator[Completed | Stopped]:
        """Run `task` on one job after another; one result each, in their order.

        A few jobs are sent ahead, so that the child need not wait. Where the child dies, the first job without an answer is
        the one that stopped, and those sent after it are sent again to the next child.

        Raises:
            JailError: no child can be started, or the task cannot be imported.
        """
        with self._turn:
            waiting = _Waiting(jobs)
            try:
                while (cell := self._send_ahead(task, waiting)) is not None:
                    result = cell.collect()
                    waiting.sent.popleft()
                    if isinstance(result, Stopped) and result.reason is not StopReason.RAISED:
                        self._end_cell()
                        waiting.send_again()
                    yield result
            finally:
                if waiting.sent:
                    self._end_cell()

    def _send_ahead(self, task: str, waiting: _Waiting) -> Cell | None:
        """Send as many jobs as there is room for; the cell that owes an answer, or None where all jobs are done."""
        if not waiting.sent:
            if (first := waiting.next()) is None:
                return None
            try:
                self._ready_cell(task).submit(task, first)
            except ConnectionError:  # killed from outside between two jobs; this one never began
                self._end_cell()
                self._ready_cell(task).submit(task, first)
            waiting.sent.append(first)
        cell = self._cell
        while cell and cell.has_room and (job := waiting.next()) is not None:
            try:
                cell.submit(task, job)
            except ConnectionError:  # `collect` finds out which job it died of
                waiting.unsent.appendleft(job)
                break
            waiting.sent.append(job)
        return cell

    @contextmanager
    def fresh(self) -> Iterator[None]:
        """A stretch of calls by a child that served nobody before and serves nobody after.

        What took over a child by a hostile file of one model can then not answer for another model.
        """
        with self._turn:
            if self._cell and self._cell.jobs_done:
                self._end_cell()
            try:
                yield
            finally:
                if self._cell and self._cell.jobs_done:
                    self._end_cell()

    def close(self) -> None:
        """End the child."""
        with self._turn:
            self._end_cell()

    def _ready_cell(self, *tasks: str) -> Cell:
        self._tasks |= set(tasks)
        if self._cell and (self._cell.is_spent or not self._tasks <= self._cell.tasks):
            self._end_cell()
        if self._cell is None:
            self._cell = Cell(self._tasks, self._limits, self._import_path)
        return self._cell

    def _end_cell(self) -> None:
        cell, self._cell = self._cell, None
        if cell:
            cell.end()
