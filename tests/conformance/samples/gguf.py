"""GGUF files in every version and both byte orders."""

from tests.conformance.sample import Sample
from weighbridge.testing.models import tiny_gguf

SAMPLES = tuple(
    Sample(
        name=f"version {version}, {'big' if is_big else 'little'} endian",
        path="model.gguf",
        data=tiny_gguf(version=version, is_big=is_big),
    )
    for version, is_big in [(3, False), (3, True), (2, False), (1, False)]
)
