"""What the JSON files of a model repository say: configuration, tokenizer, chat templates, and whose code they ask for."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from weighbridge.errors import MalformedArtifactError
from weighbridge.formats.headers.hidden import find_hidden
from weighbridge.formats.headers.memory import cache_of_config
from weighbridge.formats.headers.strict_json import Survey, load, survey, text_of
from weighbridge.formats.headers.text_demands import (
    foreign_components,
    foreign_parent,
    leaves_folder,
    rewriting_steps,
    spelled,
)
from weighbridge.formats.reading.contract import own_name
from weighbridge.formats.templates.expressions import STEP_LIMIT
from weighbridge.formats.templates.judge import judge_template
from weighbridge.vocabulary import Fact, clip

JSON_LIMIT_BYTES = 40 << 20
"""Longest document parsed; the tokenizers of 2026 end below 36 MB."""

_BUILD_LIMIT_BYTES = 2 << 20
_TEMPLATES_LIMIT = 64
_JUDGED_CHARACTERS = 512 << 10
_REMOTE_KEYS = frozenset({"auto_map", "custom_pipelines", "custom_pipeline", "trust_remote_code"})
_FETCHED_KEYS = frozenset(
    f"{start}{what}_implementation{end}"
    for what in ("attn", "experts")
    for start in ("", "_")
    for end in ("", "_internal")
)
"""Settings that no saved configuration holds, but for names of what the library itself has; one that names a repository had its code fetched and run (CVE-2026-4372)."""
_BUILT_IN = re.compile(
    rb'\s*(?:null|true|false|"[\w|]{0,60}"|\{(?:\s*"\w{0,60}"\s*:\s*"[\w|]{0,60}"\s*,?){0,20}\s*\})\s*[,}]'
)
"""What such a setting may be: nothing, or names of what the library itself has."""
_WANTED_NAMES = frozenset(
    (
        "model_type",
        "architectures",
        "chat_template",
        "tokenizer_class",
        "model",
        "added_tokens",
        "pre_tokenizer",
        "weight_map",
        "normalizer",
        "decoder",
        *("class_name", "config", "module", "keras_version", "backend"),
    )
)
_KERAS_KEYS = ("module", "keras_version", "backend")
_WANTED = frozenset(json.dumps(key).encode() for key in _WANTED_NAMES)
_WANTED_SPELLED = re.compile(rb'"(?:' + b"|".join(map(spelled, sorted(_WANTED_NAMES))) + rb')"\Z')
_METADATA_KEYS = ("model_type", "transformers_version", "dtype", "torch_dtype", "tokenizer_class", "model_max_length")
_CONFIG_KEYS = (
    *("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "head_dim"),
    *(
        "num_key_value_heads",
        "tie_word_embeddings",
        "attention_bias",
        "mlp_bias",
        "use_bias",
        "max_position_embeddings",
    ),
    *("type_vocab_size", "qk_layernorm", "use_qk_norm", "rotary_dim", "attention_in_bias", "qkv_bias"),
    *("n_embd", "n_layer", "n_head", "n_inner", "n_positions", "n_ctx", "dim", "n_layers", "n_heads", "hidden_dim"),
    *("num_local_experts", "num_experts", "n_routed_experts", "n_shared_experts", "moe_intermediate_size"),
    *("shared_expert_intermediate_size", "first_k_dense_replace", "decoder_sparse_step", "moe_layer_freq"),
    *("num_nextn_predict_layers", "q_lora_rank", "kv_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim"),
    *("r", "lora_alpha", "add_cross_attention"),
)
"""Whole numbers and yes-or-no of a configuration that say which tensors a model has."""
_CONFIG_LIMIT = 1 << 40
_TEXT = re.compile(rb"(\"(?:[^\"\\]|\\.)*+\")(\s*+:)?", re.DOTALL)
_NOTHING = (b"false", b"null", b"{}", b"[]", b'""', b"0")


@dataclass(slots=True, kw_only=True)
class JsonFacts:
    """What one document says about a model.

    `remote` has (byte offset, key) of every request for foreign code, `fetched` of those that nobody has to agree to, `outside` (byte offset, path) of every path that leaves the
    folder, `unsafe` what does not belong in a chat template, `conditional` the words on which one makes what it says depend, `rewrites` (JSON
    pointer, step) of a tokenizer that puts words in the place of others; `unlooked` names what was not looked at, with the reason.
    """

    survey: Survey
    architecture: str = ""
    cache_bytes_per_token: int | None = None
    digests: list[Fact] = field(default_factory=list)
    metadata: list[Fact] = field(default_factory=list)
    remote: list[tuple[int, str]] = field(default_factory=list)
    fetched: list[tuple[int, str]] = field(default_factory=list)
    hidden: list[tuple[str, str]] = field(default_factory=list)
    outside: list[tuple[int, str]] = field(default_factory=list)
    unsafe: list[tuple[str, str]] = field(default_factory=list)
    conditional: list[tuple[str, str]] = field(default_factory=list)
    rewrites: list[tuple[str, str]] = field(default_factory=list)
    unlooked: list[tuple[str, str]] = field(default_factory=list)
    is_keras: bool = False

    def __bool__(self) -> bool:
        return bool(self.architecture or self.digests)


def read_json(data: bytes, path: str, sha256: str) -> JsonFacts:
    """Parse one document and take from it what a dossier asks for. `sha256` is of the file.

    Raises:
        MalformedArtifactError: not JSON, or over a limit.
    """
    members: dict[str, tuple[int, int]] = {}

    def keep(token: bytes, start: int, end: int) -> None:
        if token in _WANTED or (b"\\" in token and _WANTED_SPELLED.match(token)):
            members[text_of(token)] = (start, end)

    result = survey(data, nonfinite=True, watch=_REMOTE_KEYS | _FETCHED_KEYS, on_member=keep)
    if result.end != len(data):
        raise MalformedArtifactError("not JSON: something stands behind it", locator=f"byte {result.end}")
    is_keras = members.keys() >= {"class_name", "config"} and not members.keys().isdisjoint(_KERAS_KEYS)
    facts = JsonFacts(survey=result, is_keras=is_keras)
    for w in result.watched:
        if w.key in _FETCHED_KEYS:
            facts.fetched += [] if _BUILT_IN.match(data, w.offset) else [(w.offset, w.key)]
        elif not data[w.offset : w.offset + 16].startswith(_NOTHING):
            facts.remote.append((w.offset, w.key))
    small = len(data) <= _BUILD_LIMIT_BYTES
    name = own_name(path)
    if members.keys() & {"model_type", "architectures"} and small:
        _take_config(load(data), facts)
    if name == "tokenizer.json" or {"model", "added_tokens"} <= members.keys():
        facts.digests.append(Fact(name="tokenizer", value=sha256))
    elif "tokenizer_class" in members and small and not facts.architecture:
        _take_tokenizer_config(load(data), facts)
    _take_demands(data, name, members, facts)
    return facts


def _take_demands(data: bytes, name: str, members: dict[str, tuple[int, int]], facts: JsonFacts) -> None:
    """What the document has a loader do: fill a template, import a class, open a shard."""
    start, end = members.get("chat_template", (0, 0))
    if end - start > _BUILD_LIMIT_BYTES:
        facts.unlooked.append(("the chat template", "it is too long to look at"))
    elif end:
        _take_templates(load(data[start:end]), facts)
    if name in _DEMANDING and len(data) > _BUILD_LIMIT_BYTES:
        facts.unlooked.append((f"what {name} asks for", "it is too long to look at"))
    elif name in _DEMANDING:
        _DEMANDING[name](load(data), facts)
    if members.keys() & {"normalizer", "decoder"}:
        _take_rewriting(data, members, facts)
    if "weight_map" in members:
        _take_shards(data, *members["weight_map"], facts)


def _take_rewriting(data: bytes, members: dict[str, tuple[int, int]], facts: JsonFacts) -> None:
    """Steps by which a tokenizer changes what is said to the model, or what the model says."""
    for name in ("normalizer", "decoder"):
        start, end = members.get(name, (0, 0))
        if end - start > _BUILD_LIMIT_BYTES:
            facts.unlooked.append((f"the tokenizer's {name}", "it is too long to look at"))
        elif end:
            facts.rewrites += list(islice(rewriting_steps({name: load(data[start:end])}), _TEMPLATES_LIMIT))


def canonical_sha256(value: Any) -> str:
    """sha256 of JSON with sorted keys and no spaces: equal for equal content, however it is laid out."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def template_fact(name: str, text: str) -> Fact:
    """The digest of a chat template's own text; `default` is the one without a name."""
    label = "chat_template" if name in ("", "default") else f"chat_template.{clip(name)}"
    return Fact(name=label, value=hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest())


def _take_config(config: Any, facts: JsonFacts) -> None:
    architectures = config.get("architectures")
    first = architectures[0] if isinstance(architectures, list) and architectures else config.get("model_type")
    facts.architecture = clip(first) if isinstance(first, str) else ""
    facts.cache_bytes_per_token = cache_of_config(config)
    facts.digests.append(Fact(name="config", value=canonical_sha256(config)))
    _take_metadata(config, facts)
    facts.metadata += [
        Fact(name=f"config.{key}", value=str(value).lower())
        for key in _CONFIG_KEYS
        if type(value := config.get(key)) is bool or (type(value) is int and 0 <= value < _CONFIG_LIMIT)
    ]
    if isinstance(config.get("mlp_only_layers"), list) and config["mlp_only_layers"]:
        facts.metadata.append(Fact(name="config.mlp_only_layers", value="some"))


def _take_tokenizer_config(config: Any, facts: JsonFacts) -> None:
    without_template = {key: value for key, value in config.items() if key != "chat_template"}
    facts.digests.append(Fact(name="tokenizer", value=canonical_sha256(without_template)))
    _take_metadata(config, facts)


def _take_metadata(config: Any, facts: JsonFacts) -> None:
    facts.metadata += [
        Fact(name=key, value=clip(str(config[key])))
        for key in _METADATA_KEYS
        if isinstance(config.get(key), str | int | float)
    ]


def _take_templates(value: Any, facts: JsonFacts) -> None:
    """One template, or the list form: objects with a name and a template."""
    entries: list[tuple[str, Any]] = [("", value)] if isinstance(value, str) else []
    if isinstance(value, list):
        entries = [(str(e.get("name", "")), e.get("template")) for e in value if isinstance(e, dict)]
    if isinstance(value, dict):
        entries = list(value.items())
    if len(entries) > _TEMPLATES_LIMIT:
        facts.unlooked.append(
            (f"the list of chat templates behind the first {_TEMPLATES_LIMIT}", "it is too long to look at")
        )
        del entries[_TEMPLATES_LIMIT:]
    left, steps = _JUDGED_CHARACTERS, STEP_LIMIT
    for name, text in entries:
        if isinstance(text, str):
            facts.digests.append(template_fact(name, text))
            facts.hidden += [(name or "default", item.code_point) for item in find_hidden(text)]
            verdict = judge_template(text if left > 0 else "{%", steps=steps)
            left -= len(text)
            steps -= verdict.steps
            if verdict.unsafe:
                facts.unsafe.append((name or "default", verdict.unsafe))
            if verdict.topic:
                facts.conditional.append((name or "default", verdict.topic))
            if verdict.unjudged:
                facts.unlooked.append((f"the chat template {clip(name or 'default')!r}", verdict.unjudged))


def _take_modules(modules: Any, facts: JsonFacts) -> None:
    """sentence-transformers imports the class that `type` names; outside its own package that is foreign code."""
    for module in modules if isinstance(modules, list) else []:
        name = module.get("type") if isinstance(module, dict) else None
        if isinstance(name, str) and not name.startswith("sentence_transformers."):
            facts.remote.append((0, f"type {clip(name)}"))


def _take_pipeline(pipeline: Any, facts: JsonFacts) -> None:
    facts.remote += [(0, clip(part)) for part in foreign_components(pipeline)]


def _take_adapter(adapter: Any, facts: JsonFacts) -> None:
    if parent := foreign_parent(adapter):
        facts.remote.append((0, f"auto_mapping of {clip(parent)}"))


def _take_shards(data: bytes, start: int, end: int, facts: JsonFacts) -> None:
    """Where an index of shards leads: the value of a tensor's name is a file of the folder."""
    seen: dict[bytes, int] = {}
    for match in _TEXT.finditer(data, start, end):
        if not match.group(2):  # a value, not a key
            seen.setdefault(match.group(1), match.start(1))
    outside = ((offset, text_of(token)) for token, offset in seen.items())
    facts.outside += [(offset, path) for offset, path in outside if leaves_folder(path)]


_DEMANDING: dict[str, Callable[[Any, JsonFacts], None]] = {
    "modules.json": _take_modules,
    "model_index.json": _take_pipeline,
    "adapter_config.json": _take_adapter,
}
"""Files, by name, that say whose code a loader shall import."""
