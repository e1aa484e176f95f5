"""No decision without its log: removed, replaced, emptied or read-only, before an admission or in the middle of one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from weighbridge.admission.admit import admit
from weighbridge.admission.installation import Installation, Settings
from weighbridge.admission.recall import recall_all
from weighbridge.admission.verification import verify_installation
from weighbridge.cli.main import weighbridge
from weighbridge.cli.running import Exit, run
from weighbridge.errors import RegistryError
from weighbridge.testing.models import tiny_safetensors
from weighbridge.vocabulary import ModelRef, UseContext

Damage = Callable[[Path], None]


def remove(log: Path) -> None:
    log.unlink()


def replace_by_its_copy(log: Path) -> None:
    copy = log.with_name("copy")
    shutil.copy(log, copy)
    copy.replace(log)


def replace_by_nothing(log: Path) -> None:
    log.unlink()
    log.touch(0o600)


def overwrite(log: Path) -> None:
    log.write_bytes(b"no database " * 1000)


def make_read_only(log: Path) -> None:
    log.chmod(0o400)


def remove_the_write_ahead_log(log: Path) -> None:
    log.with_name(f"{log.name}-wal").unlink()


def replace_the_write_ahead_log(log: Path) -> None:
    ahead = log.with_name(f"{log.name}-wal")
    ahead.unlink()
    ahead.touch(0o600)


AT_REST = (remove, replace_by_nothing, overwrite, make_read_only)
WHILE_OPEN = (
    remove,
    replace_by_its_copy,
    replace_by_nothing,
    make_read_only,
    remove_the_write_ahead_log,
    replace_the_write_ahead_log,
)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An installation with one decision."""
    home = tmp_path / "home"
    assert run(weighbridge, ["admit", "--home", str(home), str(model(tmp_path, "first"))]) == Exit.OK
    return home


def model(folder: Path, name: str) -> Path:
    made = folder / name
    made.mkdir()
    (made / "model.safetensors").write_bytes(tiny_safetensors())
    (made / "config.json").write_text('{"model_type": "llama"}\n')
    (made / "README.md").write_text(f"# {name}\n")
    return made


def log_of(home: Path) -> Path:
    return home / "registry" / "registry.sqlite"


def decisions(home: Path) -> list[str]:
    """The digest of every decision of an installation in which everything agrees."""
    with Installation(Settings(home=home), environment={}, clock=lambda: datetime.now(UTC)) as house:
        report = verify_installation(house, checkpoint=None, key=None)
        assert report.passed, report
        return [known.digest for known in recall_all(house, superseded=True)]


@pytest.mark.parametrize("damage", AT_REST)
def test_a_log_that_is_gone_before_an_admission_means_exit_code_4(home, tmp_path, capsys, damage: Damage):
    before = decisions(home)
    kept = tmp_path / "kept.sqlite"
    shutil.copy2(log_of(home), kept)
    damage(log_of(home))
    capsys.readouterr()
    arguments = ["admit", "--home", str(home), str(model(tmp_path, "second")), "--json"]
    assert run(weighbridge, arguments) == Exit.BROKE
    told = json.loads(capsys.readouterr().out)["error"]
    assert told["kind"] == "LogUnavailableError"
    assert "registry.sqlite" in told["message"]
    assert told["remedy"]
    kept.replace(log_of(home))
    assert decisions(home) == before
    assert run(weighbridge, arguments) == Exit.OK
    assert len(decisions(home)) == len(before) + 1


@pytest.mark.parametrize("damage", WHILE_OPEN)
def test_a_log_that_goes_away_during_an_admission_takes_the_decision_with_it(home, tmp_path, damage: Damage):
    before = decisions(home)
    kept = tmp_path / "kept.sqlite"
    shutil.copy2(log_of(home), kept)
    second = ModelRef(hub="local", name=str(model(tmp_path, "second")))
    moments = []

    def watch(stage: str, _subject: str, _done: int, _total: int, /) -> None:
        if stage == "inspect" and not moments:
            moments.append(stage)
            damage(log_of(home))

    def attempt(watch=watch) -> None:
        with Installation(Settings(home=home), environment={}, clock=lambda: datetime.now(UTC)) as house:
            admit(second, use=UseContext(), policy=house.policy(None), house=house, watch=watch)

    with pytest.raises(RegistryError) as refused:
        attempt()
    assert moments
    assert refused.value.remedy
    for left_over in log_of(home).parent.glob("registry.sqlite*"):
        left_over.unlink()
    kept.replace(log_of(home))
    assert decisions(home) == before
    attempt(watch=lambda *_: None)
    assert len(decisions(home)) == len(before) + 1


def remove_the_folder(log: Path) -> None:
    shutil.rmtree(log)


def put_a_file_in_its_place(log: Path) -> None:
    shutil.rmtree(log)
    log.touch()


def remove_the_entries(log: Path) -> None:
    shutil.rmtree(log / "entries")


def remove_the_first_entry(log: Path) -> None:
    (log / "entries" / "000000000.json").unlink()


def remove_the_last_entry(log: Path) -> None:
    max((log / "entries").iterdir()).unlink()


FILES_OF_THE_LOG = (
    remove_the_folder,
    put_a_file_in_its_place,
    remove_the_entries,
    remove_the_first_entry,
    remove_the_last_entry,
)


@pytest.mark.parametrize("damage", FILES_OF_THE_LOG)
def test_files_of_the_log_that_are_gone_mean_no_decision_until_they_are_restored(
    home, tmp_path, capsys, damage: Damage
):
    before = decisions(home)
    damage(home / "registry" / "log")
    capsys.readouterr()
    arguments = ["admit", "--home", str(home), str(model(tmp_path, "second")), "--json"]
    assert run(weighbridge, arguments) == Exit.BROKE
    told = json.loads(capsys.readouterr().out)["error"]
    assert told["kind"] == "LogUnavailableError"
    assert "weighbridge rebuild" in told["remedy"]
    (home / "registry" / "log").unlink() if (home / "registry" / "log").is_file() else None
    assert run(weighbridge, ["rebuild", "--home", str(home)]) == Exit.OK
    assert decisions(home) == before
    assert run(weighbridge, arguments) == Exit.OK
    assert len(decisions(home)) == len(before) + 1


@pytest.mark.parametrize("damage", [remove_the_folder, put_a_file_in_its_place, remove_the_entries])
def test_files_of_the_log_that_go_away_during_an_admission_take_the_decision_with_them(home, tmp_path, damage: Damage):
    before = decisions(home)
    log = home / "registry" / "log"
    shutil.copytree(log, tmp_path / "kept")
    second = ModelRef(hub="local", name=str(model(tmp_path, "second")))
    moments = []

    def watch(stage: str, _subject: str, _done: int, _total: int, /) -> None:
        if stage == "inspect" and not moments:
            moments.append(stage)
            damage(log)

    with (
        Installation(Settings(home=home), environment={}, clock=lambda: datetime.now(UTC)) as house,
        pytest.raises(RegistryError, match="part of the log"),
    ):
        admit(second, use=UseContext(), policy=house.policy(None), house=house, watch=watch)
    assert moments
    log.unlink() if log.is_file() else shutil.rmtree(log, ignore_errors=True)
    shutil.copytree(tmp_path / "kept", log)
    assert decisions(home) == before


def test_an_older_database_that_was_put_back_serves_nothing_and_is_said_to_be_one(home, tmp_path, capsys):
    log = log_of(home)
    kept = tmp_path / "kept.sqlite"
    shutil.copy2(log, kept)
    first = tmp_path / "first"
    assert run(weighbridge, ["path", "--home", str(home), str(first)]) == Exit.OK
    assert run(weighbridge, ["admit", "--home", str(home), str(model(tmp_path, "second"))]) == Exit.OK
    for left_over in log.parent.glob("registry.sqlite*"):
        left_over.unlink()
    kept.replace(log)
    capsys.readouterr()
    assert run(weighbridge, ["path", "--home", str(home), str(first)]) != Exit.OK
    assert "older database was put back" in capsys.readouterr().err
    assert run(weighbridge, ["verify", "--home", str(home), str(first)]) == Exit.FOUND
    assert run(weighbridge, ["why", "--home", str(home), str(first)]) == Exit.OK
    assert "older database was put back" in capsys.readouterr().err


def test_a_model_whose_files_are_gone_does_not_verify(home, capsys):
    for blob in (home / "registry" / "blobs" / "sha256").rglob("*"):
        if blob.is_file():
            blob.unlink()
    capsys.readouterr()
    assert run(weighbridge, ["verify", "--home", str(home)]) == Exit.FOUND
    assert "not kept any more" in capsys.readouterr().out
