"""Agents that are Python code, opened and asked as a run does it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from evalkit.agents.registry import check_agent, describe_entrypoint, open_agent
from evalkit.core.errors import InvalidInput
from evalkit.core.eval_set import AgentSpec, Turn
from evalkit.core.literals import Json
from evalkit.core.location import Location
from evalkit.core.run import RunEnvironment
from evalkit.core.spans import ToolCall, Usage
from evalkit.core.trial import Output, Request

WHERE = Location(path="set.yaml", line=3)


def spec_of(args: Json, **options: Any) -> AgentSpec:
    given = args if isinstance(args, dict) else {"": args}
    return AgentSpec(kind="python", args=given, where=WHERE, **options)


def request_of(*turns: Turn, **options: Any) -> Request:
    turns = turns or (Turn(role="user", content="How long?"),)
    defaults: dict[str, Any] = {
        "case_id": "refund",
        "trial": 2,
        "metadata": {"tier": "gold"},
        "timeout_s": 10.0,
        "seed": 11,
    }
    return Request(text=turns[-1].content, messages=turns, **{**defaults, **options})


def surroundings_of(folder: Path) -> RunEnvironment:
    return RunEnvironment(root=folder, set_folder=folder, environ=os.environ)


def ask(
    folder: Path,
    source: str,
    requests: Sequence[Request] | None = None,
    args: Json = "./agent.py:answer",
    **options: Any,
) -> list[Output]:
    (folder / "agent.py").write_text(dedent(source))

    async def run() -> list[Output]:
        async with open_agent(spec_of(args, **options), surroundings_of(folder)) as agent:
            return [await agent.answer(request) for request in requests or [request_of()]]

    return asyncio.run(run())


@pytest.mark.parametrize(
    "source",
    [
        "def answer(text): return text.upper()",
        "async def answer(text): return text.upper()",
        "answer = str.upper",
        "class answer:\n    def __call__(self, text): return text.upper()",
        "class Bot:\n    async def __call__(self, text): return text.upper()\nanswer = Bot()",
        "import functools\nanswer = functools.partial(lambda shout, text: text.upper(), True)",
        "async def reply(text): return text.upper()\ndef answer(text): return reply(text)",
        "def answer(*texts): return texts[0].upper()",
        "def answer(text, retries=3): return text.upper() * (retries == 3)",
        "def answer(text, **options): assert not options; return text.upper()",
    ],
    ids=[
        "function", "async function", "builtin", "class", "async instance", "partial",
        "function that returns a coroutine", "star", "default", "options",
    ],
)  # fmt: skip
def test_an_entrypoint_may_be_anything_that_can_be_called(tmp_path: Path, source: str) -> None:
    [output] = ask(tmp_path, source)
    assert output.error is None
    assert output.text == "HOW LONG?"


@pytest.mark.parametrize(
    "signature",
    [
        "text, context",
        "text, about",
        "text, *, context",
        "text, k=1, context=None",
        "text, context={}",
    ],
)
def test_an_entrypoint_that_asks_for_the_context_gets_it(tmp_path: Path, signature: str) -> None:
    name = "about" if "about" in signature else "context"
    [output] = ask(tmp_path, f"def answer({signature}): return {{'data': {name}}}")
    assert output.data == {
        "case_id": "refund",
        "trial": 2,
        "seed": 11,
        "metadata": {"tier": "gold"},
        "messages": [{"role": "user", "content": "How long?"}],
    }


def test_a_conversation_is_given_as_messages_from_its_first_turn_on(tmp_path: Path) -> None:
    hello = Turn(role="user", content="hello")
    turns = [hello, Turn(role="assistant", content="hi"), Turn(role="user", content="refund?")]
    outputs = ask(
        tmp_path,
        "def answer(prompt): return {'data': prompt}",
        [
            request_of(hello),
            request_of(hello, is_conversation=True),
            request_of(*turns, is_conversation=True),
        ],
    )
    assert [output.data for output in outputs] == [
        "hello",
        [{"role": "user", "content": "hello"}],
        [{"role": turn.role, "content": turn.content} for turn in turns],
    ]


def test_a_mapping_gives_everything_an_output_can_hold(tmp_path: Path) -> None:
    source = """
        def answer(text):
            return {
                "output": "30 days",
                "data": {"days": 30},
                "tool_calls": [{"name": "look_up", "arguments": {"q": text}, "duration_s": 0.1}],
                "usage": {"input_tokens": 12, "output_tokens": 3},
                "cost_usd": 0.002,
                "metadata": {"model": "small"},
            }
    """
    [output] = ask(tmp_path, source)
    assert output.latency_s >= 0
    assert output == Output(
        text="30 days",
        data={"days": 30},
        tool_calls=(ToolCall(name="look_up", arguments={"q": "How long?"}, duration_s=0.1),),
        usage=Usage(input_tokens=12, output_tokens=3),
        cost_usd=0.002,
        metadata={"model": "small"},
        latency_s=output.latency_s,
    )


def test_latency_is_the_functions_own_time(tmp_path: Path) -> None:
    source = "import time\ndef answer(text):\n    time.sleep(0.2)\n    return text"
    [output] = ask(tmp_path, source)
    assert 0.2 <= output.latency_s < 1.0


def test_an_empty_answer_is_an_answer(tmp_path: Path) -> None:
    [output] = ask(tmp_path, "def answer(text): return ''")
    assert output.error is None
    assert output.text == ""


def test_trouble_is_the_outputs_error(tmp_path: Path) -> None:
    source = """
        import os, time

        def answer(text):
            exec(text)
    """
    deeds = ["1 / 0", "os._exit(0)", "time.sleep(100)", "pass"]
    requests = [request_of(Turn(role="user", content=deed), timeout_s=0.4) for deed in deeds]
    outputs = ask(tmp_path, source, requests)
    kinds = [output.error and output.error.kind for output in outputs]
    assert kinds == ["exception", "crashed", "timeout", "bad_reply"]
    assert not any(output.error.retryable for output in outputs if output.error)


def test_variables_of_env_are_passed_on(tmp_path: Path) -> None:
    (tmp_path / "agent.py").write_text(
        "import os\ndef answer(text): return str([os.environ.get(n) for n in ('MINE', 'OTHER')])"
    )

    async def run() -> Output:
        surroundings = RunEnvironment(
            root=tmp_path, set_folder=tmp_path, environ={**os.environ, "MINE": "1", "OTHER": "2"}
        )
        spec = spec_of("./agent.py:answer", env=("MINE",))
        async with open_agent(spec, surroundings) as agent:
            return await agent.answer(request_of())

    assert asyncio.run(run()).text == "['1', None]"


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ("support_agent", "python: 'support_agent' does not say what to call."),
        (":answer", "does not say what to call"),
        ("support_agent:", "does not say what to call"),
        ("support_agent:a-b", "does not say what to call"),
        ("support-agent:answer", "'support-agent' is neither a module nor a Python file."),
        ("./agnt.py:answer", "./agnt.py does not exist; did you mean 'agent.py'?"),
        ("./folder.py:answer", "./folder.py is a folder"),
        ("../outside.py:answer", "../outside.py is outside of the project"),
        ("/etc/agent.py:answer", "/etc/agent.py is an absolute path"),
        ({"entrypoint": "agent:answer", "processes": 0}, "'processes' is 0. Give 1 or more."),
        ({"entrypoint": "agent:answer", "threads": 4}, "'threads' must be true or false, not 4."),
        ({"entrypoint": "agent:answer", "procesess": 2}, "Did you mean 'processes'?"),
        ({"processes": 2}, "'entrypoint' is missing"),
        ({"entrypoint": 3}, "'entrypoint' must be text"),
    ],
)
def test_check_finds_what_is_wrong_without_importing(tmp_path: Path, args: Json, says: str) -> None:
    root = tmp_path / "project"
    (root / "folder.py").mkdir(parents=True)
    (root / "agent.py").write_text("raise AssertionError('imported')")
    (tmp_path / "outside.py").touch()
    [problem] = check_agent(spec_of(args), (), surroundings_of(root))
    assert says in problem.message
    assert problem.where == WHERE


def test_check_names_every_variable_that_is_unset(tmp_path: Path) -> None:
    (tmp_path / "agent.py").touch()
    spec = spec_of("./agent.py:answer", env=("NOT_SET_1", "PATH", "EVALKIT_JUDGE_KEY"))
    messages = [problem.message for problem in check_agent(spec, (), surroundings_of(tmp_path))]
    assert len(messages) == 2
    assert "'NOT_SET_1' is not set" in messages[0]
    assert "'EVALKIT_JUDGE_KEY' is never passed on" in messages[1]


def test_an_agent_that_cannot_be_imported_is_invalid_input_where_it_is_named(
    tmp_path: Path,
) -> None:
    with pytest.raises(InvalidInput) as caught:
        ask(tmp_path, "def answr(text): pass")
    [problem] = caught.value.problems
    assert problem.where == WHERE
    assert "Did you mean 'answr'?" in problem.message


def test_threads_are_for_sync_functions(tmp_path: Path) -> None:
    args = {"entrypoint": "./agent.py:answer", "threads": True}
    source = "import threading\ndef answer(text): return threading.current_thread().name"
    [output] = ask(tmp_path, source, args=args)
    assert "Thread-" in output.text
    with pytest.raises(InvalidInput) as caught:
        ask(tmp_path, "async def answer(text): return text", args=args)
    [problem] = caught.value.problems
    assert problem.where == WHERE
    assert "'threads' is for sync functions" in problem.message


def test_the_entrypoint_is_shown_as_it_was_written() -> None:
    assert describe_entrypoint(spec_of("support:answer")) == "support:answer"
    assert describe_entrypoint(spec_of({"entrypoint": "./a.py:Bot"})) == "./a.py:Bot"


def test_a_target_that_is_never_loaded_is_given_up_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text("import time\n\ndef load():\n    time.sleep(100)\n")
    args = {"entrypoint": "./agent.py:answer", "load_timeout_s": 0.4}
    with pytest.raises(InvalidInput) as refused:
        ask(tmp_path, "import model\nmodel.load()", args=args)
    message = str(refused.value)
    assert "was not loaded within 0.4 s. It was at" in message
    assert "model.py:4." in message
    assert "raise 'load_timeout_s' under 'python'" in message
    assert 'agent.py", line 2' in message
    with pytest.raises(InvalidInput, match=r"'load_timeout_s' is 0\. Give seconds"):
        ask(tmp_path, "", args={"entrypoint": "./agent.py:answer", "load_timeout_s": 0})


def test_an_exception_shows_what_it_is_about(tmp_path: Path) -> None:
    source = """
    import asyncio

    async def call(number):
        if number:
            raise ValueError(f"order {number}")
        try:
            raise ConnectionError("refused")
        except ConnectionError as error:
            raise RuntimeError("model call failed") from error

    async def answer(text):
        try:
            async with asyncio.TaskGroup() as group:
                for number in range(200 if text == "many" else 2):
                    group.create_task(call(number))
        except BaseExceptionGroup as error:
            if text == "wrapped":
                raise TypeError("agent failed") from error
            raise
    """
    requests = [request_of(Turn(role="user", content=text)) for text in ("two", "many", "wrapped")]
    two, many, wrapped = (output.error for output in ask(tmp_path, source, requests))
    assert two
    assert many
    assert wrapped
    cause = "RuntimeError: model call failed (caused by ConnectionError: refused)"
    assert two.message == f"{cause} (and 1 more in ExceptionGroup)"
    assert "ValueError: order 1" in two.detail
    assert 'raise RuntimeError("model call failed")' in two.detail
    assert many.message == f"{cause} (and 199 more in ExceptionGroup)"
    assert len(many.detail) <= 2000
    assert (
        wrapped.message
        == "TypeError: agent failed (caused by ConnectionError: refused, and 1 more)"
    )
    assert 'raise ConnectionError("refused")' in wrapped.detail


GENERATORS = """
    import asyncio, time

    def pieces():
        time.sleep(0.1)
        yield ""
        yield None
        yield "30 "
        time.sleep(0.2)
        yield "days"

    def returning():
        yield "30 "
        yield "days"
        return {"usage": {"input_tokens": 3}, "tool_calls": []}

    def ending():
        yield "thinking"
        yield {"output": "30 days", "cost_usd": 0.5}

    def replacing():
        yield " "
        time.sleep(0.1)
        yield "30"
        return "30 days"

    async def later():
        yield "30 "
        await asyncio.sleep(0)
        yield {"output": "30 days"}

    def mapping_first():
        yield {"output": "a"}
        yield "b"

    def numbers():
        yield "a"
        yield 3

    def failing():
        yield "a"
        raise ValueError("no more")

    def endless():
        while True:
            yield "x" * 1_000_000

    def returning_number():
        yield "a"
        return 3

    def answer(text):
        return iter(["30 ", "days"]) if text == "iterator" else globals()[text]()
"""


def test_a_generator_streams_its_answer(tmp_path: Path) -> None:
    names = ["pieces", "returning", "ending", "replacing", "later", "iterator"]
    requests = [request_of(Turn(role="user", content=name)) for name in names]
    outputs = dict(zip(names, ask(tmp_path, GENERATORS, requests), strict=True))
    for name, output in outputs.items():
        assert (output.error, output.text) == (None, "30 days"), name
        assert output.first_token_s is not None
    first_s = outputs["pieces"].first_token_s
    assert first_s is not None
    assert min(first_s, outputs["replacing"].first_token_s or 0) >= 0.1
    assert outputs["pieces"].latency_s - first_s >= 0.15
    assert outputs["returning"].usage == Usage(input_tokens=3)
    assert outputs["returning"].flags == ("no_tool_calls",)
    assert outputs["ending"].cost_usd == 0.5


def test_a_generator_that_fails_or_yields_no_text_is_an_error(tmp_path: Path) -> None:
    expected = {
        "mapping_first": ("bad_reply", "yielded a mapping before its last piece"),
        "numbers": ("bad_reply", "yielded an object of type 'int'"),
        "failing": ("exception", "ValueError: no more"),
        "endless": ("output_too_large", "10,000,000 bytes"),
        "returning_number": ("bad_reply", "returned an object of type 'int'"),
    }
    requests = [request_of(Turn(role="user", content=name)) for name in expected]
    for (kind, words), output in zip(
        expected.values(), ask(tmp_path, GENERATORS, requests), strict=True
    ):
        assert output.error is not None
        assert output.error.kind == kind
        assert words in output.error.message
        assert "pieces.py" not in output.error.detail


@pytest.mark.parametrize(
    "source",
    [
        "def answer(text):\n    yield from text.upper()",
        "async def answer(text):\n    for letter in text: yield letter.upper()",
        "class answer:\n    async def __call__(self, text):\n        yield text.upper()",
        "def shout(text):\n    yield text.upper()\nasync def answer(text): return shout(text)",
    ],
    ids=["generator", "async generator", "async instance", "async function"],
)
def test_an_entrypoint_may_be_a_generator(tmp_path: Path, source: str) -> None:
    [output] = ask(tmp_path, source)
    assert (output.error, output.text) == (None, "HOW LONG?")
    assert output.first_token_s is not None


def test_an_async_generator_that_hangs_costs_its_trial_only(tmp_path: Path) -> None:
    source = """
        import asyncio

        async def answer(text):
            yield "a"
            if text == "hang":
                await asyncio.sleep(60)
    """
    hang = request_of(Turn(role="user", content="hang"), timeout_s=0.5)
    stuck, fine = ask(tmp_path, source, [hang, request_of()])
    assert stuck.error is not None
    assert stuck.error.kind == "timeout"
    assert (fine.error, fine.text) == (None, "a")
