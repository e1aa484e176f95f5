"""Size, complexity and the few places that may catch everything."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

from tests.source_tree import ROOT, SRC, Definition, definitions, source_files, tracked_files

FILE_LINES, FILE_LINES_P90 = 500, 350
FUNCTION_LINES, FUNCTION_LINES_P95 = 60, 40
COMPLEXITY = 10
COMMITTED_BYTES = 1_000_000

BOUNDARIES = {
    "plugins.find_units": "a unit may raise anything while it loads; it becomes a broken unit, which is an ERROR finding",
    "inspection.examine._choose": "a unit may raise anything while it looks; it becomes an ERROR finding",
    "inspection.examine._read": "a unit may raise anything while it reads; every byte is unread and it is an ERROR finding",
    "jail.child._run": "a task may raise anything in its cell; the parent gets the reason, which becomes UNKNOWN",
    "cli.running._run": "a defect of ours must not look like a refusal; it is told as a defect, with the exit code of a broken run",
}
"""Where `except Exception` may stand, and why. Everywhere else an error is caught by its name."""


def quantile(values: list[int], share: float) -> int:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def line_counts() -> dict[Path, int]:
    counts = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in source_files()}
    return {path: count for path, count in counts.items() if count}


def functions() -> list[Definition]:
    return [item for item in definitions() if isinstance(item.node, ast.FunctionDef | ast.AsyncFunctionDef)]


def length(item: Definition) -> int:
    assert isinstance(item.node, ast.FunctionDef | ast.AsyncFunctionDef)
    assert item.node.end_lineno is not None
    return item.node.end_lineno - item.node.lineno + 1


def test_no_file_is_too_long() -> None:
    long = [f"{path.relative_to(ROOT)} {count}" for path, count in line_counts().items() if count > FILE_LINES]
    assert long == []


def test_nine_files_in_ten_are_short() -> None:
    assert quantile(list(line_counts().values()), 0.90) <= FILE_LINES_P90


def test_no_function_is_too_long() -> None:
    assert [f"{item} {length(item)}" for item in functions() if length(item) > FUNCTION_LINES] == []


def test_nineteen_functions_in_twenty_are_short() -> None:
    assert quantile([length(item) for item in functions()], 0.95) <= FUNCTION_LINES_P95


def test_no_function_is_too_complex() -> None:
    limit = f"lint.mccabe.max-complexity={COMPLEXITY}"
    command = [sys.executable, "-m", "ruff", "check", "--no-cache", "--select", "C901", "--ignore-noqa"]
    run = subprocess.run([*command, "--config", limit, str(SRC)], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout


def test_only_named_boundaries_catch_everything() -> None:
    found = {item.name: str(item) for item in functions() if any(map(catches_everything, ast.walk(item.node)))}
    assert {name: where for name, where in found.items() if name not in BOUNDARIES} == {}
    assert set(BOUNDARIES) - set(found) == set(), "these boundaries catch nothing broad any more"


def catches_everything(node: ast.AST) -> bool:
    if not isinstance(node, ast.ExceptHandler):
        return False
    caught = [] if node.type is None else [ast.unparse(part) for part in getattr(node.type, "elts", [node.type])]
    is_broad = node.type is None or bool({"Exception", "BaseException"} & set(caught))
    last = node.body[-1]
    return is_broad and not (isinstance(last, ast.Raise) and last.exc is None)


def test_every_silenced_complaint_has_a_code_and_a_reason() -> None:
    silent = re.compile(r"#\s*(noqa|type:\s*ignore)(?P<code>:?\s*\[?[\w, -]*\]?)(?P<rest>.*)$")
    bare = []
    for path in source_files():
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            match = silent.search(line)
            if match and not (re.search(r"[A-Za-z]", match["code"]) and re.search(r"#\s*\w", match["rest"])):
                bare.append(f"{path.relative_to(ROOT)}:{number}")
    assert bare == []


def test_no_test_mocks() -> None:
    pattern = re.compile(r"\b(unittest\.mock|from unittest import mock|MagicMock|pytest_mock|mocker)\b")
    tests = [path for path in tracked_files() if path.suffix == ".py" and "tests" in path.relative_to(ROOT).parts]
    here = Path(__file__).resolve()
    assert [path.name for path in tests if path != here and pattern.search(path.read_text(encoding="utf-8"))] == []


def test_no_committed_file_is_big() -> None:
    big = [str(path.relative_to(ROOT)) for path in tracked_files() if path.stat().st_size > COMMITTED_BYTES]
    assert big == []
