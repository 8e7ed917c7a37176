"""Answers that people labelled, as questions to a judge: each answer once, with all that was said of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from evalkit.core.judgement import AnchorResult, JudgeVote
from evalkit.core.labels import HumanLabel, find_majority
from evalkit.core.location import Location, Problem
from evalkit.core.rubric import Rubric
from evalkit.judge.empty_answer import build_lowest_vote, find_empty_answer_reason
from evalkit.judge.judge import JudgeRequest
from evalkit.judge.scoring import combine_votes


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelledAnswer:
    """One answer, the labels it got, and what a judge is asked of it."""

    question: JudgeRequest
    labels: tuple[HumanLabel, ...]

    def levels_by_rater(self, criterion: str) -> Mapping[str, str]:
        """By rater, the level of a criterion; the first where somebody met the answer in two cases."""
        found: dict[str, str] = {}
        for label in self.labels:
            if label.criterion == criterion:
                found.setdefault(label.rater, label.level)
        return found

    @property
    def empty_answer_vote(self) -> JudgeVote | None:
        """The verdicts on an answer that says nothing, of which no judge is asked."""
        reason = find_empty_answer_reason(self.question)
        return build_lowest_vote(self.question, reason) if reason else None


def group_labels(rubric: Rubric, labels: Iterable[HumanLabel]) -> tuple[LabelledAnswer, ...]:
    """The distinct answers among labels of a rubric, in their order; all its criteria are asked.

    A judge is shown of each what it is shown of an answer in a run.
    """
    by_item: dict[str, list[HumanLabel]] = {}
    for label in labels:
        by_item.setdefault(label.answer_id, []).append(label)
    return tuple(
        LabelledAnswer(
            question=JudgeRequest(
                criteria=rubric.judged_criteria,
                answer=found[0].answer,
                input=found[0].input,
                reference=found[0].reference if "reference" in rubric.needs else "",
                context=found[0].context if "context" in rubric.needs else "",
                description=rubric.description,
            ),
            labels=tuple(found),
        )
        for found in by_item.values()
    )


def find_missing_fields(rubric: Rubric, labels: Sequence[HumanLabel], path: str) -> list[Problem]:
    """What labels do not tell and the rubric cannot be judged without."""
    problems = []
    for need in rubric.needs:
        lacking = [label for label in labels if not getattr(label, need)]
        if lacking:
            message = (
                f"{len(lacking)} of {len(labels)} labels have no {need}, which the rubric needs, as that "
                f"of the answer {lacking[0].answer[:60]!r}. Add `{need}:`."
            )
            problems.append(Problem(message=message, where=Location(path=path)))
    return problems


def check_anchors(
    metric: str,
    rubric: Rubric,
    anchors: Sequence[LabelledAnswer],
    readings: Sequence[JudgeVote],
) -> AnchorResult:
    """On which anchors a judge agrees with the people; those on which these are divided tell nothing."""
    agreed: dict[str, bool] = {}
    unjudged = 0
    for anchor, reading in zip(anchors, readings, strict=True):
        wanted = {
            label.criterion: (
                label.id,
                find_majority(anchor.levels_by_rater(label.criterion).values()),
            )
            for label in anchor.labels
        }
        told = {name: (key, level) for name, (key, level) in wanted.items() if level is not None}
        if reading.state != "scored":
            unjudged += len(told)
            continue
        levels = {
            verdict.criterion: verdict.level
            for verdict in combine_votes(rubric.judged_criteria, [reading])
        }
        agreed |= {key: levels[name] == level for name, (key, level) in told.items()}
    return AnchorResult(
        metric=metric,
        agreed=dict(sorted(agreed.items())),
        unjudged=unjudged,
        rubric_digest=rubric.digest,
        judge=next((reading.judge for reading in readings if reading.judge), ""),
    )
