"""Stored outputs scored again by today's metrics: no agent is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence, Set
from dataclasses import replace

from evalkit.metrics import Scorer
from evalkit.plan import Plan
from evalkit.records import Run, Score, Trial
from evalkit.runner import score_output


async def bring_up_to_date(baseline: Run, plan: Plan, say: Callable[[str], None]) -> Run:
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
    scored_again = await rescore(baseline, plan, stale)
    note = (
        f"{', '.join(sorted(stale))}: scored again on the baseline's stored outputs, because of another "
        f"definition or judge than when it was recorded."
    )
    return replace(scored_again, warnings=(*baseline.warnings, note))


async def rescore(run: Run, plan: Plan, metrics: Set[str]) -> Run:
    """A run with these metrics scored again, on the cases that are today what they were then.

    Its header says how the metrics are defined today; scores of other metrics stay as they are.
    """
    infos = {info.name: info for info in plan.metrics if info.name in metrics}
    kept = {info.name: info for info in run.header.metrics}
    today = {case.id: case for case in plan.evalset.cases}
    same = {
        case.id
        for case in run.header.cases
        if case.id in today and today[case.id].digest == case.digest
    }
    room = asyncio.Semaphore(2 * plan.settings.concurrency)

    async def again(trial: Trial) -> Trial:
        if trial.case_id not in same or trial.output.error is not None:
            return trial
        async with room:
            return await rescore_trial(trial, plan, metrics)

    trials = await asyncio.gather(*(again(trial) for trial in run.trials))
    header = replace(run.header, metrics=tuple({**kept, **infos}.values()))
    return replace(run, header=header, trials=tuple(trials))


async def rescore_trial(trial: Trial, plan: Plan, metrics: Set[str]) -> Trial:
    """A trial with these metrics scored again, in the order of today's metrics."""
    case = next(case for case in plan.evalset.cases if case.id == trial.case_id)
    scorers = [scorer for scorer in plan.scorers[case.id] if scorer.info.name in metrics]
    fresh = await score_output(case, scorers, trial.output)
    return replace(trial, scores=merge_scores(trial.scores, fresh, plan.scorers[case.id], metrics))


def merge_scores(
    before: Sequence[Score], fresh: Sequence[Score], scorers: Sequence[Scorer], metrics: Set[str]
) -> tuple[Score, ...]:
    """Scores of which some were made again: those replace the old ones, and stand where they belong."""
    scores: dict[str, Score] = {
        score.metric: score for score in before if score.metric not in metrics
    }
    scores |= {score.metric: score for score in fresh}
    order = [scorer.info.name for scorer in scorers if scorer.info.name in scores]
    return tuple(scores[name] for name in dict.fromkeys((*order, *scores)))
