"""JSON read as strictly as RFC 8259 words it, in one pass over bytes, with bounded depth and memory.

Python's own reader lets the last of two equal keys win and says nothing; serde_json (which safetensors and tokenizers use)
and others differ. A file that two readers understand differently is an attack on whoever checks with the other one, so
repeated keys are reported. No value is built: a caller gets the byte range of each top-level member and decodes what it
wants. Possessive patterns keep every match linear.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from json.decoder import scanstring  # type: ignore[attr-defined]  # what json itself reads strings with; typeshed leaves it out
from typing import Any

from weighbridge.errors import MalformedArtifactError
from weighbridge.formats.headers.defects import OverLimitError

DEPTH_LIMIT = 128
"""serde_json's own recursion limit; Python's json gives up near 1,000."""

KEY_LIMIT = 400_000
"""Keys held at once, over all open objects; the largest vocabularies of 2026 have about 262,000 in one object."""

WORK_LIMIT = 400_000
"""Steps of one survey, below a second: a plain member is one, a small object three, another nested value four; runs of plain elements are free."""

MARK_LIMIT = 3_000_000
"""Commas, and backslashes, of one document: what a run of plain elements or a long string costs. The tokenizers of 2026 have half."""

WATCHED_LIMIT = 256
"""Watched keys of one document that are kept; with more of them it is not judged."""

_IS_EXACT = sys.version_info >= (3, 11, 5)
"""Whether this Python matches possessive groups right (gh-106052); possessive classes it always does."""
_ONCE = "+" if _IS_EXACT else ""
_RUN = "*+" if _IS_EXACT else "{0,4096}"

_SPACE = rb"[ \t\r\n]*+"
_ESCAPED = (
    rb"\\(?:[\"\\/bfnrt]|u(?:[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(?![dD][89a-fA-F])[0-9a-fA-F]{4}))"
)
_STRING = rb"\"(?:[^\"\\\x00-\x1f]++|" + _ESCAPED + rb")*" + _ONCE.encode() + rb"\""
_NUMBER = rb"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicate:
    """A key that an object holds twice; `offset` is where the second one starts."""

    key: str
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """A member, at any depth, whose key the caller asked to hear of. `offset` is where its value starts."""

    key: str
    depth: int
    offset: int


@dataclass(slots=True, kw_only=True)
class Survey:
    """What one pass found. `end` is the offset behind the value; `duplicates` holds the first 16 of `duplicate_count`."""

    end: int = 0
    duplicate_count: int = 0
    duplicates: list[Duplicate] = field(default_factory=list)
    watched: list[Watched] = field(default_factory=list)


class _Grammar:
    """The patterns of one dialect.

    `value` reads a plain value (a scalar, an array of scalars, an empty object) or the bracket that opens another one.
    `member` reads a member and its comma; its value is plain (group 2) or an object of few plain members (group 3).
    """

    def __init__(self, *, nonfinite: bool) -> None:
        s = _SPACE.decode()
        words = "true|false|null" + ("|NaN|-?Infinity" if nonfinite else "")
        string = _STRING.decode()
        scalar = f"(?:{string}|{words}|{_NUMBER.decode()})"
        array = rf"\[{s}\]|\[(?:{s}{scalar}{s},){_RUN}{s}{scalar}{s}\]"
        plain = rf"(?:{scalar}|{array}|\{{{s}\}})"
        pair = f"{s}{string}{s}:{s}{plain}{s}"
        few = rf"\{{(?:{pair},){{0,32}}{_ONCE}{pair}\}}"
        self.value = _compile(rf"{s}(?:({plain})|([\[{{]))")
        self.elements = _compile(f"(?:{s}{plain}{s},){{0,4096}}{_ONCE}")
        self.member = _compile(f"{s}({string}){s}:{s}(?:({plain})|({few})){s},")
        self.inner_key = _compile(rf"{s}({string}){s}:{s}{plain}{s}[,}}]")
        self.key = _compile(f"{s}({string}){s}:{s}")
        self.after = _compile(rf"{s}([,\]}}])")
        self.space = _compile(s)


def _compile(pattern: str) -> re.Pattern[bytes]:
    return re.compile(pattern.encode("latin-1"))


def _behind(pattern: re.Pattern[bytes], data: bytes, position: int) -> int:
    """Where a pattern that may match nothing ends."""
    match = pattern.match(data, position)
    return match.end() if match else position


_COLON = _compile(r"[ \t\r\n:]*+")


@cache
def _grammar(*, nonfinite: bool) -> _Grammar:
    """Compiled on first use: that takes longer than reading a small model that holds no JSON."""
    return _Grammar(nonfinite=nonfinite)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainMembers:
    """A spelling of members that a caller reads by itself.

    `pattern` matches one member and the comma behind it: group 1 is the key with its quotes and without escapes, the rest is
    JSON without a key twice. `on_match` takes each.
    """

    pattern: re.Pattern[bytes]
    on_match: Callable[[re.Match[bytes]], None]


@dataclass(slots=True)
class _Frame:
    keys: set[bytes] | None
    member: tuple[bytes, int] | None = None


class _Surveyor:
    """The pass itself. Invariant: the frames are the open arrays and objects, outermost first."""

    def __init__(
        self,
        data: bytes,
        grammar: _Grammar,
        watch: frozenset[bytes],
        on_member: Callable[[bytes, int, int], None] | None,
        key_limit: int,
        plain: PlainMembers | None,
    ) -> None:
        self.plain = plain
        self.data = data
        self.grammar = grammar
        self.watch = watch
        self.on_member = on_member
        self.frames: list[_Frame] = []
        self.held = 0
        self.key_limit = key_limit
        self.work_left = WORK_LIMIT
        self.result = Survey()

    def run(self, start: int) -> Survey:
        position = _behind(self.grammar.space, self.data, start)
        position, is_closed = self.value(position)
        while self.frames or not is_closed:
            position, is_closed = self.after(position) if is_closed else self.inside(position)
        self.result.end = _behind(self.grammar.space, self.data, position)
        return self.result

    def value(self, position: int) -> tuple[int, bool]:
        """Read a value, or open it. The flag says whether it is complete."""
        match = self.grammar.value.match(self.data, position)
        if match is None:
            raise _bad("a value is expected", position)
        if match.end(1) >= 0:
            return match.end(), True
        if len(self.frames) >= DEPTH_LIMIT:
            raise _bad(f"nesting is deeper than {DEPTH_LIMIT}", position)
        self.frames.append(_Frame(keys=set() if match.group(2) == b"{" else None))
        return match.end(), False

    def inside(self, position: int) -> tuple[int, bool]:
        """Read on in the innermost array or object up to its next nested value, or its last one."""
        self.work_left -= 4
        if self.work_left < 0:
            raise OverLimitError("more values than this release walks", locator=f"byte {position}")
        frame = self.frames[-1]
        if frame.keys is None:
            while (end := _behind(self.grammar.elements, self.data, position)) > position:
                position = end
            return self.value(position)
        position = self.members(position, frame.keys)
        match = self.grammar.key.match(self.data, position)
        if match is None:
            raise _bad("a key is expected", position)
        self.add(frame.keys, match.group(1), match.start(1), match.end())
        if len(self.frames) == 1 and self.on_member:
            frame.member = (match.group(1), match.end())
        return self.value(match.end())

    def members(self, position: int, keys: set[bytes]) -> int:
        """The run of members without nested values, each ended by a comma."""
        on_member = self.on_member if len(self.frames) == 1 else None
        match_member = self.grammar.member.match
        position = self.plain_members(position, keys)
        while match := match_member(self.data, position):
            token = match.group(1)
            which = match.lastindex or 2
            if which == 3 and not self.is_unremarkable(match.group(3)):
                break
            if token in keys or token in self.watch or b"\\" in token or self.held >= self.key_limit:
                self.add(keys, token, match.start(1), match.end(1))
            else:
                keys.add(token)
                self.held += 1
            if on_member:
                on_member(token, *match.span(which))
            self.work_left -= 2 * which - 3
            position = self.plain_members(match.end(), keys)
            if self.work_left < 0:
                break
        return position

    def plain_members(self, position: int, keys: set[bytes]) -> int:
        """The run of top-level members in the caller's own spelling."""
        if self.plain is None or len(self.frames) > 1:
            return position
        match_plain, on_match = self.plain.pattern.match, self.plain.on_match
        while self.work_left >= 0 and (match := match_plain(self.data, position)):
            self.add(keys, match.group(1), match.start(1), match.end(1))
            on_match(match)
            position = match.end()
            self.work_left -= 1
        return position

    def is_unremarkable(self, item: bytes) -> bool:
        """Whether an object of plain members needs no closer look: no key twice, none watched, none with an escape."""
        if b"\\" in item:
            return False
        tokens = self.grammar.inner_key.findall(item, 1)
        return len(set(tokens)) == len(tokens) and self.watch.isdisjoint(tokens)

    def after(self, position: int) -> tuple[int, bool]:
        """A comma, or the end of the innermost array or object."""
        match = self.grammar.after.match(self.data, position)
        frame = self.frames[-1]
        if match is None:
            raise _bad("a comma or a closing bracket is expected", position)
        if frame.member is not None and self.on_member:
            self.on_member(frame.member[0], frame.member[1], position)
            frame.member = None
        mark = match.group(1)
        if mark == b",":
            return match.end(), False
        if (mark == b"}") != (frame.keys is not None):
            raise _bad("the closing bracket does not fit the opening one", match.start(1))
        self.held -= len(frame.keys or ())
        self.frames.pop()
        return match.end(), True

    def add(self, keys: set[bytes], token: bytes, offset: int, value_offset: int) -> None:
        """Keep a key; report it where it is there already or watched. Escapes do not hide a key."""
        if self.held >= self.key_limit:
            raise OverLimitError(f"more than {self.key_limit:,} keys are open at once", locator=f"byte {offset}")
        # No token without escapes holds what only an escape can spell, so this is one spelling for each key.
        plain = b'"%s"' % text_of(token).encode("utf-8", "surrogatepass") if b"\\" in token else token
        if plain in self.watch:
            if len(self.result.watched) >= WATCHED_LIMIT:
                raise OverLimitError(f"{text_of(token)} stands more often than is looked at", locator=f"byte {offset}")
            start = _behind(_COLON, self.data, value_offset)
            self.result.watched.append(Watched(key=text_of(token), depth=len(self.frames), offset=start))
        if plain in keys:
            self.result.duplicate_count += 1
            if len(self.result.duplicates) < 16:
                self.result.duplicates.append(Duplicate(key=text_of(token), offset=offset))
            return
        keys.add(plain)
        self.held += 1


def survey(
    data: bytes,
    *,
    start: int = 0,
    nonfinite: bool = False,
    key_limit: int = KEY_LIMIT,
    watch: frozenset[str] = frozenset(),
    on_member: Callable[[bytes, int, int], None] | None = None,
    plain: PlainMembers | None = None,
) -> Survey:
    """Check one JSON value from `start` and say where it ends.

    `data` must be valid UTF-8 (the caller checked). `nonfinite` allows NaN and Infinity as Python writes them.
    `on_member(token, start, end)` is called for every member of a top-level object, in order, with its key as written
    (quotes and escapes too) and the byte range of its value, but for those that `plain` reads.

    Raises:
        MalformedArtifactError: not JSON, or deeper than DEPTH_LIMIT.
        OverLimitError: more than `key_limit` keys open at once, or over WORK_LIMIT or MARK_LIMIT.
    """
    if max(data.count(b","), data.count(b"\\")) > MARK_LIMIT:
        raise OverLimitError("more values than this release walks")
    tokens = frozenset(json.dumps(key, ensure_ascii=False).encode() for key in watch)
    return _Surveyor(data, _grammar(nonfinite=nonfinite), tokens, on_member, key_limit, plain).run(start)


def text_of(token: bytes) -> str:
    """The text of a string token that a survey has passed."""
    return str(scanstring(token.decode(), 1)[0]) if b"\\" in token else token[1:-1].decode()


def load(data: bytes) -> Any:
    """Build a value that a survey has passed.

    Raises:
        MalformedArtifactError: it holds a number too long to build.
    """
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as problem:
        raise MalformedArtifactError(f"a JSON value cannot be built: {str(problem)[:80]}") from problem


def _bad(problem: str, offset: int) -> MalformedArtifactError:
    return MalformedArtifactError(f"not JSON: {problem}", locator=f"byte {offset}")
