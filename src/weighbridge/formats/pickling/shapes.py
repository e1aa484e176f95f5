"""A closer look at the arguments and states that covered callables get: sizes that lie, references where numbers should be.

A check is named in the allowlist (`check` for a call, `build` for a state). It gives the object that is made, or a Refusal.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from math import prod

from weighbridge.formats.pickling.allowlist import DIMENSION_LIMIT, Entry
from weighbridge.formats.pickling.facts import Array, Dtype, Refusal, lies
from weighbridge.formats.pickling.library_states import CALLS, STATES
from weighbridge.formats.pickling.torch_values import Storage, View, view_of
from weighbridge.formats.pickling.values import (
    Blob,
    Global,
    Mapping,
    Obj,
    Sequence,
    Value,
    children_of,
    is_hashable,
)

_DTYPE = re.compile(r"[<>|=]?([?biufcSUVOMm])([0-9]{0,9})\Z")
_FLEXIBLE = "SUV"
_ITEM_BYTES = {
    **dict.fromkeys("?b", (1,)),
    **dict.fromkeys("iu", (1, 2, 4, 8)),
    **dict.fromkeys("OMm", (8,)),
    "f": (2, 4, 8, 16),
    "c": (8, 16, 32),
}
"""The item sizes that numpy has, by the letter of a dtype of fixed size."""
_ORDERS = ("<", ">", "|", "=")
_DTYPE_VERSIONS, _ARRAY_VERSIONS = (1, 2, 3, 4), (1,)
_FIELD_LIMIT = 1000
_OBJECT_FLAGS = 0x07
"""numpy's NPY_ITEM_REFCOUNT, NPY_LIST_PICKLE and NPY_ITEM_IS_POINTER: items are references, not numbers."""
_REFERENCES, _RECORD_OF_REFERENCES = 63, 27
"""numpy's NPY_OBJECT_DTYPE_FLAGS, and NPY_FROM_FIELDS of a record with such a field."""
_ALIGNMENTS = (-1, 1, 2, 4, 8, 16)
_UNITS = ("Y", "M", "W", "D", "h", "m", "s", "ms", "us", "ns", "ps", "fs", "as", "generic")
_ITEMS_LIMIT = 1 << 31
"""Items of no bytes that an array may have: a walk over more does not end."""


_WRAPPER_STATE = {"subclass", "shape", "order", "dtype", "allow_mmap", "numpy_array_alignment_bytes"}
_FIRST_WRAPPER_STATE = _WRAPPER_STATE - {"numpy_array_alignment_bytes"}
"""What joblib before 1.2 wrote."""
_SUBCLASSES = {
    ("numpy", "ndarray"),
    ("numpy", "memmap"),
    ("numpy", "matrix"),
    ("numpy.matrixlib.defmatrix", "matrix"),
    ("numpy.core.memmap", "memmap"),
}
"""Kinds of array by the names that releases of numpy gave them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrayWrapper:
    """An array that follows in the stream: `item_bytes` an element, or objects; `is_padded` where a length of padding comes first."""

    shape: tuple[int, ...]
    dtype: Dtype
    is_padded: bool


def _size(value: Value) -> int:
    """Bytes behind a bytes-like value; -1 where that depends on an encoding."""
    if value.__class__ is Blob:
        return value.size_bytes if value.kind != "str" else value.characters
    return len(value) if value.__class__ is bytes else -1


def _short_text(value: Value) -> str:
    """Text, or bytes as text, however the protocol spelled them; of a long one the beginning, of anything else nothing."""
    if value.__class__ is Blob:
        value = value.head
    return value if value.__class__ is str else value.decode("latin-1") if value.__class__ is bytes else ""


def _length(entry: Entry, arguments: tuple[Value, ...]) -> Obj | Blob | Refusal:
    if not arguments:
        return Blob("bytes", 0, 0)
    first = arguments[0]
    size = len(first) if first.__class__ is str else _size(first)
    head = first.encode("latin-1", "replace")[:128] if first.__class__ is str else b""
    return Blob("bytearray" if entry.name == "bytearray" else "bytes", 0, size, head)


def _plain_type(text: str) -> tuple[str, str] | None:
    """Letter and digits of a dtype that numpy has, as `<f4`; None for any other text."""
    found = _DTYPE.match(text)
    if found is None:
        return None
    letter, digits = found.groups()
    return (letter, digits) if not digits or int(digits) in _ITEM_BYTES.get(letter, (int(digits),)) else None


def _dtype(entry: Entry, arguments: tuple[Value, ...]) -> Obj | Refusal:
    text = "V" if arguments[0].__class__ is Global else arguments[0]
    found = _plain_type(text) if text.__class__ is str else None
    if found is None:
        return Refusal(message="makes a numpy dtype that is not a plain type of numpy")
    letter, digits = found
    size = int(digits or 1) * (4 if letter == "U" else 1) if digits or letter == "?" else -1
    return Obj(entry.makes, entry, facts=Dtype(letter=letter, item_bytes=size, holds_objects=letter == "O"))


def _dtype_state(target: Obj, state: Value) -> Refusal | None:
    dtype = target.facts
    if not isinstance(dtype, Dtype) or state.__class__ is not tuple or len(state) not in (8, 9):
        return Refusal(message="gives a numpy dtype a state of unknown shape")
    version, order, inner, names, fields, size, alignment, flags = state[:8]
    metadata = state[8] if len(state) > 8 else None
    numbers = (version, size, alignment, flags)
    if order.__class__ is not str or not all(n.__class__ is int and -(1 << 31) <= n < 1 << 31 for n in numbers):
        return Refusal(message="gives a numpy dtype a state of unknown shape")
    if version not in _DTYPE_VERSIONS or order not in _ORDERS:
        return Refusal(message="gives a numpy dtype a state of unknown version or byte order")
    if dtype.is_fixed:
        return lies("changes a numpy dtype that is already in use")
    dtype.is_fixed = True
    if alignment not in _ALIGNMENTS:
        return lies("gives a numpy dtype an alignment that no machine has")
    if not _is_metadata(dtype.letter, metadata, is_given=len(state) > 8):
        return Refusal(message="gives a numpy dtype metadata of unknown shape")
    if dtype.letter in _FLEXIBLE:
        problem = _flexible(dtype, inner, names, fields, size)
    else:
        is_plain = size == -1 and inner is None and names is None and fields is None
        problem = None if is_plain else lies("gives a numpy dtype of fixed size another size")
    return problem or _flags_problem(dtype, flags)


def _is_metadata(letter: str, metadata: Value, *, is_given: bool) -> bool:
    """Whether the ninth part of a state is what numpy writes: a dict, and for times a pair with their unit and its factors."""
    if letter not in "Mm":
        return metadata is None or metadata.__class__ is Mapping
    if not is_given:
        return True
    if metadata.__class__ is not tuple or len(metadata) != 2 or metadata[1].__class__ is not tuple:
        return False
    custom, (unit, *factors) = metadata[0], metadata[1] or (None,)
    is_unit = _short_text(unit) in _UNITS and len(factors) == 3
    is_plain = custom is None or custom.__class__ is Mapping
    return is_unit and is_plain and all(f.__class__ is int and 1 <= f < 1 << 31 for f in factors)


def _flexible(dtype: Dtype, inner: Value, names: Value, fields: Value, size: int) -> Refusal | None:
    if size < 0 or (dtype.letter == "U" and size % 4):
        return lies("gives a numpy dtype an impossible size")
    dtype.item_bytes = size
    if dtype.letter != "V":
        is_plain = inner is None and fields is None and names is None
        return None if is_plain else lies("gives a numpy text dtype fields")
    return _fields(dtype, names, fields) or _inner(inner, size)


def _flags_problem(dtype: Dtype, flags: int) -> Refusal | None:
    """Whether the flags say of references what the type says, or numpy would take bytes for pointers."""
    if dtype.letter == "O":
        wanted = _REFERENCES
    elif dtype.holds_objects:
        wanted = _RECORD_OF_REFERENCES
    else:
        return lies("gives a numpy dtype of numbers the flags of object references") if flags & _OBJECT_FLAGS else None
    is_right = flags & wanted == wanted and flags & _OBJECT_FLAGS == wanted & _OBJECT_FLAGS
    return None if is_right else lies("hides the object references of a numpy dtype")


def _is_shape(value: Value) -> bool:
    if value.__class__ is not tuple or len(value) > DIMENSION_LIMIT:
        return False
    return all(part.__class__ is int and 0 <= part < 1 << 62 for part in value)


def _inner(inner: Value, size: int) -> Refusal | None:
    if inner is None:
        return None
    if inner.__class__ is not tuple or len(inner) != 2:
        return Refusal(message="gives a numpy dtype a state of unknown shape")
    base, shape = inner
    lengths = (shape,) if shape.__class__ is int else shape
    if not _is_shape(lengths) or not lengths:
        return Refusal(message="gives a numpy dtype a state of unknown shape")
    problem = _plain_numbers(base)
    if problem:
        return problem
    return (
        None
        if prod(lengths) * base.facts.item_bytes == size
        else lies("makes a numpy subarray that lies about its size")
    )


def _fields(dtype: Dtype, names: Value, fields: Value) -> Refusal | None:
    """Every name has its field and every field its name or title; each lies inside its record, references apart from the rest."""
    if fields is None and names is None:
        return None
    if fields.__class__ is not Mapping or names.__class__ is not tuple or fields.count > _FIELD_LIMIT:
        return Refusal(message="gives a numpy dtype a state of unknown shape")
    if len(fields.pairs) != fields.count:
        return Refusal(message="gives a numpy dtype a state of unknown shape")
    fields.is_frozen = True  # numpy keeps this very dict
    places: dict[Value, Value] = dict(fields.pairs)
    if len(places) != fields.count or not all(_is_place(name, place) for name, place in places.items()):
        return Refusal(message="gives a numpy dtype a state of unknown shape")
    titles = {places[name][2]: name for name in names if name in places and len(places[name]) > 2}
    if len(set(names)) != len(names) or set(places) != {*names, *titles}:
        return lies("makes a numpy record whose names are not those of its fields")
    if any(places[title][:2] != places[name][:2] for title, name in titles.items()):
        return lies("makes a numpy field whose title is another one")
    stretches = []
    for name in names:
        inner, offset = places[name][0].facts, places[name][1]
        inner.is_fixed = True
        if inner.item_bytes < 0 or offset < 0 or offset + inner.item_bytes > dtype.item_bytes:
            return lies("makes a numpy field that lies outside its record")
        stretches.append((offset, offset + inner.item_bytes))
        dtype.holds_objects |= inner.holds_objects
    stretches.sort()
    if dtype.holds_objects and any(end > start for (_, end), (start, _) in pairwise(stretches)):
        return lies("lays numbers over the object references of a numpy record")
    return None


def _is_place(name: Value, place: Value) -> bool:
    """Whether a field is a dtype, an offset and perhaps a title, under a name that is text."""
    if name.__class__ is not str or place.__class__ is not tuple or len(place) not in (2, 3):
        return False
    is_titled = len(place) == 2 or place[2].__class__ is str
    return is_titled and place[1].__class__ is int and place[0].__class__ is Obj and isinstance(place[0].facts, Dtype)


def _plain_numbers(value: Value) -> Refusal | None:
    if value.__class__ is not Obj or not isinstance(value.facts, Dtype):
        return Refusal(message="builds a numpy dtype of something that is none")
    value.facts.is_fixed = True
    if value.facts.holds_objects or value.facts.item_bytes < 0:
        return lies("makes a numpy dtype that would read bytes as object references")
    return None


def _reconstruct(entry: Entry, arguments: tuple[Value, ...]) -> Obj | Refusal:
    if prod(arguments[1]) != 0:
        return Refusal(message="makes a numpy array of uninitialised memory")
    if _plain_type(_short_text(arguments[2])) is None:
        return Refusal(message="makes a numpy array of no type of numpy's")
    return Obj(entry.makes, entry)


def _array_state(target: Obj, state: Value) -> Refusal | None:
    if state.__class__ is not tuple or len(state) != 5:
        return Refusal(message="gives a numpy array a state of unknown shape")
    if isinstance(target.facts, Array):
        return lies("gives a numpy array another state, under whatever already looks at its bytes")
    version, shape, dtype, is_fortran, raw = state
    if is_fortran.__class__ not in (bool, int) or is_fortran not in (0, 1):
        return Refusal(message="gives a numpy array a state of unknown shape")
    if version.__class__ is not int or version not in _ARRAY_VERSIONS:
        return Refusal(message="gives a numpy array a state of unknown version")
    if not _is_shape(shape):
        return Refusal(message="gives a numpy array an impossible shape")
    if dtype.__class__ is not Obj or not isinstance(dtype.facts, Dtype):
        return Refusal(message="gives a numpy array a dtype that is none")
    dtype.facts.is_fixed = True
    if dtype.facts.holds_objects:
        is_list = raw.__class__ is Sequence and raw.kind == "list" and raw.count == prod(shape)
        return None if is_list else lies("would read bytes as object references of a numpy array")
    return _filled(target, dtype.facts, shape, raw)


def _masked_array_state(target: Obj, state: Value) -> Refusal | None:
    """numpy.ma.MaskedArray.__setstate__: an array, then a byte of mask an item, then the fill value."""
    if state.__class__ is not tuple or len(state) != 7:
        return Refusal(message="gives a masked array a state of unknown shape")
    mask = state[5]
    problem = _array_state(target, state[:5])
    if problem:
        return problem
    if state[2].facts.letter == "V" or mask.__class__ not in (bytes, str, Blob):
        return Refusal(message="gives a masked array a mask of unknown shape")
    wanted, size = prod(state[1]), _size(mask)
    return None if size in (-1, wanted) else lies(f"masks an array of {min(wanted, 1 << 62)} items by {size} bytes")


def _filled(target: Obj, dtype: Dtype, shape: tuple[int, ...], raw: Value) -> Refusal | None:
    if raw.__class__ not in (bytes, str, Blob):
        return Refusal(message="fills a numpy array from something that is not bytes")
    if not dtype.item_bytes and prod(shape) > _ITEMS_LIMIT:
        return lies("makes a numpy array of more empty items than can be walked over")
    wanted, size = prod(shape) * dtype.item_bytes, _size(raw)
    if dtype.item_bytes < 0 or size not in (-1, wanted):
        return lies(f"fills a numpy array of {min(wanted, 1 << 62)} bytes from {size}")
    target.facts = Array(dtype=f"{dtype.letter}{dtype.item_bytes}", shape=shape, size_bytes=wanted)
    return None


def _scalar(entry: Entry, arguments: tuple[Value, ...]) -> Obj | Refusal:
    problem = _plain_numbers(arguments[0])
    if problem:
        return problem
    wanted, size = arguments[0].facts.item_bytes, _size(arguments[1])
    return (
        Obj(entry.makes, entry) if size in (-1, wanted) else lies(f"reads a numpy scalar of {wanted} bytes from {size}")
    )


def _frombuffer(entry: Entry, arguments: tuple[Value, ...]) -> Obj | Refusal:
    problem = _plain_numbers(arguments[1])
    if problem:
        return problem
    made = Obj(entry.makes, entry)
    if not _is_shape(arguments[2]):
        return Refusal(message="gives a numpy array an impossible shape")
    return _filled(made, arguments[1].facts, arguments[2], arguments[0]) or made


def _tensor(entry: Entry, arguments: tuple[Value, ...]) -> Obj | Refusal:
    storage = arguments[0].facts
    if not isinstance(storage, Storage):
        return Refusal(message="makes a tensor over something that is not a storage")
    dtype = arguments[6].name if len(arguments) > 6 and arguments[6].__class__ is Global else storage.dtype
    view = view_of(storage, arguments[1], arguments[2], arguments[3], dtype)
    if isinstance(view, View) and entry.name == "_rebuild_qtensor" and prod(view.shape) > storage.numel * 4:
        view = "reserves more memory than its storage has"
    return Obj(entry.makes, entry, facts=view) if isinstance(view, View) else lies(f"makes a tensor that {view}")


def _same(_entry: Entry, arguments: tuple[Value, ...]) -> Value:
    return arguments[0]


def _size_of(entry: Entry, arguments: tuple[Value, ...]) -> Obj | Refusal:
    return Obj(entry.makes, entry, facts=arguments[0])


def _parameter_state(_entry: Entry, arguments: tuple[Value, ...]) -> Value:
    return attributes_problem(arguments[3]) or arguments[0]


def _from_type(_entry: Entry, arguments: tuple[Value, ...]) -> Value:
    inner, _kind, inner_arguments, state = arguments
    if inner.entry.check == "from-type" or not inner.entry.covers(inner_arguments):
        return Refusal(message=f"calls {inner.path} with arguments that its policy entry does not cover")
    return attributes_problem(state) or make(inner.entry, inner_arguments)


def _array_wrapper(target: Obj, state: Value) -> Refusal | None:
    """Take the state of a NumpyArrayWrapper."""
    refusal = Refusal(message="gives a joblib array a state of unknown shape")
    if state.__class__ is not Mapping or target.facts is not None:
        return refusal
    pairs = dict(state.pairs) if all(key.__class__ is str for key, _ in state.pairs) else {}
    subclass, shape, dtype, order = (pairs.get(key) for key in ("subclass", "shape", "dtype", "order"))
    is_known = set(pairs) in (_WRAPPER_STATE, _FIRST_WRAPPER_STATE) and len(pairs) == len(state.pairs) == state.count
    is_class = subclass.__class__ is Global and (subclass.module, subclass.name) in _SUBCLASSES
    is_shape = shape.__class__ is tuple and all(n.__class__ is int and 0 <= n < 1 << 48 for n in shape)
    kind = dtype.facts if dtype.__class__ is Obj else None
    if shape is None or not (is_known and is_class and is_shape and isinstance(kind, Dtype) and order in ("C", "F")):
        return refusal
    alignment = pairs.get("numpy_array_alignment_bytes")
    if alignment is not None and alignment.__class__ is not int:
        return refusal
    if kind.item_bytes < 0 and not kind.holds_objects:
        return refusal
    kind.is_fixed = True
    target.facts = ArrayWrapper(shape=shape, dtype=kind, is_padded=alignment is not None)
    return None


def attributes_problem(state: Value) -> Refusal | None:
    """Whether a state sets nothing but plain attributes: a dict, or a pair of dicts, without dunder or method names."""
    parts = state if state.__class__ is tuple and len(state) == 2 else (state,)
    for part in parts:
        if part is None:
            continue
        if part.__class__ is not Mapping:
            return Refusal(message="sets a state that is not a dict of attributes", check="pickle.mutates-unknown")
        odd_key = part.odd_key or part.method_key
        if odd_key is not None:
            return Refusal(message=f"sets the attribute {odd_key}", check="pickle.mutates-unknown")
    return None


def _object_problem(_target: Obj, state: Value) -> Refusal | None:
    """Whether a state is one dict of attributes. What is no container may have attributes with the names of methods."""
    if state is None:
        return None
    if state.__class__ is not Mapping:
        return Refusal(message="sets a state that is not a dict of attributes", check="pickle.mutates-unknown")
    if state.odd_key is not None:
        return Refusal(message=f"sets the attribute {state.odd_key}", check="pickle.mutates-unknown")
    return None


Check = Callable[[Entry, tuple[Value, ...]], Value]

_CALLS: dict[str, Check] = {
    "length": _length,
    "dtype": _dtype,
    "reconstruct": _reconstruct,
    "masked": lambda entry, arguments: _reconstruct(entry, arguments[1:]),
    "scalar": _scalar,
    "frombuffer": _frombuffer,
    "tensor": _tensor,
    "same": _same,
    "size": _size_of,
    "parameter-state": _parameter_state,
    "from-type": _from_type,
    **CALLS,
}
_STATES: dict[str, Callable[[Obj, Value], Refusal | None]] = {
    "attributes": lambda _target, state: attributes_problem(state),
    "dtype": _dtype_state,
    "joblib-array": _array_wrapper,
    "ndarray": _array_state,
    "object": _object_problem,
    "masked-array": _masked_array_state,
    **STATES,
    "reviewed": lambda _target, _state: None,
}


def make(entry: Entry, arguments: tuple[Value, ...]) -> Value:
    """What a covered call gives, or a Refusal. The entry's signature has been found to cover the arguments."""
    if entry.items == "set" and not all(map(is_hashable, children_of(arguments[0]) if arguments else ())):
        return Refusal(message="makes a set of what cannot be in one", check="pickle.structure")
    if entry.check:
        return _CALLS[entry.check](entry, arguments)
    held = Mapping() if entry.items == "mapping" else Sequence(entry.items) if entry.items else None
    return Obj(entry.makes, entry, held=held)


def build(target: Obj, state: Value) -> Refusal | None:
    """Whether an object of a covered class may take this state; None where it may."""
    entry = target.entry
    if entry is None or not entry.build:
        return Refusal(message=f"sets the state of {target.path}", check="pickle.mutates-unknown")
    return _STATES[entry.build](target, state)
