"""Options that say what a model is wanted for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click

from weighbridge.vocabulary import UseContext

F = TypeVar("F", bound=Callable[..., Any])

_TEXTS = {
    "purpose": "What the model is for.",
    "owner": "Who asks for it and answers for it.",
    "department": "The department that runs it.",
    "zone": "Where it is hosted: the zone's name in your policy.",
    "jurisdiction": "Under which law it is hosted, ISO 3166 code.",
    "data-class": "The class of data it will see.",
    "audience": "Who will use it.",
}


def use_options(function: F) -> F:
    """Add `--use FILE` and one option a plain field; the command gets a UseContext as `use`."""

    @wraps(function)
    def called(*arguments: Any, use_file: Path | None, **options: Any) -> Any:
        said = {name.replace("-", "_"): options.pop(name.replace("-", "_")) for name in _TEXTS}
        return function(*arguments, use=_use(use_file, said), **options)

    wrapped: Any = called
    for name, text in reversed(_TEXTS.items()):
        wrapped = click.option(f"--{name}", default="", help=text)(wrapped)
    file_type = click.Path(path_type=Path, dir_okay=False)
    wrapped = click.option("--use", "use_file", type=file_type, help="A YAML file with the use context.")(wrapped)
    result: F = wrapped
    return result


def _use(file: Path | None, said: dict[str, str]) -> UseContext:
    from weighbridge.policy.documents import load_use

    use = load_use(file.read_bytes(), subject=str(file)) if file else UseContext()
    typed: dict[str, Any] = {name: text for name, text in said.items() if text}
    return replace(use, **typed)
