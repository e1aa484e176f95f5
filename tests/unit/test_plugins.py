"""Units are found by lying in a room or behind an entry point, and one that cannot be loaded is never lost."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from weighbridge.formats.reading.contract import Format
from weighbridge.plugins import BrokenUnit, Units, find_units

UNIT = """
from weighbridge.formats.reading.contract import Format
FORMAT = Format(name={name!r}, title="t", media_type="a/b", version=1, may_hold_code=False, checks=(), references=(),
                sniff=print, read=print)
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(tmp_path)

    def write(module: str, source: str, entry: str | None = None) -> Units[Format]:
        (tmp_path / f"{module}.py").write_text(source)
        metadata = tmp_path / f"{module}-1.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1\n")
        (metadata / "entry_points.txt").write_text(f"[weighbridge.formats]\nunit = {entry or module + ':FORMAT'}\n")
        return find_units("formats", Format)

    yield write
    for module in [name for name in sys.modules if name.startswith("wb_")]:
        del sys.modules[module]


def broken_outside(units: Units[Format]) -> list[BrokenUnit]:
    return [unit for unit in units.broken if not unit.name.startswith("weighbridge.")]


def test_an_installed_unit_is_found_beside_the_built_in_ones(install) -> None:
    before = set(find_units("formats", Format).found)
    assert set(install("wb_a_unit", UNIT.format(name="a_unit")).found) == before | {"a_unit"}


def test_units_come_in_the_order_of_their_names(install) -> None:
    install("wb_zebra", UNIT.format(name="zebra"))
    names = list(install("wb_aardvark", UNIT.format(name="aardvark")).found)
    assert names == sorted(names)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("raise OSError('no disk')", "OSError: no disk"),
        ("import sys; sys.exit(0)", "SystemExit: 0"),
        ("def broken(:", "SyntaxError"),
        ("FORMAT = 3", "TypeError: wb_broken:FORMAT is int, not Format"),
        ("", "AttributeError"),
        (UNIT.format(name="late") + "import wb_nowhere", "ModuleNotFoundError"),
    ],
)
def test_a_unit_that_cannot_be_loaded_is_kept_with_its_reason(install, source: str, reason: str) -> None:
    [broken] = broken_outside(install("wb_broken", source))
    assert broken.name == "wb_broken:FORMAT"
    assert broken.reason.startswith(reason)
    assert len(broken.reason) <= 500


def test_a_second_unit_of_the_same_name_does_not_replace_the_first(install) -> None:
    first = install("wb_first", UNIT.format(name="same")).found["same"]
    units = install("wb_second", UNIT.format(name="same"))
    assert units.found["same"] is first
    assert [unit.reason for unit in broken_outside(units)] == ["a unit named 'same' is there already"]


def test_an_installed_unit_cannot_stand_in_for_a_built_in_one(install) -> None:
    name = next(iter(find_units("formats", Format).found))
    units = install("wb_impostor", UNIT.format(name=name))
    assert units.found[name].title != "t"
    assert [unit.name for unit in broken_outside(units)] == ["wb_impostor:FORMAT"]
