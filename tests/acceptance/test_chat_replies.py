"""Replies as providers and gateways send them: what the agent gets, and what the judge gets."""

from __future__ import annotations

import asyncio
import codecs
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from evalkit.agents.registry import open_agent
from evalkit.core.eval_set import AgentSpec, Turn
from evalkit.core.judgement import JudgeSpec, JudgeVote
from evalkit.core.literals import Json
from evalkit.core.rubric import Criterion
from evalkit.core.run import RunEnvironment
from evalkit.core.trial import Output, Request
from evalkit.judge.judge import JudgeRequest
from evalkit.judge.registry import open_judges
from tests.support.scripted_server import Asked, Play, ScriptedServer, reply
from tests.support.stub_judges import honest, read_asking

ANSWER = "It is Paris."
OTHER = '{"nonce": "0", "verdicts": {}}'


@dataclass(frozen=True)
class Row:
    """A reply, made of what the model says, and what agent and judge make of it.

    `agent` is the text that the agent answers (`said` stands for the model's words) or "!" and the kind
    of its error. `judge` is "scored" or the kind of a vote without a score.
    """

    make: Callable[[str], Json]
    agent: str = "said"
    judge: str = "scored"
    status: int = 200
    kind: str = "application/json"


def message(**fields: Json) -> dict[str, Any]:
    return {"role": "assistant", "content": None, **fields}


def body(*choices: dict[str, Any], **more: Json) -> dict[str, Any]:
    return {"id": "c1", "object": "chat.completion", "model": "m1", "choices": [*choices], **more}


def choice(finish: Json = "stop", /, index: int = 0, **fields: Json) -> dict[str, Any]:
    return {"index": index, "message": message(**fields), "finish_reason": finish}


def says(said: str, finish: Json = "stop", **more: Json) -> dict[str, Any]:
    return body({**choice(finish, content=said), **more})


def call(arguments: Json, name: str = "give_verdict") -> dict[str, Any]:
    return {"id": "t1", "type": "function", "function": {"name": name, "arguments": arguments}}


def sse(*events: Json, done: str = "data: [DONE]\n\n", head: str = "") -> str:
    lines = "".join(f"data: {json.dumps(event)}\n\n" for event in events)
    return f"{head}{lines}{done}"


def delta(finish: str | None = None, **fields: Json) -> dict[str, Any]:
    return {"model": "m1", "choices": [{"index": 0, "delta": fields, "finish_reason": finish}]}


def pieces(said: str) -> tuple[dict[str, Any], ...]:
    usage = {"model": "m1", "choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 2}}
    return (
        delta(role="assistant", content=""),
        delta(content=said[:7]),
        delta(content=said[7:]),
        delta("stop"),
        usage,
    )


def tool_pieces(said: str) -> tuple[dict[str, Any], ...]:
    begun = {"index": 0, **call("")}
    return (
        delta(tool_calls=[begun]),
        delta(tool_calls=[{"index": 0, "function": {"arguments": said[:9]}}]),
        delta("tool_calls", tool_calls=[{"index": 0, "function": {"arguments": said[9:]}}]),
    )


def ndjson(*values: Json) -> str:
    return "\n".join(map(json.dumps, values))


THOUGHT = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}
ERROR = {"message": "Upstream failed", "code": 502}
BAD, LIMITED = "!bad_reply", "rate_limited"

ROWS: dict[str, Row] = {
    # Bodies
    "JSON": Row(says),
    "206": Row(says, status=206),
    "201": Row(says, status=201),
    "as text": Row(says, kind="text/plain"),
    "leading blank lines": Row(lambda said: f"\n\n\r\n  {json.dumps(says(said))}\n"),
    "comments that keep alive": Row(
        lambda said: f": OPENROUTER PROCESSING\n\n: keep-alive\n\n{json.dumps(says(said), indent=1)}"
    ),
    "a byte order mark": Row(lambda said: codecs.BOM_UTF8 + json.dumps(says(said)).encode()),
    "UTF-16": Row(lambda said: json.dumps(says(said)).encode("utf-16")),
    "a list of one": Row(lambda said: [says(said)]),
    "JSON in a text": Row(lambda said: json.dumps(json.dumps(says(said)))),
    "an event stream": Row(lambda said: sse(*pieces(said)), kind="text/event-stream"),
    "an event stream as JSON": Row(lambda said: sse(*pieces(said), head=": hello\n\n")),
    "an event stream without an end mark": Row(lambda said: sse(*pieces(said), done="")),
    "an event stream with CRLF": Row(lambda said: sse(*pieces(said)).replace("\n", "\r\n")),
    "an event stream of one message": Row(lambda said: sse(says(said))),
    "a stream of a call": Row(lambda said: sse(*tool_pieces(said)), agent=""),
    "a stream that breaks off": Row(
        lambda said: sse(*pieces(said)[:2], done=""), agent=BAD, judge="bad_reply"
    ),
    "a stream with an error": Row(
        lambda said: sse(*pieces(said)[:3], {"error": ERROR}),
        agent="!http_status",
        judge="error_beside",
    ),
    "a stream that is an error": Row(
        lambda _: sse({"error": {**ERROR, "code": 429}}), agent="!rate_limited", judge=LIMITED
    ),
    "one piece as JSON": Row(lambda said: delta("stop", content=said)),
    "NDJSON of two replies": Row(lambda said: ndjson(says(said), says("no")), BAD, "bad_reply"),
    "NDJSON of pieces": Row(lambda said: ndjson(*pieces(said))),
    "an HTML page": Row(lambda _: "<!doctype html><html>Log in", BAD, "bad_reply", kind="text/html"),
    "a list": Row(lambda _: [], BAD, "bad_reply"),
    "a list of numbers": Row(lambda _: [1, 2], BAD, "bad_reply"),
    "a text": Row(lambda _: '"hello"', BAD, "bad_reply"),
    "words": Row(lambda _: "hello", BAD, "bad_reply"),
    "nothing": Row(lambda _: "", BAD, "bad_reply"),
    "204": Row(lambda _: "", BAD, "bad_reply", status=204),
    "blank lines alone": Row(lambda _: "\n\n\n", BAD, "bad_reply"),
    "comments alone": Row(lambda _: ": keep-alive\n\n", BAD, "bad_reply"),
    "lines of words": Row(lambda _: "{\nhello\n", BAD, "bad_reply"),
    # Choices
    "choices null": Row(lambda _: {**body(), "choices": None}, BAD, "bad_reply"),
    "choices empty": Row(lambda _: body(), BAD, "bad_reply"),
    "no message": Row(lambda _: body({"index": 0}), BAD, "bad_reply"),
    "two choices": Row(
        lambda said: body(choice(content=said), choice(index=1, content=said)),
        judge="several_choices",
    ),
    # Errors in a reply of success
    "an error": Row(lambda _: {"error": {"message": "oops"}}, BAD, "bad_reply"),
    "a text as error": Row(lambda _: {"error": "oops"}, BAD, "bad_reply"),
    "an error with 429": Row(lambda _: {"error": {**ERROR, "code": 429}}, "!rate_limited", LIMITED),
    "an error with 502": Row(lambda _: {"error": ERROR, "choices": None}, "!http_status", "http_status"),
    "an error and no text": Row(
        lambda _: body({**choice("error", content=""), "error": ERROR}), "!http_status", "http_status"
    ),
    "an error of a choice": Row(
        lambda said: says(said, "error", error=ERROR), "!http_status", "error_beside"
    ),
    "an error beside a whole reply": Row(
        lambda said: {**says(said), "error": {"message": "quota soon"}}, BAD, "error_beside"
    ),
    "no error": Row(lambda said: {**says(said), "error": None}),
    # Contents
    "parts": Row(
        lambda said: says([{"type": "text", "text": said[:5]}, {"type": "text", "text": said[5:]}])  # type: ignore[arg-type]
    ),
    "thinking parts": Row(lambda said: body(choice(content=[THOUGHT, {"type": "text", "text": said}]))),
    "output parts": Row(
        lambda said: body(
            choice(content=[{"type": "reasoning", "text": "Hm."}, {"type": "output_text", "text": said}])
        )
    ),
    "strings": Row(lambda said: body(choice(content=[said[:5], said[5:]]))),
    "one part that is no list": Row(lambda said: body(choice(content={"type": "text", "text": said}))),
    "a part with a reference": Row(
        lambda said: body(
            choice(content=[{"type": "text", "text": said}, {"type": "reference", "reference_ids": [1]}])
        )
    ),
    "a part with a refusal": Row(
        lambda _: body(choice(content=[{"type": "refusal", "refusal": "I cannot."}])),
        "I cannot.",
        "refusal",
    ),
    "only thinking parts": Row(lambda _: body(choice(content=[THOUGHT])), BAD, "empty"),
    "a picture": Row(lambda _: body(choice(content=[{"type": "image_url"}])), BAD, "bad_reply"),
    "a number": Row(lambda _: body(choice(content=7)), BAD, "bad_reply"),
    "a thought before it": Row(lambda said: says(f"<think>Hm.</think>\n{said}"), "<think>Hm.</think>\nsaid"),
    "a thought beside it": Row(lambda said: body(choice(content=said, reasoning_content="Hm."))),
    "only a thought": Row(lambda said: body(choice(content="", reasoning_content=said)), BAD, "empty"),
    "only a thought by another name": Row(
        lambda said: body(choice(content=None, reasoning=said)), BAD, "empty"
    ),
    "a refusal": Row(lambda _: body(choice(refusal="I cannot.")), "I cannot.", "refusal"),
    "null": Row(lambda _: body(choice()), BAD, "empty"),
    "empty": Row(lambda _: body(choice(content="")), "", "empty"),
    # Calls
    "a call": Row(lambda said: body(choice("tool_calls", tool_calls=[call(said)])), ""),
    "a call with an object": Row(
        lambda said: body(choice("tool_calls", tool_calls=[call(json.loads(said))])), ""
    ),
    "a call of old": Row(
        lambda said: body(choice("function_call", function_call=call(said)["function"])), ""
    ),
    "a call with words": Row(
        lambda said: body(choice("tool_calls", content="Let me see.", tool_calls=[call(said)])),
        "Let me see.",
    ),
    "a call that says what the text says": Row(
        lambda said: body(choice("tool_calls", content=said, tool_calls=[call(said)]))
    ),
    "a call and another text": Row(
        lambda said: body(choice("tool_calls", content=f"I say:\n{OTHER}", tool_calls=[call(said)])),
        f"I say:\n{OTHER}",
        "contradiction",
    ),
    "two calls": Row(
        lambda said: body(choice("tool_calls", tool_calls=[call(said), call(OTHER)])), "", "several_calls"
    ),
    "a call and one of another tool": Row(
        lambda said: body(choice("tool_calls", tool_calls=[call(said), call("{}", "search")])),
        "",
        "other_call",
    ),
    "a text and a call of another tool": Row(
        lambda said: body(choice(content=said, tool_calls=[call("{}", "search")])), judge="other_call"
    ),
    "only a call of another tool": Row(
        lambda _: body(choice("tool_calls", tool_calls=[call("{}", "search")])), "", "empty"
    ),
    # Ends
    **{f"ended by {end!r}": Row(lambda said, end=end: says(said, end)) for end in (  # type: ignore[misc]
        None, "", "STOP", "Stop", "eos", "end_turn", "tool_calls", "function_call",
    )},
    **{f"cut off by {end!r}": Row(lambda said, end=end: says(said, end), judge="cut_off") for end in (  # type: ignore[misc]
        "length", "LENGTH", "model_length", "MAX_TOKENS", "model_context_window_exceeded",
    )},
    **{f"filtered by {end!r}": Row(lambda said, end=end: says(said, end), judge="content_filter") for end in (  # type: ignore[misc]
        "content_filter", "SAFETY", "refusal",
    )},
    "ended by a failure": Row(lambda said: says(said, "error"), BAD, "finish_reason"),
    "ended by something unknown": Row(lambda said: says(said, "pause_turn"), judge="finish_reason"),
    "ended by a number": Row(lambda said: says(said, 7), judge="finish_reason"),
    "ended by an object": Row(
        lambda said: says(said, {"type": "length"}), judge="finish_reason"
    ),
    "cut off says the stop reason": Row(
        lambda said: says(said, stop_reason="max_tokens"), judge="cut_off"
    ),
    "an error in the message": Row(
        lambda said: body(choice(content=said, error=ERROR)), "!http_status", "error_beside"
    ),
    "errors beside it": Row(
        lambda said: {**says(said), "errors": [ERROR]}, "!http_status", "error_beside"
    ),
    "cut off says the gateway": Row(
        lambda said: says(said, native_finish_reason="max_tokens"), judge="cut_off"
    ),
    "ended says the gateway": Row(lambda said: says(said, native_finish_reason="completed")),
}  # fmt: skip


def to_bytes(made: Json) -> bytes:
    if isinstance(made, bytes):
        return made
    return made.encode() if isinstance(made, str) else json.dumps(made).encode()


def serve(row: Row, said: str) -> Play:
    return reply(to_bytes(row.make(said)), status=row.status, kind=row.kind)


def surroundings() -> RunEnvironment:
    """Return the environment of a new run, which has learned nothing of a server at the same port."""
    return RunEnvironment(root=Path("/"), set_folder=Path("/"), environ={})


SAID = json.dumps({"nonce": "1", "verdicts": {"agrees": "é"}})


async def ask_agent(rows: Mapping[str, Row]) -> dict[str, Output]:
    """Ask one agent for every row; the question is the row's name."""

    def choose(asked: Asked) -> Play:
        return serve(rows[asked.json["messages"][0]["content"]], SAID)

    async with ScriptedServer(choose=choose) as server:
        args = {"model": "m1", "base_url": f"{server.url}/v1"}
        async with open_agent(AgentSpec(kind="openai", args=args), surroundings()) as agent:
            return {name: await agent.answer(request_of(name)) for name in rows}


def request_of(text: str) -> Request:
    turn = Turn(role="user", content=text)
    return Request(case_id="c", trial=0, text=text, messages=(turn,), metadata={}, timeout_s=10.0)


@pytest.fixture(scope="module")
def outputs() -> dict[str, Output]:
    return asyncio.run(ask_agent(ROWS))


async def ask_judge(row: Row) -> JudgeVote:
    def choose(asked: Asked) -> Play:
        return serve(row, json.dumps(honest(read_asking(asked.json))))

    async with ScriptedServer(choose=choose) as server:
        args = {"model": "m1", "base_url": f"{server.url}/v1"}
        spec = JudgeSpec(kind="openai", args=args, attempts=1, deadline_s=0.2)
        async with open_judges([spec], surroundings()) as (judge,):
            criteria = (Criterion(name="agrees", question="Does it agree?"),)
            request = JudgeRequest(criteria=criteria, answer=ANSWER, reference="Paris")
            return await judge.grade(request)


@pytest.mark.parametrize("name", ROWS)
def test_a_reply_is_read_alike_for_agents_and_judges(
    name: str, outputs: Mapping[str, Output]
) -> None:
    row, output = ROWS[name], outputs[name]
    got = f"!{output.error.kind}" if output.error else output.text
    assert got == row.agent.replace("said", SAID)
    vote = asyncio.run(ask_judge(row))
    assert (vote.kind or vote.state) == row.judge, vote.problem
    if row.judge == "scored":
        assert [verdict.level for verdict in vote.verdicts] == ["yes"]


def test_a_stream_has_its_usage_and_calls_in_one_piece(outputs: Mapping[str, Output]) -> None:
    streamed = outputs["an event stream"]
    assert streamed.usage is not None
    assert (streamed.usage.input_tokens, streamed.usage.output_tokens) == (5, 2)
    assert streamed.metadata == {"model": "m1", "finish_reason": "stop"}
    [called] = outputs["a stream of a call"].tool_calls
    assert (called.name, called.arguments) == ("give_verdict", json.loads(SAID))
    [old] = outputs["a call of old"].tool_calls
    assert old.name == "give_verdict"


@pytest.mark.parametrize("name", [name for name in ROWS if name.startswith("cut off by")])
def test_an_answer_that_was_cut_off_is_flagged_whatever_the_word(
    name: str, outputs: Mapping[str, Output]
) -> None:
    assert outputs[name].flags == ("cut_off",)
