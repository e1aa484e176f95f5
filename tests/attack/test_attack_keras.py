"""Keras models whose configuration runs code or reads files, one for every published way, and HDF5 files that lead outside."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Callable
from typing import Any

import pytest

from weighbridge.formats import hdf5, keras
from weighbridge.formats.reading.contract import Match, Reading
from weighbridge.formats.reading.spans import account
from weighbridge.testing.fuzzing import pace
from weighbridge.testing.hdf5 import (
    UNDEFINED,
    Dataset,
    Group,
    contiguous,
    dataspace,
    external_link,
    hdf5_bytes,
    keras_h5,
)
from weighbridge.testing.models import source_of
from weighbridge.testing.pickles import Entry, write_zip
from weighbridge.vocabulary import Finding, Outcome, Severity

MARSHALLED = "4wEAAAAAAAAAAAAAAAEAAAADAAAA8w4AAACXAHQBAAAAAAAAAABTAA=="


def sequential(*layers: dict[str, Any]) -> dict[str, Any]:
    return {
        "module": "keras",
        "class_name": "Sequential",
        "config": {"name": "s", "layers": list(layers)},
        "registered_name": "Sequential",
    }


def layer(
    name: str, module: str | None = "keras.layers", registered: str | None = None, **config: Any
) -> dict[str, Any]:
    return {"module": module, "class_name": name, "config": {"name": "x", **config}, "registered_name": registered}


def function(module: str, name: str) -> dict[str, Any]:
    return {"module": module, "class_name": "function", "config": name, "registered_name": name}


def lambda_of(value: Any, **more: Any) -> dict[str, Any]:
    return layer("Lambda", function=value, **more)


def dot_keras(config: Any, *more: Entry) -> bytes:
    text = config if isinstance(config, bytes) else json.dumps(config).encode()
    metadata = json.dumps({"keras_version": "3.9.0", "date_saved": "2026-01-01"}).encode()
    weights = hdf5_bytes(Group(members={"w": Dataset(shape=(1,), data=bytes(4))}))
    return write_zip(
        [
            Entry(name="metadata.json", data=metadata),
            Entry(name="config.json", data=text),
            Entry(name="model.weights.h5", data=weights),
            *more,
        ]
    )


def read(data: bytes) -> Reading:
    unit = keras.FORMAT if data.startswith(b"PK") else hdf5.FORMAT
    with source_of(data, "model") as source:
        assert unit.sniff(source) is Match.CERTAIN, "nobody would look at it"
        return unit.read(source)


def by_check(reading: Reading) -> dict[str, Finding]:
    return {finding.check: finding for finding in reading.findings}


def both(config: Any) -> list[Reading]:
    return [read(dot_keras(config)), read(keras_h5(config))]


LAMBDAS: dict[str, dict[str, Any]] = {
    "as an object": lambda_of({"class_name": "__lambda__", "config": {"code": MARSHALLED, "defaults": None}}),
    "as a value": lambda_of({"class_name": "__lambda__", "config": {"value": MARSHALLED}}),
    "as a list": lambda_of([MARSHALLED, None, None], function_type="lambda"),
    "as a list without its type": lambda_of([MARSHALLED, None, None]),
    "in the output shape": lambda_of("relu", output_shape=[MARSHALLED, None, None], output_shape_type="lambda"),
    "in the mask": lambda_of("relu", mask={"class_name": "__lambda__", "config": {"code": MARSHALLED}}),
}


@pytest.mark.parametrize("name", LAMBDAS)
def test_cve_2024_3660_and_cve_2025_9905_code_in_a_lambda_layer(name: str) -> None:
    for reading in both(sequential(LAMBDAS[name])):
        found = by_check(reading)
        assert found["keras.lambda"].severity is Severity.CRITICAL
        assert "CVE-2024-3660" in found["keras.lambda"].references
        assert (found["code.on-load"].outcome, found["code.on-load"].severity) == (Outcome.FAIL, Severity.CRITICAL)


@pytest.mark.parametrize("path", ["model.keras", "a/b.KERAS", "x.zip!model.keras"])
def test_an_archive_that_is_a_model_by_its_name_alone_is_read_as_one(path: str) -> None:
    """Keras goes by the name and builds the layers of config.json before it looks for weights."""
    config = json.dumps(sequential(LAMBDAS["as an object"])).encode()
    with source_of(write_zip([Entry(name="config.json", data=config)]), path) as source:
        assert keras.FORMAT.sniff(source) is Match.CERTAIN
        assert by_check(keras.FORMAT.read(source))["code.on-load"].outcome is Outcome.FAIL


@pytest.mark.parametrize("wrapper", ["Bidirectional", "TimeDistributed", "Sequential"])
def test_code_is_found_at_any_depth(wrapper: str) -> None:
    deep = layer(wrapper, layer=lambda_of([MARSHALLED, None, None]))
    assert all(by_check(reading)["code.on-load"].outcome is Outcome.FAIL for reading in both(sequential(deep)))


GADGETS = [
    ("os", "system"),
    ("posix", "system"),
    ("subprocess", "run"),
    ("builtins", "exec"),
    ("builtins", "eval"),
    ("importlib", "import_module"),
    ("numpy", "load"),
    ("torch", "load"),
    ("pickle", "loads"),
    ("shutil", "rmtree"),
]


@pytest.mark.parametrize(("module", "name"), GADGETS)
def test_cve_2025_1550_any_function_of_any_module(module: str, name: str) -> None:
    for named in (function(module, name), lambda_of(function(module, name)), layer(name, module)):
        for reading in both(sequential(named)):
            answer = by_check(reading)["code.on-load"]
            assert (answer.outcome, answer.severity) == (Outcome.FAIL, Severity.CRITICAL), (module, name)


@pytest.mark.parametrize(
    "module",
    ["keras.utils", "keras.src.utils.file_utils", "tf_keras.utils", "tensorflow.keras.utils", "keras.api.utils"],
)
def test_cve_2025_8747_get_file(module: str) -> None:
    fetch = lambda_of(function(module, "get_file"), arguments={"origin": "http://example.org/x", "fname": "/tmp/x"})
    for reading in both(sequential(fetch)):
        found = by_check(reading)
        assert "CVE-2025-8747" in found["keras.class"].references
        assert found["code.on-load"].outcome is Outcome.FAIL


def test_cve_2025_9906_the_configuration_switches_the_safe_mode_off() -> None:
    for reading in both(sequential(lambda_of(function("keras.config", "enable_unsafe_deserialization")))):
        found = by_check(reading)
        assert "CVE-2025-9906" in found["keras.class"].references
        assert found["code.on-load"].outcome is Outcome.FAIL


@pytest.mark.parametrize("name", ["load", "save", "fromfile", "numpy.load", "add"])
def test_functions_of_keras_that_are_no_activation_are_refused(name: str) -> None:
    for reading in both(sequential(lambda_of(function("keras.ops.numpy", name)))):
        assert by_check(reading)["code.on-load"].severity is Severity.CRITICAL


@pytest.mark.parametrize(
    "module", ["keras.layers", "keras.src.export.tfsm_layer", "tensorflow.keras.layers", None, "x"]
)
def test_cve_2026_1462_tfsm_layer(module: str | None) -> None:
    for reading in both(sequential(layer("TFSMLayer", module, filepath="/tmp/model"))):
        found = by_check(reading)
        assert "CVE-2026-1462" in found["keras.class"].references
        assert found["code.on-load"].severity is Severity.CRITICAL


def test_cve_2025_49655_torch_module_wrapper() -> None:
    for reading in both(sequential(layer("TorchModuleWrapper", module_bytes="UEsDBA=="))):
        found = by_check(reading)
        assert "CVE-2025-49655" in found["keras.class"].references
        assert found["code.on-load"].severity is Severity.CRITICAL


@pytest.mark.parametrize("name", ["StringLookup", "IntegerLookup", "TextVectorization"])
@pytest.mark.parametrize("path", ["/etc/passwd", "http://169.254.169.254/latest/meta-data", "vocab.txt"])
def test_cve_2025_12058_a_vocabulary_that_is_a_file(name: str, path: str) -> None:
    for reading in both(sequential(layer(name, vocabulary=path))):
        found = by_check(reading)["keras.file-access"]
        assert (found.outcome, found.severity) == (Outcome.FAIL, Severity.HIGH)
        assert "CVE-2025-12058" in found.references


@pytest.mark.parametrize("name", ["../../etc/cron.d/x", "/etc/x", "assets/../../x", "C:\\x", "assets\\..\\..\\x", ".."])
def test_cve_2025_12060_members_that_leave_the_folder(name: str) -> None:
    found = by_check(read(dot_keras(sequential(), Entry(name=name, data=b"x"))))
    assert (found["keras.member"].outcome, found["keras.member"].severity) == (Outcome.FAIL, Severity.HIGH)
    assert "CVE-2025-12060" in found["keras.member"].references


def test_cve_2026_1669_an_external_link() -> None:
    data = hdf5_bytes(Group(messages=[external_link("w", "/etc/passwd", "/")]))
    assert_external(read(data))


def test_cve_2026_1669_external_storage() -> None:
    files = struct.pack("<B3xHHQ", 1, 1, 1, 4096) + struct.pack("<QQQ", 0, 0, 8)
    outside = Dataset(shape=(2,), data=b"", messages=[(7, files)], layout=contiguous(UNDEFINED, 8))
    assert_external(read(hdf5_bytes(Group(members={"w": outside}))))


def test_cve_2026_1669_a_virtual_dataset() -> None:
    heap_at = 48
    entry = b"\0" + struct.pack("<Q", 1) + b"/etc/passwd\0/x\0" + bytes(8)
    entry += bytes(-len(entry) % 8)
    heap = b"GCOL\1\0\0\0" + struct.pack("<Q", 16 + 16 + len(entry) + 16)
    heap += struct.pack("<HH4xQ", 1, 1, len(entry)) + entry + struct.pack("<HH4xQ", 0, 0, 16)
    virtual = Dataset(shape=(2,), data=heap, layout=struct.pack("<BBQI", 4, 3, heap_at, 1))
    assert_external(read(hdf5_bytes(Group(members={"w": virtual}))))


def assert_external(reading: Reading) -> None:
    found = by_check(reading)["hdf5.external"]
    assert (found.outcome, found.severity) == (Outcome.FAIL, Severity.HIGH)
    assert "CVE-2026-1669" in found.references


def test_cve_2026_0897_a_dataset_far_larger_than_its_file() -> None:
    shape = (1 << 20, 1 << 20)
    chunked = struct.pack("<BBBQIII", 3, 2, 3, UNDEFINED, 1 << 10, 1 << 10, 4)
    for layout in (chunked, contiguous(UNDEFINED, 4 << 40)):
        reading = read(hdf5_bytes(Group(members={"w": Dataset(shape=shape, data=b"", layout=layout)})))
        assert by_check(reading)["hdf5.expansion"].references == ("CVE-2026-0897",)


def test_a_filter_for_a_plug_in_is_not_judged() -> None:
    filters = struct.pack("<BB", 2, 1) + struct.pack("<HHHH", 32015, 0, 0, 0)
    chunked = struct.pack("<BBBQII", 3, 2, 2, UNDEFINED, 2, 4)
    data = hdf5_bytes(Group(members={"w": Dataset(shape=(2,), data=b"", messages=[(11, filters)], layout=chunked)}))
    found = by_check(read(data))
    assert found["hdf5.filter"].outcome is found["code.on-load"].outcome is Outcome.UNKNOWN


CUSTOM = {
    "a class of a package": layer("Foo", "my_package.layers", "my_package>Foo"),
    "a registered class": layer("Foo", None, "Custom>Foo"),
    "a registered name over a class of Keras": layer("Dense", "keras.layers", "Custom>Dense"),
    "a class that Keras has not": layer("Foo"),
    "a class of Keras in another module": layer("Dense", "keras.src.utils.module_utils"),
    "a class of the script": layer("Foo", "__main__"),
    "a registered function": {
        "module": "builtins",
        "class_name": "function",
        "config": "mine",
        "registered_name": "Custom>mine",
    },
}


@pytest.mark.parametrize("name", CUSTOM)
def test_custom_objects_need_a_policy_line(name: str) -> None:
    for reading in both(sequential(CUSTOM[name])):
        found = by_check(reading)
        assert found["keras.class"].outcome is found["code.on-load"].outcome is Outcome.UNKNOWN
        assert 'it needs a policy line: keras.class "' in found["keras.class"].message


BROKEN = {
    "a key twice": b'{"class_name": "Sequential", "config": {}, "config": {"layers": []}}',
    "no JSON": b"{'class_name': 1}",
    "no object": b"[]",
    "a tail": b"{} {}",
    "not UTF-8": b'{"\xff": 1}',
    "a class that is no name": b'{"class_name": ["Lambda"], "config": {}}',
}


@pytest.mark.parametrize("name", BROKEN)
def test_configurations_that_loaders_may_read_differently_fail(name: str) -> None:
    for reading in both(BROKEN[name]):
        found = by_check(reading)
        assert (found["keras.config"].outcome, found["keras.config"].severity) == (Outcome.FAIL, Severity.HIGH)
        assert found["code.on-load"].outcome is Outcome.UNKNOWN


def test_training_config_is_judged_too() -> None:
    training = {"loss": function("os", "system"), "optimizer_config": {"class_name": "Adam", "config": {}}}
    assert by_check(read(keras_h5(sequential(), training=training)))["code.on-load"].outcome is Outcome.FAIL


def test_code_under_escapes_is_found() -> None:
    text = json.dumps(sequential(lambda_of([MARSHALLED, None, None]))).encode().replace(b"Lambda", b"\\u004cambda")
    assert all(by_check(reading)["code.on-load"].outcome is Outcome.FAIL for reading in both(text))


def test_a_shape_that_overflows() -> None:
    reading = read(hdf5_bytes(Group(members={"w": Dataset(shape=(1 << 40, 1 << 40), data=bytes(4))})))
    assert by_check(reading)["hdf5.bounds"].outcome is Outcome.FAIL


def test_datasets_that_overlap_or_leave_the_file() -> None:
    first, second = (Dataset(shape=(2,), data=bytes(8), layout=contiguous(at, 8)) for at in (48, 52))
    assert by_check(read(hdf5_bytes(Group(members={"a": first, "b": second}))))["hdf5.overlap"].outcome is Outcome.FAIL
    outside = Dataset(shape=(2,), data=bytes(8), layout=contiguous(1 << 40, 8))
    assert by_check(read(hdf5_bytes(Group(members={"a": outside}))))["hdf5.bounds"].outcome is Outcome.FAIL


def test_a_user_block_with_something_in_it() -> None:
    data = hdf5_bytes(Group(), user_block=b"#!/bin/sh\n".ljust(512, b"\0"))
    with source_of(data, "model") as source:
        assert hdf5.FORMAT.sniff(source) is Match.CERTAIN
        reading = hdf5.FORMAT.read(source)
    assert by_check(reading)["hdf5.user-block"].severity is Severity.HIGH
    assert account(reading.spans).unexplained_bytes


def test_bytes_that_belong_to_nothing() -> None:
    for data in (hdf5_bytes(Group()) + b"cposix\nsystem\n", hdf5_bytes(Group(members={"a": hidden()}))):
        assert account(read(data).spans).unexplained_bytes


def hidden() -> Dataset:
    """Eight bytes in the file, of which the dataset owns four."""
    return Dataset(shape=(1,), data=b"\0\0\0\0evil", layout=contiguous(48, 4))


def test_an_attribute_that_is_a_pickle_is_not_judged() -> None:
    found = by_check(read(hdf5_bytes(Group(attributes={"title": b"cposix\nsystem\n(S'true'\ntR."}))))
    assert found["hdf5.pickle"].outcome is found["code.on-load"].outcome is Outcome.UNKNOWN


def test_a_group_that_holds_itself_ends() -> None:
    plain = hdf5_bytes(Group(messages=[(6, b"\1\0\1a" + struct.pack("<Q", 48))]))
    assert by_check(read(plain))["hdf5.structure"].outcome is Outcome.PASS


def test_a_dataspace_is_not_taken_for_another_size() -> None:
    lies = Dataset(shape=(2,), data=bytes(8), layout=contiguous(48, 4), messages=[dataspace((2,))])
    assert by_check(read(hdf5_bytes(Group(members={"a": lies}))))["hdf5.size"].outcome is Outcome.FAIL


def first_version(count: int, body: bytes, behind: bytes = b"") -> bytes:
    """A file of the oldest kind: one object header of `count` messages at byte 96, and what stands behind it."""
    root = struct.pack("<BxHII4x", 1, count, 1, len(body)) + body
    head = b"\x89HDF\r\n\x1a\n" + bytes((0, 0, 0, 0, 0, 8, 8, 0)) + struct.pack("<HHI", 4, 16, 0)
    end = 96 + len(root) + len(behind)
    return head + struct.pack("<4QQQII16x", 0, UNDEFINED, end, UNDEFINED, 0, 96, 0, 0) + root + behind


def overlapping_headers() -> bytes:
    """Two thousand object headers of 60,000 messages each, sixteen bytes apart."""
    count = 2000
    first = 96 + 16 + 32 * count
    links = [b"\1\0\6" + b"%06d" % i + struct.pack("<Q", first + 16 * i) for i in range(count)]
    body = b"".join(struct.pack("<HHB3x", 6, 24, 0) + link.ljust(24, b"\0") for link in links)
    return first_version(count, body, struct.pack("<BxHII4x", 1, 60_000, 1, 480_000) * count + bytes(600_000))


SLOW: dict[str, Callable[[], bytes]] = {
    "object headers that overlap": overlapping_headers,
    "messages of nothing": lambda: first_version(65_535, bytes(8 * 65_535)),
    "one long header with a checksum": lambda: hdf5_bytes(
        Group(attributes={f"a{i}": bytes(60_000) for i in range(36)})
    ),
    "many attributes": lambda: hdf5_bytes(Group(attributes={f"a{i}": b"x" for i in range(15_000)})),
    "lists of lists": lambda: dot_keras(b'{"a": [' + b",".join([b"[0]"] * 400_000) + b"]}"),
    "many layers": lambda: dot_keras(b'{"a": [' + b",".join([b'{"class_name":"Z","config":{}}'] * 60_000) + b"]}"),
}


@pytest.mark.parametrize("name", SLOW)
def test_what_would_take_long_is_answered_within_a_second(name: str) -> None:
    data = SLOW[name]()
    started = time.process_time()
    read(data)
    assert time.process_time() - started < 1 * pace()
