"""Write `keras_names.toml` of the readers from Keras itself: `python tests/golden/make_keras_names.py > keras_names.toml`.

Needs keras 3.15.1 and torch 2.14.1 (the CPU build), which the test environment does not have.
"""

import inspect
import os
import pkgutil
import sys
import types
from importlib import import_module

os.environ["KERAS_BACKEND"] = "torch"
keras = import_module("keras")
PACKAGES = ("keras.src.ops", "keras.src.backend.torch.optimizers")
REFUSED = {"TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer", "Lambda"}
CLASSES_OF = [
    "layers",
    "models",
    "initializers",
    "regularizers",
    "constraints",
    "optimizers",
    "optimizers.schedules",
    "losses",
    "metrics",
    "dtype_policies",
    "quantizers",
    "random",
]
FUNCTIONS_OF = ("activations", "constraints", "initializers", "losses", "metrics", "regularizers")
BEFORE = {
    "Functional": ["models", "src.models.functional", "src.engine.functional", "engine.functional"],
    "Sequential": ["src.engine.sequential", "engine.sequential"],
    "Model": ["src.engine.training", "engine.training"],
}
"""Modules of Keras 2.13."""

HEAD = """\
# What Keras itself builds from a model's configuration: every class with a `from_config`, and the functions of activations,
# losses and metrics, each with the modules that a configuration may name it by, behind `keras.` or one of `roots`.
# Sources: the public modules and keras/src/ops of Keras 3.15.1 (`tests/golden/make_keras_names.py` writes these two tables);
# keras/engine for the modules of Keras 2 (2.13). Classes that load code or files by their nature are not among them.
"""


def add(table, name, *modules):
    row = table.setdefault(name, [])
    row += [module for module in dict.fromkeys(modules) if module not in row]


def own(item):
    return item.__module__.removeprefix("keras.")


def classes():
    table = {}
    for section in ("", *CLASSES_OF):
        space = vars(import_module(f"keras.{section}".rstrip(".")))
        for name, item in sorted(space.items()):
            is_own = inspect.isclass(item) and item.__module__.startswith("keras.") and hasattr(item, "from_config")
            if is_own and not name.startswith("_") and name not in REFUSED:
                add(table, name, section, own(item))
    operation = import_module("keras.src.ops.operation").Operation
    for package in PACKAGES:
        for found in pkgutil.iter_modules(import_module(package).__path__):
            if found.name.endswith("_test"):
                continue
            module = import_module(f"{package}.{found.name}")
            for name, item in sorted(vars(module).items()):
                is_own = inspect.isclass(item) and item.__module__ == module.__name__ and item is not operation
                if is_own and (issubclass(item, operation) or hasattr(item, "from_config")):
                    add(table, name, own(item))
    for name, modules in BEFORE.items():
        add(table, name, *modules)
    return table


def functions():
    table = {}
    for section in FUNCTIONS_OF:
        for name, item in sorted(vars(import_module(f"keras.{section}")).items()):
            if isinstance(item, types.FunctionType) and name not in ("get", "serialize", "deserialize"):
                add(table, name, section, own(item))
    return table


def rows(table):
    for name in sorted(table):
        modules = ", ".join(f'"{module}"' for module in table[name])
        yield f"{name} = [{modules}]"


def main() -> None:
    lines = [HEAD.rstrip(), "[classes]", *rows(classes()), "", "[functions]", *rows(functions())]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
