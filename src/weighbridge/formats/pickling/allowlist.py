"""What a pickle may name, and how: an enumerated list, entry by entry, with a source and a version.

Nothing is covered by a prefix. An entry has one of three kinds: `call` may be called with arguments that one of its patterns
covers, `class` may be instantiated without running its initialiser (NEWOBJ, copyreg._reconstructor), `value` may only be
held or passed on. Patterns are words over one argument, alternatives joined by `|`:

    int float bool none str bytes tuple list dict set      a value of that type
    ints                                                   a tuple of integers
    data                                                   anything but a Global or an unknown value
    global                                                 any Global, covered or not
    @tag                                                   a Global whose entry carries that tag
    <path>                                                 an object that the covered callable `path` made
    'text'                                                 exactly that text
    *word                                                  last only: any number of further arguments
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable
from collections.abc import Mapping as Mapped
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

from weighbridge.errors import MalformedArtifactError
from weighbridge.formats.pickling.values import TOP, Blob, Global, Mapping, Obj, Sequence, Value

KINDS = ("call", "class", "value")
_FILES = ("base.toml", "numpy.toml", "joblib.toml", "torch.toml")
_PACKAGES = {
    "sklearn": "sklearn.toml",
    "scipy": "scipy.toml",
    "pandas": "pandas.toml",
    "xgboost": "boosting.toml",
    "lightgbm": "boosting.toml",
    "catboost": "boosting.toml",
    "torch": "torch_modules.toml",
    "transformers": "transformers.toml",
    "tokenizers": "transformers.toml",
    "accelerate": "transformers.toml",
    "omegaconf": "configurations.toml",
    "fairseq": "configurations.toml",
    "typing": "configurations.toml",
    "ultralytics": "ultralytics.toml",
}
"""Policies that are parsed when a name of their package is first looked up."""
_FIELDS = {"module", "modules", "names", "kind", "arguments", "makes", "items", "build", "tag", "check", "source"}

ARGUMENT_LIMIT = 1000
"""Most arguments of one call that are looked at."""
DIMENSION_LIMIT = 64
"""Longest shape; numpy and torch have no more dimensions."""

Predicate = Callable[[Value], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """One way to call an entry: a predicate an argument; `rest` covers any further ones, None forbids them."""

    positional: tuple[Predicate, ...]
    rest: Predicate | None = None

    def covers(self, arguments: tuple[Value, ...]) -> bool:
        """Whether every argument is of the shape asked for."""
        fixed = len(self.positional)
        if len(arguments) > ARGUMENT_LIMIT:
            return False
        if len(arguments) < fixed or (len(arguments) > fixed and self.rest is None):
            return False
        if not all(test(value) for test, value in zip(self.positional, arguments, strict=False)):
            return False
        return self.rest is None or all(map(self.rest, arguments[fixed:]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One covered name.

    `makes` is the path of what a call gives; `items` what it may be filled with (`mapping`, `list`, `set` or nothing);
    `build` which state it takes (`attributes`, `object` for attributes of what is no container, `reviewed` for a class
    whose own `__setstate__` was read and found inert, the name of a check, or nothing); `check` names a closer look at the
    arguments (`formats.pickling.shapes`); `tag` lets other entries ask for this name as an argument. `policy` is where it
    is written down.
    """

    module: str
    name: str
    kind: str
    signatures: tuple[Signature, ...] = field(default=(), repr=False)
    makes: str = ""
    items: str = ""
    build: str = ""
    tag: str = ""
    check: str = ""
    policy: str = ""

    def covers(self, arguments: tuple[Value, ...]) -> bool:
        """Whether one of the signatures covers these arguments."""
        return any(signature.covers(arguments) for signature in self.signatures)


class Allowlist:
    """Entries by (module, name). `add` gives a wider list and leaves this one as it is.

    `later`: texts of policies by the package whose names they hold, read when one of these is first asked for; an entry that is
    there already stays.
    """

    __slots__ = ("_entries", "_later")

    def __init__(self, entries: Iterable[Entry], *, later: Mapped[str, tuple[str, str]] | None = None) -> None:
        self._entries = {(entry.module, entry.name): entry for entry in entries}
        self._later = dict(later or {})

    def __len__(self) -> int:
        """How many names are covered."""
        self._read_all()
        return len(self._entries)

    def find(self, module: str, name: str) -> Entry | None:
        """The entry of exactly this name."""
        found = self._entries.get((module, name))
        package = module.partition(".")[0]
        if found is None and package in self._later:
            self._read(package)
            found = self._entries.get((module, name))
        return found

    def entries(self) -> tuple[Entry, ...]:
        """Every entry, in the order of its path."""
        self._read_all()
        return tuple(entry for _, entry in sorted(self._entries.items()))

    def add(self, more: Iterable[Entry]) -> Allowlist:
        """This list with further entries; an entry of the same name is replaced."""
        return Allowlist([*self._entries.values(), *more], later=self._later)

    def _read(self, package: str) -> None:
        origin, text = self._later.pop(package)
        for entry in read_entries(text, origin=origin):
            self._entries.setdefault((entry.module, entry.name), entry)

    def _read_all(self) -> None:
        while self._later:
            self._read(next(iter(self._later)))


def policy_line(module: str, name: str, kind: str, *, takes: Iterable[str] = ()) -> str:
    """The TOML line that would cover a name as it is used; it is valid input of `read_entries`.

    `takes` may hold `arguments` and `state`: what an instance of the class is given.
    """
    more = ', arguments = [["*data"]]' if "arguments" in takes else ""
    more += ', build = "reviewed"' if "state" in takes else ""
    return f"allow = [{{ module = {_quoted(module)}, names = [{_quoted(name)}], kind = {_quoted(kind)}{more} }}]"


def _quoted(text: str) -> str:
    escaped = "".join(c if c.isprintable() and c not in '"\\' else f"\\U{ord(c) & 0x10FFFF:08X}" for c in text[:300])
    return f'"{escaped}"'


def read_entries(text: str, *, origin: str) -> list[Entry]:
    """Read the entries of one policy text.

    Raises:
        MalformedArtifactError: a field, kind or pattern is unknown; `subject` is `origin`.
    """
    table = tomllib.loads(text)
    policy = f"{table.get('name', origin)} {table.get('version', 0)}"
    entries: list[Entry] = []
    for block in table.get("allow", []):
        if strange := set(block) - _FIELDS:
            raise MalformedArtifactError(f"unknown fields {sorted(strange)}", subject=origin)
        if block["kind"] not in KINDS:
            raise MalformedArtifactError(f"unknown kind {block['kind']!r}", subject=origin)
        entries += _entries_of(block, policy)
    return entries


def _entries_of(block: dict[str, Any], policy: str) -> list[Entry]:
    usual: list[list[str]] = [] if block["kind"] == "value" else [[]]
    signatures = tuple(_signature(words) for words in block.get("arguments", usual))
    modules = block["modules"] if "modules" in block else {block["module"]: block["names"]}
    return [
        Entry(
            module=module,
            name=name,
            kind=block["kind"],
            signatures=signatures,
            makes=block.get("makes", f"{module}.{name}"),
            items=block.get("items", ""),
            build=block.get("build", ""),
            tag=block.get("tag", ""),
            check=block.get("check", ""),
            policy=policy,
        )
        for module, names in modules.items()
        for name in names
    ]


@cache
def base_allowlist() -> Allowlist:
    """The list that ships with this release."""
    folder = files("weighbridge.formats.pickling") / "data"
    texts = {name: (folder / name).read_text("utf-8") for name in {*_FILES, *_PACKAGES.values()}}
    return Allowlist(
        (entry for name in _FILES for entry in read_entries(texts[name], origin=name)),
        later={package: (name, texts[name]) for package, name in _PACKAGES.items()},
    )


def _signature(words: list[str]) -> Signature:
    if words and words[-1].startswith("*"):
        return Signature(positional=tuple(map(_predicate, words[:-1])), rest=_predicate(words[-1][1:]))
    return Signature(positional=tuple(map(_predicate, words)))


@cache
def _predicate(word: str) -> Predicate:
    alternatives = [_alternative(part) for part in word.split("|")]
    if len(alternatives) == 1:
        return alternatives[0]
    return lambda value: any(test(value) for test in alternatives)


def _alternative(word: str) -> Predicate:
    if word.startswith("@"):
        return lambda value: value.__class__ is Global and value.entry is not None and value.entry.tag == word[1:]
    if word.startswith("<"):
        return lambda value: value.__class__ is Obj and value.entry is not None and value.path == word[1:-1]
    if word.startswith("'"):
        return lambda value: value.__class__ is str and value == word[1:-1]
    if word in _WORDS:
        return _WORDS[word]
    raise MalformedArtifactError(f"unknown argument pattern {word!r}", subject="allowlist")


def _of(*classes: type) -> Predicate:
    return lambda value: value.__class__ in classes


def _is_text(value: Value) -> bool:
    return value.__class__ is str or (value.__class__ is Blob and value.kind in ("str", "string"))


def _is_bytes(value: Value) -> bool:
    return value.__class__ is bytes or (value.__class__ is Blob and value.kind in ("bytes", "bytearray", "string"))


def _is_data(value: Value) -> bool:
    return value is not TOP and value.__class__ is not Global


def _is_ints(value: Value) -> bool:
    return value.__class__ is tuple and len(value) <= DIMENSION_LIMIT and all(item.__class__ is int for item in value)


_WORDS: dict[str, Predicate] = {
    "int": _of(int),
    "float": _of(float),
    "bool": _of(bool),
    "none": _of(type(None)),
    "str": _is_text,
    "bytes": _is_bytes,
    "tuple": _of(tuple),
    "list": lambda value: value.__class__ is Sequence and value.kind == "list",
    "set": lambda value: value.__class__ is Sequence and value.kind == "set",
    "dict": _of(Mapping),
    "ints": _is_ints,
    "data": _is_data,
    "global": _of(Global),
}
