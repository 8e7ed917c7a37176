"""What an eval set says of a rubric turned into a scorer, or into every problem with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import msgspec

from evalkit.core.eval_set import MetricSpec
from evalkit.core.labels import filter_labels
from evalkit.core.location import Location, Problem
from evalkit.core.rubric import Criterion, Rubric
from evalkit.core.run import RunEnvironment
from evalkit.core.source_files import UnreadableFile, display_path, resolve_inside
from evalkit.evalset.calibrations import find_calibration_path, load_calibrations
from evalkit.evalset.keys import CRITERIA
from evalkit.evalset.labels import load_labels
from evalkit.evalset.rubrics import NEEDS, digest_rubric, read_partial_rubric
from evalkit.judge.anchors import LabelledAnswer, find_missing_fields, group_labels
from evalkit.judge.panel import Panel
from evalkit.metrics.arguments import bind_arguments
from evalkit.metrics.builtin import BuiltIn
from evalkit.metrics.entry_points import suggest_name
from evalkit.metrics.rubric import RUBRIC, RubricArguments, RubricScorer
from evalkit.metrics.scorers import BuiltInScorer

RUBRIC_REFS = (RUBRIC, CRITERIA)


def open_rubric(
    spec: MetricSpec,
    surroundings: RunEnvironment,
    panel: Panel,
    metrics: Mapping[str, type[BuiltIn]],
    problems: list[Problem],
) -> RubricScorer | None:
    """Get a rubric, or the criteria of a case, ready; None when something was added to `problems`.

    `metrics` are the built-in ones, of which a criterion may take one as its check.
    """
    known = len(problems)
    scorer = (
        _open_criteria(spec, surroundings, panel, metrics, problems)
        if spec.ref == CRITERIA
        else _open_file(spec, surroundings, panel, metrics, problems)
    )
    if scorer is None:
        return None
    if scorer.rubric.judged_criteria and not panel.has_judge:
        problems.append(
            Problem(
                message=f"{spec.name}: a rubric needs a judge, and none is named. Add "
                "`judge: lexical` or `judge: {openai: {model: gpt-4o-mini}}` to the set.",
                where=spec.where,
            )
        )
    scorer, anchors = _read_calibrations(scorer, surroundings.root, problems)
    if len(problems) > known:
        return None
    panel.register_rubric(spec.name, scorer.rubric, anchors)
    return scorer


def _read_calibrations(
    scorer: RubricScorer, root: Path, problems: list[Problem]
) -> tuple[RubricScorer, tuple[LabelledAnswer, ...]]:
    """The scorer with the calibrations beside its rubric, and the rubric's anchors."""
    rubric = scorer.rubric
    path = Path(rubric.path)
    if rubric.require_calibration is not None:
        calibrations, found = load_calibrations(find_calibration_path(path))
        problems += found
        scorer = replace(scorer, calibrations=calibrations)
    if not rubric.anchors:
        return scorer, ()
    try:
        file = resolve_inside(rubric.anchors, path.parent, root)
    except UnreadableFile as trouble:
        message = f"anchors: {rubric.anchors!r} {trouble}"
        problems.append(Problem(message=message, where=Location(path=rubric.path)))
        return scorer, ()
    labels, found = load_labels(file, [rubric])
    labels = filter_labels(labels, rubric.name)
    problems += found or find_missing_fields(rubric, labels, display_path(file))
    if not labels and not found:
        message = f"anchors: no label in {rubric.anchors!r} is of rubric {rubric.name!r}."
        problems.append(Problem(message=message, where=Location(path=rubric.path)))
    return scorer, group_labels(rubric, labels)


def check_rubric(
    path: Path, surroundings: RunEnvironment, metrics: Mapping[str, type[BuiltIn]]
) -> tuple[Rubric | None, list[Problem]]:
    """Read a rubric file with its checks bound, and everything that is wrong with either."""
    rubric, problems = read_partial_rubric(path)
    if rubric is not None:
        nearby = replace(surroundings, set_folder=path.resolve().parent)
        _open_checks(rubric, Location(path=rubric.path), nearby, metrics, problems)
    return (None if problems else rubric), problems


def _open_criteria(
    spec: MetricSpec,
    surroundings: RunEnvironment,
    panel: Panel,
    metrics: Mapping[str, type[BuiltIn]],
    problems: list[Problem],
) -> RubricScorer:
    criteria = msgspec.convert(spec.args[CRITERIA], tuple[Criterion, ...])
    rubric = Rubric(name=spec.name, path=spec.where.path, criteria=criteria)
    return RubricScorer(
        spec=spec,
        rubric=replace(rubric, digest=digest_rubric(rubric)),
        panel=panel,
        shown_needs=NEEDS,
        checks=_open_checks(rubric, spec.where, surroundings, metrics, problems),
    )


def _open_file(
    spec: MetricSpec,
    surroundings: RunEnvironment,
    panel: Panel,
    metrics: Mapping[str, type[BuiltIn]],
    problems: list[Problem],
) -> RubricScorer | None:
    if not spec.args:
        message = "rubric: it names no file. Write `- rubric: rubrics/helpfulness.yaml`."
        problems.append(Problem(message=message, where=spec.where))
        return None
    arguments = bind_arguments(RubricArguments, spec, surroundings, problems)
    if arguments is None:
        return None
    rubric, found = read_partial_rubric(arguments.file)
    told = (_locate_problem(problem, arguments.file, spec) for problem in found)
    problems += [problem for problem in told if problem not in problems]
    if rubric is None:
        return None
    nearby = replace(surroundings, set_folder=arguments.file.parent)
    return RubricScorer(
        spec=spec,
        rubric=rubric,
        panel=panel,
        checks=_open_checks(rubric, Location(path=rubric.path), nearby, metrics, problems),
        of=arguments.of,
        reference=arguments.reference,
        context=arguments.context,
        shown_needs=rubric.needs,
    )


def _locate_problem(problem: Problem, file: Path, spec: MetricSpec) -> Problem:
    """What is wrong with a rubric's file as a whole is a problem of the place that names it."""
    if problem.where and problem.where.line:
        return problem
    message = f"rubric {display_path(file)!r}: {problem.message}"
    return Problem(message=message, where=spec.where)


def _open_checks(
    rubric: Rubric,
    where: Location,
    surroundings: RunEnvironment,
    metrics: Mapping[str, type[BuiltIn]],
    problems: list[Problem],
) -> dict[str, BuiltInScorer]:
    """The checks of a rubric by criterion; `where` is the place of those that know no line."""
    checks = {}
    for criterion in rubric.criteria:
        if criterion.check is None:
            continue
        ref, line = criterion.check.ref, criterion.check.line
        place = replace(where, line=line, column=0) if line else where
        check = MetricSpec(ref=ref, name=criterion.name, args=criterion.check.args, where=place)
        found: list[Problem] = []
        if ref not in metrics:
            message = f"no built-in metric {ref!r}. {suggest_name(ref, metrics)}"
            found.append(Problem(message=message, where=place))
        elif (bound := bind_arguments(metrics[ref], check, surroundings, found)) is not None:
            if bound.is_measurement:
                message = f"{ref} measures, and nothing passes or fails it."
                found.append(Problem(message=message, where=place))
            else:
                checks[criterion.name] = BuiltInScorer.of(check, bound)
        problems += [
            replace(each, message=f"criterion {criterion.name!r}: check: {each.message}")
            for each in found
        ]
    return checks
