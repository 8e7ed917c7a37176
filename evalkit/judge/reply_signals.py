"""Take the text of a verdict from a completion, and find what in the completion speaks against it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from evalkit.agents.chat_content import classify_finish
from evalkit.agents.completion import (
    ChatCompletion,
    CompletionChoice,
    iter_tool_arguments,
    iter_tool_names,
)
from evalkit.agents.error_body import read_error
from evalkit.core.json_text import parse_leading_json
from evalkit.core.literals import Json
from evalkit.core.safe_text import one_line
from evalkit.judge.request_format import VERDICT_TOOL
from evalkit.judge.thoughts import strip_reasoning

_MAX_QUOTED_CHARS = 120
_MAX_SCANNED_OBJECTS = 50
_VERDICT_KEYS = frozenset({"nonce", "verdicts", "level"})


class Objection(NamedTuple):
    """Why a completion is not a verdict, whatever its text says: a stable word, and a sentence."""

    kind: str
    sentence: str


def iter_reply_texts(reply: ChatCompletion) -> Iterator[str]:
    """Yield the arguments of every call of the verdict tool, or else the text, of each choice."""
    for choice in reply.choices:
        arguments = [*iter_tool_arguments(choice.tool_calls, VERDICT_TOOL)]
        if arguments or choice.text is None:
            yield from arguments
        else:
            yield choice.text


def choose_finish_reason(reply: ChatCompletion) -> str:
    """Return the word for how the reply ended: that of the endpoint, or the gateway's quote if it is worse."""
    for choice in reply.choices:
        first, quoted = choice.finish_reason or "", choice.native_finish_reason or ""
        if choice.finish != "normal":
            return quoted if classify_finish(first) == "normal" else first
    return next(filter(None, (choice.finish_reason for choice in reply.choices)), "stop")


def find_objection(reply: ChatCompletion) -> Objection | None:
    """Return the first signal in a completion that its text is not to be counted, or None."""
    if reply.error:
        said = read_error({"error": reply.error})
        text = one_line(said.message or str(reply.error), _MAX_QUOTED_CHARS)
        return Objection("error_beside", f"the endpoint sent an error beside it: {text!r}.")
    if len(reply.choices) > 1:
        return Objection("several_choices", f"it has {len(reply.choices)} choices.")
    return _find_objection_in_choice(reply.choices[0])


def _find_objection_in_choice(choice: CompletionChoice) -> Objection | None:
    arguments = [*iter_tool_arguments(choice.tool_calls, VERDICT_TOOL)]
    others = [name for name in iter_tool_names(choice.tool_calls) if name != VERDICT_TOOL]
    text = strip_reasoning(choice.text or "").strip()
    if len(arguments) > 1:
        return Objection("several_calls", f"it calls the tool {len(arguments)} times.")
    if others and (arguments or text):
        name = one_line(others[0], _MAX_QUOTED_CHARS)
        return Objection("other_call", f"it also calls a tool that was not offered: {name!r}.")
    if arguments and text and _holds_other_verdict(text, arguments[0]):
        return Objection("contradiction", "its text and its tool call say different things.")
    if not arguments and not text and choice.reasoning and not choice.text:
        return Objection("empty", "it has only reasoning, and no reply.")
    return None


def _holds_other_verdict(text: str, called: str) -> bool:
    """Return whether a text beside a call has a JSON object that could be a verdict and is not the call's."""
    try:
        wanted: Json = parse_leading_json(called)[0]
    except ValueError:
        return False  # the parser of verdicts says what is wrong with the call
    start = text.find("{")
    for _ in range(_MAX_SCANNED_OBJECTS):
        if start < 0:
            return False
        try:
            value, rest = parse_leading_json(text[start:])
        except ValueError:
            start = text.find("{", start + 1)
            continue
        is_verdict = isinstance(value, dict) and (start == 0 or _VERDICT_KEYS & set(value))
        if is_verdict and value != wanted:
            return True
        start = text.find("{", len(text) - len(rest))
    return False
