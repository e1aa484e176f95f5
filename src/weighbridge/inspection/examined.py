"""What the jailed child says about one file, and how much of that the parent believes.

A file that took over its reader can lie about itself, but only in these words: the parent checks types, sizes and names, and
makes every text safe to show.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from weighbridge.errors import MalformedArtifactError
from weighbridge.registry import wire
from weighbridge.vocabulary import ByteAccount, Evidence, Finding, Header, Tool, Unread, clip

FALLBACK = "unknown"
"""The format of a file that no other format speaks for."""
MESSAGE_LIMIT = 500
"""Longest message of a finding, in characters."""

EXACT_LIMIT = (1 << 53) - 1
"""Largest integer that RFC 8785 JSON holds exactly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """One file as its reader saw it. `readers` are the names of the formats that read it, the first one accounts for it.

    `starts` says for each header where its tensors start, as `Reading.starts` does.
    """

    readers: tuple[str, ...]
    account: ByteAccount
    findings: tuple[Finding, ...]
    headers: tuple[Header, ...] = ()
    unread: tuple[Unread, ...] = ()
    starts: tuple[tuple[int, ...], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Equipment:
    """What the child can read: its units as tools, and ERROR findings for units that failed to load."""

    tools: tuple[Tool, ...]
    broken: tuple[Finding, ...]


def read_examined(data: bytes, *, path: str, size_bytes: int) -> Examined:
    """The child's answer about one file, checked against what the parent knows.

    Raises:
        MalformedArtifactError: it is not in these words, is about another file, or its bytes do not add up to the size.
    """
    said = wire.decode(Examined, data)
    numbers = [getattr(said.account, name) for name in ByteAccount.__slots__]
    if sum(numbers) != size_bytes or min(numbers) < 0:
        raise MalformedArtifactError("the bytes accounted for are not the bytes of the file", subject=path)
    named = [header.path for header in said.headers] + [unread.path for unread in said.unread]
    named += [evidence.artifact for finding in said.findings for evidence in finding.evidence]
    if strange := [name for name in named if name != path and not name.startswith(path + "!")]:
        raise MalformedArtifactError(f"it speaks of another file: {clip(strange[0])}", subject=path)
    if not said.readers:
        raise MalformedArtifactError("nothing read it", subject=path)
    for header in said.headers:
        require_countable(header)
    _require_inside(said, size_bytes)
    return replace(said, findings=tame(said.findings), unread=tuple(_tame_unread(unread) for unread in said.unread))


def _require_inside(said: Examined, size_bytes: int) -> None:
    """Every tensor whose place is told lies in the file.

    Raises:
        MalformedArtifactError: one does not, or places and headers do not belong together.
    """
    if said.starts and len(said.starts) != len(said.headers):
        raise MalformedArtifactError("the places of tensors belong to no header")
    for header, starts in zip(said.headers, said.starts, strict=False):
        pairs = zip(header.tensors, starts, strict=False)
        if any(start < -1 or (start >= 0 and start + tensor.size_bytes > size_bytes) for tensor, start in pairs):
            raise MalformedArtifactError("a tensor lies outside the file", subject=clip(header.path))


def require_countable(header: Header) -> None:
    """Every number of a header is one that RFC 8785 JSON can hold exactly, so that a dossier with it has a digest.

    Raises:
        MalformedArtifactError: a number is negative or too large.
    """
    numbers = [header.parameter_count, header.weights_bytes, header.cache_bytes_per_token or 0]
    numbers += [max(tensor.size_bytes, *tensor.shape, 0) for tensor in header.tensors]
    low = min((min(tensor.size_bytes, *tensor.shape, 0) for tensor in header.tensors), default=0)
    if min(low, *numbers) < 0 or max(numbers) > EXACT_LIMIT:
        raise MalformedArtifactError("it claims numbers that cannot be", subject=clip(header.path))


def tame(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Findings whose texts are safe to show: printable and short, whatever a reader put into them."""
    return tuple(finding if _is_tame(finding) else _tamed(finding) for finding in findings)


def _is_tame(finding: Finding) -> bool:
    texts = [finding.check, *(part for e in finding.evidence for part in (e.locator, e.excerpt))]
    return _is_short(finding.message, MESSAGE_LIMIT) and all(_is_short(text, MESSAGE_LIMIT) for text in texts)


def _is_short(text: str, limit: int) -> bool:
    return len(text) <= limit and text.isprintable()


def _tamed(finding: Finding) -> Finding:
    evidence = tuple(
        Evidence(artifact=e.artifact, locator=clip(e.locator, MESSAGE_LIMIT), excerpt=clip(e.excerpt, MESSAGE_LIMIT))
        for e in finding.evidence
    )
    message = clip(finding.message, MESSAGE_LIMIT)
    return replace(finding, check=clip(finding.check), message=message, evidence=evidence)


def _tame_unread(unread: Unread) -> Unread:
    return replace(unread, reason=clip(unread.reason))
