"""Torch zip checkpoints under mutation: always a full account, and never clean where a byte that matters changed."""

from __future__ import annotations

import io
import zipfile

from hypothesis import given, settings
from hypothesis import strategies as st

from weighbridge.errors import MalformedArtifactError
from weighbridge.formats.archives.zip import walk
from weighbridge.formats.torch_zip import FORMAT
from weighbridge.testing.models import source_of
from weighbridge.testing.pickles import Entry, state_dict, torch_zip, write_zip
from weighbridge.testing.readings import examine
from weighbridge.vocabulary import Outcome, SpanKind

WHOLE = torch_zip(state_dict({"w": (2, 3), "b": (4,)}).stop(), {"0": bytes(range(24)), "1": bytes(16)})

names = st.text(st.characters(categories=["Ll", "Nd"]), min_size=1, max_size=8).map(lambda name: f"a/{name}")
members = st.lists(
    st.builds(lambda name, data, method: Entry(name=name, data=data, method=method), names, st.binary(max_size=200), st.sampled_from([0, 8])),
    max_size=8,
    unique_by=lambda entry: entry.name.casefold(),
)  # fmt: skip


@given(entries=members)
def test_an_honest_archive_has_no_problem_and_zipfile_sees_the_same(entries: list[Entry]) -> None:
    data = write_zip(entries)
    with source_of(data) as source, zipfile.ZipFile(io.BytesIO(data)) as other:
        archive = walk(source)
        assert archive.problems == []
        assert [(m.name, m.size_bytes, m.crc32) for m in archive.members] == [
            (i.filename, i.file_size, i.CRC) for i in other.infolist()
        ]


@settings(max_examples=400)
@given(place=st.integers(0, len(WHOLE) - 1), bit=st.integers(0, 7))
def test_a_flipped_bit_outside_the_weights_is_noticed(place: int, bit: int) -> None:
    """Except in what no reader looks at: versions, times and attributes."""
    data = bytearray(WHOLE)
    data[place] ^= 1 << bit
    with source_of(WHOLE) as source:
        kinds = [s.kind for s in FORMAT.read(source).spans if s.start <= place < s.end]
    reading = examine(FORMAT, bytes(data), "model.pt")
    is_clean = reading is not None and all(finding.outcome is Outcome.PASS for finding in reading.findings)
    assert not is_clean or kinds == [SpanKind.TENSOR] or unread_field(place)


def unread_field(place: int) -> bool:
    """Whether a byte is a version, a time or an attribute of a record."""
    for magic, fields in (
        (b"PK\3\4", [*range(4, 6), *range(10, 14)]),
        (b"PK\1\2", [*range(4, 8), *range(12, 16), *range(36, 42)]),
    ):
        start = WHOLE.rfind(magic, 0, place + 1)
        if start >= 0 and place - start in fields:
            return True
    return place - WHOLE.rfind(b"PK\6\6") in range(12, 16)


@given(data=st.binary(max_size=300), place=st.integers(0, len(WHOLE)))
def test_anything_put_in_is_noticed(data: bytes, place: int) -> None:
    reading = examine(FORMAT, WHOLE[:place] + data + WHOLE[place:], "model.pt")
    is_clean = reading is not None and all(finding.outcome is Outcome.PASS for finding in reading.findings)
    assert not is_clean or not data


@given(data=st.binary(max_size=600))
def test_garbage_after_a_magic_is_answered(data: bytes) -> None:
    with source_of(b"PK\x03\x04" + data + b"PK\x05\x06" + data[:18].ljust(18, b"\0")) as source:
        try:
            walk(source)
        except MalformedArtifactError:
            return
