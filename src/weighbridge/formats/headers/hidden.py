"""Characters that a person does not see and a machine reads: a place to hide instructions.

Sources: Boucher and Anderson 2021, "Trojan Source" (CVE-2021-42574, bidirectional controls); Unicode UTS #55; the Unicode
tag block U+E0000..U+E007F (used to smuggle text past readers). A byte order mark at the start, joiners between letters of
scripts that need them or between emoji, and tags in a flag emoji are what they were made for and are not reported.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_HIDDEN = re.compile(
    "[\u200b\u202a-\u202e\u2060-\u2064\u2066-\u206f\u180e\u061c\ufeff\U000e0000-\U000e007f]"
    # What follows letters of scripts that need joiners and marks is passed over here: most of some texts is.
    "|(?<![\u0300-\u180d\u180f-\u200a\u2070-\ud7ff\uf900-\ufefe\uff00-\U000dffff])[\u200c\u200d]|(?<![\u0590-\u061b\u061d-\u08ff])[\u200e\u200f]"
)
_LOOK_LIMIT = 100_000
"""Characters looked at one by one; a text with more of them hides something for all that anybody knows."""
_JOINERS = "\u200c\u200d"
_MARKS = "\u200e\u200f"
_BLACK_FLAG = "\U0001f3f4"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hidden:
    """One hidden character: its index in the text and its code point as `U+202E`."""

    index: int
    code_point: str


def find_hidden(text: str, *, start: int = 0, is_start: bool = True, limit: int = 8) -> tuple[Hidden, ...]:
    """The first hidden characters of `text` from `start` on, at most `limit`.

    What stands before `start` is only looked at to judge what follows. `is_start` says that the text starts a file, where
    a byte order mark may stand.
    """
    if text.isascii():
        return ()
    found: list[Hidden] = []
    for number, match in enumerate(_HIDDEN.finditer(text, start)):
        if number >= _LOOK_LIMIT or not _belongs(text, match.start(), is_start=is_start):
            found.append(Hidden(index=match.start(), code_point=f"U+{ord(match.group()):04X}"))
            if len(found) >= limit:
                break
    return tuple(found)


def _belongs(text: str, index: int, *, is_start: bool) -> bool:
    """Whether the character does there what Unicode made it for."""
    character = text[index]
    if character == "\ufeff":
        return is_start and index == 0
    before = text[index - 1] if index else " "
    if character in _JOINERS:
        return ord(before) > 0x2FF and before.isprintable()
    if character in _MARKS:
        return "\u0590" <= before <= "\u08ff"
    if character >= "\U000e0000":
        start = max(0, index - 8)
        return _BLACK_FLAG in text[start:index]
    return False


_ESCAPED = re.compile(
    rb"(?<!\\)(?:\\\\)*+\\u(200[bBeEfF]|202[a-eA-E]|206[0-46-9a-fA-F]|180[eE]|061[cC]|[fF][eE][fF][fF]|[dD][bB]40\\u[dD][cC][0-7][0-9a-fA-F])"
)


def find_escaped(data: bytes, *, limit: int = 8) -> tuple[Hidden, ...]:
    """Hidden characters that JSON text spells as escapes; `index` is a byte offset. Joiners are left out: names need them."""
    if b"\\u" not in data:
        return ()
    found: list[Hidden] = []
    for match in _ESCAPED.finditer(data):
        found.append(Hidden(index=match.start(1) - 2, code_point="U+" + match.group(1).decode("ascii").upper()[:4]))
        if len(found) >= limit:
            break
    return tuple(found)
