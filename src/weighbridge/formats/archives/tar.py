"""A bounded tar reader that believes nothing twice: every header, its checksum, its extensions, and what lies between members.

ustar, GNU (long names, base-256 numbers) and pax headers are read; sparse files, devices and links that lead out are problems. Where
two readers could see different names or sizes (a pax size beside another, a name twice, a link that a later member goes through), that
is a problem as well. Source: POSIX.1-2017 pax, "ustar Interchange Format" and "pax Header Block"; GNU tar manual, "Basic Tar Format".
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from weighbridge.errors import MalformedArtifactError
from weighbridge.formats.headers.defects import OverLimitError
from weighbridge.formats.reading.source import Source
from weighbridge.formats.reading.spans import Span
from weighbridge.vocabulary import SpanKind, clip

BLOCK = 512
MEMBER_LIMIT = 12_000
PROBLEM_LIMIT = 20
EXTENSION_LIMIT_BYTES = 1 << 20
_FILES = b"0\x007"
_FOLDER, _SYMLINK, _HARDLINK = b"5", b"2", b"1"
_PAX, _PAX_GLOBAL, _LONG_NAME, _LONG_LINK = b"x", b"g", b"L", b"K"
_PAX_LINE = re.compile(rb"([1-9][0-9]{0,6}) ")
_KNOWN_PAX = re.compile(
    r"(?:path|linkpath|size|mtime|atime|ctime|uid|gid|uname|gname|comment|charset|hdrcharset|LIBARCHIVE\.[\w.]+"
    r"|SCHILY\.(?:dev|ino|nlink|xattr\.[\w.]+)|MSWINDOWS\.rawsd)\Z"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TarMember:
    """One file of an archive. `start` and `end` are its bytes."""

    name: str
    start: int
    end: int


@dataclass(slots=True, kw_only=True)
class TarArchive:
    """What the walk found. `spans` cover everything but the files' bytes and the zeros; `problems` are (message, locator)."""

    members: list[TarMember] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)
    names: dict[str, bytes] = field(default_factory=dict)

    def complain(self, message: str, offset: int) -> None:
        """Record something that readers may see differently, or that no honest archive has."""
        if len(self.problems) < PROBLEM_LIMIT:
            self.problems.append((clip(message, 300), f"byte {offset}"))


@dataclass(slots=True)
class _Extension:
    """What pax and GNU headers say of the next member."""

    name: str | None = None
    link: str | None = None
    size_bytes: int | None = None


def is_tar(source: Source) -> bool:
    """Whether the first block is a header with a checksum that fits, as tarfile and torch's legacy loader see it."""
    if source.size_bytes < BLOCK:
        return False
    head = source.head(BLOCK)
    try:
        return bool(head.strip(b"\0")) and _is_checked(head)
    except MalformedArtifactError:
        return False


def walk_tar(source: Source) -> TarArchive:
    """Read every header of an archive, up to the zeros at its end.

    Raises:
        MalformedArtifactError: a header is broken, or a member leaves the file.
        OverLimitError: more members than are read.
    """
    archive = TarArchive()
    position, extension = 0, _Extension()
    while position + BLOCK <= source.size_bytes:
        head = source.read_at(position, BLOCK)
        if not head.strip(b"\0"):
            break
        if not _is_checked(head):
            raise MalformedArtifactError("a header's checksum does not fit", locator=f"byte {position}")
        if len(archive.names) >= MEMBER_LIMIT:
            raise OverLimitError(f"more than {MEMBER_LIMIT:,} members", locator=f"byte {position}")
        position = _take(source, head, position, extension, archive)
        if head[156:157] not in (_PAX, _PAX_GLOBAL, _LONG_NAME, _LONG_LINK):
            extension = _Extension()
    else:
        if position < source.size_bytes:
            archive.complain("the archive ends inside a header", position)
        elif position:
            archive.complain("the archive has no end mark: it is cut off, or another follows", position)
    if extension != _Extension():
        archive.complain("an extended header stands before no member", position)
    _check_links(archive)
    return archive


def _take(source: Source, head: bytes, position: int, extension: _Extension, archive: TarArchive) -> int:
    """Take one header and what belongs to it; gives the byte after both."""
    kind = head[156:157]
    size = _number(head[124:136], position)
    body = position + BLOCK
    if kind not in (_PAX, _PAX_GLOBAL, _LONG_NAME, _LONG_LINK) and extension.size_bytes is not None:
        if size not in (0, extension.size_bytes) and extension.size_bytes < 1 << 33:
            archive.complain("a pax header gives a member another size than its own header", position)
        size = extension.size_bytes
    if kind in (_SYMLINK, _HARDLINK, _FOLDER, b"3", b"4", b"6") and size:
        archive.complain("a member that has no content claims some: readers go on at different places", position)
        size = 0
    end = body + size
    stop = body + -(-size // BLOCK) * BLOCK
    if end > source.size_bytes:
        raise MalformedArtifactError("a member leaves the file", locator=f"byte {position}")
    archive.spans.append(Span(start=position, end=body, kind=SpanKind.HEADER, note="tar header"))
    if kind in (_PAX, _PAX_GLOBAL, _LONG_NAME, _LONG_LINK):
        _extend(source, kind, body, size, extension, archive)
        archive.spans.append(Span(start=body, end=end, kind=SpanKind.HEADER, note="tar extension"))
        return min(stop, source.size_bytes)
    name = extension.name if extension.name is not None else _name(head, archive, position)
    link = extension.link if extension.link is not None else _text(head[157:257], archive, position)
    _check_member(name, link, kind, position, archive)
    if kind in _FILES:
        archive.members.append(TarMember(name=name, start=body, end=end))
    elif kind not in (_FOLDER, _SYMLINK, _HARDLINK):
        archive.complain(f"{name} is a device, a sparse file or of an unknown kind {kind!r}", position)
        archive.spans.append(Span(start=body, end=end, kind=SpanKind.UNREAD, note="of an unknown kind"))
    return min(stop, source.size_bytes)


def _extend(source: Source, kind: bytes, body: int, size: int, extension: _Extension, archive: TarArchive) -> None:
    if size > EXTENSION_LIMIT_BYTES:
        raise MalformedArtifactError("an extension of more than a megabyte", locator=f"byte {body}")
    data = source.read_at(body, size)
    if kind in (_LONG_NAME, _LONG_LINK):
        text = _text(data, archive, body)
        if kind == _LONG_NAME:
            extension.name = text
        else:
            extension.link = text
        return
    for key, value in _pax(data, body):
        if not _KNOWN_PAX.match(key):
            archive.complain(f"a pax header sets {key}", body)
        if kind == _PAX_GLOBAL and key in ("path", "linkpath", "size"):
            archive.complain(f"a global pax header sets {key} of every member", body)
        _apply(key, value, body, extension)


def _apply(key: str, value: str, body: int, extension: _Extension) -> None:
    match key:
        case "path":
            extension.name = value
        case "linkpath":
            extension.link = value
        case "size":
            if not value.isascii() or not value.isdecimal() or len(value) > 15:
                raise MalformedArtifactError("a pax header has a size that is none", locator=f"byte {body}")
            extension.size_bytes = int(value)


def _pax(data: bytes, body: int) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    at = 0
    while at < len(data) and data[at]:
        match = _PAX_LINE.match(data, at)
        stop = at + int(match.group(1)) if match else 0
        if match is None or stop > len(data) or stop <= match.end() or data[stop - 1 : stop] != b"\n":
            raise MalformedArtifactError("a pax header is broken", locator=f"byte {body + at}")
        key, equals, value = data[match.end() : stop - 1].partition(b"=")
        if not equals:
            raise MalformedArtifactError("a pax header is broken", locator=f"byte {body + at}")
        found.append((key.decode("utf-8", "backslashreplace"), value.decode("utf-8", "backslashreplace")))
        at = stop
    return found


def _is_checked(head: bytes) -> bool:
    claimed = _number(head[148:156], 0)
    plain = sum(head[:148]) + sum(head[156:]) + 8 * 32
    signed = plain - 256 * sum(byte > 127 for byte in head[:148] + head[156:])
    return claimed in (plain, signed)


def _number(raw: bytes, position: int) -> int:
    """An octal number, or GNU's base 256."""
    if raw[0] in (0x80, 0xFF):
        value = int.from_bytes(raw[1:], "big") if raw[0] == 0x80 else -1
    else:
        text = raw.split(b"\0", 1)[0].strip()
        if text and not re.fullmatch(rb"[0-7]+", text):
            raise MalformedArtifactError("a number in a header is not octal", locator=f"byte {position}")
        value = int(text or b"0", 8)
    if not 0 <= value < 1 << 53:
        raise MalformedArtifactError("a number in a header cannot be", locator=f"byte {position}")
    return value


def _name(head: bytes, archive: TarArchive, position: int) -> str:
    name = _text(head[:100], archive, position)
    prefix = _text(head[345:500], archive, position) if head[257:263] == b"ustar\0" else ""
    return f"{prefix}/{name}" if prefix else name


def _text(raw: bytes, archive: TarArchive, position: int) -> str:
    text, _, rest = raw.partition(b"\0")
    if rest.strip(b"\0"):
        archive.complain("something stands behind the end of a name", position)
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        archive.complain("a name is not valid UTF-8", position)
        return text.decode("utf-8", "backslashreplace")


def _check_member(name: str, link: str, kind: bytes, position: int, archive: TarArchive) -> None:
    parts = _parts(name)
    if leaves(name) or not name.isprintable() or "\\" in name or len(name) > 4096:
        archive.complain(f"the name {name} leaves the archive or hides something", position)
    path = "/".join(parts)
    if path in archive.names and not (kind == _FOLDER == archive.names[path]):
        archive.complain(f"two members are called {path}", position)
    archive.names[path] = kind
    if kind == _SYMLINK and leaves("/".join((*parts[:-1], link)) if not link.startswith("/") else link):
        archive.complain(f"the link {name} leads to {link}, out of the archive", position)
    if kind == _HARDLINK and (leaves(link) or "/".join(_parts(link)) not in archive.names):
        archive.complain(f"the link {name} leads to {link}, which is no earlier member", position)


def _parts(name: str) -> tuple[str, ...]:
    return tuple(part for part in name.split("/") if part not in ("", "."))


def leaves(path: str) -> bool:
    """Whether a path leads out of the folder it is unpacked to."""
    depth = 0
    for part in path.split("/"):
        depth += -1 if part == ".." else part not in ("", ".")
        if depth < 0:
            return True
    return path.startswith(("/", "~")) or (len(path) > 1 and path[1] == ":")


def _check_links(archive: TarArchive) -> None:
    """No member lies below a link, or it is written wherever that leads."""
    links = {name for name, kind in archive.names.items() if kind in (_SYMLINK, _HARDLINK)}
    for name in archive.names if links else ():
        parts = name.split("/")
        through = next((p for p in ("/".join(parts[:n]) for n in range(1, len(parts))) if p in links), "")
        if through:
            archive.complain(f"{name} lies below the link {through}", 0)
