"""Differential fuzzing against real loaders: never clean for a file whose loading fires a canary.

    .venv/bin/python -P bench/fuzz_loaders.py --python PATH [--seconds 900] [--seed 0] [--no-save]

`--python` is the interpreter of an environment with torch, joblib, keras, pandas, onnx and skops. It makes live attack files and
honest ones (pickle protocols 0 to 5, torch zip, legacy and TorchScript, joblib plain and compressed, npy, npz, Keras v3 and H5,
ONNX, skops, safetensors), here they are bent by `weighbridge.testing.mutations`, examined as the jailed child does, and loaded
there by every loader that takes such files. A canary has fired where the empty folder in which the loader runs is not empty
afterwards, or a process, a socket, or `os.system` was asked for (an audit hook notes and refuses those).

The jail of weighbridge itself allows neither threads nor the imports that these loaders make lazily, so a loader runs in a fork of
one process that has everything imported: in namespaces of its own for users and network (where the kernel gives them: the first
line says), without new privileges, with limits on processor time, address space and written bytes, in a folder that is emptied.
TensorFlow is not imported (keras runs on torch), so SavedModels are left to `fuzz.py`. What only fires later, when a loaded model
is called, is not seen.

Prints inputs, loads that succeeded, canaries fired and how the files that fired them were judged. Exits 1 where one of them was
clean or a reader raised; such files are written to `tests/fuzz/finds/loaders/`.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != Path(__file__).parent]

import argparse
import contextlib
import ctypes
import gc
import hashlib
import io
import json
import os
import resource
import shutil
import signal
import subprocess
import tempfile
import time
import warnings
from collections import Counter
from random import Random
from typing import Any

FINDS = ROOT / "tests" / "fuzz" / "finds" / "loaders"
CPU_S, WALL_S, MEMORY_BYTES, WRITTEN_BYTES = 5, 10, 16 << 30, 1 << 20
_NEW_SPACES = 0x10000000 | 0x40000000
_NO_NEW_PRIVS = 38
_WATCHED = (
    "os.system",
    "subprocess.Popen",
    "os.exec",
    "os.posix_spawn",
    "os.fork",
    "socket.connect",
    "os.kill",
)
_PATHS = {
    "pickle": "state.pkl", "torch": "pytorch_model.bin", "script": "model.pt", "joblib": "model.joblib", "packed": "model.joblib.gz",
    "npy": "weights.npy", "npz": "weights.npz", "keras": "model.keras", "h5": "model.h5", "onnx": "model.onnx",
    "skops": "model.skops", "safetensors": "model.safetensors",
}  # fmt: skip


class Live:
    """An object whose loading makes a folder, in one of several ways."""

    def __init__(self, way: int = 0) -> None:
        self.way = way

    def __reduce__(self) -> Any:
        by_code = "__import__('os').mkdir('canary')"
        ways = [
            (os.mkdir, ("canary",)),
            (exec, (by_code,)),
            (eval, (by_code,)),
            (io.open, ("canary", "w")),
            (os.makedirs, ("canary/a",)),
        ]
        return ways[self.way % len(ways)]


def make_seeds(folder: Path) -> None:
    """Live and honest files by the libraries themselves, as `FAMILY.NUMBER`."""
    import pickle

    import h5py
    import joblib
    import keras
    import numpy as np
    import onnx
    import safetensors.torch
    import skops.io
    import torch
    from sklearn.linear_model import LogisticRegression

    made: Counter[str] = Counter()

    def place(family: str) -> str:
        made[family] += 1
        return str(folder / f"{family}.{made[family]}")

    def put(family: str, data: bytes) -> None:
        Path(place(family)).write_bytes(data)

    model = LogisticRegression().fit(np.arange(8.0).reshape(4, 2), [0, 0, 1, 1])
    tensors = {"w": torch.arange(6.0).reshape(2, 3), "b": torch.zeros(3)}
    for protocol in range(6):
        for value in (
            {"a": [1, (2.5, b"x")]},
            {"a": 1, "b": Live(protocol)},
            [Live(0), Live(1)],
            model,
            {"m": model, "x": Live(protocol + 1)},
        ):
            put("pickle", pickle.dumps(value, protocol))
    for value in (tensors, {**tensors, "x": Live(0)}, {**tensors, "x": Live(1)}, Live(2), torch.nn.Linear(2, 2)):
        for is_zip in (True, False):
            torch.save(value, place("torch"), _use_new_zipfile_serialization=is_zip)
    with contextlib.suppress(Exception):
        torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)), place("script"))
    for value in (model, [np.arange(4.0), Live(0)], {"a": Live(1)}, [np.arange(3), {"b": 1}]):
        joblib.dump(value, place("joblib"))
        for way in ("zlib", "gzip", "bz2", "lzma", "xz"):
            joblib.dump(value, place("packed"), compress=(way, 3))
    for array in (
        np.arange(6.0),
        np.array([{"a": 1}], dtype=object),
        np.array([Live(0)], dtype=object),
        np.array([Live(1), 2], dtype=object),
    ):
        with io.BytesIO() as file:
            np.save(file, array, allow_pickle=True)
            put("npy", file.getvalue())
        with io.BytesIO() as file:
            np.savez(file, a=array, b=np.zeros(2))
            put("npz", file.getvalue())
    plain = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    for suffix in ("keras", "h5"):
        with tempfile.TemporaryDirectory() as name:
            plain.save(f"{name}/m.{suffix}")
            put(suffix, Path(f"{name}/m.{suffix}").read_bytes())
    with contextlib.suppress(Exception), tempfile.TemporaryDirectory() as name:
        lambdas = keras.Sequential([keras.layers.Lambda(lambda x: x)])
        config = json.dumps(json.loads(lambdas.to_json()))
        shutil.copy(folder / "h5.1", f"{name}/m.h5")
        with h5py.File(f"{name}/m.h5", "a") as file:
            file.attrs["model_config"] = config
        put("h5", Path(f"{name}/m.h5").read_bytes())
    graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["x"], ["y"])], "g", [onnx.helper.make_tensor_value_info("x", 1, [2])], [onnx.helper.make_tensor_value_info("y", 1, [2])])  # fmt: skip
    put("onnx", onnx.helper.make_model(graph).SerializeToString())
    skops.io.dump(model, place("skops"))
    put("safetensors", safetensors.torch.save(tensors))


def loaders() -> dict[str, list[tuple[str, Any]]]:
    """By family, what opens such a file."""
    import pickle

    import joblib
    import keras
    import numpy as np
    import onnx
    import pandas as pd
    import safetensors.torch
    import skops.io
    import torch

    def unpickled(path: str) -> Any:
        with open(path, "rb") as file:
            return pickle.load(file)

    def array(path: str) -> Any:
        found = np.load(path, allow_pickle=True)
        return [found[name] for name in found.files] if hasattr(found, "files") else found

    def named(suffix: str, load: Any) -> Any:
        def under_its_name(path: str) -> Any:
            with tempfile.TemporaryDirectory(dir=os.path.dirname(path)) as folder:
                shutil.copy(path, f"{folder}/m{suffix}")
                return load(f"{folder}/m{suffix}")

        return under_its_name

    pickles = [
        ("pickle.load", unpickled),
        ("pandas.read_pickle", pd.read_pickle),
        ("joblib.load", joblib.load),
        ("numpy.load", array),
    ]
    torches = [
        ("torch.load", lambda path: torch.load(path, weights_only=False)),
        ("torch.load weights_only", lambda path: torch.load(path, weights_only=True)),
    ]
    scripts = [("torch.jit.load", torch.jit.load)]

    def keras_of(suffix: str) -> list[tuple[str, Any]]:
        return [
            (
                f"keras {'safe' if is_safe else 'unsafe'}",
                named(
                    suffix,
                    lambda path, is_safe=is_safe: keras.models.load_model(path, safe_mode=is_safe, compile=False),
                ),
            )
            for is_safe in (True, False)
        ]

    return {
        "pickle": [*pickles, *torches], "torch": [*torches, *pickles[:1], *scripts], "script": [*scripts, *torches],
        "joblib": [*pickles[2:3], *pickles[:1]], "packed": [*pickles[2:3], ("pandas.read_pickle", lambda path: pd.read_pickle(path, compression="gzip"))],
        "npy": pickles[3:], "npz": pickles[3:], "keras": keras_of(".keras"), "h5": keras_of(".h5"),
        "onnx": [("onnx.load", onnx.load)], "skops": [("skops.io.load", skops.io.load)],
        "safetensors": [("safetensors", safetensors.torch.load_file)],
    }  # fmt: skip


def serve(folder: Path) -> None:
    """The side of the loaders: a line `FAMILY PATH` in, a line of JSON out; one fork for each."""
    libc = ctypes.CDLL(None)
    alone = libc.unshare(_NEW_SPACES) == 0
    libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0)
    warnings.simplefilter("ignore")
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(1, 2)
    known = loaders()
    make_seeds(folder)
    for family, each in known.items():  # the honest first one of each, for what a loader imports when it is first used
        for _, load in each:
            with contextlib.suppress(Exception):
                load(str(folder / f"{family}.1"))
    gc.collect()
    gc.freeze()
    gc.disable()
    print(
        json.dumps({"alone": alone, "loaders": sorted({name for each in known.values() for name, _ in each})}),
        file=answers,
        flush=True,
    )
    for line in sys.stdin:
        family, path = line.split()
        print(forked(known[family], path), file=answers, flush=True)


def forked(each: list[tuple[str, Any]], path: str) -> str:
    receiver, sender = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(receiver)
        try_all(each, path, sender)
    os.close(sender)
    with os.fdopen(receiver) as pipe:
        lines = [json.loads(line) for line in pipe.read().splitlines() if line.endswith("}")]
    os.waitpid(pid, 0)
    loaded = [line["loaded"] for line in lines if "loaded" in line]
    fired = {line["fired"]: line["why"] for line in lines if "fired" in line}
    return json.dumps({"loaded": loaded, "fired": fired})


def try_all(each: list[tuple[str, Any]], path: str, sender: int) -> None:
    """Load with one after the other in an empty folder; does not return."""
    name = ""
    scratch = tempfile.mkdtemp()
    os.chdir(scratch)

    def tell(word: str, why: str = "") -> None:
        os.write(sender, json.dumps({word: name, "why": why}).encode() + b"\n")

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if event.startswith(_WATCHED):
            tell("fired", f"{event}{arguments}"[:200])
            raise PermissionError(event)

    signal.alarm(WALL_S)
    sys.addaudithook(watch)
    for kind, most in (
        (resource.RLIMIT_CPU, CPU_S),
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_FSIZE, WRITTEN_BYTES),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (most, most))
    for loader, load in each:
        name = loader  # for what tells
        try:
            load(path)
            tell("loaded")
        except BaseException:  # a loader may raise anything at a bent file
            pass
        if found := os.listdir("."):
            tell("fired", str(found)[:200])
            for entry in found:
                shutil.rmtree(entry, ignore_errors=True)
                Path(entry).unlink(missing_ok=True) if os.path.lexists(entry) else None
    shutil.rmtree(scratch, ignore_errors=True)
    os._exit(0)


def judge(data: bytes, path: str) -> str:
    """What weighbridge says: blocked, not clean, CLEAN, or what it raised."""
    from weighbridge.inspection.examine import encode_examined, examine_source
    from weighbridge.inspection.examined import read_examined
    from weighbridge.testing.fuzzing import built_in_formats, is_blocked, is_clean
    from weighbridge.testing.models import source_of

    try:
        with source_of(data, path) as source:
            answer = encode_examined(examine_source(source, built_in_formats()), source)
        said = read_examined(answer, path=path, size_bytes=len(data))
    except Exception as problem:
        return f"raised {type(problem).__name__}: {problem}"
    return "blocked" if is_blocked(said) else "CLEAN" if is_clean(said) else "not clean"


def fuzz(worker: subprocess.Popen[str], folder: Path, options: argparse.Namespace) -> int:
    from weighbridge.testing.mutations import mutate

    assert worker.stdin
    assert worker.stdout
    ready = json.loads(worker.stdout.readline())
    print(
        f"loaders {', '.join(ready['loaders'])}; namespaces of their own: {'yes' if ready['alone'] else 'no'}",
        flush=True,
    )
    seeds = {family: [p.read_bytes() for p in sorted(folder.glob(f"{family}.*"))] for family in _PATHS}
    seeds = {family: [data for data in listed if len(data) < 1 << 16] for family, listed in seeds.items()}
    rng, inputs, loads, fired, judged = (
        Random(options.seed),
        Counter[str](),
        Counter[str](),
        Counter[str](),
        Counter[str](),
    )
    finds: list[str] = []
    waiting = [(family, data) for family, listed in seeds.items() for data in listed]  # as they are, first
    families = [
        family
        for family, listed in seeds.items()
        for _ in range(4 if family in ("pickle", "torch", "joblib") else 2)
        if listed
    ]
    end, said = time.monotonic() + options.seconds, time.monotonic()
    file = folder / "input"
    while time.monotonic() < end:
        family, data = waiting.pop() if waiting else (rng.choice(families), b"")
        data = data or mutate(rng.choice(seeds[family]), rng, seeds[family])
        file.write_bytes(data)
        worker.stdin.write(f"{family} {file}\n")
        worker.stdin.flush()
        verdict = judge(data, _PATHS[family])
        answer = json.loads(worker.stdout.readline())
        inputs[family] += 1
        loads.update(answer["loaded"])
        fired.update(answer["fired"].keys())
        judged[verdict if answer["fired"] else "quiet"] += 1
        if verdict.startswith("raised") or (answer["fired"] and verdict == "CLEAN"):
            digest = hashlib.sha256(data).hexdigest()[:16]
            finds.append(f"{family} {digest}: {verdict}, fired {answer['fired']}")
            if not options.no_save:
                FINDS.mkdir(parents=True, exist_ok=True)
                (FINDS / f"{digest}.{_PATHS[family]}").write_bytes(data)
        if time.monotonic() > said + 60:
            said = time.monotonic()
            report(inputs, loads, fired, judged, finds)
    report(inputs, loads, fired, judged, finds)
    return 1 if finds else 0


def report(
    inputs: Counter[str], loads: Counter[str], fired: Counter[str], judged: Counter[str], finds: list[str]
) -> None:
    print(
        f"\ninputs {inputs.total():,} ({', '.join(f'{family} {count:,}' for family, count in sorted(inputs.items()))})"
    )
    print(
        f"loads that succeeded {loads.total():,}; canaries fired {fired.total():,} by {inputs.total() - judged['quiet']:,} inputs"
    )
    for name in sorted({*loads, *fired}):
        print(f"  {name:26}{loads[name]:9,} loaded{fired[name]:9,} fired")
    raised = sum(count for word, count in judged.items() if word.startswith("raised"))
    print(
        f"of those that fired: blocked {judged['blocked']:,}, not clean {judged['not clean']:,}, CLEAN {judged['CLEAN']:,}; exceptions {raised}"
    )
    print(*finds, sep="\n", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", help="the interpreter of an environment with the loaders")
    parser.add_argument("--seconds", type=int, default=900)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-save", action="store_true", help="do not write what is found to tests/fuzz/finds")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve)
        return 0
    if not options.python:
        parser.error("--python PATH is needed: an environment with torch, joblib, keras, pandas, onnx and skops")
    single = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    with tempfile.TemporaryDirectory() as name:
        environment = {
            "PATH": os.defpath,
            "HOME": name,
            "TMPDIR": name,
            "KERAS_BACKEND": "torch",
            "CUDA_VISIBLE_DEVICES": "",
            **single,
        }
        command = [options.python, "-P", __file__, "--serve", name]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=name
        ) as worker:
            try:
                return fuzz(worker, Path(name), options)
            finally:
                worker.kill()


if __name__ == "__main__":
    sys.exit(main())
