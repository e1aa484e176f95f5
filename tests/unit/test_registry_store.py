"""What recording promises: once, together with its log entry, findable, provable, and the same after opening again."""

from __future__ import annotations

import json
import stat
import threading
from dataclasses import replace
from datetime import timedelta

import pytest

from weighbridge.errors import RegistryError, SigningError, UsageError
from weighbridge.registry import merkle, wire
from weighbridge.registry.queries import DecisionFilter
from weighbridge.registry.rebuilding import rebuild
from weighbridge.registry.records import RecordedEvent
from weighbridge.registry.store import Registry
from weighbridge.registry.verification import verify_store
from weighbridge.testing import filled_store
from weighbridge.testing.filled_store import NOON, Seal, decide, digest_of, draft_decision, fill, open_store
from weighbridge.vocabulary import Verdict


def test_a_recorded_decision_is_found_by_key_digest_prefix_name_and_subject(tmp_path):
    with open_store(tmp_path / "store") as registry:
        draft = draft_decision(registry, "acme/tiny")
        recorded = registry.record_decision(draft)
        assert recorded.is_fresh
        assert recorded.warnings == ()
        row = registry.find_decision(draft.key)
        assert row is not None
        assert (row.decision, row.subject, row.verdict) == (draft.decision, draft.subject, Verdict.ADMIT)
        assert (row.decided_at, row.expires_at) == (draft.decided_at, draft.expires_at)
        assert registry.read_decision(draft.decision) == row
        assert registry.find_by_prefix(draft.decision[:8]).digest == draft.decision
        assert registry.find_by_prefix(draft.subject[:8]).kind == "subject"
        assert registry.query_decisions(DecisionFilter(reference_part="ACME/Tiny".lower())) == (row,)
        assert registry.query_decisions(DecisionFilter(reference_part="acme_tiny")) == ()
        assert [label.subject for label in registry.query_labels("local:acme/tiny")] == [draft.subject]


def test_a_second_record_under_a_key_is_the_first_one(tmp_path):
    with open_store(tmp_path / "store") as registry:
        first = decide(registry, "acme/tiny")
        second = decide(registry, "acme/tiny", decided_at=NOON + timedelta(hours=1))
        assert not second.is_fresh
        assert (second.digest, second.log_index) == (first.digest, first.log_index)
        assert registry.read_checkpoint().size == 1


def test_again_makes_another_decision_and_the_older_one_never_comes_back(tmp_path):
    with open_store(tmp_path / "store") as registry:
        draft = draft_decision(registry, "acme/tiny")
        registry.record_decision(draft)
        later = draft_decision(registry, "acme/tiny", verdict=Verdict.REFUSE, decided_at=NOON - timedelta(days=20))
        registry.record_decision(later, again=True)
        found = registry.find_decision(draft.key)
        assert found is not None
        assert (found.decision, found.sequence) == (later.decision, 1)
        after_the_later_one = NOON + timedelta(days=15)
        assert draft.expires_at > after_the_later_one > later.expires_at
        assert registry.find_decision(draft.key, after_the_later_one) is None
        assert len(registry.query_decisions(DecisionFilter(latest=False))) == 2
        assert [row.decision for row in registry.query_decisions()] == [later.decision]


def test_an_expired_decision_does_not_stand_in_the_way(tmp_path):
    root = tmp_path / "store"
    with open_store(root) as registry:
        decide(registry, "acme/tiny")
    with open_store(root, now=NOON + timedelta(days=40)) as registry:
        assert decide(registry, "acme/tiny", decided_at=NOON + timedelta(days=40)).is_fresh


def test_the_very_same_statement_is_recorded_once_even_with_again(tmp_path):
    with open_store(tmp_path / "store") as registry:
        draft = draft_decision(registry, "acme/tiny")
        registry.record_decision(draft)
        assert not registry.record_decision(draft, again=True).is_fresh
        assert registry.read_checkpoint().size == 1


def test_waivers_approvals_and_events_have_their_lines_in_the_log(tmp_path):
    with open_store(tmp_path / "store") as registry:
        fill(registry, models=1)
        row = registry.query_decisions(DecisionFilter(latest=False))[0]
        assert [waiver.rule for waiver in registry.query_waivers(row.subject, at=NOON)] == ["no-code-in-weights"]
        assert registry.query_waivers(row.subject, at=NOON + timedelta(days=90)) == ()
        assert [approval.by for approval in registry.query_approvals(row.decision)] == ["bob"]
        kinds = [registry.read_entry(place).kind for place in range(registry.read_checkpoint().size)]
        assert kinds == ["decision", "decision", "waiver", "approval", "key.rotated"]
        assert not filled_store.waive(registry, row.subject).is_fresh
        assert not filled_store.approve(registry, row.decision).is_fresh


def test_another_name_of_a_model_is_recorded_once_while_it_points_there(tmp_path):
    root = tmp_path / "store"
    with open_store(root) as registry:
        first, second = draft_decision(registry, "acme/tiny"), draft_decision(registry, "acme/other")
        registry.record_decision(first)
        registry.record_decision(second)
        standing = registry.record_name("local:acme/tiny", first.subject)
        assert (standing.is_fresh, standing.log_index, standing.digest) == (False, 0, first.subject)
        named = registry.record_name("hub:acme/tiny", first.subject)
        assert (named.is_fresh, named.log_index) == (True, 2)
        assert not registry.record_name("hub:acme/tiny", first.subject).is_fresh
        assert registry.record_name("hub:acme/tiny", second.subject).is_fresh
        assert registry.record_name("hub:acme/tiny", first.subject).is_fresh
        pointed = [label.subject for label in registry.query_labels("hub:acme/tiny")]
        assert pointed == [first.subject, second.subject, first.subject]
        assert registry.read_entry(2).kind == "name"
        assert registry.read_checkpoint().size == 5
        with pytest.raises(RegistryError, match="manifest"):
            registry.record_name("hub:acme/tiny", digest_of("a model that nobody decided on"))
        with pytest.raises(UsageError, match="empty"):
            registry.record_name("", first.subject)
        before = registry.query_labels()
    with Registry.open(root, clock=lambda: NOON) as registry:
        assert verify_store(registry, readers=Seal().readers).problems == ()
        with pytest.raises(RegistryError, match="reading only"):
            registry.record_name("hub:acme/third", first.subject)
    rebuild(root, readers=Seal().readers, now=NOON)
    with Registry.open(root, clock=lambda: NOON) as registry:
        assert registry.query_labels() == before


def test_many_who_record_one_name_at_once_record_it_once(tmp_path):
    fresh: list[bool] = []
    with open_store(tmp_path / "store") as registry:
        subject = draft_decision(registry, "acme/tiny").subject

        def record():
            fresh.append(registry.record_name("hub:acme/tiny", subject).is_fresh)

        threads = [threading.Thread(target=record) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(fresh) == [False] * 7 + [True]
        assert registry.read_checkpoint().size == 1


def test_a_record_of_an_event_without_a_reference_is_still_read():
    data = wire.canonical(RecordedEvent(kind="key.rotated", digest=digest_of("x"), at=NOON))
    plain = json.loads(data)
    del plain["reference"]
    assert wire.decode(RecordedEvent, json.dumps(plain).encode()) == wire.decode(RecordedEvent, data)


def test_every_entry_is_provably_in_the_log_that_was_signed(tmp_path):
    seal = Seal()
    with open_store(tmp_path / "store") as registry:
        fill(registry, models=4)
        last = registry.read_checkpoint()
        assert seal.read_checkpoint(last.note) == (last.size, last.root_hash)
        for size in range(1, last.size + 1):
            old = registry.read_checkpoint(size)
            proof = registry.prove_consistency(size, last.size)
            assert merkle.verify_consistency(size, last.size, old.root_hash, last.root_hash, proof)
            for place in range(size):
                shown = registry.prove_inclusion(place, size)
                leaf = merkle.leaf_hash(shown.entry)
                assert merkle.verify_inclusion(place, size, leaf, shown.proof, old.root_hash)
        with pytest.raises(RegistryError, match="no entry"):
            registry.prove_inclusion(last.size)


def test_the_log_is_exported_and_copied_elsewhere(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    root = tmp_path / "store"
    with open_store(root, checkpoint_copies=(elsewhere,)) as registry:
        assert decide(registry, "acme/tiny").warnings == ()
        note = registry.read_checkpoint().note
        entry = json.loads((root / "log/entries/000000000.json").read_bytes())
        assert entry["kind"] == "decision"
        assert wire.canonical(entry) == registry.prove_inclusion(0).entry
        assert (root / "log/checkpoints/000000001.checkpoint").read_text() == note
        assert (elsewhere / f"{registry.identity.id}-000000001.checkpoint").read_text() == note


def test_a_copy_that_fails_is_reported_and_made_good_later(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    root = tmp_path / "store"
    with open_store(root, checkpoint_copies=(elsewhere,)) as registry:
        recorded = decide(registry, "acme/tiny")
        assert recorded.is_fresh
        assert len(recorded.warnings) == 1
        assert str(elsewhere) in recorded.warnings[0]
        decide(registry, "acme/other")
        store_id = registry.identity.id
    with open_store(root) as registry:
        assert registry.warnings == ()
    elsewhere.mkdir()
    with open_store(root, checkpoint_copies=(elsewhere,)) as registry:
        assert registry.warnings == ()
    names = {path.name for path in elsewhere.iterdir()}
    assert names == {f"{store_id}-000000001.checkpoint", f"{store_id}-000000002.checkpoint"}


def test_a_checkpoint_copy_is_never_overwritten_by_another_history(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with open_store(tmp_path / "store", checkpoint_copies=(elsewhere,)) as registry:
        taken = elsewhere / f"{registry.identity.id}-000000001.checkpoint"
        taken.write_text("another history\n")
        recorded = decide(registry, "acme/tiny")
        assert "rewritten" in recorded.warnings[0]
        assert taken.read_text() == "another history\n"


def test_no_signature_no_decision(tmp_path):
    def refuse(size, root_hash):
        raise SigningError("the key is gone")

    root = tmp_path / "store"
    with Registry.open(root, clock=lambda: NOON, sign_checkpoint=refuse) as registry:
        with pytest.raises(SigningError, match="the key is gone"):
            decide(registry, "acme/tiny")
        assert registry.query_decisions() == ()
        assert registry.read_checkpoint().size == 0


def test_evidence_comes_before_the_record(tmp_path):
    with open_store(tmp_path / "store") as registry:
        draft = draft_decision(registry, "acme/tiny")
        with pytest.raises(RegistryError, match=f"policy {digest_of('gone')}"):
            registry.record_decision(replace(draft, policy=digest_of("gone")))
        registry.evidence.remove(draft.subject)
        with pytest.raises(RegistryError, match="manifest"):
            registry.record_decision(draft)
        assert registry.read_checkpoint().size == 0


@pytest.mark.parametrize("kind", ["decision", "Key", "", "a b", "waiver"])
def test_an_event_cannot_pass_for_a_statement(tmp_path, kind):
    with open_store(tmp_path / "store") as registry, pytest.raises(UsageError, match="kind of event"):
        registry.record_event(RecordedEvent(kind=kind, digest=digest_of("x"), at=NOON))


def test_an_ambiguous_prefix_names_its_matches(tmp_path):
    with open_store(tmp_path / "store") as registry:
        draft = draft_decision(registry, "acme/tiny")
        registry.record_decision(draft)
        # the same digest as decision and as subject of an approval cannot be made, so two statements share a prefix of four
        prefixes: dict[str, str] = {}
        for number in range(2000):
            name = f"twin-{number}"
            digest = digest_of(name)
            if digest[:4] in prefixes:
                pair = (prefixes[digest[:4]], name)
                break
            prefixes[digest[:4]] = name
        for name in pair:
            registry.record_decision(replace(draft, key=digest_of(name + "key"), decision=digest_of(name)), again=True)
        with pytest.raises(UsageError, match=r"begins more than one digest: decision [0-9a-f]{16}, decision"):
            registry.find_by_prefix(digest_of(pair[0])[:4])
        with pytest.raises(UsageError, match="no digest begins"):
            registry.find_by_prefix("00000000ffff")
        with pytest.raises(UsageError, match="no digest"):
            registry.find_by_prefix("%")


def test_open_for_reading_writes_nothing(tmp_path):
    root = tmp_path / "store"
    with open_store(root) as registry:
        decide(registry, "acme/tiny")
    with Registry.open(root, clock=lambda: NOON) as registry:
        assert len(registry.query_decisions()) == 1
        assert list((root / "staging").iterdir()) == []
        with pytest.raises(RegistryError, match="reading only"):
            registry.record_event(RecordedEvent(kind="x", digest=digest_of("x"), at=NOON))
        with pytest.raises(RegistryError, match="reading only"):
            registry.evidence.put(b"x")
        with pytest.raises(RegistryError, match="reading only"):
            _ = registry.staging
        with pytest.raises(RegistryError, match="reading only"), registry.lease("x"):
            pass


def test_files_are_private_and_staging_ends_empty(tmp_path):
    root = tmp_path / "store"
    with open_store(root) as registry:
        decide(registry, "acme/tiny")
        (registry.staging / "deep").mkdir()
        (registry.staging / "deep" / "file").write_text("x")
        for path in [root, *root.rglob("*")]:
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0 or path.is_relative_to(registry.staging), path
    assert list((root / "staging").iterdir()) == []
    assert not (root / "registry.sqlite-wal").exists()


def test_threads_share_a_registry(tmp_path):
    results: list[int] = []
    with open_store(tmp_path / "store") as registry:

        def record(number):
            results.append(decide(registry, f"acme/model-{number}").log_index)

        threads = [threading.Thread(target=record, args=(number,)) for number in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(results) == list(range(12))
        assert registry.read_checkpoint().size == 12
