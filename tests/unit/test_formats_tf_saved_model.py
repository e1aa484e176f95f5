"""TensorFlow graphs: which message a file is, and what is told of operators, paths and layers."""

from __future__ import annotations

import pytest

from weighbridge.formats.reading.contract import Match, Reading
from weighbridge.formats.tf_saved_model import FORMAT
from weighbridge.testing.graphs import keras_metadata, message, saved_model, tf_call, tf_graph, tf_node, tf_text
from weighbridge.testing.models import source_of
from weighbridge.vocabulary import Outcome


def read(data: bytes, path: str = "saved_model.pb") -> Reading:
    with source_of(data, path) as source:
        return FORMAT.read(source)


def outcomes(data: bytes) -> dict[str, Outcome]:
    return {finding.check: finding.outcome for finding in read(data).findings}


def matched(data: bytes, path: str = "saved_model.pb") -> Match:
    with source_of(data, path) as source:
        return FORMAT.sniff(source)


META = message((1, message((4, "serve"))), (2, tf_graph([tf_node("NoOp")])))


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (saved_model([tf_node("NoOp")]), "SavedModel"),
        (META, "MetaGraphDef"),
        (tf_graph([tf_node("NoOp")]), "GraphDef"),
        (keras_metadata("{}"), "keras.SavedMetadata"),
    ],
)
def test_the_roots_are_told_apart(data: bytes, name: str) -> None:
    assert matched(data, "x") is Match.CERTAIN
    header = read(data).header
    assert header is not None
    assert [fact.value for fact in header.metadata] == [name]


def test_a_fingerprint_is_told_by_its_name() -> None:
    data = message((1, 5), (2, 6), (6, message((1, 4))))
    assert matched(data, "model/fingerprint.pb") is Match.LIKELY
    assert matched(data, "model/other.pb") is Match.NO


@pytest.mark.parametrize("op", ["MatMul", "StatefulPartitionedCall", "VarHandleOp", "SaveV2", "RestoreV2"])
def test_what_every_model_has_passes(op: str) -> None:
    assert set(outcomes(saved_model([tf_node(op)])).values()) == {Outcome.PASS}


def test_an_operator_that_nobody_knows_is_unknown_unless_it_is_a_function() -> None:
    node = tf_node("MyOperator")
    assert outcomes(saved_model([node]))["code.on-load"] is Outcome.UNKNOWN
    assert outcomes(saved_model([node], {"MyOperator": [tf_node("Relu")]}))["code.on-load"] is Outcome.PASS


def test_functions_of_one_graph_are_not_those_of_another() -> None:
    meta = saved_model([tf_node("Own")], {"Own": [tf_node("Relu")]})
    other = saved_model([tf_node("Own")])
    assert outcomes(meta + other[2:])["code.on-load"] is Outcome.UNKNOWN


def test_texts_beside_a_saver_stay_in_the_model() -> None:
    assert outcomes(saved_model([tf_text("_temp/part"), tf_node("SaveV2")]))["code.on-load"] is Outcome.PASS
    assert outcomes(saved_model([tf_text("/etc/x"), tf_node("Relu")]))["code.on-load"] is Outcome.PASS


def test_layers_are_read() -> None:
    assert outcomes(keras_metadata('{"class_name": "Dense"}'))["code.on-load"] is Outcome.PASS
    assert outcomes(keras_metadata('{"class_name": '))["code.on-load"] is Outcome.UNKNOWN


@pytest.mark.parametrize("data", [b"", b"\x0a", b"\x0a\x00", b"\nhello", b"\x08\x01\x12\x02\x0a\x00"])
def test_other_things_are_not_taken_for_a_graph(data: bytes) -> None:
    assert matched(data, "notes") is Match.NO


def test_a_call_takes_its_function_from_the_library() -> None:
    assert outcomes(saved_model([tf_call("f")], {"f": [tf_node("EagerPyFunc")]}))["code.on-load"] is Outcome.FAIL
