"""The records of judging: verdicts, exchanges with the judge, and checks of whether it can be trusted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

DecidedBy: TypeAlias = Literal["judge", "check", "floor"]


@dataclass(frozen=True, kw_only=True, slots=True)
class JudgeSpec:
    """A judge as the eval set specifies it: a kind, the arguments of that kind, and limits.

    Each answer is judged `votes` times, and the median vote counts. Each call is limited by `timeout_s`
    and `attempts`. Calls are given up once the endpoint has answered none for `deadline_s`. All calls of
    a run are limited by `rate` (calls per second), `tokens_per_min` and `max_cost_usd`. `prices` are USD
    per million tokens (`input`, `output`, `cached_input`, `cache_write`).
    """

    kind: str
    args: Mapping[str, Any] = field(default_factory=dict)
    votes: int = 1
    concurrency: int = 8
    timeout_s: float = 60.0
    attempts: int = 4
    deadline_s: float = 600.0
    rate: float | None = None
    tokens_per_min: float | None = None
    max_cost_usd: float | None = None
    prices: Mapping[str, float] = field(default_factory=dict)
    path: str = ""
    line: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class CriterionVerdict:
    """The verdict on one criterion; `votes` are the levels of all votes if there were several.

    `is_quote` is false in runs of earlier versions whose evidence occurs in no text that the judge was
    shown.
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
    """One question to a judge and its reply; `problem` says why the reply is not a verdict."""

    asked: str
    answered: str = ""
    problem: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Judged:
    """The verdicts on one answer, with the judge and its calls.

    `judge` and `digest` identify the judge. `model` and `fingerprint` are from the endpoint's replies.
    `calls`, tokens, and `cost_usd` are those of this answer. `cached_tokens` are the input tokens that
    the provider had cached. If the verdict itself `is_cached`, no call was made now.
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
    cached_tokens: int = 0
    cost_usd: float | None = None
    is_cached: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class JudgeVote(_Judged):
    """One vote of one judge: a verdict on every criterion, or the state and reason without one.

    `kind` is a stable word for the reason (`prose`, `wrong_nonce`, `rate_limited`, ...).
    """

    state: Literal["scored", "judge_error", "unscored"] = "scored"
    kind: str = ""
    problem: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Judgement(_Judged):
    """The judgment of one answer under one rubric, from one or more votes."""

    @property
    def is_split(self) -> bool:
        """Whether the votes on a criterion differ."""
        return any(len(set(verdict.votes)) > 1 for verdict in self.verdicts)


@dataclass(frozen=True, kw_only=True, slots=True)
class ControlResult:
    """The judge's result on a control: an answer that is known to pass or fail.

    `held` is None when the control could not be judged; `answered` then says why. It is true if it was
    answered wrong and the judge is trusted all the same. It was `asked` that often, `wrong` of them
    answered wrong, first when `after` answers of the agent had been judged.
    """

    metric: str
    control: str
    should_pass: bool
    held: bool | None
    answered: str
    judge: str = ""
    asked: int = 1
    wrong: int = 0
    after: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class AnchorResult:
    """Whether a judge agreed with people on each anchor of a rubric; `unjudged` had no verdict."""

    metric: str
    agreed: Mapping[str, bool] = field(default_factory=dict)
    unjudged: int = 0
    rubric_digest: str = ""
    judge: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class JudgeTrust:
    """What a run shows about its judges other than scores: controls, anchors, names, and calls.

    `cached_tokens` are those of the `input_tokens` that the provider had cached. `cached_verdicts` of the
    `verdicts` are from the cache. `changes` says which judge answered as which models within the run.
    """

    judges: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    verdicts: int = 0
    cached_verdicts: int = 0
    controls: tuple[ControlResult, ...] = ()
    anchors: tuple[AnchorResult, ...] = ()
    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cost_usd: float | None = None
    warnings: tuple[str, ...] = ()

    @property
    def failed_controls(self) -> tuple[ControlResult, ...]:
        """The controls that a judge got wrong."""
        return tuple(result for result in self.controls if result.held is False)

    @property
    def lost_controls(self) -> tuple[ControlResult, ...]:
        """The controls that could not be judged, because a call was lost or a reply was no verdict."""
        return tuple(result for result in self.controls if result.held is None)
