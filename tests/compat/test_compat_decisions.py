"""Every decision of every release still verifies, replays byte for byte, and is rebuilt."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from weighbridge.admission.installation import Installation, Settings
from weighbridge.admission.rebuilding import rebuild_registry
from weighbridge.admission.recall import recall_all
from weighbridge.admission.replaying import replay
from weighbridge.admission.verification import readers_of, verify_decision
from weighbridge.registry.verification import verify_store
from weighbridge.vocabulary import Verdict

RELEASES = sorted(path for path in Path(__file__).parent.iterdir() if (path / "registry").is_dir())


@pytest.mark.parametrize("release", RELEASES, ids=lambda path: path.name)
def test_decisions_of_a_release_still_hold(release: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    shutil.copytree(release, home)
    settings = Settings(home=home)
    (home / "keys").chmod(0o700)
    with Installation(settings, environment={}, clock=lambda: datetime.now(UTC), writable=False) as house:
        rebuild_registry(house)
        store = verify_store(house.registry, readers=readers_of(house.verifying_keys()))
        assert store.problems == ()
        known = recall_all(house, superseded=True)
        assert [one.decision.verdict for one in known] == [
            Verdict.ADMIT_WITH_CONDITIONS,
            Verdict.ADMIT_WITH_CONDITIONS,
            Verdict.REFUSE,
            Verdict.REFER,
            Verdict.ADMIT,
        ]
        for one in known:
            again = replay(house, one)
            assert again.is_equal, again.message
            answers = {a.check: a.passed for a in verify_decision(house, one, checkpoint=None, key=None).answers}
            assert answers == {"signature": True, "log": True, "evidence": True, "bytes": False}


def test_there_is_a_kept_store() -> None:
    assert RELEASES
