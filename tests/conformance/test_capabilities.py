"""What each format gives, as its samples show it; the table in the documentation is this one.

`pytest tests/conformance --update-goldens` writes it anew.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conformance.sample import Sample, opened
from tests.conformance.test_formats import SAMPLES, is_settled
from weighbridge.formats.reading.contract import Format
from weighbridge.plugins import find_units
from weighbridge.vocabulary import Header, SpanKind

TABLE = Path("docs/reference/capabilities.md")
FACTS = {
    "architecture": "architecture",
    "parameters": "parameter_count",
    "data types": "dtypes",
    "tensors": "tensors",
    "metadata": "metadata",
    "digests": "digests",
    "memory": "weights_bytes",
    "cache per token": "cache_bytes_per_token",
}
"""Column by column, the part of a header that says it."""
TOLD_APART = (SpanKind.HEADER, SpanKind.TENSOR, SpanKind.PADDING)
INTRODUCTION = """<!-- written by tests/conformance/test_capabilities.py; do not edit -->

# Capabilities

What the readers of this release give, as seen on the samples of the conformance suite: `yes` where a sample showed it. *Cut* says
whether every shorter beginning of a sample is noticed; a text has no such end.

"""


def gives(header: Header | None, part: str) -> bool:
    return header is not None and bool(getattr(header, part))


def row(unit: Format, listed: tuple[Sample, ...]) -> list[str]:
    readings = []
    for sample in listed:
        with opened(sample.data, sample.path) as source:
            readings.append(unit.read(source))
    facts = [any(gives(reading.header, part) for reading in readings) for part in FACTS.values()]
    is_read = all(is_settled(reading) for reading in readings)
    kinds = {span.kind for reading in readings for span in reading.spans}
    return [
        unit.name,
        *("yes" if fact else "" for fact in facts),
        ", ".join(kind.value for kind in TOLD_APART if kind in kinds),
        ("judged" if is_read else "UNKNOWN") if unit.may_hold_code else "cannot hold any",
        "yes" if all(sample.is_whole_only and sample.is_readable for sample in listed) else "",
        "yes" if is_read else "never",
    ]


def table() -> str:
    units = find_units("formats", Format).found
    head = ["format", *FACTS, "bytes told apart", "code on load", "cut", "can be clean"]
    rows = [row(unit, SAMPLES[name]) for name, unit in units.items()]
    lines = [head, ["---"] * len(head), *rows]
    return INTRODUCTION + "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def test_the_documented_capabilities_are_those_seen(repository: Path, request: pytest.FixtureRequest) -> None:
    seen = table()
    if request.config.getoption("--update-goldens"):
        (repository / TABLE).write_text(seen)
    assert (repository / TABLE).read_text() == seen, "pytest tests/conformance --update-goldens writes it anew"
