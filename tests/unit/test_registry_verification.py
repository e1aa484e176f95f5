"""Everything is recomputed, and every change of content is found."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from weighbridge.errors import LogUnavailableError
from weighbridge.registry.store import Registry
from weighbridge.registry.tables import INDEX_TABLES, TRIGGERS
from weighbridge.registry.verification import NO_CHECKPOINT, Verification, verify_store
from weighbridge.testing.filled_store import NOON, Seal, decide, draft_decision, fill, open_store
from weighbridge.testing.store_changes import Vandal, find_missed
from weighbridge.vocabulary import Verdict

MUTATIONS = int(os.environ.get("WEIGHBRIDGE_MUTATIONS", "500"))


def verify(root: Path, checkpoint: str | None = None, seal: Seal | None = None) -> Verification:
    with Registry.open(root, clock=lambda: NOON) as registry:
        return verify_store(registry, readers=(seal or Seal()).readers, checkpoint=checkpoint)


@pytest.fixture
def root(tmp_path):
    with open_store(tmp_path / "store") as registry:
        fill(registry)
    return tmp_path / "store"


def test_an_untouched_store_is_sound_and_says_that_nobody_vouched_for_its_length(root):
    answer = verify(root)
    assert answer.problems == ()
    assert answer.is_sound
    assert (answer.entries, answer.checkpoints) == (7, 7)
    assert answer.evidence_files > 20
    assert not answer.had_checkpoint
    assert answer.elsewhere == NO_CHECKPOINT
    assert "had no checkpoint from elsewhere" in answer.elsewhere


def test_any_earlier_checkpoint_vouches(root):
    for path in sorted((root / "log/checkpoints").iterdir()):
        answer = verify(root, path.read_text())
        assert answer.is_sound
        assert answer.had_checkpoint
        assert f"agrees with the checkpoint from elsewhere at {int(path.stem)} entries" == answer.elsewhere


def test_an_empty_store_is_sound(tmp_path):
    with open_store(tmp_path / "store"):
        pass
    assert verify(tmp_path / "store").is_sound


# --- what only a checkpoint kept elsewhere shows ---------------------------------------------------------------------


def test_a_log_cut_short_with_everything_that_belongs_to_it_needs_a_checkpoint_from_elsewhere(root):
    kept_elsewhere = (root / "log/checkpoints/000000007.checkpoint").read_text()
    with closing(sqlite3.connect(root / "registry.sqlite", isolation_level=None)) as connection:
        for name in TRIGGERS:
            connection.execute(f"DROP TRIGGER {name}")
        for table in ("log_entry", *(t.name for t in INDEX_TABLES if "log_index" in t.c)):
            connection.execute(f"DELETE FROM {table} WHERE log_index >= 5")
        connection.execute("DELETE FROM checkpoint WHERE size > 5")
        for statement in TRIGGERS.values():
            connection.execute(statement)
    for number in (5, 6):
        (root / f"log/entries/{number:09}.json").unlink()
        (root / f"log/checkpoints/{number + 1:09}.checkpoint").unlink()
    alone = verify(root)
    assert alone.is_sound
    assert alone.elsewhere == NO_CHECKPOINT
    answer = verify(root, kept_elsewhere)
    assert [problem.message for problem in answer.problems] == [
        "the log has 5 entries, a checkpoint from elsewhere knew 7: it was cut short or put back"
    ]


def test_a_store_put_back_from_yesterday_needs_a_checkpoint_from_elsewhere(root, tmp_path):
    shutil.copytree(root, tmp_path / "yesterday")
    with open_store(root) as registry:
        decide(registry, "acme/today")
        kept_elsewhere = registry.read_checkpoint().note
    shutil.rmtree(root)
    (tmp_path / "yesterday").rename(root)
    assert verify(root).is_sound
    assert not verify(root, kept_elsewhere).is_sound


def test_a_rewritten_log_needs_a_checkpoint_from_elsewhere(root, tmp_path):
    kept_elsewhere = (root / "log/checkpoints/000000004.checkpoint").read_text()
    with open_store(tmp_path / "other") as registry:
        fill(registry, models=5)
    assert verify(tmp_path / "other").is_sound
    answer = verify(tmp_path / "other", kept_elsewhere)
    assert [problem.message for problem in answer.problems] == [
        "the first 4 entries are not those that a checkpoint from elsewhere knew: the log was rewritten"
    ]


def test_a_checkpoint_of_somebody_else_vouches_for_nothing(root):
    forged = Seal("stranger").sign_checkpoint(1, b"\0" * 32)
    answer = verify(root, forged)
    assert [problem.subject for problem in answer.problems] == ["checkpoint from elsewhere"]


# --- what the store shows by itself ----------------------------------------------------------------------------------


def test_statements_of_another_signer_are_found(root):
    answer = verify(root, seal=Seal("stranger"))
    assert sum("cannot be trusted" in problem.message for problem in answer.problems) == 7 + 6


def test_a_record_that_says_otherwise_than_its_statement_is_found(tmp_path):
    with open_store(tmp_path / "store") as registry:
        refused = draft_decision(registry, "acme/tiny", verdict=Verdict.REFUSE)
        later = refused.expires_at + timedelta(days=1)
        registry.record_decision(replace(refused, verdict=Verdict.ADMIT, expires_at=later))
    messages = {problem.message for problem in verify(tmp_path / "store").problems}
    assert messages == {
        "says another verdict than its signed statement",
        "says another expires_at than its signed statement",
    }


def test_a_lost_trigger_and_strange_files_are_named(root):
    with closing(sqlite3.connect(root / "registry.sqlite", isolation_level=None)) as connection:
        connection.execute("DROP TRIGGER log_entry_no_update")
    (root / "log/entries/000000099.json").write_text("{}")
    (root / "evidence/sha256/stray\x1b[2J").touch()
    subjects = {problem.subject for problem in verify(root).problems}
    assert subjects == {"log_entry_no_update", "log/entries/000000099.json", "sha256/stray\\x1b[2J"}


def test_a_database_of_noise_is_a_problem_and_not_an_exception(root):
    data = bytearray((root / "registry.sqlite").read_bytes())
    noise = random.Random(1)
    for _ in range(200):
        data[noise.randrange(4096, len(data))] ^= noise.randrange(1, 256)
    (root / "registry.sqlite").write_bytes(data)
    try:
        answer = verify(root)
    except LogUnavailableError:
        return
    assert not answer.is_sound


def test_random_changes_of_content_are_all_found(root):
    vandal = Vandal(root, random.Random(20261121))
    assert find_missed(vandal, lambda: verify(root).is_sound, MUTATIONS) == []
    assert verify(root).is_sound


def test_a_verification_that_sees_nothing_misses_everything(root):
    vandal = Vandal(root, random.Random(1))
    assert len(find_missed(vandal, lambda: True, 5)) == 5
