"""What is installed: the pins are whole, name no place on a network, and hold for what the project declares."""

from __future__ import annotations

import re
import subprocess
import tomllib
from importlib.metadata import version

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.source_tree import ROOT, tracked_files

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
OVERRIDDEN = {Requirement(line).name for line in PROJECT["tool"]["uv"]["override-dependencies"]}


def pins() -> list[Requirement]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def declared() -> list[Requirement]:
    groups = [line for group in PROJECT["dependency-groups"].values() for line in group if isinstance(line, str)]
    extras = [line for extra in PROJECT["project"]["optional-dependencies"].values() for line in extra]
    return [Requirement(line) for line in PROJECT["project"]["dependencies"] + extras + groups]


@pytest.mark.parametrize("requirement", declared(), ids=lambda requirement: requirement.name)
def test_every_declared_package_has_a_pin_that_fits(requirement: Requirement) -> None:
    name = canonicalize_name(requirement.name)
    pinned = [pin for pin in pins() if canonicalize_name(pin.name) == name]
    assert pinned, f"run `make constraints`: {name} has no pin"
    for pin in pinned:
        [specifier] = pin.specifier
        assert specifier.operator == "=="
        assert requirement.specifier.contains(specifier.version, prereleases=True)


def test_no_pin_has_an_address_or_brings_a_model_runtime() -> None:
    assert [pin.name for pin in pins() if pin.url] == []
    runtimes = re.compile(r"^(torch|tensorflow|onnxruntime|nvidia-|cuda-|triton|llama-cpp-python)")
    assert [pin.name for pin in pins() if runtimes.match(pin.name)] == []
    assert OVERRIDDEN & {canonicalize_name(pin.name) for pin in pins()} == set()


def test_the_lock_of_this_machine_is_not_committed() -> None:
    assert [path.name for path in tracked_files() if path.name in {"uv.lock", "poetry.lock"}] == []


def test_the_version_is_told_once() -> None:
    assert version("weighbridge") == PROJECT["project"]["version"]
    newest = re.search(r"^## \[?(\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest is not None
    assert newest[1] == PROJECT["project"]["version"]


def test_every_command_of_the_makefile_is_explained() -> None:
    listed = subprocess.run(["make", "-s", "-C", str(ROOT)], capture_output=True, text=True, check=True).stdout
    assert {line.split()[0] for line in listed.splitlines()} >= {"demo", "test", "check", "docs"}
