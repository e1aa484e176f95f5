"""Torch checkpoints whose archive, storages or surroundings lie."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from weighbridge.errors import MalformedArtifactError
from weighbridge.formats import pickle, torch_legacy, torch_zip
from weighbridge.formats.reading.contract import Match, Reading
from weighbridge.formats.reading.spans import account
from weighbridge.testing.models import source_of
from weighbridge.testing.pickles import (
    Entry,
    Pickle,
    checkpoint_entries,
    state_dict,
    tensor,
    write_zip,
)
from weighbridge.testing.pickles import (
    torch_legacy as legacy_bytes,
)
from weighbridge.vocabulary import Outcome

WEIGHTS = {"0": bytes(24), "1": bytes(16)}
STATE = state_dict({"w": (2, 3), "b": (4,)}).stop()
TRAP = Pickle().call("os", "system", "true").stop()


def entries() -> list[Entry]:
    return checkpoint_entries(STATE, WEIGHTS)


def read(data: bytes, path: str = "model.pt") -> Reading:
    with source_of(data, path) as source:
        assert torch_zip.FORMAT.sniff(source) is Match.CERTAIN, "nobody would look at it"
        return torch_zip.FORMAT.read(source)


def outcomes(reading: Reading) -> dict[str, Outcome]:
    return {finding.check: finding.outcome for finding in reading.findings}


def bend(index: int, **changes: object) -> bytes:
    changed = entries()
    for name, value in changes.items():
        setattr(changed[index], name, value)
    return write_zip(changed)


def bomb() -> list[Entry]:
    return [*entries(), Entry(name="archive/more.pkl", data=bytes(8_000_000), method=8)]


ARCHIVE_LIES: dict[str, Callable[[], bytes]] = {
    "two data.pkl": lambda: write_zip([*entries(), Entry(name="archive/data.pkl", data=TRAP)]),
    "data.pkl in capitals": lambda: write_zip([*entries(), Entry(name="archive/DATA.PKL", data=TRAP)]),
    "another folder": lambda: write_zip([*entries(), Entry(name="other/data.pkl", data=TRAP)]),
    "no folder": lambda: write_zip([*entries(), Entry(name="data.pkl", data=TRAP)]),
    "other local name": lambda: bend(0, local_name="archive/readme.t"),
    "encrypted in the directory": lambda: bend(0, flags=0x0809),
    "encrypted in the local header": lambda: bend(0, local_flags=0x0809),
    "utf-8 flag differs": lambda: bend(0, local_flags=0x0008),
    "masked header": lambda: bend(0, flags=0x2808),
    "wrong checksum": lambda: bend(0, crc32=1),
    "checksum differs locally": lambda: bend(0, flags=0x0800, local_crc32=1),
    "size lies": lambda: bend(0, size_bytes=10),
    "size lies, no descriptor": lambda: bend(0, flags=0x0800, size_bytes=10),
    "method nobody has": lambda: bend(0, method=99),
    "member comment": lambda: bend(0, comment=b"payload"),
    "payload in the padding": lambda: bend(0, extra=b"FB\x07\x00payload"),
    "payload in an extra field": lambda: bend(0, extra=b"XX\x07\x00payload"),
    "payload in a directory field": lambda: bend(0, central_extra=b"XX\x07\x00payload"),
    "unicode path field": lambda: bend(0, central_extra=b"up\x07\x00payload"),
    "extra fields that do not add up": lambda: bend(0, extra=b"FB\xff\x00Z"),
    "path escape": lambda: write_zip([*entries(), Entry(name="archive/../../etc/cron.d/x", data=b"x")]),
    "absolute path": lambda: write_zip([*entries(), Entry(name="/etc/passwd", data=b"x")]),
    "backslash path": lambda: write_zip([*entries(), Entry(name="archive/..\\x", data=b"x")]),
    "control character": lambda: write_zip([*entries(), Entry(name="archive/data.pkl\0.txt", data=b"x")]),
    "bytes before": lambda: write_zip(entries(), prepend=b"#!/bin/sh\ntrue\n"),
    "pickle before": lambda: write_zip(entries(), prepend=TRAP),
    "bytes after": lambda: write_zip(entries(), append=b"payload"),
    "pickle after": lambda: write_zip(entries(), append=TRAP),
    "archive comment": lambda: write_zip(entries(), comment=b"payload"),
    "bytes between": lambda: write_zip(entries(), between=TRAP),
    "bomb": lambda: write_zip(bomb()),
}


@pytest.mark.parametrize("name", ARCHIVE_LIES)
def test_an_archive_that_lies_is_refused(name: str) -> None:
    reading = read(ARCHIVE_LIES[name]())
    assert outcomes(reading)["torch_zip.archive"] is Outcome.FAIL
    assert outcomes(reading)["torch_zip.structure"] is Outcome.FAIL
    assert outcomes(reading)["code.on-load"] is not Outcome.PASS


@pytest.mark.parametrize("name", ["two data.pkl", "data.pkl in capitals", "another folder", "no folder"])
def test_every_pickle_of_such_an_archive_is_judged(name: str) -> None:
    assert outcomes(read(ARCHIVE_LIES[name]()))["pickle.calls-unsafe-global"] is Outcome.FAIL


@pytest.mark.parametrize(
    "changes", [{"local_flags": 0x0809}, {"flags": 0x0809}, {"crc32": 1}, {"local_name": "archive/readme.t"}], ids=str
)
def test_a_trap_behind_a_lie_is_found(changes: dict[str, object]) -> None:
    """Torch loads all of these; readers that stop at the lie see nothing."""
    made = checkpoint_entries(TRAP, {})
    for name, value in changes.items():
        setattr(made[0], name, value)
    assert outcomes(read(write_zip(made)))["pickle.calls-unsafe-global"] is Outcome.FAIL


def test_a_trap_is_found_where_it_lies() -> None:
    reading = read(write_zip(checkpoint_entries(TRAP, {})), "sub/model.pt")
    [found] = [finding for finding in reading.findings if finding.check == "pickle.calls-unsafe-global"]
    assert found.evidence[0].artifact == "sub/model.pt!archive/data.pkl"
    assert found.evidence[0].locator == "byte 24 REDUCE"


@pytest.mark.parametrize("name", ["archive/extra.pkl", "archive/notes.txt", "archive/thing"])
@pytest.mark.parametrize("method", [0, 8], ids=["stored", "deflated"])
def test_a_trap_in_another_member_is_found(name: str, method: int) -> None:
    reading = read(write_zip([*entries(), Entry(name=name, data=TRAP, method=method)]))
    assert outcomes(reading)["code.on-load"] is Outcome.FAIL


def test_a_deflated_trap_is_found() -> None:
    made = checkpoint_entries(TRAP, {})
    made[0].method = 8
    assert outcomes(read(write_zip(made)))["pickle.calls-unsafe-global"] is Outcome.FAIL


@pytest.mark.parametrize(
    "entry",
    [
        Entry(name="archive/blob", data=b"\xde\xad\xbe\xef" * 8),
        Entry(name="archive/data/99", data=bytes(8)),
        Entry(name="archive/version2", data=b"\x00\x01\x02"),
    ],
    ids=["blob", "storage that nothing refers to", "binary note"],
)
def test_a_member_of_no_known_kind_is_not_clean(entry: Entry) -> None:
    reading = read(write_zip([*entries(), entry]))
    assert outcomes(reading)["torch_zip.member"] is Outcome.UNKNOWN
    assert outcomes(reading)["code.on-load"] is Outcome.UNKNOWN
    assert account(reading.spans).unread_bytes == len(entry.data)


@pytest.mark.parametrize(
    "storages", [{}, {"0": bytes(24)}, {"0": bytes(20), "1": bytes(16)}], ids=["none", "one", "short"]
)
def test_storages_that_do_not_fit_are_refused(storages: dict[str, bytes]) -> None:
    """CVE-2026-24747: a storage that is smaller than the pickle says."""
    assert outcomes(read(write_zip(checkpoint_entries(STATE, storages))))["torch_zip.storage"] is Outcome.FAIL


@pytest.mark.parametrize(
    ("shape", "numel", "offset"),
    [((1 << 40,), 6, 0), ((2, 3), 5, 0), ((6,), 6, 1), ((6,), 6, -1), ((2, -3), 6, 0), ((1 << 31, 1 << 31, 4), 6, 0)],
    ids=["huge", "short", "shifted", "before", "negative", "overflow"],
)
def test_a_view_outside_its_storage_is_refused(shape: tuple[int, ...], numel: int, offset: int) -> None:
    """CVE-2026-24747: a tensor that reaches beyond its storage."""
    made = tensor(Pickle(), "0", shape, numel=numel, offset=offset).stop()
    reading = read(write_zip(checkpoint_entries(made, {"0": bytes(4 * numel)})))
    assert outcomes(reading)["pickle.out-of-bounds"] is Outcome.FAIL
    assert outcomes(reading)["code.on-load"] is Outcome.FAIL


def test_items_put_into_something_else_are_refused() -> None:
    """CVE-2026-24747: SETITEM on an object that is no dict."""
    made = tensor(Pickle(), "0", (6,)).values(0, 1).op("SETITEM").stop()
    reading = read(write_zip(checkpoint_entries(made, {"0": bytes(24)})))
    assert outcomes(reading)["pickle.mutates-unknown"] is Outcome.FAIL


def test_one_storage_of_two_sizes_is_refused() -> None:
    made = Pickle().op("MARK")
    tensor(made, "0", (6,))
    tensor(made, "0", (9,))
    reading = read(write_zip(checkpoint_entries(made.op("TUPLE").stop(), {"0": bytes(24)})))
    assert outcomes(reading)["pickle.persistent-id"] is Outcome.FAIL


@pytest.mark.parametrize(
    "made",
    [
        Pickle().args("module", "x", "y", "z", 1).op("BINPERSID"),
        Pickle().op("MARK").text("storage").glob("os", "system").values("0", "cpu", 1).op("TUPLE", "BINPERSID"),
        Pickle()
        .op("MARK")
        .text("storage")
        .glob("torch", "FloatStorage")
        .values("0", "cpu", -1)
        .op("TUPLE", "BINPERSID"),
        Pickle().values(5).op("BINPERSID"),
        Pickle().lines("PERSID", "storage"),
    ],
    ids=["module", "type of nobody", "negative", "number", "text"],
)
def test_a_persistent_id_that_is_no_storage_is_refused(made: Pickle) -> None:
    reading = read(write_zip(checkpoint_entries(made.stop(), {})))
    assert outcomes(reading)["pickle.persistent-id"] is Outcome.FAIL


def test_a_function_reached_through_a_covered_one_is_refused() -> None:
    """torch._tensor._rebuild_from_type_v2 calls its first argument."""
    made = Pickle().glob("torch._tensor", "_rebuild_from_type_v2").op("MARK").glob("os", "system")
    made.glob("torch", "Tensor").args("true").op("EMPTY_DICT", "TUPLE", "REDUCE")
    reading = read(write_zip(checkpoint_entries(made.stop(), {})))
    assert outcomes(reading)["code.on-load"] is Outcome.FAIL


@pytest.mark.parametrize("name", ["__class__", "__setstate__", "update"])
def test_attributes_that_stand_in_for_methods_are_refused(name: str) -> None:
    made = state_dict({"w": (2, 3)}).op("EMPTY_DICT").values(name, 1).op("SETITEM", "BUILD")
    reading = read(write_zip(checkpoint_entries(made.stop(), {"0": bytes(24)})))
    assert outcomes(reading)["pickle.mutates-unknown"] is Outcome.FAIL


def test_a_pickle_in_front_of_an_archive_is_two_things_at_once() -> None:
    """torch.load takes such a file for a legacy pickle, zip readers for an archive: both units claim it."""
    with source_of(write_zip(entries(), prepend=TRAP), "model.pt") as source:
        assert pickle.FORMAT.sniff(source) is Match.CERTAIN
        assert torch_zip.FORMAT.sniff(source) is Match.CERTAIN


def test_a_directory_that_cannot_be_read_is_claimed_and_refused() -> None:
    data = write_zip(entries())[:-60]
    with source_of(data, "model.pt") as source:
        assert torch_zip.FORMAT.sniff(source) is Match.CERTAIN
        with pytest.raises(MalformedArtifactError):
            torch_zip.FORMAT.read(source)


def read_legacy(data: bytes) -> Reading:
    with source_of(data, "model.pt") as source:
        assert torch_legacy.FORMAT.sniff(source) is Match.CERTAIN
        assert pickle.FORMAT.sniff(source) is Match.NO
        return torch_legacy.FORMAT.read(source)


LEGACY = state_dict({"w": (2, 3), "b": (4,)}, parts=6).stop()


@pytest.mark.parametrize("place", range(5))
def test_each_of_the_five_legacy_pickles_is_judged(place: int) -> None:
    whole = legacy_bytes(LEGACY, WEIGHTS)
    streams = [
        Pickle().number(0x1950A86A20F9469CFC6C).stop(),
        Pickle().number(1001).stop(),
        Pickle().op("EMPTY_DICT").stop(),
        Pickle().op("EMPTY_DICT").stop(),
        Pickle().op("EMPTY_LIST").stop(),
    ]
    assert whole.startswith(streams[0])
    trapped = Pickle().call("os", "system", "true").op("POP").data
    streams[place] = trapped + streams[place][2:]
    reading = read_legacy(b"".join(streams))
    assert outcomes(reading)["pickle.calls-unsafe-global"] is Outcome.FAIL


@pytest.mark.parametrize(
    "storages",
    [{"0": bytes(24)}, {"0": bytes(20), "1": bytes(16)}, {"0": bytes(24), "2": bytes(16)}],
    ids=["one", "short", "other"],
)
def test_legacy_storages_that_do_not_fit_are_refused(storages: dict[str, bytes]) -> None:
    assert outcomes(read_legacy(legacy_bytes(LEGACY, storages)))["torch_legacy.structure"] is Outcome.FAIL


def test_bytes_after_the_legacy_storages_are_unexplained() -> None:
    reading = read_legacy(legacy_bytes(LEGACY, WEIGHTS) + TRAP)
    assert account(reading.spans).unexplained_bytes == len(TRAP)


def test_the_legacy_magic_in_another_spelling_is_the_same_magic() -> None:
    """A loader compares the value, not the bytes."""
    streams = Pickle(None).lines("LONG", f"{0x1950A86A20F9469CFC6C}L").stop() + Pickle().number(1001).stop()
    reading = read_legacy(streams + Pickle().op("EMPTY_DICT").stop() + TRAP + Pickle().op("EMPTY_LIST").stop())
    assert outcomes(reading)["code.on-load"] is Outcome.FAIL
