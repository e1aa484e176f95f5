"""A Keras model as its archive."""

import json

from tests.conformance.sample import Sample
from weighbridge.testing.hdf5 import Dataset, Group, hdf5_bytes
from weighbridge.testing.pickles import Entry, write_zip

CONFIG = {
    "module": "keras",
    "class_name": "Sequential",
    "config": {"name": "s", "layers": [{"module": "keras.layers", "class_name": "Dense", "config": {"units": 1}}]},
    "registered_name": "Sequential",
}
WEIGHTS = hdf5_bytes(Group(members={"w": Dataset(shape=(2,), data=bytes(range(8)))}))

SAMPLES = (
    Sample(
        name="a Dense layer",
        path="model.keras",
        data=write_zip(
            [
                Entry(name="model.weights.h5", data=WEIGHTS),
                Entry(name="metadata.json", data=b'{"keras_version": "3.9.0"}'),
                Entry(name="config.json", data=json.dumps(CONFIG).encode()),
            ]
        ),
    ),
)
