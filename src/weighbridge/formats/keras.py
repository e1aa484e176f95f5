"""Keras 3 models (`.keras`): a zip archive of a configuration in JSON, weights in HDF5, and the files of preprocessing layers.

Source: keras/src/saving/saving_lib.py `_load_model_from_fileobj`. The configuration is judged here, every member is examined
as a file of its own; the weights are an HDF5 file, whose reader judges what a configuration in it would run.
"""

from __future__ import annotations

import re

from weighbridge.errors import MalformedArtifactError
from weighbridge.formats.archives.flavours import flavours_of
from weighbridge.formats.archives.members import over_limit, read_zip
from weighbridge.formats.headers.defects import ODD, UNJUDGED, Defects, OverLimitError
from weighbridge.formats.headers.keras_config import CHECKS, CONFIG_LIMIT_BYTES, KerasModel, answer, judge, prepare
from weighbridge.formats.headers.strict_json import load, survey
from weighbridge.formats.reading.contract import Format, Match, Reading
from weighbridge.formats.reading.source import Source
from weighbridge.vocabulary import Fact, Header, Outcome, Severity, clip

_CONFIG = "config.json"
_METADATA = "metadata.json"
_METADATA_LIMIT_BYTES = 1 << 16
_EXPECTED = re.compile(
    r"config\.json|metadata\.json|README\.md|model\.weights\.(?:h5|npz|json)|model_[0-9]{5}\.weights\.h5|(?:assets|_variables)/.*",
    re.DOTALL,
)
_ESCAPES = re.compile(r"/|\\|[A-Za-z]:|(?:.*[/\\])?\.\.(?:[/\\]|\Z)", re.DOTALL)
_EXTRACTION = ("CVE-2025-12060",)


def sniff(source: Source) -> Match:
    """CERTAIN where the directory of a zip archive lists what Keras writes."""
    return Match.CERTAIN if "keras" in flavours_of(source) else Match.NO


def read(source: Source) -> Reading:
    """Judge the configuration and hand out the members."""
    try:
        archive = read_zip(source, "keras")
    except OverLimitError as problem:
        return over_limit(source, "keras", problem)
    listed = [member.name for member in archive.archive.members]
    _check_names(listed, archive.defects)
    model = KerasModel(defects=Defects(source.path))
    if listed.count(_CONFIG) == 1:
        try:
            judge(_bytes(archive.content(_CONFIG), CONFIG_LIMIT_BYTES), model, where=_CONFIG)
        except MalformedArtifactError as problem:
            grade = UNJUDGED if isinstance(problem, OverLimitError) else (Outcome.FAIL, Severity.HIGH)
            message = f"{_CONFIG} cannot be read: {clip(problem.message)}"
            model.defects.add("keras.config", message, problem.locator, grade=grade)
    else:
        model.defects.add("keras.config", f"there are {listed.count(_CONFIG)} members {_CONFIG}, not one")
    if listed.count(_METADATA) == 1:
        _take_metadata(archive.content(_METADATA), model)
    doubt = "the archive is not sound" if archive.defects else ""
    header = Header(
        path=source.path,
        format="keras",
        architecture=model.architecture,
        metadata=tuple(model.metadata),
        digests=tuple(model.digests),
    )
    said = f"{len(listed)} members, {model.objects:,} objects in the configuration"
    reading = archive.reading("keras", answer(model, path=source.path, doubt=doubt), said=said)
    return Reading(spans=reading.spans, findings=reading.findings, header=header, parts=reading.parts)


def _bytes(content: Source, limit: int) -> bytes:
    if content.size_bytes > limit:
        raise OverLimitError(f"{content.size_bytes:,} bytes are not judged")
    return content.read_at(0, content.size_bytes)


def _check_names(listed: list[str], defects: Defects) -> None:
    for name in listed:
        if _ESCAPES.match(name):
            message = f"the member {clip(name, 80)!r} would be unpacked outside the folder"
            defects.add("keras.member", message, excerpt=clip(name), references=_EXTRACTION)
        elif not _EXPECTED.fullmatch(name):
            message = f"the member {clip(name, 80)!r} is not one that Keras writes"
            defects.add("keras.member", message, excerpt=clip(name), grade=ODD)


def _take_metadata(content: Source, model: KerasModel) -> None:
    """The version of Keras and the date; broken ones are told by the reader of that member."""
    try:
        raw = _bytes(content, _METADATA_LIMIT_BYTES)
        survey(raw)
        value = load(raw)
    except (MalformedArtifactError, UnicodeDecodeError):
        return
    for key in ("keras_version", "date_saved"):
        if isinstance(value, dict) and isinstance(value.get(key), str):
            model.metadata.append(Fact(name=key, value=clip(value[key])))


FORMAT = Format(
    name="keras",
    title="Keras 3 model (.keras)",
    media_type="application/x-keras",
    version=1,
    may_hold_code=True,
    containers=("zip", "hdf5"),
    checks=("keras.structure", "keras.archive", "keras.member", *CHECKS),
    references=(
        "https://keras.io/api/models/model_saving_apis/model_saving_and_loading/",
        *(
            f"https://nvd.nist.gov/vuln/detail/{cve}"
            for cve in (
                *(
                    "CVE-2024-3660",
                    "CVE-2025-1550",
                    "CVE-2025-8747",
                    "CVE-2025-9905",
                    "CVE-2025-9906",
                    "CVE-2025-12058",
                ),
                *("CVE-2025-12060", "CVE-2025-49655", "CVE-2026-1462", "CVE-2026-1669"),
            )
        ),
    ),
    sniff=sniff,
    read=read,
    prepare=prepare,
)
