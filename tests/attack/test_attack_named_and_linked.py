"""Attacks by what a file is named, by programs and links among the files of a model, and by sources and JSON that a loader acts on."""

from __future__ import annotations

import io
import json
import math
import zipfile

import pytest

from weighbridge.inspection.examine import examine_source
from weighbridge.testing.fuzzing import built_in_formats, is_blocked
from weighbridge.testing.models import StoredTensor, gguf_bytes, source_of, tiny_safetensors
from weighbridge.vocabulary import Outcome


def is_refused(path: str, data: bytes) -> bool:
    with source_of(data, path) as source:
        return is_blocked(examine_source(source, built_in_formats()))


def linked(mode: int, system: int = 3) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        info = zipfile.ZipInfo("weights.json")
        info.create_system, info.external_attr = system, mode << 16
        archive.writestr(info, "{}")
    return out.getvalue()


@pytest.mark.parametrize(
    "head", [b"\x7fELF\2\1\1", b"MZ" + b"\1" * 58 + b"\x40\0\0\0", b"\0asm\1\0\0\0", b"\xa7\r\r\n"]
)
def test_a_program_among_the_files_of_a_model_is_refused(head: bytes) -> None:
    assert is_refused("weights.dat", head + bytes(64) + b"\1")


@pytest.mark.parametrize("path", ["model.safetensors", "model.onnx", "model.gguf"])
def test_a_name_that_promises_a_format_does_not_hide_other_bytes(path: str) -> None:
    assert is_refused(path, b"\x01\x02\x03\x04" * 50)
    assert not is_refused("model.safetensors", tiny_safetensors())


def test_a_link_in_a_zip_archive_is_refused_and_a_plain_file_is_not() -> None:
    assert all(is_refused("model.zip", linked(0o120777, system)) for system in (3, 5, 16, 19, 30))
    assert not is_refused("model.zip", linked(0o100644))


LAMBDA = {"class_name": "__lambda__", "config": {"code": "4wAAAAA=", "defaults": None, "closure": None}}


@pytest.mark.parametrize("key", ["module", "keras_version"])
def test_a_keras_configuration_in_json_is_judged_as_keras_would_build_it(key: str) -> None:
    layers = [{"module": "keras.layers", "class_name": "Lambda", "config": {"name": "l", "function": LAMBDA}}]
    model = {key: "keras", "class_name": "Sequential", "config": {"name": "s", "layers": layers}}
    assert is_refused("model.json", json.dumps(model).encode())
    model["config"] = {"name": "s", "layers": []}
    assert not is_refused("model.json", json.dumps(model).encode())


def test_a_keras_configuration_is_found_without_a_word_of_keras_and_under_any_name() -> None:
    layer = {"class_name": "Lambda", "config": {"name": "l", "function": ["4wAAAAA=", None, None]}}
    model = {"class_name": "Sequential", "config": {"layers": [layer]}}
    for made in (model, LAMBDA, [LAMBDA], {"a": {"b": model}}):
        for name in ("model.json", "model.txt", "model.jsonl", "model.cfg", "vocab.json"):
            assert is_refused(name, json.dumps(made).encode())
    yaml = b"class_name: Lambda\nconfig:\n  function: [4wAAAAA=, null, null]\n  function_type: lambda\n"
    assert is_refused("model.yaml", yaml)
    for other in ({"class_name": "Foo", "config": {"vocabulary": "a.txt"}}, {"class_name": 3, "config": 4}):
        assert not is_refused("other.json", json.dumps(other).encode())


@pytest.mark.parametrize(
    "line",
    [
        "open('/tmp/x', 'w')",
        "open('/tmp/x', mode='ab')",
        "os.remove('x')",
        "shutil.rmtree('x')",
        "Path('x').write_text('y')",
    ],
)
def test_a_source_that_changes_files_where_it_is_imported_is_refused(line: str) -> None:
    source = f"import os, shutil\nfrom pathlib import Path\n{line}\n"
    assert is_refused("modeling_x.py", source.encode())
    inside = f"import os, shutil\nfrom pathlib import Path\ndef save():\n    {line}\n"
    assert not is_refused("modeling_x.py", inside.encode())
    assert not is_refused("modeling_x.py", b"text = open('vocab.txt').read()\n")


def test_a_tokenizer_that_puts_numbers_in_the_place_of_numbers_is_refused() -> None:
    step = {"type": "Replace", "pattern": {"Regex": "[0-9]{16}"}, "content": "4111111111111111"}
    tokenizer = {
        "version": "1.0",
        "added_tokens": [],
        "decoder": step,
        "model": {"type": "BPE", "vocab": {}, "merges": []},
    }
    assert is_refused("tokenizer.json", json.dumps(tokenizer).encode())


@pytest.mark.parametrize(("shape", "is_bad"), [((8, 0), True), ((4, 0, 2), True), ((0, 8), False), ((8, 1), False)])
def test_a_length_of_zero_by_which_a_loader_divides_is_refused(shape: tuple[int, ...], is_bad: bool) -> None:
    """ggml tests a product for overflow by dividing by every length but the first."""
    tensor = StoredTensor(name="a", dtype="0", shape=shape, data=bytes(4 * math.prod(shape)))
    assert is_refused("model.gguf", gguf_bytes({"general.architecture": "llama"}, [tensor])) is is_bad


@pytest.mark.parametrize(("entries", "is_bad"), [(2, False), (1, True)])
def test_scores_that_end_before_the_tokens_do_are_refused(entries: int, is_bad: bool) -> None:
    pairs = {
        "general.architecture": "llama",
        "tokenizer.ggml.tokens": ("a", "b"),
        "tokenizer.ggml.token_type": (1,) * entries,
    }
    assert is_refused("model.gguf", gguf_bytes(pairs)) is is_bad


def test_a_source_that_is_started_as_a_program_is_not_one_that_is_imported() -> None:
    started = b"import os\nif __name__ == '__main__':\n    open('x', 'w').write('1')\n"
    assert not is_refused("convert.py", started)
    assert is_refused("convert.py", started + b"else:\n    os.system('id')\n")
    assert is_refused("handler.py", b"import os\nos.system('id')\n")


def test_a_graph_of_tensorflow_in_text_form_is_judged_by_its_operators() -> None:
    graph = 'node {\n  name: "a"\n  op: "%s"\n}\n'
    assert is_refused("graph.pbtxt", (graph % "MatMul" + graph % "ReadFile").encode())
    for odd in ('Read" "File', "Read\\x46ile", "Nobody"):
        with source_of((graph % odd).encode(), "graph.pbtxt") as source:
            found = examine_source(source, built_in_formats()).findings
        assert any(f.check == "code.on-load" and f.outcome is Outcome.UNKNOWN for f in found)
    for plain in ((graph % "MatMul").encode(), b'item {\n  id: 1\n  name: "cat"\n}\n'):
        with source_of(plain, "graph.pbtxt") as source:
            found = examine_source(source, built_in_formats()).findings
        assert not any(f.outcome in (Outcome.UNKNOWN, Outcome.FAIL) for f in found)
