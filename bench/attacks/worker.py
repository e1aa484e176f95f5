"""Loads cases with their real loaders, each in a child of its own. Only to be started by prove.py, inside its sandbox.

Reads lines `id TAB loader TAB folder TAB entry`; prints `id TAB fired TAB what the loader said`. The canary fires when a file
appears at the canary's place, when an address is asked for, or when a file outside the case that the case names is opened.
"""

from __future__ import annotations

import glob
import os
import resource
import shutil
import signal
import sys
import time
import warnings

CANARY = os.environ["CANARY"]
DECOYS = ("/etc/passwd", "/etc/hosts")


def load(loader: str, path: str) -> object:
    """The object that the named loader makes of a file."""
    match loader:
        case "pickle":
            import pickle

            with open(path, "rb") as file:
                return pickle.load(file)
        case "streams" | "streams-seek":
            import pickle

            found = []
            with open(path, "rb") as file:
                while True:
                    while loader == "streams-seek" and file.peek(1)[:1] == b"\0":
                        file.read(1)
                    found.append(pickle.load(file))
        case "torch":
            import torch

            return torch.load(path, weights_only=False, map_location="cpu")
        case "torchscript":
            import torch

            return torch.jit.load(path)()
        case "joblib":
            import joblib

            return joblib.load(path)
        case "pandas":
            import pandas

            return pandas.read_pickle(path)
        case "numpy":
            import numpy

            loaded = numpy.load(path, allow_pickle=True)
            return [loaded[name] for name in loaded.files] if hasattr(loaded, "files") else loaded
        case "keras":
            import keras
            import numpy

            model = keras.saving.load_model(path, safe_mode=False, compile=False)
            return model(numpy.zeros((1, 4), "float32"))
        case "keras-safe":
            import keras

            return keras.saving.load_model(path, compile=False)
        case "tensorflow":
            import tensorflow

            signature = tensorflow.saved_model.load(path).signatures["serve"]
            return signature(tensorflow.constant([1.0]))
        case "jinja":
            return render(path)
        case "unpack":
            shutil.unpack_archive(path, os.environ["UNPACK"], "zip" if open(path, "rb").read(2) == b"PK" else "tar")
            return None
        case "yaml":
            import yaml

            with open(path, encoding="utf-8") as file:
                return yaml.unsafe_load(file)
        case "hydra":
            import hydra
            import yaml

            with open(path, encoding="utf-8") as file:
                return hydra.utils.instantiate(yaml.safe_load(file))
        case "python":
            import runpy

            return runpy.run_path(path)
        case "onnx":
            import onnx

            return onnx.load(path)
        case "onnxruntime":
            import onnxruntime

            return onnxruntime.InferenceSession(path)
        case "xml":
            from lxml import etree

            return etree.parse(path)
    raise ValueError(loader)


def render(path: str) -> str:
    """As a runtime without a sandbox renders a chat template."""
    import json

    import jinja2

    text = open(path, encoding="utf-8").read()
    if path.endswith(".json"):
        value = json.loads(text).get("chat_template")
        text = value if isinstance(value, str) else value[-1]["template"]
    messages = [{"role": "user", "content": "the password, please"}]
    return jinja2.Environment().from_string(text).render(messages=messages, bos_token="", eos_token="")


def fire() -> None:
    os.close(os.open(CANARY + "-seen", os.O_CREAT | os.O_WRONLY))


def watch(event: str, arguments: tuple[object, ...]) -> None:
    """Audit hook: addresses and decoys."""
    if event in {"socket.connect", "socket.getaddrinfo", "socket.gethostbyname"}:
        fire()
    elif event == "open" and watch.armed:  # type: ignore[attr-defined]
        path = str(arguments[0])
        if path.endswith(DECOYS) and not path.startswith(CANARY):
            fire()


HEAVY = ("numpy", "joblib", "scipy", "pandas", "sympy", "sklearn", "torch", "torchvision")
"""Libraries that are imported once, before the fork, for the cases whose bytes name them."""
WALL = 60
"""Seconds that one load may last."""
WARM = {
    "torch": ("torch",),
    "torchscript": ("torch",),
    "joblib": ("joblib", "numpy"),
    "numpy": ("numpy",),
    "pandas": ("pandas",),
}


def child(loader: str, folder: str, entry: str, out: int) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (40, 50))
    signal.alarm(WALL)
    os.chdir(folder)
    sys.path.insert(0, folder)
    sys.stdin = open(os.devnull)
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    os.dup2(os.open(os.devnull, os.O_RDWR), 1)
    said = ""
    watch.armed = True  # type: ignore[attr-defined]
    try:
        load(loader, entry)
    except BaseException as problem:
        said = f"{type(problem).__name__}: {problem}".replace("\n", " ")[:160]
    os.write(out, said.encode(errors="replace"))


def needed(row: list[str]) -> tuple[str, ...]:
    """What a case's child would import: once, before the fork, is faster. What few cases need is imported last."""
    _, loader, folder, entry = row
    if loader in WARM or loader != "pickle":
        return WARM.get(loader, ())
    with open(os.path.join(folder, entry), "rb") as file:
        data = file.read(1 << 20)
    return tuple(name for name in HEAVY if name.encode() in data)


def warm(module: str) -> None:
    try:
        __import__(module)
    except ImportError:
        return


def main() -> None:
    warnings.simplefilter("ignore")
    sys.addaudithook(watch)
    watch.armed = False  # type: ignore[attr-defined]
    rows = [line.rstrip("\n").split("\t") for line in sys.stdin]
    for needs, (case, loader, folder, entry) in sorted(
        ((needed(row), row) for row in rows), key=lambda pair: (len(pair[0]), pair[0])
    ):
        for module in needs:
            warm(module)
        for left in glob.glob(CANARY + "*"):
            shutil.rmtree(left, ignore_errors=True) if os.path.isdir(left) and not os.path.islink(left) else os.unlink(
                left
            )
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reading)
            os.setpgrp()
            child(loader, folder, entry, writing)
            import atexit

            atexit._run_exitfuncs()
            os._exit(0)
        os.close(writing)
        said = os.read(reading, 400).decode(errors="replace")
        _, status = os.waitpid(pid, 0)
        if os.WIFSIGNALED(status):
            said = f"ended by signal {os.WTERMSIG(status)}"
        os.close(reading)
        for _ in range(20):
            if glob.glob(CANARY + "*"):
                break
            time.sleep(0.02)
        print(case, int(bool(glob.glob(CANARY + "*"))), said, sep="\t", flush=True)


if __name__ == "__main__":
    main()
