"""Where `inspect` is run by other programs: the action, the pre-commit hook, beside other packages, without a network."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

SCRIPT = Path(sys.executable).parent / "weighbridge"


def run(command: list[str], folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, check=False, timeout=120
    )


@pytest.fixture
def hook(repository: Path) -> dict[str, str]:
    [hook] = yaml.safe_load((repository / ".pre-commit-hooks.yaml").read_text())
    return hook


def test_the_hook_takes_file_names(hook: dict[str, str], data_folder: Path, trapped: Path, model: Path) -> None:
    assert (hook["id"], hook["language"], hook["pass_filenames"]) == ("weighbridge", "python", True)
    program, *options = shlex.split(hook["entry"])
    entry = [str(SCRIPT.parent / program), *options]
    shutil.copy(model / "model.safetensors", model / "-second.safetensors")
    assert run([*entry, "model.safetensors", "-second.safetensors"], model).returncode == 0
    shutil.copy(trapped / "optimizer.pt", model)
    done = run([*entry, "model.safetensors", "optimizer.pt"], model)
    assert done.returncode == 1
    assert "posix.system" in done.stdout


def test_the_hook_looks_at_weights_and_not_at_sources(hook: dict[str, str]) -> None:
    pattern = re.compile(hook["files"])
    named = ("a/b.safetensors", "x.PT", "x.gguf", "pytorch_model.bin", "x.pkl", "x.onnx", "x.keras")
    assert all(pattern.search(name) for name in named)
    assert not any(pattern.search(name) for name in ("a.py", "README.md", "bin/run", "pt", "x.ptx"))


def act(repository: Path, folder: Path, path: str, **inputs: str) -> tuple[int, str]:
    """Run the script of the action's last step as a runner does; its exit code and what it put out."""
    action = yaml.safe_load((repository / "action.yml").read_text())
    step = action["runs"]["steps"][-1]
    assert "${{" not in step["run"]
    given = {name: inputs.get(name.replace("-", "_"), str(item["default"])) for name, item in action["inputs"].items()}
    given["path"] = path
    said = {f"${{{{ inputs.{name} }}}}": value for name, value in given.items()}
    environment = {name: said.get(value, str(SCRIPT)) for name, value in step["env"].items()}
    output = folder / "github-output"
    output.write_text("")
    shell = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
    done = run(shell, folder, **environment, GITHUB_OUTPUT=str(output))
    return done.returncode, output.read_text()


def test_the_action_gives_code_and_report(
    repository: Path, data_folder: Path, trapped: Path, model: Path, tmp_path: Path
) -> None:
    for folder, expected in ((model, 0), (trapped, 1)):
        code, output = act(repository, tmp_path, folder.name)
        assert code == expected
        assert f"exit-code={expected}\n" in output
        assert (tmp_path / "weighbridge.sarif").read_text().startswith("{")
    suppressions = tmp_path / "known.yaml"
    _, _ = act(repository, tmp_path, "trapped", args="--write-baseline\nknown.yaml\n--until=2999-01-01")
    assert suppressions.exists()
    code, output = act(repository, tmp_path, "trapped", suppressions="known.yaml", sarif_file="o ther.sarif")
    assert code == 0
    assert "\no ther.sarif\n" in output


def test_an_input_of_the_action_is_never_run(repository: Path, data_folder: Path, tmp_path: Path) -> None:
    code, _ = act(repository, tmp_path, "$(touch ran)`touch ran`;touch ran", fail_on="high", args="$(touch ran)")
    assert code != 0
    assert not (tmp_path / "ran").exists()


def test_the_report_is_the_same_whatever_is_installed_beside(data_folder: Path, trapped: Path, tmp_path: Path) -> None:
    """The packages beside raise when they are imported, so that a report that needs one is not the same."""
    beside = tmp_path / "beside"
    for name in ("torch", "sklearn", "h5py", "numpy", "onnx", "joblib", "safetensors", "keras"):
        (beside / name).mkdir(parents=True)
        (beside / name / "__init__.py").write_text(
            f"open({str(tmp_path / 'imported')!r}, 'a').write({name!r})\nraise SystemExit(99)\n"
        )
    for form in (["--json"], ["--sarif", "-"], ["--all"]):
        command = [str(SCRIPT), "inspect", "trapped", *form]
        alone, together = run(command, tmp_path), run(command, tmp_path, PYTHONPATH=str(beside))
        assert alone.returncode == together.returncode == 1
        assert alone.stdout == together.stdout  # standard error tells of progress, which is a matter of time
    assert not (tmp_path / "imported").exists()


def test_a_local_model_is_inspected_without_the_network(data_folder: Path, model: Path, tmp_path: Path) -> None:
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    log = tmp_path / "calls"
    trace = ["strace", "-f", "-o", str(log), "-e", "trace=socket,connect,sendto,execve"]
    done = run([*trace, str(SCRIPT), "inspect", str(model)], tmp_path)
    assert done.returncode in (0, 3), done.stderr  # traced, the jail may find less to confine itself with
    calls = log.read_text()
    assert "execve(" in calls
    assert not re.search(r"AF_INET6?\b", calls)
    met = re.findall(r"\bconnect\(.*", calls)
    assert [call for call in met if "AF_UNIX" not in call] == []  # the C library asks a local cache who the user is
