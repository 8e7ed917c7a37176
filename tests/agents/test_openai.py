"""A chat model as an agent: the real openai client against a scripted server on loopback."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from evalkit.agents.registry import check_agent, open_agent
from evalkit.core.errors import InvalidInput
from evalkit.core.eval_set import AgentSpec, Turn
from evalkit.core.run import RunEnvironment
from evalkit.core.spans import Usage
from evalkit.core.trial import AgentError, Output, Request
from tests.support.scripted_server import (
    CHUNKED,
    LENGTH_100,
    Asked,
    Play,
    ScriptedServer,
    json_reply,
    raw,
    repeat,
    reply,
    reset_after,
    slow,
    stream,
)

KEY = "sk-s3cret-key"
ENVIRON = {"OPENAI_API_KEY": KEY, "OTHER_KEY": "sk-other-s3cret"}


def request_of(
    text: str = "Where is my order?", *, timeout_s: float = 5.0, messages: Sequence[Turn] = ()
) -> Request:
    return Request(
        case_id="c1",
        trial=0,
        text=text,
        messages=tuple(messages) or (Turn(role="user", content=text),),
        metadata={},
        timeout_s=timeout_s,
    )


def surroundings_of(environ: Mapping[str, str] = ENVIRON) -> RunEnvironment:
    return RunEnvironment(root=Path("/"), set_folder=Path("/"), environ=environ)


def ask(
    args: Mapping[str, Any],
    *plays: Play,
    requests: Sequence[Request] = (),
    environ: Mapping[str, str] = ENVIRON,
) -> tuple[list[Output], ScriptedServer]:
    """Ask a model at a scripted server, all requests at once."""

    async def ask_all() -> tuple[list[Output], ScriptedServer]:
        async with ScriptedServer(plays) as server:
            spec = AgentSpec(
                kind="openai", args={"model": "m1", "base_url": f"{server.url}/v1", **args}
            )
            async with open_agent(spec, surroundings_of(environ)) as agent:
                asked = requests or [request_of()]
                return await asyncio.gather(*map(agent.answer, asked)), server

    return asyncio.run(ask_all())


def answer(*plays: Play, request: Request | None = None) -> Output:
    [output], _ = ask({}, *plays, requests=[request] if request else ())
    return output


def error(*plays: Play, request: Request | None = None) -> AgentError:
    [output], server = ask({}, *plays, requests=[request] if request else ())
    assert output.error is not None, output
    assert output.text == ""
    assert KEY not in repr(output)
    assert len(server.asked) <= 1, "the client tried again by itself"
    return output.error


def completion(
    content: object = "Soon.", finish_reason: str = "stop", **message: object
) -> dict[str, Any]:
    return {
        "id": "c1",
        "object": "chat.completion",
        "created": 1,
        "model": "m1-2026-11",
        "system_fingerprint": "fp1",
        "choices": [
            {
                "index": 0,
                "finish_reason": finish_reason,
                "message": {"role": "assistant", "content": content, **message},
            }
        ],
        "usage": {"prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16},
    }


def without(key: str) -> dict[str, Any]:
    return {name: value for name, value in completion().items() if name != key}


FINE = json_reply(completion())

# What goes in and what comes out


def test_the_conversation_is_sent_after_the_system_prompt() -> None:
    turns = (
        Turn(role="user", content="Hi é 😀 {input}"),
        Turn(role="assistant", content="Hello"),
        Turn(role="user", content="\u202e\0?"),
    )
    args = {
        "system": "Be kind. {not a placeholder}",
        "temperature": 0,
        "max_tokens": 50,
        "extra": {"top_p": 0.5, "metadata": {"a": "b"}},
    }
    [output], server = ask(args, FINE, requests=[request_of(messages=turns)])
    assert output.error is None
    [asked] = server.asked
    assert (asked.method, asked.target) == ("POST", "/v1/chat/completions")
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    assert asked.json == {
        "model": "m1",
        "messages": [
            {"role": "system", "content": "Be kind. {not a placeholder}"},
            {"role": "user", "content": "Hi é 😀 {input}"},
            {"role": "assistant", "content": "Hello"},
            {"role": "user", "content": "\u202e\0?"},
        ],
        "temperature": 0,
        "max_tokens": 50,
        "top_p": 0.5,
        "metadata": {"a": "b"},
    }


def test_half_a_character_is_an_error_of_that_case_only() -> None:
    (bad, good), _ = ask({}, FINE, requests=[request_of("\ud83d alone"), request_of("fine")])
    assert bad.error is not None
    assert bad.error.kind == "bad_request"
    assert not bad.error.retryable
    assert good.text == "Soon."


def test_without_options_nothing_but_model_and_messages_is_sent() -> None:
    _, server = ask({}, FINE)
    assert server.asked[0].json == {
        "model": "m1",
        "messages": [{"role": "user", "content": "Where is my order?"}],
    }


def test_the_answer_comes_with_usage_and_the_model_that_gave_it() -> None:
    output = answer(FINE)
    assert output.text == "Soon."
    assert output.usage == Usage(input_tokens=11, output_tokens=5)
    assert output.metadata == {
        "model": "m1-2026-11",
        "system_fingerprint": "fp1",
        "finish_reason": "stop",
    }
    assert output.latency_s > 0
    assert output.flags == ()


def test_an_answer_costs_the_known_price_of_its_tokens() -> None:
    assert answer(FINE).cost_usd is None, "no such model has a price"
    [output], _ = ask({"model": "gpt-4o-mini"}, FINE)
    assert output.cost_usd == pytest.approx((11 * 0.15 + 5 * 0.60) / 1e6)
    served = {**completion(), "model": "gpt-4o-2024-08-06"}
    [output], _ = ask({"model": "gpt-4o-mini"}, json_reply(served))
    assert output.cost_usd == pytest.approx((11 * 2.50 + 5 * 10) / 1e6)
    assert ask({"model": "gpt-4o-mini"}, json_reply(without("usage")))[0][0].cost_usd is None


@pytest.mark.parametrize(
    ("reply_body", "text", "flags"),
    [
        (completion(""), "", ()),
        (completion("cut of", "length"), "cut of", ("cut_off",)),
        (completion(None, refusal="I cannot help with that."), "I cannot help with that.", ()),
        (completion("text", "content_filter"), "text", ()),
        (completion("cut of", "model_length"), "cut of", ("cut_off",)),
        (completion("cut of", "MAX_TOKENS"), "cut of", ("cut_off",)),
        (completion("<think>Hm.</think>Soon."), "<think>Hm.</think>Soon.", ()),
        (without("usage"), "Soon.", ()),
        ({**completion(), "usage": None}, "Soon.", ()),
        ({**completion(), "usage": {}}, "Soon.", ()),
        (
            {**completion(), "usage": {"prompt_tokens": "many", "completion_tokens": -1}},
            "Soon.",
            (),
        ),
        ({**completion(), "model": None, "extra": {"x": 1}}, "Soon.", ()),
    ],
)
def test_what_a_model_says_is_its_answer(
    reply_body: dict[str, Any], text: str, flags: tuple[str, ...]
) -> None:
    output = answer(json_reply(reply_body))
    assert (output.error, output.text, output.flags) == (None, text, flags)


def test_a_tool_call_without_a_word_is_an_answer() -> None:
    calls = [
        {"id": "1", "type": "function", "function": {"name": "find", "arguments": '{"order": 9}'}},
        {"id": "2", "type": "function", "function": {"name": "odd", "arguments": "{order"}},
    ]
    output = answer(json_reply(completion(None, "tool_calls", tool_calls=calls)))
    assert output.error is None
    assert output.text == ""
    assert [(call.name, call.arguments) for call in output.tool_calls] == [
        ("find", {"order": 9}),
        ("odd", "{order"),
    ]


def test_one_client_serves_the_whole_run() -> None:
    async def ask_in_turn() -> ScriptedServer:
        async with ScriptedServer((FINE,)) as server:
            args = {"model": "m1", "base_url": f"{server.url}/v1"}
            spec = AgentSpec(kind="openai", args=args)
            async with open_agent(spec, surroundings_of()) as agent:
                for _ in range(3):
                    assert (await agent.answer(request_of())).text == "Soon."
            return server

    server = asyncio.run(ask_in_turn())
    assert (len(server.asked), server.connections) == (3, 1)


def test_a_key_that_comes_back_is_blanked_out() -> None:
    output = answer(json_reply(completion(f"Your key is {KEY}.")))
    assert output.text == "Your key is ***."
    assert output.flags == ("redacted",)


def test_a_key_that_is_part_of_words_changes_no_answer() -> None:
    environ = {"OPENAI_API_KEY": "o"}
    [output], _ = ask({"model": "m1"}, json_reply(completion("Soon.")), environ=environ)
    assert (output.text, output.flags) == ("Soon.", ())


# The key


def problems(args: Mapping[str, Any], environ: Mapping[str, str]) -> list[str]:
    spec = AgentSpec(kind="openai", args={"model": "m1", **args})
    return [problem.message for problem in check_agent(spec, (), surroundings_of(environ))]


@pytest.mark.parametrize(
    ("args", "environ", "name"),
    [
        ({}, {}, "OPENAI_API_KEY"),
        ({}, {"OPENAI_API_KEY": ""}, "OPENAI_API_KEY"),
        ({"api_key_env": "MY_KEY"}, ENVIRON, "MY_KEY"),
        ({"base_url": "https://models.example.com/v1"}, {}, "OPENAI_API_KEY"),
        ({"base_url": "http://localhost:1/v1", "api_key_env": "MY_KEY"}, {}, "MY_KEY"),
    ],
)
def test_a_missing_key_is_told_by_its_variables_name(
    args: dict[str, Any], environ: dict[str, str], name: str
) -> None:
    [message] = problems(args, environ)
    assert f"environment variable '{name}'" in message


@pytest.mark.parametrize(
    "url", ["http://localhost:1/v1", "http://127.0.0.2:1/v1", "http://[::1]:1/v1"]
)
def test_a_server_on_this_machine_needs_no_key(url: str) -> None:
    assert problems({"base_url": url}, {}) == []
    assert problems({}, {"OPENAI_BASE_URL": url}) == []


def test_a_key_by_another_name_is_sent() -> None:
    _, server = ask({"api_key_env": "OTHER_KEY"}, FINE)
    assert server.asked[0].headers["authorization"] == "Bearer sk-other-s3cret"


def test_without_a_key_a_local_server_is_asked_all_the_same() -> None:
    [output], _ = ask({}, FINE, environ={})
    assert output.text == "Soon."


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({"model": ""}, ["'model' is empty"]),
        ({"base_url": "localhost:8000"}, ["'base_url' is not an HTTP URL"]),
        ({"base_url": "https://user:s3cret@host:99999/"}, ["'base_url' is not an HTTP URL"]),
        ({"extra": {"stream": True}}, ["'stream': it is an argument of its own"]),
        ({"extra": {"n": 3}}, ["'extra' may not contain 'n'"]),
        ({"extra": {"temperature": 1}}, ["'temperature': it is an argument of its own"]),
    ],
)
def test_what_cannot_be_asked_is_refused_before_any_call(
    args: dict[str, Any], words: list[str]
) -> None:
    [message] = problems(args, ENVIRON)
    for word in words:
        assert word in message
    assert "s3cret" not in message
    with pytest.raises(InvalidInput):
        ask(args, FINE)


# Replies that are none


@pytest.mark.parametrize(
    ("play", "words"),
    [
        (json_reply(completion(None)), "without text (finish_reason 'stop')"),
        (json_reply(completion(None, "length")), "without text (finish_reason 'length')"),
        (json_reply(completion("", "length")), "finish_reason 'length'"),
        (json_reply(completion("", "MAX_TOKENS")), "finish_reason 'MAX_TOKENS'"),
        (json_reply(completion("", "content_filter")), "finish_reason 'content_filter'"),
        (json_reply(completion("", reasoning_content="Hm.")), "after its reasoning, without an"),
        (json_reply(completion([{"type": "image_url", "image_url": "x"}])), "not text"),
        (reply(b"abc", headers={"Content-Encoding": "gzip"}), "not valid HTTP"),
        (raw(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"), "not valid HTTP"),
        (raw(CHUNKED + b"zz\r\nabc"), "not valid HTTP"),
    ],
)
def test_a_reply_without_an_answer_is_a_bad_reply_that_says_why(play: Play, words: str) -> None:
    trouble = error(play)
    assert trouble.kind == "bad_reply"
    assert words in trouble.message
    assert not trouble.retryable


# Pages, empty bodies, and errors in a reply of success come from gateways in trouble.
@pytest.mark.parametrize(
    ("play", "words"),
    [
        (reply("<!doctype html><html>Log in</html>", kind="text/html"), "HTML"),
        (reply("just text", kind="text/html"), "invalid JSON"),
        (reply("just text", kind="text/plain"), "invalid JSON"),
        (reply('{"choices": [{"message": {"content": "cut'), "invalid JSON"),
        (reply(""), "nothing where JSON should be"),
        (reply("[" * 100_000), "nested"),
        (reply('data: {"choices": []}\n\n', kind="text/event-stream"), "no message in 'choices'"),
        (json_reply({}), "no message in 'choices'"),
        (json_reply([]), "no message in 'choices'"),
        (json_reply("text"), "no message in 'choices'"),
        (json_reply(without("choices")), "no message in 'choices'"),
        (json_reply({**completion(), "choices": None}), "no message in 'choices'"),
        (json_reply({**completion(), "choices": []}), "no message in 'choices'"),
        (json_reply({**completion(), "choices": [{"message": None}]}), "no message in 'choices'"),
        (json_reply({"error": {"message": "something went wrong"}}), "an error in place of"),
        (json_reply(completion("Half an ans", "error")), "in the middle of the answer"),
    ],
)
def test_a_gateway_in_trouble_is_asked_again(play: Play, words: str) -> None:
    trouble = error(play)
    assert (trouble.kind, trouble.retryable, trouble.transient) == ("bad_reply", True, False)
    assert words in trouble.message


def test_the_reason_an_endpoint_gives_in_a_reply_of_success_is_kept() -> None:
    trouble = error(json_reply({"error": {"message": "this failed"}}))
    assert "It said: 'this failed'." in trouble.message
    assert "this failed" in trouble.detail


@pytest.mark.parametrize(
    ("status", "kind", "retryable"),
    [
        (400, "bad_request", False),
        (401, "auth", False),
        (403, "auth", False),
        (404, "not_found", False),
        (405, "http_status", False),
        (408, "http_status", True),
        (409, "http_status", True),
        (425, "http_status", True),
        (429, "rate_limited", True),
        (500, "http_status", True),
        (502, "http_status", True),
        (503, "http_status", True),
        (501, "bad_request", False),
        (504, "http_status", True),
        (522, "http_status", True),
        (529, "http_status", True),
    ],
)
def test_a_status_of_failure_is_asked_once_and_some_are_worth_another_attempt(
    status: int, kind: str, retryable: bool
) -> None:
    body = {"error": {"message": f"not so: {KEY}", "code": "some_code"}}
    trouble = error(json_reply(body, status=status, headers={"Retry-After": "7"}))
    assert (trouble.kind, trouble.retryable) == (kind, retryable)
    assert trouble.transient == (retryable and status != 500)
    assert trouble.retry_after_s == 7.0
    assert "not so: ***" in trouble.detail


def test_a_length_goes_by_its_newer_name_once_the_endpoint_says_so() -> None:
    message = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."

    def choose(asked: Asked) -> Play:
        error = {"error": {"message": message, "param": "max_tokens"}}
        return json_reply(error, status=400) if "max_tokens" in asked.json else FINE

    async def ask_at_once_and_then_again() -> ScriptedServer:
        async with ScriptedServer(choose=choose) as server:
            args = {
                "model": "m1",
                "base_url": f"{server.url}/v1",
                "max_tokens": 50,
                "temperature": 0,
            }
            async with open_agent(AgentSpec(kind="openai", args=args), surroundings_of()) as agent:
                both = await asyncio.gather(*(agent.answer(request_of()) for _ in range(2)))
                for output in (*both, await agent.answer(request_of())):
                    assert output.error is None
            return server

    asked = asyncio.run(ask_at_once_and_then_again()).asked
    sent = [tuple(each.json.get(key) for key in LENGTH_KEYS) for each in asked]
    assert sorted(sent, key=str) == sorted([(50, None)] * 2 + [(None, 50)] * 3, key=str)
    assert sent[-1] == (None, 50)
    assert all(each.json["temperature"] == 0 for each in asked)


LENGTH_KEYS = ("max_tokens", "max_completion_tokens")


def test_a_parameter_of_the_user_is_never_left_out_but_named() -> None:
    message = "Unsupported value: 'temperature' does not support 0.5 with this model."
    refusal = json_reply({"error": {"message": message}}, status=400)
    [output], server = ask({"temperature": 0.5}, refusal)
    assert output.error is not None
    assert (output.error.kind, output.error.retryable) == ("bad_request", False)
    assert message in output.error.message.replace('"', "'")
    assert "Change or remove 'temperature' in the agent's arguments." in output.error.message
    assert len(server.asked) == 1


def test_a_refused_key_is_told_by_its_variables_name() -> None:
    assert "OPENAI_API_KEY" in error(reply("nope", status=401)).message


def test_an_unknown_model_is_named() -> None:
    assert "'m1'" in error(reply("nope", status=404)).message


def test_an_empty_account_is_not_worth_another_attempt() -> None:
    body = {"error": {"message": "You exceeded your quota", "code": "insufficient_quota"}}
    trouble = error(json_reply(body, status=429))
    assert (trouble.kind, trouble.retryable) == ("no_credit", False)


@pytest.mark.parametrize("body", ["", "<html>Bad gateway</html>", "{", "[]", '{"error": null}'])
def test_an_error_may_have_any_body(body: str) -> None:
    trouble = error(reply(body, status=503))
    assert (trouble.kind, trouble.retryable) == ("http_status", True)


@pytest.mark.parametrize("location", ["http://elsewhere.invalid/v1", "/v2/chat/completions"])
def test_no_redirect_is_followed_with_the_key(location: str) -> None:
    trouble = error(reply("", status=307, headers={"Location": location}))
    assert trouble.kind == "redirect"
    assert "'base_url'" in trouble.message
    assert not trouble.retryable


# Deadlines, caps, connections


@pytest.mark.parametrize(
    "play",
    [
        slow(FINE, 30),
        repeat(LENGTH_100.replace(b"100", b"100000"), b"x", 0.05),
        repeat(CHUNKED, b"1\r\nx\r\n", 0.05),
        repeat(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n", 0.05),
        repeat(CHUNKED.replace(b"200", b"500"), b"1\r\nx\r\n", 0.05),
    ],
    ids=["silence", "drip", "chunks", "headers", "error drip"],
)
def test_a_reply_that_does_not_come_to_its_end_ends_at_the_deadline(play: Play) -> None:
    async def time_it() -> tuple[Output, float]:
        async with ScriptedServer((play,)) as server:
            args = {"model": "m1", "base_url": f"{server.url}/v1"}
            async with open_agent(AgentSpec(kind="openai", args=args), surroundings_of()) as agent:
                started = time.monotonic()
                output = await agent.answer(request_of(timeout_s=0.4))
                return output, time.monotonic() - started

    output, took_s = asyncio.run(time_it())
    assert output.error is not None
    assert output.error.kind == "timeout"
    assert not output.error.retryable
    assert took_s < 1.4


@pytest.mark.parametrize(
    "play",
    [
        repeat(CHUNKED, b"10000\r\n" + b"x" * 65536 + b"\r\n", 0),
        reply(gzip.compress(b"x" * 10_000_001), headers={"Content-Encoding": "gzip"}),
    ],
    ids=["endless", "gzip bomb"],
)
def test_a_flood_is_stopped_at_the_cap(play: Play) -> None:
    assert error(play).kind == "output_too_large"


@pytest.mark.parametrize(
    "play",
    [raw(b""), reset_after(b""), raw(LENGTH_100 + b"abc"), reset_after(LENGTH_100 + b"abc")],
    ids=["hung up", "reset", "cut off", "reset in the body"],
)
def test_a_lost_connection_is_worth_another_attempt(play: Play) -> None:
    trouble = error(play)
    assert (trouble.kind, trouble.retryable) == ("connection_lost", True)


@pytest.mark.parametrize(
    ("url", "kind", "words"),
    [
        ("http://127.0.0.1:1/v1", "connect", "Connection refused"),
        ("http://no-such-host.invalid/v1", "connect", "no-such-host.invalid"),
    ],
)
def test_a_server_that_is_not_there_is_worth_another_attempt(
    url: str, kind: str, words: str
) -> None:
    [output], _ = ask({"base_url": url}, FINE)
    assert output.error is not None
    assert (output.error.kind, output.error.retryable) == (kind, True)
    assert words in output.error.message


def test_a_server_without_tls_is_a_tls_error() -> None:
    async def ask_it() -> Output:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1)
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            writer.close()

        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            args = {"model": "m1", "base_url": f"https://127.0.0.1:{port}/v1"}
            async with open_agent(AgentSpec(kind="openai", args=args), surroundings_of()) as agent:
                return await agent.answer(request_of())

    trouble = asyncio.run(ask_it()).error
    assert trouble is not None
    assert (trouble.kind, trouble.retryable) == ("tls", False)


def test_many_calls_at_once_keep_their_answers_apart() -> None:
    async def ask_many() -> list[str]:
        async def echo(writer: asyncio.StreamWriter) -> bool:
            text = server.asked[-1].json["messages"][0]["content"]
            return await slow(json_reply(completion(text)), 0.05)(writer)

        async with ScriptedServer((echo,)) as server:
            args = {"model": "m1", "base_url": f"{server.url}/v1"}
            async with open_agent(AgentSpec(kind="openai", args=args), surroundings_of()) as agent:
                requests = [request_of(f"question {n}") for n in range(50)]
                return [
                    output.text for output in await asyncio.gather(*map(agent.answer, requests))
                ]

    assert asyncio.run(ask_many()) == [f"question {n}" for n in range(50)]


# Streams


def chunks(*contents: str | None, finish: str | None = "stop") -> list[bytes]:
    deltas = [
        {"model": "m1-2026-11", "choices": [{"index": 0, "delta": {"content": content}}]}
        for content in contents
    ]
    last = {"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]}
    usage = {"choices": [], "usage": {"prompt_tokens": 11, "completion_tokens": 5}}
    texts = [json.dumps(event) for event in (*deltas, last, usage)]
    return [f"data: {text}\n\n".encode() for text in (*texts, "[DONE]")]


def test_a_streamed_answer_is_whole_and_its_first_token_is_timed() -> None:
    args = {"stream": True, "max_tokens": 9}
    [output], server = ask(
        args, stream(chunks(None, "", "So", "on.", finish="length"), pause_s=0.05)
    )
    assert server.asked[0].json["stream"] is True
    assert server.asked[0].json["stream_options"] == {"include_usage": True}
    assert (output.error, output.text, output.flags) == (None, "Soon.", ("cut_off",))
    assert output.usage == Usage(input_tokens=11, output_tokens=5)
    assert output.metadata == {"model": "m1-2026-11", "finish_reason": "length"}
    assert output.first_token_s is not None
    assert 0.1 < output.first_token_s < output.latency_s - 0.05


def test_a_server_that_always_streams_is_understood() -> None:
    body = b"".join(chunks("So", "on."))
    output = answer(stream([body[i : i + 7] for i in range(0, len(body), 7)]))
    assert (output.error, output.text) == (None, "Soon.")


def test_an_option_of_streams_that_an_endpoint_refuses_can_be_left_out() -> None:
    args = {"stream": True, "extra": {"stream_options": None}}
    _, server = ask(args, stream(chunks("Soon.")))
    assert server.asked[0].json["stream_options"] is None


def test_a_stream_that_fails_or_breaks_off_is_an_error() -> None:
    broken = error(stream(chunks("So")[:1]))
    assert broken.kind == "bad_reply"
    assert "sent a stream that breaks off" in broken.message
    failed = {"error": {"message": "overloaded", "code": 503}}
    trouble = error(stream([*chunks("So")[:1], f"data: {json.dumps(failed)}\n\n".encode()]))
    assert trouble.retryable
    assert "overloaded" in trouble.message
