"""Tests that stand beside a rule: a sketch of a dossier, and how the rule must come out on it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import msgspec

from weighbridge.errors import PolicyError
from weighbridge.policy.bounded_yaml import refuse_unknown_keys
from weighbridge.policy.uses import read_use
from weighbridge.registry import wire
from weighbridge.vocabulary import (
    Artifact,
    ByteAccount,
    Dossier,
    Evidence,
    Finding,
    Header,
    Outcome,
    Severity,
    Standing,
    UseContext,
    clip,
)

SUBJECT = "0" * 64
"""The subject of every sketched dossier."""

EXPECTED = (Standing.FIRED, Standing.CLEAR, Standing.UNDETERMINED)
_KEYS = ("name", "expect", "findings", "artifacts", "headers", "use", "facts")


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleTest:
    """One test of one rule. `expect` is FIRED, CLEAR or UNDETERMINED."""

    rule: str
    name: str
    expect: Standing
    dossier: Dossier
    use: UseContext
    facts: dict[str, Any]


class _FindingSketch(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    check: str
    outcome: Outcome
    severity: Severity | None = None
    message: str = "sketched"
    path: str = ""


class _ArtifactSketch(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    path: str = "model.safetensors"
    format: str = "safetensors"
    size_bytes: int = 1000
    unexplained_bytes: int = 0
    unread_bytes: int = 0


class _TestSketch(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    name: str
    expect: Standing
    findings: tuple[_FindingSketch, ...] = ()
    artifacts: tuple[_ArtifactSketch, ...] = (_ArtifactSketch(),)
    headers: tuple[Header, ...] = ()
    facts: dict[str, Any] = {}


def read_test(raw: Any, *, rule: str, position: int) -> RuleTest:
    """One entry of a rule's `tests`.

    Raises:
        PolicyError: it is not a test; the message names the rule and the test.
    """
    name = raw.get("name") if isinstance(raw, dict) else None
    where = f"rule {rule}, test {clip(name, 60) if isinstance(name, str) else position}"
    if not isinstance(raw, dict):
        raise PolicyError(f"{where} is not a mapping", subject=rule, remedy="Start it with `- name:`.")
    refuse_unknown_keys(raw, _KEYS, where=where, subject=rule, refusal=PolicyError)
    use = read_use(raw.get("use", {}), where=f"{where}, use", subject=rule, refusal=PolicyError)
    for header in raw.get("headers") or ():
        if isinstance(header, dict):
            known = (field.name for field in fields(Header))
            refuse_unknown_keys(header, known, where=f"{where}, header", subject=rule, refusal=PolicyError)
    try:
        sketch = wire.convert(_TestSketch, {key: value for key, value in raw.items() if key != "use"})
        findings = tuple(_finding(entry) for entry in sketch.findings)
    except (msgspec.ValidationError, ValueError) as problem:
        remedy = "A test has `name`, `expect` and `findings` with `check`, `outcome` and, for a failure, `severity`."
        raise PolicyError(f"{where}: {clip(str(problem))}", subject=rule, remedy=remedy) from problem
    if sketch.expect not in EXPECTED:
        raise PolicyError(
            f"{where} expects {sketch.expect.value}", subject=rule, remedy="Use fired, clear or undetermined."
        )
    artifacts = tuple(_artifact(entry) for entry in sketch.artifacts)
    dossier = Dossier(subject=SUBJECT, artifacts=artifacts, headers=sketch.headers, findings=findings)
    return RuleTest(rule=rule, name=sketch.name, expect=sketch.expect, dossier=dossier, use=use, facts=sketch.facts)


def _finding(sketch: _FindingSketch) -> Finding:
    if sketch.outcome is Outcome.FAIL and sketch.severity is None:
        raise ValueError(f"the failed check {clip(sketch.check, 60)} has no severity")
    return Finding(
        check=sketch.check,
        outcome=sketch.outcome,
        severity=sketch.severity or Severity.NONE,
        message=sketch.message,
        evidence=(Evidence(artifact=sketch.path),) if sketch.path else (),
    )


def _artifact(sketch: _ArtifactSketch) -> Artifact:
    explained = max(0, sketch.size_bytes - sketch.unexplained_bytes - sketch.unread_bytes)
    return Artifact(
        path=sketch.path,
        size_bytes=sketch.size_bytes,
        sha256=SUBJECT,
        format=sketch.format,
        account=ByteAccount(
            tensor_bytes=explained, unexplained_bytes=sketch.unexplained_bytes, unread_bytes=sketch.unread_bytes
        ),
    )
