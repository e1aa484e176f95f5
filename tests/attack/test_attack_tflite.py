"""TensorFlow Lite models that reach out of the process, make a runtime read where it must not, or carry what nobody reads."""

from __future__ import annotations

import io
import struct
import time
import zipfile

import pytest

from weighbridge.formats.reading.contract import Format
from weighbridge.inspection.examine import examine_source
from weighbridge.inspection.examined import Examined
from weighbridge.plugins import find_units
from weighbridge.testing.fuzzing import pace
from weighbridge.testing.models import source_of
from weighbridge.testing.pickles import Pickle
from weighbridge.testing.tflite import code, flatbuffer, flex_options, model, number, operator, tensor
from weighbridge.vocabulary import Outcome, Severity

WHILE, IF = 119, 118
WHILE_OPTIONS, IF_OPTIONS = 93, 92
PLAIN = flatbuffer(model())


def examined(data: bytes) -> Examined:
    with source_of(data, "model.tflite") as source:
        return examine_source(source, find_units("formats", Format).found)


def failed(data: bytes) -> set[str]:
    """The checks that failed as HIGH or worse."""
    found = examined(data).findings
    return {f.check for f in found if f.outcome is Outcome.FAIL and f.severity.rank >= Severity.HIGH.rank}


def flex(listed: str, runs: str) -> bytes:
    node = b"\x0a\x01n\x12" + bytes((len(runs),)) + runs.encode()
    return flatbuffer(model([code(32, f"Flex{listed}")], [operator(custom=flex_options(runs, node))]))


@pytest.mark.parametrize(
    ("listed", "runs"),
    [
        ("ReadFile", "ReadFile"),
        ("WriteFile", "WriteFile"),
        ("PyFunc", "PyFunc"),
        ("AddV2", "ReadFile"),
        ("AddV2", "PyFunc"),
    ],
)
def test_an_operator_of_tensorflow_that_reaches_out(listed: str, runs: str) -> None:
    found = examined(flex(listed, runs)).findings
    assert [(f.outcome, f.severity) for f in found if f.check == "code.on-load"] == [(Outcome.FAIL, Severity.CRITICAL)]


def test_an_operator_under_another_name() -> None:
    assert "tflite.operator" in failed(flex("AddV2", "Sub"))


@pytest.mark.parametrize(("old", "new"), [(0xC8, 32), (32, 0), (0, 32), (0, 0), (200, 200), (32, 7)])
def test_an_operator_of_two_numbers_is_not_taken_for_the_harmless_one(old: int, new: int) -> None:
    """The old number is a signed byte: 200 is below zero to a runtime, which then takes the other."""
    said = {0: number(old, 1), 1: "FlexReadFile", 3: number(new)}
    options = flex_options("ReadFile", b"\x12\x08ReadFile")
    assert "code.on-load" in failed(flatbuffer(model([said], [operator(custom=options)])))


def printer(stream: str) -> bytes:
    value = b"\x12" + bytes((len(stream),)) + stream.encode()
    entry = b"\x0a\x0doutput_stream\x12" + bytes((len(value),)) + value
    node = b"\x12\x07PrintV2\x2a" + bytes((len(entry),)) + entry
    return flatbuffer(model([code(32, "FlexPrintV2")], [operator(custom=flex_options("PrintV2", node))]))


def test_a_printer_into_a_file() -> None:
    assert "tflite.operator" in failed(printer("file:///etc/cron.d/x"))
    assert failed(printer("stdout")) == set()


def subgraph(operators: list[dict[int, object]]) -> dict[int, object]:
    tensors = [tensor("x", [4]), tensor("w", [4], 1), tensor("y", [4])]
    return {0: tensors, 1: [0], 2: [2], 3: operators, 4: "g"}


def loop(condition: int, body: int) -> dict[int, object]:
    options = {3: number(WHILE_OPTIONS, 1), 4: {0: number(condition), 1: number(body)}}
    return operator(options=options)


def test_cve_2021_29591_a_subgraph_that_runs_itself() -> None:
    silent = operator(options={3: number(WHILE_OPTIONS, 1), 4: {}})  # what is left out is subgraph 0
    for graphs in ([subgraph([silent])], [subgraph([loop(0, 0)])], [subgraph([loop(1, 1)]), subgraph([loop(0, 0)])]):
        assert "tflite.index" in failed(flatbuffer(model([code(WHILE)], graphs=graphs)))


def test_a_loop_over_other_subgraphs_is_sound() -> None:
    graphs = [subgraph([loop(1, 1)]), subgraph([])]
    assert failed(flatbuffer(model([code(WHILE)], graphs=graphs))) == set()


BROKEN = {
    "CVE-2020-15211 an input of the graph below zero": model(graphs=[{**subgraph([]), 1: [-5]}]),
    "CVE-2020-15211 an output of the graph out of range": model(graphs=[{**subgraph([]), 2: [3]}]),
    "an input of an operator out of range": model(operators=[operator(inputs=[0, 1 << 20])]),
    "an output of an operator far below zero": model(operators=[operator(outputs=[-2])]),
    "an operator code out of range": model(operators=[operator(7)]),
    "a buffer out of range": model(tensors=[tensor("x", [4], 99), tensor("w", [4], 1), tensor("y", [4])]),
    "CVE-2022-23558 a shape below zero": model(tensors=[tensor("x", [4]), tensor("w", [-4], 1), tensor("y", [4])]),
    "CVE-2022-23561 a shape larger than its buffer": model(
        tensors=[tensor("x", [4]), tensor("w", [1 << 20], 1), tensor("y", [4])]
    ),
    "a subgraph out of range": model([code(WHILE)], [loop(4, 4)]),
    "a buffer behind the end": model(buffers=[{}, {1: number(1 << 40, 8), 2: number(16, 8)}]),
    "a buffer over the flatbuffer": model(buffers=[{}, {1: number(8, 8), 2: number(16, 8)}]),
    "weights in a file elsewhere": model(more={8: [{0: "/etc/passwd"}]}),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_number_that_leads_out_of_range(name: str) -> None:
    assert failed(flatbuffer(BROKEN[name])) & {"tflite.index", "tflite.size", "tflite.bounds", "tflite.external"}


@pytest.mark.parametrize("place", [0, *range(8, len(PLAIN) - 4, 4)])
def test_a_place_that_leaves_the_file_breaks_no_reader(place: int) -> None:
    for value in (0xFFFFFFFF, 0x7FFFFFF0, len(PLAIN)):
        data = bytearray(PLAIN)
        struct.pack_into("<I", data, place, value)
        assert all(f.outcome is not Outcome.ERROR for f in examined(bytes(data)).findings)


def test_bytes_between_objects_are_unexplained() -> None:
    hidden = Pickle().call("posix", "system", "true").stop()
    shifted = bytearray(PLAIN[:8] + hidden.ljust(64, b"\0") + PLAIN[8:])
    struct.pack_into("<I", shifted, 0, int.from_bytes(PLAIN[:4], "little") + 64)
    assert examined(bytes(shifted)).account.unexplained_bytes >= len(hidden) - 4
    assert examined(PLAIN + b"\0" * 4096).account.unexplained_bytes == 4096
    assert examined(PLAIN + b"secret").account.unexplained_bytes >= 6


def test_a_gap_inside_a_table_is_unexplained() -> None:
    wide = model(operators=[{**operator(), 3: number(0, 1), 14: number(1 << 40, 8)}])
    said = examined(flatbuffer(wide))
    assert any(f.check == "tflite.field" and f.outcome is Outcome.UNKNOWN for f in said.findings)
    assert said.account.unexplained_bytes > 0


def test_two_objects_that_share_bytes() -> None:
    data = bytearray(PLAIN)
    text = data.index(b"weighbridge") - 4
    at = next(n for n in range(8, len(data) - 4, 4) if n + int.from_bytes(data[n : n + 4], "little") == text)
    struct.pack_into("<I", data, at, data.index(b"main") - 3 - at)
    assert "tflite.bounds" in failed(bytes(data))


def test_a_pickle_in_the_archive_behind_a_model_is_judged() -> None:
    buffer = io.BytesIO(PLAIN)
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr("labels.pkl", Pickle().call("posix", "system", "true").stop())
    assert "code.on-load" in failed(buffer.getvalue())


def test_bytes_between_a_model_and_the_archive_behind_it() -> None:
    buffer = io.BytesIO(PLAIN + b"\x01secret\x01")
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr("labels.txt", "a")
    said = examined(buffer.getvalue())
    assert said.account.unexplained_bytes >= 8 or "tflite.archive" in failed(buffer.getvalue())


def test_many_tables_are_put_aside_in_time() -> None:
    many = [tensor("t", [1])] * 3
    graph = {0: many, 1: [0], 2: [0], 3: [operator(inputs=[0], outputs=[0])] * 40_000, 4: "g"}
    data = flatbuffer(model(graphs=[graph]))
    start = time.process_time()
    found = examined(data).findings
    assert time.process_time() - start < 1.5 * pace()
    assert any(f.check == "tflite.limit" and f.outcome is Outcome.UNKNOWN for f in found)


@pytest.mark.parametrize("times", [(20_000, 1), (1, 60_000), (300, 300)])
def test_one_table_named_many_times_is_put_aside_in_time(times: tuple[int, int]) -> None:
    graphs, operators = times
    graph = subgraph([operator(inputs=[0] * 30_000)] * operators)
    data = flatbuffer(model(graphs=[graph] * graphs), is_shared=True)
    start = time.process_time()
    found = examined(data).findings
    assert time.process_time() - start < 1.5 * pace()
    assert any(f.check == "tflite.limit" and f.outcome is Outcome.UNKNOWN for f in found)
