"""A scaler of scikit-learn, as skops writes it."""

from tests.conformance.sample import Sample
from weighbridge.testing.skops import scaler

SAMPLES = (Sample(name="a scaler", path="model.skops", data=scaler()),)
