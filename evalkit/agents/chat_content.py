"""Read the content of a chat message, text or a list of parts, and the reason why the model stopped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from evalkit.core.literals import Json

_TEXT_PARTS = ("text", "output_text", "input_text")
_REASONING_PARTS = (
    "thinking",
    "reasoning",
    "reasoning_text",
    "reasoning_content",
    "redacted_thinking",
    "summary_text",
)
_SKIPPED_PARTS = ("reference", "citation", "annotation")
"""Parts that point to sources of the text; they are no text themselves."""

Finish: TypeAlias = Literal["normal", "cut_off", "filtered", "failed", "unknown"]

_FINISHES: Mapping[Finish, tuple[str, ...]] = {
    # Besides OpenAI's words: `eos` is Together's, `eos_token` that of text-generation-inference, the
    # others are the words of Anthropic, Gemini, and Cohere, which some gateways pass on.
    "normal": (
        "",
        "stop",
        "tool_calls",
        "tool_call",
        "function_call",
        "end_turn",
        "tool_use",
        "stop_sequence",
        "eos",
        "eos_token",
        "complete",
        "completed",
    ),
    "cut_off": (
        "length",
        "max_tokens",
        "max_output_tokens",
        "model_length",
        "model_context_window_exceeded",
    ),
    "filtered": (
        "content_filter",
        "safety",
        "image_safety",
        "recitation",
        "language",
        "blocklist",
        "prohibited_content",
        "spii",
        "refusal",
        "sensitive",
        "guardrail_intervened",
    ),
    "failed": (
        "error",
        "abort",
        "aborted",
        "cancelled",
        "network_error",
        "insufficient_system_resource",
        "malformed_function_call",
        "unexpected_tool_call",
    ),
}

NO_ANSWER_FINISHES: tuple[Finish, ...] = ("cut_off", "filtered")
"""The ends of a reply with which an empty text is not an answer."""


class UnreadableContent(Exception):
    """The content has a part that is not text, such as an image."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MessageContent:
    """The content of a message: what the model says, why it refuses, its thoughts, and its calls."""

    text: str | None = None
    refusal: str = ""
    reasoning: str = ""
    tool_calls: tuple[Json, ...] = ()


def read_content(content: Json) -> MessageContent:
    """Return the content of a message; `text` is None if there is no part of text.

    Raises:
        UnreadableContent: a part is neither text, nor thoughts, nor a call. The other parts alone would
            be a different answer.
    """
    if content is None or isinstance(content, str):
        return MessageContent(text=content)
    if not isinstance(content, list | Mapping):
        raise UnreadableContent
    texts: list[str] = []
    refusals: list[str] = []
    thoughts: list[str] = []
    calls: list[Json] = []
    parts = content if isinstance(content, list) else [content]
    for part in parts:
        match part:
            case str():
                texts.append(part)
            case {"type": "refusal", "refusal": str(refusal)}:
                refusals.append(refusal)
            case {"type": "tool_use", "name": str(name)}:
                calls.append({"function": {"name": name, "arguments": part.get("input")}})
            case {"type": str(kind)} if kind in _REASONING_PARTS:
                thoughts += _iter_texts(part)
            case {"type": str(kind)} if kind in _SKIPPED_PARTS:
                pass
            case {"text": _} if part.get("type", "text") in _TEXT_PARTS:
                texts.append(_read_text(part["text"]))
            case _:
                raise UnreadableContent
    return MessageContent(
        text="".join(texts) if texts or not (parts and (refusals or thoughts or calls)) else None,
        refusal="".join(refusals),
        reasoning="".join(thoughts),
        tool_calls=tuple(calls),
    )


def _read_text(value: Json) -> str:
    """Return the text of a part, which may be under `value`."""
    text = value.get("value") if isinstance(value, Mapping) else value
    if text is None:
        return ""
    if not isinstance(text, str):
        raise UnreadableContent
    return text


def _iter_texts(value: Json) -> Iterator[str]:
    """Yield the texts in a part of reasoning, at any depth."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key in ("thinking", "reasoning", "text", "content", "summary"):
            yield from _iter_texts(value.get(key))
    elif isinstance(value, list):
        for each in value:
            yield from _iter_texts(each)


def classify_finish(*reasons: str | None) -> Finish:
    """Return how a reply ended, by the endpoint's word and the one that a gateway quotes beside it.

    A word that is not known counts only if it is the endpoint's own.

    >>> classify_finish("STOP"), classify_finish("stop", "MAX_TOKENS"), classify_finish("pause_turn")
    ('normal', 'cut_off', 'unknown')
    """
    first, *others = map(_classify_word, reasons)
    if first != "normal":
        return first
    return next((each for each in others if each not in ("normal", "unknown")), "normal")


def _classify_word(reason: str | None) -> Finish:
    word = (reason or "").strip().casefold().rpartition(".")[2]
    return next((finish for finish, words in _FINISHES.items() if word in words), "unknown")


def join_reasoning(values: Iterable[Json]) -> str:
    """Return the texts of reasoning in any of its forms."""
    return "".join(text for value in values for text in _iter_texts(value))
