"""The files that one GGUF model was split into: whether all are there and say the same of each other.

Source: gguf-split and llama_split_path in src/llama.cpp of ggml-org/llama.cpp: `split.no` counts from 0, file names from 1.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from weighbridge.vocabulary import Evidence, Finding, Header, Outcome, Severity

SPLIT = "inventory.split"
CHECKS = {SPLIT: "all files of a split model are there and agree on how many there are"}

_NAME = re.compile(r"(?P<stem>.*)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf", re.DOTALL)
_SHOWN = 5


def judge_splits(headers: Iterable[Header]) -> list[Finding]:
    """One answer for each model of which a part is here."""
    groups: dict[tuple[str, str], list[Header]] = {}
    for header in headers:
        match = _NAME.fullmatch(header.path)
        said = _said(header)
        if header.format == "gguf" and (match or said.get("split.count", 0) > 1):
            key = (match["stem"], match["count"]) if match else (header.path, "")
            groups.setdefault(key, []).append(header)
    return [_judge(group) for group in groups.values()]


def _said(header: Header) -> dict[str, int]:
    return {
        fact.name: int(fact.value)
        for fact in header.metadata
        if fact.name.startswith("split.") and fact.value.isdecimal() and len(fact.value) < 12
    }


def _judge(group: list[Header]) -> Finding:
    group = sorted(group, key=lambda header: header.path)
    said = [_said(header) for header in group]
    if disagreement := _disagreement(group, said):
        return _answer(group, Outcome.FAIL, Severity.HIGH, disagreement)
    match = _NAME.fullmatch(group[0].path)
    count = max([s.get("split.count", 0) for s in said] + ([int(match["count"])] if match else []))
    if len(group) < count:
        numbers = {s["split.no"] + 1 for s in said if "split.no" in s}
        missing = [number for number in range(1, min(count, 1000) + 1) if number not in numbers][:_SHOWN]
        words = (
            f"{count - len(group):,} of {count:,} files of a split model are not here: {', '.join(map(str, missing))}"
        )
        return _answer(group, Outcome.UNKNOWN, Severity.HIGH, words)
    if any("split.no" not in s or "split.count" not in s for s in said):
        words = "a file is named as a part of a split model and does not say which one it is"
        return _answer(group, Outcome.UNKNOWN, Severity.MEDIUM, words)
    return _answer(group, Outcome.PASS, Severity.INFO, f"all {count:,} files of a split model agree")


def _disagreement(group: list[Header], said: list[dict[str, int]]) -> str:
    """What the files of one model say differently; empty where nothing."""
    match = _NAME.fullmatch(group[0].path)
    counts = {s["split.count"] for s in said if "split.count" in s} | ({int(match["count"])} if match else set())
    numbers = [s["split.no"] for s in said if "split.no" in s]
    totals = {s["split.tensors.count"] for s in said if "split.tensors.count" in s}
    names = [tensor.name for header in group for tensor in header.tensors]
    if len(counts) > 1:
        return (
            f"the files of a split model disagree on how many there are: {', '.join(map(str, sorted(counts)[:_SHOWN]))}"
        )
    if len(set(numbers)) < len(numbers):
        return "two files of a split model say that they are the same part"
    if len(set(names)) < len(names):
        return "one tensor stands in two files of a split model"
    count = max(counts, default=len(group))
    if len(group) > count:
        return f"a split model of {count:,} files has {len(group):,} here"
    if strange := [number for number in numbers if number >= count]:
        return f"a file of a split model says that it is part {strange[0] + 1:,} of {count:,}"
    if len(totals) > 1:
        return "the files of a split model disagree on how many tensors there are"
    if counts and totals and len(group) == count and len(names) != max(totals):
        return f"a split model should have {max(totals):,} tensors and has {len(names):,}"
    return ""


def _answer(group: list[Header], outcome: Outcome, severity: Severity, message: str) -> Finding:
    evidence = tuple(Evidence(artifact=header.path) for header in group[:_SHOWN])
    return Finding(check=SPLIT, outcome=outcome, severity=severity, message=message, evidence=evidence)
