"""Arguments of metrics are converted to the types of their fields."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from evalkit.core.eval_set import MetricSpec
from evalkit.core.literals import Json
from evalkit.core.location import Problem
from evalkit.core.run import RunEnvironment
from evalkit.evalset.argument_schema import build_arguments_schema
from evalkit.metrics.arguments import bind_arguments
from evalkit.metrics.builtin import BuiltIn


@dataclass(frozen=True, kw_only=True, slots=True)
class WordCount(BuiltIn):
    """Count words.

    Args:
        at_most: The largest number of words.
    """

    at_most: int


def bind(value: Json) -> tuple[WordCount | None, list[Problem]]:
    spec = MetricSpec(ref="word_count", name="word_count", args={"at_most": value})
    environment = RunEnvironment(root=Path(), set_folder=Path(), environ={})
    problems: list[Problem] = []
    return bind_arguments(WordCount, spec, environment, problems), problems


def test_a_whole_number_is_taken() -> None:
    metric, problems = bind(3)
    assert metric
    assert (metric.at_most, problems) == (3, [])


@pytest.mark.parametrize("value", [2.5, True, "3", None, [3]])
def test_anything_else_is_refused_in_words(value: Json) -> None:
    metric, problems = bind(value)
    assert metric is None
    assert "at_most must be a whole number, not" in problems[0].message


def test_the_schema_names_the_same_type() -> None:
    assert '"type": "integer"' in json.dumps(build_arguments_schema(WordCount))
