"""How a command runs: options that every command has, errors in words, exit codes."""

from __future__ import annotations

import getpass
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from weighbridge.cli import render
from weighbridge.errors import HostileInputError, OutputLostError, PolicyError, UsageError, WeighbridgeError
from weighbridge.vocabulary import clip

if TYPE_CHECKING:
    from weighbridge.admission.installation import Installation


class Exit(IntEnum):
    """Exit codes, as DESIGN says; for `admit` BROKE means: before any verdict."""

    OK = 0
    FOUND = 1
    USAGE = 2
    UNSURE = 3
    BROKE = 4


INTERRUPTED = 130
"""What every command but `admit` exits with when it is interrupted, as shells expect."""


@dataclass(slots=True, kw_only=True)
class Session:
    """What a command was called with: JSON or words, and which installation."""

    as_json: bool
    home: Path | None

    @contextmanager
    def installation(self, *, writable: bool = False) -> Iterator[Installation]:
        """The installation of this session. What went wrong without stopping anything is told at the end."""
        from weighbridge.admission.installation import Installation, Settings

        environment = dict(os.environ)
        settings = Settings.read(environment, home=self.home)
        with Installation(settings, environment=environment, clock=now, writable=writable) as house:
            try:
                yield house
            finally:
                for warning in house.warnings:
                    render.say(f"warning: {warning}")


def user_name() -> str:
    """Who runs this, as the system knows them; empty where it does not."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""


def now() -> datetime:
    """The wall clock, UTC."""
    return datetime.now(UTC)


def cli_command(**settings: Any) -> Callable[[Callable[..., Exit]], click.Command]:
    """A click command that gets a Session, has `--json` and `--home`, and returns its exit code."""

    def wrap(function: Callable[..., Exit]) -> click.Command:
        @click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
        @click.option("--home", type=click.Path(path_type=Path), help="Data folder (WEIGHBRIDGE_HOME).")
        @click.pass_context
        @wraps(function)
        def called(ctx: click.Context, /, *, as_json: bool, home: Path | None, **arguments: Any) -> None:
            ctx.exit(function(Session(as_json=as_json, home=home), **arguments))

        made: click.Command = click.command(**settings)(called)
        return made

    return wrap


def run(group: click.Group, arguments: Sequence[str]) -> int:
    """Run the command line and give its exit code; every error leaves as words on standard error."""
    render.require_stderr()
    try:
        code = _run(group, arguments)
        render.finish()
    except OutputLostError as lost:
        render.silence()
        render.error(lost, as_json=False)
        return Exit.BROKE if _is_admit(arguments) else Exit.UNSURE
    return code


def _is_admit(arguments: Sequence[str]) -> bool:
    return next((argument for argument in arguments if not argument.startswith("-")), "") == "admit"


def _run(group: click.Group, arguments: Sequence[str]) -> int:
    as_json = "--json" in arguments
    is_admit = _is_admit(arguments)
    broke = Exit.BROKE if is_admit else Exit.UNSURE
    try:
        code = group.main(args=list(arguments), prog_name="weighbridge", standalone_mode=False)
    except click.exceptions.Abort:
        stopped = WeighbridgeError(
            "interrupted", remedy="nothing half done is kept; run the same command again to go on"
        )
        render.error(stopped, as_json=as_json)
        return Exit.BROKE if is_admit else INTERRUPTED
    except OutputLostError:
        raise
    except SystemExit:  # click's own help could not be written: its reader has gone
        render.silence()
        return Exit.OK
    except getattr(click.exceptions, "NoArgsIsHelpError", ()) as problem:
        render.plain_text(problem.ctx.get_help())
        return Exit.USAGE
    except click.ClickException as problem:
        remedy = (
            f"see: {problem.ctx.command_path} --help" if isinstance(problem, click.UsageError) and problem.ctx else ""
        )
        render.error(UsageError(problem.format_message(), remedy=remedy), as_json=as_json)
        return Exit.USAGE
    except WeighbridgeError as problem:
        render.error(problem, as_json=as_json)
        match problem:
            case UsageError() | PolicyError():
                return Exit.USAGE
            case HostileInputError():
                return Exit.FOUND
            case _:
                return broke
    except Exception as problem:  # noqa: BLE001  # the outermost boundary: a defect of ours must not look like a refusal
        told = "".join(traceback.format_exception(problem)) if os.environ.get("WEIGHBRIDGE_TRACEBACK") else ""
        message = f"{type(problem).__name__}: {problem}"
        remedy = "this is a defect of weighbridge, please report it; WEIGHBRIDGE_TRACEBACK=1 shows more"
        render.error(WeighbridgeError(clip(message, 500), remedy=remedy), as_json=as_json)
        sys.stderr.write(told)
        return broke
    return int(code or 0)
