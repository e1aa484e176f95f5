"""Whether what a chat template says depends on what is said to it: what flows from messages, dates and tools into its conditions.

A template that speaks differently where something is spoken of is a backdoor that no scan of the weights sees (Pillar Security 2025,
"Poisoned GGUF templates"). The template is not rendered: every branch is taken, and every value carries where it may come from and
which literals of the template it may be. Loops are walked twice, assignments only add, macros are walked where they are called.
"""

from __future__ import annotations

from collections.abc import Iterable

from weighbridge.formats.templates.expressions import STEP_LIMIT, Expressions
from weighbridge.formats.templates.statements import parse_template
from weighbridge.formats.templates.syntax import BLOCK, Node, TemplateSyntaxError
from weighbridge.formats.templates.values import (
    CHOSEN,
    COUNT,
    MESSAGE,
    PART,
    SAID,
    SIZE,
    Value,
    union,
)


def topic_of_flow(text: str, *, steps: int = STEP_LIMIT) -> tuple[str, int]:
    """What a template makes what it says depend on, or says in such a case; empty where it does not; and how many steps that took.

    Raises:
        TemplateSyntaxError: it is not understood, or more than this release follows.
    """
    nodes = parse_template(text)
    flow = _Flow(steps)
    try:
        flow.block(nodes)
    except TemplateSyntaxError:
        if not flow.found:
            raise
    except RecursionError:
        raise TemplateSyntaxError("it nests deeper than this release follows") from None
    return flow.found, flow.steps


class _Flow(Expressions):
    """The statements of one template."""

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

    def statement(self, node: Node) -> None:
        match node.kind:
            case "if":
                self.branches(node)
            case "for":
                self.loop(node)
            case "set":
                value = self.assigned(node)
                for name in node.names:
                    self.bind(name, value)
            case "macro":
                self.macros[node.names[0]] = node
            case "call" | "filter":
                self.names.append(dict.fromkeys(node.names, Value(frozenset((MESSAGE, SAID)))))
                inside = self.captured(node.blocks[0])
                self.names.pop()
                self.names.append({"caller": inside, BLOCK: inside})
                outside = self.value(node.exprs[0])
                self.names.pop()
                self.emit(union((inside, outside)))
            case "break" | "continue":
                self.breaks += bool(self.chosen)
                self.chosen += bool(self.chosen)
            case "do":
                self.value(node.exprs[0])
            case _:
                self.scope(node)

    def scope(self, node: Node) -> None:
        for name, expr in zip(node.names, node.exprs, strict=False):
            self.bind(name, self.value(expr))
        for block in node.blocks:
            self.block(block)

    def assigned(self, node: Node) -> Value:
        """What is set: an expression, or a block that filters may follow."""
        if not node.blocks:
            return self.value(node.exprs[0])
        value = self.captured(node.blocks[0])
        for expr in node.exprs:
            self.names.append({BLOCK: value})
            value = self.value(expr)
            self.names.pop()
        return value

    def captured(self, block: list[Node]) -> Value:
        self.captures.append([])
        self.block(block)
        return union(self.captures.pop())

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
        breaks = self.breaks
        is_chosen = (
            source.has(CHOSEN, SIZE)
            or (source.has(PART) and source.has(SAID))
            or any(self.value(expr).has(CHOSEN, PART) for expr in node.exprs[1:])
        )
        self.chosen += is_chosen
        for _ in range(2):
            self.block(node.blocks[0])
        self.chosen -= self.breaks - breaks
        self.breaks = breaks
        self.names.pop()
        for block in node.blocks[1:]:
            self.block(block)
        self.chosen -= is_chosen

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
