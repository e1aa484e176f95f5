"""HDF5: groups, datasets and attributes, Keras models in the legacy format (`.h5`) and weights of any library among them.

The whole file is walked and every byte has an owner; the numbers themselves are not read. Links and storage that lead into
other files are refused, because a program that loads the file reads those as the user who runs it (CVE-2026-1669).
"""

from __future__ import annotations

from weighbridge.errors import MalformedArtifactError
from weighbridge.formats.archives.tar import is_tar
from weighbridge.formats.headers.defects import EVIDENCE_LIMIT, Defects
from weighbridge.formats.headers.hdf5_image import Claim
from weighbridge.formats.headers.hdf5_keras import judge_attributes
from weighbridge.formats.headers.hdf5_superblock import find_superblock
from weighbridge.formats.headers.hdf5_walk import Walk
from weighbridge.formats.headers.keras_config import CHECKS, prepare
from weighbridge.formats.headers.layout import LONGEST_READ_GAP_BYTES, leave_unread
from weighbridge.formats.reading.contract import Format, Match, Reading
from weighbridge.formats.reading.source import Source
from weighbridge.formats.reading.spans import Span, complete
from weighbridge.vocabulary import Header, SpanKind, clip

_SPAN_LIMIT = 20_000


def sniff(source: Source) -> Match:
    """CERTAIN by the signature, at the start or behind a user block, whatever stands in that: the library looks there too.

    A member of a tar or zip archive may lie in such a place; it is examined as a member.
    """
    at = find_superblock(source)
    is_archive = at > 0 and (source.head(2) == b"PK" or is_tar(source))
    return Match.CERTAIN if at >= 0 and not is_archive else Match.NO


def read(source: Source) -> Reading:
    """Walk the file; judge the Keras model that it may describe."""
    defects = Defects(source.path)
    walk = Walk(source, defects)
    walk.run()
    spans = _lay_out(walk)
    dtypes = tuple(sorted({tensor.dtype for tensor in walk.tensors}))
    weights_bytes = sum(tensor.size_bytes for tensor in walk.tensors)
    words = (
        f"{len(walk.groups):,} groups, {len(walk.tensors):,} datasets, {walk.parameter_count:,} numbers, "
        f"{weights_bytes:,} bytes, every structure walked"
    )
    model = judge_attributes(walk, source.path)
    structure = defects.structure("hdf5.structure", words)
    return Reading(
        spans=spans,
        starts=tuple(walk.starts),
        findings=(structure, *defects.findings(), *model.findings),
        header=Header(
            path=source.path,
            format="hdf5",
            architecture=model.architecture,
            parameter_count=walk.parameter_count,
            dtypes=dtypes,
            tensors=tuple(walk.tensors),
            metadata=model.metadata,
            digests=model.digests,
            weights_bytes=weights_bytes,
        ),
    )


def _lay_out(walk: Walk) -> tuple[Span, ...]:
    """The claims as spans; those that overlap are noted, and keep what lies behind the one before."""
    source, defects, image = walk.source, walk.defects, walk.image
    spans: list[Span] = []
    clashes: list[Claim] = list(image.clashes)
    position = 0
    end_said = walk.superblock.end + image.base if walk.superblock else source.size_bytes
    if beyond := next((claim for claim in image.claims.values() if claim.start >= end_said), None):
        message = f"{clip(beyond.note)} lies behind byte {end_said:,}, where the file says that it ends"
        defects.add("hdf5.bounds", message, f"byte {beyond.start}")
    for claim in sorted(image.claims.values(), key=lambda claim: (claim.start, claim.end)):
        if claim.start < position:
            clashes.append(claim)
        start, end = max(claim.start, position), min(claim.end, source.size_bytes)
        if end <= start:
            continue
        last = spans[-1] if spans else None
        if last and last.end == start and claim.kind is last.kind is SpanKind.HEADER:
            spans[-1] = Span(start=last.start, end=end, kind=last.kind, note=last.note)
        else:
            spans.append(Span(start=start, end=end, kind=claim.kind, note=claim.note))
        position = end
    for claim in clashes[:EVIDENCE_LIMIT]:
        defects.add("hdf5.overlap", f"{clip(claim.note)} overlaps what lies before it", f"byte {claim.start}")
    if clashes:
        defects.add_more("hdf5.overlap", clashes)
    if len(spans) > _SPAN_LIMIT:
        note = f"{len(spans):,} stretches between which others lie"
        spans = [Span(start=spans[0].start, end=spans[-1].end, kind=SpanKind.UNREAD, note=note)]
    # Where something was not walked, the rest is not unexplained: it was not read.
    longest = LONGEST_READ_GAP_BYTES if walk.is_whole else 0
    kept = leave_unread(spans, size_bytes=source.size_bytes, longest=longest)
    try:
        return complete(kept, source)
    except MalformedArtifactError as problem:
        defects.add_error("hdf5.overlap", problem)
        return (Span(start=0, end=source.size_bytes, kind=SpanKind.UNREAD, note="structures overlap"),)


FORMAT = Format(
    name="hdf5",
    title="HDF5, Keras .h5 among them",
    media_type="application/x-hdf5",
    version=2,
    may_hold_code=True,
    containers=("hdf5",),
    checks=(
        *(
            f"hdf5.{what}"
            for what in (
                *("structure", "bounds", "limit", "unsupported", "external", "filter", "overlap", "duplicate-name"),
                *("size", "expansion", "link", "user-block", "pickle"),
            )
        ),
        *CHECKS,
    ),
    references=(
        "https://support.hdfgroup.org/documentation/hdf5/latest/_f_m_t3.html",
        "https://nvd.nist.gov/vuln/detail/CVE-2026-1669",
        "https://nvd.nist.gov/vuln/detail/CVE-2026-0897",
    ),
    sniff=sniff,
    read=read,
    prepare=prepare,
)
