"""Metrics: what an eval set asks for by name, opened as scorers of trials."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from evalkit.core.errors import InvalidInput
from evalkit.core.eval_set import MetricSpec
from evalkit.core.judgement import JudgeVote
from evalkit.core.location import Problem
from evalkit.core.run import RunEnvironment
from evalkit.core.serialization import digest
from evalkit.judge.panel import Panel
from evalkit.metrics.arguments import bind_arguments
from evalkit.metrics.open_rubric import RUBRIC_REFS, open_rubric
from evalkit.metrics.plugins import Plugin, PluginScorer, find_plugin, open_plugins
from evalkit.metrics.registry import METRICS
from evalkit.metrics.rubric import RUBRIC, RubricScorer
from evalkit.metrics.scorers import BuiltInScorer, Scorer
from evalkit.store.cache import Cache


def spec_digest(spec: MetricSpec) -> str:
    """What tells one opened metric from another: which it is, its name and its arguments."""
    return digest([spec.ref, spec.name, spec.args])


@asynccontextmanager
async def open_scorers(
    specs: Sequence[MetricSpec], surroundings: RunEnvironment, panel: Panel | None = None
) -> AsyncIterator[Mapping[str, Scorer]]:
    """Hold the metrics of a run open, by `spec_digest`; plugins are loaded in worker processes.

    Rubrics are applied by the judges of `panel`; without one there is nobody to apply them.

    Raises:
        InvalidInput: every problem with any of them.
    """
    panel = panel or Panel((), Cache(surroundings.root, JudgeVote), str)
    problems: list[Problem] = []
    scorers: dict[str, Scorer] = {}
    rubrics: dict[str, RubricScorer] = {}
    plugins: dict[str, Plugin] = {}
    for spec in specs:
        if spec.ref in METRICS:
            metric = bind_arguments(METRICS[spec.ref], spec, surroundings, problems)
            if metric:
                scorers[spec_digest(spec)] = BuiltInScorer.of(spec, metric)
        elif spec.ref in RUBRIC_REFS:
            rubric = open_rubric(spec, surroundings, panel, METRICS, problems)
            if rubric:
                scorers[spec_digest(spec)] = rubric
                _refuse_duplicate(rubric, rubrics, problems)
        elif plugin := find_plugin(spec, surroundings, problems, (*METRICS, *RUBRIC_REFS)):
            plugins[spec_digest(spec)] = plugin
    async with open_plugins(tuple(plugins.values()), surroundings, problems) as pools:
        if problems:
            raise InvalidInput(problems)
        for key, plugin in plugins.items():
            scorers[key] = PluginScorer.of(plugin, pools[plugin.key])
        yield scorers


def _refuse_duplicate(
    opened: RubricScorer, rubrics: dict[str, RubricScorer], problems: list[Problem]
) -> None:
    """One name, one rubric: its controls are told by the metric's name, and so are its scores."""
    spec, first = opened.spec, rubrics.setdefault(opened.spec.name, opened)
    if spec.ref == RUBRIC and first.rubric.digest != opened.rubric.digest:
        message = (
            f"{spec.name}: another rubric goes by this name at {first.spec.where}. "
            f"Give one a `name:` of its own."
        )
        problems.append(Problem(message=message, where=spec.where))
