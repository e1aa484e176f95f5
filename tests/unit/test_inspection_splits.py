"""The parts of a split GGUF model: all there, and of one mind."""

from __future__ import annotations

import pytest

from weighbridge.inspection.splits import judge_splits
from weighbridge.vocabulary import Fact, Header, Outcome, Severity, Tensor


def part(
    number: int, *, of: int = 3, path: str = "", tensors: int | None = 3, name: str = "", **changed: int | None
) -> Header:
    said = {"no": number, "count": of, "tensors": tensors} | changed
    keys = {"no": "split.no", "count": "split.count", "tensors": "split.tensors.count"}
    return Header(
        path=path or f"m/q4-{number + 1:05}-of-{of:05}.gguf",
        format="gguf",
        metadata=tuple(Fact(name=keys[k], value=str(v)) for k, v in said.items() if v is not None),
        tensors=(Tensor(name=name or f"t{number}", dtype="F32", shape=(1,), size_bytes=4),),
    )


WHOLE = [part(0), part(1), part(2)]


def grade(*headers: Header) -> tuple[Outcome, Severity]:
    [finding] = judge_splits(headers)
    assert {e.artifact for e in finding.evidence} <= {header.path for header in headers}
    return finding.outcome, finding.severity


def test_all_parts_pass_in_any_order_and_one_file_is_not_asked() -> None:
    assert grade(*WHOLE) == grade(*WHOLE[::-1]) == (Outcome.PASS, Severity.INFO)
    assert judge_splits([Header(path="m.gguf", format="gguf")]) == []
    assert judge_splits([Header(path="m-00001-of-00002.safetensors", format="safetensors")]) == []
    assert len(judge_splits([*WHOLE, part(0, path="n/q4-00001-of-00003.gguf")])) == 2


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_a_missing_part_is_an_open_question(missing: int) -> None:
    left = [header for number, header in enumerate(WHOLE) if number != missing]
    [finding] = judge_splits(left)
    assert (finding.outcome, finding.severity) == (Outcome.UNKNOWN, Severity.HIGH)
    assert finding.message.endswith(f"not here: {missing + 1}")


def test_a_part_under_another_name_is_an_open_question() -> None:
    assert grade(part(0, path="renamed.gguf")) == (Outcome.UNKNOWN, Severity.HIGH)
    assert grade(part(0, count=60_000)) == (Outcome.FAIL, Severity.HIGH)
    assert grade(part(0, path="renamed.gguf", count=60_000))[0] is Outcome.UNKNOWN


def test_parts_that_do_not_say_which_they_are_are_an_open_question() -> None:
    mute = [part(number, no=None, count=None, tensors=None) for number in range(3)]
    assert grade(*mute) == (Outcome.UNKNOWN, Severity.MEDIUM)


@pytest.mark.parametrize(
    "odd",
    [
        part(2, count=4),
        part(2, no=1),
        part(2, tensors=9),
        part(2, name="t1"),
        part(2, no=3),
    ],
)
def test_parts_that_contradict_each_other_are_refused(odd: Header) -> None:
    assert grade(WHOLE[0], WHOLE[1], odd) == (Outcome.FAIL, Severity.HIGH)


def test_tensors_too_few_are_refused() -> None:
    assert grade(*(part(number, tensors=4) for number in range(3))) == (Outcome.FAIL, Severity.HIGH)


def test_more_parts_than_there_are_are_refused() -> None:
    assert grade(*WHOLE, part(3, tensors=3)) == (Outcome.FAIL, Severity.HIGH)
