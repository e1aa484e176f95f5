"""What hides in archives: names that leave, members below links, pickles at any depth, bombs, streams with something behind."""

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable

import pytest

from weighbridge.inspection.examine import examine_source
from weighbridge.inspection.parts import DEPTH_LIMIT
from weighbridge.testing.fuzzing import built_in_formats, is_clean
from weighbridge.testing.models import source_of
from weighbridge.testing.pickles import Entry, Pickle, write_zip
from weighbridge.vocabulary import Finding, Outcome, Severity

TRAP = Pickle(2).call("posix", "system", "true").stop()
GOOD = Pickle(2).values("epoch", 3).op("TUPLE2").stop()


def findings(data: bytes, path: str = "model.bin") -> tuple[Finding, ...]:
    with source_of(data, path) as source:
        return examine_source(source, built_in_formats()).findings


def is_blocked(data: bytes, path: str = "model.bin") -> bool:
    return any(f.outcome is Outcome.FAIL and f.severity.rank >= Severity.HIGH.rank for f in findings(data, path))


def tar_of(*members: tuple[tarfile.TarInfo, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=form) as archive:
        for info, data in members:
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return made.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def zip_of(data: bytes, name: str = "inner") -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data)
    return made.getvalue()


WRAPS: dict[str, Callable[[bytes], bytes]] = {
    "zip": zip_of,
    "stored zip": lambda data: write_zip([Entry(name="x.bin", data=data)]),
    "tar": lambda data: tar_of((member("model_weights.ckpt"), data)),
    "gnu tar": lambda data: tar_of((member("n" * 150), data), form=tarfile.GNU_FORMAT),
    "gzip": gzip.compress,
    "two gzip streams": lambda data: gzip.compress(data[:9]) + gzip.compress(data[9:]),
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "lzma": lambda data: lzma.compress(data, lzma.FORMAT_ALONE),
    "zlib": zlib.compress,
    "joblib 0.9": lambda data: b"ZF" + hex(len(data)).encode().ljust(19) + zlib.compress(data),
    "tar.gz": lambda data: gzip.compress(tar_of((member("a/b.pt"), data))),
    "zip in tar": lambda data: tar_of((member("a.zip"), zip_of(data))),
    "tar.gz in zip": lambda data: zip_of(gzip.compress(tar_of((member("x"), data)))),
}


@pytest.mark.parametrize("name", WRAPS)
@pytest.mark.parametrize("path", ["model.bin", "model.joblib", "notes.txt", "model"])
def test_a_trap_is_found_in_every_wrapping(name: str, path: str) -> None:
    assert is_blocked(WRAPS[name](TRAP), path)


@pytest.mark.parametrize("name", WRAPS)
def test_an_honest_pickle_is_clean_in_every_wrapping(name: str) -> None:
    with source_of(WRAPS[name](GOOD), "model.bin") as source:
        said = examine_source(source, built_in_formats())
    assert is_clean(said), [f for f in said.findings if f.outcome is not Outcome.PASS]


def test_what_lies_too_deep_is_not_clean() -> None:
    data = GOOD
    for _ in range(DEPTH_LIMIT + 1):
        data = zip_of(data)
    assert any(f.check == "inspection.inside" and f.outcome is Outcome.UNKNOWN for f in findings(data))


ESCAPES: dict[str, Callable[[], bytes]] = {
    "CVE-2007-4559 parent": lambda: tar_of((member("../../etc/cron.d/x"), b"x")),
    "absolute": lambda: tar_of((member("/etc/passwd"), b"x")),
    "link out": lambda: tar_of((member("a", tarfile.SYMTYPE, "../../etc"), b"")),
    "absolute link": lambda: tar_of((member("a", tarfile.SYMTYPE, "/etc"), b"")),
    "below a link": lambda: tar_of((member("a", tarfile.SYMTYPE, "b"), b""), (member("a/x"), b"y")),
    "hard link out": lambda: tar_of((member("a", tarfile.LNKTYPE, "../x"), b"")),
    "device": lambda: tar_of((member("a", tarfile.CHRTYPE), b"")),
    "twice": lambda: tar_of((member("a"), b"1"), (member("./a"), b"2")),
    "cut": lambda: tar_of((member("a"), b"1" * 2000))[:1500],
    "behind the end": lambda: tar_of((member("a"), b"1")) + TRAP,
    "zip parent": lambda: zip_of(b"x", "../../x"),
    "zip absolute": lambda: zip_of(b"x", "/etc/x"),
    "zip drive": lambda: zip_of(b"x", "C:x"),
}


@pytest.mark.parametrize("name", ESCAPES)
def test_members_that_leave_or_lie_are_refused(name: str) -> None:
    assert is_blocked(ESCAPES[name](), "model.nemo")


BOMBS: dict[str, Callable[[], bytes]] = {
    "zip": lambda: zip_of(bytes(64 << 20)),
    "gzip": lambda: gzip.compress(bytes(64 << 20)),
    "bzip2": lambda: bz2.compress(bytes(64 << 20)),
    "xz": lambda: lzma.compress(bytes(64 << 20), preset=0),
    "zip of zip": lambda: zip_of(zip_of(bytes(64 << 20))),
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused(name: str) -> None:
    assert is_blocked(BOMBS[name]())


@pytest.mark.parametrize("name", ["gzip", "bzip2", "xz", "zlib"])
@pytest.mark.parametrize("tail", [TRAP, b"junk", b"\0\0\1"])
def test_what_stands_behind_a_stream_is_refused(name: str, tail: bytes) -> None:
    assert is_blocked(WRAPS[name](GOOD) + tail)
