"""How many random changes of a store `verify` finds.

    .venv/bin/python bench/mutations.py [--count 10000] [--seed 20261121]

Makes a store with decisions, waivers, approvals and events, changes one thing in it (a byte, a file, a row, a type), verifies
the whole store, undoes the change, and so on. The test suite does the same 500 times. Exits 1 when a change is missed.
"""

from __future__ import annotations

import sys
from pathlib import Path

HERE = str(Path(__file__).resolve().parent)
# This folder last: its inspect.py must not stand in for the standard library's.
sys.path[:] = [*(entry for entry in sys.path if entry != HERE), HERE]

import argparse
import tempfile
import time
from random import Random

from weighbridge.registry.store import Registry
from weighbridge.registry.verification import verify_store
from weighbridge.testing.filled_store import NOON, Seal, fill, open_store
from weighbridge.testing.store_changes import Vandal, find_missed

SHOWN = 20


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=20261121)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="weighbridge-mutations-") as folder:
        root = Path(folder) / "store"
        with open_store(root) as registry:
            fill(registry)

        def is_sound() -> bool:
            with Registry.open(root, clock=lambda: NOON) as registry:
                return verify_store(registry, readers=Seal().readers).is_sound

        if not is_sound():
            raise SystemExit("the store is not sound before anything was changed")
        began, began_cpu = time.monotonic(), time.process_time()
        missed = find_missed(Vandal(root, Random(chosen.seed)), is_sound, chosen.count)
        wall_s, cpu_s = time.monotonic() - began, time.process_time() - began_cpu
    print(f"found {chosen.count - len(missed)}/{chosen.count} changes in {wall_s:.1f} s ({cpu_s:.1f} CPU s)")
    for what in missed[:SHOWN]:
        print(f"missed: {what}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
