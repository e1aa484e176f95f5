"""Covered classes of libraries with states that nobody but an attacker writes: each must be refused."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np  # noqa: TID253  # its arrays are parts of the states
import pytest

from weighbridge.formats.pickle import FORMAT
from weighbridge.testing.models import source_of
from weighbridge.testing.pickles import Pickle
from weighbridge.vocabulary import Outcome

TREE = ("sklearn.tree._tree", "Tree")
FRACTION = ("fractions", "Fraction")
TEMPLATE = "\ndef _parse_args(self,  loc=0, scale=1):\n    return (), loc, scale\n"
WHOLE = (
    f"{TEMPLATE}\ndef _parse_args_rvs(self,  loc=0, scale=1, size=None):\n    return self._argcheck_rvs( loc, scale, size=size)\n"
    "\ndef _parse_args_stats(self,  loc=0, scale=1, moments='mv'):\n    return (), loc, scale, moments\n"
)


def outcome(data: bytes) -> Outcome:
    with source_of(data, "model.pkl") as source:
        [answer] = [finding for finding in FORMAT.read(source).findings if finding.check == "code.on-load"]
    return answer.outcome


def value(made: Pickle, item: Any) -> Pickle:
    """Append any value as the standard pickler writes it, without its PROTO, memo and STOP."""
    if isinstance(item, dict):
        made.op("EMPTY_DICT")
        for key, part in item.items():
            value(value(made, key), part).op("SETITEM")
        return made
    if isinstance(item, Callable):  # type: ignore[arg-type]  # a function that appends
        return item(made)
    return made.raw(pickle._dumps(item, 2)[2:-1])


def named(module: str, name: str) -> Callable[[Pickle], Pickle]:
    return lambda made: made.glob(module, name)


def instance(module: str, name: str, state: Any) -> bytes:
    return value(Pickle().glob(module, name).op("EMPTY_TUPLE", "NEWOBJ"), state).op("BUILD").stop()


def called(path: tuple[str, str], arguments: tuple[Any, ...], state: Any = None) -> bytes:
    made = Pickle().glob(*path).op("MARK")
    for argument in arguments:
        value(made, argument)
    made.op("TUPLE", "REDUCE")
    return (made if state is None else value(made, state).op("BUILD")).stop()


def tree(nodes: int, values: int, count: int, classes: int = 1) -> bytes:
    node = np.dtype([("left_child", "<i8"), ("threshold", "<f8")])
    state = {"max_depth": 1, "node_count": count, "nodes": np.zeros(nodes, node), "values": np.zeros((values, 1, 2))}
    return called(TREE, (2, np.zeros(1, "i8"), classes), state)


def mersenne(position: int, words: int = 624) -> bytes:
    made = Pickle().glob("numpy.random._pickle", "__bit_generator_ctor").text("MT19937").op("TUPLE1", "REDUCE")
    inner = {"key": np.zeros(words, "u4"), "pos": position}
    return value(made, {"bit_generator": "MT19937", "state": inner}).op("BUILD").stop()


def test_the_honest_forms_of_the_attacks_pass() -> None:
    for data in (
        tree(3, 3, 3),
        mersenne(624),
        called(FRACTION, ("1/3",)),
        instance("torch.nn.modules.rnn", "LSTM", {"num_layers": 2}),
    ):
        assert outcome(data) is Outcome.PASS


HOSTILE = {
    "a tree of fewer nodes than it says": tree(3, 3, 4),
    "a tree of fewer values than nodes": tree(3, 2, 3),
    "a tree of more outputs than classes": tree(3, 3, 3, classes=9),
    "a position behind the state": mersenne(625),
    "a position before the state": mersenne(-1),
    "a state too short": mersenne(1, 600),
    "a fraction that fills memory": called(FRACTION, ("1e999999999",)),
    "a network of endless layers": instance("torch.nn.modules.rnn", "LSTM", {"num_layers": 1 << 40}),
    "a distribution whose text runs": instance(
        "scipy.stats._continuous_distns", "norm_gen", {"_parse_arg_template": "import os\n" + TEMPLATE}
    ),
    "a distribution whose text goes on": instance(
        "scipy.stats._continuous_distns", "norm_gen", {"_parse_arg_template": WHOLE + "import os\n"}
    ),
    "a distribution without its text": instance("scipy.stats._continuous_distns", "norm_gen", {}),
    "a pipeline with a command": instance("sklearn.pipeline", "Pipeline", {"steps": named("os", "system")}),
    "a transformer with a command": instance(
        "sklearn.preprocessing._function_transformer", "FunctionTransformer", {"func": named("os", "system")}
    ),
    "a transformer with getattr": instance(
        "sklearn.preprocessing._function_transformer", "FunctionTransformer", {"func": named("builtins", "getattr")}
    ),
    "a frame with eval": instance("pandas", "DataFrame", {"_mgr": named("pandas", "eval")}),
    "an estimator with another class": instance("sklearn.svm._classes", "SVC", {"__class__": 1}),
    "an estimator that replaces its setter": instance("sklearn.svm._classes", "SVC", {"__setstate__": 1}),
    "a method of a path": called(("builtins", "getattr"), (named("pathlib", "Path"), "unlink")),
    "another method of time zones": called(("builtins", "getattr"), (named("zoneinfo", "ZoneInfo"), "from_file")),
    "a partial command": called(("functools", "partial"), (named("os", "system"),)),
    "a class from type": called(("builtins", "type"), ("x", (), {})),
    "a bit generator of any class": called(("numpy.random._pickle", "__bit_generator_ctor"), (named("sklearn.svm._classes", "SVC"),)),
    "a frame that is called": called(("pandas", "DataFrame"), ({},)),
    "an unlisted function of a covered library": called(("sklearn.datasets._base", "load_files"), ("/",)),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_states_of_covered_classes_are_refused(name: str) -> None:
    assert outcome(HOSTILE[name]) is Outcome.FAIL


def test_a_partial_is_not_given_another_function_by_its_state() -> None:
    made = Pickle().glob("functools", "partial").glob("sklearn.utils.validation", "check_array").op("TUPLE1", "REDUCE")
    made.op("MARK").glob("sklearn.svm._classes", "SVC").op("EMPTY_TUPLE", "EMPTY_DICT", "NONE", "TUPLE", "BUILD")
    assert outcome(made.stop()) is Outcome.FAIL


@pytest.mark.parametrize("module", ["sklearn.svm._classes", "numpy", "pandas.core.frame", "acme"])
def test_an_unknown_class_of_any_library_needs_a_policy_line(module: str) -> None:
    assert outcome(instance(module, "Strange", {"a": 1})) is Outcome.UNKNOWN
    assert outcome(called((module, "Strange"), ())) is Outcome.FAIL


def test_a_key_that_only_equals_a_text_does_not_replace_a_position() -> None:
    made = (
        Pickle()
        .glob("numpy.random._pickle", "__bit_generator_ctor")
        .text("MT19937")
        .op("TUPLE1", "REDUCE", "EMPTY_DICT")
    )
    made.text("bit_generator").text("MT19937").op("SETITEM").text("state")
    value(made, {"key": np.zeros(624, "u4"), "pos": 1})
    made.raw(pickle._dumps(np.str_("pos"), 2)[2:-1]).number(99_999).op("SETITEM")
    assert outcome(made.op("SETITEM", "BUILD").stop()) is Outcome.FAIL


def test_an_array_does_not_change_under_a_tree_that_looks_at_it() -> None:
    made = value(Pickle(), np.zeros(4)).op("DUP").op("POP")
    made.op("MARK").number(1).number(9).op("TUPLE1")
    value(made, np.dtype("f8")).op("NEWFALSE").blob(b"x" * 72).op("TUPLE", "BUILD")
    assert outcome(made.stop()) is Outcome.FAIL
