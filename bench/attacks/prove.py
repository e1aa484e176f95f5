"""Canary proof: every loadable case is loaded by its real loader in a sandbox, and what does not fire is named.

    python bench/attacks/prove.py CORPUS --python ENVIRONMENT/bin/python [--only TEXT] [--out FILE]

The sandbox is bubblewrap: no network, a read-only root, an empty /tmp, no devices; each load is a child with a limit of CPU time.
Exits 1 when a case that should be live is not.
"""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:] = [*sys.path[1:], str(HERE.parent)]

import argparse
import json
import subprocess
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

APART = ("keras", "keras-safe", "tensorflow", "onnxruntime")
"""Loaders whose libraries do not survive a fork: one process a case."""


def sandboxed(python: str, corpus: Path, canary: str) -> list[str]:
    place = str(corpus.resolve())
    return [
        "bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc",
        "--tmpfs", "/tmp", "--ro-bind", python_home(python), python_home(python), "--ro-bind", place, place, "--ro-bind", str(HERE), str(HERE),
        "--clearenv", "--setenv", "CANARY", canary, "--setenv", "PATH", "/usr/bin:/bin", "--setenv", "HOME", "/tmp/home",
        "--setenv", "UNPACK", "/tmp/unpacked/here", "--setenv", "TF_CPP_MIN_LOG_LEVEL", "3", "--setenv", "CUDA_VISIBLE_DEVICES", "",
        "--setenv", "KERAS_BACKEND", "tensorflow", "--setenv", "OMP_NUM_THREADS", "1",
        "--dir", "/tmp/home", "--dir", "/tmp/unpacked/here", "--chdir", "/tmp", python, "-B", str(HERE / "worker.py"),
    ]  # fmt: skip


def python_home(python: str) -> str:
    return str(Path(python).absolute().parent.parent)


def prove(python: str, corpus: Path, rows: list[dict[str, str]], canary: str) -> dict[str, tuple[bool, str]]:
    """Whether each case fired, and what its loader said."""
    batches: list[list[dict[str, str]]] = []
    for loader in sorted({row["loader"] for row in rows}):
        mine = [row for row in rows if row["loader"] == loader]
        batches += [[row] for row in mine] if loader in APART else [mine]
    proofs: dict[str, tuple[bool, str]] = {}
    with ThreadPoolExecutor(2) as pool:
        for found in pool.map(lambda batch: prove_batch(python, corpus, batch, canary), batches):
            proofs.update(found)
    return proofs


def prove_batch(python: str, corpus: Path, batch: list[dict[str, str]], canary: str) -> dict[str, tuple[bool, str]]:
    """One sandbox, with a /tmp and so a canary of its own, for cases of one loader."""
    text = "".join(f"{r['id']}\t{r['loader']}\t{Path(r['path']).resolve()}\t{r['entry']}\n" for r in batch)
    command = sandboxed(python, corpus, canary)
    done = subprocess.run(
        command, input=text, capture_output=True, text=True, errors="replace", timeout=1200, check=False
    )
    proofs = {}
    for line in done.stdout.splitlines():
        case, fired, said = [*line.split("\t"), "", ""][:3]
        proofs[case] = (fired == "1", said)
    for row in batch:
        proofs.setdefault(row["id"], (False, "no answer: " + done.stderr.strip()[-200:].replace("\n", " ")))
    return proofs


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--python", required=True)
    parser.add_argument("--only", default="")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    manifest = json.loads((options.corpus / "manifest.json").read_text(encoding="utf-8"))
    rows = [row for row in manifest["cases"] if row["loader"] != "none" and options.only in row["id"]]
    proofs = prove(options.python, options.corpus, rows, manifest["canary"])
    live = Counter(row["kind"] for row in rows if proofs[row["id"]][0])
    for kind, count in sorted(Counter(row["kind"] for row in rows).items()):
        print(f"{kind:14} live {live[kind]:4} of {count:4}")
    print(f"{'all':14} live {sum(live.values()):4} of {len(rows):4}")
    for row in rows:
        fired, said = proofs[row["id"]]
        if not fired:
            print(f"not live: {row['id']}: {said}")
    if options.out:
        options.out.write_text(
            json.dumps({case: fired for case, (fired, _) in proofs.items()}, indent=1), encoding="utf-8"
        )
    return int(sum(live.values()) != len(rows))


if __name__ == "__main__":
    sys.exit(main())
