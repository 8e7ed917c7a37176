"""Addresses with a path, a query and a key header of their own, as Azure has them."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from evalkit.agents.anthropic_client import ANTHROPIC_DEFAULTS, build_messages_url
from evalkit.agents.endpoint import Endpoint
from evalkit.agents.registry import check_agent, open_agent
from evalkit.core.eval_set import AgentSpec, Turn
from evalkit.core.judgement import JudgeSpec
from evalkit.core.rubric import Criterion
from evalkit.core.run import RunEnvironment
from evalkit.core.trial import Output, Request
from evalkit.judge.judge import JudgeRequest
from evalkit.judge.registry import open_judges
from tests.support.scripted_server import Asked, Play, ScriptedServer, json_reply
from tests.support.stub_judges import completion, honest, read_asking

KEY = "azure-s3cret"
ENVIRONMENT = RunEnvironment(
    root=Path("/"), set_folder=Path("/"), environ={"AZURE_OPENAI_API_KEY": KEY}
)
OLD = "/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21"
CASE = Request(
    case_id="c1",
    trial=0,
    text="Where?",
    messages=(Turn(role="user", content="Where?"),),
    metadata={},
    timeout_s=5.0,
)


def azure(asked: Asked) -> Play:
    """A resource of Azure OpenAI: the v1 API, and one deployment behind the older one."""
    is_v1 = asked.target == "/openai/v1/chat/completions"
    if not is_v1 and asked.target != OLD:
        return json_reply({"error": {"code": "404", "message": "Resource not found"}}, status=404)
    token = f"Bearer {KEY}" if is_v1 else None
    if asked.headers.get("api-key") != KEY and asked.headers.get("authorization") != token:
        return json_reply({"error": {"code": "401", "message": "Access denied"}}, status=401)
    if "api-key" in asked.headers and "authorization" in asked.headers:
        return json_reply({"error": {"code": "401", "message": "Invalid token"}}, status=401)
    said = asked.json["messages"]
    return json_reply(
        completion("Paris" if len(said) == 1 else json.dumps(honest(read_asking(asked.json))))
    )


def args_of(url: str, *, with_header: bool) -> dict[str, Any]:
    headers = {"headers": {"api-key": "${AZURE_OPENAI_API_KEY}"}} if with_header else {}
    return {"model": "gpt-4o", "base_url": url, "api_key_env": "AZURE_OPENAI_API_KEY", **headers}


@pytest.mark.parametrize(
    ("path", "with_header"),
    [
        ("/openai/v1/", False),
        ("/openai/v1", True),
        ("/openai/deployments/gpt-4o?api-version=2024-10-21", True),
        (OLD, True),
    ],
)
def test_agents_and_judges_call_a_deployment_of_azure(path: str, with_header: bool) -> None:
    async def ask() -> tuple[Output, str]:
        async with ScriptedServer(choose=azure) as server:
            args = args_of(f"{server.url}{path}", with_header=with_header)
            async with open_agent(AgentSpec(kind="openai", args=args), ENVIRONMENT) as agent:
                output = await agent.answer(CASE)
            spec = JudgeSpec(kind="openai", args=args)
            async with open_judges([spec], ENVIRONMENT) as (judge,):
                criteria = (Criterion(name="agrees", question="Does it agree?"),)
                vote = await judge.grade(
                    JudgeRequest(criteria=criteria, answer="Paris", reference="Paris")
                )
            return output, vote.state

    output, state = asyncio.run(ask())
    assert (output.error, output.text) == (None, "Paris")
    assert state == "scored"


def test_a_key_in_the_address_is_refused_because_the_run_stores_it() -> None:
    args = args_of("https://host.example/v1?key=abc", with_header=False)
    [problem] = check_agent(AgentSpec(kind="openai", args=args), (), ENVIRONMENT)
    assert "'base_url' may not contain 'key'" in problem.message
    assert "abc" not in problem.message


@pytest.mark.parametrize(
    ("url", "base", "query"),
    [
        ("https://h/v1/", "https://h/v1", {}),
        ("https://h/v1/chat/completions", "https://h/v1", {}),
        ("https://h/d?api-version=1&x=", "https://h/d", {"api-version": "1", "x": ""}),
    ],
)
def test_an_address_is_split_into_base_and_query(
    url: str, base: str, query: dict[str, str]
) -> None:
    assert Endpoint.resolve(url, None, {}).split_url() == (base, query)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (None, "https://api.anthropic.com/v1/messages"),
        ("http://h", "http://h/v1/messages"),
        ("http://h/v1/", "http://h/v1/messages"),
        ("http://h/anthropic/v1/messages?a=b", "http://h/anthropic/v1/messages?a=b"),
    ],
)
def test_the_messages_api_is_under_any_base(url: str | None, expected: str) -> None:
    assert build_messages_url(Endpoint.resolve(url, None, {}, ANTHROPIC_DEFAULTS)) == expected
