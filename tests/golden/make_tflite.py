"""Make the models in `tests/golden/tflite` with TensorFlow itself: `python tests/golden/make_tflite.py`.

Needs tensorflow-cpu 2.21.0, which the test environment does not have. The networks have a few dozen weights, at random.
"""

from importlib import import_module
from pathlib import Path

tf = import_module("tensorflow")
np = import_module("numpy")
FOLDER = Path(__file__).parent / "tflite"
LAYERS = tf.keras.layers
LITE = tf.lite


def quantise(converter):
    converter.optimizations = [LITE.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([np.random.rand(1, 8).astype("f4")] for _ in range(8))
    converter.target_spec.supported_ops = [LITE.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8


class Inverse(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([2, 2], tf.float32)])
    def call(self, x):
        return tf.linalg.inv(x)


def models():
    small = [LAYERS.Dense(16, activation="relu"), LAYERS.Dense(3, activation="softmax")]
    dense = LITE.TFLiteConverter.from_keras_model(tf.keras.Sequential([tf.keras.Input((8,)), *small]))
    quantise(dense)
    convolution = [LAYERS.Conv2D(4, 3, activation="relu"), LAYERS.BatchNormalization(), LAYERS.DepthwiseConv2D(3)]
    rest = [LAYERS.MaxPool2D(), LAYERS.Flatten(), LAYERS.Dense(5)]
    cnn = tf.keras.Sequential([tf.keras.Input((16, 16, 3)), *convolution, *rest])
    inverse = Inverse()
    flex = LITE.TFLiteConverter.from_concrete_functions([inverse.call.get_concrete_function()], inverse)
    flex.target_spec.supported_ops = [LITE.OpsSet.TFLITE_BUILTINS, LITE.OpsSet.SELECT_TF_OPS]
    return {
        "dense_int8": dense,
        "cnn": LITE.TFLiteConverter.from_keras_model(cnn),
        "matrix_inverse_flex": flex,
    }


if __name__ == "__main__":
    for name, converter in models().items():
        (FOLDER / f"{name}.tflite").write_bytes(converter.convert())
