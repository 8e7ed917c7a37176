"""Open the rubric that judged a stored run, as the scorers that know what each answer was judged by."""

from __future__ import annotations

from collections.abc import Iterable

from evalkit.core.errors import InvalidInput
from evalkit.core.eval_set import MetricSpec
from evalkit.core.judgement import JudgeVote
from evalkit.core.location import Problem
from evalkit.core.run import MetricInfo, Run, RunEnvironment
from evalkit.evalset.project import Project
from evalkit.judge.lexical import LexicalJudge
from evalkit.judge.panel import Panel
from evalkit.metrics.entry_points import suggest_name
from evalkit.metrics.rubric import RubricScorer
from evalkit.metrics.scorers import spec_digest
from evalkit.metrics.specs import RUBRIC_REFS, open_rubric
from evalkit.runner.case_metrics import effective_metrics
from evalkit.store.cache import NoCache


def choose_metric(run: Run, wanted: str | None) -> MetricInfo:
    """Return the judged metric to review.

    Raises:
        InvalidInput: the run has none, none of that name, or several and none is named.
    """
    # A person reviews the verdicts on one answer, which a pairwise metric does not have.
    judged = {info.name: info for info in run.header.metrics if info.judge and not info.is_pairwise}
    names = ", ".join(judged)
    if not judged:
        raise InvalidInput.single(
            f"run {run.header.id} has no metric that a judge scored, so there is nothing to review. "
            "Add `- rubric: FILE` to the set's metrics."
        )
    if wanted is not None and wanted not in judged:
        raise InvalidInput.single(
            f"run {run.header.id} has no judged metric {wanted!r}. {suggest_name(wanted, list(judged))}"
        )
    if wanted is None and len(judged) > 1:
        raise InvalidInput.single(
            f"run {run.header.id} was judged by {len(judged)} rubrics; review one at a time. "
            f"Choose it with --metric: {names}."
        )
    return judged[wanted or names]


def open_review(run: Run, info: MetricInfo, project: Project) -> dict[str, RubricScorer]:
    """Return the scorer of the metric's rubric by case id, for the cases that the metric applies to.

    Raises:
        InvalidInput: the set or the rubric is invalid, or has changed since the run was judged.
    """
    path = project.root / run.header.evalset_path
    evalset = project.load_valid(path)
    wanted = {
        case.id: spec
        for case in run.header.cases
        for spec in effective_metrics(evalset, case)
        if spec.name == info.name and spec.ref in RUBRIC_REFS
    }
    environment = RunEnvironment(
        root=project.root, set_folder=path.resolve().parent, environ=project.environ
    )
    opened = _open_scorers(wanted.values(), environment)
    scorers = {case_id: opened[spec_digest(spec)] for case_id, spec in wanted.items()}
    # A metric that differs between cases has no digest in the header; its cases are compared instead.
    changed = [each for each in opened.values() if info.digest and each.info.digest != info.digest]
    if changed or not scorers:
        what = changed[0].rubric.path if changed else f"metric {info.name!r} of the set"
        raise InvalidInput.single(
            f"{what} is no longer what run {run.header.id} was judged by, so you would answer "
            f"other questions than the judge did. Restore the file, or judge the stored answers "
            f"again and review that run: evalkit score {run.header.id}"
        )
    return scorers


def _open_scorers(
    specs: Iterable[MetricSpec], environment: RunEnvironment
) -> dict[str, RubricScorer]:
    # A rubric can only be opened with a panel of judges; this one is never asked.
    panel = Panel([LexicalJudge()], NoCache(JudgeVote), str, controls=False)
    problems: list[Problem] = []
    opened = {}
    for spec in {spec_digest(spec): spec for spec in specs}.values():
        scorer = open_rubric(spec, environment, panel, problems)
        if scorer is not None:
            opened[spec_digest(spec)] = scorer
    if problems:
        raise InvalidInput(problems)
    return opened
