"""Which process holds something, so that what a killed one held can be taken over.

A process id alone is not enough: ids are used again. A process is named by its id, the time it started (field 22 of
/proc/<pid>/stat), the boot of the machine and the namespace that the id belongs to. Elsewhere than on Linux the last three
are empty. Whether it lives its name does not tell, for a process of another container cannot be looked up; it does while it
holds the lock of its staging folder, which the kernel gives back however it ends.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from weighbridge.registry.durable import explained
from weighbridge.registry.locks import is_held


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


def list_staging(root: Path) -> tuple[Path, ...]:
    """The staging folder of every run that has not ended well, or not yet.

    Raises:
        RegistryError: they cannot be listed.
    """
    staging = root / "staging"
    with explained(staging, "list"):
        return tuple(sorted(staging.iterdir())) if staging.is_dir() else ()


def is_at_work(root: Path, process: str) -> bool:
    """Whether the process that `str` named this holds a staging folder of the store.

    Raises:
        RegistryError: that cannot be told.
    """
    return any(is_held(folder) for folder in list_staging(root) if folder.name.startswith(f"{process}-"))


def _started(pid: int) -> int:
    """When a process started, in clock ticks since boot; 0 where nobody can say."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b") ")[2].split()
    except OSError:
        return 0
    return int(fields[19]) if fields else 0


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
