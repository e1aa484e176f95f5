"""Which decision stands: over time, under several policies and uses, under several names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from weighbridge.admission.admit import admit
from weighbridge.admission.exceptions import Exemption, approve, waive
from weighbridge.admission.installation import Installation, Settings
from weighbridge.admission.loading import open_path
from weighbridge.admission.recall import Which, recall, recall_all
from weighbridge.admission.replaying import replay
from weighbridge.cli.demo import write_trapped_model
from weighbridge.errors import RegistryError, UsageError
from weighbridge.testing.hub_server import HubServer
from weighbridge.testing.models import tiny_gguf, tiny_safetensors
from weighbridge.vocabulary import Decision, ModelRef, UseContext, Verdict

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
LAX = b"""
name: lax
version: 1
valid_days: 30
rules:
  - {id: anything-goes, title: nothing is refused, severity: low, effect: condition,
     when: 'findings.exists(f, f.outcome == "fail")', needs: [bytes.accounted], message: so be it, remedy: nothing}
"""

Open = Callable[..., AbstractContextManager[Installation]]


@pytest.fixture
def house_on(tmp_path: Path) -> Open:
    """Opens the installation on a day, counted from the first."""

    @contextmanager
    def opened(day: int = 0, **environment: str) -> Iterator[Installation]:
        settings = Settings(home=tmp_path / "home")
        moment = NOON + timedelta(days=day)
        with Installation(settings, environment=environment, clock=lambda: moment) as house:
            yield house

    return opened


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    folder = tmp_path / "odd"
    folder.mkdir()
    (folder / "model.gguf").write_bytes(tiny_gguf())
    (folder / "extra.bin").write_bytes(bytes(range(1, 200)))
    return folder


@pytest.fixture
def trapped(tmp_path: Path) -> Path:
    return write_trapped_model(tmp_path / "trapped")


def decide(house: Installation, folder: Path, use: UseContext | None = None) -> Decision:
    ref = ModelRef(hub="local", name=str(folder))
    return admit(ref, use=use or UseContext(), policy=house.policy(), house=house)


def test_an_expired_decision_is_made_anew(house_on: Open, tmp_path: Path) -> None:
    model = tmp_path / "model.safetensors"
    model.write_bytes(tiny_safetensors())
    with house_on() as house:
        first = decide(house, model)
        assert open_path(house, recall(house, str(model))).path
    with house_on(179) as house:
        assert decide(house, model) == first
    with house_on(181) as house:
        assert open_path(house, recall(house, str(model))).path is None
        assert recall_all(house, superseded=False) == ()
        second = decide(house, model)
        assert second != first
        assert open_path(house, recall(house, str(model))).path
        assert len(recall_all(house, superseded=True)) == 2


def test_the_end_of_a_waiver_flips_the_verdict_back(house_on: Open, trapped: Path) -> None:
    with house_on() as house:
        assert decide(house, trapped).verdict is Verdict.REFUSE
        until = NOON + timedelta(days=20)
        asked = Exemption(
            rule="no-code-in-weights", reason="drill", control="box", by="eve", until=until, every_use=False
        )
        waive(house, recall(house, str(trapped)), asked)
        waived = decide(house, trapped)
        assert waived.verdict is Verdict.ADMIT_WITH_CONDITIONS
        assert waived.expires_at == until
        assert open_path(house, recall(house, str(trapped))).path
    with house_on(21) as house:
        assert open_path(house, recall(house, str(trapped))).path is None
        assert decide(house, trapped).verdict is Verdict.REFUSE
        assert recall(house, str(trapped)).decision.verdict is Verdict.REFUSE
        assert all(replay(house, known).is_equal for known in recall_all(house, superseded=True))


def test_an_approval_ends_with_the_decision_it_names(house_on: Open, odd: Path) -> None:
    with house_on() as house:
        end = decide(house, odd).expires_at
    with house_on(10) as house:
        approved = approve(house, recall(house, str(odd)), by="bob", reason="a picture")
        assert approved.verdict is Verdict.ADMIT_WITH_CONDITIONS
        assert approved.expires_at == end
    with house_on(170) as house:
        assert decide(house, odd) == approved
    with house_on(181) as house:
        assert decide(house, odd).verdict is Verdict.REFER
        assert all(replay(house, known).is_equal for known in recall_all(house, superseded=True))


@pytest.mark.parametrize("by", ["ana", "ANA", " Ana ", "\uff41\uff4e\uff41", ""])
def test_the_owner_cannot_approve(house_on: Open, odd: Path, by: str) -> None:
    with house_on() as house:
        decide(house, odd, UseContext(owner="Ana"))
        with pytest.raises(UsageError):
            approve(house, recall(house, str(odd)), by=by, reason="mine")


@pytest.mark.parametrize("law", ["law.bytes-unexplained", "law.check-broke", "law.nothing-examined", "no-such-rule"])
def test_what_nobody_can_waive_is_not_signed(house_on: Open, odd: Path, law: str) -> None:
    asked = Exemption(rule=law, reason="x", control="", by="eve", until=NOON + timedelta(days=9), every_use=True)
    with house_on() as house:
        decide(house, odd)
        with pytest.raises(UsageError):
            waive(house, recall(house, str(odd)), asked)
        assert house.registry.query_waivers() == ()


def test_a_decision_of_the_future_does_not_stand(house_on: Open, tmp_path: Path, odd: Path) -> None:
    """The clock was set back: what it says cannot be told from a decision that has ended."""
    model = tmp_path / "model.safetensors"
    model.write_bytes(tiny_safetensors())
    with house_on(10) as house:
        ahead = decide(house, model)
        decide(house, odd)
        referred = recall(house, str(odd))
        approved = approve(house, referred, by="bob", reason="a picture")
    with house_on(10) as house:
        assert open_path(house, recall(house, str(model))).path
    with house_on(9) as house:
        allowed = open_path(house, recall(house, str(model)))
        assert allowed.path is None
        assert allowed.reason == "the admission is of 2026-12-01 12:00:00 UTC, later than it is by this clock"
        assert decide(house, odd).verdict is Verdict.REFER, "an approval of the future lifts nothing"
        again = decide(house, model)
        assert again.decided_at < ahead.decided_at
        assert open_path(house, recall(house, str(model))).path
    with house_on(11) as house:
        assert decide(house, model) == again
        assert decide(house, odd) != approved
        assert all(replay(house, known).is_equal for known in recall_all(house, superseded=True))


def test_a_decision_of_the_future_is_not_approved(house_on: Open, odd: Path) -> None:
    with house_on(10) as house:
        decide(house, odd)
    with house_on(9) as house, pytest.raises(UsageError, match="later than it is by this clock"):
        approve(house, recall(house, str(odd)), by="bob", reason="a picture")


def test_a_digest_that_nothing_has_and_a_store_that_cannot_be_read_are_told_apart(house_on: Open, odd: Path) -> None:
    with house_on() as house:
        decide(house, odd)
        with pytest.raises(UsageError, match="no digest begins with ffff"):
            recall(house, "ffff")
    [index] = (house.settings.home / "registry").glob("*.sqlite*")
    index.write_bytes(b"no database" * 500)
    with house_on() as house, pytest.raises(RegistryError):
        recall(house, "ffff")


def test_an_at_sign_in_a_path_is_no_revision(house_on: Open, tmp_path: Path) -> None:
    other = tmp_path / "model@v2"
    other.mkdir()
    (other / "model.safetensors").write_bytes(tiny_safetensors())
    with house_on() as house:
        decide(house, other)
        assert recall(house, str(other)).decision.verdict is Verdict.ADMIT
        with pytest.raises(UsageError, match="nothing was decided"):
            recall(house, str(tmp_path / "model"))


def test_a_path_follows_the_policy_in_force(house_on: Open, odd: Path, tmp_path: Path) -> None:
    lax_file = tmp_path / "lax.yaml"
    lax_file.write_bytes(LAX)
    with house_on() as house:
        decide(house, odd)
        lax = house.policy(lax_file)
        ref = ModelRef(hub="local", name=str(odd))
        admit(ref, use=UseContext(), policy=lax, house=house)
        assert open_path(house, recall(house, str(odd))).path is None
        under_lax = recall(house, str(odd), Which(policy=lax))
        assert under_lax.decision.policy != recall(house, str(odd)).decision.policy
        assert open_path(house, under_lax).reason.startswith("it was decided under another policy")


def test_of_several_uses_the_strictest_counts_unless_one_is_named(house_on: Open, odd: Path) -> None:
    with house_on() as house:
        search = UseContext(purpose="search")
        decide(house, odd, search)
        approve(house, recall(house, str(odd)), by="bob", reason="fine for search")
        decide(house, odd, UseContext(purpose="chat"))
        assert recall(house, str(odd)).decision.verdict is Verdict.REFER
        assert open_path(house, recall(house, str(odd))).path is None
        assert open_path(house, recall(house, str(odd), Which(use=search))).path
        with pytest.raises(UsageError, match="for that policy and use"):
            recall(house, str(odd), Which(use=UseContext(purpose="war")))


def test_a_model_is_known_under_every_name_it_was_admitted_by(house_on: Open, tmp_path: Path) -> None:
    copies = [tmp_path / name / "model.safetensors" for name in ("one", "two")]
    for copy in copies:
        copy.parent.mkdir()
        copy.write_bytes(tiny_safetensors())
    with house_on() as house:
        assert decide(house, copies[0]) == decide(house, copies[1])
    for copy in copies:
        copy.unlink()
    with house_on() as house:
        assert recall(house, str(copies[0])).digest == recall(house, str(copies[1])).digest
        assert len(recall_all(house, superseded=True)) == 1


def test_a_model_of_a_hub_is_known_by_name_by_branch_and_by_commit(house_on: Open) -> None:
    with HubServer().running() as hub:
        commit = hub.publish("acme/tiny", {"model.safetensors": tiny_safetensors(), "README.md": b"# tiny\n"})
        hub.publish("acme/copy", {"model.safetensors": tiny_safetensors(), "README.md": b"# tiny\n"})
        with house_on(HF_ENDPOINT=hub.url) as house:
            for name, revision in (("acme/tiny", "main"), ("acme/copy", "")):
                ref = ModelRef(hub="huggingface", name=name, revision=revision)
                assert admit(ref, use=UseContext(), policy=house.policy(), house=house).verdict is Verdict.ADMIT
        asked = len(hub.asked)
        with house_on(HF_ENDPOINT=hub.url) as house:
            texts = ("hf:acme/tiny", "acme/tiny@main", f"hf:acme/tiny@{commit}", "huggingface:acme/copy")
            assert len({recall(house, text).digest for text in texts}) == 1
            with pytest.raises(UsageError):
                recall(house, "hf:acme/unheard-of")
        assert len(hub.asked) == asked
        assert len(list((house.settings.home / "downloads").iterdir())) == 0


def test_a_name_without_a_revision_means_what_it_meant_when_it_was_admitted(house_on: Open) -> None:
    """A later admission of another branch does not stand in for the one that was refused."""
    with HubServer().running() as hub:
        trap = b"cposix\nsystem\n(S'true'\ntR."
        hub.publish("acme/forked", {"optimizer.pkl": trap, "README.md": b"# trapped\n"}, branch="main")
        hub.publish("acme/forked", {"model.safetensors": tiny_safetensors()}, branch="dev")
        hub.publish("acme/forked", {"model.safetensors": tiny_safetensors(), "README.md": b"#\n"}, branch="beta")
        with house_on(HF_ENDPOINT=hub.url) as house:

            def verdict(revision: str) -> Verdict:
                ref = ModelRef(hub="huggingface", name="acme/forked", revision=revision)
                return admit(ref, use=UseContext(), policy=house.policy(), house=house).verdict

            assert verdict("dev") is Verdict.ADMIT
            assert recall(house, "hf:acme/forked").decision.verdict is Verdict.ADMIT
            assert verdict("beta") is Verdict.ADMIT
            with pytest.raises(UsageError, match="several revisions"):
                recall(house, "hf:acme/forked")
            assert verdict("") is Verdict.REFUSE
            assert verdict("dev") is Verdict.ADMIT
            assert recall(house, "hf:acme/forked").decision.verdict is Verdict.REFUSE


def test_what_a_later_decision_answered_otherwise_is_not_approved(house_on: Open, odd: Path) -> None:
    ref = ModelRef(hub="local", name=str(odd))
    with house_on() as house:
        assert decide(house, odd).verdict is Verdict.REFER
        earlier = recall(house, str(odd))
    with house_on(1) as house:
        admit(ref, use=UseContext(), policy=house.policy(), house=house, again=True)
        with pytest.raises(UsageError, match="a later decision"):
            approve(house, earlier, by="bob", reason="was fine yesterday")
        assert recall(house, str(odd)).decision.verdict is Verdict.REFER
        assert approve(house, recall(house, str(odd)), by="bob", reason="is fine").verdict.rank < Verdict.REFER.rank
