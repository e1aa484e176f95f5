"""Printing: the only place that writes to the terminal. Data goes to standard output, progress and errors to standard error.

Every text is escaped here, because names, metadata and templates of a model are hostile: a control, escape or bidi character
is shown as its code, never sent.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from weighbridge.errors import OutputLostError, WeighbridgeError

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

_COLOURS = {"red": "31", "green": "32", "yellow": "33", "blue": "34", "grey": "90", "bold": "1"}


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of text with a style: one of red, green, yellow, blue, grey, bold, or none."""

    text: str
    style: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One printed line: a label in the left column and parts behind it."""

    label: str
    parts: tuple[Part, ...]


def row(label: str, *parts: str | Part) -> Row:
    """A Row from plain strings and parts."""
    return Row(label, tuple(part if isinstance(part, Part) else Part(part) for part in parts))


def escape(text: str) -> str:
    """Text that a terminal cannot be tricked with: everything unprintable is spelled out."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def rows(lines: Iterable[Row], *, on_stderr: bool = False) -> None:
    """Print rows in two columns."""
    out = sys.stderr if on_stderr else sys.stdout
    styled = _wants_colour(out)
    kept = list(lines)
    width = max((len(line.label) for line in kept), default=0)
    for line in kept:
        text = "".join(_paint(part, styled=styled) for part in line.parts)
        label = _paint(Part(line.label.ljust(width), "grey"), styled=styled) if line.label else " " * width
        _write(f"{label}  {text}".rstrip() + "\n", out)


def table(header: Sequence[str], body: Iterable[Sequence[str | Part]]) -> None:
    """Print a table with aligned columns."""
    cells = [[Part(name, "grey") for name in header]]
    cells += [[cell if isinstance(cell, Part) else Part(cell) for cell in line] for line in body]
    widths = [max(len(escape(line[i].text)) for line in cells) for i in range(len(header))]
    styled = _wants_colour(sys.stdout)
    for line in cells:
        pieces = [
            _paint(part, styled=styled) + " " * (width - len(escape(part.text)))
            for part, width in zip(line, widths, strict=True)
        ]
        _write("  ".join(pieces).rstrip() + "\n", sys.stdout)


def document(name: str, body: dict[str, Any]) -> None:
    """Print one JSON document with its schema name and version."""
    _write(json.dumps({"schema": f"weighbridge/{name}", "version": 1, **body}, indent=2) + "\n", sys.stdout)


def data(text: str) -> None:
    """Print a document that is already written, in ASCII: a report in a format of others."""
    _write(text, sys.stdout)


def plain_text(text: str) -> None:
    """Print lines of data, each escaped."""
    for line in text.splitlines():
        _write(escape(line) + "\n", sys.stdout)


def say(text: str) -> None:
    """One line about progress, on standard error."""
    _write(escape(text) + "\n", sys.stderr)


def error(problem: WeighbridgeError, *, as_json: bool) -> None:
    """An error in three parts: what, where, what to do. With JSON also as a document on standard output."""
    if as_json:
        document("error", {"error": error_body(problem)})
    lines = [row("error", Part(problem.message, "red"))]
    if problem.subject:
        lines.append(row("where", problem.subject))
    if problem.remedy:
        lines.append(row("try", problem.remedy))
    rows(lines, on_stderr=True)


def error_body(problem: WeighbridgeError) -> dict[str, str]:
    """An error as plain values for JSON."""
    told = {"kind": type(problem).__name__, "message": problem.message}
    return {**told, "subject": problem.subject, "remedy": problem.remedy}


def finish() -> None:
    """Send what is still held back for standard output.

    Raises:
        OutputLostError: it cannot be written.
    """
    if sys.stdout is not None:
        _write("", sys.stdout, flush=True)


def silence() -> None:
    """Let nothing more go to standard output, the interpreter's last words neither."""
    sys.stdout = _nowhere()


def require_stderr() -> None:
    """Have a standard error, also where it was closed: then nothing else, such as a file of the store, gets its descriptor."""
    if sys.stderr is None:
        sys.stderr = _nowhere()


def _nowhere() -> IO[str]:
    return Path(os.devnull).open("w", encoding="utf-8")


def _write(text: str, stream: IO[str] | None, *, flush: bool = False) -> None:
    """Write data or words. Words on standard error that nobody can read are no reason to stop.

    Neither is a reader of standard output that has gone: it had seen enough, and the answer is what it is.
    """
    if stream is None:
        raise _lost("it is closed")
    try:
        stream.write(_encodable(text, stream))
        if flush or stream is sys.stderr:
            stream.flush()
    except BrokenPipeError:
        if stream is sys.stdout:
            silence()
    except (OSError, ValueError) as problem:
        if stream is not sys.stderr:
            raise _lost(problem.strerror if isinstance(problem, OSError) else str(problem)) from problem


def _encodable(text: str, stream: IO[str]) -> str:
    """Text that the stream can carry: what its encoding has not is spelled out."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def _lost(reason: str | None) -> OutputLostError:
    return OutputLostError(
        f"standard output cannot be written: {reason}",
        remedy="what was decided or recorded stands; see: weighbridge list",
    )


def _wants_colour(stream: IO[str] | None) -> bool:
    if stream is None or stream.closed:
        return False
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _paint(part: Part, *, styled: bool) -> str:
    text = escape(part.text)
    return f"\x1b[{_COLOURS[part.style]}m{text}\x1b[0m" if styled and part.style else text


@dataclass(slots=True)
class Progress:
    """Progress of long work on standard error: one live line on a terminal, a plain line a stage elsewhere.

    Quiet for the first half second, so that quick commands print nothing.
    """

    quiet: bool = False
    _stage: str = ""
    _began: float = field(default_factory=time.monotonic)
    _told: float = 0.0
    _live: RichProgress | None = None

    def __call__(self, stage: str, subject: str, done: int, total: int, /) -> None:
        """Report that `done` of `total` units (bytes or files) of `subject` are through `stage`."""
        moment = time.monotonic()
        if self.quiet or moment - self._began < 0.5:
            return
        if sys.stderr.isatty():
            self._show(stage, subject, done, total)
        elif stage != self._stage or moment - self._told > 10:
            self._stage, self._told = stage, moment
            say(f"{stage} {subject} {100 * done // total} %" if total else f"{stage} {subject}")

    def end(self) -> None:
        """Remove the live line."""
        if self._live:
            self._live.stop()
            self._live = None

    def _show(self, stage: str, subject: str, done: int, total: int) -> None:
        if self._live is None:
            self._live = _live_line()
            self._live.start()
        task = self._live.task_ids[0]
        if stage != self._stage:
            self._live.reset(task)
            self._stage = stage
        self._live.update(task, stage=f"{stage:<8}", subject=escape(subject)[:60], completed=done, total=total or None)


def _live_line() -> RichProgress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    stage, subject = (TextColumn(f"{{task.fields[{name}]}}", markup=False) for name in ("stage", "subject"))
    console = Console(stderr=True)
    line = Progress(stage, BarColumn(bar_width=30), TimeRemainingColumn(), subject, console=console, transient=True)
    line.add_task("", stage="", subject="")
    return line
