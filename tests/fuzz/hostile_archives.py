"""Hostile archives and compressed streams: bombs, archives in archives, sizes and names that lie, what leaves the folder."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable

from tests.fuzz.hostile import Hostile, u64
from weighbridge.testing.pickles import Entry, Pickle, checkpoint_entries, state_dict, write_zip

CALL = Pickle(2).call("posix", "system", "true").stop()
MEGABYTES = 40
"""What a bomb unfolds to."""
Cases = dict[str, Callable[[], bytes]]
_PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda data: gzip.compress(data, 9, mtime=0),
    "zlib": lambda data: zlib.compress(data, 9),
    "bzip2": bz2.compress,
    "xz": lambda data: lzma.compress(data, preset=1),
    "lzma": lambda data: lzma.compress(data, lzma.FORMAT_ALONE, preset=1),
}


def cases(path: str, named: Cases) -> list[Hostile]:
    return [Hostile(name=name, path=path, make=make) for name, make in named.items()]


# --- compressed streams


def _nested(pack: Callable[[bytes], bytes], depth: int) -> bytes:
    data = CALL
    for _ in range(depth):
        data = pack(data)
    return data


def _compressed() -> list[Hostile]:
    found: Cases = {}
    for name, pack in _PACKERS.items():
        whole = pack(Pickle().raw(b"N0" * 2000).values(1).stop())
        found |= {
            f"{name}_bomb_of_zeros": lambda pack=pack: pack(bytes(MEGABYTES << 20)),
            f"{name}_bomb_of_opcodes": lambda pack=pack: pack(b"\x80\x02" + b"N0" * 1_000_000 + CALL[2:]),
            f"{name}_in_itself_3_times": lambda pack=pack: _nested(pack, 3),
            f"{name}_in_itself_12_times": lambda pack=pack: _nested(pack, 12),
            f"{name}_of_a_call": lambda pack=pack: pack(CALL),
            f"{name}_streams_in_a_row": lambda pack=pack: pack(b"N.") * 5_000,
            f"{name}_with_a_call_behind": lambda whole=whole: whole + CALL,
            f"{name}_cut_at_its_trailer": lambda whole=whole: whole[:-3],
            f"{name}_cut_in_its_head": lambda whole=whole: whole[:5],
            f"{name}_with_a_wrong_middle": lambda whole=whole: whole[:12] + b"\xff\xff\xff" + whole[15:],
        }
    head = b"\x1f\x8b\x08"
    found |= {
        "gzip_with_a_name_without_end": lambda: head + b"\x08" + bytes(6) + b"a" * 200_000,
        "gzip_with_an_extra_field_that_lies": lambda: head + b"\x04" + bytes(6) + b"\xff\xff" + b"a" * 10,
        "gzip_of_an_unknown_method": lambda: b"\x1f\x8b\x07" + bytes(20),
        "gzip_with_reserved_flags": lambda: head + b"\xe0" + bytes(20),
        "xz_with_a_dictionary_of_4_gb": lambda: b"\x5d" + struct.pack("<I", 0xFFFFFFFF) + u64(1 << 40) + bytes(40),
        "lzma_that_claims_2_62": lambda: b"\x5d\x00\x00\x80\x00" + u64(1 << 62) + lzma.compress(CALL, lzma.FORMAT_ALONE)[13:],
        "joblib_size_that_lies": lambda: b"ZF" + b"0xffffffffffff".ljust(19) + zlib.compress(CALL),
        "joblib_size_that_is_none": lambda: b"ZF" + b"0xzz".ljust(19) + zlib.compress(CALL),
    }  # fmt: skip
    return cases("model.pkl.gz", found)


# --- zip


def _in_each_other(depth: int, *, method: int = zipfile.ZIP_STORED, inner: bytes = CALL) -> bytes:
    data, name = inner, "state.pkl"
    for _ in range(depth):
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w", method) as archive:
            archive.writestr(name, data)
        data, name = made.getvalue(), "inner.zip"
    return data


def _checkpoint(**bent: object) -> bytes:
    entries = checkpoint_entries(state_dict({"w": (2,)}).stop(), {"0": bytes(8)})
    for name, value in bent.items():
        setattr(entries[0], name, value)
    return write_zip(entries)


def _patched(at: int, width: int, value: int, magic: bytes) -> bytes:
    """A checkpoint with one number of the first record of that magic replaced."""
    data = bytearray(_checkpoint())
    at += data.index(magic)
    data[at : at + width] = value.to_bytes(width, "little")
    return bytes(data)


_FIELDS = {
    "local_method": (b"PK\3\4", 8, 2),
    "local_size": (b"PK\3\4", 22, 4),
    "local_packed_size": (b"PK\3\4", 18, 4),
    "local_name_length": (b"PK\3\4", 26, 2),
    "local_extra_length": (b"PK\3\4", 28, 2),
    "directory_method": (b"PK\1\2", 10, 2),
    "directory_checksum": (b"PK\1\2", 16, 4),
    "directory_packed_size": (b"PK\1\2", 20, 4),
    "directory_size": (b"PK\1\2", 24, 4),
    "directory_name_length": (b"PK\1\2", 28, 2),
    "directory_extra_length": (b"PK\1\2", 30, 2),
    "directory_comment_length": (b"PK\1\2", 32, 2),
    "directory_offset": (b"PK\1\2", 42, 4),
    "end64_members": (b"PK\6\6", 32, 8),
    "end64_directory_size": (b"PK\6\6", 40, 8),
    "end64_directory_at": (b"PK\6\6", 48, 8),
    "locator_at": (b"PK\6\7", 8, 8),
    "end_members": (b"PK\5\6", 10, 2),
    "end_directory_size": (b"PK\5\6", 12, 4),
    "end_directory_at": (b"PK\5\6", 16, 4),
    "end_comment_length": (b"PK\5\6", 20, 2),
}
_NAMES = {
    "parent": "../../etc/cron.d/x",
    "root": "/etc/cron.d/x",
    "drive": "C:\\x\\y.pkl",
    "backslashes": "..\\..\\x",
    "zero": "archive/data.pkl\0.txt",
    "right_to_left": "archive/\u202elkp.atad",
    "decomposed": "archive/de\u0301.pkl",
    "dots": "archive/./data.pkl",
    "empty": "",
    "slashes": "//////",
    "control": "archive/\x1b[2Jdata.pkl",
    "fullwidth": "archive\uff0fdata.pkl",
    "long": "archive/" + "a/" * 20_000 + "b",
}


def _zips() -> list[Hostile]:
    found: Cases = {}
    for name, (magic, at, width) in _FIELDS.items():
        for word, value in (("most", (1 << 8 * width) - 2), ("half", 1 << 8 * width - 1), ("13", 13)):
            found[f"zip_{name}_{word}"] = lambda at=at, width=width, value=value, magic=magic: _patched(
                at, width, value, magic
            )
    for word, name in _NAMES.items():
        found[f"zip_name_{word}"] = lambda name=name: write_zip(
            [Entry(name=name, data=CALL), Entry(name="archive/data.pkl", data=CALL)]
        )
    for depth in (2, 4, 6, 40):
        found[f"zip_in_itself_{depth}_times"] = lambda depth=depth: _in_each_other(depth)
        found[f"zip_packed_in_itself_{depth}_times"] = lambda depth=depth: _in_each_other(
            depth, method=zipfile.ZIP_DEFLATED
        )
    found |= {
        "zip_of_9_bombs": lambda: write_zip([Entry(name=f"archive/{i}.pkl", data=b"N" * (15 << 20), method=8) for i in range(9)]),
        "zip_bomb_4_deep": lambda: _in_each_other(4, method=zipfile.ZIP_DEFLATED, inner=bytes(MEGABYTES << 20) + b"\1"),
        "zip_of_bzip2": lambda: _in_each_other(1, method=zipfile.ZIP_BZIP2),
        "zip_of_lzma": lambda: _in_each_other(1, method=zipfile.ZIP_LZMA),
        "zip_encrypted": lambda: _checkpoint(flags=0x0809),
        "zip_patched_data": lambda: _checkpoint(flags=0x0828),
        "zip_strongly_encrypted": lambda: _checkpoint(flags=0x0849),
        "zip_masked_directory": lambda: _checkpoint(flags=0x2808),
        "zip_unknown_method": lambda: _checkpoint(method=99),
        "zip_local_name_is_another": lambda: _checkpoint(local_name="archive/xxxx.pkl"),
        "zip_local_checksum_is_another": lambda: _checkpoint(flags=0x0800, local_crc32=1),
        "zip_wrong_checksum": lambda: _checkpoint(crc32=1),
        "zip64_field_cut": lambda: _checkpoint(size_bytes=0xFFFFFFFF, central_extra=b"\1\0\4\0abcd"),
        "zip64_field_of_2_63": lambda: _checkpoint(size_bytes=0xFFFFFFFF, central_extra=b"\1\0\x08\0" + u64(1 << 63)),
        "zip64_fields_200": lambda: _checkpoint(size_bytes=0xFFFFFFFF, central_extra=(b"\1\0\x08\0" + u64(1)) * 200),
        "zip_unicode_path_field": lambda: _checkpoint(central_extra=b"up\x0b\0\1" + bytes(4) + b"../x.p"),
        "zip_comment_of_zips": lambda: write_zip(checkpoint_entries(CALL, {}), comment=_in_each_other(1)),
        "zip_behind_a_pickle": lambda: CALL + _checkpoint(),
        "zip_before_a_pickle": lambda: _checkpoint() + CALL,
        "zip_with_a_hole": lambda: write_zip(checkpoint_entries(state_dict({"w": (2,)}).stop(), {"0": bytes(8)}), between=CALL),
        "zip_of_one_member_twice": lambda: write_zip([Entry(name="archive/data.pkl", data=d) for d in (b"N.", CALL)]),
        "zip_of_two_folders": lambda: write_zip([Entry(name=f"{n}/data.pkl", data=d) for n, d in (("a", b"N."), ("b", CALL))]),
        "zip_that_is_its_own_directory": lambda: _patched(42, 4, len(_checkpoint()) - 200, b"PK\1\2"),
        "zip_of_symbolic_links": _zip_of_links,
    }  # fmt: skip
    return cases("model.pt", found)


def _zip_of_links() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for number in range(200):
            info = zipfile.ZipInfo(f"archive/{number}")
            info.external_attr, info.create_system = 0o120777 << 16, 3
            archive.writestr(info, "../" * 40 + "etc/passwd")
        archive.writestr("archive/data.pkl", CALL)
    return made.getvalue()


# --- tar


def _tar(*members: tuple[tarfile.TarInfo, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=form) as archive:
        for info, data in members:
            info.size = len(data) if info.isreg() else 0
            archive.addfile(info, io.BytesIO(data))
    return made.getvalue()


def _member(
    name: str = "a.pkl", kind: bytes = tarfile.REGTYPE, link: str = "", pax: dict[str, str] | None = None
) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.pax_headers = kind, link, pax or {}
    return info


def _raw_header(
    name: bytes = b"a.pkl", size: bytes = b"00000000005\0", kind: bytes = b"0", *, is_summed: bool = True
) -> bytes:
    """One block as POSIX ustar, with whatever stands where the size does."""
    block = bytearray(512)
    block[:100] = name.ljust(100, b"\0")
    block[100:124] = b"0000644\0" + b"0000000\0" * 2
    block[124:136], block[136:148], block[148:156] = size, b"00000000000\0", b" " * 8
    block[156:157], block[257:265] = kind, b"ustar\00000"
    total = sum(block) if is_summed else 1
    block[148:156] = b"%06o\0 " % total
    return bytes(block)


def _tars() -> list[Hostile]:
    tail = bytes(1024)
    call = CALL.ljust(512, b"\0")
    found: Cases = {
        f"tar_name_{word}": lambda name=name: _tar((_member(name or "."), CALL))
        for word, name in _NAMES.items()
        if "\0" not in name
    }
    kinds = {
        "symlink": b"2",
        "hardlink": b"1",
        "character": b"3",
        "block": b"4",
        "fifo": b"6",
        "contiguous": b"7",
        "unknown": b"Z",
    }
    for word, kind in kinds.items():
        found[f"tar_of_a_{word}"] = lambda kind=kind: _tar((_member("a", kind, "/etc/passwd"), b""), (_member(), CALL))
        found[f"tar_of_3000_{word}s"] = lambda kind=kind: _tar(
            *((_member(f"a{i}", kind, "../" * 9 + "x"), b"") for i in range(3000)), (_member(), CALL)
        )
    sizes = {"2_33": b"777777777777", "negative": b"\xff" * 12, "2_63": b"\x80\0\0\0\x80" + bytes(7), "2_87": b"\x80" + b"\xff" * 11, "text": b"zzzzzzzzzzz\0", "spaces": b" " * 12}  # fmt: skip
    for word, size in sizes.items():
        found[f"tar_size_{word}"] = lambda size=size: _raw_header(size=size) + call + tail
    long = {
        "name": b"L",
        "link": b"K",
        "pax": b"x",
        "global": b"g",
        "sparse": b"S",
        "dump": b"D",
        "volume": b"V",
        "many": b"M",
    }
    for word, kind in long.items():
        found[f"tar_{word}_of_10_mb"] = lambda kind=kind: (
            _raw_header(b"././@LongLink", b"%011o\0" % (10 << 20), kind)
            + b"a" * (10 << 20)
            + _raw_header()
            + call
            + tail
        )
        found[f"tar_{word}_4000_times"] = lambda kind=kind: (
            (_raw_header(b"x", b"%011o\0" % 12, kind) + b"12 path=abc\n".ljust(512, b"\0")) * 4000
            + _raw_header()
            + call
            + tail
        )
        found[f"tar_{word}_at_the_end"] = lambda kind=kind: (
            _raw_header() + call + _raw_header(b"x", b"%011o\0" % 12, kind)
        )
    pax = {"size_lies": {"size": "99999999999"}, "size_is_text": {"size": "abc"}, "path_leaves": {"path": "../../x"}, "path_is_root": {"path": "/x"}, "sparse": {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "../x", "GNU.sparse.realsize": "99999999999999"}, "sparse_map": {"GNU.sparse.map": "0,9999999999," * 5000, "GNU.sparse.size": "1"}, "5000_words": {f"k{i}": "v" for i in range(5000)}}  # fmt: skip
    for word, words in pax.items():
        found[f"tar_pax_{word}"] = lambda words=words: _tar((_member(pax=words), CALL))
    for word, record in {"length_0": b"0 a=b\n", "length_lies": b"999 a=b\n", "no_equals": b"7 abcd\n", "length_is_long": b"9" * 400 + b" a=b\n"}.items():  # fmt: skip
        found[f"tar_pax_{word}"] = lambda record=record: (
            _raw_header(b"x", b"%011o\0" % len(record), b"x") + record.ljust(512, b"\0") + _raw_header() + call + tail
        )
    found |= {
        "tar_wrong_checksum": lambda: _raw_header() + call + _raw_header(is_summed=False) + call + tail,
        "tar_without_its_end": lambda: _raw_header(size=b"%011o\0" % len(CALL)) + call,
        "tar_cut_in_a_member": lambda: _raw_header(size=b"%011o\0" % 5000) + call,
        "tar_with_a_pickle_behind": lambda: _tar((_member("a.txt"), b"a\n")) + CALL,
        "tar_with_a_tar_behind": lambda: _tar((_member("a.txt"), b"a\n")) + _tar((_member(), CALL)),
        "tar_of_one_name_twice": lambda: _tar((_member(), b"N."), (_member(), CALL)),
        "tar_of_names_that_differ_in_case": lambda: _tar((_member("A.pkl"), b"N."), (_member("a.pkl"), CALL)),
        "tar_link_and_then_through_it": lambda: _tar((_member("d", b"2", "/etc"), b""), (_member("d/x"), CALL)),
        "tar_of_20000_members": lambda: _tar(*((_member(f"{i}.pkl"), b"N.") for i in range(20_000))),
        "tar_of_2000_calls": lambda: _tar(*((_member(f"{i}.pkl"), CALL) for i in range(2_000))),
        "tar_in_itself_5_times": lambda: _tar_in_tar(5),
        "tar_in_itself_100_times": lambda: _tar_in_tar(100),
        "tar_of_zips_of_tars": lambda: _tar((_member("a.zip"), _in_each_other(1, inner=_tar((_member("b.zip"), _in_each_other(1)))))),
    }  # fmt: skip
    return cases("model.nemo", found)


def _tar_in_tar(depth: int) -> bytes:
    data = CALL
    for number in range(depth):
        data = _tar((_member("a.tar" if number else "a.pkl"), data), form=tarfile.USTAR_FORMAT)[: -8192 or None]
    return data


ARCHIVES = [*_compressed(), *_zips(), *_tars()]
