"""Everything public says what it is, and the worked example of the documentation is what the code computes."""

from __future__ import annotations

import ast
import hashlib
import re
import subprocess
from pathlib import Path
from urllib.parse import unquote

import pytest

from tests.source_tree import ROOT, Definition, definitions, text_of, tracked_files
from weighbridge.registry.wire import canonical, model_signing_digest, root_digest
from weighbridge.vocabulary import Manifest, ManifestEntry

FILLER = {
    "a", "an", "and", "are", "be", "by", "class", "for", "from", "function", "in", "is", "it", "its", "of", "on", "or", "return",
    "returns", "that", "the", "this", "to", "with",
}  # fmt: skip


def public() -> list[Definition]:
    named = [item for item in definitions() if item.is_public]
    return [item for item in named if not (isinstance(item.node, ast.Module) and not item.node.body)]


def words(text: str) -> set[str]:
    """Words in lower case without filler and plural s."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", text)
    return {word.rstrip("s") for word in re.findall(r"[a-z0-9]+", spaced.lower())} - FILLER


def restates(name: str, docstring: str) -> bool:
    """Whether a docstring has no word that its name has not."""
    return words(docstring) <= words(name)


def test_everything_public_has_a_docstring() -> None:
    assert [str(item) for item in public() if not ast.get_docstring(item.node)] == []


def test_no_docstring_restates_its_name() -> None:
    written = [(item, ast.get_docstring(item.node) or "") for item in public()]
    assert [str(item) for item, text in written if text and restates(item.name.rpartition(".")[2], text)] == []


@pytest.mark.parametrize(
    ("name", "docstring", "verdict"),
    [
        ("read_header", "Read the header.", True),
        ("ModelRef", "A model ref.", True),
        ("read_header", "Read the header and leave the tensor bytes untouched.", False),
    ],
)
def test_restating_is_recognised(name: str, docstring: str, *, verdict: bool) -> None:
    assert restates(name, docstring) is verdict


def documents() -> list[Path]:
    return [path for path in tracked_files() if path.suffix == ".md"]


def test_every_link_between_documents_leads_somewhere() -> None:
    links = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)")
    targets = [(path, target) for path in documents() for target in links.findall(text_of(path))]
    assert [(path.name, target) for path, target in targets if not (path.parent / unquote(target)).exists()] == []


def test_every_document_is_reached_from_the_index() -> None:
    seen: set[Path] = set()
    waiting = [ROOT / "docs" / "index.md"]
    while waiting:
        path = waiting.pop().resolve()
        if path in seen or not path.is_file():
            continue
        seen.add(path)
        waiting += [path.parent / target for target in re.findall(r"\]\(([^)#\s]+\.md)", text_of(path))]
    assert [str(path.relative_to(ROOT)) for path in documents() if path not in seen and "docs" in path.parts] == []


def code_blocks(language: str) -> list[str]:
    text = (ROOT / "docs" / "concepts.md").read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_the_worked_example_of_the_root_digest_is_what_the_code_computes(tmp_path: Path) -> None:
    [commands], [written], [digests] = code_blocks("sh"), code_blocks("json"), code_blocks("text")
    subprocess.run(["sh", "-euc", commands], cwd=tmp_path, check=True, stdout=subprocess.DEVNULL)
    files = {str(path.relative_to(tmp_path)): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    manifest = Manifest(
        entries=tuple(
            ManifestEntry(path=name, size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
            for name, data in files.items()
        )
    )
    assert canonical(manifest).decode() == written.strip()
    assert hashlib.sha256(written.strip().encode()).hexdigest() == root_digest(manifest)
    listed = dict(line.split(maxsplit=1) for line in digests.splitlines())
    assert listed == {"root": root_digest(manifest), "model-signing": model_signing_digest(manifest)}


def test_every_file_that_a_document_names_exists() -> None:
    named = re.compile(r"`((?:tests|src|docs|bench|\.ci)/[^`\s]*)`")
    paths = [(path.name, name) for path in documents() for name in named.findall(text_of(path)) if "NAME" not in name]
    assert len(paths) > 10
    assert [(document, name) for document, name in paths if not (ROOT / name).exists()] == []
