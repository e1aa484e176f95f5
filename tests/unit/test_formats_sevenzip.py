"""7z archives: those of a real archiver are unfolded and examined, and what is wrong with one is told."""

from __future__ import annotations

import lzma
import time
import zlib
from pathlib import Path

import pytest

from weighbridge.formats.reading.contract import Format
from weighbridge.inspection.examine import examine_source
from weighbridge.inspection.examined import Examined
from weighbridge.plugins import find_units
from weighbridge.testing.fuzzing import pace
from weighbridge.testing.models import source_of
from weighbridge.testing.pickles import Pickle
from weighbridge.testing.sevenzip import COPY, number, seven_zip, start_of
from weighbridge.vocabulary import Outcome, Severity

FOLDER = Path(__file__).parents[1] / "golden" / "sevenzip"
CLEAN = ("lzma", "lzma2", "bcj_lzma2", "delta_lzma", "deflate", "bzip2", "plainheader", "tree")
LZMA2 = b"\x01\x21\x21\x01\x18"
DEFLATE = b"\x01\x03\x04\x01\x08"
LZMA = b"\x01\x23\x03\x01\x01\x05\x5d\x00\x00\x10\x00"
FILTERS = [{"id": lzma.FILTER_LZMA1, "dict_size": 1 << 20}]
PLAIN = seven_zip({"a.txt": b"hello\n"})


def examined(data: bytes) -> Examined:
    with source_of(data, "model.7z") as source:
        return examine_source(source, find_units("formats", Format).found)


def outcomes(data: bytes, *checks: str) -> set[Outcome]:
    return {f.outcome for f in examined(data).findings if f.check in checks}


def is_failed(data: bytes) -> bool:
    return any(f.outcome is Outcome.FAIL and f.severity.rank >= Severity.HIGH.rank for f in examined(data).findings)


@pytest.mark.parametrize("name", CLEAN)
def test_an_archive_of_a_real_archiver_is_clean(name: str) -> None:
    said = examined((FOLDER / f"{name}.7z").read_bytes())
    assert said.readers == ("sevenzip",)
    assert {f.check: f.message for f in said.findings if f.outcome not in (Outcome.PASS, Outcome.NOT_APPLICABLE)} == {}
    assert said.account.unexplained_bytes == said.account.unread_bytes == 0


@pytest.mark.parametrize("name", ["ppmd", "aes", "aeshead"])
def test_what_python_cannot_unfold_is_unread(name: str) -> None:
    said = examined((FOLDER / f"{name}.7z").read_bytes())
    assert {f.outcome for f in said.findings if f.check == "code.on-load"} == {Outcome.UNKNOWN}
    assert not any(f.outcome is Outcome.FAIL for f in said.findings)
    assert said.account.unread_bytes > 0


def test_members_are_examined_each() -> None:
    said = examined(seven_zip({"a.txt": b"a\n", "evil.pkl": Pickle().call("posix", "system", "true").stop()}))
    found = [f for f in said.findings if f.check == "code.on-load" and f.outcome is Outcome.FAIL]
    assert [f.evidence[0].artifact for f in found] == ["model.7z!evil.pkl"]


@pytest.mark.parametrize("name", ["../a", "/a", "C:\\a", "a/../../b", ""])
def test_a_name_that_leads_out_fails(name: str) -> None:
    assert outcomes(seven_zip({name: b"a"}), "sevenzip.archive") == {Outcome.FAIL}


def test_a_link_and_a_name_twice() -> None:
    link = b"\x15" + number(6) + b"\x01\x00" + (0o120777 << 16 | 0x8000).to_bytes(4, "little")
    assert outcomes(seven_zip({"a": b"/etc/passwd"}, properties=link), "sevenzip.archive") == {Outcome.UNKNOWN}
    twice = b"\x11" + number(9) + b"\x00" + "a\0a\0".encode("utf-16-le")
    assert outcomes(seven_zip({"a": b"1", "b": b"2"}, properties=twice), "sevenzip.archive") == {Outcome.FAIL}


def test_files_that_are_deleted_where_it_is_unpacked() -> None:
    assert outcomes(seven_zip({"a": b"1"}, properties=b"\x10\x01\x80"), "sevenzip.archive") == {Outcome.FAIL}


def packed(data: bytes) -> bytes:
    return lzma.compress(data, format=lzma.FORMAT_RAW, filters=FILTERS)


BROKEN = {
    "a wrong checksum of a member": seven_zip({"a": b"abc"}, crc32=1),
    "bytes behind a stream of deflate": seven_zip(
        {"a": b"abc"}, folder=DEFLATE, packed=zlib.compress(b"abc", wbits=-15) + b"secret"
    ),
    "bytes behind a stream of LZMA": seven_zip(
        {"a": bytes(range(200))}, folder=LZMA, packed=packed(bytes(range(200))) + b"secret" * 9
    ),
    "a stream that is too short": seven_zip({"a": b"abc"}, packed=b"ab"),
    "a stream that is broken": seven_zip({"a": b"abc"}, folder=LZMA2, packed=b"\xff\xff\xff"),
    "a wrong checksum of the header": PLAIN[:28] + b"\0\0\0\0" + PLAIN[32:],
    "a header behind the end": start_of(1 << 40, b"x") + b"x",
    "a header that is packed twice": start_of(0, b"\x17" * 9) + b"\x17" * 9,
    "a header of another kind": start_of(0, b"\x02") + b"\x02",
    "a header that is cut off": start_of(0, b"\x01\x04\x06") + b"\x01\x04\x06",
    "more files than streams": seven_zip({"a": b"1", "b": b"2"}).replace(b"\x05\x02", b"\x05\x03"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_archive_fails(name: str) -> None:
    assert is_failed(BROKEN[name])


def test_a_whole_stream_of_lzma_is_clean() -> None:
    for content in (bytes(range(200)), bytes(100_000), b"a"):
        said = examined(
            seven_zip(
                {"a.txt": b"x" + content.hex().encode()}, folder=LZMA, packed=packed(b"x" + content.hex().encode())
            )
        )
        assert {f.outcome for f in said.findings} <= {Outcome.PASS, Outcome.NOT_APPLICABLE}


def test_bytes_behind_the_header_are_unexplained() -> None:
    assert examined(seven_zip({"a.txt": b"hello\n"}, behind=b"secret")).account.unexplained_bytes == 6


def test_a_bomb_is_put_aside_in_time() -> None:
    zeros = bytes(33 << 20)
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 20}]
    bomb = seven_zip({"a": zeros}, folder=LZMA2, packed=lzma.compress(zeros, format=lzma.FORMAT_RAW, filters=filters))
    start = time.process_time()
    assert outcomes(bomb, "sevenzip.coder", "code.on-load") == {Outcome.UNKNOWN}
    assert time.process_time() - start < 1 * pace()


def test_names_that_stand_twice_links_of_windows_and_packed_bytes_of_no_file() -> None:
    other = "b\0".encode("utf-16-le")
    again = b"\x11" + number(1 + len(other)) + b"\x00" + other
    assert outcomes(seven_zip({"../a": b"1"}, properties=again), "sevenzip.archive") == {Outcome.FAIL}
    reparse = b"\x15" + number(6) + b"\x01\x00" + (0x400).to_bytes(4, "little")
    assert outcomes(seven_zip({"a": b"/etc"}, properties=reparse), "sevenzip.archive") == {Outcome.UNKNOWN}
    header = b"\x01\x04\x06" + number(0) + number(2) + b"\x09" + number(2) + number(3) + b"\x00"
    header += b"\x07\x0b" + number(2) + b"\x00" + COPY * 2 + b"\x0c" + number(2) + number(3) + b"\x00"
    header += b"\x08\x0d" + number(1) + number(0) + b"\x00\x00"
    names = b"\x00" + "a.json\0".encode("utf-16-le")
    header += b"\x05" + number(1) + b"\x11" + number(len(names)) + names + b"\x00\x00"
    data = start_of(5, header) + b"{}" + b"bad" + header
    assert outcomes(data, "sevenzip.archive") == {Outcome.FAIL}
