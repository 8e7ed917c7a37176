"""Compare the answers of a run with those of its baseline, for the metrics that are pairwise.

Each candidate trial is paired with one baseline trial of the same case, by their order. No trial of either
side is used twice, so that the result of a case is as likely to be a win as a loss if nothing changed.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from evalkit.compare.preferences import digest_answer
from evalkit.core.eval_set import Case
from evalkit.core.run import Run
from evalkit.core.trial import Score, Trial
from evalkit.metrics.pairwise import NOT_YET, PairwiseScorer
from evalkit.runner.records import Plan

NO_BASELINE = "there is no baseline to compare with"


async def compare_answers(run: Run, baseline: Run | None, plan: Plan) -> Run:
    """Return a run with the scores of its pairwise metrics; the same run if there are none.

    A score that compares the same two answers by the same judge is kept.
    """
    if not any(info.is_pairwise for info in plan.metrics):
        return run
    partners = _list_partners(run, baseline)
    slots = asyncio.Semaphore(plan.max_in_flight)
    cases = {case.id: case for case in plan.cases}

    async def compare_trial(trial: Trial) -> Trial:
        scorers = {
            scorer.info.name: scorer
            for scorer in plan.scorers.get(trial.case_id, ())
            if isinstance(scorer, PairwiseScorer)
        }
        if not scorers or trial.output.error is not None:
            return trial
        scores = []
        for score in trial.scores:
            scorer = scorers.get(score.metric)
            if scorer is None:
                scores.append(score)
                continue
            async with slots:
                case = cases[trial.case_id]
                scores.append(await _score_pair(scorer, score, case, trial, partners))
        changed = any(new is not old for new, old in zip(scores, trial.scores, strict=True))
        return replace(trial, scores=tuple(scores)) if changed else trial

    trials = await asyncio.gather(*map(compare_trial, run.trials))
    return replace(run, trials=tuple(trials))


def _list_partners(run: Run, baseline: Run | None) -> Mapping[str, Sequence[Trial]] | None:
    """Return the baseline's trials with an answer, for each case that is the same in both runs."""
    if baseline is None:
        return None
    known = {case.id: case.digest for case in run.header.cases}
    shared = {case.id for case in baseline.header.cases if known.get(case.id) == case.digest}
    found: defaultdict[str, list[Trial]] = defaultdict(list)
    for trial in sorted(baseline.trials, key=lambda trial: trial.number):
        if trial.case_id in shared and trial.output.error is None:
            found[trial.case_id].append(trial)
    return found


async def _score_pair(
    scorer: PairwiseScorer,
    score: Score,
    case: Case,
    trial: Trial,
    partners: Mapping[str, Sequence[Trial]] | None,
) -> Score:
    """Return the score of one pair; the given one if it is that of this pair."""
    if partners is None:
        return _keep_or_skip(scorer, score, NO_BASELINE)
    found = partners.get(case.id, ())
    if not found:
        why = "the baseline has no answer to this case as it is now"
        return _keep_or_skip(scorer, score, why)
    if trial.number >= len(found):
        why = f"the baseline has only {len(found)} answers to this case, each of which is compared once"
        return _keep_or_skip(scorer, score, why)
    base = found[trial.number]
    judged = score.judgement
    if (
        score.state == "scored"
        and judged is not None
        and judged.pair is not None
        and judged.pair.base_answer == digest_answer(base.output)
        and judged.digest in ("", scorer.info.judge_digest)
    ):
        return score
    return await scorer.compare(case, trial.output, base)


def _keep_or_skip(scorer: PairwiseScorer, score: Score, why: str) -> Score:
    is_known = score.state == "skipped" and score.explanation not in ("", NOT_YET)
    return score if is_known and score.explanation == why else scorer.skip(why)
