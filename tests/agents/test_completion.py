"""The one reader of chat completions: what it takes for text, tool calls and token counts."""

from __future__ import annotations

from typing import Any

import pytest

from evalkit.agents.completion import (
    BadCompletion,
    count_tokens,
    iter_tool_arguments,
    parse_completion,
)
from evalkit.core.literals import Json
from evalkit.core.prices import TokenCounts


def reply_of(content: Json, **message: Json) -> dict[str, Any]:
    return {"choices": [{"message": {"content": content, **message}, "finish_reason": "stop"}]}


CALL = {"function": {"name": "find", "arguments": '{"id": 1, "id": 2}'}}


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("Soon.", "Soon."),
        ("", ""),
        (None, None),
        ([], ""),
        ([{"type": "text", "text": "So"}, {"type": "text", "text": "on."}], "Soon."),
    ],
)
def test_text_and_parts_of_text_are_text(content: Json, text: str | None) -> None:
    [choice] = parse_completion(reply_of(content)).choices
    assert (choice.text, choice.finish_reason) == (text, "stop")


@pytest.mark.parametrize("content", [7, [7], [{"type": "image", "text": "x"}], {"image": "x"}])
def test_other_content_is_unreadable_unless_a_tool_was_called(content: Json) -> None:
    with pytest.raises(BadCompletion, match="content is not text"):
        parse_completion(reply_of(content))
    [choice] = parse_completion(reply_of(content, tool_calls=[CALL])).choices
    assert choice.text is None


def test_arguments_of_a_tool_keep_the_text_that_the_model_wrote() -> None:
    calls = [CALL, {"function": {"name": "other", "arguments": "{}"}}, 7, {"function": None}]
    assert [*iter_tool_arguments(calls, "find")] == ['{"id": 1, "id": 2}']
    assert [*iter_tool_arguments("none", "find")] == []


@pytest.mark.parametrize(
    ("usage", "counts"),
    [
        (
            {"prompt_tokens": 9, "completion_tokens": 2},
            TokenCounts(input_tokens=9, output_tokens=2),
        ),
        ({"input_tokens": 9, "output_tokens": 2}, TokenCounts(input_tokens=9, output_tokens=2)),
        (
            {"prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": 8}},
            TokenCounts(input_tokens=9, cached_tokens=8),
        ),
        (
            {
                "prompt_tokens": 9,
                "prompt_tokens_details": {"cached_tokens": 5, "cache_write_tokens": 3},
                "cost": 0.25,
            },
            TokenCounts(
                input_tokens=9, cached_tokens=5, cache_write_tokens=3, reported_cost_usd=0.25
            ),
        ),
        (  # DeepSeek
            {"prompt_tokens": 9, "prompt_cache_hit_tokens": 6, "prompt_cache_miss_tokens": 3},
            TokenCounts(input_tokens=9, cached_tokens=6),
        ),
        (  # Anthropic, which counts what it cached apart
            {"input_tokens": 2, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 3},
            TokenCounts(input_tokens=9, cached_tokens=4, cache_write_tokens=3),
        ),
        (
            {"input_tokens": 9, "cache_read_input_tokens": None},
            TokenCounts(input_tokens=9),
        ),
        (  # a gateway to Anthropic, which counts everything as OpenAI does, and both ways
            {
                "prompt_tokens": 9,
                "prompt_tokens_details": {"cached_tokens": 4},
                "cache_read_input_tokens": 4,
                "cache_creation_input_tokens": 3,
            },
            TokenCounts(input_tokens=9, cached_tokens=4, cache_write_tokens=3),
        ),
        ({"cost": True}, TokenCounts()),
        ({"cost": -1.0}, TokenCounts()),
        ({"cost": float("nan")}, TokenCounts()),
        ({"cost": 10**400}, TokenCounts()),
        ({"prompt_tokens": True, "completion_tokens": -1}, TokenCounts()),
        ({"prompt_tokens": 1e9, "prompt_tokens_details": "many"}, TokenCounts()),
        (None, TokenCounts()),
    ],
)
def test_tokens_are_counted_under_any_name_and_nonsense_counts_nothing(
    usage: Json, counts: TokenCounts
) -> None:
    assert count_tokens(usage) == counts
