"""What all kinds of agents share: finding the kind, arguments, placeholders, turns, retries."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.agents.conversation import converse
from evalkit.agents.lane import Lane
from evalkit.agents.pacer import Pacer
from evalkit.agents.placeholders import (
    BadTemplate,
    fill_text,
    fill_value,
    get_at_path,
    parse_template,
)
from evalkit.agents.registry import AGENTS, check_agent, describe_entrypoint, open_agent
from evalkit.agents.wrappers import RetryingAgent
from evalkit.core.errors import InvalidInput
from evalkit.core.eval_set import AgentSpec, Case, Turn
from evalkit.core.location import Location
from evalkit.core.run import RunEnvironment
from evalkit.core.spans import ToolCall, Usage
from evalkit.core.trial import AgentError, Output, Request

WHERE = Location(path="set.yaml", line=3)


def spec_of(kind: str, **args: Any) -> AgentSpec:
    return AgentSpec(kind=kind, args=args, where=WHERE)


def request_of(
    text: str = "Where is my order?",
    *,
    metadata: Mapping[str, Any] | None = None,
    messages: Sequence[Turn] | None = None,
) -> Request:
    return Request(
        case_id="c1",
        trial=2,
        text=text,
        messages=tuple(messages or (Turn(role="user", content=text),)),
        metadata=metadata or {},
        timeout_s=5.0,
        seed=7,
    )


@pytest.fixture
def surroundings(tmp_path: Path) -> RunEnvironment:
    return RunEnvironment(root=tmp_path, set_folder=tmp_path, environ={"PATH": "/usr/bin:/bin"})


# Kinds and their arguments


def test_an_unknown_kind_is_told_with_the_near_spelling(surroundings: RunEnvironment) -> None:
    [problem] = check_agent(spec_of("comand", argv=["true"]), (), surroundings)
    assert str(problem).startswith("set.yaml:3: ")
    assert "'comand'" in problem.message
    assert "Did you mean 'command'?" in problem.message
    with pytest.raises(InvalidInput, match="comand"):
        describe_entrypoint(spec_of("comand"))


@pytest.mark.parametrize("kind", AGENTS)
def test_every_kind_refuses_what_it_does_not_take(kind: str, surroundings: RunEnvironment) -> None:
    problems = check_agent(spec_of(kind, nonsense=1), (), surroundings)
    assert problems
    assert all(problem.where == WHERE for problem in problems)
    assert any("'nonsense'" in problem.message for problem in problems)


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        (
            spec_of("command", argvs=["true"], stdin="yaml", stdout=3),
            [
                "unknown key 'argvs'. Did you mean 'argv'?",
                "'argv' is missing",
                "'stdin' must be one of 'json', 'text', 'none', not 'yaml'",
                "'stdout' must be one of 'text', 'json', not 3",
            ],
        ),
        (
            spec_of("http", url=80, method="DELETE", headers={"A": 1}, ouput="a", text="yes"),
            [
                "'url' must be text, not 80",
                "'method' must be one of 'POST', 'GET'",
                "'headers' must be a mapping of texts, not {'A': 1}. Write it in quotes: \"1\"",
                "unknown key 'ouput'. Did you mean 'output'?",
                "'text' must be true or false, not 'yes'",
            ],
        ),
        (
            spec_of("openai", modell="m", temperature="hot", max_tokens=1.5),
            [
                "unknown key 'modell'. Did you mean 'model'?",
                "'model' is missing",
                "'temperature' must be a number, not 'hot'",
                "'max_tokens' must be a whole number, not 1.5",
            ],
        ),
        (spec_of("recorded", fiel="a.jsonl"), ["unknown key 'fiel'", "'file' is missing"]),
    ],
    ids=["command", "http", "openai", "recorded"],
)
def test_all_mistakes_in_the_arguments_are_told_at_once(
    spec: AgentSpec, wanted: list[str], surroundings: RunEnvironment
) -> None:
    messages = [problem.message for problem in check_agent(spec, (), surroundings)]
    assert len(messages) == len(wanted)
    for words in wanted:
        assert any(words in message for message in messages), (words, messages)


def test_a_number_where_text_belongs_is_told_how_to_quote(surroundings: RunEnvironment) -> None:
    [problem] = check_agent(spec_of("command", argv=["sleep", 5]), (), surroundings)
    assert 'Write it in quotes: "5"' in problem.message


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        (spec_of("command", argv=["python", "my agent.py"]), "python 'my agent.py'"),
        (
            spec_of("http", url="https://ann:secret@host:81/ask?key=secret"),
            "POST https://host:81/ask",
        ),
        (spec_of("http", **{"": "${BASE}/ask"}), "POST ${BASE}/ask"),
        (spec_of("openai", **{"": "gpt-x"}), "gpt-x"),
        (
            spec_of("openai", model="m", base_url="http://u:secret@localhost:1/v1"),
            "m at localhost:1",
        ),
        (spec_of("recorded", **{"": "runs/old.jsonl"}), "runs/old.jsonl"),
    ],
)
def test_an_entrypoint_is_short_and_holds_no_secret(spec: AgentSpec, wanted: str) -> None:
    assert describe_entrypoint(spec) == wanted


def test_an_agent_with_problems_is_not_opened(surroundings: RunEnvironment) -> None:
    async def open_it() -> None:
        async with open_agent(spec_of("command", argv=["no-such-program"]), surroundings):
            raise AssertionError("it was opened")

    with pytest.raises(InvalidInput, match="no-such-program"):
        asyncio.run(open_it())


# Placeholders


@pytest.mark.parametrize(
    ("template", "wanted"),
    [
        ("{input}", "Where?"),
        ("Q: {input} ({case.id}#{trial}, seed {seed})", "Q: Where? (c1#2, seed 7)"),
        ("{metadata.user.name}", "Ann"),
        ("{metadata.user.age} {metadata.vip}", "41 true"),
        ("{metadata.tags} {metadata.tags.1}", '["a", "b"] b'),
        ('{{"q": "{input}"}}', '{"q": "Where?"}'),
        ("{messages}", '[{"role": "user", "content": "Where?"}]'),
        ("plain", "plain"),
        ("", ""),
    ],
)
def test_placeholders_are_filled_in(template: str, wanted: str) -> None:
    metadata = {"user": {"name": "Ann", "age": 41}, "vip": True, "tags": ["a", "b"]}
    request = request_of("Where?", metadata=metadata)
    assert fill_text(parse_template(template), request) == wanted


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{inputs}", "Did you mean '{input}'?"),
        ("{}", "unknown placeholder '{}'"),
        ("{0.__class__}", "unknown placeholder"),
        ("{metadata.}", "unknown placeholder"),
        ("{expected}", "unknown placeholder"),
        ('{"a": 1}', "unknown placeholder"),
        ("{input", "single '{'"),
        ("}", "Write '}}'"),
    ],
)
def test_a_template_that_cannot_be_filled_is_refused(template: str, words: str) -> None:
    with pytest.raises(
        BadTemplate, match=words.replace("{", r"\{").replace("}", r"\}").replace("?", r"\?")
    ):
        parse_template(template)


def test_a_placeholder_alone_keeps_its_json_type() -> None:
    request = request_of(metadata={"order": {"id": 9}})
    assert fill_value(parse_template("{metadata}"), request) == {"order": {"id": 9}}
    assert fill_value(parse_template("{metadata.order.id}"), request) == 9
    assert fill_value(parse_template("{trial}"), request) == 2
    assert fill_value(parse_template("#{trial}"), request) == "#2"


@given(text=st.text(), value=st.text())
def test_what_is_put_in_is_never_read_again(text: str, value: str) -> None:
    escaped = text.replace("{", "{{").replace("}", "}}")
    filled = fill_text(parse_template(escaped + "{input}" + escaped), request_of(value))
    assert filled == text + value + text


@given(st.text(alphabet="{}input.metad ", max_size=30))
def test_any_text_is_a_template_or_refused(text: str) -> None:
    try:
        template = parse_template(text)
    except BadTemplate:
        return
    assert len(template.literals) == len(template.placeholders) + 1


def test_a_path_that_leads_nowhere_says_where_it_ends() -> None:
    reply = {"choices": [{"message": {"content": "hi"}}], "a.b": 1}
    assert get_at_path(reply, "choices.0.message.content") == "hi"
    for path, end in [
        ("choices.1.message", "choices.1"),
        ("choices.first", "choices.first"),
        ("choices.-1", "choices.-1"),
        ("choices.0.message.content.0", "choices.0.message.content.0"),
        ("", ""),
    ]:
        with pytest.raises(LookupError) as missing:
            get_at_path(reply, path)
        assert missing.value.args == (end,)


# Conversations


@dataclass
class ScriptedAgent:
    """Gives the next output of a list, and keeps what it was asked."""

    outputs: list[Output]
    asked: list[Request] = field(default_factory=list)

    async def answer(self, request: Request) -> Output:
        self.asked.append(request)
        return self.outputs[len(self.asked) - 1]


def user(content: str) -> Turn:
    return Turn(role="user", content=content)


def assistant(content: str) -> Turn:
    return Turn(role="assistant", content=content)


def hold(case: Case, *outputs: Output) -> tuple[Output, list[Request]]:
    agent = ScriptedAgent(list(outputs))
    output = asyncio.run(converse(agent, case, trial=3, timeout_s=9.0, seed=5))
    return output, agent.asked


def test_a_plain_case_is_one_call_whose_output_is_left_alone() -> None:
    wanted = Output(text="Hello", latency_s=0.5, flags=("x",))
    case = Case(id="c1", input="Hi", expected="Hello", metadata={"a": 1})
    output, [asked] = hold(case, wanted)
    assert output is wanted
    assert asked == Request(
        case_id="c1",
        trial=3,
        text="Hi",
        messages=(user("Hi"),),
        metadata={"a": 1},
        timeout_s=9.0,
        seed=5,
    )


def test_each_call_sees_the_replies_before_it_and_scripted_ones_are_not_asked_for() -> None:
    system = Turn(role="system", content="Be kind")
    case = Case(
        id="c1",
        input=(system, user("one"), user("two"), assistant("scripted"), user("three")),
    )
    output, asked = hold(case, Output(text="first"), Output(text="second"))
    assert [request.text for request in asked] == ["one", "three"]
    assert all(request.is_conversation for request in asked)
    assert asked[0].messages == (system, user("one"))
    assert asked[1].messages == (
        system,
        user("one"),
        assistant("first"),
        user("two"),
        assistant("scripted"),
        user("three"),
    )
    assert output.text == "second"
    assert output.replies == ("first", "second")


def test_what_the_calls_cost_adds_up() -> None:
    case = Case(id="c1", input=(user("one"), user("two")))
    output, _ = hold(
        case,
        Output(
            text="a",
            latency_s=0.25,
            usage=Usage(input_tokens=1, output_tokens=2),
            cost_usd=0.5,
            tool_calls=(ToolCall(name="search"),),
            flags=("decoded_with_replacement",),
            data={"old": True},
        ),
        Output(
            text="b",
            latency_s=0.5,
            usage=Usage(input_tokens=10, output_tokens=20),
            tool_calls=(ToolCall(name="order"),),
            flags=("decoded_with_replacement",),
            data={"new": True},
        ),
    )
    assert output.latency_s == 0.75
    assert output.usage == Usage(input_tokens=11, output_tokens=22)
    assert output.cost_usd == 0.5
    assert [call.name for call in output.tool_calls] == ["search", "order"]
    assert output.flags == ("decoded_with_replacement",)
    assert output.data == {"new": True}


def test_an_error_ends_the_conversation_and_is_the_errors_of_the_whole() -> None:
    case = Case(id="c1", input=(user("one"), user("two"), user("three")))
    error = AgentError(kind="timeout", message="too slow")
    output, asked = hold(
        case, Output(text="a", latency_s=1.0, cost_usd=0.1), Output(error=error, latency_s=2.0)
    )
    assert len(asked) == 2
    assert output.error == error
    assert output.latency_s == 3.0
    assert output.cost_usd == 0.1
    assert output.replies == ("a",)


# Retries

LOST = Output(error=AgentError(kind="connection_lost", message="gone", retryable=True))
BROKEN = Output(error=AgentError(kind="exit_status", message="status 1"))
FINE = Output(text="fine")


def ask_patiently(
    outputs: list[Output], *, attempts: int = 3
) -> tuple[Output, int, list[float], int]:
    """The last output, the attempts counted, the waits, and how often the agent was asked."""
    waits: list[float] = []

    async def wait(seconds: float) -> None:
        waits.append(seconds)

    async def ask() -> tuple[Output, int]:
        lane = Lane(Pacer(rng=random.Random(1)), deadline_s=120.0)
        patient = RetryingAgent(agent, attempts=attempts, lane=lane, wait=wait)
        return await patient.answer(request_of()), patient.max_attempts_used

    agent = ScriptedAgent(outputs)
    output, counted = asyncio.run(ask())
    return output, counted, waits, len(agent.asked)


def test_trouble_on_the_way_is_tried_again_after_growing_waits() -> None:
    output, attempts, waits, asked = ask_patiently([LOST, LOST, LOST, FINE], attempts=5)
    assert output == FINE
    assert attempts == asked == 4
    assert 0.5 <= waits[0] <= 1.0 <= waits[1] <= 2.0 <= waits[2] <= 4.0


@pytest.mark.parametrize("output", [FINE, BROKEN])
def test_what_asking_again_cannot_mend_is_not_asked_again(output: Output) -> None:
    assert ask_patiently([output]) == (output, 1, [], 1)


def test_the_last_error_stands_when_the_attempts_are_used_up() -> None:
    output, attempts, waits, asked = ask_patiently([LOST] * 9, attempts=3)
    assert output == LOST
    assert attempts == asked == 3
    assert len(waits) == 2


def test_a_request_carries_no_label() -> None:
    case = Case(id="c1", input="x", expected="SECRET-LABEL", tags=("t",), metadata={"a": 1})
    _, [asked] = hold(case, FINE)
    assert "SECRET-LABEL" not in repr(asked)
