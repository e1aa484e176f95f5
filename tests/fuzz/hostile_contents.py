"""Hostile files of the formats that are no archives: opcodes, messages, trees, markup and arrays, in numbers, depths and circles."""

from __future__ import annotations

import json
import pickletools
import struct
from collections.abc import Callable

from tests.fuzz.hostile import Hostile, u32, u64
from tests.fuzz.hostile_archives import CALL, Cases, cases
from weighbridge.formats.headers.hdf5_checksum import checksum
from weighbridge.testing.graphs import (
    IndexedTensor,
    bundle_entries,
    checkpoint_index,
    external_data,
    keras_metadata,
    message,
    onnx_model,
    onnx_node,
    onnx_tensor,
    saved_model,
    tf_call,
    tf_graph,
    tf_node,
    tf_text,
    varint,
)
from weighbridge.testing.hdf5 import (
    Dataset,
    Group,
    dataspace,
    external_link,
    hard_link,
    hdf5_bytes,
    keras_h5,
    soft_link,
    text_attribute,
)
from weighbridge.testing.pickles import Entry, write_zip

LAMBDA = {"class_name": "Lambda", "config": {"function": ["4wE=", None, None], "function_type": "lambda"}}

# --- pickles: every opcode, again and again, and a call behind

_ARGUMENTS = {
    "uint1": b"\0",
    "uint2": b"\0\0",
    "int4": bytes(4),
    "uint4": bytes(4),
    "uint8": bytes(8),
    "string1": b"\1a",
    "bytes1": b"\1a",
    "unicodestring1": b"\1a",
    "string4": b"\1\0\0\0a",
    "bytes4": b"\1\0\0\0a",
    "unicodestring4": b"\1\0\0\0a",
    "bytes8": b"\1" + bytes(7) + b"a",
    "bytearray8": b"\1" + bytes(7) + b"a",
    "unicodestring8": b"\1" + bytes(7) + b"a",
    "long1": b"\1\1",
    "long4": b"\1\0\0\0\1",
    "float8": bytes(8),
    "decimalnl_short": b"1\n",
    "decimalnl_long": b"1L\n",
    "floatnl": b"1.5\n",
    "stringnl": b"'a'\n",
    "unicodestringnl": b"a\n",
    "stringnl_noescape": b"a\n",
    "stringnl_noescape_pair": b"a\nb\n",
}


def _repeated(code: bytes, argument: bytes, ready: bytes, count: int) -> bytes:
    return b"\x80\x04" + (ready + code + argument) * count + CALL[2:]


def _pickles() -> list[Hostile]:
    found: Cases = {}
    for opcode in pickletools.opcodes:
        argument = _ARGUMENTS[opcode.arg.name] if opcode.arg else b""
        code, needs = opcode.code.encode("latin1"), [kind.name for kind in opcode.stack_before]
        marks = b"(" if "mark" in needs else b""
        ready = b"".join(b"" if kind in ("mark", "stackslice") else {"dict": b"}", "list": b"]", "set": b"\x8f", "tuple": b")", "str": b"\x8c\1a"}.get(kind, b"N") for kind in needs)  # fmt: skip
        ready = ready[:1] + marks + ready[1:] if needs[:1] != ["mark"] else marks + ready
        found[f"opcode_{opcode.name.lower()}_40000_times"] = lambda code=code, argument=argument, ready=ready: (
            _repeated(code, argument, ready, 40_000)
        )
    for name, code, width in (("long4", b"\x8b", 4), ("binstring", b"T", 4), ("binbytes", b"B", 4), ("binunicode", b"X", 4), ("binunicode8", b"\x8d", 8), ("binbytes8", b"\x8e", 8), ("bytearray8", b"\x96", 8), ("frame", b"\x95", 8)):  # fmt: skip
        for word, value in (("most", (1 << 8 * width) - 1), ("half", 1 << 8 * width - 1), ("over_the_end", 1000)):
            found[f"pickle_{name}_length_{word}"] = lambda code=code, value=value, width=width: (
                b"\x80\x04" + code + value.to_bytes(width, "little") + CALL[2:]
            )
    for opcode, word in ((b"\x85", "tuples"), (b"]", "lists"), (b"}", "dicts"), (b"(", "marks"), (b"\x8f", "sets")):
        closing = {b"]": b"a", b"}": b"", b"(": b"t", b"\x8f": b"", b"\x85": b"\x85"}[opcode]
        found[f"pickle_{word}_100000_deep"] = lambda opcode=opcode, closing=closing: (
            b"\x80\x04N" + opcode * 100_000 + closing * 99_999 + CALL[2:]
        )
    return cases("state.pkl", found)


# --- protobuf


def _nested_message(field: int, depth: int, inner: bytes = b"") -> bytes:
    """Messages in each other, written from the inside, in linear time."""
    heads, size = [], len(inner)
    for _ in range(depth):
        head = varint(field << 3 | 2) + varint(size)
        heads.append(head)
        size += len(head)
    return b"".join(reversed(heads)) + inner


def _branches(depth: int) -> bytes:
    node = onnx_node("PyOp", "ai.onnx.contrib")
    for _ in range(depth):
        node = onnx_node("If", attributes=[message((1, "then_branch"), (6, message((1, node), (2, "inner"))), (20, 5))])
    return onnx_model([node])


def _onnx() -> list[Hostile]:
    places = {"parent": "../x", "root": "/etc/passwd", "backslash": "..\\x", "drive": "C:\\x", "zero": "a\0b", "hidden": "\u202ea", "url": "http://x/y", "deep": "../" * 5000, "dot": "a/../../b"}  # fmt: skip
    found: Cases = {f"onnx_bytes_from_{word}": lambda place=place: onnx_model([onnx_node("Relu")], [onnx_tensor("w", more=external_data(location=place))]) for word, place in places.items()}  # fmt: skip
    for word, value in (("negative", "-1"), ("2_64", str(1 << 64)), ("text", "abc"), ("exponent", "1e9"), ("digits", "9" * 5000)):  # fmt: skip
        for key in ("offset", "length"):
            found[f"onnx_{key}_{word}"] = lambda key=key, value=value: onnx_model(
                [onnx_node("Relu")], [onnx_tensor("w", more=external_data(location="w.bin", **{key: value}))]
            )
    found |= {
        "onnx_branches_50_deep": lambda: _branches(50),
        "onnx_branches_400_deep": lambda: _branches(400),
        "onnx_messages_100000_deep": lambda: onnx_model([onnx_node("Relu")]) + _nested_message(7, 100_000),
        "onnx_of_60000_nodes": lambda: onnx_model([onnx_node("Relu")] * 60_000 + [onnx_node("PyOp", "ai.onnx.contrib")]),
        "onnx_of_60000_tensors": lambda: onnx_model([onnx_node("PyOp", "x")], [onnx_tensor("w", (1,))] * 60_000),
        "onnx_of_100000_domains": lambda: onnx_model([onnx_node("PyOp", "x")], domains=[f"d{i}" for i in range(100_000)]),
        "onnx_function_that_calls_itself": lambda: onnx_model([onnx_node("f", "x")], domains=("", "x"), functions=[message((1, "f"), (7, onnx_node("f", "x")), (10, "x"))]),
        "onnx_tensors_of_one_name": lambda: onnx_model([onnx_node("Relu")], [onnx_tensor("w")] * 2),
        "onnx_dimensions_overflow": lambda: onnx_model([onnx_node("Relu")], [onnx_tensor("w", (1 << 62, 1 << 62), raw=b"")]),
        "onnx_dimensions_negative": lambda: onnx_model([onnx_node("Relu")], [onnx_tensor("w", (-1, 4), raw=bytes(4))]),
        "onnx_dimensions_100000": lambda: onnx_model([onnx_node("Relu")], [onnx_tensor("w", (1,) * 100_000, raw=bytes(8))]),
        "onnx_data_too_short": lambda: onnx_model([onnx_node("Relu")], [onnx_tensor("w", (100,), raw=bytes(4))]),
        "onnx_length_2_63": lambda: onnx_model([onnx_node("Relu")]) + b"\x3a" + varint(1 << 63),
        "onnx_varint_of_11_bytes": lambda: onnx_model([onnx_node("Relu")]) + b"\x08" + b"\xff" * 11,
        "onnx_100000_long_varints": lambda: onnx_model([onnx_node("PyOp", "x")]) + (b"\x08" + b"\x80" * 9 + b"\1") * 100_000,
        "onnx_group_without_end": lambda: onnx_model([onnx_node("Relu")]) + b"\x3b" * 100_000,
        "onnx_field_0": lambda: onnx_model([onnx_node("Relu")]) + b"\2\0" * 1000,
        "onnx_wire_type_7": lambda: onnx_model([onnx_node("Relu")]) + b"\x0f",
        "onnx_unknown_fields": lambda: onnx_model([onnx_node("Relu")]) + message(*((n, CALL) for n in range(100, 5000))),
        "onnx_domain_hidden": lambda: onnx_model([onnx_node("Relu", "\u202ex")], domains=("", "\u202ex")),
        "onnx_with_a_pickle_behind": lambda: onnx_model([onnx_node("Relu")]) + CALL,
    }  # fmt: skip
    return cases("model.onnx", found)


def _tensorflow() -> list[Hostile]:
    bad = tf_node("PyFunc")
    models: Cases = {
        f"tf_{op.lower()}": lambda op=op: saved_model([tf_node(op)])
        for op in ("PyFunc", "EagerPyFunc", "ReadFile", "WriteFile", "MatchingFiles", "GeneratorDataset", "NotAnOperatorOfAnyone")
    }  # fmt: skip
    models |= {
        "tf_60000_nodes": lambda: saved_model([tf_node("NoOp")] * 60_000 + [bad]),
        "tf_20000_functions": lambda: saved_model([tf_call("f0")], {f"f{i}": [bad] for i in range(20_000)}),
        "tf_functions_in_a_circle": lambda: saved_model([tf_call("a")], {"a": [tf_call("b")], "b": [tf_call("a"), bad]}),
        "tf_functions_2000_deep": lambda: saved_model([tf_call("f0")], {**{f"f{i}": [tf_call(f"f{i + 1}")] for i in range(2000)}, "f2000": [bad]}),
        "tf_function_of_one_name_twice": lambda: saved_model([tf_call("f")], {"f": [bad]}) * 2,
        "tf_assets_leave": lambda: saved_model([tf_node("NoOp")], assets=["../../x", "/etc/passwd"] * 1000),
        "tf_texts_of_1_mb": lambda: saved_model([bad, *(tf_text("a" * (1 << 20)) for _ in range(8))]),
        "tf_messages_100000_deep": lambda: saved_model([bad]) + _nested_message(2, 100_000),
        "tf_length_2_63": lambda: saved_model([tf_node("NoOp")]) + b"\x12" + varint(1 << 63),
        "tf_layers_of_deep_json": lambda: saved_model([bad], layers=["[" * 100_000]),
        "tf_layers_lambda": lambda: saved_model([tf_node("NoOp")], layers=[json.dumps(LAMBDA)]),
        "tf_graph_alone": lambda: tf_graph([bad]),
        "tf_4000_graphs": lambda: saved_model([bad]) + saved_model([tf_node("NoOp")]) * 4000,
        "tf_cut_in_a_node": lambda: saved_model([tf_node("NoOp"), bad])[:-5],
        "tf_with_a_pickle_behind": lambda: saved_model([tf_node("NoOp")]) + CALL,
    }  # fmt: skip
    metadata: Cases = {
        "keras_metadata_lambda": lambda: keras_metadata(json.dumps(LAMBDA)),
        "keras_metadata_of_5000_lambdas": lambda: keras_metadata(*[json.dumps(LAMBDA)] * 5000),
        "keras_metadata_that_is_deep": lambda: keras_metadata('{"a":' * 50_000),
        "keras_metadata_that_is_none": lambda: keras_metadata("{"),
    }
    one = IndexedTensor(name="a", shape=(2, 3))
    sound = checkpoint_index(bundle_entries([one]))
    indexes: Cases = {
        "index_handle_2_63": lambda: sound[:-48] + (varint(1 << 63) * 4).ljust(40, b"\0") + sound[-8:],
        "index_handle_at_itself": lambda: sound[:-48] + (varint(len(sound) - 48) + varint(48)) * 2 + bytes(36) + sound[-8:],
        "index_unknown_compression": lambda: checkpoint_index(bundle_entries([one]), compression=7),
        "index_wrong_checksum": lambda: sound[:20] + b"\xff" + sound[21:],
        "index_keys_backwards": lambda: checkpoint_index(bundle_entries([one, IndexedTensor(name="b", shape=(1,), offset=24)])[::-1]),
        "index_tensors_overlap": lambda: checkpoint_index(bundle_entries([one, IndexedTensor(name="b", shape=(2, 3), offset=8)])),
        "index_size_lies": lambda: checkpoint_index(bundle_entries([IndexedTensor(name="a", shape=(1000,), size_bytes=4)])),
        "index_shape_overflows": lambda: checkpoint_index(bundle_entries([IndexedTensor(name="a", shape=(1 << 62, 1 << 62), size_bytes=4)])),
        "index_shape_negative": lambda: checkpoint_index(bundle_entries([IndexedTensor(name="a", shape=(-4,), size_bytes=4)])),
        "index_shard_of_none": lambda: checkpoint_index(bundle_entries([IndexedTensor(name="a", shape=(1,), shard=1 << 30)])),
        "index_one_name_twice": lambda: checkpoint_index(bundle_entries([one, one])),
        "index_cut": lambda: sound[:-1],
        "index_with_a_pickle_behind": lambda: sound + CALL,
    }  # fmt: skip
    return [
        *cases("saved_model.pb", models),
        *cases("keras_metadata.pb", metadata),
        *cases("variables.index", indexes),
    ]


# --- HDF5


def _bent_h5(at: int, width: int, value: int, *, sealed: bool = True) -> bytes:
    data = bytearray(hdf5_bytes(Group(members={"a": Dataset(shape=(2,), data=bytes(8))})))
    data[at : at + width] = (value % (1 << 8 * width)).to_bytes(width, "little")
    if sealed:
        data[44:48] = struct.pack("<I", checksum(bytes(data[:44])))
    return bytes(data)


def _deep_groups(depth: int) -> bytes:
    group = Group()
    for _ in range(depth):
        group = Group(members={"a": group})
    return keras_h5(LAMBDA, group=group)


def _bad_dataset(layout: bytes, shape: tuple[int, ...] = (2,)) -> bytes:
    return hdf5_bytes(Group(members={"a": Dataset(shape=shape, data=bytes(8), layout=layout)}))


def _hdf5() -> list[Hostile]:
    fields = {"version": (8, 1), "offsets": (9, 1), "lengths": (10, 1), "base": (12, 8), "extension": (20, 8), "end": (28, 8), "root": (36, 8)}  # fmt: skip
    found: Cases = {}
    for name, (at, width) in fields.items():
        for word, value in (("most", -2), ("half", 1 << 8 * width - 1), ("itself", 13)):
            found[f"hdf5_{name}_{word}"] = lambda at=at, width=width, value=value: _bent_h5(at, width, value)
    code = json.dumps(LAMBDA).encode()
    sound = hdf5_bytes(Group(members={"a": Dataset(shape=(2,), data=bytes(8))}))
    found |= {
        "hdf5_wrong_checksum": lambda: _bent_h5(44, 4, 1, sealed=False),
        "hdf5_cut_in_its_superblock": lambda: sound[:40],
        "hdf5_cut_in_an_object": lambda: sound[:-6],
        "hdf5_with_a_pickle_behind": lambda: sound + CALL,
        "hdf5_behind_a_pickle": lambda: hdf5_bytes(Group(), user_block=CALL.ljust(512, b"\0")),
        "hdf5_behind_a_pickle_2048": lambda: hdf5_bytes(Group(), user_block=CALL.ljust(2048, b"\0")),
        "hdf5_groups_40_deep": lambda: _deep_groups(40),
        "hdf5_groups_2000_deep": lambda: _deep_groups(400),
        "hdf5_group_in_itself": lambda: hdf5_bytes(Group(messages=[hard_link("a", 48), text_attribute("model_config", code)])),
        "hdf5_group_in_its_superblock": lambda: hdf5_bytes(Group(messages=[hard_link("a", 0)])),
        "hdf5_link_outside": lambda: hdf5_bytes(Group(messages=[hard_link("a", 1 << 62)])),
        "hdf5_3000_links_to_one": lambda: hdf5_bytes(Group(messages=[*(hard_link(f"a{i}", 48) for i in range(3000)), text_attribute("model_config", code)])),
        "hdf5_links_of_one_name": lambda: hdf5_bytes(Group(messages=[hard_link("a", 48)] * 2)),
        "hdf5_external_link": lambda: hdf5_bytes(Group(messages=[external_link("x", "/etc/passwd", "/")])),
        "hdf5_1000_external_links": lambda: hdf5_bytes(Group(messages=[external_link(f"x{i}", "../x.h5", "/") for i in range(1000)])),
        "hdf5_soft_links_in_a_circle": lambda: hdf5_bytes(Group(messages=[soft_link("a", "/b"), soft_link("b", "/a"), external_link("x", "y", "/")])),
        "hdf5_external_storage": lambda: hdf5_bytes(Group(members={"a": Dataset(shape=(2,), data=b"", messages=[(7, bytes((1, 0, 0, 0, 1, 0, 1, 0)) + u64(48) + u64(0) * 3)])})),
        "hdf5_unknown_message": lambda: hdf5_bytes(Group(messages=[(0x99, b"abc")])),
        "hdf5_continuation_to_itself": lambda: hdf5_bytes(Group(messages=[(16, u64(48) + u64(200))])),
        "hdf5_continuation_outside": lambda: hdf5_bytes(Group(messages=[(16, u64(1 << 60) + u64(64))])),
        "hdf5_2000_continuations": lambda: hdf5_bytes(Group(messages=[(16, u64(48) + u64(64))] * 2000)),
        "hdf5_symbol_table_at_itself": lambda: hdf5_bytes(Group(messages=[(17, u64(48) + u64(48))])),
        "hdf5_dense_links_at_itself": lambda: hdf5_bytes(Group(messages=[(2, struct.pack("<BBQQ", 0, 0, 48, 48))])),
        "hdf5_dense_attributes_at_itself": lambda: hdf5_bytes(Group(messages=[(21, struct.pack("<BBQQ", 0, 0, 48, 48))])),
        "hdf5_data_outside": lambda: _bad_dataset(struct.pack("<BBQQ", 3, 1, 1 << 50, 8)),
        "hdf5_data_over_the_header": lambda: _bad_dataset(struct.pack("<BBQQ", 3, 1, 0, 8)),
        "hdf5_data_of_2_63": lambda: _bad_dataset(struct.pack("<BBQQ", 3, 1, 48, 1 << 63)),
        "hdf5_data_shorter_than_its_shape": lambda: _bad_dataset(b"", (1 << 20,)),
        "hdf5_shape_overflows": lambda: _bad_dataset(b"", (1 << 62, 1 << 62)),
        "hdf5_shape_of_200": lambda: _bad_dataset(b"", (1,) * 200),
        "hdf5_two_shapes": lambda: hdf5_bytes(Group(members={"a": Dataset(shape=(2,), data=bytes(8), messages=[dataspace((9, 9))])})),
        "hdf5_chunks_at_itself": lambda: _bad_dataset(struct.pack("<BBBQ3I", 3, 2, 2, 48, 1, 1, 4)),
        "hdf5_chunks_of_0": lambda: _bad_dataset(struct.pack("<BBBQ2I", 3, 2, 2, 48, 0, 0)),
        "hdf5_layout_9": lambda: _bad_dataset(b"\x09" + bytes(20)),
        "hdf5_virtual_dataset": lambda: _bad_dataset(struct.pack("<BBQI", 4, 3, 48, 0)),
        "hdf5_attribute_of_60000_bytes": lambda: keras_h5(b'{"class_name":"Lambda","x":"' + b"a" * 60_000 + b'"}'),
        "hdf5_configuration_that_is_deep": lambda: keras_h5(b"[" * 60_000),
        "hdf5_configuration_lambda": lambda: keras_h5(LAMBDA),
        "hdf5_configuration_twice": lambda: keras_h5(b'{"class_name":"Dense","class_name":"Lambda"}'),
        "hdf5_training_lambda": lambda: keras_h5({"class_name": "Sequential", "config": {"layers": []}}, training={"loss": LAMBDA}),
        "hdf5_1000_attributes": lambda: hdf5_bytes(Group(attributes={**{f"a{i}": b"x" for i in range(1000)}, "model_config": code})),
    }  # fmt: skip
    return cases("model.h5", found)


# --- markup, text and arrays


def _xml(root: str, path: str, tag: str) -> list[Hostile]:
    laughs = ["ha", *(f"&a{i};" * 10 for i in range(11))]
    entities = "".join(f"<!ENTITY a{i} '{text}'>" for i, text in enumerate(laughs))
    empty = f"<{root}></{root}>"
    texts: dict[str, Callable[[], str]] = {
        "laughs": lambda: f"<!DOCTYPE x [{entities}]><{root}>&a11;</{root}>",
        "quadratic": lambda: f"<!DOCTYPE x [<!ENTITY a '{'a' * 50_000}'>]><{root}>{'&a;' * 50_000}</{root}>",
        "entity_of_a_file": lambda: f"<!DOCTYPE x [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><{root}>&a;</{root}>",
        "document_type_elsewhere": lambda: f"<!DOCTYPE x SYSTEM 'http://x/y.dtd'><{root}/>",
        "entity_in_itself": lambda: f"<!DOCTYPE x [<!ENTITY a '&b;'><!ENTITY b '&a;'>]><{root}>&a;</{root}>",
        "parameter_entities": lambda: f"<!DOCTYPE x [<!ENTITY % a '<!ENTITY b 1>'> %a;]><{root}/>",
        "defaults": lambda: f"<!DOCTYPE x [<!ATTLIST {root} a CDATA '{'b' * 100_000}'>]>" + empty * 1000,
        "elements_100000_deep": lambda: f"<{root}>" + "<a>" * 100_000,
        "elements_300000": lambda: f"<{root}>" + "<a/>" * 300_000,
        "attributes_50000": lambda: f"<{root} " + " ".join(f"a{i}='1'" for i in range(50_000)) + "><b>",
        "attribute_twice": lambda: f"<{root} a='1' a='2'/>",
        "namespaces_20000": lambda: f"<{root} " + " ".join(f"xmlns:n{i}='u{i}'" for i in range(20_000)) + "><b>",
        "comment_without_end": lambda: f"<{root}><!--" + "- " * 1_000_000,
        "cdata_without_end": lambda: f"<{root}><![CDATA[" + "]" * 1_000_000,
        "instruction": lambda: f"<?xml version='1.0'?><?xml-stylesheet href='http://x'?><{root}>",
        "unknown_encoding": lambda: f"<?xml version='1.0' encoding='utf-7'?><{root}>+ADw-x+AD4-",
        "wrong_encoding": lambda: f"<?xml version='1.0' encoding='utf-16'?><{root}></{root}",
        "cut": lambda: f"<{root}><{tag}",
        "name_of_1_mb": lambda: f"<{root}><{'a' * (1 << 20)}>",
        "two_roots": lambda: empty + empty,
        "zeros": lambda: f"<{root}>" + chr(0) * 100 + f"</{root}>",
    }
    suffix = path.rpartition(".")[2]
    return cases(path, {f"{suffix}_{name}": lambda text=text: text().encode() for name, text in texts.items()})


def _npy(header: str | bytes, body: bytes = b"", *, version: int = 1, length: int | None = None) -> bytes:
    text = header.encode() if isinstance(header, str) else header
    size = len(text) if length is None else length
    return (
        b"\x93NUMPY"
        + bytes((version, 0))
        + (struct.pack("<H", size % 65536) if version == 1 else u32(size))
        + text
        + body
    )


def _dtype(descr: str, shape: str = "(2,)", order: str = "False") -> str:
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n"


def _arrays() -> list[Hostile]:
    found: Cases = {
        "version_9": lambda: _npy(_dtype("'<f4'"), bytes(8), version=9),
        "length_65535": lambda: _npy(_dtype("'<f4'"), bytes(8), length=65535),
        "length_2_32": lambda: _npy(_dtype("'<f4'"), bytes(8), version=2, length=0xFFFFFFFF),
        "length_0": lambda: _npy("", CALL),
        "objects_that_call": lambda: _npy(_dtype("'|O'"), CALL),
        "objects_in_a_record": lambda: _npy(_dtype("[('a', '|O')]"), CALL),
        "objects_deep_in_a_record": lambda: _npy(_dtype("[('a', [('b', '|O')])]"), CALL),
        "shape_negative": lambda: _npy(_dtype("'<f4'", "(-1,)"), bytes(8)),
        "shape_2_70": lambda: _npy(_dtype("'<f4'", f"({1 << 70},)"), bytes(8)),
        "shape_overflows": lambda: _npy(_dtype("'<f4'", f"({1 << 62}, {1 << 62})"), bytes(8)),
        "shape_of_10000": lambda: _npy(_dtype("'<f4'", f"({'1, ' * 10_000})"), bytes(8)),
        "shape_is_text": lambda: _npy(_dtype("'<f4'", "'abc'"), bytes(8)),
        "shape_is_true": lambda: _npy(_dtype("'<f4'", "(True, True)"), b"x" * 9),
        "type_of_2_31": lambda: _npy(_dtype("'V2147483647'"), bytes(8)),
        "type_of_digits": lambda: _npy(_dtype(f"'V{'9' * 5000}'"), bytes(8)),
        "type_is_none": lambda: _npy(_dtype("'zz'"), bytes(8)),
        "types_1000_deep": lambda: _npy(_dtype("[('a', " * 1000 + "'<f4'" + ")]" * 1000), bytes(8)),
        "brackets_60000_deep": lambda: _npy("[" * 60_000),
        "number_of_60000_digits": lambda: _npy(_dtype("'<f4'", f"({'9' * 60_000},)")),
        "header_calls": lambda: _npy(_dtype("__import__('os').system('true')"), bytes(8)),
        "header_of_operators": lambda: _npy(_dtype("'<f4'", f"({'1+' * 20_000}1,)"), bytes(8)),
        "header_multiplies": lambda: _npy(_dtype("'<f4'", "(9**9**9,)"), bytes(8)),
        "header_key_twice": lambda: _npy("{'descr': '<f4', 'descr': '|O', 'fortran_order': False, 'shape': (2,)}\n", CALL),
        "header_key_more": lambda: _npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'x': 1}\n", bytes(8)),
        "header_without_shape": lambda: _npy("{'descr': '<f4', 'fortran_order': False}\n", bytes(8)),
        "header_of_escapes": lambda: _npy(_dtype("'" + "\\x41" * 15_000 + "'"), bytes(8)),
        "header_not_text": lambda: _npy(b"\xff\xfe{'descr'}", bytes(8)),
        "order_is_a_number": lambda: _npy(_dtype("'<f4'", order="1"), bytes(8) + b"x"),
        "too_short": lambda: _npy(_dtype("'<f4'", "(1000,)"), bytes(8)),
        "a_pickle_behind": lambda: _npy(_dtype("'<f4'"), bytes(8) + CALL),
        "two_arrays": lambda: _npy(_dtype("'<f4'"), b"abcdefgh") * 2,
        "cut_in_its_header": lambda: _npy(_dtype("'<f4'"))[:30],
    }  # fmt: skip
    return cases("weights.npy", {f"npy_{name}": make for name, make in found.items()})


def _keras(config: object, *, more: tuple[Entry, ...] = (), weights: bytes = b"") -> bytes:
    text = config if isinstance(config, bytes) else json.dumps(config).encode()
    sound = hdf5_bytes(Group(members={"w": Dataset(shape=(2,), data=bytes(8))}))
    return write_zip([Entry(name="config.json", data=text), Entry(name="metadata.json", data=b'{"keras_version": "3.9.0"}'), Entry(name="model.weights.h5", data=weights or sound), *more])  # fmt: skip


def _wrapped(layer: object, depth: int) -> object:
    for _ in range(depth):
        layer = {"module": "keras.layers", "class_name": "TimeDistributed", "config": {"layer": layer}}
    return layer


def _keras_archives() -> list[Hostile]:
    def called(module: str, name: str) -> dict[str, object]:
        return {"module": module, "class_name": name, "config": {}, "registered_name": name}

    foreign = {"os_system": ("os", "system"), "builtins_eval": ("builtins", "eval"), "get_file": ("keras.utils", "get_file"), "tfsm": ("keras.layers", "TFSMLayer"), "torch_wrapper": ("keras.layers", "TorchModuleWrapper"), "unknown": ("nobody.knows", "Layer"), "hidden": ("keras.layers", "Den\u200bse"), "parent": ("keras.layers.__class__", "x")}  # fmt: skip
    found: Cases = {f"keras_{word}": lambda pair=pair: _keras(called(*pair)) for word, pair in foreign.items()}
    found |= {
        "keras_lambda": lambda: _keras(LAMBDA),
        "keras_lambda_60_deep": lambda: _keras(_wrapped(LAMBDA, 60)),
        "keras_lambda_300_deep": lambda: _keras(_wrapped(LAMBDA, 300)),
        "keras_json_100000_deep": lambda: _keras(b'{"a":' * 100_000),
        "keras_of_20000_lambdas": lambda: _keras([LAMBDA] * 20_000),
        "keras_key_twice": lambda: _keras(b'{"class_name":"Dense","class_name":"Lambda","config":{}}'),
        "keras_config_twice": lambda: _keras({}, more=(Entry(name="config.json", data=json.dumps(LAMBDA).encode()),)),
        "keras_config_is_no_json": lambda: _keras(b"cposix\nsystem\n(S'true'\ntR."),
        "keras_with_a_pickle": lambda: _keras({}, more=(Entry(name="assets/x.pkl", data=CALL),)),
        "keras_asset_leaves": lambda: _keras({}, more=(Entry(name="assets/../../x", data=b"x"),)),
        "keras_weights_linked": lambda: _keras({}, weights=hdf5_bytes(Group(messages=[external_link("x", "/etc/passwd", "/")]))),
        "keras_weights_are_a_pickle": lambda: _keras({}, weights=CALL),
        "keras_weights_bomb": lambda: _keras({}, more=(Entry(name="assets/x", data=bytes(30 << 20) + b"\1", method=8),)),
        "keras_config_of_digits": lambda: _keras(b'{"a":' + b"9" * 500_000 + b"}"),
    }  # fmt: skip
    return cases("model.keras", found)


def _texts() -> list[Hostile]:
    doors: dict[str, Callable[[], bytes]] = {
        "numbers_of_10000_digits": lambda: b'{"auto_map":{"a":"b.C"},"x":[' + b",".join([b"9" * 4000] * 500) + b"]}",
        "exponents": lambda: b'{"auto_map":{"a":"b.C"},"x":[' + b"1e999," * 100_000 + b"1]}",
        "infinities": lambda: b'{"auto_map":{"a":"b.C"},"x":[' + b"NaN,Infinity," * 50_000 + b"1]}",
        "key_hidden_by_escapes": lambda: b'{"\\u0061uto_map":{"AutoModel":"x.Y"}}',
        "key_twice_the_first_asks": lambda: b'{"auto_map":{"a":"b.C"},"auto_map":{}}',
        "lone_surrogates": lambda: b'{"auto_map":{"a":"b.C"},"a":"' + b"\\ud800" * 100_000 + b'"}',
        "two_documents": lambda: b'{"a":1}{"auto_map":{"a":"b.C"}}',
        "comments": lambda: b'{/* */"auto_map":{"a":"b.C"}}//',
        "a_pickle_behind": lambda: b'{"a":1}' + CALL,
        "a_pickle_in_text": lambda: b"cposix\nsystem\n(S'true'\ntR.",
        "utf32": lambda: '{"auto_map":{"a":"b.C"}}'.encode("utf-32"),
        "utf7": lambda: b'+AHsAIg-auto_map":{"a":"b.C"}',
        "overlong": lambda: b'{"a":"\xc0\xaf\xe0\x80\xaf"}',
        "zeros_inside": lambda: b'{"a":"\0\0"}',
    }
    return cases("config.json", {f"json_{name}": make for name, make in doors.items()})


CONTENTS = [
    *(*_pickles(), *_onnx(), *_tensorflow(), *_hdf5(), *_arrays(), *_keras_archives(), *_texts()),
    *_xml("net", "model.xml", "layers"),
    *_xml("PMML", "model.pmml", "Header"),
]
