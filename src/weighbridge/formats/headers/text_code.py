"""What a Python source would do where it is imported, and what its functions may do: an inventory with lines, nothing is run.

A name counts as it is written: `import os as o; o.system(...)` is `os.system`. Code that hides what it calls is not seen
through, so that nothing found is never a PASS.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

SOURCE_LIMIT_BYTES = 1 << 20
_NESTING_LIMIT = 100
_NODE_LIMIT = 200_000

_PROCESSES = frozenset(
    [
        "os.system",
        "os.popen",
        "os.execv",
        "os.execve",
        "os.execvp",
        "os.execl",
        "os.spawnl",
        "os.spawnv",
        "os.spawnlp",
        "os.posix_spawn",
        "os.startfile",
        "pty.spawn",
        "subprocess.run",
        "subprocess.call",
        "subprocess.check_call",
        "subprocess.check_output",
        "subprocess.Popen",
        "subprocess.getoutput",
        "subprocess.getstatusoutput",
        "commands.getoutput",
        "multiprocessing.Process",
        "asyncio.create_subprocess_shell",
        "asyncio.create_subprocess_exec",
        "pip.main",
        "pip._internal.main",
        "runpy.run_path",
        "runpy.run_module",
    ]
)
_CODE = frozenset(
    [
        "eval",
        "exec",
        "compile",
        "__import__",
        "builtins.eval",
        "builtins.exec",
        "importlib.import_module",
        "marshal.loads",
        "pickle.loads",
        "pickle.load",
        "dill.loads",
        "cloudpickle.loads",
        "ctypes.CDLL",
        "ctypes.cdll.LoadLibrary",
        "types.FunctionType",
        "code.interact",
    ]
)
_NETWORK = frozenset(
    [
        "socket.socket",
        "socket.create_connection",
        "urllib.request.urlopen",
        "urllib.request.urlretrieve",
        "requests.get",
        "requests.post",
        "requests.put",
        "requests.request",
        "httpx.get",
        "httpx.post",
        "http.client.HTTPConnection",
        "http.client.HTTPSConnection",
        "ftplib.FTP",
        "smtplib.SMTP",
    ]
)
_WRITES = frozenset(
    [
        "os.remove",
        "os.unlink",
        "os.rename",
        "os.replace",
        "os.symlink",
        "os.chmod",
        "shutil.rmtree",
        "shutil.copy",
        "shutil.copyfile",
        "shutil.copytree",
        "shutil.move",
    ]
)
_OPENS = frozenset(["open", "io.open", "codecs.open", "builtins.open"])
_PATH_WRITES = frozenset(["write_text", "write_bytes", "unlink", "symlink_to"])
_KINDS = {
    **dict.fromkeys(_PROCESSES, "starts a program"),
    **dict.fromkeys(_CODE, "runs code that it is given"),
    **dict.fromkeys(_NETWORK, "reaches the network"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Capability:
    """One call: its name, the line it stands on, what it does, and whether importing the file reaches it."""

    name: str
    line: int
    does: str
    is_on_import: bool


def capabilities(source: str) -> list[Capability]:
    """The calls of a source that start programs, run given code or reach the network; at import also those that change files.

    Raises:
        ValueError: it is no Python, nests too deeply or is too long.
    """
    if len(source) > SOURCE_LIMIT_BYTES or _nesting(source) > _NESTING_LIMIT:
        raise ValueError("longer or more deeply nested than is looked at")
    try:
        tree = ast.parse(source)
    except (SyntaxError, RecursionError, MemoryError) as problem:
        raise ValueError(f"no Python: {type(problem).__name__}") from problem
    aliases: dict[str, str] = {}
    found: list[Capability] = []
    for count, (node, is_inner) in enumerate(_nodes(tree)):
        if count > _NODE_LIMIT:
            raise ValueError("more code than is looked at")
        if isinstance(node, ast.Import):
            aliases |= {alias.asname: alias.name for alias in node.names if alias.asname}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            aliases |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Call):
            name = _name(node.func, aliases)
            does = _KINDS.get(name) or ("" if is_inner else _changes_files(node, name))
            if does:
                found.append(
                    Capability(name=name or "a method", line=node.lineno, does=does, is_on_import=not is_inner)
                )
    return found


def _nodes(tree: ast.AST) -> Iterator[tuple[ast.AST, bool]]:
    """Every node, imports of a block before its calls, and whether it lies in the body of a function."""
    pending: list[tuple[ast.AST, bool]] = [(tree, False)]
    while pending:
        node, is_inner = pending.pop()
        yield node, is_inner
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            outside: list[ast.AST] = [*node.decorator_list, node.args, *([node.returns] if node.returns else [])]
            pending += [(child, is_inner) for child in outside]
            pending += [(child, True) for child in reversed(node.body)]
        elif isinstance(node, ast.If) and _is_start(node.test):
            pending += [(child, is_inner) for child in reversed(node.orelse)]
            pending += [(child, True) for child in reversed(node.body)]
        elif isinstance(node, ast.Lambda):
            pending += [(node.args, is_inner), (node.body, True)]
        else:
            pending += [(child, is_inner) for child in reversed(list(ast.iter_child_nodes(node)))]


def _is_start(test: ast.expr) -> bool:
    """Whether it holds where a file is started as a program, and not where it is imported: `__name__ == "__main__"`."""
    if not isinstance(test, ast.Compare) or len(test.ops) != 1 or not isinstance(test.ops[0], ast.Eq):
        return False
    names = [side.id for side in (test.left, *test.comparators) if isinstance(side, ast.Name)]
    values = [side.value for side in (test.left, *test.comparators) if isinstance(side, ast.Constant)]
    return names == ["__name__"] and values == ["__main__"]


def _changes_files(call: ast.Call, name: str) -> str:
    """What a call does to files; empty where it only reads, or nobody can say."""
    is_method = isinstance(call.func, ast.Attribute) and call.func.attr in _PATH_WRITES
    if name in _WRITES or is_method:
        return "changes files"
    modes = [call.args[1]] if len(call.args) > 1 else [word.value for word in call.keywords if word.arg == "mode"]
    is_written = any(isinstance(mode, ast.Constant) and re.search("[wax+]", str(mode.value)) for mode in modes)
    return "changes files" if name in _OPENS and is_written else ""


def _name(node: ast.expr, aliases: dict[str, str]) -> str:
    parts: list[str] = []
    while isinstance(node, ast.Attribute) and len(parts) < 8:
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return ""
    return ".".join([aliases.get(node.id, node.id), *reversed(parts)])


def _nesting(source: str) -> int:
    depth = deepest = 0
    for character in source:
        if character in "([{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in ")]}":
            depth -= 1
    return deepest
