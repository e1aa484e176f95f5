"""Files that joblib wrote: arrays between the opcodes, compressed or not."""

import pickle
from pathlib import Path

import pytest

from weighbridge.formats import pickle as pickle_format
from weighbridge.inspection.examine import examine_source
from weighbridge.testing.fuzzing import built_in_formats, is_clean
from weighbridge.testing.models import source_of
from weighbridge.testing.pickles import Pickle
from weighbridge.testing.readings import examine
from weighbridge.vocabulary import Outcome

GOLDEN = Path(__file__).parents[1] / "golden" / "joblib"
FILES = sorted(path.name for path in GOLDEN.iterdir())
SYSTEM = b"cposix\nsystem\n(S'true'\ntR."


def findings(data: bytes, path: str = "model.joblib") -> set[tuple[str, Outcome]]:
    with source_of(data, path) as source:
        return {(f.check, f.outcome) for f in examine_source(source, built_in_formats()).findings}


@pytest.mark.parametrize("name", FILES)
def test_what_joblib_writes_is_clean(name: str) -> None:
    data = (GOLDEN / name).read_bytes()
    with source_of(data, name) as source:
        said = examine_source(source, built_in_formats())
    assert is_clean(said)
    assert said.account.unread_bytes == said.account.unexplained_bytes == 0


def test_the_numbers_are_opaque_and_the_rest_is_not() -> None:
    reading = examine(pickle_format.FORMAT, (GOLDEN / "raw.joblib").read_bytes(), "raw.joblib")
    assert reading is not None
    opaque = sum(span.end - span.start for span in reading.spans if span.note == "opaque bytes")
    assert opaque == 12 * 8 + 6 * 4


def test_numbers_that_are_opcodes_for_pickle_load_are_refused() -> None:
    """joblib passes over the numbers of an array; pickle.load takes them for opcodes."""
    import numpy as np

    dtype = pickle.dumps(np.dtype("u1"), 2)[2:-1]
    made = Pickle(2).glob("joblib.numpy_pickle", "NumpyArrayWrapper").op("EMPTY_TUPLE", "NEWOBJ", "EMPTY_DICT", "MARK")
    made.text("subclass").glob("numpy", "ndarray").text("shape").number(len(SYSTEM)).op("TUPLE1").text("order").text(
        "C"
    )
    made.text("dtype").raw(dtype).text("allow_mmap").op("NEWFALSE", "SETITEMS", "BUILD")
    honest = made.data + bytes(len(SYSTEM)) + b"."
    assert ("code.on-load", Outcome.PASS) in findings(honest)
    assert ("pickle.calls-unsafe-global", Outcome.FAIL) in findings(made.data + SYSTEM + b".")


def test_objects_behind_a_wrapper_are_judged() -> None:
    data = (GOLDEN / "objects.joblib").read_bytes()
    inner = data.index(b"\x80\x05")
    evil = data[:inner] + b"\x80\x05" + SYSTEM
    assert ("code.on-load", Outcome.FAIL) in findings(evil)


@pytest.mark.parametrize("cut", [10, 60, 100])
def test_an_array_that_is_cut_off_is_no_sound_file(cut: int) -> None:
    data = (GOLDEN / "raw.joblib").read_bytes()
    assert ("code.on-load", Outcome.PASS) not in findings(data[:-cut])


def test_a_shape_beyond_the_file_is_refused() -> None:
    data = (GOLDEN / "raw.joblib").read_bytes()
    assert b"K\x03K\x04\x86" in data
    assert ("code.on-load", Outcome.PASS) not in findings(data.replace(b"K\x03K\x04\x86", b"K\xffK\xff\x86"))
