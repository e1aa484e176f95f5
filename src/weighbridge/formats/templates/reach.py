"""What a chat template reaches for that leads out of a sandbox, or out of Jinja where nobody put one around it.

Every escape goes by an attribute that starts with an underscore, or by the frame of a generator; none of these stands in an honest
template, because the sandbox refuses them. A key may be put together from pieces: what can be calculated is, and a key of text that
cannot be is said to be unjudged. Source: jinja2/sandbox.py `is_safe_attribute` and `is_internal_attribute`, jinja2/filters.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import chain

from weighbridge.formats.headers.text_demands import unsafe_in_template
from weighbridge.formats.templates.syntax import Expr, Node, TemplateSyntaxError

_FRAMES = frozenset(
    [
        "gi_frame",
        "gi_code",
        "gi_yieldfrom",
        "cr_frame",
        "cr_code",
        "cr_await",
        "cr_origin",
        "ag_frame",
        "ag_code",
        "ag_await",
        "tb_frame",
        "tb_next",
        "f_back",
        "f_builtins",
        "f_code",
        "f_globals",
        "f_locals",
        "func_code",
        "func_globals",
        "im_func",
        "im_self",
        "mro",
    ]
)
_FIELD = re.compile(r"\{\w*(?:\.\w+|\[\w+\])*[.\[](?:_|gi_|cr_|ag_|tb_|f_)")
_PIECE = re.compile(r"(?<!\w)__[a-z]|[a-z]__(?!\w)", re.IGNORECASE)
_ASKS = frozenset(["get", "items", "keys", "values", "startswith", "endswith", "count", "find", "index"])
_KEYED = frozenset(
    ["map", "selectattr", "rejectattr", "sort", "groupby", "unique", "sum", "min", "max", "join", "attr"]
)
"""Filters that take the name of an attribute, as their first argument or as `attribute`."""
_MAKES_TEXT = frozenset(
    [
        "capitalize",
        "center",
        "e",
        "escape",
        "first",
        "forceescape",
        "format",
        "indent",
        "join",
        "last",
        "list",
        "lower",
        "random",
        "replace",
        "reverse",
        "safe",
        "string",
        "title",
        "trim",
        "truncate",
        "unique",
        "upper",
        "urlencode",
        "urlize",
        "wordwrap",
        "batch",
        "slice",
        "sort",
        "min",
        "max",
        "tojson",
        "pprint",
        "xmlattr",
        "striptags",
    ]
)
_ALWAYS_TEXT = frozenset(["string", "pprint", "tojson", "xmlattr"])
_ANSWERS = frozenset(["not", "in", "==", "!=", "<", ">", "<=", ">="])
_LIMIT = 4096
_PASSES = 3
"""How often names are followed from one assignment to the next."""
_STEP_LIMIT = 250_000


class Reach:
    """One template while it is looked at. `unsafe` is the first thing that leads out, `doubt` what cannot be calculated."""

    def __init__(self, nodes: Iterable[Node]) -> None:
        self.unsafe = ""
        self.doubt = ""
        self.steps = 0
        self._nodes = list(_all_nodes(nodes))
        self._exprs = list(_all_exprs(chain.from_iterable(node.exprs for node in self._nodes)))
        self._texts: dict[str, str | None] = {}
        self._made: set[str] = set()
        self._parts: set[str] = set()
        self._macros = {node.names[0]: node for node in self._nodes if node.kind == "macro"}
        for _ in range(_PASSES):
            for node in self._nodes:
                self._bind(node)
            for expr in self._exprs:
                self._bind_arguments(expr)
        for expr in self._exprs:
            self._look(expr)
        said = {id(expr) for node in self._nodes if node.kind == "output" for expr in _said(node.exprs[0])}
        for expr in self._exprs:
            is_piece = expr.kind == "const" and isinstance(expr.value, str) and _PIECE.search(expr.value)
            if is_piece and id(expr) not in said:
                self.doubt = self.doubt or "it holds a piece of a name that leads out of a sandbox"

    def _bind(self, node: Node) -> None:
        match node.kind:
            case "set" if node.blocks:
                self._made.update(node.names)
            case "set" | "for" | "with":
                for number, name in enumerate(node.names):
                    expr = node.exprs[min(number, len(node.exprs) - 1)] if node.exprs else Expr("const")
                    self._give(name, expr, is_whole=node.kind != "for")
            case "macro":
                for parameter in node.exprs:
                    if parameter.kind == "keyword":
                        self._give(parameter.name, parameter.parts[0], is_whole=False)

    def _give(self, name: str, expr: Expr, *, is_whole: bool) -> None:
        """Note that a name may be this."""
        if expr.kind == "call" and expr.parts[0].kind == "name" and expr.parts[0].name == "namespace":
            for part in expr.parts[1:]:
                self._hand_over(f"{name}.{part.name}", part.parts[0] if part.kind == "keyword" else part)
            return
        text = self._text(expr) if is_whole else None
        if text is not None and self._texts.setdefault(name, text) == text:
            return
        if text is not None or self._is_made(expr):
            self._made.add(name)
        elif self._holds_text(expr):
            self._parts.add(name)

    def _bind_arguments(self, expr: Expr) -> None:
        """Arguments of macros and of `namespace` go by other names inside."""
        if expr.kind != "call":
            return
        callee = expr.parts[0]
        is_added = callee.kind == "attr" and callee.name in ("append", "extend", "insert", "update")
        if is_added and callee.parts[0].kind == "name" and any(map(self._is_made, expr.parts[1:])):
            self._made.add(callee.parts[0].name)
        macro = self._macros.get(callee.name) if callee.kind == "name" else None
        for number, part in enumerate(expr.parts[1:]):
            if part.kind == "keyword":
                self._hand_over(part.name, part.parts[0])
            elif macro is not None and number < len(macro.exprs):
                self._hand_over(macro.exprs[number].name, part)

    def _hand_over(self, name: str, expr: Expr) -> None:
        if self._is_made(expr):
            self._made.add(name)
        elif self._holds_text(expr):
            self._parts.add(name)

    def _step(self) -> None:
        self.steps += 1
        if self.steps > _STEP_LIMIT:
            raise TemplateSyntaxError("it is more than this release follows")

    def _text(self, expr: Expr, depth: int = 0) -> str | None:
        """The text that an expression is, where that can be calculated."""
        self._step()
        if depth > 20:
            return None
        if expr.kind == "const":
            return expr.value if isinstance(expr.value, str) else None
        if expr.kind == "name":
            return None if expr.name in self._made else self._texts.get(expr.name)
        if expr.kind == "keyword":
            return self._text(expr.parts[0], depth + 1)
        if expr.kind == "op" and expr.name in ("~", "+"):
            return _joined([self._text(part, depth + 1) for part in expr.parts])
        if expr.kind == "slice":
            text = self._text(expr.parts[0], depth + 1)
            return text[::-1] if text is not None and [part.value for part in expr.parts[1:]] == [-1] else None
        if expr.kind == "filter":
            return self._filtered(expr.name, expr.parts, depth)
        if expr.kind == "call" and expr.parts[0].kind == "attr":
            callee = expr.parts[0]
            return self._filtered(callee.name, (callee.parts[0], *expr.parts[1:]), depth)
        return None

    def _filtered(self, name: str, parts: tuple[Expr, ...], depth: int) -> str | None:
        if name == "join" and parts[0].kind == "list" and len(parts) == 1:
            return _joined([self._text(part, depth + 1) for part in parts[0].parts])
        texts = [self._text(part, depth + 1) for part in parts]
        known = [text for text in texts if text is not None]
        if len(known) != len(texts):
            return None
        match name, known:
            case (("lower" | "upper" | "title" | "capitalize"), [text]):
                return str(getattr(text, name)())
            case "reverse", [text]:
                return text[::-1]
            case (("trim" | "string" | "safe"), [text]):
                return text.strip() if name == "trim" else text
            case "replace", [text, old, new] if len(text) < _LIMIT and len(new) < 64:
                return text.replace(old, new)[:_LIMIT]
        return None

    def _is_made(self, expr: Expr, depth: int = 0) -> bool:
        """Whether an expression is, or holds, a text that the template puts together from pieces of its own."""
        self._step()
        if depth > 20:
            return True
        if expr.kind == "name":
            return expr.name in self._made
        if expr.kind in ("keyword", "if", "list", "dict", "slice", "item"):
            has_own = expr.kind == "slice" and self._holds_text(expr.parts[0])
            is_letter = expr.kind == "item" and self._text(expr.parts[0]) is not None
            return has_own or is_letter or any(self._is_made(part, depth + 1) for part in expr.parts)
        if expr.kind == "attr":
            return _dotted(expr) in self._made or self._is_made(expr.parts[0], depth + 1)
        if expr.kind == "op":
            is_text = expr.name == "~" or (expr.name in ("+", "*", "%") and any(map(self._holds_text, expr.parts)))
            return is_text or (expr.name in ("or", "and", "+", "*", "%") and any(map(self._is_made, expr.parts)))
        if expr.kind == "filter":
            return expr.name in _ALWAYS_TEXT or (
                expr.name in (*_MAKES_TEXT, "map", "default", "d") and any(map(self._holds_text, expr.parts))
            )
        if expr.kind == "call" and expr.parts[0].kind == "attr":
            owner = expr.parts[0].parts[0]
            return (expr.parts[0].name not in _ASKS and self._holds_text(owner)) or self._is_made(owner)
        return expr.kind == "call" and (
            any(map(self._is_made, expr.parts[1:]))
            or (expr.parts[0].name == "dict" and len(expr.parts) > 1)
            or expr.parts[0].name in self._macros
            or expr.parts[0].name == "caller"
        )

    def _holds_text(self, expr: Expr) -> bool:
        """Whether there is text of the template's own in it."""
        return any(
            (part.kind == "const" and isinstance(part.value, str) and any(map(str.isalnum, part.value)))
            or (part.kind == "const" and isinstance(part.value, str) and "_" in part.value)
            or (part.kind == "name" and part.name in self._made | self._parts | self._texts.keys())
            or (part.kind == "attr" and _dotted(part) in self._made | self._parts)
            or (part.kind == "call" and part.parts[0].name == "dict")
            or (part.kind == "filter" and part.name in _ALWAYS_TEXT)
            for part in self._counted(expr)
        )

    def _counted(self, expr: Expr) -> Iterator[Expr]:
        """An expression and what it is made of, but for keys under which something is looked up, and questions."""
        pending = [expr]
        while pending:
            self._step()
            part = pending.pop()
            yield part
            match part.kind:
                case "item":
                    pending += part.parts[:1]
                case "if":
                    pending += part.parts[1:]
                case "call" if part.parts[0].kind == "attr" and part.parts[0].name == "get":
                    pending += (part.parts[0], *part.parts[2:])
                case "test":
                    pass
                case "op" if part.name in _ANSWERS:
                    pass
                case _:
                    pending += part.parts

    def _look(self, expr: Expr) -> None:
        if expr.kind == "attr":
            self._look_at_name(expr.name)
        elif expr.kind == "item":
            for key in expr.parts[1:]:
                self._look_at_key(key)
        elif expr.kind == "filter" and expr.name in _KEYED:
            keys = [p for p in expr.parts[1:] if p.kind != "keyword" or p.name == "attribute"]
            for key in keys:
                text = self._text(key)
                for name in (text or "").split("."):
                    self._look_at_name(name)
                if expr.name == "map" and text == "attr":
                    self._report("map('attr')")
                if text is None and self._is_made(key):
                    self.doubt = self.doubt or "a key of it is put together"
        text = None if expr.kind in ("name", "keyword") else self._text(expr)
        if text is not None and (expr.kind == "const" or len(text) < _LIMIT):
            self._report(text if text in _FRAMES or _FIELD.search(text) else unsafe_in_template(text))

    def _look_at_key(self, key: Expr) -> None:
        text = self._text(key)
        if text is not None:
            self._look_at_name(text)
        elif self._is_made(key):
            self.doubt = self.doubt or "a key of it is put together"

    def _look_at_name(self, name: str) -> None:
        if name.startswith("_") or name in _FRAMES:
            self._report(name)

    def _report(self, what: str) -> None:
        self.unsafe = self.unsafe or what[:80]


def _dotted(expr: Expr) -> str:
    return f"{expr.parts[0].name}.{expr.name}" if expr.parts[0].kind == "name" else ""


def _said(expr: Expr) -> Iterator[Expr]:
    """What is put into the text as it is."""
    pending = [expr]
    while pending:
        part = pending.pop()
        yield part
        pending += part.parts if part.kind in ("op", "if") else ()


def _joined(texts: list[str | None]) -> str | None:
    known = [text for text in texts if text is not None]
    return "".join(known) if len(known) == len(texts) and sum(map(len, known)) < _LIMIT else None


def _all_nodes(nodes: Iterable[Node]) -> Iterator[Node]:
    pending = list(nodes)
    while pending:
        node = pending.pop()
        yield node
        for block in node.blocks:
            pending += block


def _all_exprs(exprs: Iterable[Expr]) -> Iterator[Expr]:
    pending = list(exprs)
    while pending:
        expr = pending.pop()
        yield expr
        pending += expr.parts


def reach_of(nodes: Iterable[Node]) -> Reach:
    """What a template reaches for that leads out of a sandbox, and what of it nobody can say; both empty where there is nothing.

    Raises:
        TemplateSyntaxError: it is more than this release follows.
    """
    try:
        return Reach(nodes)
    except RecursionError:
        raise TemplateSyntaxError("it nests deeper than this release follows") from None
