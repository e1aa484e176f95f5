from __future__ import annotations

import pytest

from weighbridge.errors import HostileInputError
from weighbridge.registry.names import DEPTH_LIMIT, refuse_hostile_names

HOSTILE = {
    "absolute": "/etc/passwd",
    "parent": "../weights.bin",
    "parent inside": "a/../../b",
    "parent at the end": "a/..",
    "dot": "./a",
    "dot inside": "a/./b",
    "empty part": "a//b",
    "folder": "a/",
    "nothing": "",
    "backslash": "a\\..\\b",
    "drive": "C:/windows/system.ini",
    "drive-relative": "c:model.bin",
    "NUL": "a\0.bin",
    "newline": "a\n.bin",
    "escape": "a\x1b[2K.bin",
    "delete": "a\x7f",
    "C1 control": "a\x9b31m",
    "right-to-left override": "a\u202egnp.exe",
    "right-to-left isolate": "a\u2067b",
    "left-to-right mark": "a\u200eb",
    "zero-width space": "a\u200bb",
    "zero-width joiner": "a\u200db",
    "byte order mark": "\ufeffa",
    "soft hyphen": "mo\u00addel",
    "tag character": "a\U000e0041",
    "combining grapheme joiner": "a\u034fb",
    "hangul filler": "a\u3164b",
    "braille blank": "a\u2800b",
    "variation selector": "a\ufe0fb",
    "no-break space": "a\u00a0b",
    "ideographic space": "a\u3000b",
    "line separator": "a\u2028b",
    "private use": "a\ue000",
    "unassigned": "a\u0378",
    "lone surrogate": "a\udcff",
    "not NFC": "cafe\u0301",
    "long part": "a" * 256,
    "long part in UTF-8": "\u00e9" * 128,
    "long path": "/".join(["a" * 100] * 41),
    "deep": "/".join(["a"] * (DEPTH_LIMIT + 1)),
    "device": "CON",
    "device with suffix": "models/nul.safetensors",
    "numbered device": "com1.txt",
    "superscript device": "LPT¹",
    "console": "conin$",
    "trailing dot": "model.",
    "trailing space": "model /x",
    "fraction slash": "a\u2044b",
    "division slash": "..\u2215b",
    "fullwidth slash": "a\uff0fb",
    "Cyrillic o": "m\u043edel.bin",
    "Greek omicron": "t\u03bfkenizer.json",
    "Armenian o": "c\u0585nfig.json",
    "Cherokee": "\u13aaBC.bin",
    "fullwidth Latin in Cyrillic": "\uff4d\u043e",
}

FRIENDLY = [
    "model.safetensors",
    "model-00001-of-00002.safetensors",
    "1_Pooling/config.json",
    ".gitattributes",
    "..data",
    "a..b",
    "a b.txt",
    "-rf",
    "модель.safetensors",
    "模型/权重.bin",
    "モデル.bin",
    "β-vae.ckpt",
    "é.txt",
    "console.txt",
    "com10.txt",
    "ab:c",
    "a" * 255,
    "/".join(["a"] * DEPTH_LIMIT),
]

COLLIDING = {
    "case": ["Model.bin", "model.bin"],
    "case of a folder": ["A/x", "a/y"],
    "file and folder": ["a", "a/b"],
    "file and folder by case": ["A", "a/b"],
    "sharp s": ["stra\u00dfe", "strasse"],
    "ligature": ["\ufb01le", "file"],
    "width": ["\uff4d.bin", "m.bin"],
    "Kelvin": ["\u212a", "k"],
    "twice": ["a", "a"],
    "all-Cyrillic": ["\u0441\u043e\u0440.bin", "cop.bin"],
    "all-Cyrillic capital": ["\u0421\u041e\u0420", "COP"],
    "all-Greek": ["\u03bf", "o"],
    "dotless i": ["conf\u0131g.json", "config.json"],
    "hyphen": ["a\u2010b", "a-b"],
    "mathematical": ["\U0001d426.bin", "m.bin"],
}


@pytest.mark.parametrize("path", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_name_is_refused_and_named(path: str) -> None:
    with pytest.raises(HostileInputError) as caught:
        refuse_hostile_names(["README.md", path])
    assert caught.value.message.startswith("the name ")
    assert caught.value.remedy
    assert caught.value.message.isprintable()


@pytest.mark.parametrize("path", FRIENDLY)
def test_a_friendly_name_passes(path: str) -> None:
    refuse_hostile_names(["README.md", path])


@pytest.mark.parametrize("paths", COLLIDING.values(), ids=COLLIDING)
def test_names_that_collide_are_refused_in_either_order(paths: list[str]) -> None:
    for order in (paths, paths[::-1]):
        with pytest.raises(HostileInputError):
            refuse_hostile_names(order)


def test_ascii_names_that_only_look_alike_are_no_collision() -> None:
    refuse_hostile_names(["l.txt", "1.txt", "O.txt", "0.txt", "rn", "m"])


def test_one_folder_may_hold_many_files() -> None:
    refuse_hostile_names([f"shards/model-{i}.bin" for i in range(1000)])
