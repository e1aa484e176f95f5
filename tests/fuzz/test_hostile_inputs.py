"""Named hostile files: each gives findings within a second of processor time and 256 MB, and none is ever clean."""

from __future__ import annotations

import ctypes
import gc
from collections import Counter

import pytest

from tests.fuzz.hostile import HOSTILE, Hostile
from weighbridge.testing.fuzzing import check


def test_there_are_many_and_each_has_its_name() -> None:
    assert len(HOSTILE) >= 60
    assert [name for name, count in Counter(item.name for item in HOSTILE).items() if count > 1] == []


@pytest.mark.parametrize("item", HOSTILE, ids=lambda item: item.name)
def test_a_hostile_file_ends_in_findings(item: Hostile) -> None:
    data = item.make()
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # what making it left behind must not count as room
    trial = check(data, item.path, may_be_clean=False)
    assert trial.problems == ()
