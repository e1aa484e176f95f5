"""Torch checkpoints in the format before torch 1.6: five pickles in a row, then the storages.

magic number, protocol version, system facts, the object, the list of storage keys; then for each key eight bytes with the
number of elements and the raw elements (torch/serialization.py `_legacy_load`, torch/csrc/serialization.cpp
`THPStorage_writeFileRaw`).
"""

from __future__ import annotations

from weighbridge.errors import MalformedArtifactError
from weighbridge.formats.pickling.report import CHECKS, conclude, structure
from weighbridge.formats.pickling.streams import StreamReader, glance
from weighbridge.formats.pickling.tables import read_tables
from weighbridge.formats.pickling.torch_streams import StorageIds, header_of
from weighbridge.formats.pickling.values import Sequence, Value
from weighbridge.formats.reading.contract import Format, Match, Reading
from weighbridge.formats.reading.source import Source
from weighbridge.formats.reading.spans import Span, complete
from weighbridge.vocabulary import Fact, SpanKind, clip

_PROTOCOL = 1001
_COUNT_BYTES = 8


def _sniff(source: Source) -> Match:
    """The first value is torch's magic number, however it is spelled."""
    if source.size_bytes < _COUNT_BYTES:
        return Match.NO
    return Match.CERTAIN if glance(source).is_legacy else Match.NO


def _read(source: Source) -> Reading:
    reader = StreamReader(source, artifact=source.path)
    storages = StorageIds(parts=6)
    spans: list[Span] = []
    problem = _read_streams(reader, storages)
    values = reader.streams.values
    if not problem and reader.streams.is_whole:
        problem = _claim_storages(source, reader, storages, spans)
    broken = "" if reader.streams.is_whole else "one of its pickles could not be followed to its end"
    findings = [
        *reader.report.findings,
        conclude([reader.report], artifact=source.path, doubt=problem),
        structure(
            "torch_legacy.structure", problem or broken, artifact=source.path, said="five pickles and their storages"
        ),
    ]
    metadata = (
        [Fact(name="torch.legacy_protocol", value=str(values[1]))] if len(values) > 1 and values[1] == _PROTOCOL else []
    )
    return Reading(
        spans=complete([*reader.streams.spans, *spans], source),
        findings=tuple(findings),
        header=header_of(source.path, "torch_legacy", values[3:4], storages, metadata),
    )


def _read_streams(reader: StreamReader, storages: StorageIds) -> str:
    """Read the five pickles; what is wrong with them, beyond what the report says."""
    is_open = reader.read() and reader.read() and reader.read()
    if is_open:
        reader.use(storages)
        is_open = reader.read()
    if is_open:
        reader.use(None, keeps_atoms=True)
        is_open = reader.read()
    reader.finish()
    values = reader.streams.values
    if len(values) > 1 and not (values[1].__class__ is int and values[1] == _PROTOCOL):
        return "the protocol version is not 1001"
    return ""


def _claim_storages(source: Source, reader: StreamReader, storages: StorageIds, spans: list[Span]) -> str:
    keys = _keys(reader.streams.values[4])
    if keys is None or sorted(keys) != sorted(storages.by_key):
        return "the list of storages is not that of the storages the object refers to"
    position = reader.streams.end
    for key in keys:
        storage = storages.by_key[key]
        try:
            count = int.from_bytes(source.read_at(position, _COUNT_BYTES), "little")
        except MalformedArtifactError:
            return f"the file ends before storage {key}"
        if count != storage.numel:
            return f"storage {key} announces {count} elements where the pickle expects {storage.numel}"
        end = position + _COUNT_BYTES + storage.size_bytes
        if end > source.size_bytes:
            return f"the file ends inside storage {key}"
        spans.append(Span(start=position, end=position + _COUNT_BYTES, kind=SpanKind.HEADER, note="element count"))
        spans.append(
            Span(start=position + _COUNT_BYTES, end=end, kind=SpanKind.TENSOR, note=f"storage {clip(key, 40)}")
        )
        position = end
    return ""


def _keys(value: Value) -> list[str] | None:
    if not isinstance(value, Sequence) or value.count != len(value.children):
        return None
    return value.children if all(key.__class__ is str for key in value.children) else None


FORMAT = Format(
    name="torch_legacy",
    title="PyTorch checkpoint (before 1.6)",
    media_type="application/x-pytorch-legacy",
    version=1,
    may_hold_code=True,
    checks=(*CHECKS, "torch_legacy.structure"),
    references=("https://docs.pytorch.org/docs/2.13/notes/serialization.html",),
    sniff=_sniff,
    read=_read,
    prepare=read_tables,
)
