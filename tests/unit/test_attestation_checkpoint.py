"""Checkpoints and notes: other people's vectors, our own round trip, and everything that is refused."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from weighbridge.attestation.checkpoint import open_note, read_checkpoint, sign_checkpoint, sign_note
from weighbridge.attestation.keys import SigningKey, VerifyingKey
from weighbridge.errors import MalformedArtifactError, SigningError, TamperedError, WeighbridgeError

# golang.org/x/mod/sumdb/note, the reference implementation: the example of its documentation.
GO_NAME = "PeterNeumann"
GO_SECRET = "AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
GO_PUBLIC = "ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
GO_SIGNATURE = "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="
# github.com/transparency-dev/tessera: the test key of its documentation, and a checkpoint that its code signed with it.
TESSERA_NAME = "example.com/log/testdata"
TESSERA_SECRET = "AeymY/SZAX0jZcJ8enZ5FY1Dz+wTML2yWSkK+9DSF3eg"
TESSERA_PUBLIC = "AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx"
TESSERA_CHECKPOINT = (
    "example.com/log/testdata\n100270\nGRV1O0dCqmjjPvYi7CtOT79zb/fPwLNsMFWsynwU8Ac=\n\n"
    "— example.com/log/testdata "
    "M9e0lkcvy5bAe7rrC8tCyAP+my+CLzswA91zOpBNWVU7qCojkUOHnfdQzDImoYeYH8G8PJSwOqsx0RkSa261OmKVwwM=\n"
)
# c2sp.org/signed-note: the verifier key and the note of its example.
SPEC_NAME = "example.com/foo"
SPEC_PUBLIC = "AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
SPEC_NOTE = (
    "This is an example message.\n\n"
    "— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
)
KEY = SigningKey(Ed25519PrivateKey.from_private_bytes(b"\x07" * 32))
ROOT = bytes(range(32))
NOTE = sign_checkpoint("example.com/log", 42, ROOT, KEY)


def _public(encoded: str) -> VerifyingKey:
    return VerifyingKey(raw=base64.b64decode(encoded)[1:])


def _secret(encoded: str) -> SigningKey:
    return SigningKey(Ed25519PrivateKey.from_private_bytes(base64.b64decode(encoded)[1:]))


def test_the_note_of_the_reference_implementation():
    expected = f"{GO_TEXT}\n— {GO_NAME} {GO_SIGNATURE}\n"
    assert sign_note(GO_TEXT, name=GO_NAME, signer=_secret(GO_SECRET)) == expected
    assert open_note(expected, [_public(GO_PUBLIC)], name=GO_NAME)[0] == GO_TEXT


def test_the_note_of_the_specification():
    assert open_note(SPEC_NOTE, [_public(SPEC_PUBLIC)], name=SPEC_NAME)[0] == "This is an example message.\n"


def test_a_checkpoint_of_tessera():
    checkpoint = read_checkpoint(TESSERA_CHECKPOINT, [_public(TESSERA_PUBLIC)])
    assert (checkpoint.origin, checkpoint.size) == (TESSERA_NAME, 100270)
    assert sign_checkpoint(TESSERA_NAME, 100270, checkpoint.root, _secret(TESSERA_SECRET)) == TESSERA_CHECKPOINT


def test_a_checkpoint_comes_back():
    checkpoint = read_checkpoint(NOTE, [KEY.public_key])
    assert (checkpoint.origin, checkpoint.size, checkpoint.root) == ("example.com/log", 42, ROOT)
    assert checkpoint.signers == (KEY.key_id,)
    assert checkpoint.extensions == ()
    assert read_checkpoint(sign_checkpoint("a", 0, ROOT, KEY), [KEY.public_key]).size == 0


def test_a_stranger_s_signature_beside_ours_is_passed_over():
    stranger = sign_note(NOTE.split("\n\n")[0] + "\n", name="witness.example", signer=_secret(GO_SECRET))
    both = NOTE + stranger.split("\n\n")[1]
    assert read_checkpoint(both, [KEY.public_key]).signers == (KEY.key_id,)
    with pytest.raises(SigningError):
        read_checkpoint(stranger, [KEY.public_key])


def test_another_key_of_the_same_name_is_not_known():
    with pytest.raises(SigningError, match="no known key"):
        read_checkpoint(NOTE, [_public(GO_PUBLIC)])
    with pytest.raises(SigningError):
        read_checkpoint(NOTE, [])


def test_a_known_key_whose_signature_does_not_fit_refuses_the_note():
    with pytest.raises(TamperedError):
        read_checkpoint(NOTE.replace("\n42\n", "\n43\n"), [KEY.public_key])


def test_extension_lines_are_kept():
    text = f"example.com/log\n42\n{base64.b64encode(ROOT).decode()}\nTimestamp 1\n"
    note = sign_note(text, name="example.com/log", signer=KEY)
    assert read_checkpoint(note, [KEY.public_key]).extensions == ("Timestamp 1",)


@pytest.mark.parametrize(
    "body",
    [
        "example.com/log\n42\n",
        "example.com/log\n042\n{root}\n",
        "example.com/log\n-1\n{root}\n",
        "example.com/log\n4 2\n{root}\n",
        "example.com/log\n99999999999999999999\n{root}\n",
        "example.com/log\n42\nAAAA\n",
        "example.com/log\n42\n{root}=\n",
        "example.com/log\n42\nnot base64\n",
        "example.com/log\n42\n\n{root}\n",
    ],
)
def test_a_signed_body_that_is_no_checkpoint_is_refused(body):
    text = body.replace("{root}", base64.b64encode(ROOT).decode())
    note = sign_note(text, name="example.com/log", signer=KEY)
    with pytest.raises(MalformedArtifactError):
        read_checkpoint(note, [KEY.public_key])


@pytest.mark.parametrize(
    "note",
    [
        "",
        "\n",
        "\n\n",
        NOTE[:-1],
        NOTE.replace("\n\n", "\n"),
        NOTE.replace("—", "-"),
        NOTE.replace("\n42", "\r\n42"),
        NOTE + "\n",
        NOTE + "nonsense\n",
        NOTE.split("\n\n")[0] + "\n\n" + "— a AAAAAAAA\n" * 65,
        NOTE.split("\n\n")[0] + "\n\n— example.com/log AAAA\n",
        NOTE.split("\n\n")[0] + "\n\n— example.com/log\n",
        "\ud800" + NOTE,
        "a" * 70_000 + NOTE,
    ],
)
def test_what_is_no_note_is_refused(note):
    with pytest.raises((MalformedArtifactError, SigningError)):
        read_checkpoint(note, [KEY.public_key])


@pytest.mark.parametrize("origin", ["", "a b", "a+b", "a\nb", "a\u00a0b", "\ud800"])
def test_an_origin_that_is_no_key_name_is_not_signed(origin):
    with pytest.raises(MalformedArtifactError):
        sign_checkpoint(origin, 1, ROOT, KEY)


@pytest.mark.parametrize(("size", "root"), [(-1, ROOT), (1, b"short"), (1, ROOT + b"x")])
def test_a_head_that_cannot_be_is_not_signed(size, root):
    with pytest.raises(WeighbridgeError):
        sign_checkpoint("example.com/log", size, root, KEY)
