"""7z archives: the header read, every member unfolded and examined where Python's own libraries can.

What needs another library (encryption, PPMd, BCJ2) is unread, and so is a folder that unfolds too far.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable

from weighbridge.errors import MalformedArtifactError
from weighbridge.formats.archives.sevenzip import MAGIC, START_BYTES, Folder, SevenArchive, SevenMember, read_archive
from weighbridge.formats.archives.sevenzip_coders import UNFOLDED_LIMIT_BYTES, is_read, unfold
from weighbridge.formats.headers.defects import UNJUDGED, Defects, OverLimitError
from weighbridge.formats.reading.contract import Format, Match, Part, Reading, answer_on_load, part_path, whole
from weighbridge.formats.reading.source import Inflated, Source
from weighbridge.formats.reading.spans import Span, complete
from weighbridge.vocabulary import Outcome, Severity, SpanKind, clip

_ALL_LIMIT_BYTES = 64 << 20
"""Bytes that one archive may unfold to."""
_ESCAPES = re.compile(r"/|\\|[A-Za-z]:|(?:.*[/\\])?\.\.(?:[/\\]|\Z)", re.DOTALL)


def sniff(source: Source) -> Match:
    """The magic number."""
    return Match.CERTAIN if source.head(len(MAGIC)) == MAGIC else Match.NO


def read(source: Source) -> Reading:
    """Read the header and hand out the members."""
    defects = Defects(source.path)
    try:
        archive = read_archive(source)
        spans = complete(_spans(archive, defects), source)
    except OverLimitError as problem:
        defects.add("sevenzip.archive", clip(problem.message), problem.locator, grade=UNJUDGED)
        return _given_up(source, defects)
    except MalformedArtifactError as problem:
        defects.add_error("sevenzip.archive", problem)
        return _given_up(source, defects)
    for message in archive.problems:
        defects.add("sevenzip.archive", message)
    _check_names(archive, defects)
    parts = _parts(source, archive)
    said = f"{len(archive.members)} members in {len(archive.folders)} folders"
    findings = (defects.structure("sevenzip.structure", said), *defects.findings())
    if not parts:
        is_empty = not defects and not archive.folders
        outcome, severity = (Outcome.PASS, Severity.INFO) if is_empty else (Outcome.UNKNOWN, Severity.HIGH)
        words = "an archive without files holds no code" if is_empty else "nobody knows what the archive holds"
        findings = (*findings, answer_on_load(source, outcome, severity, words))
    elif not all(_unfolded(archive)):
        words = "some of the archive is not unfolded here"
        findings = (*findings, answer_on_load(source, Outcome.UNKNOWN, Severity.HIGH, words))
    return Reading(spans=spans, findings=findings, parts=parts)


def _given_up(source: Source, defects: Defects) -> Reading:
    answer = answer_on_load(source, Outcome.UNKNOWN, Severity.HIGH, "nobody knows what the archive holds")
    findings = (defects.structure("sevenzip.structure", ""), *defects.findings(), answer)
    return Reading(spans=whole(SpanKind.UNREAD, source, "the archive could not be read"), findings=findings)


def _unfolded(archive: SevenArchive) -> list[bool]:
    """Which folders are unfolded: those whose coders are known, as long as they come to no more than is unfolded in all."""
    left, found = _ALL_LIMIT_BYTES, []
    for folder in archive.folders:
        is_small = (
            folder.size_bytes <= min(UNFOLDED_LIMIT_BYTES, left) and folder.end - folder.start <= UNFOLDED_LIMIT_BYTES
        )
        found.append(is_small and is_read(folder.chain))
        left -= folder.size_bytes if found[-1] else 0
    return found


def _spans(archive: SevenArchive, defects: Defects) -> list[Span]:
    start, end = archive.header
    spans = [
        Span(start=0, end=START_BYTES, kind=SpanKind.HEADER, note="start"),
        Span(start=start, end=end, kind=SpanKind.HEADER, note="header"),
    ]
    spans += [
        Span(start=folder.start, end=folder.end, kind=SpanKind.HEADER, note="packed header") for folder in archive.extra
    ]
    for folder, is_unfolded in zip(archive.folders, _unfolded(archive), strict=True):
        kind = SpanKind.HEADER if is_unfolded else SpanKind.UNREAD
        spans.append(Span(start=folder.start, end=folder.end, kind=kind, note="packed members"))
        if kind is SpanKind.UNREAD:
            chain = "+".join(coder.id.hex() for coder in folder.chain) or "several streams"
            message = (
                f"a folder of {folder.size_bytes:,} bytes is packed by {chain}, or too large, and not unfolded here"
            )
            defects.add("sevenzip.coder", message, f"byte {folder.start}", grade=UNJUDGED)
    return spans


def _check_names(archive: SevenArchive, defects: Defects) -> None:
    seen: set[str] = set()
    for member in archive.members:
        name = member.name
        if name in seen:
            defects.add("sevenzip.archive", f"the name {clip(name, 80)!r} stands twice", excerpt=clip(name))
        seen.add(name)
        if not name or _ESCAPES.match(name):
            message = f"the member {clip(name, 80)!r} would be unpacked outside the folder"
            defects.add("sevenzip.archive", message, excerpt=clip(name))
        if member.is_link:
            message = f"the member {clip(name, 80)!r} is a symbolic link"
            defects.add("sevenzip.archive", message, excerpt=clip(name), grade=UNJUDGED)


def _parts(source: Source, archive: SevenArchive) -> tuple[Part, ...]:
    """A part for each member; the first of a folder stands for its packed bytes, the others begin where these end."""
    parts: list[Part] = []
    last = -1
    contents = _Contents(source)
    places = sorted(range(len(archive.folders)), key=lambda n: archive.folders[n].start)
    order = {n: rank for rank, n in enumerate(places)}
    unfolded = _unfolded(archive)
    with_content = [m for m in archive.members if m.folder >= 0 and unfolded[m.folder]]
    for member in sorted(with_content, key=lambda m: (order[m.folder], m.offset)):
        folder = archive.folders[member.folder]
        start = folder.start if member.folder != last else folder.end
        last = member.folder
        parts.append(Part(start=start, end=folder.end, open=contents.opener(member, folder)))
    return tuple(parts)


class _Contents:
    """What the folders unfold to; the last one is kept, because its members are opened one after the other."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._held: tuple[Folder, bytes] | None = None

    def opener(self, member: SevenMember, folder: Folder) -> Callable[[], Source]:
        """How to get at the content of a member, whose checksum is verified."""

        def opened() -> Source:
            if self._held is None or self._held[0] is not folder:
                self._held = None
                packed = self._source.read_at(folder.start, folder.end - folder.start)
                self._held = (folder, unfold(folder.chain, packed, folder.size_bytes))
            content = self._held[1][member.offset : member.offset + member.size_bytes]
            if member.crc32 is not None and zlib.crc32(content) != member.crc32:
                raise MalformedArtifactError(
                    f"the checksum of {clip(member.name, 80)} is wrong", locator=f"byte {folder.start}"
                )
            return Inflated(content, path=part_path(self._source.path, member.name), outer=self._source)

        return opened


FORMAT = Format(
    name="sevenzip",
    title="7z archive",
    media_type="application/x-7z-compressed",
    version=1,
    may_hold_code=True,
    containers=("zip", "tar", "hdf5"),
    checks=("sevenzip.structure", "sevenzip.archive", "sevenzip.coder", "code.on-load"),
    references=("https://www.7-zip.org/sdk.html", "https://nvd.nist.gov/vuln/detail/CVE-2025-11001"),
    sniff=sniff,
    read=read,
)
