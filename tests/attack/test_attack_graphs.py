"""Graphs that run Python, touch files or take bytes from outside the model: ONNX and TensorFlow."""

import base64

import pytest

from weighbridge.inspection.examine import examine_source
from weighbridge.testing.fuzzing import built_in_formats, is_clean
from weighbridge.testing.graphs import (
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
from weighbridge.testing.models import source_of
from weighbridge.testing.pickles import Pickle
from weighbridge.vocabulary import Finding, Outcome, Severity


def findings(data: bytes, path: str) -> tuple[Finding, ...]:
    with source_of(data, path) as source:
        return examine_source(source, built_in_formats()).findings


def is_blocked(data: bytes, path: str) -> bool:
    return any(f.outcome is Outcome.FAIL and f.severity.rank >= Severity.HIGH.rank for f in findings(data, path))


def is_referred(data: bytes, path: str) -> bool:
    with source_of(data, path) as source:
        return not is_clean(examine_source(source, built_in_formats())) and not is_blocked(data, path)


def escaping(location: str) -> bytes:
    return onnx_model([onnx_node("Gemm")], [onnx_tensor("w", more=external_data(location=location))])


@pytest.mark.parametrize("location", ["../../etc/passwd", "a/../../b", ".."])
def test_cve_2022_25882_external_data_goes_upwards(location: str) -> None:
    assert is_blocked(escaping(location), "model.onnx")


@pytest.mark.parametrize(
    "location", ["/etc/passwd", "a\\..\\..\\b", "C:secret", "file:///etc/passwd", "~/x", "", "a\0b"]
)
def test_cve_2024_27318_external_data_leaves_the_folder_by_another_spelling(location: str) -> None:
    found = findings(escaping(location), "model.onnx")
    [finding] = [f for f in found if f.check == "onnx.external-path"]
    assert finding.outcome is Outcome.FAIL
    assert "CVE-2024-27318" in finding.references


def test_external_data_of_a_constant_in_a_branch() -> None:
    tensor = onnx_tensor("w", more=external_data(location="../x"))
    constant = onnx_node("Constant", attributes=[message((1, "value"), (5, tensor), (20, 4))])
    branch = message((1, "then_branch"), (6, message((1, constant), (2, "g"))), (20, 5))
    assert is_blocked(onnx_model([onnx_node("If", attributes=[branch])]), "model.onnx")


@pytest.mark.parametrize(
    ("domain", "op"),
    [
        ("ai.onnx.contrib", "PyOp"),
        ("com.microsoft", "PythonOp"),
        ("org.pytorch.aten", "ATen"),
        ("evil", "Shell"),
    ],
)
def test_onnx_operators_that_run_code(domain: str, op: str) -> None:
    data = onnx_model([onnx_node(op, domain)], domains=("", domain))
    assert is_blocked(data, "model.onnx")


def test_a_function_does_not_make_a_dangerous_name_harmless() -> None:
    own = message((1, "PyOp"), (7, onnx_node("Relu")), (9, message((2, 17))), (10, "ai.onnx.contrib"))
    data = onnx_model([onnx_node("PyOp", "ai.onnx.contrib")], domains=("", "ai.onnx.contrib"), functions=[own])
    assert is_blocked(data, "model.onnx")


def test_operators_in_functions_are_judged() -> None:
    own = message((1, "Own"), (7, onnx_node("PyOp", "x")), (9, message((2, 17))), (10, "local"))
    assert is_blocked(onnx_model([onnx_node("Own", "local")], domains=("", "local"), functions=[own]), "model.onnx")


def test_an_onnx_operator_of_an_unknown_library_is_referred() -> None:
    assert is_referred(onnx_model([onnx_node("Fuse", "com.example")], domains=("", "com.example")), "model.onnx")


@pytest.mark.parametrize(
    "op", ["PyFunc", "PyFuncStateless", "EagerPyFunc", "ReadFile", "WriteFile", "MatchingFiles", "Save", "LoadDataset"]
)
@pytest.mark.parametrize("where", ["graph", "function", "frozen", "own name"])
def test_tensorflow_operators_that_reach_out(op: str, where: str) -> None:
    node = tf_node(op)
    data = {
        "graph": saved_model([node]),
        "function": saved_model([tf_call("f")], {"f": [node]}),
        "frozen": tf_graph([tf_node("NoOp"), node]),
        "own name": saved_model([node], {op: [tf_node("Relu")]}),
    }[where]
    assert is_blocked(data, "saved_model.pb")


@pytest.mark.parametrize("op", ["SaveV2", "RestoreV2", "InitializeTableFromTextFileV2", "MergeV2Checkpoints"])
@pytest.mark.parametrize("path", ["/etc/cron.d/job", "../../x", "gs://bucket/x"])
def test_savers_and_tables_with_a_path_outside(op: str, path: str) -> None:
    assert is_blocked(saved_model([tf_text(path), tf_node(op)]), "saved_model.pb")
    assert is_blocked(saved_model([tf_call("f")], {"f": [tf_text(path), tf_node(op)]}), "saved_model.pb")


def test_an_asset_outside_the_model() -> None:
    assert is_blocked(saved_model([tf_node("NoOp")], assets=["../../etc/passwd"]), "saved_model.pb")


def test_print_into_a_file() -> None:
    node = tf_node("PrintV2", attributes={"output_stream": message((2, "file:///tmp/x"))})
    assert is_blocked(saved_model([node]), "saved_model.pb")


LAMBDA = '{"class_name": "Lambda", "config": {"function": {"class_name": "__tuple__", "items": ["4wEA", null, null]}, "function_type": "lambda"}}'
NESTED = '{"class_name": "Functional", "config": {"layers": [' + LAMBDA + "]}}"


@pytest.mark.parametrize(
    "layer", [LAMBDA, NESTED, '{"class_name": "TFOpLambda", "config": {"function": "io.read_file"}}']
)
def test_cve_2024_3660_lambda_layers_of_keras_2(layer: str) -> None:
    assert is_blocked(keras_metadata(layer), "keras_metadata.pb")
    assert is_blocked(saved_model([tf_node("NoOp")], layers=[layer]), "saved_model.pb")


def test_a_pickle_by_the_name_of_a_shard() -> None:
    trap = Pickle(2).call("posix", "system", "true").stop()
    assert is_blocked(trap, "variables.data-00000-of-00001")
    assert is_blocked(Pickle(0).call("posix", "system", "true").stop(), "model.onnx_data")


def test_a_model_by_the_name_of_raw_tensors() -> None:
    assert is_blocked(onnx_model([onnx_node("PyOp", "x")]), "model.onnx_data")


@pytest.mark.parametrize(
    "value",
    [
        "{0: 'cat', 1: __import__('os').system('true')}",
        "os.system('true')",
        base64.b64encode(Pickle(4).call("posix", "system", "true").stop()).decode(),
        base64.b64encode(Pickle(2).call("builtins", "eval", "1").stop()).decode().rstrip("="),
    ],
)
def test_code_in_the_notes_of_an_onnx_model(value: str) -> None:
    assert is_blocked(onnx_model([onnx_node("Relu")], notes={"names": value}), "model.onnx")


@pytest.mark.parametrize(
    "value", ["{0: 'person', 1: 'bicycle'}", "gA", "2026-01-01T00:00:00", "exec(utor)", "evaluate()", "gAAA"]
)
def test_notes_that_are_no_code_are_clean(value: str) -> None:
    with source_of(onnx_model([onnx_node("Relu")], notes={"names": value}), "model.onnx") as source:
        assert is_clean(examine_source(source, built_in_formats()))
