"""The system-call filter, run by a small interpreter, so that the machine we are not on is tested too."""

from __future__ import annotations

import struct

import pytest

from weighbridge.jail.filter import build_filter

KILL, ALLOW, EPERM = 0x8000_0000, 0x7FFF_0000, 0x0005_0001
ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}


def verdict(machine: str, number: int, *arguments: int, architecture: int | None = None) -> int:
    """What the kernel would answer: classic BPF over `struct seccomp_data`, as in Documentation/networking/filter.rst."""
    padded = (*arguments, *(0,) * (6 - len(arguments)))
    data = struct.pack("<IIQ6Q", number, architecture or ARCHITECTURE[machine], 0, *padded)
    steps = list(struct.iter_unpack("<HBBI", build_filter(machine)))
    at = held = 0
    while True:
        code, hit, miss, value = steps[at]
        at += 1
        match code:
            case 0x20:
                [held] = struct.unpack_from("<I", data, value)
            case 0x06:
                return value
            case 0x15:
                at += hit if held == value else miss
            case 0x35:
                at += hit if held >= value else miss
            case 0x45:
                at += hit if held & value else miss
            case _:
                raise AssertionError(f"unknown instruction {code:#x}")


@pytest.mark.parametrize(
    ("machine", "number", "arguments", "expected"),
    [
        ("x86_64", 17, (), ALLOW),  # pread64
        ("aarch64", 67, (), ALLOW),
        ("x86_64", 41, (), KILL),  # socket
        ("aarch64", 198, (), KILL),
        ("x86_64", 56, (), KILL),  # clone
        ("aarch64", 220, (), KILL),
        ("x86_64", 257, (), EPERM),  # openat
        ("aarch64", 56, (), EPERM),
        ("x86_64", 1, (1,), ALLOW),  # write to the pipe of answers
        ("x86_64", 1, (2,), EPERM),
        ("aarch64", 64, (1,), ALLOW),
        ("aarch64", 64, (5,), EPERM),
        ("x86_64", 47, (0,), ALLOW),  # recvmsg from the socket of jobs
        ("x86_64", 47, (3,), EPERM),
        ("x86_64", 9, (0, 4096, 3), ALLOW),  # mmap
        ("x86_64", 9, (0, 4096, 7), EPERM),
        ("aarch64", 226, (0, 4096, 5), EPERM),  # mprotect
        ("aarch64", 226, (0, 4096, 1), ALLOW),
        ("x86_64", 302, (0,), ALLOW),  # prlimit64 of itself
        ("x86_64", 302, (1234,), EPERM),
        ("x86_64", 425, (), KILL),  # io_uring_setup
        ("aarch64", 425, (), KILL),
        ("x86_64", 0x4000_0000, (), KILL),  # x32 read
        ("x86_64", 5000, (), EPERM),  # no call yet
    ],
)
def test_calls_are_judged(machine: str, number: int, arguments: tuple[int, ...], expected: int) -> None:
    assert verdict(machine, number, *arguments) == expected


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_another_architecture_is_killed(machine: str) -> None:
    i386 = 0x40000003
    assert verdict(machine, 0, architecture=i386) == KILL


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_every_number_has_a_verdict(machine: str) -> None:
    verdicts = {verdict(machine, number, 99, 0, 4) for number in range(600)}
    assert verdicts == {ALLOW, KILL, EPERM}


def test_a_machine_without_a_table_has_no_filter() -> None:
    assert build_filter("riscv64") == b""
