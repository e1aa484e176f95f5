"""The command line: `weighbridge COMMAND …`. Commands are loaded when they are asked for, so that `--help` is quick."""

from __future__ import annotations

import sys
from importlib import import_module

import click

COMMANDS = {
    "admit": "Weigh a model, decide by policy, record and sign.",
    "inspect": "Examine a model's files; the dossier only, nothing recorded.",
    "list": "Decisions in this installation.",
    "show": "What is known of a model or decision; a finding at its bytes.",
    "why": "Rule by rule, the path to a verdict.",
    "path": "A verified, read-only path to load an admitted model from.",
    "approve": "Sign a person's yes to a referred decision.",
    "waive": "Sign an expiring exception to one rule for one model.",
    "policy": "Check, test and explain policies.",
    "verify": "Check signatures, log, evidence and bytes, offline.",
    "replay": "Decide again from kept evidence and compare.",
    "rebuild": "Restore the index and log database from evidence.",
    "gc": "Free what no decision needs.",
    "keys": "List and rotate signing keys.",
    "doctor": "Is this installation whole, and what is missing.",
    "demo": "The story on a real small model and on a booby-trapped one.",
    "formats": "File formats this installation reads.",
    "rules": "Rules of the policy in force.",
}


class Commands(click.Group):
    """A group whose commands are modules of `weighbridge.cli`, one file a command."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click gives it
        """Names in the order of the story."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  # click gives it
        """Load the command's module, or None when there is no such command."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"weighbridge.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  # click gives it
        """Write the table without loading a command."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


_HELP = """Nothing runs until it has been weighed.

Weighbridge opens a model's files, judges them by a written policy, and records a signed decision bound to their bytes.

\b
Exit codes of admit:    0 admitted   1 refused   2 usage   3 referred or could not tell   4 broke before a verdict
Exit codes of inspect:  0 all read, nothing found   1 found   3 unread or unknown
Exit codes of verify, replay, policy test:  0 as it should be   1 mismatch   3 could not be checked
Interrupted:            admit 4, every other command 130
"""


@click.group(
    cls=Commands, help=_HELP, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@click.version_option(package_name="weighbridge", prog_name="weighbridge")
def weighbridge() -> None:
    """The command that all others hang on; what it says of itself is `_HELP`."""


def main() -> None:
    """Entry point of the `weighbridge` script."""
    from weighbridge.cli.running import run

    sys.exit(run(weighbridge, sys.argv[1:]))
