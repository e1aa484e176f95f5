"""One suite over every format that is found, built in or installed: whatever the bytes, a bounded answer and a full account.

A format brings its samples in `tests/conformance/samples/<format>.py`; everything else comes from here.
"""

from __future__ import annotations

import pkgutil
import re
import time
from dataclasses import astuple
from importlib import import_module

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conformance import samples
from tests.conformance.installed_plugin import installed_plugin
from tests.conformance.sample import Sample, opened
from weighbridge.errors import MalformedArtifactError
from weighbridge.formats.reading.contract import Format, Match, Reading
from weighbridge.formats.reading.source import Source
from weighbridge.formats.reading.spans import account
from weighbridge.inspection.examine import examine_source
from weighbridge.plugins import find_units
from weighbridge.registry.wire import decode, encode
from weighbridge.testing.fuzzing import is_clean
from weighbridge.vocabulary import Finding, Header, Outcome

LIMIT_S = 1.0
SAMPLE_LIMIT_BYTES = 4096
UNSETTLED = {Outcome.FAIL, Outcome.UNKNOWN, Outcome.ERROR}

with installed_plugin():
    UNITS = find_units("formats", Format)

FORMATS = list(UNITS.found.values())
SAMPLES: dict[str, tuple[Sample, ...]] = {
    module.name: import_module(f"{samples.__name__}.{module.name}").SAMPLES
    for module in pkgutil.iter_modules(samples.__path__)
}
CASES = [(unit, sample) for unit in FORMATS for sample in SAMPLES.get(unit.name, ())]
every_format = pytest.mark.parametrize("unit", FORMATS, ids=lambda unit: unit.name)
every_sample = pytest.mark.parametrize(("unit", "sample"), CASES, ids=[f"{u.name}-{s.name}" for u, s in CASES])


def examine(unit: Format, data: bytes, path: str = "sample") -> Reading | None:
    """Read bytes as a format does, check what must hold of any answer; None where the reader calls them malformed."""
    with opened(data, path) as source:
        started = time.process_time()
        try:
            matched = unit.sniff(source)
            reading: Reading | None = unit.read(source)
        except MalformedArtifactError as problem:
            matched, reading = Match.NO, None
            assert_shown(str(problem) + problem.locator)
        assert time.process_time() - started < LIMIT_S
    assert isinstance(matched, Match)
    if reading is not None:
        assert_covers(reading, len(data))
        assert_declared(unit, reading)
        assert_plain(unit, reading, path)
    return reading


def assert_covers(reading: Reading, size_bytes: int) -> None:
    position = 0
    for span in reading.spans:
        assert span.start == position
        assert span.end > span.start
        position = span.end
    assert position == size_bytes


def assert_declared(unit: Format, reading: Reading) -> None:
    conventional = {f"{unit.name}.structure", f"{unit.name}.reader"}
    assert {finding.check for finding in reading.findings} <= {*unit.checks, *conventional}


def assert_plain(unit: Format, reading: Reading, path: str) -> None:
    """What goes into a dossier can be written and read back, and shows no raw control characters."""
    for finding in reading.findings:
        assert decode(Finding, encode(finding)) == finding
        assert all(evidence.artifact.startswith(path) for evidence in finding.evidence)
        for text in (finding.message, *(e.locator + e.excerpt for e in finding.evidence)):
            assert_shown(text)
    if reading.header is not None:
        assert decode(Header, encode(reading.header)) == reading.header
        assert (reading.header.path, reading.header.format) == (path, unit.name)


def assert_shown(text: str) -> None:
    assert text.isprintable(), f"a hostile string came through unescaped: {text!r}"


def is_settled(reading: Reading | None) -> bool:
    """Whether a reading says that all is well: no open finding, no byte unread or unexplained."""
    if reading is None or any(finding.outcome in UNSETTLED for finding in reading.findings):
        return False
    sums = account(reading.spans)
    return sums.unread_bytes + sums.unexplained_bytes == 0


def test_every_built_in_loads_and_the_broken_one_is_not_lost() -> None:
    [broken] = UNITS.broken
    assert broken.name == "weighbridge_tally.toppled:FORMAT"
    assert broken.reason == "ImportError: the library behind this unit is not installed"
    assert "tally" in UNITS.found


def test_an_installed_format_gives_findings_like_a_built_in_one() -> None:
    with opened(b"TALLY1\nqubits 12345678901\n", "a.tally") as source:
        examined = examine_source(source, UNITS.found)
    [large] = [finding for finding in examined.findings if finding.check == "tally.large-count"]
    assert (large.outcome, large.evidence[0].locator) == (Outcome.FAIL, "line 2")


def test_every_format_has_samples_and_every_sample_a_format() -> None:
    missing = {unit.name for unit in FORMATS} - {name for name, listed in SAMPLES.items() if listed}
    assert missing == set(), "a format without samples is not held to anything"
    assert set(SAMPLES) - {unit.name for unit in FORMATS} == set()


@every_format
def test_a_format_says_what_it_is(unit: Format) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9_]*", unit.name)
    assert unit.title
    assert unit.version >= 1
    assert re.fullmatch(r"[a-z]+/[a-z0-9.+-]+", unit.media_type)
    assert all(address.startswith("https://") for address in unit.references)
    assert len(set(unit.checks)) == len(unit.checks)
    assert all(re.fullmatch(r"[a-z][a-z0-9_-]*(\.[a-z0-9-]+)+", check) for check in unit.checks)


@every_sample
def test_a_sample_is_small_recognised_and_read(unit: Format, sample: Sample) -> None:
    assert len(sample.data) <= SAMPLE_LIMIT_BYTES
    with opened(sample.data, sample.path) as source:
        examined = examine_source(source, UNITS.found)
    assert examined.readers == (unit.name,)
    reading = examine(unit, sample.data, sample.path)
    assert reading is not None
    assert (account(reading.spans).unread_bytes == 0) is sample.is_readable
    assert is_settled(reading) is sample.is_readable


def is_settled_file(unit: Format, data: bytes, path: str) -> bool:
    """Whether all is well with a file, and with what lies inside it."""
    reading = examine(unit, data, path)
    if reading is None or not reading.parts:
        return is_settled(reading)
    with opened(data, path) as source:
        return is_settled(reading) and is_clean(examine_source(source, UNITS.found))


@every_sample
def test_truncation_at_every_byte_is_survived_and_noticed(unit: Format, sample: Sample) -> None:
    ends = range(1, len(sample.data))
    unnoticed = [end for end in ends if is_settled_file(unit, sample.data[:end], sample.path)]
    assert unnoticed == [] or not sample.is_whole_only


@every_sample
def test_inspection_answers_for_every_beginning(unit: Format, sample: Sample) -> None:
    """Whoever claims a cut file, somebody accounts for all of it and says whether loading it runs code."""
    for end in range(len(sample.data) + 1):
        with opened(sample.data[:end], sample.path) as source:
            examined = examine_source(source, UNITS.found)
        assert sum(astuple(examined.account)) == end
        assert [finding.check for finding in examined.findings].count("code.on-load") >= 1


@every_sample
def test_bytes_after_the_end_are_noticed(unit: Format, sample: Sample) -> None:
    if sample.is_whole_only:
        assert not is_settled_file(unit, sample.data + b"\x01smuggled\xff", sample.path)


@every_sample
@given(choice=st.data())
def test_a_changed_sample_is_survived(unit: Format, sample: Sample, choice: st.DataObject) -> None:
    data = bytearray(sample.data)
    for _ in range(choice.draw(st.integers(1, 4))):
        start = choice.draw(st.integers(0, len(data)))
        data[start : start + choice.draw(st.integers(0, 8))] = choice.draw(st.binary(max_size=16))
    examine(unit, bytes(data), sample.path)


@every_sample
@given(
    offset=st.integers(0, SAMPLE_LIMIT_BYTES),
    width=st.sampled_from([1, 2, 4, 8]),
    value=st.sampled_from([0, 1, -1, -2]),
)
def test_hostile_counts_and_lengths_are_survived(
    unit: Format, sample: Sample, offset: int, width: int, value: int
) -> None:
    start = offset % max(1, len(sample.data))
    number = (value % (1 << 8 * width)).to_bytes(width, "little")
    examine(unit, sample.data[:start] + number + sample.data[start + width :], sample.path)


@every_format
@given(data=st.binary(max_size=2048))
def test_garbage_is_survived(unit: Format, data: bytes) -> None:
    examine(unit, data)


@every_format
def test_nothing_at_all_is_survived(unit: Format) -> None:
    examine(unit, b"")


@every_format
@pytest.mark.parametrize("opening", [b"[", b"{", b"(", b"\x80\x04", b'{"a":', b"PK\x03\x04", b"GGUF", b"- "], ids=repr)
def test_deep_nesting_and_long_repeats_are_survived(unit: Format, opening: bytes) -> None:
    examine(unit, opening * (100_000 // len(opening)))


@every_sample
def test_reading_twice_gives_the_same(unit: Format, sample: Sample) -> None:
    assert examine(unit, sample.data, sample.path) == examine(unit, sample.data, sample.path)


@every_sample
def test_a_reader_touches_nothing_outside_its_file(unit: Format, sample: Sample) -> None:
    """A file framed inside a larger one, as a member of an archive is, gives the same answer as the file alone."""
    with opened(b"\xee" * 512 + sample.data + b"\xee" * 512, sample.path) as around:
        inner: Source = around.part(512, len(sample.data), path=sample.path)
        framed = unit.read(inner)
    assert framed == examine(unit, sample.data, sample.path)
