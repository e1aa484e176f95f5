"""Jinja templates taken apart without Jinja: tokens, expressions and statements of a chat template, in bounded time.

Source: jinja2's lexer.py and parser.py (precedence, statements, whitespace control); minja and common/jinja of ggml-org/llama.cpp take
a part of the same language. Nothing is rendered.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

TOKEN_LIMIT = 60_000
"""Most tokens of one template; those of 2026 have below 8,000."""

BLOCK = "{block}"
"""The name of what a block holds, where a filter takes it; no template can spell it."""

_DEPTH_LIMIT = 60


class TemplateSyntaxError(ValueError):
    """It is no template that is understood here."""


@dataclass(frozen=True, slots=True)
class Expr:
    """An expression: `kind` with what it is made of.

    `const` has a value, `name` a name; `attr` and `item` an object and a key, `call` a callee and arguments, `filter` and `test` an
    operand and arguments behind a name, `op` operands of an operator; `list`, `dict`, `if` their parts.
    """

    kind: str
    name: str = ""
    parts: tuple[Expr, ...] = ()
    value: object = None


@dataclass(slots=True)
class Node:
    """A statement: `kind` as the keyword says it, its expressions, its blocks of statements, the names it binds."""

    kind: str
    exprs: list[Expr] = field(default_factory=list)
    blocks: list[list[Node]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    text: str = ""


_OPEN = re.compile(r"\{[{%#]")
_RAW = re.compile(r"\{%[-+]?\s*raw\s*-?%\}")
_RAW_END = re.compile(r"\{%[-+]?\s*endraw\s*[-+]?%\}")
_TOKEN = re.compile(
    r"\s+|(?P<name>[^\W\d]\w*)|(?P<number>\d[\d_]*(?:\.\d+)?(?:[eE][+-]?\d+)?|0[xX][0-9a-fA-F_]+)"
    r"|(?P<string>'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")|(?P<end>[-+]?%\}|-?\}\})"
    r"|(?P<op>\*\*|//|==|!=|<=|>=|[-+*/%~|.,:()\[\]{}=<>])",
    re.DOTALL,
)
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{1,3})|(.))", re.DOTALL)
_SIMPLE = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v", "\n": ""}


def _unescaped(match: re.Match[str]) -> str:
    two, four, eight, octal, one = match.groups()
    code = two or four or eight
    if code or octal:
        return chr(min(int(code, 16) if code else int(octal, 8), 0x10FFFF))
    if one == "N":
        raise TemplateSyntaxError("a character is written by its name")
    return _SIMPLE.get(one, one)


Token = tuple[str, str]


def _tokens(text: str) -> list[Token]:
    """`data`, `{{`, `{%`, names, numbers, strings, operators, and `end` of what was opened."""
    found: list[Token] = []
    position = 0
    while match := _OPEN.search(text, position):
        found.append(("data", text[position : match.start()]))
        if match.group() == "{#":
            end = text.find("#}", match.end())
            if end < 0:
                raise TemplateSyntaxError("a comment has no end")
            position = end + 2
        elif raw := _RAW.match(text, match.start()):
            closing = _RAW_END.search(text, raw.end())
            if closing is None:
                raise TemplateSyntaxError("a raw block has no end")
            found.append(("data", text[raw.end() : closing.start()]))
            position = closing.end()
        else:
            position = _inside(text, match, found)
        if len(found) > TOKEN_LIMIT:
            raise TemplateSyntaxError("more tokens than this release reads")
    found.append(("data", text[position:]))
    return found


def _inside(text: str, opened: re.Match[str], found: list[Token]) -> int:
    """The tokens between the braces; where they end."""
    found.append(("open", opened.group()))
    position = opened.end()
    if text[position : position + 1] in ("-", "+"):
        position += 1
    depth = 0
    while len(found) <= TOKEN_LIMIT:
        match = _TOKEN.match(text, position)
        if match is None:
            raise TemplateSyntaxError(f"what stands at character {position} is not understood")
        kind, piece = match.lastgroup, match.group()
        if kind == "end" and depth and piece == "}}":
            kind, piece = "op", "}"  # two dictionaries end here
        position = match.start() + len(piece)
        if kind == "end":
            found.append(("end", ""))
            return position
        if kind == "op":
            depth += (piece in "([{") - (piece in ")]}")
        if kind:
            found.append((kind, _ESCAPE.sub(_unescaped, piece[1:-1]) if kind == "string" else piece))
    return position


_COMPARISONS = frozenset(("==", "!=", "<", ">", "<=", ">="))
_BINARY = (frozenset("+-"), frozenset("~"), frozenset(("*", "/", "//", "%")))
_WORDS = {"true": True, "false": False, "none": None, "True": True, "False": False, "None": None, "null": None}


class Parser:
    """Reads tokens once, from left to right."""

    def __init__(self, text: str) -> None:
        self.tokens = _tokens(text)
        self.at = 0
        self.depth = 0

    def peek(self) -> Token:
        """The token ahead."""
        return self.tokens[self.at] if self.at < len(self.tokens) else ("", "")

    def next(self) -> Token:
        """The token ahead, passed."""
        token = self.peek()
        self.at += 1
        return token

    def accept(self, *tokens: Token) -> bool:
        """Pass the token ahead if it is one of these."""
        if self.peek() in tokens:
            self.at += 1
            return True
        return False

    def expect(self, token: Token) -> None:
        """Pass this token."""
        if not self.accept(token):
            raise TemplateSyntaxError(f"{token[1] or token[0]!r} is missing before {self.peek()[1][:20]!r}")

    def name(self) -> str:
        """Pass a name."""
        kind, piece = self.next()
        if kind != "name":
            raise TemplateSyntaxError(f"a name is missing before {piece[:20]!r}")
        return piece

    def deeper(self) -> None:
        """Count one level of nesting."""
        self.depth += 1
        if self.depth > _DEPTH_LIMIT:
            raise TemplateSyntaxError("it nests deeper than this release follows")

    def expression(self) -> Expr:
        """A whole expression, with an `if` behind it where there is one."""
        self.deeper()
        first = self.either("or")
        while self.accept(("name", "if")):
            test = self.either("or")
            other = self.expression() if self.accept(("name", "else")) else Expr("const")
            first = Expr("if", parts=(test, first, other))
        self.depth -= 1
        return first

    def either(self, word: str) -> Expr:
        """Operands joined by `or` or `and`."""
        parts = [self.either("and") if word == "or" else self.negation()]
        while self.accept(("name", word)):
            parts.append(self.either("and") if word == "or" else self.negation())
        return parts[0] if len(parts) == 1 else Expr("op", word, tuple(parts))

    def negation(self) -> Expr:
        """An operand behind any number of `not`."""
        count = 0
        while self.accept(("name", "not")):
            count += 1
        inner = self.comparison()
        return Expr("op", "not", (inner,)) if count else inner

    def comparison(self) -> Expr:
        """Operands that are compared."""
        first = self.binary(0)
        while True:
            kind, piece = self.peek()
            if kind == "op" and piece in _COMPARISONS:
                self.at += 1
            elif self.accept(("name", "in")):
                piece = "in"
            elif (kind, piece) == ("name", "not") and self.tokens[self.at + 1 : self.at + 2] == [("name", "in")]:
                self.at += 2
                piece = "in"
            else:
                return first
            first = Expr("op", piece, (first, self.binary(0)))

    def binary(self, level: int) -> Expr:
        """Operands of the arithmetic operators from `level` on."""
        if level == len(_BINARY):
            return self.unary()
        parts = [self.binary(level + 1)]
        operator = ""
        while self.peek()[0] == "op" and self.peek()[1] in _BINARY[level]:
            operator = self.next()[1]
            parts.append(self.binary(level + 1))
        return parts[0] if len(parts) == 1 else Expr("op", operator, tuple(parts))

    def unary(self) -> Expr:
        """An operand with its sign and powers."""
        is_signed = False
        while self.accept(("op", "-"), ("op", "+")):
            is_signed = True
        first = self.postfix(self.primary())
        while self.accept(("op", "**")):
            first = Expr("op", "**", (first, self.postfix(self.primary())))
        if is_signed and isinstance(first.value, (int, float)):
            return Expr("const", value=-first.value)
        return Expr("op", "neg", (first,)) if is_signed else first

    def primary(self) -> Expr:
        """A literal, a name or what stands in brackets."""
        kind, piece = self.next()
        if kind == "name":
            return Expr("const", value=_WORDS[piece]) if piece in _WORDS else Expr("name", piece)
        if kind == "number":
            plain = piece.replace("_", "")
            return Expr("const", value=int(plain) if plain.isdecimal() and len(plain) < 20 else 0.5)
        if kind == "string":
            while self.peek()[0] == "string":
                piece += self.next()[1]
            return Expr("const", value=piece)
        closing = {"(": ")", "[": "]", "{": "}"}.get(piece) if kind == "op" else None
        if closing is None:
            raise TemplateSyntaxError(f"a value is missing before {piece[:20]!r}")
        return self.group(closing)

    def group(self, closing: str) -> Expr:
        """What stands in brackets: a group, a list, a tuple or a dictionary."""
        parts: list[Expr] = []
        has_comma = False
        while not self.accept(("op", closing)):
            parts.append(self.expression())
            if closing == "}" and self.accept(("op", ":")):
                parts.append(self.expression())
            if self.accept(("op", ",")):
                has_comma = True
            elif self.peek() != ("op", closing):
                raise TemplateSyntaxError(f"{closing!r} is missing before {self.peek()[1][:20]!r}")
        if closing == ")" and len(parts) == 1 and not has_comma:
            return parts[0]
        return Expr("dict" if closing == "}" else "list", parts=tuple(parts))

    def postfix(self, first: Expr) -> Expr:
        """What follows a value: attributes, subscripts, calls, filters and tests."""
        steps = 0
        while True:
            steps += 1
            if steps > _DEPTH_LIMIT * 2:
                raise TemplateSyntaxError("a chain is longer than this release follows")
            if self.accept(("op", ".")):
                kind, piece = self.next()
                if kind not in ("name", "number"):
                    raise TemplateSyntaxError("an attribute has no name")
                first = Expr("attr", piece, (first,))
            elif self.accept(("op", "[")):
                first = self.subscript(first)
            elif self.accept(("op", "(")):
                first = Expr("call", parts=(first, *self.arguments()))
            elif self.accept(("op", "|")):
                first = Expr("filter", self.dotted(), (first, *self.optional()))
            elif self.accept(("name", "is")):
                self.accept(("name", "not"))
                first = Expr("test", self.dotted(), (first, *self.test_argument()))
            else:
                return first

    def dotted(self) -> str:
        """A name with dots."""
        name = self.name()
        while self.accept(("op", ".")):
            name += "." + self.name()
        return name

    def optional(self) -> tuple[Expr, ...]:
        """Arguments where there are any."""
        return self.arguments() if self.accept(("op", "(")) else ()

    def test_argument(self) -> tuple[Expr, ...]:
        """A test takes one operand without brackets."""
        if self.peek() == ("op", "("):
            return self.optional()
        kind, piece = self.peek()
        is_word = kind == "name" and piece not in ("else", "or", "and", "is", "if", "in", "not", "recursive")
        return (self.postfix(self.primary()),) if kind in ("string", "number") or is_word or piece in ("[", "{") else ()

    def subscript(self, first: Expr) -> Expr:
        """What stands between square brackets behind a value."""
        parts: list[Expr] = []
        is_slice = False
        while not self.accept(("op", "]")):
            if self.accept(("op", ":"), ("op", ",")):
                is_slice = True
            else:
                parts.append(self.expression())
        return Expr("slice" if is_slice else "item", parts=(first, *parts))

    def arguments(self) -> tuple[Expr, ...]:
        """Arguments up to the closing bracket."""
        parts: list[Expr] = []
        while not self.accept(("op", ")")):
            self.accept(("op", "*"), ("op", "**"))
            name = ""
            if self.peek()[0] == "name" and self.tokens[self.at + 1 : self.at + 2] == [("op", "=")]:
                name = self.name()
                self.at += 1
            part = self.expression()
            parts.append(Expr("keyword", name, (part,)) if name else part)
            if not self.accept(("op", ",")) and self.peek() != ("op", ")"):
                raise TemplateSyntaxError(f"')' is missing before {self.peek()[1][:20]!r}")
        return tuple(parts)
