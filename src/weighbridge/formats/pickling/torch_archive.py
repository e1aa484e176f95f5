"""The members of a torch zip checkpoint, each examined for what it is.

What torch writes: `PREFIX/data.pkl`, one `PREFIX/data/KEY` a storage, and a few short texts (torch/serialization.py,
caffe2/serialize/inline_container.cc). Anything else is examined too: a pickle is interpreted, text is text, and what is
neither stays unread and is said.
"""

from __future__ import annotations

import re
import zlib

from weighbridge.errors import MalformedArtifactError
from weighbridge.formats.archives.zip import STORED, Archive, Member, checksum, open_member, walk
from weighbridge.formats.headers.defects import OverLimitError
from weighbridge.formats.pickling.allowlist import base_allowlist
from weighbridge.formats.pickling.judge import GLOBAL_LIMIT
from weighbridge.formats.pickling.machine import OPCODE_LIMIT
from weighbridge.formats.pickling.report import Report, conclude, structure
from weighbridge.formats.pickling.streams import Rules, StreamReader, glance
from weighbridge.formats.pickling.torch_script import CODE_LIMIT_BYTES, ScriptCode
from weighbridge.formats.pickling.torch_streams import StorageIds, header_of, starts_of
from weighbridge.formats.pickling.values import Value
from weighbridge.formats.reading.contract import Reading, whole
from weighbridge.formats.reading.source import Inflated, Source
from weighbridge.formats.reading.spans import Span, complete
from weighbridge.vocabulary import Evidence, Fact, Finding, Outcome, Severity, SpanKind, clip

INFLATED_LIMIT_BYTES = 32 << 20
"""Largest compressed member that is unfolded at once; all of them together stay below eight times that."""
TEXT_LIMIT_BYTES = 1 << 20
CHECKED_BYTES = 16 << 20
"""Members up to this size have their checksum verified; storages are weights and are not read."""
OTHER_LIMIT = 1000
"""Members beside the storages that are looked at."""
_GLANCE_LIMIT = 400_000
"""Opcodes followed to find pickles among other members; behind them every member is read as one."""
_CODE_SUFFIXES = (".py", ".pyc", ".so", ".sh")
"""Members that torch.package and others run."""
_NOTES = {
    "version": re.compile(rb"[0-9]{1,8}\n?\Z"),
    ".format_version": re.compile(rb"[0-9]{1,8}\n?\Z"),
    ".storage_alignment": re.compile(rb"[0-9]{1,8}\n?\Z"),
    "byteorder": re.compile(rb"(little|big)\Z"),
    ".data/serialization_id": re.compile(rb"[0-9A-Za-z-]{1,64}\Z"),
    ".data/version": re.compile(rb"[0-9]{1,8}\n?\Z"),
}


class TorchArchive:
    """One reading of one checkpoint. Nothing is kept after `read`."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.archive: Archive = walk(source)
        self.prefix = self._prefix()
        self.stores: dict[str, StorageIds] = {"data": StorageIds(parts=5)}
        self.rules = Rules()
        self.values: list[Value] = []
        self.reports: list[Report] = []
        self.findings: list[Finding] = []
        self.metadata: list[Fact] = []
        self.spans: list[Span] = list(self.archive.spans)
        self.is_script = any(self._rest(m) == "constants.pkl" for m in self.archive.members)
        if self.is_script:
            self.metadata.append(Fact(name="torch.kind", value="TorchScript"))
        self.doubt = ""
        self.room = 8 * INFLATED_LIMIT_BYTES
        self.others = 0
        self.glanced = 0

    def read(self) -> Reading:
        """Examine every member and account for every byte."""
        if self.is_script:
            self._read_code()
        ordered = sorted(self.archive.members, key=lambda m: (not self._rest(m).endswith(".pkl"), m.header_offset))
        for member in ordered:
            self._examine(member)
        self._check_storages()
        for message, locator in self.archive.problems:
            self._find("torch_zip.archive", message, locator)
        if self.archive.problems:
            self.doubt = self.doubt or "the archive's own records disagree about what it holds"
        spans = self._spans()
        reports = [finding for report in self.reports for finding in report.findings]
        broken = f"the archive's own records disagree: {self.archive.problems[0][0]}" if self.archive.problems else ""
        said = f"{len(self.archive.members)} members, and every record of the archive agrees"
        return Reading(
            spans=spans,
            findings=(
                *self.findings,
                *reports,
                conclude(self.reports, artifact=self.source.path, doubt=self.doubt),
                structure("torch_zip.structure", broken, artifact=self.source.path, said=said),
            ),
            header=header_of(self.source.path, "torch_zip", self.values, self.stores["data"], self.metadata),
            starts=starts_of(self.values, self._places()),
        )

    def _prefix(self) -> str:
        first = self.archive.members[0].name if self.archive.members else ""
        prefix = first.split("/", 1)[0] + "/" if "/" in first else ""
        for member in self.archive.members:
            if not member.name.startswith(prefix):
                self.archive.complain(f"{member.name} lies outside the folder {prefix}", member.header_offset)
        if not any(member.name == f"{prefix}data.pkl" for member in self.archive.members):
            self.archive.complain("there is no data.pkl, with which torch starts", 0)
        return prefix

    def _rest(self, member: Member) -> str:
        return member.name.removeprefix(self.prefix)

    def _spans(self) -> tuple[Span, ...]:
        try:
            return complete(self.spans, self.source)
        except MalformedArtifactError as overlap:
            self._find("torch_zip.archive", f"members overlap: {overlap.message}", overlap.locator)
            self.doubt = self.doubt or "members overlap"
            return whole(SpanKind.UNREAD, self.source, "members overlap")

    def _examine(self, member: Member) -> None:
        rest = self._rest(member)
        try:
            if self._store_of(rest) is not None:
                self._examine_storage(member, rest)
            elif self.is_script and rest.startswith("code/") and rest.endswith(".py"):
                self._claim(member, SpanKind.HEADER, "TorchScript code")
            else:
                self._examine_content(member, rest)
        except MalformedArtifactError as broken:
            self._leave(member, broken.message)

    def _read_code(self) -> None:
        """Read the TorchScript code of the archive first: its classes are those that its pickles may name."""
        code = ScriptCode(Report(f"{self.source.path}!{clip(self.prefix)}code"))
        self.reports.append(code.report)
        for member in self.archive.members:
            rest = self._rest(member)
            if not rest.startswith("code/") or not rest.endswith(".py"):
                continue
            try:
                content = open_member(self.source, member, path=self.source.path, limit_bytes=CODE_LIMIT_BYTES)
                if content.size_bytes > CODE_LIMIT_BYTES:
                    raise OverLimitError("more code than is read")
                data = content.read_at(0, content.size_bytes)
            except MalformedArtifactError as broken:
                code.report.doubt("torch_zip.torchscript", f"{rest}: {broken.message}", broken.locator)
                continue
            code.read(rest, data)
        self.rules = Rules(allowlist=base_allowlist().add(code.entries()))

    def _store_of(self, rest: str) -> StorageIds | None:
        """The storages that a member is one of: `NAME/KEY` beside `NAME.pkl`, where NAME is `data` or the archive is TorchScript."""
        folder, slash, key = rest.partition("/")
        if not slash or "/" in key:
            return self.stores["data"] if folder == "data" and slash else None
        return self.stores["data"] if folder == "data" else self.stores.get(folder)

    def _examine_content(self, member: Member, rest: str) -> None:
        self.others += 1
        if self.others > OTHER_LIMIT:
            raise MalformedArtifactError("more members beside the storages than are looked at")
        if member.method != STORED:
            self.room -= member.size_bytes
            if self.room < 0:
                raise MalformedArtifactError("the members unfold to more than is read")
        path = f"{self.source.path}!{clip(member.name)}"
        content = open_member(self.source, member, path=path, limit_bytes=INFLATED_LIMIT_BYTES, archive=self.archive)
        if content.size_bytes <= CHECKED_BYTES and checksum(content) != member.crc32:
            self.archive.complain(f"the checksum of {member.name} is wrong", member.header_offset)
        if rest in _NOTES:
            self._examine_note(member, rest, content)
        elif rest.endswith((".pkl", ".pickle", ".debug_pkl")) or self._acts(content):
            self._examine_pickle(member, rest, content)
        elif not rest.endswith(_CODE_SUFFIXES) and _is_text(content):
            self._claim(member, SpanKind.HEADER, "text")
        else:
            self._leave(member, "is of no kind that torch writes as data")

    def _acts(self, content: Source) -> bool:
        """Whether a member without the suffix of a pickle is one all the same; all members together get one budget."""
        if self.glanced >= _GLANCE_LIMIT:
            return True
        seen = glance(content)
        self.glanced += seen.opcodes
        return bool(seen.acts or (seen.first == "PROTO" and seen.opcodes > 2) or (seen.names and seen.is_stopped))

    def _examine_note(self, member: Member, rest: str, content: Source) -> None:
        text = content.read_at(0, min(content.size_bytes, 100))
        if not _NOTES[rest].match(text):
            self._leave(member, "does not hold what torch writes there")
            return
        self.metadata.append(
            Fact(name=f"torch.{rest.rsplit('/', maxsplit=1)[-1].lstrip('.')}", value=text.decode("ascii").strip())
        )
        self._claim(member, SpanKind.HEADER, rest)

    def _examine_pickle(self, member: Member, rest: str, content: Source) -> None:
        stem = rest.removesuffix(".pkl")
        if self.is_script and "/" not in stem and stem != rest:
            self.stores.setdefault(stem, StorageIds(parts=5))
        reader = StreamReader(
            content,
            artifact=content.path,
            rules=self.rules,
            persistent=self.stores.get(stem) if stem != rest else None,
            opcode_limit=OPCODE_LIMIT - self.glanced - sum(report.opcodes for report in self.reports),
            name_limit=GLOBAL_LIMIT - sum(len(report.globals) for report in self.reports),
        )
        streams = reader.read_all()
        self.reports.append(streams.report)
        if rest == "data.pkl":
            self.values += streams.values[:1]
        if len(streams.values) > 1:
            self._leave(member, "holds further pickles after the first, which torch never writes", claim=False)
        inner = complete(streams.spans, content)
        if isinstance(content, Inflated):
            odd = [s.kind for s in inner if s.kind in (SpanKind.UNREAD, SpanKind.UNEXPLAINED)]
            self._claim(member, odd[0] if odd else SpanKind.HEADER, "compressed pickle")
            return
        shift = member.data_offset
        self.spans += [Span(start=s.start + shift, end=s.end + shift, kind=s.kind, note=s.note) for s in inner]

    def _examine_storage(self, member: Member, rest: str) -> None:
        key = rest.split("/", 1)[1]
        store = self._store_of(rest)
        known = store.by_key.get(key) if store else None
        if member.data_offset < 0:
            raise MalformedArtifactError("cannot be located")
        if known is None:
            self._leave(member, "is a storage that the pickle does not refer to")
            return
        is_left_out = (
            rest.startswith("traced_inputs/") and not member.size_bytes
        )  # torch keeps the shape of an example only
        if known.size_bytes != member.size_bytes and not is_left_out:
            self._find(
                "torch_zip.storage",
                f"{member.name} has {member.size_bytes} bytes where the pickle expects {known.size_bytes}",
                f"byte {member.data_offset}",
            )
        if member.method != STORED:
            self.room -= member.size_bytes
            if self.room < 0 or not _unfolds(self.source, member):
                raise MalformedArtifactError("is compressed and does not unfold to its size")
        self._claim(member, SpanKind.TENSOR, f"storage {clip(key, 40)}")

    def _places(self) -> dict[str, int]:
        """Where the storages lie, by key; none where the archive's records disagree or the numbers are big-endian."""
        is_big = any(fact.name == "torch.byteorder" and fact.value == "big" for fact in self.metadata)
        if is_big or self.archive.problems:
            return {}
        start = f"{self.prefix}data/"
        return {
            member.name.removeprefix(start): member.data_offset
            for member in self.archive.members
            if member.name.startswith(start) and member.method == STORED and member.data_offset >= 0
        }

    def _check_storages(self) -> None:
        names = {member.name for member in self.archive.members}
        for folder, ids in self.stores.items():
            missing = [key for key in ids.by_key if f"{self.prefix}{folder}/{key}" not in names]
            for key in missing[:10]:
                self._find("torch_zip.storage", f"the pickle refers to storage {key}, which is not in the archive", "")

    def _claim(self, member: Member, kind: SpanKind, note: str) -> None:
        if member.data_offset >= 0:
            self.spans.append(Span(start=member.data_offset, end=member.end, kind=kind, note=clip(note, 80)))

    def _leave(self, member: Member, reason: str, *, claim: bool = True) -> None:
        self._find("torch_zip.member", f"{member.name}: {reason}", f"byte {max(member.data_offset, 0)}", is_open=True)
        if claim:
            self._claim(member, SpanKind.UNREAD, reason)
            self.doubt = self.doubt or "a member was not read"

    def _find(self, check: str, message: str, locator: str, *, is_open: bool = False) -> None:
        if sum(1 for finding in self.findings if finding.check == check) >= 20:
            return
        self.findings.append(
            Finding(
                check=check,
                outcome=Outcome.UNKNOWN if is_open else Outcome.FAIL,
                severity=Severity.HIGH,
                message=clip(message, 300),
                evidence=(Evidence(artifact=self.source.path, locator=locator),),
            )
        )


def _is_text(content: Source) -> bool:
    if content.size_bytes > TEXT_LIMIT_BYTES:
        return False
    try:
        text = content.read_at(0, content.size_bytes).decode("utf-8")
    except UnicodeDecodeError:
        return False
    return all(c.isprintable() or c in "\n\r\t" for c in text)


def _unfolds(source: Source, member: Member) -> bool:
    """Whether compressed data unfold to exactly their size, looked at in pieces."""
    engine, total, piece = zlib.decompressobj(-15), 0, 1 << 18
    try:
        for offset in range(0, member.stored_bytes, piece):
            rest = source.read_at(member.data_offset + offset, min(piece, member.stored_bytes - offset))
            while rest and not engine.eof and total <= member.size_bytes:
                total += len(engine.decompress(rest, 1 << 20))
                rest = engine.unconsumed_tail
    except zlib.error:
        return False
    return total == member.size_bytes and engine.eof and not engine.unused_data
