"""What is mutated: the samples of the conformance suite, and files with more in them, hostile ones too."""

from __future__ import annotations

import json
import pickle
import pkgutil
from collections import Counter, OrderedDict, defaultdict, deque
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib import import_module

from tests.conformance import samples
from tests.conformance.samples.hdf5 import GOLDEN
from weighbridge.testing.graphs import (
    IndexedTensor,
    bundle_entries,
    checkpoint_index,
    external_data,
    keras_metadata,
    message,
    onnx_model,
    onnx_node,
    onnx_tensor,
    saved_model,
    tf_call,
    tf_graph,
    tf_node,
    tf_text,
)
from weighbridge.testing.hdf5 import Group, external_link, hdf5_bytes, keras_h5, soft_link
from weighbridge.testing.models import StoredTensor, gguf_bytes, safetensors_bytes, tiny_safetensors
from weighbridge.testing.pickles import Pickle, checkpoint_entries, state_dict, torch_legacy, torch_zip, write_zip

PATHS: dict[str, tuple[str, ...]] = {
    "safetensors": ("model.safetensors",),
    "gguf": ("model.gguf",),
    "pickle": ("state.pkl",),
    "torch_zip": ("pytorch_model.bin",),
    "torch_legacy": ("pytorch_model.bin",),
    "torch_export": ("model.pt2",),
    "keras": ("model.keras",),
    "hdf5": ("model.h5",),
    "zip": ("model.zip",),
    "tar": ("model.nemo",),
    "compressed": ("model.pkl.gz",),
    "npy": ("weights.npy",),
    "onnx": ("model.onnx",),
    "tf_saved_model": ("saved_model.pb", "keras_metadata.pb", "fingerprint.pb"),
    "tf_checkpoint": ("variables.index",),
    "raw_tensors": ("variables.data-00000-of-00001", "model.onnx_data"),
    "openvino": ("model.xml",),
    "pmml": ("model.pmml",),
    "text": ("config.json", "README.md", "recipe.yaml", "vocab.txt", "tokenizer_config.json", "chat_template.jinja"),
    "unknown": ("weights.dat", "notes"),
}
"""The names under which every input of a format is examined."""
FORMATS = tuple(PATHS)


@cache
def seeds(form: str) -> tuple[bytes, ...]:
    """Valid and hostile files of one format, smallest first."""
    listed = {module.name for module in pkgutil.iter_modules(samples.__path__)}
    found = [s.data for s in import_module(f"{samples.__name__}.{form}").SAMPLES] if form in listed else []
    return tuple(sorted({*found, *_MORE.get(form, list)()}, key=len))


def _safetensors() -> list[bytes]:
    one = StoredTensor(name="a", dtype="U8", shape=(), data=b"\1")
    many = [StoredTensor(name=f"layers.{i}.w", dtype="F16", shape=(2, 2), data=bytes(8)) for i in range(8)]
    none = StoredTensor(name="empty", dtype="F32", shape=(0, 4), data=b"")
    packed = StoredTensor(name="f4", dtype="F4", shape=(4,), data=b"\1\2")
    return [tiny_safetensors(), safetensors_bytes([one]), safetensors_bytes([*many, none, packed], {"a": "b", "c": ""})]


def _gguf() -> list[bytes]:
    tensors = [
        StoredTensor(name=f"blk.{i}.weight", dtype=i % 2, shape=(4, 2), data=bytes(32 >> i % 2)) for i in range(4)
    ]
    pairs = {
        "general.architecture": "llama",
        "general.alignment": 64,
        "a.b": (1, 2, 3),
        "tokenizer.ggml.merges": ("a b",),
    }
    return [gguf_bytes({}), gguf_bytes({"general.architecture": "x"}, version=2), gguf_bytes(pairs, tensors)]


def _pickle() -> list[bytes]:
    import numpy as np

    values = [
        OrderedDict(a=1, b=(1, 2)),
        {"c": Counter("aab"), "d": deque([1], 3), "e": defaultdict(list, {1: [2]})},
        [datetime(2026, 1, 2, tzinfo=UTC), timedelta(1), {1, 2}, frozenset((3,)), bytearray(b"x"), 1 + 2j, 1 << 80],
        np.arange(6, dtype="<f4").reshape(2, 3),
        [np.float64(1.5), np.dtype("<i8")],
    ]
    hostile = [
        Pickle(0).call("posix", "system", "true").stop(),
        Pickle(4).stack_glob("builtins", "eval").args("1").op("REDUCE").stop(),
        Pickle(2).op("EMPTY_LIST").put(0).get(0).op("APPEND").stop(),
    ]
    return [pickle.dumps(value, protocol) for value in values for protocol in (0, 2, 4, 5)] + hostile


def _torch_zip() -> list[bytes]:
    state = state_dict({"weight": (2, 3), "bias": (3,)}, protocol=2).stop()
    entries = checkpoint_entries(state, {"0": bytes(24), "1": bytes(12)}, prefix="model")
    packed = checkpoint_entries(state, {"0": bytes(24), "1": bytes(12)})
    packed[0].method = 8
    call = Pickle().call("posix", "system", "true").stop()
    return [write_zip(entries), write_zip(packed), torch_zip(call), torch_zip(pickle.dumps(OrderedDict(a=1), 2))]


def _torch_legacy() -> list[bytes]:
    state = state_dict({"weight": (2, 3), "bias": (3,)}, parts=6).stop()
    return [torch_legacy(state, {"0": bytes(24), "1": bytes(12)}), torch_legacy(Pickle().values(1).stop())]


def _text() -> list[bytes]:
    config = {
        "model_type": "llama",
        "auto_map": {"AutoModel": "modeling.Model"},
        "head_dim": 64,
        "x": [1, [2, {"y": None}]],
    }
    tokenizer = {
        "tokenizer_class": "LlamaTokenizer",
        "chat_template": [{"name": "default", "template": "{{ x }}"}],
        "added_tokens_decoder": {"0": {"content": "<s>"}},
    }
    return [
        json.dumps(config, indent=1).encode(),
        json.dumps(tokenizer).encode(),
        b"a: &x [1, 2]\nb: *x\nc: !!python/object/apply:os.system ['true']\n",
        "{% for m in messages %}{{ m['content'] }}\u200b{% endfor %}".encode(),
        b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n",
        '\ufeff{"a": "\u202e"}'.encode("utf-16-le"),
        b"cposix\nsystem\n(S'true'\ntR.",
    ]


def _onnx() -> list[bytes]:
    branch = message((1, "then_branch"), (6, message((1, onnx_node("Relu")), (2, "inner"))), (20, 5))
    escape = onnx_tensor("w", more=external_data(location="../../etc/passwd"))
    return [
        onnx_model([onnx_node("If", attributes=[branch])], notes={"author": "nobody"}),
        onnx_model([onnx_node("PyOp", "ai.onnx.contrib")], domains=("", "ai.onnx.contrib")),
        onnx_model([onnx_node("Relu")], [escape]),
    ]


def _tf_saved_model() -> list[bytes]:
    return [
        saved_model([tf_call("f")], {"f": [tf_node("PyFunc")]}),
        saved_model([tf_text("/etc/cron.d/x"), tf_node("SaveV2")], assets=["../x"]),
        tf_graph([tf_node("NoOp")], {"ReadFile": [tf_node("Identity")]}),
        keras_metadata('{"class_name": "Lambda", "config": {}}'),
    ]


def _tf_checkpoint() -> list[bytes]:
    one = IndexedTensor(name="a", shape=(2, 3))
    over = IndexedTensor(name="b", shape=(4,), offset=8)
    entries = bundle_entries([one, over])
    return [checkpoint_index(entries), checkpoint_index(entries, compression=1), checkpoint_index(entries[::-1])]


def _unknown() -> list[bytes]:
    return [b"\x00" * 40, b"\x89HDF\r\n\x1a\n" + bytes(40), b"\x93NUMPY\x01\x00", b"\x7fELF\x02\x01\x01", b"\xff" * 9]


def _hdf5() -> list[bytes]:
    linked = hdf5_bytes(Group(messages=[external_link("x", "/etc/passwd", "/"), soft_link("y", "/x")]))
    code = {"class_name": "Lambda", "config": {"function": ["4wEAAAA=", None, None], "function_type": "lambda"}}
    return [linked, keras_h5(code), *((GOLDEN / name).read_bytes() for name in ("oldest.h5", "latest.h5"))]


def _keras() -> list[bytes]:
    return [(GOLDEN / "functional.keras").read_bytes()]


_MORE = {
    "safetensors": _safetensors,
    "gguf": _gguf,
    "pickle": _pickle,
    "torch_zip": _torch_zip,
    "torch_legacy": _torch_legacy,
    "hdf5": _hdf5,
    "keras": _keras,
    "text": _text,
    "onnx": _onnx,
    "tf_saved_model": _tf_saved_model,
    "tf_checkpoint": _tf_checkpoint,
    "unknown": _unknown,
}
