"""Faults of a policy that do not stop it from working."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from difflib import get_close_matches

from weighbridge.policy.documents import PolicyDocument
from weighbridge.policy.examination import CompiledRule, Evidence, compile_policy, matches
from weighbridge.policy.rule_tests import RuleTestResult, run_rule_tests
from weighbridge.policy.sketches import EXPECTED, SUBJECT, RuleTest
from weighbridge.vocabulary import (
    Answer,
    Artifact,
    ByteAccount,
    Dossier,
    Effect,
    Finding,
    Outcome,
    Severity,
    UseContext,
)

_ID_IN_CONDITION = re.compile(r"\.check\s*==\s*[\"']([^\"']+)[\"']")
_START_IN_CONDITION = re.compile(r"\.check\.startsWith\(\s*[\"']([^\"']+)[\"']\s*\)")
_END_IN_CONDITION = re.compile(r"\.check\.endsWith\(\s*[\"']([^\"']+)[\"']\s*\)")
_LIST_IN_CONDITION = re.compile(r"\.check\s+in\s+\[([^\]]*)\]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One fault of a policy: which rule, what is wrong, what to do."""

    rule: str
    message: str
    remedy: str


def check_policy(document: PolicyDocument, *, known_checks: Collection[str]) -> tuple[Problem, ...]:
    """Faults that do not stop a policy from working but make it say something else than its author means.

    Found: check ids that no check gives, rules without a test that fires, stays clear and cannot tell, failing tests,
    rules that read findings and need none, and rules that stop firing when a failure is added. The last is tried, not
    proved: one failure of each known check, low and critical, is added to the rule's own test dossiers.

    Args:
        document: what `load_policy` gave.
        known_checks: ids of every check that this installation can give.
    """
    compiled = {rule.rule.id: rule for rule in compile_policy(document.policy)}
    problems: list[Problem] = []
    for rule in document.policy.rules:
        tests = [test for test in document.tests if test.rule == rule.id]
        problems += _unknown_checks(compiled[rule.id], known_checks)
        problems += _untested(rule.id, tests)
        problems += _blind(compiled[rule.id])
        problems += _unkind(compiled[rule.id], tests, known_checks)
    problems += [
        Problem(rule=result.rule, message=f"test {result.test!r} gives {result.actual.value}", remedy=_expected(result))
        for result in run_rule_tests(document)
        if not result.passed
    ]
    return tuple(problems)


def _expected(result: RuleTestResult) -> str:
    return f"It expects {result.expected.value}; the condition said: {result.said}."


def _patterns(compiled: CompiledRule) -> Iterator[str]:
    when = compiled.condition.source
    yield from compiled.rule.needs
    yield from _ID_IN_CONDITION.findall(when)
    yield from (f"{start}*" for start in _START_IN_CONDITION.findall(when))
    yield from (f"*{end}" for end in _END_IN_CONDITION.findall(when))
    for listed in _LIST_IN_CONDITION.findall(when):
        yield from re.findall(r"[\"']([^\"']+)[\"']", listed)


def _unknown_checks(compiled: CompiledRule, known_checks: Collection[str]) -> Iterator[Problem]:
    for pattern in dict.fromkeys(_patterns(compiled)):
        if any(matches(pattern, check) for check in known_checks):
            continue
        near = get_close_matches(pattern, sorted(known_checks), n=1, cutoff=0.5)
        remedy = f"Did you mean {near[0]}?" if near else "`weighbridge rules` lists every check."
        yield Problem(rule=compiled.rule.id, message=f"no check answers to {pattern}", remedy=remedy)


def _untested(rule: str, tests: list[RuleTest]) -> Iterator[Problem]:
    absent = [standing.value for standing in EXPECTED if all(test.expect is not standing for test in tests)]
    if absent:
        remedy = "Write a test beside the rule for each."
        yield Problem(rule=rule, message=f"no test expects {', '.join(absent)}", remedy=remedy)


def _blind(compiled: CompiledRule) -> Iterator[Problem]:
    if re.search(r"\bfindings\b", compiled.condition.source) and not compiled.rule.needs:
        remedy = "List in `needs` the checks whose silence must not pass for a yes."
        yield Problem(rule=compiled.rule.id, message="reads findings, yet is clear when no check ran", remedy=remedy)


def _unkind(compiled: CompiledRule, tests: list[RuleTest], known_checks: Collection[str]) -> Iterator[Problem]:
    """The condition alone is asked, without the second look that `examine_rule` takes."""
    stages = [(Evidence(test.dossier, test.use, test.facts), test.dossier.findings) for test in tests]
    clean = _clean(known_checks)
    for evidence, findings in [(Evidence(clean, UseContext(), {}), clean.findings), *stages]:
        before = evidence.ask_over(compiled, findings)
        for added in _failures(known_checks):
            after = evidence.ask_over(compiled, (*findings, added))
            if _is_kinder(compiled.rule.effect, before, after):
                message = f"is kinder when {added.check} fails ({added.severity.value})"
                remedy = "Look for failures, not for their absence; say with `needs` which checks must have answered."
                yield Problem(rule=compiled.rule.id, message=message, remedy=remedy)
                return


def _is_kinder(effect: Effect, before: Answer, after: Answer) -> bool:
    order = [Answer.NO, Answer.UNKNOWN, Answer.YES]
    if effect is Effect.CONDITION:
        order = [Answer.NO, Answer.YES, Answer.UNKNOWN]
    return order.index(after) < order.index(before)


def _failures(known_checks: Collection[str]) -> Iterator[Finding]:
    for check in sorted(set(known_checks)):
        for severity in (Severity.LOW, Severity.CRITICAL):
            yield Finding(check=check, outcome=Outcome.FAIL, severity=severity, message="added")


def _clean(known_checks: Collection[str]) -> Dossier:
    account = ByteAccount(tensor_bytes=1)
    artifact = Artifact(path="model.safetensors", size_bytes=1, sha256=SUBJECT, format="safetensors", account=account)
    findings = [
        Finding(check=check, outcome=Outcome.PASS, severity=Severity.NONE, message="clean")
        for check in sorted(set(known_checks))
    ]
    return Dossier(subject=SUBJECT, artifacts=(artifact,), findings=tuple(findings))
