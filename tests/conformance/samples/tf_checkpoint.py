"""Indexes of TensorFlow checkpoints: one block, several, none but the header."""

from tests.conformance.sample import Sample
from weighbridge.testing.graphs import IndexedTensor, bundle_entries, checkpoint_index

LAYERS = [
    IndexedTensor(name=f"layer-{n}/kernel/.ATTRIBUTES/VARIABLE_VALUE", shape=(2, 3), offset=24 * n) for n in range(20)
]
ENTRIES = bundle_entries(LAYERS)

SAMPLES = (
    Sample(name="block", path="variables.index", data=checkpoint_index(ENTRIES[:4])),
    Sample(name="blocks", path="model.ckpt.index", data=checkpoint_index(ENTRIES[:3], ENTRIES[3:])),
    Sample(name="empty", path="variables.index", data=checkpoint_index(bundle_entries([]))),
)
