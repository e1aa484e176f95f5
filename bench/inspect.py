"""Speed of inspection, beside modelscan, picklescan and modelaudit on the same files in one run.

    .venv/bin/python bench/inspect.py [--folder .bench] [--peers BIN_FOLDER] [--runs 3] [--small]

Makes (once) a 1 GB safetensors file with 128 tensors, a 1 GB torch zip, a 300 MB GGUF with 50,000 tokens, 500 small pickles
and a 100 GB sparse safetensors under --folder, runs every tool as its users do, and prints wall, CPU and peak RSS: the least
of the runs, because machines are noisy. `--peers` is the bin folder of an environment with the peers in it
(`pip install modelscan picklescan modelaudit`); without it only weighbridge is measured. Exits 1 when a limit is missed.
"""

from __future__ import annotations

import sys

sys.path.append(sys.path.pop(0))  # this folder last: its inspect.py must not stand in for the standard library's

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path

GB = 1_000_000_000
WEIGHBRIDGE = [str(Path(sys.executable).parent / "weighbridge")]
AS_INSTALLED = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
QUIET = {
    "NO_ANALYTICS": "1",
    "PROMPTFOO_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
}


@dataclass
class Cost:
    wall_s: float
    cpu_s: float
    rss_mb: float
    code: int


def measure(command: list[str], runs: int, env: dict[str, str] | None = None, timeout_s: float = 150) -> Cost:
    """The least wall, CPU and RSS over some runs of a command and its children."""
    costs = []
    for _ in range(runs):
        # A wait with a time-out polls every 50 ms, which would be added to the wall time; a timer does not.
        script = (
            "import resource,subprocess,sys,threading,time\n"
            "t=time.perf_counter()\n"
            "child=subprocess.Popen(sys.argv[2:],stdout=-3,stderr=-3)\n"
            "timer=threading.Timer(float(sys.argv[1]),child.kill);timer.daemon=True;timer.start()\n"
            "code=child.wait();wall=time.perf_counter()-t\n"
            "u=resource.getrusage(resource.RUSAGE_CHILDREN)\n"
            "print(wall,u.ru_utime+u.ru_stime,u.ru_maxrss/1000,124 if code==-9 else code)\n"
        )
        line = subprocess.run(
            [sys.executable, "-I", "-S", "-c", script, str(timeout_s), *command],
            capture_output=True,
            text=True,
            env=env,
            check=True,
        ).stdout.split()
        costs.append(Cost(float(line[0]), float(line[1]), float(line[2]), int(line[3])))
        if costs[-1].code == 124:
            break
    return Cost(*(min(getattr(c, n) for c in costs) for n in ("wall_s", "cpu_s", "rss_mb")), costs[0].code)


def fill(path: Path, head: bytes, size: int, tail: bytes = b"") -> None:
    block = os.urandom(1 << 20)
    with path.open("wb") as out:
        out.write(head)
        for offset in range(0, size, len(block)):
            out.write(block[: min(len(block), size - offset)])
        out.write(tail)


def safetensors_head(tensors: int, each: int) -> bytes:
    header = {
        f"model.layers.{i}.weight": {"dtype": "F32", "shape": [each // 4], "data_offsets": [i * each, (i + 1) * each]}
        for i in range(tensors)
    }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def make_safetensors(path: Path, scale: float) -> None:
    each = int(GB * scale) // 128 // 64 * 64
    fill(path, safetensors_head(128, each), 128 * each)


def make_sparse_safetensors(path: Path) -> None:
    head = safetensors_head(1000, 100_000_000)
    with path.open("wb") as out:
        out.write(head)
        out.truncate(len(head) + 100 * GB)


def make_torch_zip(path: Path, scale: float) -> None:
    from weighbridge.testing.pickles import state_dict

    each = int(GB * scale) // 128 // 64 * 64
    block = os.urandom(each)
    pickle = state_dict({f"layers.{i}.weight": (each // 4,) for i in range(128)}).stop()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("archive/data.pkl", pickle)
        archive.writestr("archive/byteorder", b"little")
        for i in range(128):
            archive.writestr(f"archive/data/{i}", block)
        archive.writestr("archive/version", b"3\n")


def make_gguf(path: Path, scale: float) -> None:
    def text(value: str) -> bytes:
        raw = value.encode()
        return len(raw).to_bytes(8, "little") + raw

    tokens = b"".join(text(f"token{i:05d}") for i in range(50_000))
    scores = b"\0" * 4 * 50_000
    count = 128
    rows = int(300e6 * scale) // count // 4 // 8 * 8
    pairs = [
        text("general.architecture") + (8).to_bytes(4, "little") + text("llama"),
        text("tokenizer.ggml.tokens")
        + (9).to_bytes(4, "little")
        + (8).to_bytes(4, "little")
        + (50_000).to_bytes(8, "little")
        + tokens,
        text("tokenizer.ggml.scores")
        + (9).to_bytes(4, "little")
        + (6).to_bytes(4, "little")
        + (50_000).to_bytes(8, "little")
        + scores,
    ]
    infos = b"".join(
        text(f"blk.{i}.ffn_up.weight")
        + (1).to_bytes(4, "little")
        + rows.to_bytes(8, "little")
        + (0).to_bytes(4, "little")
        + (i * rows * 4).to_bytes(8, "little")
        for i in range(count)
    )
    head = (
        b"GGUF"
        + (3).to_bytes(4, "little")
        + count.to_bytes(8, "little")
        + len(pairs).to_bytes(8, "little")
        + b"".join(pairs)
        + infos
    )
    fill(path, head + b"\0" * (-len(head) % 32), count * rows * 4)


def make_pickles(folder: Path) -> None:
    import collections
    import pickle

    folder.mkdir(exist_ok=True)
    for i in range(500):
        state = collections.OrderedDict((f"layer{j}.weight", [float(i * j % 7)] * 64) for j in range(8))
        (folder / f"{i:03d}.pkl").write_bytes(pickle.dumps(state, protocol=i % 5 + 1))


def prepare(folder: Path, scale: float) -> dict[str, Path]:
    folder.mkdir(parents=True, exist_ok=True)
    made = {
        "1 GB safetensors": (folder / "st" / "model.safetensors", lambda p: make_safetensors(p, scale)),
        "1 GB torch zip": (folder / "pt" / "model.pt", lambda p: make_torch_zip(p, scale)),
        "300 MB GGUF": (folder / "gguf" / "model.gguf", lambda p: make_gguf(p, scale)),
        "500 pickles": (folder / "pickles", make_pickles),
        "100 GB sparse": (folder / "sparse" / "model.safetensors", make_sparse_safetensors),
    }
    for path, make in made.values():
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            make(path)
    return {name: path if path.is_dir() else path.parent for name, (path, _) in made.items()}


def in_process(path: Path, reader: str, runs: int = 5) -> float:
    """Milliseconds for one unit's read() over one file, in this process."""
    from weighbridge.formats.reading.contract import Format
    from weighbridge.formats.reading.source import Source
    from weighbridge.plugins import find_units

    unit = find_units("formats", Format).found[reader]
    best = float("inf")
    for _ in range(runs):
        fd = os.open(path, os.O_RDONLY)
        began = time.perf_counter()
        unit.read(Source(fd, path=path.name, size_bytes=path.stat().st_size))
        best = min(best, time.perf_counter() - began)
        os.close(fd)
    return best * 1000


def digest_cpu(path: Path, hash_file: object) -> float:
    best = float("inf")
    for _ in range(3):
        with path.open("rb", buffering=0) as stream:
            began = time.process_time()
            hash_file(stream)  # type: ignore[operator]
            best = min(best, time.process_time() - began)
    return best


def jailed_rss(path: Path) -> tuple[float, float]:
    """Peak RSS in MB of the jailed child that reads `path`, and of a bare interpreter; both as the kernel's VmHWM."""
    script = """
import sys, threading, re
from datetime import UTC, datetime
from pathlib import Path
from weighbridge.admission.examination import preview
from weighbridge.admission.installation import Installation, Settings
from weighbridge.vocabulary import ModelRef

peak, done = [0], threading.Event()

def watch():
    while not done.wait(0.002):
        for pid in Path("/proc/self/task").joinpath(str(main), "children").read_text().split():
            try:
                peak[0] = max(peak[0], int(re.search(r"VmHWM:\\s+(\\d+)", Path(f"/proc/{pid}/status").read_text())[1]))
            except (OSError, TypeError):
                pass

main = threading.get_native_id()
threading.Thread(target=watch).start()
with Installation(Settings(home=Path("/nonexistent")), environment={}, clock=lambda: datetime.now(UTC), writable=False) as house:
    seen = preview(ModelRef(hub="local", name=sys.argv[1]), house=house)
done.set()
assert seen.headers[0].tensors
print(peak[0] / 1000)
"""
    child = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True)
    told = "import re;print(int(re.search(r'VmHWM:\\s+(\\d+)',open('/proc/self/status').read())[1])/1000)"
    bare = subprocess.run([sys.executable, "-I", "-c", told], capture_output=True, text=True, check=True)
    return float(child.stdout), float(bare.stdout)


class Limits:
    """Prints each figure beside its limit and remembers whether all held."""

    held = True

    def row(self, what: str, value: float, limit: float, unit: str) -> None:
        ok = value <= limit
        self.held &= ok
        print(f"{'ok  ' if ok else 'MISS'}  {what:<58} {value:10.3f} {unit:<4} limit {limit:.3f}")


def main() -> int:
    options = argparse.ArgumentParser()
    options.add_argument("--folder", type=Path, default=Path(".bench"))
    options.add_argument("--peers", type=Path)
    options.add_argument("--runs", type=int, default=3)
    options.add_argument("--small", action="store_true", help="files a tenth of the size, for a quick look")
    args = options.parse_args()
    sets = prepare(args.folder.absolute(), 0.1 if args.small else 1.0)
    home = args.folder.absolute() / "home"
    limits = Limits()

    print("== in process, header analysis")
    limits.row(
        "safetensors read()", in_process(sets["1 GB safetensors"] / "model.safetensors", "safetensors"), 50, "ms"
    )
    limits.row("torch zip read()", in_process(sets["1 GB torch zip"] / "model.pt", "torch_zip"), 150, "ms")

    print("\n== commands: least of runs                                        wall s    cpu s   rss MB  exit")
    tools = {
        "weighbridge inspect --header-only": [*WEIGHBRIDGE, "inspect", "--header-only"],
        "weighbridge inspect": [*WEIGHBRIDGE, "inspect"],
    }
    if args.peers:
        tools |= {
            "picklescan": [str(args.peers / "picklescan"), "-p"],
            "modelscan": [str(args.peers / "modelscan"), "-p"],
            "modelaudit": [str(args.peers / "modelaudit"), "scan", "--no-cache"],
        }
    wall: dict[tuple[str, str], Cost] = {}
    for name in ("1 GB safetensors", "1 GB torch zip", "300 MB GGUF", "500 pickles"):
        for tool, command in tools.items():
            env = QUIET if "weighbridge" not in tool else AS_INSTALLED
            cost = wall[name, tool] = measure(
                [*command, str(sets[name])], args.runs if "modelaudit" not in tool else 1, env
            )
            print(f"{name:<18} {tool:<36} {cost.wall_s:14.2f} {cost.cpu_s:8.2f} {cost.rss_mb:8.0f} {cost.code:5d}")

    print("\n== limits")
    for name in ("1 GB safetensors", "1 GB torch zip", "300 MB GGUF"):
        limits.row(f"{name}: inspect --header-only", wall[name, "weighbridge inspect --header-only"].wall_s, 0.5, "s")
    limits.row(
        "500 pickles: inspect --header-only", wall["500 pickles", "weighbridge inspect --header-only"].wall_s, 0.7, "s"
    )
    limits.row("500 pickles: inspect", wall["500 pickles", "weighbridge inspect"].wall_s, 0.7, "s")
    limits.row("weighbridge --help", measure([*WEIGHBRIDGE, "--help"], 5, AS_INSTALLED).wall_s, 0.25, "s")

    from weighbridge.registry.intake import hash_fd

    big = sets["1 GB safetensors"] / "model.safetensors"
    floor = digest_cpu(big, lambda stream: hashlib.file_digest(stream, "sha256"))
    ours = digest_cpu(big, lambda stream: hash_fd(stream.fileno()))
    print(f"      hashlib.file_digest of {big.stat().st_size / GB:.2f} GB: {floor:.3f} cpu s")
    limits.row("digest, as a multiple of hashlib.file_digest CPU", ours / floor, 1.05, "x")
    shutil.rmtree(home, ignore_errors=True)
    admit = measure([*WEIGHBRIDGE, "admit", str(sets["1 GB safetensors"]), "--home", str(home)], 1)
    print(f"      admit: {admit.wall_s:.2f} s wall, {admit.cpu_s:.2f} s cpu, exit {admit.code}")
    limits.row("admit CPU, limit 1.35 x file_digest + 2.5 s", admit.cpu_s, 1.35 * floor + 2.5, "s")
    shutil.rmtree(home, ignore_errors=True)
    child, bare = jailed_rss(sets["100 GB sparse"])
    limits.row("jailed parser over bare Python, 100 GB sparse safetensors", child - bare, 64, "MB")
    return 0 if limits.held else 1


if __name__ == "__main__":
    sys.exit(main())
