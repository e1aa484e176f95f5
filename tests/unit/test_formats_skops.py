"""skops files that the real library wrote are clean, and what they hold is listed."""

from __future__ import annotations

from pathlib import Path

import pytest

from weighbridge.formats import skops
from weighbridge.formats.reading.contract import Format, Match
from weighbridge.formats.reading.source import Source
from weighbridge.formats.reading.spans import account
from weighbridge.inspection.examine import examine_source
from weighbridge.inspection.examined import Examined
from weighbridge.plugins import find_units
from weighbridge.testing.models import source_of
from weighbridge.testing.skops import Node, array, instance, mapping, node, npy, plain, scaler, sequence, skops_bytes
from weighbridge.vocabulary import Outcome

FOLDER = Path(__file__).parents[1] / "golden" / "skops"
FILES = (
    "LogisticRegression",
    "SGDClassifier",
    "KNeighborsClassifier",
    "DecisionTreeClassifier",
    "sparse",
    "partial",
    "misc",
)


def examined(data: bytes, path: str = "model.skops") -> Examined:
    with source_of(data, path) as source:
        return examine_source(source, find_units("formats", Format).found)


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_the_real_library_is_clean(name: str) -> None:
    said = examined((FOLDER / f"{name}.skops").read_bytes())
    assert said.readers == ("skops",)
    assert {f.check: f.message for f in said.findings if f.outcome is not Outcome.PASS} == {}
    assert said.account.unexplained_bytes == said.account.unread_bytes == 0


def test_a_model_is_described() -> None:
    with source_of(scaler(), "model.skops") as source:
        assert skops.sniff(source) is Match.CERTAIN
        reading = skops.read(source)
    assert reading.header is not None
    assert reading.header.architecture == "sklearn.preprocessing._data.StandardScaler"
    assert [(t.name, t.dtype, t.shape) for t in reading.header.tensors] == [("1.npy", "<f8", (2,))]
    assert reading.parts == ()
    assert account(reading.spans).tensor_bytes == len(npy((2,)))


def test_an_unknown_class_asks_for_a_policy_line() -> None:
    said = examined(skops_bytes(instance("company.models.Estimator", coef_=plain(1))))
    found = [f for f in said.findings if f.check == "pickle.unlisted-global"]
    assert [f.outcome for f in found] == [Outcome.UNKNOWN]
    assert 'module = "company.models", names = ["Estimator"], kind = "class"' in found[0].references[0]
    assert [f.outcome for f in said.findings if f.check == "code.on-load"] == [Outcome.UNKNOWN]


def test_an_unknown_function_that_is_held_asks_for_a_policy_line() -> None:
    held = instance(
        "sklearn.preprocessing._function_transformer.FunctionTransformer", func=node("FunctionNode", "a.b.c")
    )
    found = [f for f in examined(skops_bytes(held)).findings if f.check == "pickle.unlisted-global"]
    assert [f.outcome for f in found] == [Outcome.UNKNOWN]
    assert 'names = ["c"], kind = "value"' in found[0].references[0]


def test_a_node_may_stand_twice_if_it_is_the_same() -> None:
    def items(start: int) -> list[Node]:
        return [{**plain("x"), "__id__": start}, {**plain(2), "__id__": start + 1}]

    lists = (node("ListNode", "builtins.list", content=items(start), __id__=7) for start in (20, 30))
    said = examined(skops_bytes(mapping(**dict(zip("ab", lists, strict=True)))))
    assert all(f.outcome is Outcome.PASS for f in said.findings)


def test_a_newer_protocol_and_an_unknown_loader_are_not_judged() -> None:
    for data in (skops_bytes(mapping(), protocol=3), skops_bytes(mapping(a=node("NewNode", "builtins.str")))):
        found = examined(data).findings
        assert {f.outcome for f in found if f.check in ("skops.schema", "code.on-load")} == {Outcome.UNKNOWN}


def test_an_archive_that_only_sounds_like_one_is_an_archive() -> None:
    from weighbridge.testing.pickles import Entry, write_zip

    for name in ("data/schema.json", "schema.json"):
        said = examined(write_zip([Entry(name=name, data=b'{"columns": 3}')]), "data.zip")
        assert all(f.outcome in (Outcome.PASS, Outcome.NOT_APPLICABLE) for f in said.findings)


def test_a_member_that_the_schema_does_not_name_is_told() -> None:
    data = skops_bytes(instance("sklearn.svm._classes.SVC", a=array("1.npy")), {"1.npy": npy(), "2.npy": npy()})
    found = [f for f in examined(data).findings if f.check == "skops.member"]
    assert [f.outcome for f in found] == [Outcome.FAIL]
    assert "'2.npy'" in found[0].message


def test_objects_in_an_array_are_a_pickle_to_judge() -> None:
    objects = npy((1,), "|O", b"\x80\x04]\x94K\x01a.")
    said = examined(skops_bytes(instance("sklearn.svm._classes.SVC", a=array("1.npy")), {"1.npy": objects}))
    assert any(f.evidence and f.evidence[0].artifact == "model.skops!1.npy!1.pkl" for f in said.findings)
    assert all(f.outcome is not Outcome.FAIL for f in said.findings)


def test_reading_is_bounded() -> None:
    wide = sequence(*(plain(n) for n in range(131_000)), kind="list")
    deep = sequence(kind="list")
    for _ in range(70):
        deep = sequence(deep, kind="list")
    for root in (wide, deep):
        found = examined(skops_bytes(root)).findings
        assert [f.outcome for f in found if f.check == "skops.schema"] == [Outcome.UNKNOWN]


def test_the_source_is_only_read() -> None:
    with source_of(scaler()) as source:
        assert isinstance(source, Source)
        first, second = skops.read(source), skops.read(source)
    assert first.findings == second.findings
