"""A short, permissive protobuf parser of its own: what a graph names, wherever real parsers would find it."""

from __future__ import annotations

from collections.abc import Iterator

DANGEROUS = {b"PyOp", b"PythonOp", b"ATen", b"PyFunc", b"EagerPyFunc", b"ReadFile", b"WriteFile"}
ONNX_NODES = ((7, 1, 4), (25, 7, 4), (7, 1, 5, 6, 1, 4))
ONNX_PLACES = ((7, 5, 13), (7, 1, 5, 5, 13))
TF_NODES = ((2, 2, 1, 2), (2, 2, 2, 1, 3, 2), (2, 1, 2), (2, 2, 1, 3, 2), (1, 2), (2, 1, 3, 2))
"""Paths of field numbers from the root of a SavedModel, a MetaGraphDef or a GraphDef to the names of operators."""


def fields(data: bytes) -> Iterator[tuple[int, bytes | int]]:
    """Field numbers and payloads; ValueError where it is no message."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        if not tag >> 3 or tag & 7 not in (0, 1, 2, 5):
            raise ValueError(f"tag {tag}")
        if tag & 7 == 0:
            value, at = _varint(data, at)
            yield tag >> 3, value
            continue
        size, at = _varint(data, at) if tag & 7 == 2 else (8 if tag & 7 == 1 else 4, at)
        if at + size > len(data):
            raise ValueError("cut short")
        yield tag >> 3, data[at : at + size]
        at += size


def payloads(data: bytes, path: tuple[int, ...]) -> list[bytes]:
    """What lies at a path of field numbers; submessages that are none hold nothing."""
    found = [data]
    for number in path:
        found = [inner for outer in found for n, inner in _tried(outer) if n == number and isinstance(inner, bytes)]
    return found


def load_onnx(data: bytes, _path: str) -> str:
    """It is a message, names no operator that runs code, and no bytes above its folder."""
    if problem := _problem(data, ONNX_NODES):
        return problem
    for path in ONNX_PLACES:
        for entry in payloads(data, path):
            texts = dict(_tried(entry))
            place = texts.get(2, b"")
            if (
                texts.get(1) == b"location"
                and isinstance(place, bytes)
                and (place[:1] == b"/" or b".." in place.split(b"/"))
            ):
                return f"it takes bytes from {place!r}"
    return ""


def load_tf(data: bytes, _path: str) -> str:
    """It is a message and names no operator that runs Python or touches files."""
    return _problem(data, TF_NODES)


def _problem(data: bytes, paths: tuple[tuple[int, ...], ...]) -> str:
    try:
        list(fields(data))
    except ValueError as problem:
        return f"it is no message: {problem}"
    named = {name for path in paths for name in payloads(data, path)} & DANGEROUS
    return f"it names {named}" if named else ""


def _tried(data: bytes) -> list[tuple[int, bytes | int]]:
    try:
        return list(fields(data))
    except ValueError:
        return []


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise ValueError("cut short")
        value |= (data[at] & 0x7F) << shift
        at += 1
        if data[at - 1] < 0x80:
            return value, at
    raise ValueError("a number of over ten bytes")
