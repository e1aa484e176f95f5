"""Values of tensors through the jail: what is found, what is said to have been looked at, and what is honest."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weighbridge.formats.headers.tables import GGML_TYPES
from weighbridge.formats.reading.source import Inflated, Source
from weighbridge.inspection.inspect import Values, inspect_model
from weighbridge.inspection.samples import _count, _look_at, stretches
from weighbridge.inspection.values import _codings
from weighbridge.jail.confinement import Jail
from weighbridge.registry.intake import InPlaceIntake
from weighbridge.testing.hdf5 import Dataset, Group, hdf5_bytes
from weighbridge.testing.pickles import Entry, write_zip
from weighbridge.vocabulary import Finding, Outcome, Severity

F32 = [(0, "f32")]


@pytest.fixture(scope="module")
def jail() -> Iterator[Jail]:
    with Jail() as jail:
        yield jail


def safetensors(tensors: dict[str, tuple[str, list[int], bytes]]) -> bytes:
    header, position = {}, 0
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [position, position + len(data)]}
        position += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + b"".join(data for _, _, data in tensors.values())


def said(jail: Jail, folder: Path, values: Values) -> dict[str, Finding]:
    intake = InPlaceIntake()
    for path in sorted(folder.iterdir()):
        opener = partial(os.open, path, os.O_RDONLY)
        fd = opener()
        intake.take(path.name, fd, opener=opener)
        os.close(fd)
    found = inspect_model(intake.finish(), jail=jail, values=values).findings
    return {f.check: f for f in found if f.check in ("inventory.finite", "inventory.constant")}


def numbers(count: int) -> bytes:
    return struct.pack(f"<{count}f", *range(count))


def test_a_nan_and_an_infinity_are_found_and_located(jail: Jail, tmp_path: Path) -> None:
    data = bytearray(numbers(64))
    data[40:44] = struct.pack("<f", float("nan"))
    data[80:84] = struct.pack("<f", float("-inf"))
    whole = safetensors(
        {"w": ("F32", [8, 8], bytes(data)), "attn.bias": ("F32", [2], struct.pack("<2f", 0, float("-inf")))}
    )
    (tmp_path / "model.safetensors").write_bytes(whole)
    finite = said(jail, tmp_path, Values.SAMPLED)["inventory.finite"]
    assert (finite.outcome, finite.severity) == (Outcome.FAIL, Severity.MEDIUM)
    [where] = finite.evidence
    assert where.excerpt == "w F32: 1 NaN, 1 infinite"
    assert where.locator == f"byte {whole.index(bytes(data)) + 40}"
    assert "every byte of 2 tensors was read" in finite.message


def test_only_a_matrix_of_one_value_is_told(jail: Jail, tmp_path: Path) -> None:
    ones = struct.pack("<f", 1.0) * 16
    tensors = {"norm.weight": ("F32", [4, 4], ones), "b": ("F32", [16], ones), "w": ("F32", [4, 4], ones)}
    (tmp_path / "model.safetensors").write_bytes(safetensors(tensors))
    constant = said(jail, tmp_path, Values.SAMPLED)["inventory.constant"]
    assert (constant.outcome, constant.severity) == (Outcome.FAIL, Severity.INFO)
    assert [e.excerpt.split()[0] for e in constant.evidence] == ["w"]


def test_a_sample_says_so_and_a_full_look_finds_what_it_missed(jail: Jail, tmp_path: Path) -> None:
    size = 4096 * 4096
    read = {page // 4096 for page, _ in stretches(size, 4, 64, 0)}
    assert len(read) == 64
    data = bytearray(numbers(1024) * 4096)
    path = tmp_path / "model.safetensors"
    clean = safetensors({"w": ("F32", [1024, 4096], bytes(data))})
    path.write_bytes(clean)
    sampled = said(jail, tmp_path, Values.SAMPLED)["inventory.finite"]
    assert sampled.message == "no tensor holds NaN or an infinity; sampled 64 of 4,096 pages, of 1 tensor"
    start, found = len(clean) - size, set()
    for page in range(1, 200):
        data[page * 4096 : page * 4096 + 4] = struct.pack("<f", float("nan"))
        found.add(page)
    path.write_bytes(clean[:start] + data)
    full = said(jail, tmp_path, Values.ALL)["inventory.finite"]
    assert full.evidence[0].excerpt == "w F32: 199 NaN, 0 infinite"
    assert full.evidence[0].locator == f"byte {start + 4096}"
    assert "every byte" in full.message


def test_shards_say_what_one_file_says(jail: Jail, tmp_path: Path) -> None:
    tensors = {f"w{i}": ("F32", [512, 512], numbers(512 * 512)) for i in range(4)}
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    (one / "model.safetensors").write_bytes(safetensors(tensors))
    for i, (name, tensor) in enumerate(tensors.items(), 1):
        (two / f"model-{i:05d}-of-00004.safetensors").write_bytes(safetensors({name: tensor}))
    assert said(jail, one, Values.SAMPLED) == said(jail, two, Values.SAMPLED)


def test_what_is_not_looked_at_never_passes(jail: Jail, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(safetensors({"w": ("F4", [2, 8], bytes(range(8)))}))
    found = said(jail, tmp_path, Values.ALL)
    assert found.keys() == {"inventory.finite"}
    assert found["inventory.finite"].outcome is Outcome.UNKNOWN
    assert said(jail, tmp_path, Values.SAMPLED)["inventory.finite"].outcome is Outcome.NOT_APPLICABLE
    assert "1 F4 of safetensors" in found["inventory.finite"].message
    assert "headers only" in said(jail, tmp_path, Values.UNSEEN)["inventory.finite"].message


def test_bytes_of_tensors_that_no_header_lists_are_not_passed_over(jail: Jail, tmp_path: Path) -> None:
    (tmp_path / "model.onnx_data").write_bytes(numbers(16))
    found = said(jail, tmp_path, Values.ALL)
    assert found.keys() == {"inventory.finite"}
    assert found["inventory.finite"].outcome is Outcome.UNKNOWN
    assert "64 bytes of raw_tensors that no header lists" in found["inventory.finite"].message


def test_a_full_look_at_nothing_says_so(jail: Jail, tmp_path: Path) -> None:
    (tmp_path / "a.pkl").write_bytes(b"\x80\x02}.")
    found = said(jail, tmp_path, Values.ALL)["inventory.finite"]
    assert (found.outcome, "no value was looked at" in found.message) == (Outcome.NOT_APPLICABLE, True)
    assert said(jail, tmp_path, Values.SAMPLED) == {}


def test_a_name_with_the_mark_of_a_member_is_a_name(jail: Jail, tmp_path: Path) -> None:
    (tmp_path / "a!b.safetensors").write_bytes(safetensors({"w": ("F32", [1, 4], struct.pack("<4f", 1, 2, 3, 4))}))
    assert said(jail, tmp_path, Values.ALL)["inventory.finite"].outcome is Outcome.PASS


@pytest.mark.parametrize("key", [9, 4])
def test_the_numbers_of_an_onnx_tensor_are_looked_at(jail: Jail, tmp_path: Path, key: int) -> None:
    def field(number: int, data: bytes) -> bytes:
        return bytes([number << 3 | 2, len(data)]) + data

    data = struct.pack("<4f", 1, 2, float("nan"), 3)
    tensor = b"\x08\x02\x08\x02\x10\x01" + field(key, data) + field(8, b"w")
    graph = field(2, b"g") + field(5, tensor)
    (tmp_path / "m.onnx").write_bytes(b"\x08\x08" + field(7, graph) + field(8, b"\x10\x11"))
    found = said(jail, tmp_path, Values.ALL)["inventory.finite"]
    assert found.outcome is Outcome.FAIL
    assert "1 NaN, 0 infinite" in found.evidence[0].excerpt


@pytest.mark.parametrize(
    ("kind", "width", "nan", "endless", "finite"),
    [
        ("f16", 2, "007e", "00fc", "ff7b"),
        ("bf16", 2, "c07f", "807f", "7f7f"),
        ("f32", 4, "0000c07f", "000080ff", "ffff7fff"),
        ("f64", 8, "000000000000f87f", "000000000000f07f", "ffffffffffffef7f"),
        ("e4m3", 1, "7f", "", "7e"),
        ("e5m2", 1, "7d", "7c", "7b"),
        ("fnuz", 1, "80", "", "ff"),
    ],
)
def test_every_kind_of_number(kind: str, width: int, nan: str, endless: str, finite: str) -> None:
    rest = bytes.fromhex(finite) * 3
    assert _count(rest, 0, width, kind) == (0, 0, -1)
    assert _count(rest + bytes.fromhex(nan), 0, width, kind) == (1, 0, 3 * width)
    if endless:
        assert _count(rest + bytes.fromhex(endless), 0, width, kind) == (1, 1, 3 * width)


def content(data: bytes) -> Source:
    return Inflated(data, path="w", outer=Source(-1, path="w", size_bytes=0))


@given(st.lists(st.floats(width=32), min_size=1, max_size=40))
def test_a_full_look_counts_as_python_does(values: list[float]) -> None:
    data = struct.pack(f"<{len(values)}f", *values)
    read, nan, endless, first, _ = _look_at(content(data), 0, len(data), 4, F32, 0, 0)
    odd = [i for i, v in enumerate(values) if v != v or abs(v) == float("inf")]
    assert (read, nan, endless) == (len(data), sum(v != v for v in values), sum(abs(v) == float("inf") for v in values))
    assert first == (odd[0] * 4 if odd else -1)


@given(
    st.integers(0, 1 << 40), st.sampled_from([1, 2, 4, 8, 18, 34, 210]), st.integers(2, 64), st.integers(0, 2**32 - 1)
)
def test_a_sample_lies_inside_in_order_and_is_the_same_again(size: int, width: int, pages: int, seed: int) -> None:
    places = list(stretches(size, width, pages, seed))
    assert places == list(stretches(size, width, pages, seed))
    assert len(places) <= pages
    position = 0
    for start, length in places:
        assert start >= position
        assert start % width == length % width == 0
        position = start + length
    assert position <= size
    assert size - position < width


@pytest.mark.parametrize("path", ["m.h5", "inside.zip"])
def test_the_numbers_of_an_hdf5_dataset_are_looked_at(jail: Jail, tmp_path: Path, path: str) -> None:
    data = struct.pack("<4f", 1, 2, float("nan"), 3)
    made = hdf5_bytes(Group(members={"w": Dataset(shape=(2, 2), data=data)}))
    (tmp_path / path).write_bytes(made if path == "m.h5" else write_zip([Entry(name="m.h5", data=made)]))
    found = said(jail, tmp_path, Values.ALL)["inventory.finite"]
    assert found.outcome is Outcome.FAIL
    at = int(found.evidence[0].locator.removeprefix("byte "))
    assert (tmp_path / path).read_bytes()[at : at + 4] == data[8:12]


def test_the_blocks_of_ggml_are_as_large_as_its_reader_says() -> None:
    sizes = {one.name: one.size_bytes for one in GGML_TYPES.values()}
    told = {word: width for word, (width, _) in _codings().items() if word in sizes}
    assert len(told) >= 15
    assert told == {word: sizes[word] for word in told}
