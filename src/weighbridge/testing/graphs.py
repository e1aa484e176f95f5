"""Small ONNX models, TensorFlow graphs and checkpoint indexes, written field by field."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

INDEX_MAGIC = 0xDB4775248B80FB57
_DT_STRING = 7
_BLOCK_TRAILER_BYTES = 5


def varint(value: int) -> bytes:
    """A protobuf varint; a negative number as int64."""
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def message(*fields: tuple[int, int | bytes | str]) -> bytes:
    """A protobuf message: numbers become varints, everything else has a length."""
    out = b""
    for number, value in fields:
        if isinstance(value, int):
            out += varint(number << 3) + varint(value)
        else:
            raw = value.encode() if isinstance(value, str) else value
            out += varint(number << 3 | 2) + varint(len(raw)) + raw
    return out


def onnx_node(op: str, domain: str = "", *, attributes: Sequence[bytes] = ()) -> bytes:
    """A NodeProto from x to y."""
    named = ((7, domain),) if domain else ()
    return message((1, "x"), (2, "y"), (4, op), *((5, attribute) for attribute in attributes), *named)


def onnx_tensor(
    name: str = "w", dims: Sequence[int] = (2, 3), *, kind: int = 1, raw: bytes | None = None, more: bytes = b""
) -> bytes:
    """A TensorProto, of float32 numbers that are zero unless `raw` is given; `more` are fields behind its own."""
    data = b"" if more and raw is None else message((9, bytes(4 * _product(dims)) if raw is None else raw))
    return message(*((1, length) for length in dims), (2, kind), (8, name)) + data + more


def external_data(**entries: str) -> bytes:
    """The fields of a TensorProto whose bytes lie beside the file."""
    return message(*((13, message((1, key), (2, value))) for key, value in entries.items()), (14, 1))


def onnx_model(
    nodes: Iterable[bytes] = (),
    tensors: Iterable[bytes] = (),
    *,
    domains: Sequence[str] = ("",),
    functions: Iterable[bytes] = (),
    notes: Mapping[str, str] | None = None,
) -> bytes:
    """A ModelProto with one graph; the operator sets stand last, so that no beginning of it is a model."""
    described = ((11, message((1, "x"))), (12, message((1, "y"))))
    graph = message(*((1, node) for node in nodes), (2, "g"), *((5, tensor) for tensor in tensors), *described)
    props = ((14, message((1, key), (2, value))) for key, value in (notes or {}).items())
    opsets = ((8, message((1, domain), (2, 17)) if domain else message((2, 17))) for domain in domains)
    return message((1, 8), (2, "test"), (7, graph), *((25, made) for made in functions), *props, *opsets)


def tf_node(
    op: str, name: str = "n", *, inputs: Sequence[str] = (), attributes: Mapping[str, bytes] | None = None
) -> bytes:
    """A NodeDef; `attributes` are AttrValues."""
    held = ((5, message((1, key), (2, value))) for key, value in (attributes or {}).items())
    return message((1, name), (2, op), *((3, name) for name in inputs), *held)


def tf_text(text: str, name: str = "c") -> bytes:
    """A constant that is a text."""
    tensor = message((1, _DT_STRING), (2, b""), (8, text))
    return tf_node("Const", name, attributes={"dtype": message((6, _DT_STRING)), "value": message((8, tensor))})


def tf_call(function: str, *inputs: str) -> bytes:
    """A node that calls a function of the library."""
    return tf_node("PartitionedCall", "call", inputs=inputs, attributes={"f": message((10, message((1, function))))})


def tf_graph(nodes: Iterable[bytes], functions: Mapping[str, Sequence[bytes]] | None = None) -> bytes:
    """A GraphDef with a library of functions."""
    library = b"".join(
        message((1, message((1, message((1, name))), *((3, node) for node in body))))
        for name, body in (functions or {}).items()
    )
    return message(*((1, node) for node in nodes), *(((2, library),) if library else ()))


def saved_model(
    nodes: Iterable[bytes],
    functions: Mapping[str, Sequence[bytes]] | None = None,
    *,
    layers: Sequence[str] = (),
    assets: Sequence[str] = (),
) -> bytes:
    """A SavedModel with one graph; `layers` are what Keras says of its objects, `assets` names of files."""
    named = ((6, message((1, message((1, "a:0"))), (2, name))) for name in assets)
    objects = message(*((1, message((4, message((1, "_tf_keras_layer"), (3, text))))) for text in layers))
    graph = tf_graph(nodes, functions)
    return message((1, 1), (2, message((1, message((4, "serve"))), (2, graph), *named, (7, objects))))


def keras_metadata(*layers: str) -> bytes:
    """A keras_metadata.pb of layers that are told in JSON."""
    return message(
        *(
            (1, message((2, n), (3, f"root.layer-{n}"), (4, "_tf_keras_layer"), (5, text)))
            for n, text in enumerate(layers, 1)
        )
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexedTensor:
    """A tensor that a checkpoint index tells of: its place in a shard, float32 unless `dtype` says another."""

    name: str
    shape: tuple[int, ...]
    offset: int = 0
    dtype: int = 1
    size_bytes: int | None = None
    shard: int = 0

    def entry(self) -> bytes:
        """A BundleEntryProto."""
        dims = message(*((2, message((1, length))) for length in self.shape))
        size = 4 * _product(self.shape) if self.size_bytes is None else self.size_bytes
        placed = [(3, self.shard)] if self.shard else []
        placed += [(4, self.offset)] if self.offset else []
        return message((1, self.dtype), (2, dims), *placed, (5, size)) + b"\x35" + bytes(4)


def bundle_entries(tensors: Iterable[IndexedTensor], *, shards: int = 1) -> list[tuple[bytes, bytes]]:
    """The keys and values of a checkpoint index, in the order of their keys."""
    header = message((1, shards), (3, message((1, 1))))
    return [(b"", header), *sorted((tensor.name.encode(), tensor.entry()) for tensor in tensors)]


def checkpoint_index(
    *blocks: Sequence[tuple[bytes, bytes]], compression: int = 0, last_keys: Sequence[bytes] = ()
) -> bytes:
    """A LevelDB table of these blocks of keys and values, as TensorFlow writes a checkpoint index."""
    out, handles = b"", []
    for entries in blocks:
        data = _block(entries)
        handles.append(varint(len(out)) + varint(len(data)))
        out += _sealed(data, compression)
    names = last_keys or [entries[-1][0] + b"\0" for entries in blocks]
    footer = b""
    for data in (_block([]), _block(list(zip(names, handles, strict=True)))):
        footer += varint(len(out)) + varint(len(data))
        out += _sealed(data, 0)
    return out + footer.ljust(40, b"\0") + struct.pack("<Q", INDEX_MAGIC)


def _block(entries: Sequence[tuple[bytes, bytes]], interval: int = 16) -> bytes:
    out, restarts, previous = b"", [0], b""
    for number, (key, value) in enumerate(entries):
        shared = 0
        if number and number % interval == 0:
            restarts.append(len(out))
        elif number:
            while shared < min(len(key), len(previous)) and key[shared] == previous[shared]:
                shared += 1
        out += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        previous = key
    return out + struct.pack(f"<{len(restarts) + 1}I", *restarts, len(restarts))


def _sealed(data: bytes, compression: int) -> bytes:
    body = data + bytes([compression])
    return body + struct.pack("<I", masked_crc32c(body))


def masked_crc32c(data: bytes) -> int:
    """CRC-32C as LevelDB stores it, bit by bit."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _product(lengths: Sequence[int]) -> int:
    total = 1
    for length in lengths:
        total *= length
    return total
