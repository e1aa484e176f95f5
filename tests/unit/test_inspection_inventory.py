"""The inventory against what transformers writes for a tiny model of every family, and against what is not right."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from weighbridge.formats.headers.text_json import read_json
from weighbridge.inspection.inventory import take_inventory
from weighbridge.vocabulary import Fact, Finding, Header, Outcome, Severity, Tensor

GOLDEN = Path(__file__).parents[1] / "golden" / "architectures"
FAMILIES = sorted(path.stem for path in GOLDEN.glob("*.json"))


def tensor(name: str, *shape: int, dtype: str = "F32") -> Tensor:
    return Tensor(name=name, dtype=dtype, shape=shape, size_bytes=4)


def golden(name: str) -> tuple[Header, Header]:
    said = json.loads((GOLDEN / f"{name}.json").read_text())
    facts = read_json(json.dumps(said["config"]).encode(), "config.json", "")
    config = Header(path="config.json", format="text", architecture=facts.architecture, metadata=tuple(facts.metadata))
    tensors = tuple(tensor(name, *shape) for name, shape in said["tensors"].items())
    return config, Header(path="model.safetensors", format="safetensors", tensors=tensors)


def outcome(findings: list[Finding]) -> tuple[Outcome, Severity, str]:
    [finding] = findings
    return finding.outcome, finding.severity, finding.message


@pytest.mark.parametrize("name", FAMILIES)
def test_what_transformers_writes_is_what_is_expected(name: str) -> None:
    config, weights = golden(name)
    said = take_inventory([config, weights])
    assert [(f.outcome, f.message, f.evidence) for f in said if f.outcome is not Outcome.PASS] == []
    assert len(said) == 1
    assert said[0].message.startswith(f"{len(weights.tensors)} tensors, as a ")


@pytest.mark.parametrize("name", FAMILIES)
def test_a_tensor_too_few_too_many_or_misshapen_is_named(name: str) -> None:
    config, weights = golden(name)
    first = next(t for t in weights.tensors if ".0." in t.name)
    rest = tuple(t for t in weights.tensors if t is not first)
    odd = replace(first, shape=(*first.shape[:-1], first.shape[-1] + 1))
    extra = tensor("model.layers.0.backdoor.weight", 3)
    for tensors, words, where in (
        (rest, "1 tensors are missing of a", first.name),
        ((*rest, odd), "1 tensors do not have the shape of a", first.name),
        ((*weights.tensors, extra), "1 tensors do not belong to a", extra.name),
    ):
        [finding] = take_inventory([config, replace(weights, tensors=tensors)])
        assert (finding.outcome, finding.severity) == (Outcome.FAIL, Severity.MEDIUM)
        assert finding.message.startswith(words)
        assert finding.evidence[0].locator == f"tensor {where}"


def test_the_shards_of_a_model_are_one_model() -> None:
    config, weights = golden("qwen3")
    shards = [
        replace(weights, path=f"model-0000{n + 1}-of-00002.safetensors", tensors=weights.tensors[n::2]) for n in (0, 1)
    ]
    assert outcome(take_inventory([config, *shards]))[0] is Outcome.PASS
    assert outcome(take_inventory([config, shards[0]]))[0] is Outcome.FAIL


def test_a_task_head_a_buffer_and_a_missing_prefix_are_legitimate() -> None:
    config, weights = golden("bert")
    bare = [replace(t, name=t.name.removeprefix("bert.")) for t in weights.tensors]
    more = (
        *bare,
        tensor("classifier.weight", 2, 16),
        tensor("embeddings.position_ids", 1, 32),
        tensor("pooler.dense.bias", 16),
    )
    assert outcome(take_inventory([config, replace(weights, tensors=more)]))[0] is Outcome.PASS


@pytest.mark.parametrize(
    "added",
    [
        (("qweight", "I32"), ("qzeros", "I32"), ("scales", "F16"), ("g_idx", "I32")),
        (("weight", "F8_E4M3"), ("weight_scale_inv", "F32")),
        (
            ("weight", "U8"),
            ("weight.absmax", "U8"),
            ("weight.quant_map", "F32"),
            ("weight.quant_state.bitsandbytes__nf4", "U8"),
        ),
    ],
)
def test_a_quantised_matrix_is_what_it_stands_for(added: tuple[tuple[str, str], ...]) -> None:
    config, weights = golden("llama")
    name = "model.layers.0.mlp.up_proj"
    [old] = [t for t in weights.tensors if t.name == f"{name}.weight"]
    tensors = [t for t in weights.tensors if t is not old]
    for what, dtype in added:
        shape = old.shape if dtype.startswith("F8") else (7, 1)
        tensors.append(tensor(f"{name}.{what}", *shape, dtype=dtype))
    said = take_inventory([config, replace(weights, tensors=tuple(tensors))])
    assert [f.message for f in said if f.outcome is not Outcome.PASS] == []


def test_an_unknown_family_and_a_vast_one_are_not_judged() -> None:
    config, weights = golden("llama")
    other = replace(config, metadata=(Fact(name="model_type", value="zamba9"),))
    vast = replace(config, metadata=(*config.metadata, Fact(name="config.num_hidden_layers", value="999999999")))
    assert outcome(take_inventory([other, weights]))[:2] == (Outcome.NOT_APPLICABLE, Severity.INFO)
    assert outcome(take_inventory([vast, weights]))[:2] == (Outcome.NOT_APPLICABLE, Severity.INFO)
    assert take_inventory([weights]) == []


def test_the_ranks_of_an_adapter_fit_together() -> None:
    name = "base_model.model.model.layers.0.self_attn.q_proj"
    fits = Header(
        path="adapter_model.safetensors",
        format="safetensors",
        tensors=(tensor(f"{name}.lora_A.weight", 4, 16), tensor(f"{name}.lora_B.weight", 16, 4)),
    )
    assert outcome(take_inventory([fits]))[0] is Outcome.PASS
    odd = replace(fits, tensors=(fits.tensors[0], tensor(f"{name}.lora_B.weight", 16, 5)))
    assert outcome(take_inventory([odd]))[:2] == (Outcome.FAIL, Severity.MEDIUM)
    assert outcome(take_inventory([replace(fits, tensors=fits.tensors[:1])]))[0] is Outcome.FAIL
