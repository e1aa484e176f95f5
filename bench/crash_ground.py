"""Where crashes are tried: stores to begin from, admissions in forked children under strace, and the questions afterwards.

A `Ground` is a store in a known state and a model to admit into it. Every point begins from a fresh copy of that store, and
`check` asks of what is left: is every acknowledged decision there and valid, is any there twice or by half, does anything lie
around that nothing refers to, does the next admission succeed.
"""

from __future__ import annotations

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
from functools import cached_property
from pathlib import Path

WRITES = (
    "write", "pwrite64", "writev", "pwritev", "fsync", "fdatasync", "rename", "renameat", "renameat2", "link", "linkat",
    "unlink", "unlinkat", "mkdir", "mkdirat", "rmdir", "ftruncate", "fallocate", "copy_file_range", "sendfile", "fchmod",
    "chmod",
)  # fmt: skip

PATIENCE_S = 30.0
"""How long opening a store after a crash and admitting into it may take, on a machine that does other things too."""

Told = dict[str, object]
"""What a child told: `acknowledged`, the digest of a decision, then `done`, or `raised` with what it died of."""

Tell = Callable[[Told], None]
Work = Callable[[Tell], object]


class NoTracing(Exception):  # noqa: N818  # it says what this machine does not have
    """Nothing can be traced here."""


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

    def add(self, other: Tally) -> None:
        self.points += other.points
        self.outcomes += other.outcomes
        self.problems += other.problems


def workplace() -> str | None:
    """A folder in memory with room for a few stores, or None: what counts is which calls are made, not what a disk takes."""
    memory = Path("/dev/shm")
    fits = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 500_000_000
    return str(memory) if fits else None


def write_model(folder: Path, mark: str, weights: int = 4) -> Path:
    """A model of one tensor with `weights` numbers; other marks make other digests."""
    folder.mkdir(parents=True)
    size = 4 * weights
    header = json.dumps({mark: {"dtype": "F32", "shape": [weights], "data_offsets": [0, size]}}).encode()
    header += b" " * (-len(header) % 8)
    numbers = b"".join(number.to_bytes(4, "little") for number in range(min(weights, 1024)))
    data = (numbers * (size // len(numbers) + 1))[:size]
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + data)
    (folder / "config.json").write_text('{"model_type": "llama"}\n')
    return folder


def open_house(place: Path, *, writable: bool = True):
    """The installation whose home and copies of checkpoints lie in `place`."""
    from weighbridge.admission.installation import Installation, Settings

    settings = Settings(home=place / "home", checkpoint_folders=(place / "copies",))
    return Installation(settings, environment={}, clock=lambda: datetime.now(UTC), writable=writable)


def admit(place: Path, model: Path, tell: Tell = lambda _: None) -> str:
    """Admit in this process and give the digest of the decision, which is told as soon as there is one."""
    from weighbridge.admission.admit import admit as admit_model
    from weighbridge.admission.recording import decision_digest
    from weighbridge.vocabulary import ModelRef, UseContext

    with open_house(place) as house:
        ref = ModelRef(hub="local", name=str(model))
        digest = decision_digest(admit_model(ref, use=UseContext(), policy=house.policy(None), house=house))
        tell({"acknowledged": digest})
    return digest


def child(work: Work, *, stopped: bool = False) -> tuple[int, int]:
    """Fork a child that runs `work` and tells how it went, one JSON document a line, on a pipe; its pid and the pipe's end."""
    out, into = os.pipe()
    pid = os.fork()
    if pid:
        os.close(into)
        return pid, out
    os.close(out)

    def tell(told: Told) -> None:
        line = json.dumps(told).encode() + b"\n"
        try:
            os.write(into, line)
        except OSError:  # an error that strace put there comes once; this pipe is not what is tried
            os.write(into, line)

    try:
        if stopped:
            _let_anyone_trace()
            os.kill(os.getpid(), signal.SIGSTOP)
        try:
            tell({"done": work(tell)})
        except BaseException as problem:
            tell({"raised": f"{type(problem).__name__}: {problem}", "remedy": getattr(problem, "remedy", "")})
    finally:
        os._exit(0)


def finish(pid: int, out: int) -> Told:
    """Wait for a child and put together what it told; {} when it died silent."""
    with os.fdopen(out) as pipe:
        lines = pipe.read().split("\n")
    os.waitpid(pid, 0)
    told: Told = {}
    for line in lines[:-1]:
        told |= json.loads(line)
    return told


def forked(work: Work) -> Told:
    return finish(*child(work))


def traced(work: Work, options: list[str]) -> Told:
    """Run `work` in a forked child with strace attached to it.

    Raises:
        NoTracing: strace is not there, or the kernel does not let it trace.
    """
    if shutil.which("strace") is None:
        raise NoTracing("strace is not installed")
    pid, out = child(work, stopped=True)
    os.waitpid(pid, os.WUNTRACED)
    tracer = subprocess.Popen(["strace", "-qq", "-p", str(pid), *options], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + PATIENCE_S
    while not re.search(r"TracerPid:\t[1-9]", Path(f"/proc/{pid}/status").read_text()):
        if time.monotonic() > deadline or tracer.poll() is not None:
            os.kill(pid, signal.SIGKILL)
            said = tracer.stderr.read() if tracer.stderr else ""
            raise NoTracing(f"the kernel ptrace permission for strace is missing: {said}")
        time.sleep(0.002)
    os.kill(pid, signal.SIGCONT)
    told = finish(pid, out)
    tracer.communicate(timeout=60)
    return told


def _let_anyone_trace() -> None:
    """prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY): Yama lets a process be traced by its parents only, and strace is a sibling."""
    import ctypes

    ctypes.CDLL(None).prctl(0x59616D61, ctypes.c_ulong(-1), 0, 0, 0)


class Ground:
    """A store with one acknowledged decision, or no store at all, and a model to admit into it.

    `base` holds `home` and `copies`; `acknowledged` is what was decided there.
    """

    def __init__(self, folder: Path, *, founded: bool = True, weights: int = 4) -> None:
        self.name = folder.name
        self.folder = folder
        self.model = write_model(folder / "second", "b.weight", weights)
        self.base = folder / "base"
        (self.base / "copies").mkdir(parents=True)
        self.acknowledged: set[str] = set()
        if founded:
            # In this process, so that whatever an admission imports is there before anything is forked.
            self.acknowledged.add(admit(self.base, write_model(folder / "first", "a.weight")))

    def fresh(self, name: str) -> Path:
        """A copy of the store to begin from."""
        place = self.folder / name
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(self.base, place, symlinks=True)
        return place

    def places(self) -> Iterator[tuple[str, int]]:
        """Every (call, N), once round."""
        for call, times in sorted(self.counts.items()):
            for number in range(1, times + 1):
                yield call, number

    @cached_property
    def counts(self) -> Counter[str]:
        """How often an undisturbed admission of `model` makes each call."""
        place, log = self.fresh("count"), self.folder / "count.strace"
        told = traced(lambda tell: admit(place, self.model, tell), ["-o", str(log), "-e", f"trace={','.join(WRITES)}"])
        if "done" not in told:
            raise SystemExit(f"the undisturbed admission failed: {told}")
        return Counter(re.findall(r"^(?:\d+ +)?(\w+)\(", log.read_text(), re.MULTILINE))


def acknowledged_by(ground: Ground, told: Told) -> set[str]:
    return ground.acknowledged | ({str(told["acknowledged"])} if "acknowledged" in told else set())


def check(place: Path, ground: Ground, acknowledged: set[str]) -> tuple[int, list[str]]:
    """`examine` in a fork, so that nothing is carried over; a failure of it is a problem, too."""
    told = forked(lambda _: examine(place, ground, acknowledged))
    match told.get("done"):
        case [int(known), list(problems)]:
            return known, problems
    return 0, [f"the store cannot be used: {told.get('raised', 'the next command died without a word')}"]


def examine(place: Path, ground: Ground, acknowledged: set[str]) -> tuple[int, list[str]]:
    """Open the store again, as the next command would; how many decisions it has, and what is not as it should be."""
    began = time.monotonic()
    found, problems = _look(place, writable=True)
    problems += [f"acknowledged decision {digest[:12]} is lost" for digest in acknowledged - set(found)]
    problems += _left_over(place)
    final = admit(place, ground.model)
    if time.monotonic() - began > PATIENCE_S:
        problems.append(f"recovery and the next admission took {time.monotonic() - began:.1f} s")
    after, later = _look(place, writable=False)
    problems += later
    if sorted(after) != sorted({*ground.acknowledged, *found, final}) or len(after) != len(ground.acknowledged) + 1:
        problems.append(f"{len(after)} decisions where {len(ground.acknowledged) + 1} belong")
    kept = {path.name[-20:] for path in (place / "copies").iterdir()}
    exported = {path.name for path in (place / "home" / "registry" / "log" / "checkpoints").iterdir()}
    if kept != exported:
        problems.append(f"copies of checkpoints are {sorted(kept)}, exported are {sorted(exported)}")
    return len(found), problems


def _look(place: Path, *, writable: bool) -> tuple[list[str], list[str]]:
    """The digest of every decision, and what verification says against the store or one of them."""
    from weighbridge.admission.recall import recall_all
    from weighbridge.admission.verification import verify_decision, verify_installation

    with open_house(place, writable=writable) as house:
        _ = house.registry  # founds a store where there is none yet, and recovers one that was left
        known = recall_all(house, superseded=True)
        answers = list(verify_installation(house, checkpoint=None, key=None).answers) if known else []
        for decision in known:
            answers += verify_decision(house, decision, checkpoint=None, key=None).answers
    problems = [f"verify: {answer.check}: {answer.message}" for answer in answers if not answer.passed]
    return [decision.digest for decision in known], problems


def _left_over(place: Path) -> list[str]:
    """What lies in a store that is closed and recovered, and that nothing refers to."""
    from weighbridge.registry.recovery import collect_garbage

    registry = place / "home" / "registry"
    orphans = collect_garbage(registry, now=datetime.now(UTC), dry_run=True)
    problems = [f"{orphans.files} files that nothing refers to"] if orphans.files else []
    problems += ["the lock of the store is still held"] if orphans.busy else []
    staged = list((registry / "staging").iterdir())
    unfinished = [path for path in place.rglob("*") if path.is_file() and is_unfinished(path)]
    return problems + [f"left behind: {path.relative_to(place)}" for path in {*staged, *unfinished}]


def is_unfinished(path: Path) -> bool:
    """Whether a file has a name under which something is on its way, which no finished store holds."""
    return path.suffix == ".part" or ".building" in path.name or path.name.startswith(".signing-key")


def run_points(
    places: list[tuple[Ground, str, int]], jobs: int, point: Callable[[Ground, str, int, str], tuple[str, list[str]]]
) -> Tally:
    """Run `point(ground, call, number, slot)` for every place in `jobs` processes; each has a folder of its own."""
    tally = Tally()

    def work(index: int) -> list[tuple[str, str, list[str]]]:
        done = []
        for ground, call, number in places[index::jobs]:
            outcome, problems = point(ground, call, number, str(index))
            done.append((f"{ground.name}, {call} {number}", outcome, problems))
        return done

    for results in in_parallel(jobs, work):
        for where, outcome, problems in results:
            tally.note(where, outcome, problems)
    return tally


def in_parallel(jobs: int, work: Callable[[int], list]) -> Iterator[list]:
    """What `work(index)` gives in each of `jobs` processes."""
    children = [child(lambda _, index=index: work(index)) for index in range(jobs)]
    with ThreadPoolExecutor(jobs) as pool:
        for told in pool.map(lambda pair: finish(*pair), children):
            if not isinstance(told.get("done"), list):
                raise SystemExit(f"a worker failed: {told}")
            yield told["done"]


def spread(places: list, points: int | None) -> list:
    """`points` of the places, evenly spread, or over again until there are so many; all of them, once, where not given."""
    if points is None:
        return places
    return (
        [places[index % len(places)] for index in range(points)]
        if points >= len(places)
        else [places[index * len(places) // points] for index in range(points)]
    )


def temporary_folder() -> tempfile.TemporaryDirectory:
    return tempfile.TemporaryDirectory(prefix="weighbridge-crash-", dir=workplace())
