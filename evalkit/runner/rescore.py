"""Stored outputs scored again by today's metrics and judges: no agent is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import replace

from evalkit.core.run import MetricInfo, Run
from evalkit.core.trial import Score, Trial
from evalkit.metrics.scorers import Scorer
from evalkit.runner.plan import Plan
from evalkit.runner.scheduler import score_output


async def rescore_baseline(baseline: Run, plan: Plan, say: Callable[[str], None]) -> Run:
    """The baseline with every metric scored again that was defined, or judged, otherwise.

    So both sides always share one definition and one judge. The file stays as it is: the stored outputs
    are scored again whenever it is needed, and verdicts that were given before are kept.
    """
    before = {info.name: info.definition for info in baseline.header.metrics}
    stale = {info.name for info in plan.metrics if before.get(info.name) != info.definition}
    if not stale:
        return baseline
    judged = [info.name for info in plan.metrics if info.name in stale and info.judge]
    if judged:
        say(
            f"{', '.join(judged)}: not judged like this in the baseline, whose "
            f"{len(baseline.trials):,} outputs are judged again."
        )
    note = (
        f"{', '.join(sorted(stale))}: scored again on the baseline's stored outputs, because of another "
        f"definition or judge than when it was recorded."
    )
    scored_again = await rescore(baseline, plan, stale)
    return replace(scored_again, warnings=(*baseline.warnings, note), is_rescored=True)


async def rescore(run: Run, plan: Plan, metrics: Set[str]) -> Run:
    """A run with these metrics scored again, on the cases that are today what they were then.

    Its header says how the metrics are defined today; scores of other metrics stay as they are.
    """
    scored_again = await _rescore_stale(run, plan, lambda _: metrics)
    kept = {info.name: info for info in run.header.metrics}
    today = {info.name: info for info in list_current_metrics(plan) if info.name in metrics}
    header = replace(run.header, metrics=tuple({**kept, **today}.values()))
    return await rejudge(replace(scored_again, header=header), plan)


async def rejudge(run: Run, plan: Plan) -> Run:
    """A run with every verdict that another judge gave than the one who serves now given by that one.

    The first judge may have gone down meanwhile, or have been another when the run was begun.
    """
    judged = {info.name: info for info in list_current_metrics(plan) if info.judge}
    if not judged:
        return run
    serving = plan.panel.active_judge
    advisory = {name: info.advisory for name, info in judged.items()}

    def stale(trial: Trial) -> Set[str]:
        return {
            score.metric
            for score in trial.scores
            if score.metric in judged
            and score.judgement is not None
            and score.judgement.digest not in ("", serving.digest)
        }

    settled = await _rescore_stale(run, plan, stale)
    infos = (
        replace(
            info,
            judge=serving.name,
            judge_digest=serving.digest,
            advisory=advisory[info.name],
        )
        if info.name in judged
        else info
        for info in run.header.metrics
    )
    header = replace(run.header, metrics=tuple(infos))
    before = [info.definition for info in run.header.metrics]
    return replace(
        settled,
        header=header,
        trials=tuple(_with_advisory(trial, advisory) for trial in settled.trials),
        fresh=tuple(_with_advisory(trial, advisory) for trial in settled.fresh),
        is_rescored=run.is_rescored or before != [info.definition for info in header.metrics],
    )


def _with_advisory(trial: Trial, advisory: Mapping[str, str]) -> Trial:
    """A trial whose scores decide something or nothing as their judge does today; itself if they do."""
    scores = tuple(
        replace(score, advisory=bool(advisory[score.metric]))
        if score.metric in advisory and score.advisory != bool(advisory[score.metric])
        else score
        for score in trial.scores
    )
    return trial if scores == trial.scores else replace(trial, scores=scores)


def list_current_metrics(plan: Plan) -> tuple[MetricInfo, ...]:
    """The metrics of a plan, by the judge who serves now."""
    if not plan.panel.has_judge:
        return plan.metrics
    judge = plan.panel.active_judge
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
    """A run with, of each trial, the scores made again that `stale` names."""
    cases = {case.id: case for case in plan.cases}
    same = {
        case.id
        for case in run.header.cases
        if case.id in cases and cases[case.id].digest == case.digest
    }
    room = asyncio.Semaphore(plan.max_in_flight)

    async def again(trial: Trial) -> Trial:
        names = stale(trial)
        if not names or trial.case_id not in same or trial.output.error is not None:
            return trial
        scorers = plan.scorers[trial.case_id]
        wanted = [scorer for scorer in scorers if scorer.info.name in names]
        async with room:
            fresh = await score_output(cases[trial.case_id], wanted, trial.output)
        return replace(trial, scores=_merge_scores(trial.scores, fresh, scorers, names))

    trials = await asyncio.gather(*map(again, run.trials))
    fresh = await asyncio.gather(*map(again, run.fresh))
    return replace(run, trials=tuple(trials), fresh=tuple(fresh))


def _merge_scores(
    before: Sequence[Score], fresh: Sequence[Score], scorers: Sequence[Scorer], names: Set[str]
) -> tuple[Score, ...]:
    """Scores of which some were made again: those replace the old ones, each in its metric's place."""
    scores = {score.metric: score for score in before if score.metric not in names}
    scores |= {score.metric: score for score in fresh}
    order = [scorer.info.name for scorer in scorers if scorer.info.name in scores]
    return tuple(scores[name] for name in dict.fromkeys((*order, *scores)))
