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


@pytest.mark.parametrize("target", ["torch.ops.aten.from_file.default", "torch.ops.image.read_file.default"])
def test_operators_that_touch_files_are_refused(target: str) -> None:
    assert Outcome.FAIL in outcomes(archive(target))


def test_an_operator_of_another_library_is_unknown() -> None:
    assert outcomes(archive("torch.ops.mine.run.default")) & {Outcome.UNKNOWN, Outcome.FAIL} == {Outcome.UNKNOWN}


@pytest.mark.parametrize(
    "name",
    [
        "data/aotinductor/model/a.so",
        "data/sample_inputs/model.pt",
        "data/constants/custom_obj_0",
        "data/weights/weight_1",
    ],
)
def test_libraries_and_pickles_inside_are_refused(name: str) -> None:
    trap = Pickle(2).call("posix", "system", "true").stop()
    assert Outcome.FAIL in outcomes(archive(more=(Entry(name=f"net/{name}", data=trap),)))
