"""Asking a condition about more than one evaluation may look through.

A condition is asked about everything first. Where it gives no answer and its reach could have run out of the engine's
budget, the long lists are cut into pages:

- A list that one loop alone goes over (`Reach.folds`) is taken page by page, and the answers are put together exactly: the
  loop is true or false over the whole as it is over some page, and over no element it has a known answer.
- Otherwise every page ends with an element that says nothing, standing for the rest. What holds there holds for the whole.
  Where it holds on no page, nobody can say: the reply is broken.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import count, takewhile
from typing import Any

from weighbridge.policy.expressions import Binding, Expression, Fault, Reply
from weighbridge.policy.reach import ITERATIONS
from weighbridge.vocabulary import Answer

PAGES = 250
"""Most pages that a condition is asked about."""

_SIZES = (ITERATIONS, 4000, 2000, 1000, 500, 250, 100, 50, 25, 10, 5, 2, 1)
_REST: dict[str, Any] = {}
"""An element that nobody looked at: whatever a condition touches of it is an error."""


def ask(condition: Expression, values: Mapping[str, Any]) -> Reply:
    """Ask about all of `values`, however much they hold; variables that the condition does not touch may be left out."""
    reply = condition.ask(Binding(values))
    if reply.answer is not Answer.UNKNOWN:
        return reply
    lists = {name: value for name, value in values.items() if isinstance(value, list)}
    inner = _longest_inside(condition, values)
    lengths = {name: len(value) for name, value in lists.items()}
    longest = max([inner, *lengths.values()])
    if condition.reach.fits(longest, longest):
        return reply
    for name in sorted(condition.reach.folds & lists.keys(), key=lambda name: (-lengths[name], name))[:1]:
        size = _page(condition, max([inner, *(length for other, length in lengths.items() if other != name)]))
        if size and lengths[name] <= PAGES * size:
            return _folded(condition, values, name, size)
    size = next((size for size in _SIZES if condition.reach.fits(size, max(size, inner))), 0)
    long = [name for name in lists if lengths[name] > size] if size else []
    return _on_some_page(condition, values, long, size)


def _page(condition: Expression, inner: int) -> int:
    """The longest page that one evaluation can take where every other list is as short as `inner`; 0 where there is none."""
    return next((size for size in _SIZES if condition.reach.fits(size, inner)), 0)


def _folded(condition: Expression, values: Mapping[str, Any], name: str, size: int) -> Reply:
    """The loop over no element gives its neutral value; a page that answers otherwise decides, unless it cannot tell."""
    neutral = condition.ask(Binding({**values, name: []}))
    unsure: list[Reply] = []
    for page in _pages(values[name], size):
        reply = condition.ask(Binding({**values, name: page}))
        if reply.answer is Answer.UNKNOWN:
            unsure.append(reply)
        elif reply.answer is not neutral.answer:
            return reply
    return next((reply for reply in unsure if reply.is_broken), unsure[0]) if unsure else neutral


def _on_some_page(condition: Expression, values: Mapping[str, Any], long: list[str], size: int) -> Reply:
    cut = {name: list(_pages(values[name], size)) for name in long}
    for number in range(min(PAGES, max(map(len, cut.values()), default=0))):
        pages = {name: [*pages[number % len(pages)], _REST] for name, pages in cut.items()}
        reply = condition.ask(Binding({**values, **pages}))
        if reply.answer is Answer.YES:
            return reply
    return Reply(answer=Answer.UNKNOWN, said=f"more than {ITERATIONS:,} iterations", fault=Fault.TOO_MUCH)


def _pages(items: list[Any], size: int) -> Iterator[list[Any]]:
    return takewhile(bool, (items[start : start + size] for start in count(0, size)))


def _longest_inside(condition: Expression, values: Mapping[str, Any]) -> int:
    """The longest list or map below the variables; below the elements of lists only where the condition can get there."""
    goes_deep = condition.reach.depth > 1 or condition.reach.has_index
    maps = [value for value in values.values() if isinstance(value, dict)]
    lists = [value for value in values.values() if isinstance(value, list) and goes_deep]
    return max([0, *map(len, maps), *map(_longest, maps), *map(_longest, lists)])


def _longest(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value
    lengths = (max(len(item), _longest(item)) for item in inner if isinstance(item, dict | list))
    return max(lengths, default=0)
