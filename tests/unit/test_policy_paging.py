"""Conditions about more than one evaluation may look through."""

from __future__ import annotations

import pytest

from weighbridge.policy.expressions import Binding, Expression, Fault
from weighbridge.policy.paging import ask
from weighbridge.policy.reach import reach_of
from weighbridge.vocabulary import Answer

MANY = 25_000


def _asked(when: str, **values):
    return ask(Expression(when, rule="r"), {"use": {}, **values})


def _files(*named: str, count: int = MANY) -> list[dict[str, object]]:
    listed = [{"path": f"{n}.txt", "format": "text", "tags": ["a"]} for n in range(count - len(named))]
    return [*listed, *({"path": name, "format": "text", "tags": ["a", "b"]} for name in named)]


def test_the_engine_does_run_out_of_its_budget():
    condition = Expression('artifacts.exists(a, a.path == "x")', rule="r")
    assert "budget" in condition.ask(Binding({"artifacts": _files()})).said


@pytest.mark.parametrize(
    ("when", "with_it", "without"),
    [
        ('artifacts.exists(a, a.path == "x")', Answer.YES, Answer.NO),
        ('!artifacts.exists(a, a.path == "x")', Answer.NO, Answer.YES),
        ('artifacts.all(a, a.path != "x")', Answer.NO, Answer.YES),
        ('!artifacts.all(a, a.path != "x")', Answer.YES, Answer.NO),
        ('use.users > 3 || artifacts.exists(a, a.path == "x")', Answer.YES, Answer.UNKNOWN),
        ('use.users > 3 && artifacts.exists(a, a.path == "x")', Answer.UNKNOWN, Answer.NO),
        ('artifacts.exists(a, a.path == "x") ? true : use.users > 3', Answer.YES, Answer.UNKNOWN),
        ('artifacts.exists(a, a.path == "x" && use.users > 3)', Answer.UNKNOWN, Answer.NO),
        ('artifacts.exists(a, a.tags.exists(t, t == "b"))', Answer.YES, Answer.NO),
        ("artifacts.exists(a, a.nope)", Answer.UNKNOWN, Answer.UNKNOWN),
    ],
)
def test_one_loop_is_answered_as_if_there_were_no_budget(when, with_it, without):
    for count in (5, MANY):
        assert _asked(when, artifacts=_files("x", count=count)).answer is with_it
        assert _asked(when, artifacts=_files("x", count=count)[::-1]).answer is with_it
        reply = _asked(when, artifacts=_files(count=count))
        assert reply.answer is without
        assert not reply.is_broken


@pytest.mark.parametrize(
    ("when", "with_it"),
    [
        ('artifacts.exists(a, a.path == "x") || artifacts.exists(a, a.path == "y")', Answer.YES),
        ('artifacts.filter(a, a.path == "x").size() > 0', Answer.UNKNOWN),
        ('artifacts.exists_one(a, a.path == "x")', Answer.UNKNOWN),
        ('use.users > 3 || artifacts.filter(a, a.path == "x").size() > 0', Answer.UNKNOWN),
    ],
)
def test_other_loops_hold_or_are_broken(when, with_it):
    assert _asked(when, artifacts=_files("x")).answer is with_it
    reply = _asked(when, artifacts=_files())
    assert (reply.answer, reply.fault) == (Answer.UNKNOWN, Fault.TOO_MUCH)


def test_an_answer_that_takes_few_turns_needs_no_pages():
    assert _asked("artifacts.size() > 3", artifacts=_files()).answer is Answer.YES
    assert _asked('artifacts.exists(a, a.format == "text") && true', artifacts=_files()).answer is Answer.YES


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ('findings.exists(f, f.outcome == "fail" && f.check in ["f.path"])', True),
        ("findings.all(g, g.severity_rank < 3) || use.users > 3", True),
        ("findings.exists(f, findings.exists(g, f.check == g.check))", True),
        ("model.files > 3", True),
        ('findings.exists(f, f.path == "x")', False),
        ('findings.exists(f, f["path"] == "x")', False),
        ("findings.exists(f, findings.exists(g, f != g))", False),
        ("size(findings) > 3", False),
        ("findings.filter(f, f.check == 'a').size() > 3", False),
        ("findings[0].check == 'a'", False),
    ],
)
def test_what_a_condition_asks_of_findings_is_read_from_it(source, expected):
    assert reach_of(source).sees_kinds_only is expected


@pytest.mark.parametrize(
    ("source", "loops", "depth"),
    [
        ("model.files > 3", 0, 0),
        ("findings.exists(f, true) && findings.all(f, true)", 2, 1),
        ("findings.exists(f, artifacts.exists(a, a.path == f.path))", 2, 2),
        ("findings.filter(f, true).exists(f, true)", 2, 1),
        ('findings.exists(f, f.message == ")" && artifacts.exists(a, true))', 2, 2),
        ("findings.exists(f, f.message == '\\')' && artifacts.exists(a, true))", 2, 2),
        ('findings . exists (f, f.message == r"\\" && artifacts.all(a, true))', 2, 2),
        ('"artifacts.exists(" == model.subject', 0, 0),
    ],
)
def test_loops_are_counted(source, loops, depth):
    reach = reach_of(source)
    assert (reach.loops, reach.depth) == (loops, depth)


@pytest.mark.parametrize(
    ("source", "folds"),
    [
        ("artifacts.exists(a, true)", {"artifacts"}),
        ("artifacts.exists(a, findings.exists(f, f.path == a.path))", {"artifacts"}),
        ("artifacts.exists(a, true) || artifacts.exists(a, false)", set()),
        ("artifacts.exists_one(a, true)", set()),
        ("artifacts.map(a, a.path).exists(p, true)", set()),
    ],
)
def test_a_lone_loop_is_told_from_others(source, folds):
    assert reach_of(source).folds == folds
