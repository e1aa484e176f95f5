"""The last resort: named where a magic number allows, and never clean."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile

import pytest

from weighbridge.formats.reading.contract import Match, Reading
from weighbridge.formats.reading.spans import account
from weighbridge.formats.unknown import FORMAT
from weighbridge.testing.models import source_of
from weighbridge.vocabulary import Outcome, Severity


def read(data: bytes) -> Reading:
    with source_of(data, "thing") as source:
        assert FORMAT.sniff(source) is Match.NO
        return FORMAT.read(source)


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a", "b")
    return buffer.getvalue()


def tarred() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a"))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"\x1c\0\0\0TFL3", "TensorFlow Lite"),
        (b"\x0a\x0e\x0a\x05<unk>\x15\0\0\0\0", "SentencePiece"),
        (b"\x7fELF\2\1\1", "ELF"),
        (b"\x89PNG\r\n\x1a\n", "PNG"),
        (b"\xff\xd8\xff\xe0", "JPEG"),
        (zipped(), "ZIP"),
        (tarred(), "tar"),
        (gzip.compress(b"x", mtime=0), "gzip"),
        (b"\xce\x01\x02\x03", ""),
    ],
)
def test_what_it_looks_like_is_said_and_nothing_is_clean(data: bytes, says: str) -> None:
    reading = read(data)
    (finding,) = reading.findings
    assert (finding.check, finding.outcome, finding.severity) == ("unknown.format", Outcome.UNKNOWN, Severity.HIGH)
    assert (says or "no kind that is known") in finding.message
    assert account(reading.spans).unread_bytes == len(data)


@pytest.mark.parametrize("size", [0, 1, 5000])
def test_zeros_are_padding(size: int) -> None:
    reading = read(b"\0" * size)
    assert account(reading.spans).padding_bytes == size
    assert reading.findings[0].outcome is Outcome.NOT_APPLICABLE
