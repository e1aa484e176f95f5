"""The terms of confinement: how much a jailed task may use, how it ended, and what really held it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one job in the jail may use.

    `wall_s` and `cpu_s` are for one job, `start_s` for the start of a child. `memory_bytes` is address space beyond what the
    child has when its imports are done. `answer_bytes` is the longest answer.
    """

    wall_s: float = 20.0
    cpu_s: int = 20
    memory_bytes: int = 224 << 20
    answer_bytes: int = 32 << 20
    start_s: float = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What one call of a task is about: JSON arguments and, where there is one, a file that can be opened (again).

    The jail closes every descriptor that `open_fd` gives.
    """

    arguments: dict[str, Any]
    open_fd: Callable[[], int] | None = None


class StopReason(Enum):
    """Why a job gave no answer. RAISED is an exception of the task itself; after every other reason the child is replaced."""

    CRASHED = "crashed"
    TIMED_OUT = "timed_out"
    OUT_OF_CPU = "out_of_cpu"
    OUT_OF_MEMORY = "out_of_memory"
    REFUSED_SYSCALL = "refused_syscall"
    OVERSIZED = "oversized"
    GARBLED = "garbled"
    RAISED = "raised"


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """The answer of a task: bytes as it gave them, or JSON of the value. Hostile until it has been checked."""

    value: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """A job without an answer. `detail` is clipped text: the signal, the limit, or the exception."""

    reason: StopReason
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Confinement:
    """What holds a child, as tried out in that child. `problems` says why a part is missing; nothing is missing in silence.

    `landlock_abi` is 0 where Landlock does not hold. `rlimits` are the names of the limits that were accepted.
    """

    seccomp: bool
    landlock_abi: int
    rlimits: tuple[str, ...]
    problems: tuple[str, ...] = ()

    def __str__(self) -> str:
        """The parts that hold, as in `seccomp+landlock7+rlimits`."""
        parts = ["seccomp"] if self.seccomp else []
        parts += [f"landlock{self.landlock_abi}"] if self.landlock_abi else []
        parts += ["rlimits"] if self.rlimits else []
        return "+".join(parts) or "none"
