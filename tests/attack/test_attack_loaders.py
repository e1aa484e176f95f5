"""One file for each advisory about a loader, made byte by byte: the version before the fix is open to it, the fixed one is not."""

from __future__ import annotations

import hashlib
import io
import json
import os
import struct
import tarfile
from collections.abc import Mapping
from typing import Any

import pytest

from weighbridge.formats.reading.contract import Match
from weighbridge.formats.reading.source import Source
from weighbridge.inspection.examine import examine_source
from weighbridge.inspection.judgements import formats_read, recognised
from weighbridge.inspection.loader_advisories import Reach, table
from weighbridge.inspection.loaders import Assessment, Status, answer, parse_loader
from weighbridge.testing.fuzzing import built_in_formats
from weighbridge.testing.graphs import external_data, onnx_model, onnx_node, onnx_tensor, saved_model, tf_node
from weighbridge.testing.hdf5 import UNDEFINED, Dataset, Group, contiguous, external_link, hdf5_bytes, keras_h5
from weighbridge.testing.models import StoredTensor, gguf_bytes, source_of, tiny_gguf
from weighbridge.testing.pickles import (
    Entry,
    Pickle,
    checkpoint_entries,
    state_dict,
    tensor,
    torch_legacy,
    torch_zip,
    write_zip,
)
from weighbridge.testing.skops import node, plain, scaler, sequence, skops_bytes
from weighbridge.vocabulary import Artifact, Dossier, Outcome, Severity

CODE = "4wEAAAAAAAAAAAAAAAEAAAADAAAA8w4AAACXAHQBAAAAAAAAAABTAA=="
HUGE = (1 << 64) - 1
Files = Mapping[str, bytes]


def look(files: Files) -> Dossier:
    """What inspection says of files, without its process of their own."""
    artifacts, headers, findings = [], [], []
    formats = built_in_formats()
    for unit in formats.values():
        unit.prepare()
    for path, data in files.items():
        with source_of(data, path) as source:
            said = examine_source(source, formats)
            sha256 = hashlib.sha256(data).hexdigest()
        reader, account = said.readers[0], said.account
        artifacts.append(Artifact(path=path, size_bytes=len(data), sha256=sha256, format=reader, account=account))
        headers += said.headers
        findings += said.findings
    return Dossier(
        subject="ab" * 32, artifacts=tuple(artifacts), headers=tuple(headers), findings=tuple(findings), unread=()
    )


def ask(files: Files, loader: str, cve: str) -> Assessment:
    _, assessments = answer(look(files), [parse_loader(loader)])
    return next(item for item in assessments if item.advisory.cve == cve)


def gguf(*shapes: tuple[int, ...], kind: int = 0) -> bytes:
    tensors = [StoredTensor(name=f"t{n}", dtype=kind, shape=shape, data=bytes(32)) for n, shape in enumerate(shapes)]
    return gguf_bytes({"general.architecture": "llama"}, tensors)


def head(tensors: int, pairs: int, rest: bytes) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", 3, tensors, pairs) + rest + bytes(64)


def text(value: bytes) -> bytes:
    return struct.pack("<Q", len(value)) + value


def keras(*layers: dict[str, Any], module: str = "keras", weights: bytes = b"") -> bytes:
    config = {"module": module, "class_name": "Sequential", "config": {"name": "s", "layers": list(layers)}}
    metadata = json.dumps({"keras_version": "3.9.0", "date_saved": "2026-01-01"}).encode()
    weights = weights or hdf5_bytes(Group(members={"w": Dataset(shape=(1,), data=bytes(4))}))
    members = {"metadata.json": metadata, "config.json": json.dumps(config).encode(), "model.weights.h5": weights}
    return write_zip([Entry(name=name, data=data) for name, data in members.items()])


def layer(name: str, module: str = "keras.layers", **config: Any) -> dict[str, Any]:
    return {"module": module, "class_name": name, "config": {"name": "x", **config}, "registered_name": None}


def calling(module: str, name: str) -> dict[str, Any]:
    function = {"module": module, "class_name": "function", "config": name, "registered_name": name}
    return layer("Lambda", function=function)


def with_code() -> dict[str, Any]:
    return layer("Lambda", function={"class_name": "__lambda__", "config": {"code": CODE, "defaults": None}})


def onnx(location: str, **more: str) -> bytes:
    beside = onnx_tensor(dims=(2, 3), more=external_data(location=location, length="24", **more))
    return onnx_model([onnx_node("Relu")], [beside])


def npy(pickle: bytes) -> bytes:
    described = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"
    described += b" " * (-(len(described) + 11) % 64) + b"\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(described)) + described + pickle


def tar(**members: bytes) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return made.getvalue()


def script(expression: str) -> bytes:
    code = f"class Net(Module):\n  __parameters__ = []\n  def forward(self: __torch__.m.Net,\n    x: Tensor) -> Tensor:\n    return {expression}\n"
    data = Pickle(2).glob("__torch__.m", "Net").op("EMPTY_TUPLE", "NEWOBJ", "EMPTY_DICT", "BUILD").stop()
    members = {
        "data.pkl": data,
        "code/__torch__/m.py": code.encode(),
        "constants.pkl": Pickle(2).op("EMPTY_TUPLE").stop(),
        "version": b"3\n",
    }
    return write_zip([Entry(name=f"net/{name}", data=data) for name, data in members.items()])


TRAP = Pickle(2).call("os", "system", "true").stop()
STATE = state_dict({"w": (2, 3)}).stop()
PLAIN = Pickle(2).op("EMPTY_DICT").stop()
ANNOTATION = Pickle(2).call("torch.jit.annotations", "parse_type_line", "x", None, "y").stop()
SET_ON_NUMBER = Pickle(2).values(5, 0, 1).op("SETITEM").stop()
SET_ON_TENSOR = tensor(Pickle(), "0", (6,)).values(0, 1).op("SETITEM").stop()
EXPANDING = hdf5_bytes(
    Group(members={"w": Dataset(shape=(1 << 20, 1 << 20), data=b"", layout=contiguous(UNDEFINED, 4 << 40))})
)
LINKED = hdf5_bytes(Group(messages=[external_link("w", "/etc/passwd", "/")]))
_NAMED = b"\0" + struct.pack("<Q", 1) + b"/etc/passwd\0/x\0" + bytes(8)
_NAMED += bytes(-len(_NAMED) % 8)
_HEAP = b"GCOL\1\0\0\0" + struct.pack("<Q", 48 + len(_NAMED)) + struct.pack("<HH4xQ", 1, 1, len(_NAMED)) + _NAMED
_HEAP += struct.pack("<HH4xQ", 0, 0, 16)
VIRTUAL = hdf5_bytes(Group(members={"w": Dataset(shape=(2,), data=_HEAP, layout=struct.pack("<BBQI", 4, 3, 48, 1))}))
BUILDING = b"model: !!python/object/new:type\nargs: ['z', !!python/tuple [], {'extend': !!python/name:exec }]\n"
FETCHING = json.dumps({"model_type": "llama", "_attn_implementation_internal": "someone/kernels"}).encode()
TEMPLATE = "{{ ''.__class__.__mro__[1].__subclasses__() }}"
ALMOST = gguf(((1 << 61) - 8,), ((1 << 61) - 8,))
"""64 bytes below 64 bits: what the loader keeps beside the tensors goes over."""
LEGACY_TAR = {"sys_info": PLAIN, "pickle": TRAP, "storages": PLAIN, "tensors": PLAIN}

Case = tuple[str, str, str, str, str, bytes]
CASES: list[Case] = [
    ("CVE-2026-27940", "llama.cpp", "b8145", "b8146", "m.gguf", ALMOST),
    ("CVE-2026-33298", "llama.cpp", "b7823", "b7824", "m.gguf", gguf((1 << 62,))),
    ("CVE-2025-53630", "llama.cpp", "b5662", "b6000", "m.gguf", gguf((1 << 60,), *[(1 << 60,)] * 4)),
    ("CVE-2024-23496", "llama.cpp", "b1900", "b2100", "m.gguf", head(0, 1, struct.pack("<Q", HUGE))),
    (
        "CVE-2024-21825",
        "llama.cpp",
        "b1900",
        "b2100",
        "m.gguf",
        head(0, 1, text(b"tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, (1 << 60) + 1)),
    ),
    ("CVE-2024-21836", "llama.cpp", "b1900", "b2100", "m.gguf", head((1 << 64) // 88 + 1, 0, b"")),
    ("CVE-2024-23605", "llama.cpp", "b1900", "b2100", "m.gguf", head(0, (1 << 64) // 48 + 1, b"")),
    (
        "CVE-2024-21802",
        "llama.cpp",
        "b1900",
        "b2100",
        "m.gguf",
        head(1, 0, text(b"t") + struct.pack("<I6QIQ", 6, 1, 1, 1, 1, 1, 1, 0, 0)),
    ),
    ("CVE-2026-7482", "ollama", "0.17.0", "0.17.1", "m.gguf", gguf((1 << 30,))),
    (
        "CVE-2024-34359",
        "llama-cpp-python",
        "0.2.71",
        "0.2.72",
        "m.gguf",
        gguf_bytes({"general.architecture": "llama", "tokenizer.chat_template": TEMPLATE}),
    ),
    ("CVE-2025-32434", "torch", "2.5.1", "2.6.0", "m.pt", script('torch.save(x, "/tmp/x")')),
    ("CVE-2025-32434", "torch", "2.5.1", "2.6.0", "m.tar", tar(**LEGACY_TAR)),
    ("CVE-2026-24747", "torch", "2.9.1", "2.10.0", "m.pt", torch_zip(SET_ON_TENSOR, {"0": bytes(24)})),
    ("CVE-2025-32434", "torch", "2.5.1", "2.6.0", "first.tar", tar(storages=TRAP)),
    ("CVE-2026-24747", "torch", "2.9.1", "2.10.0", "m.pt", torch_zip(STATE, {"0": bytes(20)})),
    ("CVE-2026-24747", "torch", "2.9.1", "2.10.0", "plain.pt", SET_ON_NUMBER),
    ("CVE-2026-24747", "torch", "2.9.1", "2.10.0", "m.tar", tar(storages=SET_ON_NUMBER)),
    ("CVE-2022-45907", "torch", "1.13.0", "1.13.1", "m.pt", torch_zip(ANNOTATION)),
    ("CVE-2024-3660", "keras", "2.12.0", "2.13.1", "m.keras", keras(with_code())),
    ("CVE-2024-3660", "tensorflow", "2.12.1", "2.13.0", "m.h5", keras_h5({"class_name": "Sequential", "config": {"layers": [with_code()]}})),
    ("CVE-2025-1550", "keras", "3.8.0", "3.9.0", "m.keras", keras(calling("os", "system"))),
    ("CVE-2025-8747", "keras", "3.10.0", "3.11.0", "m.keras", keras(calling("keras.utils", "get_file"))),
    ("CVE-2025-9906", "keras", "3.10.0", "3.11.0", "m.keras", keras(calling("keras.config", "enable_unsafe_deserialization"))),
    ("CVE-2025-9905", "keras", "3.11.2", "3.11.3", "m.h5", keras_h5({"class_name": "Sequential", "config": {"layers": [with_code()]}})),
    ("CVE-2025-49655", "keras", "3.11.2", "3.11.3", "m.keras", keras(layer("TorchModuleWrapper", module_bytes="UEs="))),
    ("CVE-2025-12058", "keras", "3.11.3", "3.12.0", "m.keras", keras(layer("StringLookup", vocabulary="/etc/passwd"))),
    ("CVE-2026-12479", "keras", "3.14.0", "3.15.1", "m.keras", keras({**layer("Dense", units=1), "config": {"name": "..", "units": 1}})),
    ("CVE-2026-1462", "keras", "3.13.1", "3.13.2", "m.keras", keras(layer("TFSMLayer", filepath="/tmp/model"))),
    ("CVE-2026-0897", "keras", "3.12.0", "3.12.1", "m.keras", keras(weights=EXPANDING)),
    ("CVE-2026-0897", "keras", "3.13.0", "3.13.1", "m.h5", EXPANDING),
    ("CVE-2026-1669", "keras", "3.13.1", "3.13.2", "m.keras", keras(weights=LINKED)),
    ("CVE-2026-12480", "keras", "3.14.0", "3.14.1", "m.keras", keras(weights=VIRTUAL)),
    ("CVE-2026-12480", "keras", "3.12.1", "3.12.2", "m.h5", VIRTUAL),
    ("CVE-2021-37678", "tensorflow", "2.5.0", "2.5.1", "model.yaml", BUILDING),
    ("CVE-2021-37678", "tensorflow", "2.3.3", "2.3.4", "model.yml", BUILDING),
    ("CVE-2026-4372", "transformers", "4.56.0", "5.3.0", "config.json", FETCHING),
    ("CVE-2022-25882", "onnx", "1.12.0", "1.13.0", "m.onnx", onnx("../../etc/passwd")),
    ("CVE-2024-27318", "onnx", "1.15.0", "1.16.0", "m.onnx", onnx("a/../../etc/passwd")),
    ("CVE-2026-27489", "onnx", "1.20.1", "1.21.0", "m.onnx", onnx("a/../../etc/passwd")),
    ("CVE-2026-34445", "onnx", "1.20.1", "1.21.0", "m.onnx", onnx("m.bin", __class__="x")),
    ("CVE-2025-51480", "onnx", "1.18.0", "1.19.0", "m.onnx", onnx("../x")),
    ("CVE-2019-6446", "numpy", "1.16.2", "1.16.3", "m.npy", npy(TRAP)),
    ("CVE-2019-6446", "numpy", "1.16.2", "1.16.3", "plain.npy", TRAP),
    ("CVE-2025-54412", "skops", "0.11.0", "0.12.0", "m.skops", skops_bytes(node("OperatorFuncNode", "builtins.attrgetter", attrs=sequence(plain("a.b"))))),
    ("CVE-2025-54413", "skops", "0.11.0", "0.12.0", "m.skops", skops_bytes(node("MethodNode", "builtins.int", content={"func": "__init__", "obj": plain(1)}))),
    ("CVE-2025-54886", "skops", "0.12.0", "0.13.0", "m.skops", TRAP),
    ("CVE-2026-1839", "transformers", "5.0.0rc2", "5.0.0rc3", "checkpoint-1/rng_state_0.pth", torch_zip(TRAP)),
    ("CVE-2024-3568", "transformers", "4.37.2", "4.38.0", "checkpoint/extra_data.pickle", TRAP),
    ("CVE-2023-6730", "transformers", "4.35.2", "4.36.0", "psgs_w100.tsv.pkl", TRAP),
    ("CVE-2023-7018", "transformers", "4.35.2", "4.36.0", "vocab.pkl", TRAP),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]}-{case[1]}-{case[4]}")
def test_a_version_before_the_fix_is_open_to_it_and_the_fixed_one_is_not(case: Case) -> None:
    cve, loader, below, fixed, path, data = case
    dossier = look({path: data})
    told, assessments = answer(dossier, [parse_loader(f"{loader} {below}")])
    item = next(one for one in assessments if one.advisory.cve == cve)
    assert (item.reach, item.status) == (Reach.WITHIN, Status.AFFECTED)
    [finding] = [one for one in told.findings if cve in one.references and one.check == "loader.known-vulnerability"]
    assert (finding.outcome, finding.severity) == (Outcome.FAIL, item.advisory.severity)
    assert finding.evidence
    assert all(place.artifact.split("!")[0] == path for place in finding.evidence)
    assert item.advisory.source in finding.references
    _, assessments = answer(dossier, [parse_loader(f"{loader} {fixed}")])
    item = next(one for one in assessments if one.advisory.cve == cve)
    assert (item.reach, item.status) == (Reach.PAST, Status.FIXED)


def test_cve_2025_49847_a_token_that_31_bits_cannot_count() -> None:
    """Two gigabytes of nothing: the file is sparse."""
    length = 1 << 31
    start = head(0, 1, text(b"tokenizer.ggml.tokens") + struct.pack("<IIQQ", 9, 8, 1, length))
    fd = os.memfd_create("weighbridge-test")
    try:
        os.write(fd, start)
        os.ftruncate(fd, len(start) + length)
        source = Source(fd, path="m.gguf", size_bytes=len(start) + length)
        said = examine_source(source, built_in_formats())
    finally:
        os.close(fd)
    file = Artifact(path="m.gguf", size_bytes=0, sha256="cd" * 32, format=said.readers[0], account=said.account)
    dossier = Dossier(subject="ab" * 32, artifacts=(file,), findings=said.findings)
    for version, status in (("b5661", Status.AFFECTED), ("b5662", Status.FIXED)):
        _, assessments = answer(dossier, [parse_loader(f"llama.cpp {version}")])
        assert next(one for one in assessments if one.advisory.cve == "CVE-2025-49847").status is status


def exported(inputs: bytes) -> bytes:
    members = {
        "archive_format": b"pt2",
        "archive_version": b"0",
        "data/sample_inputs/model.pt": inputs,
        "models/model.json": b"{}",
    }
    return write_zip([Entry(name=f"m/{name}", data=data) for name, data in members.items()])


@pytest.mark.parametrize("version", ["2.9.1", "2.14.1"])
def test_cve_2026_4538_is_in_every_version(version: str) -> None:
    item = ask({"m.pt2": exported(torch_zip(TRAP))}, f"torch {version}", "CVE-2026-4538")
    assert (item.reach, item.status) == (Reach.WITHIN, Status.AFFECTED)
    item = ask({"m.pt2": exported(torch_zip(STATE, {"0": bytes(24)}))}, f"torch {version}", "CVE-2026-4538")
    assert (item.status, item.files) == (Status.NOT_AFFECTED, (("m.pt2", Status.NOT_AFFECTED),))


def test_every_advisory_has_an_attack() -> None:
    elsewhere = {("CVE-2025-49847", "llama.cpp"), ("CVE-2026-4538", "torch")}
    assert {(case[0], case[1]) for case in CASES} | elsewhere == {(a.cve, a.loader.name) for a in table().advisories}


BENIGN: dict[str, bytes] = {
    "m.gguf": tiny_gguf(),
    "m.pt": torch_zip(STATE, {"0": bytes(24)}),
    "legacy.bin": torch_legacy(state_dict({"w": (2, 3)}, parts=6).stop(), {"0": bytes(24)}),
    "script.pt": script("torch.relu(x)"),
    "old.tar": tar(sys_info=PLAIN, pickle=PLAIN, storages=PLAIN, tensors=PLAIN),
    "m.keras": keras(layer("Dense", units=1)),
    "m.h5": keras_h5({"class_name": "Sequential", "config": {"layers": [layer("Dense", units=1)]}}),
    "m.pt2": exported(torch_zip(STATE, {"0": bytes(24)})),
    "m.skops": scaler(),
    "m.onnx": onnx("weights/m.bin"),
    "objects.npy": npy(PLAIN),
    "model.yaml": b"class_name: Sequential\nkeras_version: 2.5.0\n",
    "config.json": json.dumps({"model_type": "llama", "_attn_implementation_internal": "sdpa"}).encode(),
    "rng_state.pth": torch_zip(STATE, {"0": bytes(24)}),
    "extra_data.pickle": PLAIN,
    "psgs_w100.tsv.pkl": PLAIN,
    "vocab.pkl": PLAIN,
}


@pytest.mark.parametrize(("loader", "version"), sorted({(case[1], case[2]) for case in CASES}))
def test_honest_files_are_no_way_to_it(loader: str, version: str) -> None:
    files = {path: data for path, data in BENIGN.items() if data}
    told, assessments = answer(look(files), [parse_loader(f"{loader} {version}")])
    within = [item for item in assessments if item.reach is Reach.WITHIN]
    assert within
    assert {item.advisory.cve: item.status for item in within if item.status is not Status.NOT_AFFECTED} == {}
    assert all(item.files for item in within), "the format of each is there"
    found = [finding for finding in told.findings if finding.check == "loader.known-vulnerability"]
    assert {finding.outcome for finding in found} == {Outcome.PASS}
    assert {finding.severity for finding in found} == {Severity.INFO}


@pytest.mark.parametrize("loader", sorted({f"{case[1]} {case[2]}" for case in CASES}))
def test_without_a_file_of_the_format_it_is_not_applicable(loader: str) -> None:
    told, assessments = answer(look({"README.md": b"# nothing\n"}), [parse_loader(loader)])
    assert {item.status for item in assessments if item.reach is Reach.WITHIN} == {Status.NOT_AFFECTED}
    found = [finding for finding in told.findings if finding.check == "loader.known-vulnerability"]
    assert {finding.outcome for finding in found} <= {Outcome.NOT_APPLICABLE, Outcome.PASS}
    assert Outcome.NOT_APPLICABLE in {finding.outcome for finding in found}


CANNOT_TELL = {
    "cut short": ("m.gguf", tiny_gguf()[:200], "llama.cpp b8000", "CVE-2026-27940"),
    "of an unknown version": ("m.gguf", b"GGUF" + struct.pack("<IQQ", 9, 1, 1) + bytes(64), "ollama 0.17.0", "CVE-2026-7482"),
    "no configuration": ("m.keras", keras().replace(b"config.json", b"config.jsxn"), "keras 3.8", "CVE-2025-1550"),
    "a class nobody knows": ("m.keras", keras(layer("Thing", "somewhere.else")), "keras 3.8", "CVE-2025-1550"),
    "hdf5 cut short": ("m.h5", keras_h5({"class_name": "Sequential"})[:-40], "keras 3.13.0", "CVE-2026-1669"),
    "a pickle of unknown classes": (
        "rng_state.pth",
        torch_zip(Pickle(2).glob("mine", "Thing").op("EMPTY_TUPLE", "NEWOBJ").stop()),
        "transformers 4.50",
        "CVE-2026-1839",
    ),
    "a file that nobody knows": ("blob", b"\x13\x37" * 600, "torch 2.5", "CVE-2025-32434"),
    "an unknown operator": ("net.pt", script("ops.mine.relu(x)"), "torch 2.5", "CVE-2025-32434"),
}  # fmt: skip


@pytest.mark.parametrize("name", CANNOT_TELL)
def test_what_cannot_be_told_is_unknown(name: str) -> None:
    path, data, loader, cve = CANNOT_TELL[name]
    told, assessments = answer(look({path: data}), [parse_loader(loader)])
    item = next(one for one in assessments if one.advisory.cve == cve)
    assert item.status is Status.UNDER_INVESTIGATION
    [finding] = [one for one in told.findings if cve in one.references and one.check == "loader.known-vulnerability"]
    assert (finding.outcome, finding.severity) == (Outcome.UNKNOWN, item.advisory.severity)
    assert finding.evidence


def test_a_gadget_behind_many_others_is_not_called_absent() -> None:
    """Eight places of a check are shown; what may be the ninth is not known."""
    many = [calling("keras.utils", "get_file")] * 9
    assert ask({"m.keras": keras(*many)}, "keras 3.13.0", "CVE-2026-1462").status is Status.UNDER_INVESTIGATION
    assert ask({"m.keras": keras(many[0])}, "keras 3.13.0", "CVE-2026-1462").status is Status.NOT_AFFECTED


def test_a_misaligned_tensor_does_not_hide_one_that_leaves_the_file() -> None:
    data = bytearray(gguf((8,), (1 << 30,)))
    at = data.index(b"t0") + 2 + 4 + 8 + 4
    data[at : at + 8] = struct.pack("<Q", 3)
    status = ask({"m.gguf": bytes(data)}, "ollama 0.17.0", "CVE-2026-7482").status
    assert status in (Status.AFFECTED, Status.UNDER_INVESTIGATION)


def test_a_file_inside_an_archive_is_tested_and_named() -> None:
    inside = write_zip([Entry(name="models/m.gguf", data=gguf((1 << 62,)))])
    item = ask({"m.zip": inside}, "llama.cpp b7000", "CVE-2026-33298")
    assert item.status is Status.AFFECTED
    assert item.evidence[0].artifact == "m.zip!models/m.gguf"


def test_an_archive_that_cannot_be_opened_may_hold_anything() -> None:
    members = {f"{n}.bin": b"" for n in range(2100)}
    inside = write_zip([Entry(name=name, data=data) for name, data in members.items()])
    assert ask({"m.zip": inside}, "llama.cpp b7000", "CVE-2026-33298").status is Status.UNDER_INVESTIGATION


def test_a_path_of_external_data_counts_where_the_version_still_takes_it() -> None:
    front, nested = onnx("../x"), onnx("a/../../x")
    assert ask({"m.onnx": front}, "onnx 1.12", "CVE-2022-25882").status is Status.AFFECTED
    assert ask({"m.onnx": front}, "onnx 1.15", "CVE-2024-27318").status is Status.NOT_AFFECTED
    assert ask({"m.onnx": nested}, "onnx 1.15", "CVE-2024-27318").status is Status.AFFECTED


def test_the_sum_alone_and_the_sum_with_what_is_kept_are_two_advisories() -> None:
    assert ask({"m.gguf": ALMOST}, "llama.cpp b5662", "CVE-2025-53630").status is Status.NOT_AFFECTED
    assert ask({"m.gguf": gguf(*[(1 << 60,)] * 5)}, "llama.cpp b8145", "CVE-2026-27940").status is Status.AFFECTED
    assert ask({"m.gguf": gguf((1 << 40, 1 << 40))}, "llama.cpp b5662", "CVE-2026-33298").status is Status.NOT_AFFECTED


def test_code_in_a_layer_of_a_saved_model() -> None:
    data = saved_model([tf_node("Placeholder", "x")], layers=[json.dumps(with_code())])
    assert ask({"saved_model.pb": data}, "tensorflow 2.12", "CVE-2024-3660").status is Status.AFFECTED
    plain = saved_model([tf_node("Placeholder", "x")], layers=[json.dumps(layer("Dense", units=1))])
    assert ask({"saved_model.pb": plain}, "tensorflow 2.12", "CVE-2024-3660").status is Status.NOT_AFFECTED


def test_what_a_reader_left_out_of_a_long_report_is_not_called_absent() -> None:
    made = Pickle(2).op("MARK")
    for number in range(60):
        made.call(f"module{number}", "function")
    many = torch_zip(tensor(made, "0", (6,)).values(0, 1).op("SETITEM", "TUPLE").stop(), {"0": bytes(24)})
    assert ask({"m.pt": many}, "torch 2.9", "CVE-2026-24747").status is Status.UNDER_INVESTIGATION


def test_an_archive_whose_records_disagree_may_be_a_script_to_torch() -> None:
    members = checkpoint_entries(TRAP, {})
    assert ask({"m.pt": write_zip(members)}, "torch 2.5", "CVE-2025-32434").status is Status.NOT_AFFECTED
    members[0].local_name = "archive/constants.pk1"
    assert ask({"m.pt": write_zip(members)}, "torch 2.5", "CVE-2025-32434").status is Status.UNDER_INVESTIGATION


def test_a_keras_archive_that_is_one_by_its_name_alone_is_not_called_harmless() -> None:
    """Keras goes by the name and starts with config.json, whatever else is there."""
    config = {"class_name": "Sequential", "config": {"layers": [with_code()]}}
    data = write_zip([Entry(name="config.json", data=json.dumps(config).encode())])
    assert ask({"m.keras": data}, "keras 2.12", "CVE-2024-3660").status is Status.AFFECTED
    assert ask({"m.zip": data}, "keras 2.12", "CVE-2024-3660").status is Status.NOT_AFFECTED


def test_a_picture_is_no_checkpoint_and_an_archive_behind_it_may_be() -> None:
    picture = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8
    assert ask({"logo.png": picture}, "torch 2.5", "CVE-2025-32434").status is Status.NOT_AFFECTED
    behind = picture + script('torch.save(x, "/tmp/x")')
    assert ask({"logo.png": behind}, "torch 2.5", "CVE-2025-32434").status is not Status.NOT_AFFECTED


def test_an_array_of_objects_inside_an_npz_is_one() -> None:
    trapped = write_zip([Entry(name="a.npy", data=npy(TRAP)), Entry(name="b.npy", data=npy(PLAIN))])
    item = ask({"m.npz": trapped}, "numpy 1.16.0", "CVE-2019-6446")
    assert dict(item.files).items() >= {"m.npz!a.npy": Status.AFFECTED, "m.npz!b.npy": Status.NOT_AFFECTED}.items()


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]}-{case[1]}-{case[4]}")
def test_it_is_the_same_inside_an_archive(case: Case) -> None:
    cve, loader, below, _, path, data = case
    inside = write_zip([Entry(name=path, data=data)])
    item = ask({"m.zip": inside}, f"{loader} {below}", cve)
    assert item.status is Status.AFFECTED
    assert all(place.artifact.startswith(f"m.zip!{path}") for place in item.evidence)


def test_what_was_recognised_is_read_back() -> None:
    formats = built_in_formats()
    for names in (("npy",), ("gguf", "zip"), tuple(formats)):
        told = recognised("x", [formats[name] for name in names], Match.CERTAIN)
        assert set(formats_read(told)) == set(names) - {"unknown"}
