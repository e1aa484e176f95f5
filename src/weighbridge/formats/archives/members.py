"""The members of a zip archive as files to examine: what every format that is a zip archive does first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from weighbridge.errors import MalformedArtifactError
from weighbridge.formats.archives.zip import STORED, Archive, Member, checksum, open_member, walk
from weighbridge.formats.headers.defects import Defects, OverLimitError
from weighbridge.formats.reading.contract import Part, Reading, answer_on_load, part_path, whole
from weighbridge.formats.reading.source import Source
from weighbridge.formats.reading.spans import Span, complete
from weighbridge.vocabulary import Finding, Outcome, Severity, SpanKind, clip

INFLATED_LIMIT_BYTES = 48 << 20
"""Largest compressed member that is unfolded."""
CHECKED_BYTES = 16 << 20
"""Members up to this size have their checksum verified, stored weights are not read for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ZipReading:
    """An archive that was walked: its members by name, what is wrong with it, and the spans of everything but the members."""

    source: Source
    archive: Archive
    defects: Defects

    def content(self, name: str) -> Source:
        """The bytes of the member of that name.

        Raises:
            MalformedArtifactError: there is none, or it cannot be opened.
        """
        for member in self.archive.members:
            if member.name == name:
                return self.open(member)()
        raise MalformedArtifactError(f"there is no member {name}", locator="byte 0")

    def open(self, member: Member) -> Callable[[], Source]:
        """How to get at the content of a member; its checksum is verified where it is short or compressed."""

        def opened() -> Source:
            path = part_path(self.source.path, member.name)
            content = open_member(self.source, member, path=path, limit_bytes=INFLATED_LIMIT_BYTES)
            is_checked = content.size_bytes <= CHECKED_BYTES or member.method != STORED
            if is_checked and checksum(content) != member.crc32:
                raise MalformedArtifactError(
                    f"the checksum of {clip(member.name, 80)} is wrong", locator=f"byte {member.header_offset}"
                )
            return content

        return opened

    def reading(
        self, unit: str, findings: tuple[Finding, ...] = (), *, opaque: frozenset[str] = frozenset(), said: str = ""
    ) -> Reading:
        """All members as parts but those that are `opaque` numbers, with one answer `UNIT.structure`."""
        members = sorted((m for m in self.archive.members if m.data_offset >= 0), key=lambda m: m.data_offset)
        spans = [*self.archive.spans]
        for m in members:
            kind = SpanKind.TENSOR if m.name in opaque else SpanKind.HEADER
            spans.append(Span(start=m.data_offset, end=m.end, kind=kind, note=f"member {clip(m.name, 80)}"))
        said = said or f"{len(self.archive.members)} members, and every record of the archive agrees"
        try:
            covered = complete(spans, self.source)
        except MalformedArtifactError as overlap:
            self.defects.add(f"{unit}.archive", f"members overlap: {overlap.message}", overlap.locator)
            covered = whole(SpanKind.UNREAD, self.source, "members overlap")
            members = []
        parts = tuple(
            Part(start=m.data_offset, end=m.end, open=self.open(m))
            for m in members
            if not m.name.endswith("/") and m.name not in opaque
        )
        found = (*findings, self.defects.structure(f"{unit}.structure", said), *self.defects.findings())
        if not parts:
            found = (*found, _no_code(self.source, is_sound=not self.defects))
        return Reading(spans=covered, findings=found, parts=parts)


def read_zip(source: Source, unit: str) -> ZipReading:
    """Walk an archive; every disagreement of its records becomes a finding `UNIT.archive`.

    Raises:
        MalformedArtifactError: there is no usable directory.
        OverLimitError: more members than are read.
    """
    archive = walk(source)
    defects = Defects(source.path)
    for message, locator in archive.problems:
        defects.add(f"{unit}.archive", message, locator)
    return ZipReading(source=source, archive=archive, defects=defects)


def over_limit(source: Source, unit: str, problem: OverLimitError) -> Reading:
    """What is said of an archive with more members than are read."""
    defects = Defects(source.path)
    defects.add(f"{unit}.archive", problem.message, problem.locator, grade=(Outcome.UNKNOWN, Severity.HIGH))
    return Reading(
        spans=whole(SpanKind.UNREAD, source, "more than is read"),
        findings=(defects.structure(f"{unit}.structure", ""), *defects.findings(), _no_code(source, is_sound=False)),
    )


def _no_code(source: Source, *, is_sound: bool) -> Finding:
    if is_sound:
        return answer_on_load(source, Outcome.PASS, Severity.INFO, "an archive without files holds no code")
    return answer_on_load(source, Outcome.UNKNOWN, Severity.HIGH, "nobody knows what the archive holds")
