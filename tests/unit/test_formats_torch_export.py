"""Archives of torch.export."""

import pytest

from tests.conformance.samples.torch_export import archive
from weighbridge.inspection.examine import examine_source
from weighbridge.testing.fuzzing import built_in_formats, is_clean
from weighbridge.testing.models import source_of
from weighbridge.testing.pickles import Entry, Pickle
from weighbridge.vocabulary import Outcome


def outcomes(data: bytes) -> set[Outcome]:
    with source_of(data, "net.pt2") as source:
        said = examine_source(source, built_in_formats())
    assert said.readers == ("torch_export",)
    return {finding.outcome for finding in said.findings}


def test_a_graph_of_known_operators_is_clean() -> None:
    with source_of(archive(), "net.pt2") as source:
        said = examine_source(source, built_in_formats())
    assert is_clean(said)
    assert said.account.tensor_bytes == 16


@pytest.mark.parametrize(
    "target",
    [
        "torch.ops.aten.from_file.default",
        "torch.ops.image.read_file.default",
        "torch.os.system",
        "torch.hub.load",
        "_operator.attrgetter",
        "_operator.methodcaller",
        "math.os.system",
        "#mine",
    ],
)
def test_operators_that_touch_files_are_refused(target: str) -> None:
    assert Outcome.FAIL in outcomes(archive(target))


def test_an_operator_of_another_library_is_unknown() -> None:
    assert outcomes(archive("torch.ops.mine.run.default")) & {Outcome.UNKNOWN, Outcome.FAIL} == {Outcome.UNKNOWN}


@pytest.mark.parametrize(
    "name",
    [
        "data/aotinductor/model/a.so",
        "data/aotinductor/model/a.SO",
        "data/aotinductor/model/a.so.1",
        "data/sample_inputs/model.pt",
        "data/constants/custom_obj_0",
        "data/weights/weight_1",
    ],
)
def test_libraries_and_pickles_inside_are_refused(name: str) -> None:
    trap = Pickle(2).call("posix", "system", "true").stop()
    assert Outcome.FAIL in outcomes(archive(more=(Entry(name=f"net/{name}", data=trap),)))


@pytest.mark.parametrize("plain", ["torch.ops.aten.from_file.default", "torch.os.system"])
def test_an_escaped_name_is_the_same_name(plain: str) -> None:
    escaped = "".join(f"\\u{ord(character):04x}" for character in plain)
    data = b'{"graph_module": {"graph": {"nodes": [{"target": "' + escaped.encode() + b'"}]}}}'
    assert Outcome.FAIL in outcomes(archive(more=(Entry(name="net/models/second.json", data=data),)))


@pytest.mark.parametrize(
    "target", ["_operator.add", "math.sqrt", "torch.sym_float", "torch.ops.aten.add.Tensor", "0.weight"]
)
def test_honest_targets_are_clean(target: str) -> None:
    with source_of(archive(target), "net.pt2") as source:
        assert is_clean(examine_source(source, built_in_formats()))
