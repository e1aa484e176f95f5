"""What loading a Keras model runs, from its configuration: the layers, functions and files that the JSON names.

Shared by both formats: `config.json` of a .keras archive, `model_config` and `training_config` of an HDF5 file. Keras builds
each object that has a `class_name`; what is not one of its own classes is somebody's code. The checks answer for any
version of Keras, with the safe mode off (CVE-2025-9905: HDF5 files were loaded without it).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from weighbridge.errors import MalformedArtifactError
from weighbridge.formats.headers.defects import UNJUDGED, Defects, OverLimitError
from weighbridge.formats.headers.keras_names import Ruling, names, prepare, rule_class, rule_function
from weighbridge.formats.headers.strict_json import load, survey
from weighbridge.formats.headers.text_json import canonical_sha256
from weighbridge.vocabulary import Evidence, Fact, Finding, Outcome, Severity, clip

__all__ = ["CHECKS", "KerasModel", "answer", "judge", "prepare"]

CONFIG_LIMIT_BYTES = 2 << 20
"""Longest configuration that is judged, all of one model together; those of the largest models of 2026 end below 1 MB."""

CHECKS = ("keras.config", "keras.class", "keras.lambda", "keras.file-access", "code.on-load")
_CRITICAL = (Outcome.FAIL, Severity.CRITICAL)
_LAMBDA = ("CVE-2024-3660", "CVE-2025-9905", "CVE-2025-9906")
_VOCABULARY = ("CVE-2025-12058",)
_NAME = ("CVE-2026-12479",)
_PARENT = re.compile(r"(?:.*[/\\])?\.\.(?:[/\\].*)?", re.DOTALL)
_LAMBDA_FIELDS = ("function", "output_shape", "mask")
_NODE_LIMIT = 90_000
"""Objects and arrays of one configuration, at any depth, that are looked into."""


@dataclass(slots=True, kw_only=True)
class KerasModel:
    """What was learned of a model. `objects` counts everything that loading builds; `findings` answer CHECKS."""

    defects: Defects
    architecture: str = ""
    objects: int = 0
    config_bytes: int = 0
    metadata: list[Fact] = field(default_factory=list)
    digests: list[Fact] = field(default_factory=list)


def judge(raw: bytes, model: KerasModel, *, where: str) -> None:
    """Judge one configuration. `where` names it in evidence, as `config.json` or `model_config`."""
    try:
        value = _parse(raw, model, where)
    except OverLimitError as problem:
        model.defects.add("keras.config", problem.message, f"{where}, {problem.locator}", grade=UNJUDGED)
        return
    except MalformedArtifactError as problem:
        model.defects.add("keras.config", clip(problem.message), f"{where}, {problem.locator}")
        return
    if not isinstance(value, dict):
        model.defects.add("keras.config", "the configuration is not an object", where)
        if not isinstance(value, list):
            return
    else:
        _describe(value, model, where)
    try:
        for pointer, node in _objects(value):
            model.objects += 1
            _judge_object(node, f"{where} {pointer}", model.defects)
    except OverLimitError as problem:
        model.defects.add("keras.config", problem.message, where, grade=UNJUDGED)


def answer(model: KerasModel, *, path: str, doubt: str = "") -> tuple[Finding, ...]:
    """The findings, and the one answer about code. `doubt` is a reason why nobody can say, outside the configuration."""
    found = model.defects.findings()
    code = ("keras.class", "keras.lambda")
    worst = next((f for f in found if f.outcome is Outcome.FAIL and f.check in code), None)
    opened = next((f for f in found if f.outcome is not Outcome.PASS), None)
    evidence: tuple[Evidence, ...] = (Evidence(artifact=path),)
    if worst:
        outcome, severity, evidence = Outcome.FAIL, Severity.CRITICAL, worst.evidence
        words = f"loading runs code: {worst.message}"
    elif opened or doubt:
        outcome, severity = Outcome.UNKNOWN, Severity.HIGH
        words = f"cannot say that loading runs no code: {opened.message if opened else doubt}"
        evidence = opened.evidence if opened else evidence
    else:
        outcome, severity = Outcome.PASS, Severity.INFO
        words = (
            f"all {model.objects:,} objects that loading builds are Keras' own"
            if model.objects
            else "numbers and names only"
        )
    answered = Finding(
        check="code.on-load", outcome=outcome, severity=severity, message=clip(words, 400), evidence=evidence
    )
    return (*found, answered)


def _parse(raw: bytes, model: KerasModel, where: str) -> Any:
    model.config_bytes += len(raw)
    if model.config_bytes > CONFIG_LIMIT_BYTES:
        raise OverLimitError(f"configurations of {model.config_bytes:,} bytes are not judged", locator="byte 0")
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError as problem:
        raise MalformedArtifactError("the configuration is not UTF-8", locator=f"byte {problem.start}") from problem
    if raw.count(b"[") + 3 * raw.count(b"{") > 2 * _NODE_LIMIT:  # empty ones are not judged and may be as many again
        raise OverLimitError("more objects and arrays than are judged", locator="byte 0")
    result = survey(raw, nonfinite=True)
    if result.end != len(raw):
        raise MalformedArtifactError("something stands behind the configuration", locator=f"byte {result.end}")
    for duplicate in result.duplicates:
        message = f"the key {clip(duplicate.key)!r} stands twice, so loaders may build different models"
        model.defects.add("keras.config", message, f"{where}, byte {duplicate.offset}")
    return load(raw)


def _describe(value: dict[str, Any], model: KerasModel, where: str) -> None:
    if where == "training_config":
        return
    name = value.get("class_name")
    inner = value.get("config")
    label = inner.get("name") if isinstance(inner, dict) else None
    model.architecture = clip(name) if isinstance(name, str) else ""
    if isinstance(label, str):
        model.metadata.append(Fact(name="name", value=clip(label)))
    model.digests.append(Fact(name="config", value=canonical_sha256(value)))


def _objects(value: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every JSON object at any depth with its pointer, outermost first. The depth is that of the JSON reader.

    Raises:
        OverLimitError: more than _NODE_LIMIT objects and arrays.
    """
    nodes = 0
    if isinstance(value, dict):
        yield "", value
    keys: list[str] = []
    open_nodes = [_members(value)]
    while open_nodes:
        key, node = next(open_nodes[-1], ("", None))
        if node is None:
            open_nodes.pop()
            del keys[-1:]
            continue
        nodes += 1
        if nodes > _NODE_LIMIT:
            raise OverLimitError("more objects and arrays than are judged")
        keys.append(key)
        if isinstance(node, dict):
            nodes += 2
            yield "/" + "/".join(clip(key, 40) for key in keys), node
        open_nodes.append(_members(node))


def _members(node: Any) -> Iterator[tuple[str, Any]]:
    """The objects and arrays that one holds, with their keys."""
    pairs = node.items() if isinstance(node, dict) else enumerate(node)
    return ((str(key), inner) for key, inner in pairs if inner and isinstance(inner, dict | list))


def _judge_object(node: dict[str, Any], pointer: str, defects: Defects) -> None:
    _judge_lambda(node, pointer, defects)
    for key in names().file_keys:
        if isinstance(node.get(key), str) and node[key]:
            message = f"{key} is a file that loading reads: {clip(node[key], 80)!r}"
            defects.add("keras.file-access", message, f"{pointer}/{key}", references=_VOCABULARY)
    if "class_name" not in node:
        return
    _judge_label(node, pointer, defects)
    name, module, registered = node["class_name"], node.get("module"), node.get("registered_name")
    if not isinstance(name, str) or not all(isinstance(text, str | None) for text in (module, registered)):
        defects.add("keras.config", "an object whose class is no name", pointer)
        return
    if name == "function":
        inner = node.get("config")
        if not isinstance(inner, str):
            defects.add("keras.config", "a function without a name", pointer)
            return
        _note(rule_function(module or None, inner, registered), f"{module or ''}.{inner}", pointer, defects)
    elif name == "__typespec__":
        spec = node.get("spec_name")
        ruling = rule_class(module or None, spec if isinstance(spec, str) else "", registered)
        _note(ruling, f"{module or ''}.{spec}", pointer, defects)
    elif name == "Lambda":
        _judge_lambda_layer(node, pointer, defects)
        ruling = rule_class(module or None, "Activation", None) if module != "keras.layers" else Ruling()
        _note(ruling, f"{module or ''}.Lambda", pointer, defects)
    elif name not in (*names().plain, "__lambda__"):
        _note(rule_class(module or None, name, registered), f"{module or ''}.{name}", pointer, defects)


def _judge_label(node: dict[str, Any], pointer: str, defects: Defects) -> None:
    """The name of a layer, which is a folder of its store while it is loaded."""
    inner = node.get("config")
    label = inner.get("name") if isinstance(inner, dict) else None
    if isinstance(label, str) and _PARENT.fullmatch(label):
        message = f"a layer is named {clip(label, 80)!r}, which leads out of the folder that loading writes to"
        defects.add("keras.file-access", message, f"{pointer}/config/name", references=_NAME)


def _note(ruling: Ruling, name: str, pointer: str, defects: Defects) -> None:
    if ruling.outcome is Outcome.PASS:
        return
    message = f"it names {clip(name.lstrip('.'), 120)}: {ruling.reason}"
    defects.add(
        "keras.class",
        message,
        pointer,
        grade=(ruling.outcome, ruling.severity),
        excerpt=name,
        references=ruling.references,
    )


def _judge_lambda(node: dict[str, Any], pointer: str, defects: Defects) -> None:
    """Marshalled code in any spelling: as an object of Keras 3, or by the type fields of Keras 2."""
    is_code = node.get("class_name") == "__lambda__" or "__lambda__" in node
    is_code = is_code or any(node.get(f"{key}_type") in ("lambda", "raw") for key in _LAMBDA_FIELDS)
    if is_code:
        message = "it holds Python code in the configuration, which loading unmarshals"
        defects.add("keras.lambda", message, pointer, grade=_CRITICAL, references=_LAMBDA)


def _judge_lambda_layer(node: dict[str, Any], pointer: str, defects: Defects) -> None:
    """A Lambda layer: code as a list of text, defaults and closure, or the name of a function and where to import it."""
    inner = node.get("config")
    if not isinstance(inner, dict):
        defects.add("keras.lambda", "a Lambda layer without a configuration", pointer, grade=UNJUDGED)
        return
    for key in _LAMBDA_FIELDS:
        value = inner.get(key)
        if isinstance(value, list) and any(isinstance(item, str) for item in value):
            message = "a Lambda layer holds Python code, which loading unmarshals"
            defects.add("keras.lambda", message, f"{pointer}/config/{key}", grade=_CRITICAL, references=_LAMBDA)
        elif isinstance(value, str):
            module = inner.get("module") if key == "function" else inner.get(f"{key}_module")
            ruling = rule_function(module if isinstance(module, str) else None, value, None)
            _note(ruling, f"{module or ''}.{value}", f"{pointer}/config/{key}", defects)
