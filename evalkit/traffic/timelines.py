"""Traffic over time, in steps of a fixed length."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from evalkit.traffic.dimensions import Dimension
from evalkit.traffic.estimates import Facts, choose_part, estimate_part
from evalkit.traffic.measures import QUANTILES, Measure, Stat
from evalkit.traffic.report_record import Group, Timeline, TrafficEstimate, TrafficStep

if TYPE_CHECKING:
    import duckdb

    from evalkit.stats.distributions import Bools

STEPS_S = (60, 300, 900, 3_600, 10_800, 21_600, 86_400, 604_800)
"""The lengths of steps: from a minute to a week."""
MOST_STEPS = 45
MOST_GROUPS = 6
"""The groups of a dimension that have a timeline."""
_DAY_S = 86_400
_MONDAY_S = 4 * _DAY_S
"""1970 began on a Thursday."""
_TIMED: tuple[Stat, ...] = ("p50", "p95", "p99")


class TimeAxis(NamedTuple):
    """The steps of a time axis: `length` steps of `step_s` seconds from `first_s`, seconds since 1970.

    The requests themselves reach from `start_s` to `end_s`.
    """

    first_s: int
    step_s: int
    length: int
    start_s: float
    end_s: float

    def select_step(self) -> str:
        """Return SQL over `facts` for the number of a request's step, from 0."""
        return f"((epoch(ts) - {self.first_s}) // {self.step_s})::integer"

    def time_of(self, step: int) -> str:
        """Return when a step begins."""
        return format_time(self.first_s + step * self.step_s)

    def minutes_of(self, step: int) -> float:
        """Return how much of a step lies between the first and the last request, at least one minute."""
        begin = self.first_s + step * self.step_s
        seconds = min(begin + self.step_s, self.end_s) - max(begin, self.start_s)
        return max(seconds / 60, 1.0)


def format_time(seconds: float) -> str:
    """Return a time in ISO 8601 in UTC, to the second."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def choose_axis(start: datetime, end: datetime) -> TimeAxis:
    """Return the shortest steps of which there are at most `MOST_STEPS`; both times are in UTC."""
    first, last = (time.replace(tzinfo=UTC).timestamp() for time in (start, end))
    for step_s in STEPS_S:
        offset = _MONDAY_S if step_s > _DAY_S else 0
        begin = int((first - offset) // step_s * step_s + offset)
        count = int((last - begin) // step_s) + 1
        if count <= MOST_STEPS or step_s == STEPS_S[-1]:
            break
    return TimeAxis(begin, step_s, count, first, last)


def build_timelines(
    connection: duckdb.DuckDBPyConnection,
    facts: Facts,
    axis: TimeAxis,
    dimensions: Sequence[Dimension],
    days: Mapping[str, Group],
) -> tuple[Timeline, ...]:
    """Return the timeline of all requests, with intervals, and those of the largest groups.

    `days` are the groups of days that are known already.
    """
    whole = _query_timelines(connection, facts, axis, None)[1]
    found = connection.execute(f"select {axis.select_step()} as step from facts").fetchnumpy()  # noqa: S608
    known = days if axis.step_s == _DAY_S else {}
    detailed = tuple(
        _add_intervals(facts, found["step"] == index, step, known.get(step.start[:10]))
        if step.requests
        else step
        for index, step in enumerate(whole.steps)
    )
    groups = build_group_timelines(connection, facts, axis, dimensions)
    return (replace(whole, steps=detailed), *groups)


def build_group_timelines(
    connection: duckdb.DuckDBPyConnection,
    facts: Facts,
    axis: TimeAxis,
    dimensions: Sequence[Dimension],
) -> Iterator[Timeline]:
    """Yield the timelines of the largest groups of each dimension that has several."""
    for dimension in dimensions:
        if dimension.by != "day" and len(dimension.groups) > 1:
            yield from _query_timelines(connection, facts, axis, dimension).values()


def _add_intervals(
    facts: Facts, chosen: Bools, step: TrafficStep, known: Group | None
) -> TrafficStep:
    """Return a step with the intervals of its means: those of its day, or computed."""
    estimates = (
        known.estimates
        if known is not None
        else estimate_part(facts, choose_part(facts, chosen), stats=("mean",))
    )
    means = {each.measure: each for each in estimates if each.stat == "mean"}
    return replace(
        step,
        estimates=tuple(
            means.get(each.measure, each) if each.stat == "mean" else each
            for each in step.estimates
        ),
    )


def _query_timelines(
    connection: duckdb.DuckDBPyConnection, facts: Facts, axis: TimeAxis, dimension: Dimension | None
) -> dict[int, Timeline]:
    """Return the timelines of the groups of a dimension by their code, or of all requests as 1."""
    step = axis.select_step()
    names = [""] if dimension is None else dimension.names[:MOST_GROUPS]
    shown = None if dimension is None else replace(dimension, groups=dimension.groups[:MOST_GROUPS])
    source = "facts"
    code = "1" if shown is None else f"{shown.select_code()}"
    if shown is not None and shown.by == "tool":
        source = "(select * exclude (tools), unnest(list_distinct(tools)) as tools from facts)"
    rows = connection.execute(
        f"select {code} as code, {step} as step, count(*), sum(weight), "  # noqa: S608
        f"{', '.join(_select_statistics(facts))} from {source} group by 1, 2 having code > 0"
    ).fetchall()
    failed = connection.execute(
        f"select {code} as code, {step} as step, coalesce(error_type, 'error'), count(*) as found "  # noqa: S608
        f"from {source} where failed group by 1, 2, 3 having code > 0 order by found desc, 3"
    ).fetchall()
    errors: dict[tuple[int, int], dict[str, int]] = {}
    for group, number, kind, count in failed:
        errors.setdefault((group, number), {})[kind] = count
    found = {(row[0], row[1]): row[2:] for row in rows}
    by = "" if shown is None else shown.by
    return {
        group: Timeline(
            by=by,
            name=name,
            steps=tuple(
                _build_step(
                    facts, axis, number, found.get((group, number)), errors.get((group, number), {})
                )
                for number in range(axis.length)
            ),
        )
        for group, name in enumerate(names, 1)
    }


def _select_statistics(facts: Facts) -> Iterator[str]:
    """Yield SQL for the number, the sums, and the percentiles of each measure."""
    for measure in facts.measures:
        numerator, denominator = measure.numerator, measure.denominator
        yield f"count(*) filter (({denominator}) > 0)"
        yield f"sum(weight * ({numerator}))::double"
        yield f"sum(weight * ({denominator}))::double"
        if _has_percentiles(facts, measure):
            levels = ", ".join(str(QUANTILES[stat]) for stat in _TIMED)
            yield f"quantile_disc({measure.name}, [{levels}])"


def _has_percentiles(facts: Facts, measure: Measure) -> bool:
    """Return whether there are percentiles over time: of durations, if all requests count alike."""
    return measure.unit == "s" and not facts.is_weighted


def _build_step(
    facts: Facts,
    axis: TimeAxis,
    number: int,
    row: Sequence[Any] | None,
    errors: Mapping[str, int],
) -> TrafficStep:
    if row is None:
        return TrafficStep(start=axis.time_of(number), requests=0, requests_per_minute=0.0)
    cells: Iterator[Any] = iter(row)
    requests, weight = next(cells), next(cells)
    return TrafficStep(
        start=axis.time_of(number),
        requests=int(requests),
        requests_per_minute=float(weight) / axis.minutes_of(number),
        estimates=tuple(_read_estimates(facts, cells)),
        errors=dict(errors),
    )


def _read_estimates(facts: Facts, cells: Iterator[Any]) -> Iterator[TrafficEstimate]:
    for measure in facts.measures:
        known, value, size = next(cells), next(cells), next(cells)
        mean = value / size if size else None
        yield TrafficEstimate(measure=measure.name, value=mean, requests=known)
        if _has_percentiles(facts, measure):
            levels = next(cells) or [None] * len(_TIMED)
            for stat, level in zip(_TIMED, levels, strict=True):
                yield TrafficEstimate(measure=measure.name, stat=stat, value=level, requests=known)
