"""YAML that people hand in, read within bounds: small, shallow, without aliases, tags or duplicate keys.

Scalars follow the JSON schema of YAML 1.2: only `true` and `false` are booleans, so a country `no` stays text, and a date
stays text too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any, NoReturn

import yaml

from weighbridge.errors import PolicyError, UsageError
from weighbridge.vocabulary import clip

LIMIT_BYTES = 256 * 1024
LIMIT_DEPTH = 16

Refusal = type[PolicyError] | type[UsageError]


class _Loader(yaml.SafeLoader):
    """SafeLoader with JSON's scalars and without merge keys; duplicates are refused."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012  # PyYAML reads it from the class


_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|false)$"), list("tf"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^(?:null|~|)$"), ["n", "~", ""])
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"^-?(?:0|[1-9][0-9]{0,17})$"), list("-0123456789"))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^-?(?:0|[1-9][0-9]*)\.[0-9]+(?:[eE][-+]?[0-9]+)?$"), list("-0123456789")
)


def read_mapping(data: bytes, *, subject: str, refusal: Refusal) -> dict[str, Any]:
    """Read one YAML document whose top is a mapping.

    Args:
        data: at most 256 KiB of UTF-8.
        subject: what to call it in an error, usually its path.
        refusal: the error class to raise.

    Raises:
        PolicyError, UsageError: as `refusal` says; the message names the line and the column.
    """
    if len(data) > LIMIT_BYTES:
        raise refusal(f"{subject} is larger than {LIMIT_BYTES // 1024} KiB", subject=subject, remedy="Split it.")
    try:
        text = data.decode("utf-8-sig")
        _refuse_unbounded(text, subject, refusal)
        node = yaml.compose(text, Loader=_Loader)
        _refuse_duplicates(node, subject, refusal)
        value = yaml.load(text, Loader=_Loader)  # noqa: S506  # a SafeLoader
    except UnicodeDecodeError as problem:
        raise refusal(f"{subject} is not UTF-8 text", subject=subject, remedy="Save it as UTF-8.") from problem
    except yaml.YAMLError as problem:
        _refuse(refusal, subject, getattr(problem, "problem_mark", None), _said(problem), problem)
    if not isinstance(value, dict):
        raise refusal(f"{subject} is not a mapping", subject=subject, remedy="Start with `name:`.")
    return value


def refuse_unknown_keys(
    given: Iterable[str], known: Iterable[str], *, where: str, subject: str, refusal: Refusal
) -> None:
    """Refuse keys that nobody reads, naming the nearest one that somebody does.

    Raises:
        PolicyError, UsageError: as `refusal` says.
    """
    names = sorted(known)
    for key in given:
        if key not in names:
            near = get_close_matches(str(key), names, n=1, cutoff=0.5)
            hint = f"Did you mean `{near[0]}`?" if near else f"Known keys: {', '.join(names)}."
            raise refusal(f"{where} has an unknown key `{clip(str(key), 60)}`", subject=subject, remedy=hint)


def _refuse_unbounded(text: str, subject: str, refusal: Refusal) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        match event:
            case yaml.AliasEvent():
                _refuse(refusal, subject, event.start_mark, "aliases are not read: write the text out")
            case yaml.ScalarEvent(tag=str()) | yaml.CollectionStartEvent(tag=str()):
                _refuse(refusal, subject, event.start_mark, "tags are not read")
            case yaml.CollectionStartEvent():
                depth += 1
                if depth > LIMIT_DEPTH:
                    _refuse(refusal, subject, event.start_mark, f"nested deeper than {LIMIT_DEPTH}")
            case yaml.CollectionEndEvent():
                depth -= 1
            case _:
                pass


def _refuse_duplicates(node: yaml.Node | None, subject: str, refusal: Refusal) -> None:
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_duplicates(item, subject, refusal)
    if not isinstance(node, yaml.MappingNode):
        return
    seen: set[str] = set()
    for key, value in node.value:
        if key.tag != "tag:yaml.org,2002:str":
            _refuse(refusal, subject, key.start_mark, "a key is not text: quote it")
        if key.value in seen:
            _refuse(refusal, subject, key.start_mark, f"`{clip(key.value, 60)}` is given twice")
        seen.add(key.value)
        _refuse_duplicates(value, subject, refusal)


def _said(problem: yaml.YAMLError) -> str:
    return clip(str(getattr(problem, "problem", "") or getattr(problem, "reason", "") or "not YAML"))


def _refuse(refusal: Refusal, subject: str, mark: Any, said: str, cause: BaseException | None = None) -> NoReturn:
    where = f"{subject} line {mark.line + 1} column {mark.column + 1}" if mark else subject
    raise refusal(f"{where}: {said}", subject=subject, remedy="Correct that place.") from cause
