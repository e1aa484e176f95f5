"""Archives of torch.export (.pt2): a graph as JSON, weights as raw numbers, example inputs as torch checkpoints of their own.

Source: torch 2.13 torch/export/pt2_archive/constants.py and _package.py.
"""

from __future__ import annotations

import re
from typing import Any

from weighbridge.errors import MalformedArtifactError
from weighbridge.formats.archives.flavours import flavours_of
from weighbridge.formats.archives.members import ZipReading, over_limit, read_zip
from weighbridge.formats.archives.zip import STORED
from weighbridge.formats.headers.defects import UNJUDGED, OverLimitError
from weighbridge.formats.headers.strict_json import load
from weighbridge.formats.pickling.torch_script import script_rules
from weighbridge.formats.reading.contract import Format, Match, Reading
from weighbridge.formats.reading.source import Source
from weighbridge.vocabulary import Evidence, Finding, Outcome, Severity, clip

_CONFIG_LIMIT_BYTES = 8 << 20
_GRAPH_LIMIT_BYTES = 32 << 20
_ESCAPE = re.compile(rb"\\u00([2-7][0-9a-fA-F])")
_TARGET = re.compile(rb'"target"\s*:\s*"((?:_operator|torch|math|#)[^"\\]{0,300})"')
_OPERATOR = re.compile(r"torch\.ops\.(\w+\.\w+)(?:\.\w+)?\Z")
_FUNCTION = re.compile(r"math\.[a-z0-9]{2,12}\Z")
"""Functions of numbers, all of Python's module of that name."""
_NATIVE = re.compile(r"\.(?:so|dll|dylib|cubin|hsaco|o)(?:\.[0-9.]+)?\Z", re.IGNORECASE)


def sniff(source: Source) -> Match:
    """A zip archive with the members that torch.export writes."""
    return Match.CERTAIN if "torch_export" in flavours_of(source) else Match.NO


def prepare() -> None:
    """Read the table of operators."""
    script_rules()


def read(source: Source) -> Reading:
    """Find the raw numbers by their list, judge the operators of the graphs, and hand out the rest."""
    try:
        archive = read_zip(source, "torch_export")
    except OverLimitError as problem:
        return over_limit(source, "torch_export", problem)
    opaque: set[str] = set()
    findings: list[Finding] = []
    for member in archive.archive.members:
        name = member.name
        if name.endswith(("_weights_config.json", "_constants_config.json")):
            opaque |= _raw_numbers(archive, name)
        elif "/models/" in name and name.endswith(".json"):
            _judge_graph(archive, name)
        elif _NATIVE.search(name):
            findings.append(_native(source, name))
    return archive.reading("torch_export", tuple(findings), opaque=frozenset(opaque))


def _raw_numbers(archive: ZipReading, name: str) -> set[str]:
    """The members beside a list of weights that it calls raw numbers; they are stored as they are."""
    try:
        content = archive.content(name)
        if content.size_bytes > _CONFIG_LIMIT_BYTES:
            raise OverLimitError("more than is read")
        listed = load(content.read_at(0, content.size_bytes))
    except MalformedArtifactError as problem:
        archive.defects.add("torch_export.weights", f"{clip(name, 80)}: {clip(problem.message)}", problem.locator)
        return set()
    config = listed.get("config") if isinstance(listed, dict) else None
    folder = name.rpartition("/")[0]
    raw = (
        {entry["path_name"]: entry for entry in (config or {}).values() if _is_raw(entry)}
        if isinstance(config, dict)
        else {}
    )
    sizes = {m.name: m.size_bytes for m in archive.archive.members if m.method == STORED}
    found = {path for path in (f"{folder}/{short}" for short in raw) if path in sizes}
    missing = sorted(set(raw) - {path.rpartition("/")[2] for path in found})
    if missing:
        archive.defects.add(
            "torch_export.weights", f"the weights {clip(missing[0], 80)} are not in the archive, or not as they are"
        )
    return found


def _is_raw(entry: Any) -> bool:
    return isinstance(entry, dict) and entry.get("use_pickle") is False and isinstance(entry.get("path_name"), str)


def _judge_graph(archive: ZipReading, name: str) -> None:
    """Which operators a graph calls: those of torch are known, others are in native libraries."""
    try:
        content = archive.content(name)
        if content.size_bytes > _GRAPH_LIMIT_BYTES:
            raise OverLimitError("a graph of more bytes than are read")
        data = content.read_at(0, content.size_bytes)
    except MalformedArtifactError as problem:
        archive.defects.add("torch_export.operators", clip(problem.message), clip(name, 80), grade=UNJUDGED)
        return
    plain = _ESCAPE.sub(lambda escape: bytes.fromhex(escape.group(1).decode()), data)
    for target in sorted({match.group(1).decode("utf-8", "replace") for match in _TARGET.finditer(plain)}):
        _judge_target(archive, name, target)


def _judge_target(archive: ZipReading, name: str, target: str) -> None:
    """One callable of a graph: the loader looks it up below `torch`, `_operator` or `math`, attribute by attribute."""
    rules = script_rules()
    operator = _OPERATOR.match(target)
    if (operator and operator.group(1) in rules.known) or target in rules.targets or _FUNCTION.match(target):
        return
    if operator is None or rules.is_harmful(operator.group(1)):
        message = f"calls {clip(target, 80)}, which {rules.reason}"
        if operator is None:
            message = f"calls {clip(target, 80)}, which is no operator"
        archive.defects.add("torch_export.operators", message, clip(name, 80), grade=(Outcome.FAIL, Severity.CRITICAL))
        return
    message = f"calls the operator {clip(operator.group(1), 80)}, which is none of torch's own that is listed"
    archive.defects.add("torch_export.operators", message, clip(name, 80), grade=UNJUDGED)


def _native(source: Source, name: str) -> Finding:
    """A library that torch loads with the model (torch._inductor.aoti_load_package)."""
    return Finding(
        check="code.on-load",
        outcome=Outcome.FAIL,
        severity=Severity.CRITICAL,
        message=f"loading runs native code that nobody can judge: {clip(name, 100)}",
        evidence=(Evidence(artifact=source.path, excerpt=clip(name)),),
    )


FORMAT = Format(
    name="torch_export",
    title="torch.export archive (.pt2)",
    media_type="application/x-pytorch-export",
    version=1,
    may_hold_code=True,
    containers=("zip",),
    checks=(
        "torch_export.structure",
        "torch_export.archive",
        "torch_export.operators",
        "torch_export.weights",
        "code.on-load",
    ),
    references=("https://docs.pytorch.org/docs/2.13/export/pt2_archive.html",),
    sniff=sniff,
    read=read,
    prepare=prepare,
)
