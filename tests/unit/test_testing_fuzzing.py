"""The check behind fuzzing notices each law that an examination may break."""

from __future__ import annotations

import time
from random import Random

import pytest

from weighbridge.errors import MalformedArtifactError
from weighbridge.formats.reading.contract import Format, Match, Reading, whole
from weighbridge.formats.reading.source import Source
from weighbridge.testing.fuzzing import CPU_LIMIT_S, MEMORY_LIMIT_BYTES, check
from weighbridge.testing.models import tiny_gguf, tiny_safetensors
from weighbridge.testing.mutations import SIZE_LIMIT_BYTES, mutate
from weighbridge.vocabulary import SpanKind


def trusting(source: Source) -> Reading:
    return Reading(spans=whole(SpanKind.HEADER, source, "fine"))


def short(_source: Source) -> Reading:
    return Reading(spans=())


def broken(_source: Source) -> Reading:
    raise IndexError("no such place")


def honest(_source: Source) -> Reading:
    raise MalformedArtifactError("not so")


def slow(source: Source) -> Reading:
    end = time.process_time() + CPU_LIMIT_S * 1.05
    while time.process_time() < end:
        pass
    return trusting(source)


def greedy(source: Source) -> Reading:
    bytearray(3 * MEMORY_LIMIT_BYTES)  # more than what earlier tests may have left free
    return trusting(source)


def problems(read: object, *, may_be_clean: bool = True, refusal: str = "") -> tuple[str, ...]:
    unit = Format(
        name="fake",
        title="fake",
        media_type="text/plain",
        version=1,
        may_hold_code=False,
        checks=(),
        references=(),
        sniff=lambda _source: Match.CERTAIN,
        read=read,  # type: ignore[arg-type]
    )
    trial = check(b"data", "a", formats={"fake": unit}, may_be_clean=may_be_clean, oracle=lambda *_: refusal)
    return trial.problems


def test_a_reader_that_keeps_the_laws_has_no_problem() -> None:
    assert problems(trusting) == ()
    assert problems(honest, may_be_clean=False) == ()


@pytest.mark.parametrize(
    ("read", "words"),
    [
        (short, "its spans end at byte 0 of 4"),
        (broken, "IndexError: no such place"),
        (slow, "s of processor time"),
        (greedy, "it needed more than 256 MiB"),
    ],
)
def test_a_broken_law_is_noticed(read: object, words: str) -> None:
    [problem] = problems(read)
    assert words in problem


def test_clean_is_believed_only_where_it_may_be_and_the_oracle_agrees() -> None:
    assert problems(trusting, may_be_clean=False) == ("it is clean for fake",)
    assert problems(trusting, refusal="nobody loads it") == ("it is clean for fake, but nobody loads it",)


def test_mutants_are_many_bounded_and_the_same_for_one_seed() -> None:
    donors = (tiny_safetensors(), tiny_gguf())
    first, second = ([mutate(donors[i % 2], Random(i), donors) for i in range(300)] for _ in range(2))
    assert first == second
    assert len(set(first)) > 250
    assert max(map(len, first)) <= SIZE_LIMIT_BYTES
