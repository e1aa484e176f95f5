"""A walk over a whole HDF5 file: every group, dataset and attribute, every link, and whose every byte is."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod

from weighbridge.errors import MalformedArtifactError
from weighbridge.formats.headers.defects import UNJUDGED, Defects, OverLimitError
from weighbridge.formats.headers.hdf5_chunks import chunks_of
from weighbridge.formats.headers.hdf5_groups import members_of
from weighbridge.formats.headers.hdf5_heaps import FractalHeap, GlobalHeaps, claim_free_space
from weighbridge.formats.headers.hdf5_image import Image, UnsupportedError
from weighbridge.formats.headers.hdf5_messages import (
    KNOWN_FILTERS,
    PASSIVE,
    Datatype,
    Kind,
    Layout,
    Link,
    attribute,
    filters,
    layout,
)
from weighbridge.formats.headers.hdf5_objects import Message, read_object
from weighbridge.formats.headers.hdf5_superblock import Superblock, read_superblock
from weighbridge.formats.headers.hdf5_trees import second_tree
from weighbridge.formats.headers.hdf5_values import Value, Values
from weighbridge.formats.reading.source import Source
from weighbridge.vocabulary import Outcome, Severity, SpanKind, Tensor, clip

DEPTH_LIMIT = 64
_PATH_LIMIT = 1000
_EXPANSION = 1100
"""No filter makes data smaller than by this (deflate: 1,032)."""
_EXPANSION_FROM_BYTES = 64 << 20
_FILE_ACCESS = ("CVE-2026-1669",)
_BOMB = ("CVE-2026-0897",)
_READ_DATA_BYTES = 4 << 20
_DEFECT_LIMIT = 1000
_MINOR = (Outcome.FAIL, Severity.LOW)


@dataclass(slots=True, kw_only=True)
class _Dataset:
    """The messages of one dataset while they are put together."""

    shape: tuple[int, ...] | None = ()
    type: Datatype | None = None
    layout: Layout | None = None
    filters: tuple[int, ...] = ()


@dataclass(slots=True)
class Walk:
    """One file while it is walked.

    Law: `is_whole` is true only where everything that the root group leads to was read. `attributes` are those of the root
    group, `groups` the paths of all groups.
    """

    source: Source
    defects: Defects
    image: Image = field(init=False)
    values: Values = field(init=False)
    tensors: list[Tensor] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    parameter_count: int = 0
    attributes: dict[bytes, Value] = field(default_factory=dict)
    groups: set[str] = field(default_factory=set)
    paths: set[str] = field(default_factory=set)
    soft: list[tuple[int, str, bytes]] = field(default_factory=list)
    children: dict[int, dict[bytes, int | None]] = field(default_factory=dict)
    is_whole: bool = True
    superblock: Superblock | None = None

    def __post_init__(self) -> None:
        self.image = Image(source=self.source)
        self.values = Values(image=self.image, heaps=GlobalHeaps(image=self.image))

    def run(self) -> None:
        """Walk from the superblock on; whatever is wrong is noted, and the walk goes on beside it."""
        try:
            self.superblock = read_superblock(self.image, self.defects)
            self._extension(self.superblock.extension)
        except MalformedArtifactError as problem:
            self._note(problem)
        if self.superblock is None:
            return
        waiting: list[tuple[int, str, int]] = [(self.superblock.root, "/", 0)]
        seen: set[int] = set()
        while waiting:
            address, path, depth = waiting.pop()
            self.paths.add(path)
            if address in seen:
                continue
            seen.add(address)
            try:
                found = self._object(address, path)
                self.children[address] = {link.name: link.address for link in found}
                if found and depth >= DEPTH_LIMIT:
                    raise OverLimitError(f"groups are nested deeper than {DEPTH_LIMIT}")
                for link in reversed(found):
                    self._link(link, (address, path, depth), waiting)
            except MalformedArtifactError as problem:
                self._note(problem, path)
                is_spent = isinstance(problem, OverLimitError) and not isinstance(problem, UnsupportedError)
                if is_spent or self.defects.total > _DEFECT_LIMIT:
                    break
        self._soft_links()

    def _note(self, problem: MalformedArtifactError, path: str = "") -> None:
        self.is_whole = False
        where = f"{clip(path, 80)}: " if path else ""
        message = clip(f"{where}{problem.message}", 200)
        if isinstance(problem, UnsupportedError):
            self.defects.add("hdf5.unsupported", message, problem.locator, grade=UNJUDGED)
        elif isinstance(problem, OverLimitError):
            self.defects.add("hdf5.limit", message, problem.locator, grade=UNJUDGED)
        else:
            self.defects.add("hdf5.bounds", message, problem.locator)

    def _extension(self, address: int | None) -> None:
        if address is None:
            return
        for message in read_object(self.image, address):
            if message.kind in (Kind.SHARED_TABLE, Kind.DRIVER):
                raise UnsupportedError(
                    "shared message tables and drivers are not read", locator=f"byte {message.place}"
                )
            if message.kind == Kind.TREE_K:
                cursor = self.image.cursor(message.data, message.place)
                cursor.take(1)
                self.image.chunk_internal_k = cursor.number(2)
                self.image.group_internal_k, self.image.group_leaf_k = cursor.number(2), cursor.number(2)
            if message.kind == Kind.FILE_SPACE:
                self._file_space(message)

    def _file_space(self, message: Message) -> None:
        """Claim the free-space managers that a file keeps from one session to the next (section IV.A.2.x)."""
        cursor = self.image.cursor(message.data, message.place)
        if cursor.number(1) != 1:
            raise UnsupportedError("file space of another version is not read", locator=f"byte {message.place}")
        cursor.take(2 + 2 * self.image.length_size + 2 + self.image.offset_size)
        while cursor.left >= self.image.offset_size:
            address = cursor.address()
            if address is not None:
                claim_free_space(self.image, address)

    def _object(self, address: int, path: str) -> list[Link]:
        """Read one object; what it links to, where it is a group."""
        messages = read_object(self.image, address)
        kinds = {message.kind for message in messages}
        for message in messages:
            if message.kind not in PASSIVE and message.kind not in Kind._value2member_map_:
                raise UnsupportedError(f"messages of type {message.kind} are not read", locator=f"byte {message.place}")
        self._attributes(messages, path)
        is_group = bool(kinds & {Kind.SYMBOL_TABLE, Kind.LINK_INFO, Kind.LINK})
        if Kind.EXTERNAL_FILES in kinds:
            words = f"the data of {clip(path, 80)} lies in other files, which loading it reads"
            self.defects.add("hdf5.external", words, f"byte {address}", references=_FILE_ACCESS)
        if Kind.LAYOUT in kinds:
            if is_group:
                raise MalformedArtifactError("an object is a group and a dataset", locator=f"byte {address}")
            self._dataset(messages, path)
        if not is_group:
            return []
        self.groups.add(path)
        return members_of(self.image, messages)

    def _link(self, link: Link, group: tuple[int, str, int], waiting: list[tuple[int, str, int]]) -> None:
        owner, path, depth = group
        self.image.spend(2 + len(link.target) // 16 + len(link.name) // 64, 0)
        name = link.name.decode("utf-8", "backslashreplace")
        inner = f"{path.rstrip('/')}/{name}"
        if not name or "/" in name or name == "." or inner in self.paths or len(inner) > _PATH_LIMIT:
            message = f"the name {clip(inner, 80)!r} stands twice in its group, or is none"
            self.defects.add("hdf5.duplicate-name", message, excerpt=clip(inner))
        self.paths.add(inner[:_PATH_LIMIT])
        match link.kind:
            case 0 if link.address is not None:
                waiting.append((link.address, inner[:_PATH_LIMIT], depth + 1))
            case 0:
                raise MalformedArtifactError(f"{clip(inner, 80)} leads nowhere")
            case 1:
                self.soft.append((owner, inner, link.target))
            case 64:
                file = link.file.decode("utf-8", "backslashreplace")
                message = f"{clip(inner, 80)} is a link into another file, {clip(file, 80)!r}, which loading it reads"
                self.defects.add("hdf5.external", message, excerpt=clip(file), references=_FILE_ACCESS)
            case _:
                raise UnsupportedError(f"{clip(inner, 80)} is a link for a plug-in")

    def _soft_links(self) -> None:
        """Note those that lead nowhere. One that leads through another soft link is taken for such."""
        for owner, path, target in self.soft:
            at = self.superblock.root if target.startswith(b"/") and self.superblock else owner
            found: int | None = at
            for part in target.split(b"/"):
                if part not in (b"", b".") and found is not None:
                    found = self.children.get(found, {}).get(part)
            if found is None:
                text = clip(target.decode("utf-8", "backslashreplace"), 80)
                message = f"{clip(path, 80)} is a soft link to {text!r}, which is not there"
                self.defects.add("hdf5.link", message, grade=_MINOR, excerpt=text)

    def _attributes(self, messages: list[Message], path: str) -> None:
        names: set[bytes] = set()
        for message in messages:
            if message.kind == Kind.ATTRIBUTE:
                if message.is_shared:
                    raise UnsupportedError("shared attributes are not read", locator=f"byte {message.place}")
                self._attribute(message.data, message.place, path, names)
            elif message.kind == Kind.ATTRIBUTE_INFO:
                for data in self._dense_attributes(message):
                    self._attribute(data, message.place, path, names)

    def _dense_attributes(self, message: Message) -> list[bytes]:
        cursor = self.image.cursor(message.data, message.place)
        cursor.take(1)
        flags = cursor.number(1)
        cursor.take(2 if flags & 1 else 0)
        heap_at, by_name = cursor.address(), cursor.address()
        by_order = cursor.address() if flags & 2 else None
        if heap_at is None:
            return []
        if by_name is None:
            raise MalformedArtifactError("attributes without an index", locator=f"byte {message.place}")
        heap = FractalHeap(self.image, heap_at)
        kind, records = second_tree(self.image, by_name)
        if by_order is not None:
            second_tree(self.image, by_order)
        if kind != 8 or any(record[heap.id_size] & 2 for record in records):
            raise UnsupportedError("an index of shared attributes", locator=f"byte {message.place}")
        return [heap.value(record[: heap.id_size]) for record in records]

    def _attribute(self, data: bytes, place: int, path: str, names: set[bytes]) -> None:
        found = attribute(self.image.cursor(data, place))
        if found.name in names:
            message = f"{clip(path, 80)} has the attribute {clip(found.name)} twice"
            self.defects.add("hdf5.duplicate-name", message, f"byte {self.image.base + place}")
        names.add(found.name)
        value = self.values.attribute(found, place)
        if value.is_pickle:
            message = f"attribute {clip(found.name)} of {clip(path, 80)} looks like a pickle, which PyTables loads"
            self.defects.add("hdf5.pickle", message, f"byte {self.image.base + place}", grade=UNJUDGED)
        if path == "/":
            self.attributes[found.name] = value

    def _dataset(self, messages: list[Message], path: str) -> None:
        made = _Dataset()
        for message in messages:
            self.image.spend(len(message.data) // 64, message.place)
            cursor = self.image.cursor(message.data, message.place)
            match message.kind:
                case Kind.DATASPACE:
                    made.shape = self.values.space_of(message.data, message.place, is_shared=message.is_shared)
                case Kind.DATATYPE:
                    made.type = self.values.type_of(message.data, message.place, is_shared=message.is_shared)
                case Kind.LAYOUT | Kind.FILTERS if message.is_shared:
                    raise UnsupportedError("shared messages are not read", locator=f"byte {message.place}")
                case Kind.LAYOUT if made.layout is None:
                    made.layout = layout(cursor)
                case Kind.LAYOUT:
                    raise MalformedArtifactError("a dataset lies in two places", locator=f"byte {message.place}")
                case Kind.FILTERS:
                    made.filters = filters(cursor)
        if made.type is None or made.layout is None:
            raise MalformedArtifactError("a dataset without a type")
        self._plug_ins(made.filters, path)
        self._data(made, made.type, made.layout, path)

    def _plug_ins(self, numbers: tuple[int, ...], path: str) -> None:
        for number in numbers:
            if number not in KNOWN_FILTERS:
                message = f"{clip(path, 80)} goes through filter {number}, a plug-in library that loading it runs"
                self.defects.add("hdf5.filter", message, grade=UNJUDGED)

    def _data(self, made: _Dataset, kind: Datatype, where: Layout, path: str) -> None:
        """Claim the data of a dataset and list it."""
        shape = made.shape or ()
        elements = 0 if made.shape is None else prod(shape)
        size_bytes = elements * kind.size_bytes
        note = f"tensor {clip(path)}"
        match where.kind:
            case "compact":
                stored = len(where.inline)
                self._size(path, stored, size_bytes)
                if kind.references:
                    self.values.follow(where.inline[:size_bytes], kind, 0)
            case "contiguous":
                stored = size_bytes if where.size_bytes < 0 else where.size_bytes
                self._size(path, stored, size_bytes)
                stored = stored if where.address is not None else 0
                if where.address is not None:
                    self._claim(where.address, stored, note)
                    self._references(where.address, stored, kind)
            case "chunked":
                stored = self._chunks(made, where, shape, kind, note)
            case _:
                stored = size_bytes
                self._virtual(where, path)
        if size_bytes > _EXPANSION_FROM_BYTES and size_bytes > _EXPANSION * stored:
            message = f"{clip(path, 80)} claims {size_bytes:,} bytes of which {stored:,} are stored"
            self.defects.add("hdf5.expansion", message, excerpt=str(shape), references=_BOMB)
            size_bytes = elements = 0
        self.parameter_count += elements
        self.tensors.append(Tensor(name=clip(path.lstrip("/")), dtype=kind.name, shape=shape, size_bytes=size_bytes))
        is_plain = where.kind == "contiguous" and where.address is not None and stored == size_bytes
        self.starts.append(self.image.base + (where.address or 0) if is_plain and not made.filters else -1)

    def _size(self, path: str, stored: int, needed: int) -> None:
        if stored != needed:
            message = f"{clip(path, 80)} has {stored:,} bytes, its shape and type need {needed:,}"
            self.defects.add("hdf5.size", message)

    def _claim(self, address: int, size_bytes: int, note: str) -> None:
        if self.image.base + address + size_bytes > self.source.size_bytes:
            raise MalformedArtifactError(f"{note} leaves the file", locator=f"byte {self.image.base + address}")
        self.image.claim(address, size_bytes, note, SpanKind.TENSOR)

    def _references(self, address: int, size_bytes: int, kind: Datatype) -> None:
        if kind.references and size_bytes:
            if size_bytes > _READ_DATA_BYTES:
                raise UnsupportedError("a long dataset of variable length", locator=f"byte {address}")
            self.values.follow(self.image.read(address, size_bytes), kind, address)

    def _chunks(self, made: _Dataset, where: Layout, shape: tuple[int, ...], kind: Datatype, note: str) -> int:
        if len(where.chunk) != len(shape):
            raise MalformedArtifactError("the chunks of a dataset have another rank", locator=note)
        found = sorted(chunks_of(self.image, where, shape, is_filtered=bool(made.filters)))
        if kind.references and found and made.filters:
            raise UnsupportedError(f"{note}: filtered data of variable length is not read")
        for address, size in found:
            self._references(address, size, kind)
        stored, start, end = 0, -1, -1
        for address, size in found:
            stored += size
            if address < end:
                raise MalformedArtifactError(f"chunks of {note} overlap", locator=f"byte {self.image.base + address}")
            if address == end:
                end += size
                continue
            if start >= 0:
                self._claim(start, end - start, note)
            start, end = address, address + size
        if start >= 0:
            self._claim(start, end - start, note)
        return stored

    def _virtual(self, where: Layout, path: str) -> None:
        files = self.values.heaps.value(where.address or 0, where.index)[1 + self.image.length_size :]
        first = files.partition(b"\0")[0].decode("utf-8", "backslashreplace")
        if first == ".":
            raise UnsupportedError(f"{clip(path, 80)} is put together from other datasets")
        message = f"{clip(path, 80)} is put together from another file, {clip(first, 80)!r}, which loading it reads"
        self.defects.add("hdf5.external", message, excerpt=clip(first), references=_FILE_ACCESS)
