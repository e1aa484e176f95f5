"""Write docs/reference from the program itself, or with --check say what no longer matches.

.venv/bin/python docs/generate.py [--check]
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import click

from weighbridge.cli.demo import write_trapped_model
from weighbridge.cli.main import COMMANDS, weighbridge
from weighbridge.formats.reading.contract import Format
from weighbridge.hubs.access.contract import Hub
from weighbridge.inspection.judgements import CHECKS
from weighbridge.plugins import find_units
from weighbridge.policy.documents import shipped_policies

FOLDER = Path(__file__).parent / "reference"
README = Path(__file__).parent.parent / "README.md"
NOTE = "<!-- written by docs/generate.py; do not edit -->\n\n"


def commands() -> str:
    """Every command with its arguments, options and help."""
    lines = ["# Commands\n", "```text", help_of(weighbridge, "weighbridge"), "```\n"]
    for name in COMMANDS:
        found = weighbridge.get_command(click.Context(weighbridge), name)
        if found is None:
            raise SystemExit(f"the command {name} cannot be loaded")
        lines += [f"## {name}\n", "```text", help_of(found, f"weighbridge {name}"), "```\n"]
        if isinstance(found, click.Group):
            for inner in found.commands.values():
                title = f"{name} {inner.name}"
                lines += [f"### {title}\n", "```text", help_of(inner, f"weighbridge {title}"), "```\n"]
    return "\n".join(lines)


def help_of(command: click.Command, path: str) -> str:
    """The help text of one command, as a terminal of 100 columns shows it."""
    context = click.Context(command, info_name=path, max_content_width=100, terminal_width=100)
    return command.get_help(context).replace(path.rsplit(" ", 1)[0] + " " + path, path)


def formats() -> str:
    """Format units and the checks each can answer."""
    lines = ["# Formats\n", "| format | what it is | version | may hold code | media type |", "|---|---|---|---|---|"]
    units = find_units("formats", Format).found.values()
    lines += [
        f"| {u.name} | {u.title} | {u.version} | {'yes' if u.may_hold_code else 'no'} | {u.media_type} |" for u in units
    ]
    lines += ["", "## Sources\n"]
    lines += [f"- {u.name}: {', '.join(u.references) or 'none'}" for u in units]
    return "\n".join(lines) + "\n"


def checks() -> str:
    """Every check id that can stand in a dossier."""
    lines = ["# Checks\n", "Check ids are stable. Those of a format come from its reader.\n", "## Of every file\n"]
    lines += [f"- `{name}`: {text}" for name, text in sorted(CHECKS.items())]
    for unit in find_units("formats", Format).found.values():
        lines += [f"\n## {unit.name}\n", *(f"- `{check}`" for check in sorted(unit.checks))]
    return "\n".join(lines) + "\n"


def hubs() -> str:
    """Hub units."""
    lines = ["# Hubs\n", "| hub | what it is |", "|---|---|"]
    lines += [f"| {hub.name} | {hub.title} |" for hub in find_units("hubs", Hub).found.values()]
    return "\n".join(lines) + "\n"


def rules() -> str:
    """Every rule of every shipped policy."""
    lines = ["# Rules of the shipped policies\n"]
    for document in shipped_policies():
        policy = document.policy
        lines.append(f"## {policy.name}@{policy.version}\n\nDecisions stand for {policy.valid_days} days.\n")
        for rule in policy.rules:
            lines += [
                f"### {rule.id}\n",
                f"{rule.title}. Effect: {rule.effect.value}; severity: {rule.severity.value}.\n",
                f"{rule.message}\n",
                f"The way to yes: {rule.remedy}\n",
                "```cel",
                rule.when.strip(),
                "```\n",
            ]
    return "\n".join(lines)


def example() -> str:
    """What `admit` prints for a booby-trapped model, without the lines and digests that differ from run to run."""
    kept = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            write_trapped_model(Path("tiny"))
            command = [sys.executable, "-m", "weighbridge", "admit", "./tiny", "--home", "home"]
            told = subprocess.run(command, capture_output=True, text=True, check=False).stdout
        finally:
            os.chdir(kept)
    lines = [line for line in told.splitlines() if line.split(" ")[0] not in {"decision", "subject", "until"}]
    same = (re.sub(r"(weighbridge waive [\w-]+) [0-9a-f]{16} ", r"\1 DIGEST ", line) for line in lines)
    return "".join(f"    {line}\n" for line in ["$ weighbridge admit ./tiny", *same])


def readme() -> str:
    """The README with its example brought up to date."""
    begin, end = "<!-- example: written by docs/generate.py -->\n", "<!-- end of example -->"
    before, rest = README.read_text(encoding="utf-8").split(begin)
    return before + begin + "\n" + example() + "\n" + end + rest.split(end)[1]


def main() -> int:
    """Write or check every page; 1 when a page differs."""
    pages = {"commands.md": commands, "formats.md": formats, "checks.md": checks, "hubs.md": hubs, "rules.md": rules}
    stale = []
    for name, write in pages.items():
        text = NOTE + write()
        file = FOLDER / name
        if "--check" in sys.argv[1:]:
            if not file.exists() or file.read_text(encoding="utf-8") != text:
                stale.append(name)
        else:
            file.write_text(text, encoding="utf-8")
    if README.read_text(encoding="utf-8") != (told := readme()):
        if "--check" in sys.argv[1:]:
            stale.append("README.md")
        else:
            README.write_text(told, encoding="utf-8")
    if stale:
        sys.stderr.write(f"stale: {', '.join(stale)}; run: python docs/generate.py\n")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
