"""Words of chat templates: which belong to the form of a conversation, and which to what it is about."""

from __future__ import annotations

import re

CONTROL = frozenset(
    (
        "/no_think",
        "/think",
        "/system_override",
        "/nothink",
        "null",
        "reasoning strength",
        "Reasoning strength",
        "<<SYS>>",
        "<tool_def_sep>",
        "object | object",
        "CONTINUE_FINAL_MESSAGE_TAG",
        "Reasoning effort",
        "reasoning effort",
        "Reasoning Effort",
        "REASONING EFFORT",
        "detailed thinking on",
        "detailed thinking off",
        "/reasoning off",
        "/reasoning on",
    )
)
"""Words by which the makers of models let a message switch the reasoning of a model."""

CLEAN_KEYS = frozenset(
    ("role", "type", "id", "tool_call_id", "index", "from", "recipient", "channel", "format", "mime_type")
)
"""Keys of a message or a tool whose values are words of the protocol."""

KEY_WORDS = frozenset(
    [
        "text",
        "image",
        "image_url",
        "video",
        "video_url",
        "audio",
        "audio_url",
        "content",
        "type",
        "input_audio",
        "tool_calls",
        "reasoning_content",
        "function",
        "name",
        "arguments",
        "parameters",
        "id",
        "thinking",
        "reasoning",
        "role",
        "parts",
        "value",
        "url",
        "json",
        "refusal",
        "title",
        "snippet",
        "data",
        "document",
        "blocks",
        "calls",
        "tool_call_id",
        "tool_result",
    ]
)
"""Keys of the parts of a message, which a template has to look for."""

SCHEMA_WORDS = frozenset(
    [
        "type",
        "string",
        "number",
        "integer",
        "float",
        "boolean",
        "bool",
        "object",
        "array",
        "null",
        "any",
        "enum",
        "file",
    ]
)
"""Types and keys of a JSON schema, which the description of a tool is."""

DATES = ("date_string", "today", "current_date", "current_time", "datetime", "now", "date", "strftime_now")

_MARKER = re.compile(
    r"<\|[^\s]{1,80}\|>|</?[|\uff5c]?[\w\u2581.:/ -]{1,40}[|\uff5c]?/?>|</?\w{1,30}[ =]?|\[/?[A-Z_ ]{2,30}\]|<<[/\w]{1,20}>>|<\|[^<>\s]{1,40}|\w{0,20}>",
    re.ASCII,
)
_ALPHANUMERIC = re.compile(r"[^\W_]")
_TAG = re.compile(r"<[^<>\s]{1,40}>|\[/?[A-Z_]{2,30}\]")
_FORM_WORDS = frozenset(
    [
        "function",
        "functions",
        "name",
        "param",
        "params",
        "parameter",
        "parameters",
        "arguments",
        "args",
        "tool",
        "tools",
        "call",
        "calls",
        "response",
        "result",
        "system",
        "user",
        "assistant",
        "model",
        "thought",
        "think",
        "thinking",
        "null",
        "true",
        "false",
        "none",
        "start",
        "end",
        "channel",
        "final",
        "analysis",
        "image",
        "picture",
        "video",
        "audio",
        "format",
        "default",
        "or",
        "id",
        "type",
        "string",
        "number",
        "integer",
        "boolean",
        "object",
        "array",
        "content",
        "message",
        "role",
        "index",
        "value",
        "observation",
    ]
)
"""Words of the form of a conversation, a call or a schema, which say nothing."""

_LETTER = re.compile(r"(?<![^\W_])[^\W\d_](?![^\W_])")
_WORD = re.compile(r"[^\W\d_]{2,}")
_LONG_WORD_LETTERS = 14
_IDEOGRAPH = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")


def is_marker(literal: str) -> bool:
    """Whether it has the form of a tag or of a special token, which no conversation is about."""
    return _MARKER.fullmatch(literal.strip()) is not None


def is_topic(literal: str) -> bool:
    """Whether it is something that people speak of."""
    return _ALPHANUMERIC.search(literal) is not None


def _tag_words(tag: re.Match[str]) -> str:
    """A tag of one plain word is read, one that has the form of a special token is not."""
    return f" {tag.group()[1:-1]} " if tag.group()[1:-1].isalpha() else " "


def word_count(text: str) -> int:
    """How many words of a language it holds, besides tags; an address counts for many."""
    plain = _TAG.sub(_tag_words, text)
    words = sum(1 + len(word) // _LONG_WORD_LETTERS for word in _WORD.findall(plain) if word.lower() not in _FORM_WORDS)
    words += len(_LETTER.findall(plain)) // 5
    return words + len(_IDEOGRAPH.findall(plain)) // 2 + (10 if "://" in plain else 0)
