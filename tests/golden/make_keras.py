"""Make the models in `tests/golden/keras` with Keras and h5py themselves: `python tests/golden/make_keras.py`.

Needs keras 3.15.1, torch 2.14.1 (the CPU build) and h5py 3.14.0, which the test environment does not have. The files hold networks
of a few dozen weights from a fixed seed.
"""

import os
import sys
from importlib import import_module
from pathlib import Path

os.environ["KERAS_BACKEND"] = "torch"
keras = import_module("keras")
h5py = import_module("h5py")
np = import_module("numpy")
FOLDER = Path(__file__).parent / "keras"


def trained():
    layers = keras.layers
    keras.utils.set_random_seed(7)
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3, activation="relu"), layers.BatchNormalization()])
    model.compile("sgd", "mse", metrics=["mae"])
    return model


def functional():
    layers = keras.layers
    first, second = keras.Input((4,)), keras.Input((2,))
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(2, kernel_initializer="he_normal")], name="inner")
    joined = layers.Concatenate()([inner(first), second])
    model = keras.Model([first, second], layers.Dense(1, activation=keras.activations.gelu)(joined * 2))
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.9)
    model.compile(keras.optimizers.Adam(schedule), keras.losses.Huber(), metrics=[keras.metrics.MeanAbsoluteError()])
    return model


def data(path, **options):
    """Every kind of storage that HDF5 has, as far as the version that `options` ask for."""
    with h5py.File(path, "w", **options) as file:
        numbers = np.arange(240, dtype="f4").reshape(12, 20)
        file["plain/inner"] = numbers
        file.create_dataset("packed", data=numbers, chunks=(5, 6), compression="gzip", shuffle=True, fletcher32=True)
        file.create_dataset("lzf", data=numbers, chunks=(6, 10), compression="lzf")
        file.create_dataset("one", data=numbers, chunks=(12, 20), compression="gzip")
        file.create_dataset("growing", data=np.arange(90.0), chunks=(4,), maxshape=(None,))
        file.create_dataset("growing_packed", data=np.arange(20.0), chunks=(4,), maxshape=(None,), compression="gzip")
        file.create_dataset("wide", data=numbers, chunks=(5, 5), maxshape=(None, None))
        file.create_dataset("never", shape=(5, 3), dtype="f8")
        file["text"], file["texts"] = "héllo", ["a", "bb"]
        file["scalar"], file["empty"] = 3.5, h5py.Empty("f4")
        file["bool"], file["complex"] = np.array([True, False]), np.array([1j])
        file["big"], file["record"] = np.arange(3, dtype=">i2"), np.zeros(2, dtype=[("x", "f4"), ("y", "i2", (2,))])
        file["type"] = np.dtype("f8")
        file.create_dataset("typed", (3,), dtype=file["type"])
        file["soft"], file["hard"] = h5py.SoftLink("/plain/inner"), file["plain"]
        for number in range(12):
            file.attrs[f"note {number}"] = "v" * number
            file.create_group(f"many/{number}", track_order=True).attrs["n"] = [number]


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    trained().save(FOLDER / "sequential.keras")
    trained().save(FOLDER / "sequential.h5")
    trained().save_weights(FOLDER / "sequential.weights.h5")
    functional().save(FOLDER / "functional.keras")
    data(FOLDER / "oldest.h5", libver="earliest")
    data(FOLDER / "latest.h5", libver="latest", userblock_size=512)
    sys.stdout.write(f"keras {keras.__version__}: {len(list(FOLDER.iterdir()))} files\n")


if __name__ == "__main__":
    main()
