"""The statements of a chat template: what stands in a block, and which block it stands in."""

from __future__ import annotations

from weighbridge.formats.templates.syntax import BLOCK, Expr, Node, Parser, TemplateSyntaxError

_END = ("end", "")
_FOLLOWS = {"if": ("elif", "else", "endif"), "for": ("else", "endfor")}


def parse_template(text: str) -> list[Node]:
    """The statements of a template.

    Raises:
        TemplateSyntaxError: it is not understood, or longer or deeper than this release follows.
    """
    reader = _Statements(text)
    nodes = reader.block(())
    if reader.at < len(reader.tokens):
        raise TemplateSyntaxError("a block ends that was not begun")
    return nodes


class _Statements(Parser):
    def block(self, closers: tuple[str, ...]) -> list[Node]:
        """Statements up to one of `closers`, which is left ahead, behind its opening brace."""
        self.deeper()
        nodes: list[Node] = []
        while self.at < len(self.tokens):
            kind, piece = self.next()
            if kind == "data":
                if piece:
                    nodes.append(Node("data", text=piece))
            elif piece == "{{":
                nodes.append(Node("output", [self.expression()]))
                self.expect(_END)
            else:
                word = self.peek()[1]
                if word in closers:
                    self.depth -= 1
                    return nodes
                nodes.append(self.statement(self.name()))
        if closers:
            raise TemplateSyntaxError(f"{closers[-1]!r} is missing")
        self.depth -= 1
        return nodes

    def statement(self, word: str) -> Node:
        """One statement, of which the keyword was read."""
        match word:
            case "if":
                return self.condition()
            case "for":
                return self.loop()
            case "set":
                return self.assignment()
            case "macro":
                name = self.name()
                self.expect(("op", "("))
                return self.enclosed(Node("macro", names=[name], exprs=list(self.arguments())))
            case "call":
                parameters = self.arguments() if self.accept(("op", "(")) else ()
                node = Node("call", [self.expression()], names=[part.name for part in parameters])
                return self.enclosed(node)
            case "filter":
                return self.enclosed(
                    Node("filter", [Expr("filter", self.dotted(), (Expr("name", BLOCK), *self.optional()))])
                )
            case "generation" | "with" | "autoescape" | "block":
                return self.scoped(word)
            case "break" | "continue":
                self.expect(_END)
                return Node(word)
            case "do":
                node = Node("do", [self.expression()])
                self.expect(_END)
                return node
        raise TemplateSyntaxError(f"the statement {word[:20]!r} is not known here")

    def enclosed(self, node: Node) -> Node:
        """Read the rest of the tag, the block and the tag that ends it."""
        while self.peek()[0] == "op" and self.accept(("op", "|")):  # filters behind a `set` block
            node.exprs.append(Expr("filter", self.dotted(), (Expr("name", BLOCK), *self.optional())))
        self.expect(_END)
        closer = f"end{node.kind}"
        node.blocks.append(self.block((closer,)))
        self.name()
        if self.peek()[0] == "name":
            self.at += 1
        self.expect(_END)
        return node

    def scoped(self, word: str) -> Node:
        """A block that changes nothing but where its names live."""
        node = Node(word)
        while self.peek() != _END:
            if self.peek()[0] == "name" and self.tokens[self.at + 1 : self.at + 2] == [("op", "=")]:
                node.names.append(self.name())
                self.at += 1
                node.exprs.append(self.expression())
            else:
                self.next()
            self.accept(("op", ","))
        return self.enclosed(node)

    def condition(self) -> Node:
        node = Node("if", [self.expression()])
        self.expect(_END)
        while True:
            node.blocks.append(self.block(_FOLLOWS["if"]))
            word = self.name()
            if word == "elif":
                node.exprs.append(self.expression())
            self.expect(_END)
            if word == "endif":
                return node

    def loop(self) -> Node:
        node = Node("for", names=self.targets())
        self.expect(("name", "in"))
        node.exprs.append(self.either("or"))
        if self.accept(("name", "if")):
            node.exprs.append(self.expression())
        self.accept(("name", "recursive"))
        self.expect(_END)
        while True:
            node.blocks.append(self.block(_FOLLOWS["for"]))
            word = self.name()
            self.expect(_END)
            if word == "endfor":
                return node

    def targets(self) -> list[str]:
        """Names that are bound, in brackets or not, an attribute as `ns.x`."""
        names: list[str] = []
        opened = self.accept(("op", "("))
        while True:
            names.append(self.dotted())
            if not self.accept(("op", ",")) or self.peek()[0] != "name":
                break
        if opened:
            self.expect(("op", ")"))
        return names

    def assignment(self) -> Node:
        node = Node("set", names=self.targets())
        if not self.accept(("op", "=")):
            return self.enclosed(node)
        first = self.expression()
        if self.peek() == ("op", ","):
            parts = [first]
            while self.accept(("op", ",")):
                parts.append(self.expression())
            first = Expr("list", parts=tuple(parts))
        node.exprs.append(first)
        self.expect(_END)
        return node
