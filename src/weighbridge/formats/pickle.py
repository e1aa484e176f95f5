"""Python pickles, protocols 0 to 5: interpreted, never loaded."""

from __future__ import annotations

from pathlib import PurePosixPath

from weighbridge.formats.pickling.joblib_arrays import JOBLIB_ARRAY
from weighbridge.formats.pickling.opcodes import NAMES
from weighbridge.formats.pickling.report import CHECKS, Report, conclude, structure
from weighbridge.formats.pickling.streams import Glance, StreamReader, glance
from weighbridge.formats.pickling.tables import read_tables
from weighbridge.formats.reading.contract import Format, Match, Reading
from weighbridge.formats.reading.source import Source
from weighbridge.formats.reading.spans import complete
from weighbridge.vocabulary import Fact, Header

_SUFFIXES = frozenset(
    (".pkl", ".pickle", ".p", ".pt", ".pth", ".bin", ".ckpt", ".joblib", ".dat", ".data", ".model", ".sav", ".pck")
)
_FEW = 4


def _sniff(source: Source) -> Match:
    """A pickle from protocol 2 on says so; an older one is known by what it does, whatever the file is called."""
    seen = glance(source)
    if not seen.first or seen.is_legacy:
        return Match.NO
    if seen.first == "PROTO":
        return _sniff_magic(source, seen)
    if seen.acts and (seen.is_known or seen.is_stopped):
        return Match.CERTAIN
    if seen.is_limit or (seen.names and seen.is_stopped):
        return Match.LIKELY
    has_suffix = PurePosixPath(source.path).suffix.lower() in _SUFFIXES
    is_some = seen.opcodes > _FEW and (seen.is_stopped or seen.opcodes > 16)
    # A word list may begin as imports of unknown modules do, which then come to nothing: its name tells it from a broken pickle.
    return Match.LIKELY if has_suffix and (is_some or seen.names) else Match.NO


def _sniff_magic(source: Source, seen: Glance) -> Match:
    if source.size_bytes < 2 or source.head(2)[1] > 5:
        return Match.NO
    if seen.is_stopped or seen.acts or seen.is_limit or seen.opcodes > 8:
        return Match.CERTAIN
    return Match.FALLBACK if NAMES[source.head(3)[-1]] and source.size_bytes > 2 else Match.NO


def _read(source: Source) -> Reading:
    reader = StreamReader(source, artifact=source.path, is_joblib=True)
    streams = reader.read_all()
    report = streams.report
    if any(found.is_constructed for found in report.globals.values() if found.path == JOBLIB_ARRAY):
        _read_plainly(source, report)
    more = (
        Fact(name="pickle.streams", value=str(len(streams.values))),
        Fact(name="pickle.opcodes", value=str(report.opcodes)),
    )
    findings = [*report.findings, conclude([report], artifact=source.path)]
    if not any(finding.check == "pickle.structure" for finding in findings):
        said = f"{len(streams.values)} streams, {report.opcodes} opcodes, each followed to its STOP"
        findings.append(structure("pickle.structure", "", artifact=source.path, said=said))
    return Reading(
        spans=complete(streams.spans, source),
        findings=tuple(findings),
        header=Header(path=source.path, format="pickle", metadata=more),
    )


def _read_plainly(source: Source, report: Report) -> None:
    """What `pickle.load` makes of a file of joblib's: it takes the numbers of an array for opcodes."""
    seen = glance(source, is_patient=True)
    if seen.runs:
        message = f"runs {seen.runs} where pickle.load reads it, which takes the numbers of an array for opcodes"
        report.fail("pickle.calls-unsafe-global", message, "byte 0", excerpt=seen.runs)


FORMAT = Format(
    name="pickle",
    title="Python pickle",
    media_type="application/x-python-pickle",
    version=1,
    may_hold_code=True,
    checks=CHECKS,
    references=(
        "https://docs.python.org/3/library/pickle.html",
        "https://github.com/python/cpython/blob/3.11/Lib/pickletools.py",
        "https://peps.python.org/pep-0574/",
    ),
    sniff=_sniff,
    read=_read,
    prepare=read_tables,
)
