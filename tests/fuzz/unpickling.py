"""Python's own unpickler in a forked child: what it imports, whether it comes to an end, and whether anything ran.

The child imports nothing for the stream: a name outside the table below is noted and refused, torch's names get stand-ins. An
audit hook notes whatever would reach the system, so that a call that slips through is seen too.
"""

from __future__ import annotations

import codecs
import io
import os
import pickle
import resource
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

_MEMORY_BYTES = 1 << 30
_CPU_S = 5
_WATCHED = ("os.", "subprocess.", "socket.", "ctypes.", "shutil.", "pty.", "tempfile.", "webbrowser.", "urllib.")
_WATCHED_ALONE = {
    "open",
    "exec",
    "compile",
    "import",
    "code.__new__",
    "function.__new__",
    "builtins.input",
    "marshal.loads",
}

_ALLOWED = {
    "collections": "OrderedDict Counter deque defaultdict",
    "builtins": "int float str list dict tuple bool object set frozenset bytearray bytes complex range slice",
    "_codecs": "encode",
    "copyreg": "_reconstructor",
    "datetime": "datetime time date timedelta timezone",
    "decimal": "Decimal",
    "uuid": "UUID SafeUUID",
    "pathlib": "Path PosixPath PurePath PurePosixPath PureWindowsPath",
    "argparse": "Namespace",
    "types": "SimpleNamespace",
    "numpy": "ndarray dtype bool_ int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64",
    "numpy._core.multiarray": "_reconstruct scalar",
    "numpy._core.numeric": "_frombuffer",
}
"""All that is ever imported for a stream, and before it is looked at."""

_VALUES = {
    "datetime": "datetime time date timedelta timezone",
    "decimal": "Decimal",
    "uuid": "SafeUUID",
    "pathlib": "Path PosixPath PurePath PurePosixPath PureWindowsPath",
    "builtins": "complex range slice bytearray",
    "collections": "deque",
    "_codecs": "encode",
}
"""Constructors of values, which refuse some: a thirteenth month. That ends the loading and does nothing, so no reader looks for it."""

_RENAMED = {
    "__builtin__": "builtins",
    "copy_reg": "copyreg",
    "pathlib._local": "pathlib",
    "numpy.core.multiarray": "numpy._core.multiarray",
    "numpy.core.numeric": "numpy._core.numeric",
}
_OLD_NAMES = {("builtins", "xrange"): range, ("builtins", "unicode"): str, ("builtins", "long"): int}
_TORCH = {
    "torch": "device Size Tensor",
    "torch._utils": "_rebuild_tensor _rebuild_tensor_v2 _rebuild_tensor_v3 _rebuild_parameter _rebuild_qtensor "
    "_rebuild_parameter_with_state _rebuild_sparse_tensor _rebuild_meta_tensor_no_storage",
    "torch._tensor": "_rebuild_from_type_v2",
    "torch.serialization": "_get_layout",
    "torch.nn.parameter": "Parameter",
}
_WIDTHS = {
    1: "Char Byte Bool Untyped QInt8 QUInt8",
    2: "Half BFloat16 Short",
    4: "Float Int QInt32",
    8: "Double Long ComplexFloat",
    16: "ComplexDouble",
}
_ITEM_BYTES = {f"{name}Storage": size for size, names in _WIDTHS.items() for name in names.split()}
_DTYPES = {"float", "float16", "float32", "float64", "bfloat16", "int8", "int16", "int32", "int64", "uint8", "bool"}


@cache
def _known() -> dict[tuple[str, str], Any]:
    homes = {module: import_module(module) for module in _ALLOWED}
    known = {(home, name): getattr(homes[home], name) for home, names in _ALLOWED.items() for name in names.split()}
    values = [(home, name) for home, names in _VALUES.items() for name in names.split()]
    return {**known, **{key: _refusing(known[key]) for key in values}}


class _RefusedValueError(Exception):
    pass


def _refusing(make: Callable[..., Any]) -> Callable[..., Any]:
    def call(*arguments: Any) -> Any:
        try:
            return make(*arguments)
        except (TypeError, ValueError, ArithmeticError) as problem:
            raise _RefusedValueError(str(problem)) from problem

    return call


@dataclass(frozen=True)
class Storage:
    key: str
    count: int
    size_bytes: int


@dataclass
class Unpickled:
    """`problem`: why the stream cannot be loaded, or what loading would do. `ran`: what it called first, however it ended; `called`: all of that.

    `is_refused`: one of its values is none; nothing else is wrong with what was loaded up to there.
    """

    problem: str = ""
    is_refused: bool = False
    ran: str = ""
    called: tuple[str, ...] = ()
    end: int = 0
    storages: list[Storage] = field(default_factory=list)
    last: Any = None


class _StandIn:
    """An object of torch: anything may be put into it."""

    def __setstate__(self, state: Any) -> None:
        pass

    def __setitem__(self, key: Any, value: Any) -> None:
        pass


class _Canary(_StandIn):
    """Stands in for a name that the stream should not have: nothing is imported, and a call of it is noted."""

    name = ""
    called: list[str] = []  # noqa: RUF012  # one child, one list

    def __new__(cls, *_arguments: Any, **_named: Any) -> _Canary:
        cls.called.append(cls.name)
        return super().__new__(cls)

    def __init__(self, *_arguments: Any, **_named: Any) -> None:
        pass


class _StorageType(_StandIn):
    def __init__(self, name: str) -> None:
        self.item_bytes = _ITEM_BYTES[name]


class _Unpickler(pickle.Unpickler):
    """The unpickler in C, whose imports and persistent ids are answered here."""

    outside = ""
    storages: list[Storage]
    parts: int | None = 0

    def find_class(self, module: str, name: str) -> Any:
        module = _RENAMED.get(module, module)
        found = _known().get((module, name), _OLD_NAMES.get((module, name)))
        if found is not None:
            return found
        if module in ("torch", "torch.cuda", "torch.storage") and name in _ITEM_BYTES:
            return _StorageType(name)
        if name in _TORCH.get(module, "").split():
            return lambda *_arguments: _StandIn()
        if module == "torch" and name in _DTYPES:
            return _StandIn()
        if not all(part.isidentifier() for part in module.split(".")):
            raise ImportError(f"no module is called {module[:80]!r}")
        if not all(part.isidentifier() for part in name.split(".")):
            raise AttributeError(f"no module has a {name[:80]!r}")
        self.outside = self.outside or f"{module}.{name}"
        return type("_Canary", (_Canary,), {"name": f"{module}.{name}"})

    def persistent_load(self, pid: Any) -> Any:
        if self.parts is None:
            return _StandIn()
        if not self.parts or not isinstance(pid, tuple) or len(pid) != self.parts or pid[0] != "storage":
            raise pickle.UnpicklingError("a persistent id that is no storage")
        if not isinstance(pid[1], _StorageType) or pid[4] < 0:
            raise pickle.UnpicklingError("a storage of no known type or size")
        self.storages.append(Storage(str(pid[2]), pid[4], pid[4] * pid[1].item_bytes))
        return _StandIn()


@lru_cache(maxsize=4)
def unpickle(data: bytes, *, streams: int | None, persistent_parts: int | None = 0) -> Unpickled:
    """Load that many streams, or all there are; `persistent_parts` is how long a storage id is (0: there are none; None: any)."""
    _known()
    codecs.lookup("latin1")
    receiver, sender = os.pipe()
    child = os.fork()
    if not child:
        _run_child(sender, lambda: _load(data, streams, persistent_parts))
    os.close(sender)
    with os.fdopen(receiver, "rb") as pipe:
        answer = pipe.read()
    _, status = os.waitpid(child, 0)
    if not answer:
        return Unpickled(problem=f"the unpickler died of it (status {status})")
    made: Unpickled = pickle.loads(answer)  # our own child's words: plain values of this module
    return made


def _run_child(sender: int, work: Callable[[], Unpickled]) -> None:
    try:
        resource.setrlimit(resource.RLIMIT_CPU, (_CPU_S, _CPU_S))
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (pages * 4096 + _MEMORY_BYTES, resource.RLIM_INFINITY))
        answer = pickle.dumps(work())
        with os.fdopen(sender, "wb") as pipe:
            pipe.write(answer)
    finally:
        os._exit(0)


def _load(data: bytes, streams: int | None, parts: int | None) -> Unpickled:
    seen: list[str] = []
    is_watching = True

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if is_watching and (event.startswith(_WATCHED) or event in _WATCHED_ALONE):
            seen.append(f"{event} {str(arguments)[:80]}")

    warnings.simplefilter("ignore")
    sys.addaudithook(watch)
    outcome = Unpickled()
    file = io.BytesIO(data)
    done = 0
    while streams is None or done < streams:
        if streams is None and done and not data[file.tell() :].strip(b"\0"):
            break
        loader = _Unpickler(file, encoding="latin1")
        loader.storages, loader.parts = outcome.storages, parts if streams != 5 or done == 3 else 0
        try:
            value = loader.load()
        except _RefusedValueError:
            outcome.is_refused = True
            break
        except (Exception, RecursionError) as problem:
            outcome.problem = f"an unpickler refuses it: {type(problem).__name__}: {str(problem)[:200]}"
        finally:
            outcome.end = file.tell()
            if loader.outside:
                outcome.problem = f"an unpickler imports {loader.outside}"
        if outcome.problem:
            break
        outcome.last = value if streams == 5 and done == 4 else None
        done += 1
    seen += _Canary.called
    is_watching = False
    if seen:
        outcome.ran, outcome.called = seen[0], tuple(seen[:1000])
        outcome.problem = outcome.problem or f"loading it reaches {seen[0]}"
    if not isinstance(outcome.last, list) or not all(isinstance(key, str) for key in outcome.last):
        outcome.last = None
    return outcome
