"""Writes the skops files of `tests/golden/skops`; needs skops 0.16, scikit-learn 1.9 and scipy, which the tests do not.

Ids of objects and names of members differ from run to run.
"""

from __future__ import annotations

import collections
import functools
import sys
import zipfile
from importlib import import_module
from pathlib import Path
from typing import Any

import scipy.sparse
import skops.io
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import FunctionTransformer
from sklearn.tree import DecisionTreeClassifier

np = import_module("numpy")


def models() -> dict[str, Any]:
    x, y = make_classification(80, 6, random_state=0)
    x = abs(x)
    misc = {
        "a": b"bytes",
        "r": np.random.RandomState(1),
        "g": np.random.default_rng(1),
        "s": slice(1, 2),
        "d": np.dtype("f4"),
        "t": np.float32,
        "set": {1, 2},
        "dd": collections.OrderedDict(a=1),
        "ba": bytearray(b"x"),
        "o": np.array([1, "a", None], dtype=object),
    }
    fitted = (LogisticRegression(), SGDClassifier(), KNeighborsClassifier(), DecisionTreeClassifier())
    return {
        **{type(model).__name__: model.fit(x, y) for model in fitted},
        "sparse": KNeighborsClassifier().fit(scipy.sparse.csr_matrix(x), y),
        "partial": FunctionTransformer(functools.partial(np.clip, a_min=0, a_max=1)),
        "misc": misc,
    }


if __name__ == "__main__":
    for name, model in models().items():
        skops.io.dump(model, Path(sys.argv[1]) / f"{name}.skops", compression=zipfile.ZIP_DEFLATED)
