"""Open the metrics that an eval set asks for as scorers: built-ins, rubrics and plugins."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import msgspec

from evalkit.core.errors import InvalidInput
from evalkit.core.eval_set import MetricSpec
from evalkit.core.judgement import JudgeVote
from evalkit.core.labels import filter_labels
from evalkit.core.location import Location, Problem
from evalkit.core.rubric import Criterion, Rubric
from evalkit.core.run import RunEnvironment
from evalkit.core.source_files import UnreadableFile, display_path, resolve_inside
from evalkit.evalset.calibrations import find_calibration_path, load_calibrations
from evalkit.evalset.keys import CRITERIA
from evalkit.evalset.labels import load_labels
from evalkit.evalset.rubrics import NEEDS, digest_rubric, read_partial_rubric
from evalkit.judge.anchors import LabeledAnswer, find_missing_fields, group_labels
from evalkit.judge.judge_panel import JudgePanel
from evalkit.judge.panel import Panel
from evalkit.metrics.arguments import bind_arguments
from evalkit.metrics.builtin import AnswerMetric
from evalkit.metrics.builtin_scorer import BuiltInScorer
from evalkit.metrics.entry_points import suggest_name
from evalkit.metrics.pairwise import PAIRWISE, PairwiseArguments, PairwiseScorer
from evalkit.metrics.plugins import Plugin, PluginScorer, find_plugin, open_plugins
from evalkit.metrics.registry import METRICS, load_metric
from evalkit.metrics.rubric import RUBRIC, RubricArguments, RubricScorer
from evalkit.metrics.scorers import Scorer, spec_digest
from evalkit.store.cache import NoCache

RUBRIC_REFS = (RUBRIC, CRITERIA)
JUDGED_REFS = (*RUBRIC_REFS, PAIRWISE)


@asynccontextmanager
async def open_scorers(
    specs: Sequence[MetricSpec], environment: RunEnvironment, panel: JudgePanel | None = None
) -> AsyncIterator[Mapping[str, Scorer]]:
    """Open the metrics of a run and yield their scorers by `spec_digest`.

    Plugins are loaded in worker processes, which end with the context. The judges of `panel` apply
    rubrics; without a panel there are none.

    Raises:
        InvalidInput: every problem with any of the metrics.
    """
    panel = panel or Panel((), NoCache(JudgeVote), str)
    problems: list[Problem] = []
    scorers: dict[str, Scorer] = {}
    rubrics: dict[str, RubricScorer] = {}
    plugins: dict[str, Plugin] = {}
    for spec in specs:
        if spec.ref in METRICS:
            if metric := bind_arguments(load_metric(spec.ref), spec, environment, problems):
                scorers[spec_digest(spec)] = BuiltInScorer.of(spec, metric)
        elif spec.ref in JUDGED_REFS:
            if rubric := open_rubric(spec, environment, panel, problems):
                is_pairwise = spec.ref == PAIRWISE
                scorers[spec_digest(spec)] = (
                    PairwiseScorer(single=rubric) if is_pairwise else rubric
                )
                _refuse_duplicate(rubric, rubrics, problems)
        elif plugin := find_plugin(spec, environment, problems, (*METRICS, *JUDGED_REFS)):
            plugins[spec_digest(spec)] = plugin
    async with open_plugins(tuple(plugins.values()), environment, problems) as pools:
        if problems:
            # Raised here, so that problems of plugins are reported with all others.
            raise InvalidInput(problems)
        for key, plugin in plugins.items():
            scorers[key] = PluginScorer.of(plugin, pools[plugin.key])
        yield scorers


def _refuse_duplicate(
    opened: RubricScorer, rubrics: dict[str, RubricScorer], problems: list[Problem]
) -> None:
    """Report a second rubric of one name, because results of controls are stored by that name."""
    spec, first = opened.spec, rubrics.setdefault(opened.spec.name, opened)
    if spec.ref != CRITERIA and first.rubric.digest != opened.rubric.digest:
        message = (
            f"{spec.name}: another rubric has this name, at {first.spec.where}. "
            f"Give one of them a `name:` of its own."
        )
        problems.append(Problem(message=message, where=spec.where))


def open_rubric(
    spec: MetricSpec, environment: RunEnvironment, panel: JudgePanel, problems: list[Problem]
) -> RubricScorer | None:
    """Open a rubric, or the criteria of a case; return None if `problems` grew."""
    known = len(problems)
    source = _read_rubric(spec, environment, problems)
    if source is None:
        return None
    rubric, arguments = source
    is_file = spec.ref != CRITERIA
    scorer = RubricScorer(
        spec=spec,
        rubric=rubric,
        panel=panel,
        arguments=arguments,
        checks=_open_checks(
            rubric,
            Location(path=rubric.path) if is_file else spec.where,
            replace(environment, set_folder=arguments.file.parent) if is_file else environment,
            problems,
        ),
        # Criteria of a case have no `needs:`, so the judge sees everything that the case has.
        shown_needs=rubric.needs if is_file else NEEDS,
    )
    if rubric.judged_criteria and not panel.has_judge:
        message = (
            f"{spec.name}: a rubric needs a judge, but the set names none. Add "
            "`judge: lexical` or `judge: {openai: {model: gpt-4o-mini}}` to the set."
        )
        problems.append(Problem(message=message, where=spec.where))
    if rubric.require_calibration is not None:
        calibrations, found = load_calibrations(find_calibration_path(Path(rubric.path)))
        problems += found
        scorer = replace(scorer, calibrations=calibrations)
    anchors = _load_anchors(rubric, environment.root, problems)
    if len(problems) > known:
        return None
    panel.register_rubric(spec.name, rubric, anchors)
    return scorer


def compares_with_label(spec: MetricSpec, environment: RunEnvironment) -> bool:
    """Return whether a valid metric compares answers with a case's label; a plugin may, so it does."""
    if spec.ref not in METRICS:
        return spec.ref not in RUBRIC_REFS
    metric = bind_arguments(load_metric(spec.ref), spec, environment, [])
    return isinstance(metric, AnswerMetric) and metric.needs_expected


def check_rubric(path: Path, environment: RunEnvironment) -> tuple[Rubric | None, list[Problem]]:
    """Read a rubric file and its checks; return the rubric, or None and everything that is wrong."""
    rubric, problems = read_partial_rubric(path)
    if rubric is not None:
        rubric_environment = replace(environment, set_folder=path.resolve().parent)
        _open_checks(rubric, Location(path=rubric.path), rubric_environment, problems)
    return (None if problems else rubric), problems


def _load_anchors(rubric: Rubric, root: Path, problems: list[Problem]) -> tuple[LabeledAnswer, ...]:
    if not rubric.anchors:
        return ()
    where = Location(path=rubric.path)
    try:
        file = resolve_inside(rubric.anchors, Path(rubric.path).parent, root)
    except UnreadableFile as error:
        problems.append(Problem(message=f"anchors: {rubric.anchors!r} {error}", where=where))
        return ()
    labels, found = load_labels(file, [rubric])
    labels = filter_labels(labels, rubric.name)
    problems += found or find_missing_fields(rubric, labels, display_path(file))
    if not labels and not found:
        message = f"anchors: {rubric.anchors!r} has no label of rubric {rubric.name!r}."
        problems.append(Problem(message=message, where=where))
    return group_labels(rubric, labels)


def _read_rubric(
    spec: MetricSpec, environment: RunEnvironment, problems: list[Problem]
) -> tuple[Rubric, RubricArguments] | None:
    if spec.ref == CRITERIA:
        criteria = msgspec.convert(spec.args[CRITERIA], tuple[Criterion, ...])
        rubric = Rubric(name=spec.name, path=spec.where.path, criteria=criteria)
        rubric = replace(rubric, digest=digest_rubric(rubric))
        return rubric, RubricArguments(file=Path(rubric.path))
    if not spec.args:
        message = f"{spec.ref}: it names no file. Write `- {spec.ref}: rubrics/helpfulness.yaml`."
        problems.append(Problem(message=message, where=spec.where))
        return None
    kind = PairwiseArguments if spec.ref == PAIRWISE else RubricArguments
    arguments = bind_arguments(kind, spec, environment, problems)
    if arguments is None:
        return None
    read, found = read_partial_rubric(arguments.file)
    located = (_locate_problem(problem, arguments.file, spec) for problem in found)
    # Several metrics may name one file; its problems are reported once.
    problems += [problem for problem in located if problem not in problems]
    if read is None or spec.ref != PAIRWISE:
        return None if read is None else (read, arguments)
    if not read.judged_criteria:
        message = (
            f"pairwise: all criteria of rubric {read.name!r} are checks, which compare nothing."
        )
        problems.append(Problem(message=message, where=spec.where))
        return None
    # Checks and anchors are about one answer.
    criteria = read.judged_criteria
    return replace(read, criteria=criteria, anchors="", is_pairwise=True), arguments


def _locate_problem(problem: Problem, file: Path, spec: MetricSpec) -> Problem:
    """Return a problem of a whole rubric file as a problem of the metric that names the file."""
    if problem.where and problem.where.line:
        return problem
    message = f"rubric {display_path(file)!r}: {problem.message}"
    return Problem(message=message, where=spec.where)


def _open_checks(
    rubric: Rubric, where: Location, environment: RunEnvironment, problems: list[Problem]
) -> dict[str, Scorer]:
    """Return the scorers of a rubric's checks by criterion; a check without a line is at `where`."""
    checks: dict[str, Scorer] = {}
    for criterion in rubric.criteria:
        if criterion.check is None:
            continue
        ref, line = criterion.check.ref, criterion.check.line
        location = replace(where, line=line, column=0) if line else where
        check = MetricSpec(ref=ref, name=criterion.name, args=criterion.check.args, where=location)
        found: list[Problem] = []
        if ref not in METRICS:
            message = f"no built-in metric {ref!r}. {suggest_name(ref, METRICS)}"
            found.append(Problem(message=message, where=location))
        elif (metric := bind_arguments(load_metric(ref), check, environment, found)) is not None:
            if metric.is_measurement:
                message = f"{ref} is a measurement, which no answer passes or fails."
                found.append(Problem(message=message, where=location))
            else:
                checks[criterion.name] = BuiltInScorer.of(check, metric)
        problems += [
            replace(each, message=f"criterion {criterion.name!r}: check: {each.message}")
            for each in found
        ]
    return checks
