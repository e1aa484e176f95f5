"""The tensors of a model against what its declared architecture has: names and shapes, over all files of a folder.

Only what headers and the configuration claim is compared; no byte of a file is read here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import PurePosixPath

from weighbridge.inspection.architectures import Expected, UnsaidError, expect, tables
from weighbridge.vocabulary import Evidence, Finding, Header, Outcome, Severity, Tensor, clip

ARCHITECTURE = "inventory.architecture"
ADAPTER = "inventory.adapter"
CHECKS = {
    ARCHITECTURE: "the tensors are those that the declared architecture has, in name and shape",
    ADAPTER: "every pair of an adapter's matrices has one rank",
}

_SHOWN = 10
_WEIGHTS = re.compile(r"(?:model|pytorch_model)(?:\.[A-Za-z0-9]+)?(?:-\d{5}-of-\d{5})?\.(?:safetensors|bin)")
_SPLIT = re.compile(r"-\d{5}-of-\d{5}(?=\.gguf$)")
_PACKED = frozenset(("U8", "I8", "I16", "I32", "U32", "I64", "F4", "uint8", "int8", "int32"))
_LORA = re.compile(r"(.+)\.lora_([AB])(\.[^.]+)?\.weight")


@dataclass(slots=True)
class _Group:
    """The files of one model: their tensors, and what the configuration beside them says."""

    path: str
    family: str = ""
    architecture: str = ""
    numbers: dict[str, int] = field(default_factory=dict)
    why_not: str = ""
    tensors: list[Tensor] = field(default_factory=list)
    is_gguf: bool = False


def take_inventory(headers: Iterable[Header]) -> list[Finding]:
    """Compare every model of a folder with its architecture, and every adapter with itself."""
    known = list(headers)
    groups = [*_folders(known), *_ggufs(known)]
    findings = [finding for group in groups for finding in _judge(group)]
    return findings + [finding for header in known for finding in _judge_adapter(header)]


def _folders(headers: list[Header]) -> list[_Group]:
    configs = {
        str(PurePosixPath(h.path).parent): h
        for h in headers
        if PurePosixPath(h.path).name == "config.json" and "!" not in h.path
    }
    groups: dict[tuple[str, str], _Group] = {}
    for header in headers:
        path = PurePosixPath(header.path)
        if not header.tensors or "!" in header.path or not _WEIGHTS.fullmatch(path.name):
            continue
        config = configs.get(str(path.parent))
        if config is None:
            continue
        stem = re.sub(r"-\d{5}-of-\d{5}", "", path.name)
        group = groups.setdefault((str(path.parent), stem), _with_config(header.path, config))
        group.tensors += header.tensors
    return list(groups.values())


def _with_config(path: str, config: Header) -> _Group:
    said = {fact.name: fact.value for fact in config.metadata}
    group = _Group(path=path, family=said.get("model_type", ""), architecture=config.architecture)
    for name, value in said.items():
        if not name.startswith("config."):
            continue
        if value == "some":
            group.why_not = f"{name.removeprefix('config.')} is set, which is not compared"
        elif value.isdecimal() or value in ("true", "false"):
            number = int(value) if value.isdecimal() else int(value == "true")
            group.numbers[name.removeprefix("config.")] = number
    return group


def _ggufs(headers: list[Header]) -> list[_Group]:
    groups: dict[str, _Group] = {}
    for header in sorted((h for h in headers if h.format == "gguf"), key=lambda h: h.path):
        key = _SPLIT.sub("", header.path)
        group = groups.setdefault(key, _Group(path=header.path, is_gguf=True))
        if header.architecture and not group.family:
            group.family = header.architecture
            start = f"{header.architecture}."
            pairs = ((f.name.removeprefix(start), f.value) for f in header.metadata if f.name.startswith(start))
            group.numbers = {name: int(value) for name, value in pairs if value.isdecimal() and len(value) < 13}
        group.tensors += [
            Tensor(name=t.name, dtype=t.dtype, shape=t.shape[::-1], size_bytes=t.size_bytes) for t in header.tensors
        ]
    for group in groups.values():  # without a vocabulary of its own, the embedding says how many tokens there are
        first = next((t for t in group.tensors if t.name == "token_embd.weight" and len(t.shape) == 2), None)
        if first:
            group.numbers.setdefault("vocab_size", first.shape[0])
    return [group for group in groups.values() if group.tensors]


def _judge(group: _Group) -> list[Finding]:
    if not group.family:
        return [_said(group, Outcome.NOT_APPLICABLE, Severity.INFO, "no architecture is declared")]
    name = clip(group.family, 60)
    try:
        expected = None if group.why_not else expect(group.family, group.numbers, is_gguf=group.is_gguf)
    except UnsaidError as problem:
        return [_said(group, Outcome.NOT_APPLICABLE, Severity.INFO, f"{name}: {clip(str(problem), 120)}")]
    if expected is None:
        why = group.why_not or "this release does not know which tensors such a model has"
        return [_said(group, Outcome.NOT_APPLICABLE, Severity.INFO, f"{name}: {why}")]
    differences = _compare(group, expected)
    if not differences:
        layers = next((group.numbers[k] for k in _LAYERS if k in group.numbers), 0)
        count = f" of {layers:,} layers" if layers else ""
        text = f"{len(group.tensors):,} tensors, as a {name}{count} has them"
        return [_said(group, Outcome.PASS, Severity.INFO, text)]
    return [
        _said(group, Outcome.FAIL, Severity.MEDIUM, f"{len(found):,} tensors {what} {name} by its configuration", found)
        for what, found in differences.items()
    ]


_LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "block_count")


def _said(
    group: _Group, outcome: Outcome, severity: Severity, message: str, found: Iterable[tuple[str, str]] = ()
) -> Finding:
    shown = tuple(
        Evidence(artifact=group.path, locator=f"tensor {clip(name, 150)}", excerpt=excerpt)
        for name, excerpt in list(found)[:_SHOWN]
    )
    evidence = shown or (Evidence(artifact=group.path),)
    return Finding(check=ARCHITECTURE, outcome=outcome, severity=severity, message=message, evidence=evidence)


def _compare(group: _Group, expected: Mapping[str, Expected]) -> dict[str, list[tuple[str, str]]]:
    """What differs, in words, with the tensors by name and their shapes."""
    expected = {**expected, **_output_head(group)}
    prefix = "" if group.is_gguf else tables()["families"][group.family]["prefix"]
    given = {tensor.name.removeprefix(prefix): tensor for tensor in group.tensors}
    missing = [
        (prefix + name, f"expected {list(want.shape)}")
        for name, want in expected.items()
        if want.is_required and name not in given and not _is_stored_otherwise(name, given)
    ]
    misshapen = [
        (tensor.name, f"{list(tensor.shape)[:8]}, expected {list(expected[name].shape)}")
        for name, tensor in given.items()
        if name in expected and tensor.shape != expected[name].shape and not _is_packed(name, tensor, given)
    ]
    extra = [
        (tensor.name, f"{clip(tensor.dtype, 20)} {list(tensor.shape)[:8]}")
        for name, tensor in given.items()
        if name not in expected and not _is_explained(name, expected, group)
    ]
    found = {"are missing of a": missing, "do not have the shape of a": misshapen, "do not belong to a": extra}
    return {what: sorted(names) for what, names in found.items() if names}


def _output_head(group: _Group) -> dict[str, Expected]:
    """The output matrix, which is left out where it is the embedding."""
    if group.is_gguf:
        return {}
    default = int(tables()["families"][group.family].get("is_tied", False))
    if default or "vocab_size" not in group.numbers or "hidden_size" not in group.numbers:
        return {}
    is_tied = bool(group.numbers.get("tie_word_embeddings", default))
    shape = (group.numbers["vocab_size"], group.numbers["hidden_size"])
    is_required = not is_tied and group.architecture.endswith("ForCausalLM")
    return {"lm_head.weight": Expected(shape=shape, is_required=is_required)}


@cache
def _patterns() -> tuple[re.Pattern[str], re.Pattern[str]]:
    said = tables()["legitimate"]
    return re.compile("|".join(said["patterns"])), re.compile(r"(.+?)[._](?:" + "|".join(said["quantised"]) + ")")


_SUFFIXES = ("qweight", "weight_packed", "weight.absmax", "SCB")


def _is_stored_otherwise(name: str, given: Mapping[str, Tensor]) -> bool:
    """Whether a quantiser put another tensor in its place."""
    stem = name.removesuffix(".weight")
    return any(f"{stem}.{suffix}" in given for suffix in _SUFFIXES) or f"{name}_blocks" in given


def _is_packed(name: str, tensor: Tensor, given: Mapping[str, Tensor]) -> bool:
    """Whether several values share one element, so that the shape is another."""
    return tensor.dtype in _PACKED or _is_stored_otherwise(name, given)


def _is_explained(name: str, expected: Mapping[str, Expected], group: _Group) -> bool:
    legitimate, quantised = _patterns()
    if legitimate.fullmatch(name):
        return True
    stem, _, packing = name.rpartition("_")
    if packing in ("blocks", "scales") and stem in expected:
        return True
    if (match := quantised.fullmatch(name)) and (f"{match[1]}.weight" in expected or match[1] in expected):
        return True
    if group.is_gguf:
        return name.endswith((".scale", ".input_scale"))
    ahead = group.numbers.get("num_nextn_predict_layers", 0)
    layer = re.match(r"layers\.(\d{1,6})\.", name)
    first = group.numbers.get("num_hidden_layers", 0)
    return bool(layer and first <= int(layer[1]) < first + ahead)


def _judge_adapter(header: Header) -> list[Finding]:
    """The two matrices of every adapted layer: A is (rank, in), B is (out, rank)."""
    pairs: dict[str, dict[str, Tensor]] = {}
    for tensor in header.tensors:
        if match := _LORA.fullmatch(tensor.name):
            pairs.setdefault(match[1] + (match[3] or ""), {})[match[2]] = tensor
    if not pairs:
        return []
    odd = []
    for name, pair in pairs.items():
        if len(pair) < 2:
            odd.append((name, f"only lora_{next(iter(pair))}"))
        elif len(pair["A"].shape) == len(pair["B"].shape) == 2 and pair["A"].shape[0] != pair["B"].shape[1]:
            odd.append((name, f"A {list(pair['A'].shape)}, B {list(pair['B'].shape)}"))
    evidence = tuple(
        Evidence(artifact=header.path, locator=f"tensor {clip(n, 150)}", excerpt=e) for n, e in odd[:_SHOWN]
    )
    message = (
        f"{len(odd):,} of {len(pairs):,} pairs do not fit together" if odd else f"{len(pairs):,} pairs fit together"
    )
    return [
        Finding(
            check=ADAPTER,
            outcome=Outcome.FAIL if odd else Outcome.PASS,
            severity=Severity.MEDIUM if odd else Severity.INFO,
            message=message,
            evidence=evidence or (Evidence(artifact=header.path),),
        )
    ]
