"""Running the tests that stand beside the rules of a policy."""

from __future__ import annotations

from dataclasses import dataclass

from weighbridge.policy.documents import PolicyDocument
from weighbridge.policy.examination import CompiledRule, Evidence, compile_policy, examine_rule
from weighbridge.policy.sketches import RuleTest
from weighbridge.vocabulary import Standing


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleTestResult:
    """How a rule really came out on one of its tests. `said` is the condition's value or error."""

    rule: str
    test: str
    expected: Standing
    actual: Standing
    said: str

    @property
    def passed(self) -> bool:
        """Whether the rule came out as the test expects."""
        return self.expected is self.actual


def run_rule_tests(document: PolicyDocument) -> tuple[RuleTestResult, ...]:
    """Run the tests that stand beside the rules, in their order."""
    compiled = {rule.rule.id: rule for rule in compile_policy(document.policy)}
    return tuple(_run(compiled[test.rule], test) for test in document.tests)


def _run(compiled: CompiledRule, test: RuleTest) -> RuleTestResult:
    examined = examine_rule(compiled, Evidence(test.dossier, test.use, test.facts))
    return RuleTestResult(
        rule=test.rule, test=test.name, expected=test.expect, actual=examined.standing, said=examined.said
    )
