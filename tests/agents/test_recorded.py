"""A recording as an agent: a JSONL file whose every line is checked before it is believed."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from evalkit.agents.conversation import converse
from evalkit.agents.registry import check_agent, open_agent
from evalkit.core.errors import InvalidInput
from evalkit.core.eval_set import AgentSpec, Case, Turn
from evalkit.core.location import Location
from evalkit.core.run import RunEnvironment
from evalkit.core.trial import Output
from tests.conftest import Project


class Tape:
    """A project folder with a recording in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.base = root / "evalsets"
        self.base.mkdir()

    def write(self, *lines: Any, name: str = "tape.jsonl") -> None:
        texts = (line if isinstance(line, str) else json.dumps(line) for line in lines)
        (self.base / name).write_text("".join(f"{text}\n" for text in texts))

    def surroundings(self, trials: int = 1) -> RunEnvironment:
        return RunEnvironment(root=self.root, set_folder=self.base, environ={}, trials=trials)

    def problems(self, *cases: Case, file: str = "tape.jsonl", trials: int = 1) -> list[str]:
        spec = AgentSpec(
            kind="recorded", args={"file": file}, where=Location(path="s.yaml", line=2)
        )
        return [str(problem) for problem in check_agent(spec, cases, self.surroundings(trials))]

    def play(self, cases: Sequence[Case], trials: int = 1) -> list[Output]:
        """What the agent answers for every trial of every case."""

        async def hold_all() -> list[Output]:
            spec = AgentSpec(kind="recorded", args={"": "tape.jsonl"})
            async with open_agent(spec, self.surroundings(trials)) as agent:
                return [
                    await converse(agent, case, trial=trial, timeout_s=1.0)
                    for case in cases
                    for trial in range(trials)
                ]

        return asyncio.run(hold_all())


@pytest.fixture
def tape(tmp_path: Path) -> Tape:
    return Tape(tmp_path)


A, B = Case(id="a", input="x"), Case(id="b", input="y")


def test_outputs_come_back_with_all_they_hold(tape: Tape) -> None:
    tape.write(
        {
            "case": "a",
            "output": "42 é",
            "data": {"n": 42},
            "tool_calls": [{"name": "add", "arguments": {"a": 1}}],
            "usage": {"input_tokens": 3},
            "cost_usd": 0.5,
            "metadata": {"model": "m"},
            "latency_s": 1.5,
        },
        "",
        {"case": "b", "error": "it was down", "latency_s": 2},
    )
    assert tape.problems(A, B) == []
    answered, failed = tape.play([A, B])
    assert (answered.text, answered.data, answered.cost_usd) == ("42 é", {"n": 42}, 0.5)
    assert answered.tool_calls[0].name == "add"
    assert answered.latency_s == 1.5
    assert answered.replies == ()
    assert failed.error is not None
    assert failed.error.kind == "recorded_error"
    assert failed.error.message == "it was down"
    assert not failed.error.retryable
    assert failed.latency_s == 2.0


def test_lines_without_a_trial_count_up_and_others_say_their_own(tape: Tape) -> None:
    tape.write(
        {"case": "a", "output": "first"},
        {"case": "b", "trial": 1, "output": "b1"},
        {"case": "a", "output": "second"},
        {"case": "b", "trial": 0, "output": "b0"},
    )
    assert tape.problems(A, B, trials=2) == []
    assert [output.text for output in tape.play([A, B], trials=2)] == [
        "first",
        "second",
        "b0",
        "b1",
    ]


def test_every_trial_that_is_missing_is_named(tape: Tape) -> None:
    tape.write({"case": "a", "output": "x"}, {"case": "b", "trial": 1, "output": "x"})
    problems = tape.problems(
        A, B, Case(id="c", input="z", where=Location(path="s.yaml", line=9)), trials=2
    )
    assert len(problems) == 4
    for words in ("trial 1 of case 'a'", "trial 0 of case 'b'", "trial 0 of case 'c'"):
        assert any(words in problem for problem in problems)
    assert problems[-1].startswith("s.yaml:9: ")


def test_a_trial_nobody_checked_for_is_an_error_of_that_trial(tape: Tape) -> None:
    tape.write({"case": "a", "output": "x"})
    output = tape.play([B])[0]
    assert output.error is not None
    assert output.error.kind == "not_recorded"
    assert "trial 0 of case 'b'" in output.error.message


def test_a_second_line_for_one_trial_is_refused_with_both_lines(tape: Tape) -> None:
    tape.write(
        {"case": "a", "trial": 1, "output": "x"},
        {"case": "a", "output": "y"},
        {"case": "a", "output": "z"},
    )
    [problem] = tape.problems(A)
    assert "tape.jsonl:2: trial 1 of case 'a' is already in line 1" in problem


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "invalid JSON"),
        ("[1]", "JSON object"),
        ('"a"', "JSON object"),
        ("[" * 100_000, "nested"),
        ('{"case": "a", "output": "x", "output": "y"}', "'output' is given twice"),
        ({"case": "a", "ouput": "x"}, "unknown key 'ouput'. Did you mean 'output'?"),
        ({"case": "a", "score": 1.0, "output": "x"}, "unknown key 'score'"),
        ({"output": "x"}, "'case' must be the id"),
        ({"case": 12, "output": "x"}, "not 12"),
        ({"case": "a", "trial": "1", "output": "x"}, "'trial' must be"),
        ({"case": "a", "trial": -1, "output": "x"}, "'trial' must be"),
        ({"case": "a", "trial": True, "output": "x"}, "'trial' must be"),
        ({"case": "a", "trial": 0.0, "output": "x"}, "'trial' must be"),
        ({"case": "a"}, "neither `output` nor `data`"),
        ({"case": "a", "output": 5}, "not text"),
        ({"case": "a", "output": "x", "error": "y"}, "may have no output"),
        ({"case": "a", "error": {"kind": "x"}}, "'error' must be text"),
        ({"case": "a", "output": "x", "latency_s": -1}, "'latency_s' must be"),
        ({"case": "a", "output": "x", "latency_s": "1"}, "'latency_s' must be"),
        ({"case": "a", "output": "x", "latency_s": True}, "'latency_s' must be"),
        ('{"case": "a", "output": "x", "latency_s": NaN}', "'latency_s' must be"),
        ('{"case": "a", "output": "x", "latency_s": 1' + "0" * 400 + "}", "'latency_s' must be"),
        ('{"case": "a", "output": "x", "cost_usd": Infinity}', "finite"),
        ({"case": "a", "output": "x", "usage": {"tokens": 1}}, "'tokens'"),
        ({"case": "a", "replies": "x"}, "'replies' must be a list"),
        ({"case": "a", "replies": ["x", 1]}, "'replies' must be a list"),
        ({"case": "a", "replies": ["x"], "output": "y"}, "last of 'replies'"),
    ],
)
def test_a_line_that_breaks_a_rule_is_refused_with_its_place(
    tape: Tape, line: Any, words: str
) -> None:
    tape.write({"case": "b", "output": "fine"}, line)
    [problem] = tape.problems(B)
    assert "tape.jsonl:2: " in problem
    assert words in problem
    with pytest.raises(InvalidInput):
        tape.play([B])


def test_all_broken_lines_are_told_at_once(tape: Tape) -> None:
    tape.write("{", {"case": 1}, {"case": "a", "output": "x"}, {"case": "b", "outptu": "y"})
    assert len(tape.problems(A, B)) == 3


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("missing.jsonl", "does not exist"),
        ("../../etc/passwd", "outside"),
        ("/etc/passwd", "absolute"),
        ("folder", "folder"),
        ("pipe", "named pipe"),
        ("link", "outside"),
        ("latin.jsonl", "UTF-8"),
    ],
)
def test_a_file_that_is_none_is_refused(tape: Tape, file: str, words: str) -> None:
    (tape.base / "folder").mkdir()
    os.mkfifo(tape.base / "pipe")
    (tape.base / "link").symlink_to("/etc/passwd")
    (tape.base / "latin.jsonl").write_bytes('{"case": "a", "output": "é"}'.encode("latin-1"))
    [problem] = tape.problems(A, file=file)
    assert words in problem


def test_a_byte_order_mark_and_line_ends_of_windows_are_fine(tape: Tape) -> None:
    (tape.base / "tape.jsonl").write_bytes(
        b'\xef\xbb\xbf{"case": "a", "output": "x"}\r\n{"case": "b", "output": "y"}\r\n'
    )
    assert tape.problems(A, B) == []
    assert [output.text for output in tape.play([A, B])] == ["x", "y"]


def test_separators_of_unicode_end_no_line(tape: Tape) -> None:
    text = "a\u2028b\u0085c"
    tape.write(json.dumps({"case": "a", "output": text}, ensure_ascii=False))
    assert tape.play([A])[0].text == text


def turns(*texts: str) -> tuple[Turn, ...]:
    return tuple(Turn(role="user", content=text) for text in texts)


def test_a_conversation_gets_its_replies_one_after_the_other(tape: Tape) -> None:
    case = Case(id="talk", input=turns("one", "two", "three"))
    tape.write({"case": "talk", "replies": ["1", "2", "3"], "cost_usd": 0.5, "latency_s": 3})
    assert tape.problems(case) == []
    [output] = tape.play([case])
    assert output.replies == ("1", "2", "3")
    assert (output.text, output.cost_usd, output.latency_s) == ("3", 0.5, 3.0)


def test_a_conversation_with_another_number_of_replies_is_refused(tape: Tape) -> None:
    case = Case(id="talk", input=turns("one", "two"))
    tape.write({"case": "talk", "output": "only one"}, {"case": "a", "replies": ["1", "2"]})
    problems = tape.problems(case, A)
    assert len(problems) == 2
    assert "tape.jsonl:1: case 'talk' has 2 turns for the agent, but this line has 1" in problems[0]
    assert "tape.jsonl:2: case 'a' has 1 turn" in problems[1]


ODD_INPUTS = {
    "[{role: user, content: hi}, {role: tool, content: r}, more]": "role must be system or user or",
    "[{role: user, content: [{type: text, text: hi}]}]": "content must be text, not a list",
    "[{role: user, content: }]": "content is empty",
    "[{content: hi}]": "role is missing",
    "[{role: user, content: hi, name: bob}]": "unknown key 'name'",
    "[{}]": "role is missing",
    "[]": "the last turn of input must be the user's",
    "[null]": "a turn must be text or a mapping",
    "[[hi]]": "a turn must be text or a mapping",
    "{role: user, content: hi}": "input must be text or a list of turns",
    "[{role: assistant, content: hi}]": "the last turn of input must be the user's",
}


@pytest.mark.parametrize(
    "agent",
    [
        "recorded: tape.jsonl",
        "python: ./agent.py:answer",
        "command: [cat]",
        "http: 'http://127.0.0.1:9/'",
    ],
)
def test_turns_that_no_agent_takes_are_problems_with_their_line(
    project: Project, agent: str
) -> None:
    project.write("tape.jsonl", '{"case": "c0", "output": "x"}\n')
    cases = [
        f"- {{id: c{number}, expected: x, input: {content}}}"
        for number, content in enumerate(ODD_INPUTS)
    ]
    project.write("odd.yaml", "\n".join([f"agent: {{{agent}}}", "cases:", *cases, ""]))
    done = project.evalkit("validate", "odd.yaml")
    assert done.code == 2
    for number, words in enumerate(ODD_INPUTS.values()):
        assert f"odd.yaml:{number + 3}: case 'c{number}': " in done.err
        assert words in done.err
