"""The budget that keeps skips from growing."""

from pathlib import Path

import pytest

from tests.skip_budget import SkipBudget

RULES = "limit 1  # one\n\nshared ../shared\ntool no-such-tool\ntool sh\nmodule json\nkernel Landlock\n"


def read(tmp_path: Path, text: str, shared: Path | None) -> SkipBudget:
    path = tmp_path / "skips.txt"
    path.write_text(text)
    return SkipBudget.read(path, shared)


def test_an_excuse_holds_only_where_the_thing_is_absent(tmp_path: Path) -> None:
    assert read(tmp_path, RULES, None).excuses == ("../shared", "no-such-tool", "Landlock")
    assert read(tmp_path, RULES, tmp_path).excuses == ("no-such-tool", "Landlock")


def test_skips_over_the_limit_fail_and_are_listed(tmp_path: Path) -> None:
    budget = read(tmp_path, RULES, None)
    allowed = ["no-such-tool is missing", "Landlock is missing", "because"]
    assert not budget.is_exceeded(allowed)
    assert budget.report(allowed) == ["skips: 1 of 1 allowed, 2 more for what this machine does not have"]
    assert budget.is_exceeded([*allowed, "because"])
    assert budget.report([*allowed, "because"])[-1] == "  2 x because"


def test_a_line_that_means_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="means nothing"):
        read(tmp_path, "limits 3\n", None)


def test_a_run_with_too_many_skips_fails(
    pytester: pytest.Pytester, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(repository))
    source = (repository / "tests" / "conftest.py").read_text()
    pytester.makepyfile(test_it="import pytest\n\ndef test_it():\n    pytest.skip('because')\n")
    pytester.makeconftest(source.replace('ROOT / "tests" / "skips.txt"', 'Path("skips.txt")'))
    (pytester.path / "skips.txt").write_text("limit 1\n")
    assert pytester.runpytest_subprocess("-q").ret == 0
    (pytester.path / "skips.txt").write_text("limit 0\n")
    run = pytester.runpytest_subprocess("-q")
    assert run.ret == 1
    run.stdout.fnmatch_lines(["FAILED: more tests are skipped*", "  1 x Skipped: because"])
