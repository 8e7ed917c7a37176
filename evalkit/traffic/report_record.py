"""The record of a traffic report, which every format renders.

All times are in ISO 8601 and UTC. All costs are in USD, all durations in seconds. Bounds are None where
they are unknown, values where the measure is unknown for every request.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from evalkit.traffic.measures import Stat

Direction: TypeAlias = Literal[
    "better", "worse", "changed", "no difference shown", "too little data"
]


@dataclass(frozen=True, kw_only=True, slots=True)
class TrafficEstimate:
    """A measure in a group of requests.

    `low` and `high` are each wrong with probability at most 5 %. `requests` are those in which the measure
    is known, `users` those whom they are from.
    """

    measure: str
    stat: Stat = "mean"
    value: float | None = None
    low: float | None = None
    high: float | None = None
    requests: int = 0
    users: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """The requests of one version, model, tool, and so on.

    `estimates` has each measure that is known in any request of the whole report, in the order of
    `MEASURES`, with the statistics in `Measure.reported_stats`. `errors` counts failed requests by type, the most frequent first.
    """

    name: str
    requests: int
    users: int
    first: str
    last: str
    estimates: tuple[TrafficEstimate, ...] = ()
    errors: Mapping[str, int] = field(default_factory=dict)

    def find(self, measure: str, stat: Stat = "mean") -> TrafficEstimate | None:
        """Return an estimate; None if the measure is unknown in the whole report."""
        for each in self.estimates:
            if each.measure == measure and each.stat == stat:
                return each
        return None


@dataclass(frozen=True, kw_only=True, slots=True)
class Breakdown:
    """The groups of one dimension, the largest first; versions and days in the order of their start.

    `by` is version, model, tool, variant, environment, day, or the name of an attribute. `unlisted` are the
    smaller groups that are left out. A request with several tools is in the group of each.
    """

    by: str
    groups: tuple[Group, ...]
    unlisted: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class TrafficStep:
    """The requests of one step of the time axis. `errors` counts failed requests by type."""

    start: str
    requests: int
    requests_per_minute: float
    estimates: tuple[TrafficEstimate, ...] = ()
    errors: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Timeline:
    """A group over time: each step from the first to the last, also without requests.

    `by` and `name` are empty for all requests, else those of a `Breakdown` and of a `Group`. Percentiles
    have intervals in `Group` only.
    """

    by: str
    name: str
    steps: tuple[TrafficStep, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ChangePoint:
    """A time at which a measure changed its level, found in the timeline of all requests.

    `before` and `after` are the means of the steps around it, up to the next change. `version` is the one
    that first served in this step or in the one before, if there is one.
    """

    measure: str
    stat: Stat
    at: str
    before: float
    after: float
    version: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ArmDifference:
    """A measure in two groups. `low` and `high` are bounds of the change, each wrong at most in 5 %.

    `change`, `low`, and `high` are in points of a share (0.02 is 2 pt), else relative to the base (0.02 is
    2 %).
    """

    measure: str
    stat: Stat
    base: TrafficEstimate
    candidate: TrafficEstimate
    change: float | None
    low: float | None
    high: float | None
    direction: Direction


@dataclass(frozen=True, kw_only=True, slots=True)
class ArmComparison:
    """Two versions or arms. `shared_users` are in both; `mixed` requests are left out.

    A mixed request belongs to a session that met both versions. `is_concurrent` says whether both served at
    the same time for most of their requests, as arms of an experiment do.
    """

    by: str
    base: str
    candidate: str
    differences: tuple[ArmDifference, ...]
    shared_users: int
    mixed: int
    is_concurrent: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class TrafficReport:
    """All of a report.

    `filters` are the conditions that requests fulfil, as written. `cluster` says what was taken for
    independent. `retries` are failed attempts that their client repeated, which are not counted, and
    `incomplete` traces without their root, which have no latency. `top_share` is the share of the requests
    of the most active user. `warnings` are sentences.
    """

    name: str
    filters: tuple[str, ...]
    start: str
    end: str
    cluster: Literal["user", "session", "request"]
    step_s: int
    whole: Group
    breakdowns: tuple[Breakdown, ...]
    timelines: tuple[Timeline, ...]
    changes: tuple[ChangePoint, ...]
    comparisons: tuple[ArmComparison, ...]
    retries: int
    incomplete: int
    top_share: float
    warnings: tuple[str, ...]

    @property
    def versions(self) -> tuple[Group, ...]:
        """The versions in the order in which they first served."""
        found = next((each.groups for each in self.breakdowns if each.by == "version"), ())
        return tuple(sorted(found, key=lambda group: group.first))
