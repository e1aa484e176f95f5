"""The command line as a whole: help, JSON everywhere, speed of --help, and what it says about itself."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import click
import pytest

from tests.cli.conftest import Command
from weighbridge.cli.main import COMMANDS, weighbridge

SCRIPT = Path(sys.executable).parent / "weighbridge"


def loaded(name: str) -> click.Command:
    found = weighbridge.get_command(click.Context(weighbridge), name)
    assert found is not None
    return found


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_has_help_and_json(name: str) -> None:
    group = loaded(name)
    assert group.get_short_help_str(200) == COMMANDS[name]
    for inner in group.commands.values() if isinstance(group, click.Group) else (group,):
        options = {option for parameter in inner.params for option in parameter.opts}
        assert {"--json", "--home"} <= options, inner.name
        assert all(p.help for p in inner.params if isinstance(p, click.Option)), inner.name


def test_every_command_module_is_listed() -> None:
    folder = Path(str(sys.modules["weighbridge.cli"].__path__[0]))
    support = {"__init__", "main", "render", "reporting", "running", "use", "wording"}
    assert {path.stem for path in folder.glob("*.py")} - support == set(COMMANDS)


def test_help_is_quick_and_loads_nothing_heavy() -> None:
    heavy = ["sqlalchemy", "cryptography", "huggingface_hub", "securesystemslib", "rich", "yaml", "cel_expr_python"]
    check = f"import sys; from weighbridge.cli.main import main; sys.argv=['w','--help']\ntry: main()\nexcept SystemExit: pass\nprint([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    best = min(timed([str(SCRIPT), "--help"]) for _ in range(5))
    bare = min(timed([sys.executable, "-c", "pass"]) for _ in range(5))
    assert best < max(0.25, 12 * bare)


def timed(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, capture_output=True, check=True)
    return time.perf_counter() - began


def test_formats_rules_and_doctor_answer(command: Command) -> None:
    for name in ("formats", "rules", "doctor"):
        words, document = command(name), command(name, "--json")
        assert words.code in (0, 3), words.err
        assert words.out
        assert document.document["version"] == 1


def test_policy_commands(command: Command, tmp_path: Path) -> None:
    assert command("policy", "check").code == 0
    assert command("policy", "test").code == 0
    assert "no-code-in-weights" in command("policy", "explain").out
    broken = tmp_path / "broken.yaml"
    broken.write_text("name: x\nversion: 1\nvalid_days: 30\nrules: [{id: a, title: b, effect: refuse, when: '1 +'}]\n")
    assert command("policy", "check", str(broken)).code != 0
    assert command("policy", "test", str(tmp_path / "none.yaml")).code == 2


def test_inspect_exit_codes(command: Command, model: Path, trapped: Path, odd: Path) -> None:
    assert command("inspect", str(model)).code == 0
    assert command("inspect", str(trapped)).code == 1
    assert command("inspect", str(odd)).code == 3
    assert command("inspect", str(model), "--header-only").code == 3
    assert command("inspect", str(trapped), "--header-only").code == 1
    assert command("inspect", str(model / "nothing")).code == 3


def test_inspect_records_nothing(command: Command, model: Path, data_folder: Path) -> None:
    command("inspect", str(model))
    assert not data_folder.exists()


def test_inspect_says_what_was_looked_at(command: Command, model: Path) -> None:
    out = command("inspect", str(model)).out
    assert "3 files, 3 read, 0 bytes unexplained" in out
    dossier = command("inspect", str(model), "--json").document["dossier"]
    assert {artifact["path"] for artifact in dossier["artifacts"]} == {"README.md", "config.json", "model.safetensors"}


def test_a_git_folder_is_left_out_and_named(command: Command, model: Path) -> None:
    (model / ".git").mkdir()
    (model / ".git" / "config").write_text("x")
    for arguments in (("inspect", str(model)), ("admit", str(model)), ("show", str(model))):
        done = command(*arguments)
        assert done.code == 0
        assert "left out: .git/" in done.out


def test_terminal_output_of_a_pipe_has_no_colour(model: Path, data_folder: Path) -> None:
    done = subprocess.run([str(SCRIPT), "inspect", str(model)], capture_output=True, text=True, check=False)
    assert "\x1b[" not in done.stdout + done.stderr


def test_readers_that_nothing_confines_are_said_to_be(
    command: Command, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a machine for which there is no table of system calls."""
    monkeypatch.setattr("weighbridge.jail.cell.build_filter", lambda _machine: b"")
    assert "no system call filter" in command("inspect", str(model)).err
    admitted = command("admit", str(model), "--json")
    assert any("no system call filter" in warning for warning in admitted.document["warnings"])
    monkeypatch.undo()
    assert "no system call filter" not in command("inspect", str(model)).err
