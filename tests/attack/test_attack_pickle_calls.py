"""Pickles that would call something: every way to name it, every protocol, the lesser gadgets.

A live case is a function of a path: really loaded in a child process, the stream makes something at that path, which proves that
the case is what it says. What is judged is the same stream.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from weighbridge.formats.pickle import FORMAT
from weighbridge.formats.pickling.danger import NO_DANGER
from weighbridge.formats.pickling.report import conclude
from weighbridge.formats.pickling.streams import Rules, StreamReader
from weighbridge.formats.reading.contract import Match, Reading
from weighbridge.testing.models import source_of
from weighbridge.testing.pickles import Pickle
from weighbridge.vocabulary import Outcome, Severity

Build = Callable[[str], bytes]
LOADER = """
import pickle, sys
try:
    pickle.load(open(sys.argv[1], "rb"))
except BaseException:
    pass
"""


def read(data: bytes, path: str = "model.pkl") -> Reading:
    with source_of(data, path) as source:
        assert FORMAT.sniff(source) in (Match.CERTAIN, Match.LIKELY), "nobody would look at it"
        return FORMAT.read(source)


def without_danger_list(data: bytes) -> Outcome:
    with source_of(data, "model.pkl") as source:
        reader = StreamReader(source, artifact="model.pkl", rules=Rules(danger=NO_DANGER))
        reader.read_all()
        return conclude([reader.report], artifact="model.pkl").outcome


def gadget(module: str, name: str, *arguments: str | int, protocol: int = 2) -> Build:
    """One call with constants; PATH in a text is the place to make."""

    def build(path: str) -> bytes:
        filled = [part.replace("PATH", path) if isinstance(part, str) else part for part in arguments]
        return Pickle(protocol).call(module, name, *filled).stop()

    return build


def listed(module: str, name: str, *arguments: str) -> Build:
    """One call with a list of texts."""

    def build(path: str) -> bytes:
        made = Pickle(4).stack_glob(module, name).op("MARK", "EMPTY_LIST", "MARK")
        return made.values(*(a.replace("PATH", path) for a in arguments)).op("APPENDS", "TUPLE", "REDUCE").stop()

    return build


def text_protocol(path: str) -> bytes:
    return Pickle(None).glob("os", "mkdir").op("MARK").lines("UNICODE", path).op("TUPLE", "REDUCE").stop()


def inst(path: str) -> bytes:
    return Pickle(None).op("MARK").lines("STRING", repr(path)).lines("INST", "os", "mkdir").stop()


def obj(path: str) -> bytes:
    return Pickle(1).op("MARK").glob("os", "mkdir").text(path).op("OBJ").stop()


def stack_global(path: str) -> bytes:
    return Pickle(4).stack_glob("os", "mkdir").args(path).op("REDUCE").stop()


def getattr_chain(path: str) -> bytes:
    made = Pickle().glob("builtins", "getattr").op("MARK").call("builtins", "__import__", "os").text("mkdir")
    return made.op("TUPLE", "REDUCE").args(path).op("REDUCE").stop()


def attrgetter(path: str) -> bytes:
    made = Pickle().call("operator", "attrgetter", "mkdir").op("MARK").call("importlib", "import_module", "os")
    return made.op("TUPLE", "REDUCE").args(path).op("REDUCE").stop()


def methodcaller(path: str) -> bytes:
    made = Pickle().call("operator", "methodcaller", "mkdir", path).op("MARK")
    return made.call("importlib", "import_module", "os").op("TUPLE", "REDUCE").stop()


def partial(path: str) -> bytes:
    made = Pickle().glob("functools", "partial").op("MARK").glob("os", "mkdir").text(path).op("TUPLE", "REDUCE")
    return made.args().op("REDUCE").stop()


def dotted_module(path: str) -> bytes:
    return Pickle(4).stack_glob("pathlib", "os.mkdir").args(path).op("REDUCE").stop()


def dotted_method(path: str) -> bytes:
    made = Pickle(4).stack_glob("pathlib", "Path.mkdir").op("MARK").call("pathlib", "PosixPath", path)
    return made.op("TUPLE", "REDUCE").stop()


def extension(opcode: bytes, code: int) -> Build:
    def build(path: str) -> bytes:
        made = Pickle().call("copyreg", "add_extension", "os", "mkdir", code).op("POP")
        return made.raw(opcode).args(path).op("REDUCE").stop()

    return build


def map_into_list(path: str) -> bytes:
    made = Pickle().glob("builtins", "list").op("MARK").glob("builtins", "map").op("MARK").glob("os", "mkdir")
    return made.op("EMPTY_LIST").text(path).op("APPEND", "TUPLE", "REDUCE", "TUPLE", "REDUCE").stop()


def map_into_deque(path: str) -> bytes:
    """A covered constructor that iterates what it is given, over an iterator made without a call."""
    made = Pickle().glob("collections", "deque").op("MARK").glob("builtins", "map").op("MARK").glob("os", "mkdir")
    return made.op("EMPTY_LIST").text(path).op("APPEND", "TUPLE", "NEWOBJ", "TUPLE", "REDUCE").stop()


def default_factory(path: str) -> bytes:
    made = Pickle().glob("operator", "getitem").op("MARK").glob("collections", "defaultdict").op("MARK")
    made.glob("functools", "partial").op("MARK").glob("os", "mkdir").text(path).op("TUPLE", "REDUCE", "TUPLE", "REDUCE")
    return made.text("missing").op("TUPLE", "REDUCE").stop()


def setstate_on_instance(path: str) -> bytes:
    """BUILD finds `__setstate__` on the instance, where an earlier BUILD put it."""
    made = Pickle().glob("argparse", "Namespace").op("EMPTY_TUPLE", "NEWOBJ", "EMPTY_DICT").text("__setstate__")
    return made.glob("os", "mkdir").op("SETITEM", "BUILD").text(path).op("BUILD").stop()


def setstate_on_class(path: str) -> bytes:
    """The slot state of BUILD sets an attribute of a covered class."""
    made = Pickle().glob("argparse", "Namespace").op("NONE", "EMPTY_DICT").text("__setstate__").glob("os", "mkdir")
    made.op("SETITEM", "TUPLE2", "BUILD", "POP").glob("argparse", "Namespace").op("EMPTY_TUPLE", "NEWOBJ")
    return made.text(path).op("BUILD").stop()


def append_on_instance(path: str) -> bytes:
    """APPEND calls `append` of whatever is there, here an attribute of an instance."""
    made = Pickle().glob("argparse", "Namespace").op("EMPTY_TUPLE", "NEWOBJ", "EMPTY_DICT").text("append")
    return made.glob("os", "mkdir").op("SETITEM", "BUILD").text(path).op("APPEND").stop()


def keyword_arguments(path: str) -> bytes:
    made = Pickle(4).stack_glob("functools", "partial").op("MARK").stack_glob("os", "mkdir").text(path).op("TUPLE")
    return made.op("EMPTY_DICT", "NEWOBJ_EX", "EMPTY_TUPLE", "REDUCE").stop()


def reconstructor_base(path: str) -> bytes:
    """copyreg._reconstructor calls `base.__init__(obj, state)` for a base that is not object."""
    made = Pickle().glob("copyreg", "_reconstructor").op("MARK").glob("logging", "FileHandler")
    return made.glob("logging", "FileHandler").text(path).op("TUPLE", "REDUCE").stop()


def popen_read(path: str) -> bytes:
    made = Pickle().glob("builtins", "getattr").op("MARK").call("os", "popen", f"mkdir {path}").text("read")
    return made.op("TUPLE", "REDUCE").args().op("REDUCE").stop()


def interpreter(path: str) -> bytes:
    made = Pickle(4).stack_glob("code", "InteractiveInterpreter.runcode").op("MARK")
    made.stack_glob("code", "InteractiveInterpreter").op("EMPTY_TUPLE", "REDUCE")
    return (
        made.call("builtins", "compile", f"__import__('os').mkdir({path!r})", "x", "exec").op("TUPLE", "REDUCE").stop()
    )


def browser(path: str) -> bytes:
    made = Pickle(4).stack_glob("webbrowser", "GenericBrowser.open").op("MARK")
    made.stack_glob("webbrowser", "GenericBrowser").op("MARK", "EMPTY_LIST", "MARK").values("mkdir", path)
    return made.op("APPENDS", "TUPLE", "REDUCE").text("x").op("TUPLE", "REDUCE").stop()


def pickle_in_pickle(path: str) -> bytes:
    inner = gadget("os", "mkdir", "PATH")(path)
    return Pickle(3).glob("pickle", "loads").op("MARK").blob(inner).op("TUPLE", "REDUCE").stop()


IMPORT = "__import__('os').mkdir('PATH')"
LIVE: dict[str, Build] = {
    "protocol 0": text_protocol,
    **{f"protocol {number}": gadget("os", "mkdir", "PATH", protocol=number) for number in range(6)},
    "inst": inst,
    "obj": obj,
    "stack global": stack_global,
    "alias module": gadget("posix", "mkdir", "PATH"),
    "eval": gadget("builtins", "eval", IMPORT),
    "python 2 eval": gadget("__builtin__", "eval", IMPORT),
    "exec": gadget("builtins", "exec", "import os; os.mkdir('PATH')"),
    "os.system": gadget("os", "system", "mkdir PATH"),
    "os.popen": popen_read,
    "getattr": getattr_chain,
    "attrgetter": attrgetter,
    "methodcaller": methodcaller,
    "partial": partial,
    "dotted module": dotted_module,
    "dotted method": dotted_method,
    "extension code": extension(b"\x82\x07", 7),
    "two-byte extension code": extension(b"\x83\x07\x01", 263),
    "four-byte extension code": extension(b"\x84\x70\x11\x01\x00", 70000),
    "map into list": map_into_list,
    "map into deque": map_into_deque,
    "default factory": default_factory,
    "setstate on an instance": setstate_on_instance,
    "setstate on a class": setstate_on_class,
    "append on an instance": append_on_instance,
    "keyword arguments": keyword_arguments,
    "reconstructor with a base": reconstructor_base,
    "subprocess": listed("subprocess", "check_call", "mkdir", "PATH"),
    "subprocess.Popen": listed("subprocess", "Popen", "mkdir", "PATH"),
    "subprocess.getoutput": gadget("subprocess", "getoutput", "mkdir PATH"),
    "python 2 commands": gadget("commands", "getoutput", "mkdir PATH"),
    "pty.spawn": listed("pty", "spawn", "mkdir", "PATH"),
    "timeit": gadget("timeit", "timeit", "pass", "import os; os.mkdir('PATH')"),
    "cProfile": gadget("cProfile", "run", IMPORT),
    "profile": gadget("profile", "run", IMPORT),
    "interpreter": interpreter,
    "webbrowser": browser,
    "logging.FileHandler": gadget("logging", "FileHandler", "PATH"),
    "open for writing": gadget("builtins", "open", "PATH", "w"),
    "io.FileIO": gadget("io", "FileIO", "PATH", "w"),
    "zipfile": gadget("zipfile", "ZipFile", "PATH", "w"),
    "lzma": gadget("lzma", "open", "PATH", "w"),
    "sqlite3": gadget("sqlite3", "connect", "PATH"),
    "mkfifo": gadget("os", "mkfifo", "PATH"),
    "symlink": gadget("os", "symlink", "/nowhere", "PATH"),
    "nested loads": pickle_in_pickle,
}

LATENT: dict[str, Build] = {
    "another codec": gadget("_codecs", "encode", "x", "unicode_escape_of_mine"),
    "runpy": gadget("runpy", "run_path", "/nowhere.py"),
    "pip": listed("pip", "main", "install", "nothing"),
    "torch collect_env": gadget("torch.utils.collect_env", "run", "true"),
    "torch load": gadget("torch", "load", "other.pt"),
    "torch nested bytes": gadget("torch.storage", "_load_from_bytes", "x"),
    "torch alias": gadget("torch", "os.system", "true", protocol=4),
    "numpy runstring": gadget("numpy.testing._private.utils", "runstring", "pass", "x"),
    "numpy load": gadget("numpy", "load", "other.npy"),
    "numpy save": gadget("numpy", "save", "other.npy"),
    "random alias": gadget("random", "_os.system", "true", protocol=4),
    "pandas read_csv": gadget("pandas", "read_csv", "https://example.invalid/x"),
    "mailcap": gadget("mailcap", "findmatch", "x"),
    "idlelib": gadget("idlelib.autocomplete", "AutoComplete.get_entity", "x", protocol=4),
    "mlflow": gadget("mlflow.pyfunc", "load_model", "x"),
    "spawnv_passfds": gadget("multiprocessing.util", "spawnv_passfds", "true"),
    "joblib": gadget("joblib", "load", "x"),
    "unlisted function of a covered module": gadget("collections", "namedtuple", "x", "y"),
    "unlisted function of nobody": gadget("acme.tools", "run", "x"),
    "covered value called": gadget("torch", "FloatTensor", 1 << 40),
    "allocation": gadget("builtins", "bytearray", 1 << 40),
    "repeated allocation": gadget("numpy.core.multiarray", "_reconstruct", 5),
}


@pytest.mark.parametrize("name", LIVE)
def test_a_call_that_works_is_blocked(name: str, tmp_path: Path) -> None:
    build = LIVE[name]
    canary, attack = tmp_path / "canary", tmp_path / "attack.pkl"
    data = build(str(canary))
    attack.write_bytes(data)
    subprocess.run(
        [sys.executable, "-c", LOADER, str(attack)], check=False, capture_output=True, timeout=60, cwd=tmp_path
    )
    for _ in range(100):
        if canary.exists() or canary.is_symlink():
            break
        subprocess.run(["sleep", "0.02"], check=True)
    assert canary.exists() or canary.is_symlink(), "the case does not do what it says"
    assert_blocked(data)


@pytest.mark.parametrize("name", LATENT)
def test_a_call_of_something_absent_is_blocked(name: str) -> None:
    assert_blocked(LATENT[name]("nowhere"))


def assert_blocked(data: bytes) -> None:
    reading = read(data)
    [answer] = [finding for finding in reading.findings if finding.check == "code.on-load"]
    assert (answer.outcome, answer.severity) == (Outcome.FAIL, Severity.CRITICAL)
    assert any(f.outcome is Outcome.FAIL and f.evidence[0].locator.startswith("byte ") for f in reading.findings)
    assert without_danger_list(data) is Outcome.FAIL


@pytest.mark.parametrize("name", ["README.md", "config.json", "weights", "tokenizer.txt", "model.safetensors"])
@pytest.mark.parametrize(
    "build", [text_protocol, gadget("os", "mkdir", "PATH", protocol=1), stack_global], ids=["0", "1", "4"]
)
def test_a_name_does_not_hide_a_pickle(name: str, build: Build) -> None:
    reading = read(build("nowhere"), name)
    assert any(f.check == "pickle.calls-unsafe-global" for f in reading.findings)


@pytest.mark.parametrize(
    "text",
    [
        "# A model\n\nIt says cos\nsystem in the middle, and (tR. too.\n",
        "cat\ndog\nRabbit\n",
        '{"model_type": "bert"}\n',
        "import os\nos.system('true')\n",
        "class Model:\n    pass\n",
        "(c) 2026 Somebody\nAll rights reserved.\n",
        "I like it.\n",
        "Please read on.\nNothing here.\n",
        "N.B. this is text\n",
        "copyright\nMIT\n",
        "",
        ".",
    ],
    ids=repr,
)
@pytest.mark.parametrize("name", ["README.md", "merges.txt", "model.py"])
def test_text_is_no_pickle(text: str, name: str) -> None:
    with source_of(text.encode(), name) as source:
        assert FORMAT.sniff(source) is Match.NO


def test_what_is_called_is_named_with_its_place_and_arguments() -> None:
    reading = read(gadget("os", "system", "true")("nowhere"))
    [found] = [finding for finding in reading.findings if finding.check == "pickle.calls-unsafe-global"]
    assert found.message.startswith("calls os.system when it is loaded")
    assert (found.evidence[0].locator, found.evidence[0].excerpt) == ("byte 24 REDUCE", "('true',)")
