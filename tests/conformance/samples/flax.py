"""A dense layer, as flax writes it."""

from tests.conformance.sample import Sample
from weighbridge.testing.msgpack import checkpoint

SAMPLES = (Sample(name="a dense layer", path="flax_model.msgpack", data=checkpoint()),)
