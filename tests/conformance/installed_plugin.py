"""The plugin package as if it were installed: its own metadata on the path, made from its own pyproject.toml."""

from __future__ import annotations

import sys
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent / "plugin_package"


@contextmanager
def installed_plugin() -> Iterator[tuple[str, ...]]:
    """While this is entered, the entry points of `tests/plugin_package` are found like those of any installed package.

    Gives the folders that were added to the path.
    """
    project = tomllib.loads((PACKAGE / "pyproject.toml").read_text())["project"]
    with tempfile.TemporaryDirectory() as folder:
        metadata = Path(folder) / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
        )
        lines = []
        for group, points in project["entry-points"].items():
            lines += [f"[{group}]", *(f"{name} = {target}" for name, target in points.items())]
        (metadata / "entry_points.txt").write_text("\n".join(lines) + "\n")
        added = [folder, str(PACKAGE / "src")]
        sys.path += added
        try:
            yield tuple(added)
        finally:
            for entry in added:
                sys.path.remove(entry)
