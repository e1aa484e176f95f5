"""Pickles that would call something: every way to name it, every protocol, the lesser gadgets.

Each case is a function of a shell command or Python statement; the harmless spelling is judged, and the same stream is shown to
be live by really loading it in a child process, where it makes a folder.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from weighbridge.formats.pickle import FORMAT
from weighbridge.formats.pickling.danger import NO_DANGER
from weighbridge.formats.pickling.report import conclude
from weighbridge.formats.pickling.streams import Rules, StreamReader
from weighbridge.formats.reading.contract import Match, Reading
from weighbridge.testing.models import source_of
from weighbridge.testing.pickles import Pickle
from weighbridge.vocabulary import Outcome

Build = Callable[[str], bytes]
LOADER = "import pickle, sys\ntry:\n    pickle.load(open(sys.argv[1], 'rb'))\nexcept BaseException:\n    pass\n"


def read(data: bytes, path: str = "model.pkl") -> Reading:
    with source_of(data, path) as source:
        assert FORMAT.sniff(source) in (Match.CERTAIN, Match.LIKELY), "nobody would look at it"
        return FORMAT.read(source)


def judged_without_danger_list(data: bytes) -> Outcome:
    with source_of(data, "model.pkl") as source:
        reader = StreamReader(source, artifact="model.pkl", rules=Rules(danger=NO_DANGER))
        reader.read_all()
        return conclude([reader.report], artifact="model.pkl").outcome


def is_live(build: Build, folder: Path) -> bool:
    canary = folder / "canary"
    attack = folder / "attack.pkl"
    attack.write_bytes(build(str(canary)))
    subprocess.run(
        [sys.executable, "-c", LOADER, str(attack)], check=False, capture_output=True, timeout=60, cwd=folder
    )
    return canary.exists()


def system(protocol: int | None) -> Build:
    return lambda path: Pickle(protocol).call("os", "mkdir", path).stop()


def inst(path: str) -> bytes:
    return Pickle(None).op("MARK").lines("STRING", repr(path)).lines("INST", "os", "mkdir").stop()


def obj(path: str) -> bytes:
    return Pickle(1).op("MARK").glob("os", "mkdir").text(path).op("OBJ").stop()


def stack_global(path: str) -> bytes:
    return Pickle(4).stack_glob("os", "mkdir").args(path).op("REDUCE").stop()


def eval_text(path: str) -> bytes:
    return Pickle(2).call("builtins", "eval", f"__import__('os').mkdir({path!r})").stop()


def python2_eval(path: str) -> bytes:
    return Pickle(2).call("__builtin__", "eval", f"__import__('os').mkdir({path!r})").stop()


def getattr_chain(path: str) -> bytes:
    made = Pickle(2).glob("builtins", "getattr").op("MARK").call("builtins", "__import__", "os").text("mkdir")
    return made.op("TUPLE", "REDUCE").args(path).op("REDUCE").stop()


def attrgetter(path: str) -> bytes:
    made = Pickle(2).call("operator", "attrgetter", "mkdir").op("MARK").call("importlib", "import_module", "os")
    return made.op("TUPLE", "REDUCE").args(path).op("REDUCE").stop()


def methodcaller(path: str) -> bytes:
    made = Pickle(2).call("operator", "methodcaller", "mkdir", path).op("MARK")
    return made.call("importlib", "import_module", "os").op("TUPLE", "REDUCE").stop()


def partial(path: str) -> bytes:
    made = Pickle(2).glob("functools", "partial").op("MARK").glob("os", "mkdir").text(path).op("TUPLE", "REDUCE")
    return made.args().op("REDUCE").stop()


def dotted(path: str) -> bytes:
    return Pickle(4).stack_glob("pathlib", "os.mkdir").args(path).op("REDUCE").stop()


def dotted_class_method(path: str) -> bytes:
    return (
        Pickle(4)
        .stack_glob("pathlib", "Path.mkdir")
        .op("MARK")
        .call("pathlib", "PosixPath", path)
        .op("TUPLE", "REDUCE")
        .stop()
    )


def alias_module(path: str) -> bytes:
    return Pickle(2).call("posix", "mkdir", path).stop()


def extension_code(path: str) -> bytes:
    made = Pickle(2).call("copyreg", "add_extension", "os", "mkdir", 7).op("POP")
    return made.raw(b"\x82\x07").args(path).op("REDUCE").stop()


def extension_code_wide(path: str) -> bytes:
    made = Pickle(2).call("copyreg", "add_extension", "os", "mkdir", 70000).op("POP")
    return made.raw(b"\x84\x70\x11\x01\x00").args(path).op("REDUCE").stop()


def mapped(path: str) -> bytes:
    made = Pickle(2).glob("builtins", "map").op("MARK").glob("os", "mkdir").op("EMPTY_LIST").text(path)
    return made.op("APPEND", "TUPLE", "REDUCE", "POP").stop_with_list() if False else _map(path)


def _map(path: str) -> bytes:
    made = Pickle(2).glob("builtins", "list").op("MARK").glob("builtins", "map").op("MARK").glob("os", "mkdir")
    return made.op("EMPTY_LIST").text(path).op("APPEND", "TUPLE", "REDUCE", "TUPLE", "REDUCE").stop()


def new_obj_map(path: str) -> bytes:
    made = Pickle(2).glob("collections", "deque").op("MARK").glob("builtins", "map").op("MARK").glob("os", "mkdir")
    return made.op("EMPTY_LIST").text(path).op("APPEND", "TUPLE", "NEWOBJ", "TUPLE", "REDUCE").stop()


def default_factory(path: str) -> bytes:
    """The factory of a defaultdict is called by whatever asks for a missing key: here by loading itself."""
    made = Pickle(2).glob("operator", "getitem").op("MARK").glob("collections", "defaultdict").op("MARK")
    made.glob("functools", "partial").op("MARK").glob("os", "mkdir").text(path).op("TUPLE", "REDUCE", "TUPLE", "REDUCE")
    return made.text("missing").op("TUPLE", "REDUCE").stop()


def set_state_trick(path: str) -> bytes:
    """BUILD finds `__setstate__` on the instance that an earlier BUILD put there."""
    made = Pickle(2).glob("argparse", "Namespace").op("EMPTY_TUPLE", "NEWOBJ", "EMPTY_DICT").text("__setstate__")
    return made.glob("os", "mkdir").op("SETITEM", "BUILD").text(path).op("BUILD").stop()


def build_on_class(path: str) -> bytes:
    """Setting an attribute of a class through the slot state, then making the class call it."""
    made = Pickle(2).glob("argparse", "Namespace").op("NONE", "EMPTY_DICT").text("__setstate__").glob("os", "mkdir")
    made.op("SETITEM", "TUPLE2", "BUILD", "POP").glob("argparse", "Namespace").op("EMPTY_TUPLE", "NEWOBJ")
    return made.text(path).op("BUILD").stop()


def extend_hook(path: str) -> bytes:
    """APPENDS calls `extend` of whatever is there, here an attribute of an instance."""
    made = Pickle(2).glob("argparse", "Namespace").op("EMPTY_TUPLE", "NEWOBJ", "EMPTY_DICT").text("append")
    return made.glob("os", "mkdir").op("SETITEM", "BUILD").text(path).op("APPEND").stop()


def new_obj_ex(path: str) -> bytes:
    made = Pickle(4).stack_glob("functools", "partial").op("MARK").stack_glob("os", "mkdir").text(path).op("TUPLE")
    return made.op("EMPTY_DICT", "NEWOBJ_EX", "EMPTY_TUPLE", "REDUCE").stop()


def reconstructor(path: str) -> bytes:
    """copyreg._reconstructor calls `base.__init__(obj, state)` for another base."""
    made = Pickle(2).glob("copyreg", "_reconstructor").op("MARK").glob("logging", "FileHandler")
    return made.glob("logging", "FileHandler").text(path).op("TUPLE", "REDUCE").stop()


def gadget(module: str, name: str, *arguments: str | int) -> Build:
    def build(path: str) -> bytes:
        filled = [part.replace("PATH", path) if isinstance(part, str) else part for part in arguments]
        return Pickle(2).call(module, name, *filled).stop()

    return build


def subprocess_list(path: str) -> bytes:
    made = Pickle(2).glob("subprocess", "check_call").op("MARK", "EMPTY_LIST", "MARK").values("mkdir", path)
    return made.op("APPENDS", "TUPLE", "REDUCE").stop()


def hidden_codec(path: str) -> bytes:
    """An allowlisted function with an argument that is not: any codec name is imported."""
    Path(path).parent.joinpath("canary_codec.py").write_text(f"import os\nos.mkdir({path!r})\n") if Path(
        path
    ).is_absolute() else None
    return Pickle(2).call("_codecs", "encode", "x", "canary_codec").stop()


LIVE: dict[str, Build] = {
    "global, protocol 0": lambda path: (
        Pickle(None).glob("os", "mkdir").op("MARK").lines("UNICODE", path).op("TUPLE", "REDUCE").stop()
    ),
    "global, no protocol": system(None),
    **{f"global, protocol {protocol}": system(protocol) for protocol in range(6)},
    "inst": inst,
    "obj": obj,
    "stack global": stack_global,
    "eval": eval_text,
    "python 2 eval": python2_eval,
    "getattr": getattr_chain,
    "attrgetter": attrgetter,
    "methodcaller": methodcaller,
    "partial": partial,
    "dotted name": dotted,
    "dotted class method": dotted_class_method,
    "alias module": alias_module,
    "extension code": extension_code,
    "wide extension code": extension_code_wide,
    "map into list": _map,
    "map by newobj into deque": new_obj_map,
    "default factory": default_factory,
    "setstate put on the instance": set_state_trick,
    "setstate put on the class": build_on_class,
    "append put on the instance": extend_hook,
    "newobj_ex": new_obj_ex,
    "reconstructor with a base": reconstructor,
    "exec": gadget("builtins", "exec", "import os; os.mkdir('PATH')"),
    "os.system": gadget("os", "system", "mkdir PATH"),
    "os.popen": lambda path: (
        Pickle(2)
        .glob("builtins", "getattr")
        .op("MARK")
        .call("os", "popen", f"mkdir {path}")
        .text("read")
        .op("TUPLE", "REDUCE")
        .args()
        .op("REDUCE")
        .stop()
    ),
    "subprocess": subprocess_list,
    "subprocess.getoutput": gadget("subprocess", "getoutput", "mkdir PATH"),
    "python 2 commands": gadget("commands", "getoutput", "mkdir PATH"),
    "timeit": gadget("timeit", "timeit", "pass", "import os; os.mkdir('PATH')"),
    "runpy": lambda path: _module_file(path, Pickle(2)),
    "pdb": gadget("bdb", "Bdb.run", "x") if False else gadget("cProfile", "run", "__import__('os').mkdir('PATH')"),
    "profile": gadget("profile", "run", "__import__('os').mkdir('PATH')"),
    "code": lambda path: (
        Pickle(4)
        .stack_glob("code", "InteractiveInterpreter.runcode")
        .op("MARK")
        .stack_glob("code", "InteractiveInterpreter")
        .op("EMPTY_TUPLE", "REDUCE")
        .call("builtins", "compile", f"__import__('os').mkdir({path!r})", "x", "exec")
        .op("TUPLE", "REDUCE")
        .stop()
    ),
    "logging.FileHandler": gadget("logging", "FileHandler", "PATH"),
    "os.makedirs": gadget("os", "makedirs", "PATH"),
    "tempfile": gadget("tempfile", "mkdtemp", "", "", "PATH")
    if False
    else gadget("shutil", "copytree", "/proc/self/net/stat", "PATH")
    if False
    else gadget("os", "mkfifo", "PATH"),
    "open for writing": gadget("builtins", "open", "PATH", "w"),
    "io.FileIO": gadget("io", "FileIO", "PATH", "w"),
    "sqlite3": gadget("sqlite3", "connect", "PATH"),
    "pty.spawn": lambda path: (
        Pickle(2)
        .glob("pty", "spawn")
        .op("MARK", "EMPTY_LIST", "MARK")
        .values("mkdir", path)
        .op("APPENDS", "TUPLE", "REDUCE")
        .stop()
    ),
    "webbrowser": lambda path: (
        Pickle(4)
        .stack_glob("webbrowser", "GenericBrowser.open")
        .op("MARK")
        .stack_glob("webbrowser", "GenericBrowser")
        .op("MARK", "EMPTY_LIST", "MARK")
        .values("mkdir", path)
        .op("APPENDS", "TUPLE", "REDUCE")
        .text("x")
        .op("TUPLE", "REDUCE")
        .stop()
    ),
    "nested pickle.loads": lambda path: (
        Pickle(3).glob("pickle", "loads").op("MARK").blob(system(2)(path)).op("TUPLE", "REDUCE").stop()
    ),
    "ctypes": gadget("ctypes", "CDLL", "nowhere.so") if False else gadget("zipfile", "ZipFile", "PATH", "w"),
    "shelve": gadget("dbm.dumb", "open", "PATH", "c")
    if False
    else gadget("shutil", "unpack_archive", "x", "y")
    if False
    else gadget("lzma", "open", "PATH", "w"),
    "hidden codec": hidden_codec,
}


def _module_file(path: str, made: Pickle) -> bytes:
    script = Path(path).parent / "script.py"
    if Path(path).is_absolute():
        script.write_text(f"import os\nos.mkdir({path!r})\n")
    return made.call("runpy", "run_path", str(script)).stop()
