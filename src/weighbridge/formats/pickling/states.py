"""The states that covered objects take: a check by name, as the allowlist's `build` has it."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from weighbridge.formats.pickling.shapes import (
    ArrayWrapper,
    Dtype,
    Refusal,
    array_state,
    attributes_problem,
    dtype_state,
    lies,
    size_of,
)
from weighbridge.formats.pickling.values import Global, Mapping, Obj, Sequence, Value

_WRAPPER_STATE = {"subclass", "shape", "order", "dtype", "allow_mmap", "numpy_array_alignment_bytes"}
_FIRST_WRAPPER_STATE = _WRAPPER_STATE - {"numpy_array_alignment_bytes"}
"""What joblib before 1.2 wrote."""
_SUBCLASSES = ("ndarray", "memmap", "matrix")


def _array_wrapper(target: Obj, state: Value) -> Refusal | None:
    """Take the state of a NumpyArrayWrapper."""
    refusal = Refusal(message="gives a joblib array a state of unknown shape")
    if state.__class__ is not Mapping or target.facts is not None:
        return refusal
    pairs = dict(state.pairs) if all(key.__class__ is str for key, _ in state.pairs) else {}
    subclass, shape, dtype, order = (pairs.get(key) for key in ("subclass", "shape", "dtype", "order"))
    is_known = set(pairs) in (_WRAPPER_STATE, _FIRST_WRAPPER_STATE) and len(pairs) == len(state.pairs) == state.count
    is_class = subclass.__class__ is Global and (subclass.module, subclass.name) in {("numpy", n) for n in _SUBCLASSES}
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


_NUMBERS_OF_STATES = {"pos": 624, "buffer_pos": 4, "has_uint32": 1, "has_gauss": 1}
"""Largest of each number of a random state that numpy takes for an index, or a flag (numpy/random/_mt19937.pyx, _philox.pyx)."""
_STATE_DEPTH = 4


def _random_state(_target: Obj, state: Value) -> Refusal | None:
    """Whether no number of a random state leads beyond it."""
    pending = [(state, 0)]
    while pending:
        value, depth = pending.pop()
        if depth > _STATE_DEPTH or value.__class__ is Global:
            return Refusal(message="gives a random state what is none")
        if value.__class__ is tuple:
            pending += [(item, depth + 1) for item in value[:16]]
            if value[:1] == ("MT19937",) and not (len(value) > 2 and _is_within(value[2], 624)):
                return lies("gives a random state a position beyond it")
        if value.__class__ is Mapping:
            for key, item in value.pairs:
                if key in _NUMBERS_OF_STATES and not _is_within(item, _NUMBERS_OF_STATES[key]):
                    return lies(f"gives a random state a {key} beyond it")
                pending.append((item, depth + 1))
    return None


def _is_within(value: Value, most: int) -> bool:
    return value.__class__ is int and 0 <= value <= most


def _masked_state(_target: Obj, state: Value) -> Refusal | None:
    """(version, shape, dtype, order, bytes, mask, fill value): the bytes are those of the shape."""
    if state.__class__ is not tuple or len(state) != 7 or state[2].__class__ is not Obj:
        return Refusal(message="gives a masked array a state of unknown shape")
    shape, dtype, raw = state[1], state[2].facts, state[4]
    is_shape = shape.__class__ is tuple and all(n.__class__ is int and n >= 0 for n in shape)
    if not is_shape or not isinstance(dtype, Dtype):
        return Refusal(message="gives a masked array a state of unknown shape")
    dtype.is_fixed = True
    if dtype.holds_objects:
        return None if raw.__class__ is Sequence else lies("gives a masked array raw bytes where objects should be")
    is_exact = size_of(raw) == prod(shape) * dtype.item_bytes and size_of(state[5]) == prod(shape)
    return None if is_exact else lies("gives a masked array other bytes than its shape has")


def _object_problem(_target: Obj, state: Value) -> Refusal | None:
    """Whether a state is one dict of attributes. What is no container may have attributes with the names of methods."""
    if state is None:
        return None
    if state.__class__ is not Mapping:
        return Refusal(message="sets a state that is not a dict of attributes", check="pickle.mutates-unknown")
    if state.odd_key is not None:
        return Refusal(message=f"sets the attribute {state.odd_key}", check="pickle.mutates-unknown")
    return None


_STATES: dict[str, Callable[[Obj, Value], Refusal | None]] = {
    "attributes": lambda _target, state: attributes_problem(state),
    "dtype": dtype_state,
    "joblib-array": _array_wrapper,
    "ndarray": array_state,
    "masked": _masked_state,
    "object": _object_problem,
    "random-state": _random_state,
    "reviewed": lambda _target, _state: None,
}


def build(target: Obj, state: Value) -> Refusal | None:
    """Whether an object of a covered class may take this state; None where it may."""
    entry = target.entry
    if entry is None or not entry.build:
        return Refusal(message=f"sets the state of {target.path}", check="pickle.mutates-unknown")
    return _STATES[entry.build](target, state)
