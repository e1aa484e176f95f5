"""XML of a model file, event by event and bounded: no document type, no entities, nothing external, no tree.

The parser is that of defusedxml, with the events of expat taken directly. Source: defusedxml 0.7 ElementTree.DefusedXMLParser;
W3C XML 1.0 (fifth edition), Namespaces in XML 1.0.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable
from dataclasses import dataclass
from xml.parsers.expat import ExpatError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from weighbridge.errors import MalformedArtifactError
from weighbridge.formats.headers.defects import UNJUDGED, Defects, OverLimitError
from weighbridge.formats.reading.source import Source
from weighbridge.vocabulary import clip

SIZE_LIMIT_BYTES = 16 << 20
DEPTH_LIMIT = 256
ELEMENT_LIMIT = 400_000
"""Elements and attributes of one document; the largest language models of 2026 have about 250,000 in an OpenVINO IR."""
ATTRIBUTE_LIMIT = 1_200_000
_HEAD_BYTES = 4096
_XINCLUDE = "http://www.w3.org/2001/XInclude"
_TRANSFORM = "http://www.w3.org/1999/XSL/Transform"
_ENCODINGS = {"UTF-8", "UTF-16", "UTF-16LE", "UTF-16BE", "US-ASCII", "ASCII", "ISO-8859-1"}
_BOMS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (b"<\0\0\0", "utf-32-le"),
    (b"\0\0\0<", "utf-32-be"),
    (b"<\0", "utf-16-le"),
    (b"\0<", "utf-16-be"),
)
_SPACE = re.compile(r"\s*")
_ROOT = re.compile(r"<(?:[\w.\-]{1,80}:)?([\w.\-]{1,80})(?=[\s/>])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Element:
    """The start of an element: its namespace, name, attributes in pairs, and how deep it stands (the root at 1)."""

    space: str
    name: str
    attributes: tuple[tuple[str, str], ...]
    depth: int

    def get(self, name: str, default: str = "") -> str:
        """The attribute of that name."""
        return next((value for key, value in self.attributes if key == name), default)


def has_root(source: Source, name: str) -> bool:
    """Whether a file is XML whose root element has that local name, by the text before it."""
    head = source.head(_HEAD_BYTES)
    encoding = next((name for mark, name in _BOMS if head.startswith(mark)), "utf-8")
    root = _root_in(head.decode(encoding, "replace").removeprefix("\ufeff"), name)
    if root is None and source.size_bytes > len(head):
        text = source.head(SIZE_LIMIT_BYTES).decode(encoding, "replace").removeprefix("\ufeff")
        root = _root_in(text, name)
    return root == name


def _root_in(text: str, wanted: str) -> str | None:
    """The name of the root element, empty where this is no XML, None where what stands before it goes on.

    Behind a document type, which no honest model has, the first element of the wanted name counts.
    """
    position = _behind_space(text, 0)
    while text.startswith(("<?", "<!--"), position):
        closing = "?>" if text[position + 1] == "?" else "-->"
        end = text.find(closing, position + 2)
        if end < 0:
            return None
        position = _behind_space(text, end + len(closing))
    if text.startswith("<!", position):
        found = (match.group(1) for match in _ROOT.finditer(text, position))
        return wanted if wanted in found else None
    if match := _ROOT.match(text, position):
        return match.group(1)
    return None if position >= len(text) or (text[position] == "<" and len(text) - position < 200) else ""


def _behind_space(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    return match.end() if match else position


def parse(
    source: Source,
    defects: Defects,
    check: str,
    *,
    on_start: Callable[[Element], None],
    on_end: Callable[[int], object] = int,
    on_text: Callable[[str], None] | None = None,
) -> None:
    """Walk a document; what it asks of a parser beyond itself is noted under `check`.

    Raises:
        MalformedArtifactError: it is not well-formed.
        OverLimitError: it is larger than is read, or in an encoding that is not.
    """
    if source.size_bytes > SIZE_LIMIT_BYTES:
        raise OverLimitError(f"XML of {source.size_bytes:,} bytes is not read")
    walk = _Walk(defects, check, on_start, on_end)
    parser = DefusedXMLParser(forbid_dtd=True, forbid_entities=True, forbid_external=True, target=walk)
    expat = parser.parser
    expat.buffer_text = True
    expat.DefaultHandlerExpand = None
    expat.StartElementHandler = walk.open
    expat.EndElementHandler = walk.close_one
    expat.CharacterDataHandler = on_text
    expat.ProcessingInstructionHandler = walk.instruct
    expat.XmlDeclHandler = walk.declare
    try:
        expat.Parse(source.read_at(0, source.size_bytes), True)  # noqa: FBT003  # expat takes no keyword
    except DefusedXmlException as refused:
        what = type(refused).__name__.replace("Forbidden", "")
        message = f"a document type or entity ({what}) can make a parser read other files and addresses, or expand without end"
        defects.add(check, message, f"line {expat.CurrentLineNumber}", references=("CWE-611", "CWE-776"))
    except ExpatError as problem:
        raise MalformedArtifactError(
            f"not well-formed XML: {clip(str(problem), 80)}", locator=f"line {problem.lineno}"
        ) from problem


class _Walk:
    """The events of one document, counted."""

    def __init__(
        self, defects: Defects, check: str, on_start: Callable[[Element], None], on_end: Callable[[int], object]
    ) -> None:
        self._defects = defects
        self._check = check
        self._on_start = on_start
        self._on_end = on_end
        self._depth = 0
        self._elements = 0
        self._attributes = 0

    def open(self, name: str, attributes: list[str]) -> None:
        self._depth += 1
        self._elements += 1
        self._attributes += len(attributes)
        if self._depth > DEPTH_LIMIT:
            raise MalformedArtifactError(f"elements are nested deeper than {DEPTH_LIMIT}", locator="byte 0")
        if self._elements > ELEMENT_LIMIT or self._attributes > ATTRIBUTE_LIMIT:
            raise OverLimitError("more elements than are read", locator="byte 0")
        space, _, local = name.rpartition("}")
        if space in (_XINCLUDE, _TRANSFORM):
            message = f"{clip(local, 40)} of {space} makes a processor read other files or run a program"
            self._defects.add(self._check, message, excerpt=clip(name))
        pairs = tuple(zip(attributes[::2], attributes[1::2], strict=True))
        self._on_start(Element(space=space, name=local, attributes=pairs, depth=self._depth))

    def close_one(self, name: str) -> None:  # noqa: ARG002  # expat gives it
        self._on_end(self._depth)
        self._depth -= 1

    def instruct(self, target: str, data: str) -> None:
        if target.lower() == "xml-stylesheet":
            message = "a style sheet makes a processor read another file, and may be a program"
            self._defects.add(self._check, message, excerpt=clip(data))
        else:
            message = f"a processing instruction {clip(target, 40)} is for a program that is not known here"
            self._defects.add(self._check, message, excerpt=clip(data), grade=UNJUDGED)

    def declare(self, version: str, encoding: str | None, _standalone: int) -> None:  # noqa: ARG002  # expat gives them
        if encoding is not None and encoding.upper() not in _ENCODINGS:
            raise OverLimitError(f"XML in the encoding {clip(encoding, 40)} is not read", locator="byte 0")
