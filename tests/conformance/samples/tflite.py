"""A model that adds four numbers."""

from tests.conformance.sample import Sample
from weighbridge.testing.tflite import flatbuffer, model

SAMPLES = (Sample(name="an addition", path="model.tflite", data=flatbuffer(model())),)
