"""The laws of every format reader, checked on one input."""

from __future__ import annotations

import time

from weighbridge.errors import MalformedArtifactError
from weighbridge.formats.reading.contract import Format, Reading
from weighbridge.testing.models import source_of
from weighbridge.vocabulary import Outcome

TIME_LIMIT_S = 1.0


def examine(unit: Format, data: bytes, path: str = "model.bin") -> Reading | None:
    """Sniff and read bytes as a file named `path`; None where the reader calls them malformed.

    Raises:
        AssertionError: a law is broken: the spans do not cover the file exactly, a finding has an id that the unit does not
            declare or text that is not fit to print, there is not one structure finding, or it took longer than a second of
            processor time, twice (the first may have met a garbage collection of its caller's).
    """
    reading, took_s = _read(unit, data, path)
    if took_s > TIME_LIMIT_S:
        took_s = _read(unit, data, path)[1]
    _require(took_s <= TIME_LIMIT_S, f"it took {took_s:.2f} s")
    if reading is None:
        return None
    position = 0
    for span in reading.spans:
        _require(span.start == position < span.end, f"the spans do not meet at byte {position}")
        position = span.end
    _require(position == len(data), f"the spans end at byte {position} of {len(data)}")
    checks = [finding.check for finding in reading.findings]
    _require(set(checks) <= set(unit.checks), f"undeclared checks: {set(checks) - set(unit.checks)}")
    main = "unknown.format" if unit.name == "unknown" else f"{unit.name}.structure"
    _require(checks.count(main) == 1, f"{checks.count(main)} findings {main}")
    for finding in reading.findings:
        texts = [finding.message, *(part for place in finding.evidence for part in (place.locator, place.excerpt))]
        _require(all(text.isprintable() for text in texts), f"{finding.check} is not fit to print")
    return reading


def passes(reading: Reading | None) -> bool:
    """Whether every finding is a PASS."""
    return reading is not None and all(finding.outcome is Outcome.PASS for finding in reading.findings)


def _read(unit: Format, data: bytes, path: str) -> tuple[Reading | None, float]:
    with source_of(data, path) as source:
        started = time.process_time()
        unit.sniff(source)
        try:
            reading = unit.read(source)
        except MalformedArtifactError:
            reading = None
        return reading, time.process_time() - started


def _require(holds: bool, law: str) -> None:  # noqa: FBT001  # reads as an assertion
    if not holds:
        raise AssertionError(law)
