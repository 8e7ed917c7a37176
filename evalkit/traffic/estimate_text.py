"""Show what all of traffic would score, as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from evalkit.core.format import format_count
from evalkit.core.safe_text import format_json
from evalkit.report.screen import Screen, align_columns, join_sections
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


def estimate_text(found: TrafficEstimate, screen: Screen) -> str:
    """Return the estimates for people: each mean with its interval, then the strata."""
    rows = [
        (
            each.metric,
            f"{each.estimate.value:.3f}",
            f"{each.estimate.interval.low:.3f} to {each.estimate.interval.high:.3f}",
            f"{each.sample_mean:.3f}",
            f"{each.judged:,}",
            f"{each.sessions:,}",
        )
        for each in found.means
    ]
    titles = ("", "traffic", "90% interval", "sample", "answers", "sessions")
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
            align_columns(rows, screen, titles=titles, shrinkable={0: 8}, right=(1, 3, 4, 5)),
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
