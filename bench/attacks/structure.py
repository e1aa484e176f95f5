"""Safetensors and GGUF: nothing runs at load, but the header lies about the bytes or bytes lie where nobody looks."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator

from attacks.case import Case, one, push, stream, system

EVIL = stream(system(), 2)
U64 = 1 << 64


def safetensors(
    header: dict[str, object] | bytes, body: bytes = bytes(16), *, claimed: int | None = None, pad: bytes = b" "
) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    text += pad * (-len(text) % 8)
    return struct.pack("<Q", len(text) if claimed is None else claimed) + text + body


def tensor(begin: int, end: int, dtype: str = "F32", shape: tuple[object, ...] | None = None) -> dict[str, object]:
    return {
        "dtype": dtype,
        "shape": list(((end - begin) // 4,) if shape is None else shape),
        "data_offsets": [begin, end],
    }


HONEST = {"a": tensor(0, 8), "b": tensor(8, 16)}


def safetensors_cases() -> Iterator[Case]:
    text = json.dumps(HONEST)
    forms: dict[str, bytes] = {
        "pickle-appended": safetensors(HONEST, bytes(16) + EVIL),
        "zip-appended": safetensors(HONEST, bytes(16) + b"PK\5\6" + bytes(18)),
        "nul-appended": safetensors(HONEST, bytes(16) + bytes(64) + b"x"),
        "hole-with-payload": safetensors(
            {"a": tensor(0, 8), "b": tensor(8 + len(EVIL), 16 + len(EVIL))}, bytes(8) + EVIL + bytes(8)
        ),
        "hole-at-start": safetensors({"a": tensor(len(EVIL), len(EVIL) + 8)}, EVIL + bytes(8)),
        "overlap": safetensors({"a": tensor(0, 12), "b": tensor(4, 16)}),
        "same-range-twice": safetensors({"a": tensor(0, 16), "b": tensor(0, 16)}),
        "past-the-end": safetensors({"a": tensor(0, 16), "b": tensor(16, 4096)}),
        "offsets-reversed": safetensors({"a": tensor(16, 0, shape=(4,))}),
        "offset-negative": safetensors({"a": tensor(-8, 8, shape=(4,))}),
        "offset-overflow": safetensors({"a": {"dtype": "F32", "shape": [4], "data_offsets": [U64 - 16, U64]}}),
        "offset-float": safetensors({"a": {"dtype": "F32", "shape": [4], "data_offsets": [0.0, 16.0]}}),
        "offset-text": safetensors({"a": {"dtype": "F32", "shape": [4], "data_offsets": ["0", "16"]}}),
        "shape-too-large": safetensors({"a": tensor(0, 16, shape=(1 << 20,))}),
        "shape-overflow": safetensors({"a": tensor(0, 16, shape=(1 << 33, 1 << 33))}),
        "shape-negative": safetensors({"a": tensor(0, 16, shape=(-2, -2))}),
        "shape-wraps-to-size": safetensors({"a": tensor(0, 16, shape=((1 << 62) + 4,))}),
        "dtype-unknown": safetensors({"a": tensor(0, 16, "F31")}),
        "dtype-object": safetensors({"a": tensor(0, 16, "O")}),
        "key-twice": safetensors(
            ('{"a":' + json.dumps(tensor(0, 16)) + ',"a":' + json.dumps(tensor(0, 8)) + "}").encode()
        ),
        "key-twice-escaped": safetensors(
            ('{"a":' + json.dumps(tensor(0, 16)) + ',"\\u0061":' + json.dumps(tensor(0, 8)) + "}").encode()
        ),
        "inner-key-twice": safetensors(text.replace('"dtype": "F32"', '"dtype": "F32", "dtype": "I64"', 1).encode()),
        "metadata-twice": safetensors(
            ('{"__metadata__":{"format":"pt"},"__metadata__":{"format":"x"},' + text[1:]).encode()
        ),
        "metadata-not-text": safetensors({"__metadata__": {"format": {"auto": [1]}}, **HONEST}),
        "text-after-header": safetensors(text.encode() + b" #" + EVIL.replace(b"\x80", b"x")),
        "header-padded-with-nul": safetensors(HONEST, pad=b"\0"),
        "header-not-utf8": safetensors(text.replace('"a"', '"\xff"').encode("latin-1")),
        "header-length-past-end": safetensors(HONEST, claimed=1 << 40),
        "header-length-zero": struct.pack("<Q", 0) + bytes(16),
        "header-100-mb": safetensors(HONEST, claimed=(100 << 20) + 1),
        "header-deep": safetensors(b'{"a":' + b"[" * 50_000 + b"]" * 50_000 + b"}"),
        "header-array": safetensors(b"[1, 2, 3]"),
        "header-nan": safetensors(b'{"a": NaN}'),
        "header-huge-number": safetensors(
            b'{"a": {"dtype": "F32", "shape": [' + b"9" * 5000 + b'], "data_offsets": [0, 16]}}'
        ),
        "truncated-body": safetensors(HONEST, bytes(7)),
        "truncated-header": safetensors(HONEST)[:40],
    }
    for name, data in forms.items():
        yield one("safetensors", name, data, path="model.safetensors", loader="none")


def text(value: str | bytes) -> bytes:
    raw = value if isinstance(value, bytes) else value.encode()
    return struct.pack("<Q", len(raw)) + raw


def string_pair(key: str, value: str | bytes) -> bytes:
    return text(key) + struct.pack("<I", 8) + text(value)


def info(name: str, dims: tuple[int, ...], kind: int = 0, offset: int = 0) -> bytes:
    return (
        text(name)
        + struct.pack("<I", len(dims))
        + struct.pack(f"<{len(dims)}Q", *(d % U64 for d in dims))
        + struct.pack("<IQ", kind, offset % U64)
    )


ARCHITECTURE = string_pair("general.architecture", "llama")


def gguf(
    pairs: tuple[bytes, ...] = (),
    infos: tuple[bytes, ...] = (),
    body: bytes = bytes(32),
    *,
    version: int = 3,
    tensors: int | None = None,
    keys: int | None = None,
) -> bytes:
    pairs = (ARCHITECTURE, *pairs)
    infos = infos or (info("a", (8,)),)
    head = b"GGUF" + struct.pack(
        "<IQQ", version, len(infos) if tensors is None else tensors, len(pairs) if keys is None else keys
    )
    head += b"".join(pairs) + b"".join(infos)
    return head + bytes(-len(head) % 32) + body


def gguf_cases() -> Iterator[Case]:
    array = lambda kind, count, body=b"": text("x.list") + struct.pack("<IIQ", 9, kind, count) + body  # noqa: E731
    forms: dict[str, bytes] = {
        "dims-overflow": gguf(infos=(info("a", (1 << 32, 1 << 32)),)),
        "dims-wrap-to-size": gguf(infos=(info("a", ((1 << 62) + 8,)),)),
        "dims-sum-overflow": gguf(infos=(info("a", ((1 << 61) + 8,)), info("b", ((1 << 61) + 8,), offset=32))),
        "dims-zero": gguf(infos=(info("a", (8, 0)),)),
        "dims-too-many": gguf(infos=(info("a", (1,) * 9),)),
        "dims-count-huge": gguf(infos=(text("a") + struct.pack("<I", 1 << 31),)),
        "dims-lie": gguf(infos=(info("a", (1 << 20,)),)),
        "dims-negative": gguf(infos=(info("a", (-8,)),)),
        "offset-past-end": gguf(infos=(info("a", (8,), offset=1 << 40),)),
        "offset-overflow": gguf(infos=(info("a", (8,), offset=-32),)),
        "offset-unaligned": gguf(infos=(info("a", (8,), offset=7),), body=bytes(64)),
        "offset-overlap": gguf(infos=(info("a", (16,)), info("b", (8,), offset=32)), body=bytes(64)),
        "hole-with-payload": gguf(
            infos=(info("a", (8,)), info("b", (8,), offset=128)), body=bytes(32) + EVIL.ljust(96, b"\0") + bytes(32)
        ),
        "pickle-appended": gguf(body=bytes(32) + EVIL),
        "type-unknown": gguf(infos=(info("a", (8,), kind=999),)),
        "type-row-not-divisible": gguf(infos=(info("a", (8,), kind=2),)),
        "tensors-billion": gguf(tensors=1 << 40),
        "tensors-negative": gguf(tensors=-1 % U64),
        "keys-billion": gguf(keys=1 << 40),
        "key-length-huge": gguf((struct.pack("<Q", 1 << 60) + b"k",)),
        "string-length-huge": gguf((text("k") + struct.pack("<IQ", 8, U64 - 1),)),
        "array-count-huge": gguf((array(8, 1 << 60),)),
        "array-count-overflow": gguf((array(10, 1 << 61),)),
        "array-of-arrays-deep": gguf(
            (text("k") + struct.pack("<I", 9) + struct.pack("<IQ", 9, 1) * 5000 + struct.pack("<IQ", 0, 0),)
        ),
        "value-type-unknown": gguf((text("k") + struct.pack("<I", 77) + bytes(8),)),
        "bool-out-of-range": gguf((text("k") + struct.pack("<IB", 7, 7),)),
        "key-twice": gguf((ARCHITECTURE,)),
        "template-twice": gguf(
            (
                string_pair("tokenizer.chat_template", "{{ messages }}"),
                string_pair("tokenizer.chat_template", "{{ cycler.__init__.__globals__ }}"),
            )
        ),
        "tensor-twice": gguf(infos=(info("a", (8,)), info("a", (8,), offset=32)), body=bytes(64)),
        "alignment-zero": gguf((text("general.alignment") + struct.pack("<II", 4, 0),)),
        "alignment-seven": gguf((text("general.alignment") + struct.pack("<II", 4, 7),)),
        "alignment-huge": gguf((text("general.alignment") + struct.pack("<II", 4, 1 << 31),)),
        "version-unknown": gguf(version=77),
        "version-zero": gguf(version=0),
        "padding-with-payload": gguf().replace(bytes(32), b"", 1).ljust(64, b"\0")[:-40] + EVIL[:40],
        "truncated-header": gguf()[:50],
        "truncated-body": gguf()[:-20],
        "scores-fewer-than-tokens": gguf(
            (
                text("tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, 500) + text("a") * 500,
                text("tokenizer.ggml.scores") + struct.pack("<IIQ", 9, 6, 1) + bytes(4),
            )
        ),
        "zip-appended": gguf(body=bytes(32) + b"PK\3\4" + bytes(40)),
    }
    for name, data in forms.items():
        yield one("gguf", name, data, path="model.gguf", loader="none")


def polyglots() -> Iterator[Case]:
    from attacks.containers import GOOD, npy, torch_zip, zipped

    whole = safetensors(HONEST)
    forms = {
        "safetensors-and-zip": ("model.safetensors", whole + torch_zip()),
        "gguf-and-zip": ("model.gguf", gguf(body=bytes(32) + zipped([("model.pkl", EVIL)]))),
        "pickle-then-zip": ("model.pkl", GOOD + torch_zip()),
        "npy-then-pickle": ("w.npy", npy("<f4", bytes(4)) + EVIL),
        "png-and-zip": ("image.png", b"\x89PNG\r\n\x1a\n" + bytes(64) + zipped([("model.pkl", EVIL)])),
        "elf-and-zip": ("weights.bin", b"\x7fELF\2\1\1" + bytes(64) + torch_zip()),
        "script-and-zip": ("model.pt", b"#!/bin/sh\necho weights\nexit\n" + torch_zip()),
        "elf": ("weights.bin", b"\x7fELF\2\1\1" + bytes(120)),
        "windows-program": ("weights.bin", b"MZ" + bytes(58) + struct.pack("<I", 64) + b"PE\0\0" + bytes(64)),
        "text-then-pickle": ("notes.txt", b"just some notes about the weights\n" + EVIL),
        "tar-and-pickle": ("model.tar", push("x" * 400) + b"0" + EVIL),
        "zip-in-zip-comment": ("model.zip", zipped([("a.txt", b"a")], comment=zipped([("model.pkl", EVIL)]))),
        "wasm": ("model.bin", b"\0asm\1\0\0\0" + bytes(32)),
        "python-bytecode": (
            "model.pyc",
            b"\xa7\r\r\n" + bytes(12) + __import__("marshal").dumps(compile("import os", "m", "exec")),
        ),
        "shared-object-in-zip": ("model.zip", zipped([("lib/weights.so", b"\x7fELF\2\1\1" + bytes(120))])),
    }
    for name, (path, data) in forms.items():
        yield one("polyglot", name, data, path=path, loader="none")


def cases() -> Iterator[Case]:
    yield from safetensors_cases()
    yield from gguf_cases()
    yield from polyglots()
