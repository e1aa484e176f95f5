"""Fuzzing of every reader, guided by coverage: whole examinations, held against the laws and against real loaders.

    .venv/bin/python bench/fuzz.py [--seconds 60] [--format NAME] [--jobs 2] [--no-save]

One atheris process a format, with the readers instrumented. Inputs start from the samples of the conformance suite and from
hostile ones; half are bent by `weighbridge.testing.mutations`, half by libFuzzer. Each is examined as the jailed child does and
checked by `weighbridge.testing.fuzzing.check`: an answer that accounts for every byte, below 1 s of processor time and 256 MB,
no reader broken, and clean only where the loader of `tests/fuzz/oracles.py` takes the file. What breaks a law is examined again
by itself, without instrumentation, and only then counts; it is written to `tests/fuzz/finds/NAME/`, which the tests examine
again. Needs atheris (Python 3.11). Exits 1 where something was found.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[0] = str(ROOT)  # the repository in place of this folder, whose inspect.py would hide the standard library's

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

FINDS = ROOT / "tests" / "fuzz" / "finds"
FORMATS = ("safetensors", "gguf", "pickle", "torch_zip", "torch_legacy", "text", "unknown")
MOST_FINDS = 40


@dataclass
class Tally:
    """What one process did. Times in seconds of processor time; the peak is of the whole process, corpus and instrumentation too."""

    executions: int = 0
    examinations: int = 0
    clean: int = 0
    slowest_s: float = 0.0
    peak_mib: int = 0
    finds: int = 0


def search(form: str, seconds: int, folder: Path) -> None:
    """Fuzz one format in this process; does not return. The tally and the finds are written to `folder`."""
    import atheris

    with atheris.instrument_imports(include=["weighbridge.formats", "weighbridge.inspection"]):
        from weighbridge.testing.fuzzing import check
    from tests.fuzz.oracles import LOADERS, loader_of
    from tests.fuzz.seeds import PATHS, seeds
    from weighbridge.testing.mutations import mutate

    tally, known, donors = Tally(), set[str](), seeds(form)
    corpus = folder / "corpus"
    corpus.mkdir()
    for number, data in enumerate(donors):
        (corpus / f"{number}").write_bytes(data)
    written = time.monotonic()

    def examine(data: bytes) -> None:
        nonlocal written
        tally.executions += 1
        for path in PATHS[form]:
            try:
                trial = check(data, path, oracle=LOADERS.get(form) or loader_of(path))
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


def confirm(form: str, find: Path) -> list[str]:
    """The laws that one input breaks in a process of its own, without instrumentation."""
    run = subprocess.run(
        [sys.executable, __file__, "--confirm", form, str(find)], capture_output=True, text=True, check=False
    )
    return run.stdout.splitlines() if run.returncode == 0 else [f"the examination died: {run.stderr[-300:]}"]


def fuzz(form: str, seconds: int, *, save: bool) -> tuple[Tally, list[str]]:
    """Search, then confirm; gives what was counted, and a line for every find."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        command = [sys.executable, __file__, "--search", form, str(folder), "--seconds", str(seconds)]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        lines = [] if run.returncode == 0 else [f"{form}: the fuzzing process died: {run.stderr[-600:]}"]
        tally = (
            Tally(**json.loads((folder / "tally.json").read_text())) if (folder / "tally.json").exists() else Tally()
        )
        for find in sorted([*folder.glob("*.bin"), *folder.glob("crash-*"), *folder.glob("timeout-*")]):
            problems = confirm(form, find)
            tally.finds += bool(problems)
            lines += [f"{form}: {find.stem}: {problem}" for problem in problems]
            if problems and save:
                (FINDS / form).mkdir(parents=True, exist_ok=True)
                digest = hashlib.sha256(find.read_bytes()).hexdigest()[:16]
                (FINDS / form / f"{digest}.bin").write_bytes(find.read_bytes())
    return tally, lines


def print_confirmed(form: str, find: Path) -> None:
    from tests.fuzz.oracles import LOADERS, loader_of
    from tests.fuzz.seeds import PATHS
    from weighbridge.testing.fuzzing import check

    for path in PATHS[form]:
        for problem in check(find.read_bytes(), path, oracle=LOADERS.get(form) or loader_of(path)).problems:
            print(f"{path}: {problem!r}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=60, help="for each format")
    parser.add_argument("--format", action="append", choices=FORMATS, help="only this one; may be repeated")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--no-save", action="store_true", help="do not write what is found to tests/fuzz/finds")
    parser.add_argument("--search", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--confirm", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.search:
        search(options.search[0], options.seconds, Path(options.search[1]))
    if options.confirm:
        print_confirmed(options.confirm[0], Path(options.confirm[1]))
        return 0
    forms = options.format or list(FORMATS)
    with ThreadPoolExecutor(options.jobs) as pool:
        results = dict(
            zip(forms, pool.map(lambda f: fuzz(f, options.seconds, save=not options.no_save), forms), strict=True)
        )
    print(f"{'format':14}{'inputs':>12}{'examined':>12}{'clean':>10}{'slowest s':>11}{'peak MiB':>10}{'finds':>7}")
    for form, (tally, _) in results.items():
        numbers = f"{tally.executions:12,}{tally.examinations:12,}{tally.clean:10,}{tally.slowest_s:11.3f}"
        print(f"{form:14}{numbers}{tally.peak_mib:10,}{tally.finds:7}")
    lines = [line for _, found in results.values() for line in found]
    print(*lines, sep="\n", file=sys.stderr)
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
