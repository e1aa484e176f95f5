"""Inside the jail: whose file it is, what its reader said, and what inspection adds to it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from weighbridge.errors import MalformedArtifactError
from weighbridge.formats.reading.contract import Format, Match, Reading
from weighbridge.formats.reading.source import Source
from weighbridge.formats.reading.spans import Span
from weighbridge.inspection.examine import TENSOR_LIMIT, encode_examined, equip, examine_source, prepare
from weighbridge.inspection.examined import Equipment, Examined, read_examined
from weighbridge.registry import wire
from weighbridge.vocabulary import Evidence, Fact, Finding, Header, Outcome, Severity, SpanKind, Tensor

CONTENT = b"HEAD" + b"\x00" * 4 + b"\xde\xad<hidden>"


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Source]:
    path = tmp_path / "weights"
    path.write_bytes(CONTENT)
    fd = os.open(path, os.O_RDONLY)
    yield Source(fd, path="weights", size_bytes=len(CONTENT))
    os.close(fd)


def spans(*parts: tuple[int, int, SpanKind]) -> tuple[Span, ...]:
    return tuple(Span(start=start, end=end, kind=kind, note="noted") for start, end, kind in parts)


WHOLE = spans((0, len(CONTENT), SpanKind.HEADER))


def unit(
    name: str,
    match: Match | Exception = Match.CERTAIN,
    reading: Reading | Exception | None = None,
    *,
    may_hold_code: bool = False,
) -> Format:
    def give(value: object) -> Callable[[Source], object]:
        def function(_source: Source) -> object:
            if isinstance(value, BaseException):
                raise value
            return value

        return function

    return Format(
        name=name,
        title=name.title(),
        media_type="application/octet-stream",
        version=3,
        may_hold_code=may_hold_code,
        checks=(),
        references=(),
        sniff=give(match),  # type: ignore[arg-type]
        read=give(Reading(spans=WHOLE) if reading is None else reading),  # type: ignore[arg-type]
    )


def finding(check: str, outcome: Outcome = Outcome.PASS) -> Finding:
    return Finding(check=check, outcome=outcome, severity=Severity.INFO, message="said", evidence=())


def examine(source: Source, *units: Format) -> Examined:
    said = examine_source(source, {unit.name: unit for unit in units})
    assert read_examined(wire.encode(said), path="weights", size_bytes=len(CONTENT)) == said
    return said


def outcomes(said: Examined) -> dict[str, Outcome]:
    assert len({f.check for f in said.findings}) == len(said.findings)
    return {f.check: f.outcome for f in said.findings}


def test_a_sound_file_of_a_format_without_code(source: Source) -> None:
    said = examine(source, unit("plain"), unit("other", Match.NO))
    assert said.readers == ("plain",)
    assert outcomes(said) == {
        "format.recognised": Outcome.PASS,
        "bytes.accounted": Outcome.PASS,
        "code.on-load": Outcome.PASS,
    }
    messages = {f.check: f.message for f in said.findings}
    assert messages["bytes.accounted"] == f"{len(CONTENT)} header, 0 tensor, 0 padding bytes; 0 unexplained"
    assert messages["code.on-load"] == "a plain file holds no code"
    assert {f.severity for f in said.findings} == {Severity.INFO}


def test_the_highest_match_reads(source: Source) -> None:
    said = examine(source, unit("a", Match.FALLBACK), unit("b", Match.LIKELY), unit("c", Match.CERTAIN))
    assert said.readers == ("c",)


def test_a_fallback_goes_before_unknown_and_is_alone(source: Source) -> None:
    units = [unit("text", Match.FALLBACK), unit("unknown", Match.FALLBACK), unit("zeta", Match.FALLBACK)]
    assert examine(source, *units).readers == ("text",)


@pytest.mark.parametrize("match", [Match.NO, Match.FALLBACK])
def test_unknown_takes_what_nobody_wants(source: Source, match: Match) -> None:
    reading = Reading(spans=spans((0, len(CONTENT), SpanKind.UNREAD)), findings=(finding("code.on-load"),))
    said = examine(source, unit("other", Match.NO), unit("unknown", match, reading, may_hold_code=True))
    assert said.readers == ("unknown",)
    assert outcomes(said)["format.recognised"] is Outcome.UNKNOWN
    assert outcomes(said)["bytes.accounted"] is Outcome.UNKNOWN
    assert [(u.path, u.size_bytes, u.reason) for u in said.unread] == [("weights", len(CONTENT), "noted")]


def test_without_any_format_nothing_counts_as_read(source: Source) -> None:
    said = examine(source)
    assert said.readers == ("unknown",)
    assert set(outcomes(said).values()) == {Outcome.UNKNOWN}
    assert said.account.unread_bytes == len(CONTENT)


def test_two_certain_formats_are_a_failure_and_both_are_heard(source: Source) -> None:
    bad = Reading(spans=WHOLE, findings=(finding("code.on-load", Outcome.FAIL),))
    said = examine(source, unit("innocent"), unit("loaded", reading=bad, may_hold_code=True))
    assert set(said.readers) == {"innocent", "loaded"}
    assert outcomes(said)["format.ambiguous"] is Outcome.FAIL
    assert outcomes(said)["code.on-load"] is Outcome.FAIL
    [ambiguous] = [f for f in said.findings if f.check == "format.ambiguous"]
    assert ambiguous.severity is Severity.HIGH
    assert "innocent" in ambiguous.message
    assert "loaded" in ambiguous.message


def test_a_code_free_reader_does_not_speak_for_the_other_one(source: Source) -> None:
    said = examine(source, unit("innocent"), unit("silent", may_hold_code=True))
    assert outcomes(said)["code.on-load"] is Outcome.UNKNOWN


def test_two_likely_formats_are_unknown(source: Source) -> None:
    said = examine(source, unit("a", Match.LIKELY), unit("b", Match.LIKELY))
    assert outcomes(said)["format.ambiguous"] is Outcome.UNKNOWN


def test_a_reader_that_may_find_code_must_say_so(source: Source) -> None:
    silent = examine(source, unit("pickle", may_hold_code=True))
    assert outcomes(silent)["code.on-load"] is Outcome.UNKNOWN
    spoke = Reading(spans=WHOLE, findings=(finding("code.on-load"),))
    assert outcomes(examine(source, unit("pickle", reading=spoke, may_hold_code=True)))["code.on-load"] is Outcome.PASS


def test_malformed_is_a_failure_at_its_place_and_unread(source: Source) -> None:
    problem = MalformedArtifactError("overlap\x1b[31m", locator="byte 61")
    said = examine(source, unit("plain", reading=problem))
    assert outcomes(said) == {
        "format.recognised": Outcome.PASS,
        "plain.structure": Outcome.FAIL,
        "code.on-load": Outcome.UNKNOWN,
        "bytes.accounted": Outcome.UNKNOWN,
    }
    [structure] = [f for f in said.findings if f.check == "plain.structure"]
    assert structure.evidence == (Evidence(artifact="weights", locator="byte 61"),)
    assert structure.message == "not a sound plain file: overlap\\x1b[31m"
    assert said.account.unread_bytes == len(CONTENT)


@pytest.mark.parametrize(
    "reading",
    [
        ValueError("broke"),
        RecursionError("deep"),
        Reading(spans=()),
        Reading(spans=spans((0, 4, SpanKind.HEADER))),
        Reading(spans=spans((1, len(CONTENT), SpanKind.HEADER))),
        Reading(spans=spans((0, 8, SpanKind.HEADER), (4, len(CONTENT), SpanKind.TENSOR))),
        Reading(spans=spans((0, 4, SpanKind.HEADER), (8, len(CONTENT), SpanKind.TENSOR))),
        Reading(spans=spans((0, len(CONTENT) + 1, SpanKind.HEADER))),
        Reading(spans=spans((0, 0, SpanKind.HEADER), (0, len(CONTENT), SpanKind.HEADER))),
        Reading(spans=WHOLE, header="no header"),  # type: ignore[arg-type]
        "no reading",
    ],
)
def test_a_reader_that_breaks_its_contract_is_an_error_and_the_file_unread(source: Source, reading: object) -> None:
    said = examine(source, unit("plain", reading=reading))  # type: ignore[arg-type]
    assert outcomes(said)["plain.reader"] is Outcome.ERROR
    assert outcomes(said)["code.on-load"] is Outcome.UNKNOWN
    assert said.account.unread_bytes == len(CONTENT)


def test_memory_errors_are_left_to_the_jail(source: Source) -> None:
    for broken in (unit("plain", reading=MemoryError()), unit("plain", MemoryError())):
        with pytest.raises(MemoryError):
            examine(source, broken)


def test_a_sniff_that_breaks_is_an_error_and_a_malformed_one_a_no(source: Source) -> None:
    said = examine(source, unit("bad", ValueError("x")), unit("shy", MalformedArtifactError("x")), unit("plain"))
    assert said.readers == ("plain",)
    assert outcomes(said)["bad.reader"] is Outcome.ERROR
    assert "shy.reader" not in outcomes(said)


def test_unexplained_bytes_fail_and_are_shown(source: Source) -> None:
    parts = spans((0, 4, SpanKind.HEADER), (4, 8, SpanKind.PADDING), (8, len(CONTENT), SpanKind.UNEXPLAINED))
    said = examine(source, unit("plain", reading=Reading(spans=parts)))
    [accounted] = [f for f in said.findings if f.check == "bytes.accounted"]
    assert (accounted.outcome, accounted.severity) == (Outcome.FAIL, Severity.HIGH)
    assert accounted.message == "4 header, 0 tensor, 4 padding bytes; 10 unexplained"
    place = Evidence(artifact="weights", locator="byte 8 to 17", excerpt="'\\xde\\xad<hidden>'")
    assert accounted.evidence == (place,)


def test_unexplained_bytes_fail_even_where_others_are_unread(source: Source) -> None:
    parts = spans((0, 4, SpanKind.UNEXPLAINED), (4, len(CONTENT), SpanKind.UNREAD))
    said = examine(source, unit("plain", reading=Reading(spans=parts)))
    assert outcomes(said)["bytes.accounted"] is Outcome.FAIL
    assert sum(u.size_bytes for u in said.unread) == len(CONTENT) - 4


def test_long_tensor_lists_are_cut_and_that_is_unknown(source: Source) -> None:
    tensors = (Tensor(name="t", dtype="F32", shape=(1,), size_bytes=4),) * (TENSOR_LIMIT + 1)
    header = Header(path="weights", format="plain", tensors=tensors)
    said = examine(source, unit("plain", reading=Reading(spans=WHOLE, header=header)))
    assert len(said.headers[0].tensors) == TENSOR_LIMIT
    assert outcomes(said)["inspection.tensors"] is Outcome.UNKNOWN


@pytest.mark.parametrize(
    "header",
    [
        Header(path="weights", format="plain", metadata=(Fact(name="author", value="\ud800"),)),
        Header(path="weights", format="plain", architecture=object()),  # type: ignore[arg-type]
    ],
    ids=["lone surrogate", "not a word"],
)
def test_what_cannot_be_written_is_an_error(source: Source, header: Header) -> None:
    units = {"plain": unit("plain", reading=Reading(spans=WHOLE, header=header))}
    said = wire.decode(Examined, encode_examined(examine_source(source, units), source))
    assert outcomes(said)["plain.reader"] is Outcome.ERROR
    assert said.account.unread_bytes == len(CONTENT)


@pytest.mark.parametrize(
    "header",
    [
        Header(path="weights", format="plain", parameter_count=1 << 53),
        Header(path="weights", format="plain", parameter_count=-1),
        Header(path="weights", format="plain", weights_bytes=1 << 70),
        Header(path="weights", format="plain", tensors=(Tensor(name="t", dtype="F", shape=(1 << 60,), size_bytes=0),)),
        Header(path="weights", format="plain", tensors=(Tensor(name="t", dtype="F", shape=(-1,), size_bytes=0),)),
    ],
)
def test_numbers_that_no_digest_can_hold_are_malformed(source: Source, header: Header) -> None:
    said = examine(source, unit("plain", reading=Reading(spans=WHOLE, header=header)))
    assert outcomes(said)["plain.structure"] is Outcome.FAIL
    assert said.headers == ()


def test_equipment_names_every_unit() -> None:
    prepare()
    equipment = wire.decode(Equipment, equip(-1, {}))
    assert {"format.safetensors", "format.unknown"} <= {tool.name for tool in equipment.tools}
    assert equipment.broken == ()
