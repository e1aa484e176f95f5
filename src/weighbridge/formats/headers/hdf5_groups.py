"""What HDF5 groups hold: symbol tables of old ones, link messages and dense storage of later ones (sections III.B and IV.A.2)."""

from __future__ import annotations

from weighbridge.errors import MalformedArtifactError
from weighbridge.formats.headers.hdf5_heaps import FractalHeap, local_heap
from weighbridge.formats.headers.hdf5_image import Cursor, Image, UnsupportedError
from weighbridge.formats.headers.hdf5_messages import Kind, Link, link
from weighbridge.formats.headers.hdf5_objects import Message
from weighbridge.formats.headers.hdf5_trees import group_nodes, second_tree

_LINKS_BY_NAME = 5
_CACHED_GROUP = 1
_CACHED_SOFT_LINK = 2


def members_of(image: Image, messages: list[Message]) -> list[Link]:
    """The links of a group.

    Raises:
        MalformedArtifactError: a table or an index is not sound.
    """
    found: list[Link] = []
    for message in messages:
        cursor = image.cursor(message.data, message.place)
        if message.kind in (Kind.SYMBOL_TABLE, Kind.LINK, Kind.LINK_INFO) and message.is_shared:
            raise UnsupportedError("shared links are not read", locator=f"byte {message.place}")
        match message.kind:
            case Kind.SYMBOL_TABLE:
                found += _symbols(image, cursor)
            case Kind.LINK:
                found.append(link(cursor))
            case Kind.LINK_INFO:
                found += _dense(image, cursor)
    return found


def _symbols(image: Image, cursor: Cursor) -> list[Link]:
    tree, heap = cursor.address(), cursor.address()
    if tree is None or heap is None:
        raise MalformedArtifactError("a group without a table", locator=f"byte {cursor.place}")
    names = local_heap(image, heap)
    size = 8 + 2 * image.group_leaf_k * (2 * image.offset_size + 24)
    found = []
    for node in group_nodes(image, tree):
        entries = image.structure(node, size, "symbol table", b"SNOD")
        entries.take(2)
        count = entries.number(2)
        image.spend(count, node)
        if count > 2 * image.group_leaf_k:
            raise MalformedArtifactError("a symbol table of too many names", locator=f"byte {entries.place}")
        found += [_entry(image, entries, names) for _ in range(count)]
    return found


def _entry(image: Image, entries: Cursor, names: bytes) -> Link:
    name = _name(names, entries.number(image.offset_size), entries)
    address = entries.address()
    cached = entries.number(4)
    entries.take(4)
    scratch = entries.take(16)
    if cached == _CACHED_SOFT_LINK:
        return Link(name=name, kind=1, target=_name(names, int.from_bytes(scratch[:4], "little"), entries))
    if cached > _CACHED_SOFT_LINK:
        raise UnsupportedError("a symbol of an unknown kind", locator=f"byte {entries.place}")
    return Link(name=name, kind=0, address=address)


def _name(names: bytes, at: int, entries: Cursor) -> bytes:
    end = names.find(b"\0", at)
    if not 0 <= at <= end:
        raise MalformedArtifactError("a name lies outside its heap", locator=f"byte {entries.place}")
    return names[at:end]


def _dense(image: Image, cursor: Cursor) -> list[Link]:
    cursor.take(1)
    flags = cursor.number(1)
    cursor.take(8 if flags & 1 else 0)
    heap_at, by_name = cursor.address(), cursor.address()
    by_order = cursor.address() if flags & 2 else None
    if heap_at is None:
        return []
    if by_name is None:
        raise MalformedArtifactError("links without an index", locator=f"byte {cursor.place}")
    heap = FractalHeap(image, heap_at)
    kind, records = second_tree(image, by_name)
    if by_order is not None:
        second_tree(image, by_order)
    if kind != _LINKS_BY_NAME:
        raise MalformedArtifactError("an index of something else than links", locator=f"byte {cursor.place}")
    return [link(image.cursor(heap.value(record[4:]), heap.shape.header)) for record in records]
