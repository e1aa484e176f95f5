"""What a text asks of the program that reads it: to build objects, to call a name, to leave the folder, to leave the sandbox.

Sources: YAML 1.2.2 sections 5.3, 6.8.2 and 6.9.1 (tags, their directive, percent escapes) and PyYAML's constructor.py
(`python/*`); hydra's `_target_` (hydra.cc/docs/advanced/instantiate_objects); hyperpyyaml's `!new:` and `!apply:`; diffusers pipelines/pipeline_loading_utils.py
(a component is a library or a module of the repository); jinja2's sandbox documentation on attributes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote_to_bytes

from weighbridge.formats.headers.tables import KNOWN_LIBRARIES

_TAG = re.compile(rb"(?:^|(?<=[\s\[{,:?-]))!(?:<[^>\s]{1,400}>?|[^\s\[\]{},]{1,400})", re.MULTILINE)
_PYTHON_TAG = re.compile(rb"!(?:!|<tag:yaml\.org,2002:)python/")
_TAG_DIRECTIVE = re.compile(rb"^%TAG[ \t]", re.MULTILINE)


def spelled(word: str) -> bytes:
    """A pattern for a word of ASCII, any character of which may be escaped as JSON and YAML do."""
    codes = [(re.escape(character), f"{ord(character):02x}") for character in word]
    return "".join(rf"(?:{plain}|\\(?:u00|x)(?i:{code}))" for plain, code in codes).encode()


_NAME = rb"((?:[\w.]|\\(?:u00|x)[2-7][0-9a-fA-F]){1,200})"
_TARGET = re.compile(rb"(?:" + spelled("_target_") + rb"[\"']?\s*:\s*[\"']?|!(?:apply|new|name|module):)" + _NAME)
_RUNS_CODE = frozenset(
    b"bltns builtins ctypes importlib marshal multiprocessing nt os pickle posix pty runpy shutil socket subprocess sys timeit"
    b" eval exec system popen spawn compile __import__ import_module run_path run_module read_pickle loads"
    b" cloudpickle dill joblib load_inline rmtree urlretrieve webbrowser write_bytes write_text".split()
)
"""Parts of a dotted name, wherever they stand in it: modules that run code or programs, and functions that do."""
_RUNS_CODE_WHOLE = frozenset((b"io.open", b"codecs.open", b"torch.hub.load"))
_ESCAPE = re.compile(rb"\\(?:u00|x)([2-7][0-9a-fA-F])")
_ODD_TARGET = re.compile(rb"_target_[\"']?\s*:\s*(?![\"']?[A-Za-z_][\w.]*[\"']?\s*(?:[,}#\n]|\Z))(?=\S)")
_LINE_BREAKS = ((b"\xc2\x85", b" \n"), (b"\xe2\x80\xa8", b"  \n"), (b"\xe2\x80\xa9", b"  \n"), (b"\r", b"\n"))
"""What YAML 1.1 takes for the end of a line (section 4.2), and lines of the same length."""
_LITERALS_JOINED = re.compile(r"[\"']\s*[~+]\s*[\"']")
_TEMPLATE_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|([0-7]{3}))")
_UNSAFE_TEMPLATE = re.compile(
    r"__(?:base|bases|builtins|class|closure|code|dict|func|getattribute|globals|import|init|loader|mro|reduce|reduce_ex|self|spec"
    r"|subclasses)__|\|\s*attr\b|[\"']_+[\"']\s*[*~+|]"
)
_DRIVE = re.compile(r"[A-Za-z]:")


def find_python_tags(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Offset and text of every YAML tag that makes an unsafe loader build a Python object, however it is escaped."""
    for match in _TAG.finditer(_in_lines(data)) if b"!" in data else ():
        if _PYTHON_TAG.match(unquote_to_bytes(match.group())):
            yield match.start(), match.group()


def renames_tags(data: bytes) -> bool:
    """Whether a YAML text has a directive by which any tag may stand for any other."""
    return _TAG_DIRECTIVE.search(_in_lines(data)) is not None


def find_code_targets(data: bytes) -> Iterator[tuple[int, str]]:
    """Offset and name of every `_target_`, or tag of hyperpyyaml, whose dotted name has a part that runs code or programs."""
    for match in _TARGET.finditer(data):
        name = _ESCAPE.sub(lambda escape: bytes.fromhex(escape.group(1).decode()), match.group(1))
        if name in _RUNS_CODE_WHOLE or not _RUNS_CODE.isdisjoint(name.split(b".")):
            yield match.start(1), name.decode()


def has_odd_target(data: bytes) -> bool:
    """Whether a `_target_` is spelled as more than a plain name, so that only a YAML reader would know what it is."""
    return b"_target_" in data and _ODD_TARGET.search(data) is not None


def _in_lines(data: bytes) -> bytes:
    for line_break, replacement in _LINE_BREAKS:
        data = data.replace(line_break, replacement)
    return data


def unsafe_in_template(text: str) -> str:
    """The first thing in a template that no conversation needs and every escape from a sandbox does; empty where there is none."""
    spelled = _LITERALS_JOINED.sub("", _TEMPLATE_ESCAPE.sub(_character, text))
    found = _UNSAFE_TEMPLATE.search(text) or _UNSAFE_TEMPLATE.search(spelled)
    return found.group() if found else ""


def rewriting_steps(tokenizer: Any) -> Iterator[tuple[str, str]]:
    """Steps of a tokenizer's normaliser or decoder that put words in the place of others, with where they stand.

    Honest ones replace spaces, quotation marks and the like.
    """
    for place in ("normalizer", "decoder"):
        pending = [tokenizer.get(place)] if isinstance(tokenizer, dict) else []
        while pending and len(pending) < _STEP_LIMIT:
            step = pending.pop()
            if not isinstance(step, dict):
                continue
            pending += [item for key in ("normalizers", "decoders") for item in (step.get(key) or [])[:_STEP_LIMIT]]
            pattern = step.get("pattern")
            literal = pattern.get("String") if isinstance(pattern, dict) else None
            said = f"{literal or ''}\0{step.get('content') or ''}\0{step.get('prepend') or ''}"
            regex = pattern.get("Regex") if isinstance(pattern, dict) else None
            is_number = bool(re.search(r"\d{3}", str(step.get("content") or "")))
            if is_number or _WORDS.search(said) or (isinstance(regex, str) and _ADDRESS.search(regex)):
                yield f"/{place}", f"{step.get('type')} {pattern} by {step.get('content')!r}"


_WORDS = re.compile(r"[^\W\d_]{3,}|://|[^\W_]\.[^\W_]")
_ADDRESS = re.compile(r"https?|www|://")
_STEP_LIMIT = 200


def _character(escape: re.Match[str]) -> str:
    two, four, octal = escape.groups()
    return chr(int(octal, 8) if octal else int(two or four, 16))


def leaves_folder(path: str) -> bool:
    """Whether a path that a file of a model names leads out of its folder, or into one that is no part of the model."""
    parts = PurePosixPath(path).parts
    is_odd = not parts or "\\" in path or "\0" in path or _DRIVE.match(path) is not None
    return is_odd or path.startswith(("/", "~")) or ".." in parts or any(part.startswith(".") for part in parts[:-1])


def foreign_components(pipeline: Any) -> Iterator[str]:
    """The parts of a diffusers pipeline whose code is a module of the repository, as `unet: my_unet`."""
    for name, part in pipeline.items() if isinstance(pipeline, dict) else ():
        library = part[0] if isinstance(part, list) and part else None
        if isinstance(library, str) and library not in KNOWN_LIBRARIES:
            yield f"{name}: {library}"


def foreign_parent(adapter: Any) -> str:
    """The library that an adapter's `auto_mapping` has a loader import, where it is not one of Hugging Face's own."""
    mapping = adapter.get("auto_mapping") if isinstance(adapter, dict) else None
    parent = mapping.get("parent_library") if isinstance(mapping, dict) else None
    return parent if isinstance(parent, str) and parent.partition(".")[0] not in KNOWN_LIBRARIES else ""
