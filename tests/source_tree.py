"""The repository as the architecture tests see it: its files, its modules, its prose."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SRC = ROOT / "src" / "weighbridge"
SKIPPED_FOLDERS = {".venv", ".git", "__pycache__", "build", "dist"}

Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """A module, class or function of src, with its dotted name below `weighbridge` and the file it stands in."""

    path: Path
    name: str
    node: Documented

    @property
    def is_public(self) -> bool:
        return not any(part.startswith("_") for part in self.name.split("."))

    def __str__(self) -> str:
        line = getattr(self.node, "lineno", 1)
        return f"{self.path.relative_to(ROOT)}:{line} {self.name}"


@cache
def tracked_files() -> tuple[Path, ...]:
    """Every file that is in version control or would be: what git does not ignore, or everything outside a git checkout."""
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, capture_output=True, check=True, text=True).stdout.split("\0")
        paths = [ROOT / name for name in listed if name]
    except (OSError, subprocess.CalledProcessError):
        paths = [path for path in ROOT.rglob("*") if not SKIPPED_FOLDERS & set(path.parts)]
    return tuple(sorted(path for path in paths if path.is_file() and not path.is_symlink()))


def text_of(path: Path) -> str:
    """The text of a tracked file, or nothing where it is binary."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""


@cache
def source_files() -> tuple[Path, ...]:
    """Every Python file of the package."""
    return tuple(sorted(SRC.rglob("*.py")))


@cache
def definitions() -> tuple[Definition, ...]:
    """Every module, class, function and method of the package; functions inside functions are part of theirs."""
    found = []
    for path in source_files():
        module = ".".join(path.relative_to(SRC).with_suffix("").parts).removesuffix("__init__").rstrip(".")
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found.append(Definition(path=path, name=module, node=tree))
        found += _inside(path, module, tree)
    return tuple(found)


def _inside(path: Path, prefix: str, parent: ast.Module | ast.ClassDef) -> Iterator[Definition]:
    for node in parent.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            name = f"{prefix}.{node.name}".lstrip(".")
            yield Definition(path=path, name=name, node=node)
            if isinstance(node, ast.ClassDef):
                yield from _inside(path, name, node)
