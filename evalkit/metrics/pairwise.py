"""Compare an answer with the baseline's answer to the same case: win, tie, or loss, by a rubric.

A trial has no such score until its answer can be compared, after all trials of a stage. `runner.pairs` then
calls `PairwiseScorer.compare`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from evalkit.compare.preferences import digest_answer
from evalkit.core.eval_set import Case
from evalkit.core.judgement import JudgeVote, PairResult
from evalkit.core.run import MetricInfo
from evalkit.core.serialization import digest
from evalkit.core.trial import Output, Score, Trial
from evalkit.judge.empty_answer import find_empty_answer_reason
from evalkit.judge.judge import JudgeRequest, OtherAnswer
from evalkit.judge.pairs import VALUES, PairVerdict, combine_orders, settle_pair
from evalkit.judge.scoring import build_judgement, combine_votes
from evalkit.metrics.rubric import RubricArguments, RubricScorer
from evalkit.metrics.scorers import Scorer, finalize_score

PAIRWISE = "pairwise"

NOT_YET = "not compared with a baseline"
"""The explanation of the score of a trial before its answer is compared."""


@dataclass(frozen=True, kw_only=True)
class PairwiseArguments(RubricArguments):
    """Whether an answer is better than the baseline's, by the criteria of a rubric; a bare value is `file`.

    Args:
        of: the part of the output to compare: `text`, `data`, or a dotted path into `data`.
        context: what the answers must be based on, as a path such as `case.metadata.context`.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.of.partition(".")[0] not in ("text", "data"):
            raise ValueError(
                f"of: {self.of!r} cannot be compared with a baseline. Compare text, data, or a part of "
                "data."
            )
        if not self.context.startswith("case."):
            raise ValueError(
                f"context: {self.context!r} differs between the two answers. Name a part of the case, "
                "as in case.metadata.context."
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class PairwiseScorer(Scorer):
    """A rubric by which the answers of a run are compared with those of its baseline.

    `single` is the rubric's own scorer, which knows what a judge sees of a case.
    """

    single: RubricScorer

    @property
    def info(self) -> MetricInfo:
        """What a run stores about the metric; no baseline has scores of it."""
        required = self.single.rubric.require_calibration is not None
        return replace(
            self.single.info,
            higher_is_better=True,
            digest=digest([PAIRWISE, self.single.info.digest]),
            is_pairwise=True,
            advisory="the rubric requires a calibrated judge, and no calibration covers comparisons"
            if required
            else "",
        )

    @property
    def is_measurement(self) -> bool:
        """True: a trial neither passes nor fails by a comparison; the thresholds decide."""
        return True

    @property
    def needs(self) -> str:
        """What the rubric needs, and where to look for it."""
        return self.single.needs

    def applies_to(self, case: Case) -> bool:
        """Return whether the case has what the rubric needs."""
        return self.single.applies_to(case)

    def problem_with(self, case: Case) -> str | None:
        """Return why the label has no reference, or None."""
        return self.single.problem_with(case)

    async def score(self, case: Case, output: Output) -> Score:  # noqa: ARG002 - the baseline is not known yet
        """Return that the answer is not compared yet."""
        return self.skip(NOT_YET)

    def skip(self, why: str) -> Score:
        """Return the score of an answer that has no answer to be compared with."""
        return Score(metric=self.info.name, state="skipped", explanation=why)

    async def compare(self, case: Case, output: Output, base: Trial) -> Score:
        """Have the judges compare an output with that of a trial of the baseline, in both orders."""
        found, votes, problem = await self._compare(case, output, base.output)
        advisory = bool(self.info.advisory)
        if found is None:
            state = problem.state if isinstance(problem, JudgeVote) else "unscored"
            why = problem.problem if isinstance(problem, JudgeVote) else problem
            return Score(
                metric=self.info.name,
                state=state,
                explanation=why,
                judgement=build_judgement((), votes) if votes else None,
                advisory=advisory,
            )
        pair = PairResult(
            preference=found.preference,
            base_trial=base.number,
            base_answer=digest_answer(base.output),
            flipped=found.flipped,
            was_judged=bool(votes),
        )
        judgement = replace(
            build_judgement(found.verdicts, votes),
            jurors=tuple(juror for vote in votes for juror in vote.jurors),
            pair=pair,
        )
        explanation = _explain(found, base.number)
        score = finalize_score(
            Score(value=VALUES[found.preference], explanation=explanation), self.info
        )
        return replace(score, judgement=judgement, advisory=advisory)

    async def _compare(
        self, case: Case, output: Output, base: Output
    ) -> tuple[PairVerdict | None, Sequence[JudgeVote], str | JudgeVote]:
        """Return the result with the votes, or the reason why there is none."""
        ours, missing = self.single.build_request(case, output)
        other, missing_in_other = self.single.build_request(case, base)
        if missing or missing_in_other:
            return None, (), missing or missing_in_other
        if settled := self._settle(ours, other):
            return settled, (), ""
        orders = await asyncio.gather(
            *(
                self.single.panel.collect_votes(self.info.name, request)
                for request in (self._pair(ours, other), self._pair(other, ours))
            )
        )
        votes = [vote for order in orders for vote in order]
        failed = next((vote for vote in votes if vote.state != "scored"), None)
        if failed is not None:
            return None, votes, failed
        first, second = (combine_votes(ours.criteria, order) for order in orders)
        return combine_orders(ours.criteria, first, second), votes, ""

    def _settle(self, ours: JudgeRequest, other: JudgeRequest) -> PairVerdict | None:
        """Return the result that is known without a judge: of equal answers, and of empty ones."""
        criteria = ours.criteria
        if ours.answer == other.answer:
            return settle_pair(criteria, "tie", "both answers are the same")
        if not self.single.rubric.higher_is_better:
            return None
        empty, other_empty = (
            find_empty_answer_reason(each.answer, each.reference) for each in (ours, other)
        )
        if empty and other_empty:
            return settle_pair(criteria, "tie", "both answers are empty")
        if empty:
            return settle_pair(criteria, "loss", empty)
        return settle_pair(criteria, "win", f"baseline: {other_empty}") if other_empty else None

    def _pair(self, first: JudgeRequest, second: JudgeRequest) -> JudgeRequest:
        higher = self.single.rubric.higher_is_better
        return replace(first, other=OtherAnswer(text=second.answer, higher_is_better=higher))


def _explain(found: PairVerdict, base_trial: int) -> str:
    levels = "; ".join(f"{verdict.criterion}: {verdict.level}" for verdict in found.verdicts)
    flip = (
        f", the answer shown {found.flipped} was preferred in both orders" if found.flipped else ""
    )
    reasons = [each.explanation for each in found.verdicts if each.explanation]
    about = f"{found.preference} against trial {base_trial + 1} of the baseline{flip} ({levels})"
    return ". ".join([about, *reasons[:2]])
