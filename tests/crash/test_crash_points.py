"""An admission that is killed, whose writes fail, whose disk is full, or whose machine loses power: what bench/crash.py finds.

The script runs as a process of its own, because it forks, and a worker of pytest has threads.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

CRASH = Path(__file__).resolve().parents[2] / "bench" / "crash.py"
MISSING = 77


@dataclass
class Line:
    """One line of the table: how many points of a kind there were, and how they ended."""

    points: int
    outcomes: dict[str, int]


def crash(*options: str) -> list[Line]:
    """Run the script in one job; its table, when nothing was amiss."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    done = subprocess.run([sys.executable, CRASH, "--jobs", "1", *options], capture_output=True, text=True, check=False)
    if done.returncode == MISSING:
        pytest.skip(done.stdout.strip().splitlines()[-1])
    assert done.returncode == 0, done.stdout + done.stderr
    rows = re.findall(r"^\w+ +(\d+) points   (.*)   0 problems ", done.stdout, re.MULTILINE)
    lines = [
        Line(int(points), {how: int(n) for n, how in re.findall(r"(\d+) ([a-z ]+)", told)}) for points, told in rows
    ]
    assert lines, done.stdout
    return lines


@pytest.mark.parametrize("piece", ["1/3", "2/3", "3/3"])
def test_a_kill_at_any_call_loses_nothing_and_leaves_nothing(piece):
    (line,) = crash("--points", "201", "--slice", piece)
    assert line.points == 67
    assert set(line.outcomes) == {"killed before", "acknowledged"}


@pytest.mark.parametrize("piece", ["1/2", "2/2"])
def test_what_no_fsync_followed_is_not_needed_after_a_power_loss(piece):
    lines = crash("--points", "0", "--power", "32", "--slice", piece)
    assert [line.points for line in lines] == [16, 16, 16]
    assert all(set(line.outcomes) == {"with the decision", "without the decision"} for line in lines)


def test_a_write_that_fails_ends_in_words_and_an_intact_store():
    (line,) = crash("--points", "0", "--errors", "60")
    assert line.points == 60
    assert set(line.outcomes) == {"refused", "admitted all the same"}


def test_a_disk_without_room_for_the_decision_takes_none():
    (line,) = crash("--points", "0", "--full", "12")
    assert line.points == 12
    assert set(line.outcomes) == {"refused", "admitted"}
