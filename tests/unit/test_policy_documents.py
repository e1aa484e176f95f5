"""Policy files: what is read, what is refused, and what the refusal says."""

from __future__ import annotations

import pytest

from weighbridge.errors import PolicyError, UsageError
from weighbridge.policy.documents import default_policy, load_policy, load_use, shipped_policies
from weighbridge.policy.rule_tests import run_rule_tests
from weighbridge.registry import wire
from weighbridge.vocabulary import Answer, Effect, Standing, UseContext

GOOD = """
name: mine
version: 3
valid_days: 30
rules:
  - id: small
    title: the model is small
    severity: high
    effect: refer
    when: model.files > 3
    needs: [code.on-load]
    message: Too many files
    remedy: Take fewer
    tests:
      - name: one file
        expect: clear
        findings: [{check: code.on-load, outcome: pass}]
"""

DEFAULT_1 = "502460d1658d96c4189ecbea1da476281bf53b0761e05f6185bd3d70885430d9"


def _load(text: str):
    return load_policy(text.encode(), subject="mine.yaml")


def test_a_policy_is_read():
    document = _load(GOOD)
    assert (document.policy.name, document.policy.version, document.policy.valid_days) == ("mine", 3, 30)
    (rule,) = document.policy.rules
    assert (rule.id, rule.effect, rule.needs) == ("small", Effect.REFER, ("code.on-load",))
    assert document.tests[0].expect is Standing.CLEAR
    assert all(result.passed for result in run_rule_tests(document))


@pytest.mark.parametrize(
    ("old", "new", "message", "remedy"),
    [
        ("    needs:", "    neesd:", "unknown key `neesd`", "Did you mean `needs`?"),
        ("valid_days: 30", "valid_day: 30", "unknown key `valid_day`", "Did you mean `valid_days`?"),
        ("expect: clear", "exepct: clear", "unknown key `exepct`", "Did you mean `expect`?"),
        ("model.files > 3", "model.files >", "column 14", "Correct `when`"),
        ("model.files > 3", "modell.files > 3", "undeclared reference to 'modell.files'", "may use model, findings"),
        ("model.files > 3", "size(findings)", "gives INT, not true or false", "comparison"),
        ("model.files > 3", "'" + "(" * 50 + "true" + ")" * 50 + "'", "nested deeper", "Split"),
        ("severity: high", "severity: bad", "Invalid enum value 'bad' - at `$.severity`", ""),
        ("version: 3", "version: x", "Expected `int`, got `str`", ""),
        ("version: 3", "version: 0", "out of range", "`version` is 1 or more"),
        ("valid_days: 30", "valid_days: 9999", "out of range", "1 to 3650"),
        ("id: small", "id: Small Model", "unusable id", "small letters"),
        ("id: small", "id: law.small", "reserved id", "choose another"),
        ("message: Too many files", "message: ' '", "`message` is empty", ""),
        ("[code.on-load]", "['CODE ON']", "unusable need", "check id"),
        ("    remedy: Take fewer\n", "", "missing required field `remedy`", ""),
        ("expect: clear", "expect: waived", "expects waived", "fired, clear or undetermined"),
        ("outcome: pass}", "outcome: fail}", "has no severity", ""),
        ("check: code.on-load, outcome", "chekc: code.on-load, outcome", "unknown field `chekc`", ""),
        ("title: the", "id: twice\n    title: the", "`id` is given twice", "Correct that place"),
        ("name: mine", "name: &a mine", "", ""),
        ("title: the model is small", "title: *a", "aliases are not read", ""),
        ("title: the", "title: !!python/name:os.system the", "tags are not read", ""),
        ("needs: [code.on-load]", "needs: " + "[" * 20 + "]" * 20, "nested deeper than 16", ""),
        ("name: mine", "7: mine", "a key is not text", ""),
        ("rules:", "rules: []\nrest:", "unknown key `rest`", ""),
    ],
)
def test_a_fault_is_named_with_its_place_and_what_to_do(old, new, message, remedy):
    assert old in GOOD
    text = GOOD.replace(old, new, 1)
    if new == "name: &a mine":  # an anchor that nobody refers to is harmless
        assert _load(text).policy.name == "mine"
        return
    with pytest.raises(PolicyError) as caught:
        _load(text)
    assert message in caught.value.message
    assert remedy in caught.value.remedy
    assert caught.value.subject


def test_the_rule_of_a_fault_is_named():
    with pytest.raises(PolicyError) as caught:
        _load(GOOD.replace("model.files > 3", "model.files > > 3"))
    assert caught.value.subject == "small"
    assert "rule small" in caught.value.message


def test_two_rules_with_one_id_are_refused():
    twice = GOOD + GOOD[GOOD.index("  - id: small") :]
    with pytest.raises(PolicyError, match="rule small is there twice"):
        _load(twice)


@pytest.mark.parametrize(
    "text", ["", "- a", "name: x", "name: x\nrules: 3", "name: x\nversion: 1\nrules: [3]", "\x00", "a: b: c"]
)
def test_what_is_no_policy_is_refused(text):
    with pytest.raises(PolicyError):
        _load(text)


def test_a_huge_policy_is_refused_unread():
    with pytest.raises(PolicyError, match="larger than 256 KiB"):
        load_policy(b"#" * 300_000, subject="mine.yaml")


def test_yaml_words_stay_words():
    use = load_use(b"jurisdiction: NO\npurpose: 2026-11-21\nterritories: [no, on, DE]", subject="use.yaml")
    assert use == UseContext(jurisdiction="NO", purpose="2026-11-21", territories=("no", "on", "DE"))


def test_a_use_is_read_and_its_answers():
    use = load_use(b"users: 12\nis_modified: true\ntrains_other_models: no", subject="use.yaml")
    assert use == UseContext(users=12, is_modified=Answer.YES, trains_other_models=Answer.NO)


@pytest.mark.parametrize("text", ["user: 12", "users: many", "is_modified: maybe", "- users", "users: ["])
def test_a_wrong_use_is_a_usage_error(text):
    with pytest.raises(UsageError) as caught:
        load_use(text.encode(), subject="use.yaml")
    assert caught.value.remedy


def test_the_default_policy_is_the_newest_shipped_and_neutral_about_origin():
    documents = shipped_policies()
    assert default_policy() == documents[-1].policy
    assert [document.policy.version for document in documents] == list(range(1, len(documents) + 1))
    for document in documents:
        for rule in document.policy.rules:
            assert "jurisdiction" not in rule.when
            assert "lineage" not in rule.when


def test_a_published_policy_is_never_edited():
    """A digest that changes here means that old decisions lose their policy: write default-<n+1>.yaml instead."""
    assert wire.digest(shipped_policies()[0].policy) == DEFAULT_1
