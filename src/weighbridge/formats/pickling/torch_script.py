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


@cache
def script_rules() -> dict[str, Any]:
    """The table of operators."""
    text = (files("weighbridge.formats.pickling") / "data" / "torch_script.toml").read_text("utf-8")
    return tomllib.loads(text)


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
                    "pickle.calls-unsafe-global", f"runs {what}, which {script_rules()['reason']}", clip(rest, 100)
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
        if root == "torch":
            parts = ["aten", *parts]
        name = ".".join(parts[:2])
        if name in seen:
            continue
        seen.add(name)
        if len(parts) < 2:
            yield f"uses `{clip(root + path, 60)}` as a value, so that nobody knows which operator is called", False
        elif name in rules["harmful"] or parts[0] in rules["harmful_namespaces"]:
            yield f"the operator {clip(name, 80)}", True
        elif parts[0] not in rules["namespaces"]:
            yield f"calls the operator {clip(name, 80)}, which is in a native library that is not part of torch", False
    for custom in sorted({match.group(1) for match in _CUSTOM.finditer(plain)} - set(rules["classes"])):
        yield f"uses the class {clip(custom, 60)}, which is in a native library that is not part of torch", False
    if found := _BUILTIN.search(plain):
        yield f"the operator {found.group()}", True
