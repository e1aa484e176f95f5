"""Storages and tensors as a checkpoint declares them, and the arithmetic that keeps a view inside its storage."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from math import prod

from weighbridge.formats.pickling.values import Global, Obj, Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """A flat run of elements outside the pickle. `dtype` in torch's word; `numel` counts items of `item_bytes` bytes."""

    key: str
    dtype: str
    item_bytes: int
    numel: int
    location: str

    @property
    def size_bytes(self) -> int:
        """What the storage occupies in the file."""
        return self.numel * self.item_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A tensor over a storage. `offset` and `shape` in elements of `dtype`; `is_dense` where they lie one after another."""

    storage: Storage
    dtype: str
    item_bytes: int
    offset: int
    shape: tuple[int, ...]
    is_dense: bool = False

    @property
    def size_bytes(self) -> int:
        """What the elements occupy, were they packed."""
        return -(-prod(self.shape) * self.item_bytes // elements_an_item(self.dtype))


@cache
def _table() -> dict[str, dict[str, str | int]]:
    return tomllib.loads((files("weighbridge.formats.pickling") / "data" / "torch_dtypes.toml").read_text("utf-8"))


def elements_an_item(dtype: str) -> int:
    """How many elements share one item; 1 for all but the packed quantised types."""
    return int(_table()["elements_an_item"].get(dtype, 1))


def item_bytes(dtype: str) -> int:
    """Item size of a torch dtype; 0 where it is not known."""
    return int(_table()["item_bytes"].get(dtype, 0))


def storage_of(persistent_id: Value, length: int) -> Storage | str:
    """Read a storage id `('storage', type, key, location, numel)` of `length` parts; a text says what is wrong with it."""
    if persistent_id.__class__ is not tuple or len(persistent_id) != length or persistent_id[0] != "storage":
        return "is not a torch storage"
    kind, key, location, numel = persistent_id[1:5]
    if kind.__class__ is not Global or kind.entry is None or kind.entry.tag != "storage":
        return "is a storage of a type that is not one of torch's"
    if key.__class__ is not str or location.__class__ is not str or len(location) > 64:
        return "has a key or location that is not plain text"
    if numel.__class__ is not int or not 0 <= numel < 1 << 60:
        return "has an impossible number of elements"
    dtype = str(_table()["storages"].get(kind.name, ""))
    if not dtype:
        return "is a storage of a type whose item size is not known"
    return Storage(key=key, dtype=dtype, item_bytes=item_bytes(dtype), numel=numel, location=location)


def view_of(storage: Storage, offset: int, size: Value, stride: tuple[int, ...], dtype: str) -> View | str:
    """A tensor over a storage; a text says how it would leave it (the class of CVE-2026-24747)."""
    shape: tuple[int, ...] = size.facts if size.__class__ is Obj else size  # type: ignore[assignment]  # made of ints
    if len(shape) != len(stride) or offset < 0 or any(part < 0 for part in (*shape, *stride)):
        return "has a negative or incomplete shape"
    width = item_bytes(dtype)
    if not width:
        return f"has a dtype whose size is not known ({dtype})"
    room = storage.size_bytes // width * elements_an_item(dtype)
    last = offset + sum((length - 1) * step for length, step in zip(shape, stride, strict=True))
    if 0 not in shape and last >= room:
        return f"reaches element {last} of a storage of {room}"
    is_dense = last - offset + 1 == prod(shape)
    return View(storage=storage, dtype=dtype, item_bytes=width, offset=offset, shape=tuple(shape), is_dense=is_dense)
