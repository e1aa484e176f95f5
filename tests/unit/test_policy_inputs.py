"""What rules can see agrees with the published schema, and holds nothing that nobody knows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given

from tests import policy_cases as cases
from tests.policy_cases import CLEAN, failure, finding
from weighbridge.policy.inputs import finding_value, findings_values, input_schema, input_values
from weighbridge.policy.variables import VARIABLES
from weighbridge.vocabulary import (
    Answer,
    Fact,
    Header,
    LicenceTerms,
    LineageEdge,
    Measurement,
    Relation,
    Tier,
    UseContext,
)

FULL = replace(
    CLEAN,
    headers=(
        Header(
            path="m.gguf",
            format="gguf",
            architecture="llama",
            parameter_count=9,
            dtypes=("F16",),
            metadata=(Fact(name="general.name", value="x"),),
            digests=(Fact(name="tokenizer", value="d"),),
            weights_bytes=18,
            cache_bytes_per_token=4,
        ),
    ),
    measurements=(Measurement(metric="m", value=0.5, unit="share", n=10, interval=(0.1, 0.9)),),
    licence=(LicenceTerms(spdx_expression="Apache-2.0", source_sha256="e" * 64),),
    lineage=(LineageEdge(child="c", parent="p", relation=Relation.FINETUNE, tier=Tier.EXACT),),
)
USE = UseContext(purpose="chat", territories=("DE",), users=3, revenue_eur=4, is_modified=Answer.YES)


def values(dossier, use=cases.ANY_USE, facts=None) -> dict[str, Any]:
    bound = input_values(dossier, use, facts or {})
    return bound | ({"findings": findings_values(dossier.findings)} if dossier.findings else {})


def check(value: Any, schema: dict[str, Any], where: str = "$") -> None:
    """As much of JSON Schema as ours uses."""
    kinds = {"object": dict, "array": list, "string": str, "integer": int, "number": (int, float), "boolean": bool}
    if "enum" in schema:
        assert value in schema["enum"], where
    if "type" in schema:
        assert isinstance(value, kinds[schema["type"]]), f"{where} is {type(value)}"
        assert not (isinstance(value, bool) and schema["type"] in ("integer", "number")), where
    if isinstance(value, dict):
        assert set(schema["required"]) <= set(value), f"{where} lacks {set(schema['required']) - set(value)}"
        for key, item in value.items():
            extra = schema["additionalProperties"]
            assert key in schema["properties"] or extra, f"{where}.{key} is not in the schema"
            inner = schema["properties"].get(key, extra)
            check(item, inner if isinstance(inner, dict) else {}, f"{where}.{key}") if inner is not True else None
    if isinstance(value, list):
        for item in value:
            check(item, schema["items"], f"{where}[]")


def test_the_fullest_input_is_what_the_schema_says():
    full = values(FULL, USE, {"region": "eu"})
    check(full, input_schema())
    assert set(full) == set(VARIABLES) == set(input_schema()["properties"])
    for name in ("model", "use", "licence"):
        unsaid = set(input_schema()["properties"][name]["properties"]) - set(full[name])
        assert unsaid <= {
            "owner",
            "department",
            "zone",
            "jurisdiction",
            "data_class",
            "audience",
            "trains_other_models",
        }


@given(cases.dossiers(), cases.uses, cases.facts)
def test_every_input_is_what_the_schema_says(dossier, use, facts):
    check(values(dossier, use, facts), input_schema())


def test_what_nobody_knows_is_absent():
    bare = values(replace(CLEAN, findings=()))
    assert set(bare) == {"model", "artifacts", "use", "facts"}
    assert bare["use"] == {}
    assert "architecture" not in bare["model"]
    assert "parameter_count" not in bare["model"]


def test_two_architectures_are_not_one():
    headers = (
        Header(path="a", format="gguf", architecture="llama"),
        Header(path="b", format="gguf", architecture="qwen2"),
    )
    model = values(replace(CLEAN, headers=headers))["model"]
    assert model["architectures"] == ["llama", "qwen2"]
    assert "architecture" not in model


@pytest.mark.parametrize("number", [2**63, 2**200])
def test_a_number_beyond_64_bits_is_absent(number):
    header = Header(path="a", format="gguf", parameter_count=number, weights_bytes=5)
    model = values(replace(CLEAN, headers=(header,)), facts={"n": number, "deep": [number, 1]})
    assert "parameter_count" not in model["model"]
    assert model["model"]["weights_bytes"] == 5
    assert model["facts"] == {"deep": [1]}


def test_of_passed_checks_a_rule_sees_each_kind_once():
    passed = [finding("a.b", path=f"{n}.txt") for n in range(50)]
    assert findings_values([*passed, failure("c.d", path="x")]) == [
        finding_value(failure("c.d", path="x")),
        {"check": "a.b", "outcome": "pass", "severity": "none", "severity_rank": 0},
    ]
    assert len(findings_values([failure("c.d", path=f"{n}") for n in range(50)])) == 50


def test_a_finding_about_the_whole_model_has_an_empty_path():
    assert finding_value(finding("a.b"))["path"] == ""
    assert finding_value(finding("a.b", path="x.bin"))["paths"] == ["x.bin"]
