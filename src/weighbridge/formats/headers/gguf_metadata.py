"""The key-value pairs of a GGUF header: what is kept, what is only hashed, and what is wrong with them."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field

from weighbridge.errors import MalformedArtifactError
from weighbridge.formats.headers.defects import ODD, Defects, OverLimitError
from weighbridge.formats.headers.gguf_cursor import Cursor
from weighbridge.formats.headers.gguf_templates import (
    NAMES,
    STRINGS_LIMIT,
    TemplateJudge,
    is_chat_template,
    is_vocabulary,
    names_template,
)
from weighbridge.formats.headers.memory import cache_bytes_per_token
from weighbridge.vocabulary import Fact, Outcome, Severity, clip

_TOKENS = "tokenizer.ggml.tokens"
_BESIDE_TOKENS = frozenset({"tokenizer.ggml.scores", "tokenizer.ggml.token_type"})
Value = str | int | float | bool | tuple[int, ...]

_CODES = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "B", 10: "Q", 11: "q", 12: "d"}
_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_BOOL, _STRING, _ARRAY = 7, 8, 9
_INTEGERS = {0, 1, 2, 3, 4, 5, 10, 11}
_UINT32 = 4

KEY_LIMIT_BYTES = 65_535
"""The format's own limit."""

KEYS_LIMIT_BYTES = 4 << 20
"""All keys together; those of real files have a few kilobytes."""

PAIR_LIMIT = 8192
"""Most pairs read; real files have below 100."""

SPLIT_KEYS = ("split.no", "split.count", "split.tensors.count")
"""What gguf-split says in every file: which part it is, of how many, with how many tensors together."""

NESTING_LIMIT = 4
STRING_LIMIT_BYTES = 4 << 20
"""Longest string kept; a longer one is hashed and passed."""

_KEPT_ARRAY = 1024
_KEPT_NUMBERS = 1 << 16
_KEPT_TEXT = 1 << 16
_KEPT_TEXTS = 1 << 22
_FACT_LIMIT = 256
_SPLIT_NAME = re.compile(r"-(\d{5})-of-(\d{5})\.gguf\Z")
_KEY = re.compile(r"[A-Za-z0-9_\-]+(?:\.[A-Za-z0-9_\-]+)*")


@dataclass(slots=True)
class Metadata:
    """What the pairs say. `values` has the scalars, short strings and short integer arrays; `digests` sha256 by key."""

    values: dict[str, Value] = field(default_factory=dict)
    types: dict[str, int] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    """Entries of the arrays that run beside the tokens."""
    facts: list[Fact] = field(default_factory=list)
    tokenizer: list[tuple[str, str]] = field(default_factory=list)
    templates: list[tuple[str, str]] = field(default_factory=list)
    """Name and sha256 of every chat template."""
    numbers_left: int = _KEPT_NUMBERS
    text_left: int = _KEPT_TEXTS

    def text(self, key: str) -> str:
        """A string value, empty where there is none."""
        value = self.values.get(key)
        return value if isinstance(value, str) else ""

    def has_room(self, value: Value) -> bool:
        """Whether a value is kept: long texts and more integers than any model has are only hashed and shown."""
        if isinstance(value, tuple):
            self.numbers_left -= len(value)
        if isinstance(value, str) and len(value) <= _KEPT_TEXT:
            self.text_left -= len(value)
            return self.text_left >= 0
        return not isinstance(value, str) and self.numbers_left >= 0

    def digests(self) -> tuple[Fact, ...]:
        """The tokenizer (every `tokenizer.*` pair but the chat templates, sorted by key) and each chat template's text."""
        facts = [Fact(name=clip(name), value=value) for name, value in self.templates]
        if self.tokenizer:
            lines = "".join(f"{key}:{value}\n" for key, value in sorted(self.tokenizer))
            facts.append(
                Fact(name="tokenizer", value=hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest())
            )
        return tuple(facts)

    def cache_bytes_per_token(self) -> int | None:
        """The 16-bit key-value cache of one token; None where plain attention is not what the pairs describe."""
        name = self.text("general.architecture")
        heads, layers = self._count(f"{name}.attention.head_count"), self._count(f"{name}.block_count")
        width = self._count(f"{name}.embedding_length")
        if not (heads and layers and width) or layers > 10_000 or f"{name}.attention.kv_lora_rank" in self.values:
            return None
        if any(key.startswith(f"{name}.ssm.") for key in self.values):
            return None
        kv_heads = self.values.get(f"{name}.attention.head_count_kv", heads)
        if isinstance(kv_heads, int):
            kv_heads = (kv_heads,) * layers
        if not isinstance(kv_heads, tuple) or len(kv_heads) != layers:
            return None
        key_length = self._count(f"{name}.attention.key_length") or width // heads
        value_length = self._count(f"{name}.attention.value_length") or width // heads
        return cache_bytes_per_token(kv_heads, key_length, value_length)

    def _count(self, key: str) -> int:
        value = self.values.get(key)
        return value if isinstance(value, int) and 0 < value < 1 << 40 else 0


def read_pairs(cursor: Cursor, count: int, defects: Defects, metadata: Metadata) -> None:
    """Read `count` pairs into `metadata`.

    Raises:
        MalformedArtifactError: a length leaves the file, a value type is unknown, arrays nest too deep.
        OverLimitError: the keys are longer than KEYS_LIMIT_BYTES.
    """
    reader = _Pairs(cursor, defects, metadata)
    for _ in range(count):
        reader.read_pair()
    tokens = metadata.counts.get(_TOKENS, 0)
    for key, entries in metadata.counts.items():
        if entries != tokens and _TOKENS in metadata.counts:
            message = f"{key} has {entries:,} entries for {tokens:,} tokens"
            shorter = (Outcome.FAIL, Severity.HIGH)  # loaders go through it by the number of tokens
            defects.add("gguf.metadata", message, key, grade=shorter if entries < tokens else ODD)


class _Pairs:
    """The pairs of one file while they are read."""

    def __init__(self, cursor: Cursor, defects: Defects, metadata: Metadata) -> None:
        self.cursor = cursor
        self.defects = defects
        self.metadata = metadata
        self.templates = TemplateJudge(defects, digests=metadata.templates)
        self.room = KEYS_LIMIT_BYTES

    def read_pair(self) -> None:
        """Read one pair."""
        cursor, metadata = self.cursor, self.metadata
        start = cursor.position
        key = self.read_key(start)
        self.room -= len(key)
        if self.room < 0:
            raise OverLimitError(f"keys of more than {KEYS_LIMIT_BYTES:,} bytes", locator=f"byte {start}")
        if key in metadata.types:
            message = f"the key {clip(key)!r} stands twice, so loaders may disagree about its value"
            self.defects.add("gguf.duplicate-key", message, f"byte {start}")
        is_split = key.startswith("split.") and key not in metadata.types
        kind = cursor.word()
        metadata.types[key] = kind
        first = cursor.position
        cursor.hash = hashlib.sha256()
        value, shown = self.read_value(kind, key)
        digest = cursor.hash.hexdigest()
        cursor.hash = None
        if value is not None and metadata.has_room(value):
            metadata.values[key] = value
        if len(metadata.facts) < _FACT_LIMIT or (is_split and key in SPLIT_KEYS):
            metadata.facts.append(Fact(name=clip(key), value=clip(shown)))
        if is_chat_template(key) and kind != _STRING:
            self.defects.add("gguf.metadata", f"{clip(key)!r} is not a text", f"byte {first}", grade=ODD)
            self.templates.give_up(key, "it is not a text", first)
        if key == NAMES and kind != _ARRAY:
            self.defects.add("gguf.metadata", f"{key!r} is not an array of names", f"byte {first}", grade=ODD)
        if key.startswith("tokenizer.") and not (is_chat_template(key) and kind == _STRING):
            metadata.tokenizer.append((key, f"{kind}:{digest}"))

    def read_key(self, start: int) -> str:
        raw = self.cursor.string("a key", limit=KEY_LIMIT_BYTES)
        key = raw.decode("utf-8", "surrogateescape")
        if not raw:
            self.defects.add("gguf.metadata", "a key is empty", f"byte {start}")
        elif not _KEY.fullmatch(key):
            message = "a key is not words joined by dots"
            self.defects.add("gguf.metadata", message, f"byte {start}", grade=ODD, excerpt=raw)
        return key

    def read_value(self, kind: int, key: str) -> tuple[Value | None, str]:
        """A value that is worth keeping (else None), and how it is shown."""
        cursor = self.cursor
        if kind == _STRING:
            return self.read_string(key)
        if kind == _ARRAY:
            return self.read_array(key, depth=1)
        if kind not in _CODES:
            raise MalformedArtifactError(
                f"value type {kind} of {clip(key)!r} does not exist", locator=f"byte {cursor.position - 4}"
            )
        start = cursor.position
        value = cursor.number(_CODES[kind])
        if kind == _BOOL:
            if value not in (0, 1):
                self.defects.add("gguf.metadata", f"the boolean {clip(key)!r} is {value}", f"byte {start}")
            return bool(value), str(bool(value)).lower()
        return value, repr(value)

    def read_string(self, key: str) -> tuple[Value | None, str]:
        cursor = self.cursor
        start = cursor.position
        size = cursor.length(f"the length of {clip(key)!r}")
        if size > STRING_LIMIT_BYTES:
            first = cursor.position
            cursor.skip(size)
            if not is_vocabulary(key):
                self.templates.give_up(key, f"it has {size:,} bytes", first)
            return None, f"text of {size:,} bytes"
        first = cursor.position
        raw = cursor.take(size)
        self.templates.take(key, raw, first)
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError:
            message = f"the text of {clip(key)!r} is not UTF-8"
            self.defects.add("gguf.metadata", message, f"byte {start}", grade=ODD, excerpt=raw)
            return None, clip(raw)
        return text, text

    def read_array(self, key: str, *, depth: int) -> tuple[Value | None, str]:
        cursor = self.cursor
        start = cursor.position
        kind = cursor.word()
        if kind == _STRING:
            count = cursor.length(f"the array {clip(key)!r}", each_bytes=cursor.count_format.size)
            if key == _TOKENS:
                self.metadata.counts[key] = count
            looked = 0 if is_vocabulary(key) else min(count, STRINGS_LIMIT, cursor.strings_left)
            self.look_at_strings(key, looked)
            if looked < count and names_template(key):
                self.templates.give_up(key, f"the array has more than {looked:,} texts", start)
            cursor.skip_strings(count - looked)
        elif kind == _ARRAY:
            self.skip_nested(key, start, depth)
            return None, "array of arrays"
        elif kind in _CODES:
            count = cursor.length(f"the array {clip(key)!r}", each_bytes=_SIZES[kind])
            if key in _BESIDE_TOKENS:
                self.metadata.counts[key] = count
            if kind in _INTEGERS and count <= _KEPT_ARRAY:
                numbers = cursor.integers(_CODES[kind], count)
                return numbers, ", ".join(map(str, numbers[:16])) + (", …" if count > 16 else "")
            cursor.skip(count * _SIZES[kind])
        else:
            raise MalformedArtifactError(
                f"element type {kind} of {clip(key)!r} does not exist", locator=f"byte {start}"
            )
        return None, f"array of {count:,}"

    def look_at_strings(self, key: str, count: int) -> None:
        """Read texts of an array, which may be templates."""
        cursor = self.cursor
        cursor.strings_left -= count
        for _ in range(count):
            size = cursor.length(f"the length of a text of {clip(key)!r}")
            first = cursor.position
            if size <= STRING_LIMIT_BYTES:
                self.templates.take(key, cursor.take(size), first)
            else:
                cursor.skip(size)
                self.templates.give_up(key, f"it has {size:,} bytes", first)

    def skip_nested(self, key: str, start: int, depth: int) -> None:
        """Arrays in arrays: the format allows them, llama.cpp refuses them."""
        cursor = self.cursor
        if depth == 1:
            self.defects.add("gguf.metadata", f"{clip(key)!r} is an array of arrays", f"byte {start}", grade=ODD)
        if depth >= NESTING_LIMIT:
            raise MalformedArtifactError(
                f"arrays of {clip(key)!r} nest deeper than {NESTING_LIMIT}", locator=f"byte {start}"
            )
        count = cursor.length(f"the array {clip(key)!r}", each_bytes=4 + cursor.count_format.size)
        cursor.arrays_left -= count
        if cursor.arrays_left < 0:
            raise OverLimitError("more arrays in arrays than this release walks", locator=f"byte {start}")
        for _ in range(count):
            self.read_array(key, depth=depth + 1)


def judge_split(path: str, metadata: Metadata, defects: Defects) -> None:
    """Compare what a part of a split model says of itself with its name."""
    for key in SPLIT_KEYS:
        if key in metadata.types and (
            metadata.types[key] not in _INTEGERS or not isinstance(metadata.values.get(key), int)
        ):
            defects.add("gguf.split", f"{key} is not a whole number", key)
            return
    number, count, tensors = (metadata.values.get(key) for key in SPLIT_KEYS)
    if not isinstance(number, int) or not isinstance(count, int):
        if number is not None or count is not None:
            defects.add("gguf.split", "it says which part of a split model it is, or of how many, but not both")
        return
    if not 0 <= number < max(count, 1) or (isinstance(tensors, int) and tensors < 0):
        defects.add("gguf.split", f"it says that it is part {number + 1:,} of {count:,}", "split.no")
    match = _SPLIT_NAME.search(path)
    named = (int(match[1]) - 1, int(match[2])) if match else (0, 1)
    if match and named != (number, count):
        message = (
            f"it is named as part {named[0] + 1:,} of {named[1]:,} and says that it is part {number + 1:,} of {count:,}"
        )
        defects.add("gguf.split", message, "split.no")
    elif count > 1 and not match:
        message = (
            f"it is part {number + 1:,} of {count:,}, and its name does not say so, so that llama.cpp finds no other"
        )
        defects.add("gguf.split", message, "split.no", grade=ODD)


def alignment_of(metadata: Metadata, defects: Defects) -> int:
    """The alignment of tensor data: 32 where the file does not say or what it says cannot be."""
    key = "general.alignment"
    if key not in metadata.types:
        return 32
    value = metadata.values.get(key)
    if metadata.types[key] != _UINT32 or not isinstance(value, int):
        defects.add("gguf.alignment", "general.alignment is not an unsigned 32-bit number", key)
    elif value < 8 or value & (value - 1):
        defects.add("gguf.alignment", f"general.alignment is {value}, not a power of two from 8 on", key)
    else:
        return value
    return 32
