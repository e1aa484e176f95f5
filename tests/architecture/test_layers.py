"""The rooms: imports only go down, and a room that nobody declared is refused."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.source_tree import ROOT


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).parent / "lint-imports"
    environment = {**os.environ, "PYTHONPATH": str(folder / "src"), "NO_COLOR": "1"}
    command = [str(program), "--no-cache"]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def copy_of_the_house(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_every_contract_is_kept() -> None:
    run = lint_imports(ROOT)
    assert run.returncode == 0, run.stdout
    assert "0 broken" in run.stdout


@pytest.mark.parametrize(
    ("file", "line", "complaint"),
    [
        ("strange/__init__.py", "", "weighbridge.strange"),
        ("vocabulary.py", "import weighbridge.registry.wire\n", "weighbridge.vocabulary"),
        ("inspection/stray.py", "import weighbridge.attestation\n", "weighbridge.inspection"),
        ("formats/stray.py", "import pickle\n", "weighbridge.formats.stray"),
        ("registry/stray.py", "import torch\n", "weighbridge.registry.stray"),
    ],
    ids=["undeclared room", "import upwards", "import sideways", "a reader that loads", "a model runtime"],
)
def test_a_broken_contract_fails(copy_of_the_house: Path, file: str, line: str, complaint: str) -> None:
    path = copy_of_the_house / "src" / "weighbridge" / file
    path.parent.mkdir(exist_ok=True)
    with path.open("a") as stream:
        stream.write("\n" + line)
    run = lint_imports(copy_of_the_house)
    assert run.returncode == 1
    assert complaint in run.stdout
