"""Rule tests, lints and explanations."""

from __future__ import annotations

import pytest

from tests.policy_cases import CHECKS
from weighbridge.policy.documents import load_policy, shipped_policies
from weighbridge.policy.explanation import FLOOR, explain
from weighbridge.policy.linting import check_policy
from weighbridge.policy.rule_tests import run_rule_tests
from weighbridge.vocabulary import Effect, Standing

SHIPPED = shipped_policies()


def _document(when: str, *, needs: str = "[code.on-load]", effect: str = "refuse", tests: str = ""):
    text = f"""
name: mine
version: 1
rules:
  - id: mine
    title: mine
    severity: high
    effect: {effect}
    when: '{when}'
    needs: {needs}
    message: mine
    remedy: mine
{tests}"""
    return load_policy(text.encode(), subject="mine.yaml")


def _messages(document) -> str:
    return "\n".join(problem.message for problem in check_policy(document, known_checks=CHECKS))


@pytest.mark.parametrize("document", SHIPPED, ids=lambda document: f"version-{document.policy.version}")
def test_shipped_rules_pass_their_tests_and_have_one_of_each_kind(document):
    results = run_rule_tests(document)
    assert [result for result in results if not result.passed] == []
    for rule in document.policy.rules:
        expected = {result.expected for result in results if result.rule == rule.id}
        assert expected == {Standing.FIRED, Standing.CLEAR, Standing.UNDETERMINED}, rule.id


@pytest.mark.parametrize("document", SHIPPED, ids=lambda document: f"version-{document.policy.version}")
def test_shipped_policies_have_no_problem(document):
    assert check_policy(document, known_checks=CHECKS) == ()


def test_a_failing_test_is_reported_with_what_the_condition_said():
    tests = """    tests:
      - {name: wrong, expect: fired, findings: [{check: code.on-load, outcome: pass}]}"""
    document = _document("model.files > 5", tests=tests)
    (result,) = run_rule_tests(document)
    assert not result.passed
    assert (result.actual, result.said) == (Standing.CLEAR, "false")
    assert "test 'wrong' gives clear" in _messages(document)


def test_a_misspelt_check_is_reported_with_the_nearest():
    document = _document('findings.exists(f, f.check == "code.onload")', needs="[bytes.acounted]")
    problems = {problem.message: problem.remedy for problem in check_policy(document, known_checks=CHECKS)}
    assert problems["no check answers to code.onload"] == "Did you mean code.on-load?"
    assert problems["no check answers to bytes.acounted"] == "Did you mean bytes.accounted?"


@pytest.mark.parametrize(
    "condition", ['f.check.startsWith("pickel.")', 'f.check.endsWith(".struct")', 'f.check in ["code.on-load", "a.b"]']
)
def test_unknown_checks_are_found_wherever_a_condition_names_them(condition):
    assert "no check answers to" in _messages(_document(f"findings.exists(f, {condition})"))


def test_a_rule_without_tests_is_reported():
    assert "no test expects fired, clear, undetermined" in _messages(_document("model.files > 5"))


def test_a_rule_that_needs_nothing_is_reported():
    assert "clear when no check ran" in _messages(_document('findings.exists(f, f.outcome == "fail")', needs="[]"))
    assert "clear when no check ran" not in _messages(_document("model.files > 5", needs="[]"))


@pytest.mark.parametrize(
    ("when", "effect"),
    [
        ('!findings.exists(f, f.check == "never.heard-of" && f.outcome == "fail")', "refuse"),
        ('findings.all(f, f.outcome == "pass")', "refuse"),
        (f"size(findings) < {len(CHECKS) + 1}", "refer"),
        ('findings.filter(f, f.outcome == "fail").size() == 0', "refuse"),
        ('use.users > 5 || findings.exists(f, f.outcome == "fail")', "condition"),
    ],
)
def test_a_rule_that_a_failure_would_silence_is_reported(when, effect):
    assert "is kinder when" in _messages(_document(when, effect=effect))


@pytest.mark.parametrize(
    "when",
    [
        'findings.exists(f, f.outcome == "fail" && f.severity_rank >= 3)',
        'use.users > 5 || findings.exists(f, f.outcome == "fail")',
        "model.files > 5",
        'use.users > 5 && findings.exists(f, f.outcome != "pass")',
    ],
)
def test_a_rule_that_looks_for_failures_is_not(when):
    assert "is kinder when" not in _messages(_document(when))


def test_a_policy_is_explained_in_plain_words():
    policy = SHIPPED[-1].policy
    explained = explain(policy)
    assert [entry.rule for entry in explained] == [rule.id for rule in policy.rules]
    first = explained[0]
    assert first.effect is Effect.REFUSE
    assert first.words.startswith("Refuses the model when a file of this model runs code when it is loaded.")
    assert "code.on-load" in first.words
    assert all(law.startswith("law.") and words for law, words in FLOOR)
