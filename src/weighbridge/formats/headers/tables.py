"""The data tables of the readers, loaded once, at import: a jailed reader may open no file."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from importlib.resources import files
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockType:
    """A ggml tensor type: `elements` values are stored in one block of `size_bytes`."""

    name: str
    elements: int
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Magic:
    """How a kind of file starts. `says` finishes the sentence "looks like …"."""

    says: str
    pattern: re.Pattern[bytes]
    offset: int


def _read(name: str) -> dict[str, Any]:
    return tomllib.loads(files(__package__).joinpath(name).read_text(encoding="utf-8"))


GGML_TYPES: dict[int, BlockType] = {
    row["id"]: BlockType(name=row["name"], elements=row["elements"], size_bytes=row["size_bytes"])
    for row in _read("ggml_types.toml")["type"]
}
"""By type number, as tensor infos of GGUF files spell it. Numbers whose support was removed are absent."""

DTYPE_BITS: dict[str, int] = _read("safetensors_dtypes.toml")["bits"]
"""Bits of one element, by the dtype word of a safetensors header."""

MAGIC: tuple[Magic, ...] = tuple(
    Magic(
        says=row["says"],
        pattern=re.compile(
            re.escape(bytes.fromhex(row["hex"])) if "hex" in row else row["regex"].encode("latin-1"), re.DOTALL
        ),
        offset=row.get("offset", 0),
    )
    for row in _read("magic_numbers.toml")["magic"]
)
"""Magic numbers of formats that no unit of this release reads, in the order they are tried."""

_TEXT: dict[str, Any] = _read("text_kinds.toml")

TEXT_NAMES: dict[str, str] = _TEXT["names"]
"""Kind of text by full file name, in lower case."""

TEXT_SUFFIXES: dict[str, str] = _TEXT["suffixes"]
"""Kind of text by suffix, in lower case."""

RUN_BY: dict[str, str] = _TEXT["run_by"]
"""Who runs a source file without being asked, by its full name in lower case."""

KNOWN_LIBRARIES: frozenset[str] = frozenset(_TEXT["libraries"]["known"])
"""Names that a loader imports from packages that are known here."""

BINARY_SUFFIXES: frozenset[str] = frozenset(_TEXT["binary"]["suffixes"])
"""Suffixes, in lower case, of files that no loader reads as text."""
