"""What an admission leaves behind when it is killed, when a write fails, and when the power goes.

    .venv/bin/python bench/crash.py [--points 1000] [--errors] [--power] [--jobs 2]

Kill: one process has everything imported and forks a child that admits a tiny model; strace attaches to the child and sends
SIGKILL at the Nth write, fsync, rename … of each kind, for every N, over repeated runs until --points are done. Errors: the
same places answer ENOSPC or EIO once. Power: the writes of one admission are recorded with their bytes, and after every
single one the folder is made anew as a disk would hold it that drops whatever no fsync followed. After each, the store is
opened again and asked: is every acknowledged decision there and valid, is any there twice or by half, is any blob or evidence
left that nothing refers to, does the next admission succeed. Needs strace. Exits 1 when anything is not as it should be.
"""

from __future__ import annotations

import sys

sys.path.append(sys.path.pop(0))  # this folder last: its inspect.py must not stand in for the standard library's

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

WRITES = (
    "write", "pwrite64", "writev", "pwritev", "fsync", "fdatasync", "rename", "renameat", "renameat2", "link", "linkat",
    "unlink", "unlinkat", "mkdir", "mkdirat", "ftruncate", "fallocate", "copy_file_range", "sendfile", "fchmod", "chmod",
)  # fmt: skip


@dataclass
class Tally:
    """How many points of each kind ended how."""

    points: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    def note(self, where: str, outcome: str, problems: list[str]) -> None:
        self.points += 1
        self.outcomes[outcome] += 1
        self.problems += [f"{where}: {problem}" for problem in problems]


def write_model(folder: Path, mark: str) -> Path:
    folder.mkdir(parents=True)
    header = json.dumps({mark: {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}).encode()
    header += b" " * (-len(header) % 8)
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(range(16)))
    (folder / "config.json").write_text('{"model_type": "llama"}\n')
    return folder


def admit(home: Path, model: Path) -> str:
    """Admit in this process and give the digest of the decision."""
    from weighbridge.admission.admit import admit as admit_model
    from weighbridge.admission.installation import Installation, Settings
    from weighbridge.admission.recording import decision_digest
    from weighbridge.vocabulary import ModelRef, UseContext

    with Installation(Settings(home=home), environment={}, clock=lambda: datetime.now(UTC)) as house:
        policy = house.policy(None)
        decision = admit_model(ModelRef(hub="local", name=str(model)), use=UseContext(), policy=policy, house=house)
    return decision_digest(decision)


def child(work: Callable[[], object], *, stopped: bool = False) -> tuple[int, int]:
    """Fork a child that runs `work` and writes its result, or error, as JSON to a pipe; gives pid and the pipe's end."""
    out, into = os.pipe()
    pid = os.fork()
    if pid:
        os.close(into)
        return pid, out
    os.close(out)
    if stopped:
        os.kill(os.getpid(), signal.SIGSTOP)
    try:
        told = json.dumps({"done": work()})
    except BaseException as problem:  # the harness wants to know whatever it was
        told = json.dumps({"raised": f"{type(problem).__name__}: {problem}"})
    os.write(into, told.encode())
    os._exit(0)


def finish(pid: int, out: int) -> dict[str, object]:
    """Wait for a child and read what it told; {} when it died silent."""
    with os.fdopen(out) as pipe:
        told = pipe.read()
    os.waitpid(pid, 0)
    return json.loads(told) if told.endswith("}") else {}


def traced(work: Callable[[], object], options: list[str]) -> dict[str, object]:
    """Run `work` in a forked child with strace attached to it."""
    pid, out = child(work, stopped=True)
    os.waitpid(pid, os.WUNTRACED)
    tracer = subprocess.Popen(["strace", "-qq", "-p", str(pid), *options], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 20
    while not re.search(r"TracerPid:\t[1-9]", Path(f"/proc/{pid}/status").read_text()):
        if time.monotonic() > deadline or tracer.poll() is not None:
            os.kill(pid, signal.SIGKILL)
            raise SystemExit(f"strace does not attach: {tracer.stderr.read() if tracer.stderr else ''}")
        time.sleep(0.002)
    os.kill(pid, signal.SIGCONT)
    told = finish(pid, out)
    tracer.communicate(timeout=60)
    return told


class Ground:
    """A home with one acknowledged decision, from which every point starts, and a second model to admit."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.first = write_model(folder / "first", "a.weight")
        self.second = write_model(folder / "second", "b.weight")
        self.home = folder / "home"
        self.acknowledged = str(self.forked(lambda: admit(self.home, self.first))["done"])
        self.counts = self.count()

    def forked(self, work: Callable[[], object]) -> dict[str, object]:
        return finish(*child(work))

    def fresh(self, name: str) -> Path:
        home = self.folder / name
        shutil.rmtree(home, ignore_errors=True)
        shutil.copytree(self.home, home, symlinks=True)
        return home

    def count(self) -> dict[str, int]:
        """How often an undisturbed admission makes each call."""
        home, log = self.fresh("count"), self.folder / "count.strace"
        told = traced(lambda: admit(home, self.second), ["-o", str(log), "-e", f"trace={','.join(WRITES)}"])
        if "done" not in told:
            raise SystemExit(f"the undisturbed admission failed: {told}")
        return dict(Counter(re.findall(r"^(?:\d+ +)?(\w+)\(", log.read_text(), re.MULTILINE)))

    def places(self) -> Iterator[tuple[str, int]]:
        """Every (call, N), once round."""
        for call, times in sorted(self.counts.items()):
            for number in range(1, times + 1):
                yield call, number


def examine(home: Path, ground: Ground, acknowledged: set[str]) -> list[str]:
    """Open the store again, as the next command would, and list what is not as it should be."""
    from weighbridge.admission.installation import Installation, Settings
    from weighbridge.admission.recall import recall_all
    from weighbridge.admission.verification import verify_installation
    from weighbridge.registry.recovery import collect_garbage

    problems = []
    began = time.monotonic()
    with Installation(Settings(home=home), environment={}, clock=lambda: datetime.now(UTC)) as house:
        known = [k.digest for k in recall_all(house, superseded=True)]
    problems += [f"acknowledged decision {digest[:12]} is lost" for digest in acknowledged - set(known)]
    orphans = collect_garbage(home / "registry", now=datetime.now(UTC), dry_run=True)
    if orphans.files or orphans.busy:
        problems.append(f"{orphans.files} files that nothing refers to, busy: {orphans.busy}")
    if took := [p.name for p in (home / "registry" / "staging").iterdir()]:
        problems.append(f"left in staging: {took}")
    final = admit(home, ground.second)
    if time.monotonic() - began > 20:
        problems.append(f"recovery and the next admission took {time.monotonic() - began:.1f} s")
    with Installation(Settings(home=home), environment={}, clock=lambda: datetime.now(UTC), writable=False) as house:
        after = [k.digest for k in recall_all(house, superseded=True)]
        report = verify_installation(house, checkpoint=None, key=None)
        problems += [f"verify: {a.check}: {a.message}" for a in report.answers if not a.passed]
    if sorted(after) != sorted({ground.acknowledged, final} | set(known)) or len(after) != 2:
        problems.append(f"{len(after)} decisions where 2 belong")
    return problems


def check(home: Path, ground: Ground, acknowledged: set[str]) -> list[str]:
    """`examine` in a fork, so that nothing is carried over; a failure of it is a problem, too."""
    told = ground.forked(lambda: examine(home, ground, acknowledged))
    found = told.get("done")
    return list(found) if isinstance(found, list) else [f"the store cannot be used: {told.get('raised', 'died')}"]


def kill_point(ground: Ground, place: tuple[str, int], slot: str) -> tuple[str, list[str]]:
    call, number = place
    home = ground.fresh(f"kill-{slot}")
    told = traced(
        lambda: admit(home, ground.second), ["-o", "/dev/null", "-e", f"inject={call}:signal=KILL:when={number}"]
    )
    acknowledged = {ground.acknowledged} | ({str(told["done"])} if "done" in told else set())
    return ("acknowledged" if "done" in told else "killed"), check(home, ground, acknowledged)


def error_point(ground: Ground, place: tuple[str, int], slot: str, errno: str) -> tuple[str, list[str]]:
    call, number = place
    home = ground.fresh(f"error-{slot}")
    told = traced(
        lambda: admit(home, ground.second), ["-o", "/dev/null", "-e", f"inject={call}:error={errno}:when={number}"]
    )
    acknowledged = {ground.acknowledged} | ({str(told["done"])} if "done" in told else set())
    problems = check(home, ground, acknowledged)
    if not told:
        problems.append("died without a word")
    elif "raised" in told and not re.match(
        r"(RegistryError|LogUnavailableError|SigningError|JailError|HubError)", str(told["raised"])
    ):
        problems.append(f"an error nobody can act on: {told['raised']}")
    return ("acknowledged" if "done" in told else "refused"), problems


def run_points(
    ground: Ground,
    places: list[tuple[str, int]],
    jobs: int,
    point: Callable[[tuple[str, int], str], tuple[str, list[str]]],
) -> Tally:
    """Run points in `jobs` worker processes; each has its own folder."""
    tally = Tally()
    pieces = [places[index::jobs] for index in range(jobs)]

    def work(index: int, piece: list[tuple[str, int]]) -> list[tuple[str, str, list[str]]]:
        done = []
        for place in piece:
            outcome, problems = point(place, str(index))
            done.append((f"{place[0]} {place[1]}", outcome, problems))
        return done

    children = [child(lambda index=index, piece=piece: work(index, piece)) for index, piece in enumerate(pieces)]
    with ThreadPoolExecutor(len(children)) as pool:
        for told in pool.map(lambda pair: finish(*pair), children):
            results = told.get("done")
            if not isinstance(results, list):
                raise SystemExit(f"a worker failed: {told}")
            for where, outcome, problems in results:
                tally.note(where, outcome, problems)
    return tally


def kill(ground: Ground, points: int, jobs: int) -> Tally:
    """SIGKILL at every place, over again until `points` are done; fewer points are spread evenly over the places."""
    places = list(ground.places())
    if points < len(places):
        chosen = [places[index * len(places) // points] for index in range(points)]
    else:
        chosen = (places * (points // len(places) + 1))[:points]
    return run_points(ground, chosen, jobs, lambda place, slot: kill_point(ground, place, slot))


def fail(ground: Ground, jobs: int, points: int | None = None) -> Tally:
    """ENOSPC and EIO once at every place (or at `points` of them, spread evenly)."""
    places = list(ground.places())
    if points and points < len(places):
        places = [places[index * len(places) // points] for index in range(points)]
    tally = Tally()
    for errno in ("ENOSPC", "EIO"):
        part = run_points(
            ground, places, jobs, lambda place, slot, errno=errno: error_point(ground, place, slot, errno)
        )
        tally.points += part.points
        tally.outcomes += part.outcomes
        tally.problems += [f"{errno} {problem}" for problem in part.problems]
    return tally


def report(title: str, tally: Tally, began: float) -> bool:
    seconds = time.monotonic() - began
    told = ", ".join(f"{count} {outcome}" for outcome, count in sorted(tally.outcomes.items()))
    print(f"{title:<8} {tally.points:5d} points   {told}   {len(tally.problems)} problems   {seconds:.0f} s")
    for problem in tally.problems[:20]:
        print(f"         {problem}")
    return not tally.problems


def main() -> int:
    options = argparse.ArgumentParser()
    options.add_argument("--points", type=int, default=1000)
    options.add_argument("--errors", action="store_true")
    options.add_argument("--power", action="store_true")
    options.add_argument("--jobs", type=int, default=2)
    args = options.parse_args()
    if shutil.which("strace") is None:
        print("strace is not installed")
        return 2
    preload()
    with tempfile.TemporaryDirectory(prefix="weighbridge-crash-") as folder:
        ground = Ground(Path(folder))
        print(f"one admission makes {sum(ground.counts.values())} such calls: {ground.counts}")
        began = time.monotonic()
        held = report("kill", kill(ground, args.points, args.jobs), began)
        if args.errors:
            began = time.monotonic()
            held &= report("errors", fail(ground, args.jobs), began)
        if args.power:
            from power_loss import replay

            began = time.monotonic()
            held &= report("power", replay(ground), began)
    return 0 if held else 1


def preload() -> None:
    """Import everything an admission uses, once, before forking."""
    import weighbridge.admission.admit
    import weighbridge.admission.recall
    import weighbridge.admission.verification  # noqa: F401

    with tempfile.TemporaryDirectory() as folder:
        model = write_model(Path(folder) / "m", "w")
        admit(Path(folder) / "home", model)


if __name__ == "__main__":
    sys.exit(main())
