"""Words, decisions and dossiers as rows for a person."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from weighbridge.cli.render import Part, Row, row
from weighbridge.vocabulary import (
    Decision,
    Dossier,
    Effect,
    Finding,
    Header,
    Outcome,
    Preview,
    Reason,
    Standing,
    Verdict,
)

if TYPE_CHECKING:
    from weighbridge.admission.decision import Grounds

_WORD = {
    Verdict.ADMIT: Part("admitted", "green"),
    Verdict.ADMIT_WITH_CONDITIONS: Part("admitted with conditions", "green"),
    Verdict.REFER: Part("referred", "yellow"),
    Verdict.REFUSE: Part("refused", "red"),
}
_OUTCOME_STYLE = {Outcome.PASS: "green", Outcome.FAIL: "red", Outcome.UNKNOWN: "yellow", Outcome.ERROR: "red"}
_SHOWN_REASONS = 5
LEFT_OUT = "intake.left-out"
_SHOWN_FINDINGS = 20


def verdict(decision: Decision) -> Part:
    """The verdict in one word."""
    return _WORD[decision.verdict]


def amount(size_bytes: int) -> str:
    """A size for people, in decimal units: `98.4 MB`."""
    size = float(size_bytes)
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def count(number: int, noun: str) -> str:
    """`1 file`, `7 files`."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def coverage(looked_at: Dossier | Preview) -> str:
    """What was looked at, and what was not: `7 files, 7 read, 0 bytes unexplained, 98.3 MB opaque weights, left out: .git/`."""
    files = looked_at.artifacts
    missed = {item.path for item in looked_at.unread}
    unexplained = sum(file.account.unexplained_bytes for file in files)
    parts = [
        count(len(files), "file"),
        f"{len(files) - len(missed):,} read",
        f"{unexplained:,} bytes unexplained",
        f"{amount(sum(file.account.tensor_bytes for file in files))} opaque weights",
    ]
    unread_bytes = sum(file.account.unread_bytes for file in files)
    parts += [f"{unread_bytes:,} bytes unread"] if unread_bytes else []
    left_out = [place.artifact for f in looked_at.findings if f.check == LEFT_OUT for place in f.evidence]
    parts += [f"left out: {' '.join(left_out)}"] if left_out else []
    return ", ".join(parts)


def header(facts: Header) -> str:
    """What a header says of the model, in one line."""
    said = [facts.architecture or facts.format]
    if facts.parameter_count:
        said.append(f"{quantity(facts.parameter_count)} parameters in {count(len(facts.tensors), 'tensor')}")
    if facts.dtypes:
        said.append(" ".join(facts.dtypes))
    if facts.weights_bytes:
        said.append(f"{amount(facts.weights_bytes)} to hold")
    if facts.cache_bytes_per_token:
        said.append(f"{amount(facts.cache_bytes_per_token)} more per token of context")
    return ", ".join(said)


def quantity(number: int) -> str:
    """A count for people: `134.5 M`."""
    for limit, unit in ((10**12, "T"), (10**9, "B"), (10**6, "M"), (10**3, "k")):
        if number >= limit:
            return f"{number / limit:.1f} {unit}"
    return str(number)


def finding(answer: Finding) -> Part:
    """One finding in words: where, what, and its check."""
    where = answer.evidence[0].artifact + " " if answer.evidence else ""
    text = f"{where}{answer.message}   ({answer.check}, {answer.severity.value})"
    return Part(text, _OUTCOME_STYLE.get(answer.outcome, ""))


def finding_rows(answers: Iterable[Finding], *, label: str) -> list[Row]:
    """Findings with the place of each, the first with a label."""
    lines: list[Row] = []
    for answer in answers:
        lines.append(row(label, finding(answer)))
        for place in answer.evidence[:3]:
            if place.locator or place.excerpt:
                shown = f"{place.artifact}  {place.locator}".rstrip()
                lines.append(row("where", shown, Part(f"  {place.excerpt}" if place.excerpt else "", "grey")))
    return lines


def decision_rows(decision: Decision, *, digest: str, reference: str, grounds: Grounds) -> list[Row]:
    """A decision as `admit` prints it: verdict, what was looked at, why, where, what to try."""
    told = standing_reasons(decision)
    head = [Part(f"  {reference}", "bold"), Part(f"   policy {grounds.policy.name}@{grounds.policy.version}")]
    if told and decision.verdict in (Verdict.REFUSE, Verdict.REFER):
        head.append(Part(f"   rule {told[0].rule}"))
    lines = [row("verdict", verdict(decision), *head)]
    lines.append(row("examined", coverage(grounds.dossier)))
    groups = _grouped(told)
    for first, *others in groups[:_SHOWN_REASONS]:
        lines += reason_rows(first, digest)
        if others:
            lines.append(row("", f"the same stands in the way of {', '.join(other.rule for other in others)}"))
    if len(groups) > _SHOWN_REASONS:
        more = count(len(groups) - _SHOWN_REASONS, "more reason")
        lines.append(row("", f"and {more}; see: weighbridge why {digest[:16]}"))
    if decision.verdict is Verdict.REFER and all(_can_approve(reason) for reason in told):
        lines.append(row("or", f'a reviewer says yes: weighbridge approve {digest[:16]} --reason "…"'))
    lines += [row("condition", text) for text in decision.conditions]
    lines.append(row("decision", digest))
    lines.append(row("subject", f"sha256:{decision.subject}"))
    lines.append(row("until", f"{decision.expires_at:%Y-%m-%d}"))
    return lines


def standing_reasons(decision: Decision) -> list[Reason]:
    """The reasons that stand in the way, the strictest first."""
    order = {Standing.FIRED: 0, Standing.UNDETERMINED: 1}
    blocking = [r for r in decision.reasons if r.standing in order and r.effect is not Effect.CONDITION]
    return sorted(blocking, key=lambda r: (r.effect is not Effect.REFUSE, order[r.standing], r.rule))


def reason_rows(reason: Reason, digest: str) -> list[Row]:
    """One reason of the decision `digest`: the findings it rests on, or its own words, then the shortest way to yes.

    What is suggested names the decision, which says for which model, use and policy it is meant.
    """
    # `code.on-load` sums up what the other findings of a file say in detail.
    findings = [answer for answer in reason.findings if answer.check != "code.on-load"] or list(reason.findings)
    lines = finding_rows(findings[:3], label="why")
    if not findings:
        lines.append(row("why", f"{reason.message}   ({reason.rule})"))
    if len(findings) > 3:
        lines.append(row("", f"and {count(len(findings) - 3, 'more finding')} under rule {reason.rule}"))
    control = ' --control "…"' if reason.effect is Effect.REFUSE else ""
    waiver = f'; or: weighbridge waive {reason.rule} {digest[:16]} --reason "…"{control}' if _can_waive(reason) else ""
    lines.append(row("try", f"{reason.remedy.rstrip('.')}{waiver}"))
    return lines


def _grouped(reasons: list[Reason]) -> tuple[tuple[Reason, ...], ...]:
    from weighbridge.policy.explanation import grouped

    return grouped(reasons)


def _can_approve(reason: Reason) -> bool:
    from weighbridge.policy.floor import APPROVABLE, LAWS

    return reason.rule not in LAWS or reason.rule in APPROVABLE


def _can_waive(reason: Reason) -> bool:
    from weighbridge.policy.floor import LAWS, WAIVABLE

    return reason.rule not in LAWS or reason.rule in WAIVABLE


def in_order(answers: Iterable[Finding]) -> list[Finding]:
    """Findings as people want them: what failed, broke or is unknown before what passed, the worst first."""
    order = [Outcome.FAIL, Outcome.ERROR, Outcome.UNKNOWN, Outcome.PASS, Outcome.NOT_APPLICABLE]
    return sorted(answers, key=lambda answer: (order.index(answer.outcome), -answer.severity.rank, answer.check))


def sorted_findings(answers: Iterable[Finding], *, show_all: bool) -> list[Row]:
    """Findings worth a line: what failed or is unknown, the worst first; with `show_all` also what passed."""
    quiet = (Outcome.PASS, Outcome.NOT_APPLICABLE)
    told = [answer for answer in in_order(answers) if show_all or answer.outcome not in quiet]
    lines: list[Row] = []
    for answer in told[: None if show_all else _SHOWN_FINDINGS]:
        lines += finding_rows([answer], label=answer.outcome.value.replace("_", " "))
    if not show_all and len(told) > _SHOWN_FINDINGS:
        lines.append(row("", f"and {count(len(told) - _SHOWN_FINDINGS, 'more finding')}; see --all or --json"))
    return lines
