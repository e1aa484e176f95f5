"""The Python API: the same words as the command line."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

import weighbridge
from weighbridge.cli.demo import write_trapped_model
from weighbridge.errors import UsageError, WeighbridgeError
from weighbridge.testing.models import tiny_gguf, tiny_safetensors
from weighbridge.vocabulary import Verdict


@pytest.fixture
def model(tmp_path: Path) -> Path:
    file = tmp_path / "model.safetensors"
    file.write_bytes(tiny_safetensors())
    return file


def test_a_model_is_admitted_loaded_and_checked(model: Path, data_folder: Path) -> None:
    use = weighbridge.UseContext(purpose="search", owner="ana")
    decision = weighbridge.admit(model, use=use)
    assert decision.verdict is Verdict.ADMIT
    assert weighbridge.path(str(model), use=use).read_bytes() == model.read_bytes()
    assert weighbridge.why(model) == decision
    assert weighbridge.show(model).subject == decision.subject == weighbridge.inspect(model).subject
    assert list(weighbridge.decisions().values()) == [decision]
    assert weighbridge.verify(model).passed
    assert weighbridge.verify().passed
    assert weighbridge.replay(model)


def test_a_refusal_is_an_answer_and_a_waiver_lifts_it(tmp_path: Path, data_folder: Path) -> None:
    trapped = write_trapped_model(tmp_path / "trapped")
    assert weighbridge.admit(trapped).verdict is Verdict.REFUSE
    with pytest.raises(UsageError, match="refused"):
        weighbridge.path(trapped)
    until = datetime.now(UTC) + timedelta(days=30)
    weighbridge.waive("no-code-in-weights", trapped, by="eve", reason="a drill", control="sandbox", until=until)
    again = weighbridge.admit(trapped)
    assert again.verdict is not Verdict.REFUSE
    assert again.expires_at <= until


def test_an_approval_lifts_a_referral(tmp_path: Path, data_folder: Path) -> None:
    odd = tmp_path / "odd"
    odd.mkdir()
    (odd / "model.gguf").write_bytes(tiny_gguf())
    (odd / "logo.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(100)))
    assert weighbridge.admit(odd).verdict is Verdict.REFER
    approved = weighbridge.approve(odd, by="bob", reason="a picture")
    assert approved.verdict is Verdict.ADMIT_WITH_CONDITIONS
    assert weighbridge.path(odd).is_dir()


def test_what_cannot_be_had_is_an_exception_with_words(tmp_path: Path, data_folder: Path) -> None:
    with pytest.raises(WeighbridgeError) as failure:
        weighbridge.admit(tmp_path / "nothing")
    assert failure.value.message


def test_every_use_and_every_zone(tmp_path: Path, data_folder: Path) -> None:
    trapped = write_trapped_model(tmp_path / "trapped")
    search = weighbridge.UseContext(purpose="search")
    weighbridge.admit(trapped, use=search)
    until = datetime.now(timezone(timedelta(hours=5, minutes=30))) + timedelta(days=30)
    waiver = weighbridge.waive(
        "no-code-in-weights",
        trapped,
        by="eve",
        reason="a drill",
        control="sandbox",
        until=until,
        every_use=True,
        use=search,
    )
    assert waiver.until == until
    assert weighbridge.admit(trapped).verdict is not Verdict.REFUSE
    assert weighbridge.path(trapped, use=weighbridge.UseContext()).is_dir()


def test_what_cannot_be_signed_is_an_exception_with_words(model: Path, data_folder: Path) -> None:
    weighbridge.admit(model)
    use = weighbridge.UseContext
    for wrong in ({"owner": "x"}, use(owner="\udcff"), use(users=1 << 60), use(users="x")):  # type: ignore[arg-type]
        with pytest.raises(UsageError):
            weighbridge.admit(model, use=wrong)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="no text"):
        weighbridge.approve(model, by="b\udcff", reason="r")
    naive = datetime.now()  # noqa: DTZ005  # what is tested
    with pytest.raises(UsageError, match="time zone"):
        weighbridge.waive("no-code-in-weights", model, by="eve", reason="r", until=naive)


def test_the_house_is_kept_from_python_too(model: Path, data_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no decision"):
        weighbridge.replay()
    weighbridge.admit(model)
    assert weighbridge.replay()
    [key] = weighbridge.keys()
    assert key.signs
    public = tmp_path / "public.pem"
    public.write_text(key.pem)
    assert weighbridge.verify(model, key=public).passed
    assert weighbridge.gc(dry_run=True).files == 0
    assert weighbridge.rebuild().entries == 1
    assert weighbridge.verify().passed


def test_a_policy_says_which_decision_is_meant(model: Path, data_folder: Path, tmp_path: Path) -> None:
    strict = tmp_path / "strict.yaml"
    strict.write_text(
        "name: strict\nversion: 1\nrules:\n  - {id: never, title: x, severity: high, effect: refuse, when: 'true',\n"
        "     needs: [], message: no, remedy: none}\n"
    )
    assert weighbridge.admit(model).verdict is Verdict.ADMIT
    assert weighbridge.admit(model, policy=strict).verdict is Verdict.REFUSE
    assert weighbridge.why(model).verdict is Verdict.ADMIT
    assert weighbridge.why(model, policy=strict).verdict is Verdict.REFUSE
    with pytest.raises(UsageError, match="refused"):
        weighbridge.path(model, policy=strict)
