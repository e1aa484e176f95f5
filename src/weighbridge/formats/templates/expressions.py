"""The expressions of a chat template while it is walked: what is asked of what was said, and what depends on the answer."""

from __future__ import annotations

from collections.abc import Iterable

from weighbridge.formats.templates.syntax import Expr, Node, TemplateSyntaxError
from weighbridge.formats.templates.values import (
    BUILT,
    CHOOSING,
    CHOSEN,
    COMPARING,
    COUNT,
    DATE,
    FREE,
    MESSAGE,
    NAME,
    NOTHING,
    PART,
    READING,
    SAFE_METHODS,
    SAID,
    SIZE,
    TEXT_FILTERS,
    TOOL,
    Value,
    union,
)
from weighbridge.formats.templates.words import (
    CLEAN_KEYS,
    CONTROL,
    KEY_WORDS,
    SCHEMA_WORDS,
    is_marker,
    is_topic,
    word_count,
)

_CALLS_LIMIT = 30
STEP_LIMIT = 80_000
PROSE_WORDS = 6
"""Words that a template may say in a branch without speaking: names of roles, of tags and of fields."""

_JOINED_CHARACTERS = 4 << 20
_JOINED_LIMIT = 64
_SHORT = 20
"""Characters of a text that counts once, however often it is said in one branch."""


class Expressions:
    """What is known of one template while it is walked. `found` is the first thing that is against it."""

    def __init__(self, step_limit: int) -> None:
        self.step_limit = step_limit
        self.found = ""
        self.names: list[dict[str, Value]] = [{}]
        self.macros: dict[str, Node] = {}
        self.calls: list[str] = []
        self.walks: dict[tuple[str, tuple[tuple[str, Value], ...]], Value] = {}
        self.captures: list[list[Value]] = []
        self.chosen = 0
        self.words = 0
        self.breaks = 0
        self.joined_left = _JOINED_CHARACTERS
        self.counts: dict[str, int] = {}
        self.said: set[str] = set()
        self.steps = 0

    def step(self) -> None:
        """Count one step."""
        self.steps += 1
        if self.steps > self.step_limit:
            raise TemplateSyntaxError("it is more than this release follows")

    def report(self, what: str) -> None:
        """Keep the first thing that is against the template."""
        self.found = self.found or what.strip() or "something"

    def lookup(self, name: str) -> Value:
        """What a name may be."""
        for scope in reversed(self.names):
            if name in scope:
                return scope[name]
        return FREE.get(name, NOTHING)

    def bind(self, name: str, value: Value) -> None:
        """Add to what a name may be, in the scope where it lives."""
        if self.chosen:
            known = set(self.lookup(name).consts)
            self.say(text for text in value.consts if text not in known)
            value = value.plus(CHOSEN)
        for scope in reversed(self.names):
            if name in scope:
                scope[name] = union((scope[name], value))
                return
        self.names[0 if "." in name else -1][name] = value

    def say(self, texts: Iterable[str]) -> None:
        """Something is said, or kept to be said, where a choice was made."""
        last = ""
        for text in texts:
            if text not in self.said or len(text) > _SHORT:
                self.said.add(text)
                self.words += self.count(text)
            last = text
        if self.words >= PROSE_WORDS:
            self.report(last)

    def count(self, text: str) -> int:
        """How many words a text of the template says."""
        if text not in self.counts:
            self.counts[text] = word_count(text)
        return self.counts[text]

    def say_by_choice(self, choice: Value, owner: Value) -> None:
        """A literal is said or not, or in part, by a choice."""
        if choice.has(CHOSEN, PART, SIZE) and sum(map(self.count, owner.consts)) >= PROSE_WORDS:
            self.report(max(owner.consts, key=self.count))

    def pick(self, owner: Value) -> None:
        """A letter or a piece of a literal is taken, of which words may be made."""
        if self.chosen and owner.consts and not owner.labels:
            self.words += 1
            self.say(())

    def value(self, expr: Expr) -> Value:
        """What an expression may be."""
        self.step()
        value = _KINDS.get(expr.kind, Expressions.collection)(self, expr)
        self.steps += len(value.consts) >> 3
        return value

    def constant(self, expr: Expr) -> Value:
        """A literal."""
        if isinstance(expr.value, str):
            return Value(consts=(expr.value,))
        return Value(number=expr.value if type(expr.value) is int else None)

    def named(self, expr: Expr) -> Value:
        """A name."""
        if expr.name in self.macros and not any(expr.name in scope for scope in self.names):
            return self.handed_on(expr.name)
        return self.lookup(expr.name)

    def handed_on(self, name: str) -> Value:
        """What a macro says that somebody calls by another name, with whatever there is."""
        anything = Value(frozenset((MESSAGE, SAID, TOOL)))
        parameters = [parameter.name for parameter in self.macros[name].exprs]
        if name in self.calls:
            return anything
        found = self.found
        said = self.walked(self.macros[name], name, dict.fromkeys((*parameters, "varargs", "kwargs"), anything))
        if self.found != found:
            self.found = found
            raise TemplateSyntaxError(f"the macro {name[:40]} is handed on, so that nobody knows what it is given")
        return said

    def sliced(self, expr: Expr) -> Value:
        """A part of a text or of a list."""
        owner, *bounds = [self.value(part) for part in expr.parts]
        self.pick(owner)
        self.say_by_choice(union(bounds), owner)
        return owner.plus(PART) if owner.has(SAID) else owner

    def either(self, expr: Expr) -> Value:
        """One value or another, by a test."""
        test, *sides = [self.value(part) for part in expr.parts]
        both = union(sides)
        self.say_by_choice(test, both)
        return both.plus(CHOSEN) if test.has(CHOSEN, PART) else both

    def collection(self, expr: Expr) -> Value:
        """A list or a dictionary."""
        values = [self.value(part) for part in expr.parts]
        pairs = zip(values[::2], values[1::2], strict=False) if expr.kind == "dict" else ()
        is_built = any(value.labels and not CLEAN_KEYS.isdisjoint(key.consts) for key, value in pairs)
        return union(values).plus(BUILT) if is_built else union(values)

    def attribute(self, expr: Expr) -> Value:
        """What stands behind a dot."""
        owner = expr.parts[0]
        value = self.value(owner)
        if owner.kind == "name":
            kept = self.lookup(f"{owner.name}.{expr.name}")
            if owner.name == "loop":
                is_item = expr.name in ("previtem", "nextitem")
                return Value(value.labels & {MESSAGE}) if is_item else Value(frozenset((COUNT,)))
            if kept is not NOTHING:
                return union((kept, value))
        return self.member(value, expr.name)

    def member(self, value: Value, name: str) -> Value:
        """What stands under a key of a message, of a tool, or of anything."""
        if not value.labels or value.labels == {CHOSEN}:
            return value
        chosen = value.labels & {CHOSEN, PART}
        if name in CLEAN_KEYS:
            return value if value.has(BUILT) else NOTHING
        if name in ("name", "description"):
            return Value(chosen | {NAME} | (value.labels & {SAID}) - ({SAID} if name == "name" else set()))
        if value.has(MESSAGE, SAID):
            return Value(value.labels | {MESSAGE, SAID}, value.consts)
        return value

    def item(self, expr: Expr) -> Value:
        """What stands in square brackets."""
        owner, *keys = [self.value(part) for part in expr.parts]
        key = union(keys)
        self.pick(owner)
        if key.has(SAID, NAME, DATE, CHOSEN, SIZE) and owner.consts:
            self.say_by_choice(key.plus(CHOSEN), owner)
            return self.asked(key, owner.consts, "[]", owner.plus(CHOSEN))
        if expr.parts[0].kind == "name" and key.consts:
            kept = union(self.lookup(f"{expr.parts[0].name}.{name}") for name in key.consts)
            owner = union((owner, kept)) if kept.labels or kept.consts else owner
        if key.consts:
            return union(self.member(owner, name) for name in key.consts)
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
            is_day = subject.has(DATE) and any(map(str.isdigit, literal))  # the date is told, never waited for
            if (is_day or subject.has(SAID)) and is_topic(literal) and not is_marker(literal):
                self.report(literal)
        return Value(result.labels - {CHOSEN}, result.consts) if is_clean else result

    def operation(self, expr: Expr) -> Value:
        """What an operator makes of its operands."""
        values = [self.value(part) for part in expr.parts]
        operator = expr.name
        if operator in ("and", "or", "not"):
            chosen = {CHOSEN} if any(value.has(CHOSEN, PART) for value in values) else set()
            both = union(values)
            if operator != "not":
                self.say_by_choice(Value(frozenset(chosen)), union(value for value in values if not value.labels))
            labels = (both.labels if operator == "or" or len(values) > 1 else frozenset()) | chosen
            return Value(frozenset(labels), both.consts)
        if operator in ("in", "==", "!=", "<", ">", "<=", ">="):
            return self.compared(operator, *values)
        if operator in ("~", "+") and all(value.consts and not value.labels for value in values):
            return self.joined(values)
        both = union(values)
        if operator in ("-", "%", "*", "//", "**") and both.has(SIZE, DATE):
            both = both.plus(PART)
        if operator == "*":
            self.say_by_choice(both, both)
        return both.plus(SAID) if operator == "~" and both.has(MESSAGE) else both

    def joined(self, values: list[Value]) -> Value:
        """Literals put together."""
        texts = [""]
        for value in values:
            if len(texts) * len(value.consts) > _JOINED_LIMIT:
                return union(values)
            texts = [text + more for text in texts for more in value.consts]
            self.joined_left -= sum(map(len, texts))
        if self.joined_left < 0:
            raise TemplateSyntaxError("it puts together longer texts than this release follows")
        return Value(consts=tuple(texts))

    def compared(self, operator: str, left: Value, right: Value) -> Value:
        """The answer to a comparison."""
        if operator == "in" and right.labels == {MESSAGE} and not left.has(SAID):
            return NOTHING  # a key of a message
        if operator == "in" and right.has(TOOL) and not right.has(NAME, SAID) and not left.has(NAME, SAID):
            return NOTHING
        for subject, other in ((left, right), (right, left)):
            if subject.has(SAID, NAME, DATE):
                literals = other.consts
                if not literals and not other.labels and other.number is None:
                    # None, a flag or an empty list: whether there is anything at all; or a name that nobody knows
                    return Value(subject.labels & other.labels & {CHOSEN})
                return self.asked(subject, literals, operator)
            if subject.has(SIZE) and subject.has(PART):
                return Value(frozenset((CHOSEN,)))
            if subject.has(SIZE, COUNT) and (other.number is None or other.number > (3 if subject.has(COUNT) else 1)):
                is_between = other.has(COUNT) and not subject.has(SIZE, CHOSEN) and not other.has(SIZE, CHOSEN)
                is_free = not other.labels and other.number is None
                return NOTHING if is_between or is_free else Value(frozenset((CHOSEN,)))
        return Value((left.labels | right.labels) & {CHOSEN})

    def tested(self, expr: Expr) -> Value:
        """The answer to a test with `is`."""
        value, *others = [self.value(part) for part in expr.parts]
        if expr.name in ("upper", "lower") and value.has(SAID):
            return Value(frozenset((CHOSEN,)))
        if expr.name not in COMPARING:
            return Value(value.labels & {CHOSEN} if expr.name in ("true", "false") else frozenset())
        other = union(others)
        for subject, literal in ((value, other), (other, value)):
            if subject.has(SAID, NAME, DATE):
                return self.asked(subject, literal.consts, "is")
        is_chosen = value.has(SIZE, CHOSEN)
        return Value(frozenset((CHOSEN,))) if is_chosen else NOTHING

    def filtered(self, expr: Expr) -> Value:
        """What a filter makes of a value."""
        value, *others = [self.value(_plain(part)) for part in expr.parts]
        name = expr.name
        if name in ("length", "count", "wordcount"):
            if value.has(SAID):
                return Value(frozenset((SIZE, CHOSEN) if value.has(PART) else (SIZE,)))
            return Value(frozenset((COUNT,)) if value.has(MESSAGE, TOOL) else value.labels & {CHOSEN})
        if name == "replace" and value.has(SAID) and others:
            return self.replaced(value, others)
        if name in CHOOSING or name in ("map", "groupby", "sort", "unique", "sum", "min", "max"):
            return self.chosen_from(name, value, others)
        more = union(others)
        if name in TEXT_FILTERS and value.has(MESSAGE, TOOL):
            value = value.plus(SAID if value.has(MESSAGE) else NAME)
        if name in ("items", "dictsort", "xmlattr") and value.has(MESSAGE):
            return value.plus(SAID)
        if name in ("int", "float", "abs") and value.has(SAID, DATE, SIZE):
            return value.plus(PART)
        if name in ("default", "d"):
            return union((value, more))
        if name in ("format", "join"):
            return union((value, more))
        return value

    def chosen_from(self, name: str, value: Value, others: list[Value]) -> Value:
        """What is left of a list of messages or tools, or made of each of them."""
        keys, literals = others[:1], others[1:]
        attribute = "".join(keys[0].consts[:1]) if keys else ""
        last = attribute.rsplit(".", 1)[-1]
        if name in ("select", "reject"):
            literals = others[1:]
            return self.asked(value, union(literals).consts, "is", value.plus(CHOSEN)) if literals else value
        if not value.has(MESSAGE, TOOL, SAID) or not attribute:
            return value
        inner = self.member(value, last)
        if name in CHOOSING:
            if inner.has(SAID, NAME) and len(literals) > 1:
                return self.asked(inner, union(literals[1:]).consts, "is", value.plus(CHOSEN))
            return value
        return inner if name == "map" and last not in TEXT_FILTERS else value.plus(*inner.labels)

    def replaced(self, value: Value, others: list[Value]) -> Value:
        """Words that are put in the place of others."""
        answer = self.asked(value, others[0].consts, "replace")
        if answer.has(CHOSEN) and len(others) > 1 and sum(map(self.count, others[1].consts)) >= PROSE_WORDS // 2:
            self.report(others[1].consts[0])
        both = union((value, *others[1:]))
        return both.plus(PART) if answer.has(CHOSEN) else both

    def call(self, expr: Expr) -> Value:
        """What a method or a function gives."""
        callee, *rest = expr.parts
        if callee.kind == "name":
            return self.called(callee.name, rest)
        others = [self.value(_plain(part)) for part in rest]
        if callee.kind != "attr":
            return union((self.value(callee), *others))
        owner, name = self.value(callee.parts[0]), callee.name
        more = union(others)
        if name == "get" and others and others[0].consts and owner.labels:
            return union((*(self.member(owner, key) for key in others[0].consts), *others[1:]))
        if name in SAFE_METHODS:
            return (
                self.mutated(callee, owner, more)
                if name in ("append", "extend", "update", "insert")
                else self.text_of(name, owner, more)
            )
        if owner.has(SAID, NAME, DATE):
            if name == "replace" and others:
                return self.replaced(owner, others)
            answer = owner.plus(PART) if "split" in name or "partition" in name or name.startswith("remove") else None
            if name.startswith("is"):
                return Value(frozenset((CHOSEN,)))
            if more.consts or name in READING:
                self_answer = self.asked(owner, more.consts, name, answer)
                return Value(self_answer.labels | (answer.labels if answer else frozenset()), ())
            return owner
        if owner.consts and more.has(SAID, NAME, DATE):
            return self.asked(more, owner.consts, "[]", union((owner, more)).plus(CHOSEN))
        return union((owner, more))

    def text_of(self, name: str, owner: Value, more: Value) -> Value:
        """What a method that asks nothing makes of a text or a list."""
        if name in ("join", "format"):
            both = union((owner, more))
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
        """What a function or a macro of the template gives."""
        named = {part.name: self.value(part.parts[0]) for part in rest if part.kind == "keyword"}
        others = [self.value(part) for part in rest if part.kind != "keyword"]
        if name == "raise_exception":
            return NOTHING
        if name.startswith("strftime"):
            return Value(frozenset((DATE,)), union(others).consts)
        macro = self.macros.get(name)
        if macro is None:
            both = union((self.lookup(name), *others, *named.values()))
            is_built = any(value.labels for key, value in named.items() if key in CLEAN_KEYS)
            return both.plus(BUILT) if is_built else both
        if len(self.calls) > _CALLS_LIMIT:
            raise TemplateSyntaxError("its macros call each other deeper than this release follows")
        if self.calls.count(name) > 1:
            return union((*others, *named.values()))
        rest_values = union((*others, *named.values()))
        scope = {"varargs": rest_values, "kwargs": rest_values}
        for number, parameter in enumerate(macro.exprs):
            own = parameter.parts[0] if parameter.kind == "keyword" else None
            given = others[number] if number < len(others) else named.get(parameter.name)
            scope[parameter.name] = given if given is not None else self.value(own) if own else NOTHING
        return self.walked(macro, name, scope)

    def walked(self, macro: Node, name: str, scope: dict[str, Value]) -> Value:
        """What a macro says, called with these."""
        raise NotImplementedError


def _plain(expr: Expr) -> Expr:
    return expr.parts[0] if expr.kind == "keyword" else expr


_KINDS = {
    "const": Expressions.constant,
    "name": Expressions.named,
    "attr": Expressions.attribute,
    "item": Expressions.item,
    "slice": Expressions.sliced,
    "call": Expressions.call,
    "filter": Expressions.filtered,
    "test": Expressions.tested,
    "op": Expressions.operation,
    "if": Expressions.either,
}
