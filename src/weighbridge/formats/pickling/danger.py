"""Names that are known to be dangerous, and names of the standard library. They grade and explain; they admit nothing.

With this list empty, what is refused stays refused, only with a lower severity and a poorer explanation.
"""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files


class DangerList:
    """Reasons by module and by dotted name, and the top-level names of the standard library."""

    __slots__ = ("_longest", "_modules", "_names", "_standard", "_starts")

    def __init__(self, modules: dict[str, str], names: dict[str, str], standard: frozenset[str]) -> None:
        self._modules = modules
        self._names = names
        self._standard = standard
        listed = [path.split(".") for path in (*modules, *names)]
        self._starts = frozenset(parts[0] for parts in listed)
        self._longest = max(map(len, listed), default=0)

    def reason(self, module: str, name: str) -> str:
        """Why this name is dangerous, or empty.

        A dotted path is looked at from each of its parts, so that `torch` + `os.system` is graded as `os.system`.
        """
        parts = f"{module}.{name}".split(".")[:32]
        for start in range(len(parts) - 1):
            if parts[start] not in self._starts:
                continue
            for end in range(min(len(parts), start + self._longest), start, -1):
                path = ".".join(parts[start:end])
                if path in self._names and end == len(parts):
                    return self._names[path]
                if path in self._modules and end < len(parts) and (start == 0 or "." in name):
                    return self._modules[path]
        return ""

    def is_standard(self, module: str) -> bool:
        """Whether a module belongs to Python itself."""
        return module.split(".", 1)[0] in self._standard


NO_DANGER = DangerList({}, {}, frozenset())
"""The empty list, to show that no block depends on it."""


@cache
def danger_list() -> DangerList:
    """The list that ships with this release."""
    table = tomllib.loads((files("weighbridge.formats.pickling") / "data" / "dangerous.toml").read_text("utf-8"))
    modules = {module: group["reason"] for group in table["modules"] for module in group["names"]}
    names = {name: group["reason"] for group in table["functions"] for name in group["names"]}
    return DangerList(modules, names, frozenset(table["standard_library"]["names"]))
