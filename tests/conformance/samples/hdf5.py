"""HDF5 files: of h5py in its oldest and newest format, and a Keras model."""

from pathlib import Path

from tests.conformance.sample import Sample
from weighbridge.testing.hdf5 import Dataset, Group, hdf5_bytes, keras_h5

GOLDEN = Path(__file__).parents[2] / "golden" / "keras"

SAMPLES = (
    Sample(
        name="two datasets",
        path="weights.h5",
        data=hdf5_bytes(
            Group(
                members={
                    "a": Dataset(shape=(2, 2), data=bytes(range(16))),
                    "b": Group(members={"c": Dataset(shape=(3,), data=bytes(12))}, attributes={"x": b"y"}),
                }
            )
        ),
    ),
    Sample(
        name="a Keras model",
        path="model.h5",
        data=keras_h5(
            {
                "class_name": "Sequential",
                "config": {
                    "name": "s",
                    "layers": [{"class_name": "Dense", "config": {"units": 1, "activation": "relu"}}],
                },
            },
            training={"loss": "mse", "optimizer_config": {"class_name": "Adam", "config": {}}},
        ),
    ),
)
