"""What an expression of a chat template may be: where it comes from, and which literals of the template it is made of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from weighbridge.formats.templates.syntax import TemplateSyntaxError
from weighbridge.formats.templates.words import DATES

MESSAGE, SAID, TOOL, NAME, DATE, SIZE, COUNT, PART, CHOSEN, BUILT = range(10)
"""Where a value comes from: a message or a list of them; what one says; tools; a name or description of one; the date; the length of
what is said; the number or place of messages; a part of what is said; a choice made by any of these; and what a
template built with one of these under a key of the protocol."""


_CONST_LIMIT = 1000


READING = frozenset(
    [
        "startswith",
        "endswith",
        "find",
        "rfind",
        "index",
        "rindex",
        "count",
        "split",
        "rsplit",
        "partition",
        "rpartition",
        "replace",
        "removeprefix",
        "removesuffix",
    ]
)
SAFE_METHODS = frozenset(
    [
        "strip",
        "lstrip",
        "rstrip",
        "lower",
        "upper",
        "title",
        "capitalize",
        "items",
        "keys",
        "values",
        "splitlines",
        "append",
        "extend",
        "update",
        "join",
        "format",
        "pop",
        "insert",
        "copy",
    ]
)
TEXT_FILTERS = frozenset(
    [
        "string",
        "tojson",
        "join",
        "lower",
        "upper",
        "trim",
        "title",
        "capitalize",
        "escape",
        "e",
        "safe",
        "pprint",
        "urlencode",
    ]
)
CHOOSING = frozenset(["select", "reject", "selectattr", "rejectattr"])
COMPARING = frozenset(
    [
        "in",
        "eq",
        "equalto",
        "ne",
        "lt",
        "le",
        "gt",
        "ge",
        "sameas",
        "lessthan",
        "greaterthan",
        "containing",
        "startingwith",
        "endingwith",
        "match",
        "search",
        "divisibleby",
        "odd",
        "even",
        "contains",
    ]
)
"""Names of methods, filters and tests of Jinja, by what they do to a text."""


@dataclass(frozen=True, slots=True)
class Value:
    """Where a value comes from, and which literals of the template it may be or be made of."""

    labels: frozenset[int] = frozenset()
    consts: tuple[str, ...] = ()
    number: int | None = None

    def plus(self, *labels: int) -> Value:
        """The same with more labels."""
        return Value(self.labels | set(labels), self.consts, self.number)

    def has(self, *labels: int) -> bool:
        """Whether it comes from any of these."""
        return not self.labels.isdisjoint(labels)


NOTHING = Value()
FREE = {
    **dict.fromkeys(DATES, Value(frozenset((DATE,)))),
    **dict.fromkeys(("tools", "functions", "available_tools"), Value(frozenset((TOOL,)))),
    **dict.fromkeys(("messages", "documents", "message", "history", "conversation"), Value(frozenset((MESSAGE,)))),
    **dict.fromkeys(
        ("content", "prompt", "query", "question", "text", "input", "instruction", "system"), Value(frozenset((SAID,)))
    ),
}
"""What a program that fills a template gives it."""


def union(values: Iterable[Value]) -> Value:
    """What may be any of these values."""
    labels: set[int] = set()
    consts: dict[str, None] = {}
    for value in values:
        labels |= value.labels
        consts.update(dict.fromkeys(value.consts))
    if len(consts) > _CONST_LIMIT:
        raise TemplateSyntaxError("it puts together more than this release follows")
    return Value(frozenset(labels), tuple(consts))
