"""Turn the listed runs and their results into the home page: sets, failing first, and runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple, TypeAlias

from evalkit.compare.history import HistoryResult, HistoryThreshold
from evalkit.core.format import format_count
from evalkit.core.literals import COMPLETE, Outcome
from evalkit.report.content import value_cell
from evalkit.report.html.axis import fit_axis
from evalkit.view.catalog import Listing, StoredRun

COURSE_RUNS = 15
"""The newest runs of a set whose course is drawn."""

_PLOT_HEIGHT, _PAD = 48.0, 7.0
_ORDER: tuple[Outcome | None, ...] = ("fail", "undecided", "inconclusive", None, "pass")


class KnownResult(NamedTuple):
    """The gate result of a run; None with a `problem` if there is none, or while it `is_pending`."""

    result: HistoryResult | None = None
    problem: str = ""
    is_pending: bool = False


PENDING = KnownResult(is_pending=True)


Finder: TypeAlias = Callable[[StoredRun], KnownResult]
"""Returns what is known of the result of a run."""


class SetSummary(NamedTuple):
    """A set with its runs, newest first; `decided` are those of the whole set that can have a result."""

    path: str
    runs: tuple[StoredRun, ...]
    decided: tuple[StoredRun, ...]

    @property
    def course(self) -> tuple[StoredRun, ...]:
        """The runs whose course is drawn, newest first: an agent is compared only with itself."""
        same = [run for run in self.decided if run.agent == self.decided[0].agent]
        return tuple(same[:COURSE_RUNS])


def group_sets(listing: Listing) -> list[SetSummary]:
    """Return the sets of the listed runs. Runs of `bisect` test earlier commits, so they do not count."""
    ids = {run.id for run in listing.runs}
    by_path: dict[str, list[StoredRun]] = {}
    for run in listing.runs:
        if not run.problem:
            by_path.setdefault(run.evalset_path, []).append(run)
    sets = []
    for path, runs in by_path.items():
        # With --against, the run of the other agent is a baseline.
        decided = tuple(
            run
            for run in runs
            if run.is_gated
            and not run.selection
            and run.command != "bisect"
            and not (run.id.endswith("-base") and run.id.removesuffix("-base") in ids)
        )
        sets.append(SetSummary(path, tuple(runs), decided))
    return sets


def order_sets(sets: Sequence[SetSummary], find: Finder) -> list[SetSummary]:
    """Return the sets by the result of their newest run, failing first."""
    return sorted(sets, key=lambda each: _ORDER.index(_newest_outcome(each, find)))


def _newest_outcome(summary: SetSummary, find: Finder) -> Outcome | None:
    result = find(summary.decided[0]).result if summary.decided else None
    return result.outcome if result else None


def count_failing(sets: Sequence[SetSummary], find: Finder) -> str:
    """Return how many sets fail, as words; empty if none does."""
    failing = sum(_newest_outcome(each, find) == "fail" for each in sets)
    if not failing:
        return ""
    verb = "fails" if failing == 1 else "fail"
    return f"{failing} of {len(sets)} {verb} at {'its' if failing == 1 else 'their'} newest run"


def set_view(
    summary: SetSummary, find: Finder, href: str, result_href: Callable[[StoredRun], str]
) -> dict[str, Any]:
    """Return the row of a set."""
    newest = summary.decided[0] if summary.decided else None
    sample = newest or summary.runs[0]
    size = f"{format_count(sample.cases, 'case')} · {format_count(len(summary.runs), 'run')}"
    view: dict[str, Any] = {
        "name": sample.evalset,
        "href": href,
        "size": size,
        "result_href": result_href(newest) if newest else "",
        "when": "",
        "plot": None,
        "value": "",
        "baseline": "",
        "sentence": "",
        **verdict_view(newest, find),
    }
    if newest is None:
        return view | {"sentence": "No run of the whole set is finished."}
    view["when"] = ", ".join(filter(None, (newest.version, short_time(newest.created))))
    known = find(newest)
    if known.result is None:
        return view | {"sentence": known.problem}
    threshold = select_threshold(known.result)
    view["sentence"] = _set_sentence(summary, known.result, find)
    if threshold is not None and threshold.value is not None:
        view["value"] = value_cell(threshold.value, threshold.unit)
        before = threshold.baseline
        if before is not None:
            view["baseline"] = f"{threshold.name}, baseline {value_cell(before, threshold.unit)}"
        else:
            view["baseline"] = threshold.name
        view["plot"] = course_plot(summary, threshold, find)
    return view


def _set_sentence(summary: SetSummary, result: HistoryResult, find: Finder) -> str:
    """Return how many thresholds failed, and when the set passed last."""
    decisive = [each for each in result.thresholds if not each.advisory]
    failed = sum(each.outcome == "fail" for each in decisive)
    if result.outcome == "pass" and all(each.outcome == "pass" for each in decisive):
        return f"All {format_count(len(decisive), 'threshold')} hold." if decisive else ""
    text = f"{failed} of {format_count(len(decisive), 'threshold')} failed."
    if not failed:
        text = result.reason
    for run in summary.course[1:]:
        older = find(run).result
        if older is not None and older.outcome == "pass":
            return f"{text} Last pass: {run.version}, {short_time(run.created)[:6].rstrip()}."
    return text


def select_threshold(result: HistoryResult) -> HistoryThreshold | None:
    """Return the threshold that says most: one that failed, else the primary one, else the first."""
    # Without a metric, the value is a number of cases.
    measured = [
        each
        for each in result.thresholds
        if each.metric and each.value is not None and not each.advisory
    ]
    return min(
        measured,
        key=lambda each: (each.outcome != "fail", not each.primary, each.limit is None),
        default=None,
    )


def course_plot(
    summary: SetSummary, threshold: HistoryThreshold, find: Finder
) -> dict[str, Any] | None:
    """Return the plot of a threshold over the newest runs; None if there is only one value."""
    runs = summary.course[::-1]
    found = []
    for run in runs:
        result = find(run).result
        same = [each for each in result.thresholds if each.name == threshold.name] if result else []
        found.append((result, same[0].value if same else None))
    values = [value for _, value in found]
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return None
    axis = fit_axis([*values, threshold.limit, threshold.baseline])

    def y_of(value: float) -> float:
        return _PLOT_HEIGHT - _PAD - axis.place(value) * (_PLOT_HEIGHT - 2 * _PAD)

    step = 0.96 / max(1, len(runs) - 1)
    placed = [
        (0.02 + index * step, y_of(value), result.outcome if result else "neutral")
        for index, (result, value) in enumerate(found)
        if value is not None
    ]
    show = [value_cell(value, threshold.unit) for value in (known[0], known[-1])]
    return {
        "label": f"{threshold.name} over {len(known)} runs: first {show[0]}, newest {show[1]}",
        "height": int(_PLOT_HEIGHT),
        "zone": _zone(threshold, y_of),
        "baseline": None if threshold.baseline is None else y_of(threshold.baseline),
        "lines": [(x1, y1, x2, y2) for (x1, y1, _), (x2, y2, _) in pairwise(placed)],
        "marks": placed,
    }


def _zone(
    threshold: HistoryThreshold, y_of: Callable[[float], float]
) -> tuple[float, float] | None:
    """Return the top and the bottom of what is not allowed."""
    if threshold.limit is None:
        return None
    limit = y_of(threshold.limit)
    return (0.0, limit) if threshold.is_upper else (limit, _PLOT_HEIGHT)


def verdict_view(run: StoredRun | None, find: Finder) -> dict[str, str]:
    """Return the class and the word of a run's verdict, or of what it is instead."""
    if run is None:
        return {"outcome": "skipped", "word": "no verdict"}
    if run.problem:
        return {"outcome": "broken", "word": "unreadable"}
    if not run.finished:
        word = "running" if run.is_alive else "interrupted"
        return {"outcome": word, "word": word}
    if run.command == "ask":
        return {"outcome": "skipped", "word": "answers only"}
    if run.shard:
        word = f"{COMPLETE} {run.shard}" if run.is_complete_shard else f"shard {run.shard}"
        return {"outcome": "pass" if run.is_complete_shard else "skipped", "word": word}
    known = find(run)
    if known.result is not None:
        return {"outcome": known.result.outcome, "word": known.result.word}
    return {"outcome": "skipped", "word": "deciding ..." if known.is_pending else "no verdict"}


def run_view(run: StoredRun, find: Finder, href: str, compare_href: str) -> dict[str, Any]:
    """Return the row of a run in a list."""
    size = [f"{run.cases:,} x {format_count(run.trials, 'trial')}"]
    if run.cost_usd is not None:
        size.append(value_cell(run.cost_usd, "usd"))
    notes = [run.selection]
    if run.command not in ("run", "ask"):
        notes.append(f"made by evalkit {run.command}")
    notes.append(run.problem)
    return {
        "id": run.id,
        "href": href,
        "compare_href": compare_href,
        "version": run.version,
        "started": "" if run.problem else short_time(run.created),
        "size": "" if run.problem else ", ".join(size),
        "note": "; ".join(filter(None, notes)),
        **verdict_view(run, find),
    }


_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def short_time(created: str) -> str:
    """Return the date and time of an ISO 8601 text: `Nov 30 11:58`; other text unchanged.

    >>> short_time("2026-11-30T11:58:36Z")
    'Nov 30 11:58'
    """
    month = created[5:7]
    if not (month.isdigit() and 1 <= int(month) <= 12):
        return created
    return f"{_MONTHS[int(month) - 1]} {created[8:10]} {created[11:16]}"
