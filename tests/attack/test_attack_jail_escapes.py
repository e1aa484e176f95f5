"""Escapes from the jail of the parsers, tried for real by a child that is locked in."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest

from weighbridge.jail.confinement import Completed, Jail, Limits, Stopped, StopReason

TASKS = "weighbridge.testing.hostile_tasks:"
TABLE = tomllib.loads(files("weighbridge.jail").joinpath("syscalls.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def jail() -> Iterator[Jail]:
    with Jail(Limits(wall_s=10)) as jail:
        if not jail.isolation.seccomp:
            pytest.skip("the kernel gives no seccomp, which is told by Jail.isolation")
        yield jail


def ask(jail: Jail, task: str, *, fd: int | None = None, **arguments: object) -> Completed | Stopped:
    return jail.call(TASKS + task, fd=fd, arguments=arguments)


def column() -> int:
    return list(TABLE["architectures"]).index(os.uname().machine)


def numbers(part: str) -> list[tuple[str, int]]:
    if os.uname().machine not in TABLE["architectures"]:
        return []
    return [(name, given[column()]) for name, given in TABLE[part].items() if given[column()] >= 0]


@pytest.mark.parametrize("task", ["open_socket", "fork", "start_thread", "execute", "kill_parent"])
def test_leaving_by_the_kernel_is_fatal_and_told(jail: Jail, task: str) -> None:
    result = ask(jail, task)
    assert isinstance(result, Stopped)
    assert result.reason is StopReason.REFUSED_SYSCALL
    assert isinstance(ask(jail, "echo"), Completed)


def test_a_program_cannot_be_started_the_usual_way(jail: Jail) -> None:
    result = ask(jail, "run_program")
    assert isinstance(result, Stopped)
    assert "PermissionError" in result.detail  # it fails at the pipe already


@pytest.mark.parametrize(("name", "number"), numbers("kill"))
def test_every_hostile_call_is_killed(name: str, number: int) -> None:
    with Jail(Limits(wall_s=10)) as jail:
        result = ask(jail, "call_kernel", number=number, values=[-1, 0, 0, 0, 0, 0])
    assert isinstance(result, Stopped), name
    assert result.reason is StopReason.REFUSED_SYSCALL


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the x32 numbers belong to x86_64")
@pytest.mark.parametrize("number", [0x4000_0000 + 1, 0x4000_0000 + 41, 0x4000_0000 + 520])
def test_x32_numbers_are_killed(jail: Jail, number: int) -> None:
    result = ask(jail, "call_kernel", number=number)
    assert isinstance(result, Stopped)
    assert result.reason is StopReason.REFUSED_SYSCALL


@pytest.mark.parametrize(
    ("task", "error"),
    [
        ("open_for_reading", "PermissionError"),
        ("open_for_writing", "PermissionError"),
        ("list_folder", "PermissionError"),
        ("stat", "PermissionError"),
    ],
)
def test_no_file_can_be_named(jail: Jail, tmp_path: Path, task: str, error: str) -> None:
    decoy = tmp_path / "decoy"
    decoy.write_text("secret of the test")
    for path in (decoy, tmp_path, Path("/etc/passwd")):
        result = ask(jail, task, path=str(path))
        assert isinstance(result, Stopped)
        assert (result.reason, result.detail.partition(":")[0]) == (StopReason.RAISED, error)
    assert decoy.read_text() == "secret of the test"


def test_the_examined_file_cannot_be_written_even_through_a_writable_descriptor(jail: Jail, tmp_path: Path) -> None:
    victim = tmp_path / "weights"
    victim.write_bytes(b"as it was")
    with victim.open("r+b") as stream:
        result = ask(jail, "write_to_input", fd=stream.fileno())
    assert isinstance(result, Stopped)
    assert "PermissionError" in result.detail
    assert victim.read_bytes() == b"as it was"


def test_the_environment_is_empty(jail: Jail, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_decoy")
    jail.close()
    result = ask(jail, "read_environment")
    assert isinstance(result, Completed)
    assert set(json.loads(result.value)) <= {"LC_CTYPE"}


def test_descriptors_of_the_parent_are_not_there(jail: Jail, tmp_path: Path) -> None:
    (tmp_path / "open").write_bytes(b"x")
    with (tmp_path / "open").open("rb") as stream:
        os.set_inheritable(stream.fileno(), True)
        jail.close()
        assert ask(jail, "list_descriptors") == Completed(value=b"[]")


@pytest.mark.parametrize("module", ["sqlite3", "weighbridge.cli.main"])
def test_nothing_can_be_imported_after_the_lockdown(jail: Jail, module: str) -> None:
    result = ask(jail, "import_late", module=module)
    assert isinstance(result, Stopped)
    assert result.reason is StopReason.RAISED
    assert "Error" in result.detail


def test_limits_cannot_be_lifted(jail: Jail) -> None:
    lifted = ask(jail, "lift_limits")
    grown = ask(jail, "eat_memory", size_bytes=1 << 30)
    assert isinstance(lifted, Stopped)
    assert isinstance(grown, Stopped)
    assert grown.reason is StopReason.OUT_OF_MEMORY


@pytest.mark.parametrize(
    ("name", "values"),
    [("mmap", [0, 4096, 0x4, 0x22, -1, 0]), ("mmap", [0, 4096, 0x7, 0x22, -1, 0]), ("mprotect", [0, 4096, 0x5])],
)
def test_no_page_becomes_executable(jail: Jail, name: str, values: list[int]) -> None:
    [rule] = [rule for rule in TABLE["conditional"] if rule["name"] == name]
    assert ask(jail, "call_kernel", number=rule["numbers"][column()], values=values) == Completed(value=b"-1")


def test_a_plain_page_may_be_mapped(jail: Jail) -> None:
    [rule] = [rule for rule in TABLE["conditional"] if rule["name"] == "mmap"]
    result = ask(jail, "call_kernel", number=rule["numbers"][column()], values=[0, 4096, 0x3, 0x22, -1, 0])
    assert isinstance(result, Completed)
    assert int(result.value) > 0


FORBIDDEN_SECCOMP = """
import ctypes, struct, sys
from weighbridge.jail.confinement import Jail
number = {"x86_64": 317, "aarch64": 277}[__import__("os").uname().machine]
prctl = {"x86_64": 157, "aarch64": 167}[__import__("os").uname().machine]
step = lambda code, hit, miss, value: struct.pack("<HBBI", code, hit, miss, value)
deny = step(6, 0, 0, 0x50001)
program = b"".join([
    step(0x20, 0, 0, 0), step(0x15, 0, 1, number), deny, step(0x15, 0, 3, prctl),
    step(0x20, 0, 0, 16), step(0x15, 0, 1, 22), deny, step(6, 0, 0, 0x7FFF0000),
])
class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("steps", ctypes.c_char_p)]
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, *(ctypes.c_ulong(n) for n in (1, 0, 0, 0))) == 0
assert libc.syscall(number, 1, 0, ctypes.byref(Program(len(program) // 8, program))) == 0
with Jail() as jail:
    print(jail.isolation)
    print(jail.isolation.problems)
    print(jail.call("weighbridge.testing.hostile_tasks:open_for_reading", arguments={"path": "/etc/hostname"}))
    print(jail.call("weighbridge.testing.hostile_tasks:echo", arguments={}))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="seccomp is of the kernel Linux")
def test_where_seccomp_is_forbidden_the_jail_says_so_and_goes_on() -> None:
    run = subprocess.run([sys.executable, "-c", FORBIDDEN_SECCOMP], capture_output=True, text=True, check=True)
    held, problems, reading, echo = run.stdout.splitlines()
    assert "seccomp" not in held
    assert held.endswith("rlimits")
    assert "seccomp: Operation not permitted" in problems
    if "landlock" in held:
        assert "PermissionError" in reading
    assert echo.startswith("Completed")


@pytest.mark.skipif(ctypes.sizeof(ctypes.c_void_p) != 8, reason="the tables are of 64-bit machines")
def test_no_call_is_in_two_parts_of_the_table() -> None:
    for index in range(len(TABLE["architectures"])):
        seen = [given[index] for part in ("allow", "kill") for given in TABLE[part].values() if given[index] >= 0]
        seen += [rule["numbers"][index] for rule in TABLE["conditional"]]
        assert len(seen) == len(set(seen))
