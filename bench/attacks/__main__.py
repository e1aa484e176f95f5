"""`python bench/attacks FOLDER`: write the corpus and count it."""

from __future__ import annotations

import sys
from pathlib import Path

# `bench` at the end of the path: its inspect.py must not stand in for the standard library's.
sys.path[:] = [*sys.path[1:], str(Path(__file__).resolve().parent.parent)]

from collections import Counter

from attacks.corpus import write_corpus

if __name__ == "__main__":
    rows = write_corpus(Path(sys.argv[1]))
    for kind, count in Counter(row["kind"] for row in rows).items():
        print(f"{kind:14} {count:4}")
    print(f"{'all':14} {len(rows):4}")
