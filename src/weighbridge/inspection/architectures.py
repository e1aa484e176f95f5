"""Which tensors a model of a known family has, from the numbers of its configuration: data and small arithmetic, no code of a model."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

EXPECTED_LIMIT = 200_000
"""Most tensors that are expected of one model; the largest of 2026 have below 100,000."""


class UnsaidError(Exception):
    """The configuration does not say what a shape depends on, or says what is not compared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """One tensor as its family has it. `is_required` is false for what may be left out."""

    shape: tuple[int, ...]
    is_required: bool = True


@cache
def tables() -> dict[str, Any]:
    """The rows of architectures.toml."""
    text = files(__package__).joinpath("data/architectures.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


class Numbers:
    """The numbers of one configuration, by the names that the table uses."""

    def __init__(self, said: Mapping[str, int], names: Mapping[str, list[str]]) -> None:
        self._said = dict(said)
        self._names = names

    def __getitem__(self, name: str) -> int:
        """A number by its name in the table or in the configuration.

        Raises:
            UnsaidError: the configuration does not have it.
        """
        if name.isdigit():
            return int(name)
        for other in self._names.get(name, ()):
            if other in self._said:
                return self._said[other]
            if "*" in other:
                return self.length(other)
            if "/" in other:
                above, _, below = other.partition("/")
                return self[above] // max(self[below], 1)
            if other in self._names:
                return self[other]
        if name not in self._said:
            raise UnsaidError(f"the configuration does not say {name}")
        return self._said[name]

    def get(self, name: str, default: int = 0) -> int:
        """The same, with an answer where there is none."""
        try:
            return self[name]
        except UnsaidError:
            return default

    def length(self, expression: str) -> int:
        """A sum of products, as `heads*head+2*kv_heads*head`."""
        total = 0
        for term in expression.split("+"):
            product = 1
            for factor in term.split("*"):
                product *= self[factor]
            total += product
        return total


def expect(family: str, said: Mapping[str, int], *, is_gguf: bool = False) -> dict[str, Expected] | None:
    """The tensors of a model by name below the family's prefix; None where the family is not known.

    Raises:
        UnsaidError: the configuration does not say enough, or claims more than is compared.
    """
    table = tables()
    families = table["gguf"]["families"] if is_gguf else table["families"]
    known = families.get(family)
    if known is None:
        return None
    defaults = {} if is_gguf else table["defaults"].get(family, {})
    names = table["gguf"]["values"] if is_gguf else table["values"]
    if "inner" in known:
        names = {**names, "inner": [*names["inner"], known["inner"]]}
    numbers = Numbers({**defaults, **said}, names)
    rows = [row for block in known["blocks"] for row in table["blocks"][block]]
    layers = numbers["layers"]
    experts = numbers["experts"] if any("{expert}" in row[0] for row in rows) and numbers.get("experts") else 0
    if layers * (len(rows) + 4 * experts) > EXPECTED_LIMIT:
        raise UnsaidError("the configuration claims more tensors than are compared")
    return {name: expected for row in rows for name, expected in _unfold(row, numbers, layers, experts)}


def _unfold(row: list[str], numbers: Numbers, layers: int, experts: int) -> Iterator[tuple[str, Expected]]:
    pattern, *lengths = row
    condition = lengths.pop().removeprefix("if ") if lengths[-1].startswith("if ") else ""
    is_required = not pattern.startswith("?")
    pattern = pattern.removeprefix("?")
    chosen = [layer for layer in range(layers if "{layer}" in pattern else 1) if _holds(condition, numbers, layer)]
    if not chosen:
        return
    expected = Expected(shape=tuple(map(numbers.length, lengths)), is_required=is_required)
    for layer in chosen:
        named = pattern.replace("{layer}", str(layer))
        for expert in range(experts if "{expert}" in named else 1):
            yield named.replace("{expert}", str(expert)), expected


def _holds(condition: str, numbers: Numbers, layer: int) -> bool:
    match condition:
        case "":
            return True
        case "sparse":
            return _is_sparse(numbers, layer)
        case "dense":
            return not _is_sparse(numbers, layer)
    wanted = not condition.startswith("!")
    return bool(numbers.get(condition.removeprefix("!"))) is wanted


def _is_sparse(numbers: Numbers, layer: int) -> bool:
    """Whether a layer has experts: mixture-of-experts models begin with dense layers or alternate."""
    if not numbers.get("experts") or not numbers.get("moe_intermediate_size"):
        return False
    step, frequency = max(numbers.get("decoder_sparse_step", 1), 1), max(numbers.get("moe_layer_freq", 1), 1)
    first = numbers.get("first_k_dense_replace")
    return layer >= first and (layer + 1) % step == 0 and layer % frequency == 0
