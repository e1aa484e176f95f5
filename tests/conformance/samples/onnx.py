"""ONNX models written field by field: weights inside, weights beside the file, a function of its own."""

from tests.conformance.sample import Sample
from weighbridge.testing.graphs import external_data, message, onnx_model, onnx_node, onnx_tensor

BESIDE = onnx_tensor("big", (4, 4), more=external_data(location="model.onnx.data", offset="0", length="64"))
OWN = message((1, "Twice"), (4, "x"), (5, "y"), (7, onnx_node("Add")), (9, message((2, 17))), (10, "local"))

SAMPLES = (
    Sample(
        name="inside", path="model.onnx", data=onnx_model([onnx_node("MatMul"), onnx_node("Relu")], [onnx_tensor()])
    ),
    Sample(name="beside", path="model.onnx", data=onnx_model([onnx_node("Gemm")], [BESIDE])),
    Sample(
        name="function",
        path="model.onnx",
        data=onnx_model([onnx_node("Twice", "local")], domains=("", "local"), functions=[OWN]),
        is_whole_only=False,  # the opset of a domain is all that the last bytes say
    ),
)
