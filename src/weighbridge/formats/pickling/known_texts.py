"""Long texts that a loader runs and that are therefore compared whole while they are read; others are passed over."""

from __future__ import annotations

import re

LONGEST_BYTES = 1024
_NAMES = rb"(?:[a-z][A-Za-z0-9_]{0,15}, ){0,8}"
_TEMPLATE = re.compile(
    rb"\ndef _parse_args\(self, (?P<shapes>"
    + _NAMES
    + rb") loc=0, scale=1\):\n    return \((?P=shapes)\), loc, scale\n"
    rb"\ndef _parse_args_rvs\(self, (?P=shapes) loc=0, scale=1, size=None\):\n"
    rb"    return self\._argcheck_rvs\((?P=shapes) loc, scale, size=size\)\n"
    rb"\ndef _parse_args_stats\(self, (?P=shapes) loc=0, scale=1, moments='mv'\):\n"
    rb"    return \((?P=shapes)\), loc, scale, moments\n\Z"
)
"""parse_arg_template of scipy/stats/_distn_infrastructure.py, for continuous distributions."""


def is_template(raw: bytes) -> bool:
    """Whether this is the text from which a continuous distribution of scipy makes its argument parsers."""
    return _TEMPLATE.match(raw) is not None
