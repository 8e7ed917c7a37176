"""Compare a judge with anchors, which are answers that people labeled."""

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
class LabeledAnswer:
    """One answer, the labels that people gave it, and the request to judge it."""

    request: JudgeRequest
    labels: tuple[HumanLabel, ...]

    def levels_by_rater(self, criterion: str) -> Mapping[str, str]:
        """Return the level of a criterion by rater; the first if a rater labeled the answer twice."""
        found: dict[str, str] = {}
        for label in self.labels:
            if label.criterion == criterion:
                found.setdefault(label.rater, label.level)
        return found

    @property
    def empty_answer_vote(self) -> JudgeVote | None:
        """The vote on an answer that says nothing, which needs no judge; None for any other answer."""
        reason = find_empty_answer_reason(self.request.answer, self.request.reference)
        return build_lowest_vote(self.request.criteria, reason) if reason else None


def group_labels(rubric: Rubric, labels: Iterable[HumanLabel]) -> tuple[LabeledAnswer, ...]:
    """Return the distinct answers among the labels of a rubric, in order, with their labels."""
    by_answer: dict[str, list[HumanLabel]] = {}
    for label in labels:
        by_answer.setdefault(label.answer_id, []).append(label)
    return tuple(
        LabeledAnswer(request=JudgeRequest.of(rubric, found[0]), labels=tuple(found))
        for found in by_answer.values()
    )


def find_missing_fields(rubric: Rubric, labels: Sequence[HumanLabel], path: str) -> list[Problem]:
    """Return a problem for each field that the rubric needs and some labels lack."""
    problems = []
    for need in rubric.needs:
        incomplete = [label for label in labels if not getattr(label, need)]
        if incomplete:
            message = (
                f"{len(incomplete)} of {len(labels)} labels have no {need}, which the rubric needs. The "
                f"first is the label of {incomplete[0].answer[:60]!r}. Add `{need}:`."
            )
            problems.append(Problem(message=message, where=Location(path=path)))
    return problems


def check_anchors(
    metric: str, rubric: Rubric, anchors: Sequence[LabeledAnswer], votes: Sequence[JudgeVote]
) -> AnchorResult:
    """Return on which anchors a judge agrees with the majority of the raters.

    An anchor on which the raters have no majority is left out.
    """
    agreed: dict[str, bool] = {}
    unjudged = 0
    for anchor, vote in zip(anchors, votes, strict=True):
        # By criterion, because every rater's label of it has the same id.
        wanted = {label.criterion: label.id for label in anchor.labels}
        majority = {
            criterion: level
            for criterion in wanted
            if (level := find_majority(anchor.levels_by_rater(criterion).values())) is not None
        }
        if vote.state != "scored":
            unjudged += len(majority)
            continue
        verdicts = combine_votes(rubric.judged_criteria, [vote])
        levels = {verdict.criterion: verdict.level for verdict in verdicts}
        agreed |= {wanted[name]: levels[name] == level for name, level in majority.items()}
    return AnchorResult(
        metric=metric,
        agreed=dict(sorted(agreed.items())),
        unjudged=unjudged,
        rubric_digest=rubric.digest,
        judge=next((vote.judge for vote in votes if vote.judge), ""),
    )
