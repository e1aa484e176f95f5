"""Names of files that are refused before anything is read: they would lie to a person, or mean two things to two machines."""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import accumulate

from weighbridge.errors import HostileInputError
from weighbridge.vocabulary import clip

PART_LIMIT_BYTES = 255
PATH_LIMIT_BYTES = 4096
DEPTH_LIMIT = 64

_WORD = re.compile(r"[^\W\d_]+")
_DRIVE = re.compile(r"[A-Za-z]:")
_RESERVED = re.compile(r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³])(?:\..*)?\Z", re.IGNORECASE)
"""Names that Windows gives to devices whatever follows the dot: learn.microsoft.com/windows/win32/fileio/naming-a-file."""

_UNSEEN = {
    "Cc": "a control character",
    "Cf": "an invisible or direction-changing character",
    "Cs": "a lone surrogate",
    "Co": "a private-use character",
    "Cn": "an unassigned character",
    "Zl": "a line separator",
    "Zp": "a paragraph separator",
    "Zs": "a space that is not the plain one",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lookalikes:
    slashes: frozenset[str]
    invisible: frozenset[str]
    alphabets: frozenset[str]
    skeleton: dict[int, str]


def refuse_hostile_names(paths: Iterable[str]) -> None:
    """Check every path of a model, alone and against the others. Paths are relative, with forward slashes.

    Two names collide where a file system that ignores case and width would hold one file for both (NFKC and case folding),
    or where a person would take one for the other (the skeleton of Unicode Technical Standard 39, reduced to ASCII).

    Raises:
        HostileInputError: a name is refused; the message says which and why.
    """
    spelled: dict[str, str] = {}
    files_seen: set[str] = set()
    folders: set[str] = set()
    for path in paths:
        _refuse_path(path)
        if path in files_seen:
            raise _hostile(path, "is there twice")
        files_seen.add(path)
        *parents, _ = accumulate(path.split("/"), lambda left, right: f"{left}/{right}")
        for name in (path, *(parent for parent in parents if parent not in folders)):
            _claim(spelled, name)
        folders.update(parents)
    if both := files_seen & folders:
        raise _hostile(min(both), "is a file and a folder at once")


def _claim(spelled: dict[str, str], name: str) -> None:
    """Note what a name would be mistaken for; refuse it where that is taken."""
    for key, how in (("c" + _folded(name), "differ only in case or width"), ("s" + _skeleton(name), "look alike")):
        other = spelled.setdefault(key, name)
        # Skeletons of plain ASCII names are no news: `1` beside `l` is common, and case was looked at before.
        if other != name and not (how == "look alike" and name.isascii() and other.isascii()):
            raise _hostile(name, f"and {clip(other)} {how}")


def _refuse_path(path: str) -> None:
    try:
        size = len(path.encode())
    except UnicodeEncodeError:
        raise _hostile(path, "is not valid UTF-8") from None
    if size > PATH_LIMIT_BYTES:
        raise _hostile(path, f"is {size} bytes long, the limit is {PATH_LIMIT_BYTES}")
    parts = path.split("/")
    if not path or path.startswith("/") or _DRIVE.match(path):
        raise _hostile(path, "is not a relative path")
    if len(parts) > DEPTH_LIMIT:
        raise _hostile(path, f"is {len(parts)} folders deep, the limit is {DEPTH_LIMIT}")
    for part in parts:
        if problem := _problem_of(part):
            raise _hostile(path, problem)


@cache
def _lookalikes() -> _Lookalikes:
    table = tomllib.loads(files("weighbridge.registry").joinpath("lookalikes.toml").read_text(encoding="utf-8"))
    ranges = (range(first, last + 1) for first, last in table["invisible_ranges"])
    skeleton: dict[int, str] = {}
    for row in table["skeleton"]:
        skeleton |= str.maketrans(dict(zip(row["written"], row["taken_for"], strict=True)))
    return _Lookalikes(
        slashes=frozenset(table["slashes"]),
        invisible=frozenset(table["invisible"]) | {chr(point) for points in ranges for point in points},
        alphabets=frozenset(table["alphabets"]),
        skeleton=skeleton,
    )


def _problem_of(part: str) -> str:
    """What is wrong with one part of a path; empty where nothing is."""
    if part in {"", ".", ".."}:
        return f"has {part!r} as a part"
    if "\\" in part:
        return "holds a backslash"
    if len(part.encode()) > PART_LIMIT_BYTES:
        return f"has a part over {PART_LIMIT_BYTES} bytes"
    if part[-1] in ". ":
        return "has a part that ends in a dot or a space, which Windows drops"
    if _RESERVED.match(part):
        return "has a part that names a device on Windows"
    return _unseen(part) or ("" if part.isascii() else _misleading(part))


def _unseen(part: str) -> str:
    for character in part:
        kind = unicodedata.category(character)
        if kind in _UNSEEN and character != " ":
            return f"holds {_UNSEEN[kind]} (U+{ord(character):04X})"
    return ""


def _misleading(part: str) -> str:
    table = _lookalikes()
    if unicodedata.normalize("NFC", part) != part:
        return "is not in Unicode normal form C"
    for character in part:
        if character in table.slashes:
            return f"holds a character drawn like a slash (U+{ord(character):04X})"
        if character in table.invisible:
            return f"holds an invisible character (U+{ord(character):04X})"
    for word in _WORD.findall(part):
        alphabets = {unicodedata.name(c, "").removeprefix("FULLWIDTH ").split(" ")[0] for c in word} & table.alphabets
        if len(alphabets) > 1:
            return f"mixes {' and '.join(sorted(name.capitalize() for name in alphabets))} letters in one word"
    return ""


def _folded(name: str) -> str:
    if name.isascii():
        return name.lower()
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def _skeleton(name: str) -> str:
    if name.isascii():
        return name.lower()
    return unicodedata.normalize("NFKC", name).translate(_lookalikes().skeleton).casefold()


def _hostile(path: str, problem: str) -> HostileInputError:
    return HostileInputError(
        f"the name {clip(path)} {problem}",
        subject=clip(path),
        remedy="rename it where it comes from, or ask whoever publishes it",
    )
