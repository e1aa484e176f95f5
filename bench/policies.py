"""Lists the classes of installed packages that a pickle makes without running anything: run it in an environment that has them.

    python -P bench/policies.py scikit-learn sklearn > src/weighbridge/formats/pickling/data/…

A class is listed where making it by `object.__new__` and filling its `__dict__` is all that loading does: it has no `__new__`, no
`__reduce__` and no `__setstate__` of its own but scikit-learn's, which compares versions and fills `__dict__`, and is no container.
All others are printed to stderr with what they define, to be read by a person and written into the policy by hand.
"""

import importlib
import inspect
import pkgutil
import sys
import warnings
from importlib.metadata import version

SKIPPED = (
    "tests",
    "conftest",
    "_build_utils",
    "externals",
    "setup",
    "testing",
    "__main__",
    "spark",
    "dask",
    "plotting",
)

REVIEWED = {
    ("sklearn.base", "BaseEstimator"),
    ("sklearn.isotonic", "IsotonicRegression"),
    ("sklearn.ensemble._hist_gradient_boosting.predictor", "TreePredictor"),
    ("xgboost.core", "Booster"),
    ("lightgbm.basic", "Booster"),
    ("catboost.core", "CatBoost"),
}
"""Classes whose `__setstate__` was read: versions are compared, `__dict__` is filled, opaque bytes go to the library's own parser."""
FILLING = (
    "torch.nn.modules.activation",
    "torch.nn.modules.conv",
    "torch.nn.modules.module",
    "torch.nn.modules.pooling",
    "torch.nn.modules.rnn",
    "torch.nn.modules.transformer",
    "torch.nn.modules.upsampling",
    "torch.optim.",
)
"""Modules of torch whose `__setstate__` adds what older versions did not write."""
UNREVIEWED = {("torch.nn.modules.module", "_WrappedHook")}


def modules_of(package):
    root = importlib.import_module(package)
    yield package, root
    for info in pkgutil.walk_packages(root.__path__, package + ".", onerror=lambda _: None):
        if set(info.name.split(".")) & set(SKIPPED):
            continue
        try:
            yield info.name, importlib.import_module(info.name)
        except BaseException:
            continue


def special(cls):
    """What loading an instance would run, or an empty text."""
    found = []
    if cls.__new__ is not object.__new__:
        found.append("__new__")
    if cls.__reduce__ is not object.__reduce__ or cls.__reduce_ex__ is not object.__reduce_ex__:
        found.append("__reduce__")
    setter = next((base for base in cls.__mro__ if "__setstate__" in vars(base)), None)
    is_reviewed = (
        setter is None or (setter.__module__, setter.__name__) in REVIEWED or setter.__module__.startswith(FILLING)
    )
    if not is_reviewed:
        found.append(f"__setstate__ of {setter.__name__}")
    if issubclass(cls, dict | list | tuple | set | str | int | float | type | BaseException):
        found.append("a built-in")
    if hasattr(cls, "__del__") and (cls.__module__, cls.__name__) not in REVIEWED:
        found.append("__del__")
    if cls.__dictoffset__ == 0:
        found.append("no __dict__")
    assigner = next(base for base in cls.__mro__ if "__setattr__" in vars(base))
    if assigner is not object and assigner.__module__ != "torch.nn.modules.module":
        found.append("__setattr__")
    return ", ".join(found)


def main():
    warnings.filterwarnings("ignore")
    distribution, *packages = sys.argv[1:]
    listed, seen = {}, set()  # by module
    for package in packages:
        for name, module in modules_of(package):
            for key, cls in vars(module).items():
                if not inspect.isclass(cls) or cls.__module__ != name or cls.__qualname__ != key or cls in seen:
                    continue
                seen.add(cls)
                if (name, key) in UNREVIEWED:
                    continue
                if reason := special(cls):
                    print(f"{name}.{key}: {reason}", file=sys.stderr)
                else:
                    listed.setdefault(name, []).append(key)
    print(
        f"# Written by bench/policies.py from {distribution} {version(distribution)}: classes whose instances are made without running anything."
    )
    print(f'name = "{distribution}"\nversion = 1')
    print('[[allow]]\nkind = "class"\nbuild = "object"')
    print(
        f'source = "{distribution} {version(distribution)}: no __new__, no __reduce__, no __setstate__ that runs anything"'
    )
    print("[allow.modules]")
    for name, keys in sorted(listed.items()):
        print(f'"{name}" = [{", ".join(f"{chr(34)}{key}{chr(34)}" for key in sorted(keys))}]')
        public = ".".join(
            part if not part.startswith("_") or part.startswith("__") else part[1:] for part in name.split(".")
        )
        if packages == ["sklearn"] and public != name and public not in listed:
            print(f'"{public}" = [{", ".join(f"{chr(34)}{key}{chr(34)}" for key in sorted(keys))}]')
    functions_of(packages)


def functions_of(packages):
    """Functions of scikit-learn that estimators hold: metrics, scores, kernels. Holding one is inert; none of them touches a file."""
    if packages != ["sklearn"]:
        return
    rooms = (
        "cluster",
        "decomposition",
        "feature_extraction",
        "feature_selection",
        "linear_model",
        "manifold",
        "metrics",
        "neighbors",
        "preprocessing",
    )
    listed = {}
    for room in rooms:
        for name, module in modules_of(f"sklearn.{room}"):
            keys = [
                k
                for k, f in vars(module).items()
                if (inspect.isfunction(f) or inspect.isbuiltin(f)) and f.__module__ == name and f.__name__ == k
            ]
            if keys and ".image" not in name:
                listed[name] = keys
    print(
        '[[allow]]\nkind = "value"\nsource = "functions that estimators hold; holding one calls nothing"\n[allow.modules]'
    )
    for name, keys in sorted(listed.items()):
        print(f'"{name}" = [{", ".join(f"{chr(34)}{key}{chr(34)}" for key in sorted(keys))}]')


if __name__ == "__main__":
    main()
