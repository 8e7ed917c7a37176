"""Spans as frameworks send them: the same call reads the same, and counts once."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from evalkit.core.prices import TokenCounts, look_up_cost_usd
from evalkit.core.spans import Span
from evalkit.core.trial import Output
from evalkit.trace.calls import get_model_calls, get_tool_calls
from evalkit.trace.events import SpanEvent, SpanStatus, read_outcome
from evalkit.trace.normalizer import normalize_spans
from evalkit.trace.otlp import read_export
from evalkit.trace.recording import SpanPayload
from evalkit.trace.totals import fill_from_spans

IDS = itertools.count(1)


def sent(
    name: str,
    attributes: Mapping[str, Any],
    *,
    at: tuple[int, int] = (0, 9),
    parent: str = "",
    scope: str = "",
    status: SpanStatus = "unset",
    events: Sequence[SpanEvent] = (),
) -> SpanPayload:
    return {
        "id": f"s{next(IDS)}",
        "parent": parent,
        "name": name,
        "scope": scope,
        "start_ns": at[0] * 10**9,
        "end_ns": at[1] * 10**9,
        **read_outcome(status, "", events, attributes),
    }


def read(*payloads: SpanPayload) -> Output:
    return fill_from_spans(Output(spans=normalize_spans(payloads, start_ns=0)))


def read_tool(attributes: Mapping[str, Any], name: str = "get_order", **more: Any) -> Span:
    [span] = read(sent(name, attributes, **more)).spans
    return span


OPENINFERENCE = {"openinference.span.kind": "TOOL", "tool.name": "get_order"}
GENAI = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "get_order"}
SCHEMA = '{"type": "object", "properties": {"order_id": {"type": "integer"}, "kind": {}}}'

PARTS = '[{"role": "tool", "parts": [{"type": "tool_call", "name": "get_order", "arguments": {"order_id": 7}}]}]'

WRAPPED: dict[str, tuple[dict[str, Any], list[SpanEvent]]] = {
    "a message in an event": (
        GENAI,
        [("gen_ai.tool.message", {"role": "tool", "content": '{"order_id": 7}', "id": "c"})],
    ),
    "parts in an event": (
        GENAI,
        [("gen_ai.client.inference.operation.details", {"gen_ai.input.messages": PARTS})],
    ),
    "the body of an event": (
        GENAI,
        [("gen_ai.tool.message", {"gen_ai.event.content": '{"order_id": 7}'})],
    ),
    "args and kwargs": (
        {**OPENINFERENCE, "input.value": '{"args": [], "x": true, "kwargs": {"order_id": 7}}'},
        [],
    ),
    "a positional argument": (
        {
            **OPENINFERENCE,
            "input.value": '{"args": [7], "kwargs": {}}',
            "tool.parameters": SCHEMA,
        },
        [],
    ),
    "a positional argument of a plain schema": (
        {
            **OPENINFERENCE,
            "input.value": '{"args": [7], "kwargs": {}}',
            "tool.parameters": '{"order_id": {"type": "integer"}}',
        },
        [],
    ),
    "one mapping as the argument": (
        {**OPENINFERENCE, "input.value": '{"args": [{"order_id": 7}], "kwargs": {}}'},
        [],
    ),
    "the text of a Python mapping": ({**OPENINFERENCE, "input.value": "{'order_id': 7}"}, []),
    "OpenLLMetry's LangChain": (
        {
            "traceloop.span.kind": "tool",
            "gen_ai.tool.name": "get_order",
            "traceloop.entity.input": json.dumps(
                {"input_str": "{'order_id': 7}", "inputs": {"order_id": 7}, "tags": []}
            ),
        },
        [],
    ),
    "the whole call": (
        {**OPENINFERENCE, "input.value": '{"name": "get_order", "arguments": {"order_id": 7}}'},
        [],
    ),
    "Google ADK of old": ({**GENAI, "gcp.vertex.agent.tool_call_args": '{"order_id": 7}'}, []),
}


@pytest.mark.parametrize("form", WRAPPED)
def test_arguments_are_plain_however_they_are_wrapped(form: str) -> None:
    attributes, events = WRAPPED[form]
    span = read_tool(attributes, events=events)
    assert (span.kind, span.tool, span.arguments) == ("tool", "get_order", {"order_id": 7})
    assert not any(name.startswith(("evalkit", "tool.")) for name in span.attributes)


def test_a_tool_call_in_the_words_of_logfire_is_one() -> None:
    words = {"logfire.msg_template": "Function: {name}", "name": "get_order"}
    raised: list[SpanEvent] = [("exception", {"exception.message": "no order"})]
    attributes = {**words, "input": '{"order_id": 7}', "output": "An error occurred"}
    span = read_tool(attributes, "Function: {name}", events=raised)
    assert (span.kind, span.tool, span.arguments) == ("tool", "get_order", {"order_id": 7})
    assert (span.error, span.result) == ("no order", "An error occurred")
    assert read_tool({**attributes, "logfire.msg_template": "Order {name}"}).attributes["name"]


def test_what_is_no_wrapper_stays_as_it_is() -> None:
    values: list[dict[str, Any]] = [
        {"args": "x", "kwargs": "y"}, {"name": "ann", "arguments": 1}, {"inputs": {}}
    ]  # fmt: skip
    for value in values:
        span = read_tool({**OPENINFERENCE, "input.value": json.dumps(value)})
        assert span.arguments == value
    span = read_tool({**OPENINFERENCE, "input.value": '{"args": [7], "kwargs": {"k": 1}}'})
    assert span.arguments == {"args": [7], "kwargs": {"k": 1}}
    assert read_tool({**OPENINFERENCE, "input.value": "{'a': open}"}).arguments == "{'a': open}"
    # The schema of a tool is not what it was called with.
    assert read_tool({**OPENINFERENCE, "tool.parameters": SCHEMA}).arguments is None


TOOL_MESSAGE = {
    "type": "tool",
    "data": {"content": "no order", "tool_call_id": "c", "status": "error"},
}

HANDLED: dict[str, tuple[dict[str, Any], SpanStatus, list[SpanEvent]]] = {
    "a message of LangChain": ({"output.value": json.dumps(TOOL_MESSAGE)}, "ok", []),
    "a message of LangChain, as OpenLLMetry has it": (
        {"output.value": json.dumps({"output": {"lc": 1, "kwargs": TOOL_MESSAGE["data"]}})},
        "unset",
        [],
    ),
    "a message of a tool": (
        {"output.value": '{"role": "tool", "status": "error", "content": "no order"}'},
        "ok",
        [],
    ),
    "a result of Strands": (
        {
            "output.value": '[{"toolResult": {"status": "error", "content": [{"text": "no order"}]}}]'
        },
        "ok",
        [],
    ),
    "MCP": (
        {"output.value": '{"isError": true, "content": [{"type": "text", "text": "no order"}]}'},
        "ok",
        [],
    ),
    "AutoGen": ({"output.value": '{"is_error": true, "content": "no order"}'}, "ok", []),
    "the text of an MCP server": (
        {"output.value": '{"type": "text", "text": "Error executing tool get_order: no order"}'},
        "ok",
        [],
    ),
    "an exception without a status": (
        {},
        "unset",
        [("exception", {"exception.type": "shop.NoOrder", "exception.message": "no order"})],
    ),
    "a type as the message": (
        {"error.type": "TOOL_ERROR", "output.value": '{"error": "no order"}'},
        "unset",
        [],
    ),
}


@pytest.mark.parametrize("form", HANDLED)
def test_an_error_that_the_framework_handles_is_an_error_of_the_call(form: str) -> None:
    attributes, status, events = HANDLED[form]
    output = read(sent("x", {**OPENINFERENCE, **attributes}, status=status, events=events))
    [call] = get_tool_calls(output) or ()
    assert "no order" in (call.error or "")
    assert output.spans[0].error_type


def test_a_result_that_only_speaks_of_errors_is_none() -> None:
    caught: list[SpanEvent] = [
        ("exception", {"exception.type": "ValueError", "exception.message": "no"})
    ]
    cases: list[tuple[str, SpanStatus, list[SpanEvent]]] = [
        ('{"status": "success", "content": "no error"}', "ok", []),
        ('{"isError": false, "content": []}', "ok", []),
        ('{"status": "error"}', "ok", []),  # the state of a thing, without a word about it
        ("Error executing tool other: x", "ok", []),
        ("fine", "ok", caught),  # the tool says that it succeeded
    ]
    for output, status, events in cases:
        span = read_tool({**OPENINFERENCE, "output.value": output}, status=status, events=events)
        assert (span.error, span.error_type) == ("", ""), output
    [step] = read(sent("step", {}, events=caught)).spans
    assert (step.error, step.error_type) == ("", ""), "an agent may go on after an exception"


def test_spans_that_are_no_call_of_the_agent_count_as_none() -> None:
    output = read(
        sent("execute_tool get_order", {**GENAI, "gen_ai.tool.call.id": "1"}, at=(1, 2)),
        sent("execute_tool (merged)", {**GENAI, "gen_ai.tool.name": "(merged tools)"}, at=(2, 3)),
        sent("tool failure", GENAI, at=(2, 2)),
        sent("FinalAnswerTool", {**OPENINFERENCE, "tool.name": "final_answer"}, at=(3, 4)),
        sent("Tool Usage", {"tool_name": "get_order"}, scope="crewai.telemetry"),
        sent("chat", {"gen_ai.operation.name": "chat", "logfire.span_type": "pending_span"}),
        sent("POST", {"http.request.method": "POST"}, at=(4, 5)),
    )
    assert [span.name for span in output.spans if span.kind == "tool"] == ["execute_tool get_order"]
    assert len(output.spans) == 5
    assert get_model_calls(output) == ()


def test_the_outermost_span_of_langchain_is_the_agents_own() -> None:
    scope = "openinference.instrumentation.langchain"
    chain = {"openinference.span.kind": "CHAIN"}
    outer = sent("LangGraph", chain, scope=scope)
    output = read(outer, sent("model", chain, scope=scope, parent=outer["id"], at=(1, 2)))
    assert [span.kind for span in output.spans] == ["agent", "step"]
    assert get_tool_calls(output) == (), "an agent that is traced whole has called no tool"


ARGUMENTS = {"gen_ai.tool.call.arguments": '{"order_id": 7}'}
LLM = {"openinference.span.kind": "LLM", "llm.model_name": "gpt-4o-mini"}
TOKENS = {"llm.token_count.prompt": 100, "llm.token_count.completion": 20}


def count(*payloads: SpanPayload) -> tuple[int, int]:
    output = read(*payloads)
    return len(get_model_calls(output)), len(get_tool_calls(output) or ())


def test_a_tool_call_that_two_instrumentations_see_is_one_with_all_they_say() -> None:
    outer = sent("orders.get_order", {**OPENINFERENCE, "input.value": '{"order_id": 7}'}, at=(1, 5))
    step = sent("run", {}, parent=outer["id"], at=(2, 4))
    failed: list[SpanEvent] = [
        ("exception", {"exception.type": "ValueError", "exception.message": "no order"})
    ]
    inner = sent("execute_tool get_order", GENAI, parent=step["id"], at=(2, 4), events=failed)
    output = read(outer, step, inner)
    assert [span.kind for span in output.spans] == ["tool", "step", "step"]
    [call] = output.tool_calls
    assert (call.arguments, call.error, call.duration_s) == ({"order_id": 7}, "no order", 4.0)
    # In a trace of its own, as a second instrumentation without the context of the first.
    beside = sent("tool", {**GENAI, **ARGUMENTS}, scope="two", at=(2, 4))
    assert count(sent("tool", GENAI, scope="one", at=(1, 5)), beside) == (0, 1)


def test_arguments_that_a_tool_span_lacks_are_those_that_the_model_asked_for() -> None:
    parts = [{"type": "tool_call", "id": "a", "name": "get_order", "arguments": {"order_id": 7}}]
    message = json.dumps([{"role": "assistant", "parts": [{"type": "text"}, *parts]}])
    chat = {"gen_ai.operation.name": "chat", "gen_ai.output.messages": message}
    named = {**GENAI, "gen_ai.tool.call.id": "a"}
    prefix = "llm.output_messages.0.message.tool_calls.1.tool_call."
    flat = {f"{prefix}id": "a", f"{prefix}function.name": "get_order"}
    again = {**LLM, **flat, f"{prefix}function.arguments": '{"order_id": 8}'}
    output = read(
        sent("chat", chat, at=(0, 1)),
        sent("t", named, at=(1, 2)),
        sent("t", {**GENAI, "gen_ai.tool.call.id": "b"}, at=(2, 3)),
        sent("t", {**named, "gen_ai.tool.name": "other"}, at=(2, 3)),
        sent("t", {**named, "gen_ai.tool.call.arguments": '{"order_id": 1}'}, at=(2, 3)),
        sent("ChatCompletion", again, at=(3, 4)),
        sent("t", named, at=(4, 5)),
    )
    found = [call.arguments for call in output.tool_calls]
    assert found == [{"order_id": 7}, None, None, {"order_id": 1}, {"order_id": 8}]


def test_calls_that_only_look_alike_are_counted_each() -> None:
    whole = {**GENAI, **ARGUMENTS}
    one, two = (sent("t", whole, scope="one", at=at) for at in ((1, 5), (2, 4)))
    assert count(one, two) == (0, 2), "in parallel, by one instrumentation"
    outer = sent("t", whole, at=(1, 5))
    other = {**GENAI, "gen_ai.tool.call.arguments": '{"order_id": 8}'}
    assert count(outer, sent("t", other, parent=outer["id"], at=(2, 4))) == (0, 2), "a recursion"
    agent = sent("a", {"gen_ai.operation.name": "invoke_agent"}, parent=outer["id"], at=(2, 4))
    assert count(outer, agent, sent("t", whole, parent=agent["id"], at=(2, 3))) == (0, 2)
    later = sent("t", whole, scope="two", at=(5, 6))
    assert count(sent("t", whole, scope="one", at=(1, 5)), later) == (0, 2)
    named = [{**GENAI, "gen_ai.tool.call.id": key} for key in "ab"]
    spans = [sent("t", each, scope=key, at=(1, 5)) for each, key in zip(named, "xy", strict=True)]
    assert count(*spans) == (0, 2)
    # Two calls at once, seen by two instrumentations.
    seen = [
        sent("t", each, scope=scope, at=at)
        for scope, at in (("one", (1, 5)), ("two", (2, 4)))
        for each in (whole, other)
    ]
    assert count(*seen) == (0, 2)


def test_a_model_call_that_two_instrumentations_see_is_one_with_all_they_say() -> None:
    outer = sent("ChatOpenAI", {**LLM, **TOKENS, "llm.cost.total": 0.5}, scope="one", at=(1, 5))
    bare = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "openai/gpt-4o-mini"}
    inner = sent("chat", bare, scope="two", at=(2, 4), parent=outer["id"])
    output = read(outer, inner)
    assert [span.name for span in get_model_calls(output)] == ["chat"]
    assert (output.usage and output.usage.input_tokens, output.cost_usd) == (100, 0.5)
    beside = sent("ChatCompletion", {**LLM, **TOKENS}, scope="two", at=(2, 4))
    assert count(outer, beside) == (1, 0)
    more = sent("ChatCompletion", {**LLM, "llm.token_count.prompt": 7}, scope="two", at=(2, 4))
    assert count(outer, more) == (2, 0), "other tokens: another call, at the same time"
    unlike = sent("ChatCompletion", {**TOKENS, "llm.model_name": "o3"}, scope="two", at=(2, 4))
    assert count(outer, unlike) == (2, 0)
    retried = [sent("chat", bare, parent=outer["id"], at=at) for at in ((2, 3), (3, 4))]
    assert count(outer, *retried) == (2, 0), "a framework's call that was sent twice"


def test_a_model_call_without_a_cost_has_the_price_of_its_tokens() -> None:
    usage = {"gen_ai.usage.input_tokens": 1_000_000, "gen_ai.usage.output_tokens": 1_000_000}

    def cost(model: str, **more: Any) -> float | None:
        attributes = {"gen_ai.operation.name": "chat", "gen_ai.request.model": model}
        return read(sent("chat", {**attributes, **usage, **more})).cost_usd

    price = pytest.approx(0.15 + 0.60)
    for name in (
        "gpt-4o-mini",
        "gpt-4o-mini-2024-07-18",
        "openai/gpt-4o-mini",
        "openai:gpt-4o-mini",
    ):
        assert cost(name) == price, name
    assert cost("gpt-4o-mini", **{"gen_ai.system": "strands-agents"}) == price
    assert cost("gpt-4o-mini", **{"llm.provider": "azure"}) == price
    cached = {"gen_ai.usage.cache_read.input_tokens": 1_000_000}
    assert cost("gpt-4o-mini", **cached) == pytest.approx(0.075 + 0.60)
    assert cost("us.anthropic.claude-3-5-sonnet-20240620-v1:0") == pytest.approx(3 + 15)
    assert cost("gpt-4o-mini", **{"operation.cost": 9.0}) == 9.0
    for unknown in ("my-model", "llama3.1:8b", "deepseek-r1:7b", "ollama/gpt-4o-mini", ""):
        assert cost(unknown) is None, unknown
    assert cost("gpt-4o-mini", **{"gen_ai.system": "ollama"}) is None
    assert look_up_cost_usd("gpt-4o-mini", TokenCounts()) == 0.0


def test_a_call_that_failed_names_its_model_as_it_was_asked_for() -> None:
    request = {"openinference.span.kind": "LLM", "llm.invocation_parameters": '{"model": "m"}'}
    assert read(sent("ChatOpenAI", request, status="error")).spans[0].model == "m"


def test_scope_status_and_events_are_read_from_otlp() -> None:
    def pairs(values: Mapping[str, str]) -> list[Any]:
        return [{"key": key, "value": {"stringValue": value}} for key, value in values.items()]

    span = {
        "spanId": "00000000000000a1",
        "traceId": "0" * 31 + "1",
        "startTimeUnixNano": "5",
        "name": "execute_tool get_order",
        "attributes": pairs(GENAI),
        "events": [
            {"name": "gen_ai.tool.message", "attributes": pairs({"content": '{"order_id": 7}'})},
            {"name": "gen_ai.choice", "attributes": pairs({"message": '[{"text": "shipped"}]'})},
            {"name": "exception", "attributes": pairs({"exception.message": "late"})},
        ],
    }
    scopes = [{"scope": {"name": "strands"}, "spans": [span]}]
    body = json.dumps({"resourceSpans": [{"scopeSpans": scopes}]}).encode()
    [received] = read_export(body, "application/json", "")
    payload = received.payload
    assert payload["scope"] == "strands"
    [read_span] = normalize_spans([payload], start_ns=0)
    assert (read_span.arguments, read_span.result) == ({"order_id": 7}, [{"text": "shipped"}])
    assert (read_span.error, read_span.error_type) == ("late", "error")
    assert read_span.attributes == {}
