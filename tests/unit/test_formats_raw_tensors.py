"""Raw tensors: told by the name, and only where the content is nothing else."""

from __future__ import annotations

import pytest

from weighbridge.formats.raw_tensors import FORMAT
from weighbridge.formats.reading.contract import Match
from weighbridge.formats.reading.spans import account
from weighbridge.testing.models import source_of


@pytest.mark.parametrize(
    ("path", "match"),
    [
        ("variables/variables.data-00000-of-00001", Match.LIKELY),
        ("model.onnx.data", Match.LIKELY),
        ("decoder_model.onnx_data", Match.LIKELY),
        ("decoder_model.onnx_data_1", Match.LIKELY),
        ("model.data", Match.NO),
        ("data-00000-of-00001", Match.NO),
        ("model.onnx", Match.NO),
    ],
)
def test_the_name_tells(path: str, match: Match) -> None:
    with source_of(bytes(64), path) as source:
        assert FORMAT.sniff(source) is match


@pytest.mark.parametrize("head", [b"PK\x03\x04", b"\x7fELF\x02\x01\x01", b"\x1f\x8b\x08"])
def test_what_is_something_else_is_not_taken(head: bytes) -> None:
    with source_of(head + bytes(64), "model.onnx_data") as source:
        assert FORMAT.sniff(source) is Match.NO


def test_all_of_it_is_tensors() -> None:
    with source_of(b"\x01" * 64, "model.onnx_data") as source:
        assert account(FORMAT.read(source).spans).tensor_bytes == 64
