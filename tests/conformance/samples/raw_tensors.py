"""Shards of TensorFlow checkpoints and external data of ONNX: numbers, told by the name."""

import struct

from tests.conformance.sample import Sample

NUMBERS = struct.pack("<8f", *range(1, 9))

SAMPLES = (
    Sample(name="shard", path="variables.data-00000-of-00001", data=NUMBERS, is_whole_only=False),
    Sample(name="external-data", path="model.onnx.data", data=NUMBERS, is_whole_only=False),
)
