"""Take a model's reasoning out of a reply that has it before the JSON."""

from __future__ import annotations

import re

from evalkit.core.json_text import parse_leading_json

_TAGS = r"(?:think|thinking|thought|reasoning|reflection)"
_OPENING = re.compile(rf"\s*<{_TAGS}>", re.IGNORECASE)
_CLOSING = re.compile(rf"</{_TAGS}>", re.IGNORECASE)
_REPLY_START = re.compile(r"\s*(\{|```|~~~)")
_LINE_WITH_OBJECT = re.compile(r"^[ \t]*(?=\{)|^[ \t]*(?=(?:```|~~~))", re.MULTILINE)
_NONCE_KEY = '"nonce"'


def strip_reasoning(text: str) -> str:
    """Return what follows the reasoning at the start of a reply; a reply without any is unchanged.

    The opening tag may be missing, because some chat templates write it into the prompt. Tags may be
    doubled. The reply begins after the first closing tag that JSON or a fence follows. Without a closing
    tag it is the one JSON object that ends the text.
    """
    if _REPLY_START.match(text):
        return text
    closings = [*_CLOSING.finditer(text)]
    for closing in closings:
        if _REPLY_START.match(text, closing.end()):
            return text[closing.end() :]
    if closings:
        return text[closings[-1].end() :]
    return _find_last_object(text) if _OPENING.match(text) else text


def _find_last_object(text: str) -> str:
    """Return the object at the end of reasoning that was not closed; the whole text if there is none."""
    for line in _LINE_WITH_OBJECT.finditer(text):
        rest = text[line.end() :]
        if rest.startswith(("```", "~~~")):
            if _NONCE_KEY in rest:
                return rest
            continue
        try:
            parse_leading_json(rest)
        except ValueError:
            continue
        # The first object with the nonce: if more follows, the reply is ambiguous.
        if _NONCE_KEY in rest:
            return rest
    return text
