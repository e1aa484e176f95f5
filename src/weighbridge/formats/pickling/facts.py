"""What the checks of arguments and states know about the objects that they let through, and how they refuse one."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a call or a state is not covered. `check` is the finding it becomes."""

    message: str
    check: str = "pickle.unlisted-call"


@dataclass(slots=True, kw_only=True)
class Dtype:
    """A numpy dtype: its letter, the bytes of one item (-1 not yet known) and whether it holds references.

    `is_fixed`: it has its state, or something was made with it; a second state would change what was already checked.
    """

    letter: str
    item_bytes: int
    holds_objects: bool = False
    is_fixed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Array:
    """A numpy array of known shape; `dtype` as numpy spells it."""

    dtype: str
    shape: tuple[int, ...]
    size_bytes: int


def lies(message: str) -> Refusal:
    """A refusal of numbers that do not fit one another."""
    return Refusal(message=message, check="pickle.out-of-bounds")
