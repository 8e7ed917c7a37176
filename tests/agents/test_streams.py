"""A URL that streams its answer: real servers on loopback whose chunks end anywhere."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.agents.registry import check_agent, open_agent
from evalkit.agents.reply import to_output
from evalkit.agents.server_events import split_events
from evalkit.agents.stream_fields import BadStream, StreamFields
from evalkit.agents.stream_formats import FORMATS
from evalkit.agents.stream_reply import StreamArgument, StreamFailed, read_stream
from evalkit.core.eval_set import AgentSpec, Turn
from evalkit.core.run import RunEnvironment
from evalkit.core.spans import ToolCall, Usage
from evalkit.core.trial import AgentError, Output, Request
from tests.support.scripted_server import Play, ScriptedServer, repeat, reply, stream

SECRET = "s3cret-t0ken"
ENVIRON = {"AGENT_TOKEN": SECRET}

Data = object


def sse(*events: Data, done: bool = True, name: str = "") -> bytes:
    """Server-Sent Events; an event that is no text is written as JSON."""
    texts = [event if isinstance(event, str) else json.dumps(event) for event in events]
    head = f"event: {name}\n" if name else ""
    return "".join(
        f"{head}data: {text}\n\n" for text in [*texts, *(["[DONE]"] if done else [])]
    ).encode()


def typed(*events: Mapping[str, Any]) -> bytes:
    """Server-Sent Events whose names are their types, as Anthropic and OpenAI send them."""
    return b"".join(sse(event, done=False, name=event["type"]) for event in events)


def lines(*values: Data) -> bytes:
    return "".join(json.dumps(value) + "\n" for value in values).encode()


def ask(args: Mapping[str, Any], play: Play, *, timeout_s: float = 5.0) -> Output:
    async def ask_once() -> Output:
        async with ScriptedServer((play,)) as server:
            spec = AgentSpec(kind="http", args={"url": f"{server.url}/ask", **args})
            environment = RunEnvironment(root=Path("/"), set_folder=Path("/"), environ=ENVIRON)
            request = Request(
                case_id="c",
                trial=0,
                text="hi",
                messages=(Turn(role="user", content="hi"),),
                metadata={},
                timeout_s=timeout_s,
            )
            async with open_agent(spec, environment) as agent:
                return await agent.answer(request)

    return asyncio.run(ask_once())


def answer(args: Mapping[str, Any], play: Play) -> Output:
    output = ask(args, play)
    assert output.error is None, output.error
    return output


def error(args: Mapping[str, Any], play: Play, *, timeout_s: float = 5.0) -> AgentError:
    output = ask(args, play, timeout_s=timeout_s)
    assert output.error is not None, output
    assert output.text == ""
    return output.error


def problems(args: Mapping[str, Any]) -> list[str]:
    environment = RunEnvironment(root=Path("/"), set_folder=Path("/"), environ=ENVIRON)
    spec = AgentSpec(kind="http", args={"url": "http://h/", **args})
    return [problem.message for problem in check_agent(spec, (), environment)]


def chunk(content: object = None, finish: str | None = None, **delta: object) -> dict[str, Any]:
    delta = {**({} if content is None else {"content": content}), **delta}
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"object": "chat.completion.chunk", "model": "m-1", "choices": [choice]}


def call(index: int, arguments: str, **function: object) -> dict[str, Any]:
    function = {"arguments": arguments, **function}
    return chunk(tool_calls=[{"index": index, "function": function}])


CHAT = sse(
    chunk("", role="assistant"),
    chunk("Order 1 "),
    call(0, '{"or', name="find"),
    chunk("shipped. é"),
    call(1, "{}", name="log"),
    call(0, 'der": 1}'),
    chunk(finish="stop"),
    {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}},
)
RESPONSE = typed(
    {"type": "response.created", "response": {"model": "m-1", "error": None}},
    {"type": "response.output_text.delta", "delta": "Order 1 "},
    {"type": "response.output_text.delta", "delta": "shipped. é"},
    {
        "type": "response.output_item.done",
        "item": {"type": "function_call", "name": "find", "arguments": '{"order": 1}'},
    },
    {
        "type": "response.completed",
        "response": {"model": "m-1", "usage": {"input_tokens": 9, "output_tokens": 4}},
    },
)
MESSAGE = typed(
    {"type": "message_start", "message": {"model": "m-1", "usage": {"input_tokens": 9}}},
    {"type": "ping"},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking"}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta"}},
    {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 1, "delta": {"text": "Order 1 "}},
    {"type": "content_block_delta", "index": 1, "delta": {"text": "shipped. é"}},
    {
        "type": "content_block_start",
        "index": 2,
        "content_block": {"type": "tool_use", "name": "find", "input": {}},
    },
    {"type": "content_block_delta", "index": 2, "delta": {"partial_json": '{"order"'}},
    {"type": "content_block_delta", "index": 2, "delta": {"partial_json": ": 1}"}},
    {
        "type": "message_delta",
        "delta": {"stop_reason": "tool_use"},
        "usage": {"output_tokens": 4, "input_tokens": None},
    },
    {"type": "message_stop"},
)


def candidate(*parts: object, **more: object) -> dict[str, Any]:
    return {"candidates": [{"content": {"parts": list(parts)}, **more}], "modelVersion": "m-1"}


CANDIDATES = [
    candidate({"text": "thinking", "thought": True}),
    candidate({"text": "Order 1 "}, {"functionCall": {"name": "find", "args": {"order": 1}}}),
    {
        **candidate({"text": "shipped. é"}, finishReason="STOP"),
        "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 4},
    },
]
OLLAMA = lines(
    {"model": "m-1", "message": {"content": "Order 1 "}, "done": False},
    {
        "model": "m-1",
        "message": {
            "content": "shipped. é",
            "tool_calls": [{"function": {"name": "find", "arguments": {"order": 1}}}],
        },
        "done": False,
    },
    {
        "model": "m-1",
        "message": {"content": ""},
        "done": True,
        "done_reason": "stop",
        "prompt_eval_count": 9,
        "eval_count": 4,
    },
)
AI_SDK = sse(
    {"type": "start"},
    {"type": "reasoning-delta", "delta": "thinking"},
    {"type": "text-delta", "id": "0", "delta": "Order 1 "},
    {"type": "tool-input-available", "toolCallId": "x", "toolName": "find", "input": {"order": 1}},
    {"type": "tool-output-available", "toolCallId": "x", "output": "found"},
    {"type": "text-delta", "id": "0", "delta": "shipped. é"},
    {"type": "finish"},
)
DATA_STREAM = (
    'f:{"messageId":"m"}\n0:"Order 1 "\n9:{"toolCallId":"x","toolName":"find","args":{"order":1}}\n'
    'a:{"toolCallId":"x","result":"found"}\n0:"shipped. é"\n'
    'd:{"finishReason":"stop","usage":{"promptTokens":9,"completionTokens":4}}\n'
).encode()
AG_UI = sse(
    {"type": "RUN_STARTED"},
    {"type": "TEXT_MESSAGE_CONTENT", "messageId": "m", "delta": "Order 1 "},
    {"type": "TOOL_CALL_START", "toolCallId": "x", "toolCallName": "find"},
    {"type": "TOOL_CALL_ARGS", "toolCallId": "x", "delta": '{"order"'},
    {"type": "TOOL_CALL_ARGS", "toolCallId": "x", "delta": ": 1}"},
    {"type": "TEXT_MESSAGE_CONTENT", "messageId": "m", "delta": "shipped. é"},
    {"type": "RUN_FINISHED"},
    done=False,
)

API_STREAMS: Mapping[str, tuple[str, bytes, str]] = {
    "chat completion chunks": ("openai", CHAT, "text/event-stream; charset=utf-8"),
    "responses": ("openai_responses", RESPONSE, "text/event-stream"),
    "messages": ("anthropic", MESSAGE, "text/event-stream"),
    "candidates": ("gemini", sse(*CANDIDATES, done=False), "text/event-stream"),
    "Ollama's own lines": ("ollama", OLLAMA, "application/x-ndjson"),
    "the AI SDK": ("ai_sdk", AI_SDK, "text/event-stream"),
    "the AI SDK's data stream": ("ai_sdk", DATA_STREAM, "text/plain; charset=utf-8"),
    "AG-UI": ("ag_ui", AG_UI, "text/event-stream"),
}


@pytest.mark.parametrize("name", API_STREAMS)
def test_the_stream_of_a_known_api_is_one_answer(name: str) -> None:
    known, body, kind = API_STREAMS[name]
    # One byte a chunk cuts characters, lines and CR LF.
    play = stream([body[i : i + 1] for i in range(len(body))], kind=kind)
    output = answer({}, play)
    assert output.text == "Order 1 shipped. é"
    [found, *others] = output.tool_calls
    assert (found.name, found.arguments) == ("find", {"order": 1})
    assert [each.name for each in others] == (["log"] if name == "chat completion chunks" else [])
    if name not in ("the AI SDK", "AG-UI"):
        assert output.usage == Usage(input_tokens=9, output_tokens=4)
    assert output.first_token_s is not None
    assert 0 < output.first_token_s <= output.latency_s
    assert output.flags == ()
    by_name = answer({"stream": known}, stream([body], kind=kind))
    assert (by_name.text, by_name.tool_calls) == (output.text, output.tool_calls)


def test_tool_calls_without_an_index_are_told_apart_by_their_ids() -> None:
    function = {"name": "find", "arguments": '{"order": 1}'}
    deltas = [
        chunk(tool_calls=[{"id": "a", "function": function}]),
        chunk(tool_calls=[{"id": "b", "function": {"name": "log", "arguments": "{"}}]),
        chunk(tool_calls=[{"function": {"arguments": "}"}}]),
        chunk(finish="tool_calls"),
    ]
    output = answer({}, stream([sse(*deltas)]))
    assert output.tool_calls == (
        ToolCall(name="find", arguments={"order": 1}),
        ToolCall(name="log", arguments={}),
    )
    assert (output.text, output.first_token_s) == ("", None)


@pytest.mark.parametrize(
    "body",
    [
        sse(chunk("Order 1"), chunk(finish="length")),
        typed(
            {"type": "content_block_delta", "index": 0, "delta": {"text": "Order 1"}},
            {"type": "message_delta", "delta": {"stop_reason": "max_tokens"}},
        ),
        typed(
            {"type": "response.output_text.delta", "delta": "Order 1"},
            {
                "type": "response.incomplete",
                "response": {"incomplete_details": {"reason": "max_output_tokens"}},
            },
        ),
        sse(candidate({"text": "Order 1"}, finishReason="MAX_TOKENS"), done=False),
        sse({"delta": "Order 1"}, {"finish_reason": "length"}),
    ],
)
def test_an_answer_that_ends_at_the_limit_is_flagged(body: bytes) -> None:
    output = answer({}, stream([body]))
    assert (output.text, output.flags) == ("Order 1", ("cut_off",))


MESSY = (
    b"\xef\xbb\xbfretry: 10\r\n: keep-alive\r\n\r\nid: 1\r\nevent: message\r\ndata: {\r\n"
    b'data:"delta": "Order 1 "}\r\n\r\n:\r\n\r\nid\r\ndata: {"delta": "shipped."}'
)
PLAIN_STREAMS: Mapping[str, tuple[Mapping[str, Any], bytes, str]] = {
    "one field": ({}, sse({"delta": "Order 1 "}, {"delta": "shipped."}), "text/event-stream"),
    "lines": ({}, lines({"token": "Order 1 "}, {"token": "shipped."}), "application/x-ndjson"),
    "lines as JSON": ({}, lines({"text": "Order 1 "}, {"text": "shipped."}), "application/json"),
    "lines as text": ({}, lines({"content": "Order 1 "}, {"content": "shipped."}), "text/plain"),
    "events as text": ({}, sse({"delta": "Order 1 "}, {"delta": "shipped."}), "text/plain"),
    "lines as events": ({}, lines({"delta": "Order 1 "}, {"delta": "shipped."}), "text/event-stream"),
    "a nested field": ({}, sse({"delta": {"text": "Order 1 "}}, {"delta": {"text": "shipped."}}), ""),
    "JSON texts": ({}, sse('"Order 1 "', '"shipped."'), "text/event-stream"),
    "events that say nothing": (
        {},
        sse({"type": "start", "content": ""}, {"type": "token", "content": "Order 1 "}, done=False)
        + sse({"type": "token", "content": "shipped."}, {"type": "end", "took": 3}),
        "text/event-stream",
    ),
    "CR LF, comments, ids and several lines": ({}, MESSY, "text/event-stream"),
    "CR alone": ({}, b'data: {"delta": "Order 1 "}\r\rdata: {"delta": "shipped."}\r\r', ""),
    "plain text": (
        {"text": True},
        b": hi\n\ndata: Order\n\ndata:  1\n\ndata:  shipped.\n\ndata: [DONE]\n\n",
        "text/event-stream",
    ),
    "JSON of a known form with text": (
        {"text": True},
        sse({"delta": "Order 1 "}, {"delta": "shipped."}),
        "text/event-stream",
    ),
    "the named field": (
        {"stream": {"delta": "a.0.b", "end": "bye"}},
        sse({"a": [{"b": "Order 1 "}]}, {"a": [{"b": "shipped."}]}, "bye", {"a": [{"b": "!"}]}),
        "text/event-stream",
    ),
    "the named event": (
        {"stream": {"delta": "content", "event": "token", "end": "usage.final"}},
        sse({"content": "hmm"}, name="thought", done=False)
        + sse({"content": "Order 1 "}, {"content": "shipped."}, name="token", done=False)
        + sse({"usage": {"final": True}}, done=False),
        "text/event-stream",
    ),
    "events beside the text": (
        {},
        sse({"type": "tool_call", "text": "find"}, {"type": "thinking", "text": "hm"}, done=False)
        + sse({"type": "text", "text": "Order 1 "}, {"type": "text", "text": "shipped."}),
        "text/event-stream",
    ),
    "the whole text again at the end": (
        {},
        sse({"type": "chunk", "text": "Order 1 "}, {"type": "chunk", "text": "shipped."}, done=False)
        + sse({"type": "done", "text": "Order 1 shipped."}),
        "text/event-stream",
    ),
    "one text under two names": (
        {},
        sse(*({"data": text, "delta": {"text": text}} for text in ("Order 1 ", "shipped."))),
        "text/event-stream",
    ),
    "snapshots": (
        {"stream": {"snapshot": "text"}},
        lines({"text": "Order"}, {"text": "Order 1"}, {"text": "Order 1 shipped."}),
        "application/jsonl",
    ),
    "a whole answer at the end": (
        {"output": "answer.text", "usage": "meta.usage"},
        sse({"delta": "Ord"}, {"answer": {"text": "Order 1 shipped."}}, done=False)
        + sse({"meta": {"usage": {"prompt_tokens": 3, "completion_tokens": 1}}}),
        "text/event-stream",
    ),
    "a whole reply at the end": (
        {},
        sse({"step": 1}, {"output": "Order 1 shipped.", "usage": {"input_tokens": 3}}),
        "text/event-stream",
    ),
    "a path to the pieces": (
        {"output": "choices.0.delta.content"},
        sse(chunk("Order 1 "), chunk("shipped."), chunk(finish="stop")),
        "text/event-stream",
    ),
    "JSON on several lines": ({}, b'{\n"output":\n"Order 1 shipped."\n}', "application/x-ndjson"),
    "a list of Gemini's events": (
        {},
        json.dumps([candidate({"text": "Order 1 "}), candidate({"text": "shipped."}, finishReason="STOP")]).encode(),
        "application/json",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PLAIN_STREAMS)
def test_the_pieces_of_any_stream_are_joined(name: str) -> None:
    args, body, kind = PLAIN_STREAMS[name]
    cuts = [body[i : i + 3] for i in range(0, len(body), 3)]
    assert answer(args, stream(cuts, kind=kind or "text/event-stream")).text == "Order 1 shipped."


@given(st.binary(max_size=40), st.lists(st.integers(0, 200), max_size=4))
def test_where_chunks_end_changes_no_event(noise: bytes, cuts: Sequence[int]) -> None:
    for framing, body in (
        ("sse", b"data: a\r\n\r\nevent: x\ndata: \xc3\xa9" + noise + b"\n\ndata: b\r\r"),
        ("lines", b'{"a": "\xc3\xa9"}\r\n' + noise + b"\n[1]"),
    ):
        ends = sorted({0, *(cut for cut in cuts if cut < len(body)), len(body)})
        pieces = [(body[a:b], 1.0) for a, b in itertools.pairwise(ends)]
        found = [split_events(framing, each) for each in ([(body, 1.0)], pieces)]  # type: ignore[arg-type]
        assert repr(found[0]) == repr(found[1])


KEYS = [
    "choices",
    "delta",
    "content",
    "message",
    "index",
    "finish_reason",
    "usage",
    "tool_calls",
    "function",
    "name",
    "arguments",
    "type",
    "response",
    "item",
    "output",
    "candidates",
    "parts",
    "text",
    "done",
    "error",
    "content_block",
    "partial_json",
    "toolCallId",
    "args",
]
WORDS = [
    "a",
    "content_block_delta",
    "content_block_start",
    "message_start",
    "response.completed",
    "text-delta",
    "tool-call",
    "TOOL_CALL_ARGS",
    "TEXT_MESSAGE_CONTENT",
    "tool_use",
    "function_call",
    "length",
    "message",
    "error",
    "finish",
]
LEAF = st.none() | st.booleans() | st.integers(-1, 2) | st.floats() | st.sampled_from(WORDS)
JSON = st.recursive(
    LEAF,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5)
    ),
    max_leaves=20,
)


@given(
    st.lists(st.tuples(st.sampled_from(["", "0", "9", "error", "x"]), JSON), max_size=5),
    st.sampled_from([None, *FORMATS, StreamFields(delta="delta", end="done")]),
)
def test_any_events_are_an_answer_or_an_error(
    given_events: list[tuple[str, Any]], how: StreamArgument
) -> None:
    body = b"".join(sse(value, done=False, name=name) for name, value in given_events)
    events = split_events("sse", [(body, 1.0)])
    with suppress(BadStream, StreamFailed):  # any other exception would end the run
        output = to_output(read_stream(events, how, {"usage": "usage"}).reply, 0.1)
        assert output.error is not None or isinstance(output.text, str)
        json.dumps(output.data, allow_nan=False)


def test_the_first_piece_is_timed_and_keep_alives_are_not() -> None:
    def play_slowly() -> Iterable[bytes]:
        yield b": ping\n\n"
        yield sse({"delta": "\u200b\n"}, done=False)
        yield sse({"delta": "Order"}, done=False)
        yield sse({"delta": " 1"}, done=False)
        yield b"data: [DONE]\n\n"

    output = answer({}, stream(play_slowly(), pause_s=0.1))
    assert output.first_token_s is not None
    assert output.first_token_s >= 0.25
    assert output.latency_s - output.first_token_s >= 0.15


def test_a_connection_that_stays_open_after_the_last_event_is_not_waited_for() -> None:
    for body, args in (
        (sse({"delta": "Hi"}), {}),
        (MESSAGE, {}),
        (sse({"a": "Hi"}, "bye", done=False), {"stream": {"delta": "a", "end": "bye"}}),
    ):
        started = time.monotonic()
        assert answer(args, stream([body], is_open=True)).text
        assert time.monotonic() - started < 3


def test_a_stream_without_an_end_costs_its_deadline_and_says_what_came_last() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
    trouble = error(
        {}, repeat(head + sse({"delta": "Hi"}, done=False), b": ping\n\n", 0.05), timeout_s=0.5
    )
    assert trouble.kind == "timeout"
    assert '1 event and did not end; the last was {"delta": "Hi"}' in trouble.message
    assert "stream: {delta: PATH, end: TEXT}" in trouble.message


def test_a_stream_over_the_size_limit_is_not_read_to_its_end() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
    piece = sse({"delta": "x" * 1_000_000}, done=False)
    assert error({}, repeat(head, piece, 0)).kind == "output_too_large"


def test_connections_are_used_again_after_a_stream() -> None:
    async def ask_in_turn() -> ScriptedServer:
        async with ScriptedServer((stream([sse({"delta": "Hi"})]),)) as server:
            spec = AgentSpec(kind="http", args={"": f"{server.url}/ask"})
            environment = RunEnvironment(root=Path("/"), set_folder=Path("/"), environ={})
            turn = Turn(role="user", content="hi")
            request = Request(
                case_id="c", trial=0, text="hi", messages=(turn,), metadata={}, timeout_s=5
            )
            async with open_agent(spec, environment) as agent:
                for _ in range(3):
                    assert (await agent.answer(request)).text == "Hi"
            return server

    assert asyncio.run(ask_in_turn()).connections == 1


BAD_STREAMS: Mapping[str, tuple[Mapping[str, Any], bytes, Sequence[str]]] = {
    "an unknown form": (
        {},
        sse({"a": {"b": ["Hi"]}, "n": 1}, {"a": {"b": [" you"]}, "n": 1}),
        ["sent text/event-stream", 'the first {"a": {"b": ["Hi"]}', "stream: {delta: a.b.0}"],
    ),
    "several fields": (
        {},
        sse({"type": "draft", "content": "hm"}, *[{"type": "token", "content": "Hi"}] * 2),
        ["'content' of 'draft', 'content' of 'token'", "stream: {delta: content, event: token}"],
    ),
    "texts that grow": (
        {},
        sse({"text": "a"}, {"text": "a b"}, {"text": "a b c"}),
        ["stream: {snapshot: text}", "stream: {delta: text}"],
    ),
    "several values of the output": (
        {"output": "foo"},
        sse({"foo": "a"}, {"foo": "b"}),
        ["2 values at 'foo'", "stream: {delta: foo}"],
    ),
    "no event": ({}, b": ping\n\n", ["text/event-stream", "without an event"]),
    "no byte": ({}, b"", ["text/event-stream", "without an event"]),
    "plain text": ({}, b"data: Hi\n\n", ["set text: true"]),
    "chunks that break off": ({}, sse(chunk("Hi"), done=False), ["breaks off", "stream: {delta:"]),
    "messages that break off": ({}, MESSAGE[:600], ["breaks off"]),
    "an object that breaks off": ({}, sse({"delta": "Hi"}, done=False) + b'data: {"delta": "', ["breaks off in the middle"]),
    "a line that breaks off": ({}, lines({"delta": "Hi"}) + b'{"del', ["breaks off in the middle"]),
    "no end": (
        {"stream": {"delta": "delta", "end": "bye"}},
        sse({"delta": "Hi"}),
        ["its end, 'bye'", "remove 'end'"],
    ),
    "another format": ({"stream": "anthropic"}, CHAT, ["format 'anthropic'"]),
    "another field": ({"stream": {"delta": "a.b"}}, CHAT, ["without a text at 'a.b'"]),
    "no answer": ({}, sse(chunk(finish="length")), ["without text (finish_reason 'length')"]),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_STREAMS)
def test_a_stream_that_cannot_be_read_for_certain_is_an_error(name: str) -> None:
    args, body, words = BAD_STREAMS[name]
    trouble = error(args, stream([body]))
    assert trouble.kind == "bad_reply"
    for word in words:
        assert word in trouble.message


@pytest.mark.parametrize(
    ("body", "said", "retryable"),
    [
        (sse(chunk("Hi"), {"error": {"message": "no \x1b[31mtokens", "code": 429}}), "no \\x1b[31mtokens", True),
        (sse(chunk("Hi"), {"error": {"message": "bad tool"}}), "bad tool", False),
        (sse({"delta": "Hi"}, done=False) + sse({"message": "gone"}, name="error"), "gone", False),
        (sse({"delta": "Hi"}, done=False) + sse("it broke", name="error"), "it broke", False),
        (typed({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}), "Overloaded", True),
        (typed({"type": "response.failed", "response": {"error": {"message": "no quota"}}}), "no quota", False),
        (sse({"type": "text-delta", "delta": "Hi"}, {"type": "error", "errorText": "oops"}), "oops", False),
        (b'0:"Hi"\n3:"oops"\n', "oops", False),
        (lines({"message": {"content": "a"}, "done": False}, {"error": "model unloaded"}), "model unloaded", False),
    ],
)  # fmt: skip
def test_an_error_in_a_stream_is_the_agents(body: bytes, said: str, retryable: bool) -> None:
    kind = "text/event-stream" if b"data:" in body else "application/x-ndjson"
    trouble = error({}, stream([body], kind=kind))
    assert (trouble.kind, trouble.retryable) == ("stream_error", retryable)
    assert f"sent an error in its stream: {said}" in trouble.message


def test_an_error_of_a_tool_is_part_of_a_stream() -> None:
    body = sse({"type": "tool", "error": "not found"}, {"type": "token", "content": "Hi"})
    assert answer({}, stream([body])).text == "Hi"


def test_a_key_that_comes_back_in_pieces_is_blanked_out() -> None:
    headers = {"Authorization": "Bearer ${AGENT_TOKEN}"}
    half, rest = SECRET[:5], SECRET[5:]
    output = answer(
        {"headers": headers}, stream([sse({"delta": f"It is {half}"}, {"delta": rest})])
    )
    assert (output.text, output.flags) == ("It is ***", ("redacted",))
    trouble = error({"headers": headers}, stream([sse({"a": f"<{SECRET}>"})]))
    assert SECRET not in repr(trouble)


def test_bytes_that_are_no_text_are_replaced_and_flagged() -> None:
    output = answer({}, stream([b'data: {"delta": "caf\xe9"}\n\n']))
    assert (output.text, output.flags) == ("caf\ufffd", ("decoded_with_replacement",))


def test_one_whole_reply_is_read_where_a_stream_was_expected() -> None:
    whole = {"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]}
    assert answer({"stream": "openai"}, reply(json.dumps(whole))).text == "Hi"
    plain = answer({"stream": {"delta": "d"}, "output": "a"}, reply('{"a": "Hi"}'))
    assert (plain.text, plain.first_token_s) == ("Hi", None)


def test_text_that_only_looks_like_events_stays_as_it_is() -> None:
    body = b"data: is plural.\n"
    assert answer({"text": True}, reply(body, kind="text/plain")).text == body.decode()
    rows = lines({"a": 1}, {"a": 2})
    assert answer({"text": True}, reply(rows, kind="application/x-ndjson")).text == rows.decode()


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({"stream": "opnai"}, ["'opnai' is no format of a stream. Did you mean 'openai'?"]),
        ({"stream": {}}, ["'delta', the path of the next piece"]),
        ({"stream": {"delta": "a", "snapshot": "b"}}, ["either 'delta'", "'snapshot'"]),
        ({"stream": {"delta": "a", "final": "b"}}, ["stream: unknown key 'final'"]),
        ({"stream": {"delta": 3}}, ["stream: 'delta' must be text"]),
        ({"stream": 3}, ["'stream' must be text"]),
    ],
)
def test_a_wrong_argument_is_told_before_any_call(args: dict[str, Any], words: list[str]) -> None:
    [message] = problems(args)
    for word in words:
        assert word in message
