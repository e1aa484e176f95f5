"""One answer about a chat template, wherever it stands: in a text, in a tokenizer's configuration, in a GGUF header."""

from __future__ import annotations

from dataclasses import dataclass

from weighbridge.formats.headers.text_demands import unsafe_in_template
from weighbridge.formats.templates.expressions import STEP_LIMIT
from weighbridge.formats.templates.flow import topic_of_flow
from weighbridge.formats.templates.reach import reach_of
from weighbridge.formats.templates.statements import parse_template
from weighbridge.formats.templates.syntax import TemplateSyntaxError

JUDGED_LIMIT = 256 << 10
"""Most characters of a template that is judged; those of 2026 have below 40,000."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateVerdict:
    """What is wrong with a template, each empty where nothing is.

    `unsafe` is what leads out of the sandbox, `topic` what it makes what it says depend on, `unjudged` why nobody can say. `steps` is
    what the judgement took of a file's STEP_LIMIT.
    """

    unsafe: str = ""
    topic: str = ""
    unjudged: str = ""
    steps: int = 0


def judge_template(text: str, *, steps: int = STEP_LIMIT) -> TemplateVerdict:
    """Judge a template of Jinja in at most so many steps. Text without any braces says the same whatever is spoken of."""
    unsafe = unsafe_in_template(text)
    if "{%" not in text and "{{" not in text:
        return TemplateVerdict(unsafe=unsafe)
    if len(text) > JUDGED_LIMIT:
        return TemplateVerdict(unsafe=unsafe, unjudged=f"it has more than {JUDGED_LIMIT:,} characters")
    try:
        reach = reach_of(parse_template(text))
        unsafe = unsafe or reach.unsafe
        topic, taken = topic_of_flow(text, steps=steps)
    except TemplateSyntaxError as problem:
        return TemplateVerdict(unsafe=unsafe, unjudged=str(problem), steps=STEP_LIMIT // 2)
    return TemplateVerdict(unsafe=unsafe, topic=topic, unjudged=reach.doubt, steps=taken + reach.steps // 64)
