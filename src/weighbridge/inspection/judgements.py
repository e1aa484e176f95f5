"""The findings that inspection itself makes about any file, whatever its format."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from weighbridge.errors import MalformedArtifactError
from weighbridge.formats.headers.tables import TEXT_NAMES, TEXT_SUFFIXES
from weighbridge.formats.reading.contract import Format, Match
from weighbridge.formats.reading.source import Source
from weighbridge.formats.reading.spans import Span, account
from weighbridge.inspection.examined import FALLBACK
from weighbridge.plugins import BrokenUnit
from weighbridge.vocabulary import Evidence, Finding, Header, Outcome, Severity, SpanKind, clip

RECOGNISED = "format.recognised"
AMBIGUOUS = "format.ambiguous"
ACCOUNTED = "bytes.accounted"
ON_LOAD = "code.on-load"
EXAMINED = "inspection.examined"
INSIDE = "inspection.inside"
TENSORS = "inspection.tensors"
PLUGIN_FORMATS = "plugin.formats"
PLUGIN_HUBS = "plugin.hubs"
CHECKS = {
    RECOGNISED: "a format speaks for the file, judged by its content",
    AMBIGUOUS: "no second format speaks for the same file",
    ACCOUNTED: "every byte is header, tensor or padding; none is unexplained or unread",
    ON_LOAD: "loading the file runs no code that no policy covers",
    EXAMINED: "the confined reader gave an answer for every file",
    INSIDE: "every file inside an archive could be opened and was examined",
    TENSORS: "all tensors of the file are listed in the dossier",
    PLUGIN_FORMATS: "every format unit loads, and the confined reader has the same ones as this program",
    PLUGIN_HUBS: "every hub unit loads",
}
"""Every check of inspection itself and what PASS says, besides each format's `<name>.structure` and `<name>.reader`."""

_MAY_BE_EMPTY = frozenset(
    ("readme", "license", "licence", "notice", "copying", "authors", "changelog", "citation", "version", "py.typed")
)
_NEVER_EMPTY = (".json", ".ipynb", ".yaml", ".yml")

_SHOWN_SPANS = 5
_SHOWN_BYTES = 32


def recognised(path: str, formats: Sequence[Format], match: Match) -> Finding:
    """PASS where a format speaks for the file, UNKNOWN where none does."""
    evidence = (Evidence(artifact=path),)
    known = [unit for unit in formats if unit.name != FALLBACK]
    if match is Match.NO or not known:
        text = "no format that weighbridge reads speaks for it"
        return Finding(
            check=RECOGNISED, outcome=Outcome.UNKNOWN, severity=Severity.HIGH, message=text, evidence=evidence
        )
    names = " and as ".join(f"{unit.name} ({unit.title})" for unit in known)
    return _passed(RECOGNISED, f"read as {names}", path)


def ambiguous(path: str, formats: Sequence[Format], match: Match) -> Finding:
    """A file that is two formats at once: FAIL where both are certain of it, UNKNOWN where both find it likely."""
    is_certain = match is Match.CERTAIN
    names = _names(formats)
    return Finding(
        check=AMBIGUOUS,
        outcome=Outcome.FAIL if is_certain else Outcome.UNKNOWN,
        severity=Severity.HIGH,
        message=f"it is {'both ' if is_certain else 'perhaps '}{names}: two programs may load two different things from it",
        evidence=(Evidence(artifact=path),),
    )


def second_container(path: str, formats: Sequence[Format], others: Sequence[str]) -> Finding:
    """A file that is a container besides: FAIL, because programs that look for that one load what nobody examined."""
    return Finding(
        check=AMBIGUOUS,
        outcome=Outcome.FAIL,
        severity=Severity.HIGH,
        message=f"it is {_names(formats)} and {' and '.join(others)}: a program that looks for the latter opens something else",
        evidence=(Evidence(artifact=path),),
    )


def accounted(source: Source, spans: Sequence[Span]) -> Finding:
    """Where the bytes went: PASS, FAIL where some belong to nothing, UNKNOWN where some are unread."""
    sums = account(spans)
    text = (
        f"{sums.header_bytes:,} header, {sums.tensor_bytes:,} tensor, {sums.padding_bytes:,} padding bytes; "
        f"{sums.unexplained_bytes:,} unexplained"
    )
    if sums.unread_bytes:
        text += f", {sums.unread_bytes:,} unread"
    outcome, kind = Outcome.PASS, None
    if sums.unexplained_bytes:
        outcome, kind = Outcome.FAIL, SpanKind.UNEXPLAINED
    elif sums.unread_bytes:
        outcome, kind = Outcome.UNKNOWN, SpanKind.UNREAD
    shown = [span for span in spans if span.kind is kind][:_SHOWN_SPANS]
    return Finding(
        check=ACCOUNTED,
        outcome=outcome,
        severity=Severity.INFO if outcome is Outcome.PASS else Severity.HIGH,
        message=text,
        evidence=tuple(_shown(source, span) for span in shown) or (Evidence(artifact=source.path),),
    )


def holds_no_code(path: str, formats: Sequence[Format]) -> Finding:
    """A sound file of a format that has no place for code."""
    return _passed(ON_LOAD, f"a {_names(formats)} file holds no code", path)


def nobody_knows_code(path: str, silent: Sequence[Format], *, is_read: bool) -> Finding:
    """A file that may hold code, and no reader that says whether it does."""
    spoken = f"its {_names(silent)} reader did not say" if is_read and silent else "it could not be read"
    if [unit.name for unit in silent] == [FALLBACK]:
        spoken = "no format that weighbridge reads speaks for it"
    return Finding(
        check=ON_LOAD,
        outcome=Outcome.UNKNOWN,
        severity=Severity.HIGH,
        message=f"nobody knows whether loading it runs code: {spoken}",
        evidence=(Evidence(artifact=path),),
    )


def parts_left(path: str, count: int, reason: str) -> Finding:
    """Files inside one file that nobody opened: UNKNOWN."""
    return Finding(
        check=INSIDE,
        outcome=Outcome.UNKNOWN,
        severity=Severity.HIGH,
        message=f"{count:,} files inside it were not examined: {reason}",
        evidence=(Evidence(artifact=path),),
    )


def part_broken(path: str, problem: MalformedArtifactError) -> tuple[Finding, ...]:
    """A file inside one that cannot be opened: FAIL, because another program may open it all the same."""
    evidence = (Evidence(artifact=path, locator=clip(problem.locator)),)
    message = f"a file inside it cannot be opened: {clip(problem.message)}"
    failed = Finding(check=INSIDE, outcome=Outcome.FAIL, severity=Severity.HIGH, message=message, evidence=evidence)
    return failed, nobody_knows_code(path, (), is_read=False)


def malformed(path: str, name: str, problem: MalformedArtifactError) -> Finding:
    """The file is not what its format says: FAIL, because what one reader refuses another may load."""
    return Finding(
        check=f"{name}.structure",
        outcome=Outcome.FAIL,
        severity=Severity.HIGH,
        message=f"not a sound {name} file: {clip(problem.message)}",
        evidence=(Evidence(artifact=path, locator=clip(problem.locator)),),
    )


def reader_broke(path: str, name: str, reason: str) -> Finding:
    """A reader raised what it must not raise, or gave what cannot be: ERROR, the file counts as unread."""
    return Finding(
        check=f"{name}.reader",
        outcome=Outcome.ERROR,
        severity=Severity.HIGH,
        message=f"the {name} reader broke on it",
        evidence=(Evidence(artifact=path, excerpt=clip(reason)),),
    )


def broken_unit(unit: BrokenUnit, check: str = PLUGIN_FORMATS) -> Finding:
    """A unit that failed to load: ERROR in every dossier, because nobody knows what it would have found.

    `check` is PLUGIN_FORMATS or PLUGIN_HUBS, the room that the unit is of.
    """
    kind = "hub" if check == PLUGIN_HUBS else "format"
    return Finding(
        check=check,
        outcome=Outcome.ERROR,
        severity=Severity.HIGH,
        message=f"a {kind} unit could not be loaded, so nothing was asked of it",
        evidence=(Evidence(artifact=clip(unit.name), excerpt=clip(unit.reason)),),
    )


def unlike_equipment(name: str, here: str, jailed: str) -> Finding:
    """A format that this program and its confined reader do not both have, or not in one version: ERROR in every dossier.

    `here` and `jailed` are the versions, empty where it is not there, or `broken`.
    """
    return Finding(
        check=PLUGIN_FORMATS,
        outcome=Outcome.ERROR,
        severity=Severity.HIGH,
        message=(
            "a format unit is not the same in the confined reader, so nobody knows what it would have found: install it "
            "beside weighbridge, not through PYTHONPATH or the user's own packages"
        ),
        evidence=(
            Evidence(artifact=clip(name), excerpt=clip(f"here {here or 'absent'}, confined {jailed or 'absent'}")),
        ),
    )


def cut_headers(headers: Iterable[Header], limit: int) -> list[Finding]:
    """One UNKNOWN for each header that lists more tensors than are kept."""
    return [
        Finding(
            check=TENSORS,
            outcome=Outcome.UNKNOWN,
            severity=Severity.MEDIUM,
            message=f"it lists {len(header.tensors):,} tensors; the first {limit:,} are kept",
            evidence=(Evidence(artifact=header.path),),
        )
        for header in headers
        if len(header.tensors) > limit
    ]


def not_examined(path: str, reason: str) -> tuple[Finding, ...]:
    """What is said of a file whose examination gave no answer."""
    evidence = (Evidence(artifact=path),)
    return tuple(
        Finding(check=check, outcome=Outcome.UNKNOWN, severity=Severity.HIGH, message=text, evidence=evidence)
        for check, text in (
            (EXAMINED, f"it could not be examined: {reason}"),
            (ON_LOAD, "nobody knows whether loading it runs code: it could not be examined"),
            (ACCOUNTED, "no byte of it was accounted for"),
        )
    )


def empty(path: str) -> tuple[Finding, ...]:
    """What is said of a file without bytes.

    PASS where its name says text or a mark that may be empty, UNKNOWN for a document that cannot be, FAIL for weights and
    whatever else has a name that promises data: a loader that is given nothing does not load this model.
    """
    return (
        _recognised_empty(path),
        _passed(ACCOUNTED, "0 bytes; 0 unexplained", path),
        _passed(ON_LOAD, "an empty file holds no code", path),
    )


def _recognised_empty(path: str) -> Finding:
    name = PurePosixPath(path).name.lower()
    suffix = PurePosixPath(name).suffix
    outcome, severity = Outcome.FAIL, Severity.HIGH
    message = "it has no bytes where weights or other data should be"
    if suffix in _NEVER_EMPTY:
        outcome, severity, message = Outcome.UNKNOWN, Severity.MEDIUM, f"an empty file is no {suffix} document"
    elif suffix in TEXT_SUFFIXES or name in TEXT_NAMES or name in _MAY_BE_EMPTY or (not suffix and name[0] == "."):
        return _passed(RECOGNISED, "an empty file", path)
    evidence = (Evidence(artifact=path),)
    return Finding(check=RECOGNISED, outcome=outcome, severity=severity, message=message, evidence=evidence)


def all_examined(count: int) -> Finding:
    """Every file of the model was examined to the end."""
    files = "the one file" if count == 1 else f"all {count:,} files"
    return Finding(check=EXAMINED, outcome=Outcome.PASS, severity=Severity.INFO, message=f"{files} of it examined")


def beyond_budget(count: int, examined: int, reason: str) -> Finding:
    """The model is more than one inspection may take on; what is left is unread."""
    return Finding(
        check=EXAMINED,
        outcome=Outcome.UNKNOWN,
        severity=Severity.HIGH,
        message=f"{examined:,} of {count:,} files were examined; {reason}",
    )


def _names(formats: Sequence[Format]) -> str:
    return " and ".join(unit.name for unit in formats)


def _passed(check: str, text: str, path: str) -> Finding:
    return Finding(
        check=check,
        outcome=Outcome.PASS,
        severity=Severity.INFO,
        message=text,
        evidence=(Evidence(artifact=path),),
    )


def _shown(source: Source, span: Span) -> Evidence:
    excerpt = ""
    size = min(_SHOWN_BYTES, span.end - span.start)
    if span.kind is SpanKind.UNEXPLAINED and size <= source.budget_left_bytes:
        excerpt = clip(repr(source.read_at(span.start, size))[1:])
    return Evidence(artifact=source.path, locator=f"byte {span.start} to {span.end - 1}", excerpt=excerpt)
