"""What real loaders say about a file that weighbridge calls clean. Each gives an empty text, or why the loader would not take it.

None shares code with the readers: safetensors and zip are read by the packages of that name, pickles by Python's own
unpickler in a forked child, GGUF by a short parser after the reference implementation (tests/fuzz/gguf_loader.py).
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import re
import struct
import tarfile
import zipfile
import zlib
from pathlib import PurePosixPath
from typing import Any

from tests.fuzz.gguf_loader import load_gguf
from tests.fuzz.table_loader import load_index
from tests.fuzz.unpickling import unpickle
from tests.fuzz.wire_loader import load_onnx, load_tf
from weighbridge.testing.fuzzing import Oracle

LEGACY_MAGIC = b"\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"


def load_safetensors(data: bytes, _path: str) -> str:
    from safetensors import SafetensorError, deserialize

    try:
        deserialize(data)
    except SafetensorError as problem:
        return f"safetensors refuses it: {problem}"
    return ""


def load_pickles(data: bytes, _path: str) -> str:
    """Every stream, and nothing but zeros behind the last one."""
    outcome = unpickle(data, streams=None)
    if outcome.problem or outcome.is_refused:
        return outcome.problem
    return "" if not data[outcome.end :].strip(b"\0") else f"bytes stand behind the stream, from {outcome.end} on"


def load_torch_legacy(data: bytes, _path: str) -> str:
    """torch.serialization._legacy_load: five pickles, then each storage with the number of its elements before it."""
    outcome = unpickle(data, streams=5, persistent_parts=6)
    if outcome.problem or outcome.is_refused:
        return outcome.problem
    position, known = outcome.end, {storage.key: storage for storage in outcome.storages}
    keys = outcome.last
    if not isinstance(keys, list) or not all(key in known for key in keys) or len(set(keys)) != len(known):
        return "the list of storages is not that of the storages"
    for key in keys:
        storage = known[key]
        count = int.from_bytes(data[position : position + 8], "little", signed=True)
        position += 8 + storage.size_bytes
        if count != storage.count or position > len(data):
            return f"storage {key} has not the size that it claims"
    return "" if not data[position:].strip(b"\0") else "bytes stand behind the last storage"


def load_torch_zip(data: bytes, _path: str) -> str:
    """Python's zipfile reads every member with its checksum (torch leaves that of a storage unchecked); data.pkl loads."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return _load_members(archive)
    except (
        zipfile.BadZipFile,
        NotImplementedError,
        RuntimeError,
        ValueError,
        EOFError,
        OSError,
        struct.error,
    ) as problem:
        return f"zipfile refuses it: {type(problem).__name__}: {problem}"


def _load_members(archive: zipfile.ZipFile) -> str:
    infos = {info.filename: info for info in archive.infolist()}
    if len(infos) != len(archive.infolist()):
        return "two members have one name"
    prefix = archive.infolist()[0].filename.split("/", 1)[0]
    for name, info in infos.items():
        if name.startswith(f"{prefix}/data/"):
            archive.open(info).close()  # reads the local header
        else:
            archive.read(info)
    if f"{prefix}/data.pkl" not in infos:
        return "it holds no data.pkl"
    outcome = unpickle(archive.read(f"{prefix}/data.pkl"), streams=1, persistent_parts=5)
    for storage in outcome.storages:
        info = infos.get(f"{prefix}/data/{storage.key}")
        if info is None or info.file_size < storage.size_bytes:
            return f"storage {storage.key} is missing or too short"
    return outcome.problem


def load_text(data: bytes, path: str) -> str:
    """Text decodes; JSON is read by Python, no key twice; and who takes it for a pickle calls nothing by that."""
    try:
        text = _decoded(data)
    except UnicodeDecodeError as problem:
        return f"it is not text: {problem}"
    if re.search("[\x00-\x08\x0e-\x1f]", text):
        return "it holds control characters"
    if path.endswith(".json") and (problem := _json_problem(text)):
        return problem
    ran = unpickle(data, streams=1).ran
    return f"as a pickle it runs {ran}" if ran else ""


def _decoded(data: bytes) -> str:
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16")
    return data.decode("utf-8-sig")


def _json_problem(text: str) -> str:
    def take(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({key for key, _ in pairs}) != len(pairs):
            raise ValueError("a key stands twice")
        if any(key in ("auto_map", "trust_remote_code") and value for key, value in pairs):
            raise ValueError("it asks for foreign code")
        return dict(pairs)

    try:
        json.loads(text, object_pairs_hook=take)
    except (ValueError, RecursionError) as problem:
        return f"json refuses it: {problem}"
    return ""


def load_torch(data: bytes, path: str) -> str:
    """torch.load: the archive format where the file starts like a zip, the format before where its number comes first, else a pickle."""
    if data[:2] == b"PK":
        return load_torch_zip(data, path)
    if LEGACY_MAGIC in data[:32]:
        return load_torch_legacy(data, path)
    return load_pickles(data, path)


def load_zip(data: bytes, _path: str) -> str:
    """Python's zipfile opens every member with its checksum."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            broken = archive.testzip()
    except (
        zipfile.BadZipFile,
        NotImplementedError,
        RuntimeError,
        ValueError,
        EOFError,
        OSError,
        struct.error,
    ) as problem:
        return f"zipfile refuses it: {type(problem).__name__}: {problem}"
    return f"zipfile finds {broken} broken" if broken else ""


def load_tar(data: bytes, _path: str) -> str:
    """Python's tarfile lists every member, and none leaves the folder."""
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
            members = archive.getmembers()
            for member in members:
                tarfile.data_filter(member, "/nonexistent")
                if member.isfile():
                    archive.extractfile(member).read()  # type: ignore[union-attr]
    except (tarfile.TarError, OSError, EOFError, ValueError) as problem:
        return f"tarfile refuses it: {type(problem).__name__}: {problem}"
    return ""


def load_npy(data: bytes, path: str) -> str:
    """numpy reads the numbers; objects are a pickle behind the header."""
    import numpy as np

    stream = io.BytesIO(data)
    try:
        np.load(stream, allow_pickle=False)
    except ValueError as problem:
        if "allow_pickle" not in str(problem):
            return f"numpy refuses it: {problem}"
        return load_pickles(data[stream.tell() :], path)
    except (EOFError, OSError, SyntaxError, TypeError) as problem:
        return f"numpy refuses it: {type(problem).__name__}: {problem}"
    return f"bytes stand behind the array, from {stream.tell()} on" if data[stream.tell() :].strip(b"\0") else ""


def load_compressed(data: bytes, path: str) -> str:
    """Python unfolds it to the end, and pickles in it load."""
    openers = {b"\x1f": gzip.decompress, b"B": bz2.decompress, b"\xfd": lzma.decompress, b"]": lzma.decompress}
    opener = openers.get(data[:1], zlib.decompress)
    packed = data[21:] if data[:2] == b"ZF" else data
    try:
        content = opener(packed)
    except (OSError, EOFError, lzma.LZMAError, zlib.error) as problem:
        return f"it does not unfold: {problem}"
    return load_pickles(content, path) if content[:1] == b"\x80" else ""


def load_raw(data: bytes, _path: str) -> str:
    """Numbers are never loaded by themselves: who takes them for a pickle calls nothing by that."""
    ran = unpickle(data, streams=1).ran
    return f"as a pickle it runs {ran}" if ran else ""


def load_hdf5(data: bytes, _path: str) -> str:
    """The superblock where the library looks for it, an end that the file has, and no words of what runs code."""
    start = next((at for at in (0, *(512 << n for n in range(20))) if data[at : at + 8] == b"\x89HDF\r\n\x1a\n"), -1)
    if start < 0:
        return "there is no signature"
    if data[start + 8] > 3:
        return "a superblock of an unknown version"
    end_at = start + (40 + 4 * data[start + 8] if data[start + 8] < 2 else 28)
    if int.from_bytes(data[end_at : end_at + 8], "little") > len(data):
        return "it is shorter than it says"
    return _keras_words(data)


def _keras_words(data: bytes) -> str:
    found = re.search(rb"__lambda__|function_type\W+lambda|TFSMLayer|TorchModuleWrapper|get_file|/etc/passwd", data)
    return f"it holds {found.group()!r}" if found else ""


def load_keras(data: bytes, _path: str) -> str:
    """zipfile reads every member, the configuration is JSON without a key twice, the weights are HDF5."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
    except (
        zipfile.BadZipFile,
        NotImplementedError,
        RuntimeError,
        ValueError,
        EOFError,
        OSError,
        zlib.error,
    ) as problem:
        return f"zipfile refuses it: {type(problem).__name__}: {problem}"
    config = members.get("config.json", b"")
    weights = members.get("model.weights.h5", b"")
    return _json_problem(config.decode("utf-8", "replace")) or _keras_words(config) or load_hdf5(weights, "")


def load_xml(data: bytes, path: str) -> str:
    """expat parses it to the end, and it declares no document type; what is no XML is text all the same."""
    from xml.parsers import expat

    try:
        expat.ParserCreate().Parse(data, True)  # its own interface
    except (expat.ExpatError, ValueError, UnicodeError):
        return load_text(data, path)
    return "it declares a document type" if b"<!DOCTYPE" in data else ""


LOADERS: dict[str, Oracle] = {
    "hdf5": load_hdf5,
    "keras": load_keras,
    "torch_export": load_zip,
    "onnx": load_onnx,
    "tf_saved_model": load_tf,
    "tf_checkpoint": load_index,
    "raw_tensors": load_raw,
    "zip": load_zip,
    "tar": load_tar,
    "npy": load_npy,
    "compressed": load_compressed,
    "safetensors": load_safetensors,
    "gguf": load_gguf,
    "pickle": load_pickles,
    "torch_legacy": load_torch,
    "torch_zip": load_torch,
    "text": load_text,
}


def loader_of(path: str) -> Oracle:
    """What opens a file of this name; the content decides where the name leaves it open, as torch.load does."""
    suffix = PurePosixPath(path).suffix
    by_suffix: dict[str, Oracle] = {
        ".safetensors": load_safetensors,
        ".gguf": load_gguf,
        ".pkl": load_pickles,
        ".bin": load_torch,
        ".pt": load_torch,
        ".zip": load_zip,
        ".xml": load_xml,
        ".pmml": load_xml,
        ".pt2": load_zip,
        ".nemo": load_tar,
        ".npy": load_npy,
        ".h5": load_hdf5,
        ".keras": load_keras,
        ".gz": load_compressed,
        ".onnx": load_onnx,
        ".pb": load_tf,
        ".index": load_index,
    }
    return by_suffix.get(suffix, load_text)
