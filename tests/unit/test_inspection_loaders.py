"""The table of advisories, how versions are matched with it, and what is made of findings."""

from __future__ import annotations

import re

import pytest

from weighbridge.errors import UsageError
from weighbridge.inspection.judgements import CHECKS
from weighbridge.inspection.loader_advisories import Advisory, Range, Reach, table
from weighbridge.inspection.loader_versions import version_key
from weighbridge.inspection.loaders import Status, answer, parse_loader
from weighbridge.testing.fuzzing import built_in_formats
from weighbridge.vocabulary import (
    Artifact,
    ByteAccount,
    Dossier,
    Evidence,
    Finding,
    Header,
    Outcome,
    Preview,
    Severity,
)

ROWS = table().advisories
IDS = [f"{row.cve}-{row.loader.name}" for row in ROWS]
BETWEEN = {"pep440": ("0.0.0.dev0", "999999"), "build": ("b0", "b999999999")}


def key(text: str, order: str) -> tuple[tuple[int, ...], ...]:
    made = version_key(text, order)
    assert made is not None, text
    return made


def test_there_are_enough_of_them_and_no_two_are_one() -> None:
    assert len(ROWS) >= 30
    assert len({(row.cve, row.loader.name) for row in ROWS}) == len(ROWS)
    assert {row.loader.name for row in ROWS} < set(table().loaders)


@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_a_row_is_whole(row: Advisory) -> None:
    assert re.fullmatch(r"CVE-\d{4}-\d{4,6}", row.cve)
    assert row.source.startswith("https://")
    assert len(row.verified) > 20
    assert row.ranges
    assert row.conditions
    assert row.severity.rank >= Severity.MEDIUM.rank
    assert row.severity is not Severity.UNKNOWN
    assert not row.needs.endswith(".")


@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_a_range_is_of_versions_in_order(row: Advisory) -> None:
    ends = [version_key(text, row.loader.order) for span in row.ranges for text in (span.start, span.before) if text]
    assert None not in ends
    assert ends == sorted(ends, key=lambda end: end or ())


@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_a_condition_speaks_of_checks_that_its_formats_answer(row: Advisory) -> None:
    formats = built_in_formats()
    for condition in row.conditions:
        known = {check for name in condition.formats for check in formats[name].checks} | set(CHECKS)
        assert set(condition.fails) <= known
        assert {condition.shows} - {""} <= known
        assert set(condition.formats) <= set(table().formats)


def test_what_says_that_a_file_is_unread_is_answered_by_its_reader() -> None:
    formats = built_in_formats()
    for name, kind in table().formats.items():
        assert set(kind.unread) <= set(formats[name].checks) | set(CHECKS), name
        assert kind.suffixes


@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_the_ends_of_a_range(row: Advisory) -> None:
    order = row.loader.order
    for span in row.ranges:
        if span.start:
            assert row.reach(key(span.start, order)) is Reach.WITHIN
        if span.before:
            assert row.reach(key(span.before, order)) is not Reach.WITHIN or len(row.ranges) > 1
    lowest, highest = BETWEEN[order]
    assert row.reach(key(lowest, order)) is (Reach.BEFORE if row.ranges[0].start else Reach.WITHIN)
    assert row.reach(key(highest, order)) is (Reach.PAST if row.ranges[-1].before else Reach.WITHIN)


def advisory(*ranges: Range) -> Advisory:
    row = next(row for row in ROWS if row.cve == "CVE-2024-27318")
    return Advisory(
        cve="CVE-2000-0001",
        loader=row.loader,
        ranges=ranges,
        severity=row.severity,
        source=row.source,
        verified=row.verified,
        needs=row.needs,
        conditions=row.conditions,
    )


def test_a_version_between_two_ranges_is_past_a_fix() -> None:
    row = advisory(Range(start="3.0", before="3.12.1"), Range(start="3.13", before="3.13.2"))
    said = {text: row.reach(key(text, "pep440")) for text in ("2.15", "3.0", "3.12.1", "3.12.9", "3.13.0", "3.13.2")}
    assert list(said.values()) == [Reach.BEFORE, Reach.WITHIN, Reach.PAST, Reach.PAST, Reach.WITHIN, Reach.PAST]


def test_without_a_fix_every_later_version_has_it() -> None:
    row = advisory(Range(start="3.0"))
    assert row.reach(key("2.9", "pep440")) is Reach.BEFORE
    assert row.reach(key("99", "pep440")) is Reach.WITHIN
    assert row.fixed_in == ()


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("torch 2.9", "2.9"),
        (" torch  2.9.1+cu128 ", "2.9.1+cu128"),
        ("TORCH v2.6.0rc1", "v2.6.0rc1"),
        ("llama.cpp b6000", "b6000"),
        ("llama.cpp 6000", "6000"),
        ("ollama 0.17.1-rc2", "0.17.1-rc2"),
    ],
)
def test_a_loader_is_named_with_its_version(text: str, version: str) -> None:
    assert parse_loader(text).version == version


@pytest.mark.parametrize(
    "text",
    [
        "",
        "torch",
        "torch ",
        "torch two",
        "torch 2.9 3.0",
        "torch 2..9",
        "torch ٢.9",
        "torch " + "1" * 70,
        "llama.cpp 0.5",
    ],
)
def test_a_version_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_loader(text)


def test_an_unknown_loader_is_told_which_are_known() -> None:
    with pytest.raises(UsageError) as told:
        parse_loader("picklescan 1.0")
    assert all(name in told.value.remedy for name in ("torch", "llama.cpp", "keras", "ollama"))


HASH = "cd" * 32


def dossier(*findings: Finding, form: str = "gguf", path: str = "m.gguf") -> Dossier:
    file = Artifact(path=path, size_bytes=9, sha256=HASH, format=form, account=ByteAccount(header_bytes=9))
    return Dossier(subject=HASH, artifacts=(file,), findings=findings)


def finding(
    check: str, outcome: Outcome, message: str = "it is so", path: str = "m.gguf", excerpt: str = ""
) -> Finding:
    place = Evidence(artifact=path, excerpt=excerpt) if path else None
    evidence = (place,) if place else ()
    return Finding(check=check, outcome=outcome, severity=Severity.HIGH, message=message, evidence=evidence)


def status(said: Dossier | Preview, loader: str = "ollama 0.17.0") -> Status:
    [item] = answer(said, [parse_loader(loader)])[1]
    return item.status


OPEN = Status.UNDER_INVESTIGATION
CASES: dict[str, tuple[Finding, Status]] = {
    "nothing": (finding("gguf.offset", Outcome.PASS), Status.NOT_AFFECTED),
    "met": (finding("gguf.offset", Outcome.FAIL, "tensor 'x' leaves the file"), Status.AFFECTED),
    "another defect of the check": (finding("gguf.offset", Outcome.FAIL, "not aligned"), Status.NOT_AFFECTED),
    "more than is told": (finding("gguf.offset", Outcome.FAIL, "not aligned (and 1 more)"), OPEN),
    "a text that was cut": (finding("gguf.offset", Outcome.FAIL, "tensor 'xxxx…"), OPEN),
    "unknown": (finding("gguf.offset", Outcome.UNKNOWN, "leaves the file, perhaps"), OPEN),
    "a limit": (finding("gguf.limit", Outcome.UNKNOWN), OPEN),
    "an early end": (finding("gguf.bounds", Outcome.FAIL), OPEN),
    "malformed": (finding("gguf.structure", Outcome.FAIL, "not a sound gguf file: no"), OPEN),
    "a reader that broke": (finding("gguf.reader", Outcome.ERROR), OPEN),
    "not examined": (finding("inspection.examined", Outcome.UNKNOWN), OPEN),
    "not all examined": (finding("inspection.examined", Outcome.UNKNOWN, path=""), OPEN),
    "a member that was not opened": (finding("inspection.inside", Outcome.UNKNOWN), OPEN),
    "a format unit that is broken": (finding("plugin.formats", Outcome.ERROR, path="gguf"), OPEN),
    "met inside": (finding("gguf.offset", Outcome.FAIL, "leaves the file", "m.gguf!x"), Status.AFFECTED),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_made_of_one_finding(name: str) -> None:
    said, expected = CASES[name]
    assert status(dossier(said)) is expected


def test_a_file_of_another_format_that_was_not_examined_may_be_one() -> None:
    assert status(dossier(form="text")) is Status.NOT_AFFECTED
    assert status(dossier(finding("inspection.examined", Outcome.UNKNOWN), form="unknown")) is OPEN


def test_a_file_that_no_reader_knows_is_what_it_is_called() -> None:
    assert status(dossier(form="unknown")) is OPEN
    assert status(dossier(form="unknown", path="m.bin")) is Status.NOT_AFFECTED
    _, assessments = answer(dossier(form="unknown", path="m"), [parse_loader("torch 2.9")])
    assert {item.status for item in assessments if item.advisory.cve == "CVE-2026-24747"} == {OPEN}
    inside = finding("unknown.format", Outcome.UNKNOWN, path="m.zip!a/M.GGUF")
    assert status(dossier(inside, form="zip", path="m.zip")) is OPEN


def test_a_preview_is_answered_as_well() -> None:
    said = Preview(reference="local:x", artifacts=dossier().artifacts, headers=(), findings=(), unread=())
    told, assessments = answer(said, [parse_loader("ollama 0.17.0")])
    assert isinstance(told, Preview)
    assert len(told.findings) == len(assessments) == 1


def test_the_answer_about_a_loader_without_advisories_is_a_sentence() -> None:
    told, assessments = answer(dossier(), [parse_loader("scikit-learn 1.5")])
    assert assessments == ()
    assert [(f.outcome, f.message) for f in told.findings] == [
        (Outcome.PASS, "no advisory is known here for scikit-learn 1.5")
    ]


def test_a_version_outside_every_range_is_one_sentence() -> None:
    told, _ = answer(dossier(), [parse_loader("skops 99")])
    [clear] = told.findings
    assert clear.outcome is Outcome.PASS
    assert set(clear.references) == {"CVE-2025-54412", "CVE-2025-54413", "CVE-2025-54886"}


def test_two_loaders_are_answered_beside_each_other() -> None:
    told, assessments = answer(dossier(), [parse_loader("torch 2.9"), parse_loader("torch 2.5")])
    assert len(assessments) == 2 * 4
    assert len({f.message for f in told.findings}) == len(told.findings)


def test_what_is_found_for_two_loaders_lies_in_two_places() -> None:
    said = dossier(finding("keras.lambda", Outcome.FAIL, path="m.h5"), form="hdf5", path="m.h5")
    told, _ = answer(said, [parse_loader("keras 2.12"), parse_loader("tensorflow 2.12")])
    places = [place for f in told.findings if "CVE-2024-3660" in f.references for place in f.evidence]
    assert [place.locator for place in places] == ["CVE-2024-3660 keras", "CVE-2024-3660 tensorflow"]


def test_a_fact_of_the_header_is_asked_for() -> None:
    bad = finding("code.on-load", Outcome.FAIL, path="m.pt")
    header = Header(path="m.pt", format="torch_zip")
    said = dossier(bad, form="torch_zip", path="m.pt")
    told = Dossier(subject=HASH, artifacts=said.artifacts, headers=(header,), findings=said.findings)
    _, assessments = answer(told, [parse_loader("torch 2.5")])
    assert {item.advisory.cve: item.status for item in assessments if item.reach is Reach.WITHIN} == {
        "CVE-2025-32434": Status.NOT_AFFECTED,
        "CVE-2026-24747": Status.NOT_AFFECTED,
        "CVE-2026-4538": Status.NOT_AFFECTED,
    }
