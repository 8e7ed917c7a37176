"""Metric plugins as worker processes load and call them."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent

import msgspec
import pytest

from evalkit.core.errors import InvalidInput
from evalkit.core.eval_set import Case, Turn
from evalkit.core.literals import Json
from evalkit.core.run import RunEnvironment
from evalkit.core.spans import ToolCall
from evalkit.core.trial import Output
from evalkit.worker.pool import TargetSpec, open_pool
from evalkit.worker.streams import Reply

CASE = Case(
    id="refund",
    input=(Turn(role="user", content="hi"), Turn(role="user", content="refund?")),
    expected={"days": 30},
    tags=("refunds",),
    metadata={"tier": 1},
)
OUTPUT = Output(
    text="30 days, please",
    data={"topic": "refunds"},
    tool_calls=(ToolCall(name="look_up"),),
    latency_s=0.5,
)


def load_and_score(
    folder: Path,
    source: str,
    *,
    attribute: str = "metric",
    args: Mapping[str, Json] | None = None,
    calls: int = 1,
) -> tuple[Mapping[str, Json], list[Reply]]:
    (folder / "plugin.py").write_text(dedent(source))
    payload = {"case": msgspec.to_builtins(CASE), "output": msgspec.to_builtins(OUTPUT)}

    async def run() -> tuple[Mapping[str, Json], list[Reply]]:
        surroundings = RunEnvironment(root=folder, set_folder=folder, environ=os.environ)
        target = TargetSpec(kind="metric", ref=f"./plugin.py:{attribute}", args=args or {})
        async with open_pool(target, surroundings) as pool:
            return pool.description, [await pool.call(payload, 10) for _ in range(calls)]

    return asyncio.run(run())


def score(folder: Path, source: str, **options: object) -> Reply:
    return load_and_score(folder, source, **options)[1][0]  # type: ignore[arg-type]  # as given


def load_error(folder: Path, source: str, args: Mapping[str, Json] | None = None) -> list[str]:
    with pytest.raises(InvalidInput) as caught:
        load_and_score(folder, source, args=args)
    prefix = "'./plugin.py:metric' cannot be loaded: "
    messages = [problem.message for problem in caught.value.problems]
    assert all(message.startswith(prefix) for message in messages)
    return [message.removeprefix(prefix) for message in messages]


SCORES = {
    "True": (1.0, True),
    "False": (0.0, False),
    "0.25": (0.25, None),
    "1": (1.0, None),
    "numpy.float32(0.5)": (0.5, None),
    "numpy.int64(1)": (1.0, None),
    "numpy.bool_(True)": (1.0, True),
    "numpy.array(0.5)": (0.5, None),
    "Score(value=0.7, passed=True)": (0.7, True),
    "Score(value=0.7)": (0.7, None),
    "Score(passed=False)": (0.0, False),
    "Score(value=numpy.float64(0.5), passed=numpy.bool_(False))": (0.5, False),
}

NO_SCORES = {
    "None": "returned None. Return True, False, a number or a Score.",
    "'yes'": "returned 'yes'.",
    "[1.0]": "returned [1.0].",
    "1j": "returned 1j.",
    "float('nan')": "returned nan, which is not a finite number.",
    "-float('inf')": "returned -inf, which is not a finite number.",
    "1e400": "returned inf, which is not a finite number.",
    "10 ** 400": "which is not a finite number.",
    "1.5": "returned 1.5, which is not in 0..1. Return a share, or give the metric a `unit`.",
    "-0.1": "returned -0.1, which is not in 0..1.",
    "numpy.float32('nan')": "not a finite number",
    "numpy.array([1.0, 2.0])": "returned array([1., 2.])",
    "Score()": "returned None",
    "Score(value=float('nan'), passed=True)": "not a finite number",
    "Score(value=2, passed=True)": "not in 0..1",
    "Score(value=1, passed='no')": "passed='no'",
    "Score(value=1, explanation=3)": "explanation is 3, not text",
    "Score(state='good')": "unknown state 'good'",
}


@pytest.fixture(scope="module")
def returned(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Reply]:
    """What becomes of each expression when a plugin returns its value."""
    expressions = [*SCORES, *NO_SCORES]
    source = f"""
        import numpy
        from evalkit import Score

        expressions = iter({expressions!r})

        def metric(case, output):
            return eval(next(expressions))
    """
    folder = tmp_path_factory.mktemp("expressions")
    _, replies = load_and_score(folder, source, calls=len(expressions))
    return dict(zip(expressions, replies, strict=True))


@pytest.mark.parametrize("expression", SCORES)
def test_what_a_plugin_returns_is_normalised(
    returned: Mapping[str, Reply], expression: str
) -> None:
    value, passed = SCORES[expression]
    reply = returned[expression]
    assert reply.error is None
    assert reply.value == {"value": value, "passed": passed, "explanation": "", "state": "scored"}
    assert type(reply.value["value"]) is float


@pytest.mark.parametrize("expression", NO_SCORES)
def test_what_is_no_score_is_an_error_that_says_so(
    returned: Mapping[str, Reply], expression: str
) -> None:
    error = returned[expression].error
    assert error is not None
    assert error.kind == "bad_reply"
    assert NO_SCORES[expression] in error.message


def test_a_plugin_may_say_that_it_cannot_score(tmp_path: Path) -> None:
    source = """
        from evalkit import Score

        def metric(case, output):
            return Score(state="skipped", explanation="no expected answer")
    """
    assert score(tmp_path, source).value == {
        "value": None,
        "passed": None,
        "explanation": "no expected answer",
        "state": "skipped",
    }


def test_a_metric_with_a_unit_may_have_any_finite_value(tmp_path: Path) -> None:
    source = """
        def metric(case, output):
            return len(output.text)

        metric.unit = "characters"
        metric.higher_is_better = False
    """
    description, [reply] = load_and_score(tmp_path, source)
    assert reply.value["value"] == len(OUTPUT.text)
    assert description["unit"] == "characters"
    assert description["higher_is_better"] is False


def test_a_plugin_gets_the_records_whole(tmp_path: Path) -> None:
    source = f"""
        from evalkit.core.eval_set import *
        from evalkit.core.spans import *
        from evalkit.core.trial import *

        def metric(case, output):
            assert case == {CASE!r}, case
            assert output == {OUTPUT!r}, output
            return True
    """.replace("PosixPath", "str")
    assert score(tmp_path, source).value is not None


@pytest.mark.parametrize(
    "source",
    [
        """
        class metric:
            def score(self, case, output):
                return 'please' in output.text
        """,
        """
        async def metric(case, output):
            return 'please' in output.text
        """,
        """
        import functools

        @functools.cache
        def words(): return ['please']

        metric = functools.partial(lambda word, case, output: word in output.text, words()[0])
        """,
        """
        class Polite:
            async def score(self, case, output):
                return 'please' in output.text

        metric = Polite()
        """,
    ],
    ids=["class", "async", "partial", "instance"],
)
def test_a_plugin_may_be_any_kind_of_callable(tmp_path: Path, source: str) -> None:
    assert score(tmp_path, source).value["passed"] is True


DATACLASS = """
    from dataclasses import dataclass, field
    from typing import ClassVar, Literal

    @dataclass
    class metric:
        words: tuple[str, ...]
        at_least: int = 1
        share: float = 0.0
        mode: Literal["any", "all"] = "any"
        limits: ClassVar[int] = 3

        def score(self, case, output):
            found = sum(word in output.text for word in self.words)
            assert isinstance(self.words, tuple) and isinstance(self.share, float)
            return found >= self.at_least
"""

BARE = """
    class metric:
        words: list[str]
        at_least: int = 1
        mode: str = "any"
        share: float = 0.0
        unit = ""

        def score(self, case, output):
            return sum(word in output.text for word in self.words) >= self.at_least
"""

INIT = """
    class metric:
        def __init__(self, words: "list[str]", at_least: int = 1, *, share: float = 0.0, mode="any"):
            self.words, self.at_least = words, at_least

        def score(self, case, output):
            return sum(word in output.text for word in self.words) >= self.at_least
"""

CLASSES = pytest.mark.parametrize(
    "source", [DATACLASS, BARE, INIT], ids=["dataclass", "annotations", "init"]
)


@CLASSES
@pytest.mark.parametrize(
    ("args", "passed"),
    [
        ({"words": ["please", "thanks"]}, True),
        ({"words": ["please", "thanks"], "at_least": 2, "share": 1}, False),
        ({"": ["please"]}, True),
        ({"": ["pardon"], "mode": "all"}, False),
    ],
)
def test_a_class_gets_its_fields_from_the_arguments(
    tmp_path: Path, source: str, args: Mapping[str, Json], passed: bool
) -> None:
    description, replies = load_and_score(tmp_path, source, args=args, calls=2)
    assert [reply.value["passed"] for reply in replies] == [passed] * 2
    assert description["is_class"]
    assert set(description["fields"]) == {"words", "at_least", "share", "mode"}


@CLASSES
def test_wrong_arguments_are_reported_all_at_once(tmp_path: Path, source: str) -> None:
    messages = load_error(tmp_path, source, {"at_leest": 2, "share": "half", "at_least": True})
    assert messages[0] == "unknown argument 'at_leest'. Did you mean 'at_least'?"
    assert messages[1].startswith("argument 'share' is 'half': ")
    assert messages[2].startswith("argument 'at_least' is True: ")
    assert messages[3] == "argument 'words' is missing."
    assert len(messages) == 4


@pytest.mark.parametrize(
    ("source", "args", "says"),
    [
        (
            "def metric(case, output): pass",
            {"x": 1},
            "it is not a class, so it takes no arguments.",
        ),
        ("def metric(case, output): pass", {"": 1}, "it is not a class, so it takes no arguments."),
        ("def metric(case): pass", {}, "its parameters are (case)"),
        ("metric = 3", {}, "neither a function (case, output) nor a class"),
        ("class metric:\n    pass", {}, "neither a function (case, output) nor a class"),
        ("class metric:\n    def score(self, case): pass", {}, "its parameters are (case)"),
        ("class metric:\n    def score(self, case, output): pass", {"": 1}, "takes no arguments"),
        (
            "class metric:\n    def score(self, case, output): pass",
            {"a": 1},
            "unknown argument 'a'",
        ),
        ("class metric:\n    def __init__(self): 1 / 0", {}, "ZeroDivisionError"),
        ("def metric(case, output): pass\nmetric.evalkit_api = 2", {}, "version 2 of the plugin"),
        ("def metric(case, output): pass\nmetric.unit = None", {}, "its `unit` is None, not str"),
        ("def metric(case, output): pass\nmetric.higher_is_better = 1", {}, "not bool"),
        ("def metrics(case, output): pass", {}, "Did you mean 'metrics'?"),
    ],
)
def test_a_plugin_that_cannot_be_used_says_why(
    tmp_path: Path, source: str, args: Mapping[str, Json], says: str
) -> None:
    [message] = load_error(tmp_path, source, args)
    assert says in message


def test_the_source_digest_is_that_of_the_file_which_defines_the_plugin(tmp_path: Path) -> None:
    (tmp_path / "defined.py").write_text("def metric(case, output):\n    return True\n")
    expected = hashlib.sha256((tmp_path / "defined.py").read_bytes()).hexdigest()
    description, _ = load_and_score(tmp_path, "from defined import metric\n")
    assert description["source_digest"] == expected
    assert description["evalkit_api"] == 1


def test_a_plugin_that_exits_loses_its_score_only(tmp_path: Path) -> None:
    source = """
        import os, sys

        count = 0

        def metric(case, output):
            global count
            count += 1
            if count == 1:
                print("value 1 0 {}")
                sys.exit(0)
            return True
    """
    _, [first, second] = load_and_score(tmp_path, source, calls=2)
    assert first.error is not None
    assert first.error.message == "SystemExit: 0"
    assert second.value["passed"] is True
