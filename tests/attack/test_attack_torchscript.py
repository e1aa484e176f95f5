"""TorchScript archives whose code or pickles reach beyond tensors."""

import pytest

from weighbridge.formats.torch_zip import FORMAT
from weighbridge.testing.pickles import Entry, Pickle, write_zip
from weighbridge.testing.readings import examine
from weighbridge.vocabulary import Outcome

CLASS = "class Net(Module):\n  __parameters__ = []\n  def forward(self: __torch__.m.Net,\n    x: Tensor) -> Tensor:\n    return {}\n"
NET = Pickle(2).glob("__torch__.m", "Net").op("EMPTY_TUPLE", "NEWOBJ", "EMPTY_DICT", "BUILD").stop()
CONSTANTS = Pickle(2).op("EMPTY_TUPLE").stop()


def archive(expression: str = "torch.relu(x)", *, data: bytes = NET, more: tuple[Entry, ...] = ()) -> bytes:
    code = CLASS.format(expression).encode()
    return write_zip(
        [
            Entry(name="net/data.pkl", data=data),
            Entry(name="net/code/__torch__/m.py", data=code),
            Entry(name="net/constants.pkl", data=CONSTANTS),
            Entry(name="net/version", data=b"3\n"),
            *more,
        ]
    )


def outcome(data: bytes) -> Outcome:
    reading = examine(FORMAT, data, "net.pt")
    assert reading is not None
    return next(f.outcome for f in reading.findings if f.check == "code.on-load")


@pytest.mark.parametrize(
    "expression",
    [
        "torch.relu(x)",
        "ops.prim.data(x)",
        "ops.quantized.relu6(x)",
        '"torch.save"',
        "x # torch.save(x)",
        "torch.linear(x, CONSTANTS.c0)",
    ],
)
def test_plain_operators_pass(expression: str) -> None:
    assert outcome(archive(expression)) is Outcome.PASS


HARMFUL = [
    'torch.from_file("/etc/passwd")',
    'torch.save(x, "/tmp/x")',
    'torch . save(x, "f")',
    'torch.\n      save(x, "f")',
    'ops.aten.from_file("f")',
    'ops.aten.save(x, "f")',
    'ops.image.read_file("f")',
    'ops.image.write_file("f", x)',
    "rpc_sync(x)",
    'torch.rpc_async("w", x)',
    'ops.torchaudio_sox.load("f")',
    'x.save("f")',
    '(torch.relu(x)).from_file("f")',
    'x . save ("f")',
]


@pytest.mark.parametrize("expression", HARMFUL)
def test_operators_that_touch_files_or_other_machines_are_refused(expression: str) -> None:
    assert outcome(archive(expression)) is Outcome.FAIL


@pytest.mark.parametrize(
    "expression", ["ops.mine.run(x)", 'getattr(torch, "save")(x)', "ops.aten", "__torch__.torch.classes.mine.Thing(x)"]
)
def test_what_nobody_knows_does_not_pass(expression: str) -> None:
    assert outcome(archive(expression)) is Outcome.UNKNOWN


@pytest.mark.parametrize(
    "data",
    [
        Pickle(2).call("posix", "system", "true").stop(),
        Pickle(2).glob("__torch__.m", "Net").glob("posix", "system").op("TUPLE1", "NEWOBJ").stop(),
        Pickle(2).glob("__torch__.m", "Net").args(1).op("REDUCE").stop(),
    ],
)
def test_a_pickle_beyond_its_classes_is_refused(data: bytes) -> None:
    assert outcome(archive(data=data)) is Outcome.FAIL


@pytest.mark.parametrize(
    "name", [("__torch__.m", "Other"), ("__torch__.other", "Net"), ("__torch__.m", "Net.forward"), ("torch.m", "Net")]
)
def test_a_class_that_the_code_does_not_define_does_not_pass(name: tuple[str, str]) -> None:
    data = Pickle(2).glob(*name).op("EMPTY_TUPLE", "NEWOBJ").stop()
    assert outcome(archive(data=data)) is not Outcome.PASS


@pytest.mark.parametrize(
    "member", ["attributes.pkl", "extra/notes", "bytecode.pkl", "code/__torch__/m.py.debug_pkl", "x"]
)
def test_a_trap_in_another_member_is_refused(member: str) -> None:
    trap = Entry(name=f"net/{member}", data=Pickle(2).call("posix", "system", "true").stop())
    assert outcome(archive(more=(trap,))) is Outcome.FAIL
