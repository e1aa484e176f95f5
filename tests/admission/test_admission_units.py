"""A unit that fails to load is an ERROR in every dossier, and nobody can wave it through."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.conformance.installed_plugin import installed_plugin
from weighbridge.admission.admit import admit
from weighbridge.admission.exceptions import approve
from weighbridge.admission.installation import Installation, Settings
from weighbridge.admission.recall import read_dossier, recall
from weighbridge.errors import UsageError
from weighbridge.jail.confinement import Jail
from weighbridge.testing.models import tiny_safetensors
from weighbridge.vocabulary import ModelRef, Outcome, UseContext, Verdict


def test_a_unit_that_fails_to_load_stops_every_admission(tmp_path: Path) -> None:
    model = tmp_path / "model.safetensors"
    model.write_bytes(tiny_safetensors())
    ref = ModelRef(hub="local", name=str(model))
    settings = Settings(home=tmp_path / "home")
    with (
        installed_plugin() as folders,
        Installation(settings, environment={}, clock=lambda: datetime.now(UTC)) as house,
    ):
        with Jail(import_path=folders) as jail:
            vars(house)["jail"] = jail
            decision = admit(ref, use=UseContext(), policy=house.policy(), house=house)
        known = recall(house, decision.subject)
        broken = [finding for finding in read_dossier(house, known).findings if finding.check == "plugin.formats"]
        assert [finding.outcome for finding in broken] == [Outcome.ERROR]
        assert decision.verdict is Verdict.REFER
        with pytest.raises(UsageError, match=r"law\.check-broke"):
            approve(house, known, by="bob", reason="no matter")
    with Installation(settings, environment={}, clock=lambda: datetime.now(UTC)) as house:
        decision = admit(ref, use=UseContext(), policy=house.policy(), house=house)
        assert decision.verdict is Verdict.ADMIT
