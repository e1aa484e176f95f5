"""TensorFlow Lite models: a flatbuffer of operators and tensors, the bytes of the tensors, and files in a zip archive behind it.

Operators of TensorFlow Lite calculate; custom ones are looked up by name, and those called `Flex…` are operators of TensorFlow, which
may do what those do. Numbers that a runtime takes for indexes have to be in range. Source: tensorflow/compiler/mlir/lite/schema/schema.fbs
at TensorFlow 2.21, tensorflow/lite/core/model_builder.cc and tools/verifier_internal.cc, tensorflow/lite/delegates/flex/kernel.cc.
"""

from __future__ import annotations

from itertools import pairwise
from math import prod

from weighbridge.errors import MalformedArtifactError
from weighbridge.formats.archives.containers import containers_in
from weighbridge.formats.archives.members import read_zip
from weighbridge.formats.graphs.flatbuffers import Flatbuffer, flat_schema
from weighbridge.formats.graphs.messages import schema
from weighbridge.formats.graphs.operators import tensorflow_operators
from weighbridge.formats.graphs.tflite_model import TfliteModel
from weighbridge.formats.headers.defects import UNJUDGED, Defects, OverLimitError
from weighbridge.formats.reading.contract import Format, Match, Part, Reading, answer_on_load, whole
from weighbridge.formats.reading.source import Source
from weighbridge.formats.reading.spans import Span, complete
from weighbridge.vocabulary import Fact, Finding, Header, Outcome, Severity, SpanKind, clip

_MAGIC = b"TFL3"
_ZIP = b"PK\x03\x04"
_PADDING_BYTES = 64
"""Longest run of zeros that aligning the next object explains; tensors are aligned to 16 or 64 bytes."""


def sniff(source: Source) -> Match:
    """The identifier of the flatbuffer."""
    return Match.CERTAIN if source.head(8)[4:] == _MAGIC else Match.NO


def read(source: Source) -> Reading:
    """Walk the whole flatbuffer; every byte has to belong to one of its objects, to a tensor, or to the files behind it."""
    defects = Defects(source.path)
    flat = Flatbuffer(source, flat_schema("tflite"), defects, prefix="tflite")
    model = TfliteModel(flat, defects)
    is_walked = False
    try:
        model.read(flat.root("Model"))
        is_walked = True
    except OverLimitError as problem:
        defects.add("tflite.limit", clip(problem.message), problem.locator, grade=UNJUDGED)
    except MalformedArtifactError as problem:
        defects.add_error("tflite.bounds", problem)
    spans: tuple[Span, ...] = whole(SpanKind.UNREAD, source, "it could not be followed to its end")
    parts: tuple[Part, ...] = ()
    if is_walked:
        try:
            spans, parts = _account(model, defects)
        except MalformedArtifactError as problem:
            defects.add_error("tflite.bounds", problem)
            is_walked = False
    return _judge(model, spans, parts, is_walked=is_walked)


def _account(model: TfliteModel, defects: Defects) -> tuple[tuple[Span, ...], tuple[Part, ...]]:
    """Where every byte went, and the files behind the model.

    Raises:
        MalformedArtifactError: two objects share bytes.
    """
    source = model.flat.source
    spans = _spans(model)
    end = spans[-1].end
    parts: tuple[Part, ...] = ()
    if source.size_bytes - end >= len(_ZIP) and "zip" in containers_in(source):
        start = end
        while start < source.size_bytes - 4 and start - end < _PADDING_BYTES and source.read_at(start, 1) == b"\0":
            start += 1
        more, parts = _files_behind(source, start, defects)
        spans += more
    return _complete(spans, source), parts


def _spans(model: TfliteModel) -> list[Span]:
    """The claims in order, those that touch put together.

    Raises:
        MalformedArtifactError: two overlap.
    """
    spans: list[Span] = []
    tensors = model.tensor_bytes
    for start, end in sorted((*model.flat.claims.items(), *tensors.items())):
        kind, note = (SpanKind.TENSOR, "tensors") if start in tensors else (SpanKind.HEADER, "flatbuffer")
        if spans and start < spans[-1].end:
            raise MalformedArtifactError("two objects share bytes", locator=f"byte {start}")
        if spans and start == spans[-1].end and spans[-1].kind is kind:
            spans[-1] = Span(start=spans[-1].start, end=end, kind=kind, note=note)
        elif end > start:
            spans.append(Span(start=start, end=end, kind=kind, note=note))
    return spans


def _files_behind(source: Source, start: int, defects: Defects) -> tuple[list[Span], tuple[Part, ...]]:
    """The zip archive of vocabularies and labels that `tflite_support` appends; its offsets count from the start of the file."""
    try:
        archive = read_zip(source, "tflite", start=start)
    except OverLimitError as problem:
        defects.add("tflite.archive", problem.message, problem.locator, grade=UNJUDGED)
        return [], ()
    for message, locator in archive.archive.problems:
        defects.add("tflite.archive", message, locator)
    members = sorted((m for m in archive.archive.members if m.data_offset >= 0), key=lambda m: m.data_offset)
    note = "member of the archive behind the model"
    spans = [Span(start=m.data_offset, end=m.end, kind=SpanKind.HEADER, note=note) for m in members]
    if any(one.end > other.data_offset for one, other in pairwise(members)):
        raise MalformedArtifactError("members of the archive overlap", locator=f"byte {start}")
    parts = tuple(
        Part(start=m.data_offset, end=m.end, open=archive.open(m)) for m in members if not m.name.endswith("/")
    )
    return [*archive.archive.spans, *spans], parts


def _complete(spans: list[Span], source: Source) -> tuple[Span, ...]:
    """Fill the gaps; zeros that no alignment explains are unexplained as well."""
    return tuple(
        Span(start=s.start, end=s.end, kind=SpanKind.UNEXPLAINED, note="more zeros than aligning takes")
        if s.kind is SpanKind.PADDING and s.end - s.start >= _PADDING_BYTES
        else s
        for s in complete(spans, source)
    )


def _judge(model: TfliteModel, spans: tuple[Span, ...], parts: tuple[Part, ...], *, is_walked: bool) -> Reading:
    source, defects = model.flat.source, model.defects
    words = f"{model.subgraphs} subgraphs, {model.operators:,} operators of {len(model.seen)} kinds, {len(model.tensors):,} tensors"
    findings = (defects.structure("tflite.structure", words), *defects.findings())
    header = Header(
        path=source.path,
        format="tflite",
        metadata=tuple(Fact(name=clip(name), value=clip(value)) for name, value in model.facts),
        parameter_count=min(sum(prod(tensor.shape) for tensor in model.tensors), 1 << 52),
        tensors=tuple(model.tensors),
        dtypes=tuple(sorted({tensor.dtype for tensor in model.tensors})),
        weights_bytes=min(sum(end - start for start, end in model.tensor_bytes.items()), 1 << 52),
    )
    return Reading(
        spans=spans, findings=(*findings, _on_load(model, findings, is_walked=is_walked)), header=header, parts=parts
    )


def _on_load(model: TfliteModel, findings: tuple[Finding, ...], *, is_walked: bool) -> Finding:
    about = [f for f in findings if f.check in ("tflite.operator", "tflite.field", "tflite.external")]
    source = model.flat.source
    if any(f.check == "tflite.operator" and f.outcome is Outcome.FAIL for f in about):
        message = "it runs code or reaches files when it is run"
        return answer_on_load(source, Outcome.FAIL, Severity.CRITICAL, message)
    if about or not is_walked:
        return answer_on_load(source, Outcome.UNKNOWN, Severity.HIGH, "not all of its operators are known")
    message = f"all {len(model.seen):,} operators are known and only calculate"
    return answer_on_load(source, Outcome.PASS, Severity.INFO, message)


def _prepare() -> None:
    flat_schema("tflite")
    schema("tensorflow")
    tensorflow_operators()


FORMAT = Format(
    name="tflite",
    title="TensorFlow Lite model",
    media_type="application/x-tflite",
    version=1,
    may_hold_code=True,
    containers=("zip",),
    checks=(
        "tflite.structure",
        "tflite.bounds",
        "tflite.limit",
        "tflite.field",
        "tflite.version",
        "tflite.index",
        "tflite.size",
        "tflite.operator",
        "tflite.external",
        "tflite.archive",
        "code.on-load",
    ),
    references=(
        "https://ai.google.dev/edge/litert/conversion/tensorflow/metadata",
        *(
            f"https://nvd.nist.gov/vuln/detail/{cve}"
            for cve in ("CVE-2020-15211", "CVE-2021-29591", "CVE-2022-23558", "CVE-2022-23561")
        ),
    ),
    sniff=sniff,
    read=read,
    prepare=_prepare,
)
