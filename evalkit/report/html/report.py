"""A judged run as one page: verdict, thresholds with their intervals, distributions, every case."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

from evalkit.compare.scores import is_usable
from evalkit.core.format import name_rule
from evalkit.core.gate_result import Check
from evalkit.core.run import Run
from evalkit.report.content import (
    OUTCOME_WORDS,
    check_sentence,
    checks_by_urgency,
    metric_rows,
    run_rows,
    tag_rows,
    unit_of,
    verdict_reason,
)
from evalkit.report.html.cases import case_list
from evalkit.report.html.markup import Html, join, tag
from evalkit.report.html.page import render_page
from evalkit.report.html.svg import interval_plot, strips_plot
from evalkit.report.model import Report
from evalkit.report.numbers import check_cells, limit_cell, value_cell

_MAX_CHECKS = 100
_MAX_METRICS = 24
_MAX_TAG_METRICS = 4


def render_html(report: Report) -> str:
    """Render a judged run as one self-contained page."""
    verdict = report.gate_result
    title = f"{OUTCOME_WORDS[verdict.outcome]} {report.run.header.evalset}"
    body = join(
        [
            _header(report),
            _thresholds(report),
            _distributions(report),
            case_list(report),
            _tags(report),
            _notes(report),
        ]
    )
    return render_page(title, tag("main", body))


def _header(report: Report) -> Html:
    verdict = report.gate_result
    facts = chain.from_iterable(
        (tag("dt", label), tag("dd", fact)) for label, fact in run_rows(report)
    )
    return tag(
        "header",
        tag(
            "h1",
            tag("span", OUTCOME_WORDS[verdict.outcome], class_=f"badge {verdict.outcome}"),
            " ",
            report.run.header.evalset,
        ),
        tag("p", verdict_reason(verdict), class_="reason"),
        tag("dl", join(facts), class_="facts"),
    )


def _section(name: str, title: str, *children: Html | None) -> Html:
    return tag("section", tag("h2", title), *children, id=name)


def html_table(titles: Sequence[str], rows: Sequence[Sequence[Html | str]], *, name: str) -> Html:
    """Rows under titles; on a narrow screen each cell says its title."""
    head = tag("tr", join(tag("th", title, scope="col") for title in titles))
    body = join(
        tag(
            "tr",
            join(
                tag("td", cell, data_label=title) for title, cell in zip(titles, row, strict=True)
            ),
        )
        for row in rows
    )
    return tag("table", tag("thead", head), tag("tbody", body), class_=name)


def _thresholds(report: Report) -> Html | None:
    checks = checks_by_urgency(report.gate_result)[:_MAX_CHECKS]
    if not checks:
        return None
    titles = ("result", "threshold", "baseline", "this run", "change", "allowed", "interval")
    rows = []
    for check in checks:
        unit = unit_of(report, check)
        badge = tag("span", OUTCOME_WORDS[check.outcome], class_=f"badge {check.outcome}")
        name = join(
            [tag("b", name_rule(check.rule)), tag("p", check_sentence(check), class_="why")]
        )
        plot = _check_plot(check) or ""
        rows.append((badge, name, *check_cells(check, unit), limit_cell(check.rule, unit), plot))
    return _section("thresholds", "Thresholds", html_table(titles, rows, name="thresholds"))


def _check_plot(check: Check) -> Html | None:
    """The interval of what a threshold is about: of the change, or of the value."""
    rule = check.rule
    is_change = rule.max_drop is not None or rule.max_rise is not None
    value = check.difference if is_change else check.candidate
    if value is None or not rule.metric:
        return None
    limit = -rule.max_drop if rule.max_drop is not None else rule.min
    if limit is None:
        limit = rule.max
    return interval_plot(
        low=check.low,
        high=check.high,
        value=value,
        limit=limit,
        label=check.sentence,
        zero=is_change,
    )


def _values(run: Run | None, metric: str) -> list[float]:
    if run is None:
        return []
    return [
        score.value
        for trial in run.trials
        for score in trial.scores
        if score.metric == metric and is_usable(score) and score.value is not None
    ]


def _distributions(report: Report) -> Html | None:
    spreads = {
        name: (mean, spread, counted)
        for name, mean, spread, counted in metric_rows(report.gate_result)
    }
    rows: list[Sequence[Html | str]] = []
    for info in report.run.header.metrics[:_MAX_METRICS]:
        now, before = _values(report.run, info.name), _values(report.baseline, info.name)
        mean, spread, counted = spreads.get(info.name, ("", "", ""))
        rows.append(
            (tag("b", info.name), mean, spread, counted, _strips(info.name, info.unit, before, now))
        )
    latencies = (
        [t.output.latency_s for t in run.trials if t.output.error is None] if run else []
        for run in (report.baseline, report.run)
    )
    before, now = latencies
    if now and all(info.name != "latency_s" for info in report.run.header.metrics):
        rows.append((tag("b", "latency"), "", "", "", _strips("latency", "s", before, now)))
    if not rows:
        return None
    titles = ("metric", "mean", "spread", "scored", "baseline above, this run below")
    return _section("metrics", "Metrics", html_table(titles, rows, name="metrics"))


def _strips(name: str, unit: str, before: Sequence[float], now: Sequence[float]) -> Html:
    sides = [(side, values) for side, values in (("base", before), ("now", now)) if values]
    if not sides:
        return join([])
    is_log = unit == "s" and min(min(values) for _, values in sides) > 0
    drawing, axis = strips_plot(sides, is_log=is_log, label=f"distribution of {name}")
    low, high = value_cell(axis.low, unit), value_cell(axis.high, unit)
    ends = tag("span", tag("span", low), tag("span", high), class_="ends")
    return tag("div", drawing, ends, class_="plot")


def _tags(report: Report) -> Html | None:
    titles, rows = tag_rows(report, _MAX_TAG_METRICS)
    if not rows:
        return None
    return _section("tags", "Tags", html_table(["tag", *titles[1:]], rows, name="tags"))


def _notes(report: Report) -> Html:
    return _section("notes", "Notes and next steps", join(_note_parts(report)))


def _note_parts(report: Report) -> Iterator[Html]:
    if report.gate_result.notes:
        yield tag("ul", join(tag("li", note) for note in report.gate_result.notes))
    for hint in report.hints:
        yield tag("p", f"{hint.label}: ", tag("code", hint.command))
