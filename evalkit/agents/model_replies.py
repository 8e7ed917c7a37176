"""Turn the reply of a model's API, as an agent may pass it on, into what an agent returns.

Known are chat completions, their messages, and responses (OpenAI), messages (Anthropic), candidates (Gemini), and the
native replies of Ollama.
"""

from __future__ import annotations

from collections.abc import Mapping

from evalkit.agents.chat_content import NO_ANSWER_FINISHES, classify_finish
from evalkit.agents.completion import (
    BadCompletion,
    ChatCompletion,
    parse_completion,
    parse_usage,
)
from evalkit.agents.json_fields import as_text, iter_objects, parse_if_json
from evalkit.core.literals import Json
from evalkit.core.spans import CUT_OFF


def flag_cut_off(finish_reason: Json) -> tuple[str, ...]:
    """Return the flag of an answer that was cut off, or nothing."""
    return (CUT_OFF,) if classify_finish(as_text(finish_reason)) == "cut_off" else ()


def read_completion(completion: ChatCompletion) -> dict[str, Json]:
    """Return the first choice as an agent's reply; a refusal is an answer, and so is a tool call.

    Raises:
        BadCompletion: the model stopped without text.
    """
    choice = completion.choices[0]
    text = choice.refusal if choice.text is None else choice.text
    is_empty = text is None or (text == "" and choice.finish in NO_ANSWER_FINISHES)
    if is_empty and not choice.tool_calls:
        raise BadCompletion(
            f"no answer: the model stopped without text (finish_reason {choice.finish_reason!r})"
        )
    # Without the reply's `id` and `created`, which differ even for equal answers.
    metadata = {"model": completion.model, "system_fingerprint": completion.fingerprint}
    return {
        "output": text or "",
        "tool_calls": choice.tool_calls,
        "usage": parse_usage(completion.usage) or None,
        "finish_reason": choice.finish_reason,
        "metadata": {key: value for key, value in metadata.items() if value},
    }


def read_model_reply(value: Json) -> dict[str, Json] | None:
    """Return the reply of a known API as an agent's reply, or None if it is something else.

    Raises:
        BadCompletion: it is a chat completion without an answer.
    """
    if not isinstance(value, Mapping):
        return None
    match value:
        case {"choices": [{"text": str(text)}, *_]}:
            reason = value["choices"][0].get("finish_reason")
            return _reply(value, text, [], value.get("usage"), reason)
        case {"choices": [{"message": _}, *_]}:
            return read_completion(parse_completion(value))
        case {"type": "message", "content": list(blocks)}:
            calls = [block for block in iter_objects(blocks) if block.get("type") == "tool_use"]
            reason = value.get("stop_reason")
            return _reply(value, _join_texts(blocks), calls, value.get("usage"), reason)
        case {"role": "assistant", "content": _}:
            choice = {"message": value, "finish_reason": value.get("finish_reason")}
            return read_completion(parse_completion({"choices": [choice]}))
        case {"object": "response", "output": list(items)}:
            return _read_response(value, items)
        case {"candidates": [{"content": {"parts": list(parts)}}, *_]}:
            return _read_candidate(value, parts)
        case {"message": {"content": str(text)}, "done": bool()}:
            calls = value["message"].get("tool_calls") or []
            return _reply(value, text, calls, _ollama_usage(value), value.get("done_reason"))
        case {"response": str(text), "done": bool()}:
            return _reply(value, text, [], _ollama_usage(value), value.get("done_reason"))
    return None


def find_parts(value: Json) -> dict[str, Json]:
    """Return the parts of a reply besides the answer: those of a known API, or a plain `usage`."""
    try:
        found = read_model_reply(value)
    except BadCompletion:
        found = None
    if found is None:
        usage = value.get("usage") if isinstance(value, Mapping) else None
        counts = parse_usage(usage) if isinstance(usage, Mapping) else {}
        found = {"usage": counts or None}
    return {name: part for name, part in found.items() if name != "output" and part is not None}


def _reply(
    value: Mapping[str, Json], text: str, calls: list[Json], usage: Json, reason: Json
) -> dict[str, Json]:
    model = value.get("model")
    return {
        "output": text,
        "tool_calls": calls or None,
        "usage": parse_usage(usage) or None,
        "finish_reason": reason if isinstance(reason, str) else None,
        "metadata": {"model": model} if isinstance(model, str) else {},
    }


def _read_response(value: Mapping[str, Json], items: list[Json]) -> dict[str, Json]:
    messages = [item for item in iter_objects(items) if item.get("type") == "message"]
    parts = [part for item in messages for part in iter_objects(item.get("content"))]
    texts = [part.get("text", part.get("refusal")) for part in parts]
    calls = [item for item in iter_objects(items) if item.get("type") == "function_call"]
    details = value.get("incomplete_details")
    reason = details.get("reason") if isinstance(details, Mapping) else value.get("status")
    joined = "".join(map(as_text, texts))
    return _reply(value, joined, calls, value.get("usage"), reason)


def _read_candidate(value: Mapping[str, Json], parts: list[Json]) -> dict[str, Json]:
    calls = [part["functionCall"] for part in iter_objects(parts) if "functionCall" in part]
    usage = value.get("usageMetadata")
    counts = usage if isinstance(usage, Mapping) else {}
    # Gemini counts thoughts apart from the answer, and bills them as output.
    written = [counts.get(key) for key in ("candidatesTokenCount", "thoughtsTokenCount")]
    tokens = {
        "input_tokens": counts.get("promptTokenCount"),
        "output_tokens": sum(count for count in written if isinstance(count, int)) or None,
    }
    answer = [part for part in iter_objects(parts) if not part.get("thought")]
    own_calls = [
        {"name": call.get("name"), "arguments": call.get("args")} for call in iter_objects(calls)
    ]
    model = {"model": value.get("modelVersion")}
    return _reply(
        model, _join_texts(answer), own_calls, tokens, value["candidates"][0].get("finishReason")
    )


def _ollama_usage(value: Mapping[str, Json]) -> Json:
    return {
        "input_tokens": value.get("prompt_eval_count"),
        "output_tokens": value.get("eval_count"),
    }


def _join_texts(blocks: list[Json]) -> str:
    return "".join(as_text(block.get("text")) for block in iter_objects(blocks))


def read_tool_call(call: Json) -> Json:
    """Return a tool call in the format of a model's API, or of a framework, in evalkit's own format.

    Anything else is returned unchanged.
    """
    match call:
        case {"function": {"name": name, **function}}:
            return {"name": name, "arguments": parse_if_json(function.get("arguments"))}
        case {"type": "function_call", "name": name, "arguments": arguments}:
            return {"name": name, "arguments": parse_if_json(arguments)}
        case {"type": "tool_use", "name": name}:
            return {"name": name, "arguments": call.get("input")}
        case {"type": "tool_call" | "tool-call", "name": name}:
            return {"name": name, "arguments": call.get("args")}
        case {"toolName": name}:
            arguments = call.get("input", call.get("args"))
            return {"name": name, "arguments": arguments}
    return call
