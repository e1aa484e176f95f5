"""Make the pickles in `tests/golden/libraries` with the libraries themselves: `python tests/golden/make_libraries.py`.

Needs scikit-learn 1.9, scipy 1.17, pandas 3.1, xgboost 3.2 and lightgbm 4.7, which the test environment does not have.
"""

import pickle
from importlib import import_module
from pathlib import Path

np, pd, sparse, stats, lgb, xgb = map(
    import_module, ("numpy", "pandas", "scipy.sparse", "scipy.stats", "lightgbm", "xgboost")
)
ensemble, linear, neighbors, search, pipeline, preprocessing = (
    import_module(f"sklearn.{name}")
    for name in ("ensemble", "linear_model", "neighbors", "model_selection", "pipeline", "preprocessing")
)
FOLDER = Path(__file__).parent / "libraries"


def made():
    chance = np.random.RandomState(7)
    x = chance.randn(12, 2)
    y = (x[:, 0] > 0).astype(int)
    steps = (preprocessing.FunctionTransformer(np.log1p), preprocessing.StandardScaler(), linear.LogisticRegression())
    frame = pd.DataFrame(
        {"a": [1, 2], "b": ["x", None], "c": pd.Categorical(["u", "v"]), "d": pd.array([1, None], "Int64")}
    )
    yield "pipeline", pipeline.make_pipeline(*steps).fit(np.abs(x), y)
    yield "forest", ensemble.RandomForestClassifier(n_estimators=1, max_depth=2).fit(x, y)
    yield (
        "histogram",
        ensemble.HistGradientBoostingClassifier(max_iter=1, categorical_features=[0]).fit(np.abs(np.round(x)), y),
    )
    yield "neighbours", neighbors.KNeighborsClassifier(algorithm="kd_tree").fit(x, y)
    grid = {"C": stats.uniform(0.1, 2)}
    yield (
        "search",
        search.RandomizedSearchCV(linear.LogisticRegression(), grid, n_iter=2, cv=2, random_state=1).fit(x, y),
    )
    yield "frame", frame.set_index(pd.date_range("2020", freq="D", periods=2, tz="Europe/Paris"))
    yield "sparse", sparse.csr_matrix(np.eye(3))
    yield "xgboost", xgb.XGBClassifier(n_estimators=1, max_depth=1).fit(x, y)
    yield "lightgbm", lgb.LGBMClassifier(n_estimators=1, verbose=-1).fit(x, y)
    yield "generators", [np.random.default_rng(1), np.random.Generator(np.random.Philox(1)), np.random.SeedSequence(1)]
    yield "arrays", [np.ma.array([1.0, 2.0], mask=[0, 1]), np.rec.array([(1, 2.0)], dtype=[("a", int), ("b", float)])]


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for number, (name, value) in enumerate(made()):
        (FOLDER / f"{name}.pkl").write_bytes(pickle.dumps(value, protocol=2 + number % 4))
