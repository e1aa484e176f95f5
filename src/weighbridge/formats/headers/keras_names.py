"""Whose code a Keras configuration names: the classes and functions of Keras by enumeration, everything else by what it may do.

Source: keras/src/saving/serialization_lib.py `_retrieve_class_or_fn`, of 3.0 (which imports any module that is named) to
3.15 (which takes Keras' own and what the program registered).
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from weighbridge.formats.pickling.danger import danger_list
from weighbridge.vocabulary import Outcome, Severity, clip

_ANY_MODULE = ("CVE-2025-1550",)
_CUSTOM_MODULES = ("__main__",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """What is said of one name. `reason` finishes the sentence "it names X: …"; PASS has none."""

    outcome: Outcome = Outcome.PASS
    severity: Severity = Severity.INFO
    reason: str = ""
    references: tuple[str, ...] = ()


OWN = Ruling()


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """The tables. `classes` and `functions` have the modules of each name, `refused` a reason and references."""

    classes: dict[str, frozenset[str]]
    functions: dict[str, frozenset[str]]
    roots: tuple[str, ...]
    plain: frozenset[str]
    file_keys: tuple[str, ...]
    libraries: frozenset[str]
    refused_classes: dict[str, tuple[str, tuple[str, ...]]]
    refused_functions: dict[str, tuple[str, tuple[str, ...]]]


@cache
def names() -> Names:
    """The tables of this release, read once."""
    known, demands = _read("keras_names.toml"), _read("keras_demands.toml")
    return Names(
        classes={name: frozenset(modules) for name, modules in known["classes"].items()},
        functions={name: frozenset(modules) for name, modules in known["functions"].items()},
        roots=tuple(sorted(demands["roots"], key=len, reverse=True)),
        plain=frozenset(demands["plain"]),
        file_keys=tuple(demands["file_keys"]),
        libraries=frozenset(demands["libraries"]),
        refused_classes=_by_name(demands["classes"]),
        refused_functions=_by_name(demands["functions"]),
    )


def prepare() -> None:
    """Read the tables; where a model is read, no file can be opened."""
    names()
    danger_list()


def _read(name: str) -> dict[str, Any]:
    return tomllib.loads(files(__package__).joinpath(name).read_text(encoding="utf-8"))


def _by_name(groups: list[dict[str, Any]]) -> dict[str, tuple[str, tuple[str, ...]]]:
    return {name: (group["reason"], tuple(group["references"])) for group in groups for name in group["names"]}


def rule_class(module: str | None, name: str, registered: str | None) -> Ruling:
    """What naming a class means. `module` and `registered` are None where the configuration has none."""
    table = names()
    if name in table.refused_classes:
        reason, references = table.refused_classes[name]
        return _refused(reason, references)
    inside = _inside(module, table)
    if inside is None:
        return _foreign(module or "", name)
    if name in table.refused_functions:
        reason, references = table.refused_functions[name]
        return _refused(reason, references)
    if registered and registered not in (name, f"keras>{name}", f"Keras>{name}"):
        return _needs_line(registered)
    modules = table.classes.get(name)
    if modules is not None and (module is None or inside in modules):
        return OWN
    return _needs_line(f"{module}>{name}" if module else name)


def rule_function(module: str | None, name: str, registered: str | None) -> Ruling:
    """What naming a function means."""
    table = names()
    if name.rpartition(".")[2] in table.refused_functions:
        reason, references = table.refused_functions[name.rpartition(".")[2]]
        return _refused(reason, references)
    modules = table.functions.get(name)
    if module in (None, "builtins"):
        if modules is not None:
            return OWN
        if reason := danger_list().reason("builtins", name):
            return _refused(reason, _ANY_MODULE)
        return _needs_line(registered if registered and ">" in registered else name)
    inside = _inside(module, table)
    if inside is None:
        return _foreign(module or "", name)
    if modules is not None and inside in modules:
        return OWN
    return _refused("a function of Keras that is no activation, loss or metric", ("CVE-2025-8747", *_ANY_MODULE))


def _inside(module: str | None, table: Names) -> str | None:
    """The module behind the name of the Keras package, "" for the package itself and where there is none; None for a foreign one."""
    if module is None:
        return ""
    for root in table.roots:
        if module == root:
            return ""
        if module.startswith(root + "."):
            return module[len(root) + 1 :]
    return None


def _foreign(module: str, name: str) -> Ruling:
    root = module.split(".", 1)[0]
    danger = danger_list()
    if root not in _CUSTOM_MODULES and (danger.is_standard(module) or root in table_libraries()):
        reason = danger.reason(module, name) or "no part of a model, and imported by its name"
        return _refused(reason, _ANY_MODULE)
    return _needs_line(f"{module}>{name}")


def table_libraries() -> frozenset[str]:
    """Packages whose functions are no part of a model."""
    return names().libraries


def _refused(reason: str, references: tuple[str, ...]) -> Ruling:
    return Ruling(outcome=Outcome.FAIL, severity=Severity.CRITICAL, reason=reason, references=references)


def _needs_line(name: str) -> Ruling:
    line = f'keras.class "{clip(name, 120)}"'
    return Ruling(outcome=Outcome.UNKNOWN, severity=Severity.HIGH, reason=f"it needs a policy line: {line}")
