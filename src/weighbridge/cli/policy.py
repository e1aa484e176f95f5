"""`weighbridge policy check|test|explain`: policies as data that can be trusted."""

from __future__ import annotations

from pathlib import Path

import click

from weighbridge.cli import render
from weighbridge.cli.running import Exit, Session, cli_command

_FILE = click.argument("file", required=False, type=click.Path(path_type=Path, dir_okay=False))


@click.group(short_help="Check, test and explain policies.")
def command() -> None:
    """Check, test and explain a policy FILE; without FILE, the policy in force."""


@cli_command(name="check", short_help="Is the policy well formed, and are its rules what they seem.")
@_FILE
def check(session: Session, *, file: Path | None) -> Exit:
    """Compile every rule and report problems: unknown checks, rules without tests, rules that a new failure could silence."""
    from weighbridge.policy.linting import check_policy

    with session.installation() as house:
        document = house.policy_document(file)
        known = house.known_checks()
    problems = check_policy(document, known_checks=known)
    if session.as_json:
        told = [{"rule": problem.rule, "message": problem.message, "remedy": problem.remedy} for problem in problems]
        render.document("policy-check", {"policy": document.policy.name, "problems": told})
    else:
        for problem in problems:
            render.rows(
                [render.row("problem", f"{problem.rule}  {problem.message}"), render.row("try", problem.remedy)]
            )
        if not problems:
            render.plain_text(
                f"{document.policy.name}@{document.policy.version}: {len(document.policy.rules)} rules, no problem"
            )
    return Exit.FOUND if problems else Exit.OK


@cli_command(name="test", short_help="Run the tests that stand beside the rules.")
@_FILE
def test(session: Session, *, file: Path | None) -> Exit:
    """Run every rule's tests. Exit 0: all as expected; 1: a test came out differently, or there is none."""
    from weighbridge.policy.rule_tests import run_rule_tests

    with session.installation() as house:
        document = house.policy_document(file)
    results = run_rule_tests(document)
    failed = [result for result in results if not result.passed]
    if session.as_json:
        told = [
            {
                "rule": r.rule,
                "test": r.test,
                "expected": r.expected.value,
                "actual": r.actual.value,
                "passed": r.passed,
            }
            for r in results
        ]
        render.document("policy-test", {"policy": document.policy.name, "results": told})
    else:
        for result in failed:
            told_as = f"{result.rule}: {result.test}: expected {result.expected.value}, got {result.actual.value}"
            render.rows([render.row("failed", render.Part(told_as, "red"))])
        render.plain_text(f"{len(results) - len(failed)} passed, {len(failed)} failed")
    return Exit.OK if results and not failed else Exit.FOUND


@cli_command(name="explain", short_help="Each rule in plain words, and the evidence it needs.")
@_FILE
def explain(session: Session, *, file: Path | None) -> Exit:
    """Print each rule: what it does when it fires, the evidence it needs, its expression, and the way to yes."""
    from weighbridge.registry import wire

    with session.installation() as house:
        policy = house.policy_document(file).policy
    if session.as_json:
        render.document("policy", {"digest": wire.digest(policy), "policy": wire.plain(policy)})
        return Exit.OK
    lines = [render.row("policy", f"{policy.name}@{policy.version}, decisions stand {policy.valid_days} days")]
    for rule in policy.rules:
        lines.append(render.row("rule", render.Part(rule.id, "bold"), f"  {rule.title}"))
        lines.append(render.row("then", f"{rule.effect.value} ({rule.severity.value}): {rule.message}"))
        lines.append(render.row("needs", ", ".join(rule.needs) or "nothing in particular"))
        lines.append(render.row("when", render.Part(" ".join(rule.when.split()), "grey")))
        lines.append(render.row("try", rule.remedy))
        lines += [render.row("see", reference) for reference in rule.references]
    render.rows(lines)
    return Exit.OK


command.add_command(check)
command.add_command(test)
command.add_command(explain)
