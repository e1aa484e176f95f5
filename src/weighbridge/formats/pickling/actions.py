"""What each opcode does to the abstract machine, after `Lib/pickle.py`; every effect beyond the stack goes to the judge."""

from __future__ import annotations

from weighbridge.errors import MalformedArtifactError
from weighbridge.formats.pickling.joblib_arrays import read_array
from weighbridge.formats.pickling.judge import put_items, put_pairs
from weighbridge.formats.pickling.machine import Action, Machine
from weighbridge.formats.pickling.opcodes import NAMES
from weighbridge.formats.pickling.shapes import ArrayWrapper
from weighbridge.formats.pickling.values import ATOMS, TOP, Blob, Global, Mapping, Obj, Sequence, Value

_CONTAINERS = (tuple, Mapping, Sequence, Obj)


def _push(machine: Machine, value: Value) -> None:
    machine.stack.append(value)


def _constant(value: Value) -> Action:
    return lambda machine, _: machine.stack.append(value)


def _nothing(_machine: Machine, _argument: Value) -> None:
    return None


def _proto(machine: Machine, version: int) -> None:
    if version > 5:
        raise MalformedArtifactError(f"protocol {version} does not exist", locator=machine.locator)


def _frame(machine: Machine, size_bytes: int) -> None:
    machine.begin_frame(size_bytes)


def _mark(machine: Machine, _: Value) -> None:
    machine.marks.append(machine.stack)
    machine.stack = []


def _pop(machine: Machine, _: Value) -> None:
    if machine.stack:
        machine.stack.pop()
    else:
        machine.pop_mark()


def _pop_mark(machine: Machine, _: Value) -> None:
    machine.pop_mark()


def _dup(machine: Machine, _: Value) -> None:
    machine.shared += 1
    machine.stack.append(machine.stack[-1])


def _get(machine: Machine, index: int) -> None:
    if index not in machine.memo and machine.cursor.is_lenient:
        machine.stack.append(TOP)  # another loader may have read the index of a PUT in another way
        return
    if index not in machine.memo:
        raise MalformedArtifactError(f"memo entry {index} was never set", locator=machine.locator)
    value = machine.memo[index]
    if value.__class__ in _CONTAINERS:
        machine.shared += 1
    machine.stack.append(value)


def _put(machine: Machine, index: int) -> None:
    machine.memo[index] = machine.stack[-1]
    if index > 65_536 and index > machine.at:
        machine.judge.report.add(
            "pickle.expansion", "sets a memo index for which the loader reserves memory without end", machine.locator
        )


def _memoize(machine: Machine, _: Value) -> None:
    machine.memo[len(machine.memo)] = machine.stack[-1]


def _tuple(machine: Machine, _: Value) -> None:
    items = tuple(machine.pop_mark())
    machine.stack.append(items)


def _tuple1(machine: Machine, _: Value) -> None:
    machine.stack[-1] = (machine.stack[-1],)


def _tuple2(machine: Machine, _: Value) -> None:
    stack = machine.stack
    last = stack.pop()
    stack[-1] = (stack[-1], last)


def _tuple3(machine: Machine, _: Value) -> None:
    stack = machine.stack
    last, middle = stack.pop(), stack.pop()
    stack[-1] = (stack[-1], middle, last)


def _empty_list(machine: Machine, _: Value) -> None:
    machine.stack.append(Sequence())


def _empty_set(machine: Machine, _: Value) -> None:
    machine.stack.append(Sequence("set"))


def _empty_dict(machine: Machine, _: Value) -> None:
    machine.stack.append(Mapping())


def _list(machine: Machine, _: Value) -> None:
    items, made = machine.pop_mark(), Sequence()
    machine.held += put_items(made, items)
    machine.stack.append(made)


def _dict(machine: Machine, _: Value) -> None:
    items, made = machine.pop_mark(), Mapping()
    _add_pairs(machine, made, items)
    machine.stack.append(made)


def _frozenset(machine: Machine, _: Value) -> None:
    items, made = machine.pop_mark(), Sequence("set")
    _add_members(machine, made, items)
    made.kind = "frozenset"
    machine.stack.append(made)


def _append(machine: Machine, _: Value) -> None:
    item = machine.stack.pop()
    _extend(machine, "list", [item])


def _appends(machine: Machine, _: Value) -> None:
    _extend(machine, "list", machine.pop_mark())


def _add_items(machine: Machine, _: Value) -> None:
    _extend(machine, "set", machine.pop_mark())


def _extend(machine: Machine, kind: str, items: list[Value]) -> None:
    target = machine.judge.fill(machine.stack[-1], kind, NAMES[machine.opcode], machine.locator)
    if isinstance(target, Sequence):
        if kind == "set":
            _add_members(machine, target, items)
        else:
            machine.held += put_items(target, items, keeps_atoms=machine.judge.keeps_atoms)


def _add_members(machine: Machine, target: Sequence, items: list[Value]) -> None:
    for item in items:
        if item.__class__ not in ATOMS:
            machine.weigh_key(item)
    machine.held += put_items(target, items)


def _set_item(machine: Machine, _: Value) -> None:
    value, key = machine.stack.pop(), machine.stack.pop()
    _set_pairs(machine, [key, value])


def _set_items(machine: Machine, _: Value) -> None:
    _set_pairs(machine, machine.pop_mark())


def _set_pairs(machine: Machine, items: list[Value]) -> None:
    target = machine.judge.fill(machine.stack[-1], "mapping", NAMES[machine.opcode], machine.locator)
    if isinstance(target, Mapping):
        _add_pairs(machine, target, items)


def _add_pairs(machine: Machine, target: Mapping, items: list[Value]) -> None:
    if len(items) % 2:
        raise MalformedArtifactError("a dict is given a key without a value", locator=machine.locator)
    for key in items[::2]:
        if key.__class__ not in ATOMS:
            machine.weigh_key(key)
    machine.held += put_pairs(target, items)


def _global(machine: Machine, names: tuple[str, str]) -> None:
    machine.stack.append(machine.judge.name(*names, machine.at, "GLOBAL"))


def _stack_global(machine: Machine, _: Value) -> None:
    name, module = machine.stack.pop(), machine.stack.pop()
    machine.stack.append(machine.judge.name(module, name, machine.at, "STACK_GLOBAL"))


def _inst(machine: Machine, names: tuple[str, str]) -> None:
    callee = machine.judge.name(*names, machine.at, "INST")  # pickle.py imports before it looks for the mark
    _call(machine, callee, tuple(machine.pop_mark()))


def _call(machine: Machine, callee: Value, arguments: Value) -> None:
    """Push what a call gives; a covered container hashes what it is given."""
    if callee.__class__ is Global and callee.entry is not None and callee.entry.items:
        machine.weigh_key(arguments, is_key=False)
    machine.stack.append(machine.judge.call(callee, arguments, machine.locator))


def _obj(machine: Machine, _: Value) -> None:
    callee, *arguments = machine.pop_mark() or [None]
    _call(machine, callee, tuple(arguments))


def _reduce(machine: Machine, _: Value) -> None:
    arguments = machine.stack.pop()
    _call(machine, machine.stack.pop(), arguments)


def _new_obj(machine: Machine, _: Value) -> None:
    arguments = machine.stack.pop()
    machine.stack[-1] = machine.judge.construct(machine.stack[-1], arguments, machine.locator)


def _new_obj_ex(machine: Machine, _: Value) -> None:
    named, arguments = machine.stack.pop(), machine.stack.pop()
    callee = machine.stack[-1]
    is_plain = named.__class__ is Mapping and not named.count
    if not is_plain and getattr(callee, "entry", None) is not None:
        arguments = TOP  # no entry covers keyword arguments
    machine.stack[-1] = machine.judge.construct(callee, arguments, machine.locator)


def _build(machine: Machine, _: Value) -> None:
    state = machine.stack.pop()
    target = machine.stack[-1]
    machine.judge.set_state(target, state, machine.locator)
    if machine.is_joblib and target.__class__ is Obj and isinstance(target.facts, ArrayWrapper):
        machine.stack[-1] = read_array(machine, target.facts)


def _pers_id(machine: Machine, text: str) -> None:
    machine.stack.append(machine.judge.persistent_id(text, machine.locator))


def _bin_pers_id(machine: Machine, _: Value) -> None:
    machine.stack[-1] = machine.judge.persistent_id(machine.stack[-1], machine.locator)


def _extension(machine: Machine, code: int) -> None:
    machine.stack.append(machine.judge.extension(code, machine.locator))


def _next_buffer(machine: Machine, _: Value) -> None:
    machine.judge.report.doubt("pickle.structure", "needs buffers that are not in the file", machine.locator)
    machine.stack.append(Blob("bytearray", machine.at, -1))


def _read_only(machine: Machine, _: Value) -> None:
    if machine.stack[-1].__class__ not in (bytes, Blob):
        raise MalformedArtifactError("a read-only buffer is made of something that is none", locator=machine.locator)


def _unknown(machine: Machine, _: Value) -> None:
    raise MalformedArtifactError(f"byte 0x{machine.opcode:02x} is no opcode", locator=machine.locator)


_NAMED: dict[str, Action] = {
    **dict.fromkeys(
        ("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8", "FLOAT", "BINFLOAT", "INT", "BININT"), _push
    ),
    **dict.fromkeys(("BININT1", "BININT2", "LONG", "LONG1", "LONG4", "STRING", "BINSTRING", "SHORT_BINSTRING"), _push),
    **dict.fromkeys(("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"), _push),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), _get),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), _put),
    **dict.fromkeys(("EXT1", "EXT2", "EXT4"), _extension),
    "NONE": _constant(None),
    "NEWTRUE": _constant(True),  # noqa: FBT003  # the value itself
    "NEWFALSE": _constant(False),  # noqa: FBT003  # the value itself
    "EMPTY_TUPLE": _constant(()),
    "PROTO": _proto,
    "FRAME": _frame,
    "MARK": _mark,
    "POP": _pop,
    "POP_MARK": _pop_mark,
    "DUP": _dup,
    "MEMOIZE": _memoize,
    "TUPLE": _tuple,
    "TUPLE1": _tuple1,
    "TUPLE2": _tuple2,
    "TUPLE3": _tuple3,
    "EMPTY_LIST": _empty_list,
    "EMPTY_SET": _empty_set,
    "EMPTY_DICT": _empty_dict,
    "LIST": _list,
    "DICT": _dict,
    "FROZENSET": _frozenset,
    "APPEND": _append,
    "APPENDS": _appends,
    "ADDITEMS": _add_items,
    "SETITEM": _set_item,
    "SETITEMS": _set_items,
    "GLOBAL": _global,
    "STACK_GLOBAL": _stack_global,
    "INST": _inst,
    "OBJ": _obj,
    "REDUCE": _reduce,
    "NEWOBJ": _new_obj,
    "NEWOBJ_EX": _new_obj_ex,
    "BUILD": _build,
    "PERSID": _pers_id,
    "BINPERSID": _bin_pers_id,
    "NEXT_BUFFER": _next_buffer,
    "READONLY_BUFFER": _read_only,
    "STOP": _nothing,
}
ACTIONS: tuple[Action, ...] = tuple(_NAMED[NAMES[code]] if NAMES[code] else _unknown for code in range(256))
"""What each opcode byte does to a machine."""
