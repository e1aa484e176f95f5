"""Checkpoint indexes of TensorFlow: what is listed, and what is refused."""

from __future__ import annotations

import pytest

from weighbridge.formats.graphs.leveldb import masked_crc32c
from weighbridge.formats.reading.contract import Match, Reading
from weighbridge.formats.reading.spans import account
from weighbridge.formats.tf_checkpoint import FORMAT
from weighbridge.testing import graphs
from weighbridge.testing.graphs import IndexedTensor, bundle_entries, checkpoint_index, message
from weighbridge.testing.models import source_of
from weighbridge.vocabulary import Outcome

A = IndexedTensor(name="a", shape=(2, 3))
B = IndexedTensor(name="b", shape=(4,), offset=24)


def read(data: bytes) -> Reading:
    with source_of(data, "variables.index") as source:
        assert FORMAT.sniff(source) is Match.CERTAIN
        return FORMAT.read(source)


def checks(data: bytes, outcome: Outcome) -> set[str]:
    return {f.check for f in read(data).findings if f.outcome is outcome}


def test_tensors_are_listed() -> None:
    text = IndexedTensor(name="s", shape=(), offset=40, dtype=7, size_bytes=9)
    reading = read(checkpoint_index(bundle_entries([A, B, text])))
    assert {f.outcome for f in reading.findings} == {Outcome.PASS}
    assert reading.header is not None
    listed = [(t.name, t.dtype, t.shape, t.size_bytes) for t in reading.header.tensors]
    assert listed == [("a", "float32", (2, 3), 24), ("b", "float32", (4,), 16), ("s", "string", (), 9)]
    assert reading.header.parameter_count == 10
    assert account(reading.spans).unread_bytes == 0


def test_checksums_are_those_of_rfc_3720() -> None:
    assert masked_crc32c(bytes(32)) == ((0x8A9136AA >> 15 | 0x8A9136AA << 17) + 0xA282EAD8) & 0xFFFFFFFF
    assert masked_crc32c(b"weights") == graphs.masked_crc32c(b"weights")


def tensor(**changed: object) -> bytes:
    fields = {"name": "a", "shape": (2, 3), "offset": 0, **changed}
    return checkpoint_index(bundle_entries([IndexedTensor(**fields)]))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("data", "check"),
    [
        (tensor(size_bytes=20), "tf_checkpoint.tensor-bytes"),
        (tensor(shape=(1 << 40, 1 << 40), size_bytes=0), "tf_checkpoint.dimensions"),
        (tensor(shape=(-1,), size_bytes=0), "tf_checkpoint.dimensions"),
        (tensor(shard=1), "tf_checkpoint.place"),
        (tensor(offset=-1), "tf_checkpoint.place"),
        (tensor(offset=1 << 20), "tf_checkpoint.gap"),
        (checkpoint_index(bundle_entries([A, IndexedTensor(name="b", shape=(4,), offset=8)])), "tf_checkpoint.overlap"),
        (checkpoint_index(bundle_entries([A], shards=0)), "tf_checkpoint.header"),
    ],
)
def test_entries_that_cannot_be_fail(data: bytes, check: str) -> None:
    assert check in checks(data, Outcome.FAIL)


ENTRIES = bundle_entries([A, B])
WHOLE = checkpoint_index(ENTRIES)


@pytest.mark.parametrize(
    "data",
    [
        checkpoint_index(ENTRIES[::-1]),
        checkpoint_index([*ENTRIES, ENTRIES[-1]]),
        checkpoint_index(ENTRIES[1:], ENTRIES[:1]),
        checkpoint_index(ENTRIES, last_keys=[b"a"]),
        checkpoint_index([(b"a", b"x" * 5)])[:2] + b"\xff" + checkpoint_index([(b"a", b"x" * 5)])[3:],
        b"hidden" + WHOLE,
        WHOLE[:-48] + b"hidden" + WHOLE[-48:],
        WHOLE[:3] + b"\xff" + WHOLE[4:],
        WHOLE[:-9] + b"\1" + WHOLE[-8:],
        WHOLE[-48:],
        checkpoint_index(),
    ],
)
def test_tables_that_are_not_sound_fail_or_are_unknown(data: bytes) -> None:
    assert "tf_checkpoint.bounds" in checks(data, Outcome.FAIL) or checks(data, Outcome.UNKNOWN)


@pytest.mark.parametrize(
    ("data", "check"),
    [
        (checkpoint_index(ENTRIES, compression=1), "tf_checkpoint.limit"),
        (checkpoint_index([(b"key", b"value")]), "tf_checkpoint.header"),
        (tensor(dtype=99), "tf_checkpoint.tensor-type"),
        (checkpoint_index([ENTRIES[0], (b"a", A.entry() + message((20, "more")))]), "tf_checkpoint.field"),
    ],
)
def test_what_nobody_knows_is_unknown(data: bytes, check: str) -> None:
    assert check in checks(data, Outcome.UNKNOWN)
    assert checks(data, Outcome.FAIL) == set()


def test_many_tensors_end_in_time() -> None:
    entries = bundle_entries([IndexedTensor(name=f"{n:06}", shape=(1,), offset=4 * n) for n in range(20_001)])
    assert checks(checkpoint_index(entries), Outcome.UNKNOWN) >= {"tf_checkpoint.limit"}
