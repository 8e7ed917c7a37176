"""`evalkit traffic estimate`: from a judged sample to the mean of all traffic, with an interval."""

from __future__ import annotations

from collections.abc import Sequence

from evalkit.commands.human_mean import collect_labeled_scores
from evalkit.commands.labeled_answers import open_run_rubrics
from evalkit.compare.scores import mean
from evalkit.core.context import Context
from evalkit.core.errors import InvalidInput, Undecidable
from evalkit.core.files import path_exists
from evalkit.core.labels import labels_path
from evalkit.core.location import Problem
from evalkit.core.run import Run
from evalkit.evalset.labels import load_labels
from evalkit.evalset.project import Project
from evalkit.gate.judge_trust import explain_controls
from evalkit.store.refs import resolve_run
from evalkit.traffic.estimate_text import TrafficEstimate
from evalkit.traffic.sample_cases import CASE
from evalkit.traffic.sample_estimate import HumanScores, estimate_means
from evalkit.traffic.sample_table import StoredRequest, load_sample
from evalkit.traffic.sampling import RANDOM
from evalkit.traffic.table import traffic_folder


def estimate_traffic(ref: str, context: Context) -> TrafficEstimate:
    """Return the estimated mean of each metric of a judged sample.

    Raises:
        InvalidInput: the run is of no judged sample, or lacks requests of it.
        Undecidable: the run is not finished, its judge is not trusted, or nothing has a score.
    """
    project = Project.open(context)
    run = resolve_run(ref, root=project.root, cwd=context.cwd)
    name, sample = _find_sample(run)
    stored = load_sample(traffic_folder(project.root, name), sample, "judge")
    if not stored:
        raise InvalidInput.single(
            f"sample {sample} is not stored in traffic {name!r}. Draw it again: evalkit traffic sample {name}"
        )
    _refuse_partial(run, stored)
    if problem := explain_controls(run):
        raise Undecidable(problem)
    means = estimate_means(run, stored, _collect_human_scores(run, project))
    if not means:
        raise Undecidable(f"run {run.header.id} has no score between 0 and 1 to estimate with.")
    strata = sorted({each.stratum for each in stored})
    answered = "Answered requests"
    covers_all = f'as "{RANDOM}"' in stored[0].frame_query
    return TrafficEstimate(
        run=run.header.id,
        traffic=name,
        sample=sample,
        scope=(
            f"{answered} of {name}"
            if covers_all
            else f"{answered} of {name} that are {' or '.join(strata)} (the sample has no others)"
        ),
        requests=len(stored),
        judged=len(run.header.cases),
        means=means,
    )


def _collect_human_scores(run: Run, project: Project) -> HumanScores:
    """Return the mean label of each answer that a review of this run drew at random.

    Raises:
        InvalidInput: the labels file, or the set, is not valid.
    """
    evalset = project.root / run.header.evalset_path
    path = labels_path(evalset, run.header.evalset)
    if not path_exists(path):
        return {}
    problems: list[Problem] = []
    scorers = open_run_rubrics(run, evalset, project, problems)
    rubrics = {each.rubric.name: each.rubric for row in scorers.values() for each in row.values()}
    labels, found = load_labels(path, list(rubrics.values()))
    if problems := [*problems, *found]:
        raise InvalidInput(problems)
    return {
        metric: {
            case: mean(values)
            for case, values in collect_labeled_scores(run, metric, row, labels).human.items()
        }
        for metric, row in scorers.items()
    }


def _find_sample(run: Run) -> tuple[str, str]:
    """Return the traffic and the sample that all cases of a run are from.

    Raises:
        InvalidInput: they are not from one sample.
    """
    found = {
        (str(case.provenance.get("traffic")), str(case.provenance.get("sample")))
        for case in run.header.cases
        if case.provenance.get("sample")
    }
    if len(found) != 1 or run.header.agent_kind != "recorded":
        raise InvalidInput.single(
            f"run {run.header.id} is not of recorded answers of one sample. Draw one, and run its set: "
            "evalkit traffic sample NAME --judge helpfulness"
        )
    return found.pop()


def _refuse_partial(run: Run, stored: Sequence[StoredRequest]) -> None:
    """Refuse a run without some of the answers, such as one of some tags.

    Raises:
        InvalidInput: answers are missing.
        Undecidable: the run is not finished.
    """
    present = {str(case.provenance.get("request")) for case in run.header.cases}
    missing = sum(each.verdict == CASE and each.request_id not in present for each in stored)
    if missing:
        raise InvalidInput.single(
            f"run {run.header.id} lacks {missing:,} answers of its sample, so that its other answers are no "
            "random sample. Run the whole set."
        )
    if not run.finished:
        raise Undecidable(f"run {run.header.id} is not finished. Continue it with --resume.")
