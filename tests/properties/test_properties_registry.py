"""The store against a model of it: whatever is recorded in whatever order, opened and closed, is there once and proven."""

from __future__ import annotations

import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from weighbridge.registry import merkle, wire
from weighbridge.registry.rebuilding import rebuild
from weighbridge.registry.records import (
    EvidenceUse,
    LogEntry,
    RecordedApproval,
    RecordedDecision,
    RecordedEvent,
    RecordedWaiver,
    entry_of,
    read_entry,
    read_record,
    read_timestamp,
    timestamp,
)
from weighbridge.registry.recovery import collect_garbage
from weighbridge.registry.verification import verify_store
from weighbridge.testing.filled_store import NOON, Seal, approve, draft_decision, open_store
from weighbridge.vocabulary import Verdict

NAMES = st.sampled_from(["acme/a", "acme/b", "acme/c"])
DIGESTS = st.binary(min_size=32, max_size=32).map(bytes.hex)
# a day from either end, so that every zone has the time in UTC too
EARLIEST, LATEST = (datetime(*day, tzinfo=UTC).replace(tzinfo=None) for day in ((1, 1, 2), (9999, 12, 30)))
TIMES = st.datetimes(EARLIEST, LATEST, timezones=st.timezones())
UTC_TIMES = st.datetimes(timezones=st.just(UTC))
USES = st.lists(st.builds(EvidenceUse, role=st.text(max_size=8), digest=DIGESTS), max_size=4).map(tuple)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
RECORDS = st.one_of(
    st.builds(
        RecordedDecision,
        **dict.fromkeys(("key", "decision", "envelope", "subject", "dossier", "policy", "use"), DIGESTS),
        verdict=st.sampled_from(Verdict),
        decided_at=UTC_TIMES,
        expires_at=UTC_TIMES,
        reference=TEXT,
        evidence=USES,
    ),
    st.builds(
        RecordedWaiver,
        **dict.fromkeys(("waiver", "envelope", "subject"), DIGESTS),
        **dict.fromkeys(("rule", "use", "by"), TEXT),
        issued_at=UTC_TIMES,
        until=UTC_TIMES,
    ),
    st.builds(RecordedApproval, **dict.fromkeys(("approval", "envelope", "decision"), DIGESTS), by=TEXT, at=UTC_TIMES),
    st.builds(RecordedEvent, kind=st.just("key.rotated"), digest=DIGESTS, at=UTC_TIMES, subject=TEXT, evidence=USES),
)


@given(RECORDS, TIMES)
def test_records_and_entries_are_read_back_equal(record, at):
    data = wire.canonical(record)
    assert wire.decode(type(record), data) == record
    entry = entry_of(record, "0" * 64, at)
    assert read_entry(wire.canonical(entry)) == entry
    assert read_record(entry, data) == record


@given(st.builds(LogEntry, kind=TEXT, digest=TEXT, record=TEXT, subject=TEXT, at=TEXT))
def test_an_entry_has_one_form(entry):
    assert read_entry(wire.canonical(entry)) == entry


@given(TIMES, TIMES)
@example(datetime(1967, 6, 14, 0, 1, tzinfo=ZoneInfo("America/Detroit")), datetime(2000, 1, 1, tzinfo=UTC))
def test_written_times_sort_like_times(one, other):
    # A time in the hour that a clock was set by equals no time of another zone (PEP 495), so all are compared in one.
    assert read_timestamp(timestamp(one)) == one.astimezone(UTC)
    assert (timestamp(one) < timestamp(other)) == (one.astimezone(UTC) < other.astimezone(UTC))


class StoreModel(RuleBasedStateMachine):
    """Decisions as a dictionary of lists; time moves forward only."""

    @initialize()
    def found(self):
        self.folder = Path(tempfile.mkdtemp())
        self.root = self.folder / "store"
        self.now = NOON
        self.seal = Seal()
        self.made: dict[str, list[RecordedDecision]] = {}
        self.entries = 0
        self.registry = open_store(self.root, now=self.now)
        self.kept_elsewhere: list[str] = []

    def teardown(self):
        if hasattr(self, "registry"):
            self.registry.close()
            shutil.rmtree(self.folder)

    @rule(name=NAMES, again=st.booleans(), verdict=st.sampled_from(Verdict))
    def decide(self, name, again, verdict):
        draft = draft_decision(self.registry, name, verdict=verdict, decided_at=self.now)
        history = self.made.setdefault(draft.key, [])
        recorded = self.registry.record_decision(draft, again=again)
        standing = history[-1] if history and history[-1].expires_at > self.now else None
        same = next((made for made in history if made.decision == draft.decision), None)
        expected = same or (None if again else standing)
        assert recorded.is_fresh == (expected is None)
        assert recorded.digest == (expected or draft).decision
        if expected is None:
            history.append(draft)
            self.entries += 1

    @rule(by=st.sampled_from(["ann", "bob"]))
    def approve(self, by):
        decisions = sorted(made.decision for history in self.made.values() for made in history)
        if decisions and approve(self.registry, decisions[0], by=by).is_fresh:
            self.entries += 1

    @rule(days=st.integers(1, 20))
    def wait_and_open_again(self, days):
        self.registry.close()
        self.now += timedelta(days=days)
        self.registry = open_store(self.root, now=self.now)
        assert self.registry.warnings == ()

    @rule()
    def keep_a_checkpoint(self):
        if self.entries:
            self.kept_elsewhere.append(self.registry.read_checkpoint().note)

    @rule(lose=st.booleans())
    def rebuild(self, lose):
        self.registry.close()
        if lose:
            (self.root / "registry.sqlite").unlink()
        assert rebuild(self.root, readers=self.seal.readers, now=self.now).entries == self.entries
        for aside in self.root.glob("*.damaged-*"):
            aside.unlink()
        self.registry = open_store(self.root, now=self.now)

    @rule()
    def collect(self):
        self.registry.close()
        collect_garbage(self.root, now=self.now)
        self.registry = open_store(self.root, now=self.now)

    @invariant()
    def everything_made_is_there_once(self):
        if not hasattr(self, "registry"):
            return
        for key, history in self.made.items():
            found = self.registry.find_decision(key, self.now)
            standing = history[-1] if history and history[-1].expires_at > self.now else None
            assert (found.decision if found else None) == (standing.decision if standing else None)
        last = self.registry.read_checkpoint()
        assert last.size == self.entries
        assert merkle.root_of_frontier(last.frontier) == last.root_hash

    @rule()
    def verify(self):
        answer = verify_store(
            self.registry,
            readers=self.seal.readers,
            checkpoint=self.kept_elsewhere[-1] if self.kept_elsewhere else None,
        )
        assert answer.problems == ()


StoreModel.TestCase.settings = settings(max_examples=12, stateful_step_count=12, deadline=None)
TestStoreModel = StoreModel.TestCase
