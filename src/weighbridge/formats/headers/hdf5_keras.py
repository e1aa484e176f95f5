"""The Keras model that an HDF5 file describes in the attributes of its root group.

Source: keras/src/legacy/saving/legacy_h5_format.py `load_model_from_hdf5`.
"""

from __future__ import annotations

from dataclasses import dataclass

from weighbridge.formats.headers.defects import UNJUDGED, Defects
from weighbridge.formats.headers.hdf5_walk import Walk
from weighbridge.formats.headers.keras_config import KerasModel, answer, judge
from weighbridge.vocabulary import Fact, Finding, clip

_CONFIGS = (b"model_config", b"training_config")
_FACTS = (b"keras_version", b"backend")


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """What the attributes say: findings with the answer about code, and facts for the header."""

    findings: tuple[Finding, ...]
    architecture: str
    metadata: tuple[Fact, ...]
    digests: tuple[Fact, ...]


def judge_attributes(walk: Walk, path: str) -> Described:
    """Judge the configurations; where something was not walked, one may lie there that nobody saw."""
    model = KerasModel(defects=Defects(path))
    for name in _CONFIGS:
        value = walk.attributes.get(name)
        if value is None:
            continue
        where = name.decode()
        if value.is_text and len(value.texts) == 1:
            judge(value.texts[0], model, where=where)
        else:
            model.defects.add("keras.config", f"{where} is not one text", where, grade=UNJUDGED)
    for name in _FACTS:
        value = walk.attributes.get(name)
        if value and len(value.texts) == 1:
            model.metadata.append(Fact(name=name.decode(), value=clip(value.texts[0])))
    doubt = "" if walk.is_whole and not walk.defects else "the file could not be walked to its end, or is not sound"
    return Described(
        findings=answer(model, path=path, doubt=doubt),
        architecture=model.architecture,
        metadata=tuple(model.metadata),
        digests=tuple(model.digests),
    )
