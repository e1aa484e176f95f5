"""The numbers of a model's tensors: NaN and infinities, and tensors that hold one value only.

This process plans where to look, over all files of a model together, so that a tensor is looked at in the same places whichever
file it lies in; the bytes are read in the jail. Positions follow from a tensor's name and size, without randomness: a sample
finds damage, not someone who plants one value where nobody looks. Only a full look reads everything.
"""

from __future__ import annotations

import re
import tomllib
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from math import prod
from typing import Any

from weighbridge.errors import MalformedArtifactError
from weighbridge.inspection.samples import PAGE_BYTES
from weighbridge.inspection.tasks import LOOK
from weighbridge.jail.confinement import Completed, Jail, Job
from weighbridge.registry import wire
from weighbridge.registry.intake import WeighedFile
from weighbridge.vocabulary import Artifact, Evidence, Finding, Header, Outcome, Severity, Tensor, clip

FINITE = "inventory.finite"
CONSTANT = "inventory.constant"
CHECKS = {
    FINITE: "no tensor holds NaN or an infinity where it was looked at; the message says how much was",
    CONSTANT: "no matrix holds one value only where it was looked at",
}

PAGE_LIMIT = 2048
"""Pages of one model that a sample reads: 8 MiB."""
TENSOR_PAGES = 64
_PIECE_BYTES = 128 << 20
_JOB_PLACES = 128
_SHOWN = 10
_MASK = re.compile(r"(?:.*[._])?(?:attn\.(?:bias|masked_bias)|(?:\w*_)?(?:mask|masked_bias))")
_NO_FLOAT = re.compile(
    r"[IU](?:8|16|32|64)|BOOL|q?u?int\d{1,2}(?:x\d)?|bool|[<|>]?[iub?]\d{0,2}|string|[<|>]?(?:[SU]\d{1,9}|[mM]8(?:\[\w{1,9}\])?)"
)
_ONE_VALUE = re.compile(
    r".*(?:norm|ln_|layernorm|gamma|beta|scale|zero|bias|mask|lora_B|rope|rotary|inv_freq|embed).*", re.IGNORECASE
)


@dataclass(slots=True, kw_only=True)
class _Looked:
    """One tensor, where it lies in its file, and what was seen of it."""

    path: str
    tensor: Tensor
    start: int
    width: int
    fields: list[Any]
    read: int = 0
    nan: int = 0
    endless: int = 0
    first: int = -1
    only: str | None = None

    @property
    def seed(self) -> int:
        """Where a sample looks follows from it."""
        return zlib.crc32(f"{self.tensor.size_bytes} {self.tensor.name}".encode("utf-8", "backslashreplace"))

    def add(self, read: int, nan: int, endless: int, first: int, only: str) -> None:
        """Take in what was seen in a further part of it."""
        self.read += read
        self.nan += nan
        self.endless += endless
        self.first = first if self.first < 0 or 0 <= first < self.first else self.first
        self.only = only if self.only in (None, only) else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A header, and where in the file that holds it each of its tensors starts; -1 where that is not known."""

    header: Header
    starts: tuple[int, ...]


@cache
def _codings() -> Mapping[str, tuple[int, list[Any]]]:
    text = files("weighbridge.inspection").joinpath("data/value_codings.toml").read_text("utf-8")
    return {word: (width, fields) for word, (width, fields) in tomllib.loads(text)["codings"].items()}


def look_at_values(
    placed: Sequence[Placed],
    artifacts: Iterable[Artifact],
    weighed: Iterable[WeighedFile],
    *,
    jail: Jail,
    is_full: bool,
) -> list[Finding]:
    """Look at the tensors of a model, a sample of each or every byte; what a full look cannot look at is UNKNOWN."""
    known: list[_Looked] = []
    by_path = {file.path: file for file in weighed}
    listed: Counter[str] = Counter()
    left: Counter[str] = Counter()
    for item in placed:
        path = _outer(item.header.path, by_path)
        listed[path] += sum(tensor.size_bytes for tensor in item.header.tensors)
        _sort(item, path, known, left)
    for file in artifacts:
        if (unlisted := file.account.tensor_bytes - listed[file.path]) > 0:
            left[f"bytes of {file.format} that no header lists"] += unlisted
    chosen, pages = known, 0
    if not is_full and known:
        chosen = sorted(known, key=lambda one: (one.seed, one.tensor.name))[:PAGE_LIMIT]
        pages = min(TENSOR_PAGES, PAGE_LIMIT // len(chosen))
    problem = _look(chosen, by_path, jail, pages)
    findings = [_not_looked_at(left, is_full=is_full)] if left else []
    if problem:
        return [*findings, _said(FINITE, Outcome.ERROR, Severity.MEDIUM, f"tensors could not be looked at: {problem}")]
    return [*findings, *_judge(chosen, known)] if known else findings


def nothing_listed() -> list[Finding]:
    """What a full look says of a model without tensors; arrays in the middle of a pickle are none."""
    text = "no tensor is listed in a header: no value was looked at"
    return [_said(FINITE, Outcome.NOT_APPLICABLE, Severity.INFO, text)]


def not_looked(placed: Iterable[Placed]) -> list[Finding]:
    """What a look at headers alone says of values."""
    if not any(item.header.tensors for item in placed):
        return []
    return [_said(FINITE, Outcome.NOT_APPLICABLE, Severity.INFO, "headers only: no value of a tensor was looked at")]


def _outer(path: str, weighed: Mapping[str, WeighedFile]) -> str:
    """The file that a header speaks of, or that its member lies in; a name may hold the mark of a member itself."""
    while path not in weighed and "!" in path:
        path = path.rpartition("!")[0]
    return path


def _sort(item: Placed, path: str, known: list[_Looked], left: Counter[str]) -> None:
    starts = item.starts or (-1,) * len(item.header.tensors)
    for tensor, start in zip(item.header.tensors, starts, strict=False):
        if not tensor.size_bytes or _NO_FLOAT.fullmatch(tensor.dtype):
            continue
        coding = _codings().get(tensor.dtype)
        if start < 0 or coding is None:
            left[f"{clip(tensor.dtype, 20)} of {item.header.format}"] += 1
            continue
        known.append(_Looked(path=path, tensor=tensor, start=start, width=coding[0], fields=coding[1]))


def _look(chosen: Sequence[_Looked], weighed: Mapping[str, WeighedFile], jail: Jail, pages: int) -> str:
    """Have every tensor looked at; why that failed, or nothing."""
    batches = list(_batches(chosen, pages))
    jobs = (
        Job(
            arguments={
                "path": batch[0][0].path,
                "size_bytes": weighed[batch[0][0].path].size_bytes,
                "places": [place for _, place in batch],
            },
            open_fd=weighed[batch[0][0].path].open_fd,
        )
        for batch in batches
    )
    problem = ""
    for batch, answer in zip(batches, jail.call_many(LOOK, jobs), strict=True):
        if not isinstance(answer, Completed):
            problem = problem or answer.detail
            continue
        try:
            seen = wire.decode(tuple[tuple[int, int, int, int, str], ...], answer.value)
        except (MalformedArtifactError, AttributeError):
            seen = ()
        if len(seen) != len(batch) or any(min(one[:3]) < 0 or one[3] < -1 for one in seen):
            problem = problem or "the answer makes no sense"
            continue
        for (looked, _), one in zip(batch, seen, strict=True):
            looked.add(*one)
    return problem


def _batches(chosen: Sequence[_Looked], pages: int) -> Iterator[list[tuple[_Looked, list[Any]]]]:
    """Places of one file in each job, and so few bytes that it ends in time."""
    batch: list[tuple[_Looked, list[Any]]] = []
    size = 0
    for looked in sorted(chosen, key=lambda one: (one.path, one.start)):
        end = looked.start + looked.tensor.size_bytes
        step = end - looked.start if pages else _PIECE_BYTES // looked.width * looked.width
        for start in range(looked.start, end, step):
            stop = min(start + step, end)
            is_other = batch and batch[0][0].path != looked.path
            if is_other or len(batch) >= _JOB_PLACES or (not pages and size + stop - start > _PIECE_BYTES and batch):
                yield batch
                batch, size = [], 0
            batch.append((looked, [start, stop, looked.width, looked.fields, pages, looked.seed]))
            size += stop - start
    if batch:
        yield batch


def _judge(chosen: Sequence[_Looked], known: Sequence[_Looked]) -> list[Finding]:
    how = _how_much(chosen, known)
    ordered = sorted(chosen, key=lambda one: (one.tensor.name, one.path))
    odd = [one for one in ordered if one.nan or (one.endless and not _MASK.fullmatch(one.tensor.name))]
    same = [one for one in ordered if one.only and _is_telling(one.tensor)]
    findings = [_said(FINITE, Outcome.PASS, Severity.INFO, f"no tensor holds NaN or an infinity; {how}")]
    if odd:
        text = f"{len(odd):,} tensor{_s(odd)} with NaN or infinities; {how}"
        findings = [_said(FINITE, Outcome.FAIL, Severity.MEDIUM, text, map(_shown_odd, odd[:_SHOWN]))]
    if same:
        text = f"{len(same):,} matri{'ces' if len(same) > 1 else 'x'} of one value only; {how}"
        return [*findings, _said(CONSTANT, Outcome.FAIL, Severity.INFO, text, map(_shown_same, same[:_SHOWN]))]
    return [*findings, _said(CONSTANT, Outcome.PASS, Severity.INFO, f"no matrix holds one value only; {how}")]


def _how_much(chosen: Sequence[_Looked], known: Sequence[_Looked]) -> str:
    read, total = sum(one.read for one in chosen), sum(one.tensor.size_bytes for one in known)
    if read == total:
        return f"every byte of {len(known):,} tensor{_s(known)} was read"
    pages = sum(-(-one.tensor.size_bytes // PAGE_BYTES) for one in known)
    seen = sum(-(-one.read // PAGE_BYTES) for one in chosen)
    which = (
        f"{len(known):,} tensor{_s(known)}"
        if len(chosen) == len(known)
        else f"{len(chosen):,} of {len(known):,} tensors"
    )
    return f"sampled {seen:,} of {pages:,} pages, of {which}"


def _s(many: Sequence[object]) -> str:
    return "" if len(many) == 1 else "s"


def _is_telling(tensor: Tensor) -> bool:
    """Whether one value all over is not what such a tensor often holds: norms of ones, biases and fresh adapters of zeros."""
    return len(tensor.shape) > 1 and prod(tensor.shape) > 1 and not _ONE_VALUE.fullmatch(tensor.name)


def _shown_odd(one: _Looked) -> Evidence:
    counts = f"{one.nan:,} NaN, {one.endless:,} infinite"
    return Evidence(
        artifact=one.path,
        locator=f"byte {one.first}",
        excerpt=f"{clip(one.tensor.name, 150)} {one.tensor.dtype}: {counts}",
    )


def _shown_same(one: _Looked) -> Evidence:
    item = clip(one.only or "", 16)
    text = f"{clip(one.tensor.name, 150)} {one.tensor.dtype} {list(one.tensor.shape)[:8]}: bytes {item} throughout"
    return Evidence(artifact=one.path, locator=f"byte {one.start}", excerpt=text)


def _not_looked_at(left: Counter[str], *, is_full: bool) -> Finding:
    shown = ", ".join(f"{count:,} {what}" for what, count in sorted(left.items())[:5])
    more = f" and {len(left) - 5} more types" if len(left) > 5 else ""
    text = f"values of some tensors are not looked at: {shown}{more}"
    if is_full:
        return _said(FINITE, Outcome.UNKNOWN, Severity.MEDIUM, text)
    return _said(FINITE, Outcome.NOT_APPLICABLE, Severity.INFO, text)


def _said(check: str, outcome: Outcome, severity: Severity, message: str, evidence: Iterable[Evidence] = ()) -> Finding:
    return Finding(check=check, outcome=outcome, severity=severity, message=message, evidence=tuple(evidence))
