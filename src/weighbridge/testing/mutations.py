"""Bent files: bytes flipped, numbers driven to their extremes, stretches moved, and containers closed again around the damage."""

from __future__ import annotations

import io
import json
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence
from functools import partial
from random import Random

from weighbridge.testing.models import with_header
from weighbridge.testing.pickles import Entry, write_zip

SIZE_LIMIT_BYTES = 1 << 16
"""Longest mutant."""

_EXTREMES = (0, 1, 2, 7, 8, 127, 128, 255, 256, 1 << 15, (1 << 16) - 1, 1 << 16, (1 << 31) - 1, 1 << 31, (1 << 32) - 1)
_WIDE_EXTREMES = (1 << 32, 1 << 40, (1 << 53) + 1, 1 << 62, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)
_DIGITS = re.compile(rb"-?[0-9]+(?:\.[0-9]+)?")
_SPELLED = (b"0", b"-1", b"-0", b"00", b"1e400", b"1.0", b"4294967296", b"9223372036854775808", b"18446744073709551616")
_TOKENS = (
    *(b'"', b"{", b"}", b"[", b"]", b",", b":", b"\\", b"\0", b"\n", b"\xff", b"\xe2\x80\xae", b'"__metadata__":{},'),
    *(b"cposix\nsystem\n", b"\x8c\x05posix\x8c\x06system\x93", b"(S'true'\ntR", b"\x85R.", b"b", b"\x81", b"\x93", b"Q"),
    *(b"0", b"2", b"q\0", b"h\0", b"\x94", b"]", b"(", b"t", b"\x80\x04", b"\x80\x02", b"\x95\0\0\0\0\0\0\0\0", b"."),
    *(b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07", b"data.pkl", b"GGUF", b"!!python/name:os."),
    *(b'"auto_map":{"a":"b.C"},', b'"dtype":"F32",', b'"shape":[0],', b"\x88", b"N", b"}", b"ccollections\nOrderedDict\n"),
)  # fmt: skip

Mutation = Callable[[bytes, Random, Sequence[bytes]], bytes]


def mutate(data: bytes, rng: Random, donors: Sequence[bytes]) -> bytes:
    """One to five random changes; some inside a container that is made whole again around them."""
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 5))):
        change = rng.choice(_MUTATIONS)
        repack = rng.choice((None, *_REPACKS)) if rng.random() < 0.5 else None
        changed = repack(data, partial(_apply, change, rng, donors), rng) if repack else None
        data = (change(data, rng, donors) if changed is None else changed)[:SIZE_LIMIT_BYTES]
    return data


def _apply(change: Mutation, rng: Random, donors: Sequence[bytes], data: bytes) -> bytes:
    return change(data, rng, donors)


def _flip(data: bytes, rng: Random, _donors: Sequence[bytes]) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + bytes([(data[at] if at < len(data) else 0) ^ (1 << rng.randrange(8))]) + data[at + 1 :]


def _set_byte(data: bytes, rng: Random, _donors: Sequence[bytes]) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + bytes([rng.randrange(256)]) + data[at + 1 :]


def _set_number(data: bytes, rng: Random, _donors: Sequence[bytes]) -> bytes:
    width, order = rng.choice((1, 2, 4, 4, 8, 8, 8)), rng.choice(("little", "little", "big"))
    value = rng.choice((*_EXTREMES, *_WIDE_EXTREMES, len(data), len(data) - 8, rng.randrange(1 << 16)))
    at = rng.randrange(len(data) + 1)
    at -= at % width if rng.random() < 0.3 else 0
    return data[:at] + (value % (1 << 8 * width)).to_bytes(width, order) + data[at + width :]  # type: ignore[arg-type]  # one of two words


def _nudge_number(data: bytes, rng: Random, _donors: Sequence[bytes]) -> bytes:
    width = rng.choice((1, 2, 4, 8))
    at = rng.randrange(max(1, len(data) - width))
    value = int.from_bytes(data[at : at + width], "little") + rng.choice((-32, -8, -1, 1, 8, 32))
    return data[:at] + (value % (1 << 8 * width)).to_bytes(width, "little") + data[at + width :]


def _spell_number(data: bytes, rng: Random, _donors: Sequence[bytes]) -> bytes:
    places = [match.span() for match in _DIGITS.finditer(data[:8192])]
    if not places:
        return data
    start, end = rng.choice(places)
    near = str(int(float(data[start:end][:15])) + rng.choice((-4, -1, 1, 4))).encode()
    return data[:start] + rng.choice((*_SPELLED, near, near, b"9" * rng.choice((20, 400)))) + data[end:]


def _insert(data: bytes, rng: Random, _donors: Sequence[bytes]) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.choice(_TOKENS) + data[at:]


def _delete(data: bytes, rng: Random, _donors: Sequence[bytes]) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + data[at + rng.choice((1, 1, 2, 4, 8, rng.randrange(1, 64))) :]


def _repeat(data: bytes, rng: Random, _donors: Sequence[bytes]) -> bytes:
    at, size = rng.randrange(len(data) + 1), rng.randrange(1, 64)
    return data[:at] + data[at : at + size] * rng.choice((2, 2, 3, 40)) + data[at + size :]


def _swap(data: bytes, rng: Random, _donors: Sequence[bytes]) -> bytes:
    size = rng.choice((1, 4, 8, 16, 32))
    if len(data) < 2 * size:
        return data[::-1]
    first = rng.randrange(len(data) - 2 * size + 1)
    second = rng.randrange(first + size, len(data) - size + 1)
    middle = data[first + size : second]
    return data[:first] + data[second : second + size] + middle + data[first : first + size] + data[second + size :]


def _cut(data: bytes, rng: Random, _donors: Sequence[bytes]) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def _extend(data: bytes, rng: Random, donors: Sequence[bytes]) -> bytes:
    return data + rng.choice((b"\0" * rng.randrange(1, 64), rng.randbytes(rng.randrange(1, 16)), rng.choice(donors)))


def _prepend(data: bytes, rng: Random, donors: Sequence[bytes]) -> bytes:
    return rng.choice((rng.choice(donors), rng.choice(_TOKENS))) + data


def _splice(data: bytes, rng: Random, donors: Sequence[bytes]) -> bytes:
    other = rng.choice(donors)
    return data[: rng.randrange(len(data) + 1)] + other[rng.randrange(len(other) + 1) :]


def _graft(data: bytes, rng: Random, donors: Sequence[bytes]) -> bytes:
    other, at = rng.choice(donors), rng.randrange(len(data) + 1)
    start = rng.randrange(len(other) + 1)
    return data[:at] + other[start : start + rng.randrange(1, 200)] + data[at + rng.choice((0, 0, 8)) :]


_MUTATIONS: tuple[Mutation, ...] = (
    *(_flip, _set_byte, _set_number, _set_number, _nudge_number, _spell_number, _insert, _insert, _delete, _repeat),
    *(_swap, _cut, _extend, _prepend, _splice, _graft),
)

Change = Callable[[bytes], bytes]
Repack = Callable[[bytes, Change, Random], bytes | None]


def _in_header(data: bytes, change: Change, _rng: Random) -> bytes | None:
    """Change the JSON of a safetensors file and correct its length."""
    size = int.from_bytes(data[:8], "little")
    if not 2 <= size <= len(data) - 8 or data[8:9] != b"{":
        return None
    return with_header(change(data[8 : 8 + size].rstrip(b" ")), data[8 + size :])


def _in_entry(data: bytes, change: Change, rng: Random) -> bytes | None:
    """Change one value of the JSON of a safetensors file, or of a JSON text, and write it again."""
    size = int.from_bytes(data[:8], "little")
    is_header = 2 <= size <= len(data) - 8 and data[8:9] == b"{"
    try:
        table = json.loads(data[8 : 8 + size] if is_header else data)
        if not isinstance(table, dict) or not table:
            return None
        key = rng.choice(sorted(table))
        spelled = change(json.dumps(table[key]).encode()).decode("utf-8", "replace")
        changed = json.dumps({**table, key: 0}, separators=(",", ":"))
        text = changed.replace(f"{json.dumps(key)}:0", f"{json.dumps(key)}:{spelled}", 1).encode()
    except (ValueError, RecursionError):
        return None
    return with_header(text, data[8 + size :]) if is_header else text


_BROKEN_ZIP = (
    *(zipfile.BadZipFile, zlib.error, struct.error, ValueError, EOFError, OverflowError, MemoryError),
    *(NotImplementedError, RuntimeError, OSError),
)


def _in_member(data: bytes, change: Change, rng: Random) -> bytes | None:
    """Change one member of a zip, its name or its bytes, and write the archive again with right checksums and offsets."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = [Entry(name=info.filename, data=archive.read(info)) for info in archive.infolist()[:64]]
    except _BROKEN_ZIP:
        return None
    if not entries:
        return None
    chosen = rng.choice(entries[:2]) if rng.random() < 0.7 else rng.choice(entries)
    if rng.random() < 0.8:
        chosen.data = change(chosen.data)
    elif rng.random() < 0.5:
        chosen.name = change(chosen.name.encode()).decode("utf-8", "replace").replace("\0", "_")[:200] or "x"
    else:
        chosen.method = rng.choice((0, 8, 8))
    if rng.random() < 0.1:
        entries.insert(rng.randrange(len(entries)), rng.choice(entries))
    return write_zip(entries)


_REPACKS: tuple[Repack, ...] = (_in_header, _in_entry, _in_member, _in_member)
