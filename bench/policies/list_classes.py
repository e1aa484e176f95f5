"""List the classes of a package with what unpickling them would run: `python bench/policies/list_classes.py sklearn`.

For whoever extends a policy in src/weighbridge/formats/pickling/data: a class that is `plain` has no __new__ and no __reduce__ of its own,
so that only its __setstate__ has to be read. Whether the policy covers it is said last. Runs where the package is installed; it
imports every module of it.
"""

from __future__ import annotations

import inspect
import pkgutil
import sys
import warnings
from collections.abc import Iterator
from importlib import import_module

from weighbridge.formats.pickling.allowlist import base_allowlist

_LEFT_OUT = (".tests", ".externals", "conftest", "array_api", "_build_utils", ".distributed")


def classes_of(package: str) -> Iterator[tuple[str, type]]:
    """Every class with the module that defines it."""
    for found in pkgutil.walk_packages(import_module(package).__path__, f"{package}.", onerror=lambda _: None):
        if any(part in found.name for part in _LEFT_OUT):
            continue
        try:
            module = import_module(found.name)
        except Exception:  # optional parts of a package fail in any way they like
            continue
        for name, value in vars(module).items():
            if inspect.isclass(value) and value.__module__ == found.name and value.__qualname__ == name:
                yield found.name, value


def describe(module: str, kind: type) -> str:
    """One line about a class."""
    is_plain = kind.__new__ is object.__new__ and kind.__reduce_ex__ is object.__reduce_ex__
    is_plain = is_plain and kind.__reduce__ is object.__reduce__
    setter = getattr(kind, "__setstate__", None)
    entry = base_allowlist().find(module, kind.__name__)
    covered = f"{entry.kind} {entry.build}" if entry else "not covered"
    return (
        f"{module}.{kind.__name__}: {'plain' if is_plain else 'own'}, {getattr(setter, '__qualname__', '-')}, {covered}"
    )


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    for package in sys.argv[1:]:
        for module, kind in classes_of(package):
            print(describe(module, kind))
