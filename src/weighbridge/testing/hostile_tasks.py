"""Tasks that attack the jail they run in, one escape or one waste each. Decoys only: nothing outside is harmed if one works."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Arguments = Mapping[str, Any]


def echo(fd: int, arguments: Arguments) -> dict[str, Any]:
    """The well-behaved one: the arguments, and what the open file begins with."""
    return {"arguments": dict(arguments), "head": os.pread(fd, 64, 0).decode("latin-1") if fd >= 0 else ""}


def echo_or_die(fd: int, arguments: Arguments) -> str:
    """What the open file begins with, or a crash where `dies` says so."""
    if arguments["dies"]:
        ctypes.string_at(0)
    return os.pread(fd, 64, 0).decode("latin-1")


def crash(_fd: int, _arguments: Arguments) -> None:
    """Read address 0."""
    ctypes.string_at(0)


def loop(_fd: int, _arguments: Arguments) -> None:
    """Compute for ever."""
    while True:
        pass


def sleep(_fd: int, arguments: Arguments) -> None:
    """Do nothing for `seconds`, without using the processor."""
    time.sleep(arguments["seconds"])


def eat_memory(_fd: int, arguments: Arguments) -> int:
    """Allocate `size_bytes` in pieces and keep them."""
    pieces = [b"x" * (1 << 20) for _ in range(arguments["size_bytes"] >> 20)]
    return len(pieces)


def answer_much(_fd: int, arguments: Arguments) -> bytes:
    """An answer of `size_bytes`."""
    return b"x" * int(arguments["size_bytes"])


def write_garbage(_fd: int, arguments: Arguments) -> str:
    """Write past the protocol into the pipe of answers."""
    os.write(1, bytes.fromhex(arguments["hex"]))
    return "written"


def close_pipe(_fd: int, _arguments: Arguments) -> None:
    """Close the pipe of answers and go on."""
    os.close(1)
    time.sleep(60)


def leave(_fd: int, arguments: Arguments) -> None:
    """End the process as if all were well."""
    os._exit(arguments.get("status", 0))


def leave_politely(_fd: int, _arguments: Arguments) -> None:
    """Raise SystemExit."""
    sys.exit(0)


def raise_text(_fd: int, arguments: Arguments) -> None:
    """Raise with a text of the caller's choice."""
    raise ValueError(arguments["text"])


def raise_unshowable(_fd: int, _arguments: Arguments) -> None:
    """Raise an exception whose text cannot be had."""

    class UnshowableError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    raise UnshowableError


def recurse(_fd: int, _arguments: Arguments) -> None:
    """Recurse without end."""

    def again() -> None:
        again()

    again()


def open_socket(_fd: int, _arguments: Arguments) -> None:
    """Ask for the network."""
    socket.socket(socket.AF_INET, socket.SOCK_STREAM).close()


def fork(_fd: int, _arguments: Arguments) -> None:
    """Become two."""
    if os.fork() == 0:
        os._exit(0)


def start_thread(_fd: int, _arguments: Arguments) -> None:
    """Ask for a second line of execution."""
    threading.Thread(target=bool).start()


def run_program(_fd: int, _arguments: Arguments) -> None:
    """Start another program."""
    subprocess.run([sys.executable, "-c", "pass"], check=False)


def execute(_fd: int, _arguments: Arguments) -> None:
    """Become another program."""
    os.execv(sys.executable, [sys.executable, "-c", "pass"])  # noqa: S606  # the point of it


def kill_parent(_fd: int, _arguments: Arguments) -> None:
    """Send the parent a signal that does nothing."""
    os.kill(os.getppid() or 1, 0)


def open_for_reading(_fd: int, arguments: Arguments) -> str:
    """Read a file by name."""
    return Path(arguments["path"]).read_text(encoding="utf-8")


def open_for_writing(_fd: int, arguments: Arguments) -> None:
    """Make a file by name."""
    Path(arguments["path"]).write_text("escaped", encoding="utf-8")


def write_to_input(fd: int, _arguments: Arguments) -> None:
    """Write into the file that is to be examined."""
    os.write(fd, b"escaped")


def list_folder(_fd: int, arguments: Arguments) -> list[str]:
    """The names below a path."""
    return sorted(entry.name for entry in Path(arguments["path"]).iterdir())


def stat(_fd: int, arguments: Arguments) -> int:
    """Ask for the size of a file by name."""
    return Path(arguments["path"]).stat().st_size


def read_environment(_fd: int, _arguments: Arguments) -> dict[str, str]:
    """Every environment variable."""
    return dict(os.environ)


def list_descriptors(_fd: int, _arguments: Arguments) -> list[int]:
    """Every descriptor that can be read from, judged by trying."""
    found = []
    for number in range(64):
        with contextlib.suppress(OSError):
            os.lseek(number, 0, os.SEEK_CUR)
            found.append(number)
    return found


def print_aloud(_fd: int, _arguments: Arguments) -> str:
    """Print, which must not end in the answer."""
    print("not part of the answer")  # noqa: T201  # the point of it
    return "printed"


def import_late(_fd: int, arguments: Arguments) -> None:
    """Import a module that was not loaded before the lockdown."""
    __import__(arguments["module"])


def lift_limits(_fd: int, _arguments: Arguments) -> list[int]:
    """Raise the limit of address space."""
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    return list(resource.getrlimit(resource.RLIMIT_AS))


def ignore_signals(_fd: int, arguments: Arguments) -> None:
    """Ignore whatever can be ignored, then compute for ever."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGXCPU):
        signal.signal(number, signal.SIG_IGN)
    loop(-1, arguments)


def call_kernel(_fd: int, arguments: Arguments) -> int:
    """A system call by its number, with small arguments; the answer is minus the error, or what the call gave."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    given = [ctypes.c_long(value) for value in arguments.get("values", [])]
    result: int = libc.syscall(ctypes.c_long(arguments["number"]), *given)
    return result if result >= 0 else -ctypes.get_errno()
