"""What operators of model graphs do, from the tables in `data/`."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from enum import Enum
from functools import cache

from weighbridge.formats.graphs.messages import data_text

_MARKS = re.compile(r"[^a-z0-9]")


class Deed(Enum):
    """What running an operator does."""

    CALCULATES = "calculates"
    REACHES_OUT = "runs code or touches files"
    FOREIGN = "comes from a library that is not known"


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxOperators:
    """The operators that are known, by domain, and the names that run code."""

    known: dict[str, frozenset[str]]
    runs_code: frozenset[str]
    code_domains: frozenset[str]
    alarming: frozenset[str]

    def deed(self, domain: str, name: str) -> Deed:
        """What one operator does; the domain `ai.onnx` is the empty one."""
        if name in self.runs_code or domain in self.code_domains:
            return Deed.REACHES_OUT
        if name in self.known.get("" if domain == "ai.onnx" else domain, ()):
            return Deed.CALCULATES
        if _MARKS.sub("", name.lower()) in self.alarming:
            return Deed.REACHES_OUT
        return Deed.FOREIGN


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorFlowOperators:
    """Operators that calculate or keep state in the process, those of savers and tables, and those that reach out of it."""

    calculates: frozenset[str]
    paths: frozenset[str]
    reaches_out: dict[str, str]

    def deed(self, name: str) -> Deed:
        """What one operator does."""
        if name in self.reaches_out:
            return Deed.REACHES_OUT
        return Deed.CALCULATES if name in self.calculates or name in self.paths else Deed.FOREIGN


@cache
def onnx_operators() -> OnnxOperators:
    """The table of ONNX operators."""
    table = tomllib.loads(data_text("onnx_operators.toml"))
    return OnnxOperators(
        known={domain: frozenset(names) for domain, names in table["known"].items()},
        runs_code=frozenset(table["runs_code"]),
        code_domains=frozenset(table["code_domains"]),
        alarming=frozenset(table["alarming"]),
    )


@cache
def tensorflow_operators() -> TensorFlowOperators:
    """The table of TensorFlow operators."""
    table = tomllib.loads(data_text("tensorflow_operators.toml"))
    return TensorFlowOperators(
        calculates=frozenset(table["calculates"]), paths=frozenset(table["paths"]), reaches_out=table["reaches_out"]
    )
