"""What judges said, as records: a verdict per criterion, what was asked and answered, who is trusted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

DecidedBy: TypeAlias = Literal["judge", "check", "floor"]


@dataclass(frozen=True, kw_only=True, slots=True)
class JudgeSpec:
    """A judge as the eval set asks for it: `kind` is the plug point, `args` what stands under it.

    `votes` is how often each answer is judged; the middle vote counts. A call may take `timeout_s` and
    `attempts`; all calls of a run together may wait and work `deadline_s` after trouble began, and cost
    `max_cost_usd`. `prices` are USD per million tokens (`input`, `output`).
    """

    kind: str
    args: Mapping[str, Any] = field(default_factory=dict)
    votes: int = 1
    concurrency: int = 8
    timeout_s: float = 60.0
    attempts: int = 4
    deadline_s: float = 600.0
    max_cost_usd: float | None = None
    prices: Mapping[str, float] = field(default_factory=dict)
    path: str = ""
    line: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class CriterionVerdict:
    """A judge's answer to one criterion; `votes` are the levels of all votes when there were several.

    `is_quote` is false when the evidence stands nowhere in what the judge was shown.
    """

    criterion: str
    level: str
    value: float
    evidence: str = ""
    explanation: str = ""
    is_quote: bool = True
    by: DecidedBy = "judge"
    votes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class JudgeExchange:
    """One question to a judge and its reply, as sent; `problem` says why the reply is no verdict."""

    asked: str
    answered: str = ""
    problem: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class JudgeVote:
    """One vote of one judge: a verdict on every criterion, or the state and reason of having none.

    `kind` is a stable word for the reason (`prose`, `wrong_nonce`, `rate_limited`...). `calls`, tokens and
    cost are of the calls this vote took, none of which were made when it `is_cached`.
    """

    verdicts: tuple[CriterionVerdict, ...] = ()
    state: Literal["scored", "judge_error", "unscored"] = "scored"
    kind: str = ""
    problem: str = ""
    judge: str = ""
    digest: str = ""
    model: str = ""
    fingerprint: str = ""
    exchanges: tuple[JudgeExchange, ...] = ()
    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float | None = None
    is_cached: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Judgement:
    """All that a judge said of one answer under one rubric.

    `judge` and `digest` tell who judged; `model` and `fingerprint` are what the endpoint said of itself.
    `tokens` and `cost_usd` are of the calls made for this answer, none when it `is_cached`.
    """

    judge: str = ""
    digest: str = ""
    model: str = ""
    fingerprint: str = ""
    verdicts: tuple[CriterionVerdict, ...] = ()
    exchanges: tuple[JudgeExchange, ...] = ()
    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float | None = None
    is_cached: bool = False

    @property
    def is_split(self) -> bool:
        """Whether votes on some criterion differ."""
        return any(len(set(verdict.votes)) > 1 for verdict in self.verdicts)


@dataclass(frozen=True, kw_only=True, slots=True)
class ControlResult:
    """What a judge made of an answer of which it is known whether it passes.

    `held` is None when no verdict could be had, so that nothing is known of the judge.
    """

    metric: str
    control: str
    should_pass: bool
    correct: bool | None
    answered: str
    judge: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class AnchorResult:
    """On which of a rubric's anchors a judge agreed with people, by id; `unjudged` had no verdict."""

    metric: str
    agreed: Mapping[str, bool] = field(default_factory=dict)
    unjudged: int = 0
    rubric_digest: str = ""
    judge: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class JudgeTrust:
    """What a run showed of its judges, beside the scores: controls, anchors, who judged."""

    judges: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    controls: tuple[ControlResult, ...] = ()
    anchors: tuple[AnchorResult, ...] = ()
    calls: int = 0
    cost_usd: float | None = None
    warnings: tuple[str, ...] = ()

    @property
    def failed_controls(self) -> tuple[ControlResult, ...]:
        """The controls that a judge got wrong, or gave no verdict on."""
        return tuple(result for result in self.controls if not result.correct)
