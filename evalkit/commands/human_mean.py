"""Estimate the mean score that people would give a run's answers, from labels and judge scores.

The labels are in `labels/NAME.yaml` next to the eval set, where `evalkit review` writes them. The
estimate uses only answers that were drawn at random for this run. Answers that somebody picked, or that are
unchanged since another run, are not a random sample.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from evalkit.commands.labeled_answers import answer_id, open_run_rubrics, score_from_labels
from evalkit.compare.scores import mean
from evalkit.core.format import format_count
from evalkit.core.gate_result import GateResult, HumanMean
from evalkit.core.labels import MIN_LABELS, HumanLabel, labels_path
from evalkit.core.location import Problem
from evalkit.core.run import Run
from evalkit.core.source_files import display_path
from evalkit.evalset.labels import load_labels
from evalkit.evalset.project import Project
from evalkit.metrics.rubric import RubricScorer
from evalkit.stats.ppi import MIN_RARER_LABELS, correct_mean, count_rarer_labels


def add_human_means(result: GateResult, run: Run, project: Project) -> GateResult:
    """Return the result with an estimated human mean for each judged metric with enough labels."""
    evalset = project.root / run.header.evalset_path
    path = labels_path(evalset, run.header.evalset)
    if not any(info.judge for info in run.header.metrics) or not path.exists():
        return result
    problems: list[Problem] = []
    scorers = open_run_rubrics(run, evalset, project, problems)
    rubrics = {each.rubric.name: each.rubric for row in scorers.values() for each in row.values()}
    labels, found = load_labels(path, list(rubrics.values()))
    problems += found
    if problems:
        note = f"{display_path(path)}: not used to estimate human means: {problems[0]}"
        return replace(result, notes=(*result.notes, note))
    summaries, notes = [], []
    for summary in result.summaries:
        if summary.tag is None and summary.metric in scorers:
            people, note = estimate_human_mean(run, summary.metric, scorers[summary.metric], labels)
            summaries.append(replace(summary, people=people))
            notes += [note] if note else []
        else:
            summaries.append(summary)
    return replace(result, summaries=tuple(summaries), notes=(*result.notes, *notes))


@dataclass(frozen=True, kw_only=True, slots=True)
class LabeledScores:
    """Scores by case id: human and judge scores of drawn answers, and judge scores of all answers.

    `not_drawn` has the cases with labels of answers that were not drawn at random.
    """

    human: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    judged: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    all_judged: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    not_drawn: set[str] = field(default_factory=set)


def estimate_human_mean(
    run: Run, metric: str, scorers: Mapping[str, RubricScorer], labels: Sequence[HumanLabel]
) -> tuple[HumanMean | None, str]:
    """Return the estimated human mean of a metric; None with too few answers drawn and labeled.

    Also return a note if there are enough labels, but too few were drawn at random for this run, or too few
    of them have the rarer of two verdicts.
    """
    labeled = collect_labeled_scores(run, metric, scorers, labels)
    drawn, others = len(labeled.human), len(labeled.not_drawn - labeled.human.keys())
    if drawn < MIN_LABELS:
        note = (
            f"{metric}: people labeled answers of {format_count(drawn + others, 'case')}, and {drawn} of "
            f"them were drawn at random for this run. To estimate the human mean, label {MIN_LABELS} of "
            f"those: evalkit review {run.header.id}"
        )
        return None, note if drawn + others >= MIN_LABELS else ""
    human = np.array([mean(values) for values in labeled.human.values()])
    rarer = count_rarer_labels(human)
    if rarer is not None and rarer < MIN_RARER_LABELS:
        return None, (
            f"{metric}: of the {format_count(drawn, 'case')} drawn at random and labeled, {rarer} have the "
            f"rarer verdict. To estimate the human mean, label more until {MIN_RARER_LABELS} have it: "
            f"evalkit review {run.header.id}"
        )
    rest = [
        mean(values)
        for case_id, values in labeled.all_judged.items()
        if case_id not in labeled.human
    ]
    found = correct_mean(
        human,
        np.array([mean(labeled.judged[case_id]) for case_id in labeled.human]),
        np.array(rest),
    )
    human_mean = HumanMean(
        mean=min(max(found.value, 0.0), 1.0),
        low=max(found.low, 0.0),
        high=min(found.high, 1.0),
        cases=drawn,
        share=found.share,
    )
    return human_mean, ""


def collect_labeled_scores(
    run: Run, metric: str, scorers: Mapping[str, RubricScorer], labels: Sequence[HumanLabel]
) -> LabeledScores:
    """Return the scores that people and the judge gave the answers of a run."""
    run_ids = {run.header.id, run.header.scored_from} - {""}
    by_item: dict[tuple[str, str], list[HumanLabel]] = defaultdict(list)
    for label in labels:
        by_item[label.rubric, label.answer_id].append(label)
    cases = {case.id: case for case in run.header.cases}
    labeled = LabeledScores()
    for trial in run.trials:
        scorer = scorers.get(trial.case_id)
        score = next((each for each in trial.scores if each.metric == metric), None)
        if scorer is None or score is None or score.value is None or not score.is_usable:
            continue
        labeled.all_judged[trial.case_id].append(score.value)
        question, _ = scorer.build_request(cases[trial.case_id], trial.output)
        given = by_item.get((scorer.rubric.name, answer_id(question)), ())
        value = score_from_labels(scorer.rubric, score, given)
        if value is None:
            continue
        if any(run_ids & set(label.drawn) for label in given):
            labeled.human[trial.case_id].append(value)
            labeled.judged[trial.case_id].append(score.value)
        else:
            labeled.not_drawn.add(trial.case_id)
    return labeled
