"""A judged run into the answers a person can review, each with what speaks for looking at it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from evalkit.compare.pairs import pair_scores
from evalkit.compare.scores import build_score_table, is_usable, mean
from evalkit.core.errors import NotComparable
from evalkit.core.rubric import Rubric
from evalkit.core.run import Run
from evalkit.core.serialization import digest
from evalkit.core.trial import Score
from evalkit.judge.judge import JudgeRequest
from evalkit.metrics.rubric import RubricScorer

ReviewReason: TypeAlias = Literal["new_failure", "unsure", "near_mark"]

REVIEW_REASONS: dict[ReviewReason, str] = {
    "new_failure": "passed in the baseline, fails now",
    "unsure": "the judge was unsure",
    "near_mark": "its score is near the pass mark",
}
"""What speaks for looking at an answer, the most telling first."""

NEAR_PASS_MARK = 0.25
"""As far from the pass mark a score that is neither 0 nor 1 is near it: of four equal criteria, one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class JudgedAnswer:
    """One answer that a rubric was applied to; several trials of the case may have given it.

    `question` is what the judge was asked about it; `score` is of the first of the `trials`.
    """

    case: str
    trials: tuple[int, ...]
    question: JudgeRequest
    score: Score
    rubric: Rubric
    reasons: tuple[ReviewReason, ...] = ()

    @property
    def item_digest(self) -> str:
        """Tells the answer, with what it answers, from others, as labels do."""
        asked = self.question
        return digest([asked.answer, asked.input, asked.reference, asked.context])


def find_answers(
    run: Run, metric: str, scorers: Mapping[str, RubricScorer], baseline: Run | None
) -> tuple[JudgedAnswer, ...]:
    """The different answers of every case that the metric was due on, in the order of the run.

    `scorers` are the metric's by case. An answer that there is no question about, because what it would
    be judged by is missing, is left out.
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
            reasons=tuple(find_reasons(score, scorer.rubric, trial.case_id in failing)),
        )
        key = answer.case, answer.item_digest
        known = found.get(key)
        if known is not None:
            whys = tuple(why for why in REVIEW_REASONS if why in (*known.reasons, *answer.reasons))
            answer = replace(known, trials=(*known.trials, trial.number), reasons=whys)
        found[key] = answer
    return tuple(found.values())


def find_new_failures(run: Run, metric: str, baseline: Run | None) -> Set[str]:
    """The cases that mostly passed by the metric in the baseline and do not now."""
    if baseline is None:
        return frozenset()
    try:
        pairs = pair_scores(build_score_table(baseline), build_score_table(run), metric, flags=True)
    except NotComparable:
        return frozenset()
    rows = zip(pairs.cases, pairs.base, pairs.candidate, strict=True)
    return {case.id for case, base, now in rows if mean(base) > 0.5 >= mean(now)}


def find_reasons(score: Score, rubric: Rubric, newly_fails: bool) -> Iterator[ReviewReason]:
    """What speaks for looking at an answer with this score."""
    if newly_fails and score.passed is False:
        yield "new_failure"
    if is_judge_unsure(score):
        yield "unsure"
    if (
        is_usable(score)
        and score.value is not None
        and 0 < score.value < 1
        and abs(score.value - rubric.pass_at) <= NEAR_PASS_MARK
    ):
        yield "near_mark"


def is_judge_unsure(score: Score) -> bool:
    """Whether the judge contradicted itself, quoted what is not there, or came to no verdict."""
    said = score.judgement
    if score.state == "unscored":
        return True
    return said is not None and (
        said.is_split or any(not verdict.is_quote for verdict in said.verdicts)
    )
