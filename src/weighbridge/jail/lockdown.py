"""Locking a process in, from within: limits, no new privileges, Landlock, seccomp. There is no way back.

Sources: prctl(2), landlock(7), seccomp(2), getrlimit(2). Every barrier is tried out after it is set up; what does not hold is
a problem in the Confinement and not an exception, because parsing is not executing and goes on under what does hold.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import struct
import sys
import time

from weighbridge.jail.terms import Confinement

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 1, 4, 22, 38
_SIGKILL = 9
_SECCOMP_CALL = {"x86_64": 317, "aarch64": 277}
_LANDLOCK_CREATE_RULESET, _LANDLOCK_RESTRICT_SELF = 444, 446
_OPEN_FILES = 16
_FILE_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
_NETWORK_RIGHTS = {4: 0b11}
_SCOPES = {6: 0b11}


class _Program(ctypes.Structure):
    """`struct sock_fprog`."""

    _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.c_char_p))


def die_with_parent(parent: int) -> None:
    """Ask to be killed when the thread that started this process ends; leave at once where that was too late."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(_SIGKILL))
    if os.getppid() != parent:
        os._exit(0)


def lock_down(program: bytes, *, memory_bytes: int) -> Confinement:
    """Give up everything that a parser does not need. Call it after every import and before the first byte of input.

    `program` is a BPF program from `filter.build_filter`; empty where there is none for this machine.
    """
    problems: list[str] = []
    limits = _set_limits(memory_bytes, problems)
    if sys.platform != "linux":
        problems.append(f"{sys.platform} has neither Landlock nor seccomp")
        return Confinement(seccomp=False, landlock_abi=0, rlimits=limits, problems=tuple(problems))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    none = ctypes.c_ulong(0)
    libc.prctl(_PR_SET_DUMPABLE, none, none, none, none)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1), none, none, none):
        problems.append(f"no_new_privs: {_last_error()}")
    abi = _restrict_by_landlock(libc, problems)
    seccomp = _filter_calls(libc, program, problems)
    return Confinement(seccomp=seccomp, landlock_abi=abi, rlimits=limits, problems=tuple(problems))


def allow_cpu(seconds: int) -> None:
    """Set the soft limit of processor time to `seconds` from here, or to the hard limit that is there already; SIGXCPU ends the process beyond it."""
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    wanted = int(time.process_time()) + 1 + seconds
    resource.setrlimit(resource.RLIMIT_CPU, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))


def _set_limits(memory_bytes: int, problems: list[str]) -> tuple[str, ...]:
    wanted = {"FSIZE": 0, "CORE": 0, "NPROC": 0, "NOFILE": _OPEN_FILES, "MEMLOCK": 0, "MSGQUEUE": 0}
    if used := _address_space_bytes():
        wanted["AS"] = used + memory_bytes
    else:
        problems.append("memory: the address space in use cannot be read, so it is not limited")
    accepted = []
    for name, value in wanted.items():
        kind = getattr(resource, f"RLIMIT_{name}", None)
        if kind is None:
            continue
        try:
            resource.setrlimit(kind, (value, value))
        except (OSError, ValueError) as problem:
            problems.append(f"limit {name}: {problem}")
        else:
            accepted.append(name.lower())
    return tuple(sorted(accepted))


def _address_space_bytes() -> int:
    try:
        fd = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return 0
    try:
        return int(os.read(fd, 256).split()[0]) * resource.getpagesize()
    finally:
        os.close(fd)


def _restrict_by_landlock(libc: ctypes.CDLL, problems: list[str]) -> int:
    """Handle every right this kernel knows and allow none of them. The ABI that holds, or 0."""
    abi: int = libc.syscall(_LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), 1)
    if abi < 1:
        problems.append(f"Landlock: {_last_error()}")
        return 0
    rights = [
        max((v for k, v in table.items() if k <= abi), default=0) for table in (_FILE_RIGHTS, _NETWORK_RIGHTS, _SCOPES)
    ]
    attributes = struct.pack("=QQQ", *rights)[: 8 if abi < 4 else 16 if abi < 6 else 24]
    ruleset = libc.syscall(_LANDLOCK_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0)
    if ruleset < 0:
        problems.append(f"Landlock: {_last_error()}")
        return 0
    failed = libc.syscall(_LANDLOCK_RESTRICT_SELF, ruleset, 0)
    reason = _last_error() if failed else "it was accepted and does not hold"
    os.close(ruleset)
    if _opening_root_fails_with() == errno.EACCES:
        return abi
    problems.append(f"Landlock: {reason}")
    return 0


def _filter_calls(libc: ctypes.CDLL, program: bytes, problems: list[str]) -> bool:
    machine = os.uname().machine
    if not program:
        problems.append(f"seccomp: there is no table of system calls for {machine}")
        return False
    holder = _Program(len(program) // 8, program)
    reason = "it was accepted and does not hold"
    if libc.syscall(_SECCOMP_CALL[machine], 1, 0, ctypes.byref(holder)):
        reason = _last_error()
        if libc.prctl(_PR_SET_SECCOMP, ctypes.c_ulong(2), ctypes.byref(holder)) == 0:
            reason = "it was accepted and does not hold"
    if _opening_root_fails_with() == errno.EPERM:
        return True
    problems.append(f"seccomp: {reason}")
    return False


def _opening_root_fails_with() -> int:
    """Try a barrier: the error of opening `/`, 0 where it opens. Landlock says EACCES; the filter says EPERM before that."""
    try:
        os.close(os.open("/", os.O_RDONLY | os.O_CLOEXEC))
    except OSError as refusal:
        return refusal.errno or 0
    return 0


def _last_error() -> str:
    return os.strerror(ctypes.get_errno())
