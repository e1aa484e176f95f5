"""Runs one scanner over many folders, each in a fork of an interpreter that has imported it. Only to be started by scanners.py.

    python scanner_worker.py TOOL TIMEOUT_S       reads `case TAB folder`, prints `case TAB verdict TAB wall s TAB CPU s TAB RSS MB`

The tool's own command line runs in the fork (weighbridge's, which takes several folders, over forty at a time); its exit code and what it printed are read here and nowhere else.
"""

from __future__ import annotations

import sys

sys.path.append(sys.path.pop(0))

import json
import os
import re
import resource
import signal
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path


def weighbridge(*folders: str) -> None:
    from weighbridge.cli.main import main

    sys.argv = ["weighbridge", "inspect", *folders]
    main()


def picklescan(folder: str) -> None:
    from picklescan.cli import main

    sys.argv = ["picklescan", "-p", folder]
    sys.exit(main())


def modelscan(folder: str) -> None:
    from modelscan.cli import main

    sys.argv = ["modelscan", "scan", "-p", folder, "-r", "json", "--output-file", "report.json"]
    main()


def fickling(folder: str) -> None:
    """It takes one file: the worst of all files of the folder."""
    from fickling.__main__ import main

    codes = []
    for path in sorted(Path(folder).rglob("*")):
        if path.is_file() and not path.is_symlink():
            try:
                codes.append(
                    main(["fickling", "--check-safety", "--json", "report.json", "--print-results", str(path)])
                )
            except SystemExit as end:
                codes.append(end.code if isinstance(end.code, int) else 2)
            except Exception:
                codes.append(2)
    sys.exit(1 if 1 in codes else max(codes, default=0))


def modelaudit(folder: str) -> None:
    from modelaudit.cli import main

    sys.argv = ["modelaudit", "scan", "--no-cache", "--format", "json", "--output", "report.json", folder]
    main()


def aisbom(folder: str) -> None:
    from aisbom.cli import app

    sys.argv = ["aisbom", "scan", folder, "--output", "report.json"]
    app()


def hayward(folder: str) -> None:
    from hayward.cli import main

    sys.argv = ["hayward", "scan", "-f", "json", "-o", "report.json", "--quiet", folder]
    sys.exit(main())


def by_code(code: int, said: str, report: str) -> str:
    """weighbridge: 1 a proven FAIL, 3 cannot tell."""
    return {0: "silent", 1: "blocked", 3: "warned"}.get(code, "gave up")


def of_picklescan(code: int, said: str, report: str) -> str:
    if code == 1:
        return "blocked"
    if code == 2 or "ERROR" in said:
        return "gave up"
    suspicious = re.search(r"Suspicious globals: (\d+)", said)
    return "warned" if suspicious and int(suspicious[1]) else "silent"


def of_modelscan(code: int, said: str, report: str) -> str:
    try:
        document = json.loads(report)
    except ValueError:
        return "gave up"
    grades = {issue.get("severity", "").upper() for issue in document.get("issues", [])}
    if grades & {"CRITICAL", "HIGH"}:
        return "blocked"
    return "warned" if grades else "gave up" if document.get("errors") else "silent"


def of_fickling(code: int, said: str, report: str) -> str:
    return {0: "silent", 1: "blocked"}.get(code, "gave up")


def of_modelaudit(code: int, said: str, report: str) -> str:
    try:
        grades = {issue.get("severity") for issue in json.loads(report).get("issues", [])}
    except ValueError:
        return "gave up"
    if "critical" in grades:
        return "blocked"
    return "warned" if "warning" in grades else "gave up" if code == 2 else "silent"


def of_aisbom(code: int, said: str, report: str) -> str:
    levels = re.findall(r"\b(CRITICAL|HIGH|MEDIUM)\b", report + said)
    if code == 2 or "CRITICAL" in levels or "HIGH" in levels:
        return "blocked"
    return "warned" if code == 1 or levels else "silent"


def of_hayward(code: int, said: str, report: str) -> str:
    try:
        document = json.loads(report)
    except ValueError:
        return "gave up"
    grades = {finding["severity"] for finding in document["findings"]}
    if grades & {"critical", "high"}:
        return "blocked"
    return "warned" if grades & {"medium", "low"} or document["coverage_gaps"] else "silent"


def of_weighbridge(said: str) -> list[str]:
    """The verdicts on several REFs, in their order."""
    words = {"nothing": "silent", "failed": "blocked", "could": "warned"}
    return [words[word] for word in re.findall(r"^result +(nothing|failed|could)\b", said, re.MULTILINE)]


BROKEN, BATCH = 99, 40
Tool = tuple[str, Callable[..., None], Callable[[int, str, str], str]]
TOOLS: dict[str, Tool] = {
    "weighbridge": ("weighbridge.cli.inspect", weighbridge, by_code),
    "weighbridge-nolist": ("weighbridge.cli.inspect", weighbridge, by_code),
    "picklescan": ("picklescan.cli", picklescan, of_picklescan),
    "modelscan": ("modelscan.cli", modelscan, of_modelscan),
    "fickling": ("fickling.__main__", fickling, of_fickling),
    "modelaudit": ("modelaudit.cli", modelaudit, of_modelaudit),
    "aisbom": ("aisbom.cli", aisbom, of_aisbom),
    "hayward": ("hayward.cli", hayward, of_hayward),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What one run of a tool left: exit code, what it printed, its report, and what it cost."""

    code: int
    said: str
    report: str
    wall_s: float
    cpu_s: float
    rss_mb: float


def child(run: Callable[..., None], folders: list[str], said: str, timeout_s: int) -> None:
    """Never returns: the tool's own exit code is the child's."""
    resource.setrlimit(resource.RLIMIT_CPU, (timeout_s, resource.RLIM_INFINITY))
    out = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for number in (1, 2):
        os.dup2(out, number)
    code = 0
    try:
        run(*folders)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException as problem:
        print(f"{type(problem).__name__}: {problem}")
        code = BROKEN
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code & 255)


def ran(run: Callable[..., None], folders: list[str], timeout_s: int) -> Ran:
    """Fork, run, wait; a child that outlives three times its limit of CPU is killed."""
    with tempfile.TemporaryDirectory() as place:
        os.chdir(place)
        began = time.perf_counter()
        pid = os.fork()
        if pid == 0:
            child(run, folders, place + "/said", timeout_s)
        signal.signal(signal.SIGALRM, lambda *_: os.kill(pid, signal.SIGKILL))
        signal.alarm(3 * timeout_s)
        _, status, used = os.wait4(pid, 0)
        signal.alarm(0)
        wall = time.perf_counter() - began
        os.chdir("/")
        report = Path(place, "report.json")
        return Ran(
            code=os.waitstatus_to_exitcode(status),
            said=Path(place, "said").read_text(errors="replace"),
            report=report.read_text(errors="replace") if report.exists() else "",
            wall_s=wall,
            cpu_s=used.ru_utime + used.ru_stime,
            rss_mb=used.ru_maxrss / 1000,
        )


def told(cases: list[str], verdicts: list[str], run: Ran) -> None:
    """One line a case; what several cost together is shared among them."""
    for case, verdict in zip(cases, verdicts, strict=True):
        wall, cpu = run.wall_s / len(cases), run.cpu_s / len(cases)
        print(case, verdict, f"{wall:.4f}", f"{cpu:.4f}", f"{run.rss_mb:.0f}", sep="\t", flush=True)


def main() -> None:
    tool, timeout_s = sys.argv[1], int(sys.argv[2])
    module, run, verdict = TOOLS[tool]
    import_module(module)
    rows = [line.rstrip("\n").split("\t") for line in sys.stdin]
    if verdict is by_code:  # weighbridge takes several REFs
        left = []
        for batch in (rows[at : at + BATCH] for at in range(0, len(rows), BATCH)):
            one = ran(run, [folder for _, folder in batch], timeout_s * 4)
            verdicts = of_weighbridge(one.said)
            if len(verdicts) == len(batch):
                told([case for case, _ in batch], verdicts, one)
            else:
                left += batch
        rows = left
    for case, folder in rows:
        one = ran(run, [folder], timeout_s)
        found = "gave up" if one.code < 0 or one.code == BROKEN else verdict(one.code, one.said, one.report)
        told([case], [found], one)


if __name__ == "__main__":
    main()
