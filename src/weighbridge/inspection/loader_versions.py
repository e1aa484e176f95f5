"""How the versions of loaders are ordered: releases after PEP 440, builds by their number.

What stands behind `+` names a build of the same release and is not compared. https://peps.python.org/pep-0440/
"""

from __future__ import annotations

import re

Key = tuple[tuple[int, ...], ...]
"""Keys of one ordering compare as the versions do."""

_DIGITS = r"\d{1,9}"
_RELEASE = re.compile(
    rf"v?(?:(?P<epoch>{_DIGITS})!)?(?P<release>{_DIGITS}(?:\.{_DIGITS}){{0,5}})"
    rf"(?:[-_.]?(?P<stage>alpha|beta|preview|pre|rc|a|b|c)[-_.]?(?P<stage_number>(?:{_DIGITS})?))?"
    rf"(?P<post>-(?P<bare_number>{_DIGITS})|[-_.]?(?:post|rev|r)[-_.]?(?P<post_number>(?:{_DIGITS})?))?"
    rf"(?P<dev>[-_.]?dev[-_.]?(?P<dev_number>(?:{_DIGITS})?))?"
    r"(?:\+[a-z0-9]+(?:[-_.][a-z0-9]+){0,8})?",
    re.ASCII,
)
_BUILD = re.compile(rf"b?({_DIGITS})", re.ASCII)
_STAGES = {"a": 0, "alpha": 0, "b": 1, "beta": 1, "c": 2, "rc": 2, "pre": 2, "preview": 2}
_LENGTH_LIMIT = 64
_FIRST, _GIVEN, _LAST = -1, 0, 1


def version_key(text: str, order: str) -> Key | None:
    """The key of a version in an ordering, `pep440` or `build`; None where it is no version of that kind."""
    if len(text) > _LENGTH_LIMIT:
        return None
    spelled = text.strip().lower()
    return _build_key(spelled) if order == "build" else _release_key(spelled)


def _build_key(text: str) -> Key | None:
    found = _BUILD.fullmatch(text)
    return ((int(found[1]),),) if found else None


def _release_key(text: str) -> Key | None:
    found = _RELEASE.fullmatch(text)
    if found is None:
        return None
    release = [int(part) for part in found["release"].split(".")]
    while release and not release[-1]:
        release.pop()
    has_post, has_dev = found["post"] is not None, found["dev"] is not None
    post = (_GIVEN, int(found["bare_number"] or found["post_number"] or 0)) if has_post else (_FIRST, 0)
    dev = (_GIVEN, int(found["dev_number"] or 0)) if has_dev else (_LAST, 0)
    if found["stage"]:
        stage = (_GIVEN, _STAGES[found["stage"]], int(found["stage_number"] or 0))
    else:
        stage = (_FIRST if has_dev and not has_post else _LAST, 0, 0)
    return (int(found["epoch"] or 0),), tuple(release), stage, post, dev
