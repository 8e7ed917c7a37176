"""Read the chunks of a streamed chat completion."""

from __future__ import annotations

from evalkit.agents.json_fields import (
    JsonObject,
    as_object,
    as_text,
    first_object,
    iter_objects,
)


def read_chunk_text(chunk: JsonObject) -> str:
    """Return the text that a chunk adds to the first choice."""
    choice, delta = first_object(chunk.get("choices")), _read_delta(chunk)
    if choice.get("index") not in (0, None):
        return ""
    content = delta.get("content")
    parts = "".join(as_text(part.get("text")) for part in iter_objects(content))
    return as_text(content) or parts or as_text(delta.get("refusal")) or as_text(choice.get("text"))


def ends_choice(chunk: JsonObject) -> bool:
    """Return whether a chunk says why the model stopped."""
    return bool(first_object(chunk.get("choices")).get("finish_reason"))


def _read_delta(chunk: JsonObject) -> JsonObject:
    choice = first_object(chunk.get("choices"))
    # Some servers send whole messages as the only chunk.
    return as_object(choice.get("delta")) or as_object(choice.get("message"))
