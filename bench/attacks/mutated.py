"""Mutations: the other families' cases in other opcodes, archives and disguises, and calls that no list of bad names holds.

Not part of the corpus: `python bench/attacks FOLDER --mutations` writes these cases in its place.
"""

from __future__ import annotations

import bz2
import lzma
import pickletools
import random
import struct
import zlib
from _compat_pickle import IMPORT_MAPPING
from collections.abc import Callable, Iterator
from pathlib import Path

from attacks.case import (
    Case,
    Raw,
    call,
    glob,
    long,
    one,
    push,
    stream,
    system,
)
from attacks.containers import EVIL, GOOD, legacy, npy, tarred, torch_zip, zipped
from attacks.corpus import all_cases, write_cases
from attacks.polyglot import polyglots, torch_states
from attacks.protocol import protocol_cases, slots
from attacks.rewrite import STYLES, UnwrittenError, rewritten
from attacks.zipcraft import numpy_forms, torch_forms
from attacks.library_calls import NESTED, callers, evaluators, later, readers, states

PER_FORM = 4
PER_STYLE = 4


def junk(data: bytes) -> bytes:
    honest = call("collections", "OrderedDict") + b"}" + long("_metadata") + push({"version": 1}) + b"sb0"
    return b"\x80\x04" + honest + data


def dead(data: bytes) -> bytes:
    return b"\x80\x04" + push({"epoch": 3, "loss": [1, 2], "names": ("a", "b")}) + b"0(K\x01K\x02K\x031" + data


def deep(data: bytes) -> bytes:
    return b"\x80\x04" + b"]" * 700 + b"a" * 699 + b"0" + data


def framed(data: bytes) -> bytes:
    return b"\x80\x04" + (b"\x95" + bytes(8)) * 3 + b"\x95" + struct.pack("<Q", len(data)) + data


def memoed(data: bytes) -> bytes:
    return b"\x80\x02" + b"".join(b"Nr" + struct.pack("<I", 90000 + n) + b"0" for n in range(50)) + data


def low(data: bytes) -> bytes:
    return b"I01\n0(lp900\n0F1.5\n0L99L\n0" + data


def marked(data: bytes) -> bytes:
    return b"\x80\x04" + b"(" * 40 + b"1" * 40 + data


def state(data: bytes) -> bytes:
    """The stream's object becomes the state of an honest class."""
    return b"\x80\x04" + glob("argparse", "Namespace") + b")\x81}" + long("weight") + data[:-1] + b"sb."


def item(data: bytes) -> bytes:
    return (
        b"\x80\x04"
        + call("collections", "OrderedDict")
        + b"("
        + long("bias")
        + b"N"
        + long("layer.0.weight")
        + data[:-1]
        + b"u."
    )


def array(data: bytes) -> bytes:
    """After an honest numpy array."""
    numbers = call("numpy", "frombuffer", bytes(16), "<f4")
    return b"\x80\x04" + numbers + b"0" + data


FORMS: dict[str, tuple[Callable[[bytes], bytes], str, str, str]] = {
    "junk": (junk, "model.pkl", "pickle", "after an honest OrderedDict with state"),
    "dead": (dead, "model.pkl", "pickle", "after objects that are thrown away"),
    "deep": (deep, "model.pkl", "pickle", "after 700 nested lists"),
    "framed": (framed, "model.pkl", "pickle", "empty frames, then one frame"),
    "memoed": (memoed, "model.pkl", "pickle", "after a sparse memo"),
    "low": (low, "model.pkl", "pickle", "after protocol 0 text opcodes"),
    "marked": (marked, "model.pkl", "pickle", "after marks pushed and popped"),
    "state": (state, "model.pkl", "pickle", "inside the state of an honest object"),
    "item": (item, "model.pkl", "pickle", "as an item of a state dict"),
    "array": (array, "model.pkl", "pickle", "after an honest numpy array"),
    "torch": (torch_zip, "model.pt", "torch", "torch archive"),
    "torch-item": (
        lambda d: torch_zip(item(d), top="мodel"),
        "мodel.pt",
        "torch",
        "torch archive with a Cyrillic folder and name",
    ),
    "torch-legacy": (lambda d: legacy(3).replace(NESTED, d), "model.bin", "torch", "torch's older form, third stream"),
    "torch-many": (
        lambda d: torch_zip(d, more=tuple((f"archive/data/{n}", bytes(64)) for n in range(99))),
        "model.ckpt",
        "torch",
        "among 99 storages",
    ),
    "zlib-0": (lambda d: zlib.compress(junk(d), 0), "model.dat", "joblib", "zlib of level 0"),
    "xz": (lambda d: lzma.compress(dead(d)), "model.sav", "joblib", "xz around a dead branch"),
    "bz2-split": (lambda d: bz2.compress(d[:9], 1) + bz2.compress(d[9:], 9), "model", "joblib", "two bzip2 streams"),
    "npy-2": (lambda d: npy_long(d, 2), "weights.npy", "numpy", "npy version 2 with a header of 4 KB"),
    "npy-3": (lambda d: npy_long(d, 3), "веса.npy", "numpy", "npy version 3 with a Unicode field"),
    "npz": (
        lambda d: zipped([("a.npy", npy("<f4", bytes(4))), ("b", npy("|O", d))], comment=b"arrays"),
        "weights.bin",
        "numpy",
        "npz member without its suffix",
    ),
    "npz-deflated": (
        lambda d: zipped([("a.npy", npy("|O", d))], method=8),
        "weights.zip",
        "numpy",
        "deflated npz under another name",
    ),
    "pandas-tar": (
        lambda d: tarred([("Ünï/../x", item(d))], "w"),
        "frame.pkl.tar",
        "pandas",
        "tar member with a strange name",
    ),
    "pandas-zip": (
        lambda d: zipped([("/etc/x", d)], method=14),
        "frame.pkl.zip",
        "pandas",
        "lzma zip member with an absolute name",
    ),
}


def npy_long(body: bytes, version: int) -> bytes:
    """Versions 2 and 3 have a header length of four bytes; 3 is UTF-8."""
    field = "'|O'" if version == 2 else "[('вес', '|O')]"
    head = f"{{'descr': {field}, 'fortran_order': False, 'shape': (1,), }}".encode().ljust(4083) + b"\n"
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<I", len(head)) + head + body


def sources() -> list[Case]:
    """The corpus' cases of one short pickle stream that the standard loader reads to its end."""
    found = []
    for case in all_cases():
        data = case.files.get(case.entry, b"")
        if case.loader == "pickle" and case.kind in {"direct", "indirection"} and len(data) < 4000 and complete(data):
            found.append(case)
    return found


def complete(data: bytes) -> bool:
    try:
        return list(pickletools.genops(data))[-1][2] == len(data) - 1
    except Exception:
        return False


FAMILIES: dict[str, tuple[Callable[[], dict[str, Raw]], str]] = {
    "evaluator": (evaluators, "library function that evaluates text"),
    "caller": (callers, "library function that calls what it is given"),
    "reader": (readers, "library function that unpickles what it is given"),
    "later": (later, "object that calls what it was given, later"),
    "state": (lambda: states(system()), "payload in the state of an honest object"),
}


def mutations(seed: int = 0) -> Iterator[Case]:
    """Mutated cases; the seed chooses which case gets which form."""
    plain = [(case.id.replace("/", "-"), case.files[case.entry]) for case in sources()]
    for family, (rows, note) in FAMILIES.items():
        for name, body in rows().items():
            yield one("mutated", f"{family}-{name}", stream(body), note=f"{note}: {name.replace('-', ' ')}")
            if family != "state":
                plain.append((f"{family}-{name}", stream(body)))
    plain += [(f"slot-{name}", stream(body)) for name, (body, _) in slots().items()]
    yield from formed(plain, random.Random(seed))
    yield from rewritings(plain, random.Random(seed))
    yield from crafted_cases()


def formed(plain: list[tuple[str, bytes]], picker: random.Random) -> Iterator[Case]:
    """Some streams in every form."""
    for form, (change, path, loader, note) in FORMS.items():
        for name, data in picker.sample(plain, PER_FORM):
            yield one("mutated", f"{form}-{name}", change(data), path=path, loader=loader, note=note)


def rewritings(plain: list[tuple[str, bytes]], picker: random.Random) -> Iterator[Case]:
    """Some streams in every style of opcodes, and a state dict with a payload in its midst."""
    whole = ("state-dict", item(b"\x80\x02" + push({"epoch": 3, "names": ("a", "b")}) + b"0" + EVIL[2:]))
    for style, (how, note) in STYLES.items():
        picked = 0
        for name, data in [whole, *picker.sample(plain, len(plain))]:
            if (dotted if how.protocol not in {4, 5} else renamed)(data):
                continue
            try:
                other = rewritten(data, how)
            except UnwrittenError:
                continue
            if other == data:
                continue
            yield one("mutated", f"rewrite-{style}-{name}", other, note=note)
            picked += 1
            if picked > PER_STYLE:
                break


def dotted(data: bytes) -> bool:
    """Whether names with dots need a header of 4. Memoised names are taken to be dotted."""
    found = list(pickletools.genops(data))
    if any(info.name == "STACK_GLOBAL" for info, _, _ in found):
        return True
    return any(info.name == "GLOBAL" and "." in str(argument).split(" ")[1] for info, argument, _ in found)


def renamed(data: bytes) -> bool:
    """Whether the unpickler finds a name under its name in Python 2 only, which a header above 2 forbids."""
    names = [
        str(argument).split(" ")[0] for info, argument, _ in pickletools.genops(data) if info.name in {"GLOBAL", "INST"}
    ]
    return any(name in IMPORT_MAPPING for name in names)


def crafted_cases() -> Iterator[Case]:
    """Archives whose parts disagree, polyglots, and state dicts of tensors."""
    for name, (data, note) in torch_forms(EVIL, GOOD).items():
        loader = "none" if name in HONEST_READ else "torch"
        yield one("mutated", f"zip-torch-{name}", data, path="model.pt", loader=loader, note=note)
    for name, (data, note) in numpy_forms(npy("|O", EVIL), npy("<f4", bytes(4))).items():
        yield one("mutated", f"zip-numpy-{name}", data, path="weights.npz", loader="numpy", note=note)
    for name, data, path, loader, note in polyglots(EVIL, GOOD):
        yield one("mutated", f"polyglot-{name}", data, path=path, loader=loader, note=note)
    for name, data, path, loader, note in torch_states(system()):
        yield one("mutated", f"tensors-{name.removeprefix('torch-')}", data, path=path, loader=loader, note=note)
    for name, data, path, loader, note in protocol_cases():
        yield one("mutated", name, data, path=path, loader=loader, note=note)


HONEST_READ = frozenset({"two-cases-evil-last", "same-name-last"})
"""Archives of which torch reads the honest part; other readers of archives read the payload."""


def write_mutations(folder: Path, seed: int) -> list[dict[str, str]]:
    """The mutations as a corpus of their own."""
    return write_cases(folder, mutations(seed))
