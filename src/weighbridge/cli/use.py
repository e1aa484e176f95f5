"""Options that say what a model is wanted for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click

from weighbridge.cli.running import Session
from weighbridge.errors import UsageError
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


Reader = Callable[[Path | None, dict[str, str]], Any]


def use_options(function: F) -> F:
    """Add `--use FILE` and one option a plain field; the command gets a UseContext as `use`."""
    return _with_use(function, "use", _use)


def which_options(function: F) -> F:
    """Add the same and `--policy`; the command gets a `Which` as `which`, that says which decision of a model is meant."""

    @wraps(function)
    def called(
        session: Session, *arguments: Any, which: UseContext | None, policy_file: Path | None, **more: Any
    ) -> Any:
        from weighbridge.admission.recall import Which

        policy = None
        if policy_file:
            with session.installation() as house:
                policy = house.policy(policy_file)
        return function(session, *arguments, which=Which(policy=policy, use=which), **more)

    file_type = click.Path(path_type=Path, dir_okay=False)
    option = click.option(
        "--policy", "policy_file", type=file_type, help="Decided under this policy, not the one in force."
    )
    made: Any = option(
        _with_use(called, "which", lambda file, said: _use(file, said) if file or any(said.values()) else None)
    )
    result: F = made
    return result


def _with_use(function: F, name: str, read: Reader) -> F:
    @wraps(function)
    def called(*arguments: Any, use_file: Path | None, **options: Any) -> Any:
        said = {field.replace("-", "_"): options.pop(field.replace("-", "_")) for field in _TEXTS}
        return function(*arguments, **{name: read(use_file, said)}, **options)

    wrapped: Any = called
    for field, text in reversed(_TEXTS.items()):
        wrapped = click.option(f"--{field}", default="", help=text)(wrapped)
    file_type = click.Path(path_type=Path, dir_okay=False)
    result: F = click.option("--use", "use_file", type=file_type, help="A YAML file with the use context.")(wrapped)
    return result


def _use(file: Path | None, said: dict[str, str]) -> UseContext:
    from weighbridge.policy.documents import load_use
    from weighbridge.policy.uses import require_signable

    try:
        use = load_use(file.read_bytes(), subject=str(file)) if file else UseContext()
    except OSError as problem:
        raise UsageError(f"the use context cannot be read: {problem.strerror}", subject=str(file)) from problem
    typed: dict[str, Any] = {name: text for name, text in said.items() if text}
    return require_signable(replace(use, **typed))
