"""A sample of the hostile set, and what it found: a verdict within bounds for each, and none is clean."""

from __future__ import annotations

import os

import pytest

from tests.fuzz.hostile import Hostile
from tests.fuzz.hostile_set import ALL
from weighbridge.formats.reading.source import Source
from weighbridge.inspection.examine import examine_source
from weighbridge.testing.fuzzing import built_in_formats, check, is_clean

FOUND = ("onnx_tensors_of_one_name", "onnx_function_that_calls_itself", "hdf5_end_itself", "pmml_elements_300000")
SMALL = [item for item in ALL if not item.size_bytes and "0" not in item.name]
SAMPLE = [*SMALL[:: len(SMALL) // 56], *(item for item in ALL if item.name in FOUND)]


def test_there_are_many_and_each_has_its_name() -> None:
    assert len({(item.path, item.name) for item in ALL}) >= 500


@pytest.mark.parametrize("item", SAMPLE, ids=lambda item: item.name)
def test_a_hostile_file_is_not_clean(item: Hostile) -> None:
    assert check(item.make(), item.path, may_be_clean=False).problems == ()


@pytest.mark.parametrize("name", ["zip_of_1_tib", "pickle_bytes_of_1_tib"])
def test_a_file_of_holes_is_not_searched_to_its_end(name: str) -> None:
    item = next(item for item in ALL if item.name == name)
    fd = os.memfd_create(name)
    try:
        os.write(fd, item.make())
        os.ftruncate(fd, item.size_bytes)
        source = Source(fd, path=item.path, size_bytes=item.size_bytes, budget_bytes=256 << 20)
        assert not is_clean(examine_source(source, built_in_formats()))
    finally:
        os.close(fd)
