"""What `doctor` says about isolation is what was tried."""

from __future__ import annotations

import os
from pathlib import Path

from weighbridge.jail.confinement import Confinement, Jail
from weighbridge.jail.probe import probe_isolation


def test_the_probe_agrees_with_the_jail() -> None:
    isolation = probe_isolation(search_path=os.environ["PATH"])
    with Jail() as jail:
        held = jail.isolation
    assert (isolation.seccomp, isolation.landlock_abi, isolation.rlimits) == (
        held.seccomp,
        held.landlock_abi,
        held.rlimits,
    )
    assert {"as", "core", "fsize", "nofile"} <= set(isolation.rlimits)


def test_a_bubblewrap_that_does_not_work_is_not_believed(tmp_path: Path) -> None:
    fake = tmp_path / "bwrap"
    fake.write_text("#!/bin/sh\nexit 1\n")
    fake.chmod(0o755)
    isolation = probe_isolation(search_path=str(tmp_path))
    assert isolation.bubblewrap_path == ""
    assert any(str(fake) in problem for problem in isolation.problems)


def test_no_bubblewrap_is_an_empty_path(tmp_path: Path) -> None:
    assert probe_isolation(search_path=str(tmp_path)).bubblewrap_path == ""


def test_confinement_is_named_by_its_parts() -> None:
    whole = Confinement(seccomp=True, landlock_abi=7, rlimits=("as",))
    assert str(whole) == "seccomp+landlock7+rlimits"
    assert str(Confinement(seccomp=False, landlock_abi=0, rlimits=("as",))) == "rlimits"
    assert str(Confinement(seccomp=False, landlock_abi=0, rlimits=())) == "none"
