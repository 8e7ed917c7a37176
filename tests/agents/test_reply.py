"""What agents answer, as outputs or as errors that say what is wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.agents.reply import to_output
from evalkit.core.literals import Json
from evalkit.core.spans import ToolCall, Usage
from evalkit.core.trial import Output


def nested(levels: int) -> Json:
    value: Json = 1
    for _ in range(levels):
        value = [value]
    return value


def test_text_is_the_answer() -> None:
    assert to_output("30 days", 0.5) == Output(text="30 days", latency_s=0.5)
    assert to_output("", 0.5) == Output(latency_s=0.5)


def test_data_alone_is_an_answer() -> None:
    assert to_output({"data": [1, None]}, 0.5) == Output(data=[1, None], latency_s=0.5)


def test_parts_that_are_null_are_not_there() -> None:
    reply = {"output": "a", "tool_calls": None, "usage": None, "cost_usd": None, "metadata": None}
    assert to_output(reply, 0.5) == Output(text="a", latency_s=0.5)


def test_a_message_of_a_chat_model_is_an_answer() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    calls = (ToolCall(name="f", arguments={}),)
    message = {"role": "assistant", "content": "a", "refusal": None, "tool_calls": [call]}
    assert to_output(message, 0.5) == Output(text="a", tool_calls=calls, latency_s=0.5)
    alone = {"output": None, "tool_calls": [call], "usage": {"total_tokens": 7}}
    assert to_output(alone, 0.5) == Output(tool_calls=calls, latency_s=0.5)


def test_every_part_is_read() -> None:
    call = {"name": "f", "arguments": [1], "result": {"a": 1}, "error": "no", "duration_s": 1}
    reply = {"output": "a", "tool_calls": [call], "usage": {"input_tokens": 3}, "cost_usd": 1}
    output = to_output(reply, 0.5)
    assert output.tool_calls == (
        ToolCall(name="f", arguments=[1], result={"a": 1}, error="no", duration_s=1.0),
    )
    assert output.usage == Usage(input_tokens=3)
    assert output.cost_usd == 1.0


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (None, "the agent returned nothing (None)."),
        (3, "the agent returned 3 (int)."),
        ([1], "the agent returned [1] (list)."),
        ({}, "neither `output` nor `data`"),
        ({"ouput": "a"}, "unknown key 'ouput'. Did you mean 'output'?"),
        ({"output": "a", "steps": 3}, "unknown key 'steps'. Put your own values under `metadata`."),
        ({"answer": "a"}, "'answer'. Give the answer as `output`, and your own values under"),
        ({"output": None}, "`output` is nothing (None), not text."),
        ({"output": 42}, "`output` is 42 (int), not text."),
        ({"output": "a", "usage": 3}, "`usage` is 3 (int), not a mapping."),
        ({"output": "a", "usage": {"tokens": 3}}, "`usage` has an unknown key 'tokens'."),
        ({"output": "a", "usage": {"input_tokens": -1}}, "`usage.input_tokens` is -1"),
        ({"output": "a", "usage": {"input_tokens": True}}, "`usage.input_tokens` is True"),
        ({"output": "a", "usage": {"input_tokens": 1.5}}, "`usage.input_tokens` is 1.5"),
        ({"output": "a", "cost_usd": "0.1"}, "`cost_usd` is '0.1', not a number of 0 or more."),
        ({"output": "a", "cost_usd": -1}, "`cost_usd` is -1"),
        ({"output": "a", "cost_usd": True}, "`cost_usd` is True"),
        ({"output": "a", "cost_usd": float("nan")}, "the reply contains nan"),
        ({"output": "a", "cost_usd": 10**400}, "`cost_usd` is too large."),
        ({"output": "a", "tool_calls": {}}, "`tool_calls` is {} (dict), not a list."),
        ({"output": "a", "tool_calls": ["f"]}, "an entry of `tool_calls` is 'f' (str)"),
        ({"output": "a", "tool_calls": [{}]}, "an entry of `tool_calls` has no `name`."),
        ({"output": "a", "tool_calls": [{"name": 1}]}, "`name` is 1 (int), not text."),
        ({"output": "a", "tool_calls": [{"name": "f", "args": 1}]}, "unknown key 'args'"),
        ({"output": "a", "tool_calls": [{"name": "f", "duration_s": -1}]}, "`duration_s` is -1"),
        ({"output": "a", "metadata": []}, "`metadata` is [] (list), not a mapping."),
        ({"data": {"deep": [float("inf")]}}, "the reply contains inf"),
        ({"data": {1: "a"}}, "the key 1, which is not text"),
        ({"data": b"bytes"}, "which JSON cannot"),
        ({"data": nested(100)}, "nested deeper than 100 levels"),
    ],
)  # fmt: skip
def test_a_reply_that_breaks_a_rule_says_which(reply: Json, says: str) -> None:
    output = to_output(reply, 0.5)
    assert output.error is not None
    assert output.error.kind == "bad_reply"
    assert says in output.error.message
    assert output.latency_s == 0.5
    assert output.text == ""


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=10,
)


@given(st.one_of(JSON, st.dictionaries(st.sampled_from(["output", "data", "usage"]), JSON)))
def test_any_reply_becomes_an_answer_or_an_error(reply: Any) -> None:
    output = to_output(reply, 0.0)
    json.dumps(output.data, allow_nan=False)
    if output.error is None:
        assert isinstance(reply, str) or {"output", "data"} & reply.keys()


# Replies in the form of a model's API

CALLS = [
    {"id": "1", "type": "function", "function": {"name": "find", "arguments": '{"order": 1}'}},
    {"type": "function", "function": {"name": "find", "arguments": {"order": 1}}},
    {"type": "tool_use", "id": "1", "name": "find", "input": {"order": 1}},
    {"type": "function_call", "call_id": "1", "name": "find", "arguments": '{"order": 1}'},
    {"type": "tool_call", "id": "1", "name": "find", "args": {"order": 1}},
    {"type": "tool-call", "toolCallId": "1", "toolName": "find", "input": {"order": 1}},
    {"name": "find", "arguments": {"order": 1}},
]


@pytest.mark.parametrize("call", CALLS)
def test_tool_calls_are_read_in_the_form_of_any_api(call: Json) -> None:
    output = to_output({"output": "a", "tool_calls": [call]}, 0.5)
    assert output.tool_calls == (ToolCall(name="find", arguments={"order": 1}),)


def test_arguments_that_are_no_json_are_kept() -> None:
    call = {"type": "function", "function": {"name": "find", "arguments": "{order"}}
    [found] = to_output({"output": "a", "tool_calls": [call]}, 0.5).tool_calls
    assert found.arguments == "{order"


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7},
        {
            "prompt_tokens": 3,
            "completion_tokens": 4,
            "prompt_tokens_details": {"cached_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0},
        },
        {"input_tokens": 3, "output_tokens": 4, "cache_read_input_tokens": 0, "service_tier": "x"},
        {"promptTokens": 3, "completionTokens": 4},
        {"input_tokens": 3, "output_tokens": 4, "prompt_tokens": None},
    ],
)
def test_usage_is_read_in_the_form_of_any_api(usage: Json) -> None:
    output = to_output({"output": "a", "usage": usage}, 0.5)
    assert output.usage == Usage(input_tokens=3, output_tokens=4)


def test_a_misspelled_count_is_not_lost_beside_a_known_one() -> None:
    output = to_output({"output": "a", "usage": {"input_tokens": 3, "output_token": 4}}, 0.5)
    assert output.error is not None
    assert "Did you mean 'output_tokens'?" in output.error.message
    assert to_output({"output": "a", "usage": {}}, 0.5).usage is None


def chat(message: Json, **more: Json) -> Json:
    return {"object": "chat.completion", "choices": [{"message": message, **more}]}


@pytest.mark.parametrize(
    "reply",
    [
        {
            **chat({"content": "Soon.", "tool_calls": CALLS[:1]}, finish_reason="stop"),
            "usage": {"prompt_tokens": 3, "completion_tokens": 4},
        },
        {
            "type": "message",
            "content": [{"type": "thinking"}, {"type": "text", "text": "Soon."}, CALLS[2]],
            "usage": {"input_tokens": 3, "output_tokens": 4},
        },
        {
            "object": "response",
            "status": "completed",
            "output": [
                {"type": "reasoning"},
                CALLS[3],
                {"type": "message", "content": [{"type": "output_text", "text": "Soon."}]},
            ],
            "usage": {"input_tokens": 3, "output_tokens": 4},
        },
        {
            "candidates": [
                {
                    "content": {
                        "parts": [
                            {"text": "Soon."},
                            {"functionCall": {"name": "find", "args": {"order": 1}}},
                        ]
                    }
                }
            ],
            "usageMetadata": {
                "promptTokenCount": 3,
                "candidatesTokenCount": 3,
                "thoughtsTokenCount": 1,
            },
        },
        {
            "message": {"content": "Soon.", "tool_calls": CALLS[1:2]},
            "done": True,
            "prompt_eval_count": 3,
            "eval_count": 4,
        },
    ],
)
def test_the_whole_reply_of_an_api_is_an_answer(reply: Json) -> None:
    output = to_output(reply, 0.5)
    assert output.error is None
    assert output.text == "Soon."
    assert output.tool_calls == (ToolCall(name="find", arguments={"order": 1}),)
    assert output.usage == Usage(input_tokens=3, output_tokens=4)


def test_a_reply_of_an_api_without_an_answer_is_an_error() -> None:
    output = to_output(chat({"content": None}, finish_reason="content_filter"), 0.5)
    assert output.error is not None
    assert "finish_reason 'content_filter'" in output.error.message
    failed = to_output({"error": {"message": "no model"}}, 0.5)
    assert failed.error is not None
    assert failed.error.message == "the agent returned an error: no model"


@pytest.mark.parametrize("reason", ["length", "MAX_TOKENS", "max_output_tokens", "model_length"])
def test_an_answer_that_was_cut_off_is_flagged(reason: str) -> None:
    output = to_output({"output": "a", "finish_reason": reason}, 0.5)
    assert (output.flags, output.metadata) == (("cut_off",), {"finish_reason": reason})
    assert to_output({"output": "a", "metadata": {"finish_reason": reason}}, 0.5).flags
    assert to_output(chat({"content": "a"}, finish_reason=reason), 0.5).flags == ("cut_off",)
    assert to_output({"output": "a", "finish_reason": "stop"}, 0.5).flags == ()
