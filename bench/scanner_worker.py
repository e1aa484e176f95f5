"""Runs one scanner over many folders, each in a fork of an interpreter that has imported it. Only to be started by scanners.py.

    python scanner_worker.py TOOL TIMEOUT_S       reads `case TAB folder`, prints `case TAB verdict TAB wall s TAB CPU s TAB RSS MB`

The tool's own command line runs in the fork; its exit code and what it printed are read here and nowhere else.
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
from importlib import import_module
from pathlib import Path


def weighbridge(folder: str) -> None:
    from weighbridge.cli.main import main

    sys.argv = ["weighbridge", "inspect", folder]
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
                codes.append(main(["fickling", "--check-safety", "--json", "report.json", "--print-results", str(path)]))
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


Tool = tuple[str, Callable[[str], None], Callable[[int, str, str], str]]
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


def child(run: Callable[[str], None], folder: str, said: str, timeout_s: int) -> None:
    """Never returns: the tool's own exit code is the child's."""
    resource.setrlimit(resource.RLIMIT_CPU, (timeout_s, timeout_s + 5))
    out = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for number in (1, 2):
        os.dup2(out, number)
    code = 0
    try:
        run(folder)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException as problem:
        print(f"{type(problem).__name__}: {problem}")
        code = 99
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code & 255)


def main() -> None:
    tool, timeout_s = sys.argv[1], int(sys.argv[2])
    module, run, verdict = TOOLS[tool]
    import_module(module)
    rows = [line.rstrip("\n").split("\t") for line in sys.stdin]
    for case, folder in rows:
        with tempfile.TemporaryDirectory() as place:
            os.chdir(place)
            began = time.perf_counter()
            pid = os.fork()
            if pid == 0:
                child(run, folder, place + "/said", timeout_s)
            signal.signal(signal.SIGALRM, lambda *_, pid=pid: os.kill(pid, signal.SIGKILL))
            signal.alarm(3 * timeout_s)
            _, status, used = os.wait4(pid, 0)
            signal.alarm(0)
            wall = time.perf_counter() - began
            code = os.waitstatus_to_exitcode(status)
            said = Path(place, "said").read_text(errors="replace")
            report = Path(place, "report.json").read_text(errors="replace") if Path(place, "report.json").exists() else ""
            found = "gave up" if code < 0 or code == 99 else verdict(code, said, report)
            print(case, found, f"{wall:.3f}", f"{used.ru_utime + used.ru_stime:.3f}", f"{used.ru_maxrss / 1000:.0f}", sep="\t", flush=True)
            os.chdir("/")


if __name__ == "__main__":
    main()
