from __future__ import annotations

from pathlib import Path

import pytest

from weighbridge.errors import UsageError
from weighbridge.hubs.access.contract import Hub
from weighbridge.hubs.access.references import parse_reference
from weighbridge.plugins import find_units
from weighbridge.vocabulary import ModelRef


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("text", "hub", "name", "revision"),
    [
        ("local:models/tiny", "local", "models/tiny", ""),
        ("./tiny", "local", "./tiny", ""),
        ("../tiny@x", "local", "../tiny@x", ""),
        ("/models/tiny", "local", "/models/tiny", ""),
        ("~/tiny", "local", "~/tiny", ""),
        ("hf:acme/tiny", "huggingface", "acme/tiny", ""),
        ("hf:acme/tiny@refs/pr/1", "huggingface", "acme/tiny", "refs/pr/1"),
        ("hf:gpt2", "huggingface", "gpt2", ""),
        ("huggingface:acme/tiny@v1.0", "huggingface", "acme/tiny", "v1.0"),
        ("acme/tiny", "huggingface", "acme/tiny", ""),
        ("  acme/tiny@main\n", "huggingface", "acme/tiny", "main"),
        ("https://huggingface.co/acme/tiny", "huggingface", "acme/tiny", ""),
        ("https://huggingface.co/acme/tiny/", "huggingface", "acme/tiny", ""),
        ("https://huggingface.co/acme/tiny/tree/refs/pr/1", "huggingface", "acme/tiny", "refs/pr/1"),
        ("https://hf.co/acme/tiny?library=x", "huggingface", "acme/tiny", ""),
        ("https://www.huggingface.co/acme/tiny", "huggingface", "acme/tiny", ""),
        ("ollama:llama3.2:1b", "ollama", "llama3.2:1b", ""),
        ("ollama:acme/tiny", "ollama", "acme/tiny", ""),
        ("ollama:tiny@sha256:" + "a" * 64, "ollama", "tiny", "a" * 64),
    ],
)  # fmt: skip
def test_each_form_means_one_hub(text: str, hub: str, name: str, revision: str) -> None:
    assert parse_reference(text) == ModelRef(hub=hub, name=name, revision=revision)


@pytest.mark.parametrize(
    "text",
    ["", " ", "tiny", "a b", "s3://bucket/x", "https://example.org/acme/tiny", "a/b/c", "a\0b", "https://huggingface.co/acme",
     "https://huggingface.co.evil.example/acme/tiny", "https://huggingface.co/datasets/acme/tiny",
     "https://huggingface.co/acme/tiny/blob/main/x.bin"],
)  # fmt: skip
def test_anything_else_says_which_forms_there_are(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_reference(text)
    assert "hf:ORG/NAME" in caught.value.remedy
    assert "ollama:NAME" in caught.value.remedy
    assert caught.value.message.isprintable()


@pytest.mark.parametrize("text", ["acme/tiny", "tiny", "acme/tiny@main"])
def test_an_existing_path_wins(here: Path, text: str) -> None:
    (here / text).mkdir(parents=True)
    assert parse_reference(text) == ModelRef(hub="local", name=text)


def test_a_folder_cannot_pass_for_a_named_hub(here: Path) -> None:
    (here / "hf:acme" / "tiny").mkdir(parents=True)
    assert parse_reference("hf:acme/tiny").hub == "huggingface"


@pytest.mark.parametrize("text", ["local:a", "huggingface:acme/tiny@x", "ollama:tiny:1b@" + "a" * 64])
def test_a_reference_is_read_back_from_how_it_is_shown(text: str) -> None:
    assert str(parse_reference(text)) == text


def test_every_hub_of_the_room_loads() -> None:
    units = find_units("hubs", Hub)
    assert units.broken == ()
    assert list(units.found) == ["huggingface", "local", "ollama"]
