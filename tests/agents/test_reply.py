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
