"""What a copy of a checkpoint shows: a log that was cut short, put back or rewritten takes nothing more."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from weighbridge.errors import LogUnavailableError, TamperedError
from weighbridge.registry.copies import newest_copy
from weighbridge.registry.store import Registry
from weighbridge.registry.verification import NO_CHECKPOINT, check_continues, verify_store
from weighbridge.testing.filled_store import NOON, Seal, decide, open_store


@pytest.fixture
def place(tmp_path):
    """A store with two decisions, what it was after the first one, and a folder of copies."""
    copies = tmp_path / "copies"
    copies.mkdir()
    with open_store(tmp_path / "store", checkpoint_copies=(copies,)) as registry:
        decide(registry, "acme/first")
    shutil.copytree(tmp_path / "store", tmp_path / "yesterday")
    with open_store(tmp_path / "store", checkpoint_copies=(copies,)) as registry:
        assert registry.warnings == ()
        decide(registry, "acme/second")
    return tmp_path


def put_yesterday_back(place: Path) -> None:
    shutil.rmtree(place / "store")
    (place / "yesterday").rename(place / "store")


def verify(place: Path, *copies: Path):
    with Registry.open(place / "store", clock=lambda: NOON) as registry:
        return verify_store(registry, readers=Seal().readers, copies=copies)


def test_the_newest_copy_of_a_store_is_found(place):
    with Registry.open(place / "store", clock=lambda: NOON) as registry:
        note, store_id = registry.read_checkpoint().note, registry.identity.id
    (place / "copies" / "notes.txt").touch()
    (place / "copies" / f"{'0' * 32}-000000009.checkpoint").write_text("of another store\n")
    empty = place / "empty"
    empty.mkdir()
    folders = (empty, place / "missing", place / "copies")
    assert newest_copy(folders, store_id) == note
    assert newest_copy(folders) == "of another store\n"
    assert newest_copy((empty,), store_id) is None


def test_nothing_is_added_to_a_log_that_was_put_back(place):
    put_yesterday_back(place)
    assert verify(place).is_sound
    with pytest.raises(LogUnavailableError, match=r"has 1 entries, and .* knew 2: it was cut short") as refused:
        open_store(place / "store", checkpoint_copies=(place / "copies",))
    assert refused.value.remedy
    assert list((place / "store/staging").iterdir()) == []
    answer = verify(place, place / "copies")
    assert [problem.message for problem in answer.problems] == [
        "the log has 1 entries, a checkpoint from elsewhere knew 2: it was cut short or put back"
    ]


def test_nothing_is_added_to_a_log_that_went_another_way(place):
    put_yesterday_back(place)
    with open_store(place / "store") as registry:
        decide(registry, "acme/another")
    assert verify(place).is_sound
    with pytest.raises(LogUnavailableError, match="another checkpoint of 2 entries"):
        open_store(place / "store", checkpoint_copies=(place / "copies",))
    answer = verify(place, place / "copies")
    assert {problem.message for problem in answer.problems} == {
        "is another checkpoint than the log has of that size",
        "the first 2 entries are not those that a checkpoint from elsewhere knew: the log was rewritten",
    }


def test_a_copy_vouches_where_no_checkpoint_is_given(place):
    answer = verify(place, place / "copies")
    assert answer.is_sound
    assert answer.had_checkpoint
    assert answer.elsewhere == "agrees with the checkpoint from elsewhere at 2 entries"
    assert answer.warnings == ()
    alone = verify(place, place / "missing")
    assert (alone.elsewhere, alone.had_checkpoint) == (NO_CHECKPOINT, False)
    assert "missing" in alone.warnings[0]


@pytest.mark.parametrize("folder", ["/proc/nope", "missing", "a file"])
def test_a_folder_that_takes_no_copies_is_said_at_every_opening_and_record(place, folder):
    (place / "a file").touch()
    with open_store(place / "store", checkpoint_copies=(place / "copies", place / folder)) as registry:
        assert [str(place / folder) in warning for warning in registry.warnings] == [True]
        recorded = decide(registry, "acme/third")
        assert [str(place / folder) in warning for warning in recorded.warnings] == [True]
    assert len(list((place / "copies").iterdir())) == 3


def test_an_older_copy_and_one_that_a_rebuild_left_out_stand_in_nobodys_way(place):
    with open_store(place / "store") as registry:
        decide(registry, "acme/third")
    with open_store(place / "store", checkpoint_copies=(place / "copies",)) as registry:
        assert registry.warnings == ()
        assert decide(registry, "acme/fourth").is_fresh


def test_a_log_that_continues_a_checkpoint_says_where(place):
    with Registry.open(place / "store", clock=lambda: NOON) as registry:
        leaves, note = registry.read_leaf_hashes(), registry.read_checkpoint(1).note
        assert registry.read_leaf_hashes(1) == leaves[:1]
    readers = Seal().readers
    assert check_continues(leaves, readers, note) == "agrees with the checkpoint from elsewhere at 1 entries"
    with pytest.raises(TamperedError, match="cut short"):
        check_continues([], readers, note)
    with pytest.raises(TamperedError, match="rewritten"):
        check_continues(leaves[::-1], readers, note)
    with pytest.raises(TamperedError, match="cannot be trusted"):
        check_continues(leaves, Seal("stranger").readers, note)
