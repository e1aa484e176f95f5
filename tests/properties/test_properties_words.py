"""Laws of the words: what is encoded is decoded equal, order does not matter to a digest, names are part of a model."""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import random
from dataclasses import fields, is_dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weighbridge import vocabulary
from weighbridge.errors import MalformedArtifactError
from weighbridge.registry import wire
from weighbridge.vocabulary import Dossier, Manifest, ManifestEntry, Tool, clip

WORDS = [word for _, word in inspect.getmembers(vocabulary, is_dataclass)]
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
DIGEST = st.binary(min_size=32, max_size=32).map(bytes.hex)
INTEGER = st.integers(-(2**53) + 1, 2**53 - 1)

for primitive, strategy in {
    str: TEXT,
    int: INTEGER,
    float: st.floats(allow_nan=False, allow_infinity=False, width=32),
    datetime: st.datetimes(datetime(1990, 1, 1), datetime(2200, 1, 1)).map(
        lambda t: t.replace(microsecond=0, tzinfo=UTC)
    ),
}.items():
    st.register_type_strategy(primitive, strategy)

ENTRIES = st.lists(
    st.builds(ManifestEntry, path=TEXT, size_bytes=st.integers(0, 2**53 - 1), sha256=DIGEST),
    max_size=6,
    unique_by=lambda entry: entry.path,
)


@pytest.mark.parametrize("word", WORDS, ids=lambda word: word.__name__)
@given(data=st.data())
def test_decode_of_encode_is_the_word(word: type, data: st.DataObject) -> None:
    value = data.draw(st.from_type(word))
    assert wire.decode(word, wire.encode(value)) == value
    assert wire.decode(word, wire.canonical(value)) == value


@pytest.mark.parametrize("word", WORDS, ids=lambda word: word.__name__)
def test_words_are_frozen_slotted_and_keyword_only(word: type) -> None:
    assert word.__dataclass_params__.frozen
    assert "__slots__" in vars(word)
    assert all(field.kw_only for field in fields(word))


@given(dossier=st.from_type(Dossier), seed=st.integers())
def test_order_does_not_change_the_digest_of_a_dossier(dossier: Dossier, seed: int) -> None:
    shuffled = {}
    for field in fields(dossier):
        value = getattr(dossier, field.name)
        if isinstance(value, tuple):
            mixed = list(value)
            random.Random(seed).shuffle(mixed)
            shuffled[field.name] = tuple(mixed)
    assert wire.dossier_digest(replace(dossier, **shuffled)) == wire.dossier_digest(dossier)


@given(dossier=st.from_type(Dossier))
def test_tools_stand_outside_the_digest(dossier: Dossier) -> None:
    other = replace(dossier, tools=(*dossier.tools, Tool(name="another", version="2")))
    assert wire.dossier_digest(other) == wire.dossier_digest(dossier)


@given(entries=ENTRIES, number=st.integers(0, 5), name=TEXT)
def test_renaming_a_file_changes_the_root(entries: list[ManifestEntry], number: int, name: str) -> None:
    if not entries or name in {entry.path for entry in entries}:
        return
    renamed = list(entries)
    renamed[number % len(entries)] = replace(renamed[number % len(entries)], path=name)
    assert wire.root_digest(Manifest(entries=tuple(renamed))) != wire.root_digest(Manifest(entries=tuple(entries)))


@given(entries=ENTRIES)
def test_order_of_files_does_not_change_the_root(entries: list[ManifestEntry]) -> None:
    assert wire.root_digest(Manifest(entries=tuple(reversed(entries)))) == wire.root_digest(
        Manifest(entries=tuple(entries))
    )


@given(data=st.binary(max_size=200))
def test_decoding_hostile_bytes_gives_a_word_or_an_error_of_ours(data: bytes) -> None:
    for word in WORDS:
        with contextlib.suppress(MalformedArtifactError):
            assert isinstance(wire.decode(word, data), word)


def test_deep_nesting_is_an_error_of_ours() -> None:
    with pytest.raises(MalformedArtifactError):
        wire.decode(Dossier, b"[" * 200_000)


@given(text=st.one_of(st.text(max_size=400), st.binary(max_size=400)), limit=st.integers(1, 50))
def test_clipped_text_can_be_kept_and_shown(text: str | bytes, limit: int) -> None:
    clipped = clip(text, limit)
    assert len(clipped) <= limit
    assert clipped.isprintable()
    clipped.encode()


def test_the_model_signing_digest_is_the_one_of_the_reference(tmp_path: Path) -> None:
    from model_signing import hashing
    from model_signing._signing import signing

    names = {
        "a/model.safetensors": b"weights",
        "a/b.json": b"{}",
        "a.txt": b"text",
        "README.md": b"# x",
        "z/é.bin": b"\0",
    }
    for name, data in names.items():
        path = tmp_path / "model" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    reference = signing.Payload(hashing.Config().hash(tmp_path / "model"))
    entries = tuple(
        ManifestEntry(path=name, size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
        for name, data in names.items()
    )
    wanted = reference.statement.pb.subject[0].digest["sha256"]
    assert wire.model_signing_digest(Manifest(entries=entries)) == wanted
