"""`python bench/attacks FOLDER [--mutations]`: write the corpus, or its mutations, and count what was written."""

from __future__ import annotations

import sys
from pathlib import Path

# `bench` at the end of the path: its inspect.py must not stand in for the standard library's.
sys.path[:] = [*sys.path[1:], str(Path(__file__).resolve().parent.parent)]

from collections import Counter

from attacks.corpus import write_corpus
from attacks.mutated import write_mutations

if __name__ == "__main__":
    place = Path(sys.argv[1])
    rows = write_mutations(place, 0) if "--mutations" in sys.argv[2:] else write_corpus(place)
    for kind, count in Counter(row["kind"] for row in rows).items():
        print(f"{kind:14} {count:4}")
    print(f"{'all':14} {len(rows):4}")
