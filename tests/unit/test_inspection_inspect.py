"""A whole model through the jail, with the real formats and with third-party ones that misbehave."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from weighbridge.errors import HostileInputError, JailError
from weighbridge.inspection.inspect import Budget, Inspection, inspect_model, required_versions
from weighbridge.inspection.judgements import CHECKS, PLUGIN_HUBS, broken_unit
from weighbridge.jail.confinement import Jail, Limits
from weighbridge.plugins import BrokenUnit
from weighbridge.registry.intake import InPlaceIntake, WeighedModel
from weighbridge.vocabulary import ByteAccount, Outcome, Severity


def safetensors(*, trailer: bytes = b"") -> bytes:
    header = json.dumps({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + b"\x01" * 8 + trailer


def weigh(folder: Path, *, digest: bool = True) -> WeighedModel:
    intake = InPlaceIntake(digest=digest)
    for path in sorted(folder.rglob("*")):
        opener = partial(os.open, path, os.O_RDONLY)
        fd = opener()
        intake.take(str(path.relative_to(folder)), fd, opener=opener)
        os.close(fd)
    return intake.finish()


@pytest.fixture(scope="module")
def jail() -> Iterator[Jail]:
    with Jail() as jail:
        yield jail


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    return folder


def outcomes(inspection: Inspection, path: str) -> dict[str, Outcome]:
    return {f.check: f.outcome for f in inspection.findings if any(e.artifact == path for e in f.evidence)}


def test_a_clean_model(jail: Jail, folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(safetensors())
    (folder / ".gitkeep").write_bytes(b"")
    seen: list[tuple[str, int, int]] = []
    model = weigh(folder)
    inspection = inspect_model(model, jail=jail, on_file=lambda *call: seen.append(call))
    assert seen == [(".gitkeep", 1, 2), ("model.safetensors", 2, 2)]
    assert {f.outcome for f in inspection.findings} == {Outcome.PASS}
    assert inspection.unread == ()
    by_path = {artifact.path: artifact for artifact in inspection.artifacts}
    size = len(safetensors())
    assert by_path["model.safetensors"].account == ByteAccount(header_bytes=size - 8, tensor_bytes=8)
    assert by_path["model.safetensors"].sha256 == model.manifest.entries[1].sha256
    assert (by_path[".gitkeep"].format, by_path[".gitkeep"].account) == ("empty", ByteAccount())
    assert {tool.name for tool in inspection.tools} == {"format.safetensors", "inspection", "jail", "weighbridge"}
    [isolation] = [tool.version for tool in inspection.tools if tool.name == "jail"]
    assert isolation == str(jail.isolation)
    assert [header.path for header in inspection.headers] == ["model.safetensors"]


@pytest.mark.parametrize(
    ("name", "outcome", "severity"),
    [
        *(
            (f"model{suffix}", Outcome.FAIL, Severity.HIGH)
            for suffix in (".safetensors", ".gguf", ".bin", ".pt", ".h5")
        ),
        ("model.of-no-known-kind", Outcome.FAIL, Severity.HIGH),
        ("weights", Outcome.FAIL, Severity.HIGH),
        ("config.json", Outcome.UNKNOWN, Severity.MEDIUM),
        ("config.YAML", Outcome.UNKNOWN, Severity.MEDIUM),
        *(
            (name, Outcome.PASS, Severity.INFO)
            for name in ("README", ".gitkeep", "__init__.py", "a.txt", "a.md", "LICENSE")
        ),
    ],
)
def test_an_empty_file_is_what_its_name_promises(
    jail: Jail, folder: Path, name: str, outcome: Outcome, severity: Severity
) -> None:
    (folder / name).write_bytes(b"")
    said = inspect_model(weigh(folder), jail=jail).findings
    [recognised] = [finding for finding in said if finding.check == "format.recognised"]
    assert (recognised.outcome, recognised.severity) == (outcome, severity)


def test_a_header_only_look_works_the_same(jail: Jail, folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(safetensors())
    inspection = inspect_model(weigh(folder, digest=False), jail=jail)
    assert [artifact.sha256 for artifact in inspection.artifacts] == [""]
    assert {f.outcome for f in inspection.findings} == {Outcome.PASS}


def test_two_inspections_say_the_same(jail: Jail, folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(safetensors())
    (folder / "odd.bin").write_bytes(os.urandom(300))
    first, second = (inspect_model(weigh(folder), jail=jail) for _ in range(2))
    assert first == second


def test_a_broken_file_stands_beside_a_sound_one(jail: Jail, folder: Path) -> None:
    (folder / "bad.safetensors").write_bytes(safetensors()[:-3])
    (folder / "good.safetensors").write_bytes(safetensors())
    inspection = inspect_model(weigh(folder), jail=jail)
    assert Outcome.FAIL in outcomes(inspection, "bad.safetensors").values()
    assert set(outcomes(inspection, "good.safetensors").values()) == {Outcome.PASS}


def test_a_file_of_no_known_format_is_unread(jail: Jail, folder: Path) -> None:
    (folder / "odd.bin").write_bytes(bytes(range(256)))
    inspection = inspect_model(weigh(folder), jail=jail)
    assert outcomes(inspection, "odd.bin")["format.recognised"] is Outcome.UNKNOWN
    assert outcomes(inspection, "odd.bin")["code.on-load"] is Outcome.UNKNOWN
    assert [unread.size_bytes for unread in inspection.unread] == [256]


def test_many_files_are_bounded_with_a_finding(jail: Jail, folder: Path) -> None:
    for number in range(8):
        (folder / f"{number}.safetensors").write_bytes(safetensors())
    inspection = inspect_model(weigh(folder), jail=jail, budget=Budget(files=5))
    assert len(inspection.artifacts) == 8
    assert [unread.path for unread in inspection.unread] == ["5.safetensors", "6.safetensors", "7.safetensors"]
    [examined] = [f for f in inspection.findings if f.check == "inspection.examined"]
    assert (examined.outcome, examined.severity) == (Outcome.UNKNOWN, Severity.HIGH)
    assert examined.message == "5 of 8 files were examined; one inspection takes on 5 files"


@pytest.mark.parametrize("budget", [Budget(wall_s=0), Budget(answer_bytes=0)])
def test_time_and_answers_are_bounded_too(jail: Jail, folder: Path, budget: Budget) -> None:
    for number in range(40):
        (folder / f"{number:02}.safetensors").write_bytes(safetensors())
    inspection = inspect_model(weigh(folder), jail=jail, budget=budget)
    assert Outcome.UNKNOWN in {f.outcome for f in inspection.findings if f.check == "inspection.examined"}
    assert 0 < len(inspection.unread) <= 40
    assert sorted(a.path for a in inspection.artifacts) == [f"{number:02}.safetensors" for number in range(40)]


def test_a_file_that_changed_meanwhile_is_refused(jail: Jail, folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(safetensors())
    model = weigh(folder)
    (folder / "model.safetensors").write_bytes(safetensors() + b"more")
    with pytest.raises(HostileInputError):
        inspect_model(model, jail=jail)


def test_required_versions_name_every_format_and_inspection() -> None:
    names = [tool.name for tool in required_versions()]
    assert {"format.safetensors", "format.gguf", "inspection"} <= set(names)
    assert len(names) == len(set(names))


PLUGIN = """
import ctypes, os, time
from weighbridge.formats.reading.contract import Format, Match, Reading, whole
from weighbridge.vocabulary import SpanKind

def sniff(source):
    return Match.CERTAIN if source.head(4) == b"EVIL" else Match.NO

def read(source):
    {body}
    return Reading(spans=whole(SpanKind.HEADER, source, "all"))

FORMAT = Format(name="evil", title="Evil", media_type="x/evil", version=9, may_hold_code=False, checks=(),
                references=(), sniff=sniff, read=read)
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Jail]:
    def install(code: str, *, limits: Limits | None = None, here: bool = True, confined: bool = True) -> Jail:
        site = tmp_path / "site"
        described = site / "evil_plugin-1.0.dist-info"
        described.mkdir(parents=True)
        (described / "METADATA").write_text("Metadata-Version: 2.1\nName: evil-plugin\nVersion: 1.0\n")
        (described / "entry_points.txt").write_text("[weighbridge.formats]\nevil = evil_plugin:FORMAT\n")
        (site / "evil_plugin.py").write_text(code)
        if here:
            monkeypatch.syspath_prepend(str(site))
            monkeypatch.delitem(sys.modules, "evil_plugin", raising=False)
        return Jail(limits, import_path=(str(site),) if confined else ())

    return install


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("ctypes.string_at(0)", "its reader crashed (SIGSEGV)"),
        ("time.sleep(60)", "its reader took too long (no answer within 1 s)"),
        ("held = [bytes(1 << 20) for _ in range(10_000)]", "its reader ran out of memory"),
        ("os.fork()", "its reader tried to leave the jail"),
        ("os._exit(0)", "its reader crashed (it left with exit status 0 without an answer)"),
    ],
)
def test_a_reader_that_stops_leaves_its_file_unread_and_the_others_read(
    install: Callable[..., Jail], folder: Path, body: str, words: str
) -> None:
    (folder / "a.evil").write_bytes(b"EVIL....")
    (folder / "b.safetensors").write_bytes(safetensors())
    with install(PLUGIN.format(body=body), limits=Limits(wall_s=1)) as jail:
        inspection = inspect_model(weigh(folder), jail=jail)
    assert set(outcomes(inspection, "a.evil").values()) == {Outcome.UNKNOWN}
    assert set(outcomes(inspection, "a.evil")) >= {"inspection.examined", "code.on-load", "bytes.accounted"}
    assert set(outcomes(inspection, "b.safetensors").values()) == {Outcome.PASS}
    assert [(u.path, u.size_bytes) for u in inspection.unread] == [("a.evil", 8)]
    assert inspection.unread[0].reason.startswith(words)
    assert not any(f.check == "inspection.examined" and f.outcome is Outcome.PASS for f in inspection.findings)


def test_a_third_party_format_reads_and_is_named(install: Callable[..., Jail], folder: Path) -> None:
    (folder / "a.evil").write_bytes(b"EVIL....")
    with install(PLUGIN.format(body="pass")) as jail:
        inspection = inspect_model(weigh(folder), jail=jail)
    assert inspection.artifacts[0].format == "evil"
    assert ("format.evil", "9") in {(tool.name, tool.version) for tool in inspection.tools}


@pytest.mark.parametrize("code", ["raise ValueError('no\\x1b[2J')", "FORMAT = 3", "import nothing_of_that_name"])
def test_a_unit_that_fails_to_load_is_an_error_in_every_dossier_once(
    install: Callable[..., Jail], folder: Path, code: str
) -> None:
    for name in ("a", "b"):
        (folder / f"{name}.safetensors").write_bytes(safetensors())
    with install(code) as jail:
        for _ in range(2):
            inspection = inspect_model(weigh(folder), jail=jail)
            assert Counter(f.outcome for f in inspection.findings)[Outcome.ERROR] == 1
            [broken] = [f for f in inspection.findings if f.check == "plugin.formats"]
            assert broken.severity is Severity.HIGH
            assert broken.evidence[0].artifact == "evil_plugin:FORMAT"
            assert broken.evidence[0].excerpt.isprintable()


def test_a_unit_that_takes_the_interpreter_down_is_said_aloud(install: Callable[..., Jail], folder: Path) -> None:
    (folder / "a.safetensors").write_bytes(safetensors())
    with install("import os; os._exit(3)", here=False) as jail, pytest.raises(JailError, match="did not start"):
        inspect_model(weigh(folder), jail=jail)


TABLE = """
from dataclasses import replace
from functools import cache
from pathlib import Path

@cache
def table():
    return Path(__file__).read_text()
"""


def test_what_a_unit_prepares_is_read_before_the_lockdown(install: Callable[..., Jail], folder: Path) -> None:
    (folder / "a.evil").write_bytes(b"EVIL....")
    ready = "\nFORMAT = replace(FORMAT, prepare=table)\n"
    with install(TABLE + PLUGIN.format(body="table()") + ready) as jail:
        inspection = inspect_model(weigh(folder), jail=jail)
    assert set(outcomes(inspection, "a.evil").values()) == {Outcome.PASS}


def test_a_table_that_nobody_prepared_breaks_its_reader(install: Callable[..., Jail], folder: Path) -> None:
    (folder / "a.evil").write_bytes(b"EVIL....")
    with install(TABLE + PLUGIN.format(body="table()")) as jail:
        inspection = inspect_model(weigh(folder), jail=jail)
    assert outcomes(inspection, "a.evil")["code.on-load"] is Outcome.UNKNOWN


def test_a_unit_that_cannot_get_ready_is_broken(install: Callable[..., Jail], folder: Path) -> None:
    (folder / "a.safetensors").write_bytes(safetensors())
    broken = "\nfrom dataclasses import replace\nFORMAT = replace(FORMAT, prepare=lambda: open('/nowhere/at/all'))\n"
    with install(PLUGIN.format(body="pass") + broken) as jail:
        findings = inspect_model(weigh(folder), jail=jail).findings
    said = [f.evidence[0].excerpt for f in findings if f.outcome is Outcome.ERROR]
    assert any("it could not get ready: FileNotFoundError" in excerpt for excerpt in said)


@pytest.mark.parametrize(
    ("here", "confined", "excerpt"),
    [(True, False, "here 9, confined absent"), (False, True, "here absent, confined 9")],
)
def test_a_unit_that_only_one_side_sees_is_an_error(
    install: Callable[..., Jail], folder: Path, here: bool, confined: bool, excerpt: str
) -> None:
    (folder / "a.safetensors").write_bytes(safetensors())
    with install(PLUGIN.format(body="pass"), here=here, confined=confined) as jail:
        findings = inspect_model(weigh(folder), jail=jail).findings
    [unlike] = [f for f in findings if f.outcome is Outcome.ERROR]
    assert (unlike.check, unlike.severity) == ("plugin.formats", Severity.HIGH)
    assert (unlike.evidence[0].artifact, unlike.evidence[0].excerpt) == ("evil", excerpt)


def test_a_broken_unit_that_the_confined_reader_does_not_see_is_an_error(
    install: Callable[..., Jail], folder: Path
) -> None:
    (folder / "a.safetensors").write_bytes(safetensors())
    with install("raise ValueError('no')", confined=False) as jail:
        findings = inspect_model(weigh(folder), jail=jail).findings
    [unlike] = [f for f in findings if f.outcome is Outcome.ERROR]
    assert (unlike.evidence[0].artifact, unlike.evidence[0].excerpt) == (
        "evil_plugin:FORMAT",
        "here broken, confined absent",
    )


def test_a_broken_hub_unit_can_be_said() -> None:
    said = broken_unit(BrokenUnit(name="x.hub:HUB", reason="ImportError: no\x1b[2J"), PLUGIN_HUBS)
    assert (said.check, said.outcome) == ("plugin.hubs", Outcome.ERROR)
    assert said.message.startswith("a hub unit")
    assert said.evidence[0].excerpt.isprintable()
    assert {"plugin.hubs", "plugin.formats"} <= set(CHECKS)
