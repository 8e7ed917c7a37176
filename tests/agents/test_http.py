"""A URL as an agent: a real server on loopback that answers, errs, stalls, floods and hangs up."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from textwrap import dedent
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest

from evalkit.agents.conversation import converse
from evalkit.agents.registry import check_agent, open_agent
from evalkit.core.errors import InvalidInput
from evalkit.core.eval_set import AgentSpec, Case, Turn
from evalkit.core.run import RunEnvironment
from evalkit.core.trial import AgentError, Output, Request
from tests.support.paths import ROOT
from tests.support.scripted_server import (
    CHUNKED,
    LENGTH_100,
    LENGTHLESS,
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

SECRET = "s3cret-t0ken"
ENVIRON = {"PATH": "/usr/bin", "AGENT_TOKEN": SECRET, "BRACES": "{input}", "STAGE": "production"}

# For 127.0.0.1, signed by nobody, good until 2126.
CERTIFICATE = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgXcFl5HDsX0OV5+gA
xKiAX6Iv/54TS17RCv3f2KImx7ahRANCAARz5PWYs1XL5hooUP/7OwW04w8bECRp
PqsXsq0oEoIlZuHlFB1G+2io+aE4iGr91Dt7PLw9s+wo87mr5U99eGWB
-----END PRIVATE KEY-----
-----BEGIN CERTIFICATE-----
MIIBkDCCATagAwIBAgIUNjcmTcpHyCLjZRierIOWbaqBfFUwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJMTI3LjAuMC4xMCAXDTI2MTEyMjE3NTEwMVoYDzIxMjYxMDI5
MTc1MTAxWjAUMRIwEAYDVQQDDAkxMjcuMC4wLjEwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAARz5PWYs1XL5hooUP/7OwW04w8bECRpPqsXsq0oEoIlZuHlFB1G+2io
+aE4iGr91Dt7PLw9s+wo87mr5U99eGWBo2QwYjAdBgNVHQ4EFgQUNx1QaH0RUUhV
Wb+HZSnWZk0waaMwHwYDVR0jBBgwFoAUNx1QaH0RUUhVWb+HZSnWZk0waaMwDwYD
VR0TAQH/BAUwAwEB/zAPBgNVHREECDAGhwR/AAABMAoGCCqGSM49BAMCA0gAMEUC
IQC3y3Em4c397hcAq3lXJVcqodM+jCigsLC6Zdne0yBQIAIgXW7SF3pLzJxGXL8n
3H6ebIH9rVWX0gNzWDPOEE+H4g0=
-----END CERTIFICATE-----
"""


def request_of(
    text: str = "Where is my order?",
    *,
    timeout_s: float = 5.0,
    metadata: Mapping[str, Any] | None = None,
    messages: Sequence[Turn] = (),
) -> Request:
    return Request(
        case_id="c/1",
        trial=2,
        text=text,
        messages=tuple(messages) or (Turn(role="user", content=text),),
        metadata=metadata or {},
        timeout_s=timeout_s,
        seed=7,
        is_conversation=bool(messages),
    )


def surroundings_of(environ: Mapping[str, str] = ENVIRON) -> RunEnvironment:
    return RunEnvironment(root=Path("/"), set_folder=Path("/"), environ=environ)


def ask(
    args: Mapping[str, Any],
    *plays: Play,
    requests: Sequence[Request] = (),
    tls: ssl.SSLContext | None = None,
) -> tuple[list[Output], ScriptedServer]:
    """Ask an agent at a scripted server, all requests at once; `@` in the URL stands for the server."""

    async def ask_all() -> tuple[list[Output], ScriptedServer]:
        async with ScriptedServer(plays, tls) as server:
            url = args.get("url", "@/ask").replace("@", server.url)
            spec = AgentSpec(kind="http", args={**args, "url": url})
            async with open_agent(spec, surroundings_of()) as agent:
                asked = requests or [request_of()]
                return await asyncio.gather(*map(agent.answer, asked)), server

    return asyncio.run(ask_all())


def answer(args: Mapping[str, Any], *plays: Play, request: Request | None = None) -> Output:
    [output], _ = ask(args, *plays, requests=[request] if request else ())
    return output


def error(args: Mapping[str, Any], *plays: Play, request: Request | None = None) -> AgentError:
    output = answer(args, *plays, request=request)
    assert output.error is not None, output
    assert output.text == ""
    assert SECRET not in repr(output)
    return output.error


def problems(args: Mapping[str, Any], *cases: Case) -> list[str]:
    spec = AgentSpec(kind="http", args=args)
    return [problem.message for problem in check_agent(spec, cases, surroundings_of())]


FINE = json_reply({"output": "fine"})

# What goes in and what comes out


def test_the_question_is_posted_as_json_and_the_reply_is_the_answer() -> None:
    [output], server = ask({}, json_reply({"output": "Soon", "cost_usd": 0.25}))
    assert (output.error, output.text, output.cost_usd) == (None, "Soon", 0.25)
    assert output.latency_s > 0
    [asked] = server.asked
    assert (asked.method, asked.target) == ("POST", "/ask")
    assert asked.headers["content-type"] == "application/json"
    assert asked.headers["user-agent"].startswith("evalkit/")
    assert asked.json == {
        "input": "Where is my order?",
        "messages": [{"role": "user", "content": "Where is my order?"}],
    }


def test_a_body_template_is_filled_and_keeps_json_types() -> None:
    body = {
        "session": "{case.id}-{trial}",
        "chat": "{messages}",
        "profile": "{metadata}",
        "age": "{metadata.age}",
        "seed": "{seed}",
        "options": [{"stream": False, "note": "{{literal}} {input}"}, None],
    }
    turns = (Turn(role="system", content="Be kind"), Turn(role="user", content="{seed} é 😀"))
    request = request_of("{seed} é 😀", metadata={"age": 41}, messages=turns)
    _, server = ask({"body": body}, FINE, requests=[request])
    assert server.asked[0].json == {
        "session": "c/1-2",
        "chat": [
            {"role": "system", "content": "Be kind"},
            {"role": "user", "content": "{seed} é 😀"},
        ],
        "profile": {"age": 41},
        "age": 41,
        "seed": 7,
        "options": [{"stream": False, "note": "{literal} {seed} é 😀"}, None],
    }


def test_headers_and_url_take_environment_variables() -> None:
    args = {
        "url": "@/${STAGE}/ask",
        "headers": {"Authorization": "Bearer ${AGENT_TOKEN}", "Content-Type": "application/vnd.x"},
    }
    _, server = ask(args, FINE)
    assert server.asked[0].target == "/production/ask"
    assert server.asked[0].headers["authorization"] == f"Bearer {SECRET}"
    assert server.asked[0].headers["content-type"] == "application/vnd.x"


def test_braces_in_a_variables_value_are_no_placeholder() -> None:
    _, server = ask({"url": "@/${BRACES}/{trial}"}, FINE)
    assert server.asked[0].target == "/%7Binput%7D/2"


@pytest.mark.parametrize("text", ["a b&c=d#e/f?g%20+é", "../../admin", "\ud83d", "\r\nX: y"])
def test_a_placeholder_in_the_url_is_one_piece_of_it(text: str) -> None:
    args = {"url": "@/q?text={input}&n={trial}", "method": "GET"}
    _, server = ask(args, FINE, requests=[request_of(text)])
    [asked] = server.asked
    assert (asked.method, asked.body) == ("GET", b"")
    path, _, query = asked.target.partition("?")
    assert path == "/q"
    quoted = query.removeprefix("text=").removesuffix("&n=2")
    assert not set(quoted) & set("#&+ ")
    assert unquote_to_bytes(quoted) == text.encode("utf-8", "surrogatepass")


@pytest.mark.parametrize("text", ["\u202eabc\u0301", "\0", "\ud83d alone", '"\\{input}'])
def test_every_character_reaches_the_agent(text: str) -> None:
    _, server = ask({}, FINE, requests=[request_of(text)])
    assert server.asked[0].json["input"] == text


def test_a_long_question_is_sent_whole() -> None:
    text = "x" * 5_000_000
    _, server = ask({}, FINE, requests=[request_of(text)])
    assert server.asked[0].json["input"] == text


def test_the_parts_of_a_reply_are_found_by_their_paths() -> None:
    chat = {
        "choices": [
            {
                "message": {
                    "content": "42",
                    "tool_calls": [
                        {"type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}},
                        {"type": "function", "function": {"name": "odd", "arguments": "{a"}},
                    ],
                }
            }
        ],
        "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7},
        "meta": {"cost": 0.5, "docs": [{"id": 1}]},
    }
    args = {
        "output": "choices.0.message.content",
        "tool_calls": "choices.0.message.tool_calls",
        "usage": "usage",
        "cost_usd": "meta.cost",
        "data": "meta.docs.0",
    }
    output = answer(args, json_reply(chat))
    assert output.error is None
    assert (output.text, output.data, output.cost_usd) == ("42", {"id": 1}, 0.5)
    assert output.usage is not None
    assert (output.usage.input_tokens, output.usage.output_tokens) == (3, 4)
    assert [(call.name, call.arguments) for call in output.tool_calls] == [
        ("add", {"a": 1}),
        ("odd", "{a"),
    ]


def test_what_a_server_leaves_out_is_absent_but_not_what_it_should_stand_in() -> None:
    args = {"output": "answer", "tool_calls": "meta.tool_calls"}
    output = answer(args, json_reply({"answer": "a", "meta": {}}))
    assert output.error is None
    assert output.tool_calls == ()
    trouble = error(args, json_reply({"answer": "a"}))
    assert trouble.kind == "bad_reply"
    assert "'meta'" in trouble.message


@pytest.mark.parametrize(
    ("value", "text"), [(42, "42"), (True, "true"), ({"a": [1]}, '{"a": [1]}')]
)
def test_an_answer_that_is_no_text_is_data_and_its_json(value: object, text: str) -> None:
    output = answer({"output": "answer"}, json_reply({"answer": value}))
    assert output.data == value
    assert output.text == text


@pytest.mark.parametrize(
    ("play", "text", "flags"),
    [
        (reply("Plain é", kind="text/plain; charset=utf-8"), "Plain é", ()),
        (reply("Plain é".encode("latin-1"), kind="text/plain; charset=latin-1"), "Plain é", ()),
        (reply("é".encode(), kind="text/plain; charset=no-such"), "é", ()),
        (reply(b"caf\xe9", kind="text/plain"), "caf\ufffd", ("decoded_with_replacement",)),
        (reply('{"output": "x"}'), '{"output": "x"}', ()),
        (reply(b"", kind="text/plain"), "", ()),
    ],
)
def test_plain_text_is_taken_as_it_stands(play: Play, text: str, flags: tuple[str, ...]) -> None:
    output = answer({"text": True}, play)
    assert (output.error, output.text, output.flags) == (None, text, flags)


def test_json_with_bytes_that_are_no_utf8_is_read_and_flagged() -> None:
    output = answer({}, reply(b'{"output": "caf\xe9"}'))
    assert output.text == "caf\ufffd"
    assert output.flags == ("decoded_with_replacement",)


def test_a_compressed_reply_is_read() -> None:
    body = gzip.compress(b'{"output": "small"}')
    assert answer({}, reply(body, headers={"Content-Encoding": "gzip"})).text == "small"


def test_calls_share_connections_but_no_cookies() -> None:
    async def ask_in_turn() -> ScriptedServer:
        play = json_reply({"output": "a"}, headers={"Set-Cookie": "session=1"})
        async with ScriptedServer((play,)) as server:
            spec = AgentSpec(kind="http", args={"": f"{server.url}/ask"})
            async with open_agent(spec, surroundings_of()) as agent:
                for _ in range(3):
                    assert (await agent.answer(request_of())).text == "a"
            return server

    server = asyncio.run(ask_in_turn())
    assert server.connections == 1
    assert not any("cookie" in asked.headers for asked in server.asked)


def test_many_calls_at_once_keep_their_answers_apart() -> None:
    async def ask_many() -> list[str]:
        async def echo(writer: asyncio.StreamWriter) -> bool:
            text = server.asked[-1].json["input"]
            return await slow(json_reply({"output": text}), 0.05)(writer)

        async with ScriptedServer((echo,)) as server:
            spec = AgentSpec(kind="http", args={"url": f"{server.url}/ask"})
            async with open_agent(spec, surroundings_of()) as agent:
                requests = [request_of(f"question {n}") for n in range(100)]
                return [
                    output.text for output in await asyncio.gather(*map(agent.answer, requests))
                ]

    assert asyncio.run(ask_many()) == [f"question {n}" for n in range(100)]


def test_a_key_that_the_server_sends_back_is_blanked_out() -> None:
    headers = {"Authorization": "Bearer ${AGENT_TOKEN}", "X-Stage": "${STAGE}"}
    output = answer(
        {"headers": headers}, json_reply({"output": f"You sent {SECRET} in production"})
    )
    assert output.text == "You sent *** in production"
    assert output.flags == ("redacted",)
    trouble = error({"headers": headers}, reply(f"bad token {SECRET}", status=401))
    assert "bad token ***" in trouble.detail


# What is wrong before any call


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({"url": "ftp://host/x"}, ["'host' is not an HTTP URL"]),
        ({"url": "localhost:8000/ask"}, ["not an HTTP URL", "https://host/path"]),
        ({"url": "http:///ask"}, ["not an HTTP URL"]),
        ({"url": "http://[/ask"}, ["'[' is not an HTTP URL"]),
        ({"url": "http://a..b/ask"}, ["'a..b' is not an HTTP URL"]),
        ({"url": "http://host:99999/ask"}, ["not an HTTP URL"]),
        ({"url": "http://{input}/ask"}, ["may not have a placeholder"]),
        ({"url": "http://h/${NO_SUCH}"}, ["'NO_SUCH' is not set"]),
        ({"url": "http://h/", "headers": {"X": "${NO_SUCH}"}}, ["'NO_SUCH' is not set"]),
        ({"url": "http://h/", "headers": {"a b": "x"}}, ["'a b' is not a valid header name"]),
        ({"url": "http://h/", "headers": {"X": "a\r\nb: c"}}, ["header 'X'", "line break"]),
        ({"url": "http://h/{inptu}"}, ["url: unknown placeholder '{inptu}'"]),
        ({"url": "http://h/", "body": {"q": ["{inptu}"]}}, ["body: unknown placeholder"]),
        ({"url": "http://h/", "body": {"q": "hi"}}, ["no part of a case is sent"]),
        ({"url": "http://h/", "method": "GET"}, ["no part of a case is sent"]),
        ({"url": "http://h/", "text": True, "output": "a"}, ["'text: true'", "'output'"]),
        ({"url": "http://h/", "usage": "a"}, ["'usage' needs 'output'"]),
    ],
)
def test_what_cannot_be_asked_is_refused_before_any_call(
    args: dict[str, Any], words: list[str]
) -> None:
    [message] = problems(args)
    for word in words:
        assert word in message

    async def open_it() -> None:
        async with open_agent(AgentSpec(kind="http", args=args), surroundings_of()):
            raise AssertionError("it was opened")

    with pytest.raises(InvalidInput):
        asyncio.run(open_it())


def test_a_secret_is_named_but_never_shown() -> None:
    environ = {"BAD_TOKEN": "s3cret\nline"}
    args = {
        "url": "http://ann:s3cret@host:0/ask?key=${BAD_TOKEN}{",
        "headers": {"Authorization": "Bearer ${BAD_TOKEN}"},
    }
    spec = AgentSpec(kind="http", args=args)
    messages = [problem.message for problem in check_agent(spec, (), surroundings_of(environ))]
    assert len(messages) == 3
    assert not any("s3cret" in message for message in messages)


def test_a_case_that_does_not_give_what_the_body_asks_for_is_named() -> None:
    cases = [
        Case(id="has", input="x", metadata={"user": "Ann"}),
        Case(id="lacks", input="x"),
    ]
    [message] = problems({"url": "http://h/", "body": {"u": "{metadata.user}"}}, *cases)
    assert "'lacks'" in message
    assert "'has'" not in message


# Replies that are none


@pytest.mark.parametrize(
    ("args", "play", "words"),
    [
        ({}, reply("<!doctype html><html>Log in</html>", kind="text/html"), "HTML"),
        ({}, reply("not json"), "sent application/json with invalid JSON"),
        ({}, reply('{"output": "cut'), "invalid JSON"),
        ({}, reply('{"output": "a"}{"output": "b"}'), "invalid JSON"),
        ({}, reply(b""), "sent an empty body (application/json), not JSON."),
        ({}, reply("[" * 100_000), "nested"),
        ({}, reply('{"output": "a", "cost_usd": NaN}'), "finite"),
        ({}, reply('{"output": "a", "cost_usd": 1e999}'), "finite"),
        ({}, reply('{"output": "a", "data": ' + "9" * 5000 + "}"), "invalid JSON"),
        ({}, json_reply(["a"]), "list"),
        ({}, json_reply(None), "None"),
        ({}, json_reply({"answer": "a"}), "'answer'"),
        ({}, json_reply({"output": 5}), "not text"),
        ({"output": "a.b"}, json_reply({"a": {"c": 1}}), "'a.b'"),
        ({"output": "a"}, json_reply({"a": None}), "'a'"),
        ({"output": "0"}, json_reply([]), "'0'"),
        ({"output": "a", "cost_usd": "c"}, json_reply({"a": "x", "c": -1}), "cost_usd"),
        ({"output": "a", "usage": "u"}, json_reply({"a": "x", "u": [1]}), "usage"),
        ({"output": "a", "tool_calls": "t"}, json_reply({"a": "x", "t": "y"}), "tool_calls"),
        ({}, raw(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"), "not valid HTTP"),
        ({}, raw(CHUNKED + b"zz\r\nabc"), "not valid HTTP"),
        ({}, raw(b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000 + b"\r\n\r\n"), "not valid HTTP"),
        ({}, reply(b"abc", headers={"Content-Encoding": "gzip"}), "not valid HTTP"),
    ],
)
def test_a_reply_that_is_none_is_a_bad_reply_that_says_why(
    args: dict[str, Any], play: Play, words: str
) -> None:
    trouble = error(args, play)
    assert trouble.kind == "bad_reply"
    assert words in trouble.message
    assert not trouble.retryable
    assert len(trouble.detail) <= 2_000


@pytest.mark.parametrize(
    ("status", "kind", "retryable"),
    [
        (400, "http_status", False),
        (401, "http_status", False),
        (404, "http_status", False),
        (429, "rate_limited", True),
        (500, "http_status", True),
        (501, "http_status", False),
        (502, "http_status", True),
        (503, "http_status", True),
        (504, "http_status", True),
        (304, "http_status", False),
    ],
)
def test_a_status_of_failure_is_an_error_and_some_are_worth_another_attempt(
    status: int, kind: str, retryable: bool
) -> None:
    body = "" if status == 304 else '{"output": "not an answer"}'
    trouble = error({}, reply(body, status=status))
    assert (trouble.kind, trouble.retryable) == (kind, retryable)
    assert str(status) in trouble.message
    assert ("not an answer" in trouble.detail) == bool(body)


@pytest.mark.parametrize(
    ("header", "low", "high"),
    [
        ("0", 0, 0),
        ("1", 1, 1),
        ("3600", 3600, 3600),
        ("in an hour", 3000, 3600),
        ("an hour ago", 0, 0),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_comes_with_the_error(
    status: int, header: str, low: float, high: float
) -> None:
    now, hour = datetime.now(UTC), timedelta(hours=1)
    dates = {"in an hour": now + hour, "an hour ago": now - hour}
    value = format_datetime(dates[header], usegmt=True) if header in dates else header
    trouble = error({}, reply("slow down", status=status, headers={"Retry-After": value}))
    assert trouble.retry_after_s is not None
    assert low <= trouble.retry_after_s <= high


def test_a_garbled_retry_after_is_as_good_as_none() -> None:
    trouble = error({}, reply("", status=429, headers={"Retry-After": "soon, I promise"}))
    assert trouble.retryable
    assert trouble.retry_after_s is None


# Redirects


@pytest.mark.parametrize(
    ("method", "status"), [("POST", 307), ("POST", 308), ("GET", 301), ("GET", 302), ("GET", 303)]
)
def test_a_redirect_on_the_same_host_is_followed_with_the_same_question(
    method: str, status: int
) -> None:
    args = {"method": method, "url": "@/ask?q={input}"}
    moved = reply("", status=status, headers={"Location": "/v2/ask?q=1"})
    [output], server = ask(args, moved, FINE)
    assert output.text == "fine"
    assert [(asked.method, asked.target) for asked in server.asked][1] == (method, "/v2/ask?q=1")
    assert server.asked[0].body == server.asked[1].body


@pytest.mark.parametrize(
    ("status", "location", "words"),
    [
        (301, "http://elsewhere.invalid/ask", "another host, 'http://elsewhere.invalid'"),
        (307, "//elsewhere.invalid/ask", "another host"),
        (307, "http://127.0.0.1:1/ask", "another host"),
        (308, "https://127.0.0.1/ask", "another host"),
        (301, "/v2/ask", "drops the body"),
        (307, "/ask", "more than 5 times"),
        (307, "mailto:ann@example.org", "redirects"),
        (307, "http://[", "redirects"),
    ],
)
def test_any_other_redirect_is_an_error_of_its_own(status: int, location: str, words: str) -> None:
    args = {"headers": {"Authorization": "Bearer ${AGENT_TOKEN}"}}
    trouble = error(args, reply("", status=status, headers={"Location": location}))
    assert trouble.kind == "redirect"
    assert words in trouble.message
    assert not trouble.retryable


# Deadlines and caps


@pytest.mark.parametrize(
    "play",
    [
        slow(FINE, 30),
        repeat(LENGTH_100, b"", 0.05),
        repeat(LENGTH_100.replace(b"100", b"100000"), b"x", 0.05),
        repeat(CHUNKED, b"1\r\nx\r\n", 0.05),
        repeat(LENGTHLESS, b" ", 0.05),
        repeat(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n", 0.05),
        repeat(b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", 0.05),
        slow(reply("", status=307, headers={"Location": "/again"}), 0.15),
    ],
    ids=["silence", "no body", "drip", "chunks", "no length", "headers", "continue", "redirects"],
)
def test_a_reply_that_does_not_come_to_its_end_ends_at_the_deadline(play: Play) -> None:
    started = time.monotonic()
    trouble = error({}, play, request=request_of(timeout_s=0.4))
    assert time.monotonic() - started < 1.4
    assert trouble.kind == "timeout"
    assert "0.4 s" in trouble.message
    assert not trouble.retryable


@pytest.mark.parametrize(
    "play",
    [
        repeat(CHUNKED, b"10000\r\n" + b"x" * 65536 + b"\r\n", 0),
        repeat(LENGTHLESS, b"x" * 65536, 0),
        reply(gzip.compress(b"x" * 10_000_001), headers={"Content-Encoding": "gzip"}),
    ],
    ids=["endless chunks", "endless body", "gzip bomb"],
)
def test_a_flood_is_stopped_at_the_cap(play: Play) -> None:
    trouble = error({}, play)
    assert trouble.kind == "output_too_large"
    assert "10,000,000 bytes" in trouble.message


# The way to the server


@pytest.mark.parametrize(
    "play",
    [
        raw(b""),
        reset_after(b""),
        raw(LENGTH_100 + b"abc"),
        reset_after(LENGTH_100 + b"abc"),
        raw(CHUNKED + b"5\r\nab"),
    ],
    ids=["hung up", "reset", "cut off", "reset in the body", "cut off in a chunk"],
)
def test_a_lost_connection_is_worth_another_attempt(play: Play) -> None:
    trouble = error({}, play)
    assert trouble.kind == "connection_lost"
    assert trouble.retryable
    assert "127.0.0.1" in trouble.message


def at(url: str) -> AgentError:
    async def ask_it() -> Output:
        spec = AgentSpec(kind="http", args={"url": url})
        async with open_agent(spec, surroundings_of()) as agent:
            return await agent.answer(request_of())

    trouble = asyncio.run(ask_it()).error
    assert trouble is not None
    return trouble


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://127.0.0.1:1/ask", "Connection refused"),
        ("http://no-such-host.invalid/ask", "no-such-host.invalid"),
    ],
)
def test_a_server_that_is_not_there_is_worth_another_attempt(url: str, words: str) -> None:
    trouble = at(url)
    assert trouble.kind == "connect"
    assert trouble.retryable
    assert words in trouble.message


@pytest.fixture
def tls(tmp_path: Path) -> ssl.SSLContext:
    (tmp_path / "server.pem").write_text(CERTIFICATE)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem")
    return context


def test_a_certificate_that_nobody_signed_is_refused(tls: ssl.SSLContext) -> None:
    [output], server = ask({}, FINE, tls=tls)
    assert output.error is not None
    assert output.error.kind == "tls"
    assert "self-signed certificate" in output.error.message
    assert not output.error.retryable
    assert server.asked == []


def test_a_certificate_that_is_trusted_is_accepted(tls: ssl.SSLContext, tmp_path: Path) -> None:
    """In a process of its own, because OpenSSL reads what it trusts only once."""
    code = """
        import ssl, sys
        from tests.agents.test_http import FINE, ask
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(sys.argv[1])
        [output], _ = ask({}, FINE, tls=context)
        assert output.text == "fine", output
    """
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", dedent(code), tmp_path / "server.pem"],
        env={**os.environ, "SSL_CERT_FILE": str(tmp_path / "server.pem")},
        cwd=ROOT,
        capture_output=True,
        check=False,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_server_without_tls_is_a_tls_error() -> None:
    async def ask_it() -> Output:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1)
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            writer.close()

        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            spec = AgentSpec(kind="http", args={"url": f"https://127.0.0.1:{port}/"})
            async with open_agent(spec, surroundings_of()) as agent:
                return await agent.answer(request_of())

    trouble = asyncio.run(ask_it()).error
    assert trouble is not None
    assert trouble.kind == "tls"


def test_a_proxy_is_used_for_other_machines_only() -> None:
    async def ask_both() -> list[str]:
        async with (
            ScriptedServer((json_reply({"output": "by proxy"}),)) as proxy,
            ScriptedServer((json_reply({"output": "direct"}),)) as server,
        ):
            environ = {"http_proxy": proxy.url, "NO_PROXY": "example.org"}
            answers = []
            for url in (f"{server.url}/ask", "http://agent.example.com/ask"):
                spec = AgentSpec(kind="http", args={"url": url})
                async with open_agent(spec, surroundings_of(environ)) as agent:
                    answers.append((await agent.answer(request_of())).text)
            assert proxy.asked[0].target == "http://agent.example.com/ask"
            return answers

    assert asyncio.run(ask_both()) == ["direct", "by proxy"]


def test_a_call_that_is_cancelled_closes_its_connection() -> None:
    async def cancel_it() -> None:
        async with ScriptedServer((slow(FINE, 30),)) as server:
            spec = AgentSpec(kind="http", args={"url": f"{server.url}/ask"})
            async with open_agent(spec, surroundings_of()) as agent:
                task = asyncio.ensure_future(agent.answer(request_of()))
                while not server.asked:  # noqa: ASYNC110 - the server knows no events
                    await asyncio.sleep(0.01)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task

    asyncio.run(cancel_it())


def test_an_output_survives_as_json() -> None:
    output = answer({}, json_reply({"output": "\ud83d", "data": {"deep": [1, None, "é"]}}))
    assert output.text == "\ud83d"
    assert json.loads(json.dumps(output.data)) == {"deep": [1, None, "é"]}


# Bodies as servers encode them


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("\ufeff" + '{"output": "é"}', "application/json"),
        ("\n\n  " + '{"output": "é"}' + "\n", "application/json; charset=utf-8"),
        ('{"output": "é"}', "application/problem+json"),
        ('{"output": "é"}', "text/plain"),
        ('{"output": "é"}', ""),
    ],
)
def test_json_is_read_whatever_is_before_it_or_its_type_says(body: str, kind: str) -> None:
    output = answer({}, reply(body, kind=kind))
    assert (output.error, output.text, output.flags) == (None, "é", ())


@pytest.mark.parametrize(
    ("charset", "kind"),
    [
        ("utf-16", "application/json"),
        ("utf-16-le", "application/json"),
        ("utf-32", "application/json"),
        ("utf-16", "application/json; charset=utf-16"),
        ("utf-16-be", "application/json; charset=UTF-16BE"),
        ("latin-1", "application/json; charset=ISO-8859-1"),
        ("utf-8-sig", "application/json; charset=latin-1"),
    ],
)
def test_json_is_read_in_its_own_charset(charset: str, kind: str) -> None:
    output = answer({}, reply('{"output": "é"}'.encode(charset), kind=kind))
    assert (output.error, output.text, output.flags) == (None, "é", ())


@pytest.mark.parametrize(
    ("play", "words"),
    [
        (
            reply("<html><title>Log\n in</title>", kind="text/html; charset=utf-8"),
            ["sent text/html (a page titled 'Log in'), not JSON."],
        ),
        (reply("Hello", kind="text/plain"), ["sent text/plain, not JSON.", "text: true"]),
        (reply("", kind="text/plain"), ["sent an empty body (text/plain), not JSON."]),
        (raw(b"HTTP/1.1 200 OK\r\n\r\nHello"), ["sent a reply without a content type, not JSON."]),
    ],
)
def test_a_reply_that_is_no_json_names_its_content_type(play: Play, words: list[str]) -> None:
    trouble = error({}, play)
    assert trouble.kind == "bad_reply"
    for word in words:
        assert word in trouble.message


def test_an_error_status_says_what_its_body_says() -> None:
    detail = {"detail": [{"loc": ["body", "q"], "msg": f"Field {SECRET} required"}]}
    headers = {"Authorization": "Bearer ${AGENT_TOKEN}"}
    trouble = error({"headers": headers}, json_reply(detail, status=422))
    assert trouble.message.endswith("answered HTTP 422: body.q: Field *** required")


def test_parts_without_a_path_are_found_where_apis_have_them() -> None:
    counted = {"answer": {"text": "a"}, "usage": {"prompt_tokens": 3, "completion_tokens": 4}}
    output = answer({"output": "answer.text"}, json_reply(counted))
    assert output.usage is not None
    assert (output.usage.input_tokens, output.usage.output_tokens) == (3, 4)
    assert (
        answer({"output": "answer.text"}, json_reply({**counted, "usage": {"day": 3}})).usage
        is None
    )
    message = {"content": "a", "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}
    chat = {"choices": [{"message": message, "finish_reason": "length"}]}
    output = answer({"output": "choices.0.message.content"}, json_reply(chat))
    assert [call.name for call in output.tool_calls] == ["f"]
    assert output.flags == ("cut_off",)


# The session of a conversation


def talk(
    args: Mapping[str, Any], choose: Callable[[Asked], Play]
) -> tuple[list[Output], list[Asked]]:
    """Hold four conversations of three turns at once."""

    async def talk_at_once() -> tuple[list[Output], list[Asked]]:
        async with ScriptedServer(choose=choose) as server:
            filled = json.loads(json.dumps(args).replace("@", server.url))
            spec = AgentSpec(kind="http", args=filled)
            async with open_agent(spec, surroundings_of()) as agent:
                turns = tuple(Turn(role="user", content=text) for text in ("one", "two", "three"))
                cases = [Case(id=name, input=turns) for name in "abcd"]
                talks = (converse(agent, case, trial=0, timeout_s=5) for case in cases)
                return await asyncio.gather(*talks), server.asked

    return asyncio.run(talk_at_once())


def remember(
    find: Callable[[Asked], str | None], issue: Callable[[str], Play]
) -> Callable[[Asked], Play]:
    """A server that knows a conversation only by its id, and says which of its turns this is."""
    turns: dict[str, int] = {}

    def choose(asked: Asked) -> Play:
        session = find(asked)
        if session not in turns:
            session = f"s{len(turns)}"
        assert session is not None
        turns[session] = turns.get(session, 0) + 1
        return issue(f"{session} {turns[session]}")

    return choose


BODY = {"message": "{input}", "session": {"id": "{session}"}}


@pytest.mark.parametrize(
    ("args", "find", "issue"),
    [
        (
            {"body": BODY, "output": "reply", "session": "meta.id"},
            lambda asked: asked.json["session"].get("id"),
            lambda said: json_reply({"reply": said, "meta": {"id": said.split()[0]}}),
        ),
        (
            {
                "body": {"message": "{input}"},
                "headers": {"X-Chat": "id {session}"},
                "output": "reply",
                "session": {"header": "X-Session-Id"},
            },
            lambda asked: asked.headers.get("x-chat", "").removeprefix("id "),
            lambda said: json_reply({"reply": said}, headers={"x-session-id": said.split()[0]}),
        ),
        (
            {"body": {"message": "{input}"}, "output": "reply", "session": {"cookies": True}},
            lambda asked: asked.headers.get("cookie", "").partition("sid=")[2],
            lambda said: json_reply(
                {"reply": said}, headers={"Set-Cookie": f"sid={said.split()[0]}; Path=/; HttpOnly"}
            ),
        ),
        (
            {"body": BODY, "session": "id"},
            lambda asked: asked.json["session"].get("id"),
            lambda said: stream(
                [json.dumps(each).encode() + b"\n" for each in ({"delta": said}, {"id": said.split()[0]})],
                kind="application/x-ndjson",
            ),
        ),
    ],
    ids=["reply", "header", "cookies", "stream"],
)  # fmt: skip
def test_a_session_that_the_server_issues_is_sent_in_later_turns(
    args: dict[str, Any], find: Callable[[Asked], str | None], issue: Callable[[str], Play]
) -> None:
    outputs, asked = talk({"url": "@/chat", **args}, remember(find, issue))
    for output in outputs:
        assert output.error is None
        first = output.replies[0].split()[0]
        assert output.replies == (f"{first} 1", f"{first} 2", f"{first} 3")
    assert len({output.replies[0] for output in outputs}) == 4
    assert "sid=" not in repr(outputs)
    assert not any("{session}" in repr(each) for each in asked)


def test_a_session_is_started_before_the_first_turn_and_keeps_its_type() -> None:
    started: list[int] = []

    def choose(asked: Asked) -> Play:
        if asked.target == "/sessions":
            started.append(len(started))
            return json_reply({"id": started[-1]}, status=201)
        return json_reply({"output": f"{asked.target} {asked.json['id']!r}"})

    args = {
        "url": "@/chat/{session}",
        "body": {"text": "{input}", "id": "{session}"},
        "session": {"reply": "id", "start": "@/sessions"},
    }
    outputs, asked = talk(args, choose)
    assert sorted(output.replies for output in outputs) == [
        (f"/chat/{n} {n}",) * 3 for n in range(4)
    ]
    assert len(asked) == 4 * 4


def test_a_conversation_without_a_session_id_is_an_error() -> None:
    outputs, _ = talk({"url": "@/", "body": BODY, "session": "id"}, lambda _: FINE)
    assert all(output.error for output in outputs)
    assert outputs[0].error is not None
    assert "has no session id at 'id'" in outputs[0].error.message
    refused = {"url": "@/{session}", "session": {"reply": "id", "start": "@/no"}}
    outputs, _ = talk(refused, lambda _: json_reply({"detail": "closed"}, status=403))
    assert outputs[0].error is not None
    assert "answered HTTP 403: closed" in outputs[0].error.message


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({"session": "id"}, ["the session is never sent"]),
        ({"body": BODY}, ["'session' finds in a reply"]),
        ({"session": {}}, ["needs one of 'reply'"]),
        ({"session": {"reply": "a", "header": "b"}, "body": BODY}, ["needs one of 'reply'"]),
        ({"session": {"cookies": True}, "body": BODY}, ["Remove '{session}'"]),
        ({"session": {"repyl": "id"}, "body": BODY}, ["session: unknown key 'repyl'"]),
        ({"url": "http://h/{session}", "session": "id"}, ["before the server has issued one"]),
        (
            {"body": BODY, "session": {"reply": "id", "start": "http://other/s"}},
            ["'start' under 'session' is at another host"],
        ),
        ({"body": BODY, "session": {"reply": "id", "start": "/s"}}, ["not an HTTP URL"]),
        (
            {"body": BODY, "session": {"reply": "id", "start": "http://h/${NO_SUCH}"}},
            ["'NO_SUCH' is not set"],
        ),
    ],
)
def test_a_session_that_cannot_work_is_refused_before_any_call(
    args: dict[str, Any], words: list[str]
) -> None:
    [message] = problems({"url": "http://h/", **args})
    for word in words:
        assert word in message
