"""The records of one trial: request, output, and scores."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from evalkit.core.eval_set import Turn
from evalkit.core.judgement import Judgement
from evalkit.core.literals import Json, ScoreState, TrialState
from evalkit.core.spans import Span, ToolCall, Usage

MAX_VALUE = 1e100
"""The largest usable absolute value. Larger values overflow when they are squared and summed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One request to an agent.

    `messages` is the conversation so far, ending with the turn to answer; `text` is that turn. The
    expected answer is never part of it. `seed` differs between trials and stays the same when a trial
    is run again; an agent may ignore it. `is_conversation` is set when the case's input is a list of
    turns, even of a single one. `session` is what an earlier reply of the same conversation issued as
    its session id, or None.
    """

    case_id: str
    trial: int
    text: str
    messages: tuple[Turn, ...]
    metadata: Mapping[str, Json]
    timeout_s: float
    seed: int = 0
    is_conversation: bool = False
    session: Json = None


@dataclass(frozen=True, kw_only=True, slots=True)
class AgentError:
    """The reason why an agent gave no output.

    `kind` is a stable word (timeout, crashed, exception, exit_status, output_too_large, connect,
    http_status, rate_limited, bad_reply, ...). `retryable` is true only for failures of the
    infrastructure, which another attempt may avoid. It is `transient` if waiting is enough: the endpoint
    refuses calls for now, as at a rate limit, so the call spends no attempt. `detail` is the sanitized
    end of stderr or of a traceback, at most 2 kB.
    """

    kind: str
    message: str
    detail: str = ""
    retryable: bool = False
    transient: bool = False
    retry_after_s: float | None = None

    @property
    def is_user_fixable(self) -> bool:
        """Whether calls fail until the user changes the key, the model, or the address."""
        return self.kind in ("auth", "not_found", "redirect")

    @property
    def is_lasting(self) -> bool:
        """Whether every later call of the run would fail as well."""
        return self.is_user_fixable or self.kind == "no_credit"


@dataclass(frozen=True, kw_only=True, slots=True)
class Output:
    """The output of an agent for one trial: the answer, and how it was produced.

    `replies` has every reply of a conversation with several turns, ending with `text`; otherwise it is
    empty. `flags` name modifications of the output (`decoded_with_replacement`), or that the agent
    reports no tool calls (`no_tool_calls`), as opposed to reporting nothing about tools. `spans` are the
    steps of the trial in order of their start. `first_token_s` is the time from the request to the first
    piece of text, in seconds, if the answer was streamed. `session` is the session id that an agent
    issued for the conversation.
    """

    text: str = ""
    data: Json = None
    tool_calls: tuple[ToolCall, ...] = ()
    usage: Usage | None = None
    cost_usd: float | None = None
    latency_s: float = 0.0
    first_token_s: float | None = None
    metadata: Mapping[str, Json] = field(default_factory=dict)
    replies: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    spans: tuple[Span, ...] = ()
    session: Json = None
    error: AgentError | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """The score of one metric on one trial, or the state that says why it has no value.

    A plugin returns `Score(value=0.7, passed=True, explanation="...")`; evalkit fills in `metric`.
    `value` is None exactly when `state` is not `scored`. `passed` is None for measurements such as
    latency, which are neither right nor wrong. `judgement` is the judge's, if there was one. An
    `advisory` score is shown but decides nothing, because its judge is not calibrated as required.
    `unreported` names what the agent did not report, such as `tool calls`, if a score is `skipped` for
    that reason; it is empty if the metric does not apply.
    """

    metric: str = ""
    value: float | None = None
    passed: bool | None = None
    explanation: str = ""
    state: ScoreState = "scored"
    judgement: Judgement | None = None
    advisory: bool = False
    unreported: str = ""

    @property
    def failed(self) -> bool:
        """Whether the score makes the trial fail; an advisory score does not."""
        return self.passed is False and not self.advisory

    @property
    def is_usable(self) -> bool:
        """Whether the value can be used in a mean: it is finite and not too large."""
        return self.state == "scored" and self.value is not None and abs(self.value) <= MAX_VALUE


STREAM_STARTS = "first-token times"
"""What an agent that does not stream leaves unreported; its first token comes with the whole answer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """One scored run of the agent on one case. `number` starts at 0; `attempts` includes retries.

    `started_s` is when the agent was first called, in seconds of Unix time, and `took_s` how long the trial
    took from then until its last score, with retries and waits. Both are None in baselines and in older
    runs; `took_s` is also None if the run was interrupted before the scores.
    """

    case_id: str
    number: int
    output: Output
    scores: tuple[Score, ...] = ()
    attempts: int = 1
    started_s: float | None = None
    took_s: float | None = None

    @property
    def ended_s(self) -> float | None:
        """When the trial was complete, in seconds of Unix time; None if unknown."""
        if self.started_s is None or self.took_s is None:
            return None
        return self.started_s + self.took_s

    @property
    def state(self) -> TrialState:
        """The state that the trial counts as: its first failure, otherwise `scored` or `skipped`.

        A failure of an advisory score affects only its metric, unless there is no other score. A value
        that cannot be used is a metric error.
        """
        if self.output.error is not None:
            return "agent_error"
        deciding = [score for score in self.scores if not score.advisory] or self.scores
        # Nearly every trial, and reports on 10,000 cases ask for each of them several times.
        if deciding and all(score.is_usable for score in deciding):
            return "scored"
        states = {
            "metric_error" if score.state == "scored" and not score.is_usable else score.state
            for score in deciding
        }
        # The order of the loop is the precedence of the states.
        for state in ("judge_error", "metric_error", "unscored"):
            if state in states:
                return state
        return "scored" if "scored" in states else "skipped"

    @property
    def passed(self) -> bool:
        """Whether the trial is completely scored and no score makes it fail."""
        return self.state == "scored" and not self.fails()

    @property
    def is_good(self) -> bool:
        """Whether the trial passed, or no metric applies to its case."""
        return self.passed or self.state == "skipped"

    def fails(self, metrics: Collection[str] | None = None) -> bool:
        """Return whether a score makes the trial fail, even if other scores are missing.

        Args:
            metrics: the metrics that decide, whether advisory or not; by default all that are not
                advisory.
        """
        if self.output.error is not None:
            return False
        if metrics is None:
            return any(score.failed for score in self.scores)
        return any(score.passed is False for score in self.scores if score.metric in metrics)
