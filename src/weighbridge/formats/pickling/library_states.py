"""Checks of what libraries of machine learning hand to native code when they are loaded: counts, positions, texts that grow.

What a native loader checks itself is not repeated. A tree whose nodes name children out of its range loads and misleads only whoever
predicts with it; that is no matter of loading.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from weighbridge.formats.pickling.allowlist import Entry, Signature
from weighbridge.formats.pickling.facts import Array, Refusal, lies
from weighbridge.formats.pickling.known_texts import is_template
from weighbridge.formats.pickling.values import Blob, Global, Mapping, Obj, Value

_GENERATORS = ("MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64")
_WORDS, _BUFFER = 624, 4
"""Words of an MT19937 key and of a Philox buffer; a position is at most that (numpy/random/src)."""
_LAYER_LIMIT = 10_000
_PATTERN_LIMIT = 4000
_FRACTION = re.compile(r"-?[0-9]{1,4000}(/[0-9]{1,4000})?\Z")
"""What str(Fraction) gives; an exponent would be raised to its power."""
_ZONE = re.compile(r"[A-Za-z][A-Za-z0-9_+-]{0,31}(/[A-Za-z0-9_+-]{1,32}){0,2}\Z")


def entries_of(state: Mapping) -> dict[Value, Value]:
    """The kept entries of a dict under text keys; none where an odd key, equal to a text without being one, may replace them."""
    return {} if state.odd_key is not None else {key: value for key, value in state.pairs if key.__class__ is str}


def _shape(value: Value) -> tuple[int, ...] | None:
    return value.facts.shape if value.__class__ is Obj and isinstance(value.facts, Array) else None


def object_problem(_target: Obj, state: Value) -> Refusal | None:
    """Whether a state is one dict of attributes. What is no container may have attributes with the names of methods."""
    if state is None:
        return None
    if state.__class__ is not Mapping:
        return Refusal(message="sets a state that is not a dict of attributes", check="pickle.mutates-unknown")
    if state.odd_key is not None:
        return Refusal(message=f"sets the attribute {state.odd_key}", check="pickle.mutates-unknown")
    return None


def _recurrent_state(target: Obj, state: Value) -> Refusal | None:
    """torch.nn.RNNBase.__setstate__ walks over its layers."""
    problem = object_problem(target, state)
    if problem or state is None:
        return problem
    layers = entries_of(state).get("num_layers", 1)
    is_few = layers.__class__ is int and layers <= _LAYER_LIMIT
    return None if is_few else lies("makes a network of more layers than can be walked over")


def _distribution_state(target: Obj, state: Value) -> Refusal | None:
    """scipy.stats rv_generic.__setstate__ runs the text `_parse_arg_template` as Python: it must be scipy's own."""
    problem = object_problem(target, state)
    if problem:
        return problem
    text = entries_of(state).get("_parse_arg_template") if state is not None else None
    is_own = (
        text.is_known
        if text.__class__ is Blob
        else text.__class__ is str and is_template(text.encode("utf-8", "replace"))
    )
    return None if is_own else Refusal(message="gives a scipy distribution a text to run that is not scipy's own")


def _partial_state(_target: Obj, state: Value) -> Refusal | None:
    """functools.partial of a function that is harmless to call; it is held."""
    is_whole = state.__class__ is tuple and len(state) == 4 and state[1].__class__ is tuple
    if not is_whole or state[2].__class__ is not Mapping or state[3] is not None:
        return Refusal(message="gives a partial function a state of unknown shape")
    function = state[0]
    is_harmless = function.__class__ is Global and function.entry is not None and function.entry.tag == "held-function"
    return None if is_harmless else Refusal(message="makes a partial function of one that no policy covers for it")


def _tree(entry: Entry, arguments: tuple[Value, ...]) -> Obj | Refusal:
    """sklearn.tree._tree.Tree reads one number of classes an output."""
    shape = _shape(arguments[1])
    if shape is None or shape != (arguments[2],):
        return lies("makes a tree whose outputs are not those of its classes")
    return Obj(entry.makes, entry)


def _tree_state(_target: Obj, state: Value) -> Refusal | None:
    """sklearn.tree._tree.Tree.__setstate__ copies the nodes it was given and believes their number."""
    if state.__class__ is not Mapping:
        return Refusal(message="gives a tree a state of unknown shape")
    held = entries_of(state)
    nodes, values, count = _shape(held.get("nodes")), _shape(held.get("values")), held.get("node_count")
    if nodes is None or values is None or count.__class__ is not int or len(nodes) != 1 or len(values) != 3:
        return Refusal(message="gives a tree a state of unknown shape")
    return None if nodes[0] == values[0] == count else lies(f"gives a tree {count} nodes in an array of {nodes[0]}")


def _search_tree_state(_target: Obj, state: Value) -> Refusal | None:
    """sklearn.neighbors KDTree and BallTree believe the arrays they are given: points, their order, nodes, bounds."""
    if state.__class__ is not tuple or len(state) not in (12, 13):
        return Refusal(message="gives a search tree a state of unknown shape")
    points, order, nodes, bounds = map(_shape, state[:4])
    counts = state[4:11]
    if (
        points is None
        or order is None
        or nodes is None
        or bounds is None
        or not all(n.__class__ is int for n in counts)
    ):
        return Refusal(message="gives a search tree a state of unknown shape")
    is_right = len(points) == 2 and order == points[:1] and nodes == (counts[2],)
    is_bound = len(bounds) == 3 and bounds[1:] == (counts[2], points[1])
    return (
        None
        if is_right and is_bound and counts[0] >= 1
        else lies("gives a search tree arrays that do not fit one another")
    )


def _generator_state(_target: Obj, state: Value) -> Refusal | None:
    """A state of numpy.random: a position outside its buffer would be read from outside it."""
    if state.__class__ is tuple and len(state) == 2:
        state = state[0]
    if state.__class__ is not Mapping:
        return Refusal(message="gives a random generator a state of unknown shape")
    held = entries_of(state)
    name, inner = held.get("bit_generator"), held.get("state")
    if name not in _GENERATORS or inner.__class__ is not Mapping:
        return Refusal(message="gives a random generator a state of unknown shape")
    if name == "MT19937":
        words = entries_of(inner)
        return _position(words.get("pos"), _WORDS, _shape(words.get("key")) == (_WORDS,))
    return (
        _position(held.get("buffer_pos"), _BUFFER, _shape(held.get("buffer")) == (_BUFFER,))
        if name == "Philox"
        else None
    )


def _position(position: Value, limit: int, is_whole: bool) -> Refusal | None:  # noqa: FBT001  # one question of its callers
    is_inside = position.__class__ is int and 0 <= position <= limit
    return None if is_inside and is_whole else lies("puts a random generator outside its buffer")


def _fraction(entry: Entry, arguments: tuple[Value, ...]) -> Obj | Refusal:
    if arguments[0].__class__ is str and not _FRACTION.match(arguments[0]):
        return Refusal(message="makes a fraction of a text that is none")
    is_literal = all(part.__class__ in (int, str) for part in arguments)
    return Obj(entry.makes, entry) if is_literal else Refusal(message="makes a fraction of a text that is too long")


def _pattern(entry: Entry, arguments: tuple[Value, ...]) -> Obj | Refusal:
    """Python's re compiles what it is given; that is linear in a short text."""
    text = arguments[0]
    is_short = text.__class__ in (str, bytes) and len(text) <= _PATTERN_LIMIT
    return (
        Obj(entry.makes, entry)
        if is_short
        else Refusal(message="compiles a regular expression too long to be looked at")
    )


def _zone(entry: Entry, arguments: tuple[Value, ...]) -> Obj | Refusal:
    """A time zone is looked up under its key, as a file of the system's or of tzdata."""
    is_key = arguments[0].__class__ is str and _ZONE.match(arguments[0]) is not None
    return (
        Obj("zoneinfo.ZoneInfo", entry)
        if is_key
        else Refusal(message="looks up a time zone under what is no name of one")
    )


_UNPICKLE = Entry(
    module="zoneinfo",
    name="ZoneInfo._unpickle",
    kind="call",
    signatures=(
        Signature(positional=(lambda value: value.__class__ is str, lambda value: value.__class__ in (int, bool))),
    ),
    makes="zoneinfo.ZoneInfo",
    check="zone-key",
    policy="base",
)


def _zone_maker(_entry: Entry, _arguments: tuple[Value, ...]) -> Global:
    return Global("zoneinfo", "ZoneInfo._unpickle", _UNPICKLE, reason="", at=0, opcode="REDUCE")


CALLS: dict[str, Callable[[Entry, tuple[Value, ...]], Value]] = {
    "tree": _tree,
    "fraction": _fraction,
    "pattern": _pattern,
    "zone-key": _zone,
    "zone-maker": _zone_maker,
}
"""Checks of calls, by the word of an entry's `check`."""
STATES: dict[str, Callable[[Obj, Value], Refusal | None]] = {
    "object": object_problem,
    "recurrent": _recurrent_state,
    "distribution": _distribution_state,
    "partial": _partial_state,
    "tree": _tree_state,
    "search-tree": _search_tree_state,
    "generator": _generator_state,
}
"""Checks of states, by the word of an entry's `build`."""
