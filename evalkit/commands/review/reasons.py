"""Find the answers of a judged run that a person can label, each with the reasons to label it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from dataclasses import replace

from evalkit.commands.review.records import REVIEW_REASONS, JudgedAnswer, ReviewReason
from evalkit.compare.pairs import pair_scores
from evalkit.compare.scores import build_score_table, mean
from evalkit.core.errors import NotComparable
from evalkit.core.rubric import Rubric
from evalkit.core.run import Run
from evalkit.core.trial import Score
from evalkit.metrics.rubric import RubricScorer

NEAR_PASS_MARK = 0.25
"""The largest distance of a near score from the pass mark: one of four equal criteria."""


def find_answers(
    run: Run,
    metric: str,
    scorers: Mapping[str, RubricScorer],
    baseline: Run | None,
    suspects: Set[str] = frozenset(),
) -> tuple[JudgedAnswer, ...]:
    """Return the different answers of every case that the metric applies to, in the order of the run.

    `scorers` has the metric's scorer by case id, and `suspects` the cases whose label is probably wrong.
    An answer that lacks what the judge would need, such as
    a reference, is left out.
    """
    failing = find_new_failures(run, metric, baseline)
    cases = {case.id: case for case in run.header.cases}
    found: dict[tuple[str, str], JudgedAnswer] = {}
    for trial in run.trials:
        score = next((each for each in trial.scores if each.metric == metric), None)
        scorer = scorers.get(trial.case_id)
        if score is None or scorer is None or trial.output.error is not None:
            continue
        question, missing = scorer.build_request(cases[trial.case_id], trial.output)
        if missing:
            continue
        answer = JudgedAnswer(
            case=trial.case_id,
            trials=(trial.number,),
            question=question,
            score=score,
            rubric=scorer.rubric,
            reasons=(
                *(("suspect_label",) if trial.case_id in suspects else ()),
                *find_reasons(score, scorer.rubric, trial.case_id in failing),
            ),
        )
        known = found.setdefault((answer.case, answer.item_digest), answer)
        if known is not answer:
            reasons = {*known.reasons, *answer.reasons}
            found[answer.case, answer.item_digest] = replace(
                known,
                trials=(*known.trials, trial.number),
                reasons=tuple(each for each in REVIEW_REASONS if each in reasons),
            )
    return tuple(found.values())


def find_new_failures(run: Run, metric: str, baseline: Run | None) -> Set[str]:
    """Return the ids of the cases that mostly passed in the baseline and do not now."""
    if baseline is None:
        return frozenset()
    try:
        pairs = pair_scores(build_score_table(baseline), build_score_table(run), metric, flags=True)
    except NotComparable:
        return frozenset()
    # The majority of the trials decides: one failure of a flaky case is not a new failure.
    rows = zip(pairs.cases, pairs.base, pairs.candidate, strict=True)
    return {case.id for case, base, now in rows if mean(base) > 0.5 >= mean(now)}


def find_reasons(score: Score, rubric: Rubric, newly_fails: bool) -> Iterator[ReviewReason]:
    """Yield the reasons to label an answer with this score.

    A judge is unsure if its votes differ, if it misquotes the answer, or if it gave no verdict.
    """
    if newly_fails and score.passed is False:
        yield "new_failure"
    judgement = score.judgement
    is_doubtful = judgement is not None and (
        judgement.is_split or not all(verdict.is_quote for verdict in judgement.verdicts)
    )
    if is_doubtful or score.state == "unscored":
        yield "unsure"
    # 0 and 1 are clear verdicts, even where the pass mark is near them.
    is_between = score.is_usable and score.value is not None and 0 < score.value < 1
    if is_between and abs((score.value or 0) - rubric.pass_at) <= NEAR_PASS_MARK:
        yield "near_mark"
