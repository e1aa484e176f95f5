"""Small model files as bytes: valid by construction, and bendable where a test wants them wrong."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from weighbridge.formats.reading.source import Source

GgufValue = str | int | float | bool | Sequence[str] | Sequence[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTensor:
    """One tensor as its file stores it. `dtype` is the format's word for safetensors, the type number for GGUF."""

    name: str
    dtype: str | int
    shape: tuple[int, ...]
    data: bytes


@contextmanager
def source_of(data: bytes, path: str = "model.bin") -> Iterator[Source]:
    """The bytes behind a file descriptor in memory, as a reader gets them."""
    fd = os.memfd_create("weighbridge-test")
    try:
        os.write(fd, data)
        yield Source(fd, path=path, size_bytes=len(data))
    finally:
        os.close(fd)


def safetensors_bytes(tensors: Sequence[StoredTensor], metadata: Mapping[str, str] | None = None) -> bytes:
    """A safetensors file: tensors in the order given, the header padded with spaces to eight bytes."""
    entries: dict[str, object] = {"__metadata__": dict(metadata)} if metadata is not None else {}
    offset = 0
    for tensor in tensors:
        end = offset + len(tensor.data)
        entries[tensor.name] = {"dtype": tensor.dtype, "shape": list(tensor.shape), "data_offsets": [offset, end]}
        offset = end
    return with_header(json.dumps(entries, separators=(",", ":")).encode(), b"".join(t.data for t in tensors))


def with_header(header: bytes, body: bytes = b"", *, length: int | None = None) -> bytes:
    """A safetensors file of any header; `length` lies about its length."""
    header += b" " * (-len(header) % 8) if length is None else b""
    return struct.pack("<Q", len(header) if length is None else length) + header + body


def gguf_bytes(
    pairs: Mapping[str, GgufValue],
    tensors: Sequence[StoredTensor] = (),
    *,
    version: int = 3,
    is_big: bool = False,
) -> bytes:
    """A GGUF file: strings, 32-bit unsigned integers, 32-bit floats, booleans and arrays of strings or integers."""
    writer = _GgufWriter(version=version, is_big=is_big)
    alignment = pairs.get("general.alignment", 32)
    step = alignment if isinstance(alignment, int) and alignment > 0 else 32
    infos, body = b"", b""
    for tensor in tensors:
        body += b"\0" * (-len(body) % step)
        infos += writer.text(tensor.name) + writer.number("I", len(tensor.shape))
        infos += b"".join(writer.count(length) for length in tensor.shape)
        infos += writer.number("I", int(tensor.dtype)) + writer.number("Q", len(body))
        body += tensor.data
    head = b"GGUF" + writer.number("I", version) + writer.count(len(tensors)) + writer.count(len(pairs))
    head += b"".join(writer.text(key) + writer.value(value) for key, value in pairs.items()) + infos
    return head + b"\0" * (-len(head) % step) + body if tensors else head


class _GgufWriter:
    """How one version in one byte order spells things."""

    def __init__(self, *, version: int, is_big: bool) -> None:
        self.order = ">" if is_big else "<"
        self.wide = "I" if version == 1 else "Q"

    def number(self, code: str, value: float) -> bytes:
        return struct.pack(self.order + code, value)

    def count(self, value: int) -> bytes:
        return self.number(self.wide, value)

    def text(self, value: str) -> bytes:
        raw = value.encode()
        return self.count(len(raw)) + raw

    def value(self, value: GgufValue) -> bytes:
        if isinstance(value, bool):
            return self.number("I", 7) + self.number("B", value)
        if isinstance(value, int):
            return self.number("I", 4) + self.number("I", value)
        if isinstance(value, float):
            return self.number("I", 6) + self.number("f", value)
        if isinstance(value, str):
            return self.number("I", 8) + self.text(value)
        items = b"".join(self.text(v) if isinstance(v, str) else self.number("i", v) for v in value)
        kind = 8 if value and isinstance(value[0], str) else 5
        return self.number("I", 9) + self.number("I", kind) + self.count(len(value)) + items


def tiny_safetensors() -> bytes:
    """Two tensors and metadata: 6 parameters of F32, 4 of I8."""
    return safetensors_bytes(
        (
            StoredTensor(name="layer.weight", dtype="F32", shape=(2, 3), data=bytes(range(24))),
            StoredTensor(name="layer.scale", dtype="I8", shape=(4,), data=b"\x01\x02\x03\x04"),
        ),
        {"format": "pt"},
    )


def tiny_gguf(*, version: int = 3, is_big: bool = False) -> bytes:
    """A llama of one layer: a tokenizer of three tokens, a chat template, an F32 and a Q8_0 tensor (72 parameters)."""
    pairs: dict[str, GgufValue] = {
        "general.architecture": "llama",
        "general.name": "tiny",
        "llama.block_count": 1,
        "llama.embedding_length": 32,
        "llama.attention.head_count": 4,
        "llama.attention.head_count_kv": 2,
        "llama.rope.freq_base": 10000.0,
        "tokenizer.ggml.tokens": ("a", "b", "<s>"),
        "tokenizer.ggml.token_type": (1, 1, 3),
        "tokenizer.ggml.add_bos_token": True,
        "tokenizer.chat_template": "{% for m in messages %}{{ m.content }}{% endfor %}",
    }
    tensors = (
        StoredTensor(name="output_norm.weight", dtype=0, shape=(8,), data=bytes(range(32))),
        StoredTensor(name="token_embd.weight", dtype=8, shape=(32, 2), data=bytes(range(68))),
    )
    return gguf_bytes(pairs, tensors, version=version, is_big=is_big)
