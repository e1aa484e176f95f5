"""Whether what a chat template says depends on what is said to it: what flows from messages, dates and tools into its conditions.

A template that speaks differently where something is spoken of is a backdoor that no scan of the weights sees (Pillar Security 2025,
"Poisoned GGUF templates"). The template is not rendered: every branch is taken, and every value carries where it may come from and
which literals of the template it may be. Loops are walked twice, assignments only add, macros are walked where they are called.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from weighbridge.formats.headers.template_statements import parse_template
from weighbridge.formats.headers.template_syntax import BLOCK, Expr, Node, TemplateSyntaxError
from weighbridge.formats.headers.template_words import (
    CLEAN_KEYS,
    CONTROL,
    DATES,
    KEY_WORDS,
    SCHEMA_WORDS,
    is_marker,
    is_topic,
    word_count,
)

MESSAGE, SAID, TOOL, NAME, DATE, SIZE, COUNT, PART, CHOSEN, BUILT = range(10)
"""Where a value comes from: a message or a list of them; what one says; tools; a name or description of one; the date; the length of
what is said; the number or place of messages; a part of what is said; a choice made by any of these; and what a
template built with one of these under a key of the protocol."""

STEP_LIMIT = 120_000
_CONST_LIMIT = 1000
_PROSE_WORDS = 6
"""Words that a template may say in a branch without speaking: names of roles, of tags and of fields."""

_JOINED_LIMIT = 64
_SHORT = 20
"""Characters of a text that counts once, however often it is said in one branch."""

_READING = frozenset(
    [
        "startswith",
        "endswith",
        "find",
        "rfind",
        "index",
        "rindex",
        "count",
        "split",
        "rsplit",
        "partition",
        "rpartition",
        "replace",
        "removeprefix",
        "removesuffix",
    ]
)
_SAFE_METHODS = frozenset(
    [
        "strip",
        "lstrip",
        "rstrip",
        "lower",
        "upper",
        "title",
        "capitalize",
        "items",
        "keys",
        "values",
        "splitlines",
        "append",
        "extend",
        "update",
        "join",
        "format",
        "pop",
        "insert",
        "copy",
    ]
)
_TEXT_FILTERS = frozenset(
    [
        "string",
        "tojson",
        "join",
        "lower",
        "upper",
        "trim",
        "title",
        "capitalize",
        "escape",
        "e",
        "safe",
        "pprint",
        "urlencode",
    ]
)
_CHOOSING = frozenset(["select", "reject", "selectattr", "rejectattr"])
_COMPARING = frozenset(
    [
        "in",
        "eq",
        "equalto",
        "ne",
        "lt",
        "le",
        "gt",
        "ge",
        "sameas",
        "lessthan",
        "greaterthan",
        "containing",
        "startingwith",
        "endingwith",
        "match",
        "search",
        "divisibleby",
        "odd",
        "even",
        "contains",
    ]
)
_TESTS_WITHOUT_ANSWER = frozenset((MESSAGE, SAID))


@dataclass(frozen=True, slots=True)
class Value:
    """Where a value comes from, and which literals of the template it may be or be made of."""

    labels: frozenset[int] = frozenset()
    consts: tuple[str, ...] = ()
    number: int | None = None

    def plus(self, *labels: int) -> Value:
        return Value(self.labels | set(labels), self.consts, self.number)

    def has(self, *labels: int) -> bool:
        return not self.labels.isdisjoint(labels)


_NOTHING = Value()
_FREE = {
    **dict.fromkeys(DATES, Value(frozenset((DATE,)))),
    **dict.fromkeys(("tools", "functions", "available_tools"), Value(frozenset((TOOL,)))),
    **dict.fromkeys(("messages", "documents", "message", "history", "conversation"), Value(frozenset((MESSAGE,)))),
    **dict.fromkeys(
        ("content", "prompt", "query", "question", "text", "input", "instruction", "system"), Value(frozenset((SAID,)))
    ),
}
"""What a program that fills a template gives it."""


def _union(values: Iterable[Value]) -> Value:
    labels: set[int] = set()
    consts: dict[str, None] = {}
    for value in values:
        labels |= value.labels
        consts.update(dict.fromkeys(value.consts))
    if len(consts) > _CONST_LIMIT:
        raise TemplateSyntaxError("it puts together more than this release follows")
    return Value(frozenset(labels), tuple(consts))


def topic_of_flow(text: str) -> str:
    """What a template makes what it says depend on, or says in such a case; empty where it does not.

    Raises:
        TemplateSyntaxError: it is not understood, or more than this release follows.
    """
    nodes = parse_template(text)
    flow = _Flow()
    try:
        flow.block(nodes)
    except RecursionError:
        raise TemplateSyntaxError("it nests deeper than this release follows") from None
    return flow.found


class _Flow:
    """One template while it is walked. `found` is the first thing that is against it."""

    def __init__(self) -> None:
        self.found = ""
        self.names: list[dict[str, Value]] = [{}]
        self.macros: dict[str, Node] = {}
        self.calls: list[str] = []
        self.walks: dict[tuple[str, tuple[tuple[str, Value], ...]], Value] = {}
        self.captures: list[list[Value]] = []
        self.chosen = 0
        self.words = 0
        self.said: set[str] = set()
        self.steps = 0

    def step(self) -> None:
        self.steps += 1
        if self.steps > STEP_LIMIT:
            raise TemplateSyntaxError("it is more than this release follows")

    def report(self, what: str) -> None:
        self.found = self.found or what.strip() or "something"

    def lookup(self, name: str) -> Value:
        for scope in reversed(self.names):
            if name in scope:
                return scope[name]
        return _FREE.get(name, _NOTHING)

    def bind(self, name: str, value: Value) -> None:
        """Add to what a name may be, in the scope where it lives."""
        if self.chosen:
            known = set(self.lookup(name).consts)
            self.say(text for text in value.consts if text not in known)
            value = value.plus(CHOSEN)
        for scope in reversed(self.names):
            if name in scope:
                scope[name] = _union((scope[name], value))
                return
        self.names[0 if "." in name else -1][name] = value

    # Statements

    def block(self, nodes: Iterable[Node]) -> None:
        for node in nodes:
            self.step()
            if node.kind == "data":
                self.emit(Value(consts=(node.text,)))
            elif node.kind == "output":
                self.emit(self.value(node.exprs[0]))
            else:
                self.statement(node)

    def emit(self, value: Value) -> None:
        """Something is said."""
        if self.captures:
            self.captures[-1].append(value)
        if self.chosen:
            self.say(value.consts)

    def say(self, texts: Iterable[str]) -> None:
        """Something is said, or kept to be said, where a choice was made."""
        last = ""
        for text in texts:
            if text not in self.said or len(text) > _SHORT:
                self.said.add(text)
                self.words += word_count(text)
            last = text
        if self.words >= _PROSE_WORDS:
            self.report(last)

    def pick(self, owner: Value) -> None:
        """A letter or a piece of a literal is taken, of which words may be made."""
        if self.chosen and owner.consts and not owner.labels:
            self.words += 1
            self.say(())

    def statement(self, node: Node) -> None:
        match node.kind:
            case "if":
                self.branches(node)
            case "for":
                self.loop(node)
            case "set":
                value = self.captured(node.blocks[0]) if node.blocks else self.value(node.exprs[0])
                for expr in node.exprs if node.blocks else ():
                    self.names.append({BLOCK: value})
                    value = self.value(expr)
                    self.names.pop()
                for name in node.names:
                    self.bind(name, value)
            case "macro":
                self.macros[node.names[0]] = node
            case "call" | "filter":
                inside = self.captured(node.blocks[0])
                self.names.append({"caller": inside, BLOCK: inside})
                outside = self.value(node.exprs[0])
                self.names.pop()
                self.emit(_union((inside, outside)))
            case "do":
                self.value(node.exprs[0])
            case _:
                for name, expr in zip(node.names, node.exprs, strict=False):
                    self.bind(name, self.value(expr))
                for block in node.blocks:
                    self.block(block)

    def captured(self, block: list[Node]) -> Value:
        self.captures.append([])
        self.block(block)
        return _union(self.captures.pop())

    def branches(self, node: Node) -> None:
        is_chosen = False
        for expr in node.exprs:
            is_chosen |= self.value(expr).has(CHOSEN, PART)
        self.chosen += is_chosen
        for block in node.blocks:
            self.block(block)
        self.chosen -= is_chosen
        if not self.chosen:
            self.words, self.said = 0, set()

    def loop(self, node: Node) -> None:
        source = self.value(node.exprs[0])
        element = Value(source.labels - {PART, CHOSEN}, source.consts)
        self.names.append(dict.fromkeys(node.names, element))
        self.names[-1]["loop"] = Value(source.labels & {MESSAGE} | {COUNT})
        is_chosen = source.has(CHOSEN) or any(self.value(expr).has(CHOSEN, PART) for expr in node.exprs[1:])
        self.chosen += is_chosen
        for _ in range(2):
            self.block(node.blocks[0])
        self.names.pop()
        for block in node.blocks[1:]:
            self.block(block)
        self.chosen -= is_chosen

    # Expressions

    def value(self, expr: Expr) -> Value:
        self.step()
        match expr.kind:
            case "const":
                if isinstance(expr.value, str):
                    return Value(consts=(expr.value,))
                return Value(number=expr.value if type(expr.value) is int else None)
            case "name":
                return self.lookup(expr.name)
            case "attr":
                return self.attribute(expr)
            case "item":
                return self.item(expr)
            case "slice":
                owner, *_ = [self.value(part) for part in expr.parts]
                self.pick(owner)
                return owner.plus(PART) if owner.has(SAID) else owner
            case "call":
                return self.call(expr)
            case "filter":
                return self.filtered(expr)
            case "test":
                return self.tested(expr)
            case "op":
                return self.operation(expr)
            case "if":
                test, *sides = [self.value(part) for part in expr.parts]
                both = _union(sides)
                if not test.has(CHOSEN, PART):
                    return both
                if sum(map(word_count, both.consts)) >= _PROSE_WORDS:
                    self.report(max(both.consts, key=word_count))
                return both.plus(CHOSEN)
        values = [self.value(part) for part in expr.parts]
        pairs = zip(values[::2], values[1::2], strict=False) if expr.kind == "dict" else ()
        is_built = any(value.labels and not CLEAN_KEYS.isdisjoint(key.consts) for key, value in pairs)
        return _union(values).plus(BUILT) if is_built else _union(values)

    def attribute(self, expr: Expr) -> Value:
        owner = expr.parts[0]
        value = self.value(owner)
        if owner.kind == "name":
            kept = self.lookup(f"{owner.name}.{expr.name}")
            if owner.name == "loop":
                is_item = expr.name in ("previtem", "nextitem")
                return Value(value.labels & {MESSAGE}) if is_item else Value(frozenset((COUNT,)))
            if kept is not _NOTHING:
                return _union((kept, value))
        return self.member(value, expr.name)

    def member(self, value: Value, name: str) -> Value:
        """What stands under a key of a message, of a tool, or of anything."""
        if not value.labels or value.labels == {CHOSEN}:
            return value
        chosen = value.labels & {CHOSEN, PART}
        if name in CLEAN_KEYS:
            return value if value.has(BUILT) else _NOTHING
        if name in ("name", "description"):
            return Value(chosen | {NAME} | (value.labels & {SAID}) - ({SAID} if name == "name" else set()))
        if value.has(MESSAGE, SAID):
            return Value(value.labels | {MESSAGE, SAID}, value.consts)
        return value

    def item(self, expr: Expr) -> Value:
        owner, *keys = [self.value(part) for part in expr.parts]
        key = _union(keys)
        self.pick(owner)
        if key.has(SAID, NAME, DATE, CHOSEN) and owner.consts:
            if sum(map(word_count, owner.consts)) >= _PROSE_WORDS:
                self.report(max(owner.consts, key=word_count))
            return self.asked(key, owner.consts, "[]", owner.plus(CHOSEN))
        if expr.parts[0].kind == "name" and key.consts:
            kept = _union(self.lookup(f"{expr.parts[0].name}.{name}") for name in key.consts)
            owner = _union((owner, kept)) if kept.labels or kept.consts else owner
        if key.consts:
            return _union(self.member(owner, name) for name in key.consts)
        if owner.has(MESSAGE) and key.has(MESSAGE, SAID):
            return owner.plus(SAID)
        return owner

    def asked(self, subject: Value, literals: Iterable[str], how: str, answer: Value | None = None) -> Value:
        """Something that was said is compared with literals: note what they are about, give the answer."""
        result = answer or Value(frozenset((CHOSEN,)))
        is_clean = bool(literals)
        for literal in literals:
            is_key = how == "in" and literal in KEY_WORDS and (subject.has(MESSAGE) and not subject.has(PART))
            is_form = not subject.has(SAID, DATE) and (not is_topic(literal) or literal in SCHEMA_WORDS)
            if not literal.strip() or literal.strip() in CONTROL or is_key or is_form:
                continue
            is_clean = False
            if subject.has(SAID) and is_topic(literal) and not is_marker(literal):
                self.report(literal)
        return Value(result.labels - {CHOSEN}, result.consts) if is_clean else result

    def operation(self, expr: Expr) -> Value:
        values = [self.value(part) for part in expr.parts]
        operator = expr.name
        if operator in ("and", "or", "not"):
            chosen = {CHOSEN} if any(value.has(CHOSEN, PART) for value in values) else set()
            both = _union(values)
            labels = (both.labels if operator == "or" or len(values) > 1 else frozenset()) | chosen
            return Value(frozenset(labels), both.consts)
        if operator in ("in", "==", "!=", "<", ">", "<=", ">="):
            return self.compared(operator, *values)
        if operator in ("~", "+") and all(value.consts and not value.labels for value in values):
            return self.joined(values)
        both = _union(values)
        return both.plus(SAID) if operator == "~" and both.has(MESSAGE) else both

    def joined(self, values: list[Value]) -> Value:
        texts = [""]
        for value in values:
            if len(texts) * len(value.consts) > _JOINED_LIMIT:
                return _union(values)
            texts = [text + more for text in texts for more in value.consts]
        return Value(consts=tuple(texts))

    def compared(self, operator: str, left: Value, right: Value) -> Value:
        if operator == "in" and right.labels == {MESSAGE} and not left.has(SAID):
            return _NOTHING  # a key of a message
        if operator == "in" and right.has(TOOL) and not right.has(NAME, SAID) and not left.has(NAME, SAID):
            return _NOTHING
        for subject, other in ((left, right), (right, left)):
            if subject.has(SAID, NAME, DATE):
                literals = other.consts
                if not literals and not other.labels and other.number is None:
                    # None, a flag or an empty list: whether there is anything at all; or a name that nobody knows
                    return Value(subject.labels & other.labels & {CHOSEN})
                return self.asked(subject, literals, operator)
            if subject.has(SIZE, COUNT) and (other.number is None or other.number > (3 if subject.has(COUNT) else 1)):
                is_between = other.has(COUNT) and not subject.has(SIZE, CHOSEN) and not other.has(SIZE, CHOSEN)
                is_free = not other.labels and other.number is None
                return _NOTHING if is_between or is_free else Value(frozenset((CHOSEN,)))
        return Value((left.labels | right.labels) & {CHOSEN})

    def tested(self, expr: Expr) -> Value:
        value, *others = [self.value(part) for part in expr.parts]
        if expr.name not in _COMPARING:
            return Value(value.labels & {CHOSEN} if expr.name in ("true", "false") else frozenset())
        other = _union(others)
        for subject, literal in ((value, other), (other, value)):
            if subject.has(SAID, NAME, DATE):
                return self.asked(subject, literal.consts, "is")
        is_chosen = value.has(SIZE, CHOSEN)
        return Value(frozenset((CHOSEN,))) if is_chosen else _NOTHING

    def filtered(self, expr: Expr) -> Value:
        value, *others = [self.value(_plain(part)) for part in expr.parts]
        name = expr.name
        if name in ("length", "count", "wordcount"):
            if value.has(SAID):
                return Value(frozenset((SIZE, CHOSEN) if value.has(PART) else (SIZE,)))
            return Value(frozenset((COUNT,)) if value.has(MESSAGE) else value.labels & {CHOSEN})
        if name == "replace" and value.has(SAID) and others:
            return self.replaced(value, others)
        if name in _CHOOSING or name in ("map", "groupby", "sort", "unique", "sum", "min", "max"):
            return self.chosen_from(name, value, others)
        more = _union(others)
        if name in _TEXT_FILTERS and value.has(MESSAGE, TOOL):
            value = value.plus(SAID if value.has(MESSAGE) else NAME)
        if name in ("default", "d"):
            return _union((value, more))
        if name == "format" or name == "join":
            return _union((value, more))
        return value

    def chosen_from(self, name: str, value: Value, others: list[Value]) -> Value:
        keys, literals = others[:1], others[1:]
        attribute = "".join(keys[0].consts[:1]) if keys else ""
        last = attribute.rsplit(".", 1)[-1]
        if name in ("select", "reject"):
            literals = others[1:]
            return self.asked(value, _union(literals).consts, "is", value.plus(CHOSEN)) if literals else value
        if not value.has(MESSAGE, TOOL, SAID) or not attribute:
            return value
        inner = self.member(value, last)
        if name in _CHOOSING:
            if inner.has(SAID, NAME) and len(literals) > 1:
                return self.asked(inner, _union(literals[1:]).consts, "is", value.plus(CHOSEN))
            return value
        return inner if name == "map" and last not in _TEXT_FILTERS else value.plus(*inner.labels)

    def replaced(self, value: Value, others: list[Value]) -> Value:
        """Words that are put in the place of others."""
        answer = self.asked(value, others[0].consts, "replace")
        if answer.has(CHOSEN) and len(others) > 1 and sum(map(word_count, others[1].consts)) >= _PROSE_WORDS // 2:
            self.report(others[1].consts[0])
        both = _union((value, *others[1:]))
        return both.plus(PART) if answer.has(CHOSEN) else both

    def call(self, expr: Expr) -> Value:
        callee, *rest = expr.parts
        if callee.kind == "name":
            return self.called(callee.name, rest)
        others = [self.value(_plain(part)) for part in rest]
        if callee.kind != "attr":
            return _union((self.value(callee), *others))
        owner, name = self.value(callee.parts[0]), callee.name
        more = _union(others)
        if name == "get" and others and others[0].consts and owner.labels:
            return _union((*(self.member(owner, key) for key in others[0].consts), *others[1:]))
        if name in _SAFE_METHODS:
            return (
                self.mutated(callee, owner, more)
                if name in ("append", "extend", "update", "insert")
                else self.text_of(name, owner, more)
            )
        if owner.has(SAID, NAME, DATE):
            if name == "replace" and others:
                return self.replaced(owner, others)
            answer = owner.plus(PART) if "split" in name or "partition" in name or name.startswith("remove") else None
            if more.consts or name in _READING:
                self_answer = self.asked(owner, more.consts, name, answer)
                return Value(self_answer.labels | (answer.labels if answer else frozenset()), ())
            return owner
        if owner.consts and more.has(SAID, NAME, DATE):
            return self.asked(more, owner.consts, "[]", _union((owner, more)).plus(CHOSEN))
        return _union((owner, more))

    def text_of(self, name: str, owner: Value, more: Value) -> Value:
        if name == "join" or name == "format":
            both = _union((owner, more))
            return both.plus(SAID) if both.has(MESSAGE) else both
        if name in ("values", "items") and owner.has(MESSAGE):
            return owner.plus(SAID)
        return owner

    def mutated(self, callee: Expr, owner: Value, more: Value) -> Value:
        """A list that is added to."""
        target = callee.parts[0]
        if target.kind == "name":
            self.bind(target.name, more)
        elif target.kind == "attr" and target.parts[0].kind == "name":
            self.bind(f"{target.parts[0].name}.{target.name}", more)
        return owner

    def called(self, name: str, rest: list[Expr]) -> Value:
        named = {part.name: self.value(part.parts[0]) for part in rest if part.kind == "keyword"}
        others = [self.value(part) for part in rest if part.kind != "keyword"]
        if name == "raise_exception":
            return _NOTHING
        if name.startswith("strftime"):
            return Value(frozenset((DATE,)))
        macro = self.macros.get(name)
        if macro is None:
            both = _union((self.lookup(name), *others, *named.values()))
            is_built = any(value.labels for key, value in named.items() if key in CLEAN_KEYS)
            return both.plus(BUILT) if is_built else both
        if self.calls.count(name) > 1 or len(self.calls) > 12:
            return _union((*others, *named.values()))
        scope: dict[str, Value] = {}
        for number, parameter in enumerate(macro.exprs):
            own = parameter.parts[0] if parameter.kind == "keyword" else None
            given = others[number] if number < len(others) else named.get(parameter.name)
            scope[parameter.name] = given if given is not None else self.value(own) if own else _NOTHING
        return self.walked(macro, name, scope)

    def walked(self, macro: Node, name: str, scope: dict[str, Value]) -> Value:
        """What a macro says, called with these."""
        key = (name, tuple(scope.items()))
        if key in self.walks:
            return self.walks[key]
        kept = (self.chosen, self.words, self.said)
        self.chosen, self.words, self.said = 0, 0, set()
        self.calls.append(name)
        self.names.append(scope)
        said = self.captured(macro.blocks[0])
        self.names.pop()
        self.calls.pop()
        self.chosen, self.words, self.said = kept
        self.walks[key] = said
        return said


def _plain(expr: Expr) -> Expr:
    return expr.parts[0] if expr.kind == "keyword" else expr
