"""The messages of HDF5 object headers, decoded (section IV.A.2): shapes, types, where data lies, filters, links, attributes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from weighbridge.errors import MalformedArtifactError
from weighbridge.formats.headers.hdf5_image import Cursor, UnsupportedError

RANK_LIMIT = 32
"""H5S_MAX_RANK."""

ELEMENT_LIMIT = (1 << 64) - 1
_TYPE_DEPTH = 8
_MEMBER_LIMIT = 1000


class Kind(IntEnum):
    """Types of messages that are read here."""

    NIL = 0x00
    DATASPACE = 0x01
    LINK_INFO = 0x02
    DATATYPE = 0x03
    LINK = 0x06
    EXTERNAL_FILES = 0x07
    LAYOUT = 0x08
    FILTERS = 0x0B
    ATTRIBUTE = 0x0C
    SHARED_TABLE = 0x0F
    CONTINUATION = 0x10
    SYMBOL_TABLE = 0x11
    TREE_K = 0x13
    DRIVER = 0x14
    ATTRIBUTE_INFO = 0x15
    FILE_SPACE = 0x17


PASSIVE = frozenset({0x00, 0x04, 0x05, 0x0A, 0x0D, 0x0E, 0x12, 0x16})
"""Fill values, group settings, comments, times and reference counts: nothing follows from them."""

KNOWN_FILTERS = frozenset({1, 2, 3, 4, 5, 6, 32000})
"""Gzip, shuffle, fletcher32, szip, nbit, scale-offset (section IV.A.2.l) and LZF, which h5py has built in."""


_IEEE = ((2, 0, 16, 10, 5), (4, 0, 32, 23, 8), (8, 0, 64, 52, 11))
"""Bytes, bit offset, precision, and where and how long the exponent is, of the numbers of IEEE 754."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Datatype:
    """`name` as `f4`, `>i8`, `string`; `size_bytes` of one element; `references` are offsets of global heap references in one.

    `is_text` says that it is a string: of fixed length, or of variable length where `references` is (0,).
    """

    name: str
    size_bytes: int
    references: tuple[int, ...] = ()
    is_text: bool = False
    pointer_lead: int = 4


def dataspace(cursor: Cursor) -> tuple[int, ...] | None:
    """The lengths of the dimensions, () for a scalar, None for a null space."""
    version, rank, flags = cursor.number(1), cursor.number(1), cursor.number(1)
    if version not in (1, 2) or rank > RANK_LIMIT:
        raise MalformedArtifactError(f"a dataspace of version {version}, rank {rank}", locator=f"byte {cursor.place}")
    kind = cursor.number(1)
    if version == 1:
        cursor.take(4)
    elif kind == 2:
        return None
    shape = tuple(cursor.length() for _ in range(rank))
    if flags & 1:
        cursor.take(rank * cursor.length_size)
    elements = 1
    for length in shape:
        elements *= length
    if elements > ELEMENT_LIMIT or max(shape, default=0) >= 1 << 53:
        raise MalformedArtifactError("the dimensions overflow 64 bits", locator=f"byte {cursor.place}")
    return shape


def datatype(cursor: Cursor, depth: int = 0) -> Datatype:
    """A type, with those that it is made of.

    Raises:
        UnsupportedError: a class of types that is not read here.
    """
    if depth > _TYPE_DEPTH:
        raise UnsupportedError("types are nested deeper than is read", locator=f"byte {cursor.place}")
    first = cursor.number(1)
    version, class_ = first >> 4, first & 15
    bits, size = cursor.number(3), cursor.number(4)
    order = ">" if bits & 1 and size > 1 else ""
    match class_:
        case 0 | 4:
            cursor.take(4)
            sign = "b" if class_ == 4 else "i" if bits & 8 else "u"
            return Datatype(name=f"{order}{sign}{size}", size_bytes=size)
        case 1:
            return _float(order, size, cursor)
        case 2:
            cursor.take(2)
            return Datatype(name="time", size_bytes=size)
        case 3:
            return Datatype(name="string", size_bytes=size, is_text=True)
        case 5:
            cursor.take(-(-(bits & 255) // 8) * 8)
            return Datatype(name=f"V{size}", size_bytes=size)
        case 7:
            return _reference(bits & 15, size, cursor)
        case 9:
            datatype(cursor, depth + 1)
            return Datatype(
                name="string" if bits & 15 else "vlen", size_bytes=size, references=(0,), is_text=bits & 15 == 1
            )
        case 6 | 8 | 10:
            return _made_of(class_, version, bits, size, cursor, depth)
    raise UnsupportedError(f"types of class {class_} are not read", locator=f"byte {cursor.place}")


def _float(order: str, size: int, cursor: Cursor) -> Datatype:
    offset, precision, exponent_at = cursor.number(2), cursor.number(2), cursor.number(1)
    exponent = cursor.number(1)
    cursor.take(6)
    parts = (size, offset, precision, exponent_at, exponent)
    if parts == (2, 0, 16, 7, 8):
        return Datatype(name="bf16", size_bytes=size)
    return Datatype(name=f"{order}{'f' if parts in _IEEE else 'float'}{size}", size_bytes=size)


def _reference(kind: int, size: int, cursor: Cursor) -> Datatype:
    if kind > 1:
        raise UnsupportedError("references of this kind may lead into other files", locator=f"byte {cursor.place}")
    return Datatype(name="reference", size_bytes=size, references=(0,) if kind else (), pointer_lead=0)


def _made_of(class_: int, version: int, bits: int, size: int, cursor: Cursor, depth: int) -> Datatype:
    if class_ == 10:
        return _array(version, size, cursor, depth)
    if class_ == 8:
        base = datatype(cursor, depth + 1)
        for _ in range(bits & 0xFFFF):
            _member_name(version, cursor)
        cursor.take(base.size_bytes * (bits & 0xFFFF))
        is_bool = base.size_bytes == 1 and bits & 0xFFFF == 2
        return Datatype(name="bool" if is_bool else f"enum {base.name}", size_bytes=size)
    return _compound(version, bits & 0xFFFF, size, cursor, depth)


def _array(version: int, size: int, cursor: Cursor, depth: int) -> Datatype:
    rank = cursor.number(1)
    cursor.take(3 if version < 3 else 0)
    lengths = [cursor.number(4) for _ in range(rank)]
    cursor.take(4 * rank if version < 3 else 0)
    base = datatype(cursor, depth + 1)
    count = 1
    for length in lengths:
        count *= length
    if count * base.size_bytes != size:
        raise MalformedArtifactError("an array type has not the size of its elements", locator=f"byte {cursor.place}")
    if base.references and count > _MEMBER_LIMIT:
        raise UnsupportedError("a long array of references", locator=f"byte {cursor.place}")
    places = tuple(n * base.size_bytes + at for n in range(count) for at in base.references) if base.references else ()
    return Datatype(name=f"{base.name}{lengths}"[:40], size_bytes=size, references=places)


def _compound(version: int, count: int, size: int, cursor: Cursor, depth: int) -> Datatype:
    places: list[int] = []
    names: list[str] = []
    if count > _MEMBER_LIMIT:
        raise UnsupportedError(f"a type of {count:,} members", locator=f"byte {cursor.place}")
    for _ in range(count):
        _member_name(version, cursor)
        at = cursor.number(4 if version < 3 else (size.bit_length() + 7) // 8 or 1)
        rank = cursor.number(1) if version == 1 else 0
        dims = cursor.take(27)[11:] if version == 1 else b""
        member = datatype(cursor, depth + 1)
        if member.references and (rank or member.pointer_lead == 0):
            raise UnsupportedError("references inside a compound type", locator=f"byte {cursor.place}")
        length = member.size_bytes
        for index in range(min(rank, 4)):
            length *= int.from_bytes(dims[4 * index : 4 * index + 4], "little")
        if at + length > size:
            raise MalformedArtifactError("a member leaves its compound type", locator=f"byte {cursor.place}")
        places += [at + inner for inner in member.references]
        names.append(member.name)
    return Datatype(name=f"({','.join(names)})"[:40], size_bytes=size, references=tuple(places))


def _member_name(version: int, cursor: Cursor) -> None:
    start = cursor.at
    cursor.text()
    if version < 3:
        cursor.align(start)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where the data of a dataset lies: `compact` in the message itself, or `contiguous`, `chunked`, `virtual` at `address`.

    `chunk` are the lengths of a chunk, `index` the kind of its chunk index (0 is the first B-tree), `inline` the bytes of
    compact data, `node_size` that of a second B-tree; `only_size` is what one filtered chunk alone takes.
    """

    kind: str
    address: int | None = None
    size_bytes: int = -1
    chunk: tuple[int, ...] = ()
    index: int = 0
    page_bits: int = 0
    only_size: int = -1
    inline: bytes = b""
    element_bytes: int = 0


def layout(cursor: Cursor) -> Layout:
    """A layout of versions 1 to 4.

    Raises:
        UnsupportedError: a later version or class.
    """
    version = cursor.number(1)
    if version in (1, 2):
        return _layout_before(cursor)
    if version not in (3, 4):
        raise UnsupportedError(f"layouts of version {version} are not read", locator=f"byte {cursor.place}")
    match cursor.number(1):
        case 0:
            return Layout(kind="compact", inline=cursor.take(cursor.number(2)))
        case 1:
            return Layout(kind="contiguous", address=cursor.address(), size_bytes=cursor.length())
        case 2 if version == 3:
            rank = _rank(cursor)
            address = cursor.address()
            *chunk, element = (cursor.number(4) for _ in range(rank))
            return Layout(kind="chunked", address=address, chunk=tuple(chunk), element_bytes=element)
        case 2:
            return _indexed(cursor)
        case 3:
            return Layout(kind="virtual", address=cursor.address(), index=cursor.number(4))
    raise UnsupportedError("a class of layouts that is not read", locator=f"byte {cursor.place}")


def _rank(cursor: Cursor) -> int:
    rank = cursor.number(1)
    if not 2 <= rank <= RANK_LIMIT + 1:
        raise MalformedArtifactError(f"a chunk of {rank} dimensions", locator=f"byte {cursor.place}")
    return rank


def _layout_before(cursor: Cursor) -> Layout:
    rank, class_ = cursor.number(1), cursor.number(1)
    cursor.take(5)
    if rank > RANK_LIMIT + 1 or class_ > 2:
        raise MalformedArtifactError("a layout that cannot be", locator=f"byte {cursor.place}")
    address = cursor.address() if class_ else None
    lengths = [cursor.number(4) for _ in range(rank)]
    if class_ == 2:
        if len(lengths) < 2:
            raise MalformedArtifactError("a chunk without dimensions", locator=f"byte {cursor.place}")
        return Layout(kind="chunked", address=address, chunk=tuple(lengths[:-1]), element_bytes=lengths[-1])
    if class_ == 1:
        return Layout(kind="contiguous", address=address)
    return Layout(kind="compact", inline=cursor.take(cursor.number(4)))


def _indexed(cursor: Cursor) -> Layout:
    flags, rank = cursor.number(1), _rank(cursor)
    width = cursor.number(1)
    *chunk, element = (cursor.number(width) for _ in range(rank))
    index, only_size, page_bits = cursor.number(1), -1, 0
    match index:
        case 1 if flags & 2:
            only_size = cursor.length()
            cursor.take(4)
        case 1 | 2:
            pass
        case 3:
            page_bits = cursor.number(1)
        case 4:
            cursor.take(5)
        case 5:
            cursor.take(6)
        case _:
            raise UnsupportedError(f"chunk indexes of type {index} are not read", locator=f"byte {cursor.place}")
    address = cursor.address()
    return Layout(
        kind="chunked",
        address=address,
        chunk=tuple(chunk),
        index=index,
        page_bits=page_bits,
        only_size=only_size,
        element_bytes=element,
    )


def filters(cursor: Cursor) -> tuple[int, ...]:
    """The numbers of the filters that data goes through."""
    version, count = cursor.number(1), cursor.number(1)
    if version not in (1, 2) or count > 32:
        raise MalformedArtifactError("a filter pipeline that cannot be", locator=f"byte {cursor.place}")
    cursor.take(6 if version == 1 else 0)
    found = []
    for _ in range(count):
        number = cursor.number(2)
        name_size = cursor.number(2) if version == 1 or number >= 256 else 0
        cursor.take(2)
        values = cursor.number(2)
        cursor.take(-(-name_size // 8) * 8 if version == 1 else name_size)
        cursor.take(4 * (values + (values % 2 if version == 1 else 0)))
        found.append(number)
    return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A name in a group. `address` for a hard link, `target` for a soft one, `file` besides for an external one."""

    name: bytes
    kind: int
    address: int | None = None
    target: bytes = b""
    file: bytes = b""


def link(cursor: Cursor) -> Link:
    """A link message. Kinds: 0 hard, 1 soft, 64 external, others are for plug-ins."""
    version, flags = cursor.number(1), cursor.number(1)
    if version != 1:
        raise UnsupportedError(f"links of version {version} are not read", locator=f"byte {cursor.place}")
    kind = cursor.number(1) if flags & 8 else 0
    cursor.take((8 if flags & 4 else 0) + (1 if flags & 16 else 0))
    name = cursor.take(cursor.number(1 << (flags & 3)))
    if kind == 0:
        return Link(name=name, kind=kind, address=cursor.address())
    value = cursor.take(cursor.number(2))
    if kind == 64:
        file, _, target = value[1:].partition(b"\0")
        return Link(name=name, kind=kind, file=file, target=target.rstrip(b"\0"))
    return Link(name=name, kind=kind, target=value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    """A named value as it is stored. `kind` and `space` are messages, or references to such where the flags say so."""

    name: bytes
    flags: int
    kind: bytes
    space: bytes
    data: bytes


def attribute(cursor: Cursor) -> Attribute:
    """An attribute message, versions 1 to 3."""
    version, flags = cursor.number(1), cursor.number(1)
    if version not in (1, 2, 3):
        raise UnsupportedError(f"attributes of version {version} are not read", locator=f"byte {cursor.place}")
    sizes = [cursor.number(2) for _ in range(3)]
    cursor.take(1 if version == 3 else 0)
    start = cursor.at
    parts = []
    for size in sizes:
        parts.append(cursor.take(size))
        if version == 1:
            cursor.align(start)
    name = parts[0].partition(b"\0")[0]
    is_shared = flags if version > 1 else 0
    return Attribute(name=name, flags=is_shared, kind=parts[1], space=parts[2], data=cursor.take(cursor.left))
