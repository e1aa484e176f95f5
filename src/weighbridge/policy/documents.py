"""Policy files: rules with their tests, read strictly, every condition compiled."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from functools import cache
from importlib.resources import files
from typing import Any, TypeVar

import msgspec

from weighbridge.errors import PolicyError, UsageError
from weighbridge.policy.bounded_yaml import read_mapping, refuse_unknown_keys
from weighbridge.policy.examination import compile_policy
from weighbridge.policy.sketches import RuleTest, read_test
from weighbridge.policy.uses import read_use
from weighbridge.registry import wire
from weighbridge.vocabulary import Policy, Rule, UseContext, clip

_DOCUMENT_KEYS = ("name", "version", "valid_days", "rules")
_RULE_KEYS = (*(field.name for field in fields(Rule)), "tests")
_RULE_ID = re.compile(r"[a-z][a-z0-9]*(?:[-.][a-z0-9]+)*")
_PATTERN = re.compile(r"[a-z0-9_.*?-]{1,100}")
_LIMIT_RULES = 500
_LIMIT_DAYS = 3650
W = TypeVar("W")


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyDocument:
    """A policy as its file gives it: what is judged by, and the tests that stand beside the rules."""

    policy: Policy
    tests: tuple[RuleTest, ...]


def load_policy(data: bytes, *, subject: str) -> PolicyDocument:
    """Read a policy file.

    Args:
        data: YAML, at most 256 KiB.
        subject: what to call it in an error, usually its path.

    Raises:
        PolicyError: it is not a policy; the message names the rule and the place, the remedy what to do.
    """
    raw = read_mapping(data, subject=subject, refusal=PolicyError)
    refuse_unknown_keys(raw, _DOCUMENT_KEYS, where=subject, subject=subject, refusal=PolicyError)
    entries = raw.get("rules")
    if not isinstance(entries, list) or not 0 < len(entries) <= _LIMIT_RULES:
        remedy = "Write `rules:` with a list below it."
        raise PolicyError(f"{subject} has no list of 1 to {_LIMIT_RULES} rules", subject=subject, remedy=remedy)
    read = [_read_rule(entry, position) for position, entry in enumerate(entries, 1)]
    _refuse_twins([rule.id for rule, _ in read], subject)
    policy = _convert({**raw, "rules": ()}, Policy, where=subject, subject=subject)
    policy = Policy(
        name=policy.name, version=policy.version, valid_days=policy.valid_days, rules=tuple(rule for rule, _ in read)
    )
    if not policy.name.strip() or policy.version < 1 or not 1 <= policy.valid_days <= _LIMIT_DAYS:
        remedy = f"`name` is not empty, `version` is 1 or more, `valid_days` is 1 to {_LIMIT_DAYS}."
        raise PolicyError(f"{subject}: name, version or valid_days is out of range", subject=subject, remedy=remedy)
    compile_policy(policy)
    return PolicyDocument(policy=policy, tests=tuple(test for _, tests in read for test in tests))


@cache
def shipped_policies() -> tuple[PolicyDocument, ...]:
    """Every version of the default policy, oldest first: old decisions keep theirs."""
    folder = files("weighbridge.policy") / "data"
    names = sorted(
        (path.name for path in folder.iterdir() if re.fullmatch(r"default-[1-9][0-9]*\.yaml", path.name)),
        key=lambda name: int(name.removeprefix("default-").removesuffix(".yaml")),
    )
    return tuple(load_policy((folder / name).read_bytes(), subject=name) for name in names)


def default_policy() -> Policy:
    """The newest default policy: for an organisation with no policy yet, neutral about where a model was made."""
    return shipped_policies()[-1].policy


def load_use(data: bytes, *, subject: str) -> UseContext:
    """Read a use: a YAML mapping with the fields of `UseContext`; what is left out is not said.

    Raises:
        UsageError: an unknown field, or a value of the wrong kind.
    """
    raw = read_mapping(data, subject=subject, refusal=UsageError)
    return read_use(raw, where=subject, subject=subject, refusal=UsageError)


def _read_rule(entry: Any, position: int) -> tuple[Rule, tuple[RuleTest, ...]]:
    name = entry.get("id") if isinstance(entry, dict) else None
    label = clip(name, 60) if isinstance(name, str) else f"number {position}"
    if not isinstance(entry, dict):
        raise PolicyError(f"rule {label} is not a mapping", subject=label, remedy="Start it with `- id:`.")
    refuse_unknown_keys(entry, _RULE_KEYS, where=f"rule {label}", subject=label, refusal=PolicyError)
    given = {key: value for key, value in entry.items() if key != "tests"}
    rule = _convert(given, Rule, where=f"rule {label}", subject=label)
    _refuse_bad_rule(rule)
    tests = entry.get("tests", [])
    if not isinstance(tests, list):
        raise PolicyError(f"rule {label}: `tests` is not a list", subject=label, remedy="Start each with `- name:`.")
    return rule, tuple(read_test(test, rule=rule.id, position=number) for number, test in enumerate(tests, 1))


def _refuse_bad_rule(rule: Rule) -> None:
    if not _RULE_ID.fullmatch(rule.id) or len(rule.id) > 80:
        remedy = "Use small letters, digits, hyphens and dots: `no-code-in-weights`."
        raise PolicyError(f"rule {clip(rule.id, 60)} has an unusable id", subject=clip(rule.id, 60), remedy=remedy)
    if rule.id.startswith("law."):
        remedy = "Ids beginning with `law.` belong to weighbridge; choose another."
        raise PolicyError(f"rule {rule.id} takes a reserved id", subject=rule.id, remedy=remedy)
    for field in ("title", "message", "remedy", "when"):
        if not getattr(rule, field).strip():
            raise PolicyError(f"rule {rule.id}: `{field}` is empty", subject=rule.id, remedy=f"Write a {field}.")
    for pattern in rule.needs:
        if not _PATTERN.fullmatch(pattern):
            remedy = "A need is a check id in which `*` stands for any characters: `pickle.*`."
            raise PolicyError(f"rule {rule.id}: unusable need `{clip(pattern, 60)}`", subject=rule.id, remedy=remedy)


def _refuse_twins(ids: list[str], subject: str) -> None:
    for rule in ids:
        if ids.count(rule) > 1:
            raise PolicyError(f"{subject}: rule {rule} is there twice", subject=rule, remedy="Give one another id.")


def _convert(raw: dict[str, Any], kind: type[W], *, where: str, subject: str) -> W:
    try:
        return wire.convert(kind, raw)
    except msgspec.ValidationError as problem:
        remedy = "`weighbridge policy explain` shows rules that are right."
        raise PolicyError(f"{where}: {clip(str(problem))}", subject=subject, remedy=remedy) from problem
