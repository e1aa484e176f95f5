"""What torch checkpoints add to pickles: storages behind persistent ids, and a tree of tensors as the result."""

from __future__ import annotations

from weighbridge.formats.pickling.allowlist import Entry
from weighbridge.formats.pickling.torch_values import Storage, View, elements_an_item, storage_of
from weighbridge.formats.pickling.values import Global, Mapping, Obj, Sequence, Value
from weighbridge.vocabulary import Fact, Header, Tensor, clip

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
"""First value of a checkpoint in the format before torch 1.6 (torch.serialization.MAGIC_NUMBER)."""
TENSOR_LIMIT = 200_000
_NAME_LIMIT = 300
_DEPTH_LIMIT = 8
_STORAGE = Entry(module="torch", name="storage", kind="value", policy="torch storage ids")


class StorageIds:
    """Turns persistent ids into storages and keeps them by key. `parts` is how long the id tuple is.

    Two ids of one key must speak of the same type and number of bytes; the loader takes the first and trusts the rest.
    """

    def __init__(self, *, parts: int) -> None:
        self.parts = parts
        self.by_key: dict[str, Storage] = {}

    def __call__(self, value: Value) -> Obj | Global | str:
        """The storage, or what is wrong with the id; of legacy files also a class of torch.nn, which comes with its source."""
        if self.parts > 5 and value.__class__ is tuple and len(value) == 4 and value[0] == "module":
            kind = value[1]
            is_known = kind.__class__ is Global and kind.entry is not None and kind.entry.tag == "module"
            return kind if is_known else "is a class that no policy covers"
        storage = storage_of(value, self.parts)
        if isinstance(storage, str):
            return storage
        if self.parts > 5:
            problem = self._view_problem(value[5])
            if problem:
                return problem
        first = self.by_key.setdefault(storage.key, storage)
        if first.size_bytes != storage.size_bytes:
            return f"gives storage {storage.key} two sizes, {first.size_bytes} and {storage.size_bytes} bytes"
        if first.dtype != storage.dtype:
            return f"gives storage {storage.key} two types, {first.dtype} and {storage.dtype}"
        return Obj("torch.storage", _STORAGE, facts=storage)

    def _view_problem(self, view: Value) -> str:
        return "" if view is None else "is a view of a storage, which torch has not written since 0.4"


def tensors_of(value: Value) -> list[tuple[str, View]]:
    """Every tensor of a checkpoint with its name: keys of nested dicts and places in lists, joined by dots."""
    found: list[tuple[str, View]] = []
    seen: set[int] = set()
    pending: list[tuple[str, Value, int]] = [("", value, 0)]
    while pending and len(found) < TENSOR_LIMIT:
        name, item, depth = pending.pop()
        if isinstance(item, Obj) and isinstance(item.facts, View):
            found.append((name, item.facts))
            continue
        if id(item) in seen or depth > _DEPTH_LIMIT:
            continue
        seen.add(id(item))
        pending += [(f"{name}.{key}" if name else key, inner, depth + 1) for key, inner in _named(item)][::-1]
    return found


def _named(value: Value) -> list[tuple[str, Value]]:
    held = value.held if isinstance(value, Obj) else value
    if isinstance(held, Mapping):
        return [
            (clip(key, _NAME_LIMIT) if key.__class__ is str else str(i), v) for i, (key, v) in enumerate(held.pairs)
        ]
    inner = held.children if isinstance(held, Sequence) else held if held.__class__ is tuple else ()
    return [(str(index), item) for index, item in enumerate(inner)]


def header_of(path: str, form: str, values: list[Value], storages: StorageIds, metadata: list[Fact]) -> Header:
    """What a checkpoint says about the model: its tensors, counted by storage so that shared weights count once."""
    named = [pair for value in values for pair in tensors_of(value)]
    distinct = {(v.storage.key, v.offset, v.shape): v for _, v in named}
    count = 0
    for view in distinct.values():
        elements = 1
        for length in view.shape:
            elements *= length
        count += min(elements, view.storage.size_bytes // view.item_bytes * elements_an_item(view.dtype))
    return Header(
        path=path,
        format=form,
        parameter_count=min(count, 1 << 62),
        dtypes=tuple(sorted({view.dtype for _, view in named})),
        tensors=tuple(
            Tensor(name=clip(name, _NAME_LIMIT), dtype=v.dtype, shape=v.shape, size_bytes=min(v.size_bytes, 1 << 62))
            for name, v in named
        ),
        metadata=tuple(metadata),
        weights_bytes=min(sum(storage.size_bytes for storage in storages.by_key.values()), 1 << 62),
    )
