"""What every test may use, and the budget of skips that a run must keep."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.skip_budget import SkipBudget

ROOT = Path(__file__).resolve().parent.parent
pytest_plugins = ["pytester"]
SHARED_ABSENT = "../shared is not here: the data that this test reads is kept outside the repository"

settings.register_profile(
    "weighbridge",
    deadline=None,
    derandomize="CI" in os.environ,
    max_examples=60,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("weighbridge")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-goldens", action="store_true", help="write what the golden tests saw as the new golden")


def find_shared(start: Path = ROOT) -> Path | None:
    """The folder `shared` beside the checkout or beside a folder above it, or what WEIGHBRIDGE_SHARED names."""
    named = os.environ.get("WEIGHBRIDGE_SHARED")
    candidates = [Path(named)] if named else [folder / "shared" for folder in start.parents]
    return next((folder for folder in candidates if (folder / "data").is_dir()), None)


@pytest.fixture(scope="session")
def repository() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder `shared/data`; a test that asks for it is skipped where it is absent."""
    shared = find_shared()
    if shared is None:
        pytest.skip(SHARED_ABSENT)
    return shared / "data"


@pytest.fixture
def data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, so that nothing a test does reaches the user's own store, keys, tokens or caches."""
    home = tmp_path / "home"
    data = home / "data"
    data.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    for name in ("XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME"):
        monkeypatch.setenv(name, str(home / name.lower()))
    monkeypatch.setenv("XDG_DATA_HOME", str(data))
    for name in [name for name in os.environ if name.startswith(("HF_", "HUGGING", "OLLAMA_", "WEIGHBRIDGE_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HF_HOME", str(home / "huggingface"))
    monkeypatch.setenv("WEIGHBRIDGE_HOME", str(data / "weighbridge"))
    return data / "weighbridge"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    budget = SkipBudget.read(ROOT / "tests" / "skips.txt", find_shared())
    for line in budget.report(_skip_reasons(terminalreporter)):
        terminalreporter.write_line(line)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or hasattr(session.config, "workerinput") or exitstatus != pytest.ExitCode.OK:
        return
    budget = SkipBudget.read(ROOT / "tests" / "skips.txt", find_shared())
    if budget.is_exceeded(_skip_reasons(reporter)):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _skip_reasons(reporter: pytest.TerminalReporter) -> list[str]:
    reports = reporter.stats.get("skipped", [])
    return [report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr) for report in reports]
