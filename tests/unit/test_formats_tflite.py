"""TensorFlow Lite models that the real converter wrote are clean to the last byte; what they hold is listed."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from weighbridge.formats import tflite
from weighbridge.formats.reading.contract import Format, Match, Reading
from weighbridge.formats.reading.spans import account
from weighbridge.inspection.examine import examine_source
from weighbridge.inspection.examined import Examined
from weighbridge.plugins import find_units
from weighbridge.testing.models import source_of
from weighbridge.testing.tflite import code, flatbuffer, flex_options, model, number, operator, tensor
from weighbridge.vocabulary import Outcome

FOLDER = Path(__file__).parents[1] / "golden" / "tflite"
FILES = ("cnn", "dense_int8", "matrix_inverse_flex")


def read(data: bytes) -> Reading:
    with source_of(data, "model.tflite") as source:
        assert tflite.sniff(source) is Match.CERTAIN
        return tflite.read(source)


def examined(data: bytes) -> Examined:
    with source_of(data, "model.tflite") as source:
        return examine_source(source, find_units("formats", Format).found)


def with_files(data: bytes, **files: bytes) -> bytes:
    """The model with files behind it, as `tflite_support` appends them."""
    buffer = io.BytesIO(data)
    with zipfile.ZipFile(buffer, "a") as archive:
        for name, content in files.items():
            archive.writestr(name.replace("_", "."), content)
    return buffer.getvalue()


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_the_real_converter_is_clean(name: str) -> None:
    said = examined((FOLDER / f"{name}.tflite").read_bytes())
    assert said.readers == ("tflite",)
    assert {f.check: f.message for f in said.findings if f.outcome is not Outcome.PASS} == {}
    assert said.account.unexplained_bytes == said.account.unread_bytes == 0


def test_tensors_are_listed() -> None:
    reading = read((FOLDER / "dense_int8.tflite").read_bytes())
    assert reading.header is not None
    assert {t.dtype for t in reading.header.tensors} == {"int8"}
    assert sorted(t.shape for t in reading.header.tensors) == [(3, 16), (16, 8)]
    assert account(reading.spans).tensor_bytes >= 16 * 8 + 3 * 16


def test_a_model_made_here_is_clean_too() -> None:
    said = examined(flatbuffer(model()))
    assert {f.check for f in said.findings if f.outcome is not Outcome.PASS} == set()


def test_files_behind_a_model_are_examined() -> None:
    said = examined(with_files((FOLDER / "cnn.tflite").read_bytes(), vocab_txt=b"a\nb\n"))
    assert {f.check: f.message for f in said.findings if f.outcome is not Outcome.PASS} == {}
    assert said.readers == ("tflite",)
    assert any(f.evidence and f.evidence[0].artifact == "model.tflite!vocab.txt" for f in said.findings)


@pytest.mark.parametrize("custom", ["TFLite_Detection_PostProcess", "MaxUnpooling2D"])
def test_a_custom_operator_of_the_runtime_is_known(custom: str) -> None:
    said = examined(flatbuffer(model([code(32, custom)], [operator(custom=b"")])))
    assert {f.check for f in said.findings if f.outcome is not Outcome.PASS} == set()


@pytest.mark.parametrize(
    ("codes", "custom"),
    [
        (code(32, "MyOperator"), b""),
        (code(32, "FlexNobodyKnows"), flex_options("NobodyKnows", b"\x12\x0bNobodyKnows")),
        (code(32, "FlexAddV2"), b"what is this"),
        (code(32, "FlexSaveV2"), flex_options("SaveV2", b"\x12\x06SaveV2")),
        (code(51), b""),
        (code(4000), b""),
    ],
)
def test_an_operator_that_nobody_knows_is_not_judged(codes: dict[int, object], custom: bytes) -> None:
    found = read(flatbuffer(model([codes], [operator(custom=custom)]))).findings
    assert {f.outcome for f in found if f.check in ("tflite.operator", "code.on-load")} == {Outcome.UNKNOWN}


def test_weights_in_another_file_are_not_judged() -> None:
    found = read(flatbuffer(model(more={8: [{0: "weights.bin"}]}))).findings
    assert {f.outcome for f in found if f.check in ("tflite.external", "code.on-load")} == {Outcome.UNKNOWN}


def test_buffers_behind_the_flatbuffer_are_tensors() -> None:
    plain = flatbuffer(model(buffers=[{}, {1: number(1 << 20, 8), 2: number(16, 8)}]))
    start = len(plain) + -len(plain) % 16
    data = flatbuffer(model(buffers=[{}, {1: number(start, 8), 2: number(16, 8)}])).ljust(start, b"\0") + bytes(
        range(16)
    )
    reading = read(data)
    assert {f.check for f in reading.findings if f.outcome is not Outcome.PASS} == set()
    assert account(reading.spans).tensor_bytes == 16


def test_numbers_of_four_bits_are_two_a_byte() -> None:
    tensors = [tensor("x", [4]), tensor("w", [31], 1, 17), tensor("y", [4])]
    assert {f.outcome for f in read(flatbuffer(model(tensors=tensors))).findings} == {Outcome.PASS}
