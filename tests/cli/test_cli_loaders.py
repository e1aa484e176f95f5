"""`inspect --for-loader` and `--vex`."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from tests.cli.conftest import Command
from weighbridge.testing.models import StoredTensor, gguf_bytes, tiny_gguf


@pytest.fixture
def lying(tmp_path: Path) -> Path:
    """A GGUF file with a tensor that claims more bytes than 64 bits can say."""
    folder = tmp_path / "lying"
    folder.mkdir()
    tensor = StoredTensor(name="t", dtype=0, shape=(1 << 62,), data=bytes(32))
    (folder / "m.gguf").write_bytes(gguf_bytes({"general.architecture": "llama"}, [tensor]))
    return folder


@pytest.fixture
def honest(tmp_path: Path) -> Path:
    folder = tmp_path / "honest"
    folder.mkdir()
    (folder / "m.gguf").write_bytes(tiny_gguf())
    return folder


def test_open_to_an_advisory_fails(command: Command, lying: Path) -> None:
    shown = command("inspect", str(lying), "--for-loader", "llama.cpp b6000")
    assert shown.code == 1
    assert "llama.cpp b6000 is open to CVE-2026-33298" in shown.out
    fixed = command("inspect", str(lying), "--for-loader", "llama.cpp b9000", "--all")
    assert "open to" not in fixed.out
    assert "llama.cpp b9000 is outside the versions of CVE-2026-27940" in fixed.out


def test_an_honest_file_passes_for_any_loader(command: Command, honest: Path) -> None:
    loaders = ("llama.cpp b6000", "torch 2.9", "keras 3.8", "ollama 0.17.0", "joblib 1.5")
    named = [part for loader in loaders for part in ("--for-loader", loader)]
    shown = command("inspect", str(honest), *named, "--all")
    assert shown.code == 0
    assert "torch 2.9 has CVE-2026-24747, and no file here" in shown.out
    assert "ollama 0.17.0 has CVE-2026-7482, which is not reached" in shown.out
    assert "no advisory is known here for joblib 1.5" in shown.out


def test_what_cannot_be_told_is_unsure(command: Command, honest: Path) -> None:
    (honest / "m.gguf").write_bytes(b"GGUF" + struct.pack("<IQQ", 9, 1, 1) + bytes(64))
    shown = command("inspect", str(honest), "--for-loader", "ollama 0.17.0", "--json")
    assert shown.code == 3
    [finding] = [f for f in shown.document["dossier"]["findings"] if f["check"] == "loader.known-vulnerability"]
    assert (finding["outcome"], finding["references"][0]) == ("unknown", "CVE-2026-7482")


def test_fail_on_goes_by_the_severity_of_the_advisory(command: Command, tmp_path: Path) -> None:
    data = tiny_gguf().replace(b"{{ m.content }}", b"{{m.__class__}}")
    folder = tmp_path / "template"
    folder.mkdir()
    (folder / "m.gguf").write_bytes(data)
    plain = command("inspect", str(folder), "--fail-on", "critical")
    asked = command("inspect", str(folder), "--fail-on", "critical", "--for-loader", "llama-cpp-python 0.2.71")
    assert (plain.code, asked.code) == (0, 1)


@pytest.mark.parametrize("loader", ["llama 3", "torch", "torch latest", "llama.cpp 0.5.0", ""])
def test_an_unknown_loader_or_version_is_a_usage_error(command: Command, honest: Path, loader: str) -> None:
    shown = command("inspect", str(honest), "--for-loader", loader)
    assert shown.code == 2
    assert "torch" in shown.err or "llama.cpp" in shown.err


def test_the_document_is_written_and_says_the_same_twice(command: Command, lying: Path, tmp_path: Path) -> None:
    target = tmp_path / "model.openvex.json"
    asked = ("inspect", str(lying), "--for-loader", "llama.cpp b6000", "--for-loader", "torch 2.9")
    first = command(*asked, "--vex", str(target))
    assert first.code == 1
    written = json.loads(target.read_text())
    assert written["@context"] == "https://openvex.dev/ns/v0.2.0"
    statuses = {item["vulnerability"]["name"]: item["status"] for item in written["statements"]}
    assert statuses["CVE-2026-33298"] == "affected"
    assert statuses["CVE-2025-53630"] == "fixed"
    assert statuses["CVE-2026-24747"] == "not_affected"
    assert str(tmp_path) not in target.read_text()
    shown = command(*asked, "--vex", "-")
    assert shown.code == 1
    assert shown.document["statements"] == written["statements"]


def test_sarif_tells_it_as_well(command: Command, lying: Path) -> None:
    shown = command("inspect", str(lying), "--for-loader", "llama.cpp b6000", "--sarif", "-")
    [run] = shown.document["runs"]
    told = [result for result in run["results"] if result["ruleId"] == "loader.known-vulnerability"]
    assert len(told) == 2
    assert {result["level"] for result in told} == {"error"}
    assert all(result["locations"][0]["physicalLocation"]["region"]["byteOffset"] for result in told)
    assert len({result["partialFingerprints"]["weighbridge/v1"] for result in told}) == 2


def test_reports_without_the_option_do_not_change(command: Command, honest: Path) -> None:
    plain = command("inspect", str(honest), "--json")
    assert "loader.known-vulnerability" not in plain.out
    asked = command("inspect", str(honest), "--json", "--for-loader", "torch 2.9").document["dossier"]
    kept = [f for f in asked["findings"] if f["check"] != "loader.known-vulnerability"]
    assert {**asked, "findings": kept} == plain.document["dossier"]


def test_what_does_not_go_together(command: Command, honest: Path) -> None:
    asked = ("inspect", str(honest), "--for-loader", "torch 2.9")
    assert command("inspect", str(honest), "--vex", "x.json").code == 2
    assert command(*asked, "--vex", "-", "--json").code == 2
    assert command(*asked, "--vex", "-", "--sarif", "-").code == 2
    assert command(*asked, str(honest), "--vex", "x.json").code == 2
    assert command(*asked, "--vex", "x.json", "--header-only").code == 2
    assert command(*asked, "--vex", str(honest / "none" / "x.json")).code == 2
    assert command("inspect", str(honest), "--for-loader", "joblib 1.5", "--vex", "-").code == 2


def test_a_preview_and_several_models_are_tested_as_well(command: Command, honest: Path, lying: Path) -> None:
    preview = command("inspect", str(lying), "--header-only", "--for-loader", "llama.cpp b6000")
    assert preview.code == 1
    assert "open to CVE-2026-33298" in preview.out
    both = command("inspect", str(honest), str(lying), "--for-loader", "llama.cpp b6000")
    assert (both.code, both.out.count("is open to")) == (1, 2)


def test_a_finding_about_a_loader_can_be_set_aside(command: Command, lying: Path, tmp_path: Path) -> None:
    baseline = tmp_path / "baseline.yaml"
    asked = ("inspect", str(lying), "--for-loader", "llama.cpp b6000")
    command(*asked, "--write-baseline", str(baseline), "--until", "2999-01-01")
    assert "loader.known-vulnerability" in baseline.read_text()
    shown = command(*asked, "--suppress", str(baseline))
    assert "suppressed" in shown.out
    assert "llama.cpp b6000 is open to" not in "".join(
        line for line in shown.out.splitlines() if line.startswith("fail")
    )
    other = command("inspect", str(lying), "--for-loader", "ollama 0.17.0", "--suppress", str(baseline))
    assert other.code == 1
    assert "m.gguf ollama 0.17.0 is open to CVE-2026-7482" in next(
        line for line in other.out.splitlines() if "fail " in line
    )


def test_reports_do_not_overwrite_each_other(command: Command, honest: Path, tmp_path: Path) -> None:
    one = str(tmp_path / "report")
    shown = command("inspect", str(honest), "--for-loader", "torch 2.9", "--vex", one, "--sarif", one)
    assert shown.code == 2
    assert "two name one file" in shown.err
    assert not Path(one).exists()
    model = honest / "m.gguf"
    held = model.read_bytes()
    shown = command("inspect", str(model), "--for-loader", "torch 2.9", "--vex", str(model))
    assert (shown.code, model.read_bytes() == held) == (2, True)


def test_a_vex_document_without_statements_is_refused_before_anything_is_read(command: Command, tmp_path: Path) -> None:
    shown = command("inspect", str(tmp_path / "absent"), "--for-loader", "joblib 1.5", "--vex", str(tmp_path / "v"))
    assert shown.code == 2
    assert "no advisory is known here" in shown.err


def test_a_baseline_that_would_be_over_is_refused(command: Command, lying: Path, tmp_path: Path) -> None:
    path = tmp_path / "baseline.yaml"
    shown = command("inspect", str(lying), "--write-baseline", str(path), "--until", "2020-01-01")
    assert shown.code == 2
    assert "is over" in shown.err
    assert not path.exists()
