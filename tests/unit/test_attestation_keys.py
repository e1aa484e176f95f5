"""Keys: made once, kept closed, exchanged without losing what the old one signed."""

from __future__ import annotations

import multiprocessing
import os
import stat
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from weighbridge.attestation import keys
from weighbridge.attestation.dsse import IN_TOTO, sign_payload, verify_envelope
from weighbridge.attestation.keys import SigningKey, VerifyingKey, trusted_keys
from weighbridge.attestation.rotation import follow_rotations, read_rotations, rotate_key
from weighbridge.errors import MalformedArtifactError, SigningError, TamperedError

NOW = datetime(2026, 11, 21, tzinfo=UTC)
RFC_8032_SECRET = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"
RFC_8032_PUBLIC = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
RFC_8032_SIGNATURE = "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"


def _mode(path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_first_vector_of_rfc_8032():
    key = SigningKey(Ed25519PrivateKey.from_private_bytes(bytes.fromhex(RFC_8032_SECRET)))
    assert key.public_key.raw.hex() == RFC_8032_PUBLIC
    assert key.sign(b"").hex() == RFC_8032_SIGNATURE
    assert key.public_key.fits(bytes.fromhex(RFC_8032_SIGNATURE), b"")
    assert not key.public_key.fits(bytes.fromhex(RFC_8032_SIGNATURE), b"x")
    assert key.key_id == "21fe31dfa154a261626bf854046fd2271b7bed4b6abe45aa58877ef47f9721b9"
    assert RFC_8032_SECRET not in repr(key)


def test_a_key_is_made_closed_and_found_again(tmp_path):
    folder = tmp_path / "data" / "keys"
    first = SigningKey.load_or_create(folder)
    assert SigningKey.load_or_create(folder).key_id == first.key_id
    assert _mode(folder) == 0o700
    assert _mode(folder / keys.KEY_FILE) == 0o600
    assert sorted(path.name for path in folder.iterdir()) == [".lock", keys.KEY_FILE]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660])
def test_a_key_that_others_can_read_is_refused_with_the_remedy(tmp_path, mode):
    SigningKey.load_or_create(tmp_path / "keys")
    path = tmp_path / "keys" / keys.KEY_FILE
    path.chmod(mode)
    with pytest.raises(SigningError) as caught:
        SigningKey.load_or_create(tmp_path / "keys")
    assert caught.value.remedy == f"chmod 600 {path}"


def test_a_folder_that_others_can_write_to_is_refused(tmp_path):
    for has_key in (False, True):
        folder = tmp_path / f"keys-{has_key}"
        folder.mkdir(0o700)
        if has_key:
            SigningKey.load_or_create(folder)
        folder.chmod(0o770)
        with pytest.raises(SigningError, match="others can write"):
            SigningKey.load_or_create(folder)
        assert (folder / keys.KEY_FILE).exists() is has_key


def test_an_external_key_is_read_through_a_link(tmp_path):
    made = SigningKey.load_or_create(tmp_path / "keys")
    link = tmp_path / "mounted.pem"
    link.symlink_to(tmp_path / "keys" / keys.KEY_FILE)
    assert SigningKey.load(link).key_id == made.key_id


def _pem(key, encryption=None) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption())


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not an Ed25519 private key"),
        (b"no key" * 5000, "not an Ed25519 private key"),
        (_pem(generate_private_key(SECP256R1())), "not an Ed25519 private key"),
        (_pem(Ed25519PrivateKey.generate(), BestAvailableEncryption(b"secret")), "is encrypted"),
    ],
    ids=["empty", "long", "elliptic curve", "encrypted"],
)
def test_what_is_no_usable_key_is_refused(tmp_path, content, said):
    path = tmp_path / "key.pem"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(SigningError, match=said) as caught:
        SigningKey.load(path)
    assert caught.value.remedy


def test_a_missing_key_or_a_folder_is_refused(tmp_path):
    for path in (tmp_path / "absent.pem", tmp_path):
        with pytest.raises(SigningError):
            SigningKey.load(path)


def test_a_key_that_cannot_be_written_leaves_nothing_behind(tmp_path, monkeypatch):
    (tmp_path / "keys").mkdir(mode=0o700)

    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(SigningError, match="No space left") as refused:
        SigningKey.load_or_create(tmp_path / "keys")
    assert refused.value.remedy
    assert [path.name for path in (tmp_path / "keys").iterdir()] in ([], [".lock"])


def test_every_folder_above_a_key_is_on_the_disk_before_the_key_is_used(tmp_path, monkeypatch):
    synced = []
    fsync = os.fsync

    def note(descriptor):
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        fsync(descriptor)

    monkeypatch.setattr("os.fsync", note)
    folder = tmp_path / "data" / "weighbridge" / "keys"
    made = SigningKey.load_or_create(folder)
    above = [str(place) for place in (tmp_path, tmp_path / "data", tmp_path / "data" / "weighbridge", folder)]
    assert [place for place in dict.fromkeys(synced) if place in above] == above
    assert synced[-1] == str(folder)
    synced.clear()
    assert SigningKey.load_or_create(folder).key_id == made.key_id
    assert synced == [str(folder)]


def test_what_a_killed_process_left_of_a_key_is_deleted(tmp_path):
    folder = tmp_path / "keys"
    folder.mkdir(mode=0o700)
    (folder / f".{keys.KEY_FILE}.x.part").write_bytes(b"half a secret")
    SigningKey.load_or_create(folder)
    assert sorted(path.name for path in folder.iterdir()) == [".lock", keys.KEY_FILE]


def _make(folder, barrier, results):
    barrier.wait()
    results.put(SigningKey.load_or_create(folder).key_id)


def test_eight_processes_at_once_make_one_key(tmp_path):
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(8), context.Queue()
    workers = [context.Process(target=_make, args=(tmp_path / "keys", barrier, results)) for _ in range(8)]
    for worker in workers:
        worker.start()
    made = {results.get(timeout=30) for _ in workers}
    for worker in workers:
        worker.join(30)
    assert made == {SigningKey.load(tmp_path / "keys" / keys.KEY_FILE).key_id}
    assert sorted(path.name for path in (tmp_path / "keys").iterdir()) == [".lock", keys.KEY_FILE]


def test_rotation_keeps_the_old_public_key_and_leads_to_the_new_one(tmp_path):
    folder = tmp_path / "keys"
    first = SigningKey.load_or_create(folder)
    envelope = sign_payload(b"{}", IN_TOTO, first)
    second = rotate_key(folder, now=NOW)
    third = rotate_key(folder, now=NOW)
    assert SigningKey.load_or_create(folder).key_id == third.key_id
    assert {key.key_id for key in trusted_keys(folder)} == {first.key_id, second.key_id}
    assert verify_envelope(envelope, trusted_keys(folder)) == b"{}"
    chain = follow_rotations(first.public_key, read_rotations(folder))
    assert chain == (first.public_key, second.public_key, third.public_key)
    assert follow_rotations(third.public_key, read_rotations(folder)) == (third.public_key,)
    assert first.private.private_bytes_raw() not in b"".join(p.read_bytes() for p in folder.rglob("*") if p.is_file())
    assert all(_mode(path) == 0o600 for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("step", range(1, 10))
def test_an_interrupted_rotation_is_finished_by_the_next(tmp_path, monkeypatch, step):
    folder = tmp_path / "keys"
    first = SigningKey.load_or_create(folder)
    calls = iter(range(1, 100))

    def stops(_descriptor):
        if next(calls) == step:
            raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", stops)
    with pytest.raises(KeyboardInterrupt):
        rotate_key(folder, now=NOW)
    monkeypatch.undo()
    is_done = step == 9
    assert (SigningKey.load_or_create(folder).key_id != first.key_id) is is_done
    begun = folder / keys.NEXT_KEY_FILE
    expected = SigningKey.load(begun).key_id if begun.exists() else None
    assert (expected is not None) is (2 < step < 9)
    last = rotate_key(folder, now=NOW)
    assert expected in (None, last.key_id)
    chain = follow_rotations(first.public_key, read_rotations(folder))
    assert (chain[0], chain[-1], len(chain)) == (first.public_key, last.public_key, 3 if is_done else 2)
    assert not begun.exists()


def test_rotation_without_a_key_is_refused(tmp_path):
    with pytest.raises(SigningError):
        rotate_key(tmp_path / "keys", now=NOW)


def test_a_rotation_that_was_altered_leads_nowhere(tmp_path):
    folder = tmp_path / "keys"
    first = SigningKey.load_or_create(folder)
    rotate_key(folder, now=NOW)
    (envelope,) = read_rotations(folder)
    other = sign_payload(b'{"not": "a rotation"}', IN_TOTO, first)
    with pytest.raises(MalformedArtifactError):
        follow_rotations(first.public_key, [other])
    changed = envelope.replace(b'"payload":"eyJ', b'"payload":"eyK')
    with pytest.raises(TamperedError):
        follow_rotations(first.public_key, [changed])


def test_a_trusted_key_under_another_name_is_refused(tmp_path):
    folder = tmp_path / "keys"
    SigningKey.load_or_create(folder)
    rotate_key(folder, now=NOW)
    (path,) = (folder / keys.TRUSTED_FOLDER).iterdir()
    path.rename(path.with_name("0" * 64 + ".pem"))
    with pytest.raises(SigningError, match="holds the key"):
        trusted_keys(folder)
    (folder / keys.TRUSTED_FOLDER / ("0" * 64 + ".pem")).write_bytes(b"no key")
    with pytest.raises(SigningError, match="not an Ed25519 public key"):
        trusted_keys(folder)


def test_a_public_key_has_32_bytes():
    with pytest.raises(SigningError):
        VerifyingKey(raw=b"short").fits(b"", b"")
