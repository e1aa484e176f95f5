"""The system-call filter of a jailed parser, as a classic BPF program for seccomp(2).

The table lies in `syscalls.toml`. The program is put together by the parent, so that the child has less to import.
"""

from __future__ import annotations

import errno
import struct
import tomllib
from functools import cache
from importlib.resources import files
from typing import Any

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_KILL_PROCESS, _ALLOW, _DENY = 0x8000_0000, 0x7FFF_0000, 0x0005_0000 | errno.EPERM
_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENTS_AT = 0, 4, 16
_X32_BIT = 0x4000_0000


@cache
def build_filter(machine: str) -> bytes:
    """The program for `machine` (as `os.uname` names it): 8 bytes an instruction; empty where there is no table for it.

    Another architecture than the native one and the x32 numbers of x86_64 are killed. Layout of `struct seccomp_data` and
    return values: include/uapi/linux/seccomp.h.
    """
    table = tomllib.loads(files("weighbridge.jail").joinpath("syscalls.toml").read_text(encoding="utf-8"))
    architectures = list(table["architectures"])
    if machine not in architectures:
        return b""
    column = architectures.index(machine)
    program = [
        _step(_LOAD, _ARCHITECTURE_AT),
        _step(_EQUAL, table["architectures"][machine], hit=1),
        _step(_RETURN, _KILL_PROCESS),
        _step(_LOAD, _NUMBER_AT),
        _step(_AT_LEAST, _X32_BIT, miss=1),
        _step(_RETURN, _KILL_PROCESS),
    ]
    for rule in table["conditional"]:
        program += _conditional(rule, rule["numbers"][column])
    for part, action in (("allow", _ALLOW), ("kill", _KILL_PROCESS)):
        for numbers in table[part].values():
            if numbers[column] >= 0:
                program += [_step(_EQUAL, numbers[column], miss=1), _step(_RETURN, action)]
    return b"".join([*program, _step(_RETURN, _DENY)])


def _conditional(rule: dict[str, Any], number: int) -> list[bytes]:
    """Allow `number` by the low word of one argument; both machines are little-endian."""
    if "equals" in rule:
        test, value, on_hit, on_miss = _EQUAL, rule["equals"], _ALLOW, _DENY
    else:
        test, value, on_hit, on_miss = _ANY_BIT, rule["without"], _DENY, _ALLOW
    return [
        _step(_EQUAL, number, miss=4),
        _step(_LOAD, _ARGUMENTS_AT + 8 * rule["argument"]),
        _step(test, value, miss=1),
        _step(_RETURN, on_hit),
        _step(_RETURN, on_miss),
    ]


def _step(code: int, value: int, *, hit: int = 0, miss: int = 0) -> bytes:
    return struct.pack("<HBBI", code, hit, miss, value)
