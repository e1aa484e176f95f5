"""skops files that run code when they are loaded, each way that skops.io builds an object, and every published one."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from weighbridge.formats.reading.contract import Format
from weighbridge.inspection.examine import examine_source
from weighbridge.plugins import find_units
from weighbridge.testing.fuzzing import pace
from weighbridge.testing.models import source_of
from weighbridge.testing.pickles import Entry, Pickle, write_zip
from weighbridge.testing.skops import array, instance, mapping, node, npy, plain, sequence, skops_bytes
from weighbridge.vocabulary import Finding, Outcome, Severity

SVC = "sklearn.svm._classes.SVC"
TREE = "sklearn.tree._tree.Tree"


def findings(data: bytes, path: str = "model.skops") -> tuple[Finding, ...]:
    with source_of(data, path) as source:
        return tuple(examine_source(source, find_units("formats", Format).found).findings)


def within(value: dict[str, Any]) -> bytes:
    """A file of a harmless model that holds a node, with the members that it names."""
    text = json.dumps(value)
    return skops_bytes(held(value), {name: data for name, data in MEMBERS.items() if name in text})


def held(value: dict[str, Any]) -> dict[str, Any]:
    """A node deep inside a model that is otherwise harmless."""
    return instance("sklearn.pipeline.Pipeline", steps=sequence(sequence(plain("a"), value), kind="list"))


def partial(function: dict[str, Any], *arguments: dict[str, Any], namespace: Any = None) -> dict[str, Any]:
    content = {
        "func": function,
        "args": sequence(*arguments),
        "kwds": mapping(),
        "namespace": namespace or plain(None),
    }
    return node("PartialNode", "functools.partial", content=content)


def reduced(loader: str, path: str, *arguments: dict[str, Any], **state: dict[str, Any]) -> dict[str, Any]:
    return node(loader, path, __reduce__={"args": sequence(*arguments)}, content=mapping(**state))


def generator(name: str) -> dict[str, Any]:
    state = mapping(bit_generator=plain(name), state=mapping(state=plain(1), inc=plain(1)))
    return node(
        "RandomGeneratorNode",
        "numpy.random._generator.Generator",
        content={"bit_generator": state, "seed_seq": mapping(entropy=plain(1))},
    )


def mt19937(position: int) -> dict[str, Any]:
    inner = mapping(key=array("k.npy"), pos=plain(position))
    return node(
        "RandomStateNode",
        "numpy.random.mtrand.RandomState",
        content=mapping(bit_generator=plain("MT19937"), state=inner),
    )


KEY = {"k.npy": npy((624,), "<u4", bytes(4 * 624))}

CRITICAL = {
    "builtins.eval as a function": node("FunctionNode", "builtins.eval"),
    "os.system as a function": node("FunctionNode", "os.system"),
    "posix.system as a type": node("TypeNode", "posix.system"),
    "os.system in a partial": partial(node("FunctionNode", "os.system"), plain("true")),
    "eval in a partial of a type": partial(node("TypeNode", "builtins.eval"), plain("1")),
    "os.system by a loss": reduced("LossNode", "os.system", plain("true")),
    "subprocess.Popen as a list": node("ListNode", "subprocess.Popen", content=[plain("true")]),
    "subprocess.Popen as a set": node("SetNode", "subprocess.Popen", content=[plain("true")]),
    "builtins.exec as a constructor": node("ConstructorFromReduceNode", "builtins.exec", content=sequence(plain("1"))),
    "os.system as an object": instance("os.system", a=plain(1)),
    "CVE-2025-54412 operator.methodcaller": node(
        "OperatorFuncNode", "operator.methodcaller", attrs=sequence(plain("__reduce__"))
    ),
    "CVE-2025-54412 operator.call of a listed class": node(
        "OperatorFuncNode", "operator.call", attrs=sequence(node("TypeNode", "builtins.eval"), plain("1"))
    ),
    "CVE-2025-54412 another module than operator": node(
        "OperatorFuncNode", "builtins.attrgetter", attrs=sequence(plain("a.b"))
    ),
    "CVE-2025-54413 a method of a listed class": node(
        "MethodNode", SVC, content={"func": "predict", "obj": instance(SVC, a=plain(1))}
    ),
    "CVE-2025-54413 another class than the object's": node(
        "MethodNode", "builtins.int", content={"func": "__init__", "obj": instance(SVC, a=plain(1))}
    ),
    "CVE-2024-37065 an object of a class of the standard library": instance("subprocess.Popen", args=plain("true")),
    "a key of a type that is code": node(
        "DictNode",
        "builtins.dict",
        content={"print(1)": plain(1)},
        key_types=sequence(node("TypeNode", "builtins.eval"), kind="list"),
    ),
    "a dict of a class that runs code": node("DictNode", "runpy.run_path", content={}, key_types=sequence(kind="list")),
    "an array given to a function": array("1.npy", "builtins.exec"),
    "a generator of another class": node("RandomStateNode", "os.getcwd", content=mt19937(0)["content"]),
}
"""Objects that must FAIL as CRITICAL."""

HIGH = {
    "sklearn.utils gadget: a download": node(
        "ConstructorFromReduceNode", "sklearn.datasets._base.fetch_file", content=sequence(plain("http://x/y"))
    ),
    "sklearn.utils gadget: joblib loads a pickle": node(
        "ConstructorFromReduceNode", "joblib.numpy_pickle.load", content=sequence(plain("/tmp/x"))
    ),
    "sklearn.utils gadget: fixes imports by name": node(
        "ListNode", "sklearn.utils._testing._get_func_name", content=[plain("a")]
    ),
    "a listed class is called with arguments": node("ConstructorFromReduceNode", SVC, content=sequence(plain(1))),
    "a memory map": array("1.npy", "numpy.memmap"),
    "any function of numpy.random as a generator": generator("seed"),
    "a position outside the buffer of a generator": mt19937(1 << 20),
    "a tree with other nodes than it says": reduced(
        "TreeNode",
        TREE,
        plain(2),
        array("c.npy"),
        plain(1),
        max_depth=plain(1),
        node_count=plain(1 << 30),
        nodes=array("n.npy"),
        values=array("v.npy"),
    ),
    "a tree with other outputs than classes": reduced(
        "TreeNode", TREE, plain(2), array("c.npy"), plain(1 << 20), max_depth=plain(1)
    ),
    "a partial with attributes that no dict has": partial(node("FunctionNode", "numpy.clip"), namespace=sequence()),
    "a default of a factory that is called": node(
        "DefaultDictNode",
        "collections.defaultdict",
        content={"main": mapping(), "default_factory": node("FunctionNode", "numpy.log1p")},
    ),
    "a state of dunder attributes": instance(SVC, __class__=plain("x")),
    "an index as a loader finds it": node(
        "ConstructorFromReduceNode", "zoneinfo.ZoneInfo", content=sequence(plain("../../etc/passwd"))
    ),
}
"""Objects that must FAIL."""
MEMBERS = {
    "1.npy": npy(),
    "c.npy": npy((1,), "<i8"),
    "n.npy": npy((1,), [("left_child", "<i8")]),
    "v.npy": npy((1, 1, 2)),
    **KEY,
}


@pytest.mark.parametrize("name", CRITICAL)
def test_code_in_a_node_is_critical(name: str) -> None:
    found = findings(within(CRITICAL[name]))
    on_load = [f for f in found if f.check == "code.on-load"]
    assert [(f.outcome, f.severity) for f in on_load] == [(Outcome.FAIL, Severity.CRITICAL)]


@pytest.mark.parametrize("name", HIGH)
def test_what_no_policy_covers_fails(name: str) -> None:
    found = findings(within(HIGH[name]))
    assert any(f.outcome is Outcome.FAIL and f.severity.rank >= Severity.HIGH.rank for f in found), found
    assert not any(f.outcome is Outcome.PASS for f in found if f.check == "code.on-load")


@pytest.mark.parametrize("path", ["model.skops", "model.pkl"])
def test_cve_2025_54886_a_pickle_under_the_name_of_an_archive(path: str) -> None:
    found = findings(Pickle().call("posix", "system", "true").stop(), path)
    assert any(f.check == "code.on-load" and f.outcome is Outcome.FAIL for f in found)


def test_code_in_an_old_protocol() -> None:
    old = {**node("FunctionNode", "numpy.log1p"), "content": {"module_path": "os", "function": "system"}}
    found = findings(skops_bytes(held(old), protocol=0))
    assert any(f.check == "code.on-load" and f.outcome is Outcome.FAIL for f in found)


def test_a_pickle_in_an_array_and_in_bytes() -> None:
    call = Pickle().call("posix", "system", "true").stop()
    root = mapping(a=array("1.npy"), b=node("BytesNode", "builtins.bytes", file="2.bin"))
    for members in ({"1.npy": npy((1,), "|O", call), "2.bin": b"x"}, {"1.npy": npy(), "2.bin": call}):
        found = findings(skops_bytes(root, members))
        assert any(f.check == "code.on-load" and f.outcome is Outcome.FAIL for f in found)


def test_two_nodes_of_one_id_that_differ() -> None:
    one = {**plain(1), "__id__": 5}
    other = {**node("FunctionNode", "os.system"), "__id__": 5}
    for first, second in ((one, other), (other, one)):
        found = findings(skops_bytes(mapping(a=first, b=second)))
        assert any(f.outcome is Outcome.FAIL and f.severity.rank >= Severity.HIGH.rank for f in found)


def test_a_node_that_holds_itself() -> None:
    loop = {**sequence({**sequence(kind="list"), "__id__": 5}, kind="list"), "__id__": 5}
    assert any(f.check == "skops.schema" and f.outcome is Outcome.FAIL for f in findings(skops_bytes(loop)))


@pytest.mark.parametrize(
    "schema",
    [
        b"{}",
        b"[]",
        b"{",
        b"\xff",
        b'{"protocol": true}',
        b'{"protocol": -1}',
        b'{"__loader__": "ListNode", "__loader__": "TypeNode", "protocol": 2}',
        b"[" * 9_000,
        json.dumps({**node("CachedNode", "builtins.str", __id__=1), "protocol": 2}).encode(),
        json.dumps({**node("BytesNode", "builtins.bytes", file="gone.bin"), "protocol": 2}).encode(),
        json.dumps({**node("JsonNode", "builtins.str", content="[" * 9999), "protocol": 2}).encode(),
        json.dumps({**node("JsonNode", "builtins.str", content="9" * 9999), "protocol": 2}).encode(),
        json.dumps({**node("ListNode", "builtins.list", content=[[]], __id__=[]), "protocol": 2}).encode(),
    ],
    ids=range(13),
)
def test_a_broken_schema_is_never_clean(schema: bytes) -> None:
    found = findings(skops_bytes(schema))
    assert any(f.check == "skops.schema" and f.outcome is Outcome.FAIL for f in found)
    assert not any(f.check == "code.on-load" and f.outcome is Outcome.PASS for f in found)


def test_a_key_that_stands_twice() -> None:
    text = json.dumps({**mapping(a=plain(1)), "protocol": 2}).encode()
    twice = text.replace(b'"__class__": "dict"', b'"__class__": "dict", "__class__": "dict"')
    found = findings(skops_bytes(twice))
    assert any(f.check == "skops.schema" and f.outcome is Outcome.FAIL for f in found)


def test_two_schemas() -> None:
    text = json.dumps({**mapping(), "protocol": 2}).encode()
    found = findings(write_zip([Entry(name="schema.json", data=text), Entry(name="schema.json", data=text)]))
    assert any(f.outcome is Outcome.FAIL and f.severity.rank >= Severity.HIGH.rank for f in found)


def test_a_search_tree_over_points_of_no_dimension() -> None:
    counts = (plain(n) for n in (40, 1, 1, 0, 0, 0, 0))
    arrays = (array("k.npy") for _ in range(4))
    state = sequence(*arrays, *counts, plain(None))
    root = node("ObjectNode", "sklearn.neighbors._kd_tree.KDTree", content=state)
    found = findings(skops_bytes(root, KEY))
    assert any(f.check == "pickle.out-of-bounds" and f.outcome is Outcome.FAIL for f in found)


def test_a_bomb_is_put_aside_in_time() -> None:
    zeros = Entry(name="1.npy", data=npy((500_000,)), method=8)
    many = [Entry(name=f"{n}.npy", data=zeros.data, method=8) for n in range(40)]
    root = sequence(*(array(f"{n}.npy") for n in range(40)), kind="list")
    text = json.dumps({**root, "protocol": 2}).encode()
    start = time.process_time()
    found = findings(write_zip([*many, Entry(name="schema.json", data=text)]))
    assert time.process_time() - start < 2 * pace()
    assert any(f.outcome is Outcome.UNKNOWN for f in found)
