"""How far a condition reaches, read from its text: which variables it touches and how often it may loop over them.

The engine stops an evaluation after 10,000 iterations of all its loops together. Reach is the upper bound that tells
beforehand whether that can happen, so that padding a model with files cannot turn an answer into an error unnoticed.
Everything here errs towards reaching further.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from weighbridge.policy.variables import VARIABLES

ITERATIONS = 9_000
"""What one evaluation may take; the engine gives up at 10,000."""

_LITERAL = re.compile(
    r"""[bB]?[rR][bB]?(?:\"\"\"(?:.|\n)*?\"\"\"|'''(?:.|\n)*?'''|"[^"\n]*"|'[^'\n]*')"""
    r"""|\"\"\"(?:\\(?:.|\n)|[^\\])*?\"\"\"|'''(?:\\(?:.|\n)|[^\\])*?'''"""
    r"""|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|//[^\n]*"""
)
_LOOP = re.compile(r"\.\s*(?:exists_one|exists|all|map|filter)\s*\(")
_VARIABLE = re.compile(rf"(?<![\w.])(?:{'|'.join(VARIABLES)})\b")
_OVER_FINDINGS = re.compile(r"(?<![\w.])findings\s*\.\s*(?:exists|all)\s*\(\s*([A-Za-z_]\w*)\s*,")
_KIND_FIELD = r"\s*\.\s*(?:check|outcome|severity|severity_rank)\b"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """What a condition may look through.

    `variables` are those it touches. `loops` is how many it holds, `depth` how deep they nest, `widest_literal` the longest
    list it may write out, `sums` how often it may join lists. `sees_kinds_only`: of a finding it asks nothing but check,
    outcome and severity, and never how many there are. `folds` are variables that one loop alone, nested in no other, goes
    over with `exists` or `all`, so that the answer follows from the answers over its parts.
    """

    variables: frozenset[str]
    loops: int
    depth: int
    widest_literal: int
    sums: int
    sees_kinds_only: bool
    folds: frozenset[str]
    has_index: bool

    def fits(self, length: int, inner: int) -> bool:
        """Whether it stays within ITERATIONS where its outer loops go over `length` elements at most and the others over `inner`."""
        if not self.loops:
            return True
        outermost = self._widest(max(length, inner))
        iterations: int = self.loops * outermost * self._widest(inner) ** (self.depth - 1)
        return iterations <= ITERATIONS

    def _widest(self, length: int) -> int:
        return max(length, self.widest_literal) * (self.sums + 1)


def reach_of(source: str) -> Reach:
    """Read the reach of a condition that compiles."""
    bare = _LITERAL.sub('""', source)
    names = _VARIABLE.findall(bare)
    loops = [match.start() for match in _LOOP.finditer(bare)]
    return Reach(
        variables=frozenset(names),
        loops=len(loops),
        depth=_depth(bare),
        widest_literal=bare.count(",") + 1,
        sums=bare.count("+"),
        sees_kinds_only=_sees_kinds_only(bare),
        folds=frozenset(name for name in set(names) if names.count(name) == 1 and _folds(bare, name)),
        has_index="]" in bare,
    )


def _depth(bare: str) -> int:
    """How many loops are open at once at most; a loop is open from its parenthesis to the one that closes it."""
    starts = {match.end() - 1 for match in _LOOP.finditer(bare)}
    opened: list[bool] = []
    deepest = 0
    for position, character in enumerate(bare):
        if character == "(":
            opened.append(position in starts)
            deepest = max(deepest, sum(opened))
        elif character == ")" and opened:
            opened.pop()
    return deepest


def _sees_kinds_only(bare: str) -> bool:
    names = set(_OVER_FINDINGS.findall(bare))
    rest = _OVER_FINDINGS.sub("", bare)
    if re.search(r"(?<![\w.])findings\b", rest):
        return False
    return not any(re.search(rf"(?<![\w.]){name}\b(?!{_KIND_FIELD})", rest) for name in names)


def _folds(bare: str, name: str) -> bool:
    found = re.search(rf"(?<![\w.]){name}\s*\.\s*(?:exists|all)\s*\(", bare)
    return found is not None and _LOOP.search(bare[: found.start()]) is None
