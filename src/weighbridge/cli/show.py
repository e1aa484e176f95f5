"""`weighbridge show REF|DIGEST`: what is known; a finding at its bytes."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import click

from weighbridge.cli import render, wording
from weighbridge.cli.running import Exit, Session, cli_command
from weighbridge.cli.use import which_options
from weighbridge.errors import UsageError
from weighbridge.vocabulary import Dossier, Finding, Outcome

if TYPE_CHECKING:
    from weighbridge.admission.recall import Which
    from weighbridge.registry.blobs import BlobStore

_BYTE = re.compile(r"\bbytes? (\d+)")


@cli_command(short_help="What is known of a model or decision; a finding at its bytes.")
@click.argument("reference", metavar="REF|DIGEST")
@click.option("--finding", "number", type=click.IntRange(min=1), help="Show the Nth finding with the bytes around it.")
@click.option("--all", "show_all", is_flag=True, help="Also print what passed.")
@which_options
def command(session: Session, *, which: Which, reference: str, number: int | None, show_all: bool) -> Exit:
    """Show the dossier that a decision rests on: files, headers, findings, what was not read, and the tools that looked."""
    from weighbridge.admission.recall import read_dossier, read_manifest, recall
    from weighbridge.registry import wire

    with session.installation() as house:
        known = recall(house, reference, which)
        dossier = read_dossier(house, known)
        if number is not None:
            answer = _pick(dossier, number, show_all=show_all)
            window = _bytes_around(house.registry.blobs, dossier, answer)
            return _show_finding(answer, window, session)
        manifest = read_manifest(house, known.decision)
    if session.as_json:
        body = {"reference": known.reference, "digest": known.digest, "decision": wire.plain(known.decision)}
        aliases = {"model_signing_sha256": wire.model_signing_digest(manifest)}
        render.document("model", {**body, "aliases": aliases, "dossier": wire.plain(dossier)})
        return Exit.OK
    lines = [render.row("verdict", wording.verdict(known.decision), f"  {known.reference}")]
    lines.append(render.row("examined", wording.coverage(dossier)))
    lines.append(render.row("subject", f"sha256:{dossier.subject}"))
    lines.append(render.row("alias", f"model-signing sha256:{wire.model_signing_digest(manifest)}"))
    lines += [
        render.row("file", f"{a.path}  {wording.amount(a.size_bytes)}  {a.format}  sha256:{a.sha256[:16]}…")
        for a in dossier.artifacts
    ]
    for facts in dossier.headers:
        lines.append(render.row("model", f"{facts.path}  {wording.header(facts)}"))
        lines += [render.row("", render.Part(f"{fact.name}  sha256:{fact.value}", "grey")) for fact in facts.digests]
    lines += wording.sorted_findings(dossier.findings, show_all=show_all)
    lines += [render.row("unread", f"{u.path}  {u.size_bytes:,} bytes: {u.reason}") for u in dossier.unread]
    lines.append(render.row("tools", ", ".join(f"{tool.name} {tool.version}" for tool in dossier.tools) or "not kept"))
    render.rows(lines)
    return Exit.OK


def _pick(dossier: Dossier, number: int, *, show_all: bool) -> Finding:
    quiet = (Outcome.PASS, Outcome.NOT_APPLICABLE)
    told = [f for f in wording.in_order(dossier.findings) if show_all or f.outcome not in quiet]
    if number > len(told):
        raise UsageError(f"there are {len(told)} findings to show", remedy="--all counts what passed, too")
    return told[number - 1]


def _bytes_around(blobs: BlobStore, dossier: Dossier, answer: Finding) -> tuple[int, bytes] | None:
    """The offset and the 64 bytes around the first place of a finding, where it names a byte of a file of the model."""
    for place in answer.evidence:
        named = _BYTE.search(place.locator)
        artifact = next((a for a in dossier.artifacts if a.path == place.artifact), None)
        if named is None or artifact is None or not blobs.has(artifact.sha256):
            continue
        start = max(0, int(named[1]) // 16 * 16 - 16)
        fd = blobs.open_fd(artifact.sha256)
        try:
            return start, os.pread(fd, 64, start)
        finally:
            os.close(fd)
    return None


def _show_finding(answer: Finding, window: tuple[int, bytes] | None, session: Session) -> Exit:
    from weighbridge.registry import wire

    if session.as_json:
        start, data = window or (0, b"")
        render.document("finding", {"finding": wire.plain(answer), "offset": start, "bytes": data.hex()})
        return Exit.OK
    lines = wording.finding_rows([answer], label=answer.outcome.value)
    lines += [render.row("see", reference) for reference in answer.references]
    start, data = window or (0, b"")
    for offset in range(0, len(data), 16):
        piece = data[offset : offset + 16]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in piece)
        lines.append(render.row("bytes", f"{start + offset:08x}  {piece.hex(' '):<47}  {text}"))
    render.rows(lines)
    return Exit.OK
