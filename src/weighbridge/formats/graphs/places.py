"""Names of files inside a model: whether they stay in the folder, whatever system opens them."""

from __future__ import annotations

import re

_DRIVE = re.compile(r"[A-Za-z]:")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


def leaves_folder(path: str) -> bool:
    """Whether a path may lead out of the folder: absolute, upwards, a drive, a scheme, a backslash, a home, a zero byte."""
    if not path or "\0" in path or "\\" in path or path[0] in "/~" or _DRIVE.match(path) or _SCHEME.match(path):
        return True
    return ".." in path.split("/") or not path.isprintable()
