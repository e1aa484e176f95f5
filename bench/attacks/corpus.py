"""All cases of all families, and how they are written to a folder."""

from __future__ import annotations

import importlib
import json
import pkgutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import attacks
from attacks.case import CANARY, Case


def all_cases() -> Iterator[Case]:
    """Every case of every module of this package that has `cases`; ids are unique."""
    seen: set[str] = set()
    for module in sorted(info.name for info in pkgutil.iter_modules(attacks.__path__)):
        if module in {"__main__", "prove", "worker", "corpus", "mutated"}:
            continue
        for case in getattr(importlib.import_module(f"attacks.{module}"), "cases", tuple)():
            if case.id in seen:
                raise ValueError(f"two cases are called {case.id}")
            seen.add(case.id)
            yield case


def write_corpus(folder: Path) -> list[dict[str, str]]:
    """The whole corpus."""
    return write_cases(folder, all_cases())


def write_cases(folder: Path, cases: Iterable[Case]) -> list[dict[str, str]]:
    """One folder a case, and `manifest.json` beside them: id, kind, path, loader, entry, note."""
    rows = []
    for case in cases:
        place = folder / case.id
        for path, data in case.files.items():
            (place / path).parent.mkdir(parents=True, exist_ok=True)
            (place / path).write_bytes(data)
        for path, target in case.link.items():
            (place / path).parent.mkdir(parents=True, exist_ok=True)
            if not (place / path).is_symlink():
                (place / path).symlink_to(target)
        rows.append(
            {
                "id": case.id,
                "kind": case.kind,
                "path": str(place),
                "loader": case.loader,
                "entry": case.entry,
                "note": case.note,
            }
        )
    (folder / "manifest.json").write_text(json.dumps({"canary": CANARY, "cases": rows}, indent=1), encoding="utf-8")
    return rows
