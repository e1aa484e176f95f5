"""The code of TorchScript archives: which classes it defines, and which operators it names. It is read, never compiled.

TorchScript is a small language that looks like Python. Its compiler resolves a name to a function or class of the archive, or
to an operator below `torch` and `ops`; nothing else can be called. Code may run while the archive is loaded (`__setstate__`).
Source: torch/csrc/jit/serialization/import_source.cpp of torch 2.13.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

from weighbridge.formats.pickling.allowlist import Entry, read_entries
from weighbridge.formats.pickling.report import Report
from weighbridge.vocabulary import clip

CODE_LIMIT_BYTES = 8 << 20
_CLASS_LIMIT = 20_000
_CLASS = re.compile(r"^class ([A-Za-z_]\w{0,200})(?:\(([\w., ]{0,200})\))?:", re.MULTILINE)
_TEXT = re.compile(r"\"(?:[^\"\\\n]|\\.)*+\"|'(?:[^'\\\n]|\\.)*+'|#[^\n]*", re.DOTALL)
_DOTS = re.compile(r"\s*+\.\s*+")
_NAMED = re.compile(r"(?<![\w.])(torch|ops)(?![\w])((?:\.[A-Za-z_]\w*)*)")
_CUSTOM = re.compile(r"__torch__\.torch\.classes\.(\w+)\.(\w+)")
_BUILTIN = re.compile(r"(?<![\w.])(?:rpc_sync|rpc_async|rpc_remote)\b")
_OWN = re.compile(r"__torch__(?:\.\w+)+")
_METHOD = re.compile(r"(?<!\btorch)\.(\w+)\s*\(")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptRules:
    """Which operators are known (`NAMESPACE.NAME`), which of them do harm, and what else a graph or a code may name."""

    known: frozenset[str]
    harmful: frozenset[str]
    harmful_namespaces: frozenset[str]
    harmful_methods: frozenset[str]
    classes: frozenset[str]
    targets: frozenset[str]
    reason: str

    def is_harmful(self, operator: str) -> bool:
        """Whether an operator reads or writes files or runs code elsewhere."""
        return operator in self.harmful or operator.partition(".")[0] in self.harmful_namespaces


@cache
def script_rules() -> ScriptRules:
    """The tables of operators."""
    folder = files("weighbridge.formats.pickling") / "data"
    rules: dict[str, Any] = tomllib.loads((folder / "torch_script.toml").read_text("utf-8"))
    listed: dict[str, Any] = tomllib.loads((folder / "torch_operators.toml").read_text("utf-8"))
    spaces = (*rules["operators"].items(), *listed["operators"].items())
    targets = [f"_operator.{name}" for name in rules["target_operators"]]
    return ScriptRules(
        known=frozenset(f"{space}.{name}" for space, names in spaces for name in names),
        harmful=frozenset(rules["harmful"]),
        harmful_namespaces=frozenset(rules["harmful_namespaces"]),
        harmful_methods=frozenset(rules["harmful_methods"]),
        classes=frozenset(rules["classes"]),
        targets=frozenset([*targets, *(f"torch.{name}" for name in rules["target_torch"])]),
        reason=rules["reason"],
    )


@dataclass(slots=True)
class ScriptCode:
    """The code of one archive. `classes` are the names that it defines, by (module, name), and what they are made from."""

    report: Report
    classes: dict[tuple[str, str], str] = field(default_factory=dict)
    size_bytes: int = 0

    def read(self, rest: str, data: bytes) -> None:
        """Take one member, `code/__torch__/a/b.py`."""
        self.size_bytes += len(data)
        if self.size_bytes > CODE_LIMIT_BYTES:
            self.report.doubt("torch_zip.torchscript", f"more than {CODE_LIMIT_BYTES:,} bytes of TorchScript", "")
            return
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError as problem:
            self.report.doubt("torch_zip.torchscript", f"{clip(rest, 80)} is not text", f"byte {problem.start}")
            return
        module = rest.removeprefix("code/").removesuffix(".py").replace("/", ".")
        for match in _CLASS.finditer(text):
            if len(self.classes) < _CLASS_LIMIT:
                self.classes[module, match.group(1)] = match.group(2) or ""
        for what, is_harmful in _demands(text):
            if is_harmful:
                self.report.fail(
                    "pickle.calls-unsafe-global", f"runs {what}, which {script_rules().reason}", clip(rest, 100)
                )
            else:
                self.report.doubt("torch_zip.torchscript", what, clip(rest, 100))

    def entries(self) -> list[Entry]:
        """What data.pkl may name besides: the classes that the code defines, each by its name."""
        made: list[Entry] = []
        for (module, name), parent in self.classes.items():
            kind = "call" if parent in ("NamedTuple", "Enum") else "class"
            arguments = 'arguments = [["*data"]]' if kind == "call" else 'build = "reviewed"'
            if not re.fullmatch(r"[\w.]+", module):
                continue
            line = f'allow = [{{ module = "{module}", names = ["{name}"], kind = "{kind}", {arguments} }}]'
            made += read_entries(f'name = "its own TorchScript code"\nversion = 1\n{line}', origin="code")
        return made


def _demands(text: str) -> Iterator[tuple[str, bool]]:
    """What a code names that is no plain operator, and whether it is known to do harm; each once."""
    rules = script_rules()
    plain = _DOTS.sub(".", _TEXT.sub(" ", text))
    seen: set[str] = set()
    for match in _NAMED.finditer(plain):
        root, path = match.groups()
        parts = path.split(".")[1:]
        name = ".".join(["aten", *parts] if root == "torch" else parts)
        if name in seen:
            continue
        seen.add(name)
        if rules.is_harmful(name):
            yield f"the operator {clip(name, 80)}", True
        elif name not in rules.known:
            yield f"names `{clip(root + path, 80)}`, which is no operator of torch's own that is listed", False
    for method in sorted({match.group(1) for match in _METHOD.finditer(_OWN.sub(" ", plain))} & rules.harmful_methods):
        yield f"the operator aten.{method} as a method", True
    for custom in sorted({match.group(1) for match in _CUSTOM.finditer(plain)} - rules.classes):
        yield f"uses the class {clip(custom, 60)}, which is in a native library that is not part of torch", False
    if found := _BUILTIN.search(plain):
        yield f"the operator {found.group()}", True
