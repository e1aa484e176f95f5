"""Whose zip archive a file is, from the names in its directory: so that exactly one unit reads it, or it is told to be two things.

Sources: torch/serialization.py `_open_zipfile_reader` and torch/csrc/jit/serialization/import.cpp (data.pkl, constants.pkl);
torch/export/pt2_archive/constants.py; keras/src/saving/saving_lib.py (config.json, metadata.json, model.weights.h5);
skops/io/_persist.py (schema.json).
"""

from __future__ import annotations

from weighbridge.errors import MalformedArtifactError
from weighbridge.formats.archives.zip import find_directory, is_archive
from weighbridge.formats.reading.source import Source

_LOCAL = b"pk\x03\x04"
_EMPTY = (b"pk\x05\x06", b"pk\x06\x06")
_HEAD_BYTES = 512
PLAIN = "zip"

_MARKS: dict[str, tuple[tuple[bytes, ...], ...]] = {
    "torch_zip": ((b"data.pkl",), (b"constants.pkl",)),
    "torch_export": ((b"/archive_format", b"/models/"),),
    "keras": ((b"model.weights.h5",), (b"config.json", b"metadata.json")),
    "skops": ((b"schema.json",),),
}
"""By unit: sets of names, all of which stand in the directory of such an archive."""


def flavours_of(source: Source) -> frozenset[str]:
    """The names of the units that a zip archive is for: PLAIN where it is for none of them, nothing where it is no zip archive.

    Where the directory cannot be read, the first member tells.
    """
    head = source.head(_HEAD_BYTES).lower()
    try:
        directory = find_directory(source)
        names = source.read_at(directory.offset, directory.size_bytes).lower()
        is_zip = is_archive(source)
    except MalformedArtifactError:
        names, is_zip = b"", False
    if not is_zip and not head.startswith((_LOCAL, *_EMPTY)):
        return frozenset()
    if not names and head.startswith(_LOCAL):
        names = head
    found = {
        unit for unit, marks in _MARKS.items() if any(all(name in names for name in names_of) for names_of in marks)
    }
    if "torch_export" in found:
        found.discard("torch_zip")  # its weights and inputs are torch checkpoints, stored as members
    return frozenset(found or {PLAIN})
