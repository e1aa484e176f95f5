"""The oracles take what real loaders take, refuse what they refuse, and notice what a pickle would do."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.fuzz.hostile import gguf, info
from tests.fuzz.oracles import LOADERS
from tests.fuzz.seeds import seeds
from tests.fuzz.unpickling import unpickle
from weighbridge.testing.models import tiny_gguf, tiny_safetensors
from weighbridge.testing.pickles import Pickle, checkpoint_entries, state_dict, torch_legacy, torch_zip, write_zip

WEIGHTS = {"0": bytes(24)}
WHOLE = {
    "safetensors": tiny_safetensors(),
    "gguf": tiny_gguf(),
    "pickle": pickle.dumps(OrderedDict(a=[1, (2, b"x")], at=datetime(2026, 1, 2, tzinfo=UTC))),
    "torch_zip": torch_zip(state_dict({"w": (2, 3)}).stop(), WEIGHTS),
    "torch_legacy": torch_legacy(state_dict({"w": (2, 3)}, parts=6).stop(), WEIGHTS),
}


@pytest.mark.parametrize("form", WHOLE)
def test_a_whole_file_is_taken_and_a_beginning_of_it_is_refused(form: str) -> None:
    data = WHOLE[form]
    assert LOADERS[form](data, "") == ""
    assert [end for end in range(0, len(data), 7) if LOADERS[form](data[:end], "") == ""] == []


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("is_big", [False, True])
def test_every_spelling_of_gguf_is_taken(version: int, is_big: bool) -> None:
    assert LOADERS["gguf"](tiny_gguf(version=version, is_big=is_big), "") == ""


def test_a_gguf_loader_wants_the_tensors_in_order() -> None:
    first, second = info(b"a", (8,), 0, 0), info(b"b", (8,), 0, 32)
    body = bytes(6 + 64)  # the header ends at byte 90
    assert LOADERS["gguf"](gguf(infos=first + second, tensors=2, body=body), "") == ""
    assert "expected 0" in LOADERS["gguf"](gguf(infos=second + first, tensors=2, body=body), "")


@pytest.mark.parametrize(
    "data",
    [
        Pickle(2).call("posix", "system", "touch {}").stop(),
        Pickle(4).stack_glob("builtins", "eval").args("1").op("REDUCE").stop(),
        Pickle(1).op("MARK").glob("os", "mkdir").text("{}").op("OBJ").stop(),
        Pickle(2).call("no_such_module_at_all", "name").stop(),
    ],
)
def test_a_call_is_noticed_and_not_made(data: bytes, tmp_path: Path) -> None:
    outcome = unpickle(data.replace(b"{}", b"aa"), streams=1)
    assert outcome.ran
    assert "imports" in outcome.problem
    assert not list(Path.cwd().glob("aa"))


def test_a_name_alone_is_an_import_and_no_call() -> None:
    outcome = unpickle(Pickle(2).glob("posix", "system").stop(), streams=1)
    assert (outcome.ran, outcome.problem) == ("", "an unpickler imports posix.system")


def test_a_value_that_a_constructor_refuses_is_told_apart() -> None:
    outcome = unpickle(Pickle(2).call("datetime", "timedelta", 1 << 62, 0, 0).stop(), streams=1)
    assert (outcome.is_refused, outcome.problem) == (True, "")


def test_a_loader_that_dies_of_it_is_a_refusal() -> None:
    huge = Pickle(2).values(1).put((1 << 32) - 1).stop()
    assert unpickle(huge, streams=1).problem


def test_zip_records_that_disagree_are_refused() -> None:
    entries = checkpoint_entries(state_dict({"w": (2, 3)}).stop(), WEIGHTS)
    entries[0].local_name = "archive/evil.pkl"
    assert "zipfile refuses it" in LOADERS["torch_zip"](write_zip(entries), "")
    entries[0].local_name, entries[1].crc32 = None, 1
    assert "zipfile refuses it" in LOADERS["torch_zip"](write_zip(entries), "")


@pytest.mark.parametrize(
    ("data", "path", "word"),
    [
        (b"\xff", "README.md", "not text"),
        (b"a\0b", "README.md", "control"),
        (b'{"a":1,"a":2}', "config.json", "twice"),
        (b'{"auto_map":{"A":"b.C"}}', "config.json", "foreign code"),
        (b"{", "config.json", "json refuses"),
        (b"cposix\nsystem\n(S'true'\ntR.", "README.md", "runs posix.system"),
    ],
)
def test_text_is_refused_for_what_it_is(data: bytes, path: str, word: str) -> None:
    assert word in LOADERS["text"](data, path)
    assert LOADERS["text"](b"plain", "README.md") == ""


def test_every_format_has_hostile_and_sound_seeds() -> None:
    for form in WHOLE:
        assert len(seeds(form)) >= 3
