"""Pickles that libraries of machine learning wrote: every class they name is covered, and nothing is said against them."""

from __future__ import annotations

import fractions
import pickle
from pathlib import Path

import numpy as np  # noqa: TID253  # what is tested is what it writes
import pytest

from weighbridge.formats.pickle import FORMAT
from weighbridge.formats.pickling.allowlist import base_allowlist
from weighbridge.testing.readings import examine, passes

REAL = Path(__file__).parent.parent / "golden" / "libraries"


@pytest.mark.parametrize("path", sorted(REAL.glob("*.pkl")), ids=lambda path: path.stem)
def test_what_the_libraries_wrote_passes(path: Path) -> None:
    reading = examine(FORMAT, path.read_bytes(), path.name)
    assert passes(reading), reading and [finding.message for finding in reading.findings]


@pytest.mark.parametrize("protocol", range(2, 6))
@pytest.mark.parametrize(
    "value",
    [
        np.random.RandomState(1),
        np.random.default_rng(1),
        np.random.Generator(np.random.Philox(1)),
        np.random.Generator(np.random.SFC64(1)),
        np.ma.array([1, 2], mask=[0, 1]),
        np.poly1d([1, 2]),
        np.log1p,
        fractions.Fraction(1, 3),
        [..., type(None), type(...), ValueError("x", 1)],
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_numpy_and_python_write_passes(value: object, protocol: int) -> None:
    assert passes(examine(FORMAT, pickle.dumps(value, protocol), "x.pkl"))


def test_policies_of_packages_are_read_when_first_asked_for() -> None:
    assert base_allowlist().find("sklearn.svm._classes", "SVC") is not None
    assert base_allowlist().find("sklearn.svm._classes", "Elsewhere") is None
    assert base_allowlist().find("sklearn", "svm") is None
    assert len(base_allowlist()) == len(base_allowlist().entries()) > 1400
