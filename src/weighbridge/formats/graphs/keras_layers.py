"""Layers of Keras 2 as its SavedModels describe them in JSON: those that carry marshalled code, or name functions that reach out."""

from __future__ import annotations

import json
import re
from typing import Any

_LIMIT_BYTES = 1 << 20
_REACHING = re.compile(
    r"(?:^|\.)(?:io|py_function|numpy_function|py_func|raw_ops|load_op_library|load_library)(?:\.|$)"
)


def code_in(metadata: bytes) -> tuple[str, bool]:
    """What runs code among the layers of one description, empty where nothing does; and whether all of it was read."""
    if not metadata:
        return "", True
    if len(metadata) > _LIMIT_BYTES:
        return "", False
    try:
        waiting: list[Any] = [json.loads(metadata)]
    except (ValueError, RecursionError):
        return "", False
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):
            if found := _code_of(value):
                return found, True
            waiting += value.values()
    return "", True


def _code_of(value: dict[str, Any]) -> str:
    name = value.get("class_name")
    if name in ("Lambda", "__lambda__"):
        return f"a {name} layer, whose function is Python code"
    if value.get("function_type") == "lambda":
        return "a function that is marshalled Python code"
    config = value.get("config")
    function = config.get("function") if isinstance(config, dict) else None
    if name in ("TFOpLambda", "SlicingOpLambda") and isinstance(function, str) and _REACHING.search(function):
        return f"a layer that calls {function}"
    return ""
