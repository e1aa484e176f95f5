"""A folder of two texts."""

from tests.conformance.sample import Sample
from weighbridge.testing.sevenzip import seven_zip

SAMPLES = (
    Sample(
        name="two texts", path="model.7z", data=seven_zip({"config.json": b'{"a": 1}', "README.md": b"# a model\n"})
    ),
)
