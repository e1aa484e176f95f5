"""The command line in this process, with a data folder of its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from weighbridge.cli.main import weighbridge
from weighbridge.cli.running import run
from weighbridge.testing.models import tiny_gguf, tiny_safetensors


@dataclass
class Outcome:
    """What a command said and how it ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """Standard output as the one JSON document it must be."""
        return json.loads(self.out)


Command = Callable[..., Outcome]


@pytest.fixture
def command(data_folder: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    def call(*arguments: str) -> Outcome:
        capsys.readouterr()
        code = run(weighbridge, list(arguments))
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return call


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A small model that nothing is wrong with."""
    folder = tmp_path / "good"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(tiny_safetensors())
    (folder / "config.json").write_text('{"model_type": "llama"}\n')
    (folder / "README.md").write_text("# good\n")
    return folder


@pytest.fixture
def trapped(tmp_path: Path) -> Path:
    """A model whose checkpoint runs a shell command when it is loaded."""
    from weighbridge.cli.demo import write_trapped_model

    return write_trapped_model(tmp_path / "trapped")


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """A model with a file that nobody can read: to be referred."""
    folder = tmp_path / "odd"
    folder.mkdir()
    (folder / "model.gguf").write_bytes(tiny_gguf())
    (folder / "extra.bin").write_bytes(bytes(range(1, 200)))
    return folder
