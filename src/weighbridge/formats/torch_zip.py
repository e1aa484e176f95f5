"""Torch checkpoints in the zip format (torch 1.6 and later), and TorchScript archives as far as they are pickles."""

from __future__ import annotations

from weighbridge.formats.archives.flavours import flavours_of
from weighbridge.formats.headers.defects import OverLimitError
from weighbridge.formats.pickling.report import CHECKS, conclude, structure
from weighbridge.formats.pickling.tables import read_tables
from weighbridge.formats.pickling.torch_archive import TorchArchive
from weighbridge.formats.reading.contract import Format, Match, Reading, whole
from weighbridge.formats.reading.source import Source
from weighbridge.vocabulary import Outcome, SpanKind


def _sniff(source: Source) -> Match:
    """A zip archive with a member that torch loads."""
    return Match.CERTAIN if "torch_zip" in flavours_of(source) else Match.NO


def _read(source: Source) -> Reading:
    try:
        return TorchArchive(source).read()
    except OverLimitError as problem:
        doubt = f"the archive is larger than is read: {problem.message}"
        unjudged = structure("torch_zip.structure", doubt, artifact=source.path, said="", outcome=Outcome.UNKNOWN)
        answer = conclude((), artifact=source.path, doubt=doubt)
        return Reading(spans=whole(SpanKind.UNREAD, source, doubt), findings=(answer, unjudged))


FORMAT = Format(
    name="torch_zip",
    title="PyTorch checkpoint (zip)",
    media_type="application/x-pytorch",
    version=1,
    may_hold_code=True,
    containers=("zip",),
    checks=(
        *CHECKS,
        "torch_zip.archive",
        "torch_zip.member",
        "torch_zip.storage",
        "torch_zip.structure",
        "torch_zip.torchscript",
    ),
    references=(
        "https://docs.pytorch.org/docs/2.13/notes/serialization.html",
        "https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT",
        "https://nvd.nist.gov/vuln/detail/CVE-2025-32434",
        "https://nvd.nist.gov/vuln/detail/CVE-2026-24747",
    ),
    sniff=_sniff,
    read=_read,
    prepare=read_tables,
)
