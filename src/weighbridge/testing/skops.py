"""skops files, node by node: what skops.io writes, and what it never would."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from weighbridge.testing.pickles import Entry, write_zip

Node = dict[str, Any]


def node(loader: str, path: str, **more: Any) -> Node:
    """A node of a class or function, by its dotted path."""
    module, _, name = path.rpartition(".")
    return {"__class__": name, "__module__": module, "__loader__": loader, **more}


def plain(value: Any) -> Node:
    """A value of JSON."""
    return node("JsonNode", "builtins.str", content=json.dumps(value), is_json=True)


def sequence(*items: Node, kind: str = "tuple") -> Node:
    """A tuple or a list."""
    return node(f"{kind.title()}Node", f"builtins.{kind}", content=list(items))


def mapping(**members: Node) -> Node:
    """A dict with text keys."""
    kinds = sequence(*(node("TypeNode", "builtins.str") for _ in members), kind="list")
    return node("DictNode", "builtins.dict", content=members, key_types=kinds)


def instance(path: str, **attributes: Node) -> Node:
    """An object with attributes."""
    return node("ObjectNode", path, content=mapping(**attributes))


def array(file: str, path: str = "numpy.ndarray") -> Node:
    """An array in a member."""
    return node("NdArrayNode", path, type="numpy", file=file)


def npy(shape: tuple[int, ...] = (2,), descr: Any = "<f8", data: bytes | None = None) -> bytes:
    """A file of numpy's. `data` is zeros where it is not given, 8 bytes an item."""
    size = 8
    for length in shape:
        size *= length
    text = repr({"descr": descr, "fortran_order": False, "shape": shape}).encode() + b"\n"
    return b"\x93NUMPY\1\0" + len(text).to_bytes(2, "little") + text + (bytes(size) if data is None else data)


def skops_bytes(root: Node | bytes, members: Mapping[str, bytes] | None = None, *, protocol: Any = 2) -> bytes:
    """The archive around a tree."""
    text = root
    if not isinstance(text, bytes):
        text = json.dumps({**text, "protocol": protocol, "_skops_version": "0.16.0"}).encode()
    entries = [Entry(name=name, data=data) for name, data in (members or {}).items()]
    return write_zip([*entries, Entry(name="schema.json", data=text)])


def scaler() -> bytes:
    """A small model with one array."""
    root = instance("sklearn.preprocessing._data.StandardScaler", n_features_in_=plain(2), mean_=array("1.npy"))
    return skops_bytes(root, {"1.npy": npy((2,))})
