"""The hostile set: every file ends in a verdict, p99 below 1 s of processor time and every one below 256 MB, and none is clean.

    .venv/bin/python -P bench/hostile.py [--match WORD]

Each file of `tests/fuzz/hostile*.py` (bombs, floods, depths, circles, lengths that lie, names that leave, polyglots, cuts at every
border of a sound file, files with terabytes of holes) goes through the jail as `inspect` sends it, hashing aside, in one child
for all until one dies. Time is the child's processor time; memory is its peak since it took the file, imports and all. Blocked is
what exits 1, unknown what exits 3, clean what exits 0; stopped are those of them that a limit of the jail ended. Exits 1 where a
law is broken.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:] = [str(ROOT), *(entry for entry in sys.path if Path(entry or ".").resolve() != Path(__file__).parent)]

import argparse
import os
import tempfile
from collections import Counter
from dataclasses import dataclass

from tests.fuzz.hostile import Hostile
from tests.fuzz.hostile_set import ALL
from weighbridge.inspection.examined import read_examined
from weighbridge.inspection.tasks import EXAMINE
from weighbridge.jail.confinement import Completed, Jail
from weighbridge.testing.fuzzing import is_blocked, is_clean

CPU_LIMIT_S = 1.0
MEMORY_LIMIT_MIB = 256


@dataclass(frozen=True)
class Ran:
    """One file in the jail. `peak_mib` is the child's whole memory, 0 where it died and could not be asked."""

    item: Hostile
    verdict: str
    cpu_s: float
    peak_mib: int
    stopped: str = ""


def child() -> int:
    """The process id of the jailed child, the only child there is."""
    return int(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()[0])


def cpu_s(pid: int) -> float:
    words = Path(f"/proc/{pid}/schedstat").read_text().split()
    return int(words[0]) / 1e9


def peak_mib(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) >> 10


def run(item: Hostile, jail: Jail, folder: Path) -> Ran:
    file = folder / "file"
    file.write_bytes(item.make())
    size = max(item.size_bytes, file.stat().st_size)
    os.truncate(file, size)
    _ = jail.isolation  # the child is there
    pid = child()
    try:
        Path(f"/proc/{pid}/clear_refs").write_text("5")
    except OSError:
        jail.close()
        _ = jail.isolation
        pid = child()
    before = cpu_s(pid)
    with file.open("rb") as opened:
        answer = jail.call(EXAMINE, arguments={"path": item.path, "size_bytes": size}, fd=opened.fileno())
    if not isinstance(answer, Completed):
        return Ran(item, "unknown", 0.0, 0, f"{answer.reason.value}: {answer.detail}")
    took_s, peak = cpu_s(pid) - before, peak_mib(pid)
    said = read_examined(answer.value, path=item.path, size_bytes=size)
    verdict = "blocked" if is_blocked(said) else "CLEAN" if is_clean(said) else "unknown"
    return Ran(item, verdict, took_s, peak)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--match", default="", help="only those with this in their name")
    options = parser.parse_args()
    items = [item for item in ALL if options.match in item.name]
    with tempfile.TemporaryDirectory() as name, Jail() as jail:
        jail.warm(EXAMINE)
        ran = [run(item, jail, Path(name)) for item in items]
    ran.sort(key=lambda one: one.cpu_s)
    times = [one.cpu_s for one in ran]
    count = Counter(one.verdict for one in ran)
    stopped = [one for one in ran if one.stopped]
    p50, p99, most = times[len(times) // 2], times[int(len(times) * 0.99)], times[-1]
    peak = max(one.peak_mib for one in ran)
    print(
        f"{len(ran)} files of {len({one.item.path for one in ran})} names: {count['blocked']} blocked, {count['unknown']} unknown, {count['CLEAN']} CLEAN"
    )
    print(
        f"processor time: p50 {p50:.3f} s, p99 {p99:.3f} s, most {most:.3f} s; peak {peak} MiB; {len(stopped)} stopped by a limit"
    )
    for one in ran[-8:]:
        print(f"  {one.cpu_s:.3f} s  {one.peak_mib:4} MiB  {one.item.name}")
    for one in [one for one in ran if one.stopped or one.verdict == "CLEAN"]:
        print(f"  {one.verdict}: {one.item.name} {one.stopped}")
    return 1 if count["CLEAN"] or p99 >= CPU_LIMIT_S or peak >= MEMORY_LIMIT_MIB else 0


if __name__ == "__main__":
    sys.exit(main())
