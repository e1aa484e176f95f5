"""TensorFlow graphs written field by field: a SavedModel with a function, a frozen graph, layers, a fingerprint."""

from tests.conformance.sample import Sample
from weighbridge.testing.graphs import keras_metadata, message, saved_model, tf_call, tf_graph, tf_node, tf_text

LAYER = '{"class_name": "Dense", "config": {"units": 3, "activation": "relu"}}'
FINGERPRINT = message((1, 1 << 63), (2, 2), (3, 3), (4, 4), (5, 5), (6, message((1, 4))), (7, "2117914"))

SAMPLES = (
    Sample(
        name="saved-model",
        path="saved_model.pb",
        data=saved_model(
            [tf_node("Placeholder", "x"), tf_call("run", "x")],
            {"run": [tf_node("MatMul"), tf_text("_temp/part"), tf_node("SaveV2")]},
            layers=[LAYER],
            assets=["vocab.txt"],
        ),
    ),
    Sample(
        name="frozen-graph",
        path="frozen.pb",
        data=tf_graph([tf_node("Placeholder", "x"), tf_node("Relu", inputs=["x"])]),
        is_whole_only=False,  # fewer nodes are a graph
    ),
    Sample(name="layers", path="keras_metadata.pb", data=keras_metadata(LAYER)),
    Sample(name="fingerprint", path="fingerprint.pb", data=FINGERPRINT, is_whole_only=False),  # fields may be absent
)
