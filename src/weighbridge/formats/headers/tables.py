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
    is_program: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignModel:
    """A format without a magic number: `endings` of the file's own name, and how it starts. `is_text`: text is no reason to trust it."""

    says: str
    endings: tuple[str, ...]
    names: tuple[str, ...]
    pattern: re.Pattern[bytes]
    is_text: bool

    def fits(self, name: str, head: bytes) -> bool:
        """Whether a file of this name, in lower case, that starts like this is one."""
        is_named = name.endswith(self.endings) or name in self.names
        return is_named and self.pattern.match(head) is not None


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
        is_program=row.get("is_program", False),
    )
    for row in _read("magic_numbers.toml")["magic"]
)
"""Magic numbers of formats that no unit of this release reads, in the order they are tried."""

PROMISES: dict[str, str] = _read("magic_numbers.toml")["promises"]
"""What a suffix, in lower case, says a file is, where a unit of this release reads that format."""

FOREIGN_MODELS: tuple[ForeignModel, ...] = tuple(
    ForeignModel(
        says=row["says"],
        endings=tuple(row.get("suffixes", ())),
        names=tuple(row.get("names", ())),
        pattern=re.compile(row["regex"].encode("latin-1"), re.DOTALL),
        is_text=row.get("is_text", False),
    )
    for row in _read("foreign_models.toml")["model"]
)
"""Formats of models that no unit of this release reads, known by name and content together."""

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
