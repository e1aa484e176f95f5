"""What an admission leaves behind when it is killed, when a write fails, when the power goes, and when the disk is full.

    .venv/bin/python bench/crash.py [--points 1000] [--errors [N]] [--power [N]] [--full [N]] [--slice K/N] [--jobs 2]

Kill: one process has everything imported and forks a child that admits a tiny model, once into a store and once where there
is none; strace attaches to the child and sends SIGKILL at the Nth write, fsync, rename … of each kind, for every N, over
repeated runs until --points are done. Errors: the same places answer ENOSPC or EIO once. Power: the writes of one admission
are recorded with their bytes, and after every single one the folder is made anew as a disk may hold it where whatever no
fsync followed is dropped, cut or out of order; once more with a file that is large enough to be written past the page cache
by a second thread. Full: the disk has room for one page or file more each time. After each, the store is opened again and asked: is
every acknowledged decision there and valid, is any there twice or by half, is any blob or evidence left that nothing refers
to, does the next admission succeed. Needs strace, and for --full a user who may mount. Exits 1 when anything is not as it
should be, 77 where the machine lacks what is needed.
"""

from __future__ import annotations

import sys
from pathlib import Path

HERE = str(Path(__file__).resolve().parent)
# This folder last: its inspect.py must not stand in for the standard library's.
sys.path[:] = [*(entry for entry in sys.path if entry != HERE), HERE]

import argparse
import re
import time

from crash_ground import (
    Ground,
    NoTracing,
    Tally,
    acknowledged_by,
    admit,
    check,
    run_points,
    spread,
    temporary_folder,
    traced,
)

OURS = re.compile(r"(RegistryError|LogUnavailableError|TamperedError|SigningError|JailError|HubError): ")
RANDOM = re.compile(r"(?<=[./-])[a-z0-9_]{8}(?=\.part)|\b(?:[0-9]+-)*[0-9a-f]{12,}(?:-[0-9a-f]+)*|/dev/shm/[^/]+")
MISSING = 77
"""The exit code where this machine lacks what is needed."""
SHOWN = 4
"""So many of the places that have one problem in common are named."""


def kill_point(ground: Ground, call: str, number: int, slot: str) -> tuple[str, list[str]]:
    """SIGKILL when the admission is about to make this call."""
    place = ground.fresh(f"kill-{slot}")
    inject = f"inject={call}:signal=KILL:when={number}"
    told = traced(
        lambda tell: admit(place, ground.model, tell), ["-o", "/dev/null", "-e", f"trace={call}", "-e", inject]
    )
    _, problems = check(place, ground, acknowledged_by(ground, told))
    return ("acknowledged" if "acknowledged" in told else "killed before"), problems


def error_point(ground: Ground, call: str, number: int, slot: str, errno: str) -> tuple[str, list[str]]:
    """This call answers `errno`, once: an error of ours with words and no decision, or a decision."""
    place = ground.fresh(f"error-{slot}")
    inject = f"inject={call}:error={errno}:when={number}"
    told = traced(
        lambda tell: admit(place, ground.model, tell), ["-o", "/dev/null", "-e", f"trace={call}", "-e", inject]
    )
    known, problems = check(place, ground, acknowledged_by(ground, told))
    raised = str(told.get("raised", ""))
    if not told:
        problems.append("died without a word")
    if raised and not (OURS.match(raised) and told.get("remedy")):
        problems.append(f"an error nobody can act on: {raised}")
    if raised and known > len(ground.acknowledged):
        problems.append(f"refused, and yet decided: {raised}")
    return ("refused" if raised else "admitted all the same"), problems


def kill(grounds: list[Ground], points: int, jobs: int, piece: slice) -> Tally:
    """SIGKILL at every place, over again until `points` are done; fewer points are spread evenly over the places."""
    return run_points(spread(_places(grounds), points)[piece], jobs, kill_point)


def fail(grounds: list[Ground], points: int | None, jobs: int, piece: slice) -> Tally:
    """ENOSPC and EIO once at every place, or `points` of these, spread evenly."""
    tally = Tally()
    for turn, errno in enumerate(("ENOSPC", "EIO")):
        share = None if points is None else (points + 1 - turn) // 2
        chosen = spread(_places(grounds)[turn:], share)[piece]
        part = run_points(chosen, jobs, lambda *place, errno=errno: error_point(*place, errno=errno))
        part.problems = [f"{errno} {problem}" for problem in part.problems]
        tally.add(part)
    return tally


def _places(grounds: list[Ground]) -> list[tuple[Ground, str, int]]:
    return [(ground, call, number) for ground in grounds for call, number in ground.places()]


def report(title: str, tally: Tally, began: float) -> bool:
    seconds = time.monotonic() - began
    told = ", ".join(f"{count} {outcome}" for outcome, count in sorted(tally.outcomes.items()))
    print(
        f"{title:<8} {tally.points:5d} points   {told}   {len(tally.problems)} problems   {seconds:.0f} s", flush=True
    )
    kinds: dict[str, list[str]] = {}
    for problem in tally.problems:
        where, _, what = problem.partition(": ")
        kinds.setdefault(RANDOM.sub("…", what), []).append(where)
    for what, places in sorted(kinds.items(), key=lambda kind: -len(kind[1])):
        print(f"    {len(places):4d} x {what}\n           {'; '.join(places[:SHOWN])}", flush=True)
    return not tally.problems


def limit(number: int) -> int | None:
    """An option that may go without its number, which then means all."""
    return number if number > 0 else None


def main() -> int:
    options = argparse.ArgumentParser()
    options.add_argument("--points", type=int, default=1000, help="so many kill points")
    options.add_argument(
        "--errors", type=int, nargs="?", const=-1, default=0, metavar="N", help="every write fails once"
    )
    options.add_argument("--power", type=int, nargs="?", const=-1, default=0, metavar="N", help="replay a power loss")
    options.add_argument("--full", type=int, nargs="?", const=-1, default=0, metavar="N", help="fill the disk")
    options.add_argument("--slice", default="1/1", metavar="K/N", help="only every Nth of the points, from the Kth")
    options.add_argument("--jobs", type=int, default=2)
    args = options.parse_args()
    if args.points or args.errors or args.power:
        try:
            traced(lambda _: None, ["-o", "/dev/null"])
        except NoTracing as problem:
            print(problem)
            return MISSING
    first, step = (int(number) for number in args.slice.split("/"))
    piece = slice(first - 1, None, step)
    held = True
    with temporary_folder() as folder:
        grounds = [Ground(Path(folder) / "into a store"), Ground(Path(folder) / "into nothing", founded=False)]
        for ground in grounds if args.points or args.errors else ():
            print(f"one admission {ground.name} makes {ground.counts.total()} such calls: {dict(ground.counts)}")
        if args.points:
            began = time.monotonic()
            held &= report("kill", kill(grounds, args.points, args.jobs, piece), began)
        if args.errors:
            began = time.monotonic()
            held &= report("errors", fail(grounds, limit(args.errors), args.jobs, piece), began)
        if args.power:
            from power_loss import replay

            grounds.append(Ground(Path(folder) / "past the page cache", weights=(17 << 20) // 4))
            for ground in grounds:
                began = time.monotonic()
                held &= report("power", replay(ground, limit(args.power), args.jobs, piece), began)
        if args.full:
            from full_disk import NoMount, fill

            began = time.monotonic()
            try:
                held &= report("full", fill(Path(folder) / "onto a full disk", limit(args.full), piece), began)
            except NoMount as problem:
                print(f"full     not tried: {problem}")
                return MISSING
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
