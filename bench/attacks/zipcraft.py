"""Archives written by hand, whose parts disagree. A mutation helper of `mutated.py`; it has no cases of its own."""

from __future__ import annotations

import bz2
import lzma
import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One member: what its two headers say, and what lies between them."""

    name: str
    data: bytes = b""
    method: int = 0
    flags: int = 0
    local_name: str | None = None
    local_method: int | None = None
    local_sizes: tuple[int, int] | None = None
    local_extra: bytes = b""
    extra: bytes = b""
    crc: int | None = None
    local_crc: int | None = None
    comment: bytes = b""
    descriptor: bytes = b""
    before: bytes = b""
    packed: bytes | None = None
    size: int | None = None
    zip64: bool = False
    same_as: int | None = None
    listed: bool = True
    system: int = 0x0314
    attributes: int = 0


def packed(member: Member) -> bytes:
    if member.packed is not None:
        return member.packed
    match member.method:
        case 8:
            maker = zlib.compressobj(9, zlib.DEFLATED, -15)
            return maker.compress(member.data) + maker.flush()
        case 12:
            return bz2.compress(member.data)
        case 14:
            filters = [{"id": lzma.FILTER_LZMA1}]
            properties = lzma._encode_filter_properties(filters[0])  # type: ignore[attr-defined]
            return (
                struct.pack("<BBH", 9, 4, len(properties))
                + properties
                + lzma.compress(member.data, lzma.FORMAT_RAW, filters=filters)
            )
    return member.data


def empty_blocks(data: bytes, count: int = 300) -> bytes:
    """Deflate of many empty stored blocks, then the data a byte a block."""
    blocks = b"\0\0\0\xff\xff" * count
    for letter in data[:-1]:
        blocks += b"\0\1\0\xfe\xff" + bytes([letter])
    return blocks + b"\1\1\0\xfe\xff" + data[-1:]


def local(member: Member, body: bytes, crc: int) -> bytes:
    size = len(member.data) if member.size is None else member.size
    sizes, extra = (len(body), size), member.local_extra
    if member.zip64:
        extra, sizes = struct.pack("<HHQQ", 1, 16, size, len(body)) + extra, (0xFFFFFFFF, 0xFFFFFFFF)
    sizes = sizes if member.local_sizes is None else member.local_sizes
    name = (member.name if member.local_name is None else member.local_name).encode()
    method = member.method if member.local_method is None else member.local_method
    head = struct.pack(
        "<4s5H3I2H",
        b"PK\3\4",
        20,
        member.flags,
        method,
        0,
        33,
        crc if member.local_crc is None else member.local_crc,
        *sizes,
        len(name),
        len(extra),
    )
    return head + name + extra + body + member.descriptor


def listing(member: Member, body: bytes, crc: int, at: int) -> bytes:
    size = len(member.data) if member.size is None else member.size
    sizes, extra, place = (len(body), size), member.extra, at
    if member.zip64:
        extra = struct.pack("<HHQQQ", 1, 24, size, len(body), at) + extra
        sizes, place = (0xFFFFFFFF, 0xFFFFFFFF), 0xFFFFFFFF
    name = member.name.encode()
    numbers = (
        member.system,
        20,
        member.flags,
        member.method,
        0,
        33,
        crc,
        *sizes,
        len(name),
        len(extra),
        len(member.comment),
        0,
        0,
        member.attributes,
        place,
    )
    return struct.pack("<4s6H3I5H2I", b"PK\1\2", *numbers) + name + extra + member.comment


def crafted(
    members: Iterable[Member],
    *,
    start: bytes = b"",
    shift: int | None = None,
    reverse: bool = False,
    gap: bytes = b"",
    end: bytes = b"",
    comment: bytes = b"",
    count: int | None = None,
    zip64_end: bool = False,
) -> bytes:
    """The archive. `start` lies before it; offsets count from the file's first byte unless `shift` says otherwise."""
    shift = len(start) if shift is None else shift
    out, rows, places = b"", [], []
    for member in members:
        body = packed(member)
        crc = zlib.crc32(member.data) if member.crc is None else member.crc
        if member.same_as is None:
            places.append(len(out) + len(member.before))
            out += member.before + local(member, body, crc)
        else:
            places.append(places[member.same_as])
        if member.listed:
            rows.append(listing(member, body, crc, places[-1] + shift))
    directory = b"".join(reversed(rows) if reverse else rows)
    at, total = len(out) + len(gap) + shift, len(rows) if count is None else count
    tail = b""
    if zip64_end:
        tail = struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 45, 45, 0, 0, total, total, len(directory), at)
        tail += struct.pack("<4sIQI", b"PK\6\7", 0, at + len(directory), 1)
        total, size, at = 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF
    else:
        size = len(directory)
    tail += struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, total, total, size, at, len(comment)) + comment
    return start + out + gap + directory + tail + end


def torch_forms(evil: bytes, good: bytes) -> dict[str, tuple[bytes, str]]:
    """Archives for torch's reader: bytes and what is odd about them."""
    payload = Member(name="archive/data.pkl", data=evil)
    decoy = Member(name="archive/data.pkl", data=good)
    rest = [Member(name="archive/byteorder", data=b"little"), Member(name="archive/version", data=b"3\n")]
    evil_field = struct.pack("<HH", 0xCAFE, len(good)) + good
    honest = crafted([decoy, *rest])
    change = lambda **more: crafted([replace(payload, **more), *rest])  # noqa: E731
    return {
        "zip64-fields": (change(zip64=True), "sizes and offset only in zip64 fields"),
        "zip64-end": (crafted([payload, *rest], zip64_end=True), "zip64 end of the directory"),
        "zip64-all": (crafted([replace(m, zip64=True) for m in (payload, *rest)], zip64_end=True), "zip64 everywhere"),
        "descriptor": (change(flags=8, local_sizes=(0, 0), local_crc=0, descriptor=b"PK\7\x08" + bytes(12)), "sizes in a false data descriptor"),
        "descriptor-unsigned": (change(flags=8, local_sizes=(0, 0), local_crc=0, descriptor=struct.pack("<III", zlib.crc32(evil), len(evil), len(evil))), "data descriptor without its signature"),
        "extra-holds-honest": (change(local_extra=evil_field), "an honest pickle in the local extra field"),
        "extra-odd-length": (change(local_extra=b"\xfe\xca\xff\xff\1"), "extra field that claims more than there is"),
        "extra-central-odd": (change(extra=b"\xfe\xca\xff\xff\1"), "central extra field that claims more than there is"),
        "extra-unicode-path": (change(extra=struct.pack("<HHBI", 0x7075, 5 + 17, 1, zlib.crc32(b"archive/data.pkl")) + b"archive/notes.txt"), "Unicode path field with another name"),
        "deflate-blocks": (change(method=8, packed=empty_blocks(evil)), "deflate of a byte a block after 300 empty blocks"),
        "deflate-trailing": (change(method=8, packed=zlib.compress(evil)[2:-4] + b"\0" * 40), "bytes after the deflate stream"),
        "local-stored": (change(method=8, local_method=0), "local header says stored"),
        "local-sizes-zero": (change(local_sizes=(0, 0)), "local sizes of zero without a descriptor"),
        "local-sizes-huge": (change(local_sizes=(1 << 31, 1 << 31)), "local sizes of 2 GB"),
        "local-name-storage": (change(local_name="archive/data/000"), "local name of a storage"),
        "local-name-empty": (change(local_name=""), "no local name"),
        "local-crc": (change(local_crc=1), "local checksum is wrong"),
        "name-case": (change(name="archive/DATA.PKL"), "the name in capitals"),
        "two-cases-evil-first": (crafted([replace(payload, name="archive/DATA.pkl"), decoy, *rest]), "two members whose names differ by case, the payload first"),
        "two-cases-evil-last": (crafted([decoy, replace(payload, name="archive/DATA.pkl"), *rest]), "two members whose names differ by case, the payload last"),
        "same-name-first": (crafted([payload, decoy, *rest]), "the same name twice, the payload first"),
        "same-name-last": (crafted([decoy, payload, *rest]), "the same name twice, the payload last"),
        "top-dot": (crafted([replace(payload, name="./data.pkl"), Member(name="./version", data=b"3\n")]), "the folder is a dot"),
        "top-empty": (crafted([replace(payload, name="/data.pkl"), Member(name="/version", data=b"3\n")]), "the folder has no name"),
        "top-parent": (crafted([replace(payload, name="../data.pkl"), Member(name="../version", data=b"3\n")]), "the folder is the parent"),
        "reversed": (crafted([payload, *rest], reverse=True), "directory in reverse order"),
        "directory-first-entry": (crafted([Member(name="archive/"), payload, *rest]), "a folder entry first"),
        "gap": (crafted([payload, *rest], gap=honest[:-22]), "an honest archive without its end before the directory"),
        "start-honest": (crafted([payload, *rest], start=honest), "after a whole honest archive"),
        "start-unlisted": (crafted([replace(decoy, listed=False), replace(payload, before=b"\0" * 64), *rest]), "an unlisted honest member first"),
        "end-junk": (crafted([payload, *rest], end=b"\0" * 300), "bytes after the end"),
        "comment-end": (crafted([payload, *rest], comment=b"PK\5\6" + bytes(9)), "a signature of an end in the comment"),
        "comment-claims": (crafted([payload, *rest], comment=b"x" * 9)[:-5], "comment shorter than it claims"),
        "shared-bytes": (crafted([payload, *rest, Member(name="archive/data/0", data=evil, same_as=0)]), "a storage that shares the pickle's bytes"),
        "overlap-inside": (overlapping(evil, good), "the payload's local header lies inside an honest storage"),
        "directory-flag": (change(attributes=0x41ED0000), "marked as a folder by Unix mode"),
        "symlink-mode": (change(attributes=0xA1FF0000), "marked as a symbolic link"),
        "crc-zero": (change(crc=0), "checksum of zero"),
        "utf8-flag": (crafted([replace(m, flags=0x800, name=m.name.replace("archive", "архив")) for m in (payload, *rest)]), "a Cyrillic folder under the UTF-8 flag"),
        "version-255": (change(system=0xFFFF), "made by an unknown system"),
        "member-comment": (change(comment=good * 9), "an honest pickle in the member's comment"),
    }  # fmt: skip


def overlapping(evil: bytes, good: bytes) -> bytes:
    """The storage's bytes hold the local header and the bytes of the real data.pkl."""
    payload = Member(name="archive/data.pkl", data=evil)
    inner = local(payload, evil, zlib.crc32(evil))
    head = local(Member(name="archive/data/0"), b"", 0)
    storage = Member(name="archive/data/0", data=bytes(64) + inner + bytes(64))
    whole = local(storage, storage.data, zlib.crc32(storage.data))
    version = Member(name="archive/version", data=b"3\n")
    third = local(version, version.data, zlib.crc32(version.data))
    rows = listing(storage, storage.data, zlib.crc32(storage.data), 0) + listing(
        payload, evil, zlib.crc32(evil), len(head) + 64
    )
    rows += listing(version, version.data, zlib.crc32(version.data), len(whole))
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 3, 3, len(rows), len(whole) + len(third), 0)
    return whole + third + rows + end


def numpy_forms(evil: bytes, good: bytes) -> dict[str, tuple[bytes, str]]:
    """Archives of arrays for numpy's reader, which is the standard library's."""
    payload, decoy = Member(name="a.npy", data=evil), Member(name="a.npy", data=good)
    other = Member(name="b.npy", data=good)
    empty = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 0, 0, 0, 0, 0)
    return {
        "empty-archive-first": (crafted([payload, other], start=empty), "after an empty archive"),
        "honest-first": (crafted([payload], start=crafted([decoy, other])), "after a whole honest archive"),
        "honest-first-relative": (crafted([payload], start=crafted([decoy, other]), shift=0), "after an honest archive, offsets not moved"),
        "bzip2": (crafted([replace(payload, method=12), other]), "bzip2 member"),
        "lzma": (crafted([replace(payload, method=14), other]), "lzma member"),
        "same-name-last": (crafted([decoy, payload]), "the same name twice, the payload last"),
        "no-suffix": (crafted([replace(payload, name="weights"), other]), "member without a suffix"),
        "nul-in-name": (crafted([replace(payload, name="a.txt\0.npy", local_name="a.txt\0.npy"), other]), "NUL in the name"),
        "descriptor": (crafted([replace(payload, flags=8, local_sizes=(0, 0), local_crc=0, descriptor=bytes(12)), other]), "empty data descriptor"),
        "zip64": (crafted([replace(payload, zip64=True), other], zip64_end=True), "zip64 everywhere"),
        "local-method": (crafted([replace(payload, method=8, local_method=0), other]), "local header says stored"),
        "local-sizes": (crafted([replace(payload, local_sizes=(1, 1)), other]), "local sizes of one"),
        "end-junk": (crafted([payload, other], end=b"\0" * 99), "bytes after the end"),
        "extra-zip64-short": (crafted([replace(payload, local_extra=struct.pack("<HH", 1, 0)), other]), "empty zip64 field in the local header"),
        "deflate-blocks": (crafted([replace(payload, method=8, packed=empty_blocks(evil)), other]), "deflate of a byte a block"),
    }  # fmt: skip
