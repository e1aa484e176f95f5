"""TALLY: a made-up format of named counts. `TALLY1\\n`, then lines of a name, a space and a decimal number.

Every line is examined, so the whole file is a header. A count of more than nine digits is reported, and shows how a unit
gives a finding without giving up on the file.
"""

from __future__ import annotations

import re

from weighbridge.errors import MalformedArtifactError
from weighbridge.formats.reading.contract import Format, Match, Reading, whole
from weighbridge.formats.reading.source import Source
from weighbridge.vocabulary import Evidence, Finding, Header, Outcome, Severity, SpanKind, clip

MAGIC = b"TALLY1\n"
SIZE_LIMIT_BYTES = 1 << 20
LARGE_COUNT = "tally.large-count"


def sniff(source: Source) -> Match:
    """A tally begins with its magic line; nothing else does."""
    return Match.CERTAIN if source.head(len(MAGIC)) == MAGIC else Match.NO


def read(source: Source) -> Reading:
    """Check every line.

    Raises:
        MalformedArtifactError: the magic is missing, the file is over the limit, or a line is not a name and a count.
    """
    if source.size_bytes > SIZE_LIMIT_BYTES:
        raise MalformedArtifactError(f"a tally has at most {SIZE_LIMIT_BYTES} bytes, this one {source.size_bytes}")
    data = source.read_at(0, source.size_bytes)
    if not data.startswith(MAGIC) or not data.endswith(b"\n"):
        raise MalformedArtifactError("the first line is not TALLY1, or the last line has no end", locator="byte 0")
    findings = []
    for number, line in enumerate(data[len(MAGIC) : -1].split(b"\n") if len(data) > len(MAGIC) else [], 2):
        if not re.fullmatch(rb"[a-z]+ [0-9]+", line):
            raise MalformedArtifactError("a line is not a name and a count", locator=f"line {number}")
        if len(line.rpartition(b" ")[2]) > 9:
            findings.append(_large(source.path, number, line))
    header = Header(path=source.path, format="tally")
    return Reading(spans=whole(SpanKind.HEADER, source, "lines"), findings=tuple(findings), header=header)


def _large(path: str, number: int, line: bytes) -> Finding:
    return Finding(
        check=LARGE_COUNT,
        outcome=Outcome.FAIL,
        severity=Severity.LOW,
        message="a count has more than nine digits",
        evidence=(Evidence(artifact=path, locator=f"line {number}", excerpt=clip(line)),),
    )


FORMAT = Format(
    name="tally",
    title="Tally of named counts",
    media_type="text/x-tally",
    version=1,
    may_hold_code=False,
    checks=(LARGE_COUNT,),
    references=("https://example.org/tally",),
    sniff=sniff,
    read=read,
)
