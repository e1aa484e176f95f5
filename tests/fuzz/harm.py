"""What the bytes of a file prove that loading it would do; empty where they prove nothing.

This asks about harm, not about form: a file that was bent into something else that is harmless (an archive without its pickle, a
pickle where a checkpoint was, an empty header) proves nothing, whoever refuses it. Whatever its name, a file is taken for a pickle
(Python's own unpickler, which imports nothing and notes what would be called), a zip, a tar, a compressed stream, an array, JSON,
HDF5, XML and a graph, and what lies inside is taken apart again, to the depth that inspection opens.

What it cannot see: calls of names that weighbridge's own tables admit (it believes the tables; `bench/fuzz_loaders.py` does not),
calls into modules that are not installed here, code of a TorchScript or torch.export archive, what is compressed inside HDF5, operators of a graph outside a short list, and what
a loader that is neither Python nor its standard library makes of the same bytes.
"""

from __future__ import annotations

import bz2
import io
import json
import lzma
import re
import struct
import tarfile
import tomllib
import zipfile
import zlib
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import Any

import weighbridge
from tests.fuzz.unpickling import unpickle
from tests.fuzz.wire_loader import load_onnx, load_tf

DEPTH = 4
MOST_MEMBERS = 100
MOST_BYTES = 16 << 20
_TABLES = Path(weighbridge.__file__).parent / "formats" / "pickling" / "data"
_WORDS = re.compile(
    rb"__lambda__|function_type\W+lambda|class_name\W+(?:Lambda|TFSMLayer|TorchModuleWrapper)\W|/etc/passwd"
)
_BROKEN = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, struct.error, EOFError, OSError),
    *(ValueError, NotImplementedError, RuntimeError, OverflowError, KeyError, IndexError),
)


def harm_of(data: bytes, path: str, *, depth: int = DEPTH) -> str:
    """What loading these bytes under this name would do, as far as they prove it."""
    if problem := _harm_of_pickle(data) or _harm_of_words(data, path) or _harm_of_graph(data, path):
        return problem
    if depth <= 0:
        return ""
    for name, content in _inside(data):
        if content is None:
            return f"its member {name!r} leaves the folder"
        if problem := harm_of(content, name, depth=depth - 1):
            return f"{name}: {problem}"
    return ""


def _harm_of_pickle(data: bytes) -> str:
    outcome = unpickle(data, streams=None, persistent_parts=None)
    ran = next((name for name in outcome.called if name not in admitted() and _is_there(name)), "")
    return f"as a pickle it runs {ran}" if ran else ""


def _is_there(called: str) -> bool:
    """Whether the module of a name, or of what an audit hook saw, exists in Python here."""
    try:
        return find_spec(called.partition(".")[0].partition(" ")[0]) is not None or " " in called
    except (ImportError, ValueError):
        return False


@cache
def admitted() -> frozenset[str]:
    """Every dotted name in the tables of what a pickle may name."""
    tables = (tomllib.loads(path.read_text(encoding="utf-8")) for path in _TABLES.glob("*.toml"))
    names = set[str]()
    for entry in (entry for table in tables for entry in table.get("allow", [])):
        modules = entry.get("modules") or {entry["module"]: entry["names"]}
        names.update(f"{module}.{name}" for module, listed in modules.items() for name in listed)
    return frozenset(names)


def _harm_of_words(data: bytes, path: str) -> str:
    """JSON that asks for foreign code, Keras layers that carry code, XML that declares entities."""
    if path.endswith(".json") and (problem := _asks(data)):
        return problem
    if (found := _WORDS.search(data)) and (
        path == "config.json" or (b"\x89HDF\r\n\x1a\n" in data and b"model_config" in data)
    ):
        return f"it holds {found.group()!r}"
    if data.lstrip()[:1] == b"<" and b"<!DOCTYPE" in data and b"<!ENTITY" in data:
        return "it declares entities"
    return ""


def _asks(data: bytes) -> str:
    asked: list[str] = []

    def take(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        asked.extend(key for key, value in pairs if key in ("auto_map", "trust_remote_code") and value)
        return dict(pairs)

    try:
        json.loads(data, object_pairs_hook=take)
    except (ValueError, RecursionError):
        return ""
    return f"it asks for foreign code by {asked[0]}" if asked else ""


def _harm_of_graph(data: bytes, path: str) -> str:
    by_suffix = {".onnx": load_onnx, ".pb": load_tf}
    load = by_suffix.get(PurePosixPath(path).suffix)
    problem = load(data, path) if load else ""
    return problem if problem.startswith(("it names", "it takes")) else ""


def _inside(data: bytes) -> Iterator[tuple[str, bytes | None]]:
    """What lies in the bytes, by name; None where a member would be written outside of the folder."""
    for walk in (_zip_members, _tar_members, _unfolded, _behind_array):
        try:
            yield from walk(data)
        except _BROKEN:
            continue


def _zip_members(data: bytes) -> Iterator[tuple[str, bytes | None]]:
    if b"PK\5\6" not in data:
        return
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for info in archive.infolist()[:MOST_MEMBERS]:
            try:
                with archive.open(info) as member:
                    yield info.filename, member.read(MOST_BYTES)
            except _BROKEN:
                continue


def _tar_members(data: bytes) -> Iterator[tuple[str, bytes | None]]:
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
        for member, _ in zip(archive, range(MOST_MEMBERS), strict=False):
            try:
                tarfile.data_filter(member, "/nonexistent")
            except tarfile.FilterError:
                yield member.name, None
            if member.isreg() and member.size <= MOST_BYTES:
                content = archive.extractfile(member)
                yield member.name, content.read() if content else b""


def _unfolded(data: bytes) -> Iterator[tuple[str, bytes | None]]:
    packed = data[21:] if data[:2] == b"ZF" else data
    if packed[:2] in (b"\x1f\x8b", b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda"):
        yield "unfolded", zlib.decompressobj(47).decompress(packed, MOST_BYTES)
    elif packed[:3] == b"BZh":
        yield "unfolded", bz2.BZ2Decompressor().decompress(packed, MOST_BYTES)
    elif packed[:1] in (b"\xfd", b"]"):
        yield "unfolded", lzma.LZMADecompressor().decompress(packed, MOST_BYTES)


def _behind_array(data: bytes) -> Iterator[tuple[str, bytes | None]]:
    """What stands behind the header of a numpy array, where objects are a pickle."""
    if data[:6] == b"\x93NUMPY" and len(data) > 12:
        width = 2 if data[6] == 1 else 4
        yield "array", data[8 + width + int.from_bytes(data[8 : 8 + width], "little") :]
