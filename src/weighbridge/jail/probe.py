"""What isolation this machine really gives, found out by trying it in processes that are thrown away."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from weighbridge.errors import JailError
from weighbridge.jail.confinement import Jail
from weighbridge.jail.terms import Confinement, Limits, Stopped, StopReason

_TIMEOUT_S = 10
_UNSHARE = "import ctypes, sys; sys.exit(ctypes.CDLL(None).unshare(0x10000000 | 0x40000000) and 1)"
"""New user and network namespaces: CLONE_NEWUSER | CLONE_NEWNET."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Isolation:
    """What a jail can be made of here. `problems` says why a part is missing.

    `bubblewrap_path` is empty where bwrap is absent or cannot make its namespaces. `cgroup` names the memory controller that
    this user may set (`v2`, `v1`), or is empty.
    """

    seccomp: bool
    landlock_abi: int
    rlimits: tuple[str, ...]
    user_namespaces: bool
    bubblewrap_path: str
    cgroup: str
    problems: tuple[str, ...] = ()


def probe_isolation(*, search_path: str = os.defpath) -> Isolation:
    """Try every barrier. `search_path` is where bwrap is looked for, as in PATH."""
    confinement, problems = _try_jail()
    namespaces = _runs([sys.executable, "-I", "-c", _UNSHARE]) if sys.platform == "linux" else False
    bubblewrap = shutil.which("bwrap", path=search_path) or ""
    if bubblewrap and not _runs(_bubblewrap_command(bubblewrap)):
        problems.append(f"{bubblewrap} cannot make its namespaces here")
        bubblewrap = ""
    if not namespaces:
        problems.append("user namespaces are not to be had")
    return Isolation(
        seccomp=confinement.seccomp,
        landlock_abi=confinement.landlock_abi,
        rlimits=confinement.rlimits,
        user_namespaces=namespaces,
        bubblewrap_path=bubblewrap,
        cgroup=_memory_controller(),
        problems=(*confinement.problems, *problems),
    )


def _try_jail() -> tuple[Confinement, list[str]]:
    """What the child says holds; seccomp only where an attempt to open a socket was really killed."""
    nothing = Confinement(seccomp=False, landlock_abi=0, rlimits=())
    try:
        with Jail(Limits(wall_s=_TIMEOUT_S)) as jail:
            confinement = jail.isolation
            attempt = jail.call("weighbridge.jail.attempts:open_socket", arguments={})
    except JailError as problem:
        return nothing, [problem.message]
    if confinement.seccomp and not (isinstance(attempt, Stopped) and attempt.reason is StopReason.REFUSED_SYSCALL):
        problems = ("seccomp: a jailed child could open a socket",)
        return Confinement(
            seccomp=False, landlock_abi=confinement.landlock_abi, rlimits=confinement.rlimits, problems=problems
        ), []
    return confinement, []


def _bubblewrap_command(program: str) -> list[str]:
    inside = [sys.executable, "-I", "-S", "-c", "pass"]
    return [program, "--unshare-all", "--die-with-parent", "--ro-bind", "/", "/", "--dev", "/dev", "--", *inside]


def _runs(command: list[str]) -> bool:
    try:
        run = subprocess.run(command, env={}, cwd="/", capture_output=True, timeout=_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return run.returncode == 0


def _memory_controller() -> str:
    """The version of the memory controller in which a group can be made and removed here, or nothing."""
    try:
        groups = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    for line in groups:
        number, controllers, path = (*line.split(":", 2), "", "")[:3]
        if number == "0" and not controllers:
            version, mounts, limit = "v2", ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"], "memory.max"
        elif "memory" in controllers.split(","):
            version, mounts, limit = "v1", ["/sys/fs/cgroup/memory"], "memory.limit_in_bytes"
        else:
            continue
        if any(_group_works(Path(mount + path), limit) for mount in mounts):
            return version
    return ""


def _group_works(parent: Path, limit: str) -> bool:
    """Make a group under `parent`, look for its limit, remove it."""
    group = parent / f"weighbridge-probe-{os.getpid()}"
    try:
        group.mkdir()
    except OSError:
        return False
    try:
        return os.access(group / limit, os.W_OK)
    finally:
        group.rmdir()
