"""Which process holds something, so that what a killed one held can be taken over.

A process id alone is not enough: ids are used again. A process is named by its id, the time it started (field 22 of
/proc/<pid>/stat), the boot of the machine and the namespace that the id belongs to. Elsewhere than on Linux the last three
are empty, and a process counts as alive while its id is in use.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One process of one boot of one machine."""

    pid: int
    started: int
    boot_id: str
    namespace: str

    def __str__(self) -> str:
        """A form that is also a folder name; `read_process` reads it."""
        return f"{self.pid}-{self.started}-{self.boot_id.replace('-', '') or 'none'}-{self.namespace or 'none'}"


def this_process() -> Process:
    """The process that calls."""
    return Process(pid=os.getpid(), started=_started(os.getpid()), boot_id=_boot_id(), namespace=_namespace())


def read_process(text: str) -> Process | None:
    """The process that `str` named at the beginning of `text`, or None where it names none."""
    parts = text.split("-")
    if len(parts) < 4 or not (parts[0].isdecimal() and parts[1].isdecimal()):
        return None
    boot_id = "" if parts[2] == "none" else parts[2]
    return Process(
        pid=int(parts[0]), started=int(parts[1]), boot_id=boot_id, namespace="" if parts[3] == "none" else parts[3]
    )


def is_gone(process: Process) -> bool:
    """Whether a process has certainly ended. A live process of another container cannot be told, so it is not gone."""
    if process.boot_id.replace("-", "") != _boot_id().replace("-", ""):
        return True
    if process.namespace != _namespace():
        return False
    if process.started and Path("/proc/self/stat").exists():
        return _started(process.pid) != process.started
    try:
        os.kill(process.pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def _started(pid: int) -> int:
    """When a process started, in clock ticks since boot; 0 where it has ended (a zombie has) or nobody can say."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b") ")[2].split()
    except OSError:
        return 0
    return 0 if not fields or fields[0] in {b"Z", b"X"} else int(fields[19])


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _namespace() -> str:
    try:
        return str(Path("/proc/self/ns/pid").readlink()).strip("pid:[]")
    except OSError:
        return ""
