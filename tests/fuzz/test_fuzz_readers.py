"""Cut and mutated files, whole examination: an answer in bounds, and clean only where a real loader takes the file too.

`bench/fuzz.py` searches for minutes, guided by coverage; what it found lies in `finds/` and is examined again here.
"""

from __future__ import annotations

import subprocess
import sys
import zlib
from pathlib import Path
from random import Random

import pytest

from tests.conformance.sample import Sample
from tests.conformance.test_formats import CASES
from tests.fuzz.harm import harm_of
from tests.fuzz.oracles import LOADERS, loader_of
from tests.fuzz.seeds import FORMATS, PATHS, seeds
from weighbridge.formats.reading.contract import Format
from weighbridge.testing.fuzzing import built_in_formats, check
from weighbridge.testing.mutations import mutate

FINDS = Path(__file__).parent / "finds"
FOUND = sorted(FINDS.glob("*/*.bin"))
MUTANTS = 300
every_format = pytest.mark.parametrize("form", FORMATS)
every_whole = pytest.mark.parametrize(
    "sample",
    [pytest.param(s, id=f"{unit.name}-{s.name}") for unit, s in CASES if s.is_whole_only and unit.name in LOADERS],
)


def problems_of(data: bytes, form: str) -> list[str]:
    """What is wrong with the examination of one input under every name that its format goes by."""
    oracle = LOADERS.get(form)
    return [
        f"{path}: {p}" for path in PATHS[form] for p in check(data, path, oracle=oracle or loader_of(path)).problems
    ]


def test_every_built_in_format_is_fuzzed() -> None:
    assert set(FORMATS) == {name for name, unit in built_in_formats().items() if isinstance(unit, Format)}


@every_format
def test_the_seeds_themselves_keep_the_laws(form: str) -> None:
    assert [(data[:40], problem) for data in seeds(form) for problem in problems_of(data, form)] == []


@pytest.mark.parametrize("form", [form for form in FORMATS if form != "unknown"])
def test_some_seeds_are_clean(form: str) -> None:
    """Where nothing is ever clean, no oracle is ever asked."""
    clean = [data for data in seeds(form) if any(check(data, path).is_clean for path in PATHS[form])]
    assert clean


@every_whole
def test_a_file_cut_anywhere_is_never_clean(sample: Sample) -> None:
    ends = range(len(sample.data))
    trials = {end: check(sample.data[:end], sample.path, may_be_clean=False) for end in ends}
    assert {end: trial.problems for end, trial in trials.items() if trial.problems} == {}


@every_format
def test_mutants_keep_the_laws(form: str) -> None:
    rng = Random(zlib.crc32(form.encode()))
    donors = seeds(form)
    broken = {}
    for number in range(MUTANTS):
        data = mutate(rng.choice(donors), rng, donors)
        if problems := problems_of(data, form):
            broken[number] = (data[:400], problems)
    assert broken == {}


@pytest.mark.parametrize("find", FOUND, ids=[f"{path.parent.name}-{path.stem[:12]}" for path in FOUND])
def test_what_fuzzing_found_stays_mended(find: Path) -> None:
    data = find.read_bytes()
    assert [check(data, path, oracle=harm_of).problems for path in PATHS[find.parent.name]] == [()] * len(
        PATHS[find.parent.name]
    )


def test_fuzzing_runs() -> None:
    """The coverage-guided search itself, for a few seconds."""
    pytest.importorskip(
        "atheris", reason="atheris is not installed: it has wheels for Python 3.11 on x86_64 Linux only"
    )
    script = Path(__file__).parent.parent.parent / "bench" / "fuzz.py"
    command = [sys.executable, str(script), "--seconds", "8", "--format", "gguf", "--no-save"]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert run.returncode == 0, run.stdout + run.stderr
    row = next(line for line in run.stdout.splitlines() if line.startswith("gguf"))
    assert int(row.split()[1].replace(",", "")) > 200
