"""What the parent believes of the child's words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from weighbridge.errors import MalformedArtifactError
from weighbridge.inspection.examined import Examined, read_examined, tame
from weighbridge.registry import wire
from weighbridge.vocabulary import ByteAccount, Evidence, Finding, Header, Outcome, Severity, Unread

FINDING = Finding(
    check="a.b",
    outcome=Outcome.PASS,
    severity=Severity.INFO,
    message="fine",
    evidence=(Evidence(artifact="m.pt!data.pkl", locator="byte 1", excerpt="x"),),
)
SAID = Examined(
    readers=("torch_zip",),
    account=ByteAccount(header_bytes=3, tensor_bytes=7),
    findings=(FINDING,),
    headers=(Header(path="m.pt", format="torch_zip"),),
    unread=(Unread(path="m.pt", size_bytes=1, reason="r"),),
)


def read(said: Examined) -> Examined:
    return read_examined(wire.encode(said), path="m.pt", size_bytes=10)


def test_an_honest_answer_is_read_back() -> None:
    assert read(SAID) == SAID


def other(path: str) -> list[Examined]:
    return [
        replace(SAID, findings=(replace(FINDING, evidence=(Evidence(artifact=path),)),)),
        replace(SAID, headers=(Header(path=path, format="f"),)),
        replace(SAID, unread=(Unread(path=path, size_bytes=1, reason="r"),)),
    ]


@pytest.mark.parametrize(
    "said",
    [
        replace(SAID, account=ByteAccount(header_bytes=3)),
        replace(SAID, account=ByteAccount(header_bytes=20, tensor_bytes=-10)),
        replace(SAID, readers=()),
        replace(SAID, headers=(Header(path="m.pt", format="f", parameter_count=1 << 53),)),
        *other("other.pt"),
        *other("m.pt2"),
        *other(""),
    ],
)
def test_lies_about_sizes_and_other_files_are_refused(said: Examined) -> None:
    with pytest.raises(MalformedArtifactError):
        read(said)


@pytest.mark.parametrize("data", [b"", b"null", b"[]", b"\xff", b'{"readers": 1}', b"[" * 100_000])
def test_what_is_not_in_these_words_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedArtifactError):
        read_examined(data, path="m.pt", size_bytes=10)


@pytest.mark.parametrize("text", ["\x1b[2J", "\u202egnp.exe", "line\nline", "x" * 10_000])
def test_every_text_is_made_safe_to_show(text: str) -> None:
    place = Evidence(artifact="m.pt", locator=text, excerpt=text)
    [finding] = tame([replace(FINDING, check=text, message=text, evidence=(place,))])
    shown = [finding.check, finding.message, finding.evidence[0].locator, finding.evidence[0].excerpt]
    assert all(part.isprintable() and len(part) <= 500 for part in shown)


def test_a_tame_finding_is_left_alone() -> None:
    [finding] = tame([FINDING])
    assert finding is FINDING
