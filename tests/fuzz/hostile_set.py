"""The whole hostile set: the files by name, cuts at the borders of sound files, two files in one, and files full of holes."""

from __future__ import annotations

import pkgutil
from importlib import import_module

from tests.conformance import samples
from tests.conformance.sample import Sample
from tests.fuzz.hostile import HOSTILE, Hostile, entry, gguf, header, info, u64
from tests.fuzz.hostile_archives import ARCHIVES, CALL
from tests.fuzz.hostile_contents import CONTENTS, _dtype, _npy
from weighbridge.testing.fuzzing import built_in_formats
from weighbridge.testing.models import source_of

MOST_CUTS = 4


def _samples() -> list[tuple[str, Sample]]:
    """One sound file a format, that no shorter file of its format begins."""
    found = []
    for module in pkgutil.iter_modules(samples.__path__):
        listed = import_module(f"{samples.__name__}.{module.name}").SAMPLES
        whole = [sample for sample in listed if sample.is_whole_only and sample.is_readable]
        if whole and module.name in built_in_formats():
            found.append((module.name, min(whole, key=lambda sample: len(sample.data))))
    return found


def _cuts(form: str, sample: Sample) -> list[Hostile]:
    """The file up to the borders of what its reader makes of it, and a byte less."""
    with source_of(sample.data, sample.path) as source:
        borders = sorted({span.end for span in built_in_formats()[form].read(source).spans})[:-1]
    ends = sorted(
        {end - less for end in borders[-MOST_CUTS // 2 :] + borders[: MOST_CUTS // 2] for less in (0, 1)} - {0}
    )
    ends = ends or [len(sample.data) // 2, len(sample.data) - 1]
    return [
        Hostile(name=f"{form}_cut_at_{end}", path=sample.path, make=lambda end=end: sample.data[:end]) for end in ends
    ]


def _pairs() -> list[Hostile]:
    """A file of one format behind that of another, and a pickle that calls behind each."""
    chosen = [(form, sample) for form, sample in _samples() if form not in ("text", "unknown", "raw_tensors", "tally")]
    return [
        Hostile(name=f"{form}_before_{other}", path=sample.path, make=lambda a=sample, b=second: a.data + b.data)
        for form, sample in chosen
        for other, second in chosen
        if form != other
    ] + [Hostile(name=f"{form}_before_a_call", path=s.path, make=lambda s=s: s.data + CALL) for form, s in chosen]


def _holes() -> list[Hostile]:
    """Files of a tebibyte that hold a few bytes."""
    size = 1 << 40
    made = {
        "zeros_of_1_tib": ("weights.dat", lambda: b"\1"),
        "safetensors_of_1_tib": ("model.safetensors", lambda: header({"a": entry(0, 1)}, b"x")),
        "safetensors_header_of_1_tib": ("model.safetensors", lambda: u64(size - 8) + b"{"),
        "gguf_of_1_tib": ("model.gguf", lambda: gguf(infos=info(b"a", (1,), 0, 3), tensors=1, body=b"x" * 64)),
        "pickle_of_1_tib": ("state.pkl", lambda: CALL),
        "pickle_bytes_of_1_tib": ("state.pkl", lambda: b"\x80\x04\x8e" + u64(size - 100)),
        "npy_objects_of_1_tib": ("weights.npy", lambda: _npy(_dtype("'|O'"), CALL)),
        "zip_of_1_tib": ("model.pt", lambda: b"PK\3\4" + bytes(26)),
        "gzip_of_1_tib": ("model.pkl.gz", lambda: b"\x1f\x8b\x08" + bytes(7)),
        "hdf5_of_1_tib": ("model.h5", lambda: b"\x89HDF\r\n\x1a\n" + bytes(40)),
        "onnx_of_1_tib": ("model.onnx", lambda: b"\x08\x08\x3a\xff\xff\xff\xff\x7f"),
        "tar_of_1_tib": ("model.nemo", lambda: bytes(257) + b"ustar\00000"),
        "json_of_1_tib": ("config.json", lambda: b'{"a":'),
    }
    return [Hostile(name=name, path=path, make=make, size_bytes=size) for name, (path, make) in made.items()]


ALL = [
    *(*HOSTILE, *ARCHIVES, *CONTENTS, *_pairs(), *_holes()),
    *(item for form, sample in _samples() for item in _cuts(form, sample)),
]
