"""A model of Anthropic as an agent, and how requests and replies are translated."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from evalkit.agents.anthropic_client import to_anthropic_request, to_openai_reply
from evalkit.agents.registry import check_agent, describe_entrypoint, open_agent
from evalkit.core.eval_set import AgentSpec, Turn
from evalkit.core.run import RunEnvironment
from evalkit.core.spans import Usage
from evalkit.core.trial import Output, Request
from tests.support.messages_api import KEY, MessagesApi, error_reply, message_of
from tests.support.scripted_server import Asked, Play, ScriptedServer, json_reply, reply

ENVIRON = {"ANTHROPIC_API_KEY": KEY}
TOOL = {"name": "find", "input_schema": {"type": "object", "properties": {}}}


def surroundings(environ: Mapping[str, str] = ENVIRON) -> RunEnvironment:
    return RunEnvironment(root=Path("/"), set_folder=Path("/"), environ=environ)


def ask(
    play: Play | MessagesApi,
    args: Mapping[str, Any] | None = None,
    turns: Sequence[Turn] = (Turn(role="user", content="Where?"),),
) -> tuple[Output, list[Asked]]:
    async def ask_once() -> tuple[Output, list[Asked]]:
        choose = play if isinstance(play, MessagesApi) else None
        plays = () if isinstance(play, MessagesApi) else (play,)
        async with ScriptedServer(plays, choose=choose) as server:
            given = {"model": "claude-m1", "base_url": f"{server.url}/v1/", **(args or {})}
            spec = AgentSpec(kind="anthropic", args=given)
            request = Request(
                case_id="c1",
                trial=0,
                text=turns[-1].content,
                messages=tuple(turns),
                metadata={},
                timeout_s=5.0,
            )
            async with open_agent(spec, surroundings()) as agent:
                return await agent.answer(request), server.asked

    return asyncio.run(ask_once())


def answer(message: object) -> Output:
    return ask(json_reply(message))[0]


def test_a_conversation_is_sent_with_its_system_prompts_in_their_own_field() -> None:
    turns = [
        Turn(role="system", content="Second."),
        Turn(role="user", content="Where?"),
        Turn(role="assistant", content="Here."),
        Turn(role="user", content="Sure?"),
    ]
    args = {"system": "First.", "temperature": 0.5, "max_tokens": 50, "extra": {"tools": [TOOL]}}
    output, [asked] = ask(MessagesApi(), args, turns)
    assert output.text == "It is Paris."
    body = asked.json
    [system] = body["system"]
    assert system["text"] == "First.\nSecond."
    assert [each["content"] for each in body["messages"]] == ["Where?", "Here.", "Sure?"]
    assert (body["temperature"], body["max_tokens"], body["tools"]) == (0.5, 50, [TOOL])


def test_only_what_must_be_sent_is_sent() -> None:
    _, [asked] = ask(MessagesApi())
    assert set(asked.json) == {"model", "max_tokens", "messages"}


def test_an_answer_has_its_text_its_tool_calls_and_its_tokens_without_thinking() -> None:
    content = [
        {"type": "thinking", "thinking": "Hm.", "signature": "s"},
        {"type": "text", "text": "I look "},
        {"type": "text", "text": "it up."},
        {"type": "tool_use", "id": "t1", "name": "find", "input": {"id": 7}},
    ]
    usage = {
        "input_tokens": 10,
        "cache_read_input_tokens": 30,
        "cache_creation_input_tokens": 2,
        "output_tokens": 5,
    }
    output = answer(message_of(content, "tool_use", usage))
    assert output.error is None
    assert output.text == "I look it up."
    assert [(call.name, call.arguments) for call in output.tool_calls or ()] == [
        ("find", {"id": 7})
    ]
    assert output.usage == Usage(input_tokens=42, output_tokens=5)
    assert output.metadata["finish_reason"] == "tool_calls"


def test_a_refusal_is_an_answer_and_a_cut_off_one_is_flagged() -> None:
    text = [{"type": "text", "text": "I cannot help."}]
    assert answer(message_of(text, "refusal")).text == "I cannot help."
    explained = message_of([], "refusal", stop_details={"explanation": "Not allowed."})
    assert answer(explained).text == "Not allowed."
    assert "cut_off" in answer(message_of(text, "max_tokens")).flags
    assert answer(message_of([])).text == ""


@pytest.mark.parametrize(
    "play",
    [
        reply("<html>Busy</html>", kind="text/html"),
        reply("null"),
        reply("[]"),
        json_reply({"type": "message", "content": "text"}),
        json_reply(message_of([{"type": "text", "text": 7}])),
        json_reply(message_of([None])),
    ],
)
def test_a_reply_that_is_no_message_is_an_error(play: Play) -> None:
    output, _ = ask(play)
    assert output.error is not None
    assert output.error.kind == "bad_reply"


@pytest.mark.parametrize(
    ("status", "kind", "expected", "retryable"),
    [
        (401, "authentication_error", "auth", False),
        (404, "not_found_error", "not_found", False),
        (429, "rate_limit_error", "rate_limited", True),
        (500, "api_error", "http_status", True),
    ],
)
def test_errors_are_those_of_any_endpoint(
    status: int, kind: str, expected: str, retryable: bool
) -> None:
    output, _ = ask(error_reply(status, kind, "So it is."))
    assert output.error is not None
    assert (output.error.kind, output.error.retryable) == (expected, retryable)
    assert "So it is." in output.error.detail


def test_what_is_wrong_with_an_agent_is_told_before_any_call() -> None:
    spec = AgentSpec(kind="anthropic", args={"model": "claude-m1", "extra": {"stream": True}})
    messages = [problem.message for problem in check_agent(spec, (), surroundings({}))]
    assert len(messages) == 2
    assert "'extra' may not contain 'stream'" in messages[0]
    assert "environment variable 'ANTHROPIC_API_KEY'" in messages[1]
    assert describe_entrypoint(spec) == "claude-m1"


def test_tools_of_openai_become_those_of_anthropic_and_their_own_stay() -> None:
    function = {"name": "f", "description": "d", "parameters": {"type": "object"}, "strict": True}
    tools = [{"type": "function", "function": function}, TOOL]
    for choice, expected in (
        ("required", {"type": "any"}),
        ("auto", {"type": "auto"}),
        ({"type": "any"}, {"type": "any"}),
    ):
        request = to_anthropic_request([], {"tools": tools, "tool_choice": choice})
        assert request["tool_choice"] == expected
    assert request["tools"] == [
        {"name": "f", "description": "d", "input_schema": {"type": "object"}},
        TOOL,
    ]


def test_an_error_in_place_of_a_message_stays_as_it_is() -> None:
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    assert to_openai_reply(error) == error
