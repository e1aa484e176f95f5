"""Pickles and torch checkpoints as bytes, put together opcode by opcode: also those no pickler would write.

The opcode bytes come from the standard library's `pickletools`, so that they do not share a mistake with our own decoder.
Nothing is executed here; payloads that tests use are harmless.
"""

from __future__ import annotations

import pickletools
import struct
import zlib
from dataclasses import dataclass

_CODES = {opcode.name: opcode.code.encode("latin-1") for opcode in pickletools.opcodes}
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C


class Pickle:
    """An assembler. Methods append and return the assembler; `stop()` gives the bytes. `protocol` None writes no PROTO."""

    def __init__(self, protocol: int | None = 2) -> None:
        self.data = b"" if protocol is None else b"\x80" + bytes([protocol])

    def op(self, *names: str) -> Pickle:
        """Append opcodes without arguments."""
        self.data += b"".join(_CODES[name] for name in names)
        return self

    def raw(self, data: bytes) -> Pickle:
        """Append bytes as they are."""
        self.data += data
        return self

    def lines(self, name: str, *texts: str) -> Pickle:
        """Append an opcode whose arguments are lines."""
        self.data += _CODES[name] + b"".join(text.encode() + b"\n" for text in texts)
        return self

    def glob(self, module: str, name: str) -> Pickle:
        """GLOBAL."""
        return self.lines("GLOBAL", module, name)

    def stack_glob(self, module: str, name: str) -> Pickle:
        """STACK_GLOBAL with literal operands."""
        return self.text(module).text(name).op("STACK_GLOBAL")

    def text(self, value: str) -> Pickle:
        """BINUNICODE."""
        encoded = value.encode("utf-8", "surrogatepass")
        self.data += _CODES["BINUNICODE"] + struct.pack("<I", len(encoded)) + encoded
        return self

    def blob(self, value: bytes) -> Pickle:
        """BINBYTES."""
        self.data += _CODES["BINBYTES"] + struct.pack("<I", len(value)) + value
        return self

    def number(self, value: int) -> Pickle:
        """BININT, or LONG1 where that is too short."""
        if -(1 << 31) <= value < 1 << 31:
            self.data += _CODES["BININT"] + struct.pack("<i", value)
        else:
            encoded = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
            self.data += _CODES["LONG1"] + bytes([len(encoded)]) + encoded
        return self

    def put(self, index: int) -> Pickle:
        """LONG_BINPUT."""
        return self.raw(_CODES["LONG_BINPUT"] + struct.pack("<I", index))

    def get(self, index: int) -> Pickle:
        """LONG_BINGET."""
        return self.raw(_CODES["LONG_BINGET"] + struct.pack("<I", index))

    def values(self, *values: str | int | bytes | tuple[int, ...] | bool | None) -> Pickle:
        """Append constants and tuples of integers."""
        for value in values:
            match value:
                case str():
                    self.text(value)
                case bytes():
                    self.blob(value)
                case None:
                    self.op("NONE")
                case bool():
                    self.op("NEWTRUE" if value else "NEWFALSE")
                case int():
                    self.number(value)
                case tuple():
                    self.op("MARK").values(*value).op("TUPLE")
        return self

    def args(self, *values: str | int | bytes | tuple[int, ...] | bool | None) -> Pickle:
        """A tuple of constants."""
        return self.op("MARK").values(*values).op("TUPLE")

    def call(self, module: str, name: str, *values: str | int | bytes | tuple[int, ...] | bool | None) -> Pickle:
        """GLOBAL, arguments, REDUCE."""
        return self.glob(module, name).args(*values).op("REDUCE")

    def stop(self) -> bytes:
        """STOP, and the bytes."""
        return self.data + _CODES["STOP"]


def state_dict(tensors: dict[str, tuple[int, ...]], *, parts: int = 5, protocol: int = 2) -> Pickle:
    """An OrderedDict of float32 tensors, tensor i over storage `i`, without STOP; `parts` 6 is the legacy storage id."""
    made = Pickle(protocol).glob("collections", "OrderedDict").op("EMPTY_TUPLE", "REDUCE", "MARK")
    for index, (name, shape) in enumerate(tensors.items()):
        made.text(name)
        tensor(made, str(index), shape, parts=parts)
    return made.op("SETITEMS")


def tensor(
    made: Pickle, key: str, shape: tuple[int, ...], *, parts: int = 5, numel: int = -1, offset: int = 0
) -> Pickle:
    """Append one `_rebuild_tensor_v2` of float32; `numel` of the storage is that of the shape unless said otherwise."""
    stride = 1
    strides: list[int] = []
    for length in reversed(shape):
        strides.insert(0, stride)
        stride *= length
    made.glob("torch._utils", "_rebuild_tensor_v2").op("MARK", "MARK").text("storage").glob("torch", "FloatStorage")
    made.values(key, "cpu", stride if numel < 0 else numel, *([None] if parts > 5 else [])).op("TUPLE", "BINPERSID")
    made.values(offset, shape, tuple(strides)).op("NEWFALSE")
    return made.glob("collections", "OrderedDict").op("EMPTY_TUPLE", "REDUCE", "TUPLE", "REDUCE")


@dataclass(kw_only=True)
class Entry:
    """One member of a zip to write. Fields of the local header follow the directory unless given."""

    name: str
    data: bytes
    method: int = 0
    flags: int = 0x0808
    crc32: int | None = None
    local_name: str | None = None
    local_flags: int | None = None
    local_crc32: int | None = None
    size_bytes: int | None = None
    extra: bytes | None = None
    central_extra: bytes = b""
    comment: bytes = b""


def write_zip(
    entries: list[Entry], *, prepend: bytes = b"", append: bytes = b"", comment: bytes = b"", between: bytes = b""
) -> bytes:
    """A zip as torch lays it out: data aligned to 64 bytes by an `FB` field, data descriptors, zip64 end records.

    `prepend` is written before everything without moving the offsets, `between` before the directory, `append` at the end.
    """
    body, directory = b"", b""
    for entry in entries:
        stored = _compress(entry)
        crc = zlib.crc32(entry.data) if entry.crc32 is None else entry.crc32
        size = len(entry.data) if entry.size_bytes is None else entry.size_bytes
        name, local_name = entry.name.encode(), (entry.local_name or entry.name).encode()
        flags = entry.flags if stored else entry.flags & ~0x0008
        extra = _padding(len(body) + 30 + len(local_name)) if entry.extra is None else entry.extra
        local_flags = flags if entry.local_flags is None else entry.local_flags
        known = (0, 0, 0) if flags & 8 else (crc if entry.local_crc32 is None else entry.local_crc32, len(stored), size)
        offset = len(body)
        body += struct.pack(
            "<4s5H3L2H", b"PK\3\4", 0, local_flags, entry.method, 0, 0, *known, len(local_name), len(extra)
        )
        body += local_name + extra + stored
        body += struct.pack("<4s3L", b"PK\7\x08", crc, len(stored), size) if flags & 8 else b""
        lengths = (len(name), len(entry.central_extra), len(entry.comment))
        directory += struct.pack("<4s6H3L", b"PK\1\2", 0, 0, flags, entry.method, 0, 0, crc, len(stored), size)
        directory += struct.pack("<5H2L", *lengths, 0, 0, 0, offset) + name + entry.central_extra + entry.comment
    body += between
    start, count = len(body), len(entries)
    tail = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 798, 45, 0, 0, count, count, len(directory), start)
    tail += struct.pack("<4sLQL", b"PK\6\7", 0, start + len(directory), 1)
    tail += struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, len(directory), start, len(comment)) + comment
    return prepend + body + directory + tail + append


def _compress(entry: Entry) -> bytes:
    if entry.method != 8:
        return entry.data
    engine = zlib.compressobj(9, zlib.DEFLATED, -15)
    return engine.compress(entry.data) + engine.flush()


def _padding(offset: int) -> bytes:
    length = -(offset + 4) % 64
    return struct.pack("<2sH", b"FB", length) + b"Z" * length


def checkpoint_entries(pickle: bytes, storages: dict[str, bytes], *, prefix: str = "archive") -> list[Entry]:
    """The members that torch writes around one pickle and its storages."""
    return [
        Entry(name=f"{prefix}/data.pkl", data=pickle),
        Entry(name=f"{prefix}/.format_version", data=b"1"),
        Entry(name=f"{prefix}/.storage_alignment", data=b"64"),
        Entry(name=f"{prefix}/byteorder", data=b"little"),
        *(Entry(name=f"{prefix}/data/{key}", data=data) for key, data in storages.items()),
        Entry(name=f"{prefix}/version", data=b"3\n"),
        Entry(name=f"{prefix}/.data/serialization_id", data=b"0636067191130471538912104906143220200000"),
    ]


def torch_zip(pickle: bytes, storages: dict[str, bytes] | None = None) -> bytes:
    """A torch zip checkpoint around one pickle."""
    return write_zip(checkpoint_entries(pickle, storages or {}))


def torch_legacy(pickle: bytes, storages: dict[str, bytes] | None = None, *, item_bytes: int = 4) -> bytes:
    """A torch checkpoint of the format before 1.6 around one pickle, whose storage ids have six parts."""
    storages = storages or {}
    facts = (
        Pickle().op("EMPTY_DICT", "MARK").values("protocol_version", 1001, "little_endian").op("NEWTRUE", "SETITEMS")
    )
    keys = Pickle().op("EMPTY_LIST", "MARK").values(*sorted(storages)).op("APPENDS")
    head = [Pickle().number(LEGACY_MAGIC).stop(), Pickle().number(1001).stop(), facts.stop(), pickle, keys.stop()]
    raw = [struct.pack("<q", len(storages[key]) // item_bytes) + storages[key] for key in sorted(storages)]
    return b"".join(head + raw)
