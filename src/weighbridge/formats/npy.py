"""NumPy arrays (.npy, versions 1 to 3): a short header, then raw numbers, or a pickle where the array holds objects.

Source: numpy/lib/format.py (numpy 2.3) and NEP 1. `numpy.load` refuses the pickle unless it is told `allow_pickle=True`.
"""

from __future__ import annotations

import ast
import re
from math import prod
from typing import Any

from weighbridge.errors import MalformedArtifactError
from weighbridge.formats.headers.defects import UNJUDGED, Defects
from weighbridge.formats.reading.contract import (
    Format,
    Match,
    Part,
    Reading,
    answer_on_load,
    own_name,
    part_path,
    whole,
)
from weighbridge.formats.reading.source import Source
from weighbridge.formats.reading.spans import Span, complete
from weighbridge.vocabulary import Evidence, Finding, Header, Outcome, Severity, SpanKind, Tensor, clip

_MAGIC = b"\x93NUMPY"
_HEADER_LIMIT_BYTES = 10_000
"""numpy's own limit on the header of a file that is not trusted (max_header_size)."""
_RANK_LIMIT = 64
_MAX_BYTES = 1 << 62
_TYPE = re.compile(r"([<>|=]?)([?bBhilqpBHILQPefdgFDGSaUVOMmiufcb])(\d{0,9})(\[[\w/]{1,20}\])?\Z")
_SIZES = {
    **dict.fromkeys("?bB", (1,)),
    "h": (2,),
    "H": (2,),
    "i": (1, 2, 4, 8),
    "u": (1, 2, 4, 8),
    "f": (2, 4, 8, 12, 16),
    "c": (8, 16, 24, 32),
    "M": (8,),
    "m": (8,),
    "O": (8,),
}
"""Item sizes by the letter of a type of fixed size."""
_FIELD_LIMIT = 1000
_LONG = re.compile(r"(?<=[(, ])(\d{1,20})L(?=[,) ])")
_KEYS = {"descr", "fortran_order", "shape"}


def sniff(source: Source) -> Match:
    """The magic number."""
    return Match.CERTAIN if source.head(6) == _MAGIC else Match.NO


def read(source: Source) -> Reading:
    """Judge an array from its header; objects behind it are a pickle of their own."""
    defects = Defects(source.path)
    try:
        start, described = _read_header(source)
        item_bytes, has_objects, shape = _described(described)
        size_bytes = _size(shape, item_bytes)
    except MalformedArtifactError as problem:
        defects.add_error("npy.header", problem)
        unread = whole(SpanKind.UNREAD, source, "no header could be read")
        unknown = answer_on_load(
            source, Outcome.UNKNOWN, Severity.HIGH, "nobody knows what stands behind a broken header"
        )
        return Reading(spans=unread, findings=(defects.structure("npy.structure", ""), *defects.findings(), unknown))
    head = Span(start=0, end=start, kind=SpanKind.HEADER, note="header")
    if has_objects:
        return _objects(source, head, defects, described)
    end = start + size_bytes
    if end != source.size_bytes:
        message = f"shape and type need {size_bytes:,} bytes, {source.size_bytes - start:,} follow the header"
        defects.add("npy.size", message, f"byte {start}")
    data = Span(start=start, end=min(end, source.size_bytes), kind=SpanKind.TENSOR, note="numbers")
    tensor = Tensor(name="array", dtype=clip(str(described["descr"]), 60), shape=shape, size_bytes=size_bytes)
    structure = defects.structure("npy.structure", f"an array of shape {shape[:8]}, {size_bytes:,} bytes of numbers")
    numbers = answer_on_load(source, Outcome.PASS, Severity.INFO, "an array of numbers holds no code")
    header = Header(
        path=source.path,
        format="npy",
        parameter_count=min(prod(shape), 1 << 52),
        dtypes=(tensor.dtype,),
        tensors=(tensor,),
        weights_bytes=min(size_bytes, 1 << 52),
    )
    is_countable = max((size_bytes, *shape)) < 1 << 52
    return Reading(
        spans=complete((head, data), source),
        findings=(structure, *defects.findings(), numbers),
        header=header if is_countable else None,
        starts=(start,) if is_countable else (),
    )


def _objects(source: Source, head: Span, defects: Defects, described: dict[str, Any]) -> Reading:
    """An array of Python objects: numpy unpickles what follows."""
    size_bytes = source.size_bytes - head.end
    message = "the array holds Python objects: numpy unpickles them where allow_pickle is set"
    note = Finding(
        check="npy.objects",
        outcome=Outcome.NOT_APPLICABLE,
        severity=Severity.INFO,
        message=message,
        evidence=(Evidence(artifact=source.path, locator=f"byte {head.end}", excerpt=clip(str(described["descr"]))),),
    )
    if not size_bytes:
        defects.add("npy.size", "an array of objects without objects", f"byte {head.end}", grade=UNJUDGED)
    structure = defects.structure("npy.structure", f"a header, and a pickle of {size_bytes:,} bytes")
    path = part_path(source.path, f"{own_name(source.path).removesuffix('.npy') or 'array'}.pkl")
    inside = Part(start=head.end, end=source.size_bytes, open=lambda: source.part(head.end, size_bytes, path=path))
    spans = (head, Span(start=head.end, end=source.size_bytes, kind=SpanKind.HEADER, note="pickle"))
    return Reading(
        spans=complete(spans, source),
        findings=(structure, *defects.findings(), note),
        parts=(inside,) if size_bytes else (),
    )


def _read_header(source: Source) -> tuple[int, dict[str, Any]]:
    """Where the numbers begin, and the header's dict."""
    version = source.read_at(6, 2)
    if version not in (b"\1\0", b"\2\0", b"\3\0"):
        raise MalformedArtifactError(f"version {version[0]}.{version[1]} does not exist", locator="byte 6")
    width = 2 if version == b"\1\0" else 4
    length = int.from_bytes(source.read_at(8, width), "little")
    if length > _HEADER_LIMIT_BYTES:
        raise MalformedArtifactError(
            f"a header of {length:,} bytes, numpy reads {_HEADER_LIMIT_BYTES:,}", locator="byte 8"
        )
    start = 8 + width + length
    raw = source.read_at(8 + width, length)
    try:
        text = raw.decode("latin-1" if version != b"\3\0" else "utf-8")
        if version != b"\3\0":  # Python 2 wrote long integers, which numpy still reads
            text = _LONG.sub(r"\1", text)
        value = ast.literal_eval(text) if _is_shallow(text) else None
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError) as broken:
        raise MalformedArtifactError("the header is not a Python literal", locator="byte 10") from broken
    if not isinstance(value, dict) or value.keys() != _KEYS or type(value["fortran_order"]) is not bool:
        raise MalformedArtifactError("the header does not hold descr, fortran_order and shape", locator="byte 10")
    if text.count("'descr'") != 1 or text.count("'shape'") != 1:
        raise MalformedArtifactError("the header says something twice", locator="byte 10")
    return start, value


def _is_shallow(text: str) -> bool:
    """Whether a literal nests so little that parsing it is safe; numpy's own headers nest as deep as their fields."""
    depth = deepest = 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        deepest = max(deepest, depth)
    return deepest <= 20


def _described(value: dict[str, Any]) -> tuple[int, bool, tuple[int, ...]]:
    """Bytes of an item, whether it holds references, and the shape."""
    shape = value["shape"]
    is_shape = isinstance(shape, tuple) and len(shape) <= _RANK_LIMIT
    if not is_shape or not all(type(n) is int and 0 <= n < 1 << 62 for n in shape):
        raise MalformedArtifactError("the shape is not a tuple of lengths", locator="byte 10")
    item_bytes, has_objects = _item(value["descr"], 0)
    return item_bytes, has_objects, shape


def _size(shape: tuple[int, ...], item_bytes: int) -> int:
    size_bytes = prod(shape) * item_bytes
    if size_bytes > _MAX_BYTES:
        raise MalformedArtifactError("the shape overflows", locator="byte 10")
    return size_bytes


def _item(descr: Any, depth: int) -> tuple[int, bool]:
    """Bytes of an item of a described type, and whether it holds references."""
    if isinstance(descr, str):
        return _plain_item(descr)
    if not isinstance(descr, list) or len(descr) > _FIELD_LIMIT or depth > 8:
        raise MalformedArtifactError("the type is none that numpy writes", locator="byte 10")
    total, has_objects = 0, False
    for field in descr:
        if not isinstance(field, tuple) or len(field) not in (2, 3):
            raise MalformedArtifactError("a field of the type is not a name and a type", locator="byte 10")
        size, holds = _item(field[1], depth + 1)
        lengths = field[2] if len(field) == 3 else ()
        lengths = lengths if isinstance(lengths, tuple) else (lengths,)
        if not all(type(n) is int and 0 <= n < 1 << 31 for n in lengths) or len(lengths) > _RANK_LIMIT:
            raise MalformedArtifactError("a field of the type has no sound shape", locator="byte 10")
        total += size * prod(lengths)
        has_objects |= holds
    return total, has_objects


def _plain_item(text: str) -> tuple[int, bool]:
    found = _TYPE.match(text)
    if found is None:
        raise MalformedArtifactError("the type is none that numpy writes", locator="byte 10")
    letter, digits = found.group(2), found.group(3)
    if letter == "O":
        return 8, True
    if letter in "SaUV":
        return int(digits or 0) * (4 if letter == "U" else 1), False
    size = int(digits or 1)
    if size not in _SIZES.get(letter, ()):
        raise MalformedArtifactError("the type has a size that numpy does not know", locator="byte 10")
    return size, False


FORMAT = Format(
    name="npy",
    title="NumPy array",
    media_type="application/x-npy",
    version=1,
    may_hold_code=True,
    checks=("npy.structure", "npy.header", "npy.size", "npy.objects", "code.on-load"),
    references=(
        "https://numpy.org/doc/2.3/reference/generated/numpy.lib.format.html",
        "https://nvd.nist.gov/vuln/detail/CVE-2019-6446",
    ),
    sniff=sniff,
    read=read,
)
