"""The oracle of harm notices what a file would do, wherever in it that stands, and nothing in files that became something else."""

from __future__ import annotations

import gzip
import io
import pickle
import tarfile
import zipfile
from collections import OrderedDict

import pytest

from tests.fuzz.harm import harm_of
from weighbridge.testing.graphs import onnx_model, onnx_node
from weighbridge.testing.hdf5 import keras_h5
from weighbridge.testing.pickles import Pickle, state_dict, torch_legacy, torch_zip

CALL = Pickle(2).call("posix", "system", "true").stop()
LAMBDA = {"class_name": "Lambda", "config": {"function": ["4wE=", None, None], "function_type": "lambda"}}


def zipped(name: str, data: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr(name, data)
    return made.getvalue()


def tarred(name: str, data: bytes) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        info = tarfile.TarInfo(name)
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))
    return made.getvalue()


@pytest.mark.parametrize(
    ("data", "path"),
    [
        (CALL, "notes"),
        (b"N." + CALL, "state.pkl"),
        (gzip.compress(CALL), "model.pkl.gz"),
        (zipped("a.bin", tarred("b", CALL)), "model.zip"),
        (torch_zip(CALL), "model.pt"),
        (torch_legacy(CALL), "model.bin"),
        (tarred("../x", b"N."), "model.nemo"),
        (b"\x93NUMPY\x01\x00\x02\x00{}" + CALL, "a.npy"),
        (b'{"auto_map":{"a":"b.C"}}', "config.json"),
        (b'<!DOCTYPE a [<!ENTITY b "c">]><a/>', "model.xml"),
        (keras_h5(LAMBDA), "model.h5"),
        (onnx_model([onnx_node("PyOp", "ai.onnx.contrib")]), "model.onnx"),
    ],
)
def test_harm_is_seen(data: bytes, path: str) -> None:
    assert harm_of(data, path)


@pytest.mark.parametrize(
    ("data", "path"),
    [
        (pickle.dumps(OrderedDict(a=1)), "pytorch_model.bin"),
        (zipped("archive/version", b"3"), "pytorch_model.bin"),
        (torch_legacy(Pickle(2).op("MARK").values("module", None, "a", "b").op("TUPLE", "BINPERSID").stop()), "model.bin"),
        (torch_zip(state_dict({"w": (2,)}).stop(), {"0": bytes(8)}), "model.pt"),
        (b"GGUF\3\0\0\0" + bytes(16), "model.gguf"),
        (b'{"auto_map":{"a":"b.C"}}', "README.md"),
        (b"", "weights.dat"),
    ],
)  # fmt: skip
def test_no_harm_is_seen_in_what_became_something_else(data: bytes, path: str) -> None:
    assert harm_of(data, path) == ""
