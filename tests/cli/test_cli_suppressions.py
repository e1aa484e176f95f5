"""Suppressions: bound to a digest, a check and a day; nothing else changes the exit code."""

from __future__ import annotations

import hashlib
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cli.conftest import Command
from weighbridge.cli.inspect import exit_code
from weighbridge.errors import UsageError
from weighbridge.policy.suppressions import (
    Suppression,
    baseline,
    is_whole,
    load_suppressions,
    suppressed,
    write_suppressions,
)
from weighbridge.vocabulary import Artifact, ByteAccount, Dossier, Evidence, Finding, Outcome, Severity, Unread

NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)
TODAY = NOW.date()
ONE, TWO = "1" * 64, "2" * 64
ENTRY = {"sha256": ONE, "check": "x.bad", "reason": "known", "until": "2026-06-15"}
CHECKS = ("x.bad", "x.worse", "bytes.accounted", "code.on-load")
SEVERITIES = (Severity.LOW, Severity.HIGH, Severity.CRITICAL)

outcomes = st.sampled_from(list(Outcome))
findings = st.builds(
    lambda check, outcome, severity, path, locator: Finding(
        check=check,
        outcome=outcome,
        severity=severity,
        message="m",
        evidence=(Evidence(artifact=path, locator=locator),) if path else (),
    ),
    st.sampled_from(CHECKS),
    outcomes,
    st.sampled_from(SEVERITIES),
    st.sampled_from(["one", "one!inner", "two", "a.unit", ""]),
    st.sampled_from(["", "byte 1", "byte 2"]),
)
dossiers = st.builds(
    lambda found, unread: Dossier(
        subject=ONE,
        artifacts=tuple(
            Artifact(path=path, size_bytes=9, sha256=digest, format="x", account=ByteAccount(header_bytes=9))
            for path, digest in (("one", ONE), ("two", TWO))
        ),
        findings=tuple(found),
        unread=tuple(Unread(path=path, size_bytes=1, reason="r") for path in unread),
    ),
    st.lists(findings, max_size=5),
    st.sets(st.sampled_from(["one", "two"])),
)
entries = st.builds(
    Suppression,
    sha256=st.sampled_from([ONE, TWO, "3" * 64]),
    check=st.sampled_from(CHECKS),
    reason=st.just("r"),
    until=st.sampled_from([TODAY - timedelta(days=1), TODAY, TODAY + timedelta(days=9)]),
    outcome=st.sampled_from([Outcome.FAIL, Outcome.UNKNOWN]),
    locator=st.sampled_from(["", "byte 1"]),
)


def code_of(dossier: Dossier, given: list[Suppression]) -> int:
    covered = suppressed(dossier, given, moment=NOW)
    left = tuple(finding for finding in dossier.findings if finding not in covered)
    return exit_code(left, is_whole=is_whole(dossier, covered), fail_on="high")


@given(dossiers, st.lists(entries, max_size=6))
def test_an_entry_for_other_bytes_another_check_or_a_past_day_changes_nothing(
    dossier: Dossier, given: list[Suppression]
) -> None:
    digests = {"one": ONE, "one!inner": ONE, "two": TWO}
    said = {(digests.get(p.artifact, ""), f.check, f.outcome) for f in dossier.findings for p in f.evidence}
    strange = [e for e in given if (e.sha256, e.check, e.outcome) not in said or e.until < TODAY]
    assert suppressed(dossier, strange, moment=NOW) == {}
    assert code_of(dossier, strange) == code_of(dossier, [])
    rest = [e for e in given if e not in strange]
    assert code_of(dossier, given) == code_of(dossier, rest)


@given(dossiers, st.lists(entries, max_size=6))
def test_what_broke_what_is_unexplained_and_what_is_of_no_file_always_counts(
    dossier: Dossier, given: list[Suppression]
) -> None:
    for finding in suppressed(dossier, given, moment=NOW):
        assert finding.outcome in (Outcome.FAIL, Outcome.UNKNOWN)
        assert (finding.check, finding.outcome) != ("bytes.accounted", Outcome.FAIL)
        assert finding.evidence
        assert all(place.artifact in ("one", "one!inner", "two") for place in finding.evidence)


@given(dossiers)
def test_a_baseline_is_read_as_it_was_written_and_covers_what_can_be(dossier: Dossier) -> None:
    made = baseline(dossier, until=TODAY)
    assert load_suppressions(write_suppressions(made), subject="b") == made
    left = [f for f in dossier.findings if f not in suppressed(dossier, made, moment=NOW)]
    known = {"one", "one!inner", "two"}
    for finding in left:
        assert (
            finding.outcome not in (Outcome.FAIL, Outcome.UNKNOWN)
            or (finding.check, finding.outcome) == ("bytes.accounted", Outcome.FAIL)
            or not {place.artifact for place in finding.evidence} & known
        )


def test_the_last_day_counts_to_its_end() -> None:
    entry = Suppression(sha256=ONE, check="x", reason="r", until=date(2026, 6, 15))
    assert entry.is_live(datetime(2026, 6, 15, 23, 59, 59, tzinfo=UTC))
    assert not entry.is_live(datetime(2026, 6, 16, tzinfo=UTC))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"reason": " "}, "`reason`"),
        ({"reason": None}, "`reason`"),
        ({"until": "2026-02-30"}, "`until`"),
        ({"until": "20260101"}, "`until`"),
        ({"until": None}, "`until`"),
        ({"sha256": "AB"}, "`sha256`"),
        ({"check": "x.*"}, "`check`"),
        ({"check": "bytes.accounted"}, "never suppressed"),
        ({"outcome": "error"}, "`outcome`"),
        ({"locator": 5}, "`locator`"),
        ({"untill": "2026-01-01"}, "unknown key `untill`"),
    ],
)
def test_what_is_wrong_is_said_with_its_entry(change: dict[str, object], words: str) -> None:
    import json

    whole = {"suppressions": [ENTRY, {**ENTRY, **change}]}
    with pytest.raises(UsageError) as told:
        load_suppressions(json.dumps(whole).encode(), subject="s.yaml")
    assert words in told.value.message
    assert "s.yaml entry 2" in told.value.message


@pytest.mark.parametrize(
    "text", ["", "[]", "suppressions: 5", "more: []", "suppressions: [1]", "suppressions: [", "a: &a *a"]
)
def test_what_is_no_such_file_is_refused(command: Command, model: Path, tmp_path: Path, text: str) -> None:
    file = tmp_path / "s.yaml"
    file.write_text(text)
    assert command("inspect", str(model), "--suppress", str(file)).code == 2
    assert command("inspect", str(model), "--suppress", str(tmp_path / "none")).code == 2


def test_a_baseline_makes_a_known_model_pass_and_a_changed_one_not(
    command: Command, trapped: Path, tmp_path: Path
) -> None:
    file = tmp_path / "weighbridge-suppressions.yaml"
    assert command("inspect", str(trapped), "--write-baseline", str(file)).code == 2
    assert command("inspect", str(trapped), "--write-baseline", str(file), "--until", "2999-01-01").code == 1
    assert hashlib.sha256((trapped / "optimizer.pt").read_bytes()).hexdigest() in file.read_text()
    done = command("inspect", str(trapped), "--suppress", str(file))
    assert done.code == 0, done.out
    assert "baseline (until 2999-01-01)" in done.out
    document = command("inspect", str(trapped), "--suppress", str(file), "--json").document
    assert {item["reason"] for item in document["suppressed"]} == {"baseline"}
    results = command("inspect", str(trapped), "--suppress", str(file), "--sarif", "-").document["runs"][0]["results"]
    assert results
    assert all(result["suppressions"] for result in results)

    file.write_text(file.read_text().replace("2999-01-01", "2020-01-01"))
    late = command("inspect", str(trapped), "--suppress", str(file))
    assert late.code == 1
    assert "expired on 2020-01-01" in late.err


def test_an_unread_file_is_suppressed_only_as_unknown(command: Command, odd: Path, tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    command("inspect", str(odd), "--write-baseline", str(file), "--until", "2999-01-01")
    assert "outcome: unknown" in file.read_text()
    assert command("inspect", str(odd), "--suppress", str(file)).code == 0
    file.write_text(
        "\n".join(line for line in file.read_text().splitlines() if "outcome" not in line and "accounted" not in line)
    )
    assert command("inspect", str(odd), "--suppress", str(file)).code in (2, 3)


def test_header_only_knows_no_digest(command: Command, model: Path, tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    file.write_text("suppressions: []\n")
    assert command("inspect", str(model), "--header-only", "--suppress", str(file)).code == 2
