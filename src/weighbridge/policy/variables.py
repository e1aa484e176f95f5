"""The names that a condition may touch."""

from __future__ import annotations

VARIABLES = ("model", "findings", "artifacts", "headers", "measurements", "lineage", "licence", "use", "facts")
"""Every name that an expression may touch; `inputs.input_schema` says what is in it."""
