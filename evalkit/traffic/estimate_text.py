"""Show what all of traffic would score, as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from evalkit.core.format import format_count
from evalkit.core.literals import Json
from evalkit.core.safe_text import format_json
from evalkit.report.screen import Screen, align_columns, join_sections
from evalkit.stats.sampled_mean import SampledMean
from evalkit.traffic.sample_estimate import TrafficMean


@dataclass(frozen=True, kw_only=True, slots=True)
class TrafficEstimate:
    """The estimates of a run. `scope` says which requests they are about; `verdicts` counts the sample's."""

    run: str
    traffic: str
    sample: str
    scope: str
    requests: int
    judged: int
    means: tuple[TrafficMean, ...]


def estimate_json(found: TrafficEstimate) -> str:
    """Return the estimates as JSON."""
    return format_json(
        {
            "schema": "evalkit.traffic_estimate/v1",
            "run": found.run,
            "traffic": found.traffic,
            "sample": found.sample,
            "scope": found.scope,
            "requests": found.requests,
            "judged": found.judged,
            "metrics": [
                {
                    "metric": each.metric,
                    "judge": each.judge,
                    "higher_is_better": each.higher_is_better,
                    "mean": each.estimate.value,
                    "low": each.estimate.interval.low,
                    "high": each.estimate.interval.high,
                    "standard_error": each.estimate.se,
                    "sample_mean": each.sample_mean,
                    "judged": each.judged,
                    "unscored": each.unscored,
                    "sessions": each.sessions,
                    "people": _people_json(each),
                    "strata": [
                        {
                            "name": part.name,
                            "judged": part.judged,
                            "mean": part.mean,
                            "pi": part.chance,
                        }
                        for part in each.strata
                    ],
                }
                for each in found.means
            ],
        }
    )


def _people_json(found: TrafficMean) -> dict[str, Json] | None:
    people = found.people
    if people is None:
        return None
    interval = people.estimate.interval
    return {
        "mean": people.estimate.value,
        "low": interval.low,
        "high": interval.high,
        "labeled": people.labeled,
    }


def estimate_text(found: TrafficEstimate, screen: Screen) -> str:
    """Return the estimates for people: each mean with its interval, then the strata."""
    rows = [row for each in found.means for row in _list_rows(each)]
    titles = ("", "by", "traffic", "90% interval", "sample", "answers", "sessions")
    strata = [
        (each.metric, part.name, f"{part.judged:,}", _show(part.mean), f"{part.chance:.4g}")
        for each in found.means
        for part in each.strata
    ]
    return join_sections(
        [
            screen.fold(
                f"{found.scope}, estimated from run {found.run}: {found.judged:,} of "
                f"{format_count(found.requests, 'sampled request')} judged."
            ),
            align_columns(rows, screen, titles=titles, shrinkable={0: 8}, right=(2, 4, 5, 6)),
            align_columns(
                strata,
                screen,
                titles=("", "drawn by", "answers", "mean", "probability"),
                shrinkable={0: 8, 1: 8},
                right=(2, 3, 4),
            ),
            screen.fold_all(_list_notes(found), hang="  "),
        ]
    )


def _list_rows(found: TrafficMean) -> Iterator[tuple[str, ...]]:
    """Yield the row of the judge, and that of people if they labeled enough answers."""
    counts = (f"{found.sample_mean:.3f}", f"{found.judged:,}", f"{found.sessions:,}")
    yield (found.metric, found.judge, *_show_estimate(found.estimate), *counts)
    if found.people is not None:
        estimate = _show_estimate(found.people.estimate)
        yield (found.metric, "people", *estimate, "", f"{found.people.labeled:,}", "")


def _show_estimate(found: SampledMean) -> tuple[str, str]:
    return f"{found.value:.3f}", f"{found.interval.low:.3f} to {found.interval.high:.3f}"


def _show(value: float | None) -> str:
    return "no data" if value is None else f"{value:.3f}"


def _list_notes(found: TrafficEstimate) -> Iterator[str]:
    yield (
        "The intervals allow for drawing some sessions instead of all. They say nothing about other weeks, or "
        "about how often the judge is wrong; evalkit review and evalkit calibrate measure that."
    )
    judges = {each.judge for each in found.means}
    if "lexical" in judges:
        yield "The judge lexical compares words, and does not understand what it reads."
    for each in found.means:
        if each.unscored:
            yield (
                f"{each.metric}: {format_count(each.unscored, 'answer')} without a verdict, as if they were "
                "like the others."
            )
