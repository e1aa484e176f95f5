"""The same pickle in other opcodes: a stream is taken apart with pickletools and written again in another style.

A mutation helper of `mutated.py`; it has no cases of its own.
"""

from __future__ import annotations

import pickletools
import struct
from dataclasses import dataclass, field
from itertools import pairwise

from attacks.case import glob, stack_glob

TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
SHORT_TUPLES = (b")", b"\x85", b"\x86", b"\x87")
TEXTS = {"UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"}
NUMBERS = {"INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1"}
PUTS = {"PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"}
GETS = {"GET", "BINGET", "LONG_BINGET"}


class UnwrittenError(ValueError):
    """A stream that the styles cannot express."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """How each kind of object is written. `around` is written after every object: it must leave the stack as it was."""

    protocol: int | None = 4
    text: str = "X"
    name: str = "c"
    tuples: str = "mark"
    items: str = "many"
    calls: str = "R"
    memo: str = "q"
    number: str = "J"
    around: str = ""
    frames: bool = False


@dataclass(slots=True)
class Piece:
    """The opcodes of one object on the stack, and what is known of it."""

    code: bytes
    parts: list[Piece] | None = None
    name: tuple[str, str] | None = None
    text: str | None = None


@dataclass(slots=True)
class Writer:
    style: Style
    stack: list[Piece | None] = field(default_factory=list)
    before: bytes = b""
    numbers: dict[int, int] = field(default_factory=dict)
    puts: int = 0

    def push(
        self,
        code: bytes,
        *,
        parts: list[Piece] | None = None,
        name: tuple[str, str] | None = None,
        text: str | None = None,
    ) -> None:
        piece = Piece(code, parts, name, text)
        if self.style.around == "dup":
            piece.code += b"20"
        elif self.style.around == "memo":
            piece.code += self.put() + b"0" + self.get(self.puts - 1)
            piece.name = None
        self.stack.append(piece)

    def pop(self) -> Piece:
        piece = self.stack.pop()
        if piece is None:
            raise UnwrittenError("a mark is popped")
        return piece

    def slice(self) -> list[Piece]:
        """What lies above the last mark; the mark goes too."""
        found: list[Piece] = []
        while (piece := self.stack.pop()) is not None:
            found.insert(0, piece)
        return found

    def append(self, code: bytes) -> None:
        """Code that leaves the stack as it is, after the topmost object."""
        if not self.stack:
            self.before += code
        elif self.stack[-1] is None:
            raise UnwrittenError("code after a mark")
        else:
            self.stack[-1] = Piece(self.stack[-1].code + code)

    def put(self) -> bytes:
        number, self.puts = self.puts, self.puts + 1
        match self.style.memo:
            case "p":
                return b"p%d\n" % number
            case "r":
                return b"r" + struct.pack("<I", number)
            case "memoize":
                return b"\x94"
        return b"q" + bytes([number]) if number < 256 else b"r" + struct.pack("<I", number)

    def get(self, number: int) -> bytes:
        if self.style.memo == "p":
            return b"g%d\n" % number
        return b"h" + bytes([number]) if number < 256 and self.style.memo != "r" else b"j" + struct.pack("<I", number)


def written_text(text: str, style: Style) -> bytes:
    data = text.encode("utf-8", "surrogatepass")
    match style.text:
        case "short" if len(data) < 256:
            return b"\x8c" + bytes([len(data)]) + data
        case "long8":
            return b"\x8d" + struct.pack("<Q", len(data)) + data
        case "V":
            line = (
                text.replace("\\", "\\u005c").replace("\0", "\\u0000").replace("\n", "\\u000a").replace("\r", "\\u000d")
            )
            return b"V" + line.replace("\x1a", "\\u001a").encode("raw-unicode-escape") + b"\n"
        case "escaped":
            return b"V" + b"".join(b"\\U%08x" % ord(letter) for letter in text) + b"\n"
        case "S" if text.isascii():
            return b"S" + repr(text).encode() + b"\n"
        case "T" if text.isascii():
            return b"T" + struct.pack("<I", len(data)) + data
        case "U" if text.isascii() and len(data) < 256:
            return b"U" + bytes([len(data)]) + data
    return b"X" + struct.pack("<I", len(data)) + data


def written_number(number: int, style: Style) -> bytes:
    raw = number.to_bytes((8 + (number + (number < 0)).bit_length()) // 8, "little", signed=True)
    match style.number:
        case "I":
            return b"I%d\n" % number
        case "L":
            return b"L%dL\n" % number
        case "long1":
            return b"\x8a" + bytes([len(raw)]) + raw
        case "padded":
            return b"\x8a\x0f" + number.to_bytes(15, "little", signed=True)
    return b"J" + struct.pack("<i", number) if -(1 << 31) <= number < 1 << 31 else b"\x8a" + bytes([len(raw)]) + raw


def written_name(module: str, name: str, writer: Writer) -> bytes:
    style = writer.style
    match style.name:
        case "c":
            return bytes(glob(module, name))
        case "texts":
            return written_text(module, style) + written_text(name, style) + b"\x93"
        case "memo":
            first = written_text(module, style) + writer.put() + b"0"
            number = writer.puts - 1
            return first + writer.get(number) + written_text(name, style) + b"\x93"
    return bytes(stack_glob(module, name))


def written_tuple(parts: list[Piece], style: Style) -> bytes:
    code = b"".join(part.code for part in parts)
    return code + SHORT_TUPLES[len(parts)] if style.tuples == "short" and len(parts) < 4 else b"(" + code + b"t"


def reduced(writer: Writer) -> None:
    """A call. INST and OBJ without arguments would make the object without its __init__, so such calls stay."""
    arguments, function = writer.pop(), writer.pop()
    style, parts, name = writer.style, arguments.parts, function.name
    if style.calls == "i" and parts and name is not None:
        writer.push(b"(" + b"".join(part.code for part in parts) + b"i%s\n%s\n" % (name[0].encode(), name[1].encode()))
    elif style.calls == "o" and parts and name is not None:
        writer.push(b"(" + function.code + b"".join(part.code for part in parts) + b"o")
    else:
        writer.push(function.code + arguments.code + b"R")


def collected(operation: str, writer: Writer) -> None:
    """APPENDS and SETITEMS."""
    parts, holder = writer.slice(), writer.pop()
    width, each, many = (1, b"a", b"e") if operation == "APPENDS" else (2, b"s", b"u")
    if writer.style.items == "many":
        writer.push(holder.code + b"(" + b"".join(part.code for part in parts) + many)
    elif writer.style.items == "begun" and holder.code in {b"]", b"}"}:
        writer.push(b"(" + b"".join(part.code for part in parts) + (b"l" if width == 1 else b"d"))
    else:
        code = b"".join(
            b"".join(part.code for part in parts[n : n + width]) + each for n in range(0, len(parts), width)
        )
        writer.push(holder.code + code)


def memoised(operation: str, argument: object, writer: Writer) -> None:
    old = writer.puts if operation == "MEMOIZE" else int(str(argument))
    if operation in GETS:
        if old not in writer.numbers:
            raise UnwrittenError("nothing in the memo")
        writer.push(writer.get(writer.numbers[old]))
        return
    if operation == "MEMOIZE":
        old = len(writer.numbers)
    writer.append(writer.put())
    writer.numbers[old] = writer.puts - 1


def step(operation: str, argument: object, raw: bytes, writer: Writer) -> None:
    """One opcode of the old stream."""
    style = writer.style
    match operation:
        case "PROTO" | "FRAME":
            return
        case "MARK":
            writer.stack.append(None)
        case "POP":
            writer.append(writer.pop().code + b"0")
        case "POP_MARK":
            writer.append(b"(" + b"".join(part.code for part in writer.slice()) + b"1")
        case "DUP":
            writer.append(b"")
            writer.push(raw)
        case "STACK_GLOBAL":
            name, module = writer.pop(), writer.pop()
            if name.text is not None and module.text is not None:
                writer.push(written_name(module.text, name.text, writer), name=(module.text, name.text))
            else:
                writer.push(module.code + name.code + raw)
        case "GLOBAL":
            module_name, _, plain_name = str(argument).partition(" ")
            writer.push(written_name(module_name, plain_name, writer), name=(module_name, plain_name))
        case "TUPLE":
            parts = writer.slice()
            writer.push(written_tuple(parts, style), parts=parts)
        case "REDUCE":
            reduced(writer)
        case "APPENDS" | "SETITEMS":
            collected(operation, writer)
        case _ if operation in TEXTS:
            writer.push(written_text(str(argument), style), text=str(argument))
        case _ if operation in NUMBERS and not isinstance(argument, bool):
            writer.push(written_number(int(str(argument)), style))
        case _ if operation in TUPLES:
            parts = [writer.pop() for _ in range(TUPLES[operation])][::-1]
            writer.push(written_tuple(parts, style), parts=parts)
        case _ if operation in PUTS | GETS:
            memoised(operation, argument, writer)
        case _:
            other(operation, raw, writer)


def other(operation: str, raw: bytes, writer: Writer) -> None:
    """An opcode that every style writes as it is."""
    info = next(code for code in pickletools.opcodes if code.name == operation)
    if pickletools.markobject in info.stack_before:
        code = b"(" + b"".join(part.code for part in writer.slice())
        extra = info.stack_before.index(pickletools.markobject)
    else:
        code, extra = b"", len(info.stack_before)
    for _ in range(extra):
        code = writer.pop().code + code
    writer.push(code + raw)


def rewritten(data: bytes, style: Style) -> bytes:
    """The stream in another style; raises UnwrittenError where it cannot be."""
    found = list(pickletools.genops(data))
    writer = Writer(style)
    ends = [place for _, _, place in found[1:]] + [len(data)]
    for (info, argument, place), end in zip(found, ends, strict=True):
        if info.name == "STOP":
            break
        step(info.name, argument, data[place or 0 : end], writer)
    if len(writer.stack) != 1 or writer.stack[0] is None:
        raise UnwrittenError("more than one object is left")
    body = writer.before + writer.stack[0].code + b"."
    if style.frames:
        body = framed(body)
    return (b"" if style.protocol is None else b"\x80" + bytes([style.protocol])) + body


def framed(body: bytes) -> bytes:
    """Every opcode in a frame of its own."""
    places = [place or 0 for _, _, place in pickletools.genops(body)] + [len(body)]
    cuts = [body[start:end] for start, end in pairwise(places)]
    return b"".join(b"\x95" + struct.pack("<Q", len(cut)) + cut for cut in cuts)


STYLES: dict[str, tuple[Style, str]] = {
    "text-opcodes": (Style(protocol=None, text="V", memo="p", number="I", items="one"), "protocol 0 opcodes"),
    "text-under-4": (Style(protocol=4, text="V", memo="p", number="L", items="begun"), "protocol 0 opcodes under a header of 4"),
    "text-escaped": (Style(protocol=4, text="escaped", name="texts", number="I"), "every letter of every text escaped"),
    "binary-1": (Style(protocol=1, memo="q", tuples="mark"), "protocol 1 opcodes"),
    "short-2": (Style(protocol=2, tuples="short", memo="r", items="one"), "protocol 2 opcodes, long memo numbers"),
    "four": (Style(text="short", name="texts", tuples="short", memo="memoize", number="long1"), "protocol 4 opcodes"),
    "five-frames": (Style(protocol=5, text="short", name="texts", tuples="short", memo="memoize", frames=True), "every opcode in a frame"),
    "long-text": (Style(text="long8", name="texts", tuples="short", number="padded"), "BINUNICODE8 and padded integers"),
    "old-strings": (Style(text="S", name="texts", memo="p"), "Python 2 strings as names and arguments"),
    "old-binary": (Style(text="U", name="texts", memo="r"), "SHORT_BINSTRING as names and arguments"),
    "inst": (Style(calls="i", text="V"), "INST in place of REDUCE"),
    "obj": (Style(calls="o", name="texts", text="short"), "OBJ in place of REDUCE"),
    "obj-global": (Style(calls="o", text="T", memo="r", protocol=2), "OBJ with GLOBAL, BINSTRING"),
    "through-memo": (Style(around="memo", name="texts", text="short"), "every object put into the memo, popped and fetched"),
    "module-memo": (Style(name="memo", memo="memoize", text="long8"), "module names fetched from the memo"),
    "dup-each": (Style(around="dup", tuples="short"), "every object copied and the copy popped"),
    "no-header": (Style(protocol=None, text="short", name="texts", tuples="short", memo="memoize"), "protocol 4 opcodes without a header"),
    "header-zero": (Style(protocol=0, text="short", name="texts", tuples="short", calls="o"), "protocol 4 opcodes under a header of 0"),
}  # fmt: skip
"""Dotted names need a header of 4, so the lower protocols are given streams without them."""
