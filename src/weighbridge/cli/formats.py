"""`weighbridge formats`: what this installation can read."""

from __future__ import annotations

from weighbridge.cli import render
from weighbridge.cli.running import Exit, Session, cli_command


@cli_command(short_help="File formats this installation reads.")
def command(session: Session) -> Exit:
    """List the format units found, built in and third party. A unit that failed to load is listed and exits 3."""
    from weighbridge.formats.reading.contract import Format
    from weighbridge.plugins import find_units

    units = find_units("formats", Format)
    if session.as_json:
        found = [
            {
                "name": unit.name,
                "title": unit.title,
                "media_type": unit.media_type,
                "version": unit.version,
                "may_hold_code": unit.may_hold_code,
                "checks": list(unit.checks),
                "references": list(unit.references),
            }
            for unit in units.found.values()
        ]
        broken = [{"name": unit.name, "reason": unit.reason} for unit in units.broken]
        render.document("formats", {"formats": found, "broken": broken})
    else:
        body = [
            (unit.name, str(unit.version), "may hold code" if unit.may_hold_code else "no code", unit.title)
            for unit in units.found.values()
        ]
        render.table(("format", "version", "code", "what it is"), body)
        render.rows(render.row("broken", render.Part(f"{unit.name}: {unit.reason}", "red")) for unit in units.broken)
    return Exit.UNSURE if units.broken else Exit.OK
