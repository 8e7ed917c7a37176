"""The anthropic judge: a server on loopback that takes and refuses what the Messages API does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from evalkit.core.judgement import JudgeSpec, JudgeVote
from evalkit.core.location import Problem
from evalkit.core.rubric import Criterion
from evalkit.core.run import RunEnvironment
from evalkit.judge.judge import JudgeRequest
from evalkit.judge.registry import check_judges, open_judges
from tests.conftest import Project
from tests.support.messages_api import KEY, MessagesApi, error_reply
from tests.support.scripted_server import Asked, Play, ScriptedServer, served
from tests.support.stub_judges import Asking, honest

ENVIRON = {"ANTHROPIC_API_KEY": KEY, "OPENAI_API_KEY": "sk-another"}
CRITERIA = (Criterion(name="agrees", question="Does it say what the reference says?"),)


def question(answer: str = "It is Paris.") -> JudgeRequest:
    return JudgeRequest(criteria=CRITERIA, answer=answer, reference="Paris")


def surroundings(environ: Mapping[str, str] = ENVIRON) -> RunEnvironment:
    return RunEnvironment(root=Path("/"), set_folder=Path("/"), environ=environ)


def ask(
    choose: Callable[[Asked], Play],
    *questions: JudgeRequest,
    args: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] = ENVIRON,
    **limits: Any,
) -> tuple[list[JudgeVote], list[Asked], Problem | None]:
    """Ask a judge at a server one question after the other."""

    async def ask_all() -> tuple[list[JudgeVote], list[Asked], Problem | None]:
        async with ScriptedServer(choose=choose) as server:
            spec = JudgeSpec(
                kind="anthropic",
                args={"model": "claude-m1", "base_url": server.url, **(args or {})},
                path="set.yaml",
                line=3,
                **limits,
            )
            async with open_judges([spec], surroundings(environ)) as (judge,):
                votes = [await judge.grade(each) for each in questions or [question()]]
                return votes, server.asked, judge.problem_to_fix

    return asyncio.run(ask_all())


def test_the_request_has_the_form_of_the_messages_api() -> None:
    [vote], [asked], _ = ask(MessagesApi(), args={"extra": {"output_config": {"effort": "low"}}})
    assert (vote.state, [each.level for each in vote.verdicts]) == ("scored", ["yes"])
    assert vote.model == "claude-m1-20261101"
    assert (asked.method, asked.target) == ("POST", "/v1/messages")
    assert asked.headers["anthropic-version"] == "2023-06-01"
    body = asked.json
    assert (body["model"], body["max_tokens"], body["temperature"]) == ("claude-m1", 4096, 0)
    [system] = body["system"]
    assert system["cache_control"] == {"type": "ephemeral"}
    assert [message["role"] for message in body["messages"]] == ["user"]
    config = body["output_config"]
    assert (config["effort"], config["format"]["type"]) == ("low", "json_schema")
    verdicts = config["format"]["schema"]["properties"]["verdicts"]["properties"]
    assert verdicts["agrees"]["properties"]["level"]["enum"] == ["yes", "no"]


def test_what_a_call_writes_to_the_cache_the_next_one_reads_at_its_price() -> None:
    prices = {"input": 1.0, "output": 0.0, "cached_input": 0.1, "cache_write": 1.25}
    (first, second), _, _ = ask(MessagesApi(), question(), question("No."), prices=prices)
    assert first.cached_tokens == 0
    assert second.cached_tokens > 0.8 * second.input_tokens
    assert abs(first.input_tokens - second.input_tokens) < 20
    assert first.cost_usd is not None
    assert second.cost_usd is not None
    assert second.cost_usd < 0.3 * first.cost_usd


def test_a_refused_temperature_is_left_out_from_then_on() -> None:
    votes, asked, _ = ask(MessagesApi(refused=["temperature"]), question(), question())
    assert [vote.state for vote in votes] == ["scored", "scored"]
    assert ["temperature" in each.json for each in asked] == [True, False, False]


def test_a_model_without_structured_output_calls_the_tool_it_is_told_to() -> None:
    votes, asked, _ = ask(MessagesApi(has_schemas=False), question(), question("Rome."))
    assert [vote.verdicts[0].level for vote in votes] == ["yes", "no"]
    assert ["output_config" in each.json for each in asked] == [True, False, False]
    assert asked[1].json["tool_choice"]["type"] == "tool"


def test_an_unusable_reply_is_asked_for_again_even_if_it_is_empty() -> None:
    seen: list[str] = []

    def judge(asking: Asking) -> object:
        seen.append(asking.nonce)
        return "" if len(seen) == 2 else honest(asking)

    votes, asked, _ = ask(MessagesApi(judge=judge), question(), question("Rome."))
    assert [vote.state for vote in votes] == ["scored", "scored"]
    said = asked[-1].json["messages"]
    assert [message["role"] for message in said] == ["user", "assistant", "user"]


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("refusal", "refusal"),
        ("max_tokens", "cut_off"),
        ("model_context_window_exceeded", "cut_off"),
    ],
)
def test_a_reply_that_did_not_end_by_itself_is_no_verdict(reason: str, kind: str) -> None:
    [vote], _, _ = ask(MessagesApi(stop_reason=reason))
    assert (vote.state, vote.kind) == ("unscored", kind)


def test_an_overload_is_waited_out() -> None:
    api, seen = MessagesApi(), []

    def choose(asked: Asked) -> Play:
        seen.append(asked)
        busy = error_reply(529, "overloaded_error", "Overloaded", {"retry-after": "0"})
        return busy if len(seen) == 1 else api(asked)

    [vote], _, _ = ask(choose)
    assert vote.state == "scored"


@pytest.mark.parametrize(
    ("status", "kind", "message", "expected"),
    [
        (400, "invalid_request_error", "prompt is too long: 210000 tokens > 200000", "context"),
        (500, "api_error", "Internal server error", "server_error"),
    ],
)
def test_an_error_keeps_its_kind_and_words(
    status: int, kind: str, message: str, expected: str
) -> None:
    [vote], _, _ = ask(lambda _: error_reply(status, kind, message), attempts=1)
    assert vote.state == "judge_error"
    assert vote.kind.startswith(expected)
    assert message in vote.problem


def test_a_wrong_key_is_told_by_its_variable_and_never_shown() -> None:
    environ = {"ANTHROPIC_API_KEY": "sk-ant-wrong-key"}
    leak = error_reply(401, "authentication_error", "invalid x-api-key: sk-ant-wrong-key")
    [vote], _, problem = ask(lambda _: leak, environ=environ)
    assert problem is not None
    assert problem.message.startswith("judge anthropic: ")
    assert "Set ANTHROPIC_API_KEY to a key" in problem.message
    assert "sk-ant-wrong-key" not in repr(vote)


def test_headers_of_the_set_are_sent_and_may_replace_the_key() -> None:
    args = {"headers": {"anthropic-beta": "b-1", "X-Api-Key": "${OTHER}"}}
    environ = {"ANTHROPIC_API_KEY": "unused-key", "OTHER": KEY}
    [vote], [asked], _ = ask(MessagesApi(), args=args, environ=environ)
    assert vote.state == "scored"
    assert asked.headers["anthropic-beta"] == "b-1"


@pytest.mark.parametrize(
    ("args", "environ", "words"),
    [
        ({}, {}, "environment variable 'ANTHROPIC_API_KEY'"),
        ({"seed": 1}, ENVIRON, "unknown key 'seed'"),
        ({"extra": {"system": "x"}}, ENVIRON, "'system': evalkit sets it"),
        ({"extra": {"tool_choice": {}}}, ENVIRON, "'tool_choice': evalkit sets it"),
        ({"base_url": "api.anthropic.com"}, ENVIRON, "'base_url' is not an HTTP URL"),
    ],
)
def test_what_cannot_be_asked_is_told_before_any_call(
    args: dict[str, Any], environ: dict[str, str], words: str
) -> None:
    spec = JudgeSpec(kind="anthropic", args={"model": "claude-m1", **args})
    [problem] = check_judges([spec], surroundings(environ))
    assert problem.message.startswith("judge anthropic: ")
    assert words in problem.message


def test_a_run_with_an_agent_and_a_judge_of_anthropic_passes(project: Project) -> None:
    project.write(
        "r.yaml",
        """
        needs: [reference]
        pass_at: 1
        criteria: [{name: agrees, question: Does the answer say what the reference says?}]
        """,
    )
    with served(ScriptedServer(choose=MessagesApi())) as server:
        project.write(
            "set.yaml",
            f"""
            agent: {{anthropic: {{model: claude-m1, system: Be brief., base_url: {server.url}}}}}
            judge: {{anthropic: {{model: claude-m1, base_url: {server.url}/v1}}}}
            metrics: [{{rubric: r.yaml}}, tokens]
            cases: [{{id: a, input: Which city?, expected: Paris}}]
            """,
        )
        done = project.evalkit("run", "set.yaml", env={"ANTHROPIC_API_KEY": KEY})
    assert done.code == 0, done.out + done.err
    assert "from the provider's cache" in " ".join(done.out.split())
    [row] = project.rows()
    assert row["output"]["text"] == "It is Paris."
