"""Commands about what was decided: list, show, why, path, verify, replay, rebuild, gc, keys."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.cli.conftest import Command


def path_of(command: Command, model: Path) -> Path:
    done = command("path", str(model))
    assert done.code == 0, done.err
    return Path(done.out.strip())


def test_nothing_is_known_of_a_model_that_was_never_weighed(command: Command, model: Path) -> None:
    for name in ("show", "why", "path", "verify", "replay"):
        done = command(name, str(model))
        assert done.code == 2, name
        assert "weighbridge admit" in done.err


def test_a_decision_is_found_by_digest_by_subject_and_by_path(command: Command, model: Path) -> None:
    document = command("admit", str(model), "--json").document
    digest, subject = document["digest"], document["decision"]["subject"]
    for text in (digest, digest[:12], subject, f"sha256:{subject[:16]}", str(model)):
        assert command("why", text, "--json").document["digest"] == digest


def test_changed_bytes_at_a_path_are_another_model(command: Command, model: Path) -> None:
    command("admit", str(model))
    (model / "README.md").write_text("# other\n")
    done = command("why", str(model))
    assert done.code == 2
    assert "changed" in done.err


def test_a_path_holds_exactly_the_admitted_bytes(command: Command, model: Path) -> None:
    command("admit", str(model))
    wanted = {path.name: path.read_bytes() for path in model.iterdir()}
    folder = path_of(command, model)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == wanted
    assert all(path.stat().st_mode & 0o222 == 0 for path in folder.iterdir())
    shutil.rmtree(model)
    assert path_of(command, model) == folder


def test_a_path_is_not_given_for_changed_bytes(command: Command, model: Path) -> None:
    command("admit", str(model))
    folder = path_of(command, model)
    damaged = folder / "model.safetensors"
    damaged.chmod(0o600)
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"\xff")
    assert command("path", str(model)).code == 1
    assert command("verify", str(model)).code == 1
    assert command("verify").code == 1


def test_a_path_that_was_tampered_with_is_laid_out_anew(command: Command, model: Path) -> None:
    command("admit", str(model))
    folder = path_of(command, model)
    folder.chmod(0o700)
    (folder / "extra.py").write_text("import os")
    again = path_of(command, model)
    assert sorted(path.name for path in again.iterdir()) == ["README.md", "config.json", "model.safetensors"]


@pytest.mark.parametrize(("which", "code"), [("trapped", 1), ("odd", 3)])
def test_no_path_without_an_admission(command: Command, which: str, code: int, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(which)
    command("admit", str(folder))
    assert command("path", str(folder)).code == code


def test_show_prints_a_finding_at_its_bytes(command: Command, trapped: Path) -> None:
    command("admit", str(trapped))
    shown = command("show", str(trapped))
    assert shown.code == 0
    assert "pickle.calls-unsafe-global" in shown.out
    finding = command("show", str(trapped), "--finding", "1")
    assert finding.code == 0
    assert command("show", str(trapped), "--finding", "999").code == 2


def test_why_names_every_rule(command: Command, trapped: Path) -> None:
    command("admit", str(trapped))
    rules = {rule["id"] for rule in command("rules", "--json").document["policy"]["rules"]}
    traced = command("why", str(trapped), "--json").document["trace"]
    assert rules <= {step["rule"] for step in traced}
    assert next(step for step in traced if step["rule"] == "no-code-in-weights")["standing"] == "fired"


def test_verify_says_when_it_had_no_checkpoint_from_elsewhere(command: Command, model: Path) -> None:
    command("admit", str(model))
    assert "checkpoint" in command("verify").out
    assert command("verify", "--json").document["notes"]


def test_yesterdays_database_is_told_by_a_checkpoint_kept_elsewhere(
    command: Command, model: Path, odd: Path, tmp_path: Path, data_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.setenv("WEIGHBRIDGE_CHECKPOINTS", str(elsewhere))
    command("admit", str(model))
    shutil.copytree(data_folder, tmp_path / "yesterday")
    command("admit", str(odd))
    newest = max(elsewhere.rglob("*"), key=lambda path: (path.is_file(), path.stat().st_mtime_ns, path.name))
    assert command("verify", "--checkpoint", str(newest)).code == 0
    shutil.rmtree(data_folder)
    shutil.copytree(tmp_path / "yesterday", data_folder)
    assert command("verify").code == 1
    assert command("admit", str(odd)).code == 4
    monkeypatch.delenv("WEIGHBRIDGE_CHECKPOINTS")
    assert command("verify").code == 0
    assert command("verify", "--checkpoint", str(newest)).code == 1
    assert command("verify", str(model), "--checkpoint", str(newest)).code == 1


def test_another_key_is_not_trusted(command: Command, model: Path, tmp_path: Path, data_folder: Path) -> None:
    command("admit", str(model))
    stranger = tmp_path / "other"
    command("admit", str(model), "--home", str(stranger))
    pem = tmp_path / "stranger.pem"
    pem.write_text(command("keys", "--home", str(stranger), "--json").document["keys"][0]["pem"])
    assert command("verify", str(model), "--key", str(pem)).code == 1
    own = tmp_path / "own.pem"
    own.write_text(command("keys", "--json").document["keys"][0]["pem"])
    assert command("verify", str(model), "--key", str(own)).code == 0


def test_a_rotated_key_keeps_what_the_old_one_signed(command: Command, model: Path, odd: Path, tmp_path: Path) -> None:
    command("admit", str(model))
    old = tmp_path / "old.pem"
    old.write_text(command("keys", "--json").document["keys"][0]["pem"])
    assert command("keys", "--rotate").code == 0
    command("admit", str(odd))
    assert command("verify").code == 0
    assert command("verify", "--key", str(old)).code == 0
    assert len(command("keys", "--json").document["keys"]) == 2


def test_the_database_is_rebuilt_from_evidence(command: Command, model: Path, odd: Path, data_folder: Path) -> None:
    command("admit", str(model))
    command("admit", str(odd))
    before = command("list", "--all", "--json").document
    (data_folder / "registry" / "registry.sqlite").write_bytes(b"not a database")
    assert command("list").code != 0
    assert command("rebuild").code == 0
    assert command("list", "--all", "--json").document == before
    assert command("verify").code == 0


def test_gc_frees_only_what_no_decision_needs(command: Command, model: Path, trapped: Path, data_folder: Path) -> None:
    command("admit", str(model))
    command("admit", str(trapped))
    assert command("gc").code == 0
    assert command("verify", str(trapped)).code == 0
    freed = command("gc", "--expired", "--json").document
    assert freed["files"] > 0
    assert command("verify", str(model)).code == 0
    assert command("replay").code == 0
    left_over = data_folder / "registry" / "blobs" / "sha256" / "00" / ("00" * 32)
    left_over.parent.mkdir(exist_ok=True)
    left_over.write_bytes(b"nobody needs this")
    assert command("gc", "--dry-run", "--json").document["files"] == 1
    assert command("gc", "--json").document["files"] == 1
    assert not left_over.exists()
