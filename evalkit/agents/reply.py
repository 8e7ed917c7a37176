"""Turn the reply of an agent of any kind, which is text or a mapping, into an Output."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from difflib import get_close_matches

from evalkit.agents.completion import BadCompletion
from evalkit.agents.error_text import say_json_error
from evalkit.agents.model_replies import flag_cut_off, read_model_reply, read_tool_call
from evalkit.core.limits import MAX_DETAIL_CHARS, MAX_REPLY_DEPTH
from evalkit.core.literals import Json
from evalkit.core.safe_text import head, one_line
from evalkit.core.spans import NO_TOOL_CALLS, ToolCall, Usage
from evalkit.core.trial import AgentError, Output
from evalkit.worker.user_code import repr_value, suggest_near_name

REPLY_KEYS = ("output", "data", "tool_calls", "usage", "cost_usd", "finish_reason", "metadata")
TOOL_CALL_KEYS = ("name", "arguments", "result", "error", "duration_s")
USAGE_KEYS = {
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "prompt_tokens": "input_tokens",
    "completion_tokens": "output_tokens",
    "inputTokens": "input_tokens",
    "outputTokens": "output_tokens",
    "promptTokens": "input_tokens",
    "completionTokens": "output_tokens",
}
"""The names of token counts in the usage of common APIs, and evalkit's own."""

TOTAL_KEYS = ("total_tokens", "totalTokens")
"""The names of sums, which do not say how many of the tokens were read and written."""

TYPO_LIKENESS = 0.85
SHOWN_ERROR_CHARS = 300


class _BadReply(Exception):
    """The reply is invalid; the message says why."""


def to_output(value: Json, latency_s: float) -> Output:
    """Return an agent's reply as an Output; an invalid reply becomes the error `bad_reply`.

    Text is the answer. A mapping has the answer under `output` (text) or `data` (any JSON) or both, and
    may have `tool_calls`, `usage`, `cost_usd`, `finish_reason` and `metadata`. Any other key is an
    error, so that a misspelled one is not scored as an empty answer. Tool calls and usage may have the
    form of a model's API, and so may the whole reply. Numbers are finite; counts and costs are not
    negative.
    """
    if isinstance(value, str):
        return Output(text=value, latency_s=latency_s)
    try:
        return _read_reply(value, latency_s)
    except _BadReply as bad:
        return Output(error=bad_reply_error(str(bad)), latency_s=latency_s)


def bad_reply_error(message: str, reply: str = "") -> AgentError:
    """Return the error of an invalid reply, with the beginning of the reply as its detail."""
    return AgentError(kind="bad_reply", message=message, detail=head(reply, MAX_DETAIL_CHARS))


def _read_reply(value: Json, latency_s: float) -> Output:
    if not isinstance(value, Mapping):
        raise _BadReply(
            f"the agent returned {_type_name(value)}. Return text, or a mapping with `output`."
        )
    answers = "output" in value or "data" in value
    # OpenAI's responses have a list under `output`.
    is_foreign = not answers or value.get("object") == "response"
    if is_foreign and (reply := _read_model_reply(value)) is not None:
        value, answers = reply, True
    if not answers and value.get("error"):
        said = one_line(say_json_error(value), SHOWN_ERROR_CHARS)
        raise _BadReply(f"the agent returned an error: {said}")
    advice = (
        "Put your own values" if answers else "Give the answer as `output`, and your own values"
    )
    _refuse_unknown_keys(value, REPLY_KEYS, "the reply", f"{advice} under `metadata`.")
    if not answers:
        raise _BadReply(
            "the reply has neither `output` nor `data`. Give the answer as one of them."
        )
    _refuse_unstorable(value)
    usage = value.get("usage")
    metadata = _read_part(value, "metadata", Mapping, "a mapping", {})
    if value.get("finish_reason") is not None:
        metadata = {**metadata, "finish_reason": _read_text(value, "finish_reason")}
    return Output(
        text=_read_answer(value),
        data=value.get("data"),
        tool_calls=tuple(map(_read_tool_call, _read_part(value, "tool_calls", list, "a list", []))),
        usage=None if usage is None else _read_usage(usage),
        cost_usd=_read_amount(value, "cost_usd"),
        metadata=metadata,
        latency_s=latency_s,
        flags=(
            *((NO_TOOL_CALLS,) if value.get("tool_calls") == [] else ()),
            *flag_cut_off(metadata.get("finish_reason")),
        ),
    )


def _read_model_reply(value: Mapping[str, Json]) -> Json:
    try:
        return read_model_reply(value)
    except BadCompletion as bad:
        raise _BadReply(f"the reply is {bad}.") from None


def _read_tool_call(value: Json) -> ToolCall:
    if not isinstance(value, Mapping):
        raise _BadReply(f"an entry of `tool_calls` is {_type_name(value)}, not a mapping.")
    value = read_tool_call(value)
    _refuse_unknown_keys(value, TOOL_CALL_KEYS, "an entry of `tool_calls`")
    if not value.get("name"):
        raise _BadReply("an entry of `tool_calls` has no `name`.")
    return ToolCall(
        name=_read_text(value, "name"),
        arguments=value.get("arguments"),
        result=value.get("result"),
        error=None if value.get("error") is None else _read_text(value, "error"),
        duration_s=_read_amount(value, "duration_s"),
    )


def _read_usage(value: Json) -> Usage | None:
    if not isinstance(value, Mapping):
        raise _BadReply(f"`usage` is {_type_name(value)}, not a mapping.")
    counts: dict[str, int] = {}
    for key, tokens in value.items():
        if key not in USAGE_KEYS or tokens is None:
            continue
        if isinstance(tokens, bool) or not isinstance(tokens, int) or tokens < 0:
            raise _BadReply(f"`usage.{key}` is {tokens!r}, not a count of tokens.")
        counts.setdefault(USAGE_KEYS[key], tokens)
    for key in value:
        # APIs add totals and details, but a misspelled count must not be lost.
        if key not in (*USAGE_KEYS, *TOTAL_KEYS) and (
            not counts or _is_misspelled(str(key), counts)
        ):
            _refuse_unknown_keys({key: None}, ("input_tokens", "output_tokens"), "`usage`")
    return Usage(**counts) if counts else None


def _is_misspelled(key: str, counts: Mapping[str, int]) -> bool:
    missing = [name for name, own in USAGE_KEYS.items() if own not in counts]
    return bool(get_close_matches(key, missing, n=1, cutoff=TYPO_LIKENESS))


def _read_answer(value: Mapping[str, Json]) -> str:
    """Return the text of the answer; null is an empty one where the answer is data or a tool call."""
    is_elsewhere = value.get("data") is not None or bool(value.get("tool_calls"))
    return "" if is_elsewhere and value.get("output") is None else _read_text(value, "output")


def _read_text(value: Mapping[str, Json], key: str) -> str:
    text: str = _read_part(value, key, str, "text", "")
    return text


def _read_part(value: Mapping[str, Json], key: str, type_: type, name: str, default: Json) -> Json:
    """Return the value of a key; the default if it is missing, or if it is null and not a text."""
    part = value.get(key, default)
    if part is None and type_ is not str:
        return default
    if not isinstance(part, type_):
        raise _BadReply(f"`{key}` is {_type_name(part)}, not {name}.")
    return part


def _read_amount(value: Mapping[str, Json], key: str) -> float | None:
    amount = value.get(key)
    if amount is None:
        return None
    if isinstance(amount, bool) or not isinstance(amount, int | float) or amount < 0:
        raise _BadReply(f"`{key}` is {repr_value(amount)}, not a number of 0 or more.")
    try:
        return float(amount)
    except OverflowError:
        raise _BadReply(f"`{key}` is too large.") from None


def _refuse_unknown_keys(
    value: Mapping[str, Json], known: tuple[str, ...], place: str, remedy: str = ""
) -> None:
    for key in value:
        if key not in known:
            remedy = remedy or f"Known: {', '.join(known)}."
            hint = suggest_near_name(str(key), known) or f" {remedy}"
            raise _BadReply(f"{place} has an unknown key {repr_value(key)}.{hint}")


def _refuse_unstorable(value: Json) -> None:
    """Raise _BadReply for values that strict JSON cannot represent, and for too many levels."""
    level: list[Json] = [value]
    for _ in range(MAX_REPLY_DEPTH):
        level = [child for item in level for child in _list_children(item)]
        if not level:
            return
    raise _BadReply(f"the reply is nested deeper than {MAX_REPLY_DEPTH} levels.")


def _list_children(value: Json) -> Iterable[Json]:
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise _BadReply(f"the reply has the key {repr_value(key)}, which is not text.")
        return value.values()
    if isinstance(value, list | tuple):
        return value
    if isinstance(value, float) and not math.isfinite(value):
        raise _BadReply(f"the reply contains {value!r}. Give a finite number, or null.")
    if value is None or isinstance(value, str | bool | int | float):
        return ()
    raise _BadReply(f"the reply contains {_type_name(value)}, which JSON cannot represent.")


def _type_name(value: object) -> str:
    return "nothing (None)" if value is None else f"{repr_value(value)} ({type(value).__name__})"
