"""CEL: compiling the condition of a rule, and its three-valued answer.

The engine is cel-cpp through `cel-expr-python`. A key that is not there, a variable that is not bound and a division by
zero are CEL errors; `||`, `&&`, `exists` and `all` absorb an error as the CEL specification says. An error, or a value that
is not a boolean, is UNKNOWN, and `Fault` says of which kind: what nobody said can be said or approved, a condition that
cannot be worked out can not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import Any

from weighbridge.errors import PolicyError
from weighbridge.policy.reach import Reach, reach_of
from weighbridge.policy.variables import VARIABLES
from weighbridge.vocabulary import Answer, clip

LIMIT_CHARACTERS = 4000
LIMIT_NESTING = 40
_PLACE = re.compile(r"<input>:(\d+):(\d+): (.*)")
_UNSAID = re.compile(
    r"(?:[A-Z_]+: )?(?:Key not found in map|No value with name|No matching overloads found"
    r"|Applying SELECT to non-message type|Index error: index=)"
)


class Fault(Enum):
    """Why an expression came to no answer, in words that are signed. All but the first are faults that nobody can approve."""

    UNSAID = "the rule asks for something that nobody said"
    UNWORKABLE = "its condition cannot be worked out on this model"
    NO_BOOLEAN = "its condition is neither true nor false on this model"
    TOO_MUCH = "its condition has more to look through than one evaluation may take"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What an expression came to. `said` is the error, or the value, in the engine's words; it enters no digest.

    `fault` is None where there is an answer.
    """

    answer: Answer
    said: str
    fault: Fault | None = None

    @property
    def is_broken(self) -> bool:
        """Whether it came to no answer for another reason than that nobody said something."""
        return self.fault not in (None, Fault.UNSAID)


class Binding:
    """Values bound for many expressions. Variables that are left out do not exist for them."""

    __slots__ = ("activation",)

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.activation = _environment().Activation(data=dict(values))


class Expression:
    """One compiled condition."""

    __slots__ = ("_program", "reach", "source")

    source: str
    reach: Reach

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
        self.reach = reach_of(source)
        self._program = program

    def ask(self, binding: Binding) -> Reply:
        """Evaluate once, within the engine's budget of iterations. Never raises for anything that the values hold."""
        try:
            value = self._program.eval(activation=binding.activation)
        except RuntimeError as problem:
            return _failed(str(problem))
        kind = value.type().name()
        if kind == "BOOL":
            return _TRUE if value.value() else _FALSE
        if kind == "ERROR":
            return _failed(str(value.value()))
        return Reply(answer=Answer.UNKNOWN, said=f"{kind}, not true or false", fault=Fault.NO_BOOLEAN)


_TRUE = Reply(answer=Answer.YES, said="true")
_FALSE = Reply(answer=Answer.NO, said="false")


def _failed(said: str) -> Reply:
    fault = Fault.UNSAID if _UNSAID.match(said) else Fault.UNWORKABLE
    return Reply(answer=Answer.UNKNOWN, said=f"error: {clip(said)}", fault=fault)


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
