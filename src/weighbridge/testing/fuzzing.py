"""Mutated and hostile files, and the one check that the examination of any such file must pass."""

from __future__ import annotations

import gc
import resource
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from functools import cache
from pathlib import Path

from weighbridge.errors import MalformedArtifactError
from weighbridge.formats.reading.contract import Format
from weighbridge.inspection import judgements
from weighbridge.inspection.examine import encode_examined, examine_source
from weighbridge.inspection.examined import FALLBACK, Examined, read_examined
from weighbridge.jail.terms import Limits
from weighbridge.plugins import find_units
from weighbridge.testing.models import source_of
from weighbridge.vocabulary import Outcome

CPU_LIMIT_S = 1.0
"""Processor time that one file may take, reader, account and answer together."""

PACE_S = 0.06
"""What the loop of `pace` takes where CPU_LIMIT_S was set: one core of a quiet machine of 2026."""

MEMORY_LIMIT_BYTES = 256 << 20
"""Address space beyond what the process has before the file is looked at."""

Oracle = Callable[[bytes, str], str]
"""Whether a real loader takes a file of this name: empty where it does and nothing runs, else why not."""

_OPEN = {Outcome.FAIL, Outcome.UNKNOWN, Outcome.ERROR}
_ALWAYS = (judgements.RECOGNISED, judgements.ACCOUNTED, judgements.ON_LOAD)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """How the examination of one file went. `problems` are the laws that it broke; none is how it should be.

    `is_clean`: every byte is explained and no finding is open. `readers` are empty where there was no answer.
    """

    problems: tuple[str, ...]
    is_clean: bool
    cpu_s: float
    readers: tuple[str, ...] = ()


@cache
def built_in_formats() -> Mapping[str, Format]:
    """Every format that is found, by name."""
    return find_units("formats", Format).found


def check(
    data: bytes,
    path: str,
    *,
    oracle: Oracle | None = None,
    may_be_clean: bool = True,
    formats: Mapping[str, Format] | None = None,
) -> Trial:
    """Examine bytes as the jailed child does, as a file named `path`, and hold the answer against the laws.

    The laws: an answer, whatever the bytes; it is about this file and accounts for each of its bytes once; it says what the
    file is, where its bytes went and whether loading it runs code; no reader broke; it took below CPU_LIMIT_S (the best
    of three counts where it did not: the others may have met a busy machine) and MEMORY_LIMIT_BYTES; and it is clean only
    where `may_be_clean` and the oracle takes the file too. Nothing but MemoryError may be raised; anything else comes out
    of here as it is. `formats` are those that are found, unless given.
    """
    found = built_in_formats() if formats is None else formats
    trial = _check_once(data, path, found)
    for _ in range(2):
        if trial.cpu_s > CPU_LIMIT_S:
            with _alone():
                trial = _check_once(data, path, found)
    problems = list(trial.problems)
    if trial.cpu_s > CPU_LIMIT_S and trial.cpu_s > CPU_LIMIT_S * pace():
        problems.append(f"it took {trial.cpu_s:.2f} s of processor time")
    if trial.is_clean and not may_be_clean:
        problems.append(f"it is clean for {' and '.join(trial.readers)}")
    elif trial.is_clean and oracle and (refusal := oracle(data, path)):
        problems.append(f"it is clean for {' and '.join(trial.readers)}, but {refusal}")
    return Trial(problems=tuple(problems), is_clean=trial.is_clean, cpu_s=trial.cpu_s, readers=trial.readers)


def pace() -> float:
    """How many times slower than where the limit was set this machine is just now, at least 1: processor time of a fixed loop."""
    started = time.process_time()
    total = 0
    for number in range(1_000_000):
        total += number & 7
    return max(1.0, (time.process_time() - started) / PACE_S)


def _check_once(data: bytes, path: str, formats: Mapping[str, Format]) -> Trial:
    with source_of(data, path) as source:
        started = time.process_time()
        try:
            with _room(MEMORY_LIMIT_BYTES):
                examined = examine_source(source, formats)
                answer = encode_examined(examined, source)
        except MemoryError:
            took_s = time.process_time() - started
            problem = f"it needed more than {MEMORY_LIMIT_BYTES >> 20} MiB"
            return Trial(problems=(problem,), is_clean=False, cpu_s=took_s)
        took_s = time.process_time() - started
    try:
        said = read_examined(answer, path=path, size_bytes=len(data))
    except MalformedArtifactError as problem:
        return Trial(problems=(f"the parent refuses the answer: {problem}",), is_clean=False, cpu_s=took_s)
    problems = tuple(_broken_laws(said, answer))
    return Trial(problems=problems, is_clean=is_clean(said), cpu_s=took_s, readers=said.readers)


def is_clean(said: Examined) -> bool:
    """Whether an answer says that all is well: no open finding, no byte unread or unexplained, a known format."""
    is_open = any(finding.outcome in _OPEN for finding in said.findings)
    left = said.account.unexplained_bytes + said.account.unread_bytes
    return not is_open and not left and not said.unread and FALLBACK not in said.readers


def _broken_laws(said: Examined, answer: bytes) -> Iterator[str]:
    inner = {f for f in said.findings if any("!" in place.artifact for place in f.evidence)}
    checks = [finding.check for finding in said.findings if finding not in inner or finding.check == _ALWAYS[-1]]
    yield from (f"nothing says {check}" for check in _ALWAYS if check not in checks)
    yield from (f"{check} is said {checks.count(check)} times" for check in _ALWAYS[:2] if checks.count(check) > 1)
    for finding in said.findings:
        if finding.outcome is Outcome.ERROR:
            excerpt = finding.evidence[0].excerpt if finding.evidence else ""
            yield f"{finding.check}: {finding.message} ({excerpt})"
    if any(not isinstance(number, int) for number in astuple(said.account)):
        yield "the account does not hold numbers"
    if len(answer) > Limits().answer_bytes:
        yield f"the answer has {len(answer):,} bytes"


@contextmanager
def _alone() -> Iterator[None]:
    """Without the objects of other tests: the jailed child has none, a test process may have millions to go through."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@contextmanager
def _room(size_bytes: int) -> Iterator[None]:
    """While this is entered, the process may grow by so many bytes of address space."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    wanted = pages * resource.getpagesize() + size_bytes
    ceilings = [limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_AS, (min([wanted, *ceilings]), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
