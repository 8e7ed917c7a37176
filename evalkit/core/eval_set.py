"""The records of an eval set: cases, metrics, thresholds, and the agent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from evalkit.core.judgement import JudgeSpec
from evalkit.core.literals import Json, Role, Stat
from evalkit.core.location import NO_LOCATION, Location

SHORTHAND = ""
"""The name of an argument written in place of a mapping, as in `python: module:function`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Turn:
    """One message of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True, kw_only=True, slots=True)
class MetricSpec:
    """A metric as the eval set specifies it.

    `ref` is the name of a built-in or of an installed plugin, or a plugin's location
    (`./file.py:name`, `package.module:name`). `name` is the name in scores and thresholds. `tags`
    limits the metric to cases with one of the tags; empty means every case.
    """

    ref: str
    name: str
    args: Mapping[str, Json] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    where: Location = NO_LOCATION


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One labeled prompt.

    `input` is text or the turns of a conversation. `metrics` are the case's own. Each one
    replaces the set's metric of the same name, or is added to the set's metrics. `draft` is an answer that
    nobody has confirmed: no metric and no agent sees it. `provenance` says where the case is from, and no
    agent sees it either. `digest` covers everything that can change the case's scores; two cases are
    compared only when their digests are equal.
    """

    id: str
    input: str | tuple[Turn, ...]
    expected: Json = None
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, Json] = field(default_factory=dict)
    cluster: str | None = None
    metrics: tuple[MetricSpec, ...] = ()
    draft: Json = None
    provenance: Mapping[str, Json] = field(default_factory=dict)
    digest: str = ""
    where: Location = NO_LOCATION


@dataclass(frozen=True, kw_only=True, slots=True)
class AgentSpec:
    """The agent as the eval set specifies it: a kind, the arguments of that kind, and limits.

    `rate` is calls per second. All calls of a run may cost `max_cost_usd`. `prices` are USD per million
    tokens (`input`, `output`), for an agent that reports no cost.
    """

    kind: str
    args: Mapping[str, Json]
    version: str | None = None
    timeout_s: float = 60.0
    attempts: int = 4
    rate: float | None = None
    tokens_per_min: float | None = None
    env: tuple[str, ...] = ()
    max_cost_usd: float | None = None
    prices: Mapping[str, float] = field(default_factory=dict)
    where: Location = NO_LOCATION


@dataclass(frozen=True, kw_only=True, slots=True)
class TrafficMix:
    """How much of a period's traffic resembles each case, as `evalkit traffic weigh` counted it.

    `shares` are the shares of `requests` by case id; the cases of a cluster divide its share evenly.
    `unmatched` is the share that resembles no case. `draws` is the number of independent requests that
    are worth as much as these, because the requests of one user are alike. `since` and `until` are
    the first and the last day. `method` names how requests were compared with cases, and `at_least` is
    the similarity that counts as resembling.
    """

    requests: int
    draws: float
    since: str
    until: str
    method: str
    at_least: float
    unmatched: float
    shares: Mapping[str, float]
    traffic: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """One threshold of the gate.

    Exactly one of the limits is set. `max_drop` and `max_rise` compare with the baseline: in points
    (0..1) for metrics without a unit, as a share of the baseline for metrics with one. `max_regressed`
    limits the cases that passed in the baseline and fail now. `must_pass` requires every trial of the cases
    with one of these tags to pass (an empty tuple: of every case). `broken_cases` limits the cases that
    newly fail and that fresh trials prove broken. A change smaller than `and_at_least`, in the metric's
    unit, never fails. `tool` and `model` narrow the metric
    to calls of one tool or model; the loader gives such a rule a metric of its own and puts its name in
    `metric`. `estimand` says what is tested: whether these cases got worse (`suite`), whether other
    cases like them would (`users`), or whether they did when weighed by the traffic that resembles them
    (`traffic`), which the loader reads into `mix`; None if no weights are stored.
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
    estimand: Literal["suite", "users", "traffic"] = "suite"
    test: Literal["exact", "point"] = "exact"
    primary: bool = False
    mix: TrafficMix | None = None
    where: Location = NO_LOCATION

    @property
    def compares(self) -> bool:
        """Whether the rule needs a baseline."""
        limits = (self.max_drop, self.max_rise, self.max_regressed, self.broken_cases)
        return any(limit is not None for limit in limits)

    @property
    def is_tested(self) -> bool:
        """Whether a p-value decides the rule, so that it can raise a false alarm."""
        changes = self.max_drop is not None or self.max_rise is not None
        return changes and self.test == "exact"


@dataclass(frozen=True, kw_only=True, slots=True)
class EvalSet:
    """One eval-set file, read and checked; `settings` has its values for fields of Settings."""

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
class TrafficSection:
    """The section `traffic:` of a project file: the thresholds for production traffic.

    Feedback counts if it came at most `maturity_h` hours after its request. `on_inconclusive` is what an
    inconclusive threshold does to the exit code; a deployment should not go on by default.
    """

    gate: tuple[Rule, ...] = ()
    maturity_h: float = 72.0
    on_inconclusive: Literal["pass", "fail"] = "fail"
    where: Location = NO_LOCATION
