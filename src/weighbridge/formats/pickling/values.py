"""Abstract values: what a pickle would build, as far as judging it needs to know.

Constants stand for themselves: None, bool, int, float, short str and short bytes are Python values, a tuple of values is a
Python tuple. Everything else is one of the classes below. Values are never compared, hashed or printed as a whole: a
hostile stream can nest and share them without end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from weighbridge.formats.pickling.allowlist import Entry

Value = Any
"""An abstract value: a constant, a tuple of values, or an instance of a class of this module."""

KEPT_KEYS = frozenset(
    (
        *("order", "allow_mmap", "numpy_array_alignment_bytes"),
        *("bit_generator", "pos", "buffer_pos", "node_count", "num_layers", "_parse_arg_template"),
    )
)
"""Keys of a dict whose constants are kept as well, for the checks that need them."""
ATOMS = frozenset((bool, int, float, str, bytes, type(None)))
"""Classes of values that hold nothing else."""


class Top:
    """A value about which nothing is known. Calling it or reading a name from it is never covered by a policy."""

    __slots__ = ()


TOP = Top()


class Blob:
    """Text or bytes too long to keep: `start` and `size_bytes` in the file, and the first few bytes as `head`.

    `kind` is `str`, `bytes`, `bytearray`, or `string` where the loader's encoding decides between text and bytes.
    `size_bytes` is -1 where the length of the decoded value is not known, and so is `characters`, the length of text.
    `is_known`: the whole of it was read and found to be a text that is known here (`known_texts`).
    """

    __slots__ = ("characters", "head", "is_known", "kind", "size_bytes", "start")

    def __init__(self, kind: str, start: int, size_bytes: int, head: bytes = b"", *, characters: int = -1) -> None:
        self.characters = characters
        self.is_known = False
        self.kind = kind
        self.start = start
        self.size_bytes = size_bytes
        self.head = head


class Global:
    """A name that loading would import. `entry` is what covers it; `reason` is why it is dangerous, or empty.

    One instance a (module, name) pair and stream. `at` is the byte of its first use. `takes` says what an instance of an
    uncovered class was given: `arguments`, `state`.
    """

    __slots__ = ("at", "entry", "is_called", "is_constructed", "module", "name", "opcode", "reason", "takes")

    def __init__(self, module: str, name: str, entry: Entry | None, *, reason: str, at: int, opcode: str) -> None:
        self.module = module
        self.name = name
        self.entry = entry
        self.reason = reason
        self.at = at
        self.opcode = opcode
        self.is_called = False
        self.is_constructed = False
        self.takes: set[str] = set()

    @property
    def path(self) -> str:
        """Module and name as one dotted path; for people, never for deciding."""
        return f"{self.module}.{self.name}"


class Sequence:
    """A list, or a set. Only members that hold something are kept; the others are counted."""

    __slots__ = ("children", "count", "kind")

    def __init__(self, kind: str = "list") -> None:
        self.kind = kind
        self.children: list[Value] = []
        self.count = 0


class Mapping:
    """A dict. Pairs whose value or key holds something are kept; the others are counted.

    `odd_key` is a key that no plain attribute has, `method_key` one that names a method of containers. `is_frozen`: what was made from it was checked, so it may not change.
    """

    __slots__ = ("count", "is_frozen", "method_key", "odd_key", "pairs")

    def __init__(self) -> None:
        self.pairs: list[tuple[Value, Value]] = []
        self.count = 0
        self.odd_key: str | None = None
        self.method_key: str | None = None
        self.is_frozen = False


class Obj:
    """An instance that a covered callable makes, or (without `entry`) one of a class that no policy covers.

    `facts` is what a check knows about it: a storage, a tensor, a numpy dtype. `held` is what a mapping or sequence holds.
    """

    __slots__ = ("entry", "facts", "held", "path")

    def __init__(
        self, path: str, entry: Entry | None = None, *, facts: object = None, held: Mapping | Sequence | None = None
    ) -> None:
        self.path = path
        self.entry = entry
        self.facts = facts
        self.held = held


def show(value: Value, depth: int = 2) -> str:
    """A short Python-like spelling for an excerpt, bounded whatever the value is."""
    match value:
        case tuple() if depth:
            inner = ", ".join(show(item, depth - 1) for item in value[:6])
            more = ", …" if len(value) > 6 else "," if len(value) == 1 else ""
            return f"({inner}{more})"
        case tuple():
            return "(…)"
        case str() | bytes():
            return repr(value[:120]) + ("…" if len(value) > 120 else "")
        case Blob():
            return f"{value.head[:120]!r}…"
        case Global():
            return value.path[:120]
        case Obj():
            return f"<{value.path[:80]}>"
        case Sequence() | Mapping():
            return f"<{value.count} items>"
        case int() if not -(1 << 64) < value < 1 << 64:
            return "<large int>"
        case bool() | int() | float() | None:
            return repr(value)
    return "<computed>"


def children_of(value: Value) -> list[Value] | tuple[Value, ...]:
    """The values inside a value."""
    match value:
        case tuple():
            return value
        case Sequence():
            return value.children
        case Mapping():
            return [part for pair in value.pairs for part in pair]
        case Obj(held=held) if held is not None:
            return children_of(held)
    return ()


_UNHASHABLE = frozenset(
    ("numpy.ndarray", "types.SimpleNamespace", "argparse.Namespace", "builtins.slice", "__builtin__.slice")
)


def is_hashable(value: Value) -> bool:
    """Whether a loader can use a value as a key, what is inside it left aside. What nobody knows counts as hashable."""
    match value:
        case Sequence():
            return value.kind == "frozenset"
        case Mapping():
            return False
        case Blob():
            return value.kind != "bytearray"
        case Obj():
            return value.path not in _UNHASHABLE and (value.held is None or value.path.endswith(".frozenset"))
    return True


def own_size(value: Value) -> int:
    """Nodes of a value that are not in `children_of`: itself and its uncounted atoms."""
    match value:
        case Sequence():
            return 1 + value.count - len(value.children)
        case Mapping():
            return 1 + 2 * (value.count - len(value.pairs))
        case Obj(held=held) if held is not None:
            return own_size(held)
    return 1


def unfolded_size(roots: list[Value], cap: int) -> int:
    """How many nodes the values have when everything shared is written out, at most `cap`. A cycle counts once.

    Each distinct value is visited once, so the time is linear in the stream however large the answer is.
    """
    sizes: dict[int, int] = {}
    largest = 0
    for root in roots:
        pending: list[tuple[Value, bool]] = [(root, False)]
        while pending:
            value, is_ready = pending.pop()
            if value.__class__ in ATOMS or (not is_ready and id(value) in sizes):
                continue
            inner = children_of(value)
            if is_ready:
                total = own_size(value) + sum(1 if c.__class__ in ATOMS else sizes.get(id(c), 1) for c in inner)
                sizes[id(value)] = min(total, cap)
                continue
            sizes[id(value)] = 1
            pending.append((value, True))
            pending.extend((child, False) for child in inner if child.__class__ not in ATOMS)
        largest = max(largest, sizes.get(id(root), 1))
        if largest >= cap:
            return cap
    return largest
