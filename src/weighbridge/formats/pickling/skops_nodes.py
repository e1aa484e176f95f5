"""The object tree of a skops file, walked as skops.io builds it: each node becomes the names, calls and states that it stands for.

Those are judged as the same effects of a pickle are. Nodes are kept by their `__id__`, and a second node of one id is not read by
skops but replaced by the first: so both have to say the same. Source: skops 0.16 skops/io/_audit.py `get_tree`, `Node.__init__`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from weighbridge.errors import MalformedArtifactError
from weighbridge.formats.headers.defects import UNJUDGED, Defects, OverLimitError
from weighbridge.formats.pickling.allowlist import Entry
from weighbridge.formats.pickling.facts import Array
from weighbridge.formats.pickling.judge import Judge
from weighbridge.formats.pickling.values import TOP, Global, Obj, Value
from weighbridge.vocabulary import clip

NODE_LIMIT = 130_000
"""Nodes of one file that are followed; a forest of a thousand trees or a vocabulary of 60,000 words has about 120,000."""
DEPTH_LIMIT = 64
"""Nodes inside nodes that are followed; a search over a pipeline of ensembles has about 15."""
NAME_LIMIT = 2_000
_LOCATED = 64
_KEYS = frozenset(
    (
        *("__class__", "__module__", "__loader__", "__id__", "__reduce__", "content", "key_types", "file", "type"),
        *("shape", "is_json", "attrs", "protocol", "_skops_version"),
    )
)
"""Every key that a node of protocols 0 to 2 has."""

State = dict[str, Any]
Loader = Callable[["Tree", State, str], Value]


class BrokenNodeError(MalformedArtifactError):
    """A node that skops itself cannot build."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A member that nodes name: what it weighs, and the shape of the array in it where it is one of numbers."""

    size_bytes: int
    crc32: int
    array: Array | None = None


@dataclass(slots=True)
class _Open:
    """A node that is being built."""


_OPEN = _Open()


class Tree:
    """One schema while it is walked. `used` are the members that its nodes name, `texts` those of them that are bytes as they are.

    `raw` is the schema's text, for saying where a name stands; `stored` looks a member up.
    """

    def __init__(
        self,
        judge: Judge,
        defects: Defects,
        raw: bytes,
        *,
        protocol: int,
        loaders: Mapping[str, Loader],
        stored: Callable[[str], Stored | None],
    ) -> None:
        self.judge = judge
        self.defects = defects
        self.protocol = protocol
        self.used: set[str] = set()
        self.texts: set[str] = set()
        self.nodes = 0
        self._depth = 0
        self._raw = raw
        self._loaders = loaders
        self._stored = stored
        self._memo: dict[int | str, tuple[Any, Value]] = {}
        self._places: dict[str, int] = {}

    def value(self, state: Any) -> Value:
        """What a node makes.

        Raises:
            BrokenNodeError: it is none, or lacks what its loader reads.
            OverLimitError: more nodes or names than are followed.
        """
        if state.__class__ is not dict or not isinstance(state.get("__loader__"), str):
            raise BrokenNodeError("a node is no object with a loader")
        self.nodes += 1
        if self._depth >= DEPTH_LIMIT:
            raise OverLimitError(f"nodes nest deeper than {DEPTH_LIMIT}")
        if self.nodes > NODE_LIMIT or len(self.judge.report.globals) > NAME_LIMIT:
            raise OverLimitError("more nodes or names than are followed")
        loader, mark = state["__loader__"], state.get("__id__")
        if mark is not None and type(mark) not in (int, str):
            raise BrokenNodeError("the id of a node is no number")
        if mark is not None and mark in self._memo:
            return self._again(state, *self._memo[mark])
        if loader == "CachedNode":
            raise BrokenNodeError("a cached node refers to none before it")
        read = self._loader_of(state, loader)
        if read is None:
            return TOP
        if mark:
            self._memo[mark] = (state, _OPEN)
        self._depth += 1
        made = read(self, state, self.locator(loader, state))
        self._depth -= 1
        if mark:
            self._memo[mark] = (state, made)
        return made

    def _loader_of(self, state: State, loader: str) -> Loader | None:
        """What reads a node; None, which is told, where nothing here does."""
        if strange := state.keys() - _KEYS:
            message = f"a node has the key {clip(min(strange), 80)!r}, which is not known here"
            self.defects.add("skops.schema", message, grade=UNJUDGED)
        read = self._loaders.get(loader)
        if read is None:
            message = f"a node is made by {clip(loader, 80)!r}, which is not known here"
            self.defects.add("skops.schema", message, grade=UNJUDGED, excerpt=clip(loader))
        return read

    def _again(self, state: State, first: State, made: Value) -> Value:
        """The value of the first node of an id."""
        if made is _OPEN:
            self.defects.add("skops.schema", "a node holds itself, which cannot be built", excerpt=str(state["__id__"]))
            return TOP
        if state["__loader__"] != "CachedNode" and not self._is_same(state, first):
            message = "two nodes of one id are not alike: which of them counts depends on the loader"
            self.defects.add("skops.schema", message, excerpt=f"__id__ {str(state['__id__'])[:40]}")
        return made

    def _is_same(self, one: Any, other: Any) -> bool:
        """Whether two nodes say the same, but for ids and the names of equal members."""
        if one.__class__ is not other.__class__:
            return False
        if one.__class__ is list:
            return len(one) == len(other) and all(map(self._is_same, one, other))
        if one.__class__ is not dict:
            return bool(one == other)
        if one.keys() != other.keys():
            return False
        is_file = "__loader__" in one and isinstance(one.get("file"), str) and isinstance(other.get("file"), str)
        if is_file and not self._is_same_member(one["file"], other["file"]):
            return False
        left_out = ("__id__", "file") if is_file else ("__id__",)
        return all(self._is_same(value, other[key]) for key, value in one.items() if key not in left_out)

    def _is_same_member(self, one: str, other: str) -> bool:
        self.used |= {one, other}
        found = self._stored(one)
        return one == other or (found is not None and found == self._stored(other))

    def member(self, state: State) -> Stored:
        """The member that a node names.

        Raises:
            BrokenNodeError: there is none of that name.
        """
        name = str(state.get("file"))
        found = self._stored(name)
        if found is None:
            raise BrokenNodeError(f"a node names the member {clip(name, 80)!r}, which is not there")
        self.used.add(name)
        return found

    def held(self, state: State, key: str) -> Value:
        """The value of the node under a key.

        Raises:
            BrokenNodeError: there is none.
        """
        return self.value(state.get(key))

    def parts(self, state: State, *names: str) -> list[Value]:
        """The values of the nodes in the content, by their names.

        Raises:
            BrokenNodeError: one is missing.
        """
        content = state.get("content")
        if content.__class__ is not dict:
            raise BrokenNodeError(f"{clip(state['__loader__'], 40)} has no content")
        return [self.value(content.get(name)) for name in names]

    def items(self, state: State) -> list[Value]:
        """The values of a list of nodes.

        Raises:
            BrokenNodeError: the content is no list.
        """
        content = state.get("content")
        if content.__class__ is not list:
            raise BrokenNodeError(f"{clip(state['__loader__'], 40)} has no list as its content")
        return [self.value(item) for item in content]

    def name(self, state: State) -> Global | None:
        """The name that a node says it is of, judged as an import; None where it is not written as text."""
        return self.name_of(state.get("__module__"), state.get("__class__"), state["__loader__"])

    def name_of(self, module: Any, name: Any, loader: str) -> Global | None:
        """A name, judged as an import; None where it is not text."""
        found = self.judge.name(module, name, self._place(name), loader)
        return found if isinstance(found, Global) else None

    def expect(self, state: State, *paths: str) -> bool:
        """Whether a node says that it is of one of these paths; else it is judged as an import of what it says."""
        if f"{state.get('__module__')}.{state.get('__class__')}" in paths:
            return True
        self.name(state)
        return False

    def entry(self, module: str, name: str) -> Entry | None:
        """What covers a name that the node does not have to import."""
        return self.judge.allowlist.find(module, name)

    def locator(self, loader: str, state: State) -> str:
        """Where the name of a node first stands in the schema."""
        return f"byte {self._place(state.get('__class__'))} {clip(loader, 40)}"

    def _place(self, name: Any) -> int:
        if name.__class__ is not str or (len(self._places) >= _LOCATED and name not in self._places):
            return 0
        if name not in self._places:
            self._places[name] = max(self._raw.find(json.dumps(name).encode()), 0)
        return self._places[name]

    def array(self, array: Array | None) -> Obj:
        """An array of numpy."""
        return Obj("numpy.ndarray", self.entry("numpy._core.multiarray", "_reconstruct"), facts=array)

    def scalar(self) -> Obj:
        """A scalar of numpy."""
        return Obj("numpy.scalar", self.entry("numpy._core.multiarray", "scalar"))
