"""The records of one trial: request, output, scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from evalkit.core.eval_set import Turn
from evalkit.core.judgement import Judgement
from evalkit.core.literals import Json, ScoreState, TrialState
from evalkit.core.spans import Span, ToolCall, Usage


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """What an agent is asked in one call.

    `messages` is the conversation so far, ending with the turn to answer; `text` is that turn. The
    expected answer is never part of it. `seed` differs from trial to trial and is the same when a trial
    is run again; an agent may use it or not. `is_conversation` tells an input given as turns, even a
    single one, from an input that is one text.
    """

    case_id: str
    trial: int
    text: str
    messages: tuple[Turn, ...]
    metadata: Mapping[str, Json]
    timeout_s: float
    seed: int = 0
    is_conversation: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class AgentError:
    """Why an agent gave no output.

    `kind` is a stable word (timeout, crashed, exception, exit_status, output_too_large, connect,
    http_status, rate_limited, bad_reply...). `retryable` is true only for trouble of the
    infrastructure, which another attempt may not meet. `detail` is the sanitised tail of what the
    agent said on stderr, or a traceback; at most 2 kB.
    """

    kind: str
    message: str
    detail: str = ""
    retryable: bool = False
    retry_after_s: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Output:
    """What an agent gave for one trial: the answer and what is known of how it came about.

    `replies` holds every reply of a conversation of several turns, the last of which is `text`; it is
    empty otherwise. `flags` name what was done to the bytes (`decoded_with_replacement`), or that the
    agent said it called no tool (`no_tool_calls`), which an agent that says nothing did not. `spans` are the
    steps that were seen of how the answer came about, in order of their start.
    """

    text: str = ""
    data: Json = None
    tool_calls: tuple[ToolCall, ...] = ()
    usage: Usage | None = None
    cost_usd: float | None = None
    latency_s: float = 0.0
    metadata: Mapping[str, Json] = field(default_factory=dict)
    replies: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    spans: tuple[Span, ...] = ()
    error: AgentError | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """One metric on one trial, or the state that says why there is no value.

    A plugin returns `Score(value=0.7, passed=True, explanation="...")`; evalkit fills in `metric`.
    `value` is None exactly when `state` is not `scored`. `passed` is None for measurements such as
    latency, which are neither right nor wrong. `judgement` is what a judge said, where one was asked. An
    `advisory` one is shown and decides nothing: its judge has not been shown to agree with people.
    """

    metric: str = ""
    value: float | None = None
    passed: bool | None = None
    explanation: str = ""
    state: ScoreState = "scored"
    judgement: Judgement | None = None
    advisory: bool = False

    @property
    def failed(self) -> bool:
        """Whether it says that the trial failed, and counts."""
        return self.passed is False and not self.advisory


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """One run of the agent on one case, scored. `number` counts from 0; `attempts` counts retries in."""

    case_id: str
    number: int
    output: Output
    scores: tuple[Score, ...] = ()
    attempts: int = 1

    @property
    def state(self) -> TrialState:
        """The one state this trial is counted in: the first trouble met, else `scored`.

        Trouble with an advisory score is told of its metric alone, unless there is no other score.
        """
        if self.output.error is not None:
            return "agent_error"
        deciding = {score.state for score in self.scores if not score.advisory}
        states = deciding or {score.state for score in self.scores}
        for trouble in ("judge_error", "metric_error", "unscored"):
            if trouble in states:
                return trouble
        return "scored" if "scored" in states else "skipped"

    @property
    def passed(self) -> bool:
        """Whether the trial is completely scored and no score says it failed."""
        return self.state == "scored" and not any(score.failed for score in self.scores)
