"""skops models (`.skops`): a zip archive of a tree of objects in JSON, and the arrays and bytes that it names.

skops.io builds the tree by importing what its nodes name and setting their states, after asking its own list of trusted types, which
a caller may widen by what the file itself asks for. So each node is judged as the same effect of a pickle is. Source: skops 0.16
skops/io/_persist.py, _audit.py. `Card.get_model` hands a file that is no such archive to joblib (CVE-2025-54886): a pickle stays one.
"""

from __future__ import annotations

import json
from collections import Counter
from math import prod
from typing import Any

from weighbridge.errors import MalformedArtifactError
from weighbridge.formats import npy
from weighbridge.formats.archives.flavours import flavours_of
from weighbridge.formats.archives.members import CHECKED_BYTES, ZipReading, over_limit, read_zip
from weighbridge.formats.archives.zip import STORED, Member
from weighbridge.formats.headers.defects import ODD, UNJUDGED, OverLimitError
from weighbridge.formats.pickling.allowlist import base_allowlist
from weighbridge.formats.pickling.danger import danger_list
from weighbridge.formats.pickling.facts import Array
from weighbridge.formats.pickling.judge import Judge
from weighbridge.formats.pickling.report import CHECKS, Report, conclude
from weighbridge.formats.pickling.skops_loaders import LOADERS
from weighbridge.formats.pickling.skops_nodes import NODE_LIMIT, Stored, Tree
from weighbridge.formats.pickling.tables import read_tables
from weighbridge.formats.reading.contract import Format, Match, Reading, answer_on_load, own_name, part_path
from weighbridge.formats.reading.source import Source
from weighbridge.vocabulary import Fact, Finding, Header, Outcome, Severity, Tensor, clip

_SCHEMA = "schema.json"
_PROTO = b"\x80"
_SCHEMA_LIMIT_BYTES = 40 << 20
_PROTOCOL = 2
"""The newest protocol that is known here (skops 0.16)."""
_ARRAY_LIMIT = 6_000
_SHARED, _TEXTS_LIMIT = ("__class__", "__module__", "__loader__"), 1_000
"""Keys whose texts are kept once for all nodes, and how many of them."""
_UNFOLDED_LIMIT_BYTES = 96 << 20
"""Compressed arrays of one file that are unfolded to see their shapes, all together."""


def sniff(source: Source) -> Match:
    """CERTAIN where the directory of a zip archive lists a schema."""
    return Match.CERTAIN if "skops" in flavours_of(source) else Match.NO


def read(source: Source) -> Reading:
    """Judge the tree of objects and hand out the members, but for plain arrays, which are read here."""
    try:
        archive = read_zip(source, "skops")
    except OverLimitError as problem:
        return over_limit(source, "skops", problem)
    listed = [member.name for member in archive.archive.members]
    if _SCHEMA not in listed:  # an archive around something else: no loader of skops opens it
        return archive.reading("skops")
    model = _Model(archive)
    if listed.count(_SCHEMA) == 1:
        model.judge_schema()
        if model.is_foreign:
            return archive.reading("skops")
    else:
        archive.defects.add("skops.schema", f"there are {listed.count(_SCHEMA)} members {_SCHEMA}, not one")
    findings = model.conclude()
    said = f"{len(listed)} members, {model.nodes:,} nodes, and every record of the archive agrees"
    reading = archive.reading("skops", findings, opaque=frozenset(model.plain), judged=frozenset((_SCHEMA,)), said=said)
    return Reading(spans=reading.spans, findings=reading.findings, header=model.header(), parts=reading.parts)


class _Model:
    """One archive while it is judged; `is_foreign` where its schema describes something else than an object.

    `plain` are the members that are arrays of numbers, or bytes that are only held.
    """

    def __init__(self, archive: ZipReading) -> None:
        self.archive = archive
        self.nodes = 0
        self.is_foreign = False
        self.plain: dict[str, Tensor | None] = {}
        self._version = ""
        self._root = ""
        self._members = {member.name: member for member in archive.archive.members}
        self._stored: dict[str, Stored] = {}
        self._unfolded_bytes = 0
        self._texts: dict[str, str] = {}
        self._report = Report(part_path(archive.source.path, _SCHEMA))
        self._judge = Judge(self._report, allowlist=base_allowlist(), danger=danger_list())
        self._is_walked = False

    def judge_schema(self) -> None:
        """Walk the tree, as far as it can be followed."""
        defects = self.archive.defects
        try:
            raw, schema = self._parse()
            if "__loader__" not in schema and not own_name(self.archive.source.path).endswith(".skops"):
                self.is_foreign = True
                return
            protocol = self._take_protocol(schema)
            tree = Tree(self._judge, defects, raw, protocol=protocol, loaders=LOADERS, stored=self._find)
            tree.value(schema)
            self.nodes, self._is_walked = tree.nodes, True
            self._name_unused(tree)
            self.plain |= {name: None for name in tree.texts if self._is_inert(self._members[name])}
        except OverLimitError as problem:
            defects.add("skops.schema", clip(problem.message), problem.locator, grade=UNJUDGED)
        except RecursionError:
            defects.add("skops.schema", "nodes nest deeper than is followed", grade=UNJUDGED)
        except MalformedArtifactError as problem:
            defects.add("skops.schema", f"{_SCHEMA} cannot be followed: {clip(problem.message)}", problem.locator)
        self._judge.finish()
        self._report.is_whole = self._is_walked

    def _parse(self) -> tuple[bytes, dict[str, Any]]:
        content = self.archive.content(_SCHEMA)
        if content.size_bytes > _SCHEMA_LIMIT_BYTES:
            raise OverLimitError(f"a schema of {content.size_bytes:,} bytes is not judged", locator="byte 0")
        raw = content.read_at(0, content.size_bytes)
        is_many = raw.count(b",") > 12 * NODE_LIMIT or raw.count(b"[") + raw.count(b"{") > 3 * NODE_LIMIT
        if is_many or raw.count(b"__loader__") > NODE_LIMIT:
            raise OverLimitError(f"more than {NODE_LIMIT:,} nodes are not judged", locator="byte 0")
        try:
            value = json.loads(raw.decode("utf-8"), object_pairs_hook=self._take_pairs)
        except (ValueError, RecursionError) as problem:
            raise MalformedArtifactError(f"it is no JSON: {str(problem)[:80]}", locator="byte 0") from problem
        if not isinstance(value, dict):
            raise MalformedArtifactError("it is no object", locator="byte 0")
        return raw, value

    def _take_pairs(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        """One object, read as skops reads it: by Python's json, for which the last of two equal keys counts."""
        made = dict(pairs)
        if len(made) != len(pairs):
            twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
            message = f"the key {clip(twice, 80)!r} stands twice, so loaders may build different objects"
            self.archive.defects.add("skops.schema", message, excerpt=clip(twice))
        for key in _SHARED:
            text = made.get(key)
            if text.__class__ is str and len(self._texts) < _TEXTS_LIMIT:
                made[key] = self._texts.setdefault(text, text)
        return made

    def _take_protocol(self, schema: dict[str, Any]) -> int:
        protocol, version = schema.get("protocol"), schema.get("_skops_version")
        self._version = clip(version, 40) if isinstance(version, str) else ""
        self._root = clip(f"{schema.get('__module__')}.{schema.get('__class__')}", 120)
        if type(protocol) is not int or protocol < 0:
            raise MalformedArtifactError("the protocol is no number", locator="byte 0")
        if protocol > _PROTOCOL:
            raise OverLimitError(f"protocol {min(protocol, 1 << 32)} is newer than is known here", locator="byte 0")
        return protocol

    def _find(self, name: str) -> Stored | None:
        member = self._members.get(name)
        if member is None:
            return None
        if name not in self._stored:
            if len(self._stored) >= _ARRAY_LIMIT:
                raise OverLimitError(f"more than {_ARRAY_LIMIT:,} arrays are not judged")
            array = self._array(member) if name.endswith(".npy") else None
            self._stored[name] = Stored(size_bytes=member.size_bytes, crc32=member.crc32, array=array)
        return self._stored[name]

    def _array(self, member: Member) -> Array | None:
        """The shape of an array of plain numbers; anything else is left to inspection, as a part.

        Raises:
            OverLimitError: more would be unfolded than is read.
        """
        if member.method != STORED or member.size_bytes <= CHECKED_BYTES:
            self._unfolded_bytes += member.size_bytes
        if self._unfolded_bytes > _UNFOLDED_LIMIT_BYTES:
            raise OverLimitError(f"arrays of more than {_UNFOLDED_LIMIT_BYTES:,} bytes are not unfolded")
        try:
            content = self.archive.open(member)()
            reading = npy.read(content) if npy.sniff(content) is Match.CERTAIN else None
        except MalformedArtifactError:
            return None
        tensors = reading.header.tensors if reading is not None and reading.header is not None else ()
        if reading is None or not tensors or any(f.outcome is not Outcome.PASS for f in reading.findings):
            return None
        found = tensors[0]
        self.plain[member.name] = Tensor(
            name=clip(member.name, 120), dtype=found.dtype, shape=found.shape, size_bytes=found.size_bytes
        )
        return Array(dtype=found.dtype, shape=found.shape, size_bytes=found.size_bytes)

    def _is_inert(self, member: Member) -> bool:
        """Whether bytes that the tree only holds are no pickle; one of those is examined as the part that it is."""
        self._unfolded_bytes += member.size_bytes
        try:
            return self._unfolded_bytes <= _UNFOLDED_LIMIT_BYTES and self.archive.open(member)().head(1) != _PROTO
        except MalformedArtifactError:
            return False

    def _name_unused(self, tree: Tree) -> None:
        for name in self._members:
            if name not in tree.used and name != _SCHEMA:
                message = f"the member {clip(name, 80)!r} is not one that the schema names"
                self.archive.defects.add("skops.member", message, excerpt=clip(name), grade=ODD)

    def conclude(self) -> tuple[Finding, ...]:
        """What was found in the tree, and whether loading it runs code."""
        source = self.archive.source
        is_doubtful = any(check.outcome is not Outcome.PASS for check in self.archive.defects.findings())
        if not self._is_walked and not self._report.findings:
            words = f"nobody knows what {_SCHEMA} builds"
            return (answer_on_load(source, Outcome.UNKNOWN, Severity.HIGH, words),)
        doubt = "the archive or its schema is not sound" if is_doubtful else ""
        return (*self._report.findings, conclude([self._report], artifact=source.path, doubt=doubt))

    def header(self) -> Header:
        """The model's class and its arrays."""
        tensors = tuple(tensor for tensor in self.plain.values() if tensor is not None)
        facts = (Fact(name="skops.version", value=self._version),) if self._version else ()
        return Header(
            path=self.archive.source.path,
            format="skops",
            architecture=self._root,
            metadata=(*facts, Fact(name="skops.nodes", value=str(self.nodes))),
            parameter_count=min(sum(prod(tensor.shape) for tensor in tensors), 1 << 52),
            tensors=tensors,
            dtypes=tuple(sorted({tensor.dtype for tensor in tensors})),
            weights_bytes=min(sum(tensor.size_bytes for tensor in tensors), 1 << 52),
        )


FORMAT = Format(
    name="skops",
    title="skops model (.skops)",
    media_type="application/x-skops",
    version=1,
    may_hold_code=True,
    containers=("zip",),
    checks=("skops.structure", "skops.archive", "skops.schema", "skops.member", *CHECKS),
    references=(
        "https://skops.readthedocs.io/en/stable/persistence.html",
        *(
            f"https://nvd.nist.gov/vuln/detail/{cve}"
            for cve in ("CVE-2024-37065", "CVE-2025-54412", "CVE-2025-54413", "CVE-2025-54886")
        ),
    ),
    sniff=sniff,
    read=read,
    prepare=read_tables,
)
