"""What a question answers when somebody has written into the index."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing

import pytest

from weighbridge.errors import RegistryError, TamperedError
from weighbridge.registry import queries
from weighbridge.registry.queries import DecisionFilter
from weighbridge.registry.recovery import collect_garbage
from weighbridge.registry.store import Registry
from weighbridge.registry.tables import INDEX_TABLES
from weighbridge.testing.filled_store import NOON, fill, open_store

VALUES = ("'zz'", "-5", "x'ff00ff'", "CAST(x'ff' AS TEXT)", "''", "1.5", "9223372036854775807")


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    root = tmp_path_factory.mktemp("filled") / "store"
    with open_store(root) as registry:
        fill(registry)
        registry.record_name("hub:acme/other", registry.query_decisions()[0].subject)
    return root


@pytest.fixture
def store(filled, tmp_path):
    return shutil.copytree(filled, tmp_path / "store")


def write(root, table, column, value):
    with closing(sqlite3.connect(root / "registry.sqlite")) as connection:
        place = f"SELECT rowid FROM {table} ORDER BY rowid LIMIT 1"
        connection.execute(f'UPDATE {table} SET "{column}" = {value} WHERE rowid = ({place})')
        connection.commit()


def ask_everything(root):
    """What every question came to that was refused."""
    refused = []
    with Registry.open(root, clock=lambda: NOON) as registry:
        known, *others = registry.query_decisions(DecisionFilter(latest=False))
        asked = {
            "decisions": lambda c: queries.query_decisions(c, DecisionFilter(latest=False)),
            "decision": lambda c: queries.read_decision(c, known.decision),
            "standing": lambda c: queries.find_decision(c, known.key, NOON),
            "waivers": queries.query_waivers,
            "approvals": lambda c: [queries.query_approvals(c, row.decision) for row in (known, *others)],
            "events": queries.query_events,
            "labels": queries.query_labels,
            "label": lambda c: queries.find_label(c, known.reference),
            "evidence": lambda c: [queries.query_evidence(c, place) for place in range(20)],
            "needed evidence": queries.read_needed_evidence,
            "needed blobs": queries.read_needed_blobs,
        }
        for question in asked.values():
            try:
                with registry.reading() as connection:
                    question(connection)
            except RegistryError as failure:
                refused.append(failure)
    return refused


def test_a_store_that_nobody_changed_answers_everything(store):
    assert ask_everything(store) == []


@pytest.mark.parametrize("table", INDEX_TABLES, ids=str)
def test_a_changed_row_is_answered_or_refused_in_words(filled, tmp_path, table):
    for column in table.columns:
        for value in VALUES:
            root = shutil.copytree(filled, tmp_path / "store", dirs_exist_ok=True)
            try:
                write(root, table.name, column.name, value)
            except sqlite3.Error:
                continue
            try:
                refused = ask_everything(root)
            except RegistryError as failure:
                refused = [failure]
            assert all(failure.remedy for failure in refused)


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("decision", "verdict", "'zz'"),
        ("decision", "verdict", "x'ff'"),
        ("decision", "expires_at", "'2020'"),
        ("decision", "expires_at", "x'ff'"),
        ("decision", "reference", "x'ff'"),
        ("decision", "sequence", "-1"),
        ("decision", "envelope", "'../../etc/passwd'"),
        ("waiver", "until", "'never'"),
        ("approval", "at", "x'00'"),
        ("event", "at", "'zz'"),
        ("label", "reference", "x'ff'"),
        ("evidence_use", "digest", "'zz'"),
        ("manifest_blob", "sha256", "x'ff'"),
    ],
)
def test_what_the_store_never_wrote_is_named(store, table, column, value):
    write(store, table, column, value)
    try:
        refused = ask_everything(store)
    except TamperedError as failure:
        refused = [failure]
    assert refused
    for failure in refused:
        assert isinstance(failure, TamperedError)
        assert failure.message.startswith(f"the index was changed: a row of {table} has ")
        assert failure.message.endswith(f" as its {column}")
        assert "weighbridge rebuild" in failure.remedy


@pytest.mark.parametrize(("table", "column"), [("evidence_use", "digest"), ("manifest_blob", "sha256")])
def test_nothing_is_deleted_on_the_word_of_a_damaged_index(store, table, column):
    def files():
        return {path for path in store.rglob("*") if path.is_file() and "sqlite" not in path.name}

    before = files()
    write(store, table, column, "'zz'")
    with pytest.raises(TamperedError, match="the index was changed"):
        collect_garbage(store, now=NOON)
    assert files() == before
