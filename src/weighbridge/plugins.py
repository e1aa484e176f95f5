"""How units are found: one module-level object a file, in the room's folder or behind an entry point of the same name.

Built-ins are found by scanning the room (`weighbridge.formats` holds one `FORMAT` a file), third parties through the
entry-point group `weighbridge.formats`. Sub-packages of a room are support code, not units. Nothing is registered. A unit
that fails to load is not lost: it comes back in `broken`, and the caller makes it an ERROR finding.
"""

from __future__ import annotations

import pkgutil
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, TypeVar

U = TypeVar("U")


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokenUnit:
    """A unit that could not be loaded: where it was declared and why it failed."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Units(Generic[U]):
    """The units of a room, by name and in the order of their names, and those that failed to load."""

    found: dict[str, U]
    broken: tuple[BrokenUnit, ...]


def find_units(room: str, kind: type[U]) -> Units[U]:
    """Load every unit of `room` (such as `formats`), each an instance of `kind` bound to the upper-case name of `kind`."""
    found: dict[str, U] = {}
    broken: list[BrokenUnit] = []
    for source, point in _declared(room, kind.__name__.upper()):
        try:
            unit = _loaded(point, kind)
            name = str(unit.name)  # type: ignore[attr-defined]  # every unit kind has a name
        except (Exception, SystemExit) as failure:  # noqa: BLE001  # the plugin boundary: whatever a unit raises is said
            broken.append(BrokenUnit(name=source, reason=f"{type(failure).__name__}: {failure}"[:500]))
            continue
        if name in found:
            broken.append(BrokenUnit(name=source, reason=f"a unit named {name!r} is there already"))
        else:
            found[name] = unit
    return Units(found=dict(sorted(found.items())), broken=tuple(broken))


def _loaded(point: EntryPoint, kind: type[U]) -> U:
    unit = point.load()
    if not isinstance(unit, kind):
        raise TypeError(f"{point.value} is {type(unit).__name__}, not {kind.__name__}")
    return unit


def _declared(room: str, attribute: str) -> list[tuple[str, EntryPoint]]:
    package = f"weighbridge.{room}"
    names = sorted(m.name for m in pkgutil.iter_modules(import_module(package).__path__) if not m.ispkg)
    built_in = [
        (f"{package}.{name}", EntryPoint(name=name, value=f"{package}.{name}:{attribute}", group=package))
        for name in names
    ]
    third_party = [
        (point.value, point) for point in sorted(entry_points(group=package), key=lambda p: (p.name, p.value))
    ]
    return built_in + third_party
