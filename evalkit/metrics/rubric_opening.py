"""What an eval set says of a rubric turned into a scorer, or into every problem with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import msgspec

from evalkit.judging.labelled import Labelled, find_lacks, group_labels
from evalkit.judging.panel import Panel
from evalkit.labels import labels_of
from evalkit.loading.calibrations import calibration_path, load_calibrations
from evalkit.loading.labels import load_labels
from evalkit.loading.rubrics import digest_rubric, load_rubric
from evalkit.metrics.arguments import bind_arguments
from evalkit.metrics.metric import BuiltIn
from evalkit.metrics.rubric import CRITERIA, RUBRIC, RubricArguments, RubricScorer
from evalkit.metrics.scorers import BuiltInScorer
from evalkit.plugins import suggest
from evalkit.records import Location, MetricSpec, Problem, Surroundings
from evalkit.rubric import Criterion, Rubric
from evalkit.sources import Unreadable, locate_inside, shown_path

RUBRIC_REFS = (RUBRIC, CRITERIA)


def open_rubric(
    spec: MetricSpec,
    surroundings: Surroundings,
    panel: Panel,
    metrics: Mapping[str, type[BuiltIn]],
    problems: list[Problem],
) -> RubricScorer | None:
    """Get a rubric, or the criteria of a case, ready; None when something was added to `problems`.

    `metrics` are the built-in ones, of which a criterion may take one as its check.
    """
    known = len(problems)
    scorer = (
        _open_criteria(spec, panel)
        if spec.ref == CRITERIA
        else _open_file(spec, surroundings, panel, problems)
    )
    if scorer is None:
        return None
    scorer = replace(
        scorer, checks=_open_checks(scorer.rubric, spec, surroundings, metrics, problems)
    )
    if scorer.rubric.judged and not panel.has_judge:
        problems.append(
            Problem(
                message=f"{spec.name}: a rubric needs a judge, and none is named. Add "
                "`judge: lexical` or `judge: {openai: {model: gpt-4o-mini}}` to the set.",
                where=spec.where,
            )
        )
    scorer, anchors = _read_beside(scorer, surroundings.root, problems)
    if len(problems) > known:
        return None
    panel.enlist(spec.name, scorer.rubric, anchors)
    return scorer


def _read_beside(
    scorer: RubricScorer, root: Path, problems: list[Problem]
) -> tuple[RubricScorer, tuple[Labelled, ...]]:
    """The scorer with the calibrations beside its rubric, and the rubric's anchors."""
    rubric = scorer.rubric
    path = Path(rubric.path)
    if rubric.require_calibration is not None:
        calibrations, found = load_calibrations(calibration_path(path))
        problems += found
        scorer = replace(scorer, calibrations=calibrations)
    if not rubric.anchors:
        return scorer, ()
    try:
        file = locate_inside(rubric.anchors, path.parent, root)
    except Unreadable as trouble:
        message = f"anchors: {rubric.anchors!r} {trouble}"
        problems.append(Problem(message=message, where=Location(path=rubric.path)))
        return scorer, ()
    labels, found = load_labels(file, [rubric])
    labels = labels_of(labels, rubric.name)
    problems += found or find_lacks(rubric, labels, shown_path(file))
    if not labels and not found:
        message = f"anchors: no label in {rubric.anchors!r} is of rubric {rubric.name!r}."
        problems.append(Problem(message=message, where=Location(path=rubric.path)))
    return scorer, group_labels(rubric, labels)


def _open_criteria(spec: MetricSpec, panel: Panel) -> RubricScorer:
    criteria = msgspec.convert(spec.args["criteria"], tuple[Criterion, ...])
    rubric = Rubric(name=spec.name, path=spec.where.path, criteria=criteria)
    return RubricScorer(
        spec=spec,
        rubric=replace(rubric, digest=digest_rubric(rubric)),
        panel=panel,
        reference=spec.args.get("reference", ""),
    )


def _open_file(
    spec: MetricSpec, surroundings: Surroundings, panel: Panel, problems: list[Problem]
) -> RubricScorer | None:
    if not spec.args:
        message = "rubric: it names no file. Write `- rubric: rubrics/helpfulness.yaml`."
        problems.append(Problem(message=message, where=spec.where))
        return None
    arguments = bind_arguments(RubricArguments, spec, surroundings, problems)
    if arguments is None:
        return None
    rubric, found = load_rubric(arguments.file)
    missing = any(not problem.where or not problem.where.line for problem in found)
    # What is wrong with the file as a whole is a problem of the place that names it.
    problems += [replace(problem, where=spec.where) if missing else problem for problem in found]
    if rubric is None:
        return None
    return RubricScorer(
        spec=spec,
        rubric=rubric,
        panel=panel,
        of=arguments.of,
        reference=arguments.reference,
        context=arguments.context,
    )


def _open_checks(
    rubric: Rubric,
    spec: MetricSpec,
    surroundings: Surroundings,
    metrics: Mapping[str, type[BuiltIn]],
    problems: list[Problem],
) -> dict[str, BuiltInScorer]:
    checks = {}
    for criterion in rubric.criteria:
        if criterion.check is None:
            continue
        check = MetricSpec(
            ref=criterion.check.ref,
            name=criterion.name,
            args=criterion.check.args,
            where=Location(path=rubric.path) if rubric.path else spec.where,
        )
        metric = metrics.get(check.ref)
        if metric is None:
            message = f"no built-in metric {check.ref!r}. {suggest(check.ref, metrics)}"
        elif (bound := bind_arguments(metric, check, surroundings, problems)) is None:
            continue
        elif bound.measures:
            message = (
                f"{check.ref} measures and judges nothing. Name a metric that passes or fails."
            )
        else:
            checks[criterion.name] = BuiltInScorer.of(check, bound)
            continue
        message = f"criterion {criterion.name!r}: {message}"
        problems.append(Problem(message=message, where=check.where))
    return checks
