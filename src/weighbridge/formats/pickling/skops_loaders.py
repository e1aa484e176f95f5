"""What each kind of node of a skops file does when it is built, in the effects of a pickle: import, call, construct, set a state.

Source: skops 0.16, the `_construct` methods of skops/io/_general.py, _numpy.py, _scipy.py, _sklearn.py and io/old. The list of
types that skops trusts is not asked: what is covered is what the policies of the pickles cover, and where skops trusts more (a node
of JSON, a slice, a generator of numpy) the node says so here.
"""

from __future__ import annotations

import json

from weighbridge.errors import MalformedArtifactError
from weighbridge.formats.headers.strict_json import survey
from weighbridge.formats.pickling.allowlist import policy_line
from weighbridge.formats.pickling.facts import Refusal
from weighbridge.formats.pickling.judge import put_items, put_pairs
from weighbridge.formats.pickling.library_states import CALLS, STATES
from weighbridge.formats.pickling.skops_nodes import BrokenNodeError, Loader, State, Tree
from weighbridge.formats.pickling.values import ATOMS, TOP, Blob, Global, Mapping, Obj, Sequence, Value, show

_TEXT_BYTES = 1 << 12
_KEY_TYPES = ("str", "int", "float", "bool")
_NUMBERS = ("float128", "object_", "void", "intc", "uintc", "intp", "uintp")
"""Scalar types of numpy that the policies hold without a tag."""
_NEW_OBJECTS = ("kd-tree", "ball-tree", "metric")
"""Tags of the classes that `newObj` of their module makes by `__new__`, as an ObjectNode does."""
_LIBRARIES = ("numpy", "scipy", "sklearn")
_UNSAFE = "pickle.unlisted-call"


def _json(tree: Tree, state: State, locator: str) -> Value:  # noqa: ARG001  # the contract of a loader
    text = state.get("content")
    if text.__class__ is not str:
        raise BrokenNodeError("the content of a JSON node is no text")
    if len(text) > _TEXT_BYTES and text[:1] == '"':
        return Blob("str", 0, len(text), characters=len(text) - 2)
    try:
        if text.lstrip()[:1] in ("[", "{"):
            survey(text.encode(), nonfinite=True)
            return Sequence() if text.lstrip()[0] == "[" else Mapping()
        value = json.loads(text)
    except (ValueError, MalformedArtifactError) as problem:
        raise BrokenNodeError("the content of a JSON node is no JSON") from problem
    return value


def _dict(tree: Tree, state: State, locator: str) -> Value:
    keys = tree.held(state, "key_types")
    kinds = keys.children if keys.__class__ is Sequence else []
    content = state.get("content")
    if content.__class__ is not dict:
        raise BrokenNodeError("the content of a dict is none")
    for kind in {id(kind): kind for kind in kinds}.values():
        if not _makes_key(kind):
            tree.judge.call(kind, ("",), locator)
    target = Mapping() if tree.expect(state, "builtins.dict") else _container(tree, state, (), locator)
    into = tree.judge.fill(target, "mapping", "DictNode", locator)
    items: list[Value] = []
    for number, (key, value) in enumerate(content.items()):
        is_text = number >= len(kinds) or getattr(kinds[number], "name", "") in ("str", "str_")
        items += [key if is_text else number, tree.value(value)]
    if isinstance(into, Mapping):
        put_pairs(into, items)
    return target


def _makes_key(kind: Value) -> bool:
    if kind.__class__ is not Global:
        return False
    is_plain = kind.module == "builtins" and kind.name in _KEY_TYPES
    return is_plain or (kind.entry is not None and kind.entry.tag == "scalar-type")


def _container(tree: Tree, state: State, arguments: tuple[Value, ...], locator: str) -> Value:
    """An instance of a container's class, which skops calls."""
    found = tree.name(state)
    if found is None:
        return TOP
    if found.entry is not None and found.entry.kind == "class":
        return tree.judge.construct(found, arguments, locator)
    return tree.judge.call(found, arguments, locator)


def _default_dict(tree: Tree, state: State, locator: str) -> Value:
    main, factory = tree.parts(state, "main", "default_factory")
    tree.expect(state, "collections.defaultdict")
    made = tree.judge.call(tree.name_of("collections", "defaultdict", "DefaultDictNode"), (factory,), locator)
    into = tree.judge.fill(made, "mapping", "DefaultDictNode", locator)
    if isinstance(into, Mapping) and main.__class__ is Mapping:
        put_pairs(into, [part for pair in main.pairs for part in pair])
        into.odd_key, into.method_key = into.odd_key or main.odd_key, into.method_key or main.method_key
    return made


def _list(tree: Tree, state: State, locator: str) -> Value:
    made = Sequence("list")
    put_items(made, tree.items(state), keeps_atoms=True)
    if tree.expect(state, "builtins.list"):
        return made
    return _container(tree, state, (made,), locator)


def _set(tree: Tree, state: State, locator: str) -> Value:
    made = Sequence("list")
    put_items(made, tree.items(state))
    if tree.expect(state, "builtins.set"):
        return tree.judge.call(tree.name(state), (made,), locator)
    return _container(tree, state, (made,), locator)


def _tuple(tree: Tree, state: State, locator: str) -> Value:
    items = tuple(tree.items(state))
    if tree.expect(state, "builtins.tuple"):
        return items
    found = tree.name(state)  # a named tuple: its __new__ takes the items
    return TOP if found is None else tree.judge.construct(found, items, locator)


def _function(tree: Tree, state: State, locator: str) -> Value:  # noqa: ARG001  # the contract of a loader
    content = state.get("content")
    if tree.protocol == 0 and content.__class__ is dict:
        found = tree.name_of(content.get("module_path"), content.get("function"), "FunctionNode")
    else:
        found = tree.name(state)
    return TOP if found is None else found


def _method(tree: Tree, state: State, locator: str) -> Value:
    content = state.get("content")
    owner = tree.parts(state, "obj")[0]
    tree.name(state)
    method = content.get("func") if content.__class__ is dict else None
    message = f"reads the attribute {show(method)} of {show(owner)} when it is loaded"
    tree.judge.report.fail("pickle.computed-global", message, locator, excerpt=show(method))
    return TOP


def _partial(tree: Tree, state: State, locator: str) -> Value:
    function, arguments, words, namespace = tree.parts(state, "func", "args", "kwds", "namespace")
    tree.expect(state, "functools.partial")
    if function.__class__ is not Global or arguments.__class__ is not tuple or words.__class__ is not Mapping:
        return _refuse(tree, "makes a partial function of something that the file computes", function, locator)
    is_plain = namespace is None or (namespace.__class__ is Mapping and not namespace.odd_key)
    if not is_plain:
        return _refuse(tree, "gives a partial function attributes of unknown shape", namespace, locator)
    entry = function.entry
    if entry is not None:  # what nothing covers is told as an import
        is_held = entry.kind == "value" and entry.tag in ("", "held-function")
        if not is_held or function.module.partition(".")[0] not in _LIBRARIES:
            return _refuse(tree, "makes a partial function of one that no policy covers for it", function, locator)
    return Obj("functools.partial", tree.entry("functools", "partial"))


def _refuse(tree: Tree, message: str, value: Value, locator: str) -> Value:
    tree.judge.report.add(_UNSAFE, f"{message}: {show(value)}", locator, excerpt=show(value))
    return TOP


def _type(tree: Tree, state: State, locator: str) -> Value:  # noqa: ARG001  # the contract of a loader
    found = tree.name(state)
    return TOP if found is None else found


def _slice(tree: Tree, state: State, locator: str) -> Value:  # noqa: ARG001  # the contract of a loader
    content = state.get("content")
    if content.__class__ is not dict or not {"start", "stop", "step"} <= content.keys():
        raise BrokenNodeError("a slice has no start, stop and step")
    tree.expect(state, "builtins.slice")
    return Obj("builtins.slice")


def _constructor(tree: Tree, state: State, locator: str) -> Value:
    arguments = tree.held(state, "content")
    found = tree.name(state)
    if found is None or arguments.__class__ is not tuple:
        return _refuse(tree, "calls a class with arguments of unknown shape", arguments, locator)
    if found.path == "zoneinfo.ZoneInfo" and found.entry is not None and len(arguments) == 1:
        made = CALLS["zone-key"](found.entry, arguments)
        return _refuse(tree, made.message, arguments, locator) if isinstance(made, Refusal) else made
    return tree.judge.call(found, arguments, locator)


def _object(tree: Tree, state: State, locator: str) -> Value:
    attributes = tree.value(state["content"]) if state.get("content") is not None else None
    found = tree.name(state)
    if found is None:
        return TOP
    entry = found.entry
    if entry is not None and entry.tag in _NEW_OBJECTS:
        made = tree.judge.call(tree.name_of(found.module, "newObj", "ObjectNode"), (found,), locator)
    elif entry is not None and entry.kind == "call":
        made = tree.judge.call(found, (), locator)
    else:
        made = tree.judge.construct(found, (), locator)
    if attributes is not None:
        tree.judge.set_state(made, attributes, locator)
    return made


def _reduced(tree: Tree, state: State, found: Global | None, locator: str) -> Value:
    """A call with arguments, then a state where there is one."""
    attributes = tree.held(state, "content")
    reduce = state.get("__reduce__")
    if reduce.__class__ is not dict:
        raise BrokenNodeError("a node has no arguments")
    arguments = tree.value(reduce.get("args"))
    if found is None:
        return TOP
    made = tree.judge.call(found, arguments, locator)
    is_empty = attributes is None or attributes == () or (attributes.__class__ is Mapping and not attributes.count)
    if not is_empty:
        tree.judge.set_state(made, attributes, locator)
    return made


def _forest(tree: Tree, state: State, locator: str) -> Value:
    tree.expect(state, "sklearn.tree._tree.Tree")
    return _reduced(tree, state, tree.name_of("sklearn.tree._tree", "Tree", "TreeNode"), locator)


def _loss(tree: Tree, state: State, locator: str) -> Value:
    return _reduced(tree, state, tree.name(state), locator)


def _quantile_forest(tree: Tree, state: State, locator: str) -> Value:
    attributes = tree.held(state, "content")
    reduce = state.get("__reduce__")
    arguments = tree.value(reduce.get("args") if reduce.__class__ is dict else None)
    found = tree.name_of("quantile_forest._quantile_forest_fast", "QuantileForest", "QuantileForestNode")
    made = TOP if found is None else tree.judge.construct(found, (arguments,), locator)
    tree.judge.set_state(made, attributes, locator)
    return made


def _deprecated(tree: Tree, state: State, locator: str) -> Value:  # noqa: ARG001  # the contract of a loader
    main, _ = tree.parts(state, "main", "_deprecated_key_to_new_key")
    found = tree.name(state)
    if found is not None and found.entry is None:
        line = policy_line(found.module, found.name, "class")
        tree.judge.report.doubt("pickle.unlisted-global", f"makes an instance of {found.path}: {line}", "byte 0")
    return main


def _array(tree: Tree, state: State, locator: str) -> Value:
    kind = state.get("type")
    if kind == "json":
        tree.items(state)
        tree.held(state, "shape")
        return tree.array(None)  # made as numpy.ndarray, whatever the node says
    if kind != "numpy":
        raise BrokenNodeError("an array is neither of numpy nor of JSON")
    content = tree.array(tree.member(state).array)
    if tree.expect(state, "numpy.ndarray"):
        return content
    found = tree.name(state)
    if found is None:
        return TOP
    tag = found.entry.tag if found.entry is not None else ""
    if tag == "array":
        return tree.array(None)
    if tag == "scalar-type" or (found.entry is not None and found.module == "numpy" and found.name in _NUMBERS):
        return tree.scalar()
    return tree.judge.call(found, (content,), locator)


def _masked(tree: Tree, state: State, locator: str) -> Value:  # noqa: ARG001  # the contract of a loader
    tree.parts(state, "data", "mask")
    tree.expect(state, "numpy.ma.MaskedArray", "numpy.ma.core.MaskedArray")
    return Obj("numpy.ma.MaskedArray", tree.entry("numpy.ma.core", "_mareconstruct"))


def _dtype(tree: Tree, state: State, locator: str) -> Value:  # noqa: ARG001  # the contract of a loader
    tree.held(state, "content")
    tree.expect(state, "numpy.dtype")
    return Obj("numpy.dtype", tree.entry("numpy", "dtype"))


def _random_state(tree: Tree, state: State, locator: str) -> Value:
    inner = tree.held(state, "content")
    is_own = tree.expect(state, "numpy.random.mtrand.RandomState", "numpy.random.RandomState")
    made = Obj("numpy.random.RandomState", tree.entry("numpy.random._pickle", "__randomstate_ctor"))
    return made if _is_state(tree, made, inner, locator) and is_own else _unlike(tree, state, is_own, locator)


def _random_generator(tree: Tree, state: State, locator: str) -> Value:
    names = ("bit_generator",) if tree.protocol < 2 else ("bit_generator", "seed_seq")
    inner = tree.parts(state, *names)[0]
    is_own = tree.expect(state, "numpy.random._generator.Generator", "numpy.random.Generator")
    made = Obj("numpy.random.Generator", tree.entry("numpy.random._pickle", "__generator_ctor"))
    return made if _is_state(tree, made, inner, locator) and is_own else _unlike(tree, state, is_own, locator)


def _is_state(tree: Tree, made: Obj, inner: Value, locator: str) -> bool:
    problem = STATES["generator"](made, inner)
    if problem is not None:
        tree.judge.report.add(problem.check, problem.message, locator, excerpt=show(inner))
    return problem is None


def _unlike(tree: Tree, state: State, is_own: bool, locator: str) -> Value:  # noqa: FBT001  # one question of its callers
    """Another class in place of a generator: it would be called."""
    found = None if is_own else tree.name(state)
    return TOP if found is None else tree.judge.call(found, (), locator)


def _sparse(tree: Tree, state: State, locator: str) -> Value:  # noqa: ARG001  # the contract of a loader
    if state.get("type") != "scipy":
        raise BrokenNodeError("a sparse matrix is not of scipy")
    tree.member(state)
    tree.name(state)
    return Obj("scipy.sparse.matrix", tree.entry("scipy.sparse._csr", "csr_matrix"))


def _bytes(tree: Tree, state: State, locator: str) -> Value:  # noqa: ARG001  # the contract of a loader
    tree.expect(state, "builtins.bytes", "builtins.bytearray")
    kind = "bytearray" if state["__loader__"] == "BytearrayNode" else "bytes"
    found = tree.member(state)
    tree.texts.add(state["file"])
    return Blob(kind, 0, found.size_bytes)


def _operator(tree: Tree, state: State, locator: str) -> Value:
    arguments = tree.held(state, "attrs")
    if state.get("__module__") != "operator":
        tree.name(state)
        tree.defects.add("skops.schema", "an operator is not one of the module of that name", locator)
    found = tree.name_of("operator", state.get("__class__"), "OperatorFuncNode")
    if found is None:
        return TOP
    is_plain = arguments.__class__ is tuple and all(item.__class__ in ATOMS for item in arguments)
    if found.name == "itemgetter" and is_plain:
        found.is_called = True
        return Obj("operator.itemgetter")
    return tree.judge.call(found, arguments, locator)


LOADERS: dict[str, Loader] = {
    "JsonNode": _json,
    "DictNode": _dict,
    "DefaultDictNode": _default_dict,
    "_DictWithDeprecatedKeysNode": _deprecated,
    "ListNode": _list,
    "SetNode": _set,
    "TupleNode": _tuple,
    "FunctionNode": _function,
    "MethodNode": _method,
    "PartialNode": _partial,
    "TypeNode": _type,
    "SliceNode": _slice,
    "ConstructorFromReduceNode": _constructor,
    "ObjectNode": _object,
    "TreeNode": _forest,
    "LossNode": _loss,
    "QuantileForestNode": _quantile_forest,
    "NdArrayNode": _array,
    "MaskedArrayNode": _masked,
    "DTypeNode": _dtype,
    "RandomStateNode": _random_state,
    "RandomGeneratorNode": _random_generator,
    "SparseMatrixNode": _sparse,
    "BytesNode": _bytes,
    "BytearrayNode": _bytes,
    "OperatorFuncNode": _operator,
}
"""What builds a node, by its `__loader__`."""
