"""Rescore stored outputs with the current metrics and judges, without calling the agent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import replace

from evalkit.core.run import MetricInfo, Run
from evalkit.core.trial import Score, Trial
from evalkit.metrics.scorers import Scorer
from evalkit.runner.output_scores import score_output
from evalkit.runner.records import Plan


async def rescore_baseline(baseline: Run, plan: Plan, say: Callable[[str], None]) -> Run:
    """Return the baseline; rescore every metric whose definition or judge has changed.

    Both sides then have the same definitions and the same judge. The baseline's file does not
    change: its outputs are rescored for each run, with verdicts from the cache.
    """
    before = {info.name: info.definition for info in baseline.header.metrics}
    stale = {
        info.name
        for info in plan.metrics
        if before.get(info.name) != info.definition and not info.is_pairwise
    }
    if not stale:
        return baseline
    judged = [info.name for info in plan.metrics if info.name in stale and info.judge]
    if judged:
        say(
            f"{', '.join(judged)}: the baseline was judged differently. "
            f"Judging its {len(baseline.trials):,} outputs again."
        )
    note = (
        f"{', '.join(sorted(stale))}: rescored on the baseline's stored outputs, because "
        f"the definition or the judge has changed since it was recorded."
    )
    rescored = await _rescore_metrics(baseline, plan, stale)
    return replace(rescored, warnings=(*baseline.warnings, note), is_rescored=True)


async def _rescore_metrics(run: Run, plan: Plan, metrics: Set[str]) -> Run:
    """Return a run with these metrics rescored, on the cases that have not changed since.

    The header then has the current definitions of these metrics. Scores of other metrics do not change.
    """
    rescored = await _rescore_stale(run, plan, lambda _: metrics)
    infos = {info.name: info for info in run.header.metrics}
    infos |= {info.name: info for info in list_current_metrics(plan) if info.name in metrics}
    header = replace(run.header, metrics=tuple(infos.values()))
    return await rejudge(replace(rescored, header=header), plan)


async def rejudge(run: Run, plan: Plan) -> Run:
    """Return a run in which the active judge has replaced every verdict of another judge.

    Another judge has voted if the first judge went down, or if the run was resumed with a new judge.
    """
    judged = {info.name: info for info in list_current_metrics(plan) if info.judge}
    if not judged:
        return run
    digest = plan.panel.active_judge.digest

    def stale(trial: Trial) -> Set[str]:
        return {
            score.metric
            for score in trial.scores
            if score.metric in judged
            # Pairs are compared again by `pairs`.
            and not judged[score.metric].is_pairwise
            and score.judgement is not None
            and score.judgement.digest not in ("", digest)
        }

    rejudged = await _rescore_stale(run, plan, stale)
    advisory = {name: bool(info.advisory) for name, info in judged.items()}
    infos = tuple(
        _with_judge(info, judged[info.name]) if info.name in judged else info
        for info in run.header.metrics
    )
    changed = any(
        info.definition != before.definition
        for info, before in zip(infos, run.header.metrics, strict=True)
    )
    return replace(
        rejudged,
        header=replace(run.header, metrics=infos),
        trials=tuple(_with_advisory(trial, advisory) for trial in rejudged.trials),
        fresh=tuple(_with_advisory(trial, advisory) for trial in rejudged.fresh),
        is_rescored=run.is_rescored or changed,
    )


def _with_judge(info: MetricInfo, current: MetricInfo) -> MetricInfo:
    return replace(
        info, judge=current.judge, judge_digest=current.judge_digest, advisory=current.advisory
    )


def _with_advisory(trial: Trial, advisory: Mapping[str, bool]) -> Trial:
    """Return a trial whose scores are advisory if their metrics are; the same object if nothing changes."""
    scores = tuple(
        replace(score, advisory=advisory.get(score.metric, score.advisory))
        for score in trial.scores
    )
    return trial if scores == trial.scores else replace(trial, scores=scores)


def list_current_metrics(plan: Plan) -> tuple[MetricInfo, ...]:
    """Return the metrics of a plan, with the active judge for those that are judged."""
    if not plan.panel.has_judge:
        return plan.metrics
    judge = plan.panel.active_judge
    # Cases share scorers, and `info` of a rubric is computed on each access.
    scorers = {id(each): each for per_case in plan.scorers.values() for each in per_case}
    advisory: dict[str, str] = {}
    for info in (scorer.info for scorer in scorers.values()):
        advisory[info.name] = advisory.get(info.name) or info.advisory
    return tuple(
        replace(
            info,
            judge=judge.name,
            judge_digest=judge.digest,
            advisory=advisory.get(info.name, info.advisory),
        )
        if info.judge
        else info
        for info in plan.metrics
    )


async def _rescore_stale(run: Run, plan: Plan, stale: Callable[[Trial], Set[str]]) -> Run:
    """Return a run in which the metrics that `stale` returns for a trial are rescored."""
    cases = {case.id: case for case in plan.cases}
    unchanged = {
        case.id
        for case in run.header.cases
        if case.id in cases and cases[case.id].digest == case.digest
    }
    slots = asyncio.Semaphore(plan.max_in_flight)

    async def rescore_trial(trial: Trial) -> Trial:
        names = stale(trial)
        if not names or trial.case_id not in unchanged or trial.output.error is not None:
            return trial
        scorers = plan.scorers[trial.case_id]
        wanted = [scorer for scorer in scorers if scorer.info.name in names]
        async with slots:
            new = await score_output(cases[trial.case_id], wanted, trial.output)
        return replace(trial, scores=_merge_scores(trial.scores, new, scorers, names))

    trials = await asyncio.gather(*map(rescore_trial, run.trials))
    fresh = await asyncio.gather(*map(rescore_trial, run.fresh))
    return replace(run, trials=tuple(trials), fresh=tuple(fresh))


def _merge_scores(
    before: Sequence[Score], new: Sequence[Score], scorers: Sequence[Scorer], names: Set[str]
) -> tuple[Score, ...]:
    """Return the scores in the order of the metrics; replace those of `names` by `new`."""
    scores = {score.metric: score for score in before if score.metric not in names}
    scores |= {score.metric: score for score in new}
    order = [scorer.info.name for scorer in scorers if scorer.info.name in scores]
    return tuple(scores[name] for name in dict.fromkeys((*order, *scores)))
