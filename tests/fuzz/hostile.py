"""Hostile files by name: counts and lengths that lie, nesting, bombs, floods, and what a slow reader would take forever over.

Each is made when it is asked for; none is clean, whoever reads it.
"""

from __future__ import annotations

import io
import json
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass

from weighbridge.testing.models import StoredTensor, gguf_bytes, tiny_gguf, tiny_safetensors, with_header
from weighbridge.testing.pickles import Entry, Pickle, checkpoint_entries, state_dict, torch_legacy, write_zip

MANY = 50_000
"""As many tensors as a safetensors header may list."""
MANY_GGUF = 20_000


@dataclass(frozen=True, kw_only=True)
class Hostile:
    name: str
    path: str
    make: Callable[[], bytes]
    size_bytes: int = 0
    """The file ends here, behind a hole, where that is more than what is made."""


HOSTILE: list[Hostile] = []


def hostile(path: str) -> Callable[[Callable[[], bytes]], Callable[[], bytes]]:
    def register(make: Callable[[], bytes]) -> Callable[[], bytes]:
        HOSTILE.append(Hostile(name=make.__name__, path=path, make=make))
        return make

    return register


def family(path: str, cases: dict[str, Callable[[], bytes]]) -> None:
    HOSTILE.extend(Hostile(name=name, path=path, make=make) for name, make in cases.items())


def u64(value: int) -> bytes:
    return struct.pack("<Q", value % (1 << 64))


def u32(value: int) -> bytes:
    return struct.pack("<I", value % (1 << 32))


# --- safetensors


def header(entries: dict[str, object], body: bytes = b"") -> bytes:
    return with_header(json.dumps(entries, separators=(",", ":")).encode(), body)


def entry(start: int = 0, end: int = 1, shape: object = (1,), dtype: str = "U8") -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


def tiny_tensors(name: str, **bent: object) -> bytes:
    """As many one-byte tensors as are read, and a byte too many behind them; `name` has a place for a number."""
    entries = {name.format(i): {**entry(i, i + 1), **bent} for i in range(MANY)}
    return header(entries, bytes(MANY + 1))


family(
    "model.safetensors",
    {
        "safetensors_length_2_63": lambda: u64(1 << 63) + tiny_safetensors()[8:],
        "safetensors_length_2_64_less_1": lambda: u64(-1) + tiny_safetensors()[8:],
        "safetensors_length_minus_8": lambda: u64(-8) + tiny_safetensors()[8:],
        "safetensors_length_over_what_is_read": lambda: with_header(b'{"a":' + b" " * (17 << 20) + b"{}}"),
        "safetensors_metadata_3000_deep": lambda: with_header(
            b'{"__metadata__":' + b'{"a":' * 3000 + b"1" + b"}" * 3001
        ),
        "safetensors_arrays_200000_deep": lambda: with_header(b'{"a":' + b"[" * 200_000),
        "safetensors_objects_200000_deep": lambda: with_header(b'{"a":{"dtype":' * 200_000),
        "safetensors_one_tensor_too_many": lambda: header(
            {f"t{i}": entry(i, i + 1) for i in range(MANY + 1)}, bytes(MANY + 1)
        ),
        "safetensors_tiny_tensors": lambda: tiny_tensors("model.layers.{}.self_attn.q_proj.weight"),
        "safetensors_tiny_tensors_spelled_oddly": lambda: with_header(
            json.dumps({f"t{i}": entry(i, i + 1) for i in range(MANY)}, indent=1).encode(), bytes(MANY + 1)
        ),
        "safetensors_names_of_hidden_characters": lambda: tiny_tensors("{}" + "\u202e" * 12),
        "safetensors_names_of_controls": lambda: with_header(
            b"{"
            + b",".join(
                b'"%d' % i + b"\x7f" * 150 + b'":{"dtype":"U8","shape":[],"data_offsets":[0,0]}' for i in range(MANY)
            )
            + b"}"
        ),
        "safetensors_all_overlap": lambda: header({f"t{i}": entry(0, 8, (8,)) for i in range(MANY)}, bytes(8)),
        "safetensors_all_of_the_wrong_size": lambda: tiny_tensors("t{}", shape=[7]),
        "safetensors_all_of_no_known_dtype": lambda: tiny_tensors("t{}", dtype="F7"),
        "safetensors_all_with_other_fields": lambda: tiny_tensors("t{}", more="x"),
        "safetensors_all_outside": lambda: header(
            {f"t{i}": entry((1 << 60) + i, (1 << 60) + i + 1) for i in range(MANY)}
        ),
        "safetensors_a_hole_before_each": lambda: header(
            {f"t{i}": entry(2 * i, 2 * i + 1) for i in range(MANY)}, bytes(2 * MANY)
        ),
        "safetensors_names_twice": lambda: with_header(
            b"{" + b",".join([b'"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}'] * MANY) + b"}", b"\0"
        ),
        "safetensors_entry_of_300000_keys": lambda: header({"a": {f"k{i}": 0 for i in range(300_000)}}),
        "safetensors_shape_of_1000000_dimensions": lambda: header({"a": entry(shape=[1] * 1_000_000)}, b"\0"),
        "safetensors_shape_that_overflows": lambda: header({"a": entry(0, 0, [1 << 32, 1 << 32])}),
        "safetensors_shape_that_wraps_to_one": lambda: header({"a": entry(0, 1, [(1 << 64) + 1])}, b"\0"),
        "safetensors_offsets_2_64": lambda: header({"a": entry(0, 1 << 64)}, b"\0"),
        "safetensors_offsets_backwards": lambda: header({"a": entry(1 << 63, 0, [0])}),
        "safetensors_number_of_1000000_digits": lambda: with_header(
            b'{"a":{"dtype":"U8","shape":[' + b"9" * 1_000_000 + b'],"data_offsets":[0,1]}}'
        ),
        "safetensors_string_without_end": lambda: with_header(b'{"' + b"a" * (15 << 20)),
        "safetensors_backslashes_without_end": lambda: with_header(b'{"' + b"\\\\" * (7 << 20)),
        "safetensors_quotes_without_end": lambda: with_header(b'{"a":' + b'"' * (15 << 20)),
        "safetensors_only_spaces": lambda: with_header(b"{" + b" " * (15 << 20)),
        "safetensors_metadata_of_100000_pairs_twice": lambda: with_header(
            b'{"__metadata__":{' + b",".join(b'"%d":""' % (i % 50_000) for i in range(100_000)) + b"}}"
        ),
        "safetensors_metadata_of_3_mb": lambda: header({"__metadata__": {"a": "x" * (3 << 20)}}),
        "safetensors_header_that_is_not_utf8": lambda: with_header(b'{"' + b"a" * (15 << 20) + b"\xff"),
    },
)


# --- GGUF


def gguf(pairs: bytes = b"", infos: bytes = b"", *, tensors: int = 0, count: int = 0, body: bytes = b"") -> bytes:
    """A GGUF file of raw parts; `count` and `tensors` are what it announces."""
    return b"GGUF" + u32(3) + u64(tensors) + u64(count) + pairs + infos + body


def key(name: bytes, kind: int, value: bytes = b"") -> bytes:
    return u64(len(name)) + name + u32(kind) + value


def info(name: bytes, dims: tuple[int, ...], kind: int = 0, offset: int = 0) -> bytes:
    return u64(len(name)) + name + u32(len(dims)) + b"".join(map(u64, dims)) + u32(kind) + u64(offset)


def many_infos(
    dims: tuple[int, ...], step: int, body: int, name: Callable[[int], bytes] = lambda i: b"blk.%d.weight" % i
) -> bytes:
    infos = b"".join(info(name(i), dims, 0, step * i) for i in range(MANY_GGUF))
    return gguf(infos=infos, tensors=MANY_GGUF, body=bytes(body) + b"x")


EMPTY_ARRAYS = (u32(4) + u64(0)) * 90_000
NESTED = u32(9) + u64(90_000) + EMPTY_ARRAYS
INTEGERS = u32(4) + u64(1024) + bytes(range(1, 256)) * 16 + bytes(16)

family(
    "model.gguf",
    {
        "gguf_tensors_2_63": lambda: gguf(tensors=1 << 63, body=bytes(64)),
        "gguf_pairs_2_63": lambda: gguf(count=1 << 63, body=bytes(64)),
        "gguf_counts_2_64_less_1": lambda: gguf(count=-1, tensors=-1, body=bytes(64)),
        "gguf_key_length_2_64_less_1": lambda: gguf(u64(-1) + bytes(64), count=1),
        "gguf_string_length_2_63": lambda: gguf(key(b"a", 8, u64(1 << 63)), count=1),
        "gguf_string_length_wraps": lambda: gguf(key(b"a", 8, u64(-8) + bytes(32)), count=1),
        "gguf_array_of_2_61_numbers": lambda: gguf(key(b"a", 9, u32(10) + u64(1 << 61)), count=1),
        "gguf_array_of_2_63_strings": lambda: gguf(key(b"a", 9, u32(8) + u64(1 << 63)), count=1),
        "gguf_arrays_3000_deep": lambda: gguf(key(b"a", 9, (u32(9) + u64(1)) * 3000), count=1),
        "gguf_arrays_of_arrays_bomb": lambda: gguf(b"".join(key(b"k%d" % i, 9, NESTED) for i in range(40)), count=40),
        "gguf_2000000_empty_strings": lambda: (
            gguf(key(b"a", 9, u32(8) + u64(2_000_000) + bytes(16_000_000)), count=1) + b"x"
        ),
        "gguf_strings_over_the_limit": lambda: gguf(key(b"a", 9, u32(8) + u64(2_000_001) + bytes(16_000_016)), count=1),
        "gguf_8000_arrays_of_1024_integers": lambda: (
            gguf(b"".join(key(b"k%d" % i, 9, INTEGERS) for i in range(8000)), count=8000) + b"x"
        ),
        "gguf_texts_of_4_mb_with_one_wide_character": lambda: (
            gguf(
                b"".join(
                    key(b"k%d" % i, 8, u64(4 << 20) + b"a" * ((4 << 20) - 4) + "\U0001f600".encode()) for i in range(11)
                ),
                count=11,
            )
            + b"x"
        ),
        "gguf_8000_pairs_of_one_name": lambda: gguf(key(b"a", 4, u32(1)) * 8000, count=8000),
        "gguf_8000_empty_keys": lambda: gguf(key(b"", 4, u32(1)) * 8000, count=8000),
        "gguf_pairs_over_the_limit": lambda: gguf(b"".join(key(b"%d" % i, 7, b"\1") for i in range(9000)), count=9000),
        "gguf_keys_of_60000_bytes": lambda: gguf(
            b"".join(key(b"%d" % i + b"\xff" * 60_000, 7, b"\1") for i in range(500)), count=500
        ),
        "gguf_value_type_2_32_less_1": lambda: gguf(key(b"a", -1), count=1),
        "gguf_booleans_that_are_none": lambda: gguf(
            b"".join(key(b"%d" % i, 7, b"\7") for i in range(8000)), count=8000, body=b"x"
        ),
        "gguf_dimensions_2_32_less_1": lambda: gguf(infos=u64(1) + b"a" + u32(-1) + bytes(64), tensors=1),
        "gguf_dimensions_that_overflow": lambda: gguf(infos=info(b"a", (1 << 32, 1 << 32)), tensors=1, body=bytes(64)),
        "gguf_dimensions_that_wrap_to_zero": lambda: gguf(infos=info(b"a", (1 << 62, 4)), tensors=1, body=bytes(64)),
        "gguf_offset_2_64_less_32": lambda: gguf(infos=info(b"a", (1,), 0, -32), tensors=1, body=bytes(64)),
        "gguf_alignment_0": lambda: gguf_bytes(
            {"general.alignment": 0}, [StoredTensor(name="a", dtype=0, shape=(1,), data=bytes(4))]
        ),
        "gguf_alignment_2_31": lambda: gguf(
            key(b"general.alignment", 4, u32(1 << 31)), info(b"a", (1,)), count=1, tensors=1
        ),
        "gguf_version_2_31": lambda: b"GGUF" + u32(1 << 31) + bytes(64),
        "gguf_tiny_tensors": lambda: many_infos((1,), 32, 32 * MANY_GGUF + 64),
        "gguf_all_overlap": lambda: many_infos((1,), 0, 64),
        "gguf_all_misaligned": lambda: many_infos((1,), 3, 3 * MANY_GGUF + 64),
        "gguf_all_of_zero_size": lambda: many_infos((0, 1, 1, 1), 32, 64),
        "gguf_all_overflow": lambda: many_infos((1 << 40, 1 << 40), 32, 64),
        "gguf_all_of_one_name": lambda: many_infos((1,), 32, 32 * MANY_GGUF, name=lambda _: b"a"),
        "gguf_names_of_hidden_characters": lambda: many_infos(
            (1,), 32, 64, name=lambda i: b"%d" % i + "\u202e".encode() * 60
        ),
        "gguf_tensors_over_the_limit": lambda: gguf(infos=info(b"a", ()) * (MANY_GGUF + 1), tensors=MANY_GGUF + 1),
        "gguf_template_of_hidden_characters": lambda: gguf(
            key(b"tokenizer.chat_template", 8, u64(3 << 20) + "\u202e".encode() * (1 << 20)), count=1, body=b"x"
        ),
        "gguf_8000_templates": lambda: gguf(
            b"".join(
                key(b"tokenizer.chat_template.%d" % i, 8, u64(3000) + "\u200b".encode() * 1000) for i in range(8000)
            ),
            count=8000,
        ),
        "gguf_cut_in_its_header": lambda: tiny_gguf()[:200],
    },
)


# --- pickles


def doubled(levels: int) -> bytes:
    """A list of two of the list before, again and again: 2**levels elements from a few bytes each."""
    made = Pickle(2).op("EMPTY_LIST").put(0)
    for level in range(levels):
        made.op("POP", "EMPTY_LIST").put(level + 1).op("MARK").get(level).get(level).op("APPENDS")
    return made.stop()


def hashed_pairs(levels: int, uses: int) -> bytes:
    """A tuple of twice the tuple before, used as a key: hashing it takes 2**levels steps, every time."""
    made = Pickle(2).op("EMPTY_TUPLE").put(0)
    for level in range(levels):
        made.get(level).op("TUPLE2").put(level + 1)
    made.op("EMPTY_DICT", "MARK")
    return made.raw((Pickle(None).get(levels).data + b"N") * uses).op("SETITEMS").stop()


family(
    "state.pkl",
    {
        "pickle_memo_bomb": lambda: doubled(60),
        "pickle_memo_bomb_of_tuples_as_keys": lambda: hashed_pairs(40, 1),
        "pickle_keys_hashed_again_and_again": lambda: hashed_pairs(16, 50_000),
        "pickle_1000000_opcodes_that_do_nothing": lambda: Pickle().raw(b"N0" * 500_000).glob("os", "system").stop(),
        "pickle_1000000_lists_in_each_other": lambda: Pickle().raw(b"]" * 300_000 + b"a" * 299_999).glob("os", "system").op("APPEND").stop(),
        "pickle_1000000_marks": lambda: Pickle().raw(b"(" * 1_000_000).stop(),
        "pickle_1000000_values_on_the_stack": lambda: Pickle().raw(b"N" * 1_000_000).glob("os", "system").stop(),
        "pickle_500000_memo_entries": lambda: Pickle(4).raw(b"N" + b"\x94" * 700_000).stop() + b"x",
        "pickle_names_20000_globals": lambda: Pickle().raw(b"".join(b"ca%d\nb\n0" % i for i in range(21_000))).values(None).stop(),
        "pickle_imports_one_name_200000_times": lambda: Pickle().raw(b"cos\nsystem\n0" * 200_000).values(None).stop(),
        "pickle_calls_50000_times": lambda: Pickle().raw(b"cos\nsystem\n)R0" * 50_000).values(None).stop(),
        "pickle_builds_200000_times": lambda: Pickle().raw(b"ca\nb\n)\x81" + b"}b" * 200_000).stop(),
        "pickle_11000_streams": lambda: b"N." * 11_000,
        "pickle_11000_streams_that_call": lambda: Pickle().call("os", "getpid").stop() * 11_000,
        "pickle_text_length_2_63": lambda: Pickle(4).raw(b"\x8d" + u64(1 << 63)).stop(),
        "pickle_bytes_length_2_64_less_1": lambda: Pickle(4).raw(b"\x8e" + u64(-1)).stop(),
        "pickle_bytearray_length_2_40": lambda: Pickle(5).raw(b"\x96" + u64(1 << 40)).stop(),
        "pickle_negative_lengths": lambda: Pickle(2).raw(b"T" + u32(-1) + b"\x8b" + u32(-1)).stop(),
        "pickle_frame_2_63": lambda: Pickle(4).raw(b"\x95" + u64(1 << 63)).values(1).stop(),
        "pickle_memo_index_2_32_less_1": lambda: Pickle(2).values(1).put((1 << 32) - 1).stop(),
        "pickle_memo_index_of_18_digits": lambda: Pickle(0).values(1).raw(b"p" + b"9" * 18 + b"\n").stop(),
        "pickle_memo_index_of_1000000_digits": lambda: Pickle(0).values(1).raw(b"p" + b"9" * 1_000_000 + b"\n").stop(),
        "pickle_number_of_1000000_digits": lambda: Pickle(0).raw(b"L" + b"9" * 1_000_000 + b"L\n").stop(),
        "pickle_numbers_of_400_digits": lambda: Pickle(0).raw((b"L" + b"9" * 400 + b"L\n0") * 30_000).glob("os", "system").stop(),
        "pickle_name_without_end": lambda: Pickle(0).raw(b"c" + b"a" * (16 << 20)).data,
        "pickle_lines_without_end": lambda: Pickle(0).raw(b"(V" + b"a" * (16 << 20)).data,
        "pickle_texts_with_escapes": lambda: Pickle(0).raw((b"V" + b"\\u0041" * 10_000 + b"\n0") * 200).glob("os", "system").stop(),
        "pickle_long_text_that_is_not_utf8": lambda: Pickle(2).raw(b"X" + u32(4 << 20) + b"a" * ((4 << 20) - 1) + b"\xff").stop(),
        "pickle_texts_of_300_bytes": lambda: Pickle(2).raw((b"X" + u32(300) + b"a" * 300 + b"0") * 100_000).glob("os", "system").stop(),
        "pickle_bytes_that_look_like_pickles": lambda: Pickle(2).raw((b"B" + u32(300) + b"\x80\x02" + b"N0" * 149 + b"0") * 50_000).glob("os", "system").stop(),
        "pickle_nested_pickles_of_100000_opcodes": lambda: Pickle(2).raw((b"B" + u32(200_003) + b"\x80\x02" + b"N0" * 100_000 + b".0") * 20).glob("os", "system").stop(),
        "pickle_extension_codes": lambda: Pickle(2).raw(b"\x82\x010" * 200_000).values(None).stop(),
        "pickle_persistent_ids": lambda: Pickle(2).raw(b"NQ0" * 200_000).values(None).stop(),
        "pickle_buffers_that_are_not_there": lambda: Pickle(5).raw(b"\x970" * 200_000).values(None).stop(),
        "pickle_pairs_into_one_dict": lambda: Pickle(2).op("EMPTY_DICT").raw(b"(" + b"K\1]" * 300_000 + b"u").glob("os", "system").stop(),
        "pickle_dtypes": lambda: Pickle(2).raw(b"cnumpy\ndtype\n(X\2\0\0\0f8K\0K\1tR0" * 20_000).glob("os", "system").stop(),
        "pickle_set_of_lists": lambda: Pickle(4).raw(b"\x8f(" + b"]" * 200_000 + b"\x90").stop(),
    },
)  # fmt: skip


# --- zip archives


def members(count: int, name: str = "archive/data/{}", data: bytes = b"") -> bytes:
    entries = checkpoint_entries(state_dict({"w": (1,)}).stop(), {"0": bytes(4)})
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive, warnings.catch_warnings(action="ignore"):
        for entry_name, content in [(e.name, e.data) for e in entries] + [(name.format(i), data) for i in range(count)]:
            archive.writestr(zipfile.ZipInfo(entry_name), content)
    return made.getvalue()


def bomb(size: int, *, name: str = "archive/data.pkl", method: int = 8) -> bytes:
    """A member that unfolds a thousand times; what it claims is true."""
    return write_zip([Entry(name=name, data=b"N" * size, method=method)])


def lying(offset: int, value: bytes, *, from_end: bool = True) -> bytes:
    data = bytearray(write_zip(checkpoint_entries(state_dict({"w": (1,)}).stop(), {"0": bytes(4)})))
    at = len(data) - offset if from_end else offset
    data[at : at + len(value)] = value
    return bytes(data)


@hostile("model.pt")
def zip_of_members_over_each_other() -> bytes:
    """Every member of the directory points at the same local header, as in the bombs of D. Fifield (2019)."""
    kernel = zlib.compress(bytes(1 << 20), 9, wbits=-15)
    local = (
        struct.pack("<4s5H3L2H", b"PK\3\4", 0, 0, 8, 0, 0, 0, len(kernel), 1 << 20, 16, 0)
        + b"archive/data.pkl"
        + kernel
    )
    row = struct.pack("<4s6H3L5H2L", b"PK\1\2", 0, 0, 0, 8, 0, 0, 0, len(kernel), 1 << 20, 16, 0, 0, 0, 0, 0, 0)
    directory = b"".join(row + b"archive/%08d" % i for i in range(20_000))
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 20_000, 20_000, len(directory), len(local), 0)
    return local + directory + end


family(
    "model.pt",
    {
        "zip_bomb_in_the_pickle": lambda: bomb(30 << 20),
        "zip_bomb_in_a_storage": lambda: bomb(30 << 20, name="archive/data/0"),
        "zip_bomb_of_opcodes": lambda: write_zip(checkpoint_entries(Pickle().raw(bytes(b"N0" * 3000 + b"\n") * 100).stop(), {})),
        "zip_of_more_members_than_are_read": lambda: members(13_000),
        "zip_of_pickles_of_many_opcodes": lambda: members(12, name="archive/{}.pkl", data=b"\x80\x02" + b"N0" * 400_000 + b"N."),
        "zip_of_11000_members": lambda: members(11_000),
        "zip_of_11000_members_of_one_name": lambda: members(11_000, name="archive/data/0"),
        "zip_of_11000_members_that_differ_in_case": lambda: members(11_000, name="archive/DATA/{}"),
        "zip_of_5000_pickles": lambda: members(5_000, name="archive/{}.pkl", data=b"\x80\x02cos\nsystem\n)R."),
        "zip_of_2000_texts_without_a_kind": lambda: members(2_000, name="archive/{}", data=b"(lp0\nI1\naI2\na" * 20),
        "zip_of_names_of_60000_bytes": lambda: members(100, name="archive/{}" + "a" * 60_000),
        "zip_with_a_directory_of_4_gb": lambda: lying(10, u32(-16)),
        "zip_with_a_directory_outside": lambda: lying(6, u32(1 << 31)),
        "zip64_with_2_63_members": lambda: lying(22 + 20 + 56 - 32, u64(1 << 63)),
        "zip64_with_a_directory_of_2_63": lambda: lying(22 + 20 + 56 - 40, u64(1 << 63)),
        "zip_with_65535_bytes_of_end_records": lambda: write_zip(
            checkpoint_entries(state_dict({"w": (1,)}).stop(), {"0": bytes(4)}), comment=b"PK\5\6" * 16_000
        ),
        "zip_with_extra_fields_without_end": lambda: write_zip(
            [Entry(name=f"archive/data.pkl{i or ''}", data=b"N.", extra=b"\1\0\0\0" * 16_000) for i in range(100)]
        ),
        "zip_with_another_name_inside": lambda: write_zip([Entry(name="archive/data.pkl", data=b"N.", local_name="archive/evil.pkl")]),
        "zip_of_members_that_do_not_unfold": lambda: write_zip(
            [Entry(name=f"archive/{i or 'data'}.pkl", data=b"\xff" * 2000, method=8, size_bytes=400_000) for i in range(2_000)]
        ),
        "zip_that_is_cut": lambda: members(10)[:-30],
        "zip_in_front_of_a_zip": lambda: members(2) + members(3),
        "zip_of_folders_with_content": lambda: members(3_000, name="archive/{}/", data=b"x"),
    },
)  # fmt: skip


# --- checkpoints before 1.6


def storages(count: int) -> bytes:
    made = state_dict({f"w{i}": (1,) for i in range(count)}, parts=6).stop()
    return torch_legacy(made, {str(i): bytes(4) for i in range(count)}) + b"x"


family(
    "pytorch_model.bin",
    {
        "legacy_of_5000_storages": lambda: storages(5_000),
        "legacy_storage_of_2_62": lambda: torch_legacy(state_dict({"w": (1 << 59,)}, parts=6).stop(), {"0": bytes(4)}),
        "legacy_without_its_storages": lambda: torch_legacy(state_dict({"w": (4,)}, parts=6).stop()),
        "legacy_of_another_protocol": lambda: torch_legacy(Pickle().values(1).stop()).replace(
            b"J\xe9\x03", b"J\xea\x03", 1
        ),
        "legacy_that_ends_in_a_storage": lambda: storages(3)[:-6],
        "legacy_that_calls": lambda: torch_legacy(Pickle().call("os", "getpid").stop()),
    },
)


# --- text


def flood(unit: bytes, size: int) -> bytes:
    return unit * (size // len(unit))


family(
    "config.json",
    {
        "json_arrays_200000_deep": lambda: b"[" * 200_000 + b"]" * 200_000,
        "json_objects_200000_deep": lambda: b'{"a":' * 200_000 + b"1" + b"}" * 200_000,
        "json_of_590000_keys": lambda: json.dumps({f"k{i}": i for i in range(590_000)}).encode(),
        "json_of_300000_objects": lambda: json.dumps({f"k{i}": {"a": i, "a b": 2} for i in range(300_000)}).encode()[
            :-1
        ],
        "json_of_300000_pairs_of_one_name": lambda: b'{"auto_map":{"a":"b.C"}' + b',"a":1' * 300_000 + b"}",
        "json_of_150000_objects_with_a_key_twice": lambda: b"[" + b'{"a":1,"a":2},' * 150_000 + b"1]",
        "json_of_keys_with_escapes": lambda: b"{" + b",".join(b'"\\u0061%d":0' % i for i in range(200_000)) + b"",
        "json_of_keys_that_ask_for_code": lambda: b"[" + b'{"auto_map":{"a":"b"}},' * 100_000 + b"1]",
        "json_of_mixed_values": lambda: b"[" + b'[{"a":[1,[2]]},{}],' * 200_000 + b"1",
        "json_of_20_mb_of_numbers": lambda: b"[" + b"0," * (10 << 20),
        "json_of_38_mb_of_one_string": lambda: b'["' + b"a" * (38 << 20),
        "json_of_38_mb_of_escapes": lambda: b'["' + flood(b"\\u202e", 38 << 20) + b'"]',
        "json_of_38_mb_of_backslashes": lambda: b'["' + b"\\" * (38 << 20) + b'x"]',
        "json_of_38_mb_of_quotes": lambda: b'["' + b'"' * (38 << 20) + b"]",
        "json_of_38_mb_of_spaces": lambda: b"[" + b" " * (38 << 20) + b"x]",
        "json_number_of_2000000_digits": lambda: b'{"model_type":' + b"9" * 2_000_000 + b"}",
        "json_number_with_an_exponent_without_end": lambda: b'{"model_type":1e' + b"9" * 1_500_000 + b"x}",
        "json_over_40_mb": lambda: b'["' + b"a" * (41 << 20) + b'"]',
        "json_of_200000_templates": lambda: json.dumps(
            {"chat_template": [{"name": str(i), "template": "\u202e"} for i in range(30_000)]}
        ).encode(),
        "json_of_hidden_characters": lambda: b'["' + flood("\u202e".encode(), 38 << 20) + b'"',
    },
)
family(
    "recipe.yaml",
    {
        "yaml_of_tags": lambda: flood(b"!!python/x ", 4 << 20),
        "yaml_of_long_tags": lambda: b"!!python/" * 400_000,
        "yaml_of_aliases": lambda: b"a: [" + b"&a b," * 5 + flood(b"*a,", 4 << 20),
        "yaml_over_4_mb": lambda: flood(b"a: b\n", 5 << 20),
        "text_over_64_mb": lambda: b"a" * ((64 << 20) + 1),
        "text_with_a_zero_at_its_end": lambda: b"a" * (48 << 20) + b"\0",
        "text_of_hidden_characters": lambda: flood("\u202e".encode(), 48 << 20),
        "text_of_joiners": lambda: flood("a\u200d".encode(), 48 << 20),
        "text_of_tags_in_flags": lambda: flood("\U000e0041".encode(), 48 << 20),
        "text_in_utf16": lambda: b"\xff\xfe" + flood("\u202e".encode("utf-16-le"), 32 << 20) + b"\0\xd8",
    },
)
family(
    "weights.dat",
    {
        "zeros_and_a_one": lambda: bytes(48 << 20) + b"\1",
        "noise": lambda: bytes(range(1, 256)) * 4000,
        "archive_in_text": lambda: b"# model\n" + members(1),
    },
)  # fmt: skip
