"""The key that signs and the store it signed belong together, whatever is lost, swapped or put back."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from weighbridge.cli.main import weighbridge
from weighbridge.cli.running import Exit, run
from weighbridge.testing.models import tiny_safetensors


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An installation with one decision."""
    home = tmp_path / "home"
    assert run(weighbridge, ["admit", "--home", str(home), str(model(tmp_path, "first"))]) == Exit.OK
    return home


def model(folder: Path, name: str) -> Path:
    made = folder / name
    made.mkdir()
    (made / "model.safetensors").write_bytes(tiny_safetensors())
    (made / "README.md").write_text(f"# {name}\n")
    return made


def test_a_lost_key_is_not_replaced_in_silence(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.move(home / "keys", tmp_path / "lost")
    second = str(model(tmp_path, "second"))
    capsys.readouterr()
    assert run(weighbridge, ["admit", "--home", str(home), "--json", second]) == Exit.BROKE
    told = json.loads(capsys.readouterr().out)["error"]
    assert told["kind"] == "SigningError"
    assert str(home / "registry" / "signers") in told["remedy"]
    assert not (home / "keys" / "signing-key.pem").exists()
    shutil.rmtree(home / "keys", ignore_errors=True)
    shutil.move(tmp_path / "lost", home / "keys")
    assert run(weighbridge, ["admit", "--home", str(home), second]) == Exit.OK


def test_where_the_key_is_lost_for_good_its_public_half_lets_another_one_go_on(home: Path, tmp_path: Path) -> None:
    shutil.rmtree(home / "keys")
    [public] = (home / "registry" / "signers").iterdir()
    (home / "keys" / "trusted").mkdir(parents=True, mode=0o700)
    (home / "keys").chmod(0o700)
    shutil.copy(public, home / "keys" / "trusted")
    assert run(weighbridge, ["admit", "--home", str(home), str(model(tmp_path, "second"))]) == Exit.OK
    assert run(weighbridge, ["verify", "--home", str(home)]) == Exit.OK
    assert len(list((home / "registry" / "signers").iterdir())) == 2


def test_another_key_does_not_sign_a_log_that_it_cannot_verify(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stranger = tmp_path / "stranger.pem"
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    stranger.write_bytes(pem)
    stranger.chmod(0o600)
    monkeypatch.setenv("WEIGHBRIDGE_KEY", str(stranger))
    second = str(model(tmp_path, "second"))
    assert run(weighbridge, ["admit", "--home", str(home), second]) == Exit.BROKE
    monkeypatch.delenv("WEIGHBRIDGE_KEY")
    assert run(weighbridge, ["admit", "--home", str(home), second]) == Exit.OK


def test_a_rotated_key_goes_on(home: Path, tmp_path: Path) -> None:
    assert run(weighbridge, ["keys", "--home", str(home), "--rotate"]) == Exit.OK
    assert run(weighbridge, ["admit", "--home", str(home), str(model(tmp_path, "second"))]) == Exit.OK
    assert run(weighbridge, ["verify", "--home", str(home)]) == Exit.OK
