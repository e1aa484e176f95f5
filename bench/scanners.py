"""Weighbridge beside six scanners of model files, on the same files in one run.

    python bench/scanners.py --made ENVIRONMENT/bin/python --peers FOLDER [--folder .bench/scanners] [--install] [--only TEXT]

Four sets are made once under --folder: the attacks of `bench/attacks`, their mutations, the corpus that aisbom-cli generates, and
the honest models of `bench/honest.py`. `--made` is the interpreter of an environment with torch, scikit-learn, joblib, keras,
tensorflow, xgboost, lightgbm, onnx, skops, h5py and transformers; attacks that a loader can load are first proven live there, in a
sandbox (`bench/attacks/prove.py`). `--peers` holds one environment a peer (`--install` makes them). Every tool runs with its own command line
over the folder of each case, in a child forked from an interpreter that has imported the tool, so that start-up is paid once and
counted for nobody; telemetry is off, and peers run without a network where `unshare` can be had.

A cell is blocked (a finding that the tool itself grades high or critical, or its word for malicious), warned (a lower grade, or
"cannot tell"), gave up (an error), or silent. `weighbridge, no list` is weighbridge with its list of dangerous names emptied: what is
blocked there is blocked because nothing allows it. Exits 1 when an attack proven live is not blocked by either, an honest model is
blocked, or an attack is silent; of those on a repository as a whole (requirements, scripts, notebooks) the table only tells.
"""

from __future__ import annotations

import sys

sys.path.append(sys.path.pop(0))  # this folder last: its inspect.py must not stand in for the standard library's

import argparse
import json
import os
import shutil
import subprocess
import sysconfig
import venv
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
PEERS = {
    "picklescan": ("picklescan==1.0.5",),
    "modelscan": ("modelscan[h5py]==0.8.8", "numpy"),
    "fickling": ("fickling==0.1.12", "typing_extensions"),
    "modelaudit": ("modelaudit==0.2.54",),
    "aisbom": ("aisbom-cli==1.7.0", "py7zr"),
    "hayward": ("hayward==1.4.1",),
}
QUIET = {
    "NO_ANALYTICS": "1",
    "PROMPTFOO_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "AISBOM_TELEMETRY": "0",
    "AISBOM_NO_TELEMETRY": "1",
    "NO_COLOR": "1",
    "COLUMNS": "200",
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
}
MAKING = {
    "CANARY": "/tmp/weighbridge-canary",
    "CUDA_VISIBLE_DEVICES": "",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "PYTHONHASHSEED": "0",
}
VERDICTS = ("blocked", "warned", "gave up", "silent")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One case: its set and kind, its folder, and whether loading it was seen to fire."""

    id: str
    set: str
    kind: str
    path: str
    live: bool = False

    @property
    def is_honest(self) -> bool:
        return self.set == "honest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    wall_s: float
    cpu_s: float
    rss_mb: float


def install(peers: Path) -> None:
    """One environment a peer, so that none changes what another finds."""
    for name, needs in PEERS.items():
        place = peers / name
        if not (place / "bin" / "python").exists():
            venv.create(place, with_pip=True)
            subprocess.run([place / "bin" / "pip", "install", "-q", *needs], check=True)


def without_list(folder: Path) -> Path:
    """The interpreter of an environment whose weighbridge has an empty list of dangerous names; all else is this environment's."""
    place = folder / "nolist"
    shutil.rmtree(place, ignore_errors=True)
    import weighbridge

    source = Path(weighbridge.__file__).parent
    shutil.copytree(source, place / "src" / "weighbridge", ignore=shutil.ignore_patterns("__pycache__"))
    table = place / "src" / "weighbridge" / "formats" / "pickling" / "data" / "dangerous.toml"
    table.write_text(
        'name = "none"\nversion = 1\nmodules = []\nfunctions = []\n[standard_library]\nnames = []\n', encoding="utf-8"
    )
    venv.create(place / "env", symlinks=True)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(place / "env")}))
    paths = f"{place / 'src'}\n{sysconfig.get_path('purelib')}\n"
    (packages / "weighbridge.pth").write_text(paths, encoding="utf-8")
    return place / "env" / "bin" / "python"


def run_tool(tool: str, python: Path, rows: list[Row], timeout_s: int = 40) -> tuple[dict[str, str], Cost]:
    """The verdict of a tool on every case, and what all of them cost."""
    text = "".join(f"{row.id}\t{row.path}\n" for row in rows)
    command = [str(python), "-B", str(HERE / "scanner_worker.py"), tool, str(timeout_s)]
    is_ours = tool.startswith("weighbridge")  # it makes namespaces of its own for the parser
    if not is_ours and subprocess.run(["unshare", "-rn", "true"], capture_output=True, check=False).returncode == 0:
        command = ["unshare", "-rn", *command]
    environment = {**QUIET, "HOME": os.environ.get("HOME", "/")} if is_ours else QUIET
    done = subprocess.run(
        command, input=text, capture_output=True, text=True, errors="replace", env=environment, check=False
    )
    verdicts: dict[str, str] = {}
    cost = Cost(wall_s=0.0, cpu_s=0.0, rss_mb=0.0)
    for line in done.stdout.splitlines():
        case, verdict, wall, cpu, rss = line.split("\t")
        verdicts[case] = verdict
        cost = Cost(
            wall_s=cost.wall_s + float(wall), cpu_s=cost.cpu_s + float(cpu), rss_mb=max(cost.rss_mb, float(rss))
        )
    missing = [row.id for row in rows if row.id not in verdicts]
    if missing:
        print(f"{tool}: no answer for {len(missing)} cases: {done.stderr.strip()[-300:]}", file=sys.stderr)
    return {**dict.fromkeys(missing, "gave up"), **verdicts}, cost


def make_sets(folder: Path, made: str, aisbom: Path | None) -> list[Row]:
    """All cases of all sets; made once, proven once."""
    honest = folder / "honest"
    environment = {**os.environ, **MAKING}
    rows = [row for name in ("attacks", "mutations") for row in attack_rows(folder / name, made, environment)]
    if not (honest / "manifest.json").exists():
        packages = sysconfig.get_path("purelib")
        command = [made, str(HERE / "honest.py"), str(honest), "--packages", packages]
        subprocess.run(command, env=environment, check=True)
    made_well = json.loads((honest / "manifest.json").read_text(encoding="utf-8"))
    rows += [Row(id=c["id"], set="honest", kind=c["kind"], path=str(honest / c["id"])) for c in made_well]
    return rows + (aisbom_rows(folder / "aisbom", aisbom) if aisbom else [])


def attack_rows(folder: Path, made: str, environment: dict[str, str]) -> list[Row]:
    """The cases of `bench/attacks`, or their mutations where the folder is called so, with what the loaders made of them."""
    manifest, proofs = folder / "manifest.json", folder.with_name(f"{folder.name}.live.json")
    if not manifest.exists():
        flags = ["--mutations"] if folder.name == "mutations" else []
        subprocess.run([made, str(HERE / "attacks"), str(folder), *flags], env=environment, check=True)
    if not proofs.exists():
        prover = [sys.executable, str(HERE / "attacks" / "prove.py"), str(folder)]
        subprocess.run([*prover, "--python", made, "--out", str(proofs)], env=environment, check=False)
    live = json.loads(proofs.read_text(encoding="utf-8"))
    cases = json.loads(manifest.read_text(encoding="utf-8"))["cases"]
    return [
        Row(id=c["id"], set=folder.name, kind=c["kind"], path=c["path"], live=live.get(c["id"], False)) for c in cases
    ]


def aisbom_rows(folder: Path, python: Path) -> list[Row]:
    """The corpus that `aisbom.corpus` generates: 11 evasions and a live control are attacks, the other control is honest."""
    script = (
        "import sys, json; from pathlib import Path; from aisbom.corpus import generate_corpus\n"
        "print(json.dumps([[g.case.id, str(g.path)] for g in generate_corpus(Path(sys.argv[1]))]))"
    )
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [str(python), "-c", script, str(folder)], capture_output=True, text=True, env=QUIET, check=True
    )
    rows = []
    for name, path in json.loads(done.stdout.splitlines()[-1]):
        which = "honest" if name.startswith("benign") else "aisbom"
        rows.append(Row(id=f"aisbom/{name}", set=which, kind="aisbom", path=path))
    return rows


def table(rows: list[Row], verdicts: dict[str, dict[str, str]], costs: dict[str, Cost]) -> None:
    """Blocked / warned / gave up / silent, by set and by kind, then what it cost."""
    tools = list(verdicts)
    print(f"{'blocked/warned/gave up/silent':<26}{'n':>5}" + "".join(f"{tool:>22}" for tool in tools))
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(f"{row.set}: {row.kind}" if row.set == "attacks" else row.set, []).append(row)
    groups["proven live"] = [row for row in rows if row.live]
    groups["all attacks"] = [row for row in rows if not row.is_honest]
    for name, members in groups.items():
        cells = []
        for tool in tools:
            counts = Counter(verdicts[tool][row.id] for row in members)
            cells.append("/".join(str(counts[verdict]) for verdict in VERDICTS))
        print(f"{name:<26}{len(members):>5}" + "".join(f"{cell:>22}" for cell in cells))
    for name, unit in (("wall_s", "wall s"), ("cpu_s", "CPU s"), ("rss_mb", "peak RSS MB")):
        print(f"{unit:<31}" + "".join(f"{getattr(costs[tool], name):>22.1f}" for tool in tools))


def broken_laws(tool: str, rows: list[Row], verdicts: dict[str, str]) -> list[str]:
    """What this bench holds weighbridge to, and where it fell short."""
    problems = []
    for row in rows:
        verdict = verdicts[row.id]
        if row.is_honest and verdict == "blocked":
            problems.append(f"{tool}: honest and blocked: {row.id}")
        elif not row.is_honest and row.kind != "repository" and verdict == "silent":
            problems.append(f"{tool}: silent on {row.id}")
        elif (row.live or row.set == "aisbom") and verdict != "blocked":
            problems.append(f"{tool}: live and {verdict}: {row.id}")
    return problems


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--made", required=True)
    parser.add_argument("--peers", type=Path)
    parser.add_argument("--folder", type=Path, default=Path(".bench/scanners"))
    parser.add_argument("--install", action="store_true")
    parser.add_argument("--only", default="")
    parser.add_argument("--tools", nargs="*", help="some of the tools; without weighbridge nothing is held to a law")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.install:
        install(options.peers)
    folder = options.folder.absolute()
    pythons = {"weighbridge": Path(sys.executable), "weighbridge-nolist": without_list(folder)}
    if options.peers:
        pythons |= {name: options.peers.absolute() / name / "bin" / "python" for name in PEERS}
    aisbom = pythons.get("aisbom")
    rows = [row for row in make_sets(folder, options.made, aisbom) if options.only in f"{row.set}/{row.id}"]
    verdicts, costs = {}, {}
    for tool, python in pythons.items():
        if options.tools and tool not in options.tools:
            continue
        verdicts[tool], costs[tool] = run_tool(tool, python, rows)
    table(rows, verdicts, costs)
    ours = [tool for tool in verdicts if tool.startswith("weighbridge")]
    for row in [row for row in rows if row.is_honest and ours]:
        if verdicts[ours[0]][row.id] != "silent":
            print(f"honest, and {verdicts[ours[0]][row.id]}: {row.id}")
    problems = [problem for tool in ours for problem in broken_laws(tool, rows, verdicts[tool])]
    if ours:
        print("\n".join(problems) or "every attack found, every live attack blocked, no honest model blocked")
    if options.out:
        options.out.write_text(json.dumps(verdicts, indent=1), encoding="utf-8")
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
