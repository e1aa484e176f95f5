"""Tar archives around anything: NeMo checkpoints, OCI layers, torch checkpoints before 0.1.10, a packed folder."""

from __future__ import annotations

from weighbridge.errors import MalformedArtifactError
from weighbridge.formats.archives.tar import TarArchive, TarMember, is_tar, walk_tar
from weighbridge.formats.headers.defects import UNJUDGED, Defects, OverLimitError
from weighbridge.formats.reading.contract import Format, Match, Part, Reading, answer_on_load, part_path, whole
from weighbridge.formats.reading.source import Source
from weighbridge.formats.reading.spans import Span, complete
from weighbridge.vocabulary import Finding, Outcome, Severity, SpanKind, clip


def sniff(source: Source) -> Match:
    """CERTAIN where the first block is a header whose checksum fits."""
    return Match.CERTAIN if is_tar(source) else Match.NO


def read(source: Source) -> Reading:
    """Walk the archive and hand out its files."""
    defects = Defects(source.path)
    try:
        archive = walk_tar(source)
    except OverLimitError as problem:
        defects.add("tar.archive", problem.message, problem.locator, grade=UNJUDGED)
        return _given_up(source, defects)
    except MalformedArtifactError as problem:
        defects.add_error("tar.archive", problem)
        return _given_up(source, defects)
    for message, locator in archive.problems:
        defects.add("tar.archive", message, locator)
    spans = [*archive.spans]
    spans += [
        Span(start=m.start, end=m.end, kind=SpanKind.HEADER, note=f"member {clip(m.name, 80)}") for m in archive.members
    ]
    said = f"{len(archive.names)} members, each with a header that fits"
    parts = tuple(_part(source, member) for member in archive.members)
    findings = (defects.structure("tar.structure", said), *defects.findings())
    if not parts:
        findings = (*findings, _no_files(source, archive))
    return Reading(spans=complete(spans, source), findings=findings, parts=parts)


def _part(source: Source, member: TarMember) -> Part:
    path = part_path(source.path, member.name)
    size_bytes = member.end - member.start
    return Part(start=member.start, end=member.end, open=lambda: source.part(member.start, size_bytes, path=path))


def _given_up(source: Source, defects: Defects) -> Reading:
    answer = answer_on_load(source, Outcome.UNKNOWN, Severity.HIGH, "nobody knows what the archive holds")
    findings = (defects.structure("tar.structure", ""), *defects.findings(), answer)
    return Reading(spans=whole(SpanKind.UNREAD, source, "the archive could not be walked"), findings=findings)


def _no_files(source: Source, archive: TarArchive) -> Finding:
    if archive.problems:
        return answer_on_load(source, Outcome.UNKNOWN, Severity.HIGH, "nobody knows what the archive holds")
    return answer_on_load(source, Outcome.PASS, Severity.INFO, "an archive without files holds no code")


FORMAT = Format(
    name="tar",
    title="tar archive, NeMo checkpoints among them",
    media_type="application/x-tar",
    version=1,
    may_hold_code=True,
    containers=(
        "tar",
        "zip",
        "hdf5",
    ),  # a reader that looks for these finds a member, which is examined, or unexplained bytes
    checks=("tar.structure", "tar.archive", "code.on-load"),
    references=(
        "https://pubs.opengroup.org/onlinepubs/9699919799/utilities/pax.html",
        "https://nvd.nist.gov/vuln/detail/CVE-2007-4559",
    ),
    sniff=sniff,
    read=read,
)
