"""Rubrics as metrics: checks, the floor and the judges' verdicts on one output into its score."""

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
from evalkit.evalset.calibrations import explain_advisory
from evalkit.judge.empty_answer import build_lowest_vote, find_empty_answer_reason
from evalkit.judge.judge import JudgeRequest
from evalkit.judge.panel import Panel
from evalkit.judge.scoring import build_judgement, combine_votes, score_verdicts
from evalkit.metrics.builtin import BuiltIn, check_output_path, text_of
from evalkit.metrics.paths import ABSENT, find_value
from evalkit.metrics.scorers import BuiltInScorer, finalize_score, metric_error

RUBRIC = "rubric"

CASE_PARTS = ("metadata", "expected", "input")

ANSWER = "answer"
"""The member of `expected` that is the reference where it is a mapping and nothing else is said."""


@dataclass(frozen=True, kw_only=True)
class RubricArguments(BuiltIn):
    """What stands under `rubric:` in an eval set; a file's name in its place is `file`.

    Args:
        file: the rubric.
        of: the part of the output that is judged, as a dotted path.
        reference: where in `expected` the reference is, as a dotted path; empty means its `answer` where
            it is a mapping that has one, else all of it.
        context: where what the answer had to rest on is: `case.metadata.context`, or in the output,
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
                f"context: {self.context!r} begins with neither case. nor output., "
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
class RubricScorer:
    """One rubric of a run, and where in case and output to find what it judges.

    `shown` is what a judge sees of a case beside its input: what the rubric needs, for a case's own
    criteria whatever there is.
    `calibrations` are what judges were found to be worth under it, where it requires to know.
    """

    spec: MetricSpec
    rubric: Rubric
    panel: Panel
    checks: Mapping[str, BuiltInScorer] = field(default_factory=dict)
    of: str = "text"
    reference: str = ""
    context: str = "case.metadata.context"
    shown_needs: tuple[RubricInput, ...] = ()
    calibrations: tuple[Calibration, ...] = ()

    @property
    def info(self) -> MetricInfo:
        """Comparable only with scores of the same rubric by the same judge."""
        judge = self.panel.active_judge if self.rubric.judged_criteria else None
        checked = [(name, scorer.info.digest) for name, scorer in self.checks.items()]
        places = [self.of, self.reference, self.context]
        return MetricInfo(
            name=self.spec.name,
            higher_is_better=self.rubric.higher_is_better,
            digest=digest(["rubric", self.rubric.digest, checked, places]),
            judge=judge.name if judge else "",
            judge_digest=judge.digest if judge else "",
            advisory=explain_advisory(self.rubric, judge.digest, self.calibrations)
            if judge
            else "",
        )

    @property
    def is_measurement(self) -> bool:
        """A rubric has a pass mark."""
        return False

    @property
    def waits(self) -> bool:
        """For the judge."""
        return True

    @property
    def needs(self) -> str:
        """What the rubric needs, and where it was looked for."""
        label = f"expected.{self.reference}" if self.reference else "expected"
        places = {
            "reference": f"a reference, looked for in `{label}`",
            "context": f"a context, looked for in `{self.context}`",
        }
        wanted = " and ".join(places[need] for need in self.rubric.needs)
        return f"{wanted or 'one of its tags'}. Say where it is, or look at its `tags:`."

    @property
    def caution(self) -> str:
        """None."""
        return ""

    def applies_to(self, case: Case) -> bool:
        """A case that gives what the rubric needs."""
        if "reference" in self.rubric.needs and not self._reference(case):
            return self._is_reference_ambiguous(case)
        in_case = self.context.startswith("case.")
        return "context" not in self.rubric.needs or not in_case or bool(self._context(case, None))

    def problem_with(self, case: Case) -> str | None:
        """A label in which no reference can be told, or that a check cannot use."""
        if "reference" in self.rubric.needs and not self._reference(case):
            return (
                "expected is a mapping without `answer`, and the rubric needs a reference. Name the part "
                "that is meant, as in {rubric: {file: ..., reference: summary}}."
            )
        refs = {each.name: each.check.ref for each in self.rubric.criteria if each.check}
        for name, scorer in self.checks.items():
            if not scorer.applies_to(case):
                return f"criterion {name!r}: its check {refs[name]} needs a label in `expected:`."
            if problem := scorer.problem_with(case):
                return f"criterion {name!r}: {problem}"
        return None

    async def score(self, case: Case, output: Output) -> Score:
        """Have the output judged; trouble of a judge is a score of that state."""
        score = await self._score(case, output)
        return replace(score, advisory=True) if self.info.advisory else score

    async def _score(self, case: Case, output: Output) -> Score:
        question, missing = self.build_question(case, output)
        if missing:
            return Score(metric=self.spec.name, state="unscored", explanation=missing)
        found: dict[str, CriterionVerdict] = {}
        for name, scorer in self.checks.items():
            score = await scorer.score(case, output)
            if score.value is None:
                return metric_error(
                    self.info, f"check of {name!r}: {score.explanation or score.state}"
                )
            found[name] = _check_verdict(name, score)
        readings = await self._judge(question)
        lost = next((reading for reading in readings if reading.state != "scored"), None)
        if lost is not None:
            return Score(
                metric=self.spec.name,
                state=lost.state,
                explanation=lost.problem,
                judgement=build_judgement((), readings),
            )
        found |= {
            verdict.criterion: verdict for verdict in combine_votes(question.criteria, readings)
        }
        verdicts = [found[criterion.name] for criterion in self.rubric.criteria]
        score = finalize_score(score_verdicts(self.rubric, verdicts), self.info)
        return replace(score, judgement=build_judgement(verdicts, readings))

    async def _judge(self, question: JudgeRequest) -> tuple[JudgeVote, ...]:
        if not question.criteria:
            return ()
        if reason := find_empty_answer_reason(question):
            return (build_lowest_vote(question, reason),)
        return await self.panel.collect_votes(self.spec.name, question)

    def build_question(self, case: Case, output: Output) -> tuple[JudgeRequest, str]:
        """What a judge is asked; or why it cannot be."""
        answer = _as_text(find_value(output, self.of))
        context = self._context(case, output)
        if "context" in self.rubric.needs and not context:
            return JudgeRequest(criteria=(), answer=""), f"there is no {self.context} to judge by"
        question = JudgeRequest(
            criteria=self.rubric.judged_criteria,
            answer=answer,
            input=input_of(case),
            reference=self._reference(case) if "reference" in self.shown_needs else "",
            context=context if "context" in self.shown_needs else "",
            description=self.rubric.description,
        )
        return question, ""

    def _reference(self, case: Case) -> str:
        path = self.reference
        if not path and isinstance(case.expected, Mapping):
            path = ANSWER
        return _as_text(find_value(case.expected, path))

    def _is_reference_ambiguous(self, case: Case) -> bool:
        """Whether the label is a mapping of which nothing says which part is the reference."""
        return not self.reference and bool(case.expected) and isinstance(case.expected, Mapping)

    def _context(self, case: Case, output: Output | None) -> str:
        side, _, path = self.context.partition(".")
        return _as_text(find_value(case if side == "case" else output, path))


def input_of(case: Case) -> str:
    """The prompt as a judge is shown it: the text, or the turns of a conversation."""
    if isinstance(case.input, str):
        return case.input
    return "\n".join(f"{turn.role}: {turn.content}" for turn in case.input)


def _as_text(value: Json) -> str:
    if value is ABSENT or value is None:
        return ""
    text = text_of(value)
    return canonical_json(msgspec.to_builtins(value)) if text is None else text


def _check_verdict(name: str, score: Score) -> CriterionVerdict:
    value = score.value or 0.0
    word = "passed" if score.passed or (score.passed is None and value >= 1) else "failed"
    return CriterionVerdict(
        criterion=name, level=word, value=value, explanation=score.explanation, by="check"
    )
