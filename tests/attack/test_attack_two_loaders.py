"""Files that are one thing to whoever looks and another to whoever loads: each is shown live in a real loader first."""

from __future__ import annotations

import io
import json
import pickle
import random
import string
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import pytest
import safetensors
from hypothesis import given
from hypothesis import strategies as st

from weighbridge.formats.reading.contract import Format
from weighbridge.inspection.examine import examine_source
from weighbridge.plugins import find_units
from weighbridge.testing.models import source_of
from weighbridge.vocabulary import Finding, Outcome, Severity

UNITS = find_units("formats", Format).found
CALL = b"cos\nsystem\n(S'true'\ntR."
SUFFIXES = ["", ".txt", ".dat", ".data", ".model", ".p", ".yaml", ".md", ".jinja", ".json", ".py", ".csv"]


def examine(data: bytes, path: str) -> tuple[Finding, ...]:
    with source_of(data, path) as source:
        return examine_source(source, UNITS).findings


def is_blocked(data: bytes, path: str) -> bool:
    return any(
        finding.outcome is Outcome.FAIL and finding.severity.rank >= Severity.HIGH.rank
        for finding in examine(data, path)
    )


class Loaded(Exception):  # noqa: N818  # a canary, not an error
    """The loader asked for the trap."""


def loads_the_trap(data: bytes, loader: type = pickle.Unpickler) -> bool:
    class Watched(loader):  # type: ignore[misc]
        def find_class(self, module: str, name: str) -> type:
            if (module, name) == ("os", "system"):
                raise Loaded
            return super().find_class(module, name)  # type: ignore[no-any-return]

    try:
        with suppress(pickle.UnpicklingError, ValueError, EOFError, KeyError, IndexError, OverflowError):
            Watched(io.BytesIO(data)).load()
    except Loaded:
        return True
    return False


TEXT_PICKLES: dict[str, bytes] = {
    "hexadecimal": b"I0x1\n0" + CALL,
    "underscore": b"I1_0\n0" + CALL,
    "octal": b"I017\n0" + CALL,
    "plus and space": b"I +7 \n0" + CALL,
    "index with underscore": b"Np1_0\n0" + CALL,
    "index read in two ways": b"Np007\n0g7\n0" + CALL,
    "signed float": b"F+1\n0" + CALL,
    "float with underscores": b"F1_0.5\n0" + CALL,
    "long with a letter": b"L0x10L\n0" + CALL,
    "a long line": b"V" + b"A" * 70_000 + b"\n0" + CALL,
    "a long number": b"I" + b"0" * 3000 + b"\n0" + CALL,
    "many lines": b"".join(b"V" + b"word " * 60 + b"\n0" for _ in range(300)) + CALL,
    "the magic of torch afterwards": CALL[:-1] + b"0" + b"N0" * 40 + b"L119547037146038801333356L\n.",
    "the magic of torch at once": b"L119547037146038801333356L\n0" + CALL,
}


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("data", TEXT_PICKLES.values(), ids=TEXT_PICKLES)
def test_a_pickle_of_printable_text_is_no_text(data: bytes, suffix: str) -> None:
    assert loads_the_trap(data, pickle.Unpickler) or loads_the_trap(data, pickle._Unpickler)
    assert is_blocked(data, f"model{suffix}")


def test_a_second_stream_behind_plain_text_values_is_seen() -> None:
    """Loaders that call pickle.load until the file ends, as torch's own does, run it."""
    assert is_blocked(b"I1\n." + CALL, "model.txt")


SPELLINGS = st.sampled_from(
    [b"I%s\n", b"L%s\n", b"L%sL\n", b"F%s\n", b"V%s\n", b"S'%s'\n", b"Np%s\n", b"N"]
)  # fmt: skip
ARGUMENTS = st.text(alphabet="0123456789abcdefxXoO_+-. eEL", max_size=8).map(str.encode)


@given(parts=st.lists(st.tuples(SPELLINGS, ARGUMENTS), max_size=4))
def test_whatever_a_loader_takes_for_a_number_does_not_hide_what_follows(parts: list[tuple[bytes, bytes]]) -> None:
    data = b"".join((form % text if b"%s" in form else form) + b"0" for form, text in parts) + CALL
    if loads_the_trap(data, pickle.Unpickler) or loads_the_trap(data, pickle._Unpickler):
        assert is_blocked(data, "notes.txt")


def safetensors_and_pickle() -> bytes:
    """The length of the header is a BINUNICODE, and the stream hops over the header inside the texts of its metadata."""
    kept, size = 40, 0x58 + 256 * 40  # the low byte of the size is the opcode, the next one the length of its text
    head = bytearray(b'{"__metadata__":{"a":"')
    head += b"A" * (5 + kept - 8 - len(head))
    tail = b'"},"w":{"dtype":"U8","shape":[%d],"data_offsets":[0,%d]}}' % (1000, 1000)
    position = 5 + kept
    while 8 + size - position > 256:
        head += b"U~" + b"B" * 126
        position += 128
    while 8 + size - position > 128:
        want = max(32, min(126, 8 + size - position - 102))
        head += b"U" + bytes([want]) + b"B" * want
        position += want + 2
    rest = 8 + size - position
    head += b"U~" + b"C" * (rest - 2 - len(tail)) + tail
    data = b"D" * (126 - (rest - 2)) + CALL
    return struct.pack("<Q", size) + bytes(head) + data.ljust(1000, b"\0")


@pytest.mark.parametrize("suffix", [".safetensors", ".pkl", ".bin", ""])
def test_a_sound_safetensors_file_that_is_a_pickle_too_is_blocked(suffix: str) -> None:
    data = safetensors_and_pickle()
    assert safetensors.deserialize(data)[0][0] == "w"
    assert loads_the_trap(data)
    assert is_blocked(data, f"model{suffix}")


def plain_safetensors(tensor: bytes) -> bytes:
    header = json.dumps({"w": {"dtype": "U8", "shape": [len(tensor)], "data_offsets": [0, len(tensor)]}}).encode()
    header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header)) + header + tensor


def a_zip() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("__main__.py", "raise SystemExit")
    return made.getvalue()


def test_an_archive_in_the_weights_is_a_second_thing_to_load() -> None:
    data = plain_safetensors(a_zip())
    assert zipfile.ZipFile(io.BytesIO(data)).namelist() == ["__main__.py"]
    assert is_blocked(data, "model.safetensors")
    assert is_blocked(data + b"", "model.keras")


def test_an_archive_behind_a_forged_zip64_locator_is_found_too() -> None:
    """Python's zipimport reads the 32-bit record alone, zipfile gives up on a locator that does not fit."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        info = zipfile.ZipInfo("__main__.py")
        info.comment = bytes(60) + b"PK\x06\x07" + bytes(16)
        archive.writestr(info, "raise SystemExit")
    data = plain_safetensors(made.getvalue())
    assert data[-42:-38] == b"PK\x06\x07"
    assert zipfile.ZipFile(io.BytesIO(data)).namelist() == ["__main__.py"]
    assert is_blocked(data, "model.safetensors")


def test_the_old_container_of_joblib_is_found() -> None:
    packed = zlib.compress(CALL, 0)
    data = b"ZF" + hex(len(CALL)).encode().ljust(19) + packed
    assert loads_the_trap(zlib.decompress(data[21:]))
    assert is_blocked(b"ZF0x2b" + b" " * 15 + b"x^printable", "model.txt")


def test_an_archive_with_a_lying_end_record_is_found_too() -> None:
    """The directory may lie where the record says, or right before the record: readers look at either place."""
    archive = bytearray(a_zip())
    record = archive.rfind(b"PK\x05\x06")
    for size in (0, 1 << 20):
        struct.pack_into("<I", archive, record + 12, size)
        [directory] = struct.unpack_from("<I", archive, record + 16)
        padded = plain_safetensors(bytes(archive))
        inner = len(padded) - len(archive)
        bent = bytearray(padded)
        struct.pack_into("<I", bent, inner + record + 16, inner + directory)
        assert is_blocked(bytes(bent), "model.safetensors")


def test_hdf5_behind_a_user_block_is_found() -> None:
    block = plain_safetensors(b"x" * 400)
    tensor = b"x" * (2048 - len(block) + 400) + b"\x89HDF\r\n\x1a\n" + bytes(64)
    data = plain_safetensors(tensor)
    shift = data.find(b"\x89HDF") - 2048
    data = plain_safetensors(tensor[shift:] if shift > 0 else b"x" * -shift + tensor)
    assert data.find(b"\x89HDF") == 2048
    assert is_blocked(data, "model.safetensors")


def text_tar() -> bytes:
    """A tar archive of printable characters only."""

    def header(name: str, size: int, kind: bytes) -> bytes:
        head = bytearray(b"\n" * 512)
        head[0:100] = name.encode().ljust(100, b"/")
        head[100:148] = b"0000644 0000000 0000000 %011o 00000000000 " % size
        head[148:156] = b" " * 8
        head[156:157] = kind
        head[157:] = b" " * (512 - 157)
        head[148:156] = b"%06o  " % sum(head)
        return bytes(head)

    path = b" path=storages\n"
    record = b"%d" % (len(path) + 2) + path
    parts = [header("PaxHeader", len(record), b"x"), record.ljust(512, b"\n")]
    parts += [header("storages", len(CALL), b"0"), CALL.ljust(512, b"\n")]
    return b"".join(parts)


@pytest.mark.parametrize("suffix", ["", ".txt", ".pt", ".json"])
def test_a_tar_of_printable_text_is_no_text(suffix: str, tmp_path: Path) -> None:
    data = text_tar()
    assert data.decode().replace("\n", "").isprintable()
    with closing(tarfile.open(fileobj=io.BytesIO(data), mode="r:", format=tarfile.PAX_FORMAT)) as archive:
        inner = archive.extractfile("storages")  # what torch.load extracts and unpickles first
        assert inner is not None
        assert loads_the_trap(inner.read())
    assert is_blocked(data, f"model{suffix}")


def test_a_pickle_whose_text_is_a_tar_header_is_blocked() -> None:
    head = bytearray(text_tar())
    head[0:7] = b"\x80\x02X" + struct.pack("<I", len(head) - 7)
    head[148:156] = b" " * 8
    head[148:156] = b"%06o  " % sum(head[:512])
    data = bytes(head) + b"."
    tarfile.open(fileobj=io.BytesIO(data), mode="r:").close()
    assert isinstance(pickle.loads(data), str)
    assert is_blocked(data, "model.pt")


def printable_zlib() -> bytes:
    """`x^` opens a zlib stream whose one block of fixed codes holds printable bytes only; found by chance, as an attacker would."""
    dice = random.Random(1)
    alphabet = string.printable[:94].encode()
    while True:
        text = b"x^" + bytes(dice.choice(alphabet) for _ in range(90))
        with suppress(zlib.error):
            if len(zlib.decompressobj().decompress(text)) >= 64:
                return text


def test_text_that_joblib_would_inflate_is_no_text() -> None:
    data = printable_zlib()
    assert (data[0] * 256 + data[1]) % 31 == 0
    assert is_blocked(data, "notes.txt")


BENIGN: dict[str, Callable[[], bytes]] = {
    "a word list": lambda: b"cat\ndog\nbird\nbat\n",
    "a list of functions": lambda: b"cos\nsin\ntan\n",
    "formulas": lambda: b"x^{2}+1 polynomials over a field\n" * 20,
    "words": lambda: b"car\ncat\nchair\ncup\nbottle\nboat\n",
    "animals": lambda: b"cat\ncow\ncrab\ncrane\nant\n",
    "names of people": lambda: b"car\ncat\nchair\ncow\nRabbit\n",
    "requirements": lambda: b"click\ncolorama\ncryptography\ncertifi\nboto3\nnumpy\n",
    "a sequence": lambda: b"N" * 9000 + b"\n",
    "lines of one letter": lambda: b"V1\n" * 9000,
    "keys": lambda: b"F1\nF2\nF3\n" * 3000,
    "a formula": lambda: (
        b"x^2 + y^2 = z^2 is the theorem of Pythagoras, which needs no introduction here or elsewhere.\n"
    ),
    "a letter": lambda: b"I am\nclass Foo\nimport bar\n",
    "python": lambda: b"import os\n\n\ndef run():\n    os.system('true')\n",
    "numbers": lambda: b"".join(b"%d 0.5\n" % number for number in range(1000)),
    "parentheses": lambda: b"(is it\nso?)\nR.\n",
    "persons": lambda: b"Peter\nPaul\nMary\n",
}


@pytest.mark.parametrize("suffix", ["", ".txt", ".md"])
@pytest.mark.parametrize("make", BENIGN.values(), ids=BENIGN)
def test_ordinary_text_is_only_text(make: Callable[[], bytes], suffix: str) -> None:
    assert not is_blocked(make(), f"notes{suffix}")
