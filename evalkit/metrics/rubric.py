"""Score one output by a rubric: its checks, the rule for empty answers, and the votes of a judge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

import msgspec

from evalkit.core.calibration import Calibration
from evalkit.core.eval_set import Case, MetricSpec
from evalkit.core.judgement import CriterionVerdict, JudgeVote
from evalkit.core.literals import Json
from evalkit.core.rubric import Rubric, RubricInput
from evalkit.core.run import MetricInfo
from evalkit.core.serialization import canonical_json, digest
from evalkit.core.trial import Output, Score
from evalkit.core.values import ABSENT, find_value
from evalkit.evalset.calibrations import explain_advisory
from evalkit.judge.empty_answer import build_lowest_vote, find_empty_answer_reason
from evalkit.judge.judge import JudgeRequest
from evalkit.judge.judge_panel import JudgePanel
from evalkit.judge.scoring import build_judgement, combine_votes, score_verdicts
from evalkit.metrics.builtin import BuiltIn, check_output_path, text_of
from evalkit.metrics.scorers import Scorer, finalize_score, metric_error

RUBRIC = "rubric"

CASE_PARTS = ("metadata", "expected", "input")

ANSWER = "answer"
"""The key of the reference in a label that is a mapping, unless `reference` names another key."""


@dataclass(frozen=True, kw_only=True)
class RubricArguments(BuiltIn):
    """The arguments of `rubric:` in an eval set; a bare value is `file`.

    Args:
        file: the rubric.
        of: the part of the output to judge, as a dotted path.
        reference: the reference, as a dotted path into `expected`; empty means `answer` if `expected`
            is a mapping, else all of it.
        context: what the answer must be based on, as a path such as `case.metadata.context` or
            `output.data.articles`.
    """

    shorthand: ClassVar[str] = "file"

    file: Path
    of: str = "text"
    reference: str = ""
    context: str = "case.metadata.context"

    def __post_init__(self) -> None:
        check_output_path("of", self.of)
        side, _, path = self.context.partition(".")
        if side not in ("case", "output") or not path:
            raise ValueError(
                f"context: {self.context!r} must begin with case. or output., "
                "as in case.metadata.context or output.data.articles."
            )
        if side == "output":
            check_output_path("context", path)
        elif path.partition(".")[0] not in CASE_PARTS:
            raise ValueError(
                f"context: a case has no {path.partition('.')[0]!r} to judge by. It has "
                f"{', '.join(CASE_PARTS)}."
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class RubricScorer(Scorer):
    """One rubric of a run, and where its inputs are in the case and the output.

    `shown_needs` is what a judge sees of a case in addition to its input: what the rubric needs, or
    everything for a case's own criteria. `calibrations` are the stored agreements of judges
    with people, if the rubric requires one.
    """

    spec: MetricSpec
    rubric: Rubric
    panel: JudgePanel
    arguments: RubricArguments
    checks: Mapping[str, Scorer] = field(default_factory=dict)
    shown_needs: tuple[RubricInput, ...] = ()
    calibrations: tuple[Calibration, ...] = ()

    @property
    def info(self) -> MetricInfo:
        """What a run stores; scores are comparable only if the rubric and the judge are the same."""
        checked = [(name, scorer.info.digest) for name, scorer in self.checks.items()]
        where = self.arguments
        info = MetricInfo(
            name=self.spec.name,
            higher_is_better=self.rubric.higher_is_better,
            digest=digest(
                ["rubric", self.rubric.digest, checked, [where.of, where.reference, where.context]]
            ),
        )
        if not self.rubric.judged_criteria:
            return info
        # Not cached, because another judge takes over when one is down.
        judge = self.panel.active_judge
        return replace(
            info,
            judge=judge.name,
            judge_digest=judge.digest,
            advisory=explain_advisory(self.rubric, judge.digest, self.calibrations),
        )

    @property
    def judges_answers(self) -> bool:
        """Whether the rubric judges by the case's label or criteria, and not by the same words for all."""
        is_own = self.spec.ref != RUBRIC
        return is_own or "reference" in self.rubric.needs or bool(self.checks)

    @property
    def needs(self) -> str:
        """What the rubric needs, and where to look for it."""
        reference = self.arguments.reference
        label = f"expected.{reference}" if reference else "expected"
        locations = {
            "reference": f"a reference, looked for in `{label}`",
            "context": f"a context, looked for in `{self.arguments.context}`",
        }
        needed = " and ".join(locations[need] for need in self.rubric.needs)
        return f"{needed or 'one of its tags'}. Say where it is, or look at its `tags:`."

    def applies_to(self, case: Case) -> bool:
        """Return whether the case has what the rubric needs."""
        if self._lacks_reference(case):
            # A mapping may hold the reference; `problem_with` asks which part it is.
            is_mapping = isinstance(case.expected, Mapping) and bool(case.expected)
            return is_mapping and not self.arguments.reference
        if "context" not in self.rubric.needs or self.arguments.context.startswith("output."):
            return True
        return bool(self._find_context(case, None))

    def problem_with(self, case: Case) -> str | None:
        """Return why the label has no reference, or why a check cannot use it."""
        if self._lacks_reference(case):
            return (
                "expected is a mapping without `answer`, but the rubric needs a reference. Name the "
                "part to use, as in {rubric: {file: ..., reference: summary}}."
            )
        refs = {each.name: each.check.ref for each in self.rubric.criteria if each.check}
        for name, scorer in self.checks.items():
            if not scorer.applies_to(case):
                return f"criterion {name!r}: its check {refs[name]} needs a label in `expected:`."
            if problem := scorer.problem_with(case):
                return f"criterion {name!r}: {problem}"
        return None

    async def score(self, case: Case, output: Output) -> Score:
        """Judge the output; a failure of the judge becomes the state of the score."""
        score = await self._score(case, output)
        return replace(score, advisory=True) if self.info.advisory else score

    async def _score(self, case: Case, output: Output) -> Score:
        request, missing = self.build_request(case, output)
        if missing:
            return Score(metric=self.spec.name, state="unscored", explanation=missing)
        # Checks come first: if one has no score, the judge is not called.
        found: dict[str, CriterionVerdict] = {}
        for name, scorer in self.checks.items():
            score = await scorer.score(case, output)
            if score.value is None:
                return metric_error(
                    self.info, f"check of {name!r}: {score.explanation or score.state}"
                )
            found[name] = _check_verdict(name, score)
        votes = await self._judge(request)
        failed = next((vote for vote in votes if vote.state != "scored"), None)
        if failed is not None:
            return Score(
                metric=self.spec.name,
                state=failed.state,
                explanation=failed.problem,
                judgement=build_judgement((), votes),
            )
        found |= {verdict.criterion: verdict for verdict in combine_votes(request.criteria, votes)}
        verdicts = [found[criterion.name] for criterion in self.rubric.criteria]
        score = finalize_score(score_verdicts(self.rubric, verdicts), self.info)
        return replace(score, judgement=build_judgement(verdicts, votes))

    async def _judge(self, request: JudgeRequest) -> tuple[JudgeVote, ...]:
        if not request.criteria:
            return ()
        # The verdict on an empty answer is known without a paid call.
        if reason := find_empty_answer_reason(request.answer, request.reference):
            return (build_lowest_vote(request.criteria, reason),)
        return await self.panel.collect_votes(self.spec.name, request)

    def build_request(self, case: Case, output: Output) -> tuple[JudgeRequest, str]:
        """Return the request to a judge, and why it cannot be judged; the reason is empty if it can."""
        context = self._find_context(case, output)
        if "context" in self.rubric.needs and not context:
            return JudgeRequest(
                criteria=(), answer=""
            ), f"there is no {self.arguments.context} to judge by"
        request = JudgeRequest(
            criteria=self.rubric.judged_criteria,
            answer=_as_text(find_value(output, self.arguments.of)),
            input=input_of(case),
            reference=self._find_reference(case) if "reference" in self.shown_needs else "",
            context=context if "context" in self.shown_needs else "",
            description=self.rubric.description,
        )
        return request, ""

    def _find_reference(self, case: Case) -> str:
        path = self.arguments.reference
        if not path and isinstance(case.expected, Mapping):
            path = ANSWER
        return _as_text(find_value(case.expected, path))

    def _lacks_reference(self, case: Case) -> bool:
        return "reference" in self.rubric.needs and not self._find_reference(case)

    def _find_context(self, case: Case, output: Output | None) -> str:
        side, _, path = self.arguments.context.partition(".")
        return _as_text(find_value(case if side == "case" else output, path))


def input_of(case: Case) -> str:
    """Return the prompt as a judge sees it: the text, or the turns of a conversation."""
    if isinstance(case.input, str):
        return case.input
    return "\n".join(f"{turn.role}: {turn.content}" for turn in case.input)


def _as_text(value: Json) -> str:
    if value in (ABSENT, None):
        return ""
    text = text_of(value)
    return canonical_json(msgspec.to_builtins(value)) if text is None else text


def _check_verdict(name: str, score: Score) -> CriterionVerdict:
    value = score.value or 0.0
    word = "passed" if score.passed or (score.passed is None and value >= 1) else "failed"
    return CriterionVerdict(
        criterion=name, level=word, value=value, explanation=score.explanation, by="check"
    )
