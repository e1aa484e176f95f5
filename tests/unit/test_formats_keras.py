"""HDF5 and Keras files that the real libraries wrote are clean, and listed as those list them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from weighbridge.formats import hdf5, keras
from weighbridge.formats.headers.hdf5_checksum import checksum
from weighbridge.formats.headers.keras_names import OWN, rule_class, rule_function
from weighbridge.formats.reading.contract import Match, Reading
from weighbridge.formats.reading.spans import account
from weighbridge.testing.hdf5 import Dataset, Group, hdf5_bytes, soft_link
from weighbridge.testing.models import source_of
from weighbridge.testing.pickles import Entry, write_zip
from weighbridge.vocabulary import Outcome, Severity

FOLDER = Path(__file__).parents[1] / "golden" / "keras"
FILES = ("sequential.h5", "sequential.weights.h5", "oldest.h5", "latest.h5", "sequential.keras", "functional.keras")
STORED = {
    "plain/inner": ("f4", (12, 20), 960),
    "packed": ("f4", (12, 20), 960),
    "lzf": ("f4", (12, 20), 960),
    "one": ("f4", (12, 20), 960),
    "growing": ("f8", (90,), 720),
    "growing_packed": ("f8", (20,), 160),
    "wide": ("f4", (12, 20), 960),
    "never": ("f8", (5, 3), 120),
    "text": ("string", (), 16),
    "texts": ("string", (2,), 32),
    "scalar": ("f8", (), 8),
    "empty": ("f4", (), 0),
    "bool": ("bool", (2,), 2),
    "complex": ("(f8,f8)", (1,), 16),
    "big": (">i2", (3,), 6),
    "record": ("(f4,i2[2])", (2,), 16),
    "typed": ("f8", (3,), 24),
}


def read(data: bytes, path: str) -> Reading:
    unit = keras.FORMAT if path.endswith(".keras") else hdf5.FORMAT
    with source_of(data, path) as source:
        assert unit.sniff(source) is Match.CERTAIN
        return unit.read(source)


@pytest.mark.parametrize("name", FILES)
def test_what_the_libraries_write_is_clean(name: str) -> None:
    reading = read((FOLDER / name).read_bytes(), name)
    assert [f for f in reading.findings if f.outcome is not Outcome.PASS] == []
    sums = account(reading.spans)
    assert (sums.unexplained_bytes, sums.unread_bytes) == (0, 0)


@pytest.mark.parametrize("name", ["oldest.h5", "latest.h5"])
def test_every_dataset_is_listed(name: str) -> None:
    header = read((FOLDER / name).read_bytes(), name).header
    assert header is not None
    found = {t.name.replace("hard/", "plain/"): (t.dtype, t.shape, t.size_bytes) for t in header.tensors}
    assert found == STORED


def test_the_header_names_the_model() -> None:
    reading = read((FOLDER / "sequential.h5").read_bytes(), "sequential.h5")
    assert reading.header is not None
    assert reading.header.architecture == "Sequential"
    assert {fact.name: fact.value for fact in reading.header.metadata}["keras_version"] == "3.15.1"
    archive = read((FOLDER / "functional.keras").read_bytes(), "functional.keras")
    assert archive.header is not None
    assert archive.header.architecture == "Functional"
    assert len(archive.parts) == 3


@pytest.mark.parametrize("name", ["oldest.h5", "latest.h5"])
def test_a_file_that_is_cut_short_fails(name: str) -> None:
    data = (FOLDER / name).read_bytes()
    for end in range(len(data) // 7, len(data), len(data) // 7):
        reading = read(data[:end], name)
        assert any(f.outcome is Outcome.FAIL and f.severity is Severity.HIGH for f in reading.findings), end


def test_a_soft_link_that_leads_nowhere_is_minor() -> None:
    member = {"a": Dataset(shape=(1,), data=bytes(4))}
    for target, expected in (("/a", None), ("a", None), ("/b", Severity.LOW)):
        reading = read(hdf5_bytes(Group(members=member, messages=[soft_link("s", target)])), "x.h5")
        assert next((f.severity for f in reading.findings if f.check == "hdf5.link"), None) is expected


def test_names_of_keras() -> None:
    assert rule_class("keras.layers", "Dense", "Dense") is OWN
    assert rule_class(None, "Dense", None) is OWN
    assert rule_class("tensorflow.keras.layers", "Dense", None) is OWN
    assert rule_class("keras.src.models.functional", "Functional", "Functional") is OWN
    assert rule_class("keras.src.ops.numpy", "Add", "Add") is OWN
    assert rule_function("builtins", "relu", "relu") is OWN
    assert rule_function("keras.activations", "gelu", None) is OWN
    assert rule_class("kerasx.layers", "Dense", None).outcome is Outcome.UNKNOWN
    assert rule_class("keras", "Dense", None).outcome is Outcome.UNKNOWN


def test_a_config_too_long_is_not_judged() -> None:
    config = json.dumps({"class_name": "Sequential", "config": {"layers": [], "note": "x" * (5 << 20)}}).encode()
    entries = [Entry(name="metadata.json", data=b"{}"), Entry(name="config.json", data=config)]
    found = {finding.check: finding for finding in read(write_zip(entries), "m.keras").findings}
    assert found["keras.config"].outcome is found["code.on-load"].outcome is Outcome.UNKNOWN


@pytest.mark.parametrize("at", [20, 60, 100])
def test_a_structure_with_a_wrong_checksum_fails(at: int) -> None:
    data = bytearray(hdf5_bytes(Group(attributes={"name": b"x" * 100})))
    data[at] ^= 1
    found = {finding.check: finding for finding in read(bytes(data), "x.h5").findings}
    assert found["hdf5.structure"].outcome is Outcome.FAIL


@pytest.mark.parametrize(("text", "value"), [(b"", 0xDEADBEEF), (b"Four score and seven years ago", 0x17770551)])
def test_the_checksum_is_that_of_lookup3(text: bytes, value: int) -> None:
    assert checksum(text) == value
