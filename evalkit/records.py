"""The nouns of evalkit as frozen records: what is asked, what came back, what it scored, what was decided."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from evalkit.judgement import Judgement, JudgeSpec, Trust
from evalkit.spans import Span, ToolCall, Usage

Json: TypeAlias = Any
"""A value that strict JSON can hold: null, bool, finite number, text, list, object with text keys."""

Role: TypeAlias = Literal["system", "user", "assistant"]
ScoreState: TypeAlias = Literal["scored", "metric_error", "judge_error", "unscored", "skipped"]
TrialState: TypeAlias = Literal[
    "scored", "agent_error", "judge_error", "metric_error", "unscored", "skipped", "not_run"
]
Stat: TypeAlias = Literal["mean", "rate", "p50", "p95", "p99"]
Outcome: TypeAlias = Literal["pass", "fail", "inconclusive", "undecided"]

TRIAL_STATES: tuple[TrialState, ...] = get_args(TrialState)


@dataclass(frozen=True, kw_only=True, slots=True)
class Location:
    """A place in a user's file; `line` and `column` count from 1, 0 when the file as a whole is meant."""

    path: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.path}:{self.line}" if self.line else self.path


@dataclass(frozen=True, kw_only=True, slots=True)
class Turn:
    """One message of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True, kw_only=True, slots=True)
class MetricSpec:
    """A metric as the eval set asks for it: which one, under what name, with which arguments.

    `ref` is a built-in's name, a plugin (`./file.py:name`, `package.module:name`) or an installed
    plugin's name. `name` is what scores and thresholds call it. `tags` limits it to cases that have
    one of them; empty means every case.
    """

    ref: str
    name: str
    args: Mapping[str, Json] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    where: Location = Location(path="")


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One labelled prompt.

    `input` is text or the turns of a conversation. `metrics` are this case's own: they replace the
    set's metric of the same name, or come on top. `digest` covers everything that can change the
    case's score; two cases are compared only when their digests are equal.
    """

    id: str
    input: str | tuple[Turn, ...]
    expected: Json = None
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, Json] = field(default_factory=dict)
    cluster: str | None = None
    metrics: tuple[MetricSpec, ...] = ()
    digest: str = ""
    where: Location = Location(path="")


@dataclass(frozen=True, kw_only=True, slots=True)
class AgentSpec:
    """The agent as the eval set asks for it: `kind` is the plug point, `args` what stands under it."""

    kind: str
    args: Mapping[str, Json]
    version: str | None = None
    timeout_s: float = 60.0
    attempts: int = 3
    env: tuple[str, ...] = ()
    where: Location = Location(path="")


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """One threshold of the gate.

    Exactly one of the limits is set. `max_drop` and `max_rise` compare with the baseline: in points
    (0..1) for metrics without a unit, as a share of the baseline for metrics with one. `max_regressed`
    counts cases that passed in the baseline and fail now; `must_pass` wants every trial of the cases
    with one of these tags to pass (an empty tuple: of every case). `broken_cases` counts cases that
    newly fail and are proven broken by fresh trials. `and_at_least` is a change in the metric's unit
    below which nothing fails, however large a share of the baseline it is. `tool` or `model` narrow the
    metric to calls of one; once a set is read, `metric` names a metric of its own for them. `estimand` is what is
    asked: whether these very cases got worse, or whether other cases like these would.
    """

    metric: str = ""
    stat: Stat = "mean"
    tag: str | None = None
    tool: str | None = None
    model: str | None = None
    min: float | None = None
    max: float | None = None
    max_drop: float | None = None
    max_rise: float | None = None
    max_regressed: int | None = None
    must_pass: tuple[str, ...] | None = None
    broken_cases: int | None = None
    margin: float = 0.05
    alpha: float = 0.05
    and_at_least: float | None = None
    estimand: Literal["suite", "users"] = "suite"
    test: Literal["exact", "point"] = "exact"
    primary: bool = False
    where: Location = Location(path="")

    @property
    def compares(self) -> bool:
        """Whether the rule needs a baseline."""
        limits = (self.max_drop, self.max_rise, self.max_regressed, self.broken_cases)
        return any(limit is not None for limit in limits)

    @property
    def is_tested(self) -> bool:
        """Whether the rule fails by a p-value, which errs now and then."""
        changes = self.max_drop is not None or self.max_rise is not None
        return changes and self.test == "exact"


@dataclass(frozen=True, kw_only=True, slots=True)
class EvalSet:
    """One eval-set file, read and checked; `settings` are the values it gives for fields of Settings."""

    name: str
    path: str
    description: str = ""
    agent: AgentSpec | None = None
    metrics: tuple[MetricSpec, ...] = ()
    gate: tuple[Rule, ...] = ()
    cases: tuple[Case, ...] = ()
    settings: Mapping[str, Json] = field(default_factory=dict)
    judges: tuple[JudgeSpec, ...] = ()
    digest: str = ""


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


@dataclass(frozen=True, kw_only=True, slots=True)
class MetricInfo:
    """A metric as a run used it. Scores of two runs are comparable only when `definition` is equal.

    `unit` is empty for a share in 0..1, else `s`, `usd`, `tokens` or a plugin's own word. `judge` names
    the judge of a rubric, `judge_digest` tells it from others. `advisory` says why no threshold on the metric may fail a build, if none may.
    """

    name: str
    unit: str = ""
    higher_is_better: bool = True
    digest: str = ""
    judge: str = ""
    judge_digest: str = ""
    advisory: str = ""

    @property
    def definition(self) -> tuple[str, str]:
        """What has to be equal for two scores to be comparable: how it is measured, and by whom."""
        return self.digest, self.judge_digest


@dataclass(frozen=True, kw_only=True, slots=True)
class RunHeader:
    """What a run set out to do, written before the first call.

    `cases` are the selected ones, whole, so that a stored run can be shown and decided again without
    the eval set. `created` is ISO 8601 in UTC; it is for people, never for ordering within a run.

    `looks` is 0 when the number of trials was fixed beforehand. Otherwise `trials` is how many of every
    case were called for so far, each further one because those before it left the gate undecided, and
    `looks` is how many there could have been. `fresh` are the cases that newly failed, with how many
    trials of each are run again, numbered on from `trials`. `scored_from` is the run whose outputs were
    scored again, where no agent was asked. `base_commit` is where the gate came from, if not from the
    candidate; `added` are then cases it lacks. `against` is the commit whose agent ran alongside.
    """

    id: str
    evalset: str
    evalset_path: str
    evalset_digest: str
    cases: tuple[Case, ...]
    metrics: tuple[MetricInfo, ...]
    gate: tuple[Rule, ...]
    trials: int
    agent_kind: str
    agent_entrypoint: str
    agent_digest: str
    agent_version: str
    settings: Mapping[str, Json]
    created: str
    evalkit_version: str
    git_commit: str = ""
    git_dirty: bool = False
    source_digest: str = ""
    selection: str = ""
    shard: str = ""
    cases_in_set: int = 0
    looks: int = 0
    fresh: Mapping[str, int] = field(default_factory=dict)
    scored_from: str = ""
    base_commit: str = ""
    added: tuple[str, ...] = ()
    against: str = ""
    schema: str = "evalkit.run/v1"


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """A stored run or baseline: its header and the trials that finished, in order of case and number.

    `fresh` are those that were run again because a case newly failed. They stand apart, because their
    cases were chosen for having failed: pooled with the others they would bias every number.
    `warnings` name what was repaired or left out while it was read (a torn last line). `trust` is what
    the run showed of its judges, if it had any. `is_renewed` tells that it is not scored as it was stored.
    """

    header: RunHeader
    trials: tuple[Trial, ...]
    fresh: tuple[Trial, ...] = ()
    path: str = ""
    finished: bool = True
    warnings: tuple[str, ...] = ()
    trust: Trust | None = None
    is_renewed: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Surroundings:
    """Where a run takes place, for whatever has to reach outside: agents and metric plugins.

    `root` bounds the files a set may name; `base` is the set's folder, which relative paths start
    from; `environ` is evalkit's own environment, of which children get an allow-listed part. `trials`
    is how many of every case are going to be run. No code comes from the checkout `root` is `instead_of`.
    """

    root: Path
    base: Path
    environ: Mapping[str, str]
    concurrency: int = 8
    trials: int = 1
    run_id: str = ""
    instead_of: Path | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """One thing wrong with what the user gave: where, what, and what to do about it."""

    message: str
    where: Location | None = None

    def __str__(self) -> str:
        return f"{self.where}: {self.message}" if self.where else self.message
