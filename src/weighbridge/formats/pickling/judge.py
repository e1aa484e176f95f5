"""What each effect of a pickle means: naming, calling, building, filling. The machine moves values, the judge decides.

The rules, after design advice 1 of the artifact-audit survey: a name is a pair of literal texts that the allowlist holds
entry by entry; what is called is such a name and never a value that the stream computed; arguments fit the entry; state
and items go only into objects whose class is known to take them. The danger list only words and grades a refusal.
"""

from __future__ import annotations

from collections.abc import Callable

from weighbridge.formats.pickling.allowlist import Allowlist, Entry, policy_line
from weighbridge.formats.pickling.danger import DangerList
from weighbridge.formats.pickling.facts import Refusal
from weighbridge.formats.pickling.report import Report
from weighbridge.formats.pickling.shapes import build, make
from weighbridge.formats.pickling.values import ATOMS, KEPT_KEYS, TOP, Global, Mapping, Obj, Sequence, Value, show
from weighbridge.vocabulary import Outcome, Severity

GLOBAL_LIMIT = 20_000
"""Distinct names a stream may have before nobody looks further."""
_METHOD_NAMES = frozenset(
    (*dir(dict), *dir(list), *dir(set), "appendleft", "extendleft", "move_to_end", "popleft", "rotate")
)
"""Instance attributes of these names would stand in for the methods that loading itself looks up."""

_INERT_NAMES = ("__doc__", "__model")
"""Attributes of distributions of scipy and of models of CatBoost; no method has such a name."""

_NOTED_KEYS = _METHOD_NAMES | KEPT_KEYS

PersistentIds = Callable[[Value], "Obj | Global | str"]
"""Turns a persistent id into a storage or a class, or says what is wrong with it."""


class Judge:
    """Decides about the effects of one stream and writes them into a report.

    `keeps_atoms`: lists keep their constants too, for the one stream whose list of names is needed. `name_limit`: how many
    distinct names are looked at.
    """

    __slots__ = ("allowlist", "danger", "keeps_atoms", "name_limit", "persistent", "report")

    def __init__(
        self,
        report: Report,
        *,
        allowlist: Allowlist,
        danger: DangerList,
        persistent: PersistentIds | None = None,
        name_limit: int = GLOBAL_LIMIT,
    ) -> None:
        self.name_limit = name_limit
        self.report = report
        self.allowlist = allowlist
        self.danger = danger
        self.persistent = persistent
        self.keeps_atoms = False

    def name(self, module: Value, name: Value, at: int, opcode: str) -> Value:
        """A global that the stream names; both parts must be literal text."""
        if module.__class__ is not str or name.__class__ is not str:
            self.report.fail(
                "pickle.computed-global",
                "imports a name that is not written in the file",
                f"byte {at} {opcode}",
                excerpt=f"{show(module)}, {show(name)}",
            )
            return TOP
        known = self.report.globals.get((module, name))
        if known is None:
            reason = self.danger.reason(module, name)
            known = Global(module, name, self.allowlist.find(module, name), reason=reason, at=at, opcode=opcode)
            self.report.globals[module, name] = known
            if "." in name:
                self.report.fail(
                    "pickle.computed-global",
                    f"reaches {known.path} through attributes of {module}",
                    f"byte {at} {opcode}",
                    excerpt=known.path,
                )
        return known

    def call(self, callee: Value, arguments: Value, locator: str) -> Value:
        """A call by REDUCE, OBJ or INST."""
        if callee.__class__ is not Global:
            self.report.fail(
                "pickle.computed-call",
                "calls something that the stream computes",
                locator,
                excerpt=f"{show(callee)}{show(arguments)}",
            )
            return TOP
        callee.is_called = True
        entry = callee.entry
        if entry is None:
            return self._unlisted_call(callee, arguments, locator)
        if entry.kind != "call":
            how = "only to be held as a value" if entry.kind == "value" else "only to be instantiated without arguments"
            return self._refuse(f"calls {callee.path}, which is covered {how}", arguments, locator)
        if arguments.__class__ is not tuple or not entry.covers(arguments):
            return self._refuse(
                f"calls {callee.path} with arguments that its policy entry does not cover", arguments, locator
            )
        if entry.check == "reconstructor":
            return self.construct(arguments[0], (), locator)
        made = make(entry, arguments)
        if made.__class__ is Refusal:
            self.report.add(made.check, made.message, locator, excerpt=show(arguments))
            return TOP
        self.report.calls += 1
        return made

    def construct(self, callee: Value, arguments: Value, locator: str) -> Value:
        """An instance made by `__new__` alone: NEWOBJ, NEWOBJ_EX, copyreg._reconstructor."""
        if callee.__class__ is not Global:
            return self.call(callee, arguments, locator)
        entry = callee.entry
        if entry is not None:
            if entry.kind == "class" and arguments.__class__ is tuple and entry.covers(arguments):
                callee.is_constructed = True
                self.report.calls += 1
                return self._instance(entry)
            callee.is_called = True
            return self._refuse(
                f"instantiates {callee.path} in a way its policy entry does not cover", arguments, locator
            )
        if callee.reason or self.danger.is_standard(callee.module) or arguments.__class__ is not tuple:
            callee.is_called = True
            return self._unlisted_call(callee, arguments, locator)
        callee.is_constructed = True
        if arguments:
            callee.takes.add("arguments")
        return Obj(callee.path, facts=callee)

    def set_state(self, target: Value, state: Value, locator: str) -> None:
        """BUILD: `__setstate__`, or attributes set one by one."""
        if target is TOP:
            return  # whatever made it unknown is reported
        if target.__class__ is not Obj:
            self.report.fail(
                "pickle.mutates-unknown",
                f"sets attributes of {show(target)}",
                locator,
                excerpt=show(state),
            )
            return
        if isinstance(target.facts, Global):
            target.facts.takes.add("state")
            return
        problem = build(target, state)
        if problem is not None:
            self.report.add(problem.check, problem.message, locator, excerpt=show(state))

    def fill(self, target: Value, kind: str, opcode: str, locator: str) -> Mapping | Sequence | None:
        """The container that items go into; `kind` is `list`, `set` or `mapping`. None where nothing may go in."""
        if target is TOP:
            return None  # whatever made it unknown is reported
        held = target.held if isinstance(target, Obj) else target
        if isinstance(held, Sequence) and held.kind == kind:
            return held
        if isinstance(held, Mapping) and kind == "mapping" and not held.is_frozen:
            return held
        self.report.add(
            "pickle.mutates-unknown", f"puts items into {show(target)} by {opcode}", locator, excerpt=show(target)
        )
        return None

    def persistent_id(self, value: Value, locator: str) -> Value:
        """A reference to something outside the stream."""
        found: Obj | Global | str = "stands outside a torch checkpoint"
        if self.persistent is not None:
            found = self.persistent(value)
        if not isinstance(found, str):
            return found
        self.report.fail(
            "pickle.persistent-id", f"asks the loader for an object that {found}", locator, excerpt=show(value)
        )
        return TOP

    def extension(self, code: int, locator: str) -> Value:
        """A name by its number in the loader's copyreg registry, which the file does not hold."""
        self.report.fail(
            "pickle.extension-code", f"imports extension code {code}, whose name is not in the file", locator
        )
        return TOP

    def finish(self) -> None:
        """Say about every name that was met what nobody said yet."""
        for found in self.report.globals.values():
            if found.is_called or (found.entry is not None and not found.reason):
                continue
            if found.reason:
                self.report.fail(
                    "pickle.imports-unsafe-global",
                    f"imports {found.path} when it is loaded: {found.reason}",
                    f"byte {found.at} {found.opcode}",
                    excerpt=found.path,
                )
                continue
            kind = "class" if found.is_constructed else "value"
            does = "makes an instance of" if found.is_constructed else "imports"
            line = policy_line(found.module, found.name, kind, takes=found.takes)
            self.report.doubt(
                "pickle.unlisted-global",
                f"{does} {found.path}, which needs a policy line: {line}",
                f"byte {found.at} {found.opcode}",
                references=(line,),
            )

    def _instance(self, entry: Entry) -> Obj:
        made = make(entry, ())
        return made if made.__class__ is Obj else Obj(entry.makes, entry)

    def _refuse(self, message: str, arguments: Value, locator: str) -> Value:
        self.report.add("pickle.unlisted-call", message, locator, excerpt=show(arguments))
        return TOP

    def _unlisted_call(self, callee: Global, arguments: Value, locator: str) -> Value:
        if callee.reason:
            self.report.fail(
                "pickle.calls-unsafe-global",
                f"calls {callee.path} when it is loaded: {callee.reason}",
                locator,
                excerpt=show(arguments, 3),
            )
            return TOP
        is_standard = self.danger.is_standard(callee.module)
        self.report.add(
            "pickle.unlisted-call",
            f"calls {callee.path} when it is loaded, which no policy covers",
            locator,
            outcome=Outcome.FAIL,
            severity=Severity.CRITICAL if is_standard else Severity.HIGH,
            excerpt=show(arguments, 3),
        )
        return TOP


def put_pairs(target: Mapping, items: list[Value]) -> int:
    """Add alternating keys and values to a mapping, keeping only what holds something; how many pairs were kept."""
    kept = 0
    odd: Value = target  # the mapping itself stands for no key: it is never one
    target.count += len(items) // 2
    for key, value in zip(items[::2], items[1::2], strict=False):
        holds = value.__class__ not in ATOMS
        if key.__class__ is not str:
            odd = key
            holds = holds or key.__class__ not in ATOMS
        elif key[:2] == "__":
            odd = odd if key in _INERT_NAMES else key
        elif key in _NOTED_KEYS:
            target.method_key = show(key) if key in _METHOD_NAMES else target.method_key
            holds = holds or key in KEPT_KEYS
        if holds:
            target.pairs.append((key, value))
            kept += 1
    if odd is not target:
        target.odd_key = show(odd)
    return kept


def put_items(target: Sequence, items: list[Value], *, keeps_atoms: bool = False) -> int:
    """Add items to a list or set, keeping only those that hold something unless asked otherwise; how many were kept."""
    kept = items if keeps_atoms else [item for item in items if item.__class__ not in ATOMS]
    target.count += len(items)
    target.children += kept
    return len(kept)
