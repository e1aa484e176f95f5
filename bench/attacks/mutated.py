"""Mutations: the other families' cases in other opcodes, archives and disguises, and calls that no list of bad names holds.

Not part of the corpus: `python bench/attacks FOLDER --mutations` writes these cases in its place.
"""

from __future__ import annotations

import bz2
import lzma
import pickletools
import random
import struct
import zlib
from _compat_pickle import IMPORT_MAPPING
from collections.abc import Callable, Iterator
from pathlib import Path

from attacks.case import (
    EXPRESSION,
    SHELL,
    STATEMENT,
    Case,
    Raw,
    call,
    called,
    glob,
    long,
    one,
    push,
    stack_glob,
    stream,
    system,
)
from attacks.containers import EVIL, GOOD, legacy, npy, tarred, torch_zip, zipped
from attacks.corpus import all_cases, write_cases
from attacks.polyglot import polyglots, torch_states
from attacks.protocol import protocol_cases, slots
from attacks.rewrite import STYLES, UnwrittenError, rewritten
from attacks.zipcraft import numpy_forms, torch_forms

OS_SYSTEM = glob("os", "system")
OS = call("importlib", "import_module", "os")
NESTED = stream(call("os", "system", SHELL), 2)
BYTES_IO = call("io", "BytesIO", NESTED)
TRUE, FALSE = Raw(b"\x88"), Raw(b"\x89")
PER_FORM = 4
PER_STYLE = 4


def method(module: str, name: str, instance: Raw, *arguments: object) -> Raw:
    """A method taken from its class and called with an instance."""
    return called(stack_glob(module, name), instance, *arguments)


def built(instance: Raw, state: object) -> Raw:
    return Raw(instance + push(state) + b"b")


def evaluators() -> dict[str, Raw]:
    """Library functions that evaluate text."""
    return {
        "numpy-f2py-myeval": call("numpy.f2py.crackfortran", "myeval", EXPRESSION),
        "numpy-measure": call("numpy.testing", "measure", STATEMENT),
        "torch-exec-wrapper": call("torch.jit.unsupported_tensor_ops", "execWrapper", STATEMENT, {}, {}),
        "torch-fx-exec": call("torch.fx.graph_module", "_exec_with_source", STATEMENT, {}),
        "torch-fx-forward": call("torch.fx.graph_module", "_forward_from_src", STATEMENT + "\nforward = 1", {}),
        "sympy-eval-expr": call("sympy.parsing.sympy_parser", "eval_expr", EXPRESSION, {}, {}),
        "attrs-compile": call("attr._make", "_linecache_and_compile", STATEMENT, "x", {}),
        "forward-ref": method(
            "typing",
            "ForwardRef._evaluate",
            call("typing", "ForwardRef", EXPRESSION),
            {},
            {},
            call("builtins", "frozenset"),
        ),
        "sympy-simplify": call("sympy", "simplify", EXPRESSION),
        "sympy-n": call("sympy", "N", EXPRESSION),
        "sympy-lambdify": called(call("sympy", "lambdify", (), EXPRESSION)),
        "torch-benchmark-timer": method(
            "torch.utils.benchmark", "Timer.timeit", call("torch.utils.benchmark", "Timer", STATEMENT), 1
        ),
        "dill-eval-repr": call("dill._dill", "_eval_repr", EXPRESSION),
        "python-api": call("ctypes", "pythonapi.PyRun_SimpleString", STATEMENT.encode()),
        "source-to-code": call("builtins", "exec", call("importlib.abc", "InspectLoader.source_to_code", STATEMENT)),
        "type-hints-of-namespace": call(
            "typing",
            "get_type_hints",
            built(call("argparse", "Namespace"), {"__annotations__": {"weight": EXPRESSION}}),
        ),
        "logging-factory": call(
            "logging.config", "dictConfig", {"version": 1, "filters": {"f": {"()": "os.system", "command": SHELL}}}
        ),
        "hydra-get-method": called(call("hydra.utils", "get_method", "os.system"), SHELL),
        "entry-point-load": called(
            method(
                "importlib.metadata", "EntryPoint.load", call("importlib.metadata", "EntryPoint", "a", "os:system", "g")
            ),
            SHELL,
        ),
        "cloudpickle-subimport": called(
            call("builtins", "getattr", call("cloudpickle.cloudpickle", "subimport", "os"), "system"), SHELL
        ),
        "dataclass-create-fn": call("dataclasses", "_create_fn", "f", [f"x={EXPRESSION}"], ["pass"]),
    }


def callers() -> dict[str, Raw]:
    """Library functions that call what they are given with what they are given."""
    series = call("pandas", "Series", [SHELL])
    task = (OS_SYSTEM, (SHELL,), {})
    return {
        "numpy-frompyfunc": called(call("numpy", "frompyfunc", OS_SYSTEM, 1, 1), SHELL),
        "numpy-vectorize": called(call("numpy", "vectorize", OS_SYSTEM), SHELL),
        "numpy-no-warnings": call("numpy.testing", "assert_no_warnings", OS_SYSTEM, SHELL),
        "numpy-assert-raises": call("numpy.testing", "assert_raises", glob("builtins", "OSError"), OS_SYSTEM, SHELL),
        "scipy-function-wrapper": called(call("scipy._lib._util", "_FunctionWrapper", OS_SYSTEM, ()), SHELL),
        "scipy-map-wrapper": call(
            "builtins", "list", called(call("scipy._lib._util", "MapWrapper"), OS_SYSTEM, [SHELL])
        ),
        "sklearn-func-wrapper": called(
            built(call("sklearn.utils.parallel", "_FuncWrapper", OS_SYSTEM), {"config": {}, "warning_filters": []}),
            SHELL,
        ),
        "sklearn-function-transformer": method(
            "sklearn.preprocessing",
            "FunctionTransformer.transform",
            call("sklearn.preprocessing", "FunctionTransformer", OS_SYSTEM),
            SHELL,
        ),
        "sklearn-transformer-state": method(
            "sklearn.preprocessing",
            "FunctionTransformer.transform",
            built(call("sklearn.preprocessing", "FunctionTransformer"), {"func": OS_SYSTEM}),
            SHELL,
        ),
        "joblib-parallel": called(call("joblib", "Parallel"), [task]),
        "pandas-pipe": call("pandas.core.common", "pipe", SHELL, OS_SYSTEM),
        "pandas-apply-if-callable": call("pandas.core.common", "apply_if_callable", OS_SYSTEM, SHELL),
        "pandas-series-map": method("pandas", "Series.map", series, OS_SYSTEM),
        "pandas-series-apply": method("pandas", "Series.apply", series, OS_SYSTEM),
        "pandas-map-infer": call("pandas._libs.lib", "map_infer", call("numpy", "array", [SHELL], "O"), OS_SYSTEM),
        "torch-tree-map": call("torch.utils._pytree", "tree_map", OS_SYSTEM, SHELL),
        "torch-run-function": call(
            "torch.distributed.rpc.internal",
            "_run_function",
            call("torch.distributed.rpc.internal", "PythonUDF", OS_SYSTEM, (SHELL,), {}),
        ),
        "torch-checkpoint": call("torch.utils.checkpoint", "checkpoint", OS_SYSTEM, SHELL),
        "torch-no-grad": called(called(call("torch", "no_grad"), OS_SYSTEM), SHELL),
        "heapq-key": call("heapq", "nlargest", 1, [SHELL], OS_SYSTEM),
        "groupby-key": call("builtins", "list", call("itertools", "groupby", [SHELL], OS_SYSTEM)),
        "takewhile": call("builtins", "list", call("itertools", "takewhile", OS_SYSTEM, [SHELL])),
        "filterfalse-zip": call(
            "builtins", "dict", call("builtins", "zip", call("itertools", "filterfalse", OS_SYSTEM, [SHELL]), [1])
        ),
        "counter-of-map": call("collections", "Counter", call("builtins", "map", OS_SYSTEM, [SHELL])),
        "ordered-dict-of-map": call(
            "collections", "OrderedDict", call("builtins", "zip", call("builtins", "map", OS_SYSTEM, [SHELL]), [1])
        ),
        "numpy-fromiter-map": call("numpy", "fromiter", call("builtins", "map", OS_SYSTEM, [SHELL]), "i8"),
        "default-factory": call(
            "operator",
            "getitem",
            call("collections", "defaultdict", call("functools", "partial", OS_SYSTEM, SHELL)),
            "w",
        ),
        "json-default-state": method(
            "json", "JSONEncoder.encode", built(call("json", "JSONEncoder"), {"default": OS_SYSTEM}), SHELL.encode()
        ),
        "set-update-map": call("builtins", "frozenset", call("builtins", "map", OS_SYSTEM, [SHELL])),
        "str-join-map": method(
            "builtins",
            "str.join",
            Raw(push("")),
            call("builtins", "map", call("functools", "partial", OS_SYSTEM), [SHELL]),
        ),
        "extend-from-map": Raw(
            push([])
            + b"0"
            + method("builtins", "list.extend", Raw(push([])), call("builtins", "map", OS_SYSTEM, [SHELL]))
        ),
        "context-run": method("contextvars", "Context.run", call("contextvars", "Context"), OS_SYSTEM, SHELL),
        "lru-cache": called(called(call("functools", "lru_cache", 1), OS_SYSTEM), SHELL),
        "single-dispatch": called(call("functools", "singledispatch", OS_SYSTEM), SHELL),
        "profile-runcall": method("cProfile", "Profile.runcall", call("cProfile", "Profile"), OS_SYSTEM, SHELL),
        "method-type": called(call("types", "MethodType", OS_SYSTEM, SHELL)),
        "torch-rebuild-from-type": call(
            "torch._tensor", "_rebuild_from_type", OS_SYSTEM, glob("torch", "Tensor"), (SHELL,), {}
        ),
    }


def later() -> dict[str, Raw]:
    """Objects that are given a callable and call it later: when asked, when they die, or when the process ends."""
    run = call("functools", "partial", OS_SYSTEM, SHELL)
    field = call("dataclasses", "Field", glob("dataclasses", "MISSING"), run, TRUE, TRUE, None, TRUE, {}, FALSE)
    loop = call("asyncio", "new_event_loop")
    return {
        "mock-side-effect": called(call("unittest.mock", "Mock", None, OS_SYSTEM), SHELL),
        "property-get": method("builtins", "property.__get__", call("builtins", "property", OS_SYSTEM), SHELL),
        "iterator-sentinel": call("builtins", "list", call("builtins", "iter", run, 0)),
        "default-factory-format": call("builtins", "str.format_map", "{weight}", call("collections", "defaultdict", run)),
        "dataclass-factory": called(call("dataclasses", "make_dataclass", "Config", [("weight", glob("builtins", "int"), field)])),
        "weakref-finalize": call("weakref", "finalize", call("argparse", "Namespace"), OS_SYSTEM, SHELL),
        "process-end": call("multiprocessing.util", "Finalize", None, OS_SYSTEM, (SHELL,), None, 1),
        "timer-run": method("threading", "Timer.run", call("threading", "Timer", 0, OS_SYSTEM, (SHELL,))),
        "work-item": method("concurrent.futures.thread", "_WorkItem.run", call("concurrent.futures.thread", "_WorkItem", call("concurrent.futures", "Future"), OS_SYSTEM, (SHELL,), {})),
        "asyncio-handle": method("asyncio.events", "Handle._run", call("asyncio.events", "Handle", OS_SYSTEM, (SHELL,), loop)),
        "asyncio-thread": call("asyncio", "run", call("asyncio", "to_thread", OS_SYSTEM, SHELL)),
        "thread-pool-map": method("multiprocessing.pool", "ThreadPool.map", call("multiprocessing.pool", "ThreadPool", 1), OS_SYSTEM, [SHELL]),
        "context-manager": called(call("contextlib", "contextmanager", OS_SYSTEM), SHELL),
        "exit-stack-close": kept(call("contextlib", "ExitStack"), ("contextlib", "ExitStack.callback", OS_SYSTEM, SHELL), ("contextlib", "ExitStack.close")),
        "scheduler": kept(call("sched", "scheduler", glob("time", "time"), glob("time", "sleep")), ("sched", "scheduler.enter", 0, 1, OS_SYSTEM, (SHELL,)), ("sched", "scheduler.run")),
        "xmlrpc-dispatch": kept(call("xmlrpc.server", "SimpleXMLRPCDispatcher"), ("xmlrpc.server", "SimpleXMLRPCDispatcher.register_function", OS_SYSTEM), ("xmlrpc.server", "SimpleXMLRPCDispatcher._dispatch", "system", (SHELL,))),
        "sqlite-function": kept(call("sqlite3", "connect", ":memory:"), ("sqlite3", "Connection.create_function", "f", 1, OS_SYSTEM), ("sqlite3", "Connection.execute", f"select f('{SHELL}')")),
        "argparse-type": kept(call("argparse", "ArgumentParser"), ("argparse", "ArgumentParser.register", "type", None, OS_SYSTEM), ("argparse", "ArgumentParser._get_values", call("argparse", "Action", ["-x"], "x"), [SHELL])),
        "data-loader": call("builtins", "list", call("torch.utils.data", "DataLoader", [SHELL], None, FALSE, None, None, 0, OS_SYSTEM)),
        "torch-map-aggregate": call("torch.fx.node", "map_aggregate", SHELL, OS_SYSTEM),
        "optree-map": call("optree", "tree_map", OS_SYSTEM, SHELL),
        "pandas-index-map": method("pandas", "Index.map", call("pandas", "Index", [SHELL]), OS_SYSTEM),
        "pandas-rename": method("pandas", "Series.rename", call("pandas", "Series", [1], [SHELL]), OS_SYSTEM),
        "pandas-groupby": method("pandas", "Series.groupby", call("pandas", "Series", [1], [SHELL]), OS_SYSTEM),
        "joblib-memory": called(method("joblib", "Memory.cache", call("joblib", "Memory", None), OS_SYSTEM), SHELL),
        "loky-call-item": called(call("joblib.externals.loky.process_executor", "_CallItem", 0, OS_SYSTEM, (SHELL,), {})),
    }  # fmt: skip


def kept(instance: Raw, *calls: tuple[object, ...]) -> Raw:
    """An object in the memo, and methods that are called with it one after another."""
    code = instance + b"q\xc8"
    for module, name, *arguments in calls:
        code += b"0" + called(stack_glob(str(module), str(name)), Raw(b"h\xc8"), *arguments)
    return Raw(code)


def states(payload: Raw) -> dict[str, Raw]:
    """Honest objects with the payload's result, which is zero, at a place of their state where it does no harm."""

    def made(module: str, name: str, state: object) -> Raw:
        return built(Raw(glob(module, name) + b")\x81"), state)

    plain = call("numpy", "dtype", "<f4")
    shell = called(stack_glob("numpy._core.multiarray", "_reconstruct"), glob("numpy", "ndarray"), (0,), b"b")
    zeros = call("numpy", "frombuffer", bytes(16), "<f4")
    objects = call("numpy", "dtype", "O")
    return {
        "ordered-dict": built(call("collections", "OrderedDict"), {"_metadata": payload}),
        "default-dict": built(call("collections", "defaultdict", glob("builtins", "list")), {"note": payload}),
        "default-dict-key": Raw(call("collections", "defaultdict", glob("builtins", "int")) + b"(" + payload + b"Nu"),
        "namespace": made("argparse", "Namespace", {"lr": 1, "seed": payload}),
        "namespace-slots": made("argparse", "Namespace", (None, {"seed": payload})),
        "simple-namespace": made("types", "SimpleNamespace", {"seed": payload}),
        "reconstructor": built(call("copyreg", "_reconstructor", glob("argparse", "Namespace"), glob("builtins", "object"), None), {"seed": payload}),
        "newobj-argument": Raw(glob("builtins", "int") + payload + b"\x85\x81"),
        "newobj-ex-keyword": Raw(glob("argparse", "Namespace") + b")}" + push("x") + payload + b"s\x92"),
        "deque-limit": call("collections", "deque", [1], payload),
        "exception-state": built(call("builtins", "ValueError", "x"), {"note": payload}),
        "counter": call("collections", "Counter", {"x": payload}),
        "frozenset-item": Raw(b"(" + payload + b"\x91"),
        "set-item": Raw(b"\x8f(" + payload + b"\x90"),
        "dtype-flags": built(call("numpy", "dtype", "V8"), (3, "|", None, None, None, 8, 1, payload)),
        "dtype-offset": built(call("numpy", "dtype", "V4"), (3, "|", None, ("a",), {"a": (plain, payload)}, 4, 1, 0)),
        "dtype-metadata": built(call("numpy", "dtype", "V8"), (4, "|", None, None, None, 8, 1, 0, {"note": payload})),
        "array-order": built(shell, (1, (4,), plain, payload, bytes(16))),
        "array-item": built(shell, (1, (2,), objects, FALSE, [payload, 1])),
        "array-version": built(shell, (payload, (4,), plain, FALSE, bytes(16))),
        "scalar": call("numpy._core.multiarray", "scalar", objects, payload),
        "estimator": made("sklearn.linear_model", "LinearRegression", {"coef_": zeros, "intercept_": payload, "n_features_in_": 4}),
        "torch-module": made("torch.nn", "Identity", {"training": payload, "_parameters": {}, "_buffers": {}, "_modules": {}}),
        "torch-size": call("torch", "Size", (payload, 4)),
        "torch-device": call("torch", "device", "cpu", payload),
        "torch-generator-seed": method("torch", "Generator.manual_seed", call("torch", "Generator"), payload),
        "pandas-index": call("pandas", "Index", [payload]),
        "timestamp": call("datetime", "timedelta", payload),
    }  # fmt: skip


def readers() -> dict[str, Raw]:
    """Library functions that unpickle what they are given."""
    return {
        "torch-storage-bytes": call("torch.storage", "_load_from_bytes", NESTED),
        "numpy-load": call("numpy", "load", BYTES_IO, None, TRUE),
        "numpy-read-array": call("numpy.lib.format", "read_array", call("io", "BytesIO", npy("|O", NESTED)), TRUE),
        "joblib-load": call("joblib", "load", BYTES_IO),
        "pandas-read-pickle": call("pandas", "read_pickle", call("io", "BytesIO", NESTED), None),
        "dill-loads": call("dill", "loads", NESTED),
        "cloudpickle-loads": call("cloudpickle", "loads", NESTED),
        "reduction-loads": call("multiprocessing.reduction", "ForkingPickler.loads", NESTED),
        "loky-loads": call("joblib.externals.loky.backend.reduction", "loads", NESTED),
    }


def junk(data: bytes) -> bytes:
    honest = call("collections", "OrderedDict") + b"}" + long("_metadata") + push({"version": 1}) + b"sb0"
    return b"\x80\x04" + honest + data


def dead(data: bytes) -> bytes:
    return b"\x80\x04" + push({"epoch": 3, "loss": [1, 2], "names": ("a", "b")}) + b"0(K\x01K\x02K\x031" + data


def deep(data: bytes) -> bytes:
    return b"\x80\x04" + b"]" * 700 + b"a" * 699 + b"0" + data


def framed(data: bytes) -> bytes:
    return b"\x80\x04" + (b"\x95" + bytes(8)) * 3 + b"\x95" + struct.pack("<Q", len(data)) + data


def memoed(data: bytes) -> bytes:
    return b"\x80\x02" + b"".join(b"Nr" + struct.pack("<I", 90000 + n) + b"0" for n in range(50)) + data


def low(data: bytes) -> bytes:
    return b"I01\n0(lp900\n0F1.5\n0L99L\n0" + data


def marked(data: bytes) -> bytes:
    return b"\x80\x04" + b"(" * 40 + b"1" * 40 + data


def state(data: bytes) -> bytes:
    """The stream's object becomes the state of an honest class."""
    return b"\x80\x04" + glob("argparse", "Namespace") + b")\x81}" + long("weight") + data[:-1] + b"sb."


def item(data: bytes) -> bytes:
    return (
        b"\x80\x04"
        + call("collections", "OrderedDict")
        + b"("
        + long("bias")
        + b"N"
        + long("layer.0.weight")
        + data[:-1]
        + b"u."
    )


def array(data: bytes) -> bytes:
    """After an honest numpy array."""
    numbers = call("numpy", "frombuffer", bytes(16), "<f4")
    return b"\x80\x04" + numbers + b"0" + data


FORMS: dict[str, tuple[Callable[[bytes], bytes], str, str, str]] = {
    "junk": (junk, "model.pkl", "pickle", "after an honest OrderedDict with state"),
    "dead": (dead, "model.pkl", "pickle", "after objects that are thrown away"),
    "deep": (deep, "model.pkl", "pickle", "after 700 nested lists"),
    "framed": (framed, "model.pkl", "pickle", "empty frames, then one frame"),
    "memoed": (memoed, "model.pkl", "pickle", "after a sparse memo"),
    "low": (low, "model.pkl", "pickle", "after protocol 0 text opcodes"),
    "marked": (marked, "model.pkl", "pickle", "after marks pushed and popped"),
    "state": (state, "model.pkl", "pickle", "inside the state of an honest object"),
    "item": (item, "model.pkl", "pickle", "as an item of a state dict"),
    "array": (array, "model.pkl", "pickle", "after an honest numpy array"),
    "torch": (torch_zip, "model.pt", "torch", "torch archive"),
    "torch-item": (
        lambda d: torch_zip(item(d), top="мodel"),
        "мodel.pt",
        "torch",
        "torch archive with a Cyrillic folder and name",
    ),
    "torch-legacy": (lambda d: legacy(3).replace(NESTED, d), "model.bin", "torch", "torch's older form, third stream"),
    "torch-many": (
        lambda d: torch_zip(d, more=tuple((f"archive/data/{n}", bytes(64)) for n in range(99))),
        "model.ckpt",
        "torch",
        "among 99 storages",
    ),
    "zlib-0": (lambda d: zlib.compress(junk(d), 0), "model.dat", "joblib", "zlib of level 0"),
    "xz": (lambda d: lzma.compress(dead(d)), "model.sav", "joblib", "xz around a dead branch"),
    "bz2-split": (lambda d: bz2.compress(d[:9], 1) + bz2.compress(d[9:], 9), "model", "joblib", "two bzip2 streams"),
    "npy-2": (lambda d: npy_long(d, 2), "weights.npy", "numpy", "npy version 2 with a header of 4 KB"),
    "npy-3": (lambda d: npy_long(d, 3), "веса.npy", "numpy", "npy version 3 with a Unicode field"),
    "npz": (
        lambda d: zipped([("a.npy", npy("<f4", bytes(4))), ("b", npy("|O", d))], comment=b"arrays"),
        "weights.bin",
        "numpy",
        "npz member without its suffix",
    ),
    "npz-deflated": (
        lambda d: zipped([("a.npy", npy("|O", d))], method=8),
        "weights.zip",
        "numpy",
        "deflated npz under another name",
    ),
    "pandas-tar": (
        lambda d: tarred([("Ünï/../x", item(d))], "w"),
        "frame.pkl.tar",
        "pandas",
        "tar member with a strange name",
    ),
    "pandas-zip": (
        lambda d: zipped([("/etc/x", d)], method=14),
        "frame.pkl.zip",
        "pandas",
        "lzma zip member with an absolute name",
    ),
}


def npy_long(body: bytes, version: int) -> bytes:
    """Versions 2 and 3 have a header length of four bytes; 3 is UTF-8."""
    field = "'|O'" if version == 2 else "[('вес', '|O')]"
    head = f"{{'descr': {field}, 'fortran_order': False, 'shape': (1,), }}".encode().ljust(4083) + b"\n"
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<I", len(head)) + head + body


def sources() -> list[Case]:
    """The corpus' cases of one short pickle stream that the standard loader reads to its end."""
    found = []
    for case in all_cases():
        data = case.files.get(case.entry, b"")
        if case.loader == "pickle" and case.kind in {"direct", "indirection"} and len(data) < 4000 and complete(data):
            found.append(case)
    return found


def complete(data: bytes) -> bool:
    try:
        return list(pickletools.genops(data))[-1][2] == len(data) - 1
    except Exception:
        return False


FAMILIES: dict[str, tuple[Callable[[], dict[str, Raw]], str]] = {
    "evaluator": (evaluators, "library function that evaluates text"),
    "caller": (callers, "library function that calls what it is given"),
    "reader": (readers, "library function that unpickles what it is given"),
    "later": (later, "object that calls what it was given, later"),
    "state": (lambda: states(system()), "payload in the state of an honest object"),
}


def mutations(seed: int = 0) -> Iterator[Case]:
    """Mutated cases; the seed chooses which case gets which form."""
    plain = [(case.id.replace("/", "-"), case.files[case.entry]) for case in sources()]
    for family, (rows, note) in FAMILIES.items():
        for name, body in rows().items():
            yield one("mutated", f"{family}-{name}", stream(body), note=f"{note}: {name.replace('-', ' ')}")
            if family != "state":
                plain.append((f"{family}-{name}", stream(body)))
    plain += [(f"slot-{name}", stream(body)) for name, (body, _) in slots().items()]
    yield from formed(plain, random.Random(seed))
    yield from rewritings(plain, random.Random(seed))
    yield from crafted_cases()


def formed(plain: list[tuple[str, bytes]], picker: random.Random) -> Iterator[Case]:
    """Some streams in every form."""
    for form, (change, path, loader, note) in FORMS.items():
        for name, data in picker.sample(plain, PER_FORM):
            yield one("mutated", f"{form}-{name}", change(data), path=path, loader=loader, note=note)


def rewritings(plain: list[tuple[str, bytes]], picker: random.Random) -> Iterator[Case]:
    """Some streams in every style of opcodes, and a state dict with a payload in its midst."""
    whole = ("state-dict", item(b"\x80\x02" + push({"epoch": 3, "names": ("a", "b")}) + b"0" + EVIL[2:]))
    for style, (how, note) in STYLES.items():
        picked = 0
        for name, data in [whole, *picker.sample(plain, len(plain))]:
            if (dotted if how.protocol not in {4, 5} else renamed)(data):
                continue
            try:
                other = rewritten(data, how)
            except UnwrittenError:
                continue
            if other == data:
                continue
            yield one("mutated", f"rewrite-{style}-{name}", other, note=note)
            picked += 1
            if picked > PER_STYLE:
                break


def dotted(data: bytes) -> bool:
    """Whether names with dots need a header of 4. Memoised names are taken to be dotted."""
    found = list(pickletools.genops(data))
    if any(info.name == "STACK_GLOBAL" for info, _, _ in found):
        return True
    return any(info.name == "GLOBAL" and "." in str(argument).split(" ")[1] for info, argument, _ in found)


def renamed(data: bytes) -> bool:
    """Whether the unpickler finds a name under its name in Python 2 only, which a header above 2 forbids."""
    names = [
        str(argument).split(" ")[0] for info, argument, _ in pickletools.genops(data) if info.name in {"GLOBAL", "INST"}
    ]
    return any(name in IMPORT_MAPPING for name in names)


def crafted_cases() -> Iterator[Case]:
    """Archives whose parts disagree, polyglots, and state dicts of tensors."""
    for name, (data, note) in torch_forms(EVIL, GOOD).items():
        loader = "none" if name in HONEST_READ else "torch"
        yield one("mutated", f"zip-torch-{name}", data, path="model.pt", loader=loader, note=note)
    for name, (data, note) in numpy_forms(npy("|O", EVIL), npy("<f4", bytes(4))).items():
        yield one("mutated", f"zip-numpy-{name}", data, path="weights.npz", loader="numpy", note=note)
    for name, data, path, loader, note in polyglots(EVIL, GOOD):
        yield one("mutated", f"polyglot-{name}", data, path=path, loader=loader, note=note)
    for name, data, path, loader, note in torch_states(system()):
        yield one("mutated", f"tensors-{name.removeprefix('torch-')}", data, path=path, loader=loader, note=note)
    for name, data, path, loader, note in protocol_cases():
        yield one("mutated", name, data, path=path, loader=loader, note=note)


HONEST_READ = frozenset({"two-cases-evil-last", "same-name-last"})
"""Archives of which torch reads the honest part; other readers of archives read the payload."""


def write_mutations(folder: Path, seed: int) -> list[dict[str, str]]:
    """The mutations as a corpus of their own."""
    return write_cases(folder, mutations(seed))
