"""Laws of the text reader and of the strict JSON pass: agreement with independent readers, and an end to every input."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weighbridge.errors import MalformedArtifactError
from weighbridge.formats.headers.strict_json import survey
from weighbridge.formats.reading.contract import Match, Reading
from weighbridge.formats.text import FORMAT
from weighbridge.formats.unknown import FORMAT as UNKNOWN
from weighbridge.testing import readings
from weighbridge.testing.models import source_of
from weighbridge.vocabulary import Outcome

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=5),
    max_leaves=30,
)
TOKENS = [
    *('"a"', '"b"', '"\\u0061"', '"\\ud800"', '"\\ud83d\\ude00"', '"\t"', '"'),
    *("0", "-0", "1.5", "1e5", "01", "1.", ".5", "-", "null", "true", "nul", "NaN"),
    *("{", "}", "[", "]", ",", ":", " ", "\n", "\x0b", "\u00a0"),
]
PATHS = st.sampled_from(
    ["config.json", "tokenizer.json", "tokenizer_config.json", "modules.json", "a.md", "a.yaml", "a.jinja", "a.py", "x"]
)


def is_json(text: str) -> tuple[bool, bool]:
    """Whether Python's reader takes it under RFC 8259, and whether an object holds a key twice."""
    repeats: list[bool] = []

    def look(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in pairs]
        repeats.append(len(set(keys)) != len(keys))
        return dict(pairs)

    def refuse(word: str) -> None:
        raise ValueError(word)

    try:
        value = json.loads(text, object_pairs_hook=look, parse_constant=refuse)
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return False, False
    return True, any(repeats)


def surveyed(text: str) -> tuple[bool, bool]:
    data = text.encode()
    try:
        result = survey(data)
    except MalformedArtifactError:
        return False, False
    return result.end == len(data), result.duplicate_count > 0


@given(JSON, st.sampled_from([None, 0, 2]), st.booleans())
def test_what_python_writes_is_json(value: Any, indent: int | None, ascii_only: bool) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    assert surveyed(text) == (True, False)


@given(st.lists(st.sampled_from(TOKENS), max_size=25))
def test_any_arrangement_of_tokens_is_judged_as_python_judges_it(tokens: list[str]) -> None:
    text = "".join(tokens)
    accepted, repeats = is_json(text)
    assert surveyed(text)[0] is accepted
    if accepted:
        assert surveyed(text)[1] is repeats


@given(JSON, st.data())
def test_mutated_json_is_judged_as_python_judges_it(value: Any, data: st.DataObject) -> None:
    text = json.dumps({"k": value, "l": [value, {"m": value}]})
    at = data.draw(st.integers(0, len(text) - 1))
    text = text[:at] + data.draw(st.sampled_from(TOKENS)) + text[at + data.draw(st.integers(0, 2)) :]
    accepted, repeats = is_json(text)
    assert surveyed(text) == ((True, repeats) if accepted else (False, surveyed(text)[1]))


@given(st.dictionaries(st.text(max_size=4), JSON, max_size=6))
def test_members_are_told_as_they_are(value: dict[str, Any]) -> None:
    data = json.dumps(value).encode()
    seen: dict[str, Any] = {}
    survey(data, on_member=lambda token, start, end: seen.update({json.loads(token): json.loads(data[start:end])}))
    assert seen == value


def examine(data: bytes, path: str) -> Reading:
    with source_of(data, path) as source:
        unit = FORMAT if FORMAT.sniff(source) is not Match.NO else UNKNOWN
    reading = readings.examine(unit, data, path)
    assert reading is not None
    return reading


@given(st.binary(max_size=400) | st.text(max_size=200).map(str.encode), PATHS)
def test_any_bytes_end_in_an_account(data: bytes, path: str) -> None:
    examine(data, path)


@given(JSON, PATHS)
def test_any_json_under_any_name_ends_in_an_account(value: Any, path: str) -> None:
    keys = (
        "model_type",
        "architectures",
        "chat_template",
        "tokenizer_class",
        "num_hidden_layers",
        "auto_map",
        "head_dim",
    )
    examine(json.dumps(dict.fromkeys(keys, value)).encode(), path)
    examine(json.dumps(value).encode(), path)


@given(st.binary(max_size=100), st.binary(max_size=100))
def test_a_zero_byte_is_never_read_as_utf8_text(before: bytes, after: bytes) -> None:
    data = before + b"\0" + after
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return
    reading = examine(data, "README.md")
    assert all(f.outcome is not Outcome.PASS for f in reading.findings)


@pytest.mark.parametrize("bracket", ["[", '{"a":', "[[],", '[{"a":1},'])
def test_deep_nesting_ends(bracket: str) -> None:
    reading = examine((bracket * 200_000).encode(), "config.json")
    assert reading.findings[0].outcome is Outcome.UNKNOWN
