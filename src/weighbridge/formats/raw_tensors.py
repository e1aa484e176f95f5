"""Files of raw tensor bytes whose format is told by their name: shards of TensorFlow checkpoints, external data of ONNX.

They have no structure; the file beside them says where tensors lie. Nothing runs them. What starts with the magic number
of another kind of file is not taken for one.
"""

from __future__ import annotations

import re

from weighbridge.formats.headers.tables import MAGIC
from weighbridge.formats.reading.contract import Format, Match, Reading, whole
from weighbridge.formats.reading.source import Source
from weighbridge.vocabulary import Evidence, Finding, Outcome, Severity, SpanKind

_NAME = re.compile(r"(?:.+\.data-[0-9]{5}-of-[0-9]{5}|.+\.onnx[._]data(?:_[0-9]+)?)", re.DOTALL)
_HEAD_BYTES = 1024


def sniff(source: Source) -> Match:
    """LIKELY by the name, unless the content has a magic number of another kind."""
    if not _NAME.fullmatch(source.path.rsplit("/", 1)[-1]) or not source.size_bytes:
        return Match.NO
    head = source.head(_HEAD_BYTES)
    return Match.NO if any(magic.pattern.match(head, magic.offset) for magic in MAGIC) else Match.LIKELY


def read(source: Source) -> Reading:
    """All of it is numbers."""
    named = bool(_NAME.fullmatch(source.path.rsplit("/", 1)[-1]))
    finding = Finding(
        check="raw_tensors.structure",
        outcome=Outcome.PASS if named else Outcome.UNKNOWN,
        severity=Severity.INFO if named else Severity.HIGH,
        message=f"{source.size_bytes:,} bytes of tensors, which the file beside it describes",
        evidence=(Evidence(artifact=source.path),),
    )
    return Reading(
        spans=whole(SpanKind.TENSOR if named else SpanKind.UNREAD, source, "raw tensors"), findings=(finding,)
    )


FORMAT = Format(
    name="raw_tensors",
    title="raw tensor bytes",
    media_type="application/octet-stream",
    version=1,
    may_hold_code=False,
    checks=("raw_tensors.structure",),
    references=("https://github.com/onnx/onnx/blob/main/docs/ExternalData.md",),
    sniff=sniff,
    read=read,
)
