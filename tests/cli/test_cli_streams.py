"""What leaves the command line: exit codes when standard output breaks, and suggestions that work as they are printed."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Command

SCRIPT = Path(sys.executable).parent / "weighbridge"


def shell(line: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("buffered", [True, False])
def test_a_reader_that_has_gone_changes_no_answer(
    model: Path, trapped: Path, data_folder: Path, monkeypatch: pytest.MonkeyPatch, *, buffered: bool
) -> None:
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    if not buffered:
        monkeypatch.setenv("PYTHONUNBUFFERED", "1")
    for folder, code in ((model, 0), (trapped, 1)):
        done = shell(f"{SCRIPT} admit {shlex.quote(str(folder))} | true; exit ${{PIPESTATUS[0]}}")
        assert done.returncode == code
        assert "error" not in done.stderr
    assert shell(f"{SCRIPT} --help | true; exit ${{PIPESTATUS[0]}}").returncode == 0
    assert shell(f"{SCRIPT} verify | true; exit ${{PIPESTATUS[0]}}").returncode == 0


@pytest.mark.parametrize("where", [">/dev/full", ">&-"])
def test_output_that_is_lost_is_said_and_is_no_answer(model: Path, data_folder: Path, where: str) -> None:
    for arguments, code in ((f"admit {model}", 4), (f"admit --json {model}", 4), ("list --json", 3), ("verify", 3)):
        done = shell(f"{SCRIPT} {arguments} {where}")
        assert done.returncode == code
        assert "standard output cannot be written" in done.stderr
        assert "defect" not in done.stderr
        assert "Traceback" not in done.stderr
    assert "admitted" in shell(f"{SCRIPT} list").stdout, "the decision stands, whoever could read of it"


def test_a_narrow_encoding_changes_no_answer(trapped: Path, data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    done = shell(f"{SCRIPT} admit {trapped}")
    assert done.returncode == 1
    assert "--reason" in done.stdout
    assert "error" not in done.stderr


@pytest.mark.parametrize("arguments", [(), ("policy",)])
def test_no_arguments_give_the_help(command: Command, arguments: tuple[str, ...]) -> None:
    done = command(*arguments)
    assert done.code == 2
    assert done.out.startswith("Usage: weighbridge")
    assert "\\n" not in done.out
    assert done.err == ""


def test_nothing_to_replay_is_no_success(command: Command) -> None:
    assert command("replay").code == 3


def suggested(text: str, what: str) -> list[str]:
    """The arguments of the suggested command, its ellipses filled in."""
    [line] = set(re.findall(rf"weighbridge ({what} .*?)$", text, re.MULTILINE))
    return [argument.replace("…", "because") for argument in shlex.split(line)]


def test_what_is_suggested_works_as_it_is_printed(command: Command, trapped: Path, tmp_path: Path) -> None:
    """For the use and the policy that were asked for, whatever the folder is called."""
    odd = trapped.rename(tmp_path / "--it's a; model")
    asked = ("--purpose", "search", "--owner", "ann")
    refused = command("admit", *asked, "--", str(odd))
    assert refused.code == 1
    waived = command(*suggested(refused.out, "waive"), "--by", "bob", "--control", "loaded in a sandbox only")
    assert waived.code == 0, waived.err
    admitted = command(*suggested(waived.out, "admit"))
    assert admitted.code == 0, admitted.err
    assert command("path", *asked, "--", str(odd)).code == 0


def test_a_suggested_waiver_is_for_the_policy_that_was_asked(command: Command, model: Path, tmp_path: Path) -> None:
    policy = tmp_path / "strict.yaml"
    policy.write_text(
        "name: strict\nversion: 1\nrules:\n  - {id: never, title: x, severity: high, effect: refuse, when: 'true',\n"
        "     needs: [], message: no, remedy: none}\n"
    )
    refused = command("admit", "--policy", str(policy), str(model))
    assert refused.code == 1, refused.err
    waived = command(*suggested(refused.out, "waive"), "--by", "bob", "--control", "none needed")
    assert waived.code == 0, waived.err
    assert command(*suggested(waived.out, "admit")).code == 0


def test_like_brings_everything_itself(command: Command, model: Path) -> None:
    digest = command("admit", "--purpose", "search", str(model), "--json").document["digest"]
    assert command("admit", "--like", digest, "--json").document["digest"] == digest
    assert command("admit", "--like", digest, str(model)).code == 2
    assert command("admit", "--like", digest, "--purpose", "else").code == 2
    (model / "README.md").write_text("# another\n")
    changed = command("admit", "--like", digest)
    assert changed.code == 2
    assert "no longer those" in changed.err
    assert len(command("list", "--all", "--json").document["decisions"]) == 1


def test_a_closed_standard_error_changes_no_answer(model: Path, data_folder: Path) -> None:
    assert shell(f"WEIGHBRIDGE_CHECKPOINTS=/proc/nope {SCRIPT} admit {model} 2>&-").returncode == 0
    done = shell(f"{SCRIPT} admit /nowhere/at/all 2>&-")
    assert done.returncode != 0
    assert done.stdout == ""


def test_an_error_of_one_of_many_names_the_line_of_the_list(command: Command, model: Path, tmp_path: Path) -> None:
    hostile = tmp_path / "hostile"
    hostile.mkdir()
    (hostile / "weights.bin").symlink_to("/etc/hostname")
    listing = tmp_path / "list.txt"
    listing.write_text(f"{model}\n{hostile}\n")
    done = command("admit", "--from", str(listing))
    assert done.code == 1
    assert str(hostile) in done.err
    assert "weights.bin" in done.err
