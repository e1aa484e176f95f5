"""The tables that reading a pickle takes, all at once."""

from __future__ import annotations

from weighbridge.formats.pickling.allowlist import base_allowlist
from weighbridge.formats.pickling.danger import danger_list
from weighbridge.formats.pickling.torch_script import script_rules
from weighbridge.formats.pickling.torch_values import item_bytes


def read_tables() -> None:
    """Read them from their files and keep them; where a pickle is read, no file can be opened."""
    base_allowlist()
    danger_list()
    item_bytes("")
    script_rules()
