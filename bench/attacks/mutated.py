"""Mutations: the other families' cases in other forms, and calls of real libraries that no list of bad names holds.

Not part of the corpus: `python bench/attacks FOLDER --mutations` writes these cases in its place.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import pickletools
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from attacks.case import EXPRESSION, SHELL, STATEMENT, Case, Raw, call, called, glob, long, one, push, stack_glob, stream
from attacks.containers import legacy, npy, tarred, torch_zip, zipped
from attacks.corpus import all_cases, write_cases

OS_SYSTEM = glob("os", "system")
OS = call("importlib", "import_module", "os")
NESTED = stream(call("os", "system", SHELL), 2)
BYTES_IO = call("io", "BytesIO", NESTED)
PER_FORM = 15


def method(module: str, name: str, instance: Raw, *arguments: object) -> Raw:
    """A method taken from its class and called with an instance."""
    return called(stack_glob(module, name), instance, *arguments)


def built(instance: Raw, state: object) -> Raw:
    return Raw(instance + push(state) + b"b")


def evaluators() -> dict[str, Raw]:
    """Library functions that evaluate text."""
    return {
        "numpy-f2py-myeval": call("numpy.f2py.crackfortran", "myeval", EXPRESSION),
        "numpy-runstring": call("numpy.testing", "runstring", STATEMENT, {}),
        "numpy-measure": call("numpy.testing", "measure", STATEMENT),
        "torch-exec-wrapper": call("torch.jit.unsupported_tensor_ops", "execWrapper", STATEMENT, {}, {}),
        "torch-fx-exec": call("torch.fx.graph_module", "_exec_with_source", STATEMENT, {}),
        "torch-fx-forward": call("torch.fx.graph_module", "_forward_from_src", STATEMENT + "\nforward = 1", {}),
        "torch-collect-env": call("torch.utils.collect_env", "run", SHELL),
        "pandas-eval-local": call("pandas", "eval", f"@x.system({SHELL!r})", "pandas", "python", {"x": OS}),
        "sympy-sympify": call("sympy", "sympify", EXPRESSION),
        "sympy-eval-expr": call("sympy.parsing.sympy_parser", "eval_expr", EXPRESSION, {}, {}),
        "pil-imagemath": call("PIL.ImageMath", "unsafe_eval", EXPRESSION),
        "attrs-compile": call("attr._make", "_linecache_and_compile", STATEMENT, "x", {}),
        "yaml-unsafe": call("yaml", "unsafe_load", f"!!python/object/apply:os.system ['{SHELL}']"),
        "hydra-call": call("hydra.utils", "call", {"_target_": "os.system", "command": SHELL}),
        "setuptools-spawn": call("setuptools._distutils.spawn", "spawn", SHELL.split()),
        "psutil-popen": call("psutil", "Popen", SHELL.split()),
        "timeit": call("timeit", "timeit", "0", STATEMENT),
        "cprofile": call("cProfile", "run", STATEMENT),
        "bdb-runeval": method("bdb", "Bdb.runeval", call("bdb", "Bdb"), EXPRESSION),
        "trace-run": method("trace", "Trace.run", call("trace", "Trace"), STATEMENT),
        "rlcompleter": method("rlcompleter", "Completer.attr_matches", call("rlcompleter", "Completer", {"o": OS}), "o.x"),
        "interpreter": method("code", "InteractiveInterpreter.runsource", call("code", "InteractiveInterpreter"), EXPRESSION),
        "forward-ref": method("typing", "ForwardRef._evaluate", call("typing", "ForwardRef", EXPRESSION), {}, {}, call("builtins", "frozenset")),
        "dataclass-create-fn": call("dataclasses", "_create_fn", "f", [f"x={EXPRESSION}"], ["pass"]),
        "pipepager": call("pydoc", "pipepager", "", SHELL),
        "imap-stream": call("imaplib", "IMAP4_stream", SHELL),
        "mock-importer": called(call("unittest.mock", "_importer", "os.system"), SHELL),
        "jinja-render": method("jinja2", "Template.render", call("jinja2", "Template", "{{ cycler.__init__.__globals__.os.system('" + SHELL + "') }}")),
        "string-exec-namespace": call("runpy", "_run_code", STATEMENT, {}),
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
        "scipy-map-wrapper": call("builtins", "list", called(call("scipy._lib._util", "MapWrapper"), OS_SYSTEM, [SHELL])),
        "sklearn-func-wrapper": called(built(call("sklearn.utils.parallel", "_FuncWrapper", OS_SYSTEM), {"config": {}, "warning_filters": []}), SHELL),
        "sklearn-function-transformer": method("sklearn.preprocessing", "FunctionTransformer.transform", call("sklearn.preprocessing", "FunctionTransformer", OS_SYSTEM), SHELL),
        "sklearn-transformer-state": method("sklearn.preprocessing", "FunctionTransformer.transform", built(call("sklearn.preprocessing", "FunctionTransformer"), {"func": OS_SYSTEM}), SHELL),
        "sklearn-vectorizer": method("sklearn.feature_extraction.text", "CountVectorizer.build_analyzer", call("sklearn.feature_extraction.text", "CountVectorizer")) + b"0" + call("builtins", "list", call("builtins", "map", OS_SYSTEM, [SHELL])),
        "joblib-parallel": called(call("joblib", "Parallel"), [task]),
        "joblib-batched": called(call("joblib.parallel", "BatchedCalls", [task], (None, 1)),),
        "pandas-pipe": call("pandas.core.common", "pipe", SHELL, OS_SYSTEM),
        "pandas-apply-if-callable": call("pandas.core.common", "apply_if_callable", OS_SYSTEM, SHELL),
        "pandas-series-map": method("pandas", "Series.map", series, OS_SYSTEM),
        "pandas-series-apply": method("pandas", "Series.apply", series, OS_SYSTEM),
        "pandas-map-infer": call("pandas._libs.lib", "map_infer", call("numpy", "array", [SHELL], "O"), OS_SYSTEM),
        "torch-tree-map": call("torch.utils._pytree", "tree_map", OS_SYSTEM, SHELL),
        "torch-run-function": call("torch.distributed.rpc.internal", "_run_function", call("torch.distributed.rpc.internal", "PythonUDF", OS_SYSTEM, (SHELL,), {})),
        "torch-checkpoint": call("torch.utils.checkpoint", "checkpoint", OS_SYSTEM, SHELL),
        "torch-no-grad": called(called(call("torch", "no_grad"), OS_SYSTEM), SHELL),
        "torch-lambda": called(call("torch.nn.modules.lazy", "OrderedDict")) + b"0" + called(call("torchvision.transforms", "Lambda", OS_SYSTEM), SHELL),
        "heapq-key": call("heapq", "nlargest", 1, [SHELL], OS_SYSTEM),
        "groupby-key": call("builtins", "list", call("itertools", "groupby", [SHELL], OS_SYSTEM)),
        "takewhile": call("builtins", "list", call("itertools", "takewhile", OS_SYSTEM, [SHELL])),
        "filterfalse-zip": call("builtins", "dict", call("builtins", "zip", call("itertools", "filterfalse", OS_SYSTEM, [SHELL]), [1])),
        "counter-of-map": call("collections", "Counter", call("builtins", "map", OS_SYSTEM, [SHELL])),
        "ordered-dict-of-map": call("collections", "OrderedDict", call("builtins", "zip", call("builtins", "map", OS_SYSTEM, [SHELL]), [1])),
        "numpy-fromiter-map": call("numpy", "fromiter", call("builtins", "map", OS_SYSTEM, [SHELL]), "i8"),
        "default-factory": call("operator", "getitem", call("collections", "defaultdict", call("functools", "partial", OS_SYSTEM, SHELL)), "w"),
        "json-default-state": method("json", "JSONEncoder.encode", built(call("json", "JSONEncoder"), {"default": OS_SYSTEM}), SHELL.encode()),
        "exit-stack": method("contextlib", "ExitStack.callback", call("contextlib", "ExitStack"), OS_SYSTEM, SHELL) + b"0" + called(call("contextlib", "contextmanager", OS_SYSTEM), SHELL) + b"0" + call("operator", "call", OS_SYSTEM, SHELL),
        "user-dict-missing": call("builtins", "bytearray", call("builtins", "map", OS_SYSTEM, [SHELL])),
        "set-update-map": call("builtins", "frozenset", call("builtins", "map", OS_SYSTEM, [SHELL])),
        "str-join-map": method("builtins", "str.join", Raw(push("")), call("builtins", "map", call("functools", "partial", OS_SYSTEM), [SHELL])),
        "extend-from-map": Raw(push([]) + b"0" + method("builtins", "list.extend", Raw(push([])), call("builtins", "map", OS_SYSTEM, [SHELL]))),
        "unittest-case": method("unittest", "TestCase.assertRaises", call("unittest", "FunctionTestCase", OS_SYSTEM), glob("builtins", "OSError"), OS_SYSTEM, SHELL),
        "context-run": method("contextvars", "Context.run", call("contextvars", "Context"), OS_SYSTEM, SHELL),
        "lru-cache": called(called(call("functools", "lru_cache", 1), OS_SYSTEM), SHELL),
        "single-dispatch": called(call("functools", "singledispatch", OS_SYSTEM), SHELL),
        "profile-runcall": method("cProfile", "Profile.runcall", call("cProfile", "Profile"), OS_SYSTEM, SHELL),
        "method-type": called(call("types", "MethodType", OS_SYSTEM, SHELL)),
        "wrapt-proxy": called(call("wrapt", "ObjectProxy", OS_SYSTEM), SHELL) + b"0" + call("wrapt", "CallableObjectProxy", OS_SYSTEM) + push((SHELL,)) + b"R",
        "tensor-type-rebuild": call("torch._utils", "_rebuild_wrapper_subclass", 1) if False else call("torch._tensor", "_rebuild_from_type", OS_SYSTEM, glob("torch", "Tensor"), (SHELL,), {}),
    }


def readers() -> dict[str, Raw]:
    """Library functions that unpickle what they are given."""
    return {
        "torch-storage-bytes": call("torch.storage", "_load_from_bytes", NESTED),
        "numpy-load": call("numpy", "load", BYTES_IO, None, True),
        "numpy-read-array": call("numpy.lib.format", "read_array", call("io", "BytesIO", npy("|O", NESTED)), True),
        "joblib-load": call("joblib", "load", BYTES_IO),
        "pandas-read-pickle": call("pandas", "read_pickle", call("io", "BytesIO", NESTED), None),
        "dill-loads": call("dill", "loads", NESTED),
        "cloudpickle-loads": call("cloudpickle", "loads", NESTED),
        "joblib-cloudpickle-loads": call("joblib.externals.cloudpickle", "loads", NESTED),
        "reduction-loads": call("multiprocessing.reduction", "ForkingPickler.loads", NESTED),
        "loky-loads": call("joblib.externals.loky.backend.reduction", "loads", NESTED),
        "torch-reduction-loads": call("torch.multiprocessing.reductions", "ForkingPickler.loads", NESTED),
        "pickle-of-logging": call("logging.config", "pickle.loads", NESTED) if False else call("shelve", "Unpickler.load", call("shelve", "Unpickler", BYTES_IO)),
        "statistics-shelf": call("multiprocessing.connection", "_ForkingPickler.loads", NESTED),
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
    return b"\x80\x04" + call("collections", "OrderedDict") + b"(" + long("bias") + b"N" + long("layer.0.weight") + data[:-1] + b"u."


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
    "torch-item": (lambda d: torch_zip(item(d), top="мodel"), "мodel.pt", "torch", "torch archive with a Cyrillic folder and name"),
    "torch-legacy": (lambda d: legacy(3).replace(NESTED, d), "model.bin", "torch", "torch's older form, third stream"),
    "torch-many": (lambda d: torch_zip(d, more=tuple((f"archive/data/{n}", bytes(64)) for n in range(99))), "model.ckpt", "torch", "among 99 storages"),
    "gzip-split": (lambda d: b"".join(gzip.compress(d[n : n + 7], mtime=0) for n in range(0, len(d), 7)), "model.joblib", "joblib", "gzip of seven bytes a member"),
    "zlib-0": (lambda d: zlib.compress(junk(d), 0), "model.dat", "joblib", "zlib of level 0"),
    "xz": (lambda d: lzma.compress(dead(d)), "model.sav", "joblib", "xz around a dead branch"),
    "bz2-split": (lambda d: bz2.compress(d[:9], 1) + bz2.compress(d[9:], 9), "model", "joblib", "two bzip2 streams"),
    "npy-2": (lambda d: npy_long(d, 2), "weights.npy", "numpy", "npy version 2 with a header of 4 KB"),
    "npy-3": (lambda d: npy_long(d, 3), "веса.npy", "numpy", "npy version 3 with a Unicode field"),
    "npz": (lambda d: zipped([("a.npy", npy("<f4", bytes(4))), ("b", npy("|O", d))], comment=b"arrays"), "weights.bin", "numpy", "npz member without its suffix"),
    "npz-prefix": (lambda d: zipped([("a.npy", npy("|O", d))], method=8) + b"", "weights.zip", "numpy", "deflated npz under another name"),
    "pandas-tar": (lambda d: tarred([("Ünï/../x", item(d))], "w"), "frame.pkl.tar", "pandas", "tar member with a strange name"),
    "pandas-zip": (lambda d: zipped([("/etc/x", d)], method=14), "frame.pkl.zip", "pandas", "lzma zip member with an absolute name"),
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


def mutations(seed: int = 0) -> Iterator[Case]:
    """Mutated cases; the seed chooses which case gets which form."""
    families = {"evaluator": evaluators(), "caller": callers(), "reader": readers()}
    for family, rows in families.items():
        for name, body in rows.items():
            if f"gadget-{name}" in DEAD:
                continue
            yield one("mutated", f"{family}-{name}", stream(body), note=f"{family}: a library function that lists of bad names lack")
    picker = random.Random(seed)
    plain = [("gadget-" + name, stream(body)) for rows in families.values() for name, body in rows.items()]
    plain += [(case.id.replace("/", "-"), case.files[case.entry]) for case in sources()]
    for form, (change, path, loader, note) in FORMS.items():
        for name, data in picker.sample(plain, PER_FORM):
            if name in DEAD:
                continue
            yield one("mutated", f"{form}-{name}", change(data), path=path, loader=loader, note=note)


DEAD = frozenset(
    {
        "gadget-pil-imagemath",
        "gadget-pandas-eval-local",
        "gadget-hydra-call",
        "gadget-rlcompleter",
        "gadget-mock-importer",
        "gadget-joblib-cloudpickle-loads",
        "gadget-torch-lambda",
        "gadget-wrapt-proxy",
        "gadget-joblib-batched",
    }
)
"""Calls that the installed versions refuse; they are left out after the choice, so that the other choices stay."""


def write_mutations(folder: Path, seed: int) -> list[dict[str, str]]:
    """The mutations as a corpus of their own."""
    return write_cases(folder, mutations(seed))
