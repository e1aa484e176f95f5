"""What kind of text a file is: content first, the name for what only a name allows."""

from __future__ import annotations

import re
from enum import Enum
from pathlib import PurePosixPath

from weighbridge.formats.headers.tables import BINARY_SUFFIXES, TEXT_NAMES, TEXT_SUFFIXES
from weighbridge.formats.reading.contract import own_name


class TextKind(Enum):
    """The kinds, as `text_kinds.toml` spells them; the name is put into a report."""

    PROSE = "prose"
    JSON = "json"
    JSON_LINES = "json-lines"
    NOTEBOOK = "notebook"
    YAML = "yaml"
    TEMPLATE = "template"
    VOCABULARY = "vocabulary"
    CODE = "code"
    CONFIG = "config"
    LFS_POINTER = "lfs-pointer"


SAYS = {
    TextKind.PROSE: "plain text",
    TextKind.JSON: "JSON",
    TextKind.JSON_LINES: "JSON lines",
    TextKind.NOTEBOOK: "a notebook",
    TextKind.YAML: "YAML",
    TextKind.TEMPLATE: "a chat template",
    TextKind.VOCABULARY: "a vocabulary",
    TextKind.CODE: "source code",
    TextKind.CONFIG: "a configuration text",
    TextKind.LFS_POINTER: "a git-LFS pointer",
}
"""The kinds in words."""

_POINTER = re.compile(rb"version https://(?:git-lfs\.github\.com|hawser\.github\.com)/spec/v1\r?\n")
_JSON_HEAD = re.compile(rb"\s*(?:\{\s*(?:\"|\})|\[\s*(?:[\[{\"\]0-9tfn-]))")
_JSON_TAIL = re.compile(rb"[}\]]\s*\Z")


def looks_like_json(head: bytes, tail: bytes) -> bool:
    """Whether a text starts and ends as JSON objects and arrays do."""
    return bool(_JSON_HEAD.match(head)) and bool(_JSON_TAIL.search(tail))


def kind_of(path: str, head: bytes, tail: bytes, size_bytes: int) -> TextKind:
    """The kind of a text from its first and last bytes and its name."""
    if size_bytes <= 1024 and _POINTER.match(head):
        return TextKind.LFS_POINTER
    name = own_name(path)
    if name in TEXT_NAMES:
        return TextKind(TEXT_NAMES[name])
    suffix = PurePosixPath(name).suffix
    if suffix in TEXT_SUFFIXES:
        return TextKind(TEXT_SUFFIXES[suffix])
    if looks_like_json(head, tail):
        return TextKind.JSON
    return TextKind.CODE if head.startswith(b"#!") else TextKind.PROSE


def is_json_named(path: str) -> bool:
    """Whether the name promises one JSON document."""
    return path.lower().endswith((".json", ".ipynb"))


def binary_suffix(path: str) -> str:
    """The suffix of a name that promises something other than text; empty where it does not."""
    suffix = PurePosixPath(path).suffix.lower()
    return suffix if suffix in BINARY_SUFFIXES else ""


def missing_content(path: str) -> str:
    """What an empty file of this name should hold: its suffix where no loader takes nothing for it, else empty."""
    return PurePosixPath(path).suffix.lower() if is_json_named(path) else binary_suffix(path)
