"""Covered classes of machine-learning libraries given what no honest pickle has."""

import pytest

from weighbridge.formats.pickle import FORMAT
from weighbridge.testing.pickles import Pickle
from weighbridge.testing.readings import examine
from weighbridge.vocabulary import Outcome


def outcome(made: Pickle) -> Outcome:
    reading = examine(FORMAT, made.stop(), "model.pkl")
    assert reading is not None
    return next(f.outcome for f in reading.findings if f.check == "code.on-load")


def instance(module: str, name: str) -> Pickle:
    return Pickle().glob(module, name).op("EMPTY_TUPLE", "NEWOBJ", "EMPTY_DICT", "MARK")


ESTIMATORS = {
    "Pipeline": ("sklearn.pipeline", "Pipeline"),
    "FunctionTransformer": ("sklearn.preprocessing._function_transformer", "FunctionTransformer"),
    "Booster": ("xgboost.core", "Booster"),
    "DataFrame": ("pandas", "DataFrame"),
    "TrainingArguments": ("transformers.training_args", "TrainingArguments"),
    "Linear": ("torch.nn.modules.linear", "Linear"),
    "DictConfig": ("omegaconf.dictconfig", "DictConfig"),
}


@pytest.mark.parametrize("name", ESTIMATORS)
def test_a_covered_class_without_anything_odd_passes(name: str) -> None:
    made = instance(*ESTIMATORS[name]).text("alpha").number(1).op("SETITEMS", "BUILD")
    assert outcome(made) is Outcome.PASS


@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.parametrize("harm", [("posix", "system"), ("builtins", "eval"), ("torch.hub", "load"), ("numpy", "load")])
def test_a_covered_class_that_holds_something_harmful_does_not_pass(name: str, harm: tuple[str, str]) -> None:
    made = instance(*ESTIMATORS[name]).text("func").glob(*harm).op("SETITEMS", "BUILD")
    assert outcome(made) is not Outcome.PASS


@pytest.mark.parametrize("name", ["Pipeline", "FunctionTransformer", "Linear"])
def test_a_covered_class_whose_attribute_is_a_call_is_refused(name: str) -> None:
    made = instance(*ESTIMATORS[name]).text("steps").call("posix", "system", "true").op("SETITEMS", "BUILD")
    assert outcome(made) is Outcome.FAIL


def test_a_covered_class_takes_no_dunder_attributes() -> None:
    made = instance("sklearn.pipeline", "Pipeline").text("__class__").number(1).op("SETITEMS", "BUILD")
    assert outcome(made) is Outcome.FAIL


def random_state(position: int) -> Pickle:
    import pickle

    import numpy as np

    key = pickle.dumps(np.zeros(624, dtype="<u4"), 2)[2:-1]
    made = Pickle().glob("numpy.random._pickle", "__randomstate_ctor").text("MT19937").op("TUPLE1", "REDUCE")
    made.op("EMPTY_DICT", "MARK").text("bit_generator").text("MT19937").text("state").op("EMPTY_DICT", "MARK").text(
        "key"
    ).raw(key)
    return made.text("pos").number(position).op("SETITEMS").text("has_gauss").number(0).op("SETITEMS", "BUILD")


@pytest.mark.parametrize(
    ("position", "expected"), [(0, Outcome.PASS), (624, Outcome.PASS), (625, Outcome.FAIL), (-1, Outcome.FAIL)]
)
def test_a_position_beyond_a_random_state_is_refused(position: int, expected: Outcome) -> None:
    assert outcome(random_state(position)) is expected


@pytest.mark.parametrize("text", ["1e999999999", "1/3"])
def test_a_fraction_from_text_is_refused(text: str) -> None:
    assert outcome(Pickle().call("fractions", "Fraction", text)) is Outcome.FAIL


def test_a_distribution_of_scipy_compiles_its_own_state() -> None:
    made = (
        instance("scipy.stats._continuous_distns", "norm_gen")
        .text("_parse_arg_template")
        .text("x")
        .op("SETITEMS", "BUILD")
    )
    assert outcome(made) is Outcome.FAIL


def test_a_handle_that_is_freed_is_not_covered() -> None:
    """DMatrix frees the pointer it holds when it is collected."""
    made = instance("xgboost.core", "DMatrix").text("handle").number(4096).op("SETITEMS", "BUILD")
    assert outcome(made) is not Outcome.PASS


@pytest.mark.parametrize(
    ("module", "name"),
    [("sklearn.evil", "SVC"), ("sklearn", "SVC"), ("sklearn.svm._classes", "SVC.fit"), ("sklearnx.svm", "SVC")],
)
def test_no_prefix_admits(module: str, name: str) -> None:
    assert outcome(Pickle().glob(module, name).op("EMPTY_TUPLE", "NEWOBJ")) is not Outcome.PASS
