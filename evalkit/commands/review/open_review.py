"""A stored run and one of its judged metrics into the answers to review, under the rubric they were judged by."""

from __future__ import annotations

from evalkit.core.errors import InvalidInput
from evalkit.core.eval_set import MetricSpec
from evalkit.core.judgement import JudgeVote
from evalkit.core.location import Problem
from evalkit.core.run import MetricInfo, Run, RunEnvironment
from evalkit.evalset.project import Project
from evalkit.judge.lexical import LexicalJudge
from evalkit.judge.panel import Panel
from evalkit.metrics.entry_points import suggest_name
from evalkit.metrics.open_metrics import spec_digest
from evalkit.metrics.open_rubric import RUBRIC_REFS, open_rubric
from evalkit.metrics.registry import METRICS
from evalkit.metrics.rubric import RubricScorer
from evalkit.runner.case_metrics import effective_metrics
from evalkit.store.cache import NoCache


def choose_metric(run: Run, wanted: str | None) -> MetricInfo:
    """The judged metric that is to be reviewed.

    Raises:
        InvalidInput: the run has none, or none of that name, or several to choose from.
    """
    judged = {info.name: info for info in run.header.metrics if info.judge}
    names = ", ".join(judged)
    if not judged:
        raise InvalidInput.single(
            f"run {run.header.id} has no metric that a judge scored: there is nothing to review. "
            "Add `- rubric: FILE` to the set's metrics."
        )
    if wanted is not None and wanted not in judged:
        raise InvalidInput.single(
            f"run {run.header.id} has no judged metric {wanted!r}. {suggest_name(wanted, list(judged))}"
        )
    if wanted is None and len(judged) > 1:
        raise InvalidInput.single(
            f"run {run.header.id} was judged by {len(judged)} rubrics, and one is reviewed at a time. "
            f"Choose it with --metric: {names}."
        )
    return judged[wanted or names]


def open_review(run: Run, info: MetricInfo, project: Project) -> dict[str, RubricScorer]:
    """The rubric that a metric of a stored run stands for, as a scorer for each case it was due on.

    Raises:
        InvalidInput: the set or the rubric is broken, or is not what the run was judged by.
    """
    path = project.root / run.header.evalset_path
    evalset = project.load_valid(path)
    wanted = {
        case.id: spec
        for case in run.header.cases
        for spec in effective_metrics(evalset, case)
        if spec.name == info.name and spec.ref in RUBRIC_REFS
    }
    surroundings = RunEnvironment(
        root=project.root, set_folder=path.resolve().parent, environ=project.environ
    )
    opened = _open_scorers(list(wanted.values()), surroundings)
    scorers = {case_id: opened[spec_digest(spec)] for case_id, spec in wanted.items()}
    # Of a metric that differs from case to case nothing is stored: the cases hold it themselves.
    changed = [each for each in opened.values() if info.digest and each.info.digest != info.digest]
    if changed or not scorers:
        what = changed[0].rubric.path if changed else f"metric {info.name!r} of the set"
        raise InvalidInput.single(
            f"{what} is no longer what run {run.header.id} was judged by, so that a person would be "
            f"asked something else than the judge was. Restore the file, or judge the stored answers "
            f"again and review that run: evalkit score {run.header.id}"
        )
    return scorers


def _open_scorers(specs: list[MetricSpec], surroundings: RunEnvironment) -> dict[str, RubricScorer]:
    # A rubric is opened together with somebody to apply it; here nobody is going to be asked.
    panel = Panel([LexicalJudge()], NoCache(JudgeVote), str, controls=False)
    problems: list[Problem] = []
    opened = {}
    for spec in {spec_digest(spec): spec for spec in specs}.values():
        scorer = open_rubric(spec, surroundings, panel, METRICS, problems)
        if scorer is not None:
            opened[spec_digest(spec)] = scorer
    if problems:
        raise InvalidInput(problems)
    return opened
