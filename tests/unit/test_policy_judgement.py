"""Verdicts case by case: what fires, what stays open, what a waiver or an approval lifts."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from tests.policy_cases import (
    APPROVAL,
    CLEAN,
    NOW,
    REQUIRED,
    SUBJECT,
    answered,
    artifact,
    failure,
    finding,
    judged,
    policy_of,
    rule,
    waiver,
)
from weighbridge.errors import PolicyError, UsageError
from weighbridge.policy.documents import default_policy
from weighbridge.policy.explanation import grouped
from weighbridge.policy.judgement import approval_binds, judge
from weighbridge.registry import wire
from weighbridge.vocabulary import (
    Answer,
    Decision,
    Effect,
    Outcome,
    Scope,
    Severity,
    Standing,
    Unread,
    UseContext,
    Verdict,
)

DEFAULT = default_policy()
BOOBY_TRAP = (
    failure("code.on-load", path="optimizer.pt"),
    failure("pickle.calls-unsafe-global", path="optimizer.pt!data.pkl"),
)
APPROVED = {"e" * 64: APPROVAL}


def _with(*findings):
    return replace(CLEAN, findings=(*CLEAN.findings, *findings))


def _reason(judgement, rule_id):
    return next(reason for reason in judgement.reasons if reason.rule == rule_id)


def test_a_clean_model_is_admitted_without_a_word():
    judgement = judged(CLEAN, DEFAULT)
    assert judgement.verdict is Verdict.ADMIT
    assert judgement.reasons == judgement.conditions == ()
    assert {trace.standing for trace in judgement.trace} == {Standing.CLEAR}
    assert judgement.expires_at == NOW + timedelta(days=180)


def test_code_in_weights_is_refused_with_the_findings_it_rests_on():
    judgement = judged(_with(*BOOBY_TRAP), DEFAULT)
    assert judgement.verdict is Verdict.REFUSE
    (reason,) = judgement.reasons
    assert reason.rule == "no-code-in-weights"
    assert reason.findings == BOOBY_TRAP
    assert "safetensors" in reason.remedy


def test_a_proven_failure_stands_when_other_parts_broke():
    judgement = judged(_with(*BOOBY_TRAP, finding("plugin.formats", Outcome.ERROR)), DEFAULT)
    assert judgement.verdict is Verdict.REFUSE
    assert [reason.rule for reason in judgement.reasons] == ["no-code-in-weights", "law.check-broke"]


def test_a_waiver_lifts_a_refusal_and_becomes_a_condition():
    given = {"f" * 64: waiver("no-code-in-weights")}
    judgement = judged(_with(*BOOBY_TRAP), DEFAULT, waivers=given)
    assert judgement.verdict is Verdict.ADMIT_WITH_CONDITIONS
    assert judgement.conditions == (
        "no-code-in-weights: runs in a sandbox without network (waived by ada until 2026-12-21)",
    )
    assert _reason(judgement, "no-code-in-weights").standing is Standing.WAIVED
    assert judgement.expires_at == NOW + timedelta(days=30)


def test_an_approval_does_not_lift_a_refusal():
    assert judged(_with(*BOOBY_TRAP), DEFAULT, approvals=APPROVED).verdict is Verdict.REFUSE


@pytest.mark.parametrize(
    "changed",
    [
        {"rule": "another-rule"},
        {"scope": Scope(subject="0" * 64)},
        {"scope": Scope(subject=SUBJECT, use="0" * 64)},
        {"issued_at": NOW + timedelta(seconds=1)},
        {"until": NOW},
        {"issued_at": NOW - timedelta(days=160), "until": NOW + timedelta(days=20, seconds=1)},
        {"issued_at": datetime(2026, 11, 20)},  # a time without a zone is the case
        {"until": datetime(2026, 12, 20)},
    ],
    ids=["rule", "subject", "use", "not yet", "run out", "over 180 days", "naive start", "naive end"],
)
def test_a_waiver_that_does_not_cover_changes_nothing(changed):
    given = {"f" * 64: waiver("no-code-in-weights", **changed)}
    assert judged(_with(*BOOBY_TRAP), DEFAULT, waivers=given) == judged(_with(*BOOBY_TRAP), DEFAULT)


def test_a_waiver_covers_180_days_and_one_use():
    use = UseContext(purpose="chat")
    longest = waiver(
        "no-code-in-weights",
        issued_at=NOW,
        until=NOW + timedelta(days=180),
        scope=Scope(subject=SUBJECT, use=wire.digest(use)),
    )
    assert judged(_with(*BOOBY_TRAP), DEFAULT, use, waivers={"f": longest}).verdict is Verdict.ADMIT_WITH_CONDITIONS
    assert judged(_with(*BOOBY_TRAP), DEFAULT, waivers={"f": longest}).verdict is Verdict.REFUSE


def test_of_two_waivers_the_longer_counts_and_its_date_is_utc():
    east = timezone(timedelta(hours=10))
    given = {
        "1": waiver("no-code-in-weights"),
        "2": waiver("no-code-in-weights", until=datetime(2027, 1, 1, 5, tzinfo=east)),
    }
    judgement = judged(_with(*BOOBY_TRAP), DEFAULT, waivers=given)
    assert judgement.conditions[0].endswith("until 2026-12-31)")


def test_an_unknown_is_referred_and_can_be_approved():
    unsure = _with(finding("pickle.unlisted-global", Outcome.UNKNOWN, Severity.MEDIUM, "a.bin"))
    assert judged(unsure, DEFAULT).verdict is Verdict.REFER
    judgement = judged(unsure, DEFAULT, approvals=APPROVED)
    assert judgement.verdict is Verdict.ADMIT_WITH_CONDITIONS
    assert judgement.conditions == ("unlisted-classes: approved by grace: looked at it",)


def test_an_undetermined_rule_says_what_is_missing():
    judgement = judged(replace(CLEAN, findings=(finding("bytes.accounted"),)), DEFAULT)
    reason = _reason(judgement, "no-code-in-weights")
    assert judgement.verdict is Verdict.REFER
    assert reason.standing is Standing.UNDETERMINED
    assert "no check answers code.on-load" in reason.message
    assert next(t for t in judgement.trace if t.rule == "no-code-in-weights").missing == ("code.on-load",)


def test_a_broken_check_can_be_neither_waived_nor_approved():
    broken = _with(finding("code.on-load", Outcome.ERROR))
    given = {"1": waiver("no-code-in-weights"), "2": waiver("law.check-broke")}
    judgement = judged(broken, DEFAULT, waivers=given, approvals=APPROVED)
    assert judgement.verdict is Verdict.REFER
    assert _reason(judgement, "no-code-in-weights").standing is Standing.UNDETERMINED
    assert _reason(judgement, "law.check-broke").standing is Standing.FIRED


def test_unread_bytes_take_an_approval_or_a_waiver_that_names_the_law():
    unread = replace(CLEAN, artifacts=(*CLEAN.artifacts, artifact("logo.png", unread=5)))
    listed = replace(CLEAN, unread=(Unread(path="logo.png", size_bytes=5, reason="no reader"),))
    for dossier in (unread, listed):
        judgement = judged(dossier, DEFAULT)
        assert [reason.rule for reason in judgement.reasons] == ["law.bytes-unread"]
        assert judgement.reasons[0].message == "nobody examined 5 bytes in logo.png"
        assert judged(dossier, DEFAULT, approvals=APPROVED).verdict is Verdict.ADMIT_WITH_CONDITIONS
        waived = judged(dossier, DEFAULT, waivers={"1": waiver("law.bytes-unread")})
        assert waived.verdict is Verdict.ADMIT_WITH_CONDITIONS


@pytest.mark.parametrize("account", [artifact(unexplained=3), replace(artifact(), size_bytes=1003)])
def test_unexplained_bytes_and_accounts_that_do_not_add_up_are_referred(account):
    empty = policy_of()
    judgement = judged(
        replace(CLEAN, artifacts=(account,)), empty, waivers={"1": waiver("law.bytes-unexplained")}, approvals=APPROVED
    )
    assert judgement.verdict is Verdict.REFER
    assert "3 bytes belong to nothing" in judgement.reasons[0].message


def test_a_failure_that_no_rule_looks_at_is_referred_until_approved():
    odd = _with(failure("never.heard-of", Severity.MEDIUM))
    blind = policy_of(rule("other", 'findings.exists(f, f.check == "a.b")', needs=("code.on-load",)))
    judgement = judged(odd, blind)
    assert [reason.rule for reason in judgement.reasons] == ["law.failure-not-covered"]
    assert judgement.reasons[0].findings == (failure("never.heard-of", Severity.MEDIUM),)
    assert judged(odd, blind, waivers={"1": waiver("law.failure-not-covered")}).verdict is Verdict.REFER
    assert judged(odd, blind, approvals=APPROVED).verdict is Verdict.ADMIT_WITH_CONDITIONS
    assert judged(_with(failure("never.heard-of", Severity.LOW)), blind).verdict is Verdict.ADMIT


def test_a_rule_that_fires_for_another_reason_does_not_cover_a_failure():
    odd = _with(failure("never.heard-of"))
    always = policy_of(rule("always", "model.files > 0", Effect.CONDITION))
    assert judged(odd, always).verdict is Verdict.REFER
    sees = policy_of(rule("sees", 'findings.exists(f, f.outcome == "fail")', Effect.CONDITION))
    assert judged(_with(failure("never.heard-of", Severity.MEDIUM)), sees).verdict is Verdict.ADMIT_WITH_CONDITIONS


@pytest.mark.parametrize("severity", [Severity.HIGH, Severity.CRITICAL, Severity.UNKNOWN])
def test_a_condition_does_not_cover_a_grave_failure(severity):
    trap = _with(failure("code.on-load", severity))
    adds = rule("adds", 'findings.exists(f, f.outcome == "fail")', Effect.CONDITION, needs=("code.on-load",))
    judgement = judged(trap, policy_of(adds))
    assert judgement.verdict is Verdict.REFER
    assert _reason(judgement, "law.failure-not-covered").findings == (failure("code.on-load", severity),)
    refers = rule("refers", 'findings.exists(f, f.outcome == "fail")', Effect.REFER)
    assert [r.rule for r in judged(trap, policy_of(adds, refers)).reasons] == ["refers", "adds"]


def test_nothing_examined_is_never_admitted():
    no_bytes = replace(CLEAN, artifacts=(artifact(size=0), artifact("logo.png", size=5, unread=5)))
    for dossier in (replace(CLEAN, artifacts=()), replace(CLEAN, findings=()), no_bytes):
        judgement = judged(dossier, policy_of(), waivers={"1": waiver("law.nothing-examined")}, approvals=APPROVED)
        assert judgement.verdict is Verdict.REFER
        assert judgement.reasons[0].rule == "law.nothing-examined"


LAX = policy_of(rule("lax", "false"))


@pytest.mark.parametrize("policy", [DEFAULT, LAX])
@pytest.mark.parametrize("silent", REQUIRED)
def test_an_answer_for_one_file_is_none_for_another(silent, policy):
    whole = answered(artifact(), artifact("config.json"))
    assert judged(whole, policy).verdict is Verdict.ADMIT
    kept = tuple(f for f in whole.findings if f != finding(silent, path="config.json"))
    given = {"approvals": APPROVED, "waivers": {"1": waiver("law.file-not-examined")}}
    judgement = judged(replace(whole, findings=kept), policy, **given)
    assert judgement.verdict is Verdict.REFER
    assert [reason.message for reason in judgement.reasons] == [f"nothing answers {silent} for config.json"]


@pytest.mark.parametrize("silent", REQUIRED)
def test_what_no_file_answers_is_asked_under_every_policy(silent):
    """A policy that needs nothing is no reason to do without."""
    kept = tuple(f for f in CLEAN.findings if f.check != silent)
    judgement = judged(replace(CLEAN, findings=kept), LAX, approvals=APPROVED)
    assert judgement.verdict is Verdict.REFER
    assert _reason(judgement, "law.file-not-examined").message == f"nothing answers {silent} for model.safetensors"


@pytest.mark.parametrize("policy", [DEFAULT, LAX])
def test_that_every_file_was_examined_has_to_be_said(policy):
    kept = tuple(f for f in CLEAN.findings if f.check != "inspection.examined")
    judgement = judged(replace(CLEAN, findings=kept), policy, approvals=APPROVED)
    assert judgement.verdict is Verdict.REFER
    assert [reason.message for reason in judgement.reasons] == ["nothing says whether every file was examined"]


def test_a_file_without_bytes_or_with_unread_ones_needs_no_answers_of_its_own():
    """Nothing can be said of the first; the second has a law of its own, which a person may lift."""
    files = (*CLEAN.artifacts, artifact("empty.txt", size=0))
    assert judged(replace(CLEAN, artifacts=files), DEFAULT).verdict is Verdict.ADMIT
    judgement = judged(replace(CLEAN, artifacts=(*files, artifact("logo.png", unread=5))), DEFAULT)
    assert [reason.rule for reason in judgement.reasons] == ["law.bytes-unread"]


def test_a_member_of_an_archive_answers_for_its_file_and_a_file_of_such_a_name_does_not():
    for_member = replace(CLEAN, findings=answered(artifact("model.safetensors!data.pkl")).findings)
    assert judged(for_member, DEFAULT).verdict is Verdict.ADMIT
    files = (artifact(), artifact("model.safetensors!data.pkl"))
    judgement = judged(replace(for_member, artifacts=files), DEFAULT, approvals=APPROVED)
    assert _reason(judgement, "law.file-not-examined").message.endswith(" for model.safetensors")


def test_a_failure_answers_for_its_file_where_it_is_grave():
    kept = tuple(f for f in CLEAN.findings if f.check != "code.on-load")
    waived = {"waivers": {"1": waiver("no-code-in-weights")}, "approvals": APPROVED}
    for severity, verdict in ((Severity.LOW, Verdict.REFER), (Severity.HIGH, Verdict.ADMIT_WITH_CONDITIONS)):
        found = replace(CLEAN, findings=(*kept, failure("code.on-load", severity, "model.safetensors")))
        assert judged(found, DEFAULT, **waived).verdict is verdict
        assert judged(found, LAX).verdict is Verdict.REFER


def test_what_nobody_said_is_undetermined():
    asks = policy_of(rule("few-users", "use.users > 1000"))
    assert judged(CLEAN, asks).verdict is Verdict.REFER
    assert judged(CLEAN, asks, UseContext(users=5)).verdict is Verdict.ADMIT
    assert judged(CLEAN, asks, UseContext(users=5000)).verdict is Verdict.REFUSE
    modified = policy_of(rule("unmodified", "use.is_modified"))
    assert judged(CLEAN, modified, UseContext(is_modified=Answer.NO)).verdict is Verdict.ADMIT
    assert judged(CLEAN, modified, UseContext(is_modified=Answer.UNKNOWN)).verdict is Verdict.REFER


@pytest.mark.parametrize("variable", ["licence.expressions", "measurements", "lineage", "headers", "facts.eu"])
def test_evidence_that_does_not_exist_is_undetermined(variable):
    assert judged(CLEAN, policy_of(rule("asks", f'size({variable}) == 0 && "x" == "y" + ""'))).verdict is Verdict.ADMIT
    assert judged(CLEAN, policy_of(rule("asks", f"size({variable}) > 99"))).verdict is Verdict.REFER


def test_a_condition_that_is_not_a_boolean_is_undetermined():
    judgement = judged(CLEAN, policy_of(rule("odd", "model.subject")))
    assert judgement.verdict is Verdict.REFER
    assert judgement.trace[0].said == "STRING, not true or false"
    assert "neither true nor false" in judgement.reasons[0].message


@pytest.mark.parametrize(
    ("when", "words"),
    [
        ("1 / use.users > 5", "cannot be worked out"),
        ('int(use.purpose) > 5 || use.owner == ""', "cannot be worked out"),
        ("use.purpose.matches(use.purpose)", "cannot be worked out"),
        ("model.subject", "neither true nor false"),
        ("artifacts.exists(a, artifacts.exists(b, a.path == b.path + '!'))", "more to look through"),
    ],
)
@pytest.mark.parametrize("effect", [Effect.REFUSE, Effect.REFER])
def test_a_condition_that_cannot_be_worked_out_can_be_neither_waived_nor_approved(when, words, effect):
    large = answered(*(artifact(f"{n}") for n in range(200)))
    use = UseContext(purpose="Key not found in map ((", users=0)
    lifting = {"waivers": {"1": waiver("odd")}, "approvals": APPROVED}
    judgement = judged(large, policy_of(rule("odd", when, effect)), use, **lifting)
    assert judgement.verdict is Verdict.REFER
    assert judgement.reasons[0].standing is Standing.UNDETERMINED
    assert words in judgement.reasons[0].message
    assert "nobody can approve or waive it" in judgement.reasons[0].remedy


@pytest.mark.parametrize("when", ["use.users > 5", "use.purpose > 5", "use.owner.name == '' || false", "headers[3].x"])
def test_what_nobody_said_can_be_approved(when):
    use = UseContext(purpose="chat")
    judgement = judged(CLEAN, policy_of(rule("asks", when)), use)
    assert judgement.verdict is Verdict.REFER
    assert "nobody said" in judgement.reasons[0].message
    assert judged(CLEAN, policy_of(rule("asks", when)), use, approvals=APPROVED).verdict.rank < Verdict.REFER.rank


def test_a_waiver_goes_before_an_approval_and_bounds_the_decision():
    lifting = {"waivers": {"1": waiver("law.bytes-unread"), "2": waiver("asks")}, "approvals": APPROVED}
    unread = replace(CLEAN, unread=(Unread(path="logo.png", size_bytes=5, reason="no reader"),))
    judgement = judged(unread, policy_of(rule("asks", "use.users > 5", Effect.REFER)), **lifting)
    assert {reason.standing for reason in judgement.reasons} == {Standing.WAIVED}
    assert judgement.expires_at == NOW + timedelta(days=30)


def test_a_decision_ends_with_what_was_approved():
    unsure = _with(finding("pickle.unlisted-global", Outcome.UNKNOWN, Severity.MEDIUM, "a.bin"))
    end = NOW + timedelta(days=3)
    assert judged(unsure, DEFAULT, approvals=APPROVED, approvals_end=end).expires_at == end
    assert judged(CLEAN, DEFAULT, approvals=APPROVED, approvals_end=end).expires_at == NOW + timedelta(days=180)
    with pytest.raises(UsageError, match="approvals_end"):
        judged(CLEAN, DEFAULT, approvals_end=datetime(2026, 12, 1))


def test_reasons_that_one_look_would_answer_stand_together_with_one_remedy():
    picture = [
        finding(check, Outcome.UNKNOWN, Severity.HIGH, "logo.png")
        for check in ("code.on-load", "bytes.accounted", "format.recognised")
    ]
    artifacts = (*CLEAN.artifacts, artifact("logo.png", size=9, unread=9))
    judgement = judged(replace(CLEAN, artifacts=artifacts, findings=(*CLEAN.findings, *picture)), DEFAULT)
    groups = grouped(judgement.reasons)
    assert sorted(len(group) for group in groups) == [1, 1, len(judgement.reasons) - 2]
    [largest] = [group for group in groups if len(group) > 1]
    assert {reason.standing for reason in largest} == {Standing.UNDETERMINED}
    assert {reason.remedy for reason in largest} == {
        "Admit the model without logo.png if nothing needs it; else have a reviewer look at it and approve the decision."
    }
    assert [reason for group in groups for reason in group if reason not in judgement.reasons] == []


def test_reasons_about_different_files_stand_apart():
    files = answered(artifact(), artifact("a.bin"), artifact("b.bin"))
    unsure = (
        finding("code.on-load", Outcome.UNKNOWN, path="a.bin!data.pkl"),
        finding("bytes.accounted", Outcome.UNKNOWN, path="b.bin"),
    )
    groups = grouped(judged(replace(files, findings=(*files.findings, *unsure)), DEFAULT).reasons)
    assert {reason.remedy.partition(" if ")[0] for group in groups for reason in group} == {
        "Admit the model without a.bin",
        "Admit the model without b.bin",
    }
    assert len(groups) == 2


def test_negation_is_not_fooled_by_a_failure():
    no_remote = policy_of(rule("absent", '!findings.exists(f, f.check == "x.y")', Effect.REFUSE))
    assert judged(CLEAN, no_remote).verdict is Verdict.REFUSE
    assert judged(_with(failure("x.y")), no_remote).verdict is Verdict.REFUSE


def test_a_failed_check_is_not_the_evidence_a_rule_asks_for():
    asks = policy_of(rule("asks", "false", needs=("x.y",)))
    assert judged(_with(failure("x.y", Severity.LOW)), asks).verdict is Verdict.REFER
    assert judged(_with(failure("x.y", Severity.LOW), finding("x.y")), asks).verdict is Verdict.ADMIT


def test_a_condition_rule_adds_its_message_and_cannot_be_approved_away():
    conditional = policy_of(rule("log-it", "true", Effect.CONDITION))
    judgement = judged(CLEAN, conditional, approvals=APPROVED)
    assert judgement.verdict is Verdict.ADMIT_WITH_CONDITIONS
    assert judgement.conditions == ("log-it: message of log-it",)
    waived = judged(CLEAN, conditional, waivers={"1": waiver("log-it", control="", reason="not here")})
    assert waived.conditions == ("log-it: not here (waived by ada until 2026-12-21)",)


def test_a_condition_rule_that_cannot_tell_is_referred_even_where_it_holds():
    conditional = policy_of(rule("log-it", "true", Effect.CONDITION, needs=("x.y",)))
    assert judged(CLEAN, conditional).verdict is Verdict.REFER
    approved = judged(CLEAN, conditional, approvals=APPROVED)
    assert approved.conditions == ("log-it: approved by grace: looked at it", "log-it: message of log-it")


def test_the_engine_s_words_stay_out_of_what_is_signed():
    judgement = judged(CLEAN, policy_of(rule("asks", "use.users > 1")))
    assert "Key not found" in judgement.trace[0].said
    assert b"Key not found" not in wire.canonical(judgement.reasons)


def test_a_condition_that_does_not_compile_names_rule_and_column():
    with pytest.raises(PolicyError) as caught:
        judged(CLEAN, policy_of(rule("typo", "modle.files > 1")))
    assert caught.value.subject == "typo"
    assert "column 6" in caught.value.message
    assert "model" in caught.value.remedy


def test_judging_takes_a_time_with_a_zone_and_facts_that_are_json():
    with pytest.raises(UsageError):
        judged(CLEAN, DEFAULT, now=datetime(2026, 11, 21))
    with pytest.raises(UsageError):
        judge(CLEAN, DEFAULT, UseContext(), waivers={}, approvals={}, facts={"x": object()}, now=NOW)


def test_an_approval_binds_to_what_was_shown():
    digests = {"subject": "1" * 64, "dossier": "2" * 64, "policy": "3" * 64, "use": "4" * 64}
    earlier = Decision(
        **digests,
        waivers=(),
        approvals=(),
        facts="5" * 64,
        engine="weighbridge-policy/1",
        verdict=Verdict.REFER,
        reasons=(),
        conditions=(),
        decided_at=datetime(2026, 1, 1, tzinfo=UTC),
        expires_at=datetime(2026, 2, 1, tzinfo=UTC),
    )
    shortly_before = earlier.expires_at - timedelta(seconds=1)
    assert approval_binds(earlier, **digests, now=shortly_before)
    assert not approval_binds(earlier, **digests, now=earlier.expires_at)
    for name in digests:
        assert not approval_binds(earlier, **{**digests, name: "0" * 64}, now=shortly_before)


def test_a_reason_names_the_worst_hundred_findings():
    many = _with(
        *(replace(failure("pickle.calls", Severity.HIGH), message=f"call {n}") for n in range(150)), *BOOBY_TRAP
    )
    reason = judged(many, DEFAULT).reasons[0]
    assert len(reason.findings) == 100
    assert reason.findings[:2] == BOOBY_TRAP
