"""CEL: compiling the condition of a rule, and its three-valued answer.

The engine is cel-cpp through `cel-expr-python`. A key that is not there, a variable that is not bound and a division by
zero are CEL errors; `||`, `&&`, `exists` and `all` absorb an error as the CEL specification says. An error, or a value that
is not a boolean, is UNKNOWN.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from weighbridge.errors import PolicyError
from weighbridge.vocabulary import Answer, clip

VARIABLES = ("model", "findings", "artifacts", "headers", "measurements", "lineage", "licence", "use", "facts")
"""Every name that an expression may touch; `inputs.input_schema` says what is in it."""

LIMIT_CHARACTERS = 4000
LIMIT_NESTING = 40
_PLACE = re.compile(r"<input>:(\d+):(\d+): (.*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What an expression came to. `said` is the error, or the value, in the engine's words; it enters no digest."""

    answer: Answer
    said: str


class Binding:
    """Values bound for many expressions. Variables that are left out do not exist for them."""

    __slots__ = ("activation",)

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.activation = _environment().Activation(data=dict(values))


class Expression:
    """One compiled condition."""

    __slots__ = ("_program", "source")

    def __init__(self, source: str, *, rule: str) -> None:
        """Compile `source`, the condition of `rule`.

        Raises:
            PolicyError: it is not CEL, touches a name that does not exist, or cannot be true or false.
        """
        _refuse_unbounded(source, rule)
        try:
            program = _environment().compile(source)
        except RuntimeError as problem:
            raise _not_compiled(rule, str(problem)) from problem
        kind = program.return_type().name()
        if kind not in ("BOOL", "DYN"):
            remedy = "Write a comparison, such as `model.files > 0`."
            raise PolicyError(f"rule {rule}: `when` gives {kind}, not true or false", subject=rule, remedy=remedy)
        self.source = source
        self._program = program

    def ask(self, binding: Binding) -> Reply:
        """Evaluate. Never raises for anything that the values hold."""
        try:
            value = self._program.eval(activation=binding.activation)
        except RuntimeError as problem:
            return Reply(answer=Answer.UNKNOWN, said=f"error: {clip(str(problem))}")
        kind = value.type().name()
        if kind == "BOOL":
            return _TRUE if value.value() else _FALSE
        said = f"error: {clip(str(value.value()))}" if kind == "ERROR" else f"{kind}, not true or false"
        return Reply(answer=Answer.UNKNOWN, said=said)


_TRUE = Reply(answer=Answer.YES, said="true")
_FALSE = Reply(answer=Answer.NO, said="false")


@cache
def _environment() -> Any:
    from cel_expr_python import cel

    return cel.NewEnv(variables=dict.fromkeys(VARIABLES, cel.Type.DYN))


def _refuse_unbounded(source: str, rule: str) -> None:
    nesting = deepest = 0
    for character in source:
        nesting += (character in "([{") - (character in ")]}")
        deepest = max(deepest, nesting)
    if len(source) > LIMIT_CHARACTERS or deepest > LIMIT_NESTING:
        said = f"longer than {LIMIT_CHARACTERS} characters or nested deeper than {LIMIT_NESTING}"
        raise PolicyError(f"rule {rule}: `when` is {said}", subject=rule, remedy="Split the rule.")
    if not source.isprintable() and not source.replace("\n", "").replace("\t", "").isprintable():
        raise PolicyError(f"rule {rule}: `when` holds control characters", subject=rule, remedy="Remove them.")


def _not_compiled(rule: str, said: str) -> PolicyError:
    place = _PLACE.search(said)
    if place is None:
        return PolicyError(f"rule {rule}: `when` is not CEL: {clip(said)}", subject=rule, remedy="Correct `when`.")
    line, column, problem = place.groups()
    remedy = "Correct `when` at that column."
    if "undeclared reference" in problem:
        remedy = f"An expression may use {', '.join(VARIABLES)}."
    where = f"column {column}" if line == "1" else f"line {line} column {column}"
    return PolicyError(f"rule {rule}: `when` {where}: {clip(problem)}", subject=rule, remedy=remedy)
