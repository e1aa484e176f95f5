"""What a rule can see: a dossier, a use and facts as the variables of its expression.

Only what is known is bound. A use that nobody described has no `use.users`; a dossier without measurements has no
`measurements`. Touching what is not there is an error of the expression, so the rule is undetermined, never clear by
accident. `input_schema` is the same in JSON Schema, for people who keep their rules in another engine.

Of findings, a rule sees every one that is FAIL, ERROR or UNKNOWN, the worst first, as it is. Those that are PASS or
NOT_APPLICABLE it sees once for each check, outcome and severity, without message and paths: that a check answered, not how
often. So no number of clean files changes what a rule about findings says. Artifacts, headers, measurements and lineage
are bound in full; `paging` bounds what one evaluation looks through.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from importlib.resources import files
from typing import Any

from weighbridge.errors import UsageError
from weighbridge.registry import wire
from weighbridge.vocabulary import (
    Answer,
    Artifact,
    ByteAccount,
    Dossier,
    Fact,
    Finding,
    Header,
    LineageEdge,
    Measurement,
    Outcome,
    Severity,
    UseContext,
)

INTEGER_LIMIT = 2**63 - 1
"""CEL integers are 64 bits. A number beyond that is not bound: a header can claim anything."""

QUIET = (Outcome.PASS, Outcome.NOT_APPLICABLE)
"""Outcomes of which a rule sees only the kind."""

_RANKS = {severity.value: severity.rank for severity in Severity}


def input_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of the input that rules see."""
    schema: dict[str, Any] = json.loads((files("weighbridge.policy") / "data" / "input-1.schema.json").read_bytes())
    return schema


def input_values(dossier: Dossier, use: UseContext, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Everything but the findings, by variable name; absent keys are not known.

    Raises:
        UsageError: `facts` holds something that JSON cannot.
    """
    values: dict[str, Any] = {
        "model": _model(dossier),
        "artifacts": [_artifact(artifact) for artifact in dossier.artifacts],
        "headers": [_header(header) for header in dossier.headers],
        "measurements": [_measurement(measurement) for measurement in dossier.measurements],
        "lineage": [_edge(edge) for edge in dossier.lineage],
    }
    values = {name: value for name, value in values.items() if value}
    if dossier.licence:
        values["licence"] = {"expressions": sorted({_text(terms.spdx_expression) for terms in dossier.licence})}
    values["use"] = use_values(use)
    values["facts"] = _facts(facts)
    return values


def findings_values(findings: Iterable[Finding]) -> list[dict[str, Any]]:
    """`findings` in full: what is wrong or open as it is and in the order given, then one kind each of the rest."""
    listed = list(findings)
    values = [finding_value(finding) for finding in listed if finding.outcome not in QUIET]
    return values + kinds_values(finding for finding in listed if finding.outcome in QUIET)


def kinds_values(findings: Iterable[Finding]) -> list[dict[str, Any]]:
    """One value for each check, outcome and severity, sorted, without message and paths."""
    kinds = {(finding.check, finding.outcome.value, finding.severity.value) for finding in findings}
    return [
        {"check": _text(check), "outcome": outcome, "severity": severity, "severity_rank": _RANKS[severity]}
        for check, outcome, severity in sorted(kinds)
    ]


def finding_value(finding: Finding) -> dict[str, Any]:
    """One finding that is wrong or open as `findings` holds it."""
    paths = [_text(evidence.artifact) for evidence in finding.evidence]
    return {
        "check": _text(finding.check),
        "outcome": finding.outcome.value,
        "severity": finding.severity.value,
        "severity_rank": _RANKS[finding.severity.value],
        "message": _text(finding.message),
        "path": paths[0] if paths else "",
        "paths": paths,
    }


def use_values(use: UseContext) -> dict[str, Any]:
    """A use without what nobody said."""
    said: dict[str, Any] = {}
    for field in fields(use):
        value = getattr(use, field.name)
        match value:
            case "" | None | () | Answer.UNKNOWN:
                continue
            case Answer():
                said[field.name] = value is Answer.YES
            case tuple():
                said[field.name] = [_text(item) for item in value]
            case str():
                said[field.name] = _text(value)
            case _:
                _put_integer(said, field.name, value)
    return said


def _model(dossier: Dossier) -> dict[str, Any]:
    artifacts, headers = dossier.artifacts, dossier.headers
    model: dict[str, Any] = {"subject": _text(dossier.subject), "files": len(artifacts)}
    if artifacts:
        model["formats"] = sorted({_text(artifact.format) for artifact in artifacts})
        model["bytes"] = _account([artifact.account for artifact in artifacts])
        _put_integer(model, "size_bytes", sum(artifact.size_bytes for artifact in artifacts))
    architectures = sorted({_text(header.architecture) for header in headers} - {""})
    if architectures:
        model["architectures"] = architectures
    if len(architectures) == 1:
        model["architecture"] = architectures[0]
    if dtypes := sorted({_text(dtype) for header in headers for dtype in header.dtypes}):
        model["dtypes"] = dtypes
    if parameters := sum(header.parameter_count for header in headers):
        _put_integer(model, "parameter_count", parameters)
    if weights := sum(header.weights_bytes for header in headers):
        _put_integer(model, "weights_bytes", weights)
    return model


def _artifact(artifact: Artifact) -> dict[str, Any]:
    value = {"path": _text(artifact.path), "sha256": _text(artifact.sha256), "format": _text(artifact.format)}
    result: dict[str, Any] = {**value, "bytes": _account([artifact.account])}
    _put_integer(result, "size_bytes", artifact.size_bytes)
    return result


def _account(accounts: Sequence[ByteAccount]) -> dict[str, Any]:
    sums = {
        "header": sum([account.header_bytes for account in accounts]),
        "tensor": sum([account.tensor_bytes for account in accounts]),
        "padding": sum([account.padding_bytes for account in accounts]),
        "unexplained": sum([account.unexplained_bytes for account in accounts]),
        "unread": sum([account.unread_bytes for account in accounts]),
    }
    return {kind: number for kind, number in sums.items() if abs(number) <= INTEGER_LIMIT}


def _header(header: Header) -> dict[str, Any]:
    result: dict[str, Any] = {
        "path": _text(header.path),
        "format": _text(header.format),
        "dtypes": [_text(dtype) for dtype in header.dtypes],
        "tensors": len(header.tensors),
        "metadata": _by_name(header.metadata),
        "digests": _by_name(header.digests),
    }
    if header.architecture:
        result["architecture"] = _text(header.architecture)
    for name in ("parameter_count", "weights_bytes", "cache_bytes_per_token"):
        if number := getattr(header, name):
            _put_integer(result, name, number)
    return result


def _measurement(measurement: Measurement) -> dict[str, Any]:
    lower, upper = measurement.interval
    return {
        "metric": _text(measurement.metric),
        "value": measurement.value,
        "unit": _text(measurement.unit),
        "n": measurement.n,
        "lower": lower,
        "upper": upper,
    }


def _edge(edge: LineageEdge) -> dict[str, Any]:
    return {
        "child": _text(edge.child),
        "parent": _text(edge.parent),
        "relation": edge.relation.value,
        "tier": edge.tier.value,
    }


def _by_name(facts: Iterable[Fact]) -> dict[str, str]:
    return {_text(fact.name): _text(fact.value) for fact in facts}


def _facts(facts: Mapping[str, Any]) -> Any:
    try:
        return _json(wire.plain(dict(facts)))
    except (TypeError, ValueError, RecursionError) as problem:
        raise UsageError(
            f"facts are not JSON: {problem}", subject="facts", remedy="Use text, numbers and lists."
        ) from problem


def _json(value: Any) -> Any:
    match value:
        case str():
            return _text(value)
        case dict():
            return {_text(str(key)): _json(item) for key, item in value.items() if not _is_beyond(item)}
        case list():
            return [_json(item) for item in value if not _is_beyond(item)]
        case _:
            return value


def _is_beyond(value: Any) -> bool:
    return isinstance(value, int) and abs(value) > INTEGER_LIMIT


def _put_integer(target: dict[str, Any], name: str, number: int) -> None:
    if not _is_beyond(number):
        target[name] = number


def _text(text: str) -> str:
    """The engine takes UTF-8 only; a lone surrogate becomes a question mark."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
