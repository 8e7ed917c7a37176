"""Match the labels of people with the answers of a run, and score answers by them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from evalkit.compare.scores import mean
from evalkit.core.judgement import JudgeVote
from evalkit.core.labels import HumanLabel
from evalkit.core.location import Problem
from evalkit.core.rubric import Rubric
from evalkit.core.run import Run, RunEnvironment
from evalkit.core.serialization import digest
from evalkit.core.trial import Score
from evalkit.evalset.project import Project
from evalkit.judge.judge import JudgeRequest
from evalkit.judge.lexical import LexicalJudge
from evalkit.judge.panel import Panel
from evalkit.metrics.rubric import RUBRIC, RubricScorer
from evalkit.metrics.scorers import spec_digest
from evalkit.metrics.specs import open_rubric
from evalkit.runner.case_metrics import effective_metrics
from evalkit.store.cache import NoCache

ScorersByMetric = Mapping[str, Mapping[str, RubricScorer]]
"""By metric name, then by case id."""


def open_run_rubrics(
    run: Run, path: Path, project: Project, problems: list[Problem]
) -> ScorersByMetric:
    """Return the rubrics of a run's set that are unchanged since the run."""
    evalset, found = project.load(path)
    if found:
        problems += found
        return {}
    environment = RunEnvironment(root=project.root, set_folder=path.resolve().parent, environ={})
    # Opening a rubric requires a panel; this one is never called.
    panel = Panel([LexicalJudge()], NoCache(JudgeVote), str, controls=False)
    digests = {info.name: info.digest for info in run.header.metrics}
    opened: dict[str, RubricScorer | None] = {}
    scorers: dict[str, dict[str, RubricScorer]] = defaultdict(dict)
    for case in run.header.cases:
        for spec in effective_metrics(evalset, case):
            if spec.ref != RUBRIC:
                continue
            key = spec_digest(spec)
            if key not in opened:
                opened[key] = open_rubric(spec, environment, panel, problems)
            scorer = opened[key]
            if scorer is not None and digests.get(spec.name) in ("", scorer.info.digest):
                scorers[spec.name][case.id] = scorer
    return scorers


def score_from_labels(rubric: Rubric, score: Score, labels: Sequence[HumanLabel]) -> float | None:
    """Return the score that people gave an answer, on average; None if a criterion has no label.

    A criterion with a check keeps the value of the check.
    """
    checked = {
        verdict.criterion: verdict.value
        for verdict in (score.judgement.verdicts if score.judgement else ())
        if verdict.by == "check"
    }
    total = weight = 0.0
    for criterion in rubric.criteria:
        levels = [
            criterion.level(each.level) for each in labels if each.criterion == criterion.name
        ]
        values = [level.value for level in levels if level is not None]
        if criterion.check is not None and criterion.name in checked:
            values = [checked[criterion.name]]
        if not values:
            return None
        total += criterion.weight * mean(values)
        weight += criterion.weight
    return total / weight if weight else None


def answer_id(question: JudgeRequest) -> str:
    """Return the id that `HumanLabel.answer_id` has for the same answer."""
    return digest([question.answer, question.input, question.reference, question.context])
