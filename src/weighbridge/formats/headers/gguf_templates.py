"""Which texts of a GGUF header a loader may render as a template, and what is wrong with them.

Sources: gguf-py/gguf/constants.py of ggml-org/llama.cpp (`tokenizer.chat_template`, `tokenizer.chat_template.{name}`,
`tokenizer.chat_templates`, an array of those names); llama_model_chat_template in src/llama-model.cpp (the default one and `tool_use`);
llama_cpp/llama.py of llama-cpp-python (every `tokenizer.chat_template.*`). Programs that keep templates elsewhere are not counted
on to be known: whatever has the look of a template is judged.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field

from weighbridge.formats.headers.defects import DEFECT_LIMIT, ODD, UNJUDGED, Defects, OverLimitError
from weighbridge.formats.headers.hidden import find_hidden
from weighbridge.formats.templates.expressions import STEP_LIMIT
from weighbridge.formats.templates.judge import judge_template
from weighbridge.vocabulary import clip

TEMPLATE = "tokenizer.chat_template"
NAMES = "tokenizer.chat_templates"
TEMPLATES_LIMIT_BYTES = 8 << 20
"""Most bytes of templates in one file."""

STRINGS_LIMIT = 4096
"""Most strings of one array that are looked at."""

_JUDGED_LIMIT_BYTES = 512 << 10
_JUDGED_LIMIT = 64
_NAMED = re.compile(r"template|prompt|jinja", re.IGNORECASE)
_LOOK = re.compile(rb"\{[%{]")
_TOKENIZER_JSON = "tokenizer.huggingface.json"


def is_chat_template(key: str) -> bool:
    """Whether a loader of today takes the text under this key for a chat template."""
    return key == TEMPLATE or key.startswith(TEMPLATE + ".")


def is_vocabulary(key: str) -> bool:
    """Whether what stands under this key is tokens, in which braces mean nothing."""
    return key == _TOKENIZER_JSON or (key.startswith("tokenizer.") and not _NAMED.search(key))


def names_template(key: str) -> bool:
    """Whether a key promises a template."""
    return not is_vocabulary(key) and _NAMED.search(key) is not None


@dataclass(slots=True)
class TemplateJudge:
    """The templates of one file: digests of the chat templates, and how many more are judged."""

    defects: Defects
    digests: list[tuple[str, str]] = field(default_factory=list)
    left_bytes: int = TEMPLATES_LIMIT_BYTES
    judged_bytes: int = _JUDGED_LIMIT_BYTES
    judged: int = _JUDGED_LIMIT
    steps_left: int = STEP_LIMIT

    def give_up(self, key: str, why: str, first: int) -> None:
        """Say that a template is not judged."""
        message = f"the template {clip(key)!r} is not judged: {clip(why)}"
        self.defects.add("gguf.template", message, f"byte {first}", grade=UNJUDGED)

    def take(self, key: str, raw: bytes, first: int) -> None:
        """Judge a text if it is a template. `first` is where it starts.

        Raises:
            OverLimitError: more templates than any model has.
        """
        is_named = names_template(key)
        if is_vocabulary(key) or not (is_named or _LOOK.search(raw)):
            return
        self.left_bytes -= len(raw)
        if self.left_bytes < 0:
            raise OverLimitError(f"templates of more than {TEMPLATES_LIMIT_BYTES:,} bytes", locator=f"byte {first}")
        if is_chat_template(key):
            self.digests.append((key.removeprefix("tokenizer."), hashlib.sha256(raw).hexdigest()))
        try:
            text = raw.decode()
        except UnicodeDecodeError:
            self.give_up(key, "it is not UTF-8", first)
            text = raw.decode(errors="replace")
        self._judge(key, text, first, is_expected=is_named)
        self._look_for_hidden(key, text, first)

    def _judge(self, key: str, text: str, first: int, *, is_expected: bool) -> None:
        self.judged_bytes -= len(text)
        self.judged -= 1
        if self.judged < 0 or self.judged_bytes < 0:
            self.give_up(key, "there are more and longer templates than this release judges", first)
            return
        verdict = judge_template(text, steps=self.steps_left)
        self.steps_left -= verdict.steps
        if verdict.unsafe:
            message = f"the template {clip(key)!r} reaches for {clip(verdict.unsafe)}, which leads out of the sandbox"
            self.defects.add("gguf.template", message, f"byte {first}")
        if verdict.topic:
            message = f"the template {clip(key)!r} says something else where {clip(verdict.topic)} is spoken of"
            self.defects.add("gguf.template", message, f"byte {first}")
        elif verdict.unjudged and (is_expected or "{%" in text):
            self.give_up(key, verdict.unjudged, first)

    def _look_for_hidden(self, key: str, text: str, first: int) -> None:
        for hidden in find_hidden(text) if self.defects.total < DEFECT_LIMIT else ():
            offset = first + len(text[: hidden.index].encode())
            message = f"the template {clip(key)!r} holds the invisible character {hidden.code_point}"
            self.defects.add("gguf.hidden-characters", message, f"byte {offset}", grade=ODD)
