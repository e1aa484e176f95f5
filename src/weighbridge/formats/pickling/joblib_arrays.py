"""Arrays that joblib writes between the opcodes of a pickle: a wrapper object, then the raw numbers or a pickle of objects.

Source: joblib/numpy_pickle.py (joblib 1.5 and 1.6), NumpyArrayWrapper.read_array and NumpyUnpickler.load_build. Only joblib.load reads a
file that way; `pickle.load` goes on with the next opcode, which is why the reader of pickles follows that reading as well.
"""

from __future__ import annotations

from math import prod

from weighbridge.errors import MalformedArtifactError
from weighbridge.formats.pickling.facts import Array
from weighbridge.formats.pickling.machine import Machine
from weighbridge.formats.pickling.shapes import ArrayWrapper
from weighbridge.formats.pickling.values import TOP, Obj, Value

JOBLIB_ARRAY = "joblib.numpy_pickle.NumpyArrayWrapper"


def read_array(machine: Machine, wrapper: ArrayWrapper) -> Value:
    """What stands in the stream behind a wrapper, as the array that takes its place.

    Raises:
        MalformedArtifactError: the file ends before the array does.
    """
    machine.end_frame()
    cursor = machine.cursor
    if wrapper.dtype.holds_objects:
        inner = Machine(cursor, machine.judge)
        inner.run(machine.actions)
        return inner.result
    size_bytes = prod(wrapper.shape) * wrapper.dtype.item_bytes
    if wrapper.is_padded:
        padding = cursor.take(1)[0]
        if cursor.take(padding).strip(b"\xff"):
            machine.judge.report.add("pickle.structure", "hides bytes in the padding of an array", machine.locator)
    start = cursor.offset
    if start + size_bytes > cursor.end:
        raise MalformedArtifactError("the file ends inside an array", locator=f"byte {start}")
    cursor.skip(size_bytes)
    cursor.payloads.append((start, start + size_bytes))
    entry = machine.judge.allowlist.find("numpy.core.multiarray", "_reconstruct")
    if entry is None:
        return TOP
    return Obj(entry.makes, entry, facts=Array(dtype=wrapper.dtype.letter, shape=wrapper.shape, size_bytes=size_bytes))
