"""Names and prose: what a module may be called, which words are not used, and what a repository never says."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.source_tree import ROOT, definitions, source_files, text_of, tracked_files

VAGUE_NAMES = {
    "base", "common", "core", "handler", "handlers", "helper", "helpers", "manager", "misc", "processor", "service", "util",
    "utils",
}  # fmt: skip
LEFT_OVERS = re.compile(r"(_v\d+|_new|_old|_copy|_final)\.py$|^(SUMMARY|NOTES|IMPLEMENTATION_NOTES)\.md$|\.ipynb$")
EMPTY_WORDS = re.compile(
    r"\b(comprehensive|robust|seamless|powerful|enterprise[- ]grade|cutting[- ]edge)(ly|ness)?\b", re.IGNORECASE
)
EMOJI = re.compile("[\U0001f000-\U0001faff\ufe0f\u231a\u231b\u26a1\u26d4\u2705\u2728\u274c\u2753-\u2757\u2b50]")
MACHINE_PATH = re.compile(r"(?:^|[^A-Za-z0-9_.])/(?:work|farm|root|home/[a-z]+)/")
INDEX_ADDRESS = re.compile(r"https?://\S*/simple\b|--(extra-)?index-url\b")
CODE = re.compile(r"```.*?```|`[^`\n]*`|https?://\S+|^ {4}.*$", re.DOTALL | re.MULTILINE)
PUBLIC_INDEX_HOSTS = {"pypi.org", "files.pythonhosted.org", "registry.npmjs.org"}


def prose() -> Iterator[tuple[str, str]]:
    """Everything written for a reader: documents, docstrings, and the texts inside shipped policies and tables."""
    for path in tracked_files():
        if path.suffix == ".md" or (path.suffix in {".yaml", ".toml"} and "src" in path.relative_to(ROOT).parts):
            yield str(path.relative_to(ROOT)), text_of(path)
    for item in definitions():
        yield str(item), ast.get_docstring(item.node) or ""


def matches(pattern: re.Pattern[str], texts: Iterator[tuple[str, str]]) -> list[str]:
    return [f"{where}: {found[0]!r}" for where, text in texts for found in pattern.finditer(text)]


def every_text() -> Iterator[tuple[str, str]]:
    return ((str(path.relative_to(ROOT)), text_of(path)) for path in tracked_files())


def test_no_module_has_a_vague_name() -> None:
    names = {part for path in source_files() for part in path.relative_to(ROOT).with_suffix("").parts}
    assert {name for name in names if VAGUE_NAMES & set(name.split("_"))} == set()


def test_no_file_is_a_left_over() -> None:
    assert [path.name for path in tracked_files() if LEFT_OVERS.search(path.name)] == []


def test_prose_holds_no_empty_words() -> None:
    assert matches(EMPTY_WORDS, prose()) == []


def test_prose_spells_licence_the_british_way() -> None:
    spelled = ((where, CODE.sub("", text)) for where, text in prose() if where.endswith(".md") or ".py" in where)
    assert matches(re.compile(r"\b(un)?licens(e|es|ing)\b"), spelled) == []


def test_nothing_holds_emoji() -> None:
    written = (item for item in every_text() if not item[0].startswith("tests/"))
    assert matches(EMOJI, written) == []


def test_no_file_names_a_place_on_the_writers_machine() -> None:
    assert matches(MACHINE_PATH, every_text()) == []


def test_no_file_names_a_package_index() -> None:
    files = (item for item in every_text() if item[0] != str(Path(__file__).resolve().relative_to(ROOT)))
    assert matches(INDEX_ADDRESS, files) == []


def configured_index_hosts() -> set[str]:
    """The package indexes that this machine uses, where they are not the public ones."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False, timeout=60
    ).stdout
    settings = listed + " ".join(value for name, value in os.environ.items() if "INDEX" in name)
    hosts = {urlsplit(address).hostname or "" for address in re.findall(r"https?://[^\s'\"]+", settings)}
    return {host for host in hosts if "." in host} - PUBLIC_INDEX_HOSTS


def test_no_file_names_the_package_index_of_this_machine() -> None:
    hosts = configured_index_hosts()
    assert [(where, host) for where, text in every_text() for host in hosts if host in text] == []


@pytest.mark.parametrize(
    ("pattern", "bad", "good"),
    [
        (EMPTY_WORDS, "a Robust, enterprise-grade tool", "a tool that refuses"),
        (EMOJI, "done \U0001f389", "done \N{CHECK MARK}"),
        (MACHINE_PATH, "see /" + "root/models", "see models/root/"),
        (INDEX_ADDRESS, "https://index.example/" + "simple", "https://example.org/simpler"),
        (LEFT_OVERS, "reader_v2.py", "gguf_values.py"),
    ],
)
def test_the_patterns_find_what_they_are_for(pattern: re.Pattern[str], bad: str, good: str) -> None:
    assert pattern.search(bad)
    assert not pattern.search(good)
