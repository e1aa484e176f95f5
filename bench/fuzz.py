"""Fuzzing of every reader, guided by coverage: whole examinations, held against the laws.

    .venv/bin/python -P bench/fuzz.py [--seconds 60 | --total-seconds 3600] [--format NAME] [--jobs 2] [--corpus DIR] [--record FILE]

One atheris process a format, with the readers instrumented. Every format that is found is fuzzed; inputs start from the samples of
the conformance suite and from hostile ones; half are bent by `weighbridge.testing.mutations`, half by libFuzzer. Each is examined
as the jailed child does and checked by `weighbridge.testing.fuzzing.check`: an answer that accounts for every byte, below 1 s of
processor time and 256 MB, no reader broken, nothing raised, and never clean where the bytes prove harm (`tests/fuzz/harm.py`,
which says what it cannot see). `--strict` asks more: clean only where the loader of `tests/fuzz/oracles.py` takes the file; some of
what that finds is a file that became something else, and harmless.

What breaks a law is examined again by itself, without instrumentation, and only then counts; it is written to
`tests/fuzz/finds/NAME/`, which the tests examine again. `--corpus` keeps what reached new code from one run to the next, `--record`
adds the counts of this run to those of earlier ones and prints their sum. Needs atheris (Python 3.11). Exits 1 where something
was found.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:] = [str(ROOT), *(entry for entry in sys.path if Path(entry or ".").resolve() != Path(__file__).parent)]

import argparse
import hashlib
import json
import os
import resource
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from weighbridge.testing.fuzzing import Oracle

FINDS = ROOT / "tests" / "fuzz" / "finds"
MOST_FINDS = 40
HEADINGS = (
    f"{'format':16}{'inputs':>11}{'examined':>11}{'clean':>9}{'CPU s':>8}{'slowest s':>11}{'peak MiB':>10}{'finds':>7}"
)


@dataclass
class Tally:
    """What one process did. Times in seconds of processor time; the peak is of the whole process, corpus and instrumentation too."""

    executions: int = 0
    examinations: int = 0
    clean: int = 0
    cpu_s: float = 0.0
    slowest_s: float = 0.0
    peak_mib: int = 0
    finds: int = 0

    def __add__(self, other: Tally) -> Tally:
        """Both together."""
        return Tally(
            self.executions + other.executions,
            self.examinations + other.examinations,
            self.clean + other.clean,
            self.cpu_s + other.cpu_s,
            max(self.slowest_s, other.slowest_s),
            max(self.peak_mib, other.peak_mib),
            self.finds + other.finds,
        )

    def row(self, form: str) -> str:
        counts = f"{self.executions:11,}{self.examinations:11,}{self.clean:9,}{self.cpu_s:8,.0f}"
        return f"{form:16}{counts}{self.slowest_s:11.3f}{self.peak_mib:10,}{self.finds:7}"


def oracle_of(form: str, path: str, *, is_strict: bool) -> Oracle:
    from tests.fuzz.harm import harm_of
    from tests.fuzz.oracles import LOADERS, loader_of

    return (LOADERS.get(form) or loader_of(path)) if is_strict else harm_of


def search(form: str, seconds: int, folder: Path, corpus: Path, *, is_strict: bool) -> None:
    """Fuzz one format in this process; does not return. The tally and the finds are written to `folder`."""
    import atheris

    with atheris.instrument_imports(include=["weighbridge.formats", "weighbridge.inspection"]):
        from weighbridge.testing.fuzzing import check
    from tests.fuzz.seeds import PATHS, seeds
    from weighbridge.testing.mutations import mutate

    tally, known, donors = Tally(), set[str](), seeds(form)
    oracles = {path: oracle_of(form, path, is_strict=is_strict) for path in PATHS[form]}
    for number, data in enumerate(donors):
        (corpus / f"seed{number}").write_bytes(data)
    written = time.monotonic()

    def examine(data: bytes) -> None:
        nonlocal written
        tally.executions += 1
        for path, oracle in oracles.items():
            try:
                trial = check(data, path, oracle=oracle)
                problems, cpu_s = trial.problems, trial.cpu_s
                tally.clean += trial.is_clean
            except Exception as raised:
                problems, cpu_s = (f"{type(raised).__name__}: {raised}",), 0.0
            tally.examinations += 1
            tally.slowest_s = max(tally.slowest_s, cpu_s)
            if problems and problems[0][:60] not in known and len(known) < MOST_FINDS:
                known.add(problems[0][:60])
                (folder / f"{hashlib.sha256(data).hexdigest()[:16]}.bin").write_bytes(data)
        if time.monotonic() > written + 0.5:
            written = time.monotonic()
            tally.cpu_s = time.process_time()
            tally.peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
            (folder / "tally.json").write_text(json.dumps(asdict(tally)))

    def bend(data: bytes, max_size: int, seed: int) -> bytes:
        rng = Random(seed)
        if rng.random() < 0.5:
            return atheris.Mutate(data, max_size)
        return mutate(data if rng.random() < 0.8 else rng.choice(donors), rng, donors)[:max_size]

    flags = [
        f"-max_total_time={seconds}",
        "-max_len=65536",
        "-len_control=0",
        "-timeout=30",
        "-rss_limit_mb=0",
        "-verbosity=0",
    ]
    atheris.Setup(["fuzz", str(corpus), *flags, f"-artifact_prefix={folder}/"], examine, custom_mutator=bend)
    atheris.Fuzz()


def confirm(form: str, find: Path, *, is_strict: bool) -> list[str]:
    """The laws that one input breaks in a process of its own, without instrumentation."""
    command = [sys.executable, "-P", __file__, "--confirm", form, str(find), *(["--strict"] if is_strict else [])]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    return run.stdout.splitlines() if run.returncode == 0 else [f"the examination died: {run.stderr[-300:]}"]


def fuzz(form: str, seconds: int, options: argparse.Namespace) -> tuple[Tally, list[str]]:
    """Search, then confirm; gives what was counted, and a line for every find."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        corpus = (options.corpus or folder / "corpus") / form
        corpus.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-P", __file__, "--search", form, name, str(corpus), "--seconds", str(seconds)]
        command += ["--strict"] if options.strict else []
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        lines = [] if run.returncode == 0 else [f"{form}: the fuzzing process died: {run.stderr[-600:]}"]
        counted = folder / "tally.json"
        tally = Tally(**json.loads(counted.read_text())) if counted.exists() else Tally()
        for find in sorted([*folder.glob("*.bin"), *folder.glob("crash-*"), *folder.glob("timeout-*")]):
            problems = confirm(form, find, is_strict=options.strict)
            tally.finds += bool(problems)
            lines += [f"{form}: {find.stem}: {problem}" for problem in problems]
            if problems and not options.no_save:
                (FINDS / form).mkdir(parents=True, exist_ok=True)
                digest = hashlib.sha256(find.read_bytes()).hexdigest()[:16]
                (FINDS / form / f"{digest}.bin").write_bytes(find.read_bytes())
    print(tally.row(form), flush=True)
    return tally, lines


def print_confirmed(form: str, find: Path, *, is_strict: bool) -> None:
    from tests.fuzz.seeds import PATHS
    from weighbridge.testing.fuzzing import check

    for path in PATHS[form]:
        oracle = oracle_of(form, path, is_strict=is_strict)
        for problem in check(find.read_bytes(), path, oracle=oracle).problems:
            print(f"{path}: {problem!r}")


def record(path: Path, tallies: dict[str, Tally]) -> None:
    """Add the counts to those in the file, and print the sum."""
    known = json.loads(path.read_text()) if path.exists() else {}
    total = {form: Tally(**counts) for form, counts in known.items()}
    for form, tally in tallies.items():
        total[form] = total.get(form, Tally()) + tally
    path.write_text(json.dumps({form: asdict(tally) for form, tally in total.items()}, indent=1))
    print(f"\nwith earlier runs\n{HEADINGS}", *(tally.row(form) for form, tally in total.items()), sep="\n")
    print(sum(total.values(), Tally()).row("all"))


def parse_options(forms: tuple[str, ...]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=60, help="for each format")
    parser.add_argument("--total-seconds", type=int, help="for all formats together, in place of --seconds")
    parser.add_argument("--format", action="append", choices=forms, help="only this one; may be repeated")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--strict", action="store_true", help="clean only where a real loader takes the file")
    parser.add_argument("--corpus", type=Path, help="keep what reached new code here")
    parser.add_argument("--record", type=Path, help="a JSON file of counts that this run is added to")
    parser.add_argument("--no-save", action="store_true", help="do not write what is found to tests/fuzz/finds")
    parser.add_argument("--search", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--confirm", nargs=2, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> int:
    if "--search" in sys.argv[1:]:  # before a reader is imported, so that it can be instrumented
        options = parse_options(())
        form, folder, corpus = options.search
        search(form, options.seconds, Path(folder), Path(corpus), is_strict=options.strict)
    from tests.fuzz.seeds import FORMATS

    options = parse_options(FORMATS)
    if options.confirm:
        print_confirmed(options.confirm[0], Path(options.confirm[1]), is_strict=options.strict)
        return 0
    forms = options.format or list(FORMATS)
    seconds = max(1, options.total_seconds // len(forms)) if options.total_seconds else options.seconds
    print(HEADINGS, flush=True)
    with ThreadPoolExecutor(options.jobs) as pool:
        results = dict(zip(forms, pool.map(lambda form: fuzz(form, seconds, options), forms), strict=True))
    print(sum((tally for tally, _ in results.values()), Tally()).row("all"))
    if options.record:
        record(options.record, {form: tally for form, (tally, _) in results.items()})
    lines = [line for _, found in results.values() for line in found]
    print(*lines, sep="\n", file=sys.stderr)
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
