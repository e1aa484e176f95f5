"""The laws of a verdict, over generated dossiers, policies, uses and exceptions."""

from __future__ import annotations

import random
from contextlib import suppress
from dataclasses import replace

import cel
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests import policy_cases as cases
from tests.policy_cases import CHECKS, CLEAN, judged, waiver
from weighbridge.errors import PolicyError
from weighbridge.policy.documents import default_policy, load_policy
from weighbridge.policy.examination import CompiledRule, Evidence, matches
from weighbridge.policy.expressions import Binding, Expression
from weighbridge.policy.inputs import finding_value, input_values
from weighbridge.registry import wire
from weighbridge.vocabulary import (
    Answer,
    Dossier,
    Effect,
    Header,
    Outcome,
    Policy,
    Severity,
    Standing,
    UseContext,
    Verdict,
)
from weighbridge.vocabulary import Evidence as Place

DEFAULT = default_policy()


def _with(dossier: Dossier, *added) -> Dossier:
    return replace(dossier, findings=(*dossier.findings, *added))


@settings(max_examples=120)
@given(cases.dossiers(is_whole=True), cases.failures, cases.waivers(), cases.approvals)
def test_a_failure_never_makes_the_default_policy_kinder(dossier, added, waivers, approvals):
    before = judged(dossier, DEFAULT, waivers=waivers, approvals=approvals)
    after = judged(_with(dossier, added), DEFAULT, waivers=waivers, approvals=approvals)
    assert after.verdict.rank >= before.verdict.rank


@settings(max_examples=120)
@given(cases.dossiers(), cases.failures)
def test_where_nobody_let_anything_through_a_failure_never_helps_an_unfinished_dossier(dossier, added):
    before, after = judged(dossier, DEFAULT), judged(_with(dossier, added), DEFAULT)
    assert after.verdict.rank >= before.verdict.rank


@settings(max_examples=120)
@given(cases.dossiers(is_whole=True), cases.policies(), cases.uses, cases.waivers(), cases.approvals, st.data())
def test_a_file_that_lost_an_answer_is_never_admitted(dossier, policy, use, waivers, approvals, data):
    file = data.draw(st.sampled_from([a.path for a in dossier.artifacts if not a.account.unread_bytes] or [""]))
    check = data.draw(st.sampled_from(cases.REQUIRED))
    assume(file)
    kept = tuple(f for f in dossier.findings if f.check != check or f.evidence[:1] != (Place(artifact=file),))
    judgement = judged(replace(dossier, findings=kept), policy, use, waivers=waivers, approvals=approvals)
    assert judgement.verdict.rank >= Verdict.REFER.rank


@settings(max_examples=250)
@given(
    cases.dossiers(is_whole=True),
    cases.failures,
    cases.policies(is_monotone=True),
    cases.uses,
    cases.facts,
    cases.approvals,
)
def test_a_failure_never_makes_a_policy_that_looks_for_failures_kinder(dossier, added, policy, use, facts, approvals):
    before = judged(dossier, policy, use, facts=facts, approvals=approvals)
    after = judged(_with(dossier, added), policy, use, facts=facts, approvals=approvals)
    assert after.verdict.rank >= before.verdict.rank


@settings(max_examples=250)
@given(cases.dossiers(is_whole=True), cases.policies(), cases.uses, cases.facts, cases.waivers(), cases.approvals)
def test_no_policy_is_kinder_for_the_failures_that_were_found(dossier, policy, use, facts, waivers, approvals):
    bare = replace(dossier, findings=tuple(f for f in dossier.findings if f.outcome is not Outcome.FAIL))
    given_to_both = {"facts": facts, "waivers": waivers, "approvals": approvals}
    with_failures = judged(dossier, policy, use, **given_to_both)
    assert with_failures.verdict.rank >= judged(bare, policy, use, **given_to_both).verdict.rank


@settings(max_examples=120)
@given(cases.dossiers(), cases.policies(), cases.uses, cases.facts, st.data())
def test_missing_evidence_never_admits(dossier, policy, use, facts, data):
    patterns = [pattern for rule in policy.rules for pattern in rule.needs]
    assume(patterns)
    pattern = data.draw(st.sampled_from(patterns))
    kept = tuple(f for f in dossier.findings if not matches(pattern, f.check))
    judgement = judged(replace(dossier, findings=kept), policy, use, facts=facts)
    assert judgement.verdict in (Verdict.REFER, Verdict.REFUSE)


@settings(max_examples=120)
@given(cases.dossiers(), cases.policies(), st.sampled_from([Outcome.UNKNOWN, Outcome.ERROR]), st.data())
def test_unsure_evidence_never_admits(dossier, policy, outcome, data):
    patterns = [pattern for rule in policy.rules for pattern in rule.needs]
    assume(patterns)
    pattern = data.draw(st.sampled_from(patterns))
    check = data.draw(st.sampled_from([check for check in CHECKS if matches(pattern, check)]))
    assert judged(_with(dossier, cases.finding(check, outcome)), policy).verdict.rank >= Verdict.REFER.rank


@settings(max_examples=120)
@given(cases.dossiers(), cases.policies(), cases.uses, cases.waivers(), cases.approvals, st.randoms())
def test_no_order_matters(dossier, policy, use, waivers, approvals, chance: random.Random):
    def shuffled(items):
        return chance.sample(list(items), len(items))

    first = judged(dossier, policy, use, waivers=waivers, approvals=approvals)
    second = judged(
        replace(dossier, findings=tuple(shuffled(dossier.findings)), artifacts=tuple(shuffled(dossier.artifacts))),
        replace(policy, rules=tuple(shuffled(policy.rules))),
        use,
        waivers=dict(shuffled(waivers.items())),
        approvals=approvals,
    )
    assert first == second


@given(cases.dossiers(), cases.policies(), cases.uses, cases.facts)
def test_what_was_written_and_read_back_is_judged_alike(dossier, policy, use, facts):
    assume(all(header.parameter_count < 2**53 for header in dossier.headers))
    first = judged(dossier, policy, use, facts=facts)
    second = judged(
        wire.decode(Dossier, wire.encode(dossier)),
        wire.decode(Policy, wire.encode(policy)),
        wire.decode(UseContext, wire.encode(use)),
        facts=facts,
    )
    assert wire.canonical(first.reasons) == wire.canonical(second.reasons)
    assert first == second


@settings(max_examples=120)
@given(cases.dossiers(), cases.policies())
def test_a_broken_check_or_unexplained_byte_is_beyond_any_exception(dossier, policy):
    names = [rule.id for rule in policy.rules]
    names += ["law.check-broke", "law.bytes-unexplained", "law.nothing-examined", "law.bytes-unread"]
    everything = {"waivers": {name: waiver(name) for name in names}, "approvals": {"d": cases.APPROVAL}}
    broken = _with(dossier, cases.finding("never.heard-of", Outcome.ERROR))
    assert judged(broken, policy, **everything).verdict.rank >= Verdict.REFER.rank
    strange = replace(dossier, artifacts=(*dossier.artifacts, cases.artifact("tail.bin", unexplained=1)))
    assert judged(strange, policy, **everything).verdict.rank >= Verdict.REFER.rank
    assert judged(replace(dossier, artifacts=()), policy, **everything).verdict.rank >= Verdict.REFER.rank


@settings(max_examples=120)
@given(cases.dossiers(), cases.policies())
def test_an_approval_never_lifts_a_refusal(dossier, policy):
    alone = judged(dossier, policy)
    approved = judged(dossier, policy, approvals={"d": cases.APPROVAL})
    assert approved.verdict.rank <= alone.verdict.rank
    assert (approved.verdict is Verdict.REFUSE) == (alone.verdict is Verdict.REFUSE)
    if alone.verdict.rank <= Verdict.ADMIT_WITH_CONDITIONS.rank:
        assert approved == alone


@settings(max_examples=120)
@given(cases.dossiers(), cases.policies(), cases.uses)
def test_a_verdict_is_what_its_reasons_say(dossier, policy, use):
    judgement = judged(dossier, policy, use)
    fired = {reason.effect for reason in judgement.reasons if reason.standing is Standing.FIRED}
    is_open = any(reason.standing is Standing.UNDETERMINED for reason in judgement.reasons)
    if Effect.REFUSE in fired:
        expected = Verdict.REFUSE
    elif Effect.REFER in fired or is_open:
        expected = Verdict.REFER
    else:
        expected = Verdict.ADMIT_WITH_CONDITIONS if fired else Verdict.ADMIT
    assert judgement.verdict is expected
    assert (judgement.verdict is Verdict.ADMIT_WITH_CONDITIONS) <= bool(judgement.conditions)
    assert {trace.rule for trace in judgement.trace} >= {rule.id for rule in policy.rules}
    assert all(reason.remedy and reason.message for reason in judgement.reasons)


_terms = st.one_of(
    cases.positive,
    cases.negated,
    cases.said,
    st.sampled_from(
        [
            "model.files == 1",
            "model.nope == 1",
            "licence.expressions.size() > 0",
            "measurements.size() > 0",
            "has(use.users)",
            "has(use.users) && use.users > 3",
            "use.users / 0 == 1",
            "facts.limit == 5",
            'facts.limit == "5"',
            "facts.limit + 1 > 2",
            '"safetensors" in model.formats',
            "artifacts.all(a, a.bytes.unread == 0)",
            'artifacts.filter(a, a.path.endsWith(".bin")).size() == 1',
            "findings.map(f, f.check).size() == findings.size()",
            "model.bytes.tensor > 1.5",
            'findings.exists_one(f, f.outcome == "fail")',
            "headers.exists(h, h.parameter_count > 6)",
            "model.subject",
        ]
    ),
)
_conditions = st.recursive(
    _terms,
    lambda inner: st.one_of(
        st.builds("({} && {})".format, inner, inner),
        st.builds("({} || {})".format, inner, inner),
        st.builds("!({})".format, inner),
        st.builds("({} ? {} : {})".format, inner, inner, inner),
    ),
    max_leaves=5,
)


def _oracle(condition: str, values) -> Answer:
    """The Rust engine. It raises where CEL has an error."""
    try:
        value = cel.evaluate(condition, values)
    except (RuntimeError, KeyError, TypeError, ValueError, ArithmeticError):
        return Answer.UNKNOWN
    return {True: Answer.YES, False: Answer.NO}[value] if isinstance(value, bool) else Answer.UNKNOWN


@settings(max_examples=500)
@given(_conditions, cases.dossiers(), cases.uses, cases.facts)
def test_two_engines_agree(condition, dossier, use, facts):
    values = input_values(dossier, use, facts) | {"findings": [finding_value(f) for f in dossier.findings]}
    try:
        expression = Expression(condition, rule="generated")
    except PolicyError:
        assume(False)
    assert expression.ask(Binding(values)).answer is _oracle(condition, values), condition


_texts = st.text(st.characters(), max_size=12)
_hostile = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), _texts),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_texts, inner, max_size=3)),
    max_leaves=8,
)


@settings(max_examples=60)
@given(_texts, _texts, st.dictionaries(_texts, _hostile, max_size=3), st.integers(0, 2**80))
def test_no_value_makes_an_engine_fall_over(message, name, facts, number):
    surrogate = message + "\udc80"
    header = Header(path=name, format=name, architecture=surrogate, parameter_count=number)
    unsure = replace(cases.finding(name, Outcome.UNKNOWN), message=surrogate)
    dossier = replace(CLEAN, headers=(header,), findings=(unsure,))
    evidence = Evidence(dossier, UseContext(purpose=surrogate), facts)
    touch = 'findings.exists(f, f.message == f.path) || headers.exists(h, h.architecture == "x") || facts.size() > 99'
    compiled = CompiledRule(rule=cases.rule("touch", touch), condition=Expression(touch, rule="touch"))
    reply = evidence.whole.ask(compiled)
    assert reply.answer in (Answer.YES, Answer.NO)


@given(st.binary(max_size=200))
def test_a_policy_of_any_bytes_is_refused_by_name(data):
    with pytest.raises(PolicyError):
        load_policy(data, subject="policy.yaml")


@settings(max_examples=60)
@given(
    st.integers(0, 11000),
    st.sampled_from([b"", b"\x00", b"\xff", b"&a ", b"[", b"- x: 1\n", b"!!python/name:os.system "]),
)
def test_a_damaged_policy_loads_or_is_refused(position, inserted):
    data = _SHIPPED[:position] + inserted + _SHIPPED[position + 1 :]
    with suppress(PolicyError):
        assert load_policy(data, subject="policy.yaml").policy.rules


def _shipped() -> bytes:
    from importlib.resources import files

    return (files("weighbridge.policy") / "data" / "default-1.yaml").read_bytes()


_SHIPPED = _shipped()

PADDING = 50_000


def _padded(dossier: Dossier, count: int = PADDING) -> Dossier:
    """With clean files that have their answers, and what the checks that passed say already, of each of them."""
    more = cases.answered(*(cases.artifact(f"notes/{n:06}.txt", size=1) for n in range(count)))
    passed = [finding for finding in dossier.findings if finding.outcome is Outcome.PASS]
    said = [replace(passed[n % len(passed)], message=f"of {n}") for n in range(count)]
    findings = (*dossier.findings, *more.findings, *said)
    return replace(dossier, artifacts=(*dossier.artifacts, *more.artifacts), findings=findings)


def _does_not_count(policy: Policy) -> bool:
    return not any(word in rule.when for rule in policy.rules for word in ("model.files", "size("))


@settings(max_examples=60)
@given(cases.dossiers(is_whole=True), cases.policies(), cases.uses, cases.waivers(), cases.approvals)
def test_clean_files_and_passed_checks_never_change_a_verdict(dossier, policy, use, waivers, approvals):
    given_to_both = {"waivers": waivers, "approvals": approvals}
    for judging in [DEFAULT, *([policy] if _does_not_count(policy) else [])]:
        before = judged(dossier, judging, use, **given_to_both)
        assume(not any(reason.rule == "law.nothing-examined" for reason in before.reasons))
        after = judged(_padded(dossier, 300), judging, use, **given_to_both)
        assert (after.verdict, after.conditions) == (before.verdict, before.conditions)


@pytest.mark.parametrize("findings", [(), (cases.failure("code.on-load"),)])
def test_fifty_thousand_clean_files_never_change_a_verdict(findings):
    dossier = _with(CLEAN, *findings)
    by_path = cases.policy_of(
        cases.rule("by-path", 'findings.exists(f, f.outcome == "fail" && f.path.endsWith(".pt"))'),
        cases.rule("no-scripts", 'artifacts.exists(a, a.path.endsWith(".sh"))'),
    )
    padded = _padded(dossier)
    for policy in (DEFAULT, by_path):
        before, after = judged(dossier, policy), judged(padded, policy)
        assert (after.verdict, after.reasons) == (before.verdict, before.reasons)


@pytest.mark.parametrize("outcome", [Outcome.FAIL, Outcome.UNKNOWN])
def test_fifty_thousand_failures_never_lift_a_refusal(outcome):
    trap = _with(CLEAN, cases.failure("code.on-load", path="z.pt"))
    added = [
        replace(cases.finding(f"aaa.{n % 30}", outcome, Severity.CRITICAL, f"a{n}"), message=f"{n}")
        for n in range(PADDING)
    ]
    padded = _with(trap, *added)
    by_path = cases.policy_of(cases.rule("by-path", 'findings.exists(f, f.outcome == "fail" && f.path == "z.pt")'))
    for policy in (DEFAULT, by_path):
        assert judged(padded, policy, approvals={"d": cases.APPROVAL}).verdict is Verdict.REFUSE


@settings(max_examples=40)
@given(
    cases.dossiers(is_whole=True),
    st.lists(cases.failures, min_size=1, max_size=5),
    cases.policies(is_monotone=True),
    cases.uses,
)
def test_many_failures_never_make_a_policy_kinder(dossier, added, policy, use):
    many = [replace(added[n % len(added)], message=f"{n}") for n in range(500)]
    assert judged(_with(dossier, *many), policy, use).verdict.rank >= judged(dossier, policy, use).verdict.rank
