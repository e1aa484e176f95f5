"""The last resort: named where a magic number allows, and never clean."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile

import pytest

from weighbridge.formats.reading.contract import Format, Match, Reading
from weighbridge.formats.reading.spans import account
from weighbridge.formats.unknown import FORMAT
from weighbridge.inspection.examine import examine_source
from weighbridge.plugins import find_units
from weighbridge.testing.models import source_of
from weighbridge.vocabulary import Outcome, Severity


def read(data: bytes, name: str = "thing") -> Reading:
    with source_of(data, name) as source:
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
    finding, *more = reading.findings
    assert (finding.check, finding.outcome, finding.severity) == ("unknown.format", Outcome.UNKNOWN, Severity.HIGH)
    assert [(f.check, f.outcome) for f in more] == ([("unknown.program", Outcome.FAIL)] if says == "ELF" else [])
    assert (says or "no kind that is known") in finding.message
    assert account(reading.spans).unread_bytes == len(data)


def _field(number: int, data: bytes) -> bytes:
    return bytes((number << 3 | 2, len(data))) + data


NAMED = {
    "net.mlmodel": (b"\x08\x04" + _field(2, _field(1, b"\x0a\x01x")), "Core ML model"),
    "m.mlpackage/Data/com.apple.CoreML/weights/weight.bin": (
        b"\x01\0\0\0\x02\0\0\0" + bytes(56) + b"\xef\xbe\xad\xde" + bytes(60),
        "weights of a Core ML program",
    ),
    "m.mlmodelc/coremldata.bin": (b"\x01\0\0\0\xff\xfe", "compiled data of a Core ML"),
    "m.mlmodelc/model.mil": (
        b"program(1.0)\n[buildInfo = dict<tensor<string, []>>()]\n{\n}\n",
        "Core ML program in text",
    ),
    "net.pdmodel": (_field(1, b"\x08\x00\x10\xff"), "PaddlePaddle program"),
    "__model__": (_field(1, b"\x08\x00\x10\xff"), "PaddlePaddle program"),
    "net.pdiparams": (bytes(16) + b"\x04\0\0\0\x08\x05\x10\x03", "PaddlePaddle parameters"),
    "inference.json": (b'{"base_code":{"magic":"pir","trainable":false,"version":1},"program":{}}', "program in JSON"),
    "net.pte": (b"\x40\0\0\0ET12eh00\xff", "ExecuTorch"),
    "ct2/model.bin": (b"\x06\0\0\0\x10\0TransformerSpec\0\x07\0\0\0\xff", "CTranslate2"),
    "net.mlxfn": (b"\x06\0\0\0\0\0\0\x000.29.1\xff", "MLX"),
    "net.engine": (b"ftrt\x00\x01\xff", "TensorRT"),
    "yolo.engine": (b"\x20\0\0\0" + b'{"a": 1}'.ljust(32) + b"ptrt\xff\xfe", "TensorRT"),
    "net.plan": (b"ptrt\x00\x01\xff", "TensorRT"),
    "net.rknn": (b"RKNN\0\0\0\0\x06\xff", "RKNN"),
    "sealed.rknn": (b"CYPTRKNN\x06\xff", "RKNN"),
    "net.param": (b"7767517\n2 2\nInput data 0 1 data\nReLU relu 1 1 data out\n", "ncnn network in text"),
    "net.param.bin": (b"\xdd\x85\x76\x00\x02\0\0\0\xff", "ncnn network"),
    "net.ncnn.bin": (b"\x47\x6b\x30\x01" + bytes(range(200, 240)), "ncnn weights"),
    "net.mnn": (b"\x20\0\0\0\0\0\x1a\0\xff\xfe", "MNN"),
    "deploy.prototxt": (b'name: "n"\nlayer {\n  type: "Python"\n}\n', "Caffe network"),
    "net.caffemodel": (_field(1, b"\xff\xfe"), "Caffe weights"),
    "ggml-model.bin": (b"lmgg\x20\x7d\0\0\xff", "ggml"),
    "ggjt.bin": (b"tjgg\x03\0\0\0\xff", "ggml"),
    "ggla.bin": (b"algg\x01\0\0\0\xff", "ggml"),
    "llava.llamafile": (b"MZqFpD='\n\0\x10\xff\xfe", "llamafile"),
    "net.tflite": (b"\x1c\0\0\0TFL9\xff", ""),
    "net.ort": (b"\x20\0\0\0ORTM\xff", "ONNX Runtime"),
    "image/oci-layout": (b'{"imageLayoutVersion": "1.0.0"}', "OCI image layout"),
}


@pytest.mark.parametrize("path", NAMED)
def test_a_model_of_another_runtime_is_named_and_never_clean(path: str) -> None:
    data, says = NAMED[path]
    with source_of(data, path) as source:
        said = examine_source(source, find_units("formats", Format).found)
    assert said.readers == ("unknown",)
    (finding,) = (f for f in said.findings if f.check == "unknown.format")
    assert (finding.outcome, finding.severity) == (Outcome.UNKNOWN, Severity.HIGH)
    assert (says or "no kind that is known") in finding.message
    assert said.account.unread_bytes == len(data)
    assert any(f.check == "code.on-load" and f.outcome is Outcome.UNKNOWN for f in said.findings)


@pytest.mark.parametrize("size", [0, 1, 5000])
def test_zeros_are_padding(size: int) -> None:
    reading = read(b"\0" * size)
    assert account(reading.spans).padding_bytes == size
    assert reading.findings[0].outcome is Outcome.NOT_APPLICABLE


@pytest.mark.parametrize("name", ["model.safetensors", "model.onnx", "w.npy", "model.GGUF"])
def test_a_name_that_promises_what_the_bytes_are_not_is_refused(name: str) -> None:
    reading = read(b"\xce\x01\x02\x03" * 9, name)
    assert [f.check for f in reading.findings if f.outcome is Outcome.FAIL] == ["unknown.misnamed"]
