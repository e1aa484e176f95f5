"""The abstract pickle machine: stack, marks and memo as in CPython's `Lib/pickle.py`, with abstract values.

It follows exactly one stream and runs nothing. Where a real loader would go on, the machine goes on with the same stack
shape; where it cannot (an unknown opcode, an empty stack, a missing memo entry) the stream is broken there and the report
keeps what was found before.

A FRAME that ends where an opcode and the stream end changes nothing. Where an opcode crosses the end of its frame, or frames
overlap, loaders read different things: `_pickle` over an object without `peek` (io.BytesIO, as torch.load uses it) drops what
is left of the frame, so that bytes after it take the place of a name. Such a stream is refused whatever it seems to do.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from itertools import chain

from weighbridge.errors import MalformedArtifactError
from weighbridge.formats.pickling.judge import Judge
from weighbridge.formats.pickling.opcodes import NAMES, NUMBERS, READERS, STOP, Cursor
from weighbridge.formats.pickling.values import (
    TOP,
    Sequence,
    Value,
    children_of,
    is_hashable,
    unfolded_size,
)

OPCODE_LIMIT = 1_000_000
MEMO_LIMIT = 500_000
HELD_LIMIT = 1_000_000
"""Values on the stack, marks, or values kept inside containers."""
UNFOLDED_LIMIT = 100_000_000
"""Nodes that the result may have when everything shared is written out."""
EVENT_LIMIT = 100_000
"""Refusals after which a stream is not followed further."""
_KEY_WORK = 300_000
_NO_FRAME = 1 << 65
_RUN = 64


Action = Callable[["Machine", Value], None]


class LimitReachedError(Exception):
    """The stream is longer or larger than what is looked at; the rest is unread."""


class Machine:
    """One run over one stream. `result` is the value that STOP gave.

    `is_joblib`: the stream is read as joblib reads it, with arrays between the opcodes.
    """

    __slots__ = (
        "actions",
        "at",
        "cursor",
        "frame_end",
        "held",
        "is_joblib",
        "judge",
        "key_work",
        "marks",
        "memo",
        "opcode",
        "result",
        "shared",
        "stack",
        "start",
    )

    def __init__(self, cursor: Cursor, judge: Judge, *, is_joblib: bool = False) -> None:
        self.cursor = cursor
        self.is_joblib = is_joblib
        self.actions: tuple[Action, ...] = ()
        self.judge = judge
        self.start = cursor.offset
        self.stack: list[Value] = []
        self.marks: list[list[Value]] = []
        self.memo: dict[int, Value] = {}
        self.held = 0
        self.key_work = 0
        self.frame_end = _NO_FRAME
        self.shared = 0
        self.at = 0
        self.opcode = 0
        self.result: Value = TOP

    @property
    def locator(self) -> str:
        """The current opcode, for evidence."""
        return f"byte {self.at} {NAMES[self.opcode] or f'0x{self.opcode:02x}'}"

    def run(self, actions: tuple[Action, ...], opcode_limit: int = OPCODE_LIMIT) -> None:
        """Interpret up to STOP; `actions` says what each opcode byte does (`formats.pickling.actions.ACTIONS`).

        Raises:
            MalformedArtifactError: the stream is broken; what it did before is in the report.
            LimitReachedError: the stream is beyond a limit.
        """
        self.actions = actions
        try:
            self._steps(actions, opcode_limit)
        except MalformedArtifactError:
            self._check_frame(self.cursor.offset)
            raise
        except IndexError:
            is_end = self.cursor.at >= len(self.cursor.data)
            problem = "ends without STOP" if is_end else "takes more from its stack than it put there"
            raise MalformedArtifactError(f"the stream {problem}", locator=self.locator) from None
        except (struct.error, ValueError) as broken:
            self._check_frame(self.cursor.offset)
            problem = (
                "ends inside an opcode" if isinstance(broken, struct.error) else "holds an argument that is not valid"
            )
            raise MalformedArtifactError(f"the stream {problem}", locator=self.locator) from None

    def _steps(self, actions: tuple[Action, ...], opcode_limit: int) -> None:
        cursor, readers, numbers = self.cursor, READERS, NUMBERS
        counted = 0
        opcode_limit = min(opcode_limit, cursor.source.opcodes_left)
        try:
            while counted < opcode_limit:
                at = cursor.at
                if at >= cursor.limit:
                    cursor.refill()
                    self._check_room()
                    at = 0
                self.at = here = cursor.base + at
                if here >= self.frame_end:
                    self._check_frame(here)
                    self.frame_end = _NO_FRAME
                self.opcode = code = cursor.data[at]
                if (number := numbers[code]) is not None:
                    counted += self._push_numbers(number, min(opcode_limit - counted, _RUN))
                    continue
                counted += 1
                cursor.at = at + 1
                reader = readers[code]
                if reader is None:
                    if code == STOP:
                        self._check_stop()
                        self.result = self.stack.pop()
                        return
                    actions[code](self, None)
                else:
                    actions[code](self, reader(cursor))
        finally:
            self.judge.report.opcodes += counted
            cursor.source.spend_opcodes(counted)
        raise LimitReachedError(f"the stream has more than {opcode_limit} opcodes")

    def _push_numbers(self, number: struct.Struct, limit: int) -> int:
        """Push the numbers that follow one another in opcodes of the same kind, within the window and the frame; how many.

        Long lists of numbers are most of what pickles hold besides opaque bytes, and one number alone has no effect to judge.
        """
        cursor = self.cursor
        data, at, size = cursor.data, cursor.at, number.size
        if at + size >= cursor.limit or data[at + size] != data[at]:
            self.stack += number.unpack_from(data, at)
            cursor.at = at + size
            return 1
        end = min(cursor.limit, self.frame_end - cursor.base, at + limit * size)
        codes = data[at : max(end - size, at) + 1 : size]
        count = len(codes) - len(codes.lstrip(codes[:1]))
        if count < 2:
            self.stack += number.unpack_from(data, at)
        else:
            self.stack += chain.from_iterable(number.iter_unpack(data[at : at + count * size]))
        self.at += (count - 1) * size
        cursor.at += count * size
        return count

    def _check_frame(self, position: int) -> None:
        if position > self.frame_end:
            self._refuse_frame("an opcode crosses the end of its frame")

    def _check_stop(self) -> None:
        if self.frame_end not in (_NO_FRAME, self.at + 1) and self.frame_end <= self.cursor.end:
            self._refuse_frame("a frame goes on after the end of its stream")

    def _refuse_frame(self, problem: str) -> None:
        self.judge.report.fail("pickle.structure", f"{problem}: loaders disagree on what follows", self.locator)

    def begin_frame(self, size_bytes: int) -> None:
        """Note where the frame that follows ends."""
        if self.frame_end != _NO_FRAME:
            self._refuse_frame("a frame begins inside another")
        self.frame_end = self.cursor.offset + size_bytes
        if self.frame_end > self.cursor.end:
            self.judge.report.add("pickle.structure", "a frame is longer than the file", self.locator)

    def end_frame(self) -> None:
        """What follows is read past the frame, so that it has to end here."""
        if self.frame_end not in (_NO_FRAME, self.cursor.offset):
            self._refuse_frame("an array follows inside a frame")
        self.frame_end = _NO_FRAME

    def _check_room(self) -> None:
        waiting = len(self.stack) + len(self.marks) + self.held
        if self.marks:
            waiting += sum(map(len, self.marks))
        if waiting > HELD_LIMIT or len(self.memo) > MEMO_LIMIT:
            raise LimitReachedError("the stream holds more values at once than are looked at")
        if self.judge.report.unsafe_events > EVENT_LIMIT:
            raise LimitReachedError(f"the stream does more than {EVENT_LIMIT} things that nothing covers")
        if len(self.judge.report.globals) > self.judge.name_limit:
            raise LimitReachedError("more names than are looked at")

    def unfolds_too_far(self) -> bool:
        """Whether the result, written out, is beyond all use: a memo bomb.

        Every further reference to a container at most doubles the size, so that most streams need not be measured.
        """
        if self.judge.report.opcodes << min(self.shared, 64) < UNFOLDED_LIMIT:
            return False
        return unfolded_size([self.result, *self.memo.values()], UNFOLDED_LIMIT) >= UNFOLDED_LIMIT

    def pop_mark(self) -> list[Value]:
        """The values above the last mark."""
        items = self.stack
        self.stack = self.marks.pop()
        return items

    def weigh_key(self, key: Value, *, is_key: bool = True) -> None:
        """Count the work of hashing a key: nested tuples are hashed again at every use, shared parts included.

        `is_key`: it is one, and not only something that holds keys, so that it must be hashable.
        """
        if self.key_work > _KEY_WORK:
            return  # it was said already
        pending, work = [key], 0
        while pending and self.key_work + work <= _KEY_WORK:
            value = pending.pop()
            work += 1
            if is_key and not is_hashable(value):
                self.judge.report.add("pickle.structure", "uses a value as a key that cannot be one", self.locator)
                break
            if value.__class__ in (tuple, Sequence):
                pending.extend(children_of(value))
        self.key_work += work
        if self.key_work > _KEY_WORK:
            self.judge.report.add(
                "pickle.expansion", "hashes a key whose shared parts unfold without end", self.locator
            )
